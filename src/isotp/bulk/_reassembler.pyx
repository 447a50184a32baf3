# cython: language_level=3
"""Many frames at once: records in, a table of messages out, one Receiver for each direction of each session.

The loop runs without the GIL and calls the same steps of _protocol/ that a layer in listen mode does. What is here
is only which Receiver a frame is for, and what becomes a row of the table.
"""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MIN, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from isotp.bulk._message import Direction

from isotp._protocol.frames cimport *
from isotp._protocol.n_pci cimport *
from isotp._protocol.reception cimport *
from isotp._protocol.types cimport *
from isotp._core cimport error_class_of, flatten_address, require_address, takes_frames_by_filter
from isotp.bulk._messages cimport (
    DIRECTION_TX,
    NO_FLOW_CONTROL,
    ROWS_HELD,
    STATUS_INTERRUPTED_BY_FF,
    STATUS_INTERRUPTED_BY_SF,
    STATUS_INVALID_FRAME,
    STATUS_OK,
    STATUS_OPEN,
    STATUS_OUT_OF_MEMORY,
    STATUS_OVERFLOW,
    STATUS_TIMED_OUT,
    STATUS_TOO_LONG,
    STATUS_WRONG_SN,
    Columns,
    Messages,
    Row,
    Spares,
    StatusCode,
    append_rows,
    forget_columns,
    messages_of,
)
from isotp.bulk._records cimport ClassicRecord, FdRecord, buffer_is_fd
from isotp.bulk._slots cimport (
    KEY_EMPTY,
    NO_CODE,
    Slot,
    Slots,
    code_of,
    slot_add,
    slot_of,
    slots_free,
    slots_init,
    slots_reserve,
)


