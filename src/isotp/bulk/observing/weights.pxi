# How much what was counted weighs. Weights are decimal logarithms of odds: how much more often ISO-TP traffic does such
# a thing than other traffic. What speaks for a session has a limit, and so has what speaks against it.
#
# A weight is taken when there is something new, and the greatest is kept, with its parts: so more traffic never takes a
# session away. It may have frames of other IDs anywhere: a weight depends on the one or two lines that it is of, alone.

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset


cdef enum:
    MOST_TROUBLE = 8
    LONG_MESSAGE = 64              # CFs: so many in a row are no counter that happens to end where a message does

# A segmented message that is complete, never seen before and of a new length; half for a length that is known.
cdef double MESSAGE = 1.0
# Each of its first six CFs.
cdef double CF_IN_MESSAGE = 0.5
# What is left over of its last CF.
cdef double NEAT_END = 0.5
cdef double UNTIDY_END = -1.2
cdef double MOST_MESSAGES = 8.0
# Messages that diagnostic services have: a service, one that other traffic may have too, and what is behind it.
cdef double SERVICE = 0.8
cdef double SLIGHT_SERVICE = 0.3
cdef double THING = 0.25
cdef double MOST_SERVICES = 3.2
cdef double MOST_THINGS = 1.2
# Flow control on the line of a request, for the response.
cdef double OWN_FLOW = 0.8
# Used bytes that end where padding begins, for each length.
cdef double TIGHT = 0.4
cdef double MOST_TIGHT = 1.6
# Against.
cdef double BAD = 1.5
cdef double OVERRUN = 2.0
cdef double STRAY = 0.7
cdef double BROKEN = 0.6
cdef double DEAD = 0.5
cdef double UNTIDY = 0.2
cdef double MOST_UNTIDY = 1.0
# Between two lines.
cdef double FLOW_CONTROL = 1.5
cdef double BLOCK = 0.5
cdef double ECHOED_SERVICE = 1.0
cdef double ECHOED_UNKNOWN = 0.4   # ... that is none of those in sense.pxi
cdef double ECHOED_AGAIN = 0.3     # a service that was answered before, with something else behind it
cdef double ECHOED_BYTE = 1.0
cdef double ECHOED_ZERO = 0.3
cdef double NEGATIVE = 1.0         # a response of three bytes with a known code
cdef double REPEATED = 0.05
cdef double MOST_ECHO = 6.0
cdef double MOST_REPEATED = 0.5
# Of each of the two lines.
cdef double MOST_MESSAGES_OF_TWO = 3.0
cdef double MOST_SENSE_OF_TWO = 0.6
cdef double MOST_TIGHT_OF_TWO = 0.8
cdef double MOST_TROUBLE_OF_TWO = 2.5
cdef double MOST_BESIDE_BOND = 2.5


cdef inline int bit_count(uint64_t bits) noexcept nogil:
    cdef int count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


cdef inline bint says_something(const Line *line) noexcept nogil:
    """True if nearly all that a line says is of diagnostic services."""
    return line.services != 0 and 10 * max(line.tally.requests, line.tally.responses) >= 9 * line.tally.messages


cdef double messages_weight(const Line *line, bint alone) noexcept nogil:
    """Segmented messages that are complete; of one line alone, they weigh less where they come as signals do."""
    cdef const Tally *tally = &line.tally
    cdef double each, known
    cdef double evenness = 0.0
    if tally.fresh == 0:
        return first_message_weight(line, alone)
    known = <double>(tally.fresh - tally.fresh_lengths)
    each = (MESSAGE * tally.fresh + CF_IN_MESSAGE * tally.fresh_frames
            + NEAT_END * tally.neat_ends + UNTIDY_END * tally.untidy_ends) / <double>tally.fresh
    if alone and tally.followed > 0 and tally.sizes == 1:
        # Multiplexed signals come round evenly, with the same number of frames each time.
        evenness = <double>tally.even / <double>tally.followed
        if says_something(line):
            evenness /= 2
    return min(max(each, 0.0) * (<double>tally.fresh_lengths + known / 2) * (1.0 - evenness), MOST_MESSAGES)


cdef double first_message_weight(const Line *line, bint alone) noexcept nogil:
    """The message that the last frame completed: what comes next may be one of its frames, if these are signals."""
    cdef double weight = MESSAGE + CF_IN_MESSAGE * min(line.cfs, 6)
    if not line.done:
        return 0.0
    if line.end != END_FULL:
        weight += NEAT_END if line.end == END_NEAT else UNTIDY_END
    if alone and line.cfs < LONG_MESSAGE:
        weight = weight / 2 if says_something(line) else 0.0
    return max(weight, 0.0)


cdef double sense_weight(const Line *line) noexcept nogil:
    """Messages that say something, if most do."""
    cdef const Tally *tally = &line.tally
    cdef double share, services
    if tally.messages == 0:
        return 0.0
    share = <double>max(tally.requests, tally.responses) / <double>tally.messages
    if tally.single > 0:
        share *= 1.0 - 0.75 * min(<double>tally.untidy / <double>tally.single, 1.0)
    services = SERVICE * bit_count(line.services) + SLIGHT_SERVICE * bit_count(line.slight & ~line.services)
    return share * share * (min(services, MOST_SERVICES) + min(THING * line.thing_count, MOST_THINGS))


cdef double tidy_weight(const Line *line) noexcept nogil:
    cdef const Tally *tally = &line.tally
    cdef double share
    if tally.single + tally.flow_control == 0:
        return 0.0
    share = 1.0 - min(<double>tally.untidy / <double>(tally.single + tally.flow_control), 1.0)
    return share * min(TIGHT * bit_count(line.tight), MOST_TIGHT)


