#!/usr/bin/env python3
"""Run the tests of the compiled core on a build with AddressSanitizer, UBSan and bounds checks.

    python checks/sanitizers/run.py [TEST...]

Works on a copy in a temporary folder. The exit status is 1 if a sanitizer reports anything or a test fails.
Needs gcc or clang (CC) with the runtime libraries of the sanitizers.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from checks.instrumented import (
    SIGNS,
    TESTS,
    environment,
    instrumented_copy,
    pytest_arguments,
    sanitizers,
)


def sees_overflow(copy: Path) -> bool:
    """Whether sums are checked: with -fwrapv, which Python's own flags may bring, no compiler does that."""
    return all(
        b"__ubsan_handle_add_overflow" in path.read_bytes() for path in (copy / "src/isotp").rglob("_*.so")
    )


def main() -> int:
    names = "address,undefined"
    sanitized = sanitizers(names)
    with instrumented_copy({"ISOTP_SANITIZE": names, "ISOTP_DEBUG": "1"}) as copy:
        if not sees_overflow(copy):
            print("NOT GOOD: this build does not look for signed overflow")
            return 1
        # Reports go to file descriptor 2, which pytest would otherwise keep for itself and take down with it.
        run = subprocess.run(
            [sys.executable, *pytest_arguments(sys.argv[1:], TESTS, copy), "--capture=sys"],
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


if __name__ == "__main__":
    sys.exit(main())