cdef extern from "_memory.h":
    enum:
        ISOTP_SPARE_LEAST
    void *isotp_realloc_large(void *old, size_t size) noexcept nogil
    void *isotp_take_spare(void **spare, size_t *size) noexcept nogil


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
    #else
        #define isotp_will_write(place) (void)(place)
    #endif
    """
    void isotp_will_write(const void *place) noexcept nogil


cdef enum:
    OUTCOME_COUNT = PEER_OVERFLOW + 1
    RECORDS_WITH_GIL = 128         # so few are done before another thread could be woken up
    FIRST_DATA = 256               # bytes of memory for payloads
    MOST_FIRST_DATA = 1 << 26      # ... however many frames there are
    MOST_FIRST_ROWS = 1 << 20      # rows that there is room for at once, whatever is expected
    LINE = 64                      # bytes of a line of the cache
    LOOK_AHEAD = 8                 # frames
    KEY_CHANNEL_SHIFT = 48
    KEY_PREFIX_SHIFT = 32
    MOST_FURTHER_PLACES = 16_384   # a place: an address on a channel that it was not given with; 1.5 KiB each

cdef int64_t LATEST_TIME = <int64_t>1 << 62        # N_Cr can be added to it
cdef uint64_t KEY_ANY_CHANNEL = <uint64_t>1 << 41
cdef uint64_t KEY_HAS_PREFIX = <uint64_t>1 << 40
cdef uint64_t KEY_CHANNEL = <uint64_t>0xFFFF << KEY_CHANNEL_SHIFT

# What a key stands for: 2 * lane + functional, or one of these, or FIRST_TEMPLATE - (4 * session + 2 * direction
# + functional) for an address that was not heard on its channel yet.
cdef enum:
    NO_LANE = NO_CODE
    ASK_PREFIX = -2                # the ID's frames begin with N_TA or N_AE, which is part of the key
    FIRST_TEMPLATE = -3


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
    AddressFilter *filters         # of each session
    uint64_t last_key
    int32_t last_code
    int64_t latest                 # time of the latest frame
    bint fd                        # layout of the records that came last
    uint64_t data_used             # bytes of payload in `columns.data`
    uint64_t data_first            # room for them to begin with
    Py_ssize_t records             # of this feed(): how many there are ...
    Py_ssize_t done                # ... and how many of them were looked at, when a row was added
    void **spare_columns
    void **spare_data
    Columns columns                # of the table that is being made
    Py_ssize_t row_count
    Row[ROWS_HELD] rows            # those that are not in the columns yet


# ---------------------------------------------------------------- which lane


cdef inline uint64_t any_channel(uint64_t key) noexcept nogil:
    return (key & ~KEY_CHANNEL) | KEY_ANY_CHANNEL


cdef inline uint64_t address_key(const AddressFilter *address, int direction, bint functional) noexcept nogil:
    """The key of one direction of an address, without the channel."""
    cdef uint64_t key
    if direction == DIRECTION_TX:
        key = address.tx_id_functional if functional else address.tx_id_physical
        if address.tx_prefix_size:
            key |= KEY_HAS_PREFIX | <uint64_t>address.tx_prefix << KEY_PREFIX_SHIFT
        return key
    key = address.rx_id_functional if functional else address.rx_id_physical
    if address.rx_prefix_size:
        key |= KEY_HAS_PREFIX | <uint64_t>address.rx_prefix << KEY_PREFIX_SHIFT
    return key


cdef inline int32_t template_code(Py_ssize_t session, int direction, bint functional) noexcept nogil:
    return <int32_t>(<int>FIRST_TEMPLATE - (4 * session + 2 * direction + <int>functional))


cdef bint template_add(Machine *machine, Py_ssize_t session, uint64_t channel_bits) noexcept nogil:
    """Make an address known on a channel, or on all."""
    cdef int direction, functional
    cdef uint64_t key
    for direction in range(2):
        for functional in range(2):
            key = address_key(&machine.filters[session], direction, functional)
            if key == CAN_NO_ID:   # the direction that a partial address does not have
                continue
            if key & KEY_HAS_PREFIX and not slot_add(&machine.slots, <uint32_t>key | channel_bits, ASK_PREFIX):
                return False
            if not slot_add(&machine.slots, key | channel_bits, template_code(session, direction, functional)):
                return False
    return True


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


cdef bint open_session(Machine *machine, int32_t session, uint64_t key) noexcept nogil:
    """Make both lanes of a session on the channel of `key`, where one of its addresses was heard."""
    cdef const AddressFilter *address = &machine.filters[session]
    cdef int direction, functional
    cdef uint64_t found, exact
    cdef uint64_t channel_bits = key & KEY_CHANNEL
    cdef Lane *lane
    cdef Slot *slot
    if not lanes_reserve(machine, 2) or not slots_reserve(&machine.slots, 4):
        return False
    for direction in range(2):
        lane = lane_at(machine.lanes, machine.lane_count + direction)
        memset(lane, 0, <size_t>lane_stride())
        receiver_init(&lane.rx)
        lane.next = -1
        lane_clear(lane)
        lane.prefix = address.tx_prefix_size if direction == DIRECTION_TX else address.rx_prefix_size
        lane.session = session
        lane.peer = <int32_t>(machine.lane_count + 1 - direction)
        lane.channel = <uint16_t>(key >> KEY_CHANNEL_SHIFT)
        lane.direction = <uint8_t>direction
        for functional in range(2):
            found = address_key(address, direction, functional)
            exact = found | channel_bits
            slot = slot_of(&machine.slots, exact)
            if slot.key != exact:
                # Where an ID belongs to several sessions, the first of them has it on every channel.
                if code_of(&machine.slots, any_channel(exact)) != template_code(session, direction, functional):
                    continue
                slot_add(&machine.slots, exact, NO_LANE)       # there is room
                slot = slot_of(&machine.slots, exact)
            elif slot.code != template_code(session, direction, functional):
                continue
            slot.code = <int32_t>(2 * (machine.lane_count + direction) + functional)
    machine.lane_count += 2
    machine.last_key = KEY_EMPTY
    return True


cdef int32_t find_lane(
    Machine *machine, uint64_t key, const uint8_t *data, int size, bint *done,
) noexcept nogil:
    """The code of the lane for a frame, or NO_LANE."""
    cdef int32_t code = code_of(&machine.slots, key)
    if code == NO_LANE:
        code = code_of(&machine.slots, any_channel(key))
    if code == ASK_PREFIX:
        if size < 1:
            return NO_LANE
        key |= KEY_HAS_PREFIX | <uint64_t>data[0] << KEY_PREFIX_SHIFT
        code = code_of(&machine.slots, key)
        if code == NO_LANE:
            code = code_of(&machine.slots, any_channel(key))
    if code <= FIRST_TEMPLATE:
        if code_of(&machine.slots, key) == NO_LANE:
            if machine.places >= machine.most_places:
                machine.passed_over += 1
                return NO_LANE
            machine.places += 1
        if not open_session(machine, (FIRST_TEMPLATE - code) >> 2, key):
            done[0] = False
            return NO_LANE
        code = code_of(&machine.slots, key)
    if code >= 0 and not key & KEY_HAS_PREFIX:
        machine.last_key = key
        machine.last_code = code
    return code


# ---------------------------------------------------------------- what becomes a row


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


cdef inline uint32_t frames_of_reception(const Lane *lane) noexcept nogil:
    """SF, FF and CFs. Those that receive_next_cf() took are not counted, but all were full."""
    return lane.counted_frames + <uint32_t>(
        (lane.rx.got - lane.counted_bytes) // <uint64_t>(lane.rx.rx_dl - 1 - lane.prefix))


cdef inline int64_t last_frame_time(const Lane *lane, const Config *config) noexcept nogil:
    """Each frame of a reception sets N_Cr, so that says when the last one came."""
    return lane.before_restart if lane.rx.deadline == lane.restarted else lane.rx.deadline - config.n_cr_ns


cdef Row *end_reception(Machine *machine, Lane *lane, StatusCode status, int64_t end) noexcept nogil:
    """A row for a segmented reception that ended, with what was received. NULL: no memory."""
    cdef Row *row
    if not add_data(machine, lane.rx.buffer, lane.rx.got):
        return NULL
    if lane.overflow and status != STATUS_OK:
        status = STATUS_OVERFLOW
    row = add_row(machine, lane, status, lane.start, end)
    if row == NULL:
        return NULL
    row.length = <uint32_t>lane.rx.size
    row.frames = frames_of_reception(lane)
    row.target_type = lane.target_type
    row.stmin_us = lane.stmin_us
    row.blocksize = <int16_t>lane.blocksize
    row.waits = lane.waits
    row.flow_controls = lane.flow_controls
    lane.frames += row.frames
    lane.messages += status == STATUS_OK
    lane.left = 0
    lane_clear(lane)
    return row


cdef StatusCode status_of(const Outcome *outcome) noexcept nogil:
    """Why a reception was stopped by a frame."""
    if outcome.interruption == INTERRUPTED_BY_SF:
        return STATUS_INTERRUPTED_BY_SF
    if outcome.interruption == INTERRUPTED_BY_FF:
        return STATUS_INTERRUPTED_BY_FF
    if outcome.code == WRONG_SN:
        return STATUS_WRONG_SN
    if outcome.code == OUT_OF_MEMORY:
        return STATUS_OUT_OF_MEMORY
    return STATUS_INVALID_FRAME


cdef bint expire(Machine *machine, Lane *lane, int64_t now) noexcept nogil:
    """Give up a reception whose N_Cr ran out before `now`. False: no memory."""
    cdef Outcome outcome
    cdef int64_t end = last_frame_time(lane, &machine.config)
    if lane.rx.state != RX_WAIT_CF or not receiver_expired(&lane.rx, now, &outcome):
        return True
    lane.outcomes[<int>N_CR_TIMEOUT] += 1
    return end_reception(machine, lane, STATUS_TIMED_OUT, end) != NULL


cdef bint hear_flow_control(Machine *machine, Lane *lane, int64_t now) noexcept nogil:
    """A flow control frame on `lane` is for the message that goes the other way."""
    cdef const NPci *pci = &lane.rx.flow_control
    cdef Lane *sender = lane_at(machine.lanes, lane.peer)
    if pci.flow_status == FS_OVFLW and not machine.config.strict:
        lane.outcomes[<int>PEER_OVERFLOW] += 1
    if pci.flow_status > FS_OVFLW:
        lane.outcomes[<int>BAD_FC_STATUS] += 1
        return True
    if not expire(machine, sender, now):
        return False
    if sender.rx.state != RX_WAIT_CF:
        return True
    sender.flow_controls += 1
    if pci.flow_status == FS_OVFLW:
        sender.overflow = True
        return True
    if pci.flow_status == FS_WAIT:
        sender.waits += 1
    else:
        sender.blocksize = pci.blocksize
        sender.stmin_us = <int32_t>((pci.stmin_ns if pci.stmin_ns >= 0 else LONGEST_STMIN_NS) // 1000)
    # 9.8.2: N_Cr runs from the flow control frame, so that a sender may wait for it as long as it likes.
    if sender.rx.deadline != sender.restarted:
        sender.before_restart = last_frame_time(sender, &machine.config)
    flow_control_sent(&sender.rx, &machine.config, now)
    sender.restarted = sender.rx.deadline
    return True


cdef inline void begin_reception(Lane *lane, int functional, int64_t now) noexcept nogil:
    lane_clear(lane)
    lane.start = now
    lane.target_type = <uint8_t>functional
    lane.counted_frames = 1
    lane.counted_bytes = lane.rx.got


cdef bint is_ignored(const Lane *lane, const uint8_t *data, int size) noexcept nogil:
    """Whether the standard has a receiver ignore this frame."""
    cdef NPci pci
    cdef Outcome outcome
    cdef int prefix = <int>lane.prefix
    if size > CAN_DLEN_MAX:
        return True
    return check_strictly(
        decode_n_pci(data, size, prefix, &pci, &outcome), &lane.rx, &pci, prefix, size, &outcome) != OK


cdef bint step_functional(
    Machine *machine, Lane *lane, const uint8_t *data, int size, int64_t now,
) noexcept nogil:
    """One frame with a functional address, in the standard's way. False: no memory."""
    cdef Outcome outcome
    cdef RxEvent event = receive_functional(&lane.rx, &machine.config, <int>lane.prefix, data, size, &outcome)
    lane.outcomes[<int>outcome.code] += 1
    if event == RX_MESSAGE:
        return (add_data(machine, lane.rx.message, lane.rx.message_size)
                and add_single(machine, lane, STATUS_OK, lane.rx.message_size, True, now) != NULL)
    lane.frames += 1
    return True


