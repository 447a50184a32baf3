# CARBUS Analyzer's trace: "34,091695<TAB>1<TAB>00000004<TAB>2BD<TAB>8<TAB>36 0B F0 FF FF FF FF FF<TAB>00000000<TAB>6",
# behind a header "@ TEXT @ 3 @ ..." and maybe comments, as canhacker.ru describes it and real files have it: seconds
# and ms (version 2) or us (3), the channel, flags of which one says that it is a CAN frame, the identifier, the length,
# the data, something else, the data as characters. Lines end with a carriage return.


cdef Other CARBUS_OTHER = other_kind("other line")

cdef enum:
    CARBUS_FRAME = 4               # flag


cdef class CarbusParser(TextParser):
    """Parser of CARBUS Analyzer's trace."""

    def __cinit__(self, *args, **kwargs):
        self.line_end = c'\r'

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        cdef const uint8_t *p = start
        cdef Token word, identifier
        cdef int64_t time
        cdef uint64_t channel, flags, can_id, length
        cdef uint8_t[64] data
        if not next_token(&p, end, &word):
            return READABLE
        if word.start[0] == c'@' or word.start[0] == c'#':
            # A frame has tabs.
            return TWO_LINES if memchr(p, c'\t', <size_t>(end - p)) != NULL else READABLE
        if not time_in(word.start, word.size, &time):
            return BAD_TIME
        if not next_token(&p, end, &word) or not number_in(word.start, word.size, 10, CHANNELS - 1, &channel):
            return NO_FRAME
        if not next_token(&p, end, &word) or not number_in(word.start, word.size, 16, 0xFFFFFFFF, &flags):
            return NO_FRAME
        if not flags & CARBUS_FRAME:
            return self.pass_by(CARBUS_OTHER)
        if not next_token(&p, end, &identifier):
            return NO_FRAME
        if not number_in(identifier.start, identifier.size, 16, CAN_EFF_MASK, &can_id):
            return BAD_IDENTIFIER
        if can_id > CAN_SFF_MASK:
            can_id |= <uint32_t>CAN_EFF_FLAG
        if not next_token(&p, end, &word) or not number_in(word.start, word.size, 10, 64, &length):
            return BAD_LENGTH
        # The next column has eight digits, so it is no byte.
        if data_bytes(&p, end, data, <int>length) != <int>length:
            return BAD_DATA
        if not at_end(p, end) and (not next_token(&p, end, &word) or word.size != 8 or not at_characters(p, end)):
            return BAD_DATA
        put(&self.sink, time, <uint32_t>can_id, <int>length, CANFD_FDF if length > 8 else 0, <uint16_t>channel, data,
            <int>length)
        return READABLE


cdef inline bint at_characters(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """Nothing but a column of characters, between two tabs, and no other line behind it."""
    cdef int tabs = 0
    while p < end:
        if p[0] < 32 and p[0] != c'\t':
            return False
        tabs += p[0] == c'\t'
        p += 1
    return tabs <= 2
