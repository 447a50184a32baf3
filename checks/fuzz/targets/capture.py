"""Any bytes as a log in a format that is recognised or claimed, packed or not, longer than a block or not, and decoded
into messages.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable

import isotp
from checks.fuzz.choices import Choices
from checks.fuzz.targets.logs import read_log
from isotp import capture

FORMATS = (
    None,
    "asc",
    "blf",
    "candump",
    "csv",
    "pcap",
    "pcapng",
    "trc",
    "mf4",
    "gvret",
    "crtd",
    "busmaster",
    "carbus",
    "vspy",
)
PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    bytes,
    bytes,
    gzip.compress,
    bz2.compress,
    lzma.compress,
)
ADDRESSES = [
    isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x123, rxid=0x456),
    isotp.Address(isotp.AddressingMode.NormalFixed_29bits, target_address=0x12, source_address=0x34),
]


# How often the log comes, and bytes that one of it becomes: an input is shorter than a block, and than a long line.
REPEATS = (1, 1, 1, 4, 70)
STRETCHES = (0, 0, 0, 5_000, 70_000)
LONGEST = 100_000


def one_input(data: bytes) -> None:
    choices = Choices(data)
    log_format = choices.pick(FORMATS)
    pack = choices.pick(PACKERS)
    place = choices.byte()
    damage = choices.byte()
    repeats = REPEATS[choices.byte() % len(REPEATS)]
    stretch = STRETCHES[choices.byte() % len(STRETCHES)]
    stretched = choices.byte()
    sizes = choices.block(3)
    log = choices.rest()
    log = (log[:stretched] + log[stretched : stretched + 1] * stretch + log[stretched:]) * repeats
    log = log[:LONGEST]
    file = bytearray(pack(log))
    if pack is not bytes and damage and file:
        file[place * len(file) >> 8] ^= damage
    read_log(bytes(file), log_format, sizes=sizes)
    if log_format is None:
        decode(bytes(file))


def decode(file: bytes) -> None:
    try:
        with capture.decode(io.BytesIO(file), ADDRESSES, block_size=4096) as decoding:
            for messages in decoding:
                assert all(len(message.payload) <= message.length for message in messages)
    except capture.UnknownFormatError:
        return
