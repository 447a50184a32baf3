"""MF4: where frames may be in it, as loggers write them, and what is told where something is missing."""

from __future__ import annotations

import gzip
import io
import struct
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from isotp.bulk._records import Record
from tests.capture.logs import EFF, FDF, RTR, SENT, numbers, problems, read
from tests.capture.mf4 import BEGAN, FIELDS, SIZE, Field, File, mf4, record

pytest.importorskip("numpy", reason="MF4 is read with numpy")


def expected(count: int) -> list[Record]:
    return [Record(BEGAN + k * 125_000_000, 0x100 + k, 0, 1, bytes([k, 0xA5])) for k in range(count)]


def test_records_as_they_are() -> None:
    found, log = read(mf4(5))
    assert log.format == "mf4"
    assert (problems(log), log.others) == ([], {})
    assert found == expected(5)


@pytest.mark.parametrize("columns", [0, SIZE])
def test_packed_blocks_in_lists(columns: int) -> None:
    """Two lists of two blocks, behind a head; a record may go on in the next block."""
    file = File()
    group = file.group("frames", 0, 12, SIZE, file.channels("frames", FIELDS))
    data = b"".join(map(record, range(12)))
    parts = ((0, 50), (50, 51), (51, 200), (200, len(data)))
    names = [file.packed(f"part {k}", data[a:b], columns) for k, (a, b) in enumerate(parts)]
    second = file.add("second", b"DL", ["", *names[2:]], bytes(24))
    first = file.add("first", b"DL", [second, *names[:2]], bytes(24))
    head = file.add("lists", b"HL", [first], bytes(8))
    found, log = read(file.finish(file.data_group(group, head)))
    assert problems(log) == []
    assert found == expected(12)


def unsorted(file: File, records: Iterator[bytes], count: int) -> bytes:
    """Frames whose data are records of their own, and records of another kind between them."""
    fields = [*FIELDS[:-1], Field("CAN_DataFrame.DataBytes", 13, 64, kind=1, data_type=10, data="payloads")]
    others = file.group("others", 7, 1, 4, file.channels("others", [Field("LIN_Frame", 0, 32)]))
    payloads = file.group("payloads", 300, count, 0, "", others, flags=1)
    group = file.group("frames", 2, count, SIZE, file.channels("frames", fields), payloads)
    data = file.add("data", b"DT", [], b"".join(records))
    return file.finish(file.data_group(group, data, id_size=2))


def mixed(count: int) -> Iterator[bytes]:
    for k in range(count):
        yield struct.pack("<HL", 300, 2) + bytes([k, 0xA5])
        yield struct.pack("<H", 2) + record(k)[:13] + struct.pack("<Q", 6 * k)
        if k == 1:
            yield struct.pack("<HL", 7, 0)


def test_groups_that_are_not_sorted() -> None:
    found, log = read(unsorted(File(), mixed(6), 6))
    assert (problems(log), log.others) == ([], {"LIN": 1})
    assert found == expected(6)


def test_data_of_varying_size() -> None:
    file = File()
    fields = [*FIELDS[:-1], Field("CAN_DataFrame.DataBytes", 13, 64, kind=1, data_type=10, data="payloads")]
    file.add("payloads", b"SD", [], b"".join(struct.pack("<L", 2) + bytes([k, 0xA5]) for k in range(6)))
    group = file.group("frames", 0, 6, SIZE, file.channels("frames", fields))
    data = file.add("data", b"DT", [], b"".join(map(record, range(6))))
    found, log = read(file.finish(file.data_group(group, data)))
    assert problems(log) == []
    assert found == expected(6)


def test_data_of_a_size_that_can_not_be() -> None:
    """It is not waited for."""
    file = File()
    fields = [*FIELDS[:-1], Field("CAN_DataFrame.DataBytes", 13, 64, kind=1, data_type=10, data="payloads")]
    file.add("payloads", b"SD", [], struct.pack("<L", 1 << 31) + bytes(100))
    group = file.group("frames", 0, 1, SIZE, file.channels("frames", fields))
    found, log = read(file.finish(file.data_group(group, file.add("data", b"DT", [], record(0)))))
    assert found == []
    assert "data of 2147483648 bytes in one frame" in [reason for *_, reason in problems(log)]


