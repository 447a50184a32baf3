# One frame of a CAN ID, on the lines that it may belong to: without extension byte, and with its first one. And all
# records of a buffer.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport malloc

from isotp.bulk._records cimport CAN_ERR_FLAG, CAN_RTR_FLAG, LATEST_TIME, ClassicRecord, FdRecord, key_of
from isotp.bulk._slots cimport KEY_EMPTY


cdef inline bint is_hopeless(uint64_t bad, uint64_t frames) noexcept nogil:
    return bad >= HOPELESS_BADS and bad * 4 > frames


cdef int32_t find_prefixed(Machine *machine, int32_t index, uint8_t prefix) noexcept nogil:
    """The line of a first byte, or NO_INDEX: no memory; or NO_ROOM."""
    cdef Station *station = &machine.stations[index]
    cdef int k
    if (machine.line_count - machine.station_count >= MOST_PREFIXED
            and (station.prefixed == NULL or station.prefixed[prefix] == NO_INDEX)):
        return NO_ROOM
    if station.prefixed == NULL:
        station.prefixed = <int32_t *>malloc(256 * sizeof(int32_t))
        if station.prefixed == NULL:
            return NO_INDEX
        for k in range(256):
            station.prefixed[k] = NO_INDEX
    if station.prefixed[prefix] == NO_INDEX:
        station.prefixed[prefix] = add_line(machine, index, prefix)
    return station.prefixed[prefix]


cdef bint hear(Machine *machine, int32_t index, const uint8_t *data, int size, int64_t now) noexcept nogil:
    """One frame of an ID. False: no memory."""
    cdef Station *station = &machine.stations[index]
    cdef int32_t line
    cdef NPci pci
    cdef Outcome outcome
    station.frames += 1
    if not station.hopeless:
        look(machine, station.normal, data, size, now)
        station.hopeless = is_hopeless(machine.lines[station.normal].tally.bad, station.frames)
    if station.prefixed_hopeless:
        return True
    if decode_n_pci(data, size, 1, &pci, &outcome) != OK:
        # What is none of a line, or was not one so far, needs no line.
        station.prefixed_bad += 1
        if size > 0 and station.prefixed != NULL and station.prefixed[data[0]] != NO_INDEX:
            look(machine, station.prefixed[data[0]], data, size, now)
    else:
        line = find_prefixed(machine, index, data[0])
        if line == NO_INDEX:
            return False
        if line == NO_ROOM:
            machine.passed_over += 1
            return True
        station.prefixed_bad += look(machine, line, data, size, now) == SEEN_BAD
    station.prefixed_hopeless = is_hopeless(station.prefixed_bad, station.frames)
    return True


# ---------------------------------------------------------------- all records of a buffer


cdef bint feed_records(
    Machine *machine, const uint8_t *records, Py_ssize_t count, Py_ssize_t itemsize, int room,
) noexcept nogil:
    """All records of a buffer. False: no memory."""
    cdef const FdRecord *record
    cdef Py_ssize_t k
    cdef uint64_t key
    cdef int64_t now
    for k in range(count):
        record = <const FdRecord *>(records + k * itemsize)   # both layouts begin alike
        if (record.can_id & (CAN_RTR_FLAG | CAN_ERR_FLAG) or record.len > room
                or not record.can_id & CAN_EFF_FLAG and record.can_id > CAN_SFF_MASK):
            continue
        key = key_of(record)
        if key != machine.last_key:
            machine.last_station = find_station(machine, key)
            if machine.last_station < 0:
                machine.last_key = KEY_EMPTY
                if machine.last_station == NO_INDEX:
                    return False
                machine.passed_over += 1
                continue
            machine.last_key = key
        now = max(min(record.timestamp, LATEST_TIME), EARLIEST_TIME)
        if not hear(machine, machine.last_station, record.data, record.len, now):
            return False
    return True


cdef bint feed_buffer(Machine *machine, const uint8_t *records, Py_ssize_t count, bint fd) noexcept nogil:
    if fd:
        return feed_records(machine, records, count, sizeof(FdRecord), CAN_DLEN_MAX)
    return feed_records(machine, records, count, sizeof(ClassicRecord), CAN_DLEN_CLASSIC)
