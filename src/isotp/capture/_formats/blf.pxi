# BLF of Vector's tools: the objects that the unpacked log containers hold, one behind the other.
#
# No specification is public; this follows python-can's reader. An object begins with "LOBJ", the size of its header,
# the version of that, its own size and its type; then flags and the time, in ns or 10 us.


cdef Reason NO_OBJECT = reason_for("no object where one should begin")
cdef Reason BAD_OBJECT = reason_for("the size of an object cannot be right")
cdef Reason BAD_VERSION = reason_for("the header of an object has an unknown version")
cdef Reason NESTED = reason_for("a log container among the objects of another one")


cdef Other kinds_by_number() except -1:
    """A kind for each type of objects; the first one."""
    cdef Other first = other_kind("object of type 0")
    for number in range(1, BLF_TYPES):
        other_kind(f"object of type {number}")
    return first


cdef Other BLF_OTHER = kinds_by_number()

cdef enum:
    BLF_TYPES = 256                # of objects; more of them have no meaning
    OBJECT_HEADER = 16             # up to the type
    HEADER_V1 = 32                 # with flags and time
    HEADER_V2 = 40
    TIME_10_US = 1                 # flag
    CAN_MESSAGE = 1                # types
    LOG_CONTAINER = 10
    CAN_ERROR_EXT = 73
    CAN_MESSAGE2 = 86
    CAN_FD_MESSAGE = 100
    CAN_FD_MESSAGE_64 = 101
    CAN_SIZE = 16                  # bytes of an object behind its header
    ERROR_SIZE = 32
    FD_SIZE = 84
    FD_64_HEAD = 40
    LONGEST_FRAME = 1024           # bytes of an object with a frame: far more than any has
    SHORT_FRAME = HEADER_V2 + 40   # below it, no two of them can be
    MOST_RUNS = 512                # containers that are read ahead together


cdef struct Run:
    const uint8_t *place
    Py_ssize_t size


MOST_CONTAINERS_AHEAD = MOST_RUNS


