# What candump shows on a screen: " (000.000000)  can0  TX - -  713   [8]  02 10 03 00 00 00 00 00   '........'".
#
# As can-utils' lib.c and candump.c print it: the time only if asked for, TX or RX with the flags of CAN FD after -x,
# the length in two digits for CAN FD, bytes in binary after -i, in the other order after -S, as characters behind them
# after -a; a raw DLC of 9 to F in braces after -8, "remote request" or "ERRORFRAME" in the place of data or behind.


cdef enum:
    SWAPPED = 0x60                # between bytes in the other order


cdef struct ScreenFrame:
    uint32_t can_id
    int length
    uint8_t flags
    bint remote
    uint8_t[64] data


cdef Reason screen_frame(const uint8_t *p, const uint8_t *end, ScreenFrame *frame) noexcept nogil:
    """A frame from what stands behind the name of the channel."""
    cdef Token word
    cdef uint64_t number
    cdef uint8_t shown = 0
    frame.flags = 0
    frame.remote = False
    if not next_token(&p, end, &word):
        return NO_FRAME
    if is_word(&word, b"tx", 2) or is_word(&word, b"rx", 2):
        frame.flags = RECORD_SENT if (word.start[0] | 0x20) == c't' else 0
        if not next_flag(&p, end, c'B', CANFD_BRS, &shown) or not next_flag(&p, end, c'E', CANFD_ESI, &shown):
            return NO_FRAME
        if not next_token(&p, end, &word):
            return NO_FRAME
    if not number_in(word.start, word.size, 16, 0xFFFFFFFF, &number):
        return BAD_IDENTIFIER
    # Others that show frames in this way do not fill up with zeros.
    if word.size <= 3:
        if number > CAN_SFF_MASK:
            return BAD_IDENTIFIER
        frame.can_id = <uint32_t>number
    elif number & CAN_ERR_FLAG:
        frame.can_id = <uint32_t>number & (CAN_ERR_FLAG | CAN_EFF_MASK)
    elif number > CAN_EFF_MASK:
        return BAD_IDENTIFIER
    else:
        frame.can_id = <uint32_t>number | <uint32_t>CAN_EFF_FLAG
    if not next_token(&p, end, &word):
        return NO_FRAME
    if not screen_length(&word, frame):
        return BAD_LENGTH
    if frame.flags & CANFD_FDF:
        frame.flags |= shown
    return screen_data(p, end, frame)


cdef inline bint next_flag(
    const uint8_t **place, const uint8_t *end, uint8_t letter, uint8_t flag, uint8_t *flags,
) noexcept nogil:
    """The letter, or a dash. False: it is something else."""
    cdef Token word
    if not next_token(place, end, &word) or word.size != 1:
        return False
    if word.start[0] == letter:
        flags[0] |= flag
    return word.start[0] == letter or word.start[0] == c'-'


cdef inline bint screen_length(const Token *word, ScreenFrame *frame) noexcept nogil:
    """[8], [08] for CAN FD, or {F}: 8 bytes with that code."""
    cdef uint64_t length
    if word.size == 3 and word.start[0] == c'{' and word.start[2] == c'}':
        frame.length = 8
        return DIGIT[word.start[1]] > 8
    if word.size < 3 or word.size > 4 or word.start[0] != c'[' or word.start[word.size - 1] != c']':
        return False
    if not number_in(word.start + 1, word.size - 2, 10, 64 if word.size == 4 else 8, &length):
        return False
    frame.length = <int>length
    if word.size == 4:
        frame.flags |= CANFD_FDF
    return True


cdef Reason screen_data(const uint8_t *p, const uint8_t *end, ScreenFrame *frame) noexcept nogil:
    cdef Token word
    cdef const uint8_t *q = p
    cdef int k
    if next_token(&q, end, &word) and is_word(&word, b"remote", 6):
        if not next_token(&q, end, &word) or not is_word(&word, b"request", 7) or not at_end(q, end):
            return BAD_DATA
        frame.remote = True
        return READABLE
    q = p
    if frame.length > 1 and next_swapped(&q, end, frame):
        return READABLE if ends_frame(q, end, frame.length) else BAD_DATA
    q = p
    if data_bytes(&q, end, frame.data, frame.length) != frame.length:
        q = p
        for k in range(frame.length):
            if not next_token(&q, end, &word) or not screen_byte(word.start, word.size, &frame.data[k]):
                return BAD_DATA
    return READABLE if ends_frame(q, end, frame.length) else BAD_DATA


cdef inline bint screen_byte(const uint8_t *p, Py_ssize_t size, uint8_t *byte) noexcept nogil:
    """Two hexadecimal digits, or eight binary ones."""
    cdef uint64_t value
    if size != 2 and size != 8:
        return False
    if not number_in(p, size, 16 if size == 2 else 2, 255, &value):
        return False
    byte[0] = <uint8_t>value
    return True


cdef bint next_swapped(const uint8_t **place, const uint8_t *end, ScreenFrame *frame) noexcept nogil:
    """All bytes in one word, the last one first. False: they are not."""
    cdef Token word
    cdef const uint8_t *p
    cdef int k, size
    if not next_token(place, end, &word):
        return False
    size = <int>(word.size + 1) // frame.length - 1
    if word.size + 1 != frame.length * (size + 1):
        return False
    p = word.start
    for k in range(frame.length - 1, -1, -1):
        if not screen_byte(p, size, &frame.data[k]) or (k > 0 and p[size] != SWAPPED):
            return False
        p += size + 1
    return True


cdef bint ends_frame(const uint8_t *p, const uint8_t *end, int length) noexcept nogil:
    """Nothing follows but the bytes as characters, in quotes, and what candump says of an error frame."""
    cdef Token word
    while p < end and is_space(p[0]):
        p += 1
    if p < end and (p[0] == c"'" or p[0] == SWAPPED):
        if end - p < length + 2 or p[length + 1] != p[0]:
            return False
        p += length + 2
    if next_token(&p, end, &word) and not is_word(&word, b"errorframe", 10):
        return False
    return at_end(p, end)
