# cython: language_level=3
"""What each ID of a log does, judged as ISO-TP: one pass over frame records that keeps counts only.

A line is what one sender says to one receiver if the frames are ISO-TP: a channel, a CAN ID and, for the modes with an
extension byte, the first byte. Each ID is tried both ways, by the Receiver that a layer in listen mode has; what
it makes of the frames is counted, and so is what happens on two lines at the same time: a flow control frame after a
first frame, a response after a request. _discovery.py judges the counts.
"""

from cpython.buffer cimport PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from isotp._protocol.frames cimport *
from isotp._protocol.n_pci cimport *
from isotp._protocol.reception cimport *
from isotp._protocol.types cimport *
from isotp.bulk._guard cimport claim, release
from isotp.bulk._records cimport (
    CAN_ERR_FLAG,
    CAN_RTR_FLAG,
    KEY_CHANNEL_SHIFT,
    LATEST_TIME,
    RECORDS_FLAGS,
    RECORDS_WITH_GIL,
    ClassicRecord,
    FdRecord,
    RecordBuffer,
    find_records,
    key_of,
)
from isotp.bulk._slots cimport (
    KEY_EMPTY,
    NO_CODE,
    Slots,
    code_of,
    slot_add,
    slots_free,
    slots_init,
    slots_reserve,
)


cdef enum:
    MOST_PAIRS = 16                # that one line answers
    MOST_OPENINGS = 64             # first frames of a channel that flow control may answer
    MOST_REQUESTS = 32             # of a channel that may be answered
    MOST_CANDIDATES = 16           # that one frame is an answer to
    BLOOM_WORDS = 4
    HOPELESS_BADS = 8              # a quarter of all frames, and as many as this: no ISO-TP
    NO_PREFIX = -1
    NO_INDEX = -1
    NO_ROOM = -2                   # instead of an index: the table is as large as it may be
    MOST_CHANNELS = 1024
    MOST_STATIONS = 8192           # more IDs than any vehicle has: whoever sends on more is hostile
    MOST_PREFIXED = 16384          # lines behind an extension byte
    MOST_PAIRS_IN_ALL = 65536
    NO_FILLER = -1
    CAN_SFF_MASK = 0x7FF           # linux/can.h: the bits of an identifier that has 11
    CHANNEL_ITSELF = 1             # in bits of a key that no CAN ID uses
    CHANNEL_ITSELF_SHIFT = 40
    SECOND_NS = 1_000_000_000      # N_Bs, N_Cr (9.8.2), and more than P2 of a diagnostic server
    SID_NEGATIVE = 0x7F            # ISO 14229-1: negative response, the SID of the request follows
    SID_RESPONSE_BIT = 0x40
    SUPPRESS_RESPONSE_BIT = 0x80
    SID_TESTER_PRESENT = 0x3E

# Differences of times from this one to LATEST_TIME fit an int64_t.
cdef int64_t EARLIEST_TIME = -(<int64_t>1 << 60)


# What one line did; LineCounts in _discovery.py has the same names.
cdef struct Tally:
    uint64_t frames
    uint64_t bad                   # no N_PDU, or one that no sender would make
    uint64_t single
    uint64_t first
    uint64_t consecutive           # in sequence
    uint64_t flow_control
    uint64_t single_fresh          # with content that was not seen before
    uint64_t untidy                # single frames whose unused bytes are no padding
    uint64_t complete              # segmented messages
    uint64_t fresh                 # ... with content that was not seen before
    uint64_t fresh_lengths         # ... and with a length that was not seen before
    uint64_t sizes                 # different numbers of CFs of complete messages
    uint64_t fresh_frames          # CFs of the fresh ones, at most 6 each
    uint64_t neat_ends             # fresh ones whose last CF has unused bytes, and these are padding
    uint64_t untidy_ends           # ... and these are none
    uint64_t broken                # segmented messages
    uint64_t dead                  # ... of which nothing but the FF came
    uint64_t followed              # complete segmented messages with an FF as the next frame
    uint64_t even                  # ... that came as if it belonged to the message: so cyclic frames do
    uint64_t overruns              # CFs that go on after the end of a message
    uint64_t strays                # runs of CFs without an FF
    uint64_t requests              # messages that look like a request of a diagnostic client
    uint64_t answers               # messages that look like a response