cdef bint step(
    Machine *machine, Lane *lane, int functional, const uint8_t *data, int size, int64_t now,
) noexcept nogil:
    """One frame on a lane that receive_next_cf() did not take. False: no memory."""
    cdef Outcome outcome
    cdef RxEvent event
    cdef Row *interrupted = NULL
    cdef bint was_open, is_first
    cdef uint64_t got
    cdef int64_t end
    lane.left = 0
    if not expire(machine, lane, now):
        return False
    if functional and machine.config.strict:
        return step_functional(machine, lane, data, size, now)
    was_open = lane.rx.state == RX_WAIT_CF
    is_first = (size > lane.prefix and data[lane.prefix] >> 4 == N_PCI_FF
                and not (machine.config.strict and is_ignored(lane, data, size)))
    end = last_frame_time(lane, &machine.config)
    got = lane.rx.got
    if was_open and is_first:
        # A first frame ends the reception in any case, good or bad, and takes over its buffer.
        interrupted = end_reception(machine, lane, STATUS_INTERRUPTED_BY_FF, end)
        if interrupted == NULL:
            return False
    event = receive(&lane.rx, &machine.config, <int>lane.prefix, data, size, now, &outcome)
    lane.outcomes[<int>outcome.code] += 1
    lane.outcomes[<int>outcome.interruption] += 1
    if interrupted != NULL:
        if outcome.interruption == OK and interrupted.status == STATUS_INTERRUPTED_BY_FF:
            interrupted.status = STATUS_INVALID_FRAME
    elif was_open and lane.rx.state == RX_IDLE and (event != RX_MESSAGE or outcome.interruption != OK):
        if end_reception(machine, lane, status_of(&outcome), end) == NULL:
            return False

    if event == RX_MESSAGE and was_open and outcome.interruption == OK:
        lane.counted_frames += 1
        lane.counted_bytes += lane.rx.got - got
        return end_reception(machine, lane, STATUS_OK, now) != NULL
    if event == RX_MESSAGE:
        return (add_data(machine, lane.rx.message, lane.rx.message_size)
                and add_single(machine, lane, STATUS_OK, lane.rx.message_size, functional, now) != NULL)
    if lane.rx.state == RX_WAIT_CF and is_first:
        begin_reception(lane, functional, now)
        return True
    if lane.rx.state == RX_WAIT_CF and event == RX_NOTHING and outcome.code == OK:
        lane.counted_frames += 1
        lane.counted_bytes += lane.rx.got - got
        return True
    if is_first and (outcome.code == FF_DL_TOO_LONG or outcome.code == OUT_OF_MEMORY):
        return add_single(
            machine, lane, STATUS_TOO_LONG if outcome.code == FF_DL_TOO_LONG else STATUS_OUT_OF_MEMORY,
            outcome.given, functional, now) != NULL
    lane.frames += 1
    return event != RX_FLOW_CONTROL or hear_flow_control(machine, lane, now)


