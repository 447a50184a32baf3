# candump -L and -l: "(1436509052.249713) can0 7E8#0210035555555555", one frame a line.
#
# ID#data, ID#R and the length for a remote frame, ID##flags and data for CAN FD; 3 digits of ID: 11 bits, more: 29;
# behind it maybe R or T (candump -x). As can-utils' lib.h has it and python-can's reader understands it.


cdef enum:
    LONGEST_NAME = 64


cdef struct ChannelName:
    uint8_t[LONGEST_NAME] text
    Py_ssize_t size
    uint16_t number
    bint refused                   # there is no number for it


cdef class CandumpParser(TextParser):
    """Parser of candump's log format. Times are what the log says, ns since 1970 as a rule."""

    cdef ChannelName[MOST_NAMES] known
    cdef int known_count
    cdef int last_name

    cdef int answer(self, bytes matter) except -1:
        cdef ChannelName *name = &self.known[self.known_count]
        name.size = PyBytes_GET_SIZE(matter)
        memcpy(name.text, PyBytes_AS_STRING(matter), <size_t>name.size)
        number = self.number_named(matter.decode("utf-8", "replace"))
        name.refused = number < 0
        name.number = 0 if number < 0 else <uint16_t>number
        self.known_count += 1
        return 0

    cdef inline bint find_name(self, const Token *name) noexcept nogil:
        """Make it the last name. False: it is new."""
        cdef int k = self.last_name
        if k < self.known_count and is_name(&self.known[k], name):
            return True
        for k in range(self.known_count):
            if is_name(&self.known[k], name):
                self.last_name = k
                return True
        return False

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        cdef Token word, name, rest
        cdef int64_t time
        cdef uint8_t flags = 0
        cdef const uint8_t *p = start
        if not next_token(&p, end, &word):
            return READABLE
        if word.size < 3 or word.start[0] != c'(' or word.start[word.size - 1] != c')':
            return NO_FRAME
        if not time_in(word.start + 1, word.size - 2, &time):
            return BAD_TIME
        if not next_token(&p, end, &name) or not next_token(&p, end, &word):
            return NO_FRAME
        if next_token(&p, end, &rest):
            if is_word(&rest, b"t", 1):
                flags = RECORD_SENT
            elif not is_word(&rest, b"r", 1):
                return NO_FRAME
            if next_token(&p, end, &rest):
                return NO_FRAME
        if not self.find_name(&name):
            if self.known_count == MOST_NAMES or name.size > LONGEST_NAME:
                return MANY_CHANNELS
            self.ask(start, name.start, name.size)
            return READABLE
        if self.known[self.last_name].refused:
            return MANY_CHANNELS
        return self.read_frame(time, &word, flags)

    cdef Reason read_frame(self, int64_t time, const Token *word, uint8_t flags) noexcept nogil:
        cdef const uint8_t *end = word.start + word.size
        cdef const uint8_t *p = <const uint8_t *>memchr(word.start, c'#', <size_t>word.size)
        cdef uint64_t can_id
        cdef uint16_t channel = self.known[self.last_name].number
        cdef uint8_t[64] data
        cdef int length
        if p == NULL:
            return NO_FRAME
        if not number_in(word.start, p - word.start, 16, 0xFFFFFFFF, &can_id):
            return BAD_IDENTIFIER
        if can_id & CAN_ERR_FLAG:
            can_id &= CAN_ERR_FLAG | CAN_EFF_MASK
        else:
            can_id = (can_id & CAN_EFF_MASK) | (<uint32_t>CAN_EFF_FLAG if p - word.start > 3 else 0)
        p += 1
        if p < end and p[0] == c'#':
            if p + 1 == end or DIGIT[p[1]] < 0:
                return BAD_DATA
            flags |= CANFD_FDF | (DIGIT[p[1]] & (CANFD_BRS | CANFD_ESI))
            p += 2
        if p < end and (p[0] | 0x20) == c'r':
            length = remote_length(p + 1, end)
            if length < 0:
                return BAD_LENGTH
            put(&self.sink, time, <uint32_t>can_id | CAN_RTR_FLAG, length, flags, channel, data, 0)
            return READABLE
        length = hex_data(p, end, data, 64 if flags & CANFD_FDF else 8)
        if length < 0:
            return BAD_DATA
        put(&self.sink, time, <uint32_t>can_id, length, flags, channel, data, length)
        return READABLE


cdef inline bint is_name(const ChannelName *known, const Token *name) noexcept nogil:
    return known.size == name.size and memcmp(known.text, name.start, <size_t>name.size) == 0


cdef inline int remote_length(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """What follows the R of a remote frame: nothing, the length, "8_" and the raw DLC 9..F. -1: something else."""
    cdef int length
    if p == end:
        return 0
    if not c'0' <= p[0] <= c'8':
        return -1
    length = p[0] - c'0'
    p += 1
    if p == end or is_raw_dlc(length, p, end):
        return length
    return -1


cdef inline bint is_raw_dlc(int length, const uint8_t *p, const uint8_t *end) noexcept nogil:
    return length == 8 and end - p == 2 and p[0] == c'_' and DIGIT[p[1]] > 8


cdef inline int hex_data(const uint8_t *p, const uint8_t *end, uint8_t *data, int most) noexcept nogil:
    """Pairs of digits, at most `most`; candump -8 adds the raw DLC of frames with 8 bytes. -1: something else."""
    cdef int length = 0, high, low
    while p < end:
        if is_raw_dlc(length, p, end):
            return length if most == 8 else -1
        if length == most or p + 1 == end:
            return -1
        high = DIGIT[p[0]]
        low = DIGIT[p[1]]
        if (high | low) < 0:
            return -1
        data[length] = <uint8_t>(high << 4 | low)
        length += 1
        p += 2
    return length
