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

    cdef int push(self, object item) except -1:
        while not self._place(item):
            self._grow()
        if self.on_arrival is not None:
            self.on_arrival()
        # After the item is there: who begins to wait later sees it.
        if len(self.waiting) > 0:
            self._wake_one()
        return 0

    cdef bint _place(self, object item) noexcept:
        """Append an item. False: the ring is full."""
        cdef bint has_room
        with cython.critical_section(self):
            has_room = self.count < self.places
            if has_room:
                exchange(self.ring, (self.first + self.count) & (self.places - 1), item)
                self.count += 1
                self.most = max(self.most, self.count)
                self.weight += weight_of(item)
        return has_room

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
        cdef list ring = [None] * (2 * self.places)
        cdef Py_ssize_t k
        with cython.critical_section(self):
            # To make the list let others in: one of them may have been faster.
            if len(ring) == 2 * self.places:
                for k in range(self.count):
                    exchange(ring, k, self.ring[(self.first + k) & (self.places - 1)])
                self.first = 0
                self.places *= 2
                self.ring, ring = ring, self.ring
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
                self._lighten(item)
        return item

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
        with cython.critical_section(self):
            for k in range(self.count):
                place = (self.first + k) & (self.places - 1)
                if found:              # those behind it move up
                    exchange(self.ring, (place - 1) & (self.places - 1), exchange(self.ring, place, None))
                elif self.ring[place] is item:
                    exchange(self.ring, place, None)
                    found = True
            if found:
                self.count -= 1
                self._lighten(item)
        return found

    def put(self, item, block=True, timeout=None):
        """Append an item; there is always room, so this never waits."""
        if item is None:
            raise ValueError("None can not be queued")
        self.push(item)

    def put_nowait(self, item):
        """Append an item."""
        self.put(item)

    def get(self, block=True, timeout=None):
        """Take the oldest item; waits for one up to `timeout` seconds (None: for ever).

        :raises queue.Empty: if there is none in time.
        :raises ValueError: if `timeout` is negative or NaN.
        """
        item = self.pop()
        if item is not None:
            return item
        if not block:
            raise queue.Empty
        seconds = seconds_to_wait("timeout", timeout)
        if seconds is not None and seconds < 0:
            raise ValueError(f"timeout must not be negative: {timeout!r}")
        return self._wait(None if seconds is None else time.monotonic() + seconds)

    def _wait(self, deadline):
        # Locks, and no Condition: that is Python code, which costs as much as the change of threads.
        gate = threading.Lock()
        gate.acquire()
        try:
            while True:
                self.waiting.append(gate)
                item = self.pop()
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

    def _wait_to_begin(self, is_over, has_begun, deadline):
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
                item = self.pop()
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

    def get_nowait(self):
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

    def qsize(self):
        """Number of items."""
        return self.count

    def empty(self):
        """True if there is no item."""
        return self.count == 0

    def full(self):
        """False: there is no limit."""
        return False

    def clear(self):
        """Drop all items."""
        cdef list ring = [None] * FIRST_PLACES
        with cython.critical_section(self):
            self.ring, ring = ring, self.ring      # the items die after the step: their end may run Python code
            self.places = FIRST_PLACES
            self.first = self.count = 0
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

    def append(self, item):
        """Put an item behind all others."""
        self._waiting_in.put(item)

    def popleft(self):
        """Take the oldest item; IndexError if there is none."""
        try:
            return self._waiting_in.get_nowait()
        except queue.Empty:
            raise IndexError("no item waits") from None

    def clear(self):
        """Drop all items."""
        self._waiting_in.clear()

    def __repr__(self):
        return f"{type(self).__name__}({list(self)!r})"
