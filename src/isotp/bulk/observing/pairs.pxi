# What two lines do: a flow control frame after a first frame, a response after a request.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset


cdef bint awaits_answer(const Line *line, const Opening *opening, int64_t now) noexcept nogil:
    return (line.rx.state == RX_WAIT_CF and line.cfs == 0 and line.tally.first == opening.number
            and now - opening.time <= SECOND_NS)


cdef inline bint is_worth_an_answer(const Tally *tally) noexcept nogil:
    """False for most FFs of a line whose FFs come to nothing: signals are like that."""
    return tally.first <= FRUITLESS or 8 * tally.complete >= tally.first or tally.first % 8 == 0


cdef inline bint is_worth_waiting_for(const Line *line) noexcept nogil:
    """The same for flow control of a line after which messages hardly ever end."""
    cdef uint64_t first = line.tally.flow_control - line.explained
    return first <= FRUITLESS or 8 * line.fruitful >= first or first % 8 == 0


cdef inline bint is_worth_hearing(const Tally *tally) noexcept nogil:
    """The same for messages that may be responses, of a line whose messages hardly ever say anything."""
    return tally.messages <= FRUITLESS or 8 * tally.responses >= tally.messages or tally.messages % 8 == 0


cdef inline void wait_for_flow_control(Machine *machine, int32_t index, int64_t now) noexcept nogil:
    cdef Line *line = &machine.lines[index]
    cdef Channel *channel = &machine.channels[machine.stations[line.station].channel]
    cdef Opening *opening = &channel.openings[channel.opened % MOST_OPENINGS]
    channel.opened += 1
    opening.line = index
    opening.number = line.tally.first
    opening.time = now


cdef bint go_on_with_pairs(Machine *machine, int32_t answering, const NPci *pci) noexcept nogil:
    """Flow control within messages of lines that are paired already. True: it was due."""
    cdef int32_t k = machine.lines[answering].pairs
    cdef Pair *pair
    cdef Line *asking
    cdef bint due
    cdef bint explained = False
    while k != NO_INDEX:
        pair = &machine.pairs[k]
        k = pair.next
        asking = &machine.lines[pair.asking]
        if pair.opening == 0 or pair.opening != asking.tally.first:
            continue
        if asking.rx.state != RX_WAIT_CF:
            pair.late += not asking.ended_well
            continue
        due = pair.waits or (pair.blocksize > 0 and asking.cfs - pair.cfs == pair.blocksize)
        pair.blocks += due
        pair.misses += not due
        explained |= due
        answer(pair, asking, pci)
    return explained


cdef void answer(Pair *pair, Line *asking, const NPci *pci) noexcept nogil:
    pair.opening = asking.tally.first
    pair.cfs = asking.cfs
    pair.blocksize = pci.blocksize
    pair.waits = pci.flow_status == FS_WAIT


cdef void hear_flow_control(Machine *machine, int32_t answering, const NPci *pci, int64_t now) noexcept nogil:
    """Flow control on a line: whose message is it for?"""
    cdef Line *line = &machine.lines[answering]
    cdef Channel *channel = &machine.channels[machine.stations[line.station].channel]
    cdef Opening *opening
    cdef Pair *pair
    cdef Line *asking
    cdef uint64_t back
    cdef int candidates = 0
    line.explained += go_on_with_pairs(machine, answering, pci)
    if not is_worth_waiting_for(line):
        return
    for back in range(1, min(channel.opened, <uint64_t>MOST_OPENINGS) + 1):
        opening = &channel.openings[(channel.opened - back) % MOST_OPENINGS]
        asking = &machine.lines[opening.line]
        if asking.station == line.station or not awaits_answer(asking, opening, now):
            continue
        pair = find_pair(machine, answering, opening.line)
        if pair != NULL and pair.opening != asking.tally.first:
            pair.hits += 1
            answer(pair, asking, pci)
            asking.answered_by[asking.answers % MOST_ANSWERS] = <int32_t>(pair - machine.pairs)
            asking.answers += 1
        candidates += 1
        if candidates == MOST_CANDIDATES:
            return


cdef void wait_for_response(Machine *machine, int32_t index) noexcept nogil:
    """Remember that the last message of a line may be a request."""
    cdef Line *line = &machine.lines[index]
    cdef Askers *askers = &machine.channels[machine.stations[line.station].channel].askers[line.said.data[0]]
    cdef int32_t carried, other
    cdef int k
    if line.unanswered > UNANSWERED and line.unanswered % 16:
        return
    # The latest first; what is shifted out has waited longest.
    carried = index
    for k in range(askers.count):
        other = askers.lines[k]
        askers.lines[k] = carried
        if other == index:
            return
        carried = other
    if askers.count < MOST_ASKERS:
        askers.lines[askers.count] = carried
        askers.count += 1