cdef struct Line:
    Receiver rx
    int32_t station
    int prefix                     # the first byte of its frames, or NO_PREFIX
    int64_t first_start            # time of the first message, or NEVER
    Tally tally
    uint64_t seen_single           # Bloom filters of what was seen
    uint64_t[BLOOM_WORDS] seen
    uint64_t lengths
    uint64_t counts
    int filler                     # padding byte, or NO_FILLER
    bint astray                    # the last frame was a CF that belongs to nothing
    bint done                      # the last frame completed a message
    bint ended_well                # the last segmented message is complete
    # Of the message that goes on or was just completed:
    int64_t start
    int64_t latest                 # time of the last frame
    uint64_t digest
    uint32_t cfs
    int end                        # END_...
    int32_t pairs                  # first of its pairs, or NO_INDEX


cdef enum:
    END_FULL = 0                   # no byte of the last CF is left over
    END_NEAT = 1
    END_UNTIDY = 2


# What one line has to do with another: it answers the other's first frames and requests. PairCounts has some of it.
cdef struct Pair:
    int32_t answering
    int32_t asking
    int32_t next
    uint64_t hits                  # first frames that were answered by flow control
    uint64_t blocks                # flow control that came when a block was over, or after a wait
    uint64_t misses                # flow control that came in the middle of a block
    uint64_t late                  # flow control for a message that broke off: a frame of it is not in the log
    uint64_t replies               # requests that were answered
    uint64_t services              # bit SID modulo 64 of these
    uint64_t opening               # the FF of the other line that was answered last
    uint64_t request               # the same for its requests
    uint32_t cfs
    uint32_t blocksize
    bint waits


# One CAN ID of a channel.
cdef struct Station:
    uint32_t can_id
    int32_t channel                # index
    int32_t normal                 # line without a prefix
    int32_t *prefixed              # lines by prefix; NULL: none yet
    uint64_t frames
    uint64_t prefixed_bad          # frames that are no N_PDU behind a prefix
    bint hopeless
    bint prefixed_hopeless


cdef struct Opening:
    int32_t line
    uint64_t number                # of the FF on its line
    int64_t time


cdef struct Request:
    int32_t line
    uint8_t service
    uint64_t number                # of the request on its line
    int64_t time


cdef struct Channel:
    uint16_t number
    Opening[MOST_OPENINGS] openings
    uint64_t opened
    Request[MOST_REQUESTS] requests
    uint64_t requested


cdef struct Machine:
    Config config
    Slots slots                    # stations and channels
    Line *lines
    Py_ssize_t line_count
    Py_ssize_t line_capacity
    Pair *pairs
    Py_ssize_t pair_count
    Py_ssize_t pair_capacity
    Station *stations
    Py_ssize_t station_count
    Py_ssize_t station_capacity
    Channel *channels
    Py_ssize_t channel_count
    Py_ssize_t channel_capacity
    uint64_t last_key
    int32_t last_station
    uint64_t passed_over           # frames that found no room in a table


# ---------------------------------------------------------------- growing arrays


cdef bint grown(void **items, Py_ssize_t *capacity, Py_ssize_t count, size_t itemsize) noexcept nogil:
    """Room for one more. False: no memory."""
    cdef Py_ssize_t more
    cdef void *place
    if count < capacity[0]:
        return True
    more = max(2 * capacity[0], 8)
    place = realloc(items[0], <size_t>more * itemsize)
    if place == NULL:
        return False
    items[0] = place
    capacity[0] = more
    return True


