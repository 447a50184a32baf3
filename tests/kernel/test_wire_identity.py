"""Our layers put on the bus what the kernel puts there, byte for byte; docs/kernel.md has the exceptions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

import isotp
from tests.kernel.ends import (
    CLASSIC,
    FD_LENGTHS,
    LAYERS,
    MODES,
    PAD,
    End,
    Frames,
    Setup,
    covering_pairs,
    kernel_end,
    make_room,
    our_end,
    payload,
)

pytestmark = pytest.mark.kernel

KERNEL = "kernel"
FRAMES = (CLASSIC, *(Frames(True, length, brs) for length in FD_LENGTHS for brs in (False, True)))
# More than any kernel takes, whatever its limit.
FAR_TOO_LONG = "7FFFFFFF"


@contextlib.contextmanager
def session(kind: str, mode: str, setup: Setup) -> Iterator[tuple[End, End]]:
    """Two ends of one kind, on the two sides of an address."""
    tester, ecu = MODES[mode]
    if kind == KERNEL:
        with kernel_end(tester, setup) as sender, kernel_end(ecu, setup) as receiver:
            yield sender, receiver
    else:
        with our_end(kind, tester, setup) as sender, our_end(kind, ecu, setup) as receiver:
            yield sender, receiver


def on_the_bus(bus, kind: str, mode: str, setup: Setup, sizes: list[int]) -> list[list[str]]:
    """The frames of both sides, in their order, for each size of a message."""
    exchanges = []
    with session(kind, mode, setup) as (sender, receiver):
        for size in sizes:
            sender.send(payload(size))
            assert receiver.recv() == payload(size)
            frames = []
            while not bus.quiet():
                frames.append(bus.recv())
            exchanges.append(frames)
        assert sender.errors() == receiver.errors() == []
    return exchanges


def edges(tx_dl: int) -> list[int]:
    """Sizes around those where the kind or length of a frame changes, and one with more CFs than SNs."""
    around = (size + step for size in (7, tx_dl, 2 * tx_dl) for step in range(-4, 3))
    return sorted({*around, 18 * tx_dl})


def row_id(row: tuple[object, ...]) -> str:
    frames, mode, layer, bs, stmin, padded = row
    return f"{layer}-{mode}-{frames}-bs{bs}-stmin{stmin:#04x}-{'padded' if padded else 'short'}"


@pytest.mark.parametrize(
    "row",
    covering_pairs(FRAMES, tuple(MODES), LAYERS, (0, 1, 3, 255), (0, 0xF9, 1), (False, True)),
    ids=row_id,
)
def test_the_same_frames(bus, row):
    frames, mode, layer, bs, stmin, padded = row
    setup = Setup(frames, bs, stmin, padded)
    make_room(bus.socket)
    sizes = edges(frames.tx_dl)
    assert on_the_bus(bus, layer, mode, setup, sizes) == on_the_bus(bus, KERNEL, mode, setup, sizes)


@pytest.mark.parametrize("frames", [CLASSIC, Frames(True, 12), Frames(True, 64, True)], ids=str)
@pytest.mark.parametrize("mode", ["Normal_29bits", "Mixed_11bits"])
def test_the_same_frames_of_long_messages(bus, frames, mode):
    """FF_DL changes its form above 4095."""
    make_room(bus.socket)
    setup = Setup(frames, bs=100)
    sizes = [4095, 4096, 8000]
    exchanges = on_the_bus(bus, "SocketCanStack", mode, setup, sizes)
    assert exchanges == on_the_bus(bus, KERNEL, mode, setup, sizes)
    assert sum(len(exchange) for exchange in exchanges) > 16191 // frames.tx_dl


@pytest.mark.parametrize("stmin", [0, 1, 0x2A, 0x7F, 0xF1, 0xF9])
@pytest.mark.parametrize("padded", [False, True], ids=["short", "padded"])
def test_the_same_flow_control(bus, stmin, padded):
    """Continue To Send, and Overflow in answer to a First Frame beyond any limit, with every field."""
    setup = Setup(bs=stmin ^ 0x55, stmin=stmin, padded=padded)
    ours, _ = MODES["Normal_11bits"]
    answers = []
    for end in (kernel_end(ours, setup), our_end("SocketCanStack", ours, setup)):
        with end:
            bus.send(f"123#1000{FAR_TOO_LONG}0001", "123#1014000102030405")
            answers.append([bus.recv(), bus.recv()])
    padding = f"{PAD:02X}" * 5 if padded else ""
    announced = f"{setup.bs:02X}{setup.stmin:02X}"
    assert answers == [[f"456#32{announced}{padding}", f"456#30{announced}{padding}"]] * 2


# -- where parameters allow a difference --


@pytest.mark.parametrize("tx_dl", FD_LENGTHS[1:])
def test_padding_of_short_can_fd_frames(bus, tx_dl):
    """The kernel pads CAN FD frames to at least 8 bytes; ours need tx_data_min_length=8 for that."""
    ours, _ = MODES["Normal_11bits"]
    setup = Setup(Frames(True, tx_dl), padded=True)
    seen = {}
    for name, end in {
        "kernel": kernel_end(ours, setup),
        "tx_padding": our_end("SocketCanStack", ours, setup, tx_data_min_length=None),
        "tx_padding and tx_data_min_length": our_end("SocketCanStack", ours, setup),
    }.items():
        with end as sender:
            sender.send(b"\1\2\3")
            single = bus.recv()
            bus.send(f"123##01{4 * tx_dl:03X}{'00' * (tx_dl - 2)}")
            seen[name] = single, bus.recv()
    assert seen == {
        "kernel": ("456##003010203A5A5A5A5", "456##0300000A5A5A5A5A5"),
        "tx_padding": ("456##003010203", "456##0300000"),
        "tx_padding and tx_data_min_length": ("456##003010203A5A5A5A5", "456##0300000A5A5A5A5A5"),
    }


def test_block_size_of_a_later_flow_control(bus):
    """We follow each Flow Control; the kernel the first, unless DYN_FC_PARMS (Linux 6.8) is set."""
    ours, _ = MODES["Normal_11bits"]
    frames = {}
    for name, end in {
        "kernel": kernel_end(ours, Setup()),
        "ours": our_end("SocketCanStack", ours, Setup()),
    }.items():
        with end as sender:
            sender.send(payload(34))
            blocks = [[bus.recv()]]
            for flow_control, count in (("123#300100", 1), ("123#300300", 1 if name == "kernel" else 3)):
                bus.send(flow_control)
                blocks.append([bus.recv()[:6] for _ in range(count)])
            frames[name] = [len(block) for block in blocks]
            if name == "kernel":
                # Each further block has one frame, as the first Flow Control said.
                assert bus.quiet()
                for expected in ("456#23", "456#24"):
                    bus.send("123#300300")
                    assert bus.recv()[:6] == expected
            assert bus.quiet()
            assert sender.errors() == []
    assert frames == {"kernel": [1, 1, 1], "ours": [1, 1, 3]}


def test_single_frame_to_a_functional_address(bus):
    """The kernel wants a socket of its own for that (SF_BROADCAST); with us it is an argument of send()."""
    address = isotp.Address(isotp.AddressingMode.NormalFixed_29bits, target_address=0x55, source_address=0xAA)
    with our_end("SocketCanStack", address, Setup(padded=True)) as end:
        end.layer.send(b"\x3e\x80", isotp.TargetAddressType.Functional)
        ours = bus.recv()
    functional = isotp.AsymmetricAddress(
        tx_addr=isotp.Address(isotp.AddressingMode.Normal_29bits, txid=0x18DB55AA, tx_only=True),
        rx_addr=isotp.Address(isotp.AddressingMode.Normal_29bits, rxid=0x18DAAA55, rx_only=True),
    )
    with isotp.socket() as broadcast:
        broadcast.set_opts(optflag=isotp.socket.flags.SF_BROADCAST, txpad=PAD)
        broadcast.bind("vcan0", functional)
        broadcast.send(b"\x3e\x80")
        assert bus.recv() == ours == "18DB55AA#023E80A5A5A5A5A5"


def test_neither_answers_while_it_only_listens(bus):
    ours, _ = MODES["Normal_11bits"]
    with isotp.socket(10.0) as kernel, our_end("SocketCanStack", ours, Setup(), listen_mode=True) as our:
        kernel.set_opts(optflag=kernel.flags.LISTEN_MODE)
        kernel.bind("vcan0", ours)
        bus.send("123#1014000102030405", "123#21060708090A0B0C", "123#220D0E0F10111213")
        assert kernel.recv() == our.recv() == bytes(range(20))
        assert bus.quiet()
        assert our.errors() == []
