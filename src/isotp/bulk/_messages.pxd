# The table of messages as C sees it: rows as they are made, one by one, and the columns they become.
# _messages.pyx has the documentation.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset


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
    ROWS_HELD = 512                # 28 KiB: they stay in a near cache until they become columns
    SIZE_AWAY = 1 << 25            # bytes of columns or payloads that no near cache holds until somebody reads them
    NO_FLOW_CONTROL = -1           # in stmin_us and blocksize


# Rows that are no columns yet, each field of all of them side by side, in the order of Columns.
cdef struct Rows:
    int64_t[ROWS_HELD] data_end    # where its payload ends, and that of the next row begins
    int64_t[ROWS_HELD] start
    int64_t[ROWS_HELD] end
    uint32_t[ROWS_HELD] length
    uint32_t[ROWS_HELD] frames
    int32_t[ROWS_HELD] session
    int32_t[ROWS_HELD] stmin_us
    uint32_t[ROWS_HELD] waits
    uint32_t[ROWS_HELD] flow_controls
    uint16_t[ROWS_HELD] channel
    int16_t[ROWS_HELD] blocksize
    uint8_t[ROWS_HELD] direction
    uint8_t[ROWS_HELD] target_type
    uint8_t[ROWS_HELD] status
    Py_ssize_t count
    bint varied                    # some have another value than those of rows_clear()


cdef inline void rows_clear(Rows *rows) noexcept nogil:
    """None are left. What all good messages of one frame have alike stands there already."""
    cdef Py_ssize_t k
    rows.count = 0
    if rows.varied:
        for k in range(ROWS_HELD):
            rows.frames[k] = 1
        memset(rows.stmin_us, NO_FLOW_CONTROL, sizeof(rows.stmin_us))
        memset(rows.waits, 0, sizeof(rows.waits))
        memset(rows.flow_controls, 0, sizeof(rows.flow_controls))
        memset(rows.blocksize, NO_FLOW_CONTROL, sizeof(rows.blocksize))
        memset(rows.status, STATUS_OK, sizeof(rows.status))
        rows.varied = False


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


# Memory of tables that are gone, for the next table of the same Reassembler: fresh memory costs more than filling it.
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
cdef bint append_rows(Columns *columns, const Rows *rows, Py_ssize_t expected, void **spare) noexcept nogil

# Takes over the columns and their data, with some rows behind them.
cdef Messages messages_of(tuple sessions, Columns *columns, const Rows *rows, Spares spares)
