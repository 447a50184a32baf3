# What becomes a row of the table: rows that are held until there are enough to become columns, and their payloads.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from isotp.bulk._messages cimport ROWS_HELD, SIZE_AWAY, STATUS_OK, Columns, Rows, StatusCode, append_rows, rows_clear


cdef extern from "_memory.h":
    enum:
        ISOTP_SPARE_LEAST
    void isotp_copy_away(void *to, const void *source, size_t size) noexcept nogil
    void *isotp_realloc_large(void *old, size_t size) noexcept nogil
    void *isotp_take_spare(void **spare, size_t *size) noexcept nogil


cdef enum:
    LEAST_AWAY = 1024              # bytes of payload
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


cdef inline void copy_short(uint8_t *to, const uint8_t *data, uint64_t size) noexcept nogil:
    """memcpy of less than a line. For that, compilers may take an instruction that is dear to begin with."""
    while size >= 16:
        memcpy(to, data, 16)
        to += 16
        data += 16
        size -= 16
    if size >= 8:
        memcpy(to, data, 8)
        memcpy(to + size - 8, data + size - 8, 8)
    elif size >= 4:
        memcpy(to, data, 4)
        memcpy(to + size - 4, data + size - 4, 4)
    elif size > 0:
        to[0] = data[0]
        to[size >> 1] = data[size >> 1]
        to[size - 1] = data[size - 1]


cdef inline void copy_message(uint8_t *to, const uint8_t *data, uint64_t size) noexcept nogil:
    """memcpy by plain stores, which the cache sees coming: the faster way into memory that it does not hold."""
    while size >= LINE:
        memcpy(to, data, LINE)
        to += LINE
        data += LINE
        size -= LINE
    copy_short(to, data, size)


cdef inline bint add_data(Machine *machine, const uint8_t *data, uint64_t size) noexcept nogil:
    cdef uint64_t needed = machine.data_used + size
    if needed > machine.columns.data_size and not grow_data(machine, needed):
        return False
    if size >= LEAST_AWAY and machine.columns.data_size >= SIZE_AWAY:
        isotp_copy_away(machine.columns.data + machine.data_used, data, <size_t>size)
    else:
        copy_message(machine.columns.data + machine.data_used, data, size)
    machine.data_used = needed
    return True


cdef bint flush_rows(Machine *machine) noexcept nogil:
    """Rows become columns, which have room for what the frames up to now let expect. False: no memory."""
    cdef Py_ssize_t rows = machine.columns.count + machine.rows.count
    cdef Py_ssize_t expected = rows
    if machine.done < machine.records:
        # And a little more. A guess that is far from what is there already may be far off.
        expected = <Py_ssize_t>(1.0625 * rows * machine.records / machine.done)
        expected = min(expected, max(4 * rows, <Py_ssize_t>MOST_FIRST_ROWS))
    if not append_rows(&machine.columns, &machine.rows, expected, machine.spare_columns):
        return False
    rows_clear(&machine.rows)
    return True


cdef inline Py_ssize_t add_row(
    Machine *machine, Lane *lane, StatusCode status, int64_t start, int64_t end, uint64_t length, int functional,
) noexcept nogil:
    """A row, one of those held, whose payload was just added. It is one of one frame so far. -1: no memory."""
    cdef Rows *rows = &machine.rows
    cdef Py_ssize_t row
    if rows.count == ROWS_HELD and not flush_rows(machine):
        return -1
    row = rows.count
    rows.count += 1
    rows.data_end[row] = <int64_t>machine.data_used
    rows.start[row] = start
    rows.end[row] = end
    rows.length[row] = <uint32_t>length
    rows.session[row] = lane.session
    rows.channel[row] = lane.channel
    rows.direction[row] = lane.direction
    rows.target_type[row] = <uint8_t>functional
    if status != STATUS_OK:
        rows.status[row] = status
        rows.varied = True
    return row


cdef inline bint add_single(
    Machine *machine, Lane *lane, StatusCode status, uint64_t length, int functional, int64_t now,
) noexcept nogil:
    """A row of one frame, whose payload was just added. False: no memory."""
    if add_row(machine, lane, status, now, now, length, functional) < 0:
        return False
    lane.frames += 1
    lane.messages += status == STATUS_OK
    return True