cdef double trouble_weight(const Machine *machine, const Line *line) noexcept nogil:
    """Against a line: what happened, in so far as it is much of what there is."""
    cdef const Tally *tally = &line.tally
    cdef const Station *station = &machine.stations[line.station]
    cdef uint64_t bad = tally.bad
    cdef uint64_t frames = tally.frames
    cdef uint64_t dead = tally.dead - tally.excused
    cdef double sum, share
    if line.prefix != NO_PREFIX:
        # A frame that fits no extension byte speaks against all of them.
        bad, frames = station.prefixed_bad, station.frames
    sum = (BAD * bad + OVERRUN * tally.overruns + STRAY * tally.strays + BROKEN * (tally.broken - tally.dead)
           + DEAD * dead + min(UNTIDY * tally.untidy, MOST_UNTIDY))
    # Frames get lost, and buffers have old bytes in them; but no sender makes bad frames.
    share = (10.0 * bad + 4.0 * (tally.overruns + tally.strays + tally.broken - tally.excused + tally.untidy)) / max(
        frames, 1)
    return -min(sum, <double>MOST_TROUBLE) * min(share, 1.0)


cdef void keep_if_greater(Machine *machine, Weight *weight, const double *parts, double news) noexcept nogil:
    cdef double sum = 0.0
    cdef int k
    for k in range(PART_COUNT):
        sum += parts[k]
    if sum <= weight.best:
        return
    weight.best = sum
    memcpy(weight.parts, parts, PART_COUNT * sizeof(double))
    machine.news += sum > news


cdef void weigh_line(Machine *machine, Line *line) noexcept nogil:
    """By itself, if it said two things, or a long one: what one request is, its response may tell."""
    cdef double[PART_COUNT] parts
    if line.tally.messages < 2 and line.tally.complete == 0 and not line.done:
        return
    memset(parts, 0, sizeof(parts))
    parts[PART_MESSAGES] = messages_weight(line, True)
    parts[PART_SENSE] = sense_weight(line)
    parts[PART_FLOW] = OWN_FLOW * min(line.own_flow, 2)
    parts[PART_TIDY] = tidy_weight(line)
    parts[PART_TROUBLE] = trouble_weight(machine, line)
    keep_if_greater(machine, &line.weight, parts, NEWS_OF_ONE)


cdef void add_echo(const Machine *machine, const Pair *pair, double *parts) noexcept nogil:
    """Responses of one line to the other, and how much of what the two say that is."""
    cdef const Tally *answering = &machine.lines[pair.answering].tally
    cdef const Tally *asking = &machine.lines[pair.asking].tally
    cdef double share, whole
    if pair.replies == 0:
        return
    share = min(<double>pair.echoes / <double>max(answering.messages, 1), 1.0)
    share *= min(0.5 + <double>pair.replies / <double>max(asking.asked, 1), 1.0)
    whole = min(pair.echo, MOST_ECHO) + min(REPEATED * pair.replies, MOST_REPEATED)
    parts[PART_ECHO] += whole
    parts[PART_UNASKED] -= whole * (1.0 - share)


cdef void add_flow(const Machine *machine, const Pair *pair, double *parts) noexcept nogil:
    """Flow control of one line for the other, and how much it explains of both."""
    cdef const Tally *answering = &machine.lines[pair.answering].tally
    cdef const Line *line = &machine.lines[pair.asking]
    cdef const Tally *asking = &line.tally
    cdef double due = <double>(pair.hits + pair.blocks)
    cdef double share, first
    if pair.hits + pair.blocks == 0:
        return
    first = <double>max(asking.first, 1)
    share = min(due / <double>max(answering.flow_control - min(pair.late, answering.flow_control), 1), 1.0)
    share *= <double>pair.hits / first * due / (due + <double>pair.misses)
    share *= share
    # What was answered goes on, to its end unless a frame is lost.
    share *= (<double>(asking.complete + line.done) + <double>(asking.broken - asking.dead) / 2) / first
    parts[PART_FLOW] += min(share, 1.0) * (FLOW_CONTROL * min(pair.hits, 3) + BLOCK * min(pair.blocks, 3))


cdef void weigh_pair(Machine *machine, Pair *pair) noexcept nogil:
    """The session that the two lines are, with all that they are to each other."""
    cdef double[PART_COUNT] parts
    cdef const Line *line
    cdef double beside
    cdef int k
    memset(parts, 0, sizeof(parts))
    add_echo(machine, pair, parts)
    add_flow(machine, pair, parts)
    if pair.twin != NO_INDEX:
        add_echo(machine, &machine.pairs[pair.twin], parts)
        add_flow(machine, &machine.pairs[pair.twin], parts)
    for k in range(2):
        line = &machine.lines[pair.answering if k == 0 else pair.asking]
        parts[PART_MESSAGES] += min(messages_weight(line, False), MOST_MESSAGES_OF_TWO)
        parts[PART_SENSE] += min(sense_weight(line), MOST_SENSE_OF_TWO)
        parts[PART_TIDY] += min(tidy_weight(line), MOST_TIGHT_OF_TWO)
        parts[PART_TROUBLE] += max(trouble_weight(machine, line), -MOST_TROUBLE_OF_TWO)
    # However good lines are by themselves, it is the bond that makes them a session.
    beside = parts[PART_MESSAGES] + parts[PART_SENSE] + parts[PART_TIDY] + parts[PART_TROUBLE]
    parts[PART_LOOSE] = min(MOST_BESIDE_BOND - beside, 0.0)
    keep_if_greater(machine, &pair.weight, parts, NEWS_OF_TWO)
