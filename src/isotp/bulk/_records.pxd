# Frames in bulk as C sees them: the two record layouts, and the growable array that holds records.
# _records.pyx has the documentation. Other compiled modules fill a Records by the inline functions below.

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset


cdef extern from "_memory.h":
    void *isotp_realloc_large(void *old, size_t size) noexcept nogil


cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX


cdef enum:
    CAN_RTR_FLAG = 0x40000000      # linux/can.h: remote transmission request
    CAN_ERR_FLAG = 0x20000000      # linux/can.h: error message of the controller
    CANFD_ESI = 0x02               # linux/can.h: error state of the sender
    RECORD_SENT = 0x80             # the recorder itself sent the frame (Tx)
    RECORDS_WITH_GIL = 128         # so few are done before another thread could be woken up
    RECORDS_FLAGS = PyBUF_ND | PyBUF_FORMAT
    KEY_CHANNEL_SHIFT = 48


cdef extern from *:
    """
    #define ISOTP_LATEST_TIME ((int64_t)1 << 62)
    """
    const int64_t LATEST_TIME "ISOTP_LATEST_TIME"      # of a frame: N_Cr, STmin and steps can be added to it


# Packed: a buffer of the user may begin at any byte.
cdef packed struct ClassicRecord:
    int64_t timestamp              # ns
    uint32_t can_id                # with CAN_EFF_FLAG, CAN_RTR_FLAG, CAN_ERR_FLAG
    uint8_t len                    # bytes used in data
    uint8_t flags                  # CANFD_BRS, CANFD_ESI, CANFD_FDF, RECORD_SENT
    uint16_t channel
    uint8_t data[8]


cdef packed struct FdRecord:
    int64_t timestamp
    uint32_t can_id
    uint8_t len
    uint8_t flags
    uint16_t channel
    uint8_t data[64]


cdef inline uint64_t key_of(const FdRecord *record) noexcept nogil:
    """Identifier and channel of a record of any layout; the 16 bits between them are free."""
    return record.can_id | <uint64_t>record.channel << KEY_CHANNEL_SHIFT


cdef struct RecordArray:
    uint8_t *items
    Py_ssize_t count
    Py_ssize_t capacity
    Py_ssize_t itemsize
    Py_ssize_t exports             # buffers that others hold: the memory must stay where it is


cdef inline bint record_array_reserve(RecordArray *array, Py_ssize_t more) noexcept nogil:
    """Room for `more` records. False: no memory, or somebody holds a buffer of it."""
    cdef Py_ssize_t capacity
    cdef uint8_t *items
    if more <= array.capacity - array.count:
        return True
    if array.exports > 0 or more > PY_SSIZE_T_MAX // array.itemsize - array.count:
        return False
    capacity = max(array.count + more, min(array.capacity * 2, PY_SSIZE_T_MAX // array.itemsize), 16)
    items = <uint8_t *>isotp_realloc_large(array.items, <size_t>(capacity * array.itemsize))
    if items == NULL:
        return False
    array.items = items
    array.capacity = capacity
    return True


cdef inline FdRecord *add_record(RecordArray *array) noexcept nogil:
    """A further record of any layout, all zero; valid until the next one. NULL: as record_array_reserve()."""
    cdef FdRecord *record
    if array.count == array.capacity and not record_array_reserve(array, 1):
        return NULL
    record = <FdRecord *>(array.items + array.count * array.itemsize)
    if array.itemsize == sizeof(FdRecord):
        memset(record, 0, sizeof(FdRecord))
    else:
        memset(record, 0, sizeof(ClassicRecord))
    array.count += 1
    return record


cdef class Records:
    cdef RecordArray array
    cdef Py_ssize_t[1] shape
    cdef Py_ssize_t[1] strides

    cdef int raise_full(self) except -1


cdef Records new_records(bint fd, Py_ssize_t capacity)


# Records that somebody gave.
cdef struct RecordBuffer:
    Py_buffer view                 # by PyObject_GetBuffer(..., RECORDS_FLAGS)
    const uint8_t *items
    Py_ssize_t count
    bint fd                        # layout


# The rest by the view and by `layout`: "classic", "fd", or None if the size of the items tells. ValueError: no records.
cdef int find_records(RecordBuffer *buffer, object layout) except -1
