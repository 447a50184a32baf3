# The clock of every layer, and waiting for a time: precisely, and never less than asked.


cdef extern from "_clock.h":
    int64_t isotp_monotonic_ns() noexcept nogil
    int64_t isotp_wall_offset_ns() noexcept nogil
    void isotp_sharpen_timers() noexcept nogil
    void isotp_doze_until(int64_t when, int64_t busy, int64_t *late) noexcept nogil
    void isotp_spin_until(int64_t when) noexcept nogil


cpdef int64_t monotonic_ns() noexcept:
    """The clock of every layer: monotonic, in nanoseconds."""
    return isotp_monotonic_ns()


def sharpen_timers():
    """Wake the calling thread as close to its time-outs as the system can (Linux)."""
    isotp_sharpen_timers()


@cython.final
cdef class Sleeper:
    """Sleeper()\n--\n\n
    Waits without the GIL, and never less than asked; learns how late the system wakes a thread that sleeps."""

    cdef int64_t late_ns

    def __cinit__(self):
        self.late_ns = 100_000

    def doze(self, int64_t delay_ns, int64_t busy_ns):
        """Sleep until so long before `delay_ns` have passed as sleeping is late, at the most `busy_ns` before.

        Less than 0: no time at all, here as below."""
        cdef int64_t late_ns = self.late_ns
        with nogil:
            isotp_doze_until(isotp_monotonic_ns() + delay_ns, busy_ns, &late_ns)
        self.late_ns = late_ns

    def spin(self, int64_t delay_ns):
        """Wait for `delay_ns`, awake."""
        with nogil:
            isotp_spin_until(isotp_monotonic_ns() + delay_ns)

    def wait(self, int64_t delay_ns, int64_t busy_ns):
        """Wait for `delay_ns`, at the most the last `busy_ns` of it not asleep."""
        cdef int64_t late_ns = self.late_ns
        cdef int64_t when
        with nogil:
            when = isotp_monotonic_ns() + delay_ns
            isotp_doze_until(when, busy_ns, &late_ns)
            isotp_spin_until(when)
        self.late_ns = late_ns


@cython.final
cdef class Clock:
    """The time of one layer: the system's monotonic clock, or a function of the user that returns ns."""

    cdef inline int64_t read(self) except? -1:
        return isotp_monotonic_ns() if self.function is None else self._ask()

    cdef int64_t _ask(self) except? -1:
        cdef int64_t given = self.function()
        return max(-LONGEST_WAIT_NS, min(given, LONGEST_WAIT_NS))   # deadlines are added to it
