# One frame on one line: what it is, and what it adds to the counts.

from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef inline uint64_t digest_of(uint64_t digest, const uint8_t *data, int size) noexcept nogil:
    """FNV-1a, going on from `digest`."""
    cdef int k
    for k in range(size):
        digest = (digest ^ data[k]) * <uint64_t>0x100000001B3
    return digest


cdef bint is_fresh(uint64_t *seen, int words, uint64_t digest) noexcept nogil:
    """True if this was surely not seen before; from now on it was."""
    cdef uint64_t place = (digest * <uint64_t>0x9E3779B97F4A7C15) >> 32
    cdef uint64_t *word = &seen[(place >> 6) % <uint64_t>words]
    cdef uint64_t bit = <uint64_t>1 << (place & 63)
    cdef bint fresh = word[0] & bit == 0
    word[0] |= bit
    return fresh


cdef bint is_padding(Line *line, int kind, const uint8_t *data, int start, int size) noexcept nogil:
    """True if the bytes from `start` on are all the same, and that of the frames of this kind before."""
    cdef int k
    if start >= size:
        return True
    if line.filler[kind] == NO_FILLER:
        line.filler[kind] = data[start]
    for k in range(start, size):
        if data[k] != line.filler[kind]:
            line.filler[kind] = data[start]
            return False
    return True


cdef inline void look_at_end(Line *line, int kind, const uint8_t *data, int used, int size) noexcept nogil:
    """Do the used bytes of an SF or FC end where the padding, or the frame, does?"""
    if not is_padding(line, kind, data, used, size):
        line.tally.untidy += 1
    elif used < CAN_DLEN_CLASSIC and (used == size or data[used - 1] != data[used]):
        line.tight |= <uint64_t>1 << used


cdef void settle(Machine *machine, Line *line) noexcept nogil:
    """Count the message that was completed; nothing went on after it."""
    line.done = False
    line.tally.complete += 1
    line.tally.sizes += is_fresh(&line.counts, 1, line.cfs)
    if not is_fresh(line.seen, BLOOM_WORDS, line.digest):
        return
    line.tally.fresh += 1
    line.tally.fresh_frames += min(line.cfs, 6)
    line.tally.neat_ends += line.end == END_NEAT
    line.tally.untidy_ends += line.end == END_UNTIDY
    line.tally.fresh_lengths += is_fresh(&line.lengths, 1, line.rx.size)
    weigh_line(machine, line)


cdef inline bint is_even(const Line *line, int64_t now) noexcept nogil:
    """True if a frame comes about as long after a complete message as the message's frames after each other."""
    cdef double pause = <double>(now - line.latest) * line.cfs
    cdef double span = <double>(line.latest - line.start)
    return 4 * pause < 5 * span and 5 * pause > 4 * span


cdef inline void give_up(Line *line) noexcept nogil:
    """A segmented message ended before it was complete."""
    line.tally.broken += 1
    line.tally.dead += line.cfs == 0
    line.tally.excused += line.cfs == 0 and line.sensible != NO_SENSE


cdef inline int least_ff_dl(const Line *line, int size) noexcept nogil:
    """9.6.3.1: what fits a single frame is sent as one."""
    cdef int prefix = line.prefix != NO_PREFIX
    return (size - 2 if size > CAN_DLEN_CLASSIC else CAN_DLEN_CLASSIC - 1) - prefix + 1


cdef inline bint is_sensible(
    const Line *line, const NPci *pci, int size, bint was_open, uint64_t missing,
) noexcept nogil:
    """False for frames that receivers take and no sender makes."""
    if pci.type == N_PCI_SF:
        return not pci.escape or size > CAN_DLEN_CLASSIC                # 9.6.2.1
    if pci.type == N_PCI_FF:
        return size >= CAN_DLEN_CLASSIC and <int64_t>pci.length >= least_ff_dl(line, size)
    if pci.type == N_PCI_CF and was_open:
        return size >= line.rx.rx_dl or <uint64_t>(size - pci.offset) >= missing
    return True