cdef int32_t add_line(Machine *machine, int32_t station, int prefix) noexcept nogil:
    """The index of a new line, or NO_INDEX: no memory."""
    cdef Line *line
    if not grown(<void **>&machine.lines, &machine.line_capacity, machine.line_count, sizeof(Line)):
        return NO_INDEX
    line = &machine.lines[machine.line_count]
    memset(line, 0, sizeof(Line))
    receiver_init(&line.rx)
    line.station = station
    line.prefix = prefix
    line.first_start = NEVER
    line.filler = NO_FILLER
    line.pairs = NO_INDEX
    machine.line_count += 1
    return <int32_t>(machine.line_count - 1)


cdef int32_t find_channel(Machine *machine, uint16_t number) noexcept nogil:
    """The index of a channel, or NO_INDEX: no memory; or NO_ROOM."""
    cdef uint64_t key = <uint64_t>number << KEY_CHANNEL_SHIFT | <uint64_t>CHANNEL_ITSELF << CHANNEL_ITSELF_SHIFT
    cdef int32_t found = code_of(&machine.slots, key)
    if found != NO_CODE:
        return found
    if machine.channel_count >= MOST_CHANNELS:
        return NO_ROOM
    if not grown(<void **>&machine.channels, &machine.channel_capacity, machine.channel_count, sizeof(Channel)):
        return NO_INDEX
    found = <int32_t>machine.channel_count
    if not slot_add(&machine.slots, key, found):
        return NO_INDEX
    memset(&machine.channels[found], 0, sizeof(Channel))
    machine.channels[found].number = number
    machine.channel_count += 1
    return found


cdef int32_t find_station(Machine *machine, uint64_t key) noexcept nogil:
    """The index of an ID of a channel, or NO_INDEX: no memory; or NO_ROOM."""
    cdef int32_t found = code_of(&machine.slots, key)
    cdef int32_t channel
    cdef Station *station
    if found != NO_CODE:
        return found
    if machine.station_count >= MOST_STATIONS:
        return NO_ROOM
    channel = find_channel(machine, <uint16_t>(key >> KEY_CHANNEL_SHIFT))
    if channel == NO_ROOM:
        return NO_ROOM
    if (channel == NO_INDEX or not slots_reserve(&machine.slots, 1) or not grown(
            <void **>&machine.stations, &machine.station_capacity, machine.station_count, sizeof(Station))):
        return NO_INDEX
    found = <int32_t>machine.station_count
    station = &machine.stations[found]
    memset(station, 0, sizeof(Station))
    station.can_id = <uint32_t>key
    station.channel = channel
    station.normal = add_line(machine, found, NO_PREFIX)
    if station.normal == NO_INDEX:
        return NO_INDEX
    slot_add(&machine.slots, key, found)       # there is room
    machine.station_count += 1
    return found


cdef Pair *find_pair(Machine *machine, int32_t answering, int32_t asking) noexcept nogil:
    """The pair of two lines, which may be new or take the place of a weaker one. NULL: none is weaker, or no room."""
    cdef Line *line = &machine.lines[answering]
    cdef Pair *pair
    cdef Pair *weakest = NULL
    cdef int32_t k = line.pairs
    cdef int count = 0
    while k != NO_INDEX:
        pair = &machine.pairs[k]
        if pair.asking == asking:
            return pair
        if weakest == NULL or pair.hits + pair.blocks + pair.replies < weakest.hits + weakest.blocks + weakest.replies:
            weakest = pair
        count += 1
        k = pair.next
    if count < MOST_PAIRS:
        if machine.pair_count >= MOST_PAIRS_IN_ALL or not grown(
                <void **>&machine.pairs, &machine.pair_capacity, machine.pair_count, sizeof(Pair)):
            return NULL
        pair = &machine.pairs[machine.pair_count]
        memset(pair, 0, sizeof(Pair))
        pair.next = line.pairs
        line.pairs = <int32_t>machine.pair_count
        machine.pair_count += 1
    else:
        if weakest.hits + weakest.blocks + weakest.replies > 1:
            return NULL
        k = weakest.next
        pair = weakest
        memset(pair, 0, sizeof(Pair))
        pair.next = k
    pair.answering = answering
    pair.asking = asking
    return pair


