# candump -L and -l: "(1436509052.249713) can0 7E8#0210035555555555", one frame a line.
#
# ID#data, ID#R and the length for a remote frame, ID##flags and data for CAN FD; 3 digits of ID: 11 bits, more: 29;
# behind it maybe R or T (candump -x). As can-utils' lib.h has it and python-can's reader understands it.
#
# The same parser reads what candump shows on a screen (candump_screen.pxi), with the time since 1970 (-t a), as a date
# (-t A), since the first frame (-t z) or since the one before (-t d), or without one: then it is 0.


cdef Other CANDUMP_TEXT = other_kind("description of an error")

cdef enum:
    USUAL_TIME = 20                # "(1436509052.249713) "
    HOUR_SIZE = 14                 # "(2016-01-01 12"
    # A time below it is not since 1970; nobody looks at a screen for three years.
    LONGEST_SCREEN = 100_000_000   # s


cdef class CandumpParser(NamedParser):
    """Parser of candump's log and screen formats. Times are what the log says, ns since 1970 as a rule.

    :param hour_of: called with a date and hour (bytes), gives when it began in ns since 1970, or raises ValueError.
    """

    cdef object hour_of
    cdef uint8_t[HOUR_SIZE] hour   # the last date and hour,
    cdef int64_t hour_began        # and when that was
    cdef bint hour_bad
    cdef bint asks_hour            # not for a name
    cdef int64_t last_time         # on a screen, of the line before,
    cdef int64_t all_times         # and of all lines together
    cdef bint relative             # to the line before

    def __init__(self, number_of, hour_of, start=None, end=None, channels=None):
        LogParser.__init__(self, number_of, start, end, channels)
        self.hour_of = hour_of

    cdef tuple pack(self):
        # On a screen, times may count from line to line.
        return None if self.all_times > 0 else (
            self.known_names(), (<const char *>self.hour)[:HOUR_SIZE], self.hour_began, self.hour_bad, self.wide)

    cdef int unpack(self, tuple state) except -1:
        cdef bytes known, hour
        known, hour, self.hour_began, self.hour_bad, self.wide = state
        if len(hour) != HOUR_SIZE:
            raise ValueError("no state of a parser of candump")
        self.have_names(known)
        memcpy(self.hour, PyBytes_AS_STRING(hour), HOUR_SIZE)
        self.last_time = self.all_times = 0
        self.relative = False
        return 0

    cdef int answer(self, bytes matter) except -1:
        if self.asks_hour:
            self.asks_hour = False
            return self.answer_hour(matter)
        return self.answer_name(matter)

    cdef int answer_hour(self, bytes matter) except -1:
        memcpy(self.hour, PyBytes_AS_STRING(matter), HOUR_SIZE)
        self.hour_bad = False
        self.hour_began = 0
        try:
            began = self.hour_of(matter)
            if not -1 << 62 < began < 1 << 62:
                raise ValueError(f"{began} ns since 1970")
            self.hour_began = began
        except ValueError:
            self.hour_bad = True
        return 0

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        cdef Token word, name, after
        cdef int64_t time
        cdef uint8_t flags = 0
        cdef const uint8_t *p = start
        cdef const uint8_t *rest
        if self.read_usual(start, end):
            return READABLE
        if not next_token(&p, end, &word):
            return READABLE
        if word.size < 3 or word.start[0] != c'(' or word.start[word.size - 1] != c')':
            return self.read_other(start, end)
        if not time_in(word.start + 1, word.size - 2, &time):
            return BAD_TIME
        if not next_token(&p, end, &name):
            return NO_FRAME
        rest = p
        if not next_token(&p, end, &word):
            return NO_FRAME
        if memchr(word.start, c'#', <size_t>word.size) == NULL:
            return self.read_screen(start, time, True, &name, rest, end)
        if next_token(&p, end, &after):
            if is_word(&after, b"t", 1):
                flags = RECORD_SENT
            elif not is_word(&after, b"r", 1):
                return NO_FRAME
            if next_token(&p, end, &after):
                return NO_FRAME
        if not self.find_name(&name):
            return self.new_name(start, &name)
        if self.known[self.last_name].refused:
            return MANY_CHANNELS
        return self.read_frame(time, &word, flags)

    cdef inline bint read_usual(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        """A data frame as nearly all lines have it, of the channel of the one before. False: look more closely."""
        cdef const ChannelName *name = &self.known[self.last_name]
        cdef const uint8_t *p = start + USUAL_TIME
        cdef Py_ssize_t digits, k
        cdef uint32_t can_id = 0
        cdef int64_t seconds, micros
        cdef int bad = 0, high, low
        cdef uint8_t[8] data
        cdef uint8_t flags = 0
        if end - start < USUAL_TIME + name.size + 6 or name.size == 0 or name.refused:
            return False
        end -= (end - 1)[0] == c'\r'
        if (end - 2)[0] == c' ' and ((end - 1)[0] == c'R' or (end - 1)[0] == c'T'):
            flags = RECORD_SENT if (end - 1)[0] == c'T' else 0
            end -= 2
        if start[0] != c'(' or start[11] != c'.' or start[18] != c')' or start[19] != c' ' or p[name.size] != c' ':
            return False
        seconds = (two_digits(start + 1, &bad) * 10_000 + two_digits(start + 3, &bad) * 100
                   + two_digits(start + 5, &bad)) * <int64_t>10_000
        seconds += two_digits(start + 7, &bad) * 100 + two_digits(start + 9, &bad)
        micros = two_digits(start + 12, &bad) * 10_000 + two_digits(start + 14, &bad) * 100
        micros += two_digits(start + 16, &bad)
        if bad or memcmp(p, name.text, <size_t>name.size) != 0:
            return False
        p += name.size + 1
        digits = 3 if p[3] == c'#' else 8
        if end - p < digits + 1 or p[digits] != c'#':
            return False
        for k in range(digits):
            bad |= DIGIT[p[k]]
            can_id = can_id << 4 | <uint8_t>DIGIT[p[k]]
        if bad < 0 or can_id > (<uint32_t>CAN_SFF_MASK if digits == 3 else <uint32_t>CAN_EFF_MASK):
            return False
        if digits > 3:
            can_id |= <uint32_t>CAN_EFF_FLAG
        p += digits + 1
        digits = end - p
        if digits > 16 or digits & 1:
            return False
        for k in range(digits >> 1):
            high = DIGIT[p[2 * k]]
            low = DIGIT[p[2 * k + 1]]
            bad |= high | low
            data[k] = <uint8_t>(high << 4 | low)
        if bad < 0:
            return False
        put(&self.sink, seconds * NS + micros * 1000, can_id, <int>(digits >> 1), flags, name.number, data,
            <int>(digits >> 1))
        return True

    cdef Reason read_other(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        """Of a screen: a line without a time, with a date, or of text about the error frame before it."""
        cdef const uint8_t *p = start
        cdef Token word
        cdef int64_t time
        if start[0] == c'\t':
            return self.pass_by(CANDUMP_TEXT)
        next_token(&p, end, &word)
        time = 0
        if word.start[0] == c'(':
            if end - word.start < HOUR_SIZE or word.size != 11:
                return NO_FRAME
            if memcmp(self.hour, word.start, HOUR_SIZE) != 0:
                self.asks_hour = True
                self.ask(start, word.start, HOUR_SIZE)
                return READABLE
            p = word.start + HOUR_SIZE
            if self.hour_bad or not next_token(&p, end, &word) or not minutes_in(&word, &time):
                return BAD_TIME
            time += self.hour_began
            if not next_token(&p, end, &word):
                return NO_FRAME
        return self.read_screen(start, time, False, &word, p, end)

    cdef Reason read_screen(
        self, const uint8_t *start, int64_t time, bint has_time, const Token *name, const uint8_t *p,
        const uint8_t *end,
    ) noexcept nogil:
        cdef ScreenFrame frame
        cdef Reason reason = screen_frame(p, end, &frame)
        cdef uint64_t channel
        if reason != READABLE:
            return reason
        # "RX0", "TX0": both directions of one channel, as battery-emulator has them.
        if name.size > 2 and (is_channel(name, b"rx") or is_channel(name, b"tx")) and number_in(
            name.start + 2, name.size - 2, 10, CHANNELS - 1, &channel,
        ):
            frame.flags |= 0 if is_channel(name, b"rx") else RECORD_SENT
        elif not self.find_name(name):
            return self.new_name(start, name)
        elif self.known[self.last_name].refused:
            return MANY_CHANNELS
        else:
            channel = self.known[self.last_name].number
        if has_time and not self.screen_time(&time):
            return BAD_TIME
        if frame.remote:
            frame.can_id |= CAN_RTR_FLAG
        put(&self.sink, time, frame.can_id, frame.length, frame.flags, <uint16_t>channel, frame.data,
            0 if frame.remote else frame.length)
        return READABLE

    cdef bint screen_time(self, int64_t *time) noexcept nogil:
        """Since the first frame, or since the one before? Nothing says it, but only the latter become much less."""
        if time[0] >= <int64_t>LONGEST_SCREEN * NS:
            return True
        if self.all_times > INT64_MAX // 2:
            return False
        self.all_times = self.all_times + time[0]
        self.relative = self.relative or time[0] < self.last_time // 2
        self.last_time = time[0]
        if self.relative:
            time[0] = self.all_times
        return True

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


cdef inline int64_t two_digits(const uint8_t *p, int *bad) noexcept nogil:
    """Their value; `bad` is set if they are none."""
    cdef uint8_t high = p[0] - c'0', low = p[1] - c'0'
    bad[0] |= high > 9 or low > 9
    return 10 * high + low


cdef inline bint minutes_in(const Token *word, int64_t *ns) noexcept nogil:
    """":34:56.123456)": what is left of a time of day behind its hour."""
    cdef uint64_t minutes
    cdef int64_t seconds
    cdef const uint8_t *p = word.start
    if word.size < 8 or p[0] != c':' or p[3] != c':' or p[word.size - 1] != c')':
        return False
    if not number_in(p + 1, 2, 10, 59, &minutes) or not time_in(p + 4, word.size - 5, &seconds):
        return False
    ns[0] = <int64_t>minutes * 60 * NS + seconds
    return seconds < <int64_t>61 * NS


cdef inline bint is_channel(const Token *name, const char *direction) noexcept nogil:
    """It begins with it, whatever the case."""
    return (name.start[0] | 0x20) == <uint8_t>direction[0] and (name.start[1] | 0x20) == <uint8_t>direction[1]


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
