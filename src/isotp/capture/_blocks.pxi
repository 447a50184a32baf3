# What all parsers have in common: bytes in blocks, and what could not be read of them.


# Why something cannot be read; READABLE: it can.
ctypedef int Reason

cdef enum:
    READABLE = 0

cdef list REASONS = ["READABLE"]


cdef Reason reason_for(str text) except -1:
    """A new reason: what it says."""
    REASONS.append(text)
    return len(REASONS) - 1


cdef Reason NO_FRAME = reason_for("no CAN frame in the form of this log")
cdef Reason BAD_TIME = reason_for("the time is no decimal number of seconds, or does not fit 64 bits of ns")
cdef Reason BAD_IDENTIFIER = reason_for("the identifier is no CAN identifier")
cdef Reason BAD_LENGTH = reason_for("the length does not go with the data")
cdef Reason BAD_DATA = reason_for("the data is not what the format asks for")
cdef Reason BAD_HEADER = reason_for("a header line that cannot be read")
cdef Reason CUT_OFF = reason_for("the log ends here in the middle")
cdef Reason MANY_CHANNELS = reason_for("more than 256 names of channels")


cdef enum:
    STRETCH = 4096                 # of a block, with what was kept of the one before

# What a log has beside the frames that are read.
ctypedef int Other

cdef list OTHERS = []


cdef Other other_kind(str name) except -1:
    """Something else that logs hold, to be counted: what it is called."""
    if name not in OTHERS:
        if len(OTHERS) == MOST_KINDS:
            raise ValueError(f"no room for {name}")
        OTHERS.append(name)
    return OTHERS.index(name)


# So many defects of a log are kept, and of each block: the first ones of a log are the same however it is cut.
DEFECTS_KEPT = MOST_DEFECTS


cdef struct Defect:
    int64_t offset
    int64_t line
    Reason reason


cdef class LogParser(FrameCollector):
    """What all parsers have in common; a subclass per format.

    :param number_of: called with the name of a channel (str), returns its number.
    """

    cdef object number_of
    cdef set names                 # of channels that had numbers
    cdef bytes tail                # the beginning of what the next block goes on with
    cdef int64_t base              # offset of the tail in the log
    cdef int64_t line              # number of the current line, from 1; 0 in binary logs
    cdef int64_t skip              # bytes to pass over
    cdef int64_t skip_from         # offset of what is passed over
    cdef bint lost                 # in a binary log: looking for where something begins, after a defect
    cdef Py_ssize_t question       # consume() stopped: Python must look at so many bytes first,
    cdef Py_ssize_t question_skip  # so many bytes ahead
    cdef bint busy
    cdef Defect[MOST_DEFECTS] defects
    cdef int64_t defect_count
    cdef int64_t[MOST_KINDS] others
    cdef bint has_others

    def __cinit__(self, *args, **kwargs):
        self.names = set()
        self.tail = b""

    def __init__(self, number_of, start=None, end=None, channels=None):
        FrameCollector.__init__(self, start, end, channels)
        self.number_of = number_of

    cdef Py_ssize_t consume(self, const uint8_t *data, Py_ssize_t size, int64_t offset, bint final) noexcept nogil:
        """Parse what is whole; the number of bytes that are done with."""
        return size

    cdef void ask(self, const uint8_t *line, const uint8_t *start, Py_ssize_t size) noexcept nogil:
        """Stop before `line` until Python has seen to `size` bytes at `start`."""
        self.question = size
        self.question_skip = start - line

    cdef int answer(self, bytes matter) except -1:
        """See to the bytes for which consume() stopped; they are not passed over by that."""
        return 0

    cdef int number_named(self, str name) except -2:
        """The number of a channel; -1: there is none for it, since this log has many names, or others took them all."""
        if name not in self.names and len(self.names) == MOST_NAMES:
            return -1
        self.names.add(name)
        try:
            return channel_number(self.number_of(name))
        except ValueError:
            return -1

    cdef void lose(self, int64_t offset, Reason reason) noexcept nogil:
        """Where the next thing begins is not known: look for it."""
        self.defect(offset, 0, reason)
        self.lost = True

    cdef void defect(self, int64_t offset, int64_t line, Reason reason) noexcept nogil:
        if self.defect_count < MOST_DEFECTS:
            self.defects[self.defect_count].offset = offset
            self.defects[self.defect_count].line = line
            self.defects[self.defect_count].reason = reason
        self.defect_count = self.defect_count + 1

    cdef inline Reason pass_by(self, Other kind) noexcept nogil:
        """Something that is no frame, and no problem either: it is counted."""
        self.others[kind] = self.others[kind] + 1
        self.has_others = True
        return READABLE

    def feed(self, block, bint final=False):
        """The records of the next block of the log.

        :param block: bytes.
        :param final: the log ends with this block.
        """
        cdef bint entered
        with cython.critical_section(self):
            entered = not self.busy
            if entered:
                self.busy = True
        if not entered:
            raise RuntimeError("another thread is feeding this parser")
        try:
            return self.feed_block(block, final)
        finally:
            with cython.critical_section(self):
                self.busy = False

    cdef Records feed_block(self, object block, bint final):
        cdef bytes data = bytes(block)
        cdef Py_ssize_t kept = PyBytes_GET_SIZE(self.tail), done = 0
        if kept > 0 and PyBytes_GET_SIZE(data) > 2 * STRETCH:
            # What began in the block before ends soon, as a rule: the whole block is not copied for that.
            joined = self.tail + data[:STRETCH]
            done = self.parse(joined, 0, False)
            if done < kept:
                data = joined[done:kept] + data
            done = max(done - kept, 0)
        elif kept > 0:
            data = self.tail + data
        done = self.parse(data, done, final)
        self.tail = data[done:]
        return self.finish()

    cdef Py_ssize_t parse(self, bytes data, Py_ssize_t begin, bint final) except -1:
        """Parse what is whole from `begin` on, which is at `base` in the log; up to where."""
        cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), done = begin, skip
        while True:
            self.question = 0
            with nogil:
                done += self.consume(start + done, size - done, self.base + (done - begin), final)
            if self.question == 0:
                break
            skip = done + self.question_skip
            self.answer(data[skip:skip + self.question])
        self.base += done - begin
        return done

    def defects_found(self):
        """New defects as (offset, line, reason), at most 1000, and how many there were; line is 0 in binary logs."""
        found = [
            (self.defects[k].offset, self.defects[k].line, REASONS[self.defects[k].reason])
            for k in range(min(self.defect_count, MOST_DEFECTS))
        ]
        count = self.defect_count
        self.defect_count = 0
        return found, count

    def others_found(self):
        """What there was beside frames, by kind, since the last call: a dict of names and counts."""
        if not self.has_others:
            return {}
        found = {OTHERS[k]: self.others[k] for k in range(len(OTHERS)) if self.others[k] > 0}
        self.has_others = False
        memset(self.others, 0, sizeof(self.others))
        return found


cdef inline uint16_t little16(const uint8_t *p) noexcept nogil:
    return <uint16_t>(p[0] | p[1] << 8)


cdef inline uint32_t little32(const uint8_t *p) noexcept nogil:
    return p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24


cdef inline uint64_t little64(const uint8_t *p) noexcept nogil:
    return little32(p) | <uint64_t>little32(p + 4) << 32


cdef inline uint32_t big32(const uint8_t *p) noexcept nogil:
    return p[3] | <uint32_t>p[2] << 8 | <uint32_t>p[1] << 16 | <uint32_t>p[0] << 24
