# ASC of Vector's tools: header lines, then one event a line: "0.015991 1 39Ax Rx d 8 01 ..." or "... CANFD 1 Rx ...".
#
# No specification is public; this follows python-can's reader, which skips what is no frame. Two rules differ:
# "timestamps relative" counts from the event before, and requests to send (TxRq) are no frames on the bus. Lines of
# CAN FD are hexadecimal, whatever "base" says. Where the country has it, times have a comma.


cdef Reason NOT_TEXT = reason_for("bytes that are not text")
cdef Reason TWO_LINES = reason_for("a frame within another line")

cdef Other ASC_XL = other_kind("CAN XL")
cdef Other ASC_LIN = other_kind("LIN")
cdef Other ASC_FLEXRAY = other_kind("FlexRay")
cdef Other ASC_ETHERNET = other_kind("Ethernet")
cdef Other ASC_STATISTICS = other_kind("statistics")
cdef Other ASC_STATUS = other_kind("status")
cdef Other ASC_VARIABLE = other_kind("variable")
cdef Other ASC_REQUEST = other_kind("request to send")
cdef Other ASC_OVERLOAD = other_kind("overload frame")
cdef Other ASC_J1939 = other_kind("J1939 transport")
cdef Other ASC_OTHER = other_kind("other line")


