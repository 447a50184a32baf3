# Text logs whose channels have names: each is asked for once, and known from then on.


cdef enum:
    LONGEST_NAME = 64              # bytes


cdef struct ChannelName:
    uint8_t[LONGEST_NAME] text
    Py_ssize_t size
    uint16_t number
    bint refused                   # there is no number for it
    bint foreign                   # it is of no CAN bus: what it has is passed by


cdef class NamedParser(TextParser):
    """Lines to frames, of channels with names."""

    cdef ChannelName[MOST_NAMES] known
    cdef int known_count
    cdef int last_name

    cdef bytes known_names(self):
        """For pack()."""
        return (<const char *>self.known)[:self.known_count * sizeof(ChannelName)]

    cdef int have_names(self, bytes known) except -1:
        """For unpack()."""
        if PyBytes_GET_SIZE(known) > <Py_ssize_t>sizeof(self.known):
            raise ValueError("no state of a parser with names")
        self.known_count = <int>(PyBytes_GET_SIZE(known) // <Py_ssize_t>sizeof(ChannelName))
        memcpy(self.known, PyBytes_AS_STRING(known), <size_t>PyBytes_GET_SIZE(known))
        return 0

    cdef ChannelName *add_name(self, bytes matter) except NULL:
        """A new name, for which new_name() asked; it has no number yet."""
        cdef ChannelName *name = &self.known[self.known_count]
        name.size = PyBytes_GET_SIZE(matter)
        memcpy(name.text, PyBytes_AS_STRING(matter), <size_t>name.size)
        name.number = 0
        name.refused = name.foreign = False
        self.known_count += 1
        return name

    cdef int answer_name(self, bytes matter) except -1:
        """The same, with its number."""
        number = self.number_named(matter.decode("utf-8", "replace"))
        cdef ChannelName *name = self.add_name(matter)
        name.refused = number < 0
        name.number = 0 if number < 0 else <uint16_t>number
        return 0

    cdef inline bint find_name(self, const Token *name) noexcept nogil:
        """Make it the last name. False: it is new."""
        cdef int k = self.last_name
        if k < self.known_count and is_name(&self.known[k], name):
            return True
        for k in range(self.known_count):
            if is_name(&self.known[k], name):
                self.last_name = k
                return True
        return False

    cdef Reason new_name(self, const uint8_t *start, const Token *name) noexcept nogil:
        """Ask for it: the line is read once more."""
        if self.known_count == MOST_NAMES or name.size > LONGEST_NAME:
            return MANY_CHANNELS
        self.ask(start, name.start, name.size)
        return READABLE


cdef inline bint is_name(const ChannelName *known, const Token *name) noexcept nogil:
    return known.size == name.size and memcmp(known.text, name.start, <size_t>name.size) == 0
