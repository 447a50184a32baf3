"""Small logs of each format, cut at every byte and with each bit flipped: no exception, and nothing lost in silence.

A frame that is missing is covered: by a problem of the log, or by what was counted beside frames (a flipped bit can
make another kind of line or object of it).
"""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Callable

import pytest

from isotp import capture
from tests.capture.blf import blf, blf_object, can_message, container
from tests.capture.logs import problems, read, text_logs
from tests.capture.mf4 import mf4
from tests.capture.pcap import CAN, enhanced, frame, interface, option, pcap, section

FRAMES = 6


def binary_logs() -> dict[str, bytes]:
    packets = [frame(0x100 + k, bytes([k, 0xA5])) for k in range(FRAMES)]
    blocks = [enhanced("<", 0, k, each) for k, each in enumerate(packets)]
    start = section("<") + interface("<", CAN, "can0", option("<", 9, b"\x09"))
    objects = [can_message(k) for k in range(FRAMES)]
    objects.insert(3, blf_object(65, b"some text"))
    return {
        "pcap": pcap("<", CAN, packets),
        "pcapng": start + b"".join(blocks),
        "blf": blf(container(b"".join(objects[:4])), container(b"".join(objects[4:]))),
        "plain blf": blf(container(b"".join(objects[:4]), 0), container(b"".join(objects[4:]), 0)),
        "mf4": mf4(FRAMES),
        "candump.gz": gzip.compress(text_logs(FRAMES)["candump"], mtime=0),
    }


LOGS = text_logs(FRAMES) | binary_logs()


def outcome(file: bytes, log_format: str) -> tuple[int, int, Counter[str]]:
    """How many frames and problems, and what there is beside frames."""
    found, log = read(file, format=log_format)
    assert log.problem_count == len(log.problems)
    return len(found), log.problem_count, Counter(log.others)


def format_of(name: str) -> str:
    kinds = [word for word in name.replace(".", " ").split() if word in capture.FORMATS]
    return kinds[0]


def needed(name: str) -> None:
    if name == "mf4":
        pytest.importorskip("numpy", reason="MF4 is read with numpy")


@pytest.mark.parametrize("name", LOGS)
def test_whole(name: str) -> None:
    needed(name)
    found, told, _ = outcome(LOGS[name], format_of(name))
    assert (found, told) == (FRAMES, 0)


class OneByOne(io.BytesIO):
    """A file that gives a byte at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1)


@pytest.mark.parametrize("name", LOGS)
def test_the_same_byte_by_byte(name: str) -> None:
    """Whole, and with bits flipped here and there."""
    needed(name)
    file, log_format = LOGS[name], format_of(name)
    for changed in (file, *(flipped(file, place) for place in range(0, 8 * len(file), 97))):
        expected, at_once = read(changed, format=log_format)
        found, log = read(OneByOne(changed), format=log_format, block_size=4096)
        assert found == expected
        assert problems(log) == problems(at_once)
        assert log.others == at_once.others


def silent(file: bytes, log_format: str, changed: Callable[[bytes, int], bytes], places: int) -> list[int]:
    """Places at which a change loses frames without a word."""
    _, _, usual = outcome(file, log_format)
    bad = []
    for place in range(places):
        found, told, others = outcome(changed(file, place), log_format)
        if found < FRAMES and told == 0 and not others - usual:
            bad.append(place)
    return bad


def flipped(file: bytes, place: int) -> bytes:
    changed = bytearray(file)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


@pytest.mark.parametrize("name", LOGS)
def test_each_bit_flipped(name: str) -> None:
    needed(name)
    file = LOGS[name]
    assert silent(file, format_of(name), flipped, 8 * len(file)) == []


def boundaries(file: bytes, log_format: str) -> set[int]:
    """Where a log may as well have ended, which nobody sees: behind a line, a packet, a block, before padding."""
    if log_format == "pcap":
        return {0, *range(24, len(file), 32)}
    if log_format == "pcapng":
        places, place = set(), 0
        while place < len(file):
            places.add(place)
            place += int.from_bytes(file[place + 4 : place + 8], "little")
        return places
    if log_format == "blf":
        end = 144 + int.from_bytes(file[152:156], "little")
        return {144, *range(end, file.index(b"LOBJ", end) + 1)}
    if log_format == "mf4":
        return set()
    return {0, *(place + 1 for place, byte in enumerate(file) if byte in b"\r\n")}


@pytest.mark.parametrize("name", LOGS)
def test_cut_at_each_byte(name: str) -> None:
    needed(name)
    file, log_format = LOGS[name], format_of(name)
    bad = silent(file, log_format, lambda whole, place: whole[:place], len(file))
    assert set(bad) <= ({0} if name.endswith(".gz") else boundaries(file, log_format))
