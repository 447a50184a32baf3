# GVRET CSV, SavvyCAN's own: "39747828,000005EB,false,Rx,0,8,E8,45,85,4B,4A,28,36,69,", as SavvyCAN writes and reads
# it and real files have it. A line begins with the time in us, which may be negative. The header says whether there are
# a direction and a bus: "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,...". Cells behind the data are empty or zero.


cdef enum:
    US = 1000                      # ns


cdef class GvretParser(TextParser):
    """Parser of GVRET CSV."""

    cdef bint no_direction
    cdef bint no_bus

    cdef tuple pack(self):
        return (self.no_direction, self.no_bus, self.wide)

    cdef int unpack(self, tuple state) except -1:
        self.no_direction, self.no_bus, self.wide = state
        return 0

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        cdef const uint8_t *p = start
        cdef Token field
        cdef int64_t time
        cdef uint64_t number
        cdef bint extended, negative
        if at_end(start, end):
            return READABLE
        if not next_field(&p, end, &field):
            return NO_FRAME
        if is_word(&field, b"time stamp", 10):
            return self.read_header(p, end)
        negative = field.size > 0 and field.start[0] == c'-'
        if not scaled_in(field.start + negative, field.size - negative, US, &time):
            return BAD_TIME
        if not next_field(&p, end, &field):
            return NO_FRAME
        if field.size > 2 and field.start[0] == c'0' and (field.start[1] | 0x20) == c'x':
            field.start += 2
            field.size -= 2
        if not number_in(field.start, field.size, 16, CAN_EFF_MASK, &number):
            return BAD_IDENTIFIER
        if not next_field(&p, end, &field) or not truth_in(&field, &extended):
            return NO_FRAME
        if number > CAN_SFF_MASK and not extended:
            return BAD_IDENTIFIER
        return self.read_rest(
            -time if negative else time, <uint32_t>number | (<uint32_t>CAN_EFF_FLAG if extended else 0), p, end)

    cdef Reason read_header(self, const uint8_t *p, const uint8_t *end) noexcept nogil:
        """Which columns there are between the kind of the identifier and the length."""
        cdef Token field
        self.no_direction = self.no_bus = True
        while next_field(&p, end, &field):
            if is_word(&field, b"dir", 3):
                self.no_direction = False
            elif is_word(&field, b"bus", 3):
                self.no_bus = False
            elif is_word(&field, b"len", 3) or is_word(&field, b"dlc", 3):
                return READABLE if self.are_columns(p, end) else BAD_HEADER
        return BAD_HEADER

    cdef bint are_columns(self, const uint8_t *p, const uint8_t *end) noexcept nogil:
        """D1, D2 and so on, and nothing else."""
        cdef Token field
        cdef uint64_t number
        while next_field(&p, end, &field):
            if field.size > 0 and not (
                (field.start[0] | 0x20) == c'd' and number_in(field.start + 1, field.size - 1, 10, 64, &number)
            ):
                return False
        return True

    cdef Reason read_rest(
        self, int64_t time, uint32_t can_id, const uint8_t *p, const uint8_t *end,
    ) noexcept nogil:
        """From the direction on."""
        cdef Token field
        cdef uint64_t bus = 0, length, value
        cdef uint8_t flags = 0
        cdef uint8_t[64] data
        cdef int k
        if not self.no_direction:
            if not next_field(&p, end, &field) or not is_direction(&field):
                return NO_FRAME
            if not is_word(&field, b"rx", 2):
                flags = RECORD_SENT
        if not self.no_bus:
            if not next_field(&p, end, &field) or not number_in(field.start, field.size, 10, CHANNELS - 1, &bus):
                return NO_FRAME
        if not next_field(&p, end, &field) or not number_in(field.start, field.size, 10, 64, &length):
            return BAD_LENGTH
        for k in range(<int>length):
            if not next_field(&p, end, &field) or not number_in(field.start, field.size, 16, 255, &value):
                return BAD_DATA
            data[k] = <uint8_t>value
        while next_field(&p, end, &field):
            if field.size > 0 and not number_in(field.start, field.size, 16, 255, &value):
                return BAD_DATA
        if length > 8:
            flags |= CANFD_FDF
        put(&self.sink, time, can_id, <int>length, flags, <uint16_t>bus, data, <int>length)
        return READABLE


cdef inline bint truth_in(const Token *field, bint *value) noexcept nogil:
    """true or false, or 1 or 0."""
    if flag_in(field, value):
        return True
    value[0] = is_word(field, b"true", 4)
    return value[0] or is_word(field, b"false", 5)
