"""Which tests a platform leaves out, and why: a plugin of pytest (`-p checks.platforms.left_out`).

The tests of benchmarks, checks and tools are not of the package, those of kernel need a kernel: __main__.py does not
name them. What is here is what an emulator cannot do. A test is skipped with the reason; a failure for a reason that
is known to the letter, as that of a system call that the emulator does not pass on, is too.
"""

from __future__ import annotations

import fnmatch
import os
from typing import Any

import pytest

PLATFORM = os.environ.get("ISOTP_PLATFORM", "")

# By kind of platform: names of tests (patterns), and the reason.
LEFT_OUT: dict[str, tuple[tuple[str, str], ...]] = {
    "qemu": (
        (
            "*test_memory.py::test_feed_without_memory_says_so*",
            "the emulator has a limit of memory for itself",
        ),
        (
            "*test_hostile_input.py::test_ids_that_were_chosen*",
            "valgrind would count the emulator's instructions",
        ),
        ("*test_no_python_inside.py*", "translates the source, which is the same everywhere"),
    ),
    "unpacked": (
        (
            "*test_hostile_input.py::test_ids_that_were_chosen*",
            "valgrind does not follow the script that is python",
        ),
    ),
    "wine": (
        (
            "*test_decode.py::test_many_recordings*",
            "wine 8: the pipe to a pool of processes hangs under pytest",
        ),
        ("*test_no_python_inside.py*", "translates the source, which is the same everywhere"),
        ("*::test_native_path*", "there is no compiler under wine"),
        ("*test_native_batches.py*", "there is no compiler under wine"),
    ),
}

# By kind of platform: what ends the text of a failure, and the reason.
KNOWN: dict[str, tuple[tuple[str, str], ...]] = {
    "qemu": (("OSError: [Errno 92] Protocol not available", "the emulator does not pass SO_TIMESTAMPNS on"),),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for pattern, reason in LEFT_OUT.get(PLATFORM, ()):
            if fnmatch.fnmatchcase(item.nodeid, pattern):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report: pytest.TestReport = yield
    if report.failed and call.excinfo is not None:
        for text, reason in KNOWN.get(PLATFORM, ()):
            if call.excinfo.exconly().rstrip().endswith(text):
                report.outcome = "skipped"
                report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: {reason}")
    return report
