"""What fuzzing begins with holds its promises on the package as it is; checks/fuzz/run.py goes on from there.

What needs a sanitizer to be seen, and the harnesses of the protocol in C, are for checks/fuzz/run.py alone.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

import pytest

from checks.fuzz import run, seeds
from checks.fuzz.choices import Choices
from checks.fuzz.targets import pickled

ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
# What reads the inputs of a target, beside the package itself
LIBRARIES = {"candump": [ZSTD], "asc": [ZSTD], "capture": ["numpy", ZSTD]}


@pytest.mark.parametrize("name", run.TARGETS)
def test_seeds_of_a_target(name: str) -> None:
    for library in LIBRARIES.get(name, ()):
        pytest.importorskip(library, reason=f"{library} reads some of the logs")
    one_input: Callable[[bytes], None] = importlib.import_module(f"checks.fuzz.targets.{name}").one_input
    inputs = seeds.load(name)
    assert len(inputs) > 1
    for each in inputs:
        one_input(each)


@pytest.mark.parametrize("name", run.PROTOCOL)
def test_harnesses_of_the_protocol_have_seeds(name: str) -> None:
    assert len(seeds.load(name)) > 1


def test_damaged_pickles() -> None:
    """Each byte of a state changed in turn: refused, or something that works."""
    for kind in range(2):
        for step in range(600):
            how = bytes([kind, 0]) + (step * 2_654_435_761).to_bytes(8, "little") * 3
            pickled.one_input(how)


def test_choices_end_in_zeros() -> None:
    choices = Choices(b"\1\2")
    assert (choices.byte(), choices.left, choices.number(4), choices.byte()) == (1, 1, 2, 0)
    assert choices.block(3) == b""
