# BUSMASTER's log: "11:49:12:9420 Rx 1 0x023 s 1 40", and lines "***...***" before, between and behind the frames, as
# its source (LogObjectCAN.cpp) writes it. The time is that of the day, to 100 us, or counts from the start or from the
# frame before ("RELATIVE MODE"); s is an identifier of 11 bits, x of 29, with r remote; "DEC": numbers are decimal.


cdef Other BUSMASTER_ERROR = other_kind("error")

cdef enum:
    TENTH_MS = 100_000             # ns


cdef class BusmasterParser(TextParser):
    """Parser of BUSMASTER's log.

    :param start_of: called with a header line (bytes) that says when the log began; gives the midnight before that in
        ns since 1970, which is added to times of the day, or None.
    """

    cdef object start_of
    cdef int64_t midnight          # ns
    cdef int64_t clock             # ns, in relative mode
    cdef int64_t last              # time of day of the frame before
    cdef int64_t answered          # line number of the header line that Python has seen, and found unreadable or not
    cdef bint unreadable
    cdef bint relative
    cdef bint of_day
    cdef int radix

    def __init__(self, number_of, start_of, start=None, end=None, channels=None):
        LogParser.__init__(self, number_of, start, end, channels)
        self.start_of = start_of
        self.radix = 16
        self.of_day = True

    cdef int answer(self, bytes matter) except -1:
        self.answered = self.line
        self.unreadable = False
        try:
            midnight = self.start_of(matter)
            if midnight is not None and not -1 << 61 < midnight < 1 << 61:
                raise ValueError(f"{midnight} ns since 1970")
        except ValueError:
            self.unreadable = True
            return 0
        if midnight is not None:
            self.midnight = midnight
        return 0

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        cdef const uint8_t *p = start
        cdef Token word
        cdef int64_t time
        if not next_token(&p, end, &word):
            return READABLE
        if begins(word.start, end, b"***", 3):
            return self.read_header(start, word.start, end)
        if not time_of_day(&word, &time):
            return BAD_TIME
        if self.relative:
            if self.clock > INT64_MAX // 4:
                return BAD_TIME
            self.clock = self.clock + time
            time = self.clock
        elif self.of_day and time < self.last - 12 * 3600 * <int64_t>NS and self.midnight < INT64_MAX // 4:
            # Another day began.
            self.midnight = self.midnight + 24 * 3600 * <int64_t>NS
        self.last = time
        return self.read_event(time + (self.midnight if self.of_day else 0), p, end)

    cdef Reason read_header(
        self, const uint8_t *start, const uint8_t *p, const uint8_t *end,
    ) noexcept nogil:
        while end > p and is_space((end - 1)[0]):
            end -= 1
        if end - p < 6 or memcmp(end - 3, b"***", 3) != 0 or has_direction(p + 2, end):
            return TWO_LINES
        if begins(p, end, b"***DEC***", 9):
            self.radix = 10
        elif begins(p, end, b"***HEX***", 9):
            self.radix = 16
        elif begins(p, end, b"***RELATIVE MODE***", 19):
            self.relative = True
            self.of_day = False
        elif begins(p, end, b"***ABSOLUTE MODE***", 19):
            self.of_day = False
        elif begins(p, end, b"***START DATE AND TIME ", 23):
            if self.answered != self.line:
                self.ask(start, p, end - p)
                return READABLE
            return BAD_HEADER if self.unreadable else READABLE
        return READABLE

    cdef Reason read_event(self, int64_t time, const uint8_t *p, const uint8_t *end) noexcept nogil:
        """From the direction on."""
        cdef Token direction, word, kind, identifier
        cdef uint64_t channel, can_id, length, value
        cdef uint8_t[64] data
        cdef int k
        cdef bint extended, remote
        if not next_token(&p, end, &direction) or not next_token(&p, end, &word):
            return NO_FRAME
        if is_word(&direction, b"err", 3) or is_word(&word, b"err", 3):
            return self.pass_by(BUSMASTER_ERROR)
        if not is_direction(&direction) or not number_in(word.start, word.size, 10, CHANNELS - 1, &channel):
            return NO_FRAME
        if not next_token(&p, end, &identifier) or not next_token(&p, end, &kind) or not next_token(&p, end, &word):
            return NO_FRAME
        extended = (kind.start[0] | 0x20) == c'x'
        remote = kind.size == 2 and (kind.start[1] | 0x20) == c'r'
        if kind.size > 1 + remote or not (extended or (kind.start[0] | 0x20) == c's'):
            return NO_FRAME
        if self.radix == 16 and identifier.size > 2 and (identifier.start[1] | 0x20) == c'x':
            identifier.start += 2
            identifier.size -= 2
        if not number_in(
            identifier.start, identifier.size, self.radix, CAN_EFF_MASK if extended else CAN_SFF_MASK, &can_id,
        ):
            return BAD_IDENTIFIER
        if not number_in(word.start, word.size, 10, 64, &length):
            return BAD_LENGTH
        can_id |= <uint32_t>CAN_EFF_FLAG if extended else 0
        for k in range(0 if remote else <int>length):
            if not next_token(&p, end, &word) or not number_in(word.start, word.size, self.radix, 255, &value):
                return BAD_DATA
            data[k] = <uint8_t>value
        if not at_end(p, end):
            return BAD_DATA
        if remote:
            put(&self.sink, time, <uint32_t>can_id | CAN_RTR_FLAG, min(<int>length, 8),
                0 if is_word(&direction, b"rx", 2) else RECORD_SENT, <uint16_t>channel, data, 0)
            return READABLE
        put(&self.sink, time, <uint32_t>can_id, <int>length,
            (0 if is_word(&direction, b"rx", 2) else RECORD_SENT) | (CANFD_FDF if length > 8 else 0),
            <uint16_t>channel, data, <int>length)
        return READABLE


cdef bint time_of_day(const Token *word, int64_t *ns) noexcept nogil:
    """"11:49:12:9420": hours, minutes, seconds, and four digits of their fraction."""
    cdef const uint8_t *p = word.start
    cdef const uint8_t *end = p + word.size
    cdef const uint8_t *colon
    cdef uint64_t value
    cdef int k
    ns[0] = 0
    for k in range(3):
        colon = <const uint8_t *>memchr(p, c':', <size_t>(end - p))
        if colon == NULL or not number_in(p, colon - p, 10, 10_000 if k == 0 else 59, &value):
            return False
        ns[0] = ns[0] * 60 + <int64_t>value
        p = colon + 1
    if not number_in(p, end - p, 10, 9999, &value):
        return False
    ns[0] = ns[0] * NS + <int64_t>value * TENTH_MS
    return True
