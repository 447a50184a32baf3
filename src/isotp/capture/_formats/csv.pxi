# CSV of python-can's writer: "1483389946.197,0xdadada,1,0,0,6,WzQyLCA5XQ==", the data in base64.


cdef int8_t[256] SEXTET


cdef void fill_sextets() noexcept:
    cdef const char *letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    cdef int k
    memset(SEXTET, 0xFF, 256)
    for k in range(64):
        SEXTET[<uint8_t>letters[k]] = <int8_t>k


fill_sextets()

cdef const char *CSV_HEAD = b"timestamp,arbitration_id,extended,remote,error,dlc,data"

# Of the fields before the data.
cdef enum:
    CSV_TIME, CSV_ID, CSV_EXTENDED, CSV_REMOTE, CSV_ERROR, CSV_LENGTH, CSV_FIELDS


cdef class CsvParser(TextParser):
    """Parser of python-can's CSV. It has neither channels nor CAN FD."""

    cdef tuple pack(self):
        return (self.wide,)

    cdef int unpack(self, tuple state) except -1:
        self.wide, = state
        return 0

    cdef Reason read_line(self, const uint8_t *start, const uint8_t *end) noexcept nogil:
        cdef const uint8_t *p = start
        cdef Token[CSV_FIELDS] fields
        cdef Token last
        cdef int k
        if at_end(start, end):
            return READABLE
        if begins(start, end, CSV_HEAD, 55) and at_end(start + 55, end):
            return READABLE
        for k in range(CSV_FIELDS):
            if not next_field(&p, end, &fields[k]):
                return NO_FRAME
        if not next_field(&p, end, &last) or p <= end:
            return NO_FRAME
        return self.read_fields(fields, &last)

    cdef Reason read_fields(self, const Token *fields, const Token *last) noexcept nogil:
        cdef const Token *field = &fields[CSV_ID]
        cdef int64_t time
        cdef uint64_t can_id, dlc
        cdef uint8_t[64] data
        cdef bint extended, remote, error
        cdef int length
        if not float_in(fields[CSV_TIME].start, fields[CSV_TIME].size, &time):
            return BAD_TIME
        if (
            not flag_in(&fields[CSV_EXTENDED], &extended) or not flag_in(&fields[CSV_REMOTE], &remote)
            or not flag_in(&fields[CSV_ERROR], &error)
        ):
            return NO_FRAME
        if field.size < 3 or field.start[0] != c'0' or (field.start[1] | 0x20) != c'x':
            return BAD_IDENTIFIER
        if not number_in(field.start + 2, field.size - 2, 16, CAN_EFF_MASK, &can_id):
            return BAD_IDENTIFIER
        can_id |= (<uint32_t>CAN_EFF_FLAG if extended else 0) | (CAN_ERR_FLAG if error else 0)
        field = &fields[CSV_LENGTH]
        if not number_in(field.start, field.size, 10, 64, &dlc):
            return BAD_LENGTH
        length = base64_in(last.start, last.size, data)
        if length < 0:
            return BAD_DATA
        if remote and length > 0:
            return BAD_DATA
        if remote:
            put(&self.sink, time, <uint32_t>can_id | CAN_RTR_FLAG, min(<int>dlc, 8), 0, 0, data, 0)
            return READABLE
        if length != <int>dlc and (dlc > 15 or length_of_code(dlc) != length):
            return BAD_LENGTH
        put(&self.sink, time, <uint32_t>can_id, length, 0, 0, data, length)
        return READABLE


cdef inline bint flag_in(const Token *field, bint *value) noexcept nogil:
    value[0] = field.size == 1 and field.start[0] == c'1'
    return field.size == 1 and (value[0] or field.start[0] == c'0')


cdef inline int base64_in(const uint8_t *p, Py_ssize_t size, uint8_t *data) noexcept nogil:
    """Bytes that were encoded, at most 64; -1: something else, or more of them."""
    cdef int length = 0
    cdef Py_ssize_t k, padding = 0
    cdef uint32_t bits = 0
    if size % 4 != 0 or size > 88:
        return -1
    while padding < 2 and padding < size and p[size - 1 - padding] == c'=':
        padding += 1
    for k in range(size - padding):
        if SEXTET[p[k]] < 0:
            return -1
        bits = bits << 6 | <uint32_t>SEXTET[p[k]]
        if k % 4 != 0:
            if length == 64:
                return -1
            data[length] = <uint8_t>(bits >> (6 - 2 * (k % 4)))
            length += 1
    return length


cdef inline bint float_in(const uint8_t *p, Py_ssize_t size, int64_t *ns) noexcept nogil:
    """Seconds as repr() writes a float, to the nearest ns. False: another thing, or it does not fit."""
    cdef int64_t digits = 0, exponent = 9
    cdef uint64_t power
    cdef Py_ssize_t k = 0
    cdef bint negative = size > 0 and p[0] == c'-', fraction = False, any_digit = False, minus
    k = 1 if negative else 0
    while k < size and (is_decimal(p[k]) or (p[k] == c'.' and not fraction)):
        if p[k] == c'.':
            fraction = True
        else:
            any_digit = True
            if digits < 99_999_999_999_999_999LL:
                digits = digits * 10 + (p[k] - c'0')
                exponent -= fraction
            else:
                exponent += not fraction
        k += 1
    if not any_digit:
        return False
    if k + 1 < size and (p[k] | 0x20) == c'e':
        k += 1
        minus = p[k] == c'-'
        if p[k] == c'-' or p[k] == c'+':
            k += 1
        if not number_in(p + k, size - k, 10, 400, &power):
            return False
        exponent += -<int64_t>power if minus else <int64_t>power
        k = size
    if k != size:
        return False
    while exponent > 0 and digits > 0:
        if digits > INT64_MAX // 20:
            return False
        digits *= 10
        exponent -= 1
    while exponent < 0 and digits > 0:
        digits = (digits + (5 if exponent == -1 else 0)) // 10
        exponent += 1
    ns[0] = -digits if negative else digits
    return True
