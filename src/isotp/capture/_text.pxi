# What formats of text share: lines, words, numbers, times.


cdef Reason LONG_LINE = reason_for("a line is longer than 64 KiB")

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


# What some tools begin a text with: it says that this is UTF-8.
cdef const char *BOM = b"\xef\xbb\xbf"


cdef inline bint begins(const uint8_t *p, const uint8_t *end, const char *text, Py_ssize_t size) noexcept nogil:
    return end - p >= size and memcmp(p, text, <size_t>size) == 0


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


cdef inline bint scaled_in(const uint8_t *start, Py_ssize_t size, int64_t unit, int64_t *ns) noexcept nogil:
    """A decimal number of units of so many ns (a power of 10), with or without a fraction, exactly.

    Some tools write a comma as the country has it. Digits beyond ns are checked and dropped.
    """
    cdef int64_t whole = 0, fraction = 0, part = unit, most = INT64_MAX // unit
    cdef Py_ssize_t k = 0
    while k < size and is_decimal(start[k]):
        whole = whole * 10 + (start[k] - c'0')
        if whole >= most:
            return False
        k += 1
    if k == 0:
        return False
    if k < size and (start[k] == c'.' or start[k] == c','):
        k += 1
        while k < size and is_decimal(start[k]):
            if part > 1:
                fraction = fraction * 10 + (start[k] - c'0')
                part //= 10
            k += 1
    ns[0] = whole * unit + fraction * part
    return k == size


cdef inline bint time_in(const uint8_t *start, Py_ssize_t size, int64_t *ns) noexcept nogil:
    """The same in seconds."""
    return scaled_in(start, size, NS, ns)


cdef inline bint next_field(const uint8_t **place, const uint8_t *end, Token *field) noexcept nogil:
    """The next field up to a comma, without the white space around it; it may be empty. False: there is none."""
    cdef const uint8_t *p = place[0]
    cdef const uint8_t *comma
    if p > end:
        return False
    comma = <const uint8_t *>memchr(p, c',', <size_t>(end - p))
    if comma == NULL:
        comma = end
    place[0] = comma + 1
    while p < comma and is_space(p[0]):
        p += 1
    while p < comma and is_space((comma - 1)[0]):
        comma -= 1
    field.start = p
    field.size = comma - p
    return True


cdef inline int data_bytes(const uint8_t **place, const uint8_t *end, uint8_t *data, int most) noexcept nogil:
    """Words of two hexadecimal digits, up to `most`; stops before another word. How many there were."""
    cdef const uint8_t *p = place[0]
    cdef int count = 0, high, low
    while count < most:
        while p < end and is_space(p[0]):
            p += 1
        if end - p < 2 or (end - p > 2 and not is_space(p[2])):
            break
        high = DIGIT[p[0]]
        low = DIGIT[p[1]]
        if (high | low) < 0:
            break
        data[count] = <uint8_t>(high << 4 | low)
        count += 1
        p += 2
        place[0] = p
    return count


cdef inline bint at_end(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """Nothing but white space follows."""
    while p < end and is_space(p[0]):
        p += 1
    return p == end


cdef inline int length_of_code(uint64_t code) noexcept nogil:
    """Bytes that a data length code of CAN FD stands for."""
    if code <= 8:
        return <int>code
    if code <= 12:
        return <int>(4 * code - 24)
    return <int>(16 * code - 176)


cdef class TextParser(LogParser):
    """Lines to frames; the line is what a subclass reads."""

    cdef bint in_long_line
    cdef uint8_t line_end

    def __cinit__(self, *args, **kwargs):
        self.line = 1
        self.line_end = c'\n'

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        return READABLE

    # --- whole lines ahead of those before them ---

    cdef tuple pack(self):
        """What decides how the next line is read, beside its number and offset; None: each line changes it."""
        return None

    cdef int unpack(self, tuple state) except -1:
        """Have what pack() gave."""
        return 0

    def state(self):
        """What decides how the next line is read, as something to compare; None: only feed() can read on."""
        return None if self.tail or self.in_long_line else self.pack()

    @property
    def lines(self):
        """Lines that are done."""
        return self.line - 1

    def read_ahead(self, tuple state not None, bytes head not None, bytes block not None, Py_ssize_t begin,
                   Py_ssize_t end, int64_t offset):
        """What a parser in this state would give for whole lines; None: only feed() can tell.

        This parser is a twin of the one that feeds the log: made alike, and never fed. `lines` and defects are those of
        these bytes.

        :param head: what comes before block[begin:end].
        :param offset: of the head in the log; not 0, for the beginning of a log is special.
        """
        cdef const uint8_t *first = <const uint8_t *>PyBytes_AS_STRING(head)
        cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(block)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(head), done
        if not 0 <= begin <= end <= PyBytes_GET_SIZE(block):
            raise ValueError(f"bytes from {begin} to {end} of {len(block)}")
        self.unpack(state)
        self.lay_out()
        self.in_long_line = False
        self.line = 1
        self.question = 0
        self.defect_count = 0
        self.others_found()
        if self.sink.wanted != NULL:
            memset(self.sink.left_out, 0, CHANNELS)
        with nogil:
            done = self.consume(first, size, offset, False)
            if done == size and self.question == 0:
                done += self.consume(start + begin, end - begin, offset + size, False)
        self.base = offset + done
        records = self.finish()
        is_whole = done == size + end - begin and self.question == 0 and self.state() is not None
        return records if is_whole else None

    def follow(self, TextParser twin not None):
        """Be behind the block that a twin has read ahead from the state that this parser is in."""
        self.unpack(twin.pack())
        self.take_over(twin)
        self.line += twin.line - 1
        self.base = twin.base

    cdef Py_ssize_t consume(self, const uint8_t *data, Py_ssize_t size, int64_t offset, bint final) noexcept nogil:
        cdef const uint8_t *start = data
        cdef const uint8_t *limit = data + size
        cdef const uint8_t *newline
        cdef const uint8_t *end
        cdef Reason reason
        if offset == 0 and size > 0 and data[0] == <uint8_t>BOM[0]:
            if size < 3 and not final:
                return 0
            if begins(data, limit, BOM, 3):
                start += 3
        while start < limit:
            newline = <const uint8_t *>memchr(start, self.line_end, <size_t>(limit - start))
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
                # A line feed behind the last carriage return is no line.
                if reason == READABLE and newline == NULL and not (end - start == 1 and start[0] == c'\n'):
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
