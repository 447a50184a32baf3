"""Neither what is read of a log nor the work depends on the size of its blocks or on how many bytes come at once."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import struct
import tempfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from isotp import capture
from isotp.bulk._records import Record
from isotp.capture import _inflate, _recognise, _source
from isotp.capture._formats import blf as blf_room
from tests.capture.blf import blf, can_message, container
from tests.capture.logs import LOG, asc, numbers, packers, problems, read
from tests.capture.pcap import CAN, SLL, block, enhanced, frame, interface, pcap, section

LINES = b"".join(b"(%d.0) can0 123#0102030405060708\n" % k for k in range(2_000))
LONG = b" " * 70_000
CSV = b"timestamp,arbitration_id,extended,remote,error,dlc,data\n"
TRC = b";$FILEVERSION=1.1\n;$STARTTIME=43008.0\n"


class Dribbling(io.BytesIO):
    """A file that gives few bytes at a time, as a pipe may."""

    def __init__(self, log: bytes, *sizes: int) -> None:
        super().__init__(log)
        self._sizes = itertools.cycle(sizes)

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, next(self._sizes)))


def outcome(
    file: Any, **options: Any
) -> tuple[list[Record], int, list[tuple[int, int | None, str]], str | None]:
    frames, log = read(file, **options)
    return frames, log.problem_count, problems(log), log.compression


def damaged(packed: bytes, place: int) -> bytes:
    file = bytearray(packed)
    file[place] ^= 1
    return bytes(file)


def blf_with_damaged_containers() -> bytes:
    """A checksum is wrong, a container is cut short, and one has bytes behind what it holds."""
    first, second, third = (b"".join(can_message(n % 250) for n in range(k, k + 900)) for k in (0, 900, 1800))
    wrong = container(first)
    wrong = damaged(wrong, len(wrong) - 4 - len(wrong) % 4)
    short = container(second)
    short = short[: len(short) // 2]
    longer = bytearray(container(third) + b"something else")
    struct.pack_into("<L", longer, 8, len(longer))
    return blf(wrong, short, bytes(longer), container(can_message(1)))


def pcapng_with_long_blocks() -> bytes:
    """A long block of another kind, a long packet of another network, and a block whose length is damaged."""
    start = section("<") + interface("<", CAN, "can0") + interface("<", SLL, "any")
    packets = [enhanced("<", 0, k, frame(0x100 + k, b"\1")) for k in range(200)]
    other = enhanced("<", 1, 0, bytes(100_000))
    wrong = bytearray(packets[7])
    struct.pack_into("<I", wrong, 4, 0x2000_0000)
    return start + b"".join([*packets, block("<", 0xBAD, bytes(80_000)), other, bytes(wrong), *packets])


LOGS: dict[str, tuple[bytes, str | None]] = {
    "a long line of candump": (LINES + b"(1.0) can0 123#00" + LONG + b"\n" + LINES, None),
    "a long line at the end": (LINES + b"(1.0) can0 123#00" + LONG, None),
    "a long line of ASC": (asc("0.1 1 123 Rx d 1 00" + " " * 70_000, "0.2 1 123 Rx d 1 01"), None),
    "a long line of CSV": (CSV + b"1.0,0x123,0,0,0,1,AA==" + LONG + b"\n1.0,0x123,0,0,0,1,AA==\n", None),
    "a long line of TRC": (TRC + b";" + LONG + LONG + b"\r\n  1)  1.0  Rx  0123  1  00\r\n;\r" + LONG, None),
    "bad lines": (LINES + b"nonsense\n" * 3_000 + LINES, None),
    "damaged containers": (blf_with_damaged_containers(), None),
    "long blocks": (pcapng_with_long_blocks(), None),
    "pcap": (damaged(pcap("<", CAN, [frame(0x100, bytes(8))] * 3_000), 24 + 32 * 1_000 + 11), None),
    **{f"a damaged end of {name}": (damaged(pack(LOG), -6), None) for name, pack in packers().items()},
    **{f"{name} that is cut": (pack(LOG)[:-3_000], None) for name, pack in packers().items()},
    **{f"bytes behind {name}": (pack(LOG) + b"other", None) for name, pack in packers().items()},
    "a packed CSV that is cut": (gzip.compress(CSV + b"1.0,0x123,0,0,0,1,AA==\n" * 9_000)[:-20], None),
}


@pytest.mark.parametrize("name", LOGS)
def test_the_same_however_it_comes(name: str) -> None:
    file, log_format = LOGS[name]
    expected = outcome(file, format=log_format)
    for size in (4096, 10_000, 65_536):
        assert outcome(file, format=log_format, block_size=size) == expected
        assert outcome(file, format=log_format, block_size=size, threads=2) == expected
    assert outcome(Dribbling(file, 1, 700, 5_000), format=log_format, block_size=4096) == expected
    assert expected[1] > 0
    assert len(expected[2]) == min(expected[1], 1_000)


@pytest.mark.parametrize(
    "name", [name for name in LOGS if "gz" in name or "packed" in name or "damaged" in name]
)
def test_the_same_with_zlib_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """isal is faster where it is installed, and says less of damaged data; a pipe cannot be read again for it."""
    file, log_format = LOGS[name]
    expected = outcome(file, format=log_format)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    def assert_expected(log: Any) -> None:
        """Where deflated data are cut, the library decides whether their last byte comes out."""
        frames, count, problems, found = outcome(log, format=log_format)
        last = 1 if "that is cut" in name else 0
        assert (frames, count, found) == (expected[0], expected[1], expected[3])
        for problem, told in zip(problems, expected[2], strict=True):
            assert problem[1:] == told[1:]
            assert abs(problem[0] - told[0]) <= last

    assert_expected(Pipe(file))
    behind = io.BytesIO(b"something else" + file)
    behind.seek(14)
    assert_expected(behind)
    monkeypatch.setattr(_inflate, "isal", None)
    assert_expected(file)


def test_long_lines_are_told() -> None:
    found, count, told, _ = outcome(LOGS["a long line of candump"][0])
    assert (len(found), count) == (4_000, 1)
    assert told == [(len(LINES), 2_001, "a line is longer than 64 KiB")]


def test_the_first_thousand_problems() -> None:
    _, count, told, _ = outcome(LOGS["bad lines"][0])
    assert count == 3_000
    assert [line for _, line, _ in told] == list(range(2_001, 3_001))


# zstd has larger blocks, of which nothing is known when one is damaged. zlib gives all but a byte.
@pytest.mark.parametrize(("name", "most"), [("gz", 1), ("bz2", 4096), ("xz", 4096)])
def test_little_is_lost_where_packed_data_is_damaged(name: str, most: int) -> None:
    """The place of the problem is where what is missing would begin."""
    found, _, told, compression = outcome(LOGS[f"a damaged end of {name}"][0])
    assert compression == name
    assert [f"the {name} data is damaged" in reason for _, _, reason in told] == [True]
    offset = told[0][0]
    assert len(LOG) - most <= offset <= len(LOG)
    assert len(found) == LOG[:offset].count(b"\n")


def test_damaged_containers() -> None:
    found, log = read(LOGS["damaged containers"][0])
    got = numbers(found)
    # The last one lacks a byte.
    assert got[:899] == [n % 250 for n in range(899)]
    assert got[-901:] == [n % 250 for n in range(1_800, 2_700)] + [1]
    told = [each.reason.partition(":")[0] for each in log.problems]
    # What a container is unpacked to before zlib sees that it is cut is no object, as a rule.
    assert [each for each in told if "unpacked objects" not in each] == [
        "a log container cannot be unpacked",
        "a log container cannot be unpacked",
        "the size of an object cannot be right",
        "no object where one should begin",
    ]


# --- what a log is ---


@pytest.mark.parametrize("sizes", [(1,), (3, 1), (100,)])
@pytest.mark.parametrize("name", packers())
def test_packed_logs_that_come_in_pieces(name: str, sizes: tuple[int, ...]) -> None:
    """The first read need not have the bytes by which it is known what packed them."""
    found, count, _, compression = outcome(Dribbling(packers()[name](LINES), *sizes))
    assert (len(found), count, compression) == (2_000, 0, name)


@pytest.mark.parametrize("size", [1, 10, 40, 100_000])
def test_the_first_line_tells_the_format(size: int) -> None:
    """However many bytes are there at first: others may be of another format."""
    trc, candump = b"  1)  1.0  Rx  0123  1  00\n", b"(1.0) can0 123#00\n"
    for file, expected in ((trc + candump, "trc"), (b"some text\n" + candump + trc, "candump")):
        source = _source.Source(Dribbling(file, size), lambda offset, reason: None)
        assert _recognise.format_of(source) == expected


@pytest.mark.parametrize("member", [b"1", b"1\n"])
def test_each_line_is_looked_at_once(monkeypatch: pytest.MonkeyPatch, member: bytes) -> None:
    """A log packed byte by byte is not looked at anew for each of them."""
    looked_at = []
    recognised = _recognise.recognised

    def recognise(beginning: bytes, start: int, end: int) -> str | None:
        looked_at.append(end - start)
        return recognised(beginning, start, end)

    monkeypatch.setattr(_recognise, "recognised", recognise)
    with pytest.raises(capture.UnknownFormatError):
        capture.open(io.BytesIO(gzip.compress(member) * 5_000))
    assert sum(looked_at) <= 5_000 * len(member)
    # Members that are in the file together are read together.
    assert len(looked_at) < 20


# --- no more work, memory or disk than a log is worth ---


def test_bytes_behind_what_a_container_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not given to the unpacker, which would keep all of them and copy them each time."""
    given = 0

    class Unpacker(_source.ZlibUnpacker):
        def decompress(self, data: bytes, max_length: int) -> bytes:
            nonlocal given
            given += len(data)
            return super().decompress(data, max_length)

    monkeypatch.setattr(blf_room, "ZlibUnpacker", Unpacker)
    payload = zlib.compress(can_message(1)) + bytes(3 << 20)
    head = struct.pack("<4sHHLLH6xL4x", b"LOBJ", 16, 1, 32 + len(payload), 10, 2, 48)
    found, log = read(blf(head + payload, container(can_message(2))))
    assert numbers(found) == [1, 2]
    assert log.problems == []
    assert given <= 2 * _source.STEP