cdef inline uint64_t key_of(const FdRecord *record) noexcept nogil:
    return record.can_id | <uint64_t>record.channel << KEY_CHANNEL_SHIFT


cdef inline int size_of(const FdRecord *record, int room) noexcept nogil:
    # A length that no record can have must not pass for one: receive() refuses it.
    return record.len if record.len <= room else CAN_DLEN_MAX + 1


cdef inline uint64_t head_of(const FdRecord *record) noexcept nogil:
    """Identifier, length and channel of a record, which lie side by side, but for the flags between them."""
    cdef uint64_t head
    memcpy(&head, &record.can_id, 8)
    return head & HEAD_MASK


cdef inline Py_ssize_t receive_run(
    Lane *lane, const Config *config, const uint8_t *records, Py_ssize_t count, Py_ssize_t itemsize, int64_t *latest,
) noexcept nogil:
    """Take the full CFs of one lane that begin the records; returns how many.

    What can not change meanwhile is asked once. The state is in local copies, which payload bytes can not alias: so it
    stays in registers.
    """
    cdef const FdRecord *record = <const FdRecord *>records
    cdef Receiver rx
    cdef Config here
    cdef int prefix = <int>lane.prefix
    cdef uint64_t head = head_of(record)
    cdef int64_t now
    cdef int64_t newest = latest[0]
    cdef int64_t latest_time = LATEST_TIME
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
        now = min(record.timestamp, latest_time)
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
    cdef int64_t latest_time = LATEST_TIME
    cdef Py_ssize_t run
    here.n_cr_ns = machine.config.n_cr_ns
    while at < end and this >= 0:
        record = <const FdRecord *>at
        lane = lane_at(lanes, this)
        # The lane asked for two frames ago should be here by now: where its CF will go has to be fetched, too.
        isotp_will_write(<const void *>(<size_t>sooner.rx.buffer + sooner.rx.got + sooner.rx.rx_dl - 2))
        sooner = soon
        soon = lane_at(lanes, lane.ahead)
        isotp_will_write(soon)
        now = min(record.timestamp, latest_time)
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


