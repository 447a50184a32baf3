# The engine of a started layer: whoever brings a frame, a message or a deadline has it run.


cdef class DrivenEngine(Engine):
    """An engine that somebody drives: frames come by _feed(), and who drives it is told when it wants to run again.

    The driver either waits for frames itself, and plans that (_plan_wait()), or is told of each deadline (`waker`).
    """

    def __cinit__(self, *args, **kwargs):
        self.wake_ns = NEVER

    # ------------------------------------------------ starting and stopping

    def _set_driven(self, bint driven, waker, guard=None):
        """Begin or end to be driven: by _feed() and _drive(), which call `waker(deadline_ns)` for a deadline before
        the next look of the driver, and `guard(deadline_ns)` for one that the driver may miss nonetheless."""
        if driven:
            self.inlet.inbox.clear()         # before: of what comes from now on nothing is missed
        with cython.critical_section(self):
            self.driven = driven
            if not driven:
                self.turned = TURN_STOPPED
            elif self.busy and self.turned == TURN_NONE:
                self.turned = TURN_STARTED
            self.looks_first = True
            self.waker, waker = waker, self.waker
            self.guard, guard = guard, self.guard
            self.guard_ns = NEVER
            self.wake_ns = NEVER
            self.inlet.heard_ns = NEVER
            self.reader = 0
            self.inlet.left = 0        # who reads from now on may use its memory
        if not driven:
            self.inlet.inbox.clear()
            self.end_of_poll()

    def _set_reader(self):
        """The calling thread is the one that calls rxfn from now on."""
        self.reader = PyThread_get_thread_ident()

    def _set_readers(self, set readers not None):
        """The threads that may be amid rxfn, which the driver keeps in there: while there are any, nobody polls it."""
        self.readers = readers

    def _forget_threads(self):
        """After a fork, in the child: whoever ran the machines, or waited for a message, is not there any more."""
        self.busy = False
        self.again = False
        self.polls = False
        self.rx_queue = MessageQueue.__new__(MessageQueue)
        self.rx_queue.keep_notes()
        self.tx_queue = MessageQueue.__new__(MessageQueue)
        self.inlet.inbox = MessageQueue.__new__(MessageQueue)
        # Not completed: nobody waits for it, and the lock of its event may have been held.
        self.active_send_request = None
        session_stop_sending(&self.session)
        if self.confirms:
            self._confirm_frames()     # what was sent before is the parent's
        self.end_reception()
        self._set_driven(False, None, None)
        (<Watchers?>self._params._on_change).changing = threading.RLock()

    @property
    def _inbox(self):
        """Frames that were read and not handled yet."""
        return self.inlet.inbox

    # ------------------------------------------------ frames, and the loop

    def _feed(self, message):
        """Give one received frame to a started layer, from any thread."""
        self.inlet.keep(message)
        self._drive()

    cpdef _drive(self):
        """Do what is to be done now, on a started layer, from any thread. Errors of callbacks are reported."""
        if self.enter():
            self.drive_entered()

    @property
    def _busy_with(self):
        """What tells a call of the user's function that another thread is amid from the next one; None: none is."""
        with cython.critical_section(self):
            if not self.busy or self.owner == PyThread_get_thread_ident():
                return None
            return self.owner, self.outlet.sent, self.frames_received, self.session.tx.epoch

    def _drive_unread(self):
        """_drive(), by a reader that found no frame just now: the first frame that is due goes without another look."""
        self.has_read = True
        self._drive()

    @cython.final
    cdef int feed_frames(
            self, const Frame *frames, const int64_t *arrivals, int count, int64_t heard_ns) except -1:
        """Give received frames, with the times of their arrival, to a started layer, from a native driver.

        What came until `heard_ns` is given by now; no later time can tell that a frame did not come. NEVER: no limit.
        """
        cdef int k
        with cython.critical_section(self):
            self.received_natively += <uint64_t>count
        if not self.enter():
            for k in range(count):
                self.inlet.keep(message_that_came(&frames[k], arrivals[k]))
            self.inlet.heard_ns = heard_ns
            self._drive()
            return 0
        self.inlet.batch = frames
        self.inlet.arrivals = arrivals
        self.inlet.left = count
        self.looks_first = True
        self.inlet.heard_ns = heard_ns
        if self.inlet.inbox.count > 0:
            self.inlet.keep_batch()     # behind those that could not be handled when they came
        self.drive_entered()
        return 0

    @cython.final
    cdef void heard_until(self, int64_t heard_ns) noexcept:
        """A native driver has given all that came until then."""
        self.inlet.heard_ns = heard_ns

    @cython.final
    cdef int drive_entered(self) except -1:
        """What _drive() does once this thread is in charge."""
        cdef bint is_able
        try:
            is_able = self.drive_until_done()
        except BaseException:
            # Such as KeyboardInterrupt: this thread does no more, but frames, deadlines and others' work remain.
            self.inlet.keep_batch()
            self.exit()
            with cython.critical_section(self):
                waker = self.waker
            if waker is not None:
                waker(isotp_monotonic_ns())
            raise
        return self.tell_deadline() if is_able else 0

    @cython.final
    cdef bint drive_until_done(self) except -1:
        """Pass after pass, and out. False: the parameters, or the clock, are such that nothing can be done."""
        while True:
            try:
                self.begin_pass()
            except BaseException as error:
                self.inlet.keep_batch()     # the frames wait until that is mended
                self.survive(error)
                if self.leave():
                    return False
                continue               # perhaps it was mended meanwhile
            try:
                if self.inlet.told != self.inlet.dropped:
                    self.tell_of_lost_frames()
                if self.driven:
                    self.run(None, True, True)
                self.inlet.left = 0    # what a stopped layer was still to hear
            except BaseException as error:
                self.survive(error)
                continue
            if self.leave():
                return True

    @cython.final
    cdef int survive(self, object error) except -1:
        """A callback raised while this thread is in charge: report that, and go on. KeyboardInterrupt is the user's."""
        if is_interrupt(error):
            raise error
        self._report_callback_error(error)
        return 0

    def _report_callback_error(self, error):
        """A callback of the user raised on a thread that must go on: log it and tell the error handler."""
        self.reporter.tell_of_raised(error, self.wiring_now().error_handler)

    @cython.final
    cdef int tell_of_lost_frames(self) except -1:
        cdef uint64_t lost = self.inlet.newly_dropped()
        self.tell(errors.FramesLostError(f"{lost} received frames were lost: {MOST_WAITING_FRAMES} waited already"))
        return 0

    # ------------------------------------------------ deadlines

    @cython.final
    cdef int tell_deadline(self) except -1:
        """Have the driver wake, or guard, the next deadline, if it does not look early enough by itself."""
        cdef int64_t deadline
        cdef object tell = None
        with cython.critical_section(self):
            deadline = self.deadline()
            if deadline < self.wake_ns:
                tell = self.waker
            elif deadline < self.guard_ns:
                tell = self.guard
                if tell is not None:
                    self.guard_ns = deadline
        if tell is not None:
            tell(deadline)
        return 0

    def _set_wake(self, deadline_ns):
        """When the driver will look at the deadline again; None: not by itself."""
        cdef int64_t wake_ns = NEVER if deadline_ns is None else deadline_ns
        with cython.critical_section(self):
            self.wake_ns = wake_ns

    def _wake(self, int64_t deadline_ns):
        """What the driver does at a deadline that `waker` told it."""
        with cython.critical_section(self):
            # An earlier one may have come between; this one was told again then, if it still counts.
            if 0 < self.wake_ns <= deadline_ns:
                self.wake_ns = NEVER
        self._drive()

    def _look_after(self, int64_t deadline_ns):
        """What the driver does some time after a deadline that `guard` told it."""
        cdef bint counts
        with cython.critical_section(self):
            counts = self.guard_ns <= deadline_ns
            if counts:
                self.guard_ns = NEVER
        if counts:
            self._drive()

    def _plan_wait(self, double longest):
        """Seconds that the driver may wait for a frame before it must call _drive(); at most `longest`."""
        return self.planned(longest, self.time.read())

    @cython.final
    cdef double planned(self, double longest, int64_t now) noexcept:
        cdef int64_t wake_ns
        cdef double longest_ns = longest * 1e9
        if not longest_ns < <double>LONGEST_WAIT_NS:       # nor a number: C would make anything of it
            longest_ns = <double>LONGEST_WAIT_NS
        with cython.critical_section(self):
            wake_ns = min(self.deadline(), now + <int64_t>max(0.0, longest_ns))
            self.wake_ns = wake_ns
        return max(0, wake_ns - now) / 1e9

    def _frame_delay_ns(self):
        """Time (ns) until STmin and the rate limiter let the next consecutive frame go; None if none is to be sent."""
        if self.session.tx.state != TX_TRANSMIT_CF:
            return None
        return max(0, max(min(self.session.tx.cf_due, LONGEST_WAIT_NS), self.frame_not_before()) - self.time.read())

    # ------------------------------------------------ the thread that reads

    def _read_on(self, double longest):
        """What the reader does while nothing but frames and deadlines is to be waited for: read and handle, again and
        again.

        :param longest: seconds that one read may wait.
        :returns: time-out of the last read and what was left of it (s), if it brought no frame or was late; None if
            there is more to look at than frames: a Consecutive Frame is to be sent, or this is not the reader any more.
        """
        cdef unsigned long me = PyThread_get_thread_ident()
        cdef int64_t began
        cdef double timeout, left
        cdef bint is_reader, has_come, goes_on
        cdef Wiring wiring
        while True:
            began = self.time.read()
            timeout = self.planned(longest, began)
            wiring = self.wiring_now()
            if wiring.takes_timeout:
                message = call_with(<PyObject *>wiring.rxfn, timeout)
            else:
                message = call_without(<PyObject *>wiring.rxfn)
            wiring = None                  # not to be kept while others change it
            left = timeout - (self.time.read() - began) / 1e9
            with cython.critical_section(self):
                is_reader = self.reader == me
                if is_reader:
                    self.wake_ns = 0       # this thread looks at the deadline itself, right after
            if not is_reader:
                self._pass_on(message)
                return None
            has_come = message is not None
            if has_come:
                self.inlet.keep(message)
                message = None             # not to be kept until the next one comes
            else:
                self.has_read = True       # as _drive_unread() does
            self._drive()
            if not has_come or left <= 0:
                return timeout, left
            with cython.critical_section(self):
                goes_on = self.reader == me and self.session.tx.state != TX_TRANSMIT_CF
            if not goes_on:                # a callback may have stopped the layer
                return None

    def _pass_on(self, message):
        """Who is not the reader any more has read this (None: nothing): it is for whoever started the layer again."""
        cdef bint driven
        with cython.critical_section(self):
            self.wake_ns = NEVER           # what this thread has planned does not count
            driven = self.driven
        if driven:
            if message is not None:
                self.inlet.keep(message)
            self._drive()
