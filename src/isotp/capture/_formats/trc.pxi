# TRC of PEAK's tools: comment lines from ";" on, then a frame a line. PEAK describes the versions in a document of its
# own, PEAK_CAN_TRC_File_Format.pdf: "1) 1841 0001 8 00 .." in 1.0, with a type ("Rx") before the identifier from 1.1
# on, with a bus before that from 1.2 on, and with a reserved column before the length in 1.3. From 2.0 on "$COLUMNS"
# tells what stands where. Times are ms since the start, which is days since 1899-12-30, in UTC as python-can has it.


cdef Reason NO_COLUMNS = reason_for("columns of TRC without the ones that a frame needs")

cdef Other TRC_COMMENT = other_kind("comment")
cdef Other TRC_ERROR = other_kind("error")
cdef Other TRC_STATUS = other_kind("status")
cdef Other TRC_EVENT = other_kind("event")

cdef enum:
    DAYS_TO_1970 = 25_569
    MOST_DAYS = 78_000             # so that the time of a frame fits
    MOST_COLUMNS = 16
    WITH_RESERVED = 13             # version 1.3
    MS = 1_000_000                 # ns

# The columns of version 2, in the order of LETTERS; the data are the rest of the line.
cdef enum:
    NUMBER, OFFSET, TYPE, BUS, IDENTIFIER, DIRECTION, RESERVED, LENGTH_CODE, LENGTH, DATA, NO_COLUMN

cdef const char *LETTERS = b"NOTBIdRLlD"


