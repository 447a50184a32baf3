"""Run the tests of packages that require can-isotp, as they are on PyPI, on this package and on can-isotp.

    python -m checks.downstream [--wheel FILE] [NAME...]

Each gets two environments: one as its requirements say, and one in which this package and the stand-in for can-isotp
are installed besides (docs/switching.md). Test by test the outcome must be the same; exit status 1 if it is not.
Needs a package index.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from checks.packaging.beside import THEIRS, build
from isotp._doctor import stand_in

ROOT = Path(__file__).parents[2]
# With what they are compared; the newest release that they allow.
AGAINST = f"{THEIRS}==2.0.7"
PYTEST = ("pytest", "pytest-asyncio", "anyio", "pytest-timeout")


@dataclass(frozen=True)
class Suite:
    """The tests of one package."""

    name: str
    requirements: tuple[str, ...]
    # What pytest runs: modules that are installed, a folder of the source package, or a program of ours.
    modules: tuple[str, ...] = ()
    source: str = ""
    folder: str = ""
    program: str = ""
    options: tuple[str, ...] = ()


SUITES = (
    Suite(
        "jumpstarter",
        ("jumpstarter-driver-can", "jumpstarter-driver-uds-can"),
        modules=("jumpstarter_driver_can", "jumpstarter_driver_uds_can"),
        options=("-o", "python_files=*_test.py"),
    ),
    Suite(
        "python-uds-server",
        ("python-uds-server", "udsoncan>=1.26"),
        source="python-uds-server",
        folder="tests",
    ),
    # The newest release with its tests in the source package
    Suite(
        "odxtools",
        ("odxtools[examples]==5.0.4", "setuptools<81", "python-can", "aiofiles"),
        source="odxtools==5.0.4",
        folder="tests",
    ),
    # The tests of these need more than their source packages have; these are ours.
    Suite("udsoncan", ("udsoncan", "python-can"), program="test_udsoncan_connections.py"),
    Suite("cyclarity", ("cyclarity-in-vehicle-sdk",), program="test_cyclarity.py"),
    Suite("robotframework-uds", ("robotframework-uds",), program="test_robotframework_uds.py"),
)


def run(*command: object, cwd: Path | None = None, check: bool = True) -> None:
    foreign = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    subprocess.run([*map(str, command)], check=check, cwd=cwd, env=environment)


def environment(folder: Path, suite: Suite, more: tuple[object, ...]) -> Path:
    """The interpreter of a fresh environment."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    for wanted in ((*suite.requirements, AGAINST, *PYTEST), more):
        if wanted:
            run(sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python, *wanted)
    return python


def unpacked(suite: Suite, folder: Path) -> Path:
    """The folder of the tests in the source package."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps")
    run(*pip, "--no-binary", ":all:", "-d", folder, suite.source)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as package:
        package.extractall(folder, filter="data")
    (source,) = (each for each in folder.iterdir() if each.is_dir())
    return source


def outcomes(python: Path, suite: Suite, source: Path | None, report: Path) -> dict[str, str]:
    """What became of each test."""
    tests = ["--pyargs", *suite.modules] if suite.modules else [suite.folder or suite.program]
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "--tb=line",
        "-p",
        "no:cacheprovider",
        "--timeout=120",
        "--junitxml",
        report,
    ]
    run(*command, *suite.options, *tests, cwd=source or report.parent, check=False)
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        # What is installed has the folder of its environment before its name.
        module = (case.get("classname") or "").rpartition("site-packages.")[2]
        found[f"{module}::{case.get('name')}"] = kinds[0] if kinds else "passed"
    return found


def compare(suite: Suite, ours: tuple[object, ...], folder: Path) -> bool:
    source = None
    if suite.program:
        # A copy: pytest would take the settings of the checkout for those of the tests.
        source = shutil.copytree(Path(__file__).with_name("programs"), folder / "programs")
    if suite.source:
        (folder / "source").mkdir()
        source = unpacked(suite, folder / "source")
    found = {}
    for side, more in (("can-isotp", ()), ("this package", ours)):
        python = environment(folder / side.replace(" ", "-"), suite, more)
        found[side] = outcomes(python, suite, source, folder / f"{len(found)}.xml")
    theirs, mine = found.values()
    differing = [name for name in sorted({*theirs, *mine}) if theirs.get(name) != mine.get(name)]
    for name in differing:
        print(f"DIFFERS: {name}: {theirs.get(name)} with can-isotp, {mine.get(name)} with this package")
    passed = sum(outcome == "passed" for outcome in mine.values())
    print(f"== {suite.name}: {len(mine)} tests, {passed} passed, {len(differing)} differ", flush=True)
    return not differing and passed > 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="of this package (default: build it)")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(suite.name for suite in SUITES))
    chosen = parser.parse_args()
    agreed = True
    with tempfile.TemporaryDirectory(prefix="isotp-downstream-") as name:
        folder = Path(name)
        wheel = chosen.wheel.resolve() if chosen.wheel else build(ROOT, folder)
        for suite in SUITES:
            if not chosen.names or suite.name in chosen.names:
                place = folder / suite.name
                place.mkdir()
                agreed = compare(suite, (wheel, stand_in(place)), place) and agreed
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
