#!/usr/bin/env python3
"""Build the sdist and, from it, the wheel; look into both; use the wheel where nothing else is installed.

    python tests/packaging/run.py

Needs git, a C compiler, the packages of the dependency group `dev`, Python 3.11 or later (for cibuildwheel),
and an index to get the build requirements from. The sources are copied to a temporary directory first, as git
knows them, so nothing that an earlier build left behind takes part. Exit status 1 if anything is not as it
has to be.
"""

from __future__ import annotations

import ast
import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

import tomllib

ROOT = Path(__file__).parent.parent.parent

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


class Failure(Exception):
    """Something is not as it has to be."""


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


def build(sources: Path, folder: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it, with the Cython of releases."""
    run(
        *(sys.executable, "-m", "build", "--outdir", folder, sources),
        cwd=sources,
        PIP_CONSTRAINT=str(sources / "release-constraints.txt"),
    )
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    report(f"python -m build: {sdist.name}, and from it {wheel.name}")
    return sdist, wheel


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
        found = set(archive.namelist())
        metadata = email.message_from_bytes(archive.read(f"can_isotp_cython-{version}.dist-info/METADATA"))
    package = {name for name in found if ".dist-info/" not in name}
    binaries = {name for name in package if name.endswith((".so", ".pyd"))}
    compiled = {Path(name).stem for name in sources if name.endswith(".pyx")}
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
    extras = {"can", "tables", "capture", "mf4", "cli", "plot", "dask"}
    require(set(metadata.get_all("Provides-Extra")) == extras, f"{wheel.name}: extras are not {extras}")
    report(f"{wheel.name}: metadata; needs nothing, python-can is the extra [can]")


def check_use(wheel: Path, folder: Path, version: str) -> None:
    venv.create(folder / "empty", with_pip=True)
    python = folder / "empty" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run(python, "-I", "-m", "pip", "install", "--no-index", wheel, cwd=folder)
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


def main() -> int:
    (assignment,) = ast.parse((ROOT / "src/isotp/_version.py").read_text(encoding="utf-8")).body[1:]
    version = ast.literal_eval(assignment.value)
    with tempfile.TemporaryDirectory(prefix="isotp-packaging-") as name:
        folder = Path(name).resolve()
        try:
            sources = copy_sources(folder / "sources")
            sdist, wheel = build(folder / "sources", folder / "dist")
            check_sdist(sdist, sources, version)
            check_wheel(wheel, sources, version)
            check_use(wheel, folder, version)
            check_identifiers(folder / "sources")
        except Failure as failure:
            print(f"FAILED: {failure}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