cdef class BlfParser(LogParser):
    """Parser of the objects of a BLF file: it is fed with what the log containers hold, unpacked.

    :param began: ns since 1970, is added to the times of the objects.
    """

    cdef int64_t began

    def __init__(self, number_of, began, start=None, end=None, channels=None):
        LogParser.__init__(self, number_of, start, end, channels)
        self.began = began

    def gap(self):
        """Bytes are missing before the next block: drop what went on there."""
        self.base += len(self.tail)
        self.tail = b""
        self.skip = 0
        self.lost = True

    # --- objects ahead of those before them ---

    @property
    def at_object(self):
        """An object begins with the next byte."""
        return not self.tail and self.skip == 0 and not self.lost

    @property
    def layout(self):
        """Of the records that are made now: True for FD."""
        return self.wide

    @staticmethod
    def first_frame(bytes data not None):
        """Where the first object of a frame seems to begin, -1: nowhere."""
        return find_frame(<const uint8_t *>PyBytes_AS_STRING(data), 0, PyBytes_GET_SIZE(data))

    def read_ahead(self, list contents not None, Py_ssize_t begin, bint wide):
        """The records of what some containers hold, from byte `begin` of the first one on, where an object begins.

        This parser is a twin of the one that feeds the log: made alike, and never fed. Offsets count from `begin`.
        None: something is wrong, or an object is so long that only feed() can tell.
        """
        cdef Run[MOST_RUNS] runs
        cdef Py_ssize_t count = 0
        cdef bytes data = b""
        if not 0 < len(contents) <= MOST_RUNS:
            raise ValueError(f"{len(contents)} containers")
        for each in contents:
            if not isinstance(each, bytes):
                raise TypeError(f"what a container holds is bytes, not {each!r}")
            data = each
            runs[count].place = <const uint8_t *>PyBytes_AS_STRING(data)
            runs[count].size = PyBytes_GET_SIZE(data)
            count += 1
        if not 0 <= begin <= runs[0].size:
            raise ValueError(f"an object at byte {begin} of {runs[0].size}")
        runs[0].place += begin
        runs[0].size -= begin
        self.base = self.skip = self.skip_from = 0
        self.lost = False
        self.defect_count = 0
        self.others_found()
        if self.sink.wanted != NULL:
            memset(self.sink.left_out, 0, CHANNELS)
        self.wide = wide
        self.lay_out()
        with nogil:
            begin = self.consume_runs(runs, count)
        records = self.finish()
        if begin < 0 or self.defect_count > 0:
            return None
        self.tail = data[len(data) - begin:]
        return records

    cdef Py_ssize_t consume_runs(self, const Run *runs, Py_ssize_t count) noexcept nogil:
        """Parse them one behind the other; how many of the last bytes are left, -1: too many somewhere."""
        cdef uint8_t[2 * STRETCH] joined
        cdef const uint8_t *rest = NULL
        cdef Py_ssize_t kept = 0, k, pos, size
        for k in range(count):
            pos = 0
            if kept > 0:
                # What began in the container before ends soon.
                size = min(runs[k].size, <Py_ssize_t>STRETCH)
                memcpy(joined, rest, <size_t>kept)
                memcpy(joined + kept, runs[k].place, <size_t>size)
                pos = self.consume(joined, kept + size, self.base, False)
                self.base = self.base + pos
                pos -= kept
                if pos < 0:
                    return -1
            size = self.consume(runs[k].place + pos, runs[k].size - pos, self.base, False)
            self.base = self.base + size
            kept = runs[k].size - pos - size
            if kept > STRETCH:
                return -1
            rest = runs[k].place + pos + size
        return kept

    def follow(self, BlfParser twin not None):
        """Be where a twin is, which began to read ahead where this parser is."""
        self.take_over(twin)
        self.tail = twin.tail
        self.skip = twin.skip
        self.skip_from = self.base + twin.skip_from
        self.base += twin.base
        self.lost = twin.lost

    cdef Py_ssize_t consume(self, const uint8_t *data, Py_ssize_t size, int64_t offset, bint final) noexcept nogil:
        cdef Py_ssize_t pos = 0, found
        cdef uint32_t object_size, object_type
        cdef Reason reason
        while True:
            if self.skip > 0:
                pos += self.pass_over(data + pos, size - pos, final)
                if self.skip > 0:
                    return pos
            if size - pos >= OBJECT_HEADER and memcmp(data + pos, b"LOBJ", 4) == 0:
                found = pos
            else:
                found = find_object(data, pos, size if self.lost else min(size, pos + 8))
            if found < 0 and not self.lost and size - pos >= 8:
                self.lose(offset + pos, NO_OBJECT)
                continue
            if found < 0 or size - found < OBJECT_HEADER:
                # The last bytes may be the beginning of a signature, or padding.
                if not final:
                    return max(pos, size - 3) if self.lost and found < 0 else pos
                if found >= 0:
                    self.defect(offset + found, 0, CUT_OFF)
                return size
            self.lost = False
            pos = found
            object_size = little32(data + pos + 8)
            object_type = little32(data + pos + 12)
            if object_size < OBJECT_HEADER or (is_frame(object_type) and object_size > LONGEST_FRAME):
                self.lose(offset + pos, BAD_OBJECT)
                pos += 4
                continue
            if not is_frame(object_type):
                if object_type == LOG_CONTAINER:
                    self.defect(offset + pos, 0, NESTED)
                else:
                    self.pass_by(BLF_OTHER + <Other>min(object_type, <uint32_t>BLF_TYPES - 1))
                self.skip = object_size
                self.skip_from = offset + pos
                continue
            if object_size > size - pos:
                if not final:
                    return pos
                # Others follow if it is the size that is wrong.
                self.lose(offset + pos, CUT_OFF)
                pos += 4
                continue
            if object_size >= SHORT_FRAME:
                found = second_object(data + pos, object_type, object_size)
                if found > 0:
                    self.defect(offset + pos, 0, BAD_OBJECT)
                    pos += found
                    continue
            reason = self.read_object(data + pos, object_type, object_size)
            if reason != READABLE:
                self.defect(offset + pos, 0, reason)
            pos += object_size

    cdef Py_ssize_t pass_over(self, const uint8_t *p, Py_ssize_t size, bint final) noexcept nogil:
        """Bytes of an object that is no frame, up to its end, or to a frame in it: then its size is wrong."""
        cdef Py_ssize_t reach = min(self.skip, <int64_t>size)
        cdef Py_ssize_t found = find_frame(p, 0, reach)
        if found >= 0:
            self.defect(self.skip_from, 0, BAD_OBJECT)
            self.skip = 0
            return found
        if self.skip > size:
            if final:
                self.defect(self.skip_from, 0, CUT_OFF)
                self.skip = 0
                return size
            # The last bytes may be the beginning of a frame's header.
            reach = max(0, size - OBJECT_HEADER + 1)
        self.skip = self.skip - reach
        return reach

    cdef Reason read_object(self, const uint8_t *p, uint32_t object_type, uint32_t size) noexcept nogil:
        cdef uint16_t version = little16(p + 6)
        cdef uint32_t head = HEADER_V1 if version == 1 else HEADER_V2
        cdef uint64_t time
        if version != 1 and version != 2:
            return BAD_VERSION
        if size < head:
            return BAD_OBJECT
        time = little64(p + 24)
        if little32(p + 16) == TIME_10_US:
            if time > <uint64_t>INT64_MAX // 10_000:
                return BAD_TIME
            time *= 10_000
        # INT64_MAX is behind the end of what is wanted, always.
        if time >= <uint64_t>(INT64_MAX - max(self.began, 0)):
            return BAD_TIME
        if object_type == CAN_FD_MESSAGE_64:
            return self.read_fd_64(p, head, size, self.began + <int64_t>time)
        return self.read_plain(p + head, size - head, object_type, self.began + <int64_t>time)

    cdef Reason read_plain(
        self, const uint8_t *p, uint32_t size, uint32_t object_type, int64_t time,
    ) noexcept nogil:
        """All types but the last: channel, flags, DLC, identifier at the same places, but for errors."""
        cdef uint16_t channel = <uint16_t>(little16(p) - 1) if size >= 2 else 0
        cdef uint8_t flags
        cdef uint32_t can_id
        cdef int length
        if object_type == CAN_ERROR_EXT:
            if size < ERROR_SIZE - 4:
                return BAD_OBJECT
            length = min(<int>p[10], 8, <int>size - 24)
            put(&self.sink, time, blf_id(p + 16) | CAN_ERR_FLAG, length, 0, channel, p + 24, length)
            return READABLE
        if size < CAN_SIZE or (object_type == CAN_FD_MESSAGE and size < FD_SIZE):
            return BAD_OBJECT
        flags = RECORD_SENT if p[2] & 1 else 0
        can_id = blf_id(p + 4)
        if object_type != CAN_FD_MESSAGE:
            length = min(<int>p[3], 8)
            if p[2] & 0x80:
                put(&self.sink, time, can_id | CAN_RTR_FLAG, length, flags, channel, p + 8, 0)
            else:
                put(&self.sink, time, can_id, length, flags, channel, p + 8, length)
            return READABLE
        if p[13] & 1:
            flags |= CANFD_FDF
        flags |= (CANFD_BRS if p[13] & 2 else 0) | (CANFD_ESI if p[13] & 4 else 0)
        if p[2] & 0x80:
            put(&self.sink, time, can_id | CAN_RTR_FLAG, min(<int>p[3], 8), flags, channel, p + 20, 0)
            return READABLE
        length = min(<int>p[14], 64)
        put(&self.sink, time, can_id, length, flags, channel, p + 20, length)
        return READABLE

    cdef Reason read_fd_64(self, const uint8_t *p, uint32_t head, uint32_t size, int64_t time) noexcept nogil:
        """CAN_FD_MESSAGE_64 may end before its data do: then the rest is zero, as CANoe has it."""
        cdef uint8_t[64] data
        cdef uint32_t bits, stop
        cdef int stored, length
        cdef uint8_t flags
        cdef uint16_t channel
        if size < head + FD_64_HEAD:
            return BAD_OBJECT
        p += head
        bits = little32(p + 12)
        channel = <uint16_t>(p[0] - 1)
        flags = (
            (RECORD_SENT if p[34] else 0) | (CANFD_FDF if bits & 0x1000 else 0)
            | (CANFD_BRS if bits & 0x2000 else 0) | (CANFD_ESI if bits & 0x4000 else 0))
        if bits & 0x10:
            put(&self.sink, time, blf_id(p + 4) | CAN_RTR_FLAG, min(<int>p[1], 8), flags, channel, data, 0)
            return READABLE
        # The offset of further data, from the beginning of the object; 0: there are none.
        stop = p[35] if p[35] else size
        length = min(<int>p[2], 64)
        stored = max(0, min(length, <int>min(stop, size) - <int>head - FD_64_HEAD))
        memset(data, 0, 64)
        memcpy(data, p + FD_64_HEAD, <size_t>stored)
        put(&self.sink, time, blf_id(p + 4), length, flags, channel, data, length)
        return READABLE