cdef inline bint feed_records(
    Machine *machine, const uint8_t *records, Py_ssize_t count, Py_ssize_t itemsize, int room,
) noexcept nogil:
    """All records of a buffer. False: no memory. Inlined once for each layout, where itemsize and room are known."""
    cdef const FdRecord *record
    cdef const Slot *slot
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
    cdef bint done = True
    while True:
        if guess >= 0 and lane_at(machine.lanes, guess).left > 0:
            k += receive_turns(machine, &before, &guess, records + k * itemsize, count - k, itemsize, &latest)
        if k == count:
            break
        record = <const FdRecord *>(records + k * itemsize)   # both layouts begin alike
        key = key_of(record)
        now = min(record.timestamp, LATEST_TIME)
        latest = max(latest, now)
        size = size_of(record, room)
        k += 1
        if key == machine.last_key:
            code = machine.last_code
        else:
            slot = slot_of(&machine.slots, key)
            code = slot.code
            if slot.key == key and code >= 0:
                machine.last_key = key
                machine.last_code = code
            else:
                code = find_lane(machine, key, record.data, size, &done)
                if not done:
                    break
        if code < 0:
            continue
        lane = lane_at(machine.lanes, code >> 1)
        if before >= 0:
            lane_at(machine.lanes, before).next = code >> 1
        before = code >> 1
        guess = lane.next
        if now < lane.rx.deadline and not code & stepwise and receive_next_cf(
                &lane.rx, &machine.config, <int>lane.prefix, record.data, size, now):
            if key == machine.last_key and k < count and key_of(<const FdRecord *>(records + k * itemsize)) == key:
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
            continue
        done = step(machine, lane, code & 1, record.data, size, now)
        if not done:
            break
    machine.latest = latest
    return done


