"""Logs in a tiny notation, and the sessions that the tests of this folder find in them."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from isotp import Address, AddressingMode, Messages, Reassembler, Records
from tests.frames import MS, SECOND, octets

T = TypeVar("T")

# Records of both layouts: time, CAN ID, length, flags, channel, data.
CLASSIC, FD = struct.Struct("<qIBBH8s"), struct.Struct("<qIBBH64s")

TESTER = Address(AddressingMode.Normal_11bits, txid=0x7E0, rxid=0x7E8)
OTHER = Address(AddressingMode.Normal_11bits, txid=0x7E1, rxid=0x7E9)
FIXED = Address(AddressingMode.NormalFixed_29bits, target_address=0x10, source_address=0xF1)
# One of each mode, and two that share their IDs.
ADDRESSES = (
    Address(AddressingMode.Normal_11bits, txid=0x7E0, rxid=0x7E8),
    Address(AddressingMode.Normal_29bits, txid=0x7E0, rxid=0x7E8),
    Address(AddressingMode.NormalFixed_29bits, target_address=0x33, source_address=0xF1),
    Address(AddressingMode.Extended_11bits, txid=0x600, rxid=0x601, target_address=1, source_address=2),
    Address(AddressingMode.Extended_11bits, txid=0x600, rxid=0x601, target_address=3, source_address=4),
    Address(AddressingMode.Mixed_11bits, txid=0x700, rxid=0x701, address_extension=0x99),
    Address(AddressingMode.Mixed_29bits, target_address=0x33, source_address=0xF1, address_extension=0x55),
)


def fed_at_once(feed: Callable[[], T]) -> tuple[list[T], set[str]]:
    """What `feed` returns to three threads, of which each calls it five times, and what it tells those it refuses."""
    fed: list[T] = []
    refused: list[str] = []

    def feed_often() -> None:
        for _ in range(5):
            try:
                fed.append(feed())
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=feed_often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fed) + len(refused) == 15
    return fed, set(refused)


def log(*frames: str, layout: str = "classic", start: int = 0, step: int = MS) -> Records:
    """Records of ``"7E0#02 3E 00"`` (``"1:7E0#..."`` on channel 1), one a millisecond; ``"@5"`` waits 5 s."""
    records = Records(layout)
    now = start
    for text in frames:
        if text.startswith("@"):
            now += int(float(text[1:]) * SECOND)
            continue
        channel, _, rest = text.rpartition(":")
        head, _, data = rest.partition("#")
        can_id = int(head, 16) | (0x80000000 if len(head) == 8 else 0)
        records.append(now, can_id, octets(data), channel=int(channel or 0))
        now += step
    return records


def decoded(*frames: str, addresses: Iterable[Any] = (TESTER,), **options: Any) -> Messages:
    """All messages of a log, with what is open at its end."""
    reassembler = Reassembler(addresses, **options)
    return reassembler.feed(log(*frames)) + reassembler.flush()
