# The state: a lane for each direction of a session on a channel, and what all of them share.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from isotp.bulk._messages cimport NO_FLOW_CONTROL, Columns, Rows
from isotp.bulk._slots cimport Slot, Slots


cdef enum:
    OUTCOME_COUNT = PEER_OVERFLOW + 1
    LINE = 64                      # bytes of a line of the cache
    RECENT_BITS = 8                # 4 KiB: what a bus has at once, in the nearest cache


# One direction of one session on one channel. Its first 64 bytes, up to rx.deadline, are all that an expected CF needs.
cdef struct Lane:
    uint64_t head                  # head_of() the CFs that it takes without further questions ...
    uint32_t left                  # ... and how many of them, as far as known now
    int32_t next                   # lane of the frame that came after one of this lane, or -1
    int32_t ahead                  # lane of a frame that came LOOK_AHEAD frames later
    int32_t prefix                 # bytes before the N_PCI
    Receiver rx
    # Of the reception that goes on:
    int64_t start
    uint64_t counted_bytes         # payload of `counted_frames`
    uint32_t counted_frames        # those that were no full CF, which come by receive_next_cf() and are not counted
    bint overflow                  # the receiver asked to stop
    int64_t restarted              # deadline that a flow control frame set
    int64_t before_restart         # time of the last frame then
    int32_t stmin_us
    int32_t blocksize
    uint32_t waits
    uint32_t flow_controls
    # Who it is:
    int32_t session
    int32_t peer                   # lane of the other direction
    uint16_t channel
    uint8_t direction
    uint8_t target_type
    # Since the begin:
    uint64_t frames
    uint64_t messages
    uint64_t[OUTCOME_COUNT] outcomes


cdef struct Machine:
    Config config
    Slots slots
    uint8_t *lanes                 # lane_stride() bytes each, beginning at a line of the cache
    void *lanes_memory             # as malloc() gave it
    Py_ssize_t lane_count
    Py_ssize_t lane_capacity
    Py_ssize_t places              # of addresses on channels that they were not given with ...
    Py_ssize_t most_places         # ... and how many of them there may be
    uint64_t passed_over           # frames that found no place
    uint64_t *keys                 # of each session four: 2 * direction + functional
    Slot[1 << RECENT_BITS] recent  # keys without extension byte that came last, of each place; see recent_place()
    int64_t latest                 # time of the latest frame
    bint fd                        # layout of the records that came last
    uint64_t data_used             # bytes of payload in `columns.data`
    uint64_t data_first            # room for them to begin with
    Py_ssize_t records             # of this feed(): how many there are ...
    Py_ssize_t done                # ... and how many of them were looked at, when a row was added
    void **spare_columns
    void **spare_data
    Columns columns                # of the table that is being made
    Rows rows                      # those that are not in the columns yet


cdef void lane_clear(Lane *lane) noexcept nogil:
    """Forget the flow control of the last reception."""
    lane.overflow = False
    lane.restarted = NEVER
    lane.stmin_us = NO_FLOW_CONTROL
    lane.blocksize = NO_FLOW_CONTROL
    lane.waits = 0
    lane.flow_controls = 0


cdef inline Py_ssize_t lane_stride() noexcept nogil:
    """Bytes from a lane to the next: whole lines, and an odd number of them, so that all sets of a cache are used."""
    return ((<Py_ssize_t>sizeof(Lane) + LINE - 1) // LINE | 1) * LINE


cdef inline Lane *lane_at(uint8_t *lanes, Py_ssize_t index) noexcept nogil:
    return <Lane *>(lanes + index * lane_stride())


cdef bint lanes_reserve(Machine *machine, Py_ssize_t more) noexcept nogil:
    cdef Py_ssize_t capacity = machine.lane_capacity
    cdef uint8_t *lanes
    cdef void *memory
    if machine.lane_count + more <= capacity:
        return True
    capacity = max(2 * capacity, machine.lane_count + more, 4)
    memory = malloc(<size_t>(capacity * lane_stride() + LINE))
    if memory == NULL:
        return False
    lanes = <uint8_t *>memory + (LINE - <size_t>memory % LINE)
    if machine.lane_count > 0:
        memcpy(lanes, machine.lanes, <size_t>(machine.lane_count * lane_stride()))
    free(machine.lanes_memory)
    machine.lanes = lanes
    machine.lanes_memory = memory
    machine.lane_capacity = capacity
    return True
