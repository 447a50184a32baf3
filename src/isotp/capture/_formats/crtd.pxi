# CRTD of the Open Vehicle Monitoring System: "1542473901.020305 1R11 213 00 00 00 00 c0 01 00 00", as its documentation
# describes it (docs.openvehicles.com, "CRTD CAN Log Format"): seconds; the bus, if it is not 1; R or T, 11 or 29; the
# identifier; the data. Types that begin with C are comments: CXX text, CEV events, CST statistics, CER errors.


cdef Other CRTD_COMMENT = other_kind("comment")
cdef Other CRTD_STATISTICS = other_kind("statistics")
cdef Other CRTD_EVENT = other_kind("event")
cdef Other CRTD_ERROR = other_kind("error")


cdef class CrtdParser(TextParser):
    """Parser of CRTD."""

    cdef tuple pack(self):
        return (self.wide,)

    cdef int unpack(self, tuple state) except -1:
        self.wide, = state
        return 0

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        cdef const uint8_t *p = start
        cdef Token word, identifier
        cdef int64_t time
        cdef uint64_t bus = 1, can_id
        cdef uint8_t[8] data
        cdef bint extended
        cdef int length
        if not next_token(&p, end, &word):
            return READABLE
        if not time_in(word.start, word.size, &time):
            return BAD_TIME
        if not next_token(&p, end, &word) or word.size < 3:
            return NO_FRAME
        if word.size > 3:
            if not number_in(word.start, word.size - 3, 10, CHANNELS - 1, &bus):
                return NO_FRAME
            word.start += word.size - 3
            word.size = 3
        if word.start[0] == c'C':
            return TWO_LINES if has_frame_type(p, end) else self.pass_by(kind_of_comment(word.start))
        extended = word.start[1] == c'2' and word.start[2] == c'9'
        if word.start[0] != c'R' and word.start[0] != c'T':
            return NO_FRAME
        if not extended and (word.start[1] != c'1' or word.start[2] != c'1'):
            return NO_FRAME
        if not next_token(&p, end, &identifier):
            return NO_FRAME
        if not number_in(
            identifier.start, identifier.size, 16, CAN_EFF_MASK if extended else CAN_SFF_MASK, &can_id,
        ):
            return BAD_IDENTIFIER
        length = data_bytes(&p, end, data, 8)
        if not at_end(p, end):
            return BAD_DATA
        put(&self.sink, time, <uint32_t>can_id | (<uint32_t>CAN_EFF_FLAG if extended else 0), length,
            RECORD_SENT if word.start[0] == c'T' else 0, <uint16_t>bus, data, length)
        return READABLE


cdef bint has_frame_type(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """A word is that of a frame: its line end was damaged."""
    cdef Token word
    cdef const uint8_t *kind
    while next_token(&p, end, &word):
        if word.size >= 3:
            kind = word.start + word.size - 3
            if (kind[0] == c'R' or kind[0] == c'T') and (
                (kind[1] == c'1' and kind[2] == c'1') or (kind[1] == c'2' and kind[2] == c'9')
            ):
                return True
    return False


cdef Other kind_of_comment(const uint8_t *kind) noexcept nogil:
    if kind[1] == c'E':
        return CRTD_EVENT if kind[2] == c'V' else CRTD_ERROR
    return CRTD_STATISTICS if kind[1] == c'S' else CRTD_COMMENT
