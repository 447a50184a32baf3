# The state: what is kept of each line, pair of lines, CAN ID and channel; all of it has a bound.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from isotp.bulk._records cimport KEY_CHANNEL_SHIFT
from isotp.bulk._slots cimport NO_CODE, Slots, code_of, slot_add, slots_reserve


cdef enum:
    MOST_PAIRS = 16                # that one line answers
    MOST_OPENINGS = 64             # first frames of a channel that flow control may answer
    MOST_ASKERS = 16               # lines of a channel whose last message began with one service
    MOST_ANSWERS = 8               # flow control frames, of as many lines, after one first frame
    MOST_CANDIDATES = 8            # first frames that one flow control frame may answer
    BLOOM_WORDS = 4
    SERVICE_COUNT = 256
    SAID_BYTES = 4                 # of a message that are kept
    HOPELESS_BADS = 8              # a quarter of all frames, and as many as this: no ISO-TP
    FRUITLESS = 32                 # frames of a kind, after which only some count if nothing comes of them
    UNANSWERED = 64                # requests without a response, after which only some are waited for
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
    PENDING_NS = 6_000_000_000     # more than P2* of most, after a response that announced another


cdef double NO_WEIGHT = -100.0     # nothing was weighed
cdef double WEIGHT_TO_KEEP = 1.5   # a pair with more than this keeps its place
cdef double NEWS_OF_ONE = 0.0      # with less, CAN IDs make a line no session ...
cdef double NEWS_OF_TWO = 1.9      # ... and two of them none that is more likely than not

# Where a digest begins (FNV-1a).
cdef uint64_t FIRST_DIGEST = <uint64_t>0xCBF29CE484222325

# Differences of times from this one to LATEST_TIME fit an int64_t.
cdef int64_t EARLIEST_TIME = -(<int64_t>1 << 60)


# What speaks for a line or a pair, or against it; PARTS in _discovery.py says it in words.
cdef enum:
    PART_ECHO = 0                  # responses that repeat what was asked
    PART_UNASKED                   # ... and messages that answered nothing, or were not answered
    PART_FLOW                      # flow control in its place
    PART_MESSAGES                  # segmented messages that are complete
    PART_SENSE                     # requests or responses of a diagnostic service, as long as these are
    PART_TIDY                      # what is behind the used bytes
    PART_TROUBLE                   # frames that no sender makes, and messages that break off
    PART_LOOSE                     # what speaks for each of two lines, but not for that they belong together
    PART_COUNT


# The sum of the parts when it was greatest: what comes later can only add to it.
cdef struct Weight:
    double best
    double[PART_COUNT] parts


# Unused bytes of each kind of frame may be padded in another way.
cdef enum:
    FILL_SINGLE = 0
    FILL_CONSECUTIVE
    FILL_FLOW
    FILL_COUNT


# What one line did; LineCounts in _discovery.py has some of the names.
cdef struct Tally:
    uint64_t frames
    uint64_t bad                   # no N_PDU, or one that no sender would make
    uint64_t single
    uint64_t first
    uint64_t consecutive           # in sequence
    uint64_t flow_control
    uint64_t untidy                # single and flow control frames whose unused bytes are no padding
    uint64_t complete              # segmented messages
    uint64_t fresh                 # ... with content that was not seen before
    uint64_t fresh_lengths         # ... and with a length that was not seen before
    uint64_t sizes                 # different numbers of CFs of complete messages
    uint64_t fresh_frames          # CFs of the fresh ones, at most 6 each
    uint64_t neat_ends             # fresh ones whose last CF has unused bytes, and these are padding
    uint64_t untidy_ends           # ... and these are none
    uint64_t broken                # segmented messages
    uint64_t dead                  # ... of which nothing but the FF came
    uint64_t excused               # ... and began like a diagnostic message: nobody may have answered it
    uint64_t followed              # complete segmented messages with an FF as the next frame
    uint64_t even                  # ... that came as if it belonged to the message: so cyclic frames do
    uint64_t overruns              # CFs that go on after the end of a message
    uint64_t strays                # runs of CFs without an FF
    uint64_t messages              # SFs and FFs
    uint64_t asked                 # ... that a response should follow, if they are requests
    uint64_t requests              # ... that make sense as a request of a diagnostic client
    uint64_t responses             # ... that make sense as a response


# The last message that began on a line.
cdef struct Said:
    uint64_t number
    int64_t time
    int size
    uint64_t length
    uint8_t[SAID_BYTES] data


cdef struct Line:
    Receiver rx
    int32_t station
    int prefix                     # the first byte of its frames, or NO_PREFIX
    int64_t first_start            # time of the first message, or NEVER
    Tally tally
    Said said
    uint64_t[BLOOM_WORDS] seen     # Bloom filters of what was seen
    uint64_t lengths
    uint64_t counts
    uint64_t tight                 # bit n: an SF or FC of n bytes was used up to the padding, not beyond
    uint64_t services              # bit SID modulo 64, of requests and responses that make sense ...
    uint64_t slight                # ... and of those that make little
    uint64_t things                # Bloom filter of services and what is behind them
    int thing_count
    int sensible                   # Sense of the last message
    uint64_t own_flow              # flow control that came after a request of the same line
    uint64_t unanswered            # requests since the last response of any line
    int[FILL_COUNT] filler         # padding bytes, or NO_FILLER
    uint64_t explained             # flow control that was due within a message ...
    uint64_t fruitful              # ... and messages that ended after some of it
    bint astray                    # the last frame was a CF that belongs to nothing
    bint done                      # the last frame completed a message
    bint ended_well                # the last segmented message is complete
    # Of the message that goes on or was just completed:
    int64_t start
    int64_t latest                 # time of the last frame
    uint64_t digest
    uint32_t cfs
    int end                        # END_...
    int answers                    # flow control frames that may be for it ...
    int32_t[MOST_ANSWERS] answered_by      # ... and the latest pairs with these
    int32_t pairs                  # first of its pairs, or NO_INDEX
    Weight weight                  # by itself


