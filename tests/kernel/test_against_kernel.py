"""Our layers talk with the kernel's ISO-TP sockets, both ways, over all that the two can be set to.

The full product of the settings has some 30 000 members. Any two values of two settings meet in one of the
rows below; every size meets every addressing mode on SocketCanStack besides.
"""

from __future__ import annotations

import errno
from itertools import combinations, product

import pytest

from tests.kernel.ends import (
    CLASSIC,
    FD_LENGTHS,
    LAYERS,
    MODES,
    End,
    Frames,
    Setup,
    covering_pairs,
    kernel_end,
    our_end,
    payload,
)

FRAMES = (CLASSIC, *(Frames(fd=True, tx_dl=length, brs=bool(n % 2)) for n, length in enumerate(FD_LENGTHS)))
BLOCK_SIZES, STMINS, SIZES = (0, 1, 8), (0, 0xF1, 5), (1, 7, 8, 62, 63, 100, 4095, 4096, 8000)
DIMENSIONS = (SIZES, FRAMES, tuple(MODES), LAYERS, BLOCK_SIZES, STMINS, (False, True))
ROWS = covering_pairs(*DIMENSIONS)


def row_id(row: tuple[object, ...]) -> str:
    size, frames, mode, layer, bs, stmin, padded = row
    return f"{layer}-{mode}-{frames}-bs{bs}-stmin{stmin:#04x}-{'padded' if padded else 'short'}-{size}"


def pass_on(sender: End, receiver: End, *sizes: int) -> None:
    """Send messages of these sizes one after the other; each comes out as it went in."""
    for size in sizes:
        sender.send(payload(size))
        assert receiver.recv() == payload(size)


def test_any_two_values_meet():
    seen = {(a, row[a], b, row[b]) for row in ROWS for a, b in combinations(range(len(row)), 2)}
    for a, b in combinations(range(len(DIMENSIONS)), 2):
        for x, y in product(DIMENSIONS[a], DIMENSIONS[b]):
            assert (a, x, b, y) in seen


@pytest.mark.kernel
@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_pairs_of_settings(row):
    size, frames, mode, layer, bs, stmin, padded = row
    ours, theirs = MODES[mode]
    setup = Setup(frames, bs, stmin, padded)
    with kernel_end(theirs, setup) as kernel, our_end(layer, ours, setup) as our:
        pass_on(our, kernel, size)
        pass_on(kernel, our, size)
        assert our.errors() == kernel.errors() == []


@pytest.mark.kernel
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frames", [CLASSIC, Frames(fd=True, tx_dl=64, brs=True)], ids=str)
def test_every_size_in_every_addressing_mode(mode, frames):
    ours, theirs = MODES[mode]
    setup = Setup(frames, bs=8)
    with kernel_end(theirs, setup) as kernel, our_end("SocketCanStack", ours, setup) as our:
        pass_on(our, kernel, *SIZES)
        pass_on(kernel, our, *SIZES)
        assert our.errors() == kernel.errors() == []


@pytest.mark.kernel
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("mode", MODES)
def test_an_empty_message_is_not_sent(layer, mode, bus):
    ours, theirs = MODES[mode]
    with kernel_end(theirs, Setup()) as kernel, our_end(layer, ours, Setup(), blocking_send=True) as our:
        with pytest.raises(OSError, match="refuses a message of 0 bytes") as caught:
            kernel.send(b"")
        assert caught.value.errno == errno.EINVAL
        our.send(b"")
        assert bus.quiet()
        pass_on(our, kernel, 1)
        pass_on(kernel, our, 1)
        assert our.errors() == kernel.errors() == []


@pytest.mark.kernel
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("frames", [CLASSIC, Frames(fd=True, tx_dl=64)], ids=str)
def test_both_directions_at_once(layer, frames):
    ours, theirs = MODES["Normal_11bits"]
    setup = Setup(frames, bs=4, stmin=0xF1)
    with kernel_end(theirs, setup) as kernel, our_end(layer, ours, setup) as our:
        for size in (8000, 100, 4095):
            kernel.send(payload(size))
            our.send(payload(size)[::-1])
            assert our.recv() == payload(size)
            assert kernel.recv() == payload(size)[::-1]
        assert our.errors() == kernel.errors() == []


@pytest.mark.kernel
@pytest.mark.parametrize("layer", LAYERS)
def test_a_message_comes_in_while_another_one_leaves_slowly(layer):
    """The other side waits for our Flow Control (N_Bs, 1 s) for less time than our one block takes."""
    ours, theirs = MODES["Normal_11bits"]
    setup = Setup(bs=0, stmin=20)
    with kernel_end(theirs, setup) as kernel, our_end(layer, ours, setup) as our:
        our.send(payload(600))
        kernel.send(payload(20))
        assert our.recv() == payload(20)
        assert our.layer.transmitting()
        assert kernel.recv() == payload(600)
        assert our.errors() == kernel.errors() == []
