# What has come for an engine and was not handled yet.


@cython.final
cdef class Inlet:
    """Frames that a driver brought: those in the inbox, from any thread, and the batch of a native driver.

    The batch belongs to who runs the machines. It comes before the inbox, and lives until the native driver goes on.
    """

    def __cinit__(self):
        self.inbox = MessageQueue.__new__(MessageQueue)
        self.heard_ns = NEVER

    cdef int keep(self, object message) except -1:
        """Put a frame into the inbox, if there is room."""
        if self.inbox.count < MOST_WAITING_FRAMES:
            return self.inbox.push(message, NULL, None)
        with cython.critical_section(self):
            self.dropped += 1
        return 0

    cdef int keep_batch(self) except -1:
        """Move the batch to the inbox."""
        while self.left > 0:
            self.keep(message_that_came(self.batch, self.arrivals[0]))
            self.batch += 1
            self.arrivals += 1
            self.left -= 1
        return 0

    cdef uint64_t newly_dropped(self) noexcept:
        """How many frames found no room since this was asked last."""
        cdef uint64_t dropped
        with cython.critical_section(self):
            dropped = self.dropped - self.told
            self.told = self.dropped
        return dropped
