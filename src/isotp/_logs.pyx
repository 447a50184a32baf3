# cython: language_level=3
"""Log files to frame records without the GIL: parsers of candump, ASC, BLF objects and pcap/pcapng.

A parser is fed with the bytes of a file in blocks of any size and gives the records of each block. It keeps what is
cut at the end of a block until the next one, never more than LONGEST bytes, and is total: whatever can not be read is
a defect with its position, and the parser goes on behind it. Each format is a file of its own: _logs_*.pxi.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

from isotp._protocol.types cimport CAN_EFF_FLAG, CANFD_BRS, CANFD_FDF
from isotp.bulk._records cimport (
    CAN_ERR_FLAG,
    CAN_RTR_FLAG,
    CANFD_ESI,
    RECORD_SENT,
    ClassicRecord,
    FdRecord,
    RecordArray,
    Records,
    add_record,
    new_records,
)

import operator
import struct


cdef enum:
    LONGEST = 65_536               # bytes of a line, of an object with a frame, of a packet
    MOST_DEFECTS = 1000            # kept of one block; all are counted
    MOST_NAMES = 256               # of channels in one log
    CHANNELS = 65_536
    CAN_EFF_MASK = 0x1FFFFFFF
    CAN_SFF_MASK = 0x7FF
    NS = 1_000_000_000


# What a defect says, in the order of DEFECTS.
cdef enum Reason:
    READABLE
    NO_FRAME
    BAD_TIME
    BAD_IDENTIFIER
    BAD_LENGTH
    BAD_DATA
    CUT_OFF
    LONG_LINE
    MANY_CHANNELS
    NO_OBJECT
    BAD_OBJECT
    BAD_VERSION
    NESTED
    BAD_PACKET
    BAD_BLOCK
    BAD_SECTION
    NO_INTERFACE
    NOT_CAN
    NOT_TEXT
    BAD_HEADER

DEFECTS = (
    "",
    "no CAN frame in the form of this log",
    "the time is no decimal number of seconds, or does not fit 64 bits of ns",
    "the identifier is no CAN identifier",
    "the length does not go with the data",
    "the data is not what the format asks for",
    "the log ends here in the middle",
    "a line is longer than 64 KiB",
    "more than 256 names of channels",
    "no object where one should begin",
    "the size of an object can not be right",
    "the header of an object has an unknown version",
    "a log container among the objects of another one",
    "the header of a packet can not be right",
    "the length of a block can not be right",
    "a section without a byte order",
    "a packet of an interface that was not described",
    "packets of a link type that is not CAN",
    "bytes that are not text",
    "a header line that can not be read",
)

# So many defects of a log are kept, and of each block: the first ones of a log are the same however it is cut.
DEFECTS_KEPT = MOST_DEFECTS

# Data bytes by DLC, ISO 11898-1.
cdef uint8_t[16] LENGTH_OF_DLC = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64]

# The value of a digit, -1 for any other character.
cdef int8_t[256] DIGIT


cdef void fill_digits() noexcept:
    cdef int k
    memset(DIGIT, 0xFF, 256)
    for k in range(10):
        DIGIT[c'0' + k] = <int8_t>k
    for k in range(6):
        DIGIT[c'a' + k] = DIGIT[c'A' + k] = <int8_t>(10 + k)


fill_digits()


# --- where frames go ---

cdef struct Sink:
    RecordArray *array
    int64_t start                  # frames of start <= time < end
    int64_t end
    uint8_t *wanted                # by channel; NULL: all
    uint8_t *seen                  # by channel
    bint no_memory


cdef struct Defect:
    int64_t offset
    int64_t line
    Reason reason


cdef bint widen(RecordArray *array) noexcept nogil:
    """Classic records become FD records, in their place. False: no memory."""
    cdef Py_ssize_t k, capacity = max(array.capacity, 16)
    cdef uint8_t *items = <uint8_t *>realloc(array.items, <size_t>capacity * sizeof(FdRecord))
    if items == NULL:
        return False
    # From the last one on: each moves up, onto records that have moved already.
    for k in range(array.count - 1, -1, -1):
        memmove(items + k * sizeof(FdRecord), items + k * sizeof(ClassicRecord), sizeof(ClassicRecord))
        memset(items + k * sizeof(FdRecord) + sizeof(ClassicRecord), 0, sizeof(FdRecord) - sizeof(ClassicRecord))
    array.items = items
    array.capacity = capacity
    array.itemsize = sizeof(FdRecord)
    return True


cdef inline void put(
    Sink *sink, int64_t time, uint32_t can_id, int length, uint8_t flags, uint16_t channel,
    const uint8_t *data, int stored,
) noexcept nogil:
    """Add a frame if it is wanted. `stored` bytes of data: a remote frame has a length, but none of them."""
    cdef FdRecord *record
    if not sink.start <= time < sink.end:
        return
    if sink.wanted != NULL and not sink.wanted[channel]:
        return
    sink.seen[channel] = 1
    if sink.array.itemsize == sizeof(ClassicRecord):
        if length > 8 and not widen(sink.array):
            sink.no_memory = True
            return
    record = add_record(sink.array)
    if record == NULL:
        sink.no_memory = True
        return
    record.timestamp = time
    record.can_id = can_id
    record.len = <uint8_t>length
    record.flags = flags
    record.channel = channel
    memcpy(record.data, data, <size_t>stored)


cdef class FrameCollector:
    """FrameCollector(start=None, end=None, channels=None)\n--\n\n
    Takes single frames, drops those that are not wanted and gives the rest as records.

    The records are of the classic layout until a frame with more than 8 bytes comes, and FD records from then on.

    :param start: ns; earlier frames are dropped.
    :param end: ns; frames at this time and later are dropped.
    :param channels: numbers of the channels to keep; None: all.
    """

    cdef Sink sink
    cdef Records records
    cdef bint wide

    def __cinit__(self, *args, **kwargs):
        memset(&self.sink, 0, sizeof(Sink))
        self.sink.start = INT64_MIN
        self.sink.end = INT64_MAX
        self.sink.seen = <uint8_t *>calloc(CHANNELS, 1)
        if self.sink.seen == NULL:
            raise MemoryError("no memory for a collector of frames")
        self.begin(0)

    def __init__(self, start=None, end=None, channels=None):
        if start is not None:
            self.sink.start = max(INT64_MIN, min(operator.index(start), INT64_MAX))
        if end is not None:
            self.sink.end = max(INT64_MIN, min(operator.index(end), INT64_MAX))
        if channels is not None:
            self.want_only(channels)

    def __dealloc__(self):
        free(self.sink.seen)
        free(self.sink.wanted)

    cdef int want_only(self, object channels) except -1:
        if self.sink.wanted == NULL:
            self.sink.wanted = <uint8_t *>calloc(CHANNELS, 1)
            if self.sink.wanted == NULL:
                raise MemoryError("no memory for a collector of frames")
        for channel in channels:
            self.sink.wanted[channel_number(channel)] = 1
        return 0

    cdef int begin(self, Py_ssize_t capacity) except -1:
        self.records = new_records(self.wide, capacity)
        self.sink.array = &self.records.array
        return 0

    cdef Records finish(self):
        cdef Records taken = self.records
        self.wide = taken.array.itemsize == sizeof(FdRecord)
        self.begin(0)
        if self.sink.no_memory:
            self.sink.no_memory = False
            raise MemoryError(f"no memory for more than {len(taken)} records")
        return taken

    def want(self, channel):
        """Keep the frames of this channel too, if only some are kept."""
        if self.sink.wanted != NULL:
            self.sink.wanted[channel_number(channel)] = 1

    def put(self, int64_t timestamp, uint32_t can_id, data, int length=-1, uint8_t flags=0, uint16_t channel=0):
        """Add one frame.

        :param timestamp: ns.
        :param can_id: with the flags of SocketCAN.
        :param length: if it is not that of the data: that of a remote frame, at most 8.
        :raises ValueError: for more than 64 bytes of data, or another length.
        """
        cdef bytes octets = bytes(data)
        cdef Py_ssize_t stored = PyBytes_GET_SIZE(octets)
        if length < 0:
            length = <int>stored
        if stored > 64 or length < stored or length > max(8, stored):
            raise ValueError(f"a frame of length {length} with {stored} bytes of data")
        put(&self.sink, timestamp, can_id, length, flags, channel,
            <const uint8_t *>PyBytes_AS_STRING(octets), <int>stored)

    def take(self):
        """The records so far; the collector starts anew."""
        return self.finish()

    @property
    def channels_seen(self):
        """Numbers of the channels that had frames."""
        return [channel for channel in range(CHANNELS) if self.sink.seen[channel]]


cdef int channel_number(object channel) except -1:
    number = operator.index(channel)
    if not 0 <= number < CHANNELS:
        raise ValueError(f"the number of a channel must be from 0 to 65535, not {channel!r}")
    return number


# --- bytes in blocks ---

cdef class LogParser(FrameCollector):
    """What all parsers have in common; a subclass per format.

    :param number_of: called with the name of a channel (str), returns its number.
    """

    cdef object number_of
    cdef bytes tail                # the beginning of what the next block goes on with
    cdef int64_t base              # offset of the tail in the log
    cdef int64_t line              # number of the current line, from 1
    cdef int64_t skip              # bytes to pass over
    cdef Py_ssize_t question       # consume() stopped: Python must look at so many bytes first,
    cdef Py_ssize_t question_skip  # so many bytes ahead
    cdef bint busy
    cdef Defect[MOST_DEFECTS] defects
    cdef int64_t defect_count

    def __init__(self, number_of, start=None, end=None, channels=None):
        FrameCollector.__init__(self, start, end, channels)
        self.number_of = number_of
        self.tail = b""
        self.line = 1

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

    cdef void defect(self, int64_t offset, int64_t line, Reason reason) noexcept nogil:
        if self.defect_count < MOST_DEFECTS:
            self.defects[self.defect_count].offset = offset
            self.defects[self.defect_count].line = line
            self.defects[self.defect_count].reason = reason
        self.defect_count = self.defect_count + 1

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
        cdef bytes data = self.tail + block if self.tail else bytes(block)
        cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), done = 0
        while True:
            self.question = 0
            with nogil:
                done += self.consume(start + done, size - done, self.base + done, final)
            if self.question == 0:
                break
            skip = done + self.question_skip
            self.answer(data[skip:skip + self.question])
        self.tail = data[done:]
        self.base += done
        return self.finish()

    def defects_found(self):
        """New defects as (offset, line, reason), at most 1000, and how many there were; line is 0 in binary logs."""
        found = [
            (self.defects[k].offset, self.defects[k].line, DEFECTS[<int>self.defects[k].reason])
            for k in range(min(self.defect_count, MOST_DEFECTS))
        ]
        count = self.defect_count
        self.defect_count = 0
        return found, count


# --- what the formats share ---

cdef inline bint is_space(uint8_t c) noexcept nogil:
    return c == c' ' or 9 <= c <= 13


cdef inline bint is_decimal(uint8_t c) noexcept nogil:
    return c'0' <= c <= c'9'


cdef struct Token:
    const uint8_t *start
    Py_ssize_t size


cdef inline bint next_token(const uint8_t **place, const uint8_t *end, Token *token) noexcept nogil:
    """The next word up to white space. False: there is none."""
    cdef const uint8_t *p = place[0]
    while p < end and is_space(p[0]):
        p += 1
    token.start = p
    while p < end and not is_space(p[0]):
        p += 1
    token.size = p - token.start
    place[0] = p
    return token.size > 0


cdef inline bint is_word(const Token *token, const char *lower, Py_ssize_t size) noexcept nogil:
    """Equal without regard to case; `lower` is in lower case."""
    cdef Py_ssize_t k
    if token.size != size:
        return False
    for k in range(size):
        if (token.start[k] | 0x20) != <uint8_t>lower[k]:
            return False
    return True


cdef inline bint number_in(
    const uint8_t *start, Py_ssize_t size, int base, uint64_t most, uint64_t *value,
) noexcept nogil:
    """Digits and nothing else, at least one, up to `most`."""
    cdef Py_ssize_t k
    cdef int digit
    value[0] = 0
    if size <= 0:
        return False
    for k in range(size):
        digit = DIGIT[start[k]]
        if not 0 <= digit < base:
            return False
        value[0] = value[0] * base + digit
        if value[0] > most:
            return False
    return True


cdef inline bint time_in(const uint8_t *start, Py_ssize_t size, int64_t *ns) noexcept nogil:
    """Seconds as digits with or without a fraction, exactly; digits beyond ns are checked and dropped."""
    cdef int64_t seconds = 0, fraction = 0, unit = NS
    cdef Py_ssize_t k = 0
    while k < size and is_decimal(start[k]):
        seconds = seconds * 10 + (start[k] - c'0')
        if seconds >= 9_223_372_036LL:
            return False
        k += 1
    if k == 0:
        return False
    if k < size and start[k] == c'.':
        k += 1
        while k < size and is_decimal(start[k]):
            if unit > 1:
                fraction = fraction * 10 + (start[k] - c'0')
                unit //= 10
            k += 1
    ns[0] = seconds * NS + fraction * unit
    return k == size


cdef inline uint16_t little16(const uint8_t *p) noexcept nogil:
    return <uint16_t>(p[0] | p[1] << 8)


cdef inline uint32_t little32(const uint8_t *p) noexcept nogil:
    return p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24


cdef inline uint64_t little64(const uint8_t *p) noexcept nogil:
    return little32(p) | <uint64_t>little32(p + 4) << 32


cdef inline uint32_t big32(const uint8_t *p) noexcept nogil:
    return p[3] | <uint32_t>p[2] << 8 | <uint32_t>p[1] << 16 | <uint32_t>p[0] << 24


cdef class TextParser(LogParser):
    """Lines to frames; the line is what a subclass reads."""

    cdef bint in_long_line

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        return READABLE

    cdef Py_ssize_t consume(self, const uint8_t *data, Py_ssize_t size, int64_t offset, bint final) noexcept nogil:
        cdef const uint8_t *start = data
        cdef const uint8_t *limit = data + size
        cdef const uint8_t *newline
        cdef const uint8_t *end
        cdef Reason reason
        while start < limit:
            newline = <const uint8_t *>memchr(start, c'\n', <size_t>(limit - start))
            if newline == NULL and not final:
                return self.keep_line(start, limit, data, offset)
            end = limit if newline == NULL else newline
            if self.in_long_line:
                self.in_long_line = False
            elif end - start > LONGEST:
                # As keep_line() has it, which sees it only where a block ends in the line.
                self.defect(offset + (start - data), self.line, LONG_LINE)
            else:
                reason = self.read_line(start, end)
                if self.question > 0:
                    return start - data
                if reason == READABLE and newline == NULL:
                    # Nobody can tell whether there was more of it.
                    reason = CUT_OFF
                if reason != READABLE:
                    self.defect(offset + (start - data), self.line, reason)
            if newline == NULL:
                break
            start = newline + 1
            self.line = self.line + 1
        return size

    cdef Py_ssize_t keep_line(
        self, const uint8_t *start, const uint8_t *limit, const uint8_t *data, int64_t offset,
    ) noexcept nogil:
        """A line goes on in the next block: keep its beginning, unless it is too long for a line."""
        if not self.in_long_line and limit - start <= LONGEST:
            return start - data
        if not self.in_long_line:
            self.defect(offset + (start - data), self.line, LONG_LINE)
            self.in_long_line = True
        return limit - data


include "_logs_candump.pxi"
include "_logs_asc.pxi"
include "_logs_blf.pxi"
include "_logs_pcap.pxi"
