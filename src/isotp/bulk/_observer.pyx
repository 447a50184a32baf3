# cython: language_level=3
"""What each ID of a log does, judged as ISO-TP: one pass over frame records that keeps counts and weights only.

A line is what one sender says to one receiver if the frames are ISO-TP: a channel, a CAN ID and, for the modes with an
extension byte, the first byte. Each ID is tried both ways, by the Receiver that a layer in listen mode has; what
it makes of the frames is counted, and so is what happens on two lines at the same time: a flow control frame after a
first frame, a response after a request. Each time that something new speaks for a line or for two, all that does is
weighed, and the greatest weight is kept. _discovery.py judges these.
"""

from cpython.buffer cimport PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport free
from libc.string cimport memset

from isotp._protocol.frames cimport *
from isotp._protocol.n_pci cimport *
from isotp._protocol.reception cimport *
from isotp._protocol.types cimport *
from isotp.bulk._guard cimport claim, release
from isotp.bulk._records cimport RECORDS_FLAGS, RECORDS_WITH_GIL, RecordBuffer, find_records
from isotp.bulk._slots cimport KEY_EMPTY, slots_free, slots_init


include "observing/state.pxi"          # what is kept
include "observing/line.pxi"           # one frame on one line
include "observing/sense.pxi"          # what messages say
include "observing/weights.pxi"        # how much the counts weigh
include "observing/pairs.pxi"          # what two lines do
include "observing/stations.pxi"       # one frame of an ID, and all of a buffer


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
        """How often a weight grew by which something may be found."""
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
