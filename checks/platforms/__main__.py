"""Build the wheel of this checkout for another platform, and use it there: tests, digests, times.

    python -m checks.platforms PLATFORM [--smoke] [--seeds N] [--wheels FOLDER] [--store] [TEST...]

On Debian, with `checks/debian-packages platforms`, a Python with the packages of the dependency group `dev`, and an
index. What a platform's Python is made of comes from the mirror of Debian and from the index, once, into
~/.cache/can-isotp-cython/platforms. `musl` and `macos` are compiled and linked, and nothing runs.

--smoke: the import and the tests of the core only. --store: keep the summary in checks/platforms/last_runs, which
docs/platforms.md is made of (python -m checks.platforms.page). Exit status 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from checks.debian_archive import Failure, NotRun, output_of, report
from checks.packaging.run import copy_sources
from checks.platforms.elsewhere import ELSEWHERE
from checks.platforms.machines import ON_DEBIAN, Machine
from checks.platforms.windows import Windows, end_wine

WINDOWS: dict[str, Windows] = {
    "windows": Windows("3.13", "trixie"),
    "windows-3.14": Windows("3.14", "sid"),
    "windows-3.14t": Windows("3.14", "sid", free_threaded=True),
}
LAST_RUNS = Path(__file__).with_name("last_runs")

NEEDED = (
    "Cython>=3.2.4,<3.4",
    "setuptools>=77",
    "pytest>=8.3",
    "pytest-timeout>=2.3",
    "hypothesis>=6.100",
    "anyio>=4.5",
)
# Without their dependencies, some of which have no wheels everywhere
ALONE = ("python-can>=4.2", "udsoncan>=1.24", "wrapt", "packaging", "typing_extensions")
IF_THERE = (
    "msgpack",
    "uvloop>=0.21",
    "numpy>=1.26",
    "isal>=1.6",
    "backports.zstd>=1.0",
    "typer>=0.16",
    "rich>=13.7",
)
# Asked for by these on Windows, which pip on Linux does not see
ON_WINDOWS = ("colorama", "pywin32")

# Folders and files of tests, each with a pytest of its own: what ends it ends no others.
GROUPS = (
    *(
        "core",
        "bulk",
        "vocabulary",
        "conformance",
        "model",
        "layers",
        "bus",
        "threads",
        "capture",
        "tpsock",
        "cli",
    ),
    *("test_aio.py", "test_hub.py", "test_documentation.py", "test_examples.py", "test_*.py"),
)
SMOKE = ("core", "vocabulary", "test_import.py")
# Seconds: a test, a group of them
LONGEST_TEST, LONGEST_GROUP = 600, 3600

IMPORT = """
import importlib, pathlib, platform, struct, sys
import isotp
folder = pathlib.Path(isotp.__file__).parent
for path in sorted([*folder.rglob("_*.so"), *folder.rglob("_*.pyd")]):
    importlib.import_module(".".join(("isotp", *path.parent.relative_to(folder).parts, path.name.partition(".")[0])))
import isotp.aio, isotp.capture, isotp.hub
gil = getattr(sys, "_is_gil_enabled", lambda: True)()
print(platform.python_version(), platform.machine(), struct.calcsize("P") * 8, "bits,", sys.byteorder, "endian",
      "" if gil else "without the GIL")