cdef enum:
    END_FULL = 0                   # no byte of the last CF is left over
    END_NEAT = 1
    END_UNTIDY = 2


# What one line has to do with another: it answers the other's first frames and requests. PairCounts has some of it.
cdef struct Pair:
    int32_t answering
    int32_t asking
    int32_t next
    int32_t twin                   # the same two lines the other way round, or NO_INDEX
    uint64_t hits                  # first frames that were answered by flow control
    uint64_t blocks                # flow control that came when a block was over, or after a wait
    uint64_t misses                # flow control that came in the middle of a block
    uint64_t late                  # flow control for a message that broke off: a frame of it is not in the log
    uint64_t replies               # requests that were answered
    uint64_t echoes                # messages that answered one
    uint64_t services              # bit SID modulo 64 of these
    uint64_t things                # Bloom filter of what was asked and how it was answered
    double echo                    # what the different ones are worth
    bint pending                   # the last one announced another
    int64_t latest                 # time of the last one
    uint64_t opening               # the FF of the other line that was answered last
    uint64_t request               # the same for its requests
    uint32_t cfs
    uint32_t blocksize
    bint waits
    uint64_t used                  # frames of the answering line when it was looked up last
    Weight weight                  # of the session that the two are, both ways


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


# The lines whose last messages began with one byte, the latest first.
cdef struct Askers:
    int count
    int32_t[MOST_ASKERS] lines


cdef struct Channel:
    uint16_t number
    Opening[MOST_OPENINGS] openings
    uint64_t opened
    Askers *askers                 # SERVICE_COUNT of them


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
    uint64_t news                  # weights that grew, where something may be found by them


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
    cdef int k
    if not grown(<void **>&machine.lines, &machine.line_capacity, machine.line_count, sizeof(Line)):
        return NO_INDEX
    line = &machine.lines[machine.line_count]
    memset(line, 0, sizeof(Line))
    receiver_init(&line.rx)
    line.station = station
    line.prefix = prefix
    line.first_start = NEVER
    for k in range(FILL_COUNT):
        line.filler[k] = NO_FILLER
    line.pairs = NO_INDEX
    line.weight.best = NO_WEIGHT
    machine.line_count += 1
    return <int32_t>(machine.line_count - 1)


cdef int32_t find_channel(Machine *machine, uint16_t number) noexcept nogil:
    """The index of a channel, or NO_INDEX: no memory; or NO_ROOM."""
    cdef uint64_t key = <uint64_t>number << KEY_CHANNEL_SHIFT | <uint64_t>CHANNEL_ITSELF << CHANNEL_ITSELF_SHIFT
    cdef int32_t found = code_of(&machine.slots, key)
    cdef Channel *channel
    cdef Askers *askers
    if found != NO_CODE:
        return found
    if machine.channel_count >= MOST_CHANNELS:
        return NO_ROOM
    if not grown(<void **>&machine.channels, &machine.channel_capacity, machine.channel_count, sizeof(Channel)):
        return NO_INDEX
    found = <int32_t>machine.channel_count
    askers = <Askers *>calloc(SERVICE_COUNT, sizeof(Askers))
    if askers == NULL or not slot_add(&machine.slots, key, found):
        free(askers)
        return NO_INDEX
    channel = &machine.channels[found]
    memset(channel, 0, sizeof(Channel))
    channel.number = number
    channel.askers = askers
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


cdef Pair *look_up_pair(Machine *machine, int32_t answering, int32_t asking) noexcept nogil:
    """The pair of two lines if there is one, or NULL."""
    cdef int32_t k = machine.lines[answering].pairs
    while k != NO_INDEX:
        if machine.pairs[k].asking == asking:
            return &machine.pairs[k]
        k = machine.pairs[k].next
    return NULL


cdef Pair *find_pair(Machine *machine, int32_t answering, int32_t asking) noexcept nogil:
    """The pair of two lines, which may be new or take the place of a weaker one. NULL: none is weaker, or no room."""
    cdef Line *line = &machine.lines[answering]
    cdef Pair *pair
    cdef Pair *weakest = NULL
    cdef Pair *twin
    cdef int32_t k = line.pairs
    cdef int count = 0
    while k != NO_INDEX:
        pair = &machine.pairs[k]
        if pair.asking == asking:
            pair.used = line.tally.frames
            return pair
        if (weakest == NULL or pair.weight.best < weakest.weight.best
                or pair.weight.best == weakest.weight.best and pair.used < weakest.used):
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
        # What may be found has a place for good.
        if weakest.weight.best > WEIGHT_TO_KEEP:
            return NULL
        pair = weakest
        k = pair.next
        if pair.twin != NO_INDEX:
            machine.pairs[pair.twin].twin = NO_INDEX
        memset(pair, 0, sizeof(Pair))
        pair.next = k
    pair.answering = answering
    pair.asking = asking
    pair.used = line.tally.frames
    pair.weight.best = NO_WEIGHT
    pair.twin = NO_INDEX
    twin = look_up_pair(machine, asking, answering)
    if twin != NULL:
        pair.twin = <int32_t>(twin - machine.pairs)
        twin.twin = <int32_t>(pair - machine.pairs)
    return pair
