#!/usr/bin/env python3
"""Run the tests of the compiled core on a build with AddressSanitizer, UBSan and bounds checks.

    python tests/sanitizers/run.py [TEST...]

Works on a copy in a temporary folder. The exit status is 1 if a sanitizer reports anything or a test fails.
Needs gcc or clang (CC) with the runtime libraries of the sanitizers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.instrumented import CHECKOUT, environment, instrumented_copy, pytest_arguments

LIBRARIES = ("libasan.so", "libubsan.so")
SIGNS = ("runtime error:", "AddressSanitizer:")


def runtime_libraries() -> list[str]:
    """Paths of the sanitizers' libraries, which must be there before Python, itself not instrumented, starts.

    :raises FileNotFoundError: if the compiler has none.
    """
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC").split()[0]
    paths = []
    for library in LIBRARIES:
        answer = subprocess.run(
            [compiler, f"-print-file-name={library}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        if not Path(answer).is_absolute():
            raise FileNotFoundError(f"{compiler} has no {library}")
        paths.append(answer)
    return paths


def main() -> int:
    tests = sys.argv[1:] or sorted(
        str(path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "tests").glob("test_*.py")
        if is_about_the_core(path)
    )
    libraries = runtime_libraries()
    with instrumented_copy({"ISOTP_SANITIZE": "address,undefined", "ISOTP_DEBUG": "1"}) as copy:
        sanitized = {
            "LD_PRELOAD": " ".join(libraries),
            # Python keeps memory to its end on purpose; leaks are no finding.
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            # Each object in a block of its own, where AddressSanitizer sees it
            "PYTHONMALLOC": "malloc",
        }
        # Reports go to file descriptor 2, which pytest would otherwise keep for itself and take down with it.
        run = subprocess.run(
            [sys.executable, *pytest_arguments(tests), "--capture=sys"],
            cwd=copy,
            env=environment(copy) | sanitized,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    print(run.stderr, file=sys.stderr, end="")
    findings = [line for line in run.stderr.splitlines() if any(sign in line for sign in SIGNS)]
    passed = run.returncode == 0 and not findings
    print(
        "good"
        if passed
        else f"NOT GOOD: {len(findings)} reports of sanitizers, pytest ended with {run.returncode}"
    )
    return 0 if passed else 1


def is_about_the_core(path: Path) -> bool:
    return path.name.startswith("test_core_") or path.name == "test_captures.py"


if __name__ == "__main__":
    sys.exit(main())
