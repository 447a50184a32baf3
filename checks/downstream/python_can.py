"""Run python-can's own tests of a bus on the wire of `isotp.testing`, beside its virtual bus.

    python -m checks.downstream.python_can

Takes the source package of the python-can that is installed, and puts `isotp_wire` in the place of `virtual` where its
tests open a bus. What passes on the virtual bus must pass on the wire, but for tests that look into the virtual bus;
exit status 1 if it does not. Needs a package index.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = (
    *(
        "back2back_test.py",
        "contextmanager_test.py",
        "listener_test.py",
        "network_test.py",
        "notifier_test.py",
    ),
    *("simplecyclic_test.py", "test_bus.py", "test_message_filtering.py", "zero_dlc_test.py"),
)
# They read the queue of the virtual bus, or replace its methods.
OF_THE_VIRTUAL_BUS = frozenset({"test_cycle_time", "test_restart_perodic_tasks"})
PLACES = re.compile(r'((?:interface|bustype|INTERFACE_[12])\s?=\s?|"interface": )"virtual"')


def unpacked(folder: Path) -> Path:
    """The source package of the python-can that is installed."""
    wanted = f"python-can=={importlib.metadata.version('python-can')}"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps")
    subprocess.run([*pip, "--no-binary", ":all:", "-d", str(folder), wanted], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as package:
        package.extractall(folder, filter="data")
    (source,) = (each for each in folder.iterdir() if each.is_dir())
    return source


def named(folder: Path) -> Path:
    """What makes the wire a bus of python-can by its name, also where this package is not installed."""
    metadata = folder / "named" / "named-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: named\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(
        "[can.interface]\nisotp_wire = isotp.testing.can_bus:WireBus\n"
    )
    return metadata.parent


def outcomes(source: Path, report: Path, path: Path) -> dict[str, str]:
    """What became of each test; those of buses between processes are not run."""
    # Its own settings are for a tool that measures coverage.
    options = (
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        "-q",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        "--timeout=120",
        "-k",
        "not Multicast",
    )
    tests = [f"test/{name}" for name in TESTS]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT / "src")])}
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--junitxml", str(report), *tests],
        cwd=source,
        env=environment,
        check=False,
    )
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}::{case.get('name')}"] = kinds[0] if kinds else "passed"
    return found


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="isotp-python-can-") as name:
        folder = Path(name)
        source, path = unpacked(folder), named(folder)
        virtual = outcomes(source, folder / "virtual.xml", path)
        for test in TESTS:
            file = source / "test" / test
            file.write_text(PLACES.sub(r'\1"isotp_wire"', file.read_text(encoding="utf-8")), encoding="utf-8")
        wire = outcomes(source, folder / "wire.xml", path)
    differing = [
        each
        for each in sorted({*virtual, *wire})
        if virtual.get(each) == "passed" != wire.get(each)
        and each.rpartition("::")[2] not in OF_THE_VIRTUAL_BUS
    ]
    for each in differing:
        print(f"DIFFERS: {each}: {virtual.get(each)} on the virtual bus, {wire.get(each)} on the wire")
    passed = sum(outcome == "passed" for outcome in wire.values())
    print(
        f"== python-can: {len(wire)} tests, {passed} passed on the wire, {len(differing)} only on the virtual bus"
    )
    return 1 if differing or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
