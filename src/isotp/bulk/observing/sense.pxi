# What messages say, by ISO 14229-1, ISO 14230-3, ISO 15031-5 and what came before them: is it a request or a response
# of a diagnostic service, and as long as these are?

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef enum:
    SID_NEGATIVE = 0x7F            # ISO 14229-1: negative response, the SID of the request follows
    SID_RESPONSE_BIT = 0x40
    SUPPRESS_RESPONSE_BIT = 0x80
    SID_TESTER_PRESENT = 0x3E
    NRC_PENDING = 0x78             # another response will come


cdef enum Sense:
    NO_SENSE = 0
    SLIGHT_SENSE = 1
    GOOD_SENSE = 2


cdef extern from *:
    """
    /* Bytes of a value of mode 01 (ISO 15031-5, annex B), from 00 to 5F; 0: not known. */
    static const uint8_t ISOTP_VALUE_SIZES[0x60] = {
        4, 4, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1,
        2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2,
        4, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4, 1, 1, 1, 1,
        1, 2, 2, 1, 4, 4, 4, 4, 4, 4, 4, 4, 2, 2, 2, 2,
        4, 4, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 4,
        4, 1, 1, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 1};
    """
    const uint8_t[0x60] VALUE_SIZES "ISOTP_VALUE_SIZES"


cdef inline bint is_negative_code(uint8_t code) noexcept nogil:
    """Response codes that ISO 14229-1 defines, for all services."""
    return (0x10 <= code <= 0x14 or 0x21 <= code <= 0x26 or code == 0x31 or 0x33 <= code <= 0x3A
            or 0x70 <= code <= 0x73 or code == NRC_PENDING or code == 0x7E or code == 0x7F or 0x81 <= code <= 0x93)


cdef inline bint is_session_kind(uint8_t kind) noexcept nogil:
    """Diagnostic sessions of ISO 14229-1, of makers, and of ISO 14230-3."""
    return 0x01 <= kind <= 0x04 or 0x40 <= kind <= 0x60 or 0x81 <= kind <= 0x92 or kind == 0xC0


cdef Sense sense_of_request(const uint8_t *data, int size, uint64_t length, bint legislated) noexcept nogil:
    """How much a message is like a request; `legislated`: its CAN ID is one that ISO 15765-4 has for these."""
    cdef uint8_t service = data[0]
    cdef uint8_t kind = data[1] & ~SUPPRESS_RESPONSE_BIT & 0xFF if size > 1 else 0
    if service <= 0x0A:
        if not legislated:
            return NO_SENSE
        if service == 0x01 or service == 0x09:
            return GOOD_SENSE if 2 <= length <= 7 else NO_SENSE
        if service == 0x03 or service == 0x04 or service == 0x07 or service == 0x0A:
            return GOOD_SENSE if length == 1 else NO_SENSE
        return SLIGHT_SENSE if 2 <= length <= 7 else NO_SENSE
    if service == 0x10:
        return GOOD_SENSE if length == 2 and is_session_kind(data[1]) else NO_SENSE
    if service == 0x11:
        return GOOD_SENSE if length == 2 and 0x01 <= kind <= 0x05 else NO_SENSE
    if service == 0x3E:
        return GOOD_SENSE if length == 2 and kind <= 0x02 else SLIGHT_SENSE if length == 1 else NO_SENSE
    if service == 0x85:
        return GOOD_SENSE if length >= 2 and (kind == 1 or kind == 2) else NO_SENSE
    if service == 0x1A:
        return GOOD_SENSE if length == 2 and data[1] >= 0x80 else NO_SENSE
    if service == 0x21:
        return GOOD_SENSE if length == 2 else NO_SENSE
    if service == 0x14:
        if length != 3 and length != 4:
            return NO_SENSE
        return GOOD_SENSE if length == 4 and data[1] == 0xFF else SLIGHT_SENSE
    if service == 0x18:
        return GOOD_SENSE if length == 4 and data[1] <= 0x03 else NO_SENSE
    if service == 0x19:
        return GOOD_SENSE if 2 <= length <= 6 and 0x01 <= kind <= 0x19 else NO_SENSE
    if service == 0x22:
        return GOOD_SENSE if length >= 3 and length & 1 == 1 else NO_SENSE
    if service == 0x27:
        return GOOD_SENSE if 0x01 <= kind <= 0x42 and (length == 2) == (kind & 1 == 1) else NO_SENSE
    if service == 0x28:
        return GOOD_SENSE if length == 3 and kind <= 0x05 else NO_SENSE
    if service == 0x2E:
        return GOOD_SENSE if length >= 4 else NO_SENSE
    if service == 0x31:
        return GOOD_SENSE if length >= 4 and 0x01 <= kind <= 0x03 else SLIGHT_SENSE if length >= 2 else NO_SENSE
    if service == 0x34 or service == 0x35 or service == 0x2F:
        return SLIGHT_SENSE if length >= 4 else NO_SENSE
    if service == 0x36 or service == 0x3B:
        return SLIGHT_SENSE if length >= 3 else NO_SENSE
    if service == 0x20 or service == 0x37:
        return SLIGHT_SENSE if length == 1 else NO_SENSE
    return NO_SENSE


cdef Sense sense_of_value(const uint8_t *data, int size, uint64_t length) noexcept nogil:
    """The same of what mode 01 shows: each value has its size."""
    cdef uint64_t needed
    if size < 2 or data[1] >= 0x60:
        return NO_SENSE
    needed = 2 + <uint64_t>VALUE_SIZES[data[1]]
    # Several values may come at once.
    return GOOD_SENSE if length == needed else SLIGHT_SENSE if length > needed + 1 else NO_SENSE


