# Full CFs without a look-up: runs of one lane, and lanes by turns. Nearly all frames of long messages come this way.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from isotp.bulk._records cimport LATEST_TIME, FdRecord


cdef extern from *:
    """
    /* All bits of a record's can_id, len and channel, none of its flags, whatever the order of bytes. */
    static const union { uint8_t octets[8]; uint64_t word; } isotp_head = {
        {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0xFF, 0xFF}};
    """
    const uint64_t HEAD_MASK "isotp_head.word"


cdef extern from *:
    """
    #if defined(__GNUC__)
        #define isotp_will_write(place) __builtin_prefetch(place, 1)
        #define isotp_will_read(place) __builtin_prefetch(place)
    #else
        #define isotp_will_write(place) (void)(place)
        #define isotp_will_read(place) (void)(place)
    #endif
    """
    void isotp_will_write(const void *place) noexcept nogil
    void isotp_will_read(const void *place) noexcept nogil

cdef enum:
    LOOK_AHEAD = 8                 # frames
    READ_AHEAD = 2048              # bytes


cdef inline void read_ahead(const FdRecord *record, Py_ssize_t itemsize) noexcept nogil:
    """Large records are read faster than they come by themselves. What is behind the last of them harms nobody."""
    if itemsize > LINE:
        isotp_will_read(<const void *>(<size_t>record + READ_AHEAD))
        isotp_will_read(<const void *>(<size_t>record + READ_AHEAD + LINE))


cdef inline uint64_t head_of(const FdRecord *record) noexcept nogil:
    """Identifier, length and channel of a record, which lie side by side, but for the flags between them."""
    cdef uint64_t head
    memcpy(&head, &record.can_id, 8)
    return head & HEAD_MASK


cdef inline Py_ssize_t receive_run(
    Lane *lane, const Config *config, const uint8_t *records, Py_ssize_t count, Py_ssize_t itemsize, int64_t *latest,
) noexcept nogil:
    """Take the full CFs of one lane that begin the records; returns how many.

    What cannot change meanwhile is asked once. The state is in local copies, which payload bytes cannot alias: so it
    stays in registers.
    """
    cdef const FdRecord *record = <const FdRecord *>records
    cdef Receiver rx
    cdef Config here
    cdef int prefix = <int>lane.prefix
    cdef uint64_t head = head_of(record)
    cdef int64_t now
    cdef int64_t newest = latest[0]
    cdef Py_ssize_t k = 0
    cdef Py_ssize_t most
    if record.len != lane.rx.rx_dl:
        return 0
    most = <Py_ssize_t>min(<uint64_t>count, next_cfs(&lane.rx, prefix))
    here.n_cr_ns = config.n_cr_ns
    rx.sn = lane.rx.sn
    rx.rx_dl = lane.rx.rx_dl
    rx.got = lane.rx.got
    rx.taken = 0
    rx.buffer = lane.rx.buffer
    rx.deadline = lane.rx.deadline
    while k < most:
        record = <const FdRecord *>(records + k * itemsize)
        read_ahead(record, itemsize)
        now = min(record.timestamp, LATEST_TIME)
        if head_of(record) != head or now >= rx.deadline or not is_next_cf(&rx, prefix, record.data):
            break
        take_cf(&rx, &here, prefix, record.data, now)
        newest = max(newest, now)
        k += 1
    lane.rx.sn = rx.sn
    lane.rx.got = rx.got
    lane.rx.deadline = rx.deadline
    latest[0] = newest
    return k


cdef int32_t lane_ahead(uint8_t *lanes, const Lane *lane) noexcept nogil:
    """The lane whose turn it is LOOK_AHEAD frames after this one, as far as known."""
    cdef int _step
    for _step in range(LOOK_AHEAD - 1):
        if lane.next < 0:
            return 0
        lane = lane_at(lanes, lane.next)
    return max(lane.next, 0)


cdef Py_ssize_t receive_turns(
    Machine *machine, int32_t *lane_before, int32_t *turn, const uint8_t *records, Py_ssize_t count,
    Py_ssize_t itemsize, int64_t *latest,
) noexcept nogil:
    """Take full CFs as long as each is of the lane whose turn it is; returns how many.

    Sessions that send at once mostly do it by turns: so no ID has to be looked up.
    """
    cdef const uint8_t *at = records
    cdef const uint8_t *end = records + count * itemsize
    cdef const FdRecord *record
    cdef uint8_t *lanes = machine.lanes
    cdef Lane *lane
    cdef Lane *soon = lane_at(lanes, 0)
    cdef Lane *sooner = soon
    cdef Config here
    cdef int32_t before = lane_before[0]
    cdef int32_t this = turn[0]
    cdef int64_t now
    cdef int64_t newest = latest[0]
    cdef Py_ssize_t run
    here.n_cr_ns = machine.config.n_cr_ns
    while at < end and this >= 0:
        record = <const FdRecord *>at
        read_ahead(record, itemsize)
        lane = lane_at(lanes, this)
        # The lane asked for two frames ago should be here by now: where its CF will go has to be fetched, too.
        isotp_will_write(<const void *>(<size_t>sooner.rx.buffer + sooner.rx.got + sooner.rx.rx_dl - 2))
        sooner = soon
        soon = lane_at(lanes, lane.ahead)
        isotp_will_write(soon)
        now = min(record.timestamp, LATEST_TIME)
        if (lane.left == 0 or head_of(record) != lane.head or now >= lane.rx.deadline
                or not is_next_cf(&lane.rx, 0, record.data)):
            break
        take_cf(&lane.rx, &here, 0, record.data, now)
        lane.left -= 1
        newest = max(newest, now)
        at += itemsize
        before = this
        this = lane.next
        if this == before and at < end:
            run = receive_run(lane, &machine.config, at, (end - at) // itemsize, itemsize, &newest)
            lane.left -= <uint32_t>run
            at += run * itemsize
    lane_before[0] = before
    turn[0] = this
    latest[0] = newest
    return (at - records) // itemsize


cdef void forget_turns(Machine *machine) noexcept nogil:
    """No lane takes CFs without a look at their length, until one came in the layout that it has now."""
    cdef Py_ssize_t k
    for k in range(machine.lane_count):
        lane_at(machine.lanes, k).left = 0
