# SFs, and frames of nobody, one behind the other: what live traffic mostly is.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from isotp.bulk._messages cimport ROWS_HELD, Rows
from isotp.bulk._records cimport LATEST_TIME, FdRecord, key_of
from isotp.bulk._slots cimport Slot, slot_of


cdef enum:
    SHORT_PAYLOAD = CAN_DLEN_CLASSIC - 1


cdef Py_ssize_t receive_singles(
    Machine *machine, const uint8_t *records, Py_ssize_t k, Py_ssize_t count, Py_ssize_t itemsize, int64_t *latest,
) noexcept nogil:
    """Take them from record `k` on, as far as nothing has to be made for them; up to which record.

    It decides nothing that lone_sf() would not decide alike. Of each row it writes what others may have differently.
    """
    cdef Rows *rows = &machine.rows
    cdef const FdRecord *record
    cdef Slot *recent
    cdef const Slot *slot
    cdef Lane *lane
    cdef uint8_t *data = machine.columns.data
    cdef uint64_t used = machine.data_used
    cdef uint64_t last = machine.columns.data_size
    cdef Py_ssize_t row = rows.count
    cdef int64_t now
    cdef int64_t newest = latest[0]
    cdef uint64_t key
    cdef int32_t code
    cdef int length
    last = last - SHORT_PAYLOAD if last >= SHORT_PAYLOAD else 0
    while k < count:
        record = <const FdRecord *>(records + k * itemsize)
        isotp_will_read(<const void *>(<size_t>record + READ_AHEAD))
        key = key_of(record)
        recent = recent_place(machine, key)
        if recent.key != key:
            slot = slot_of(&machine.slots, key)
            if slot.key != key or slot.code < 0:
                break
            recent[0] = slot[0]
        now = min(record.timestamp, LATEST_TIME)
        code = recent.code
        if code >= 0:
            lane = lane_at(machine.lanes, code >> 1)
            length = record.data[0]
            if (lane.rx.state != RX_IDLE or lane.prefix > 0 or record.len > CAN_DLEN_CLASSIC or length < 1
                    or length >= record.len or row == ROWS_HELD or used >= last):
                break
            # All that may be: to copy so many costs less than to ask how many.
            memcpy(data + used, record.data + 1, SHORT_PAYLOAD)
            used += <uint64_t>length
            rows.data_end[row] = <int64_t>used
            rows.start[row] = now
            rows.end[row] = now
            rows.length[row] = <uint32_t>length
            rows.session[row] = lane.session
            rows.channel[row] = lane.channel
            rows.direction[row] = lane.direction
            rows.target_type[row] = code & 1
            row += 1
            lane.frames += 1
            lane.messages += 1
        newest = max(newest, now)
        k += 1
    rows.count = row
    machine.data_used = used
    latest[0] = newest
    return k
