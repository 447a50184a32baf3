"""`Reassembler.feed()` with any records, of both layouts: the same messages however they are cut."""

from __future__ import annotations

import isotp
from checks.fuzz.choices import Choices
from isotp import Messages, Reassembler

SIZES = {"classic": 24, "fd": 80}
MODE = isotp.AddressingMode
ADDRESSES = (
    isotp.Address(MODE.Normal_11bits, txid=0x123, rxid=0x456),
    isotp.Address(MODE.Normal_29bits, txid=0x123, rxid=0x456),
    isotp.Address(MODE.NormalFixed_29bits, target_address=0x12, source_address=0x34),
    isotp.Address(MODE.Extended_11bits, txid=0x200, rxid=0x201, target_address=0x12, source_address=0x34),
    isotp.Address(MODE.Mixed_11bits, txid=0x300, rxid=0x301, address_extension=0x55),
    isotp.Address(MODE.Mixed_11bits, txid=0x300, rxid=0x301, address_extension=0x56),
    isotp.Address(MODE.Normal_11bits, rxid=0x500, rx_only=True),
    isotp.AsymmetricAddress(
        isotp.Address(MODE.Normal_11bits, txid=0x600, tx_only=True),
        isotp.Address(MODE.Extended_11bits, rxid=0x601, source_address=0x77, rx_only=True),
    ),
)
IDS = (0x123, 0x456, 0x80000123, 0x98DA1234, 0x98DA3412, 0x200, 0x201, 0x300, 0x301, 0x500, 0x600, 0x601)


def frames(choices: Choices, size: int) -> bytes:
    """Records with an ID that is heard, a time that goes on and a length that there is, unless told otherwise."""
    made = bytearray()
    time = 0
    while choices.left:
        what = choices.byte()
        if what == 0xFF:
            made += choices.block(size).ljust(size, b"\0")
            continue
        time += choices.byte() * 10_000_000
        data = choices.block(what >> 4 if what < 0xE0 else size - 16)[: size - 16]
        made += time.to_bytes(8, "little") + IDS[what % len(IDS)].to_bytes(4, "little")
        made += bytes([len(data), 0, 0, 0]) + data.ljust(size - 16, b"\0")
    return bytes(made)


def reassembler(choices: Choices) -> Reassembler:
    chosen = choices.number(1) or 0xFF
    on_one_channel = choices.byte()
    return Reassembler(
        [
            (address, 0) if on_one_channel >> k & 1 else address
            for k, address in enumerate(ADDRESSES)
            if chosen >> k & 1
        ],
        rx_consecutive_frame_timeout=choices.number(2),
        max_frame_size=choices.number(4) if choices.flag() else None,
    )


def check(messages: Messages) -> None:
    offsets = messages.column("offsets")
    assert offsets[0] == 0
    assert offsets[len(messages)] == len(messages.data)
    for message in messages:
        assert len(message.payload) <= message.length


def one_input(data: bytes) -> None:
    choices = Choices(data)
    first = choices.pick(("classic", "fd"))
    cut = choices.byte()
    settings = choices.block(12)
    logs = [(first, frames(Choices(choices.block(choices.left // 2)), SIZES[first]))]
    other = "fd" if first == "classic" else "classic"
    logs.append((other, frames(choices, SIZES[other])))
    whole, pieces = reassembler(Choices(settings)), reassembler(Choices(settings))
    expected, found = [], []
    for layout, log in logs:
        expected.append(whole.feed(log, layout))
        cut_at = min(cut * SIZES[layout], len(log))
        found += [pieces.feed(log[:cut_at], layout), pieces.feed(log[cut_at:], layout)]
    expected.append(whole.flush())
    found.append(pieces.flush())
    for table in (*expected, *found):
        check(table)
    assert Messages.concat(expected) == Messages.concat(found), "the messages depend on the pieces"
    assert whole.statistics() == pieces.statistics()
    payload = sum(len(table.data) for table in expected)
    assert payload <= sum(len(log) for _, log in logs), "more bytes came out than in"
