"""Builds an instrumented copy of the package in a temporary folder; the checkout stays as it is.

Needs the build requirements of pyproject.toml in this Python's environment, a C compiler, and no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
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
    "checks",
    "examples",
    "benchmarks",
)
_LEFT_BEHIND = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "*.html", "*.egg-info", "__pycache__")

# Tests of the compiled code itself. The others run it through threads, subprocesses or other packages, or with loads
# that are too much for an instrumented build.
TESTS = (
    "core/test_*.py",
    "test_captures.py",
    "test_half_made.py",
    "bulk/test_*.py",
)


def protocol_files(package: Path) -> list[str]:
    """The files of the protocol that have steps in them, as the package names them."""
    files = sorted((package / "_protocol").glob("*.pxd"))
    return [file.relative_to(package).as_posix() for file in files if "cdef inline" in file.read_text()]


def core_files(package: Path) -> list[str]:
    """The files of the core, as the package names them."""
    return [
        "_core.pyx",
        *(file.relative_to(package).as_posix() for file in sorted((package / "core").glob("*.pxi"))),
    ]


def lay_out_copy(copy: Path, built: bool = False) -> None:
    """Put what a test run needs of the checkout into a folder; `built`: with the extensions, as they are."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info") if built else _LEFT_BEHIND
    for part in _PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=ignored)
        elif source.exists():
            shutil.copy2(source, copy / part)


@contextmanager
def instrumented_copy(switches: Mapping[str, str]) -> Iterator[Path]:
    """A copy of the checkout, its extensions built in place with these switches of setup.py.

    :raises subprocess.CalledProcessError: if the build fails; its output was shown.
    """
    with tempfile.TemporaryDirectory(prefix="isotp-") as folder:
        copy = Path(folder)
        lay_out_copy(copy)
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


# What tells a report in what a sanitized program says
SIGNS = ("runtime error:", "AddressSanitizer:", "ThreadSanitizer:")

_LIBRARIES = {"address": "libasan.so", "undefined": "libubsan.so", "thread": "libtsan.so"}
_OPTIONS = {
    # Python keeps memory to its end on purpose; leaks are no finding.
    "ASAN_OPTIONS": "detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    # Daemon threads end with the process. The interpreter is not instrumented: only our own modules are looked at.
    "TSAN_OPTIONS": "report_thread_leaks=0 ignore_noninstrumented_modules=1",
}


def sanitizers(names: str) -> dict[str, str]:
    """What the environment of a program needs to run on a build with these sanitizers, as "address,undefined".

    :raises FileNotFoundError: if the compiler has no such runtime library.
    """
    libraries = [_runtime_library(_LIBRARIES[name]) for name in names.split(",")]
    return {
        # They must be there before Python, itself not instrumented, starts.
        "LD_PRELOAD": " ".join(libraries),
        # Each object in a block of its own, where AddressSanitizer sees it
        "PYTHONMALLOC": "malloc",
        **_OPTIONS,
    }


def _runtime_library(library: str) -> str:
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC").split()[0]
    answer = subprocess.run(
        [compiler, f"-print-file-name={library}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(answer).is_absolute():
        raise FileNotFoundError(f"{compiler} has no {library}")
    return answer


def environment(copy: Path) -> dict[str, str]:
    """The environment in which Python finds the copy, and not the package that is installed."""
    found_first = [str(copy / "src"), str(copy), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(found_first)}


def pytest_arguments(tests: list[str], suitable: Iterable[str], copy: Path) -> list[str]:
    """Arguments of pytest for `tests` of a copy, or for the suitable ones (patterns of names) if there are none."""
    chosen = tests or sorted(
        str(path.relative_to(CHECKOUT)) for pattern in suitable for path in (CHECKOUT / "tests").glob(pattern)
    )
    chosen = [str(copy / test) for test in chosen]
    return ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=600", *chosen]
