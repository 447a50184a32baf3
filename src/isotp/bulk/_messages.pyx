# cython: language_level=3
"""The table of messages: columns in Arrow's layout, which NumPy, pyarrow, pandas and Polars see without a copy."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_SIMPLE, PyBUF_STRIDES, PyBUF_WRITABLE
from cpython.buffer cimport PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

import operator
import pickle

from libc.stdint cimport INT64_MAX, INT64_MIN

from isotp.address import AbstractAddress, TargetAddressType
from isotp.bulk._message import Direction, Message, MessageStatus
from isotp._extras import extra
from isotp.bulk._html import table_of_messages
from isotp.bulk._schema import arrow_table, direction_of, status_of


cdef extern from "_memory.h":
    enum:
        ISOTP_SPARE_LEAST
    void *isotp_realloc_large(void *old, size_t size) noexcept nogil
    void isotp_copy_away(void *to, const void *source, size_t size) noexcept nogil
    void *isotp_take_spare(void **spare, size_t *size) noexcept nogil
    void isotp_leave_spare(void **spare, void *place, size_t size) noexcept nogil


cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX


cdef enum:
    FIELD_COUNT = 14               # pointers in Columns, all but `data`
    OFFSETS = 0                    # the first of them, with one item more than the others
    ROW_SIZE = 55                  # bytes of a row in all columns
    UNUSED_SHARE = 6               # of its memory, one part in so many at the most stays with a table

# In the order of the pointers in Columns, the largest items first: so each column of the one block is aligned.
cdef tuple FIELDS = (
    ("offsets", b"q"), ("start", b"q"), ("end", b"q"), ("length", b"I"), ("frames", b"I"), ("session", b"i"),
    ("stmin_us", b"i"), ("waits", b"I"), ("flow_controls", b"I"), ("channel", b"H"), ("blocksize", b"h"),
    ("direction", b"B"), ("target_type", b"B"), ("status", b"B"),
)
cdef Py_ssize_t[FIELD_COUNT] SIZES = [8, 8, 8, 4, 4, 4, 4, 4, 4, 2, 2, 1, 1, 1]
cdef dict POSITIONS = {name: position for position, (name, _) in enumerate(FIELDS)}


# ---------------------------------------------------------------- memory


cdef inline uint8_t **places(Columns *columns) noexcept nogil:
    """The pointers of Columns as an array, in the order of FIELDS."""
    return <uint8_t **>&columns.offsets


cdef inline Py_ssize_t payload_size(const Columns *columns, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    return columns.offsets[first + count] - columns.offsets[first]


cdef void lay_out(Columns *columns, uint8_t *begin, Py_ssize_t capacity) noexcept nogil:
    """Set the pointers to columns for so many rows that begin there."""
    cdef Py_ssize_t k
    columns.capacity = capacity
    for k in range(FIELD_COUNT):
        places(columns)[k] = begin
        begin += SIZES[k] * (capacity + 1 if k == OFFSETS else capacity)


cdef void move_columns(Columns *columns, Py_ssize_t capacity) noexcept nogil:
    """Lay the columns out anew within their memory, with room for so many rows."""
    cdef Columns old = columns[0]
    cdef Py_ssize_t k, step
    lay_out(columns, <uint8_t *>old.offsets, capacity)
    for step in range(1, FIELD_COUNT):
        # None onto one that has to be moved yet.
        k = FIELD_COUNT - step if capacity > old.capacity else step
        memmove(places(columns)[k], places(&old)[k], <size_t>(SIZES[k] * columns.count))


cdef bint columns_reserve(Columns *columns, Py_ssize_t capacity, void **spare) noexcept nogil:
    """One block for all columns of so many rows; `data` is not part of it. False: no memory."""
    cdef uint8_t *place
    cdef size_t size
    if capacity > (PY_SSIZE_T_MAX - 8) // ROW_SIZE:
        return False
    size = <size_t>(ROW_SIZE * capacity + 8)
    if columns.offsets == NULL and size >= ISOTP_SPARE_LEAST:
        columns.offsets = <int64_t *>isotp_take_spare(spare, &columns.size)
    place = <uint8_t *>columns.offsets
    if size > columns.size:
        place = <uint8_t *>isotp_realloc_large(place, size)
        if place == NULL:
            return False
        columns.size = size
    if columns.count == 0:
        lay_out(columns, place, capacity)
        columns.offsets[0] = 0
    else:
        lay_out(columns, place, columns.capacity)
        move_columns(columns, capacity)
    return True


cdef int columns_allocate(Columns *columns, Py_ssize_t count) except -1:
    """Columns of `count` rows, which the caller fills."""
    if not columns_reserve(columns, count, NULL):
        raise MemoryError(f"no memory for {count} messages")
    columns.count = count
    return 0


cdef int data_allocate(Columns *columns, Py_ssize_t size) except -1:
    columns.data = <uint8_t *>isotp_realloc_large(NULL, <size_t>max(size, 1))
    if columns.data == NULL:
        raise MemoryError(f"no memory for {size} bytes of payload")
    columns.data_size = <size_t>max(size, 1)
    return 0


cdef inline bint is_wasted(size_t size, size_t used) noexcept nogil:
    """Whether so much is not used that it has to be given back.

    A little is left as it is: memory of the same size again is what the next table finds at hand.
    """
    return size - used > size // UNUSED_SHARE


cdef void trim(Columns *columns) noexcept nogil:
    cdef size_t used = <size_t>(ROW_SIZE * columns.count + 8)
    cdef uint8_t *place
    if is_wasted(columns.size, used):
        move_columns(columns, columns.count)
        place = <uint8_t *>realloc(columns.offsets, used)
        if place != NULL:
            lay_out(columns, place, columns.count)
            columns.size = used
    used = <size_t>max(columns.offsets[columns.count], 1)
    if is_wasted(columns.data_size, used):
        place = <uint8_t *>realloc(columns.data, used)
        if place != NULL:
            columns.data = place
            columns.data_size = used


cdef class Spares:
    def __dealloc__(self):
        free(self.columns)
        free(self.data)


@cython.no_gc                      # what it refers to refers to nothing, and is needed until the end
cdef class Block:
    def __dealloc__(self):
        if self.spares is None:
            free(self.columns.offsets)
            free(self.columns.data)
        else:
            isotp_leave_spare(&self.spares.columns, self.columns.offsets, self.columns.size)
            isotp_leave_spare(&self.spares.data, self.columns.data, self.columns.data_size)


cdef Block EMPTY = Block.__new__(Block)
columns_allocate(&EMPTY.columns, 0)
data_allocate(&EMPTY.columns, 0)


cdef void fill(Columns *columns, const Rows *rows) noexcept nogil:
    """Column by column: so each of them is written in one go."""
    cdef const uint8_t *field = <const uint8_t *>rows.data_end
    cdef uint8_t *column
    cdef Py_ssize_t k
    for k in range(FIELD_COUNT):
        # The first offset is there already.
        column = places(columns)[k] + SIZES[k] * (columns.count + 1 if k == OFFSETS else columns.count)
        if columns.size >= SIZE_AWAY:
            isotp_copy_away(column, field, <size_t>(SIZES[k] * rows.count))
        else:
            memcpy(column, field, <size_t>(SIZES[k] * rows.count))
        field += SIZES[k] * ROWS_HELD
    columns.count += rows.count


cdef bint append_rows(Columns *columns, const Rows *rows, Py_ssize_t expected, void **spare) noexcept nogil:
    cdef Py_ssize_t needed = columns.count + rows.count
    if columns.offsets == NULL or needed > columns.capacity:
        # What was expected fell short if there are columns: then by half at least, so that few are moved often.
        if not columns_reserve(columns, max(needed, expected, columns.capacity + columns.capacity // 2), spare):
            return False
    if rows.count > 0:
        fill(columns, rows)
    return True


cdef Messages messages_of(tuple sessions, Columns *columns, const Rows *rows, Spares spares):
    cdef Block block
    if columns.count + rows.count == 0:
        return new_messages(EMPTY, 0, 0, sessions)
    block = Block.__new__(Block)
    block.spares = spares
    block.columns = columns[0]
    forget_columns(columns)
    if block.columns.data == NULL:
        data_allocate(&block.columns, 0)
    if not append_rows(&block.columns, rows, 0, &spares.columns):
        raise MemoryError(f"no memory for {block.columns.count + rows.count} messages")
    trim(&block.columns)
    return new_messages(block, 0, block.columns.count, sessions)


cdef Messages new_messages(Block block, Py_ssize_t first, Py_ssize_t count, tuple sessions):
    cdef Messages messages = Messages.__new__(Messages)
    messages.block = block
    messages.first = first
    messages.count = count
    messages.sessions = sessions
    return messages


cdef Messages named_messages(Block block, Py_ssize_t first, Py_ssize_t count, tuple sessions, object channels):
    """With names of channels. Apart from the others: each call of feed() makes some without."""
    cdef Messages messages = new_messages(block, first, count, sessions)
    messages.channels = channels
    return messages


@cython.auto_pickle(False)         # which would take the memory for a text that ends with a zero
@cython.final
cdef class Column:
    """The memory of one column, by the buffer protocol; read-only, and valid as long as it is referenced."""

    cdef Block block
    cdef uint8_t *place
    cdef bytes form
    cdef Py_ssize_t[1] shape
    cdef Py_ssize_t[1] strides

    def __init__(self):
        raise TypeError("columns are made by Messages")

    def __len__(self):
        return self.shape[0]

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("columns of messages are read-only")
        if self.block is None:
            # Made by hand, it has none: Python would divide by the size of an item.
            raise BufferError("a column of no messages")
        buffer.obj = self
        buffer.buf = self.place
        buffer.len = self.shape[0] * self.strides[0]
        buffer.readonly = True
        buffer.itemsize = self.strides[0]
        buffer.format = <char *>self.form if flags & PyBUF_FORMAT else NULL
        buffer.ndim = 1
        buffer.shape = self.shape if (flags & PyBUF_ND) == PyBUF_ND else NULL
        buffer.strides = self.strides if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        buffer.suboffsets = NULL
        buffer.internal = NULL


cdef object view_of(Block block, uint8_t *place, bytes form, Py_ssize_t size, Py_ssize_t count):
    cdef Column column = Column.__new__(Column)
    column.block = block
    column.place = place
    column.form = form
    column.shape[0] = count
    column.strides[0] = size
    return memoryview(column)


# ---------------------------------------------------------------- the table


cdef int64_t within_64_bits(object number) except? -1:
    """The number, or the nearest one that there is: no time and no channel is beyond."""
    return max(INT64_MIN, min(operator.index(number), INT64_MAX))


@cython.freelist(8)                # each call of feed() makes one
cdef class Messages:
    """Messages of a log as columns; a :class:`isotp.Reassembler` makes them.

    Each row is one message, or the part of one that broke off: its payload has the bytes that came before, and
    ``status`` says why. ``len()``, indexing and iteration give :class:`isotp.Message` objects, which are made when
    asked for. Slices with step 1 share the memory, all other selections copy what they select.

    ``column(name)`` and ``data`` are read-only memoryviews of the memory itself. Columns: ``start``, ``end``
    (ns), ``channel``, ``session`` (index into ``sessions``), ``direction`` (0 as the address sends, 1 as it
    receives), ``target_type`` (0 physical, 1 functional), ``status`` (:class:`isotp.MessageStatus`), ``length``
    (bytes announced), ``frames`` (SF, FF and CFs), ``blocksize`` and ``stmin_us`` (-1: no flow control seen),
    ``waits``, ``flow_controls``, and ``offsets``, with one item more: payload k is
    ``data[offsets[k] - offsets[0]:offsets[k + 1] - offsets[0]]``.
    """

    def __cinit__(self):
        # So there is no object without columns, whatever __init__() of a subclass does, or where none was called.
        if type(self) is not Messages:
            raise TypeError("Messages are made by a Reassembler, or by Messages.concat(), and of no subclass")
        self.block = EMPTY
        self.sessions = ()

    def __init__(self):
        raise TypeError("Messages are made by a Reassembler, or by Messages.concat()")

    # ------------------------------------------------ columns

    def column(self, name: str) -> memoryview:
        """A column as a read-only memoryview, without a copy.

        :raises ValueError: if there is none of that name.
        """
        cdef Py_ssize_t position
        if name not in POSITIONS:
            raise ValueError(f"no column {name!r}, there are: {', '.join(POSITIONS)}")
        position = POSITIONS[name]
        return view_of(
            self.block, places(&self.block.columns)[position] + self.first * SIZES[position], FIELDS[position][1],
            SIZES[position], self.count + 1 if position == OFFSETS else self.count)

    @property
    def data(self):
        """The bytes of all payloads, one behind the other, as a read-only memoryview."""
        return view_of(
            self.block, self.block.columns.data + self.block.columns.offsets[self.first], b"B", 1,
            payload_size(&self.block.columns, self.first, self.count))

    @property
    def nbytes(self):
        """Bytes of the payloads and the columns."""
        return ROW_SIZE * self.count + 8 + payload_size(&self.block.columns, self.first, self.count)

    # ------------------------------------------------ names of channels

    def with_channels(self, channels: ChannelNames | None) -> Messages:
        """The same table with the log's names of its channels; no memory is copied.

        Tables of :func:`isotp.capture.decode` have them already.

        :param channels: what gives the name (or number) of a number by ``channels[number]``:
            :class:`isotp.capture.Channels`, or a dict that has all of them. None: they are numbers.
        """
        return named_messages(self.block, self.first, self.count, self.sessions, channels)

    def channel_name(self, number: int) -> str:
        """The log's name of a channel; the number as text if it has no names."""
        return str(number if self.channels is None else self.channels[number])

    # ------------------------------------------------ messages

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        cdef Py_ssize_t start, stop, step, position
        if isinstance(index, slice):
            start, stop, step = index.indices(self.count)
            if step == 1:
                return named_messages(
                    self.block, self.first + start, max(stop - start, 0), self.sessions, self.channels)
            return self.take(range(start, stop, step))
        position = operator.index(index)
        if position < 0:
            position += self.count
        if not 0 <= position < self.count:
            raise IndexError(f"no message {index!r}, there are {self.count}")
        return self.message(self.first + position)

    def __iter__(self):
        cdef Py_ssize_t k
        for k in range(self.count):
            yield self.message(self.first + k)

    cdef object message(self, Py_ssize_t row):
        cdef const Columns *columns = &self.block.columns
        cdef int blocksize = columns.blocksize[row]
        cdef int stmin_us = columns.stmin_us[row]
        cdef Py_ssize_t session = columns.session[row]
        return Message(
            columns.start[row], columns.end[row], columns.channel[row], session, self.sessions[session],
            Direction(columns.direction[row]), TargetAddressType(columns.target_type[row]),
            PyBytes_FromStringAndSize(
                <const char *>columns.data + columns.offsets[row], payload_size(columns, row, 1)),
            MessageStatus(columns.status[row]), columns.length[row], columns.frames[row],
            None if blocksize == NO_FLOW_CONTROL else blocksize, None if stmin_us == NO_FLOW_CONTROL else stmin_us,
            columns.waits[row], columns.flow_controls[row])

    @property
    def payloads(self):
        """List of the payloads as bytes."""
        cdef const Columns *columns = &self.block.columns
        cdef Py_ssize_t k
        return [
            PyBytes_FromStringAndSize(<const char *>columns.data + columns.offsets[k], payload_size(columns, k, 1))
            for k in range(self.first, self.first + self.count)]

    def __repr__(self):
        return (
            f"<Messages {self.count}, {payload_size(&self.block.columns, self.first, self.count)} bytes of payload,"
            f" {len(self.sessions)} sessions>")

    def _repr_html_(self):
        """What a notebook shows: the first messages as a table."""
        return table_of_messages(self)

    def __eq__(self, other):
        if not isinstance(other, Messages):
            return NotImplemented
        if self.sessions != other.sessions or len(self) != len(other) or self.data != other.data:
            return False
        lengths = [[b - a for a, b in zip(offsets, offsets[1:])]
                   for offsets in (self.column("offsets").tolist(), other.column("offsets").tolist())]
        return lengths[0] == lengths[1] and all(
            self.column(name) == other.column(name) for name in POSITIONS if name != "offsets")

    __hash__ = None

    # ------------------------------------------------ selections

    cdef Messages take(self, rows):
        """A table of these rows, in this order; `rows` are indices from 0, and are right."""
        cdef Block block = Block.__new__(Block)
        cdef const Columns *columns = &self.block.columns
        cdef Py_ssize_t k, row, size, position = 0
        cdef Py_ssize_t count = len(rows)
        columns_allocate(&block.columns, count)
        for index in rows:
            row = self.first + <Py_ssize_t>index
            size = payload_size(columns, row, 1)
            block.columns.offsets[position + 1] = block.columns.offsets[position] + size
            for k in range(1, FIELD_COUNT):
                memcpy(
                    places(&block.columns)[k] + position * SIZES[k],
                    places(<Columns *>columns)[k] + row * SIZES[k], <size_t>SIZES[k])
            position += 1
        data_allocate(&block.columns, block.columns.offsets[count])
        position = 0
        for index in rows:
            row = self.first + <Py_ssize_t>index
            memcpy(
                block.columns.data + block.columns.offsets[position], columns.data + columns.offsets[row],
                <size_t>payload_size(columns, row, 1))
            position += 1
        return named_messages(block, 0, count, self.sessions, self.channels)

    cdef Py_ssize_t session_index(self, session) except -1:
        if isinstance(session, AbstractAddress):
            if session not in self.sessions:
                raise ValueError(f"no session has the address {session!r}")
            return self.sessions.index(session)
        index = operator.index(session)
        if not 0 <= index < len(self.sessions):
            raise ValueError(f"session must be from 0 to {len(self.sessions) - 1}, not {session!r}")
        return index

    def filter(
        self, *, session: AbstractAddress | int | None = None,
        direction: Direction | int | Literal["tx", "rx"] | None = None, channel: int | None = None,
        status: MessageStatus | int | str | Iterable[MessageStatus | int | str] | None = None,
        since: int | None = None, until: int | None = None
    ) -> Messages:
        """The messages that meet all conditions given, as a table of their own.

        :param session: an address, or an index into `sessions`.
        :param direction: an :class:`isotp.Direction`, or "tx" or "rx".
        :param channel: number of the bus.
        :param status: an :class:`isotp.MessageStatus` or its name in small letters, as tables have it, or several.
        :param since: ns; messages that ended before are left out.
        :param until: ns; messages that started then or later are left out.
        :raises ValueError: if a session, direction or status is not valid.
        """
        cdef const Columns *columns = &self.block.columns
        cdef Py_ssize_t k
        cdef bint[16] wanted_status
        cdef int64_t wanted_session = -1 if session is None else self.session_index(session)
        cdef int wanted_direction = -1 if direction is None else direction_of(direction)
        cdef int64_t wanted_channel = 0 if channel is None else within_64_bits(channel)
        cdef int64_t earliest = INT64_MIN if since is None else within_64_bits(since)
        cdef int64_t latest = INT64_MAX if until is None else within_64_bits(until)
        cdef bint has_until = until is not None
        cdef list rows = []
        if status is None:
            status = tuple(MessageStatus)
        for k in range(16):
            wanted_status[k] = False
        for each in (status,) if isinstance(status, (int, str)) else status:
            wanted_status[<int>status_of(each)] = True
        for k in range(self.first, self.first + self.count):
            if ((wanted_session < 0 or columns.session[k] == wanted_session)
                    and (wanted_direction < 0 or columns.direction[k] == wanted_direction)
                    and (channel is None or columns.channel[k] == wanted_channel)
                    and wanted_status[columns.status[k]] and columns.end[k] >= earliest
                    and (not has_until or columns.start[k] < latest)):
                rows.append(k - self.first)
        return self.take(rows)

    @staticmethod
    def concat(tables: Iterable[Messages]) -> Messages:
        """One table of several, in their order; sessions with the same address become one, and so do channels with
        the same name. If another channel already has its number, a channel gets a new one, from 256 on.

        :raises TypeError: if one is not `Messages`.
        """
        cdef Messages table
        cdef Block block = Block.__new__(Block)
        cdef Py_ssize_t k, row, count = 0, size = 0, position = 0
        cdef int64_t shift
        cdef list parts = list(tables)
        cdef dict sessions = {}
        for part in parts:
            if not isinstance(part, Messages):
                raise TypeError(f"only Messages can be joined, not {part!r}")
            table = part
            count += table.count
            size += payload_size(&table.block.columns, table.first, table.count)
            for address in table.sessions:
                sessions.setdefault(address, len(sessions))
        columns_allocate(&block.columns, count)
        data_allocate(&block.columns, size)
        channels, changes = joined_channels(parts)
        size = 0
        for part, changed in zip(parts, changes):
            table = part
            for k in range(1, FIELD_COUNT):
                memcpy(
                    places(&block.columns)[k] + position * SIZES[k],
                    places(&table.block.columns)[k] + table.first * SIZES[k], <size_t>(SIZES[k] * table.count))
            shift = size - table.block.columns.offsets[table.first]
            indices = [sessions[address] for address in table.sessions]
            for k in range(table.count):
                row = position + k
                block.columns.offsets[row + 1] = table.block.columns.offsets[table.first + k + 1] + shift
                block.columns.session[row] = indices[block.columns.session[row]]
                if changed:
                    block.columns.channel[row] = changed.get(block.columns.channel[row], block.columns.channel[row])
            row = payload_size(&table.block.columns, table.first, table.count)
            memcpy(
                block.columns.data + size, table.block.columns.data + table.block.columns.offsets[table.first],
                <size_t>row)
            size += row
            position += table.count
        return named_messages(block, 0, count, tuple(sessions), channels)

    def __add__(self, other):
        if not isinstance(other, Messages):
            return NotImplemented
        return Messages.concat((self, other))

    def __reduce_ex__(self, protocol):
        columns = [self.column(name) for name in POSITIONS] + [self.data]
        hold = pickle.PickleBuffer if protocol >= 5 else bytes
        state = self.sessions, self.count, [hold(column) for column in columns]
        if self.channels is not None:
            state += ({number: self.channel_name(number) for number in set(self.column("channel"))},)
        return restore, state

    # ------------------------------------------------ tables of others

    def to_numpy(self) -> dict[str, NDArray[Any]]:
        """The columns by name as NumPy arrays, without a copy; payloads as ``offsets`` and ``data``.

        ``offsets`` begins at 0 only if this is no slice: subtract ``offsets[0]``.

        :raises ImportError: without NumPy (``pip install can-isotp-cython[tables]``).
        """
        numpy = extra("numpy", "to_numpy()", "tables")
        return {name: numpy.asarray(self.column(name)) for name in POSITIONS} | {"data": numpy.asarray(self.data)}

    def to_arrow(self, *, uds: Uds = False) -> pyarrow.Table:
        """A ``pyarrow.Table`` with the columns of the documentation (One schema): one row a message, words for what
        is a number here.

        Numbers and payloads (a ``large_binary`` column) are the same memory. What was not seen is null.

        :param uds: also the columns of UDS; if there are several tables, the :class:`isotp.uds.Exchanges` that have
            seen the earlier ones.
        :raises ImportError: without pyarrow (``pip install can-isotp-cython[tables]``).
        """
        # Offsets count from the begin of the block, so that is where the data has to begin.
        data = view_of(
            self.block, self.block.columns.data, b"B", 1, self.block.columns.offsets[self.first + self.count])
        return arrow_table(self, data, uds)

    def to_pandas(self, *, uds: Uds = False) -> pandas.DataFrame:
        """:meth:`to_arrow` as a ``pandas.DataFrame``: words are categories, all other columns stay in Arrow's memory.

        :raises ImportError: without pandas and pyarrow (``pip install can-isotp-cython[tables]``).
        """
        pandas, pyarrow = (extra(package, "to_pandas()", "tables") for package in ("pandas", "pyarrow"))
        return self.to_arrow(uds=uds).to_pandas(
            types_mapper=lambda kind: None if pyarrow.types.is_dictionary(kind) else pandas.ArrowDtype(kind))

    def to_polars(self, *, uds: Uds = False) -> polars.DataFrame:
        """:meth:`to_arrow` as a ``polars.DataFrame``; payloads stay where they are.

        :raises ImportError: without polars and pyarrow (``pip install can-isotp-cython[tables]``).
        """
        polars = extra("polars", "to_polars()", "tables")
        return polars.from_arrow(self.to_arrow(uds=uds))