"""


def build_natively(machine: Machine, sources: Path) -> Path:
    """By the platform's own Python, with the cross compiler as its `cc`."""
    machine.says("setup.py", "-q", "bdist_wheel", "-d", "dist", cwd=sources, timeout=1800)
    (wheel,) = sources.glob("dist/*.whl")
    repaired = sources / "repaired"
    done = subprocess.run(
        [sys.executable, "-m", "auditwheel", "repair", "-w", str(repaired), str(wheel)],
        env={**machine.environment, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failure(f"auditwheel: {done.stdout[-2000:]}")
    (wheel,) = repaired.glob("*.whl")
    return wheel


def prepared(folder: Path) -> Path:
    """A copy of the sources, translated to C: that is the same for every platform."""
    copy_sources(folder)
    output_of(sys.executable, "setup.py", "-q", "--version", cwd=folder)
    return folder


def install_what_tests_need(machine: Machine, on_windows: bool) -> list[str]:
    """Once; what has no wheels there is not installed, and its names are kept."""
    done = machine.folder / "installed.json"
    if not done.exists():
        machine.install(*NEEDED, *(ON_WINDOWS if on_windows else ()))
        machine.install("--no-deps", *ALONE)
        without = []
        for requirement in IF_THERE:
            try:
                machine.install(requirement)
            except Failure:
                without.append(requirement.partition(">")[0])
        done.write_text(json.dumps(without))
    found: list[str] = json.loads(done.read_text())
    return found


def install(machine: Machine, wheel: Path) -> None:
    for old in (*machine.site.glob("isotp"), *machine.site.glob("can_isotp_cython*")):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    machine.install("--no-deps", wheel)
    # pip leaves no scripts for a Python of another system.
    command = machine.python.with_name("isotp")
    command.write_text(f"#!{machine.python}\nimport sys\nfrom isotp.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)


def counted(xml: Path, result: dict[str, Any]) -> None:
    """Add what a run of pytest did to the result."""
    for case in ElementTree.parse(xml).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        if case.find("failure") is not None or case.find("error") is not None:
            result["failed"].append(name)
        elif (skipped := case.find("skipped")) is not None:
            reason = (skipped.get("message") or "no reason").removeprefix("Skipped: ")
            result["skipped"][reason] = result["skipped"].get(reason, 0) + 1
        else:
            result["passed"] += 1


def run_tests(
    machine: Machine, kind: str, sources: Path, tests: list[str], minutes: float, result: dict[str, Any]
) -> None:
    named: set[str] = set()
    end = time.monotonic() + 60 * minutes
    for number, group in enumerate(tests):
        if time.monotonic() > end:
            result["not_begun"].append(group)
            continue
        found = sorted(str(path.relative_to(sources)) for path in sources.glob(f"tests/{group}"))
        files = [name for name in found if name not in named]
        named.update(files)
        xml = sources / f"result-{number}.xml"
        began = time.monotonic()
        options = [
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "checks.platforms.left_out",
            f"--timeout={LONGEST_TEST}",
        ]
        if kind == "qemu":
            # A test that is skipped in its midst leaves things behind, and others would be blamed for them.
            options += ["-p", "no:unraisableexception", "-p", "no:threadexception"]
        path = "Z:" + str(xml) if kind == "wine" else str(xml)
        try:
            done = machine.run(
                *("-m", "pytest", *options, f"--junitxml={path}", *files),
                cwd=sources,
                timeout=LONGEST_GROUP,
                ISOTP_PLATFORM=kind,
            )
        except subprocess.TimeoutExpired as expired:
            result["failed"].append(f"{group}: no end after {LONGEST_GROUP} s")
            print(str(expired.stdout)[-3000:])
        else:
            if xml.exists():
                counted(xml, result)
            else:
                result["failed"].append(f"{group}: pytest ended with {done.returncode}")
            if done.returncode not in (0, 5):
                print(done.stdout[-8000:])
        if kind == "wine":
            end_wine(machine)
        report(
            f"{group}: {time.monotonic() - began:.0f} s, {result['passed']} passed, {len(result['failed'])} failed"
        )


def use(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Build, install, import, test: the summary."""
    on_windows = name in WINDOWS
    machine = WINDOWS[name].machine() if on_windows else ON_DEBIAN[name].machine()
    kind = "wine" if on_windows else "qemu" if "qemu" in ON_DEBIAN[name].runner else "unpacked"
    without = install_what_tests_need(machine, on_windows)
    report(
        f"{machine.folder}: Python {machine.version}{''.join(f', no wheel of {each}' for each in without)}"
    )
    sources = prepared(folder / "sources")
    began = time.monotonic()
    wheel = WINDOWS[name].wheel(machine, sources) if on_windows else build_natively(machine, sources)
    report(f"{wheel.name}: {wheel.stat().st_size} bytes, built in {time.monotonic() - began:.0f} s")
    if options.wheels:
        options.wheels.mkdir(parents=True, exist_ok=True)
        shutil.copy2(wheel, options.wheels)
    install(machine, wheel)
    said = machine.says("-I", "-W", "error", "-c", IMPORT, cwd=folder).splitlines()[-1].strip()
    report(f"imported: {said}")
    result: dict[str, Any] = {
        "wheels": {wheel.name: wheel.stat().st_size},
        "python": said,
        "without": without,
        "passed": 0,
        "failed": [],
        "not_begun": [],
        "skipped": {},
    }
    tests = options.tests or list(SMOKE if options.smoke else GROUPS)
    run_tests(machine, kind, sources, tests, options.minutes, result)
    if not options.smoke and not options.tests:
        said = machine.says(
            "-m", "checks.platforms.digests", f"--seeds={options.seeds}", cwd=sources, timeout=LONGEST_GROUP
        )
        result["digests"] = {"seeds": options.seeds, **json.loads(said.splitlines()[-1])}
        report(f"digests: {result['digests']}")
        if kind == "wine":
            end_wine(machine)
    return result


def compile_only(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    wheels = {}
    for target in ELSEWHERE[name]:
        sources = prepared(folder / target.target)
        wheel = target.wheel(sources)
        wheels[f"{target.target}: {wheel.name}"] = wheel.stat().st_size
        report(
            f"{target.target}: {wheel.name}, {wheel.stat().st_size} bytes. Compiled and linked; nothing ran."
        )
    return {"wheels": wheels}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m checks.platforms",
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("platform", choices=[*ON_DEBIAN, *WINDOWS, *ELSEWHERE])
    parser.add_argument("--smoke", action="store_true", help="import, and the tests of the core")
    parser.add_argument(
        "--minutes", type=float, default=120, metavar="N", help="begin no more tests after that (%(default)s)"
    )
    parser.add_argument(
        "--seeds", type=int, default=20_000, metavar="N", help="scripts of the digest (%(default)s)"
    )
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="where the wheel is put")
    parser.add_argument("--store", action="store_true", help="keep the summary for docs/platforms.md")
    parser.add_argument(
        "tests", nargs="*", metavar="TEST", help="below tests/, in place of the suitable ones"
    )
    options = parser.parse_intermixed_args()
    name: str = options.platform
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="isotp-platform-") as folder:
            act = compile_only if name in ELSEWHERE else use
            result = act(name, options, Path(folder))
    except NotRun as why:
        print(f"{name}: NOT RUN: {why}")
        return 0
    except Failure as failure:
        print(f"{name}: NOT GOOD: {failure}")
        return 1
    result["minutes"] = round((time.monotonic() - began) / 60, 1)
    result["when"] = datetime.now(tz=timezone.utc).date().isoformat()
    if options.store:
        LAST_RUNS.mkdir(exist_ok=True)
        (LAST_RUNS / f"{name}.json").write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
    for reason, count in sorted(result.get("skipped", {}).items()):
        print(f"skipped {count:5}: {reason}")
    if not_begun := result.get("not_begun"):
        print(f"not begun after {options.minutes:g} minutes: {', '.join(not_begun)}")
    for failed in result.get("failed", []):
        print(f"FAILED: {failed}")
    tested = (
        f"{result['passed']} tests passed, {len(result['failed'])} failed"
        if "passed" in result
        else "nothing ran"
    )
    print(f"{name}: built, {tested}, in {result['minutes']} minutes")
    return 1 if result.get("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