cdef inline bint is_frame(uint32_t object_type) noexcept nogil:
    return (
        object_type == CAN_MESSAGE or object_type == CAN_MESSAGE2 or object_type == CAN_ERROR_EXT
        or object_type == CAN_FD_MESSAGE or object_type == CAN_FD_MESSAGE_64)


cdef inline uint32_t blf_id(const uint8_t *p) noexcept nogil:
    # Bit 31 says 29 bits, as in SocketCAN.
    return little32(p) & (<uint32_t>CAN_EFF_FLAG | CAN_EFF_MASK)


cdef inline Py_ssize_t find_object(const uint8_t *data, Py_ssize_t pos, Py_ssize_t limit) noexcept nogil:
    """Where the next "LOBJ" within pos..limit begins, -1: there is none."""
    cdef const uint8_t *p = data + pos
    cdef const uint8_t *end = data + limit
    while end - p >= 4:
        p = <const uint8_t *>memchr(p, c'L', <size_t>(end - p - 3))
        if p == NULL:
            return -1
        if memcmp(p, b"LOBJ", 4) == 0:
            return p - data
        p += 1
    return -1


cdef Py_ssize_t find_frame(const uint8_t *data, Py_ssize_t pos, Py_ssize_t limit) noexcept nogil:
    """Where the next object with a frame begins, its header within pos..limit; -1: there is none."""
    while limit - pos >= OBJECT_HEADER:
        pos = find_object(data, pos, limit - OBJECT_HEADER + 4)
        if pos < 0 or begins_frame(data + pos):
            return pos
        pos += 4
    return -1


cdef inline bint begins_frame(const uint8_t *p) noexcept nogil:
    """So much of it fits that nothing else can be meant."""
    cdef uint16_t version = little16(p + 6)
    cdef uint32_t head = HEADER_V1 if version == 1 else HEADER_V2
    cdef uint32_t size = little32(p + 8)
    return (
        (version == 1 or version == 2) and little16(p + 4) == head
        and head + CAN_SIZE <= size <= LONGEST_FRAME and is_frame(little32(p + 12)))


cdef Py_ssize_t second_object(const uint8_t *p, uint32_t object_type, uint32_t size) noexcept nogil:
    """Where another frame begins in the object of one, whose size is wrong then; -1: nowhere.

    The data of the frame are not looked at: they may hold anything, and who sends on the bus has chosen it.
    """
    cdef uint32_t own = HEADER_V1 if little16(p + 6) == 1 else HEADER_V2
    if object_type == CAN_FD_MESSAGE_64:
        own += FD_64_HEAD + min(<uint32_t>p[own + 2], 64)
    elif object_type == CAN_FD_MESSAGE:
        own += FD_SIZE
    else:
        own += ERROR_SIZE if object_type == CAN_ERROR_EXT else CAN_SIZE
    return find_frame(p, own, size)