def test_names_of_channels_are_bounded() -> None:
    """More of them are a problem of the log, in which they are."""
    many = section("<") + b"".join(
        (section("<") if k % 1000 == 0 else b"") + interface("<", CAN, f"bus {k}") for k in range(3_000)
    )
    packets = [enhanced("<", k, k, frame(0x100, b"\1")) for k in range(1_000)]
    file = many + b"".join(packets) + section("<") + interface("<", CAN, "bus 7") + packets[0]
    found, log = read(file)
    assert len(found) == 1
    assert log.problem_count == 1_000
    assert {each.reason for each in log.problems} == {"more than 256 names of channels"}
    assert len(log.channels.numbers) == 256


@pytest.mark.parametrize("file", [b"(1.0) more 123#00\n(1.0) bus 123#00\n", None])
def test_no_number_is_left_for_a_channel(file: bytes | None) -> None:
    """Other logs with the same table have them: it is a problem, and the channels that have one are read."""
    table = capture.Channels({"bus": 7})
    for k in range(65_536 - 1):
        table.number_of(f"x{k}")
    with pytest.raises(ValueError, match="no number is left"):
        table.number_of("more")
    if file is None:
        file = section("<") + interface("<", CAN, "more") + interface("<", CAN, "bus")
        file += b"".join(enhanced("<", k, 0, frame(0x123, b"\0")) for k in (0, 1))
    found, log = read(file, table=table)
    assert [each.channel for each in found] == [7]
    assert [each.reason for each in log.problems] == ["more than 256 names of channels"]