# ---------------------------------------------------------------- one line


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


cdef bint is_padding(Line *line, const uint8_t *data, int start, int size) noexcept nogil:
    """True if the bytes from `start` on are all the same, and that of the frames before."""
    cdef int k
    if start >= size:
        return True
    if line.filler == NO_FILLER:
        line.filler = data[start]
    for k in range(start, size):
        if data[k] != line.filler:
            line.filler = data[start]
            return False
    return True


cdef void settle(Line *line) noexcept nogil:
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


cdef inline bint is_even(const Line *line, int64_t now) noexcept nogil:
    """True if a frame comes about as long after a complete message as the message's frames after each other."""
    cdef double pause = <double>(now - line.latest) * line.cfs
    cdef double span = <double>(line.latest - line.start)
    return 4 * pause < 5 * span and 5 * pause > 4 * span


cdef inline void give_up(Line *line) noexcept nogil:
    """A segmented message ended before it was complete."""
    line.tally.broken += 1
    line.tally.dead += line.cfs == 0


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
    SEEN_FC


cdef Sight observe(
    Line *line, const Config *config, const uint8_t *data, int size, int64_t now, NPci *pci,
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
        settle(line)
    line.latest = now
    event = RX_NOTHING
    if outcome.code != BAD_CAN_DL:
        event = receive(&line.rx, config, prefix, data, size, now, &outcome)
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
        if event == RX_MESSAGE:
            line.done = True
            line.ended_well = True
            used = pci.offset + <int>missing
            neat = is_padding(line, data, used, size)
            line.end = END_FULL if used >= size else END_NEAT if neat else END_UNTIDY
        return SEEN_CF
    line.astray = False
    if pci.type == N_PCI_FC:
        line.tally.flow_control += 1
        line.tally.untidy += not is_padding(line, data, pci.offset, size)
        return SEEN_FC
    line.digest = digest_of(<uint64_t>0xCBF29CE484222325, data, size)
    if pci.type == N_PCI_FF:
        line.tally.first += 1
        line.cfs = 0
        line.start = now
        line.ended_well = False
        return SEEN_FF
    line.tally.single += 1
    line.tally.untidy += not is_padding(line, data, pci.offset + <int>pci.length, size)
    line.tally.single_fresh += is_fresh(&line.seen_single, 1, line.digest)
    return SEEN_SF


# ---------------------------------------------------------------- what two lines do


cdef bint awaits_answer(const Line *line, const Opening *opening, int64_t now) noexcept nogil:
    return (line.rx.state == RX_WAIT_CF and line.cfs == 0 and line.tally.first == opening.number
            and now - opening.time <= SECOND_NS)


cdef bint go_on_with_pairs(Machine *machine, int32_t answering, const NPci *pci, int64_t now) noexcept nogil:
    """Flow control within messages of lines that are paired already. True: it was due on one with some history."""
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
        answer(pair, asking, &machine.config, pci, now)
    return explained


cdef void answer(Pair *pair, Line *asking, const Config *config, const NPci *pci, int64_t now) noexcept nogil:
    pair.opening = asking.tally.first
    pair.cfs = asking.cfs
    pair.blocksize = pci.blocksize
    pair.waits = pci.flow_status == FS_WAIT
    flow_control_sent(&asking.rx, config, now)


cdef void hear_flow_control(Machine *machine, int32_t answering, const NPci *pci, int64_t now) noexcept nogil:
    """Flow control on a line: whose message is it for?"""
    cdef int32_t station = machine.lines[answering].station
    cdef Channel *channel = &machine.channels[machine.stations[station].channel]
    cdef Opening *opening
    cdef Pair *pair
    cdef Line *asking
    cdef uint64_t back
    cdef int candidates = 0
    if go_on_with_pairs(machine, answering, pci, now):
        return
    for back in range(1, min(channel.opened, <uint64_t>MOST_OPENINGS) + 1):
        opening = &channel.openings[(channel.opened - back) % MOST_OPENINGS]
        asking = &machine.lines[opening.line]
        if asking.station == station or not awaits_answer(asking, opening, now):
            continue
        pair = find_pair(machine, answering, opening.line)
        if pair != NULL and pair.opening != asking.tally.first:
            pair.hits += 1
            answer(pair, asking, &machine.config, pci, now)
        candidates += 1
        if candidates == MOST_CANDIDATES:
            return


cdef void hear_request(Machine *machine, int32_t asking, uint8_t service, int64_t now) noexcept nogil:
    cdef Line *line = &machine.lines[asking]
    cdef Channel *channel = &machine.channels[machine.stations[line.station].channel]
    cdef Request *request = &channel.requests[channel.requested % MOST_REQUESTS]
    line.tally.requests += 1
    channel.requested += 1
    request.line = asking
    request.service = service
    request.number = line.tally.requests
    request.time = now


cdef void hear_response(Machine *machine, int32_t answering, uint8_t service, int64_t now) noexcept nogil:
    cdef Line *line = &machine.lines[answering]
    cdef Channel *channel = &machine.channels[machine.stations[line.station].channel]
    cdef Request *request
    cdef Pair *pair
    cdef uint64_t back
    cdef int candidates = 0
    line.tally.answers += 1
    for back in range(1, min(channel.requested, <uint64_t>MOST_REQUESTS) + 1):
        request = &channel.requests[(channel.requested - back) % MOST_REQUESTS]
        if (request.service != service or now - request.time > SECOND_NS
                or machine.lines[request.line].station == line.station):
            continue
        pair = find_pair(machine, answering, request.line)
        if pair != NULL and pair.request < request.number:
            pair.replies += 1
            pair.services |= <uint64_t>1 << (service & 63)
            pair.request = request.number
        candidates += 1
        if candidates == MOST_CANDIDATES:
            return


cdef void hear_start(Machine *machine, int32_t index, const uint8_t *payload, int size, int64_t now) noexcept nogil:
    """A message begins: it may be a request or response of ISO 14229-1 or ISO 15031-5, which repeats its service."""
    cdef Line *line = &machine.lines[index]
    line.first_start = min(line.first_start, now)
    # Where unused bytes are no padding it is no use to look at the used ones.
    if size < 1 or line.tally.untidy * 2 > line.tally.single:
        return
    if payload[0] == SID_NEGATIVE:
        if size >= 3:
            hear_response(machine, index, payload[1], now)
    elif payload[0] & SID_RESPONSE_BIT:
        hear_response(machine, index, payload[0] & ~SID_RESPONSE_BIT, now)
    elif payload[0] != SID_TESTER_PRESENT or size < 2 or not payload[1] & SUPPRESS_RESPONSE_BIT:
        hear_request(machine, index, payload[0], now)


cdef Sight look(Machine *machine, int32_t index, const uint8_t *data, int size, int64_t now) noexcept nogil:
    """One frame on one line."""
    cdef Line *line = &machine.lines[index]
    cdef Channel *channel
    cdef Opening *opening
    cdef NPci pci
    cdef Sight sight = observe(line, &machine.config, data, size, now, &pci)
    if sight == SEEN_FC:
        hear_flow_control(machine, index, &pci, now)
    elif sight == SEEN_SF:
        hear_start(machine, index, &data[pci.offset], <int>pci.length, now)
    elif sight == SEEN_FF:
        channel = &machine.channels[machine.stations[line.station].channel]
        opening = &channel.openings[channel.opened % MOST_OPENINGS]
        channel.opened += 1
        opening.line = index
        opening.number = line.tally.first
        opening.time = now
        hear_start(machine, index, &data[pci.offset], size - pci.offset, now)
    # What was counted is not kept.
    line.rx.taken = line.rx.got
    if line.rx.state == RX_IDLE:
        receiver_free(&line.rx)
    return sight


# ---------------------------------------------------------------- one ID


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


# ---------------------------------------------------------------- as Python sees it


cdef class Observer:
    """Observer()\n--\n\n
    Counts what each line of a log does. Memory grows with the number of IDs, up to a bound, not with the length of the
    log.
    """

    cdef Machine machine
    cdef bint busy

    def __cinit__(self):
        memset(&self.machine, 0, sizeof(Machine))
        self.machine.config.listen = True
        self.machine.config.max_frame_size = 0xFFFFFFFF
        self.machine.config.n_cr_ns = SECOND_NS
        self.machine.last_key = KEY_EMPTY
        slots_init(&self.machine.slots)

    def __dealloc__(self):
        cdef Py_ssize_t k
        for k in range(self.machine.line_count):
            receiver_free(&self.machine.lines[k].rx)
        for k in range(self.machine.station_count):
            free(self.machine.stations[k].prefixed)
        free(self.machine.lines)
        free(self.machine.pairs)
        free(self.machine.stations)
        free(self.machine.channels)
        slots_free(&self.machine.slots)

    def feed(self, frames, layout=None):
        """Take frames, in the order of the log.

        :param frames: any C-contiguous buffer of records: `Records`, a NumPy array, bytes, mmap ...
        :param layout: "classic" or "fd", needed where the buffer does not tell by the size of its items.
        :raises ValueError: if the buffer holds no records.
        :raises RuntimeError: if another thread feeds this object right now.
        """
        cdef RecordBuffer given
        cdef bint done
        PyObject_GetBuffer(frames, &given.view, RECORDS_FLAGS)
        try:
            find_records(&given, layout)
            claim(self, &self.busy, "Discovery")
            if given.count <= RECORDS_WITH_GIL:
                done = feed_buffer(&self.machine, given.items, given.count, given.fd)
            else:
                with nogil:
                    done = feed_buffer(&self.machine, given.items, given.count, given.fd)
            release(self, &self.busy)
            if not done:
                raise MemoryError(f"no memory for the counts of {self.machine.station_count} IDs")
        finally:
            PyBuffer_Release(&given.view)

    @property
    def passed_over(self):
        """Frames that were not looked at, or not in every way, since there are too many IDs."""
        return self.machine.passed_over

    def counts(self, line_type, pair_type):
        """The lines that may be ISO-TP, by number, and the pairs of them.

        :param line_type: a NamedTuple of what to tell of a line: its counts, `channel`, `can_id` with CAN_EFF_FLAG,
            `prefix` (None without extension byte) and `first_start` in ns (None: no message).
        :param pair_type: the same of a pair.
        """
        cdef Py_ssize_t k
        claim(self, &self.busy, "Discovery")
        try:
            lines = {}
            for k in range(self.machine.line_count):
                if may_be_isotp(&self.machine, &self.machine.lines[k]):
                    lines[k] = filled(line_type, counts_of_line(&self.machine, &self.machine.lines[k]))
            pairs = [filled(pair_type, self.machine.pairs[k]) for k in range(self.machine.pair_count)]
            return lines, [pair for pair in pairs if pair.answering in lines and pair.asking in lines]
        finally:
            release(self, &self.busy)


cdef object filled(object kind, dict counts):
    return kind._make([counts[name] for name in kind._fields])


cdef bint may_be_isotp(const Machine *machine, const Line *line) noexcept nogil:
    cdef const Station *station = &machine.stations[line.station]
    if line.prefix == NO_PREFIX:
        return not station.hopeless
    return not station.prefixed_hopeless


cdef dict counts_of_line(const Machine *machine, const Line *line):
    cdef const Station *station = &machine.stations[line.station]
    cdef Line now = line[0]
    cdef dict counts
    if now.done:
        settle(&now)
    if now.prefix != NO_PREFIX:
        # A frame that fits no extension byte speaks against all of them.
        now.tally.bad = station.prefixed_bad
    counts = now.tally
    counts["channel"] = machine.channels[station.channel].number
    counts["can_id"] = station.can_id
    counts["prefix"] = None if now.prefix == NO_PREFIX else now.prefix
    counts["first_start"] = None if now.first_start == NEVER else now.first_start
    return counts
