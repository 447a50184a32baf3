#!/usr/bin/env python3
"""Run the own tests of a published can-isotp release against the `isotp` that is installed here.

    python checks/peer/run.py [--kernel] [--python PYTHON] [--source FILE] VERSION [-- PYTEST-ARG...]

The tests come out of the release's source package, fetched with pip into a temporary directory (or given by
--source where there is no network); the support modules that the package leaves out are in support/. Nothing
of it is kept. The outcome must be the one written in expected.py: exit status 0 if it is, 1 if anything
differs (an unexpected failure, one that no longer happens, a changed count). With PYTEST-ARGs (say
`-k rate_limiter`) only part of a suite runs, so then only unexpected failures count.

With --kernel the tests of kernel sockets run too, in the virtual machine of checks/kernel/run.py where this
system has no such sockets; nothing may skip.
"""

from __future__ import annotations

import argparse
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from expected import EXPECTED, EXPECTED_WITH_KERNEL, Expected, Run

SUPPORT = Path(__file__).parent / "support"
KERNEL_RUNNER = Path(__file__).parents[1] / "kernel" / "run.py"
VM_TIMEOUT_S = 1200


@dataclass
class Outcome:
    """What a run came to, by test (`file::Class::test`); `skipped` and `failed` map it to the reason."""

    passed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def download(python: str, version: str, folder: Path) -> Path:
    """Have pip put the source package of can-isotp VERSION into FOLDER; return its path."""
    # Only can-isotp itself has to come as source: its build requirements may be wheels.
    command = [python, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", "can-isotp", "--dest", str(folder), f"can-isotp=={version}"]
    subprocess.run(command, check=True)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def lay_out(archive: Path, work: Path) -> Path:
    """Put the test files of the source package and our support modules into WORK/test; return that folder."""
    tests = work / "test"
    shutil.copytree(SUPPORT, tests, ignore=shutil.ignore_patterns("__pycache__"))
    with tarfile.open(archive) as package:
        for member in package.getmembers():
            path = PurePosixPath(member.name)
            if path.match("*/test/test_*.py") and (content := package.extractfile(member)) is not None:
                (tests / path.name).write_bytes(content.read())
    return tests


def run_pytest(python: str, run: Run, tests: Path, pytest_args: list[str]) -> Outcome:
    """Run the suite in a process of its own and read its report; RuntimeError if pytest could not run it."""
    work = tests.parent
    report = work / f"{run.interface}.xml"
    # An empty configuration file keeps pytest from looking for one (say, of this checkout) further up.
    configuration = work / "pytest.ini"
    configuration.write_text("[pytest]\n")
    command = [python, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider"]
    command += ["-c", str(configuration), "--rootdir", str(work), "--junitxml", str(report), *pytest_args]
    command += [str(tests / name) for name in run.files] or [str(tests)]
    environment = {**os.environ, "PYTHONPATH": str(work), "PEER_INTERFACE": run.interface}
    status = subprocess.run(command, cwd=work, env=environment, check=False).returncode
    # 0: all passed; 1: some failed; anything else: interrupted, internal or usage error, nothing collected.
    if status not in (0, 1):
        raise RuntimeError(f"pytest ended with status {status}")
    return read_report(report)


def read_report(report: Path) -> Outcome:
    outcome = Outcome()
    for case in ElementTree.parse(report).iter("testcase"):
        module, _, test_class = case.get("classname", "").removeprefix("test.").partition(".")
        name = "::".join(filter(None, (module, test_class, case.get("name"))))
        problems = case.findall("failure") + case.findall("error")
        skip = case.find("skipped")
        if problems:
            outcome.failed[name] = problems[0].get("message", "")
        elif skip is not None:
            outcome.skipped[name] = skip.get("message", "")
        else:
            outcome.passed.append(name)
    return outcome


def differences(expected: Expected, outcome: Outcome, whole: bool) -> list[str]:
    """How the outcome differs from the expected one; a partial run only by its unexpected failures."""
    found = [
        f"unexpected failure: {name}: {message}"
        for name, message in outcome.failed.items()
        if name not in expected.failures and name not in expected.by_speed
    ]
    if whole:
        found += [
            f"no longer fails: {name} (was expected, because it {reason})"
            for name, reason in expected.failures.items()
            if name not in outcome.failed
        ]
        passed = sum(name not in expected.by_speed for name in outcome.passed)
        if passed != expected.passed:
            found.append(f"{passed} passed instead of {expected.passed}")
        if len(outcome.skipped) != expected.skipped:
            found.append(f"{len(outcome.skipped)} skipped instead of {expected.skipped}")
            found += [f"skipped: {name}: {reason}" for name, reason in outcome.skipped.items()]
    return found


def run_in_vm(python: str, version: str, source: Path | None, pytest_args: list[str]) -> int:
    """Run all this again in the virtual machine, which has no network; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="isotp-peer-") as folder:
        archive = source or download(python, version, Path(folder))
        again = [sys.executable, __file__, "--kernel", "--python", python, "--source", str(archive.resolve())]
        runner = [sys.executable, str(KERNEL_RUNNER), "--timeout", str(VM_TIMEOUT_S), "--"]
        return subprocess.run([*runner, *again, version, "--", *pytest_args], check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("version", choices=sorted(EXPECTED), help="release of can-isotp")
    parser.add_argument(
        "--kernel", action="store_true", help="with CAN_ISOTP and vcan0, in a virtual machine if need be"
    )
    parser.add_argument("--python", default=sys.executable, help="whose isotp is tested (default: this)")
    parser.add_argument("--source", type=Path, help="source package of that release (default: download it)")
    parser.add_argument("pytest_args", nargs="*", metavar="PYTEST-ARG", help="after --: given to pytest")
    arguments = parser.parse_args()
    # Not resolved: the interpreter of a virtual environment is a link that must be called by its own name.
    python = os.path.abspath(shutil.which(arguments.python) or arguments.python)
    # The variable is set in the virtual machine.
    is_vm = "ISOTP_KERNEL_REQUIRED" in os.environ
    if arguments.kernel and not is_vm and runpy.run_path(str(KERNEL_RUNNER))["lacking"]() is not None:
        return run_in_vm(python, arguments.version, arguments.source, arguments.pytest_args)
    runs = (EXPECTED_WITH_KERNEL if arguments.kernel else EXPECTED)[arguments.version]
    agreed = True
    with tempfile.TemporaryDirectory(prefix="isotp-peer-") as work:
        archive = arguments.source or download(python, arguments.version, Path(work, "download"))
        tests = lay_out(archive, Path(work))
        show = "import isotp; print('testing', isotp.__path__[0])"
        subprocess.run([python, "-c", show], check=True, cwd=work)
        for run in runs:
            print(f"== can-isotp {arguments.version}: {run.title}", flush=True)
            outcome = run_pytest(python, run, tests, arguments.pytest_args)
            for name in [name for name in outcome.failed if name in run.expected.races]:
                print(f"once more: {name}: {run.expected.races[name]}", flush=True)
                alone = run_pytest(python, run, tests, ["-k", name.rpartition("::")[2]])
                if name in alone.passed:
                    del outcome.failed[name]
                    outcome.passed.append(name)
            found = differences(run.expected, outcome, whole=not arguments.pytest_args)
            for name in outcome.failed:
                if reason := (run.expected.failures | run.expected.by_speed).get(name):
                    print(f"expected failure: {name}: {reason}")
            for difference in found:
                print(f"DIFFERS: {difference}")
            passed, skipped, failed = len(outcome.passed), len(outcome.skipped), len(outcome.failed)
            verdict = "not as expected" if found else "as expected"
            print(f"== {passed} passed, {skipped} skipped, {failed} failed: {verdict}", flush=True)
            agreed = agreed and not found
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
