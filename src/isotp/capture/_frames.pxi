# Where frames go: those that are wanted become records.


cdef struct Sink:
    RecordArray *array
    int64_t start                  # frames of start <= time < end
    int64_t end
    uint8_t *wanted                # by channel; NULL: all
    uint8_t *left_out              # by channel: its frames were not wanted; where there is `wanted`
    bint no_memory


cdef bint widen(RecordArray *array) noexcept nogil:
    """Classic records become FD records, in their place. False: no memory."""
    cdef Py_ssize_t k, capacity = max(array.capacity, 16)
    cdef uint8_t *items = <uint8_t *>realloc(array.items, <size_t>capacity * sizeof(FdRecord))
    if items == NULL:
        return False
    # From the last one on: each moves up, onto records that have moved already.
    for k in range(array.count - 1, -1, -1):
        memmove(items + k * sizeof(FdRecord), items + k * sizeof(ClassicRecord), sizeof(ClassicRecord))
        memset(items + k * sizeof(FdRecord) + sizeof(ClassicRecord), 0, sizeof(FdRecord) - sizeof(ClassicRecord))
    array.items = items
    array.capacity = capacity
    array.itemsize = sizeof(FdRecord)
    return True


cdef inline void put(
    Sink *sink, int64_t time, uint32_t can_id, int length, uint8_t flags, uint16_t channel,
    const uint8_t *data, int stored,
) noexcept nogil:
    """Add a frame if it is wanted. `stored` bytes of data: a remote frame has a length, but none of them."""
    cdef FdRecord *record
    if not sink.start <= time < sink.end:
        return
    if sink.wanted != NULL and not sink.wanted[channel]:
        sink.left_out[channel] = 1
        return
    if sink.array.itemsize == sizeof(ClassicRecord):
        if length > 8 and not widen(sink.array):
            sink.no_memory = True
            return
    record = add_record(sink.array)
    if record == NULL:
        sink.no_memory = True
        return
    record.timestamp = time
    record.can_id = can_id
    record.len = <uint8_t>length
    record.flags = flags
    record.channel = channel
    if stored == 8:
        # As nearly all have; the compiler knows how to.
        memcpy(record.data, data, 8)
    else:
        memcpy(record.data, data, <size_t>stored)


cdef class FrameCollector:
    """FrameCollector(start=None, end=None, channels=None)\n--\n\n
    What parsers give frames to: it drops those that are not wanted, and has the rest as records.

    The records are of the classic layout until a frame with more than 8 bytes comes, and FD records from then on.

    :param start: ns; earlier frames are dropped.
    :param end: ns; frames at this time and later are dropped.
    :param channels: numbers of the channels to keep; None: all.
    """

    cdef Sink sink
    cdef Records records
    cdef bint wide

    def __cinit__(self, *args, **kwargs):
        self.sink.start = INT64_MIN
        self.sink.end = INT64_MAX
        self.begin(0)

    def __init__(self, start=None, end=None, channels=None):
        if start is not None:
            self.sink.start = max(INT64_MIN, min(operator.index(start), INT64_MAX))
        if end is not None:
            self.sink.end = max(INT64_MIN, min(operator.index(end), INT64_MAX))
        if channels is not None:
            if self.sink.wanted == NULL:
                # Two tables in one piece.
                self.sink.wanted = <uint8_t *>calloc(2 * CHANNELS, 1)
            if self.sink.wanted == NULL:
                raise MemoryError("no memory for a collector of frames")
            self.sink.left_out = self.sink.wanted + CHANNELS
            for channel in channels:
                self.sink.wanted[channel_number(channel)] = 1

    def __dealloc__(self):
        free(self.sink.wanted)

    def left_out(self):
        """The channels whose frames were dropped because others were wanted, so far."""
        if self.sink.wanted == NULL:
            return []
        return [channel for channel in range(CHANNELS) if self.sink.left_out[channel]]

    cdef int begin(self, Py_ssize_t capacity) except -1:
        self.records = new_records(self.wide, capacity)
        self.sink.array = &self.records.array
        return 0

    cdef int lay_out(self) except -1:
        """Have the records of the next block in the layout that `wide` says."""
        if self.wide != (self.records.array.itemsize == sizeof(FdRecord)):
            self.begin(self.records.array.capacity)
        return 0

    cdef int take_over(self, FrameCollector other) except -1:
        """What another one made belongs to the frames of this one."""
        cdef Py_ssize_t k
        self.wide = other.wide
        self.lay_out()
        if self.sink.wanted != NULL:
            for k in range(CHANNELS):
                self.sink.left_out[k] |= other.sink.left_out[k]
        return 0

    cdef Records finish(self):
        cdef Records taken = self.records
        self.wide = taken.array.itemsize == sizeof(FdRecord)
        # The next block has about as many, as a rule.
        self.begin(len(taken))
        if self.sink.no_memory:
            self.sink.no_memory = False
            raise MemoryError(f"no memory for more than {len(taken)} records")
        return taken


cdef int channel_number(object channel) except -1:
    number = operator.index(channel)
    if not 0 <= number < CHANNELS:
        raise ValueError(f"the number of a channel must be from 0 to 65535, not {channel!r}")
    return number
