# Messages that wait, and threads that wait for them.


cdef inline uint64_t weight_of(object item) noexcept:
    """Bytes that an item of a queue takes, roughly; what is the user's own counts little."""
    if type(item) is bytearray:
        return <uint64_t>PyByteArray_GET_SIZE(item) + MESSAGE_WEIGHT
    if type(item) is SendRequest:
        return REQUEST_WEIGHT + (0 if (<SendRequest>item).streams else (<SendRequest>item).size)
    return MESSAGE_WEIGHT


cdef object seconds_to_wait(str name, object timeout):
    """A time-out as locks take it; None: no limit, also where it is longer than a lock can wait.

    :raises TypeError: if it is no number.
    :raises ValueError: if it is NaN.
    """
    if timeout is None:
        return None
    if not hasattr(timeout, "__float__"):
        raise TypeError(f"{name} must be a number of seconds or None, not {timeout!r}")
    try:
        seconds = float(timeout)
    except OverflowError:          # an integer may be larger than any float
        seconds = math.inf if timeout > 0 else -math.inf
    if math.isnan(seconds):
        raise ValueError(f"{name} must be a number of seconds or None, not {timeout!r}")
    if seconds >= LONGEST_WAIT_S:
        return None
    return timeout if isinstance(timeout, (int, float)) else seconds