cdef class TrcParser(TextParser):
    """Parser of TRC, versions 1.0 to 2.1."""

    cdef int64_t began             # ns
    cdef int version               # ten times
    cdef int[MOST_COLUMNS] columns
    cdef bint has_frames           # or lines that should be some
    cdef int column_count          # 0: those of version 1

    cdef tuple pack(self):
        return (
            self.began, self.version, self.has_frames, self.column_count,
            (<const char *>self.columns)[:sizeof(self.columns)], self.wide)

    cdef int unpack(self, tuple state) except -1:
        cdef bytes columns
        self.began, self.version, self.has_frames, self.column_count, columns, self.wide = state
        if len(columns) != sizeof(self.columns) or not 0 <= self.column_count <= MOST_COLUMNS:
            raise ValueError("no state of a parser of TRC")
        memcpy(self.columns, PyBytes_AS_STRING(columns), sizeof(self.columns))
        return 0

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        cdef const uint8_t *p = start
        cdef Token number, word
        cdef int64_t time
        cdef uint64_t value
        if not next_token(&p, end, &number):
            return READABLE
        if number.start[0] == c';':
            # Comments stand at the beginning, and do not hold frames: others are told.
            reason = self.read_header(number.start, end)
            if reason == READABLE and (self.has_frames or not is_comment(number.start, end)):
                return self.pass_by(TRC_COMMENT)
            return reason
        self.has_frames = True
        if self.column_count > 0:
            return self.read_columns(start, end)
        if self.version >= 20:
            return NO_COLUMNS
        number.size -= number.start[number.size - 1] == c')'
        if not number_in(number.start, number.size, 10, INT64_MAX, &value):
            return NO_FRAME
        if not next_token(&p, end, &word):
            return NO_FRAME
        if not scaled_in(word.start, word.size, MS, &time) or time > INT64_MAX // 2:
            return BAD_TIME
        return self.read_event(time + self.began, p, end)

    cdef Reason read_header(self, const uint8_t *p, const uint8_t *end) noexcept nogil:
        while end > p and (is_space((end - 1)[0]) or (end - 1)[0] == c';'):
            end -= 1
        if begins(p, end, b";$FILEVERSION=", 14):
            if end - p < 17 or not is_decimal(p[14]) or not is_decimal(p[16]):
                return BAD_HEADER
            self.version = 10 * (p[14] - c'0') + (p[16] - c'0')
        elif begins(p, end, b";$STARTTIME=", 12):
            return READABLE if days_in(p + 12, end, &self.began) else BAD_HEADER
        elif begins(p, end, b";$COLUMNS=", 10):
            return self.read_letters(p + 10, end)
        return READABLE

    cdef Reason read_letters(self, const uint8_t *p, const uint8_t *end) noexcept nogil:
        """The columns: each has a letter."""
        cdef Token letter
        cdef int k
        cdef uint32_t seen = 0
        self.column_count = 0
        while next_field(&p, end, &letter) and self.column_count < MOST_COLUMNS:
            k = 0
            while k < NO_COLUMN and (letter.size != 1 or letter.start[0] != <uint8_t>LETTERS[k]):
                k += 1
            self.columns[self.column_count] = k
            self.column_count = self.column_count + 1
            seen |= <uint32_t>1 << k
        if seen & needed(TYPE, IDENTIFIER, DATA) != needed(TYPE, IDENTIFIER, DATA):
            return NO_COLUMNS
        return READABLE if seen & needed(LENGTH_CODE, LENGTH, LENGTH) and seen & 1 << OFFSET else NO_COLUMNS

    # --- version 1 ---

    cdef Reason read_event(self, int64_t time, const uint8_t *p, const uint8_t *end) noexcept nogil:
        """Behind the time: maybe a bus, maybe a type, the identifier."""
        cdef Token one, two
        cdef uint64_t bus = 1
        if not next_token(&p, end, &one) or not next_token(&p, end, &two):
            return NO_FRAME
        if not is_type(&one) and is_type(&two):
            if not number_in(one.start, one.size, 10, CHANNELS - 1, &bus):
                return NO_FRAME
            one = two
            if not next_token(&p, end, &two):
                return NO_FRAME
        if not is_type(&one):
            if is_word(&one, b"ffffffff", 8):
                return self.pass_by(TRC_STATUS)
            return self.read_frame(time, 1, 0, &one, &two, p, end)
        if is_word(&one, b"warng", 5):
            return self.pass_by(TRC_STATUS)
        if is_word(&one, b"error", 5):
            return self.pass_by(TRC_ERROR)
        flags = 0 if is_word(&one, b"rx", 2) else RECORD_SENT
        one = two
        if not next_token(&p, end, &two):
            return NO_FRAME
        if self.version == WITH_RESERVED or (two.size == 1 and two.start[0] == c'-'):
            if not next_token(&p, end, &two):
                return NO_FRAME
        return self.read_frame(time, <uint16_t>bus, <uint8_t>flags, &one, &two, p, end)

    cdef Reason read_frame(
        self, int64_t time, uint16_t bus, uint8_t flags, const Token *identifier, const Token *code, const uint8_t *p,
        const uint8_t *end,
    ) noexcept nogil:
        cdef uint32_t can_id
        cdef uint64_t dlc
        cdef uint8_t[64] data
        cdef Token word
        cdef int length
        if not trc_id(identifier, &can_id):
            return BAD_IDENTIFIER
        if not number_in(code.start, code.size, 10, 15, &dlc):
            return BAD_LENGTH
        length = min(<int>dlc, 8)
        if data_bytes(&p, end, data, length) == length:
            if at_end(p, end):
                put(&self.sink, time, can_id, length, flags, bus, data, length)
                return READABLE
            if length > 0:
                return BAD_LENGTH
        if not next_token(&p, end, &word):
            return BAD_DATA
        if is_word(&word, b"error", 5):
            return self.pass_by(TRC_ERROR)
        if not is_word(&word, b"rtr", 3) or not at_end(p, end):
            return BAD_DATA
        put(&self.sink, time, can_id | CAN_RTR_FLAG, length, flags, bus, data, 0)
        return READABLE

    # --- version 2 ---

    cdef Reason read_columns(self, const uint8_t *p, const uint8_t *end) noexcept nogil:
        cdef Token[NO_COLUMN + 1] words
        cdef int k
        memset(words, 0, sizeof(words))
        for k in range(self.column_count):
            if self.columns[k] == DATA or not next_token(&p, end, &words[self.columns[k]]):
                break
        if words[TYPE].size != 2:
            return NO_FRAME
        return self.read_typed(words, p, end)

    cdef Reason read_typed(self, const Token *words, const uint8_t *p, const uint8_t *end) noexcept nogil:
        """Columns of a line, and its data from p on."""
        cdef const uint8_t *kind = words[TYPE].start
        cdef const Token *bus = &words[BUS]
        cdef int64_t time
        cdef uint32_t can_id
        cdef uint64_t channel = 1
        cdef uint8_t flags
        cdef bint remote = kind[0] == c'R' and kind[1] == c'R'
        if kind[0] == c'E' and kind[1] == c'R':
            return self.pass_by(TRC_ERROR)
        if kind[0] == c'E' and kind[1] == c'V':
            return self.pass_by(TRC_EVENT)
        if (kind[0] == c'S' and kind[1] == c'T') or (kind[0] == c'E' and kind[1] == c'C'):
            return self.pass_by(TRC_STATUS)
        if remote or (kind[0] == c'D' and kind[1] == c'T'):
            flags = 0
        elif not fd_flags(kind, &flags):
            return NO_FRAME
        if not scaled_in(words[OFFSET].start, words[OFFSET].size, MS, &time) or time > INT64_MAX // 2:
            return BAD_TIME
        if not trc_id(&words[IDENTIFIER], &can_id):
            return BAD_IDENTIFIER
        if bus.size > 0 and not number_in(bus.start, bus.size, 10, CHANNELS - 1, &channel):
            return NO_FRAME
        if words[DIRECTION].size > 0:
            if not is_direction(&words[DIRECTION]):
                return NO_FRAME
            if not is_word(&words[DIRECTION], b"rx", 2):
                flags |= RECORD_SENT
        return self.read_data(time + self.began, can_id, flags, <uint16_t>channel, remote, words, p, end)

    cdef Reason read_data(
        self, int64_t time, uint32_t can_id, uint8_t flags, uint16_t channel, bint remote, const Token *words,
        const uint8_t *p, const uint8_t *end,
    ) noexcept nogil:
        cdef const Token *said = &words[LENGTH]
        cdef bint is_code = said.size == 0
        cdef uint64_t value
        cdef uint8_t[64] data
        cdef int length, most = 64 if flags & CANFD_FDF else 8
        if is_code:
            said = &words[LENGTH_CODE]
        if not number_in(said.start, said.size, 10, 64, &value):
            return BAD_LENGTH
        if remote and at_end(p, end):
            put(&self.sink, time, can_id | CAN_RTR_FLAG, min(<int>value, 8), flags, channel, data, 0)
            return READABLE
        if remote:
            return BAD_DATA
        length = data_bytes(&p, end, data, most)
        if not at_end(p, end):
            return BAD_DATA
        # Some tools write the length where the code should be.
        if <int>value != length and not (is_code and value <= 15 and min(length_of_code(value), most) == length):
            return BAD_LENGTH
        put(&self.sink, time, can_id, length, flags, channel, data, length)
        return READABLE