cdef double echo_weight(
    Pair *pair, const Said *asked, bint sensible, const Said *said, bint negative,
) noexcept nogil:
    """What a response is worth: nothing if the same was answered so before."""
    cdef uint64_t bit = <uint64_t>1 << (asked.data[0] & 63)
    cdef uint64_t digest = digest_of(FIRST_DIGEST + negative, asked.data, min(asked.size, 3))
    cdef bint known = pair.services & bit != 0
    cdef double weight
    cdef double bytes_weight = 0.0
    cdef int k
    pair.services |= bit
    if not is_fresh(&pair.things, 1, digest):
        return 0.0
    weight = ECHOED_AGAIN if known else ECHOED_SERVICE if sensible else ECHOED_UNKNOWN
    if negative:
        return weight + NEGATIVE if said.length == 3 and is_negative_code(said.data[2]) and not known else weight
    for k in range(1, min(min(asked.size, said.size), 3)):
        if asked.data[k] != said.data[k]:
            break
        if asked.data[k]:
            bytes_weight += ECHOED_BYTE
        elif sensible:
            bytes_weight += ECHOED_ZERO
    # The same service again is nothing new, unless it comes with bytes that are repeated.
    return weight + bytes_weight if not known or bytes_weight >= ECHOED_BYTE else 0.0


cdef void hear_response(
    Machine *machine, int32_t answering, uint8_t service, bint negative, int64_t now,
) noexcept nogil:
    """A message that may be a response to a request of this service: whose?"""
    cdef Line *line = &machine.lines[answering]
    cdef const Askers *askers = &machine.channels[machine.stations[line.station].channel].askers[service]
    cdef Line *asking
    cdef Pair *pair
    cdef bint fresh
    cdef double more
    cdef int k
    for k in range(askers.count):
        asking = &machine.lines[askers.lines[k]]
        if (asking.said.data[0] != service or asking.station == line.station
                or not negative and contradicts(&asking.said, &line.said)):
            continue
        if now - asking.said.time > SECOND_NS:
            pair = look_up_pair(machine, answering, askers.lines[k])
            if (pair == NULL or not pair.pending or pair.request != asking.said.number
                    or now - pair.latest > PENDING_NS):
                continue
        else:
            pair = find_pair(machine, answering, askers.lines[k])
        if pair == NULL or (pair.request == asking.said.number and not pair.pending):
            continue
        fresh = pair.request != asking.said.number
        pair.request = asking.said.number
        pair.replies += fresh
        pair.echoes += 1
        pair.latest = now
        pair.pending = negative and line.said.data[2] == NRC_PENDING
        asking.unanswered = 0
        more = echo_weight(pair, &asking.said, asking.sensible != NO_SENSE, &line.said, negative)
        pair.echo += more
        if more > 0 or pair.echoes & 7 == 0:
            weigh_pair(machine, pair)


cdef void hear_start(
    Machine *machine, int32_t index, const uint8_t *payload, int size, uint64_t length, int64_t now,
) noexcept nogil:
    """A message begins: it may be a request or a response of ISO 14229-1 or ISO 15031-5, which repeats its service."""
    cdef Line *line = &machine.lines[index]
    cdef Said *said = &line.said
    line.first_start = min(line.first_start, now)
    if size < 1:
        return
    said.number += 1
    said.time = now
    said.length = length
    said.size = min(size, SAID_BYTES)
    memset(said.data, 0, SAID_BYTES)
    memcpy(said.data, payload, said.size)
    weigh_words(machine, line)
    if not is_worth_hearing(&line.tally):
        pass
    elif said.data[0] == SID_NEGATIVE:
        if said.size >= 3:
            hear_response(machine, index, said.data[1], True, now)
    elif said.data[0] & SID_RESPONSE_BIT:
        hear_response(machine, index, said.data[0] & ~SID_RESPONSE_BIT, False, now)
    # A tester may try any service, also those that look like responses.
    if wants_response(said):
        line.tally.asked += 1
        line.unanswered += 1
        wait_for_response(machine, index)


cdef Sight look(Machine *machine, int32_t index, const uint8_t *data, int size, int64_t now) noexcept nogil:
    """One frame on one line."""
    cdef Line *line = &machine.lines[index]
    cdef Pair *pair
    cdef NPci pci
    cdef int k
    cdef Sight sight = observe(machine, line, data, size, now, &pci)
    if sight == SEEN_FC:
        if (line.sensible != NO_SENSE and not line.said.data[0] & SID_RESPONSE_BIT
                and now - line.said.time <= SECOND_NS):
            line.own_flow += 1
            line.sensible = NO_SENSE
        hear_flow_control(machine, index, &pci, now)
    elif sight == SEEN_SF:
        hear_start(machine, index, &data[pci.offset], <int>pci.length, pci.length, now)
    elif sight == SEEN_FF:
        if is_worth_an_answer(&line.tally):
            wait_for_flow_control(machine, index, now)
        hear_start(machine, index, &data[pci.offset], size - pci.offset, pci.length, now)
    elif sight == SEEN_END:
        for k in range(min(line.answers, MOST_ANSWERS)):
            pair = &machine.pairs[line.answered_by[k]]
            machine.lines[pair.answering].fruitful += 1
            weigh_pair(machine, pair)
        if line.cfs >= LONG_MESSAGE or says_something(line):
            weigh_line(machine, line)
    # What was counted is not kept.
    line.rx.taken = line.rx.got
    if line.rx.state == RX_IDLE:
        receiver_free(&line.rx)
    return sight
