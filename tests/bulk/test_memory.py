"""The memory of tables: it grows with what comes, is used again or given back, and nothing beside a log is read."""

from __future__ import annotations

import ctypes
import mmap
import os
import queue
import sys
import threading
from collections.abc import Sequence

import pytest

import isotp
from isotp import Messages, MessageStatus, Reassembler, Records
from tests.bulk.logs import CLASSIC, TESTER
from tests.frames import MS, counted, octets
from tests.processes import python

HELD = 512  # rows that wait to become columns together
WORTH_KEEPING = 1 << 17  # bytes: the memory of tables from this size on is used again


def single(number: int, can_id: int = 0x7E0) -> bytes:
    """An SF, as a record, whose every column tells its number."""
    return CLASSIC.pack(number * MS, can_id, 5, 0, number % 3, b"\x04" + number.to_bytes(4, "big"))


def assert_numbered(messages: Messages, numbers: Sequence[int]) -> None:
    assert messages.payloads == [number.to_bytes(4, "big") for number in numbers]
    assert messages.column("start").tolist() == [number * MS for number in numbers]
    assert messages.column("end").tolist() == [number * MS for number in numbers]
    assert messages.column("channel").tolist() == [number % 3 for number in numbers]
    assert messages.column("offsets").tolist() == [4 * k for k in range(len(numbers) + 1)]
    for name, value in (
        *(("length", 4), ("frames", 1), ("session", 0), ("stmin_us", -1), ("waits", 0), ("blocksize", -1)),
        *(("flow_controls", 0), ("direction", 0), ("target_type", 0), ("status", 0)),
    ):
        assert set(messages.column(name)) <= {value}, name
    assert messages.nbytes == len(messages.data) + 55 * len(messages) + 8


@pytest.mark.parametrize("count", [*range(HELD - 1, HELD + 3), 2 * HELD, 2 * HELD + 1, 9 * HELD + 7, 20_000])
def test_tables_of_all_sizes(count: int) -> None:
    numbers = range(count)
    reassembler = Reassembler([TESTER])
    assert_numbered(reassembler.feed(b"".join(map(single, numbers)), "classic"), numbers)
    assert_numbered(reassembler.feed(b"".join(map(single, numbers)), "classic"), numbers)


def test_a_row_has_nothing_of_the_row_that_was_in_its_place() -> None:
    """Long, broken and short messages by turns: each row of the table is what its message is alone."""
    kinds = [
        [b"\x02\x3e\x00"],
        [b"\x10\x08" + bytes(6), b"\x21" + bytes(2)],
        [b"\x10\x14" + bytes(6), b"\x23" + bytes(7)],
        [b"\x01\x3e"],
    ]
    order = [kinds[number % 7 % 4] for number in range(4 * HELD)]
    records = Records("classic")
    for number, frames in enumerate(order):
        for k, data in enumerate(frames):
            records.append(number * MS, 0x7E0, data)
            if k == 0 and len(frames) > 1:
                records.append(number * MS, 0x7E8, b"\x30\x04\x05")
    alone = {}
    for frames in kinds:
        records_alone = Records("classic")
        records_alone.append(0, 0x7E0, frames[0])
        if len(frames) > 1:
            records_alone.append(0, 0x7E8, b"\x30\x04\x05")
            records_alone.append(0, 0x7E0, frames[1])
        (alone[id(frames)],) = Reassembler([TESTER]).feed(records_alone)
    found = Reassembler([TESTER]).feed(records)
    assert len(found) == len(order)
    assert [each._replace(start=0, end=0) for each in found] == [alone[id(frames)] for frames in order]


