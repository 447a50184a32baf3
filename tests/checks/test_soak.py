"""The soak tells memory that goes on growing from a step that ends."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("can")

from checks.soak.run import NOISE, SAMPLES, still_grows

KIB, MIB = 1 << 10, 1 << 20
LOOKS = SAMPLES * 3 // 4
BASE = 180 * MIB


def steps(*at: int, size: int = 4 * MIB) -> list[int]:
    """Flat, but for a step before each of these looks."""
    return [BASE + size * sum(k >= step for step in at) for k in range(LOOKS)]


def leak(a_look: int, since: int = 0) -> list[int]:
    """So many bytes more from look to look."""
    return [BASE + a_look * max(0, k - since) for k in range(LOOKS)]


def noise(size: int) -> list[int]:
    chance = random.Random(1)
    return [BASE + chance.randrange(size) for _ in range(LOOKS)]


def together(*series: list[int]) -> list[int]:
    return [sum(values) - BASE * (len(series) - 1) for values in zip(*series, strict=True)]


ENDS = {
    "flat": steps(),
    "no memory to see": [0] * LOOKS,
    "two steps of an allocator in the first third": steps(8, 9, size=2 * MIB),
    "a step at the end": steps(LOOKS - 1),
    "a cache that fills in the first half": [BASE + min(k, LOOKS // 2) * MIB for k in range(LOOKS)],
    "noise": noise(2 * NOISE),
    "noise and a step": together(noise(2 * NOISE), steps(20)),
    "memory that is given back": leak(-100 * KIB),
}
GOES_ON = {
    "100 KiB a look": leak(100 * KIB),
    "100 KiB a look, and noise": together(leak(100 * KIB), noise(NOISE)),
    "100 KiB a look, and a step": together(leak(100 * KIB), steps(20)),
    "300 KiB a look, but late": leak(300 * KIB, since=20),
    "a buffer that doubles": [BASE + 4 * KIB * 2 ** (k // 3) for k in range(LOOKS)],
}


@pytest.mark.parametrize("sizes", ENDS.values(), ids=ENDS)
def test_what_ends_is_no_leak(sizes: list[int]) -> None:
    assert not still_grows(sizes)


@pytest.mark.parametrize("sizes", GOES_ON.values(), ids=GOES_ON)
def test_what_goes_on_is_a_leak(sizes: list[int]) -> None:
    assert still_grows(sizes)


def test_a_step_anywhere_is_no_leak() -> None:
    assert [step for step in range(LOOKS) if still_grows(steps(step))] == []
