# The engine: who runs the machines of a session, the queues, and the loop.


@cython.freelist(8)
cdef class ProcessStats:
    """ProcessStats(received, received_processed, sent, frame_received)\n--\n\n
    What one call of process() did.

    :param received: frames that rxfn gave.
    :param received_processed: those of them that were for this layer.
    :param sent: frames sent.
    :param frame_received: messages received.
    """

    def __init__(self, received, received_processed, sent, frame_received):
        self.received = received
        self.received_processed = received_processed
        self.sent = sent
        self.frame_received = frame_received

    def _key(self):
        return (self.received, self.received_processed, self.sent, self.frame_received)

    def __eq__(self, other):
        if not isinstance(other, ProcessStats):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return f"<ProcessStats received:{self.received} (processed: {self.received_processed}, sent: {self.sent})>"


cdef inline ProcessStats new_stats(int received, int processed, int sent, int messages):
    cdef ProcessStats stats = ProcessStats.__new__(ProcessStats)
    stats.received = received
    stats.received_processed = processed
    stats.sent = sent
    stats.frame_received = messages
    return stats


cdef class Engine(Receiving):
    """Runs the machines of one session: frames from rxfn, frames to txfn, messages in queues."""

    def __cinit__(self, *args, **kwargs):
        self.inlet = Inlet.__new__(Inlet)

    # ------------------------------------------------ who runs the machines

    @cython.final
    cdef bint enter(self) noexcept:
        """True: this thread runs the machines now. False: another one does, and will look again."""
        cdef bint entered
        with cython.critical_section(self):
            entered = not self.busy
            if entered:
                self.busy = True
                self.again = False
                self.turned = TURN_NONE
                self.owner = PyThread_get_thread_ident()
            else:
                self.again = True
        return entered

    @cython.final
    cdef bint leave(self) noexcept:
        """False: there is new work, this thread stays in charge."""
        cdef bint left
        with cython.critical_section(self):
            left = not self.again
            self.again = False
            self.busy = not left
        return left

    @cython.final
    cdef bint exit(self) noexcept:
        """Let others in, whatever work there is. True: they left some."""
        cdef bint again
        with cython.critical_section(self):
            again = self.again
            self.busy = False
        return again

    @cython.final
    cdef int exit_polled(self) except -1:
        """Let others in; what they left is done now, if the layer was started meanwhile."""
        with cython.critical_section(self):
            self.polls = False
        if self.exit():
            self.end_of_poll()
            if self.driven:
                self._drive()
        return 0

    def _let_poll_end(self, patience):
        """Wait up to `patience` seconds (None: no limit) while a call of process(), begun before start(), may be amid
        rxfn; it leaves with the next frame. Or until the layer is stopped."""
        cdef bint polls
        cdef object gate = threading.Event()
        cdef object wait = gate.wait
        with cython.critical_section(self):
            polls = self.polls and self.driven
            if polls:
                gate, self.gate = self.gate, gate
                self.again = True
        if polls:
            wait(patience)

    @cython.final
    cdef int end_of_poll(self) except -1:
        """Let a reader go on that waits for the end of process()."""
        cdef object gate = None
        with cython.critical_section(self):
            gate, self.gate = self.gate, gate
        if gate is not None:
            gate.set()
        return 0

    @cython.final
    cdef bint is_mine(self) noexcept:
        """True if this thread runs the machines: it is a callback that asks."""
        cdef bint mine
        with cython.critical_section(self):
            mine = self.busy and self.owner == PyThread_get_thread_ident()
        return mine

    def process(self, rx_timeout: float = 0.0, bint do_rx: bool = True, bint do_tx: bool = True) -> ProcessStats:
        """Take frames from rxfn, handle them, give frames to txfn; does not wait unless rxfn does.

        :param rx_timeout: seconds given to rxfn, if it takes a time-out.
        :param do_rx: read frames.
        :param do_tx: send frames.
        :returns: :class:`ProcessStats`
        :raises RuntimeError: if the layer was started: its thread does this.
        """
        if self.driven:
            raise RuntimeError("process() is done by the layer itself once it was started")
        if not self.enter():
            return new_stats(0, 0, 0, 0)
        with cython.critical_section(self):
            self.polls = True
        try:
            self.begin_pass()
            return self.run(NO_TIMEOUT if rx_timeout is None else rx_timeout, do_rx, do_tx)
        finally:
            self.exit_polled()

    # ------------------------------------------------ single steps, as the first generation had them

    def _one_step(self, step):
        """Run `step()`. False: another thread, or a callback, runs the machines."""
        if not self.enter():
            return False
        try:
            self.begin_pass()
            self.now = self.time.read()
            step()
        finally:
            self.exit_polled()
        return True

    def process_rx(self, msg: CanMessage) -> None:
        """Handle one received frame."""
        if self.hears and self.is_mine():
            take_heard(self, msg)
            return
        if not self._one_step(lambda: self._receive_one(msg)):
            self.inlet.keep(msg)
            if self.driven:
                self._drive()

    def _receive_one(self, msg):
        self.frames_received += 1
        self.take(msg)

    @property
    def _heard_so_far(self):
        """Messages and flow control frames received, for who compares."""
        return self.session.counted.messages_received, self.session.counted.flow_controls_received

    def process_tx(self) -> CanMessage | None:
        """The next frame to send, which counts as sent; None if there is none now."""
        if unlikely(self.hooks is not None) and self.is_mine() and is_asked_for_frame(self):
            return frame_asked_for(self)
        frames = []
        self._one_step(lambda: self._transmit_one(port_of(frames.append)))
        return frames[0] if frames else None

    def _transmit_one(self, FramePort port):
        self.outlet.port = asking_port(self, port, False)      # for this pass
        self.burst_limit = 1
        try:
            self.expire(self.now, False, True)
            transmit_pass(self, True)
        finally:
            self.burst_limit = FRAMES_PER_CLOCK_READ
            self.outlet.port = asking_port(self, self.using.port, True)

    def check_timeouts_rx(self) -> None:
        """Report a reception that waited longer than N_Cr."""
        if self.checks and self.is_mine():
            self.run_out(self.checks_until, True, False)
            return
        self._one_step(lambda: self.expire(self.now, True, False))

    # ------------------------------------------------ the loop

    @cython.final
    cdef inline int begin_pass(self) except -1:
        cdef Wiring before
        if self.stale:
            self.flatten()
        if self.using is not self.wiring:
            with cython.critical_section(self):
                before, self.using = self.using, self.wiring
            self.outlet.port = asking_port(self, self.using.port, True)
        if self.rests():
            self.clock_due = self.frames_received + 1      # a frame is the first that needs the time
        else:
            self.now = self.time.read()
            self.clock_due = self.frames_received + FRAMES_PER_CLOCK_READ
        self.logs_frames = self.reporter.logs_frames()
        return 0

    @cython.final
    cdef inline bint rests(self) noexcept:
        """No timer runs and none is read before a frame came or went: the time does not matter now."""
        return (session_rests(&self.session) and self.inlet.left == 0 and self.outlet.resumes == NEVER
                and not self.rate_limiter.is_enabled
                and not (unlikely(self.confirms) and self.confirmation_deadline() != NEVER))

    @cython.final
    cdef ProcessStats run(self, object rx_timeout, bint do_rx, bint do_tx):
        """One pass, which was begun: polled with rx_timeout, or driven (rx_timeout is None)."""
        cdef bint tx_first
        cdef bint rx_again
        cdef uint64_t received = self.frames_received
        cdef uint64_t processed = self.session.counted.frames_for_us
        cdef uint64_t sent = self.outlet.sent
        cdef uint64_t messages = self.session.counted.messages_received
        tx_first = (do_tx and self.session.tx.state == TX_IDLE and self.session.rx.state == RX_IDLE
                    and self.tx_queue.count > 0)
        if self.inlet.left == 0:
            self.expire(self.now if rx_timeout is not None else min(self.now, self.inlet.heard_ns), do_rx, do_tx)
        while True:
            rx_again = tx_first
            if do_rx and not tx_first:
                self.receive_pass(rx_timeout, do_tx)
            if do_tx and transmit_pass(self, do_rx):
                rx_again = True
            tx_first = False
            if not (rx_again and do_rx) or self.turned != TURN_NONE:
                break
        return new_stats(
            <int>(self.frames_received - received), <int>(self.session.counted.frames_for_us - processed),
            <int>(self.outlet.sent - sent), <int>(self.session.counted.messages_received - messages))

    @cython.final
    cdef inline int expire(self, int64_t until, bint do_rx, bint do_tx) except -1:
        """Give up what waited too long. A frame that is read after that comes too late."""
        if unlikely(self.waits_for_more):
            return self.expire_more(until, do_rx, do_tx)
        if session_is_overdue(&self.session, until):
            self.run_out(until, do_rx, do_tx)
        return 0

    cdef int expire_more(self, int64_t until, bint do_rx, bint do_tx) except -1:
        """The same, where a frame is yet to be confirmed or the user looks for time-outs."""
        do_rx = do_rx and not is_checked_by_hook(self, until)
        if session_is_overdue(&self.session, until) or (
                self.confirms and until >= self.confirmation_deadline()):
            self.run_out(until, do_rx, do_tx)
        return 0

    @cython.final
    cdef int run_out(self, int64_t until, bint do_rx, bint do_tx) except -1:
        cdef RxEvent event
        with cython.critical_section(self):
            event = session_expire(&self.session, until, do_rx, False)
        if event == RX_EXPIRED:
            self.report()
            if unlikely(self.hooks is not None):
                tell_of_end_of_reception(self)
        with cython.critical_section(self):
            event = session_expire(&self.session, until, False, do_tx)
        if event == RX_ENDED_SENDING:
            self.fail_active()
        if do_tx and self.confirms and until >= self.confirmation_deadline():
            self.give_up_unconfirmed()
        return 0

    @cython.final
    cdef int64_t deadline(self) noexcept:
        """When this engine wants to run again without a frame."""
        cdef int64_t deadline = min(session_deadline(&self.session, self.frame_not_before()), self.outlet.resumes)
        if unlikely(self.tx_queue.ahead > 0) and self.outlet.resumes == NEVER and self.is_between():
            deadline = min(deadline, self.between_not_before())
        return min(deadline, self.confirmation_deadline()) if self.confirms else deadline

    def deadline_ns(self) -> int | None:
        """Time (of the layer's clock, ns) at which the layer wants to run again without a frame, or None."""
        cdef int64_t deadline = self.deadline()
        return None if deadline == NEVER else deadline

    @cython.final
    cdef inline int receive_pass(self, object rx_timeout, bint do_tx) except -1:
        """Read until there is no frame, or until a flow control frame is due."""
        # A rxfn without parameter should not wait, but those of the first generation often do.
        cdef bint is_driven = rx_timeout is None
        cdef bint waits = not is_driven and (not self.using.takes_timeout or rx_timeout != 0)
        while True:
            if self.looks_first:
                if (self.turned != TURN_NONE or self.inlet.left <= 0) and self.has_turned(is_driven):
                    return 0
                if self.inlet.left > 0:
                    self.take_from_batch()
                    if self.session.rx.due != FS_NONE and self.outlet.resumes == NEVER:
                        return 0
                    if self.inlet.left <= 0:
                        # Its frames came in time; what did not come is judged by the time that it is now.
                        self.now = self.time.read()
                        self.expire(min(self.now, self.inlet.heard_ns), True, do_tx)
                    continue
            if is_driven:
                message = self.inlet.inbox.pop()
                if (message is None and self.session.tx.state == TX_TRANSMIT_CF and self.using.takes_timeout
                        and self.owner == self.reader and not self.has_read):
                    # This thread is the one that reads: while it sends a long message nobody else does.
                    # (A rxfn without a parameter might wait, and keep the message from going on.)
                    message = call_with(<PyObject *>self.using.rxfn, NO_TIMEOUT)
                    # Nobody else reads before this thread has left rxfn: that frame is the first of what comes now.
                    if self.turned != TURN_NONE and self.has_turned(True):
                        return 0
                self.has_read = False
            elif self.inlet.inbox.count > 0:
                message = self.inlet.inbox.pop()
            elif self.using.takes_timeout:
                message = call_with(<PyObject *>self.using.rxfn, rx_timeout)
            else:
                message = call_without(<PyObject *>self.using.rxfn)
            if waits:
                self.note_arrival(message, True, do_tx)
            if message is None:
                return 0
            if not waits and self.frames_received + 1 >= self.clock_due:
                self.clock_due = self.frames_received + 1 + FRAMES_PER_CLOCK_READ
                if self.time.function is None:
                    self.now = isotp_monotonic_ns()
                else:
                    self.note_arrival(message, False, do_tx)
            self.frames_received += 1
            if takes_message(self, message):
                continue
            if unlikely(self.confirms) and self.is_echo(message):
                continue
            self.take(message)
            if self.session.rx.due != FS_NONE and self.outlet.resumes == NEVER:
                return 0

    @cython.final
    cdef bint has_turned(self, bint is_driven) except -1:
        """Look whether the layer was stopped or started meanwhile. True: this pass reads no more."""
        cdef bint is_leaving
        with cython.critical_section(self):
            if self.turned != TURN_NONE:
                self.turned = TURN_NONE
                self.inlet.left = 0
            # A reader on its way out may be amid rxfn: two in there would mix up the order of their frames.
            is_leaving = not self.driven and bool(self.readers)
            self.looks_first = self.inlet.left > 0 or is_leaving
            return is_driven != self.driven or is_leaving

    @cython.final
    cdef int note_arrival(self, object message, bint expires, bint do_tx) except -1:
        """Read the clock after a frame was read, or none; if it `expires` anything, tell that first.

        If a callback raises there, the frame waits for the next pass.
        """
        try:
            self.now = self.time.read()
            if expires:
                self.expire(self.now, True, do_tx)
        except BaseException:
            if message is not None:
                self.inlet.inbox.put_back(message)
            raise
        return 0

    cdef bint is_echo(self, object message) except -1:
        """Whether this is a frame of ours that has come back, which tells that it went."""
        cdef uint32_t can_id
        cdef bytes data
        if type(message) is CanMessage:
            if not (<CanMessage>message).frame.res0 & ECHO:
                return False
        elif getattr(message, "is_rx", True):
            return False
        data = data_of(message, &can_id)
        self.now = self.time.read()        # not before that: the gap behind the frame must not be too short
        return self.take_echo(can_id, <const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    @cython.final
    cdef int take_from_batch(self) except -1:
        """Handle the next frame of the native driver, at the time at which it arrived."""
        cdef const Frame *frame = self.inlet.batch
        self.now = self.inlet.arrivals[0]
        # Before the frame counts as taken: an error handler that raises does not cost it.
        self.expire(self.now, True, True)
        if self.inlet.left <= 0:
            return 0               # the error handler stopped the layer
        self.inlet.batch += 1
        self.inlet.arrivals += 1
        self.inlet.left -= 1
        self.frames_received += 1
        self.is_native = True
        if unlikely(self.confirms) and frame.res0 & ECHO and self.take_echo(frame.can_id, frame.data, frame.len):
            return 0
        return self.take_bytes(None, frame.can_id, frame.data, frame.len)