cdef Sense sense_of_response(const uint8_t *data, int size, uint64_t length, bint legislated) noexcept nogil:
    """How much a message is like a response."""
    cdef uint8_t service = data[0]
    cdef uint8_t kind = data[1] if size > 1 else 0
    if service == SID_NEGATIVE:
        return GOOD_SENSE if length == 3 and size >= 3 and is_negative_code(data[2]) else NO_SENSE
    if service == 0x41:
        return sense_of_value(data, size, length)
    if service <= 0x4A:
        return GOOD_SENSE if legislated and (length >= 2 or service == 0x44) else NO_SENSE
    if service == 0x50:
        return GOOD_SENSE if (length == 6 or length == 2) and is_session_kind(kind) else NO_SENSE
    if service == 0x51:
        return GOOD_SENSE if 2 <= length <= 3 and 0x01 <= kind <= 0x05 else NO_SENSE
    if service == 0x7E:
        return GOOD_SENSE if length == 2 and kind <= 0x02 else SLIGHT_SENSE if length == 1 else NO_SENSE
    if service == 0xC5 or service == 0x68:
        return GOOD_SENSE if length == 2 and kind <= 0x05 else NO_SENSE
    if service == 0x54 or service == 0x77 or service == 0x60:
        return SLIGHT_SENSE if length == 1 else NO_SENSE
    if service == 0x59:
        return GOOD_SENSE if length >= 3 and 0x01 <= kind <= 0x19 else NO_SENSE
    if service == 0x5A:
        return GOOD_SENSE if length >= 3 and kind >= 0x80 else NO_SENSE
    if service == 0x61:
        return GOOD_SENSE if length >= 3 else NO_SENSE
    if service == 0x62:
        return GOOD_SENSE if length >= 4 else NO_SENSE
    if service == 0x67:
        return GOOD_SENSE if 0x01 <= kind <= 0x42 and (length == 2) == (kind & 1 == 0) else NO_SENSE
    if service == 0x6E:
        return GOOD_SENSE if length == 3 else NO_SENSE
    if service == 0x71:
        return GOOD_SENSE if length >= 4 and 0x01 <= kind <= 0x03 else SLIGHT_SENSE if length >= 2 else NO_SENSE
    if service == 0x74 or service == 0x76 or service == 0x58:
        return SLIGHT_SENSE if length >= 2 else NO_SENSE
    return NO_SENSE


cdef inline bint is_legislated(uint32_t can_id) noexcept nogil:
    """CAN IDs of ISO 15765-4, both ways."""
    cdef uint32_t base = can_id & ~<uint32_t>0xFFFF
    return 0x7DF <= can_id <= 0x7EF or base == (CAN_EFF_FLAG | 0x18DB0000) or base == (CAN_EFF_FLAG | 0x18DA0000)


cdef inline bint wants_response(const Said *said) noexcept nogil:
    """False for a tester that only tells that it is there."""
    return not (said.data[0] == SID_TESTER_PRESENT and said.size >= 2 and said.data[1] & SUPPRESS_RESPONSE_BIT)


cdef inline bint repeats_more(uint8_t service) noexcept nogil:
    """True for services whose response repeats the byte behind the service, if it has one."""
    return (service == 0x01 or service == 0x09 or service == 0x10 or service == 0x11 or service == 0x19
            or service == 0x1A or service == 0x21 or service == 0x22 or service == 0x27 or service == 0x28
            or service == 0x2E or service == 0x2F or service == 0x31 or service == 0x36 or service == 0x3E
            or service == 0x85)


cdef inline bint contradicts(const Said *asked, const Said *said) noexcept nogil:
    """True if what was said cannot be the positive response to what was asked, though the service is the same."""
    cdef uint8_t mask = 0xFF
    if asked.data[0] != 0x22 and asked.data[0] != 0x2E and asked.data[0] != 0x21 and asked.data[0] != 0x36:
        mask = ~SUPPRESS_RESPONSE_BIT & 0xFF
    return (repeats_more(asked.data[0]) and asked.length > 1 and said.length > 1
            and (asked.data[1] ^ said.data[1]) & mask != 0)


cdef inline bint has_timing(const Said *said) noexcept nogil:
    """A response to DiagnosticSessionControl of ISO 14229-1 has P2, below 256 ms, and P2* behind the session."""
    return said.data[0] == 0x50 and said.length == 6 and said.data[2] == 0 and said.data[3] >= 10


cdef void weigh_words(Machine *machine, Line *line) noexcept nogil:
    """Count what the message that begins on a line says."""
    cdef const Said *said = &line.said
    cdef bint legislated = is_legislated(machine.stations[line.station].can_id)
    cdef Sense sense
    cdef bint fresh
    # Each service that is refused is one more.
    cdef uint64_t bit = <uint64_t>1 << (said.data[1 if said.data[0] == SID_NEGATIVE else 0] & 63)
    cdef uint64_t digest = digest_of(FIRST_DIGEST, said.data, min(said.size, 3))
    line.sensible = NO_SENSE
    if said.data[0] & SID_RESPONSE_BIT:
        sense = sense_of_response(said.data, said.size, said.length, legislated)
        line.tally.responses += sense != NO_SENSE
    else:
        sense = sense_of_request(said.data, said.size, said.length, legislated)
        line.tally.requests += sense != NO_SENSE
    if sense == NO_SENSE:
        return
    line.sensible = sense
    if has_timing(said):
        bit |= <uint64_t>1 << (SID_NEGATIVE & 63)      # which has no bit of its own
    if sense == GOOD_SENSE:
        line.services |= bit
    else:
        line.slight |= bit
    fresh = is_fresh(&line.things, 1, digest)
    line.thing_count += fresh
    if fresh or line.tally.messages & 7 == 0:
        weigh_line(machine, line)
