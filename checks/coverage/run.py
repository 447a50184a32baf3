#!/usr/bin/env python3
"""Print the line coverage of the compiled core: a build with line tracing that runs the tests.

    python checks/coverage/run.py [--limit PERCENT] [TEST...]

Works on a copy in a temporary folder; takes a few minutes, since each line of C reports itself. The exit
status is 1 if the core or its protocol is below the limit, or the tests fail. Needs the dependency
group `coverage`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from checks.instrumented import (
    CHECKOUT,
    core_files,
    environment,
    instrumented_copy,
    protocol_files,
    pytest_arguments,
)

# "ctrace": the other cores of coverage.py are not told of lines by Cython.
# The head of a function is counted as code, but nothing ever runs it, or who includes its file does.
CONFIGURATION = """\
[run]
plugins = checks.coverage.sources
core = ctrace
source = isotp
data_file = coverage.data
[report]
include =
    */_core.pyx
    */core/*.pxi
    */_protocol/*.pxd
exclude_lines =
    ^\\s*c?p?def [^=]*\\($
    ^\\s*@cython
    ^\\s*c?p?def .*:$
"""
# Tests of the protocol, and of what of the engine only its drivers use.
TESTS_OF_THE_CORE = (
    "bus/test_can_stack.py",
    "conformance/test_*.py",
    "core/test_*.py",
    "layers/test_compat_attributes.py",
    "layers/test_compat_names.py",
    "layers/test_overriding.py",
    "layers/test_receptions.py",
    "layers/test_stmin.py",
    "layers/test_subclassing.py",
    "threads/test_callbacks.py",
    "vocabulary/test_params.py",
)


def ranges(lines: list[int]) -> str:
    """`[3, 4, 5, 9]` as `3-5, 9`."""
    groups: list[list[int]] = []
    for line in lines:
        if groups and line == groups[-1][-1] + 1:
            groups[-1].append(line)
        else:
            groups.append([line])
    return ", ".join(str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in groups)


def main() -> int:
    parser = argparse.ArgumentParser(description="Line coverage of the compiled core.")
    parser.add_argument("--limit", type=float, default=95.0, metavar="PERCENT", help="default: %(default)s")
    parser.add_argument("tests", nargs="*", metavar="TEST", help="tests to run; default: all that suit")
    options = parser.parse_args()

    with instrumented_copy({"ISOTP_TRACE": "1"}) as copy:
        # There Cython's names of its sources are found: isotp/_protocol/reception.pxd.
        inside = copy / "src"
        (inside / "coverage.ini").write_text(CONFIGURATION)
        coverage = [sys.executable, "-m", "coverage"]
        run = subprocess.run(
            [
                *(*coverage, "run", "--rcfile=coverage.ini"),
                *(
                    *pytest_arguments(options.tests, TESTS_OF_THE_CORE, copy),
                    *("-p", "checks.coverage.whole_steps"),
                ),
            ],
            cwd=inside,
            env=environment(copy),
            check=False,
        )
        subprocess.run(
            [*coverage, "json", "--rcfile=coverage.ini", "-q", "-o", "coverage.json"],
            cwd=inside,
            env=environment(copy),
            check=True,
        )
        files = json.loads((inside / "coverage.json").read_text())["files"]

    measured = {name.partition("isotp/")[2]: report for name, report in files.items()}
    passed = run.returncode == 0
    for part, files_of in {"core": core_files, "protocol": protocol_files}.items():
        lines = covered = 0
        for name in files_of(CHECKOUT / "src/isotp"):
            if name not in measured:
                print(f"{name}: not measured")
                passed = False
                continue
            summary = measured[name]["summary"]
            lines += summary["num_statements"]
            covered += summary["covered_lines"]
            missing = measured[name]["missing_lines"]
            print(f"{name}: {summary['percent_covered']:.1f} % of {summary['num_statements']} lines", end="")
            print(f"; not run: {ranges(missing)}" if missing else "")
        percent = 100 * covered / max(lines, 1)
        passed = passed and percent >= options.limit
        print(f"{part}: {percent:.1f} % of {lines} lines")
    print("good" if passed else f"NOT GOOD: a test failed, or a part is below {options.limit:g} %")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