cdef enum Sight:
    SEEN_BAD = 0
    SEEN_NOTHING
    SEEN_SF
    SEEN_FF
    SEEN_CF
    SEEN_END                       # the CF that completes a message
    SEEN_FC


cdef Sight observe(
    Machine *machine, Line *line, const uint8_t *data, int size, int64_t now, NPci *pci,
) noexcept nogil:
    """What a frame is on a line. Counts it."""
    cdef Outcome outcome
    cdef RxEvent event
    cdef bint was_open, continues
    cdef int prefix = line.prefix != NO_PREFIX
    cdef uint64_t missing
    line.tally.frames += 1
    outcome.interruption = OK
    if receiver_expired(&line.rx, now, &outcome):
        give_up(line)
    was_open = line.rx.state == RX_WAIT_CF
    missing = line.rx.size - line.rx.got
    outcome.code = decode_n_pci(data, size, prefix, pci, &outcome)
    if outcome.code == OK:
        continues = line.done and pci.type == N_PCI_CF and pci.sn == ((line.rx.sn + 1) & 0x0F)
        if continues:
            line.done = False
            line.tally.overruns += 1
        if not is_sensible(line, pci, size, was_open, missing):
            outcome.code = BAD_CAN_DL
    if line.done:
        if outcome.code == OK and pci.type == N_PCI_FF:
            line.tally.followed += 1
            line.tally.even += is_even(line, now)
        settle(machine, line)
    line.latest = now
    event = RX_NOTHING
    if outcome.code != BAD_CAN_DL:
        event = receive(&line.rx, &machine.config, prefix, data, size, now, &outcome)
    if was_open and (outcome.interruption != OK or line.rx.state == RX_IDLE and event != RX_MESSAGE):
        give_up(line)
    if outcome.code != OK and outcome.code != UNEXPECTED_CF and outcome.code != WRONG_SN:
        if line.rx.state == RX_WAIT_CF and outcome.code == BAD_CAN_DL:
            receiver_stop(&line.rx)
            give_up(line)
        line.tally.bad += 1
        line.astray = False
        return SEEN_BAD
    return count_frame(line, data, size, now, missing, event, &outcome, pci)


cdef Sight count_frame(
    Line *line, const uint8_t *data, int size, int64_t now, uint64_t missing, RxEvent event, const Outcome *outcome,
    const NPci *pci,
) noexcept nogil:
    cdef int used
    cdef bint neat
    if pci.type == N_PCI_CF:
        if outcome.code != OK:
            # One run, however long: a frame was lost, or the first frame is not in the log.
            line.tally.strays += outcome.code == UNEXPECTED_CF and not line.astray
            line.astray = True
            return SEEN_NOTHING
        line.tally.consecutive += 1
        line.cfs += 1
        line.digest = digest_of(line.digest, data, size)
        if event != RX_MESSAGE:
            return SEEN_CF
        line.done = True
        line.ended_well = True
        used = pci.offset + <int>missing
        neat = is_padding(line, FILL_CONSECUTIVE, data, used, size)
        line.end = END_FULL if used >= size else END_NEAT if neat else END_UNTIDY
        return SEEN_END
    line.astray = False
    if pci.type == N_PCI_FC:
        line.tally.flow_control += 1
        look_at_end(line, FILL_FLOW, data, pci.offset, size)
        return SEEN_FC
    line.tally.messages += 1
    if pci.type == N_PCI_FF:
        line.digest = digest_of(FIRST_DIGEST, data, size)
        line.tally.first += 1
        line.cfs = 0
        line.start = now
        line.ended_well = False
        line.answers = 0
        return SEEN_FF
    line.tally.single += 1
    look_at_end(line, FILL_SINGLE, data, pci.offset + <int>pci.length, size)
    return SEEN_SF