@pytest.mark.parametrize("size", [7, 4095])
def test_tables_beyond_the_caches(size: int) -> None:
    """Columns and payloads of large tables are written another way, and are what small tables have."""
    payloads = [counted(size)[k % 5 :] for k in range(5)]
    records = isotp.encode(payloads * 200, TESTER, params={"blocksize": 0}, flow_control=False)
    times = (34 << 20) // (min(size, 55) * 1000 if size == 7 else size * 1000) + 1
    whole = Reassembler([TESTER]).feed(bytes(records) * times, "classic")
    piece = Reassembler([TESTER]).feed(records)
    assert max(whole.nbytes - len(whole.data), len(whole.data)) >= 1 << 25
    assert len(whole) == times * len(piece)
    for k in (0, 1, times // 2, times - 1):
        assert whole[k * len(piece) : (k + 1) * len(piece)] == piece
    assert bytes(whole.data) == bytes(piece.data) * times
    for name in ("start", "end", "length", "frames", "session", "stmin_us", "waits", "channel", "status"):
        assert bytes(whole.column(name)) == bytes(piece.column(name)) * times, name


@pytest.mark.parametrize("dense_first", [True, False])
def test_logs_whose_begin_is_not_like_their_end(dense_first: bool) -> None:
    """There are many more messages than the first ones let expect, or many fewer."""
    parts = [range(0, 30_000), range(30_000, 400_000, 100)]
    if not dense_first:
        parts = [range(0, 400_000, 100), range(400_000, 430_000)]
    unrelated = single(0, 0x123)
    raw, at = bytearray(), 0
    for number in (number for part in parts for number in part):
        raw += unrelated * (number - at) + single(number)
        at = number + 1
    found = Reassembler([TESTER]).feed(raw, "classic")
    assert_numbered(found, [number for part in parts for number in part])


def test_open_receptions_beyond_the_rows_at_hand() -> None:
    count = 5 * HELD + 1
    addresses = [isotp.Address(txid=k, rxid=0x400 | k) for k in range(0x400)]
    reassembler = Reassembler(addresses)
    raw = b"".join(
        CLASSIC.pack(k * 1000, k % 0x400, 8, 0, k // 0x400, b"\x10\x14" + k.to_bytes(6, "big"))
        for k in range(count)
    )
    assert len(reassembler.feed(raw, "classic")) == 0
    found = reassembler.flush()
    assert sorted(found.payloads) == [k.to_bytes(6, "big") for k in range(count)]
    assert set(found.column("status")) == {MessageStatus.OPEN}


def test_memory_of_a_table_is_used_again_once_nobody_sees_it() -> None:
    numpy = pytest.importorskip("numpy")
    numbers = [range(part * 50_000, (part + 1) * 50_000) for part in range(4)]
    logs = [b"".join(map(single, part)) for part in numbers]
    reassembler = Reassembler([TESTER])

    def place(messages: Messages, name: str) -> int:
        return int(messages.to_numpy()[name].ctypes.data)

    first = reassembler.feed(logs[0], "classic")
    data, offsets, view = place(first, "data"), place(first, "offsets"), first.column("start")
    del first
    second = reassembler.feed(logs[1], "classic")
    assert view.tolist() == [number * MS for number in numbers[0]]
    assert place(second, "data") != data
    view.release()
    third = reassembler.feed(logs[2], "classic")
    assert (place(third, "data"), place(third, "offsets")) == (data, offsets)
    assert_numbered(second, numbers[1])
    assert_numbered(third, numbers[2])
    part = second[10:20]
    del second
    assert_numbered(reassembler.feed(logs[3], "classic"), numbers[3])
    assert part.payloads == [number.to_bytes(4, "big") for number in numbers[1][10:20]]
    del reassembler, third
    assert numpy.array_equal(numpy.asarray(part.column("start")) // MS, list(numbers[1][10:20]))


@pytest.mark.parametrize("layout", ["classic", "fd"])
def test_tables_that_grow_and_shrink(layout: str) -> None:
    """Memory that is too small for the next table, or much too large."""
    params = {"tx_data_length": 64, "can_fd": True} if layout == "fd" else {}
    reassembler = Reassembler([TESTER])
    for size in (40_000, 1_000_000, 150_000, 7, 2_000_000, 2_500_000, WORTH_KEEPING, 5_000_000, 0, 300_000):
        payloads = [counted(4095)] * (size // 4095) + [counted(size % 4095)] * (size % 4095 > 0)
        frames = isotp.encode(payloads, TESTER, params=params, flow_control=False)
        assert reassembler.feed(frames).payloads == payloads


def test_threads_drop_tables_while_others_are_made() -> None:
    numbers = [range(part * 10_000, (part + 1) * 10_000) for part in range(3)]
    logs = [b"".join(map(single, part)) for part in numbers]
    reassembler = Reassembler([TESTER])
    tables: queue.Queue[tuple[int, Messages] | None] = queue.Queue(3)
    wrong = []

    def look_and_drop() -> None:
        while (item := tables.get()) is not None:
            part, messages = item
            if messages.column("start").tolist() != [k * MS for k in numbers[part]]:
                wrong.append(part)
            del item, messages

    threads = [threading.Thread(target=look_and_drop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        tables.put((turn % 3, reassembler.feed(logs[turn % 3], "classic")))
    for _ in threads:
        tables.put(None)
    for thread in threads:
        thread.join()
    assert not wrong


MEASURE = """
import re
import isotp

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10

address = isotp.Address(txid=0x7E0, rxid=0x7E8)
frames = isotp.encode([bytes(1 << 20)] * 90, address, params={"tx_data_length": 64, "can_fd": True}, flow_control=False)
reassembler = isotp.Reassembler([address])
before = resident()
table = reassembler.feed(frames)
assert table.nbytes > 90 << 20
del table
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_memory_of_very_large_tables_is_given_back() -> None:
    # AddressSanitizer holds on to what was freed, unless told otherwise.
    options = f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=0"
    assert int(python("-c", MEASURE, ASAN_OPTIONS=options).stdout) < 8 << 20


WITHOUT_MEMORY = """
import re, resource
import isotp

def limit(more):
    used = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (used + more if more else resource.RLIM_INFINITY, resource.RLIM_INFINITY))

address = isotp.Address(txid=0x7E0, rxid=0x7E8)
long = isotp.encode([bytes(1 << 20)] * 40, address, params={"tx_data_length": 64, "can_fd": True}, flow_control=False)
many = isotp.encode([b"%07d" % k for k in range(400_000)], address, flow_control=False)
for frames, count in ((long, 40), (many, 400_000)):
    reassembler = isotp.Reassembler([address])
    limit(8 << 20)
    try:
        reassembler.feed(frames)
    except MemoryError as error:
        print(error)
    limit(0)
    found = reassembler.feed(frames).filter(status=isotp.MessageStatus.OK)
    assert len(found) == count, len(found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.skipif("san.so" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers need address space")
def test_feed_without_memory_says_so_and_can_go_on() -> None:
    run = python("-c", WITHOUT_MEMORY)
    assert (run.stdout, run.stderr) == ("no memory for the messages of 1 sessions\n" * 2, "")


@pytest.mark.skipif(sys.platform != "linux", reason="calls mprotect() of Linux")
@pytest.mark.parametrize("layout", ["classic", "fd"])
def test_nothing_behind_the_frames_is_read(layout: str) -> None:
    """The frames end where memory ends: a byte too many would end the process."""
    params = {"tx_data_length": 64, "can_fd": True} if layout == "fd" else {}
    encoded = isotp.encode([counted(900), b"123", counted(900)], TESTER, params=params)
    records = isotp.Records(layout)
    for k, each in enumerate(encoded):
        records.append(each.timestamp, each.can_id, each.data)
        if k % 5 == 4:
            records.append(each.timestamp, 0x123, bytes(8))
    raw, size = bytes(records), records.itemsize
    page = mmap.PAGESIZE
    room = -(-len(raw) // page) * page
    with mmap.mmap(-1, room + page) as memory:
        view = (ctypes.c_char * len(memory)).from_buffer(memory)
        mprotect = ctypes.CDLL(None, use_errno=True).mprotect
        behind = ctypes.c_void_p(ctypes.addressof(view) + room)
        assert mprotect(behind, ctypes.c_size_t(page), 0) == 0
        for count in range(len(raw) // size + 1):
            start = room - count * size
            memory[start:room] = raw[: count * size]
            whole = Reassembler([TESTER])
            found = whole.feed(memoryview(memory)[start:room], layout) + whole.flush()
            pieces = Reassembler([TESTER])
            for k in range(count):
                memory[room - size : room] = raw[k * size : (k + 1) * size]
                rows = pieces.feed(memoryview(memory)[room - size : room], layout)
                assert rows == found[: len(rows)]
                found = found[len(rows) :]
            assert found == pieces.flush()
        assert mprotect(behind, ctypes.c_size_t(page), 3) == 0
        del view


def test_announced_sizes_cost_no_memory() -> None:
    """100,000 sessions, and each claims 4 GiB: the memory is that of what arrived."""
    count = 100_000
    addresses = [
        isotp.Address(isotp.AddressingMode.Normal_29bits, txid=k, rxid=0x10000000 + k) for k in range(count)
    ]
    records = Records("classic", count)
    for k in range(count):
        records.append(k, 0x80000000 | k, octets("10 00 FF FF FF FF 01 02"))
    reassembler = Reassembler(addresses)
    assert len(reassembler.feed(records)) == 0
    found = reassembler.flush()
    assert len(found) == count
    assert bytes(found.data) == b"\x01\x02" * count
    assert set(found.column("length")) == {0xFFFFFFFF}
