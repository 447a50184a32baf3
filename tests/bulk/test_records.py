"""Frame records: the two layouts, the growable array of them, and what NumPy makes of it."""

from __future__ import annotations

import copy
import pickle
import struct
import sys
from typing import Any

import pytest

import isotp
from isotp.bulk._records import Record, Records, record_dtype
from tests.bulk.logs import CLASSIC, FD

LAYOUTS = pytest.mark.parametrize(("layout", "form"), [("classic", CLASSIC), ("fd", FD)])


def filled(layout: str, count: int = 5) -> Records:
    records = Records(layout)
    for k in range(count):
        records.append(1000 * k - 1, 0x80000000 | k, bytes([k] * k), flags=4, channel=k)
    return records


@LAYOUTS
def test_layout_is_packed_and_little_endian(layout: str, form: struct.Struct) -> None:
    records = Records(layout)
    records.append(-2, 0x9FFFFFFF, b"\x01\x02\x03", flags=0x85, channel=0xFFFE)
    assert bytes(records) == form.pack(-2, 0x9FFFFFFF, 3, 0x85, 0xFFFE, b"\x01\x02\x03")
    assert (records.itemsize, records.nbytes, len(records)) == (form.size, form.size, 1)
    assert records[0] == records[-1] == (-2, 0x9FFFFFFF, 0x85, 0xFFFE, b"\x01\x02\x03")
    assert isinstance(records[0], Record)


@LAYOUTS
def test_grows_and_slices_as_a_list_does(layout: str, form: struct.Struct) -> None:
    records = Records(layout, capacity=2)
    expected = [Record(k, k % 0x800, 0, 0, bytes([k % 256] * (k % 9))) for k in range(1000)]
    for each in expected:
        records.append(each.timestamp, each.can_id, each.data)
    assert list(records) == expected
    for part in (slice(3, 8), slice(None, None, -7), slice(990, 2000), slice(5, 5), slice(-3, None)):
        taken = records[part]
        assert type(taken) is Records
        assert taken.layout == layout
        assert list(taken) == expected[part]


@LAYOUTS
def test_buffer_is_the_memory_itself(layout: str, form: struct.Struct) -> None:
    records = filled(layout)
    with memoryview(records) as view:
        assert (view.itemsize, view.shape, view.strides) == (form.size, (5,), (form.size,))
        assert view.c_contiguous
        view.cast("B")[0] = 0x7F
    assert records[0].timestamp == struct.unpack("<q", b"\x7f" + b"\xff" * 7)[0]


@LAYOUTS
def test_numpy_sees_the_records_without_a_copy(layout: str, form: struct.Struct) -> None:
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
    records = filled(layout)
    array = numpy.asarray(records)
    assert array.dtype == record_dtype(layout)
    assert array.dtype.itemsize == form.size
    assert array["can_id"].tolist() == [0x80000000 | k for k in range(5)]
    assert array["len"].tolist() == [0, 1, 2, 3, 4]
    array["channel"][3] = 77
    assert records[3].channel == 77
    assert Records.from_buffer(array[1:4]) == records[1:4]


@LAYOUTS
def test_does_not_grow_while_somebody_holds_the_memory(layout: str, form: struct.Struct) -> None:
    records = filled(layout)
    for change in (
        lambda: records.append(0, 0, b""),
        lambda: records.extend(records),
        lambda: records.reserve(10_000),
        lambda: records.clear(),
    ):
        with memoryview(records), pytest.raises(BufferError, match="while a buffer of them is held"):
            change()
    assert records == filled(layout)
    records.append(0, 0, b"")
    assert len(records) == 6


@LAYOUTS
def test_copies_and_pickles(layout: str, form: struct.Struct) -> None:
    records = filled(layout)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(records, protocol)) == records
    pieces: list[pickle.PickleBuffer] = []
    frame = pickle.dumps(records, 5, buffer_callback=pieces.append)
    assert len(pieces) == 1
    assert pickle.loads(frame, buffers=pieces) == records
    assert copy.deepcopy(records) == records
    assert records != records[:-1]
    assert records != bytes(records)


@pytest.mark.parametrize(
    "damage", [(None, "classic"), (5, "fd"), (b"", None), (bytes(23), "classic"), (b"", "Fd")]
)
def test_damaged_pickle(damage: tuple[object, object]) -> None:
    rebuild, _ = filled("classic").__reduce_ex__(2)
    with pytest.raises(ValueError, match=r"damaged|layout|whole number"):
        rebuild(*damage)


def test_extends_by_any_buffer_of_its_layout() -> None:
    records = filled("classic")
    records.extend(filled("classic")[1:])
    records.extend(Records("classic"))
    assert list(records) == [*filled("classic"), *filled("classic")[1:]]
    with pytest.raises(ValueError, match="'classic' cannot take"):
        records.extend(filled("fd"))
    records.clear()
    assert len(records) == 0
    assert bytes(records) == b""


@LAYOUTS
def test_raw_bytes_need_a_layout(layout: str, form: struct.Struct) -> None:
    data = bytes(filled(layout))
    assert Records.from_buffer(data, layout) == filled(layout)
    with pytest.raises(ValueError, match="items of 1 bytes do not tell the layout"):
        Records.from_buffer(data)
    with pytest.raises(ValueError, match=f"{len(data) - 1} bytes are no whole number of '{layout}' records"):
        Records.from_buffer(data[1:], layout)
    other = "fd" if layout == "classic" else "classic"
    with pytest.raises(ValueError, match=f"items of {form.size} bytes are no records of layout '{other}'"):
        Records.from_buffer(filled(layout), other)


def test_length_beyond_the_room_is_cut_when_read() -> None:
    """Only a foreign buffer can claim it; nothing beyond the record is read."""
    records = Records.from_buffer(CLASSIC.pack(0, 1, 255, 0, 0, b"12345678") * 2, "classic")
    assert records[1].data == b"12345678"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1 << 32, b""), ValueError, "can_id must be from 0 to 0xffffffff, not 4294967296"),
        ((0, -1, b""), ValueError, "can_id must be from 0 to 0xffffffff, not -1"),
        ((0, 0, bytes(9)), ValueError, "layout 'classic' does not hold 9 bytes"),
        ((1 << 63, 0, b""), ValueError, "timestamp must fit 64 bits, not 9223372036854775808"),
        ((0, 0, b"", 256), ValueError, "flags must be from 0 to 0xff, not 256"),
        ((0, 0, b"", 0, 65536), ValueError, "channel must be from 0 to 0xffff, not 65536"),
        ((0.5, 0, b""), TypeError, "'float' object cannot be interpreted as an integer"),
        ((0, 0, 5), TypeError, "data must be bytes, not 5"),
    ],
)
def test_refuses_what_no_record_can_hold(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    records = Records()
    with pytest.raises(error, match=message):
        records.append(*arguments)
    assert len(records) == 0


def test_refuses_bad_layouts_and_sizes() -> None:
    for bad in ("FD", 1, None):
        with pytest.raises(ValueError, match=f"layout must be 'classic' or 'fd', not {bad!r}"):
            Records(bad)
    with pytest.raises(ValueError, match="capacity must be 0 or more, not -1"):
        Records("fd", -1)
    with pytest.raises(MemoryError, match="no memory for"):
        Records("fd", sys.maxsize >> 3)
    with pytest.raises(IndexError, match="no record 5, there are 5"):
        filled("fd")[5]
    with pytest.raises(RuntimeError, match="cannot be initialised again"):
        filled("fd").__init__("classic")  # type: ignore[misc]


def test_names_are_public() -> None:
    assert isotp.Records is Records
    assert isotp.record_dtype is record_dtype
