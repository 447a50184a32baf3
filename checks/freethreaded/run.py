#!/usr/bin/env python3
"""Build a free-threaded CPython, install the package of this checkout for it, and test it there without the GIL.

    python checks/freethreaded/run.py [--python EXE | --source FILE] [--cache FOLDER] [--seconds N] [TEST...]

The interpreter is built from a source package of Debian's development suite (sid): that of CPython 3.14 or, where the
mirror that this system has its packages from does not have it, of 3.13. It stays in the cache, so only the first run
takes minutes; remove the folder to have it chosen anew. --source builds a source archive of CPython (.tar.xz), --python
takes an interpreter that is there. The last line says which version it was.

What it does then, in an environment of its own: the compiled modules and python-can are imported, and the GIL must stay
off; the tests and checks/stress/program.py run with PYTHON_GIL=0. The exit status is 1 if anything fails. Where this
system is no Debian, or its mirror has no source to give, the last line says NOT RUN and why, and the status is 0.

For the build (on Debian): apt-get install gcc make libffi-dev libssl-dev zlib1g-dev libsqlite3-dev libbz2-dev
liblzma-dev.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from checks.debian_archive import Archive, Failure, NotRun, output_of, report
from checks.instrumented import CHECKOUT, lay_out_copy

SUITE = "sid"
# Source packages, the wanted one first: a mirror may list what it does not have.
PACKAGES = ("python3.14", "python3.13")
CACHE = Path.home() / ".cache/isotp-freethreaded"

# No debugger is to look at it, and its own speed is not what is tested.
CONFIGURE = ("--quiet", "--disable-gil", "--disable-test-modules", "--with-ensurepip=no", "OPT=-DNDEBUG -O1")
HEADERS = "libffi-dev libssl-dev zlib1g-dev libsqlite3-dev libbz2-dev liblzma-dev"

# What the tests cannot do without, and what they skip where there is no wheel of it for this interpreter: building
# these takes longer than all else.
NEEDED = (
    "setuptools>=77",
    "Cython>=3.2.4,<3.4",
    "pytest>=8.3",
    "pytest-timeout>=2.3",
    "hypothesis>=6.100",
    "anyio>=4.5",
)
ON_BUSES = ("python-can>=4.2", "udsoncan>=1.24")
IF_THERE = ("numpy>=1.26", "uvloop>=0.21", "pyarrow>=16", "pandas>=2.2", "typer>=0.16", "rich>=13.7")

# Tests of the core, of threads, and of what shares memory between them. The others start other programs or read logs.
TESTS = (
    "core/test_*.py",
    "bulk/test_*.py",
    "bus/test_*.py",
    "layers/test_stmin.py",
    "layers/test_subclassing.py",
    "layers/test_transport_layer.py",
    "layers/test_udsoncan.py",
    "threads/test_*.py",
    "vocabulary/test_*.py",
    "test_aio.py",
    "test_hostile_input.py",
    "test_hub.py",
    "test_parallel.py",
    "test_process_life.py",
)

# Ask an interpreter what it is, in one line of JSON.
ASK = """
import json, sys, sysconfig
missing = []
for name in ("ctypes", "ssl", "zlib", "sqlite3", "bz2", "lzma"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
print(json.dumps({
    "version": ".".join(map(str, sys.version_info[:3])), "missing": missing,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"""

# Run without PYTHON_GIL, so that a module that asks for the GIL gets it; its warning is an error.
IMPORTS = """
import importlib, pathlib, sys

assert not sys._is_gil_enabled(), "the GIL is on before anything was imported"
import isotp

folder = pathlib.Path(isotp.__file__).parent
compiled = sorted(
    ".".join((*path.parent.relative_to(folder).parts, path.name.partition(".")[0])) for path in folder.rglob("_*.so")
)
assert compiled, f"no compiled modules in {folder}"
others = ["can", "isotp.hub", "isotp.aio", "isotp.capture", "isotp.discovery"]
for name in [*("isotp." + name for name in compiled), *others]:
    importlib.import_module(name)
    assert not sys._is_gil_enabled(), f"{name} turned the GIL on"
print("the GIL stays off with", *compiled, "and python-can", sys.modules["can"].__version__)
"""


# --- The interpreter ------------------------------------------------------------------------------------------


def built(folder: Path) -> Path | None:
    """The interpreter in a folder of the cache, if its build was finished."""
    found = sorted((folder / "bin").glob("python3.*t")) if (folder / "complete").exists() else []
    return found[0] if found else None


def newest_built(cache: Path) -> Path | None:
    """Of the packages in PACKAGES, as fetch() would choose."""
    folders = sorted(
        cache.glob("3.*"), key=lambda folder: [int(part) for part in re.findall(r"\d+", folder.name)]
    )
    return next(filter(None, map(built, reversed(folders))), None)


def build(archive: Path, cache: Path) -> Path:
    """The interpreter that a source archive makes, without optimisation by profile."""
    with tempfile.TemporaryDirectory(prefix="isotp-python-") as name:
        with tarfile.open(archive) as packed:
            if sys.version_info >= (3, 12):
                packed.extractall(name, filter="tar")
            else:
                packed.extractall(name)
        (sources,) = Path(name).iterdir()
        patchlevel = (sources / "Include/patchlevel.h").read_text()
        version = re.search(r'PY_VERSION\s+"([^"]+)"', patchlevel)
        if version is None:
            raise Failure(f"{archive} is no source of CPython")
        target = cache / version[1]
        if (there := built(target)) is not None:
            return there
        shutil.rmtree(target, ignore_errors=True)
        report(f"building CPython {version[1]} without GIL, from {archive.name}")
        output_of("./configure", f"--prefix={target}", *CONFIGURE, cwd=sources)
        output_of("make", "-s", f"-j{os.cpu_count()}", cwd=sources)
        output_of("make", "-s", "altinstall", cwd=sources)
    (target / "complete").touch()
    python = built(target)
    if python is None:
        raise Failure(f"the build left no free-threaded interpreter in {target / 'bin'}")
    return python


def interpreter(options: argparse.Namespace) -> Path:
    if options.python is not None:
        return Path(shutil.which(options.python) or options.python)
    if options.source is not None:
        return build(options.source, options.cache)
    there = newest_built(options.cache)
    if there is not None:
        return there
    with tempfile.TemporaryDirectory(prefix="isotp-source-") as folder:
        return build(Archive(Path(folder), SUITE, sources=True).source(PACKAGES), options.cache)


def require_free_threaded(python: Path) -> str:
    """Its version; Failure if it cannot do."""
    answer = json.loads(output_of(python, "-I", "-c", ASK))
    if not answer["free_threaded"]:
        raise Failure(f"{python} is not built for free threading")
    if answer["missing"]:
        raise Failure(
            f"{python} has no {', '.join(answer['missing'])}: apt-get install {HEADERS}, and build again"
        )
    return str(answer["version"])


# --- The tests ------------------------------------------------------------------------------------------------


def install(python: Path, folder: Path, copy: Path) -> Path:
    """An environment with the package of the copy, as a user gets it, and what the tests need; its interpreter."""
    output_of(python, "-I", "-m", "venv", folder)
    inside = folder / "bin/python"
    pip = (inside, "-I", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    # Wheels only: new releases may need a compiler of their own, older ones do as well.
    output_of(*pip, "--only-binary=:all:", *NEEDED, *ON_BUSES)
    without = []
    for requirement in IF_THERE:
        try:
            output_of(*pip, "--only-binary=:all:", requirement)
        except Failure:
            without.append(re.split(r"\W*>=", requirement)[0])
    if without:
        report(f"no wheels for this interpreter, tests that need them are skipped: {', '.join(without)}")
    output_of(*pip, "--no-build-isolation", "--no-deps", copy)
    return inside


def passes(name: str, python: Path, copy: Path, *arguments: str) -> bool:
    """Run something of the checkout in the copy, with the GIL off whatever is imported, and show what it says."""
    report(name)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [python, *arguments],
        cwd=copy,
        env=environment | {"PYTHON_GIL": "0", "PYTHONPATH": str(copy)},
        check=False,
    )
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--python", metavar="EXE", help="a free-threaded interpreter, in place of a build")
    given.add_argument("--source", type=Path, metavar="FILE", help="source archive of CPython to build")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where builds stay (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=15.0, help="for the stress program (default: %(default)s)"
    )
    parser.add_argument(
        "tests", nargs="*", metavar="TEST", help="files of tests, in place of the suitable ones"
    )
    options = parser.parse_args()
    try:
        python = interpreter(options)
        version = require_free_threaded(python)
        report(f"{python}: CPython {version}, free-threaded")
        with tempfile.TemporaryDirectory(prefix="isotp-freethreaded-") as name:
            copy = Path(name, "copy")
            copy.mkdir()
            lay_out_copy(copy)
            inside = install(python, Path(name, "environment"), copy)
            print(output_of(inside, "-I", "-W", "error", "-c", IMPORTS), end="", flush=True)
            tests = options.tests or sorted(
                str(path.relative_to(CHECKOUT))
                for pattern in TESTS
                for path in (CHECKOUT / "tests").glob(pattern)
            )
            results = {
                "tests": passes(
                    "tests", inside, copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests
                ),
                "stress": passes(
                    f"stress, {options.seconds:g} s",
                    inside,
                    copy,
                    "checks/stress/program.py",
                    f"--seconds={options.seconds}",
                ),
            }
    except NotRun as reason:
        print(f"free-threaded CPython: NOT RUN: {reason}")
        return 0
    except Failure as failure:
        print(f"free-threaded CPython: NOT GOOD: {failure}")
        return 1
    failed = [what for what, passed in results.items() if not passed]
    print(f"free-threaded CPython {version}: " + (f"NOT GOOD: {', '.join(failed)}" if failed else "good"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
