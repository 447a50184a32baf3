# The rate limiter: a rate window with settings.


cdef bint is_possible_rate(object mean_bitrate, object window_size_sec):
    for value in (mean_bitrate, window_size_sec):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if not 0 < value < math.inf:
            return False
    return True


cdef int require_possible_rate(object mean_bitrate, object window_size_sec) except -1:
    if not is_possible_rate(mean_bitrate, window_size_sec):
        raise ValueError(
            f"rate limiter needs a bit rate and a window above 0, not {mean_bitrate!r} bit/s"
            f" and {window_size_sec!r} s")
    return 0


cdef class RateLimiter:
    """RateLimiter(mean_bitrate=10000000, window_size_sec=0.1)\n--\n\n
    Keeps the mean bit rate of sent payloads below a limit, over a sliding window.

    :param mean_bitrate: bits a second.
    :param window_size_sec: length of the window in seconds.
    """

    TIME_SLOT_LENGTH = RATE_SLOT_NS / 1e9

    def __cinit__(self):
        memset(&self.window, 0, sizeof(RateWindow))

    def __init__(self, mean_bitrate=10_000_000, window_size_sec=0.1):
        self.configure(mean_bitrate, window_size_sec)

    def configure(self, mean_bitrate: float, window_size_sec: float) -> None:
        """Start anew with other values; enabled if they are possible."""
        with cython.critical_section(self):
            self.rate, mean_bitrate = mean_bitrate, self.rate
            self.length, window_size_sec = window_size_sec, self.length
            self.is_enabled = False
        if self.can_be_enabled():
            self.enable()

    @cython.final
    cdef tuple _settings(self):
        """Bit rate and window, which another thread may change."""
        with cython.critical_section(self):
            mean_bitrate = self.rate
            window_size_sec = self.length
        return mean_bitrate, window_size_sec

    def __dealloc__(self):
        free(self.window.slots)

    @property
    def mean_bitrate(self):
        """Bits a second; another value counts from the next reset() or enable() on."""
        return self._settings()[0]

    @mean_bitrate.setter
    def mean_bitrate(self, mean_bitrate):
        with cython.critical_section(self):
            self.rate, mean_bitrate = mean_bitrate, self.rate

    @property
    def window_size_sec(self):
        """Length of the window in seconds; another value counts from the next reset() or enable() on."""
        return self._settings()[1]

    @window_size_sec.setter
    def window_size_sec(self, window_size_sec):
        with cython.critical_section(self):
            self.length, window_size_sec = window_size_sec, self.length

    @property
    def enabled(self):
        """The limiter holds frames back."""
        return self.is_enabled

    @enabled.setter
    def enabled(self, bint enabled):
        if enabled:
            self.enable()
        else:
            self.disable()

    @property
    def error_reason(self):
        """Why it cannot be enabled; empty if it can."""
        mean_bitrate, window_size_sec = self._settings()
        try:
            require_possible_rate(mean_bitrate, window_size_sec)
        except ValueError as error:
            return str(error)
        return ""

    @property
    def window_bit_max(self):
        """Bits that the window holds."""
        return self.window.capacity

    @property
    def bit_total(self):
        """Bits that are in the window."""
        return int(self.window.used)

    @property
    def burst_bitcount(self):
        """Bits of each slot of the window."""
        return [bits for _, bits in self._slots()]

    @property
    def burst_time(self):
        """When each slot of the window began, in seconds of the layer's clock."""
        return [start / 1e9 for start, _ in self._slots()]

    @cython.final
    cdef list _slots(self):
        cdef list slots = []
        cdef size_t k
        cdef RateSlot *slot
        for k in range(self.window.count):
            with cython.critical_section(self):
                if k >= self.window.count:
                    break              # another thread has forgotten some
                slot = &self.window.slots[(self.window.first + k) % self.window.size]
                start, bits = slot.start, slot.bits
            slots.append((start, bits))
        return slots

    def can_be_enabled(self) -> bool:
        """True if bit rate and window are numbers above 0."""
        mean_bitrate, window_size_sec = self._settings()
        return is_possible_rate(mean_bitrate, window_size_sec)

    def enable(self) -> None:
        """Start limiting.

        :raises ValueError: if bit rate or window make no sense.
        """
        mean_bitrate, window_size_sec = self._settings()
        require_possible_rate(mean_bitrate, window_size_sec)
        self.is_enabled = True
        self.reset()

    def disable(self) -> None:
        """Let everything pass."""
        self.is_enabled = False

    def set_bitrate(self, mean_bitrate: float) -> None:
        """Change the limit, in bits a second.

        :raises ValueError: if that makes no sense.
        """
        require_possible_rate(mean_bitrate, self._settings()[1])
        with cython.critical_section(self):
            self.rate, mean_bitrate = mean_bitrate, self.rate
        self.reset()

    def reset(self) -> None:
        """Forget what was sent."""
        cdef double bits_a_second
        cdef double seconds
        mean_bitrate, window_size_sec = self._settings()
        if is_possible_rate(mean_bitrate, window_size_sec):
            bits_a_second = min(mean_bitrate, LARGEST_FLOAT)       # integers go beyond
            seconds = min(window_size_sec, LARGEST_FLOAT)
            with cython.critical_section(self):
                rate_window_init(&self.window, bits_a_second, seconds)

    def update(self) -> None:
        """Forget what left the window by now."""
        self._allowed(isotp_monotonic_ns())

    def allowed_bytes(self) -> int:
        """Bytes that may be sent now; 0xFFFFFFFF while disabled."""
        cdef uint64_t allowed
        if not self.is_enabled:
            return 0xFFFFFFFF
        with cython.critical_section(self):
            allowed = rate_allowed_bytes(&self.window)
        return allowed

    def inform_byte_sent(self, double datalen: float) -> None:
        """Count `datalen` bytes as sent now."""
        if self.is_enabled:
            self._count(isotp_monotonic_ns(), datalen)

    @cython.final
    cdef uint64_t _allowed(self, int64_t now) noexcept:
        """Bytes that may be sent at `now`."""
        cdef uint64_t allowed
        with cython.critical_section(self):
            rate_forget(&self.window, now)
            allowed = rate_allowed_bytes(&self.window)
            if self.window.count == 0:
                # A frame larger than all that the window holds goes alone, or it would never go: the limit became
                # smaller in the middle of a message, which keeps the length of its frames.
                allowed = max(allowed, <uint64_t>CAN_DLEN_MAX)
        return allowed

    @cython.final
    cdef void _count(self, int64_t now, double sent_bytes) noexcept:
        with cython.critical_section(self):
            rate_count(&self.window, now, sent_bytes)

    @cython.final
    cdef int64_t _not_before(self, uint64_t size) noexcept:
        """When `size` bytes may be sent, as far as known now; 0 if they may be sent already."""
        cdef int64_t when = 0
        with cython.critical_section(self):
            if self.window.count > 0 and size > rate_allowed_bytes(&self.window):
                when = rate_next_change(&self.window)
        return when
