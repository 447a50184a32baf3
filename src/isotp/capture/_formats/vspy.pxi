# Bus traffic of Intrepid's Vehicle Spy 3, as CSV:
# "2,2550.368293675,0.003818174,67371008,F,F,HS CAN $119,HS CAN,,119,F,F,00,00,00,00,00,00,0D,8B,,,".
#
# No specification is public; this follows files that others read (SavvyCAN among them). Behind a header, which vspy.py
# reads, a line "Line,Abs Time(Sec),..." has the names of the columns for each kind of bus, then each row has a message.
# Rows of other buses than CAN are counted. How a row tells CAN FD is not public: such a row is a problem.


cdef Other VSPY_ERROR = other_kind("error")
cdef Other VSPY_FOREIGN = other_kind("message of another bus than CAN")

cdef enum:
    # Columns up to the data
    VSPY_LINE, VSPY_TIME, VSPY_SINCE_LAST, VSPY_STATUS, VSPY_IS_ERROR, VSPY_SENT, VSPY_DESCRIPTION, VSPY_NETWORK
    VSPY_NODE, VSPY_ID, VSPY_REMOTE, VSPY_EXTENDED, VSPY_FIELDS

cdef int64_t MOST_TIME = <int64_t>1 << 62  # ns


cdef class VspyParser(NamedParser):
    """Parser of Vehicle Spy's CSV.

    :param began: ns since 1970, is added to the times of the log.
    :param foreign: names of networks that are no CAN buses.
    """

    cdef int64_t began
    cdef frozenset foreign
    cdef bint in_rows              # the header is over

    def __init__(self, number_of, began, foreign, start=None, end=None, channels=None):
        LogParser.__init__(self, number_of, start, end, channels)
        self.began = began
        self.foreign = frozenset(foreign)

    cdef tuple pack(self):
        return (self.known_names(), self.in_rows, self.wide)

    cdef int unpack(self, tuple state) except -1:
        cdef bytes known
        known, self.in_rows, self.wide = state
        return self.have_names(known)

    cdef int answer(self, bytes matter) except -1:
        if self.foreign is not None and matter.decode("utf-8", "replace") in self.foreign:
            self.add_name(matter).foreign = True
            return 0
        return self.answer_name(matter)

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        cdef const uint8_t *p = start
        cdef Token[VSPY_FIELDS] fields
        cdef uint64_t number
        cdef int k
        if not next_field(&p, end, &fields[VSPY_LINE]):
            return READABLE
        if not number_in(fields[VSPY_LINE].start, fields[VSPY_LINE].size, 10, INT64_MAX // 16, &number):
            return self.read_header(start, end, &fields[VSPY_LINE])
        self.in_rows = True
        for k in range(VSPY_TIME, VSPY_FIELDS):
            if not next_field(&p, end, &fields[k]):
                return NO_FRAME
        if not self.find_name(&fields[VSPY_NETWORK]):
            if fields[VSPY_NETWORK].size == 0:
                return NO_FRAME
            return self.new_name(start, &fields[VSPY_NETWORK])
        if self.known[self.last_name].foreign:
            return self.pass_by(VSPY_FOREIGN)
        if self.known[self.last_name].refused:
            return MANY_CHANNELS
        return self.read_row(fields, p, end)

    cdef Reason read_header(self, const uint8_t *start, const uint8_t *end, const Token *first) noexcept nogil:
        """Whatever comes before the first row; between rows, there are names of columns at the most."""
        cdef const uint8_t *p = start
        if holds_row(start, end):
            return TWO_LINES
        if is_word(first, b"line", 4):
            self.in_rows = True
            return READABLE
        if not self.in_rows:
            return READABLE
        while p < end and (p[0] == c',' or is_space(p[0])):
            p += 1
        return READABLE if p == end else NO_FRAME

    cdef Reason read_row(self, const Token *fields, const uint8_t *p, const uint8_t *end) noexcept nogil:
        cdef const Token *identifier = &fields[VSPY_ID]
        cdef int64_t time
        cdef uint64_t can_id
        cdef uint8_t[8] data
        cdef bint failed, sent, remote, extended
        cdef int length
        if not float_in(fields[VSPY_TIME].start, fields[VSPY_TIME].size, &time) or not -MOST_TIME < time < MOST_TIME:
            return BAD_TIME
        if not letter_in(&fields[VSPY_IS_ERROR], &failed) or not letter_in(&fields[VSPY_SENT], &sent):
            return NO_FRAME
        if failed:
            return self.pass_by(VSPY_ERROR)
        if not letter_in(&fields[VSPY_REMOTE], &remote) or not letter_in(&fields[VSPY_EXTENDED], &extended):
            return NO_FRAME
        if not number_in(
            identifier.start, identifier.size, 16, CAN_EFF_MASK if extended else CAN_SFF_MASK, &can_id,
        ):
            return BAD_IDENTIFIER
        length = data_cells(&p, end, data)
        if length < 0 or (remote and length > 0):
            return BAD_DATA
        if holds_row(p, end):
            return TWO_LINES
        put(&self.sink, time + self.began,
            <uint32_t>can_id | (<uint32_t>CAN_EFF_FLAG if extended else 0) | (CAN_RTR_FLAG if remote else 0),
            length, RECORD_SENT if sent else 0, self.known[self.last_name].number, data, length)
        return READABLE


cdef inline bint letter_in(const Token *field, bint *value) noexcept nogil:
    """T or F."""
    value[0] = is_word(field, b"t", 1)
    return value[0] or is_word(field, b"f", 1)


cdef bint holds_row(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """There is a row within it: it has two cells with T or F, one behind the other."""
    cdef Token field
    cdef bint value, last = False
    while next_field(&p, end, &field):
        if not letter_in(&field, &value):
            last = False
        elif last:
            return True
        else:
            last = True
    return False


cdef inline int data_cells(const uint8_t **place, const uint8_t *end, uint8_t *data) noexcept nogil:
    """The columns B1 to B8: bytes, and none behind the last one. -1: something else."""
    cdef Token field
    cdef uint64_t value
    cdef int length = 0, k
    for k in range(8):
        if not next_field(place, end, &field):
            return -1
        if field.size > 0:
            if length < k or field.size > 2 or not number_in(field.start, field.size, 16, 255, &value):
                return -1
            data[k] = <uint8_t>value
            length += 1
    return length
