"""Nothing is left behind by the hot paths: some cases of checks/leaks, which has them all, with fewer rounds."""

from __future__ import annotations

import platform
import sys

import pytest

from checks.leaks import run

pytestmark = pytest.mark.skipif(
    platform.python_implementation() != "CPython" or sys.getallocatedblocks() == 0,
    reason="counts the blocks that CPython's allocator has given out",
)

ROUNDS = 150


@pytest.mark.parametrize("case", ["loopback", "errors", "callbacks_that_raise", "reassembler"])
def test_nothing_is_left_behind(case: str) -> None:
    assert run.leaks(case, ROUNDS) == {}


@pytest.mark.parametrize(
    ("case", "sign"),
    [("leaked_object", "blocks"), ("leaked_reference", "references to HERE"), ("kept_list", "objects")],
)
def test_a_leak_on_purpose_is_seen(case: str, sign: str) -> None:
    # A few objects come and go with the measuring.
    assert run.leaks(case, ROUNDS)[sign] >= ROUNDS * 0.8
