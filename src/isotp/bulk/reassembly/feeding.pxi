# All records of a buffer, each to its lane.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from isotp.bulk._messages cimport STATUS_OK, STATUS_OPEN
from isotp.bulk._records cimport LATEST_TIME, ClassicRecord, FdRecord, key_of
from isotp.bulk._slots cimport Slot


cdef inline int size_of(const FdRecord *record, int room) noexcept nogil:
    # A length that no record can have must not pass for one: receive() refuses it.
    return record.len if record.len <= room else CAN_DLEN_MAX + 1


cdef inline bint feed_records(
    Machine *machine, const uint8_t *records, Py_ssize_t count, Py_ssize_t itemsize, int room,
) noexcept nogil:
    """All records of a buffer. False: no memory. Inlined once for each layout, where itemsize and room are known."""
    cdef const FdRecord *record
    cdef const Slot *recent
    cdef Lane *lane
    cdef Py_ssize_t k = 0
    cdef int64_t now
    cdef int64_t latest = machine.latest
    cdef uint64_t key
    cdef int32_t code
    cdef int32_t stepwise = machine.config.strict      # bit of the codes that receive_next_cf() is not for
    cdef int size
    cdef int length
    cdef const uint8_t *payload
    cdef int32_t before = -1       # lane of the last frame
    cdef int32_t guess = -1        # and the one whose turn it may be
    cdef bint singles = False      # the last frame was an SF, or one of nobody
    cdef bint done = True
    while True:
        if guess >= 0 and lane_at(machine.lanes, guess).left > 0:
            k += receive_turns(machine, &before, &guess, records + k * itemsize, count - k, itemsize, &latest)
        elif singles:
            k = receive_singles(machine, records, k, count, itemsize, &latest)
            singles = False
        if k == count:
            break
        record = <const FdRecord *>(records + k * itemsize)   # both layouts begin alike
        key = key_of(record)
        now = min(record.timestamp, LATEST_TIME)
        latest = max(latest, now)
        size = size_of(record, room)
        k += 1
        recent = recent_place(machine, key)
        code = recent.code
        if recent.key != key:
            code = find_lane(machine, key, record.data, size, &done)
            if not done:
                break
        if code < 0:
            singles = not stepwise
            continue
        lane = lane_at(machine.lanes, code >> 1)
        if before >= 0:
            lane_at(machine.lanes, before).next = code >> 1
        before = code >> 1
        guess = lane.next
        if now < lane.rx.deadline and not code & stepwise and receive_next_cf(
                &lane.rx, &machine.config, <int>lane.prefix, record.data, size, now):
            if lane.prefix == 0 and k < count and key_of(<const FdRecord *>(records + k * itemsize)) == key:
                k += receive_run(
                    lane, &machine.config, records + k * itemsize, count - k, itemsize, &latest)
            lane.head = head_of(record)
            lane.left = 0 if lane.prefix > 0 else <uint32_t>next_cfs(&lane.rx, 0)
            lane.ahead = lane_ahead(machine.lanes, lane)
            continue
        machine.done = k
        length = 0 if stepwise else lone_sf(&lane.rx, <int>lane.prefix, record.data, size, &payload)
        if length > 0:
            if not (add_data(machine, payload, <uint64_t>length)
                    and add_single(machine, lane, STATUS_OK, <uint64_t>length, code & 1, now)):
                done = False
                break
            singles = True
            continue
        done = step(machine, lane, code & 1, record.data, size, now)
        if not done:
            break
    machine.latest = latest
    return done


cdef bint feed_buffer(Machine *machine, const uint8_t *records, Py_ssize_t count, bint fd) noexcept nogil:
    if machine.fd and not fd:
        # The full CF of an FD reception has no room in a classic record, whose `len` may claim it all the same.
        forget_turns(machine)
    machine.fd = fd
    machine.records = count
    # What the frames themselves can carry. Memory that is not written to costs nothing, growing does.
    machine.data_first = <uint64_t>count * (CAN_DLEN_MAX if fd else CAN_DLEN_CLASSIC)
    machine.data_first = min(max(machine.data_first, <uint64_t>FIRST_DATA), <uint64_t>MOST_FIRST_DATA)
    if fd:
        return feed_records(machine, records, count, sizeof(FdRecord), CAN_DLEN_MAX)
    return feed_records(machine, records, count, sizeof(ClassicRecord), CAN_DLEN_CLASSIC)


cdef bint end_all(Machine *machine) noexcept nogil:
    """A row for each reception that is open, in the order in which they began."""
    cdef Py_ssize_t k
    cdef Lane *lane
    cdef int64_t end
    machine.records = 0
    for k in range(machine.lane_count):
        lane = lane_at(machine.lanes, k)
        if not expire(machine, lane, machine.latest):
            return False
        if lane.rx.state == RX_WAIT_CF:
            end = last_frame_time(lane, &machine.config)
            receiver_stop(&lane.rx)
            if end_reception(machine, lane, STATUS_OPEN, end) < 0:
                return False
    return True