def test_a_number_for_a_channel_is_not_searched_for() -> None:
    class Counting(dict[int, str]):
        asked = 0

        def __contains__(self, key: object) -> bool:
            Counting.asked += 1
            return super().__contains__(key)

    table = capture.Channels()
    table._names = Counting()
    for k in range(2_000):
        assert table.number_of(f"bus{k:04}x") == 256 + k
    assert Counting.asked <= 2 * 2_000


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_packed_mf4_that_would_fill_the_disk(
    monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    pytest.importorskip("numpy", reason="MF4 is read with numpy")
    written = 0

    class File(io.BytesIO):
        def write(self, data: Any) -> int:
            nonlocal written
            written += len(data)
            return super().write(data)

    monkeypatch.setattr(tempfile, "TemporaryFile", File)
    file = pack(b"MDF     4.10    " + bytes(48 << 20))
    found, log = read(file)
    assert found == []
    assert [each.reason for each in log.problems] == ["MF4 is not unpacked to more than 256 times its size"]
    assert written <= 33 << 20


def test_xz_that_asks_for_memory() -> None:
    """The header of a file names the size of a dictionary: 3 GiB of them are not made on its word."""
    packed = bytearray(lzma.compress(b"(1.0) can0 123#00\n", format=lzma.FORMAT_XZ))
    size = 4 * (packed[12] + 1)  # of the header of the block, whose properties are a byte
    assert packed[14:16] == b"\x21\x01"
    packed[16] = 39
    packed[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(packed[12 : 12 + size - 4]))
    with pytest.raises(capture.UnknownFormatError, match=r"(?i)memory"):
        capture.open(io.BytesIO(bytes(packed)))
