"""One log on several cores: frames, problems and counts are those of one core, whatever the log holds."""

from __future__ import annotations

import gzip
import io
import random
import signal
import struct
import threading
import zlib
from typing import Any

import pytest

import isotp
from isotp import capture
from isotp.bulk._records import Record
from isotp.capture import _blocked_gz, _parsing
from isotp.capture._formats import blf_ahead
from isotp.capture._parsers import BlfParser, CandumpParser, TrcParser
from isotp.capture._source import Source
from tests.capture.blf import blf, blf_object, can_message, container
from tests.capture.logs import LOG, asc, problems, read, text_logs
from tests.processes import python

BLOCK = 4096


class Pipe(io.BytesIO):
    """A file whose beginning does not come again: nothing of it is read ahead."""

    def seekable(self) -> bool:
        return False


def outcome(file: bytes | Pipe, **options: Any) -> tuple[object, ...]:
    frames, log = read(file, **options)
    return frames, log.problem_count, problems(log), log.others, log.left_out, log.channels.numbers


def same(file: bytes, **options: Any) -> list[Record]:
    """What is read of a pipe, and of a file by one core and by others, too."""
    # Another library unpacks a pipe, which may find a cut a byte earlier.
    is_packed = file.startswith(b"\x1f\x8b")
    expected = outcome(file if is_packed else Pipe(file), block_size=BLOCK, **options)
    for threads in (1, 2, 3):
        assert outcome(file, block_size=BLOCK, threads=threads, **options) == expected
    return read(file, **options)[0]


def format_of(name: str) -> str:
    return next(word for word in name.replace(".", " ").split() if word in capture.FORMATS)


# Some blocks of each.
TEXTS = text_logs(1_000)


@pytest.mark.parametrize("name", TEXTS)
def test_each_border_of_a_block(name: str) -> None:
    """The lines are moved byte by byte, so that each of their bytes is the last one of a block once."""
    file, end = TEXTS[name], b"\r" if name == "carbus" else b"\n"
    head, _, rest = file.partition(end)
    assert len(same(file, format=format_of(name))) == 1_000
    for shift in range(1, max(map(len, rest.split(end))) + 2):
        # White space at the end of the first line, whatever it says.
        same(head + b" " * shift + end + rest, format=format_of(name))


@pytest.mark.parametrize("name", TEXTS)
def test_damaged_text(name: str) -> None:
    dice = random.Random(name)
    for _ in range(25):
        file = bytearray(TEXTS[name])
        for _ in range(dice.choice([1, 5, 50])):
            place = dice.randrange(len(file))
            change = dice.choice([b"\n", b"\r\n", b"\0", b"x", bytes(5), b" " * 70_000, file[:300], b""])
            file[place : place + dice.randrange(3)] = change
        same(
            bytes(file[: dice.randrange(len(file))] if dice.random() < 0.3 else file), format=format_of(name)
        )


