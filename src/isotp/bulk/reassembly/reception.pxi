# One frame on one lane: a step of the protocol, and what it means for the message that goes on.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from isotp.bulk._messages cimport (
    STATUS_INTERRUPTED_BY_FF,
    STATUS_INTERRUPTED_BY_SF,
    STATUS_INVALID_FRAME,
    STATUS_OK,
    STATUS_OUT_OF_MEMORY,
    STATUS_OVERFLOW,
    STATUS_TIMED_OUT,
    STATUS_TOO_LONG,
    STATUS_WRONG_SN,
    Rows,
    StatusCode,
)


cdef inline uint32_t frames_of_reception(const Lane *lane) noexcept nogil:
    """SF, FF and CFs. Those that receive_next_cf() took are not counted, but all were full."""
    return lane.counted_frames + <uint32_t>(
        (lane.rx.got - lane.counted_bytes) // <uint64_t>(lane.rx.rx_dl - 1 - lane.prefix))


cdef inline int64_t last_frame_time(const Lane *lane, const Config *config) noexcept nogil:
    """Each frame of a reception sets N_Cr, so that says when the last one came."""
    return lane.before_restart if lane.rx.deadline == lane.restarted else lane.rx.deadline - config.n_cr_ns


cdef Py_ssize_t end_reception(Machine *machine, Lane *lane, StatusCode status, int64_t end) noexcept nogil:
    """A row for a segmented reception that ended, with what was received; see add_row(). -1: no memory."""
    cdef Rows *rows = &machine.rows
    cdef Py_ssize_t row
    if not add_data(machine, lane.rx.buffer, lane.rx.got):
        return -1
    if lane.overflow and status != STATUS_OK:
        status = STATUS_OVERFLOW
    row = add_row(machine, lane, status, lane.start, end, lane.rx.size, lane.target_type)
    if row < 0:
        return -1
    rows.varied = True
    rows.frames[row] = frames_of_reception(lane)
    rows.stmin_us[row] = lane.stmin_us
    rows.blocksize[row] = <int16_t>lane.blocksize
    rows.waits[row] = lane.waits
    rows.flow_controls[row] = lane.flow_controls
    lane.frames += rows.frames[row]
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
    return end_reception(machine, lane, STATUS_TIMED_OUT, end) >= 0


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
                and add_single(machine, lane, STATUS_OK, lane.rx.message_size, True, now))
    lane.frames += 1
    return True


cdef bint step(
    Machine *machine, Lane *lane, int functional, const uint8_t *data, int size, int64_t now,
) noexcept nogil:
    """One frame on a lane that receive_next_cf() did not take. False: no memory."""
    cdef Outcome outcome
    cdef RxEvent event
    cdef Py_ssize_t interrupted = -1
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
        if interrupted < 0:
            return False
    event = receive(&lane.rx, &machine.config, <int>lane.prefix, data, size, now, &outcome)
    lane.outcomes[<int>outcome.code] += 1
    lane.outcomes[<int>outcome.interruption] += 1
    if interrupted >= 0:
        if outcome.interruption == OK and machine.rows.status[interrupted] == STATUS_INTERRUPTED_BY_FF:
            machine.rows.status[interrupted] = STATUS_INVALID_FRAME
    elif was_open and lane.rx.state == RX_IDLE and (event != RX_MESSAGE or outcome.interruption != OK):
        if end_reception(machine, lane, status_of(&outcome), end) < 0:
            return False

    if event == RX_MESSAGE and was_open and outcome.interruption == OK:
        lane.counted_frames += 1
        lane.counted_bytes += lane.rx.got - got
        return end_reception(machine, lane, STATUS_OK, now) >= 0
    if event == RX_MESSAGE:
        return (add_data(machine, lane.rx.message, lane.rx.message_size)
                and add_single(machine, lane, STATUS_OK, lane.rx.message_size, functional, now))
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
            outcome.given, functional, now)
    lane.frames += 1
    return event != RX_FLOW_CONTROL or hear_flow_control(machine, lane, now)
