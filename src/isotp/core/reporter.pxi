# Errors, told: counted, written to the log, handed to the error handler; and frames in the log.


@cython.final
cdef class Reporter:
    """Tells of what happens on one layer. May be used from any thread."""

    def __cinit__(self):
        self.counts = {}

    cdef int set_logger(self, object logger) except -1:
        # logging keeps the answers of isEnabledFor() in a dict and clears it whenever a level changes.
        # Reading it is much cheaper than the call; a missing answer falls back on the call.
        levels = getattr(logger, "_cache", None)
        if type(levels) is not dict:
            levels = None
        with cython.critical_section(self):
            self.logger, logger = logger, self.logger       # what was there dies after the step, here as below
            self.levels, levels = levels, self.levels
        return 0

    cdef object get_logger(self):
        with cython.critical_section(self):
            logger = self.logger
        return logger

    cdef object get_last_error(self):
        with cython.critical_section(self):
            error = self.last_error
        return error

    cdef dict error_counts(self, bint reset):
        """Errors by class, since the last reset."""
        cdef dict counts
        cdef dict fresh = {}
        with cython.critical_section(self):
            counts = self.counts
            if reset:
                self.counts = fresh
            else:
                counts = counts.copy()
        return counts

    # ------------------------------------------------ frames

    cdef bint logs_frames(self) except -1:
        cdef PyObject *cached
        cdef dict levels
        with cython.critical_section(self):
            levels = self.levels
        if levels is not None:
            cached = PyDict_GetItemWithError(levels, LOG_DEBUG)
            if cached != NULL:
                return <object>cached is True
        return self.get_logger().isEnabledFor(LOG_DEBUG)

    cdef int log_frame(self, str direction, uint32_t can_id, bytes data, str mark) except -1:
        identifier = f"{can_id & 0x1FFFFFFF:08x}" if can_id & CAN_EFF_FLAG else f"{can_id:03x}"
        self.get_logger().debug("%s: <%s> (%02d) [%s] %s", direction, identifier, len(data), mark, data.hex())
        return 0

    # ------------------------------------------------ errors

    cdef int tell(self, object error, Wiring wiring) except -1:
        """Report an error: count it, log it, hand it to the error handler."""
        self._count(error)
        if self._is_to_be_logged():
            self.get_logger().warning("%s: %s", type(error).__name__, error)
        if wiring.error_handler is None:
            return 0
        if not callable(wiring.error_handler):
            self.get_logger().warning("error_handler is not callable: %r", wiring.error_handler)
            return 0
        if wiring.courier is None:
            wiring.error_handler(error)
        elif not wiring.courier(wiring.error_handler, error):
            self.dropped += 1
        return 0

    cdef int tell_of_raised(self, object error, object error_handler) except -1:
        """A callback of the user raised on a thread that must go on: log it and tell the error handler."""
        self._log_raised("a callback of the layer", error)
        report = errors.CallbackError(f"a callback of the layer raised {text_of(error)}")
        report.__cause__ = error
        self._count(report)
        if callable(error_handler):
            try:
                error_handler(report)
            except BaseException as second:
                if is_interrupt(second):
                    raise
                # The handler itself may be what raises: there is nobody left to tell but the log.
                self._log_raised("the error handler", second)
        return 0

    cdef int _count(self, object error) except -1:
        with cython.critical_section(self):
            self.counts[type(error)] = self.counts.get(type(error), 0) + 1
            self.last_error, error = error, self.last_error    # dies after the step: its end may run Python code
        return 0

    cdef int _log_raised(self, str what, object error) except -1:
        try:
            if self._is_to_be_logged():
                self.get_logger().error("%s raised %s", what, type(error).__name__, exc_info=error)
        except BaseException as second:
            # A filter of the log is the user's as well, and so is the clock.
            if is_interrupt(second):
                raise
        return 0

    cdef bint _is_to_be_logged(self) except -1:
        """False: so many errors were logged within a second that this one is merely counted."""
        cdef int64_t now
        cdef uint64_t unlogged = 0
        cdef bint is_last
        try:
            now = self.clock.read()
        except Exception:              # which may be what is to be logged
            now = self.log_since
        with cython.critical_section(self):
            if self.logged == 0 or now - self.log_since >= SECOND_NS or now < self.log_since:
                unlogged = self.unlogged
                self.log_since = now
                self.logged = 0
                self.unlogged = 0
            if self.logged > ERRORS_LOGGED:
                self.unlogged += 1
                return False
            self.logged += 1
            is_last = self.logged > ERRORS_LOGGED
            self.unlogged += is_last
        if unlogged > 0:
            self.get_logger().warning("%d errors before were not logged", unlogged)
        if is_last:
            self.get_logger().warning(
                "more than %d errors within a second: no more are logged until it is over", ERRORS_LOGGED)
        return not is_last