cdef class MessageQueue:
    """First in, first out, any number of threads on both sides; used as `queue.Queue` is."""

    def __cinit__(self):
        # A ring, and a list so that the garbage collector sees what is in it. Each change is one step for other
        # threads: no Python code runs in it, whatever the collector does before or after.
        self.ring = [None] * FIRST_PLACES
        self.places = FIRST_PLACES
        self.waiting = collections.deque()

    def __dealloc__(self):
        free(self.notes)

    cdef int keep_notes(self) except -1:
        """What comes with a note keeps it; to be called while the queue is empty and new."""
        self.notes = <Note *>malloc(<size_t>self.places * sizeof(Note))
        if self.notes == NULL:
            raise MemoryError
        self.origins = [None] * self.places
        return 0

    cdef int push(self, object item, const Note *note, object origin) except -1:
        """Append an item; if notes are kept, with what is known of it."""
        while not self._place(item, note, origin):
            self._grow()
        if self.on_arrival is not None:
            self.on_arrival()
        # After the item is there: who begins to wait later sees it.
        if len(self.waiting) > 0:
            self._wake_one()
        return 0

    cdef int push_ahead(self, object item) except -1:
        """Append an item behind those that came this way, before all others."""
        while not self._place_ahead(item):
            self._grow()
        return 0

    cdef bint _place_ahead(self, object item) noexcept:
        cdef Py_ssize_t k
        cdef bint has_room
        with cython.critical_section(self):
            has_room = self._place(item, NULL, None)
            if has_room:
                exchange(self.ring, self._place_of(self.count - 1), None)
                for k in range(self.count - 1, self.ahead, -1):
                    exchange(self.ring, self._place_of(k), exchange(self.ring, self._place_of(k - 1), None))
                exchange(self.ring, self._place_of(self.ahead), item)
                self.ahead += 1
        return has_room

    cdef inline Py_ssize_t _place_of(self, Py_ssize_t k) noexcept:
        return (self.first + k) & (self.places - 1)

    cdef object oldest(self):
        """The item that is next, which stays where it is; or None."""
        cdef object item = None
        with cython.critical_section(self):
            if self.count > 0:
                item = self.ring[self.first]
        return item

    cdef bint _place(self, object item, const Note *note, object origin) noexcept:
        """Append an item. False: the ring is full."""
        cdef bint has_room
        cdef Py_ssize_t place
        with cython.critical_section(self):
            has_room = self.count < self.places
            if has_room:
                place = self._place_of(self.count)
                exchange(self.ring, place, item)
                if note != NULL:
                    self.notes[place] = note[0]
                    exchange(self.origins, place, origin)
                self.count += 1
                self.most = max(self.most, self.count)
                self.weight += weight_of(item)
        return has_room

    cdef int push_first(self, object item) except -1:
        """Put back an item that was taken, which had come by push_ahead()."""
        self.put_back(item)
        with cython.critical_section(self):
            self.ahead += 1
        return 0

    cdef int put_back(self, object item) except -1:
        """Put an item that was taken before all others."""
        cdef bint has_room = False
        while not has_room:
            with cython.critical_section(self):
                has_room = self.count < self.places
                if has_room:
                    self.first = (self.first - 1) & (self.places - 1)
                    exchange(self.ring, self.first, item)
                    self.count += 1
                    self.weight += weight_of(item)
            if not has_room:
                self._grow()
        return 0

    cdef int _grow(self) except -1:
        cdef Py_ssize_t places = 2 * self.places
        cdef list ring = [None] * places
        cdef list origins = None
        cdef Note *notes = NULL
        cdef Py_ssize_t k
        if self.notes != NULL:
            origins = [None] * places
            notes = <Note *>malloc(<size_t>places * sizeof(Note))
            if notes == NULL:
                raise MemoryError
        with cython.critical_section(self):
            # To make the list let others in: one of them may have been faster.
            if places == 2 * self.places:
                for k in range(self.count):
                    exchange(ring, k, self.ring[self._place_of(k)])
                    if notes != NULL:
                        exchange(origins, k, self.origins[self._place_of(k)])
                        notes[k] = self.notes[self._place_of(k)]
                self.first = 0
                self.places = places
                self.ring, ring = ring, self.ring
                self.origins, origins = origins, self.origins
                self.notes, notes = notes, self.notes
        free(notes)
        return 0

    cdef int _wake_one(self) except -1:
        try:
            self.waiting.popleft().release()
        except IndexError:
            pass                       # another thread did
        return 0

    cdef object pop(self):
        """The oldest item, or None."""
        cdef object item = None
        with cython.critical_section(self):
            if self.count > 0:
                item = exchange(self.ring, self.first, None)
                self.first = (self.first + 1) & (self.places - 1)
                self.count -= 1
                self.ahead -= self.ahead > 0
                self._lighten(item)
        return item

    cdef object pop_whole(self):
        """The oldest message with its note, as a Reception; or None."""
        cdef object item, origin = None
        cdef Note note
        with cython.critical_section(self):
            if self.count > 0:
                note = self.notes[self.first]
                origin = self.origins[self.first]
            item = self.pop()
        if item is None:
            return None
        if origin is None:
            raise TypeError(f"{item!r} was put into the queue, and received by nobody")
        return reception_of(item, None, &note, origin)

    cdef void _lighten(self, object item) noexcept:
        """Within a step: the item is no more in the queue."""
        cdef uint64_t weight = weight_of(item)
        # A buffer of the user may have another size by now: that evens out here.
        self.weight = 0 if self.count == 0 or weight > self.weight else self.weight - weight

    cdef bint is_full(self, uint64_t limit) noexcept:
        """Whether what waits has reached the limit; the next one would go beyond it, however small it is."""
        return self.weight >= limit

    cdef bint remove(self, object item) except -1:
        """Take this very item out. False: it is not there."""
        cdef Py_ssize_t k, place
        cdef bint found = False
        cdef bint is_ahead = False
        with cython.critical_section(self):
            for k in range(self.count):
                place = (self.first + k) & (self.places - 1)
                if found:              # those behind it move up
                    exchange(self.ring, (place - 1) & (self.places - 1), exchange(self.ring, place, None))
                elif self.ring[place] is item:
                    exchange(self.ring, place, None)
                    found = True
                    is_ahead = k < self.ahead
            if found:
                self.count -= 1
                self.ahead -= is_ahead
                self._lighten(item)
        return found

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Append an item; there is always room, so this never waits."""
        cdef Note note
        if item is None:
            raise ValueError("None cannot be queued")
        memset(&note, 0, sizeof(Note))
        self.push(item, &note if self.notes != NULL else NULL, None)

    def put_nowait(self, item: Any) -> None:
        """Append an item."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest item; waits for one up to `timeout` seconds (None: for ever).

        :raises queue.Empty: if there is none in time.
        :raises ValueError: if `timeout` is negative or NaN.
        """
        return self._get(block, timeout, False)

    def _get(self, bint block, timeout, bint whole):
        item = self.pop_whole() if whole else self.pop()
        if item is not None:
            return item
        if not block:
            raise queue.Empty
        seconds = seconds_to_wait("timeout", timeout)
        if seconds is not None and seconds < 0:
            raise ValueError(f"timeout must not be negative: {timeout!r}")
        return self._wait(None if seconds is None else time.monotonic() + seconds, whole)

    def _wait(self, deadline, bint whole):
        # Locks, and no Condition: that is Python code, which costs as much as the change of threads.
        gate = threading.Lock()
        gate.acquire()
        try:
            while True:
                self.waiting.append(gate)
                item = self.pop_whole() if whole else self.pop()
                if item is not None:
                    return item
                remaining = -1 if deadline is None else deadline - time.monotonic()
                if deadline is not None and remaining <= 0:
                    raise queue.Empty
                gate.acquire(True, remaining)
                self._wait_no_more(gate)
        finally:
            self._wait_no_more(gate)
            # Who was woken and took another item, or none, lets the next one look.
            if self.count > 0:
                self._wake_one()

    cdef int rouse(self) except -1:
        """Let all who wait look around: what they wait for will perhaps not come."""
        if self.on_arrival is not None:
            self.on_arrival()
        while len(self.waiting) > 0:
            self._wake_one()
        return 0

    def _wait_to_begin(self, is_over, has_begun, deadline, bint whole):
        """Take the oldest item; waits for one until `deadline`, and on while it `has_begun()`; until it `is_over()`.

        Both are asked again after rouse().

        :returns: the item, or None.
        """
        gate = threading.Lock()
        gate.acquire()
        try:
            while True:
                self.waiting.append(gate)
                # Before the look for an item: what begins ends with one, unless it is over.
                over, begun = is_over(), has_begun()
                item = self.pop_whole() if whole else self.pop()
                remaining = -1 if deadline is None else deadline - time.monotonic()
                if item is not None or over or (deadline is not None and remaining <= 0 and not begun):
                    return item
                gate.acquire(True, remaining if remaining > 0 else -1)
                self._wait_no_more(gate)
        finally:
            self._wait_no_more(gate)
            if self.count > 0:
                self._wake_one()

    cdef int _wait_no_more(self, object gate) except -1:
        try:
            self.waiting.remove(gate)
        except ValueError:
            pass                       # it was woken
        return 0

    def get_nowait(self) -> Any:
        """Take the oldest item.

        :raises queue.Empty: if there is none.
        """
        return self.get(False)

    @property
    def maxsize(self):
        """0: there is no limit to the number of items."""
        return 0

    @property
    def mutex(self):
        """A lock for code that takes one; what waits here can be changed without."""
        fresh = threading.Lock()
        with cython.critical_section(self):
            if self.lock is None:
                self.lock = fresh
            lock = self.lock
        return lock

    @property
    def queue(self):
        """What waits now, the oldest first; append(), popleft() and clear() change the queue itself."""
        return WaitingItems(self)

    cdef list items(self):
        cdef list found = []
        cdef Py_ssize_t k
        with cython.critical_section(self):
            for k in range(self.count):
                found.append(self.ring[(self.first + k) & (self.places - 1)])
        return found

    def qsize(self) -> int:
        """Number of items."""
        return self.count

    def empty(self) -> bool:
        """True if there is no item."""
        return self.count == 0

    def full(self) -> bool:
        """False: there is no limit."""
        return False

    def clear(self) -> None:
        """Drop all items."""
        cdef list ring = [None] * FIRST_PLACES
        cdef list origins = None if self.notes == NULL else [None] * FIRST_PLACES
        with cython.critical_section(self):
            self.origins, origins = origins, self.origins
            self.ring, ring = ring, self.ring      # the items die after the step: their end may run Python code
            self.places = FIRST_PLACES
            self.first = self.count = self.ahead = 0
            self.weight = 0

    def __len__(self):
        return self.count

    def __repr__(self):
        return f"<{type(self).__name__} of {self.count} items at 0x{id(self):x}>"


class WaitingItems(collections.abc.Sequence):
    """What waits in a MessageQueue, as `queue.Queue.queue` has it."""

    def __init__(self, MessageQueue waiting_in not None):
        self._waiting_in = waiting_in

    def __len__(self):
        return self._waiting_in.qsize()

    def __getitem__(self, place):
        return (<MessageQueue?>self._waiting_in).items()[place]

    def append(self, item: Any) -> None:
        """Put an item behind all others."""
        self._waiting_in.put(item)

    def popleft(self) -> Any:
        """Take the oldest item; IndexError if there is none."""
        try:
            return self._waiting_in.get_nowait()
        except queue.Empty:
            raise IndexError("no item waits") from None

    def clear(self) -> None:
        """Drop all items."""
        self._waiting_in.clear()

    def __repr__(self):
        return f"{type(self).__name__}({list(self)!r})"