cdef class AscParser(TextParser):
    """Parser of ASC.

    :param start_of: called with a header line (bytes) that may say when the measurement began; gives that in ns, which
        is added to the times of the log, or None.
    """

    cdef object start_of
    cdef int64_t began             # ns
    cdef int64_t clock             # ns since then
    cdef int radix
    cdef bint relative
    cdef int64_t answered          # line number of the header line that Python has seen, and found unreadable or not
    cdef bint unreadable

    def __init__(self, number_of, start_of, start=None, end=None, channels=None):
        LogParser.__init__(self, number_of, start, end, channels)
        self.start_of = start_of
        self.radix = 16

    cdef tuple pack(self):
        return None if self.relative else (self.began, self.clock, self.radix, self.wide)

    cdef int unpack(self, tuple state) except -1:
        self.began, self.clock, self.radix, self.wide = state
        self.relative = False
        return 0

    cdef int answer(self, bytes matter) except -1:
        self.answered = self.line
        try:
            began = self.start_of(matter)
            if began is not None and not -1 << 62 < began < 1 << 62:
                raise ValueError(f"{began} ns since 1970")
        except ValueError:
            self.unreadable = True
            return 0
        self.unreadable = False
        if began is not None:
            self.began = began
            self.clock = 0
        return 0

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        cdef Token word
        cdef int64_t time
        cdef const uint8_t *p = start
        if not next_token(&p, end, &word):
            return READABLE
        if not is_decimal(word.start[0]):
            return self.read_header(start, end, &word, p)
        if memchr(word.start, c'.', <size_t>word.size) == NULL and memchr(word.start, c',', <size_t>word.size) == NULL:
            return self.pass_by(ASC_OTHER)
        if not time_in(word.start, word.size, &time):
            return BAD_TIME
        if time > INT64_MAX // 2 - self.clock:
            return BAD_TIME
        if self.relative:
            self.clock = self.clock + time
            time = self.clock
        # Both are within 2^62 ns, so the sum fits.
        return self.read_event(time + self.began, p, end)

    cdef Reason read_header(
        self, const uint8_t *start, const uint8_t *end, const Token *word, const uint8_t *p,
    ) noexcept nogil:
        cdef Token next_word
        if holds_frame(start, end):
            return TWO_LINES
        if is_word(word, b"base", 4):
            if next_token(&p, end, &next_word):
                self.radix = 10 if is_word(&next_word, b"dec", 3) else 16
            if next_token(&p, end, &next_word) and is_word(&next_word, b"timestamps", 10):
                self.relative = next_token(&p, end, &next_word) and is_word(&next_word, b"relative", 8)
            return READABLE
        if is_word(word, b"date", 4) or is_word(word, b"begin", 5):
            if self.answered != self.line:
                self.ask(start, start, end - start)
                return READABLE
            return BAD_HEADER if self.unreadable else READABLE
        if has_control(start, end):
            return NOT_TEXT
        if is_asc_comment(word):
            return READABLE
        return self.pass_by(ASC_OTHER)

    cdef Reason read_event(self, int64_t time, const uint8_t *p, const uint8_t *end) noexcept nogil:
        """What follows the time."""
        cdef Token word, next_word
        cdef uint64_t channel
        cdef const uint8_t *q
        if not next_token(&p, end, &word):
            return self.pass_by(ASC_OTHER)
        if word.size == 5 and memcmp(word.start, b"CANFD", 5) == 0:
            return self.read_fd(time, p, end)
        if not number_in(word.start, word.size, 10, CHANNELS, &channel) or channel == 0:
            return self.pass_by(kind_of_event(&word))
        if not next_token(&p, end, &next_word):
            return self.pass_by(ASC_OTHER)
        # The log counts channels from 1.
        if next_word.size >= 10 and is_error_frame(&next_word):
            if has_direction(p, end):
                return TWO_LINES
            self.put_error(time, <uint16_t>(channel - 1), 0)
            return READABLE
        q = p
        if not next_token(&q, end, &word) or not is_direction(&word):
            return self.pass_by(kind_on_channel(&next_word, &word))
        return self.read_classic(time, <uint16_t>(channel - 1), &next_word, p, end)

    cdef void put_error(self, int64_t time, uint16_t channel, uint8_t flags) noexcept nogil:
        cdef uint8_t nothing = 0
        put(&self.sink, time, CAN_ERR_FLAG, 0, flags, channel, &nothing, 0)

    cdef inline bint read_id(self, const Token *word, int radix, uint32_t *can_id) noexcept nogil:
        cdef uint64_t number
        cdef bint extended = (word.start[word.size - 1] | 0x20) == c'x'
        if not number_in(word.start, word.size - extended, radix, CAN_EFF_MASK, &number):
            return False
        can_id[0] = <uint32_t>number | (<uint32_t>CAN_EFF_FLAG if extended else 0)
        return True

    cdef Reason read_classic(
        self, int64_t time, uint16_t channel, const Token *identifier, const uint8_t *p, const uint8_t *end,
    ) noexcept nogil:
        """From the direction on: "Rx d 8 01 02 ..." or "Tx r 8"."""
        cdef Token direction, kind, word
        cdef uint32_t can_id
        cdef uint64_t dlc
        cdef int length
        cdef uint8_t[64] data
        cdef uint8_t flags
        if not next_token(&p, end, &direction) or not next_token(&p, end, &kind):
            return NO_FRAME
        if not self.read_id(identifier, self.radix, &can_id):
            return BAD_IDENTIFIER
        flags = 0 if is_received(&direction) else RECORD_SENT
        if (kind.start[0] | 0x20) == c'r':
            dlc = 0
            if next_token(&p, end, &word) and not number_in(word.start, word.size, 10, 15, &dlc):
                dlc = 0
            if has_direction(p, end):
                return TWO_LINES
            put(&self.sink, time, can_id | CAN_RTR_FLAG, min(<int>dlc, 8), flags, channel, data, 0)
            return READABLE
        # The bytes of CAN FD frames are counted here by some tools, which python-can cuts to those of a classic frame.
        if not next_token(&p, end, &word) or not number_in(word.start, word.size, self.radix, 64, &dlc):
            return BAD_LENGTH
        length = min(<int>dlc, 8)
        if not read_bytes(&p, end, self.radix, data, length):
            return BAD_DATA
        if p < end and has_direction(p, end):
            return TWO_LINES
        put(&self.sink, time, can_id, length, flags, channel, data, length)
        return READABLE

    cdef Reason read_fd(self, int64_t time, const uint8_t *p, const uint8_t *end) noexcept nogil:
        """Behind "CANFD": channel, direction, identifier, maybe a name, BRS, ESI, DLC, length, data."""
        cdef Token word, direction
        cdef uint64_t channel, dlc, length
        cdef uint32_t can_id
        cdef uint8_t flags = CANFD_FDF
        cdef uint8_t[64] data
        if not next_token(&p, end, &word) or not number_in(word.start, word.size, 10, CHANNELS, &channel):
            return NO_FRAME
        if channel == 0:
            return NO_FRAME
        if not next_token(&p, end, &direction) or not next_token(&p, end, &word):
            return NO_FRAME
        if not is_received(&direction):
            # TxRq: a request, no frame.
            if direction.size != 2:
                return self.pass_by(ASC_REQUEST)
            flags |= RECORD_SENT
        if is_error_frame(&word):
            if has_direction(p, end):
                return TWO_LINES
            self.put_error(time, <uint16_t>(channel - 1), flags)
            return READABLE
        if not self.read_id(&word, 16, &can_id):
            return BAD_IDENTIFIER
        if not next_token(&p, end, &word):
            return NO_FRAME
        if not all_decimal(&word) and not next_token(&p, end, &word):
            return NO_FRAME
        if word.size == 1 and word.start[0] == c'1':
            flags |= CANFD_BRS
        if not next_token(&p, end, &word):
            return NO_FRAME
        if word.size == 1 and word.start[0] == c'1':
            flags |= CANFD_ESI
        if not next_token(&p, end, &word) or not number_in(word.start, word.size, 16, 15, &dlc):
            return BAD_LENGTH
        if not next_token(&p, end, &word) or not number_in(word.start, word.size, 10, 64, &length):
            return BAD_LENGTH
        if length == 0:
            # So the format writes remote frames.
            put(&self.sink, time, can_id | CAN_RTR_FLAG, min(<int>dlc, 8), flags, <uint16_t>(channel - 1), data, 0)
            return READABLE
        if not read_bytes(&p, end, 16, data, <int>length):
            return BAD_DATA
        if p < end and has_direction(p, end):
            return TWO_LINES
        put(&self.sink, time, can_id, <int>length, flags, <uint16_t>(channel - 1), data, <int>length)
        return READABLE


