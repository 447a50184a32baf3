# Frames that the bus has taken, until it says that they went: by their echo, the same frame once more (L_Data.con).


cdef uint64_t mark_of(uint32_t can_id, const uint8_t *data, Py_ssize_t size) noexcept nogil:
    """FNV-1a over what a frame says."""
    cdef uint64_t mark = 0xCBF29CE484222325
    cdef uint64_t prime = 0x100000001B3
    cdef Py_ssize_t k
    mark = (mark ^ can_id) * prime
    mark = (mark ^ <uint64_t>size) * prime
    for k in range(size):
        mark = (mark ^ data[k]) * prime
    return mark


cdef class Echoes:
    """The frames of one engine that the bus has yet to confirm, in the order in which it got them.

    It confirms them in this order. So an echo confirms what went before as well: its own echo was lost.
    (Its methods are not final, so that they stay out of the code of those who need none of this.)
    """

    def __cinit__(self):
        self.confirmed_at = AT_ONCE

    cdef inline Given *at(self, int k) noexcept:
        return &self.ring[(self.first + k) % MOST_UNCONFIRMED]

    cdef bint is_full(self, uint32_t epoch) noexcept:
        """Whether the message of this epoch has to wait before more of it goes."""
        while self.count >= ENOUGH_UNCONFIRMED and self.at(0).epoch != epoch and self.at(0).apart == 0:
            self.drop_oldest()         # of messages that were given up
        return self.count >= ENOUGH_UNCONFIRMED

    cdef void add(self, const Frame *frame) noexcept:
        """The bus is given a frame; say next what it was."""
        if self.count == MOST_UNCONFIRMED:
            self.drop_oldest()
        self.count += 1
        self.at(self.count - 1).mark = mark_of(frame.can_id, frame.data, frame.len)
        self.note(NEVER, False, 0, 0)      # of no message, should the next step fail

    cdef void note(self, int64_t when, bint is_flow_control, uint32_t epoch, uint64_t place) noexcept:
        """What the frame was that the bus has taken last."""
        cdef Given *given = self.at(self.count - 1)
        given.when = when
        given.is_flow_control = is_flow_control
        given.apart = 0
        given.epoch = epoch
        given.place = place

    cdef void drop_oldest(self) noexcept:
        self.first = (self.first + 1) % MOST_UNCONFIRMED
        self.count -= 1

    cdef void drop_newest(self, int count) noexcept:
        """The last frames did not go after all."""
        self.count -= min(count, self.count)

    cdef bint confirm(
            self, uint32_t can_id, const uint8_t *data, Py_ssize_t size, int64_t when, Confirmed *told) noexcept:
        """An echo came. False: no frame is like that."""
        cdef uint64_t mark = mark_of(can_id, data, size)
        cdef int end = 0
        cdef int k
        cdef Given *given
        memset(told, 0, sizeof(Confirmed))
        while end < self.count and self.at(end).mark != mark:
            end += 1
        if end == self.count:
            return False
        for k in range(end + 1):
            given = self.at(0)
            if given.apart != 0:
                told.apart = given.apart
            if given.is_flow_control:
                told.is_flow_control = True
                told.reception = given.epoch
                told.got = given.place
            else:
                told.is_message = True
                told.epoch = given.epoch
                told.place = given.place
            self.drop_oldest()
        self.confirmed_at = when
        return True