def joined_channels(tables):
    """The names of the channels of several tables, and for each table which of its numbers become another one.

    :raises ValueError: if there are more than 65536 channels.
    """
    cdef Messages table
    if len({id((<Messages>each).channels) for each in tables if len(each) > 0}) <= 1:
        return next(((<Messages>each).channels for each in tables if len(each) > 0), None), [{} for _ in tables]
    numbers = {}
    names = {}
    changes = []
    for each in tables:
        table = each
        changed = {}
        for number in sorted(set(table.column("channel"))):
            name = table.channel_name(number)
            if name not in numbers:
                place = number if number not in names else next(k for k in range(256, 1 << 17) if k not in names)
                if place > 0xFFFF:
                    raise ValueError(f"no number is left for channel {name!r}")
                numbers[name] = place
                names[place] = name
            if numbers[name] != number:
                changed[number] = numbers[name]
        changes.append(changed)
    return names, changes


cdef bint is_sound(const Columns *columns, Py_ssize_t session_count) noexcept nogil:
    """Whether the payloads lie one behind the other, and each row has numbers that stand for something."""
    cdef Py_ssize_t row
    if columns.offsets[0] < 0:
        return False
    for row in range(columns.count):
        if (columns.offsets[row + 1] < columns.offsets[row]
                or not 0 <= columns.session[row] < session_count or columns.direction[row] > DIRECTION_RX
                or columns.target_type[row] > 1 or columns.status[row] > STATUS_OPEN):
            return False
    return True