def test_groups_are_merged_by_time() -> None:
    """A group for each bus, and one for each kind: as CANedge has them."""
    file = File()
    remote = [Field(each.name.replace("Data", "Remote", 1), *each[1:]) for each in FIELDS[:-1]]
    remote[-1] = Field("CAN_RemoteFrame.DLC", 12, 8)
    last = file.group("remote", 0, 1, SIZE, file.channels("remote", remote))
    third = file.data_group(last, file.add("data 3", b"DT", [], record(5)))
    for name, those, following in (("b", (1, 2), third), ("a", (0, 3, 4), "group of b")):
        group = file.group(name, 0, len(those), SIZE, file.channels(name, FIELDS))
        data = file.add(f"data {name}", b"DT", [], b"".join(record(k, channel=ord(name)) for k in those))
        file.data_group(group, data, following=following)
    found, log = read(file.finish("group of a"))
    assert problems(log) == []
    assert numbers(found[:5]) == list(range(5))
    assert [each.channel for each in found] == [97, 98, 98, 97, 97, 1]
    assert found[5].can_id == RTR | 0x105


def test_values_that_are_not_in_the_records() -> None:
    """Packed into bits, constants by a conversion, lengths by a table, times in ticks."""
    fields = [
        Field("Timestamp", 0, 48, kind=2, conversion=(0.5, 1e-3)),
        Field("CAN_DataFrame.BusChannel", 0, 0, kind=6, conversion=(9.0, 0.0)),
        Field("CAN_DataFrame.IDE", 0, 0, kind=6, conversion=(1.0, 0.0)),
        Field("CAN_DataFrame.EDL", 0, 0, kind=6, conversion=(1.0, 0.0)),
        Field("CAN_DataFrame.ID", 6, 29, 3),
        Field("CAN_DataFrame.DataLength", 10, 4, 4, conversion=(8, 8, 9, 12, 15, 64), is_table=True),
        Field("CAN_DataFrame.DataBytes", 11, 96, data_type=10),
        Field("CAN_DataFrame.Dir", 23, 16, data_type=6),
    ]
    file = File()
    group = file.group("frames", 0, 1, 25, file.channels("frames", fields))
    row = (
        (1500).to_bytes(6, "little")
        + (0x18DAF110 << 3).to_bytes(4, "little")
        + b"\x90"
        + bytes(range(12))
        + b"Tx"
    )
    found, log = read(file.finish(file.data_group(group, file.add("data", b"DT", [], row))))
    assert problems(log) == []
    assert found == [Record(BEGAN + 2 * 10**9, EFF | 0x18DAF110, FDF | SENT, 9, bytes(range(12)))]


def test_big_endian_values() -> None:
    fields = [*FIELDS]
    fields[0] = Field("Timestamp", 0, 64, kind=2, data_type=5)
    fields[1] = Field("CAN_DataFrame.ID", 8, 16, data_type=1)
    file = File()
    group = file.group("frames", 0, 1, SIZE, file.channels("frames", fields))
    row = struct.pack(">dH", 0.125, 0x101) + record(1)[10:]
    found, log = read(file.finish(file.data_group(group, file.add("data", b"DT", [], row))))
    assert problems(log) == []
    assert found == expected(2)[1:]


def test_a_log_that_was_not_finished() -> None:
    """Its logger lost power: there are no counts, and no length of the data."""
    file = File(finished=False)
    group = file.group("frames", 0, 0, SIZE, file.channels("frames", FIELDS))
    first = file.data_group(group, "data")
    file.add("data", b"DT", [], b"")  # the last block of the file
    whole = file.finish(first)
    records = b"".join(map(record, range(5)))
    found, log = read(whole + records)
    assert problems(log) == []
    assert found == expected(5)
    found, log = read(whole + records[:-3])
    assert found == expected(4)
    assert [reason for *_, reason in problems(log)] == ["18 bytes of the data are no whole record"]


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone of this system cannot be set")
def test_a_start_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        file = File()
        group = file.group("frames", 0, 1, SIZE, file.channels("frames", FIELDS))
        data = file.add("data", b"DT", [], record(0))
        found, _ = read(file.finish(file.data_group(group, data), flags=1))
        local = datetime(1970, 1, 1).timestamp() + BEGAN // 10**9
        assert found[0].timestamp == int(local) * 10**9
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("pack", [lambda file: file, gzip.compress])
def test_what_is_wanted(pack: object) -> None:
    file = mf4(6)
    packed = gzip.compress(file) if pack is gzip.compress else file
    found, _ = read(io.BytesIO(packed), start=BEGAN + 125_000_000, end=BEGAN + 500_000_000, channels=[1])
    assert found == expected(4)[1:]
    assert read(packed, channels=[2])[0] == []