cdef inline bint read_bytes(
    const uint8_t **place, const uint8_t *end, int radix, uint8_t *data, int length,
) noexcept nogil:
    cdef const uint8_t *p = place[0]
    cdef Token word
    cdef uint64_t number
    cdef int k, high, low
    for k in range(length):
        # As nearly all lines are: one space, two digits.
        if radix == 16 and end - p >= 3 and p[0] == c' ' and (end - p == 3 or is_space(p[3])):
            high = DIGIT[p[1]]
            low = DIGIT[p[2]]
            if (high | low) >= 0:
                data[k] = <uint8_t>(high << 4 | low)
                p += 3
                continue
        if not next_token(&p, end, &word) or not number_in(word.start, word.size, radix, 255, &number):
            return False
        data[k] = <uint8_t>number
    place[0] = p
    return True


cdef inline bint has_control(const uint8_t *start, const uint8_t *end) noexcept nogil:
    while start < end:
        if start[0] < 32 and start[0] != c'\t' and start[0] != c'\r':
            return True
        start += 1
    return False


cdef bint has_direction(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """A word from p on, which is in the line, is "Rx" or "Tx": another frame, whose line end was damaged."""
    while p < end:
        p = <const uint8_t *>memchr(p, c'x', <size_t>(end - p))
        if p == NULL:
            break
        if ((p - 1)[0] == c'R' or (p - 1)[0] == c'T') and is_space((p - 2)[0]) and (p + 1 == end or is_space(p[1])):
            return True
        p += 1
    return False


cdef bint holds_frame(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """A word of the line says that a frame is in it."""
    cdef Token word
    while next_token(&p, end, &word):
        if is_direction(&word) or (word.size >= 10 and is_error_frame(&word)):
            return True
    return False


cdef inline bint is_asc_comment(const Token *word) noexcept nogil:
    """How lines begin that say nothing of the bus: "// version", "internal events logged", "End TriggerBlock"."""
    return (
        word.start[0] == c'/' or is_word(word, b"internal", 8) or is_word(word, b"no", 2) or is_word(word, b"end", 3))


cdef Other kind_of_event(const Token *word) noexcept nogil:
    """By the word behind the time, where that is no channel."""
    if is_word(word, b"canxl", 5):
        return ASC_XL
    if is_word(word, b"li", 2) or (word.size == 2 and word.start[0] == c'L' and is_decimal(word.start[1])):
        return ASC_LIN
    if is_word(word, b"fr", 2):
        return ASC_FLEXRAY
    if is_word(word, b"eth", 3):
        return ASC_ETHERNET
    if is_word(word, b"sv:", 3):
        return ASC_VARIABLE
    if is_word(word, b"can", 3) or is_word(word, b"start", 5):
        return ASC_STATUS
    return ASC_OTHER


cdef Other kind_on_channel(const Token *word, const Token *second) noexcept nogil:
    """By the words behind the channel, where they are no frame."""
    if is_word(word, b"statistic:", 10):
        return ASC_STATISTICS
    if is_word(word, b"overloadframe", 13):
        return ASC_OVERLOAD
    if is_word(word, b"j1939tp", 7):
        return ASC_J1939
    return ASC_REQUEST if is_word(second, b"txrq", 4) else ASC_OTHER


cdef inline bint is_direction(const Token *word) noexcept nogil:
    return is_word(word, b"rx", 2) or is_word(word, b"tx", 2)


cdef inline bint is_received(const Token *word) noexcept nogil:
    return word.size == 2 and word.start[0] == c'R' and word.start[1] == c'x'


cdef inline bint is_error_frame(const Token *word) noexcept nogil:
    """It begins with ErrorFrame; more may follow without white space."""
    cdef Token begin
    begin.start = word.start
    begin.size = min(word.size, 10)
    return is_word(&begin, b"errorframe", 10)


cdef inline bint all_decimal(const Token *word) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(word.size):
        if not is_decimal(word.start[k]):
            return False
    return True