cdef void forget_turns(Machine *machine) noexcept nogil:
    """No lane takes CFs without a look at their length, until one came in the layout that it has now."""
    cdef Py_ssize_t k
    for k in range(machine.lane_count):
        lane_at(machine.lanes, k).left = 0


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
            if end_reception(machine, lane, STATUS_OPEN, end) == NULL:
                return False
    return True


# ---------------------------------------------------------------- as Python sees it


@cython.auto_pickle(False)
cdef class Reassembler:
    """Reassembler(addresses, *, rx_consecutive_frame_timeout=1000, max_frame_size=None, strict=False)\n--\n\n
    Puts together the messages of many sessions from the frames of a log.

    Each session is followed as a layer in listen mode would do it, in both directions, on each channel by itself.
    Where a log has one direction only, that one is reassembled.

    :param addresses: `isotp.Address` or `isotp.AsymmetricAddress` objects, each for both directions of a session as one
        of its ends sees them, or partial ones for a direction without the other; or pairs of an address and the number
        of the one channel it is used on.
        If several have the same CAN ID and extension byte, its messages belong to the first of them.
        An address without a channel is followed on each channel where it is heard, up to a bound: all addresses
        together have room for one channel each and 16,384 more. `passed_over` counts the frames on others.
    :param rx_consecutive_frame_timeout: N_Cr in ms, by the time stamps of the frames. It runs anew with each flow
        control frame seen.
    :param max_frame_size: longest message in bytes; None: no limit. Memory grows with what arrives only.
    :param strict: receive by ISO 15765-2 where can-isotp does otherwise, as the parameter of that name of a layer.
    :raises ValueError: for a wrong address, one given twice, or one that decides for itself which frames it takes.
    """

    cdef Machine machine
    cdef readonly tuple sessions
    cdef Spares spares
    cdef bint ready                # __init__() came to its end
    cdef bint busy

    def __cinit__(self, *args, **kwargs):
        memset(&self.machine, 0, sizeof(Machine))
        self.spares = Spares()
        self.machine.spare_columns = &self.spares.columns
        self.machine.spare_data = &self.spares.data
        self.machine.config.listen = True
        self.machine.latest = INT64_MIN
        self.machine.last_key = KEY_EMPTY
        self.sessions = ()

    def __init__(self, addresses, *, rx_consecutive_frame_timeout=1000, max_frame_size=None, bint strict=False):
        # Addresses come from code of the user, which may call this object or another thread that does.
        self._claim()
        try:
            if self.ready:
                raise RuntimeError("a Reassembler can not be initialised again")
            if not rx_consecutive_frame_timeout >= 0:
                raise ValueError(
                    f"rx_consecutive_frame_timeout must be 0 or more ms, not {rx_consecutive_frame_timeout!r}")
            if max_frame_size is not None and not 0 <= max_frame_size <= 0xFFFFFFFF:
                raise ValueError(f"max_frame_size must be from 0 to 0xffffffff bytes, not {max_frame_size!r}")
            self.machine.config.n_cr_ns = int(min(rx_consecutive_frame_timeout * 1_000_000, 1 << 61))
            self.machine.config.max_frame_size = 0xFFFFFFFF if max_frame_size is None else max_frame_size
            self.machine.config.strict = strict
            self._add_sessions(addresses)
            self.ready = True
        finally:
            if not self.ready:
                self._forget_sessions()
            self._leave()

    @cython.final
    cdef int _add_sessions(self, addresses) except -1:
        given = [each if isinstance(each, tuple) else (each, None) for each in addresses]
        for address, channel in given:
            require_address(address)
            if not takes_frames_by_filter(address):
                raise ValueError(f"addresses must be plain isotp.Address objects, not {address!r}")
            if channel is not None and not 0 <= channel <= 0xFFFF:
                raise ValueError(f"channel must be from 0 to 65535, not {channel!r}")
        if len(set(given)) != len(given):
            raise ValueError(f"an address is given twice: {given!r}")
        indices = {}
        for address, _ in given:
            indices.setdefault(address, len(indices))
        sessions = tuple(indices)
        self._flatten_sessions(sessions)
        slots_init(&self.machine.slots)
        for address, channel in given:
            if not template_add(
                    &self.machine, indices[address],
                    KEY_ANY_CHANNEL if channel is None else <uint64_t>channel << KEY_CHANNEL_SHIFT):
                raise MemoryError(f"no memory for {len(sessions)} sessions")
        for address, channel in given:
            self._check_prefixes(
                indices[address], KEY_ANY_CHANNEL if channel is None else <uint64_t>channel << KEY_CHANNEL_SHIFT)
        self.machine.most_places = len(sessions) + MOST_FURTHER_PLACES
        self.sessions = sessions
        return 0

    @cython.final
    cdef void _forget_sessions(self) noexcept:
        slots_free(&self.machine.slots)
        free(self.machine.filters)
        self.machine.filters = NULL

    cdef int _flatten_sessions(self, tuple sessions) except -1:
        cdef Py_ssize_t k
        self.machine.filters = <AddressFilter *>malloc(max(len(sessions), 1) * sizeof(AddressFilter))
        if self.machine.filters == NULL:
            raise MemoryError(f"no memory for {len(sessions)} sessions")
        for k in range(len(sessions)):
            require_address(sessions[k])
            self.machine.filters[k] = flatten_address(sessions[k])
        return 0

    cdef int _check_prefixes(self, Py_ssize_t session, uint64_t channel_bits) except -1:
        cdef int direction, functional
        cdef uint64_t key
        cdef bint asks_prefix
        for direction in range(2):
            for functional in range(2):
                key = address_key(&self.machine.filters[session], direction, functional)
                asks_prefix = code_of(&self.machine.slots, <uint32_t>key | channel_bits) == ASK_PREFIX
                if asks_prefix != (key & KEY_HAS_PREFIX != 0):
                    raise ValueError(
                        f"CAN ID {<uint32_t>key & 0x1FFFFFFF:#x} is used both with and without an extension byte")
        return 0

    def __dealloc__(self):
        cdef Py_ssize_t k
        for k in range(self.machine.lane_count):
            receiver_free(&lane_at(self.machine.lanes, k).rx)
        free(self.machine.lanes_memory)
        self._forget_sessions()

    cdef void _drop_rows(self) noexcept:
        """Forget rows that did not become a table."""
        free(self.machine.columns.offsets)
        free(self.machine.columns.data)
        forget_columns(&self.machine.columns)
        self.machine.row_count = 0
        self.machine.data_used = 0

    @cython.final
    cdef int _enter(self) except -1:
        self._claim()
        if not self.ready:
            self._leave()
            raise RuntimeError(f"{type(self).__name__}.__init__() of the base class was not called, or failed")
        return 0

    @cython.final
    cdef int _claim(self) except -1:
        """One call at a time."""
        cdef bint entered
        with cython.critical_section(self):
            entered = not self.busy
            if entered:
                self.busy = True
        if not entered:
            raise RuntimeError("another thread feeds this Reassembler at this moment")
        return 0

    @cython.final
    cdef void _leave(self) noexcept:
        with cython.critical_section(self):
            self.busy = False

    def feed(self, frames, layout=None):
        """Take frames, in the order of the log; returns the messages that ended with them.

        A reception that N_Cr ended is reported with the next frame of its session, or by flush(): so what comes
        out in all does not depend on how the log is cut into pieces.

        :param frames: any C-contiguous buffer of records: `Records`, a NumPy array, bytes, mmap ...
        :param layout: "classic" or "fd", needed where the buffer does not tell by the size of its items.
        :returns: :class:`Messages`, in the order in which they ended.
        :raises ValueError: if the buffer holds no records.
        :raises RuntimeError: if another thread feeds this object right now.
        """
        cdef Py_buffer view
        cdef Py_ssize_t count
        cdef bint fd, done
        PyObject_GetBuffer(frames, &view, PyBUF_ND | PyBUF_FORMAT)
        try:
            fd = buffer_is_fd(&view, layout)
            count = view.len // <Py_ssize_t>(sizeof(FdRecord) if fd else sizeof(ClassicRecord))
            self._enter()
            if count <= RECORDS_WITH_GIL:
                done = feed_buffer(&self.machine, <const uint8_t *>view.buf, count, fd)
            else:
                with nogil:
                    done = feed_buffer(&self.machine, <const uint8_t *>view.buf, count, fd)
            return self._table(done)
        finally:
            PyBuffer_Release(&view)

    def flush(self):
        """End what is still open, as at the end of a log; returns a table of it.

        Receptions whose N_Cr ran out before the latest frame have timed out, the others are OPEN.
        """
        self._enter()
        return self._table(end_all(&self.machine))

    cdef Messages _table(self, bint done):
        try:
            if not done:
                raise MemoryError(f"no memory for the messages of {len(self.sessions)} sessions")
            return messages_of(
                self.sessions, &self.machine.columns, self.machine.rows, self.machine.row_count, self.spares)
        finally:
            self._drop_rows()
            self._leave()

    def statistics(self):
        """What was heard so far: a list of dictionaries, one for each direction of a session on a channel.

        ``session`` (index), ``address``, ``channel``, ``direction``, ``frames`` (all with this address), ``messages``
        (complete ones) and ``errors``: how often a layer in listen mode would have reported each class of error.

        :raises RuntimeError: if another thread feeds this object right now.
        """
        cdef Py_ssize_t k
        cdef int code
        cdef const Lane *lane
        found = []
        self._enter()
        try:
            for k in range(self.machine.lane_count):
                lane = lane_at(self.machine.lanes, k)
                counts = {}
                for code in range(OK + 1, OUTCOME_COUNT):
                    if lane.outcomes[code] > 0:
                        error = error_class_of(<OutcomeCode>code)
                        counts[error] = counts.get(error, 0) + lane.outcomes[code]
                open_frames = frames_of_reception(lane) if lane.rx.state == RX_WAIT_CF else 0
                found.append({
                    "session": lane.session, "address": self.sessions[lane.session], "channel": lane.channel,
                    "direction": Direction(lane.direction), "frames": lane.frames + open_frames,
                    "messages": lane.messages, "errors": counts})
        finally:
            self._leave()
        return found

    @property
    def passed_over(self):
        """Frames that were not looked at, since their addresses are heard on too many channels."""
        return self.machine.passed_over

    def __repr__(self):
        return f"<Reassembler {len(self.sessions)} sessions>"