def change(file: bytes, block: bytes, nth: int, place: int, value: int) -> bytes:
    """With another value of 64 bits in one block of a kind."""
    at = -1
    for _ in range(nth + 1):
        at = file.index(block, at + 1)
    return file[: at + place] + struct.pack("<Q", value) + file[at + place + 8 :]


@pytest.mark.parametrize(
    ("block", "nth", "place", "value", "reason"),
    [
        (b"##DG", 0, 24, 64, "DG should be here"),
        (b"##DG", 0, 24, 1 << 40, "the log ends before a block"),
        (b"##DG", 0, 16, 0, "DG should be here"),
        (b"##CG", 0, 72 + 8, 7, "6 of 7 frames"),
        (b"##CG", 0, 72 + 8, 5, "bytes of the data are no whole record"),
        (b"##CG", 0, 72 + 8, 1 << 60, "frames of a group are there"),
        (b"##CG", 0, 72 + 24, 0, "has no times"),
        (b"##CG", 0, 72 + 24, 5, "is not in the records"),
        (b"##CN", 5, 24, 0, "has no DataLength"),
        (b"##DT", 0, 8, 24 + 21 * 4, "4 of 6 frames"),
        (b"##DT", 0, 8, 1 << 50, "the log ends in the middle"),
        (b"##CN", 6, 24, 1, "should be here"),
    ],
)
def test_what_is_missing_is_told(block: bytes, nth: int, place: int, value: int, reason: str) -> None:
    _, log = read(change(mf4(6), block, nth, place, value))
    assert any(reason in told for *_, told in problems(log)), problems(log)


def test_records_of_other_groups_are_counted() -> None:
    """Also those whose channels were lost."""
    found, log = read(change(mf4(6), b"##CN", 6, 24, 0))
    assert (found, problems(log), log.others) == ([], [], {"record of another kind": 6})


def test_links_in_a_circle() -> None:
    file = File()
    group = file.group("frames", 0, 2, SIZE, file.channels("frames", FIELDS))
    data = file.add("data", b"DT", [], record(0) + record(1))
    found, log = read(file.finish(file.data_group(group, data, following=f"group of {group}")))
    assert found == expected(2)
    assert [reason for *_, reason in problems(log)] == ["a block of MF4 that is linked twice"]


def test_a_record_of_no_known_group() -> None:
    records = [*mixed(4)]
    records.insert(4, struct.pack("<H", 9) + bytes(10))
    found, log = read(unsorted(File(), iter(records), 4))
    assert found == expected(2)
    assert "a record of no known group or size, at byte 62 of the data" in [
        reason for *_, reason in problems(log)
    ]


def test_records_of_sizes_that_can_not_be() -> None:
    """They are not waited for: a length costs nothing."""
    records = [*mixed(4)]
    records.insert(4, struct.pack("<HL", 300, 1 << 30))
    found, log = read(unsorted(File(), iter(records), 4))
    assert found == expected(2)
    assert "a record of no known group or size, at byte 62 of the data" in [
        reason for *_, reason in problems(log)
    ]
    _, log = read(change(mf4(6), b"##CG", 0, 72 + 24, 1 << 30))
    assert any("has records of 1073741824 bytes" in reason for *_, reason in problems(log))


def test_a_packed_block_that_is_damaged_or_too_large() -> None:
    for size, reason in ((None, "cannot be unpacked"), (1 << 40, "not unpacked to more than")):
        file = File()
        group = file.group("frames", 0, 2, SIZE, file.channels("frames", FIELDS))
        whole = bytearray(file.finish(file.data_group(group, file.packed("data", record(0) + record(1)))))
        at = whole.index(b"##DZ")
        if size is None:
            whole[at + 24 + 24 + 5] ^= 0xFF
        else:
            struct.pack_into("<Q", whole, at + 24 + 8, size)
        _, log = read(bytes(whole))
        assert any(reason in told for *_, told in problems(log))
