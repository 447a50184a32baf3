"""A wrong length in a log swallows nothing without a word: what is lost is told, and reading goes on behind it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from isotp import capture
from tests.capture.blf import blf, blf_object, container
from tests.capture.logs import numbers, read
from tests.capture.pcap import CAN, block, enhanced, frame, interface, pcap, section

FRAMES = 400
WRONG = (
    *(0, 3, 16, 40, 52, 96, 100, 1_000, 4_800, 60_000, 70_000, 300_000),
    *(0x2000_0000, 0x3FFF_FFFC, 0xFFFF_FFFF),
)


class Log(NamedTuple):
    """A log of FRAMES frames, whose identifiers count from 0x100, and where it has lengths of 32 bits."""

    file: bytes
    lengths: dict[str, int]
    most_lost: int = 1


def ids_and_problems(file: bytes) -> tuple[list[int], list[capture.Problem], int]:
    found, log = read(file)
    return numbers(found), log.problems, log.problem_count


def packets(order: str = "<") -> list[bytes]:
    return [enhanced(order, 0, k, frame(0x100 + k, bytes([k & 0xFF] * 8))) for k in range(FRAMES)]


def pcapng() -> Log:
    start = section("<") + interface("<", CAN, "can0")
    statistics = block("<", 5, bytes(20))
    blocks = packets()
    blocks.insert(200, statistics)
    at = len(start) + 10 * len(blocks[0])
    other = len(start) + 200 * len(blocks[0])
    return Log(
        start + b"".join(blocks),
        {
            "packet": at + 4,
            "captured": at + 20,
            "at the end of a packet": at + len(blocks[0]) - 4,
            "last packet": len(start) + len(b"".join(blocks[:-1])) + 4,
            "block of another kind": other + 4,
            "end of a block of another kind": other + len(statistics) - 4,
        },
    )


def plain_pcap() -> Log:
    file = pcap("<", CAN, [frame(0x100 + k, bytes([k & 0xFF] * 8)) for k in range(FRAMES)])
    at = 24 + 10 * 32
    return Log(file, {"stored": at + 8, "sent": at + 12, "first": 24 + 8, "last": len(file) - 32 + 8})


def blf_objects() -> Iterator[bytes]:
    for k in range(FRAMES):
        if k == 200:
            yield blf_object(65, b"some text of 24 bytes...")
        yield blf_object(1, struct.pack("<HBBL8s", 1, 0, 8, 0x100 + k, bytes([k & 0xFF] * 8)), k)


def with_object_size(place: int) -> Log:
    """Not packed, so that the bytes are found."""
    objects = list(blf_objects())
    before = 144 + 32 + len(b"".join(objects[:place]))
    return Log(blf(container(b"".join(objects), 0)), {f"object {place}": before + 8})


def blf_file() -> Log:
    """Ten containers of packed objects, and an object of another kind between them."""
    objects = list(blf_objects())
    containers = [container(b"".join(objects[k : k + 41])) for k in range(0, len(objects), 41)]
    other = struct.pack("<4sHHLL16x", b"LOBJ", 16, 1, 32, 115)
    containers.insert(5, other)
    at = 144 + sum(map(len, containers[:5]))
    first = 144 + len(containers[0])
    return Log(
        blf(*containers),
        {"object of another kind": at + 8, "container": first + 8, "header": 4, "unpacked": first + 24},
        # The deflated data have an end of their own.
        most_lost=0,
    )


def blf_file_of_plain_containers() -> Log:
    objects = list(blf_objects())
    containers = [container(b"".join(objects[k : k + 41]), 0) for k in range(0, len(objects), 41)]
    first = 144 + len(containers[0])
    return Log(blf(*containers), {"container": first + 8, "unpacked": first + 24}, most_lost=41)


LOGS = {
    "pcapng": pcapng(),
    "pcap": plain_pcap(),
    "object with a frame": with_object_size(10),
    "object of another kind": with_object_size(200),
    "last object": with_object_size(FRAMES),
    "blf": blf_file(),
    "plain blf": blf_file_of_plain_containers(),
}


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(("name", "place"), [(name, place) for name in LOGS for place in LOGS[name].lengths])
def test_a_wrong_length(name: str, place: str, value: int) -> None:
    log = LOGS[name]
    assert ids_and_problems(log.file) == (list(range(FRAMES)), [], 0)
    file = bytearray(log.file)
    struct.pack_into("<I", file, log.lengths[place], value)
    found, problems, count = ids_and_problems(bytes(file))
    assert found == sorted(set(found) & set(range(FRAMES))), "frames that were not there"
    lost = FRAMES - len(found)
    assert lost <= log.most_lost
    assert count > 0 or lost == 0
    assert len(problems) == count
