"""Builds an instrumented copy of the package in a temporary folder; the checkout stays as it is.

Needs the build requirements of pyproject.toml in this Python's environment, a C compiler, and no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

# What a test run needs of the checkout, as far as it is there.
_PARTS = (
    "setup.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "docs",
    ".ci",
    "src",
    "tests",
    "examples",
    "benchmarks",
)
_LEFT_BEHIND = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "*.html", "*.egg-info", "__pycache__")

# Not about the compiled core, or not for an instrumented one: can-isotp's tests, a virtual machine, speed, what
# looks at the compiler's output or the wheel instead of running it, and loads that are too much for a slow build.
TESTS_LEFT_OUT = (
    "tests/peer",
    "tests/kernel",
    "tests/packaging",
    "tests/test_benchmarks.py",
    "tests/test_no_python_inside.py",
    "tests/test_installation.py",
    "tests/test_hub.py",
    "tests/test_transport_layer.py",
)


@contextmanager
def instrumented_copy(switches: Mapping[str, str]) -> Iterator[Path]:
    """A copy of the checkout, its extensions built in place with these switches of setup.py.

    :raises subprocess.CalledProcessError: if the build fails; its output was shown.
    """
    with tempfile.TemporaryDirectory(prefix="isotp-") as folder:
        copy = Path(folder)
        for part in _PARTS:
            source = CHECKOUT / part
            if source.is_dir():
                shutil.copytree(source, copy / part, ignore=_LEFT_BEHIND)
            elif source.exists():
                shutil.copy2(source, copy / part)
        build = subprocess.run(
            [sys.executable, "setup.py", "build_ext", "--inplace"],
            cwd=copy,
            env=os.environ | dict(switches),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if build.returncode != 0:
            print(build.stdout, file=sys.stderr)
            build.check_returncode()
        yield copy


def environment(copy: Path) -> dict[str, str]:
    """The environment in which Python finds the copy, and not the package that is installed."""
    found_first = [str(copy / "src"), str(copy), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(found_first)}


def pytest_arguments(tests: list[str]) -> list[str]:
    """Arguments of pytest for `tests`, or for all that suit an instrumented build if there are none."""
    left_out = [] if tests else [f"--ignore={path}" for path in TESTS_LEFT_OUT]
    return ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=600", *left_out, *(tests or ["tests"])]
