# What becomes a row of the table: rows that are held until there are enough to become columns, and their payloads.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from isotp.bulk._messages cimport NO_FLOW_CONTROL, ROWS_HELD, STATUS_OK, Columns, Row, StatusCode, append_rows


cdef extern from "_memory.h":
    enum:
        ISOTP_SPARE_LEAST
    void *isotp_realloc_large(void *old, size_t size) noexcept nogil
    void *isotp_take_spare(void **spare, size_t *size) noexcept nogil


cdef enum:
    FIRST_DATA = 256               # bytes of memory for payloads
    MOST_FIRST_DATA = 1 << 26      # ... however many frames there are
    MOST_FIRST_ROWS = 1 << 20      # rows that there is room for at once, whatever is expected


cdef bint grow_data(Machine *machine, uint64_t needed) noexcept nogil:
    cdef Columns *columns = &machine.columns
    cdef uint64_t capacity
    cdef uint8_t *grown
    if columns.data == NULL and machine.data_first >= ISOTP_SPARE_LEAST:
        columns.data = <uint8_t *>isotp_take_spare(machine.spare_data, &columns.data_size)
        if needed <= columns.data_size:
            return True
    capacity = max(2 * <uint64_t>columns.data_size, needed, machine.data_first)
    grown = <uint8_t *>isotp_realloc_large(columns.data, <size_t>capacity)
    if grown == NULL:
        return False
    columns.data = grown
    columns.data_size = <size_t>capacity
    return True


cdef inline void copy_message(uint8_t *to, const uint8_t *data, uint64_t size) noexcept nogil:
    """memcpy by plain stores, which the cache sees coming: the faster way into memory that it does not hold."""
    while size >= LINE:
        memcpy(to, data, LINE)
        to += LINE
        data += LINE
        size -= LINE
    copy_payload(to, data, size)


cdef inline bint add_data(Machine *machine, const uint8_t *data, uint64_t size) noexcept nogil:
    cdef uint64_t needed = machine.data_used + size
    if needed > machine.columns.data_size and not grow_data(machine, needed):
        return False
    copy_message(machine.columns.data + machine.data_used, data, size)
    machine.data_used = needed
    return True


cdef bint flush_rows(Machine *machine) noexcept nogil:
    """Rows become columns, which have room for what the frames up to now let expect. False: no memory."""
    cdef Py_ssize_t rows = machine.columns.count + machine.row_count
    cdef Py_ssize_t expected = rows
    if machine.done < machine.records:
        # And a little more. A guess that is far from what is there already may be far off.
        expected = <Py_ssize_t>(1.0625 * rows * machine.records / machine.done)
        expected = min(expected, max(4 * rows, <Py_ssize_t>MOST_FIRST_ROWS))
    if not append_rows(&machine.columns, machine.rows, machine.row_count, expected, machine.spare_columns):
        return False
    machine.row_count = 0
    return True


cdef inline Row *add_row(Machine *machine, Lane *lane, StatusCode status, int64_t start, int64_t end) noexcept nogil:
    """A row whose payload was just added; its length, frames and target type are the caller's. NULL: no memory."""
    cdef Row *row
    if machine.row_count == ROWS_HELD and not flush_rows(machine):
        return NULL
    row = &machine.rows[machine.row_count]
    machine.row_count += 1
    row.start = start
    row.end = end
    row.data_end = <int64_t>machine.data_used
    row.session = lane.session
    row.channel = lane.channel
    row.direction = lane.direction
    row.status = status
    return row


cdef inline Row *add_single(
    Machine *machine, Lane *lane, StatusCode status, uint64_t length, int functional, int64_t now,
) noexcept nogil:
    """A row of one frame, whose payload was just added. NULL: no memory."""
    cdef Row *row = add_row(machine, lane, status, now, now)
    if row != NULL:
        row.length = <uint32_t>length
        row.frames = 1
        row.target_type = <uint8_t>functional
        row.stmin_us = NO_FLOW_CONTROL
        row.blocksize = NO_FLOW_CONTROL
        row.waits = 0
        row.flow_controls = 0
        lane.frames += 1
        lane.messages += status == STATUS_OK
    return row
