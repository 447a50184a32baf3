# cython: language_level=3
"""Frames in bulk: two record layouts, and an array of such records that grows and that NumPy sees without a copy.

A record is one frame of a log, with its time and channel. The classic layout has 24 bytes, the FD layout 80; they
differ only in the room for data. Identifiers and flags are those of SocketCAN, so that records and the
frames of the kernel need no translation.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_ND,
    PyBUF_SIMPLE,
    PyBUF_STRIDES,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free
from libc.string cimport memcpy

import operator
import pickle
import sys
from typing import NamedTuple

from isotp._extras import extra
from isotp.bulk._html import table_of_records


cdef enum:
    RECORD_HEAD = 16               # bytes of a record before its data


class Record(NamedTuple):
    """One frame as :class:`Records` gives it out: plain values."""

    timestamp: int
    can_id: int
    flags: int
    channel: int
    data: bytes


cdef str LAYOUT_FORMAT = (
    "T{{{order}q:timestamp:{order}I:can_id:B:len:B:flags:{order}H:channel:({room})B:data:}}")
cdef str ORDER = "<" if sys.byteorder == "little" else ">"
cdef bytes CLASSIC_FORMAT = LAYOUT_FORMAT.format(order=ORDER, room=8).encode()
cdef bytes FD_FORMAT = LAYOUT_FORMAT.format(order=ORDER, room=64).encode()

# The room for data by layout; the names are those of the parameter `layout` everywhere.
cdef dict ROOM = {"classic": 8, "fd": 64}


def record_dtype(layout: Literal["classic", "fd"]) -> numpy.dtype[numpy.void]:
    """NumPy's structured dtype of a record layout.

    :param layout: "classic" (24 bytes) or "fd" (80 bytes).
    :raises ValueError: if it is neither.
    :raises ImportError: without NumPy (``pip install can-isotp-cython[tables]``).
    """
    room = room_of(layout)
    numpy = extra("numpy", "record_dtype()", "tables")

    return numpy.dtype([
        ("timestamp", "i8"), ("can_id", "u4"), ("len", "u1"), ("flags", "u1"), ("channel", "u2"),
        ("data", "u1", (room,)),
    ])


cdef Py_ssize_t room_of(object layout) except -1:
    if not isinstance(layout, str) or layout not in ROOM:
        raise ValueError(f"layout must be 'classic' or 'fd', not {layout!r}")
    return ROOM[layout]


cdef object checked(str name, object value, object most):
    number = operator.index(value)
    if not 0 <= number <= most:
        raise ValueError(f"{name} must be from 0 to {most:#x}, not {value!r}")
    return number


cdef int find_records(RecordBuffer *buffer, object layout) except -1:
    cdef const Py_buffer *view = &buffer.view
    cdef Py_ssize_t size = view.itemsize
    if layout is not None:
        size = RECORD_HEAD + room_of(layout)
        if view.itemsize != 1 and view.itemsize != size:
            raise ValueError(f"items of {view.itemsize} bytes are no records of layout {layout!r}, which have {size}")
        if view.len % size != 0:
            raise ValueError(f"{view.len} bytes are no whole number of {layout!r} records of {size} bytes")
    elif size != sizeof(ClassicRecord) and size != sizeof(FdRecord):
        raise ValueError(
            f"items of {size} bytes do not tell the layout of the records: give layout='classic' or 'fd'")
    buffer.fd = size == sizeof(FdRecord)
    buffer.count = view.len // size
    buffer.items = <const uint8_t *>view.buf
    return 0


cdef Records new_records(bint fd, Py_ssize_t capacity):
    """Records of a layout, with room for so many."""
    cdef Records records = Records.__new__(Records)
    records.array.itemsize = sizeof(FdRecord) if fd else sizeof(ClassicRecord)
    if not record_array_reserve(&records.array, capacity):
        raise MemoryError(f"no memory for {capacity} records")
    return records


@cython.final
cdef class Records:
    """Records(layout="classic", capacity=0)\n--\n\n
    A growable array of frame records.

    It has the buffer protocol: ``numpy.asarray(records)`` is a structured array (:func:`record_dtype`) over the same
    memory, and you can pass it wherever frame records are taken. While somebody holds such a buffer it cannot grow.
    Indexing gives a :class:`Record`, slicing a copy. Two arrays are equal if layout and all records are.

    :param layout: "classic": up to 8 bytes of data; "fd": up to 64.
    :param capacity: records to make room for at once.
    :raises ValueError: for an unknown layout or a negative capacity.
    """

    def __cinit__(self, *args, **kwargs):
        memset(&self.array, 0, sizeof(RecordArray))
        self.array.itemsize = sizeof(ClassicRecord)

    def __init__(self, layout="classic", Py_ssize_t capacity=0):
        cdef Py_ssize_t room = room_of(layout)
        if capacity < 0:
            raise ValueError(f"capacity must be 0 or more, not {capacity}")
        with cython.critical_section(self):
            if self.array.count > 0 or self.array.exports > 0:
                raise RuntimeError("records in use cannot be initialised again")
            free(self.array.items)
            memset(&self.array, 0, sizeof(RecordArray))
            self.array.itemsize = RECORD_HEAD + room
            if not record_array_reserve(&self.array, capacity):
                raise MemoryError(f"no memory for {capacity} records")

    def __dealloc__(self):
        free(self.array.items)

    @staticmethod
    def from_buffer(source: Buffer, layout: Literal["classic", "fd"] | None = None) -> Records:
        """A copy of the records in any C-contiguous buffer.

        :param source: `Records`, a NumPy array, bytes ...
        :param layout: needed if the itemsize of the buffer does not show it.
        :raises ValueError: if the layout is unknown, or the size is no multiple of it.
        """
        cdef RecordBuffer given
        cdef Records records
        PyObject_GetBuffer(source, &given.view, RECORDS_FLAGS)
        try:
            find_records(&given, layout)
            records = new_records(given.fd, given.count)
            add_all(records, &given)
        finally:
            PyBuffer_Release(&given.view)
        return records

    @property
    def layout(self):
        """ "classic" or "fd"."""
        return "fd" if self.array.itemsize == sizeof(FdRecord) else "classic"

    @property
    def itemsize(self):
        """Bytes of a record: 24 or 80."""
        return self.array.itemsize

    @property
    def nbytes(self):
        """Bytes of all records."""
        return self.array.itemsize * self.array.count

    cdef int raise_full(self) except -1:
        """Say why there is no room for a further record."""
        if self.array.exports > 0:
            raise BufferError("records cannot grow while a buffer of them is held")
        raise MemoryError(f"no memory for more than {self.array.count} records")

    def append(
        self, timestamp: SupportsIndex, can_id: SupportsIndex, data: Buffer, flags: SupportsIndex = 0,
        channel: SupportsIndex = 0
    ) -> None:
        """Add one frame.

        :param timestamp: ns, from any epoch.
        :param can_id: identifier with the flags of SocketCAN: bit 31 for 29 bits, 30 remote frame, 29 error frame.
        :param data: up to 8 or 64 bytes.
        :param flags: bits 0x01 BRS, 0x02 ESI, 0x04 FD frame, 0x80 sent by the recorder itself.
        :param channel: number of the bus.
        :raises ValueError: if a value does not fit the layout.
        :raises BufferError: while somebody holds a buffer of these records.
        """
        cdef bytes octets = bytes(data) if not isinstance(data, int) else None
        cdef FdRecord head
        cdef uint8_t *place
        cdef Py_ssize_t size
        if octets is None:
            raise TypeError(f"data must be bytes, not {data!r}")
        size = PyBytes_GET_SIZE(octets)
        if size > self.array.itemsize - RECORD_HEAD:
            raise ValueError(f"a record of layout {self.layout!r} does not hold {size} bytes of data")
        memset(&head, 0, sizeof(FdRecord))
        when = operator.index(timestamp)
        if not -(1 << 63) <= when < 1 << 63:
            raise ValueError(f"timestamp must fit 64 bits, not {timestamp!r}")
        head.timestamp = when
        head.can_id = checked("can_id", can_id, 0xFFFFFFFF)
        head.flags = checked("flags", flags, 0xFF)
        head.channel = checked("channel", channel, 0xFFFF)
        head.len = <uint8_t>size
        memcpy(head.data, PyBytes_AS_STRING(octets), <size_t>size)
        with cython.critical_section(self):
            if self.array.exports > 0 or not record_array_reserve(&self.array, 1):
                self.raise_full()
            place = self.array.items + self.array.count * self.array.itemsize
            memcpy(place, &head, <size_t>self.array.itemsize)
            self.array.count += 1

    def extend(self, source: Buffer) -> None:
        """Add all records of a buffer with the same layout.

        :raises ValueError: if it has another layout.
        :raises BufferError: while somebody holds a buffer of these records.
        """
        cdef RecordBuffer given
        PyObject_GetBuffer(source, &given.view, RECORDS_FLAGS)
        try:
            find_records(&given, None)
            if given.fd != (self.array.itemsize == sizeof(FdRecord)):
                raise ValueError(f"records of layout {self.layout!r} cannot take those of {source!r}")
            add_all(self, &given)
        finally:
            PyBuffer_Release(&given.view)

    def reserve(self, Py_ssize_t more: int) -> None:
        """Make room for so many further records at once.

        :raises BufferError: while somebody holds a buffer of these records and there is no room yet.
        """
        if more < 0:
            raise ValueError(f"more must be 0 or more, not {more}")
        with cython.critical_section(self):
            if not record_array_reserve(&self.array, more):
                self.raise_full()

    def clear(self) -> None:
        """Drop all records, keep the memory for new ones.

        :raises BufferError: while somebody holds a buffer of these records.
        """
        with cython.critical_section(self):
            if self.array.exports > 0:
                self.raise_full()
            self.array.count = 0

    def __len__(self):
        return self.array.count

    def __getitem__(self, index):
        cdef Py_ssize_t position
        if isinstance(index, slice):
            return self._slice(index)
        position = operator.index(index)
        with cython.critical_section(self):
            if position < 0:
                position += self.array.count
            if not 0 <= position < self.array.count:
                raise IndexError(f"no record {index!r}, there are {self.array.count}")
            return record_of(
                self.array.items + position * self.array.itemsize, self.array.itemsize - RECORD_HEAD)

    def _slice(self, part):
        cdef Py_buffer view        # holds the records in place, and keeps others from dropping them
        cdef Py_ssize_t start, stop, step, count, k, itemsize = self.array.itemsize
        cdef Records taken
        PyObject_GetBuffer(self, &view, PyBUF_SIMPLE)
        try:
            start, stop, step = part.indices(view.len // itemsize)
            count = len(range(start, stop, step))
            taken = new_records(itemsize == sizeof(FdRecord), count)
            for k in range(count):
                memcpy(
                    taken.array.items + k * itemsize, <uint8_t *>view.buf + (start + k * step) * itemsize,
                    <size_t>itemsize)
            taken.array.count = count
        finally:
            PyBuffer_Release(&view)
        return taken

    def __eq__(self, other):
        if not isinstance(other, Records):
            return NotImplemented
        return self.layout == other.layout and bytes(self) == bytes(other)

    __hash__ = None

    def __repr__(self):
        return f"<Records {self.layout!r} {self.array.count}>"

    def _repr_html_(self):
        """What a notebook shows: the first frames as a table."""
        return table_of_records(self)

    def __reduce_ex__(self, protocol):
        held = pickle.PickleBuffer(self) if protocol >= 5 else bytes(self)
        return restore, (held, self.layout)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        with cython.critical_section(self):
            self.array.exports += 1
            self.shape[0] = self.array.count
            self.strides[0] = self.array.itemsize
            buffer.obj = self
            buffer.buf = self.array.items if self.array.items != NULL else <uint8_t *>&self.shape
            buffer.len = self.array.count * self.array.itemsize
            buffer.readonly = False
            buffer.itemsize = self.array.itemsize
            buffer.format = NULL
            if flags & PyBUF_FORMAT:
                buffer.format = <char *>(FD_FORMAT if self.array.itemsize == sizeof(FdRecord) else CLASSIC_FORMAT)
            buffer.ndim = 1
            buffer.shape = self.shape if (flags & PyBUF_ND) == PyBUF_ND else NULL
            buffer.strides = self.strides if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
            buffer.suboffsets = NULL
            buffer.internal = NULL

    def __releasebuffer__(self, Py_buffer *buffer):
        with cython.critical_section(self):
            self.array.exports -= 1


def restore(held, layout):
    """What pickle calls to make Records anew.

    :raises ValueError: if the pickle is damaged.
    """
    try:
        return Records.from_buffer(held, layout)
    except TypeError as error:
        raise ValueError(f"this pickle of Records is damaged: {error}") from error


def count_ids(Records records not None, dict counts not None):
    """Add to `counts` how many frames each CAN ID has, with its flags."""
    cdef Py_ssize_t k
    cdef object can_id
    with cython.critical_section(records):
        for k in range(records.array.count):
            can_id = (<const FdRecord *>(records.array.items + k * records.array.itemsize)).can_id
            counts[can_id] = counts.get(can_id, 0) + 1


def times_back(Records records not None, int64_t latest):
    """How far (ns) a time is behind the latest one before it, at the most; and the latest of all, from `latest` on."""
    cdef Py_ssize_t k
    cdef int64_t time
    cdef int64_t most = 0
    with cython.critical_section(records):
        for k in range(records.array.count):
            time = (<const FdRecord *>(records.array.items + k * records.array.itemsize)).timestamp
            most = max(most, latest - time)
            latest = max(latest, time)
    return most, latest


def has_frame(Records records not None, uint32_t can_id, int channel=-1):
    """Whether there is a frame of this CAN ID, with its flags; of this channel, unless that is -1."""
    cdef const FdRecord *record
    cdef Py_ssize_t k
    cdef bint found = False
    with cython.critical_section(records):
        for k in range(records.array.count):
            record = <const FdRecord *>(records.array.items + k * records.array.itemsize)
            if record.can_id == can_id and (channel < 0 or record.channel == channel):
                found = True
                break
    return found


cdef int add_all(Records records, const RecordBuffer *given) except -1:
    """Add records of the same layout."""
    cdef RecordArray *array = &records.array
    with cython.critical_section(records):
        # Its own records would move away under the buffer that is read: exports is above 0 then.
        if given.count > 0:
            if array.exports > 0 or not record_array_reserve(array, given.count):
                records.raise_full()
            memcpy(
                array.items + array.count * array.itemsize, given.items, <size_t>(given.count * array.itemsize))
            array.count += given.count
    return 0


cdef object record_of(const uint8_t *place, Py_ssize_t room):
    cdef const FdRecord *record = <const FdRecord *>place     # both layouts begin alike
    # A buffer of the user may claim any length.
    cdef Py_ssize_t size = min(<Py_ssize_t>record.len, room)
    return Record(
        record.timestamp, record.can_id, record.flags, record.channel,
        PyBytes_FromStringAndSize(<const char *>record.data, size))