cdef bint is_comment(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """Nothing but that: no frame in it, whose line end was damaged; a ruler has the columns, and nothing else."""
    cdef bint ruler = end - p > 1 and p[1] == c'-'
    if has_control(p, end) or has_direction(p + 1, end):
        return False
    p += 1
    while ruler and p < end:
        if p[0] != c'-' and p[0] != c'+' and not is_space(p[0]):
            return p[0] == c'.'
        p += 1
    return True


cdef inline uint32_t needed(int one, int two, int three) noexcept nogil:
    return <uint32_t>1 << one | <uint32_t>1 << two | <uint32_t>1 << three


cdef inline bint is_type(const Token *word) noexcept nogil:
    return is_direction(word) or is_word(word, b"warng", 5) or is_word(word, b"error", 5)


cdef inline bint fd_flags(const uint8_t *kind, uint8_t *flags) noexcept nogil:
    """Of the types of CAN FD frames. False: it is another type."""
    flags[0] = CANFD_FDF
    if kind[0] == c'B' and kind[1] == c'I':
        flags[0] |= CANFD_ESI
        return True
    if kind[1] == c'B':
        flags[0] |= CANFD_BRS
    elif kind[1] == c'E':
        flags[0] |= CANFD_BRS | CANFD_ESI
    elif kind[1] != c'D':
        return False
    return kind[0] == c'F'


cdef inline bint trc_id(const Token *word, uint32_t *can_id) noexcept nogil:
    """More than four digits: 29 bits."""
    cdef uint64_t number
    cdef bint extended = word.size > 4
    if not number_in(word.start, word.size, 16, CAN_EFF_MASK if extended else CAN_SFF_MASK, &number):
        return False
    can_id[0] = <uint32_t>number | (<uint32_t>CAN_EFF_FLAG if extended else 0)
    return True


cdef bint days_in(const uint8_t *p, const uint8_t *end, int64_t *ns) noexcept nogil:
    """Days since 1899-12-30 to ns since 1970, to the nearest us: no more is meant. False: they are no such number."""
    cdef int64_t days = 0, day = <int64_t>86_400 * NS, picoseconds = 0, part = day * 1000
    if p == end or not is_decimal(p[0]):
        return False
    while p < end and is_decimal(p[0]):
        days = days * 10 + (p[0] - c'0')
        if days > MOST_DAYS:
            return False
        p += 1
    if p < end and (p[0] == c'.' or p[0] == c','):
        p += 1
        while p < end and is_decimal(p[0]):
            part //= 10
            picoseconds += part * (p[0] - c'0')
            p += 1
    if p < end:
        return False
    # No start at all is written as 0.
    ns[0] = ((days - DAYS_TO_1970) if days > 0 else 0) * day + (picoseconds + 500_000) // 1_000_000 * 1000
    return True