def test_what_changes_within_a_log() -> None:
    """Names of channels, headers, a date, the first frame of CAN FD: the lines behind them are read by them."""
    line = b"(%d.000000) can%d 123#%02X\n"
    names = b"".join(line % (k, k // 300 % 40 + 250, k % 256) for k in range(9_000))
    assert {each.channel for each in same(names)} == {*range(250, 280)}
    same(names, channels=["can251", "can278"])
    fd = b"".join(line % (k, 0, 1) for k in range(900)) + b"(900.0) can0 123##1" + b"00" * 12 + b"\n"
    assert len(same(fd + names)) == 9_901
    decimal = "base dec  timestamps absolute"
    parts = [f"{k}.5 1 {100 + k % 7} Rx d 1 {10 + k % 80}" for k in range(1_000)]
    same(asc(*parts, decimal, *parts, "base hex timestamps relative", *parts, decimal, *parts))
    hours = b"".join(
        b" (2016-01-01 %02d:34:00.000000)  can0  123   [1]  %02X\n" % (k // 300, k % 256)
        for k in range(6_000)
    )
    assert len(same(hours, format="candump")) == 6_000
    waits = b"".join(b" (000.%06d)  can0  123   [1]  00\n" % (k % 900) for k in range(2_000))
    same(names + waits + names, format="candump")


def test_more_problems_than_are_kept() -> None:
    file = LOG[:60_000] + b"nonsense\n" * 700 + LOG[:60_000] + b"(1.0) can0 zzz#\n" * 700 + LOG[:60_000]
    _, log = read(file, threads=2, block_size=BLOCK)
    assert (log.problem_count, len(log.problems)) == (1_400, 1_000)
    same(file)


@pytest.mark.parametrize("pack", [gzip.compress, lambda log: gzip.compress(log)[:-3_000]])
def test_packed_text(pack: Any) -> None:
    same(pack(LOG))


def blocked(log: bytes, size: int) -> bytes:
    """As bgzip packs it: the last member is empty."""
    members = []
    for place in range(0, len(log) + size, size):
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        data = log[place : place + size]
        deflated = packer.compress(data) + packer.flush()
        head = b"\x1f\x8b\x08\x04" + bytes(6) + struct.pack("<H2sHH", 6, b"BC", 2, len(deflated) + 25)
        members.append(head + deflated + struct.pack("<LL", zlib.crc32(data), len(data)))
    return b"".join(members)


@pytest.mark.parametrize("size", [900, 65_280])
def test_blocked_gzip(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, cut, damaged, with other members and other bytes behind."""
    monkeypatch.setattr(_blocked_gz, "PIECE", 5_000)
    monkeypatch.setattr(_blocked_gz, "READ", 3_000)
    packed = blocked(LOG[:200_000], size)
    assert gzip.decompress(packed) == LOG[:200_000]
    assert len(same(packed)) == len(read(LOG[:200_000])[0])
    for more in (gzip.compress(LOG[:9_000]), bytes(700), b"something else", packed[:50]):
        same(packed + more)
    dice = random.Random(size)
    for _ in range(40):
        file = bytearray(packed)
        place = dice.randrange(40, len(file))
        file[place : place + dice.randrange(3)] = dice.choice([b"", b"\0", b"\xff" * 3, packed[:20]])
        same(bytes(file[: dice.randrange(40, len(file))] if dice.random() < 0.5 else file), format="candump")


def test_blocked_gzip_is_unpacked_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    place = 0

    def again(self: Any, to: int) -> bytes:
        nonlocal place
        place = to
        return unpatched(self, to)

    unpatched = Source._again
    monkeypatch.setattr(Source, "_again", again)
    packed = blocked(LOG, 9_000)
    same(packed)
    # All but the last, empty member.
    assert place == len(packed) - 28


def objects_of(count: int) -> bytes:
    """Frames of several kinds, and other objects between them."""
    dice = random.Random(count)
    made = []
    for number in range(count):
        made.append(can_message(number % 200))
        if dice.random() < 0.05:
            # What looks like an object in data, and objects that are no frames.
            made.append(blf_object(dice.choice([65, 1]), b"\1\0\0\x08\0\1\0\0LOBJ    "))
    return b"".join(made)


def cut_at(objects: bytes, size: int) -> list[bytes]:
    return [objects[k : k + size] for k in range(0, len(objects), size)]


@pytest.mark.parametrize("size", [700, 1_000, 4_096, 9_999])
def test_containers_cut_anywhere(size: int) -> None:
    """As their writers do: objects go on in the next container."""
    objects = objects_of(800)
    for shift in range(0, 48, 5):
        pieces = [objects[:shift], *cut_at(objects[shift:], size)]
        assert len(same(blf(*(container(piece) for piece in pieces if piece)))) > 800


def test_damaged_containers() -> None:
    objects = objects_of(600)
    whole = blf(*(container(piece) for piece in cut_at(objects, 2_500)))
    dice = random.Random(8)
    for _ in range(150):
        file = bytearray(whole)
        for _ in range(dice.choice([1, 1, 3, 20])):
            place = dice.randrange(len(file))
            change = dice.choice([b"", b"\0", b"\xff", bytes(5), bytes(40), b"LOBJ", file[144:1_000]])
            file[place : place + dice.randrange(6)] = change
        same(bytes(file[: dice.randrange(len(file))] if dice.random() < 0.3 else file), format="blf")


def test_containers_that_are_not_sound_among_others() -> None:
    sound = [container(piece) for piece in cut_at(objects_of(400), 1_000)]
    plain = [container(can_message(k), 0) for k in range(20)]
    wrong = bytearray(sound[3])
    wrong[-8] ^= 1
    file = blf(
        *sound,
        *plain,
        bytes(wrong),
        *sound,
        blf_object(65, b"text"),
        *sound,
        bytes(wrong),
        bytes(900),
        *sound,
    )
    assert len(same(file)) > 1_600
    same(file, channels=[1])


BLF = blf(*(container(piece) for piece in cut_at(objects_of(4_000), 3_000)))


def test_nearly_all_is_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block of text is not, and of containers only the end of an object from the one before."""
    here = 0

    def counting(room: Any) -> None:
        parse = room._parse

        def count(self: Any, given: Any, *more: Any) -> Any:
            nonlocal here
            here += len(given) if isinstance(given, bytes) else len(given.head) + given.end - given.begin
            return parse(self, given, *more)

        monkeypatch.setattr(room, "_parse", count)

    counting(_parsing.TextReader)
    same(LOG)
    assert here <= 2 * 2 * BLOCK
    here = 0
    counting(blf_ahead.ContainersAhead)
    same(BLF)
    assert here <= 2 * 48 * 200


class Failing(io.BytesIO):
    """A file that cannot be read to its end."""

    def __init__(self, log: bytes, after: int, error: BaseException) -> None:
        super().__init__(log)
        self._after, self._error = after, error

    def read(self, size: int | None = -1) -> bytes:
        self._after -= 1
        if self._after < 0:
            raise self._error
        return super().read(size)


def threads_now() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("isotp-capture")]


@pytest.mark.parametrize("file", [LOG, BLF], ids=["candump", "blf"])
def test_what_comes_before_an_error_is_read(file: bytes) -> None:
    def until_error(threads: int) -> list[Record]:
        found: list[Record] = []
        failing = Failing(file, 9, OSError("the disk is gone"))
        log = capture.open(failing, threads=threads, block_size=BLOCK)
        with pytest.raises(OSError, match="the disk is gone"):
            found.extend(record for records in log for record in records)
        return found

    expected = until_error(1)
    assert len(expected) > 100
    assert until_error(2)[: len(expected)] == expected
    assert threads_now() == []


@pytest.mark.parametrize("file", [LOG, BLF], ids=["candump", "blf"])
def test_who_stops_early_leaves_no_thread(file: bytes) -> None:
    with capture.open(io.BytesIO(file), threads=3, block_size=BLOCK) as log:
        assert len(next(iter(log))) > 0
    assert threads_now() == []
    assert list(log) == []


def test_who_stops_decoding_leaves_no_thread() -> None:
    tester = isotp.Address(txid=0x123, rxid=0x124)
    with capture.decode(io.BytesIO(LOG), [tester], threads=3, block_size=BLOCK) as decoding:
        next(iter(decoding))
    assert threads_now() == []


@pytest.mark.parametrize("file", [LOG, BLF], ids=["candump", "blf"])
def test_ctrl_c_ends_the_reading_and_its_threads(file: bytes) -> None:
    class Interrupting(Failing):
        def read(self, size: int | None = -1) -> bytes:
            if self._after == 0:
                signal.raise_signal(signal.SIGINT)
            return super().read(size)

    log = capture.open(Interrupting(file, 9, AssertionError("read on")), threads=2, block_size=BLOCK)
    with pytest.raises(KeyboardInterrupt):
        list(log)
    assert threads_now() == []


def test_a_process_may_end_in_the_middle_of_a_log(tmp_path: Any) -> None:
    path = tmp_path / "drive.log"
    path.write_bytes(LOG)
    code = (
        "from isotp import capture; import sys; log = capture.open(sys.argv[1], threads=2, block_size=4096)"
    )
    run = python("-c", f"{code}; print(len(next(iter(log))) > 0)", str(path))
    assert (run.returncode, run.stdout, run.stderr) == (0, "True\n", "")


def test_an_error_of_another_thread_is_raised_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_twin(*_: object) -> None:
        raise MemoryError("no memory for more than 1 records")

    monkeypatch.setattr(_parsing.TextReader, "_by_twin", by_twin)
    found: list[Record] = []
    log = capture.open(io.BytesIO(LOG), threads=2, block_size=BLOCK)
    with pytest.raises(MemoryError, match="more than 1 records"):
        found.extend(record for records in log for record in records)
    assert found == read(LOG)[0][: len(found)] != []
    assert threads_now() == []


def test_a_pipe_is_not_read_ahead() -> None:
    """Its frames are given before it is read on, so that those of a live bus are seen at once."""

    class Dribbling(Pipe):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            return super().read(50)

    pipe = Dribbling(LOG)
    with capture.open(pipe, threads=4) as log:
        frames = iter(log)
        next(frames)
        before = pipe.reads
        next(frames)
        assert pipe.reads - before <= 2
    assert threads_now() == []


def test_messages_of_one_file_and_of_several() -> None:
    """The threads are for the blocks of one file, or for the files."""
    tester = isotp.Address(txid=0x7E0, rxid=0x7E8)
    records = isotp.encode([bytes(k % 256 for k in range(n)) for n in range(1, 900)], tester)
    text = b"".join(
        b"(%d.%06d) can0 %03X#%s\n"
        % (each.timestamp // 10**9, each.timestamp // 1000 % 10**6, each.can_id, each.data.hex().encode())
        for each in records
    )
    half = text.index(b"\n", len(text) // 2) + 1

    def messages(parts: Any, threads: int) -> isotp.Messages:
        with capture.decode(parts, [tester], threads=threads, block_size=BLOCK) as decoding:
            return decoding.table()

    expected = messages(io.BytesIO(text), 1)
    assert len(expected) == 899
    assert messages(io.BytesIO(text), 2) == expected
    for threads in (2, 4):
        assert messages([io.BytesIO(text[:half]), io.BytesIO(text[half:])], threads) == expected


def test_threads_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="threads must be 1 or more, not 0"):
        capture.open(io.BytesIO(LOG), threads=0)


def test_a_twin_takes_nothing_else() -> None:
    """Its methods are for the readers of the formats; whoever calls them with something else gets an exception."""
    twin = CandumpParser(lambda name: 0, lambda hour: 0)
    with pytest.raises(ValueError, match="no state of a parser"):
        twin.read_ahead((bytes(100_000), bytes(14), 0, False, False), b"", b"", 0, 0, 1)
    with pytest.raises(ValueError, match="bytes from 0 to 9 of 0"):
        twin.read_ahead((b"", bytes(14), 0, False, False), b"", b"", 0, 9, 1)
    with pytest.raises(ValueError, match="no state of a parser of TRC"):
        TrcParser(lambda name: 0).read_ahead((0, 11, True, 0, b"", False), b"", b"", 0, 0, 1)
    blf_twin = BlfParser(lambda name: 0, 0)
    for contents, begin in (([], 0), ([b""] * 1_000, 0), ([b"LOBJ"], 5)):
        with pytest.raises(ValueError, match=r"containers|an object at byte 5 of 4"):
            blf_twin.read_ahead(contents, begin, False)
    with pytest.raises(TypeError, match="what a container holds is bytes, not None"):
        blf_twin.read_ahead([None], 0, False)  # type: ignore[list-item]
