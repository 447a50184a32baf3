# cython: language_level=3
"""What each ID of a log does, judged as ISO-TP: one pass over frame records that keeps counts only.

A line is what one sender says to one receiver if the frames are ISO-TP: a channel, a CAN ID and, for the modes with an
extension byte, the first byte. Each ID is tried both ways, by the Receiver that a layer in listen mode has; what
it makes of the frames is counted, and so is what happens on two lines at the same time: a flow control frame after a
first frame, a response after a request. _discovery.py judges the counts.
"""

from cpython.buffer cimport PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

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


include "observing/state.pxi"      # what is kept
include "observing/line.pxi"       # one frame on one line
include "observing/sense.pxi"      # what messages say
include "observing/weights.pxi"    # how much the counts weigh
include "observing/pairs.pxi"      # what two lines do


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
        for k in range(self.machine.channel_count):
            free(self.machine.channels[k].askers)
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

    @property
    def news(self):
        """How often a weight grew: while this is the same, so is what is found."""
        return self.machine.news

    def counts(self, line_type, pair_type):
        """The lines and pairs for which something speaks; lines by number.

        :param line_type: a NamedTuple of what to tell of a line: its counts, `channel`, `can_id` with CAN_EFF_FLAG,
            `prefix` (None without extension byte), `first_start` in ns (None: no message), `best` and `parts`, which is
            how much speaks for it and what.
        :param pair_type: the same of a pair.
        """
        cdef Py_ssize_t k
        claim(self, &self.busy, "Discovery")
        try:
            pairs = [
                filled(pair_type, counts_of_pair(&self.machine.pairs[k]))
                for k in range(self.machine.pair_count) if self.machine.pairs[k].weight.best > 0
            ]
            numbers = {number for pair in pairs for number in (pair.answering, pair.asking)}
            lines = {}
            for k in range(self.machine.line_count):
                if self.machine.lines[k].weight.best > 0 or k in numbers:
                    lines[k] = filled(line_type, counts_of_line(&self.machine, &self.machine.lines[k]))
            return lines, pairs
        finally:
            release(self, &self.busy)


cdef object filled(object kind, dict counts):
    return kind._make([counts[name] for name in kind._fields])


cdef dict with_weight(dict counts, const Weight *weight):
    cdef int k
    counts["best"] = weight.best
    counts["parts"] = tuple([weight.parts[k] for k in range(PART_COUNT)])
    return counts


cdef dict counts_of_pair(const Pair *pair):
    cdef dict counts = {
        "answering": pair.answering, "asking": pair.asking, "hits": pair.hits, "blocks": pair.blocks,
        "replies": pair.replies,
    }
    return with_weight(counts, &pair.weight)


cdef dict counts_of_line(const Machine *machine, const Line *line):
    cdef const Station *station = &machine.stations[line.station]
    cdef dict counts = line.tally
    counts["complete"] += line.done
    if line.prefix != NO_PREFIX:
        # A frame that fits no extension byte speaks against all of them.
        counts["bad"] = station.prefixed_bad
    counts["channel"] = machine.channels[station.channel].number
    counts["can_id"] = station.can_id
    counts["prefix"] = None if line.prefix == NO_PREFIX else line.prefix
    counts["first_start"] = None if line.first_start == NEVER else line.first_start
    return with_weight(counts, &line.weight)