def tally(Messages messages not None, dict counts not None):
    """Add to `counts`, by session, channel and status, how many rows there are: [rows, bytes, bytes announced]."""
    cdef const Columns *columns = &messages.block.columns
    cdef Py_ssize_t row
    cdef list lane
    for row in range(messages.first, messages.first + messages.count):
        key = columns.session[row], columns.channel[row], columns.status[row]
        lane = counts.get(key)
        if lane is None:
            lane = counts[key] = [0, 0, 0]
        lane[0] += 1
        lane[1] += payload_size(columns, row, 1)
        lane[2] += columns.length[row]


def restore(sessions, count, buffers, channels=None):
    """What pickle calls to make Messages anew.

    :raises ValueError: if the pickle is damaged: its parts are something else, or do not fit each other.
    """
    try:
        return restored(tuple(sessions), count, list(buffers), channels)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"this pickle of Messages is damaged: {error}") from error


cdef Messages restored(tuple sessions, Py_ssize_t count, list buffers, object channels):
    cdef Block block = Block.__new__(Block)
    cdef Columns *columns = &block.columns
    cdef Py_buffer view
    cdef Py_ssize_t k, size
    cdef int64_t start
    # Nothing is allocated that is not there: a count alone says little.
    sizes = [memoryview(source).nbytes for source in buffers]
    if len(sizes) != FIELD_COUNT + 1 or count < 0 or sizes[OFFSETS] // SIZES[OFFSETS] - 1 != count:
        raise ValueError(f"these are no columns of {count} messages")
    if not all([isinstance(each, AbstractAddress) for each in sessions]):
        raise ValueError(f"these are no addresses of sessions: {sessions!r}")
    if channels is not None and not (
            isinstance(channels, dict) and all([isinstance(each, str) for each in channels.values()])):
        raise ValueError(f"these are no names of channels: {channels!r}")
    columns_allocate(columns, count)
    for k in range(FIELD_COUNT + 1):
        if k < FIELD_COUNT:
            size = SIZES[k] * (count + 1 if k == OFFSETS else count)
        elif is_sound(columns, len(sessions)):
            size = payload_size(columns, 0, count)
        else:
            raise ValueError(f"the columns of {count} messages do not fit each other")
        if sizes[k] != size:
            raise ValueError(f"column {k} of {count} messages has {sizes[k]} bytes in place of {size}")
        if k == FIELD_COUNT:
            data_allocate(columns, size)
        PyObject_GetBuffer(buffers[k], &view, PyBUF_SIMPLE)
        try:
            if view.len != size:
                raise ValueError(f"column {k} of {count} messages changed its size")
            memcpy(columns.data if k == FIELD_COUNT else places(columns)[k], view.buf, <size_t>size)
        finally:
            PyBuffer_Release(&view)
    start = columns.offsets[0]
    for k in range(count + 1):
        columns.offsets[k] -= start
    if channels is not None and not {columns.channel[k] for k in range(count)} <= set(channels):
        raise ValueError("channels have no names")
    return named_messages(block, 0, count, sessions, channels)
