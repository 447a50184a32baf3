# The table of messages as C sees it: rows as they are made, one by one, and the columns they become.
# _messages.pyx has the documentation.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t


# Values are those of message.MessageStatus and message.Direction.
cdef enum StatusCode:
    STATUS_OK = 0
    STATUS_WRONG_SN = 1
    STATUS_TIMED_OUT = 2
    STATUS_INTERRUPTED_BY_SF = 3
    STATUS_INTERRUPTED_BY_FF = 4
    STATUS_OVERFLOW = 5
    STATUS_TOO_LONG = 6
    STATUS_INVALID_FRAME = 7
    STATUS_OUT_OF_MEMORY = 8
    STATUS_OPEN = 9


cdef enum DirectionCode:
    DIRECTION_TX = 0
    DIRECTION_RX = 1


cdef enum:
    ROWS_HELD = 256                # 14 KB: they stay in the nearest cache until they become columns
    NO_FLOW_CONTROL = -1           # in stmin_us and blocksize


cdef struct Row:
    int64_t start
    int64_t end
    int64_t data_end               # where its payload ends, and that of the next row begins
    uint32_t length
    uint32_t frames
    int32_t session
    int32_t stmin_us
    uint32_t waits
    uint32_t flow_controls
    uint16_t channel
    int16_t blocksize
    uint8_t direction
    uint8_t target_type
    uint8_t status


cdef struct Columns:
    Py_ssize_t count
    Py_ssize_t capacity            # rows that there is room for
    size_t size                    # bytes of the memory of all columns, which begins at `offsets`
    size_t data_size               # bytes of the memory at `data`
    int64_t *offsets               # count + 1
    int64_t *start
    int64_t *end
    uint32_t *length
    uint32_t *frames
    int32_t *session
    int32_t *stmin_us
    uint32_t *waits
    uint32_t *flow_controls
    uint16_t *channel
    int16_t *blocksize
    uint8_t *direction
    uint8_t *target_type
    uint8_t *status
    uint8_t *data


cdef inline void forget_columns(Columns *columns) noexcept nogil:
    """Their memory is another's, or freed."""
    columns.count = 0
    columns.capacity = 0
    columns.size = 0
    columns.data_size = 0
    columns.offsets = NULL
    columns.data = NULL


# Memory of tables that are gone, for the next table of the same Reassembler: fresh memory is dearer than filling it.
cdef class Spares:
    cdef void *columns
    cdef void *data


# Owns the memory of one or more Messages.
cdef class Block:
    cdef Columns columns
    cdef Spares spares             # where it goes in the end, or None


cdef class Messages:
    cdef Block block
    cdef Py_ssize_t first
    cdef Py_ssize_t count
    cdef readonly tuple sessions
    cdef object channels           # what has their names by number, or None

    cdef object message(self, Py_ssize_t row)
    cdef Messages take(self, rows)
    cdef Py_ssize_t session_index(self, session) except -1


# Rows behind those that there are. `expected`: of how many rows in all there will be. False: no memory.
cdef bint append_rows(
    Columns *columns, const Row *rows, Py_ssize_t count, Py_ssize_t expected, void **spare) noexcept nogil

# Takes over the columns and their data, with some rows behind them.
cdef Messages messages_of(tuple sessions, Columns *columns, const Row *rows, Py_ssize_t count, Spares spares)
