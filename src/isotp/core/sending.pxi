# Frames out: the next message, its bytes, the frames that are made of them, and how it ends.


cdef class Sending(Endpoint):
    """Has the frames of a session go. But for stop_sending() it is used by the thread that runs the machines."""

    def __cinit__(self, *args, **kwargs):
        self.outlet = Outlet.__new__(Outlet)
        self.outlet.clock = self.time
        self.tx_queue = MessageQueue.__new__(MessageQueue)
        self.burst_limit = FRAMES_PER_CLOCK_READ
        self.apart = None

    cpdef _drive(self):
        """Do what is to be done now; see DrivenEngine."""
        raise NotImplementedError(f"{type(self).__name__}._drive")

    @cython.final
    cdef int transmit_frames(self, bint do_rx) except -1:
        cdef int burst = 0
        cdef Frame *out
        cdef bint ready
        cdef bint went
        cdef bint ran_dry
        cdef uint64_t allowed
        cdef uint32_t epoch
        cdef SendRequest request = None
        cdef Outlet outlet = self.outlet
        while True:
            if self.session.rx.due != FS_NONE:
                self.send_flow_control()
                return 1
            if self.session.tx.state == TX_IDLE:
                if self.tx_queue.count == 0 or not self.begin_next():
                    return 0
            elif self.session.tx.state == TX_TRANSMIT_CF:
                if self.now < self.session.tx.cf_due:
                    self.now = self.time.read()
                    if self.now < self.session.tx.cf_due:
                        return self.send_those_between()
            elif self.session.tx.state == TX_WAIT_FC or self.session.tx.state == TX_WAIT_CONFIRMATION:
                return self.send_those_between()
            elif not self.bind_first():
                continue
            if request is not self.active_send_request or request is None:
                request = self.active()
            if request is None:
                continue               # stopped by another thread since the state was looked at
            if request.streams and not self.supply_next(request):
                continue
            allowed = 0xFFFFFFFF
            if self.rate_limiter.is_enabled:
                allowed = self.rate_limiter._allowed(self.now)
            out = outlet.port.next
            with cython.critical_section(self):
                ready = session_next(&self.session, self.now, allowed, out)
                ran_dry = request.streams and self.session.tx.in_frame < session_wants(&self.session)
                epoch = self.session.tx.epoch
            if not ready:
                self.note_if_held_back(allowed)
                return 0
            burst += 1
            if unlikely(self.confirms):
                went = self.send_to_confirm(outlet, out, request, epoch, burst >= self.burst_limit)
            else:
                went = send_frame(self, outlet, out, request, epoch, burst >= self.burst_limit)
            if not went:
                if outlet.resumes != NEVER:
                    return 0
                continue               # given up: nobody would call for the next message
            if ran_dry and self.session.tx.epoch == epoch:
                self.give_up(request, epoch, ended_early(request, request.taken))
                continue
            if self.session.tx.state == TX_WAIT_FC:
                return 1
            if burst >= self.burst_limit:
                if self.confirms and outlet.echoes.is_full(epoch):
                    return 0
                self.now = self.time.read()
                burst = 0
                if self._shares_thread:
                    self.outlet.rest(self.now, self.session.tx.epoch)
                    return 0
                if do_rx:
                    return 1

    @cython.final
    cdef void note_if_held_back(self, uint64_t allowed) noexcept:
        if self.rate_limiter.is_enabled and not self.held_back:
            self.held_back = session_rate_size(&self.session) > allowed
            self.throttled += self.held_back

    @cython.final
    cdef int send_flow_control(self) except -1:
        cdef FlowStatus due
        cdef bint went
        cdef Frame *out = self.outlet.port.next
        if self.session.config.wftmax != 0 or self.using.is_ready is not None:
            self.hold_if_not_ready()
        with cython.critical_section(self):
            due = session_flow_control(&self.session, self.now, out)
        if due == FS_NONE:
            return 0               # another thread stopped the reception
        if self.logs_frames:
            self.reporter.log_frame("Tx", out.can_id, out.data[:out.len], "p")
        if self.confirms:
            self.outlet.echoes.add(out)
        try:
            went = self.outlet.give(self.session.tx.epoch, self.session.config.n_as_ns)
        except errors.IsoTpError as error:
            # N_Ar: the sender waits in vain, and so would the receiver.
            with cython.critical_section(self):
                receiver_stop(&self.session.rx)
            self.tell(error)
            return 0
        self.now = self.time.read()
        with cython.critical_section(self):
            session_flow_control_sent(&self.session, due, went, self.now)
            if went and self.confirms:
                session_flow_control_taken(&self.session)
                # Nothing depends on an Overflow: it is of no reception.
                self.outlet.echoes.note(
                    self.now, True, 0 if due == FS_OVFLW else self.session.rx.number, self.session.rx.got)
        return 0

    cdef int hold_if_not_ready(self) except -1:
        """A Flow Control is due. If what takes the message is not ready for more, it becomes Wait."""
        raise NotImplementedError(f"{type(self).__name__}.hold_if_not_ready")

    cdef int send_those_between(self) except -1:
        """The next frame of the message cannot go now. Functional SFs may."""
        while self.is_between() and self.send_between():
            pass
        return 0

    cdef bint is_between(self) noexcept:
        """Whether what is next in the queue may go between the frames of the message that is being sent."""
        cdef SendRequest request
        if (self.tx_queue.ahead == 0 or self.session.tx.state == TX_IDLE or self.session.tx.state == TX_SF_STANDBY
                or self.session.tx.state == TX_FF_STANDBY):
            return False
        request = self.tx_queue.oldest()
        return request is not None and request.functional and request.goes_first and not request.streams

    cdef bint send_between(self) except -1:
        """A functional SF goes between the frames of a message: its N_AI is another one (9.9). False: not now."""
        cdef SendRequest request
        cdef Outlet outlet = self.outlet
        cdef Frame *out
        cdef const Config *config = &self.session.config
        cdef bint fits
        cdef int size
        if self.now < self.between_not_before():
            return False
        if outlet.port.waiting > 0 and not self.flush_or_fail(False):
            return False
        request = self.tx_queue.pop()
        if request is None:
            return True                # another thread has cleared the queue
        out = outlet.port.next
        if request.own is not None:
            config = &request.own.config
        with cython.critical_section(self):
            fits = session_functional(
                &self.session, config, <const uint8_t *>PyBytes_AS_STRING(request.source), request.size, out)
        if not fits:
            request._complete(False, self.functional_limit(request.size, config))
            return True
        size = out.len
        if self.logs_frames:
            self.reporter.log_frame("Tx", out.can_id, out.data[:out.len], "f")
        if self.confirms:
            outlet.echoes.add(out)
        try:
            if not outlet.give(self.session.tx.epoch, self.session.config.n_as_ns):
                self.tx_queue.push_first(request)
                return False
        except errors.IsoTpError as error:
            request._complete(False, error)
            self.tell(error)
            return True
        except BaseException as error:
            request._complete(False, error)
            raise
        self.now = self.time.read()
        if self.rate_limiter.is_enabled:
            self.rate_limiter._count(self.now, size)
        request.taken = request.size
        with cython.critical_section(self):
            session_functional_sent(&self.session, request.size)
        if not self.confirms:
            request._complete(True, None)
            return True
        self.last_apart += 1
        outlet.echoes.note(self.now, False, self.session.tx.epoch, self.session.tx.given)
        outlet.echoes.at(outlet.echoes.count - 1).apart = self.last_apart
        self.apart.append((self.last_apart, request))
        return True

    cdef int64_t between_not_before(self) noexcept:
        """When the rate limiter lets the functional SF go that is next."""
        cdef SendRequest request = self.tx_queue.oldest()
        if request is None or not self.rate_limiter.is_enabled:
            return AT_ONCE
        return self.rate_limiter._not_before(request.size + 2)

    @cython.final
    cdef bint begin_next(self) except -1:
        """Take the next message out of the queue."""
        cdef SendRequest request
        while True:
            request = self.tx_queue.pop()
            if request is None:
                return False
            if request.size == 0:
                request._complete(True, None)
                continue
            with cython.critical_section(self):
                self.active_send_request = request
                session_begin(&self.session, request.size, request.functional, config_or_null(request.own))
                if not request.streams:
                    session_supply(&self.session, <const uint8_t *>PyBytes_AS_STRING(request.source), request.size)
            if unlikely(self.hooks is not None):
                tell_of_its_end(self, request)
            if not request.functional or self.bind_first():
                return True

    @cython.final
    cdef bint bind_first(self) except -1:
        """The SF or FF that is next is made from what is in force. False: what send() let pass cannot go like that."""
        cdef SendRequest request
        cdef bint fits
        cdef uint32_t epoch
        with cython.critical_section(self):
            fits = session_bind_first(&self.session)
            request = self.active_send_request
            epoch = self.session.tx.epoch
        if not fits:
            self.stop_active(request, epoch, self.functional_limit(request.size, self.session.tx_config))
        return fits

    @cython.final
    cdef object functional_limit(self, uint64_t size, const Config *config):
        return ValueError(
            f"payload of {size} bytes: functional addressing takes single frames only, that is up to"
            f" {sf_capacity(config, &self.session.address)} bytes here")

    @cython.final
    cdef bint supply_next(self, SendRequest request) except -1:
        """Have the bytes of the next frame from the generator or file. False: the message was given up."""
        cdef uint64_t wanted
        cdef uint64_t have
        cdef uint32_t epoch
        cdef bytes block
        with cython.critical_section(self):
            epoch = self.session.tx.epoch
            wanted = session_wants(&self.session)
            have = self.session.tx.chunk_size - self.session.tx.chunk_used
            if have < wanted:          # what is left when the frames became larger comes first
                block = (<const char *>self.session.tx.chunk + self.session.tx.chunk_used)[:have]
        if have >= wanted:
            return True                # left over from a frame that the rate limiter held back, or of a file
        try:
            block = request.next_bytes(block, wanted)
        except errors.IsoTpError as error:
            self.give_up(request, epoch, error)
            return False
        except BaseException as error:
            self.stop_active(request, epoch, error)
            raise
        if self.session.tx.epoch != epoch:
            return False               # the generator stopped its own message
        if <uint64_t>len(block) < wanted and (
                request.reads or len(block) == 0 or self.session.tx.state != TX_TRANSMIT_CF):
            self.give_up(request, epoch, ended_early(request, request.taken + <uint64_t>len(block)))
            return False
        with cython.critical_section(self):
            if self.session.tx.epoch == epoch:
                self.block = block
                session_supply(&self.session, <const uint8_t *>PyBytes_AS_STRING(block), len(block))
        return self.session.tx.epoch == epoch

    @cython.final
    cdef bint resume_or_fail(self) except -1:
        """Whether frames can go again after a pause."""
        cdef SendRequest request = self.active()
        cdef uint32_t epoch = self.session.tx.epoch
        try:
            return self.outlet.resume(epoch, self.session.config.n_as_ns)
        except Exception as error:
            if not self.fail_with(request, epoch, error):
                raise
            return True

    @cython.final
    cdef bint flush_or_fail(self, bint last) except -1:
        """Have the frames go that wait in the port. An error ends the message.

        False: there is no room for all of them, or an error; `last`: the last one is taken back then.
        """
        cdef SendRequest request = self.active()
        cdef uint32_t epoch = self.session.tx.epoch
        try:
            if last:
                return self.outlet.flush_last(epoch, self.session.config.n_as_ns)
            return self.outlet.flush(epoch, self.session.config.n_as_ns)
        except BaseException as error:
            if not self.fail_with(request, epoch, error):
                raise
            return False

    @cython.final
    cdef int64_t frame_not_before(self) noexcept:
        """When the rate limiter and the bus let the next frame go, as far as known now."""
        cdef int64_t due = 0
        if self.rate_limiter.is_enabled and self.session.tx.state != TX_IDLE:
            due = self.rate_limiter._not_before(session_rate_size(&self.session))
        return due if self.outlet.resumes == NEVER else max(due, self.outlet.resumes)

    # ------------------------------------------------ what the bus confirms

    @property
    def tx_confirmation(self):
        """A frame counts as sent when its echo comes."""
        return self.confirms

    def _confirm_frames(self):
        """From now on a frame of this layer was sent when its echo comes; to be called before it sends any."""
        self.confirms = True
        self.note_what_is_waited_for()
        self.outlet.echoes = Echoes.__new__(Echoes)
        self.apart = collections.deque()

    cdef bint send_to_confirm(
            self, Outlet outlet, const Frame *frame, SendRequest request, uint32_t epoch, bint ends_burst) except -1:
        """Give the bus one frame of the active message, as send_frame() does; the bus says when it was sent."""
        cdef Transmitter *tx = &self.session.tx
        cdef int size = frame.len
        outlet.echoes.add(frame)
        if not give_frame(self, outlet, frame, request, epoch, ends_burst or starts_timer(tx)):
            return False
        if outlet.echoes.count == 1 or tx.given == 0 or self.rate_limiter.is_enabled:
            self.now = self.time.read()    # N_As runs from here if no other frame of the message is before this one
        if self.rate_limiter.is_enabled:
            self.held_back = False
            self.rate_limiter._count(self.now, size)
        with cython.critical_section(self):
            if tx.epoch == epoch:
                request.taken += tx.in_frame
                session_taken_by_bus(&self.session, self.now)
            outlet.echoes.note(self.now, False, epoch, tx.given)
        return True

    cdef bint take_echo(self, uint32_t can_id, const uint8_t *data, Py_ssize_t size) except -1:
        """A frame that was sent here has come back. False: it is none that the bus has yet to confirm to this layer."""
        cdef Confirmed told
        cdef bint is_last = False
        cdef SendRequest request = None
        if not self.outlet.echoes.confirm(can_id, data, size, self.now, &told):
            return False
        with cython.critical_section(self):
            if told.is_flow_control:
                session_flow_control_confirmed(&self.session, told.reception, told.got, self.now)
            if told.is_message and told.epoch == self.session.tx.epoch:
                is_last = session_confirmed(&self.session, told.place, self.now)
            if is_last:
                request, self.active_send_request = self.active_send_request, request
                self.block = None
        if request is not None:
            request._sent_at(self.now)
        while told.apart != 0 and self.apart and self.apart[0][0] <= told.apart:
            request = self.apart.popleft()[1]
            request._sent_at(self.now)
        return True

    cdef bint waits_for_echo(self, const Given *given) noexcept:
        """Whether something depends on the confirmation of this frame."""
        if given.is_flow_control:
            return session_awaits_block(&self.session, given.epoch, given.place)
        if given.apart != 0:
            return True
        return given.epoch == self.session.tx.epoch and given.place > self.session.tx.confirmed

    cdef int64_t confirmation_deadline(self) noexcept:
        """N_As, N_Ar (9.8.1): of a frame behind others it runs from when those went."""
        cdef int k
        cdef Echoes echoes = self.outlet.echoes
        if echoes is None:
            return NEVER
        for k in range(echoes.count):
            if self.waits_for_echo(echoes.at(k)):
                return max(echoes.at(k).when, echoes.confirmed_at) + self.session.config.n_as_ns
        return NEVER

    cdef int give_up_unconfirmed(self) except -1:
        """The bus took a frame, and did not confirm it in time."""
        cdef SendRequest request
        cdef uint32_t epoch
        cdef bint is_sending = False
        cdef bint is_receiving = False
        cdef int k
        cdef Echoes echoes = self.outlet.echoes
        with cython.critical_section(self):
            request, epoch = self.active_send_request, self.session.tx.epoch
            for k in range(echoes.count):
                if self.waits_for_echo(echoes.at(k)):
                    if echoes.at(k).is_flow_control:
                        is_receiving = True
                    elif echoes.at(k).apart == 0:
                        is_sending = True
            if is_receiving:
                receiver_stop(&self.session.rx)
            echoes.drop_newest(echoes.count)
        error = errors.TransmitTimeoutError(
            f"the bus took a frame, and did not confirm within {self.session.config.n_as_ns / 1e9} s that it went")
        if is_sending:
            self.give_up(request, epoch, error)
        elif is_receiving or self.apart:
            self.tell(error)
        return self.fail_apart(error)

    cdef int fail_apart(self, object error) except -1:
        """The functional SFs that wait for their echo have failed."""
        cdef SendRequest request
        while self.apart:
            request = self.apart.popleft()[1]
            request._complete(False, error)
        return 0

    # ------------------------------------------------ the end of a message

    @cython.final
    cdef SendRequest active(self):
        """The message that is being sent, or None."""
        with cython.critical_section(self):
            request = self.active_send_request
        return request

    @cython.final
    cdef int stop_active(self, SendRequest request, uint32_t epoch, object error) except -1:
        with cython.critical_section(self):
            if self.session.tx.epoch == epoch:
                session_stop_sending(&self.session)
                self.active_send_request = None
                self.block = None
        if request is not None:
            request._complete(False, error)
        return 0

    @cython.final
    cdef int give_up(self, SendRequest request, uint32_t epoch, object error) except -1:
        self.stop_active(request, epoch, error)
        self.tell(error)
        return 0

    @cython.final
    cdef bint fail_with(self, SendRequest request, uint32_t epoch, object error) except -1:
        """Sending a frame raised. True: an error of the bus, reported now. False: it is the caller's to raise."""
        if isinstance(error, errors.IsoTpError):
            self.give_up(request, epoch, error)
            return True
        self.stop_active(request, epoch, error)
        return False

    @cython.final
    cdef int retry_or_fail(self, SendRequest request, uint32_t epoch) except -1:
        """A frame was refused: the message fails with what the port says, unless the frame is to be given again."""
        try:
            self.outlet.refused(self.session.tx.epoch, self.session.config.n_as_ns)
        except BaseException as error:
            if not self.fail_with(request, epoch, error):
                raise
        return 0

    @cython.final
    cdef int fail_active(self) except -1:
        """The session gave the active message up; its outcome says why."""
        cdef SendRequest request
        # First: to make the error lets other threads in.
        with cython.critical_section(self):
            request = self.active_send_request
            self.active_send_request = None
            self.block = None
        error = make_error(self.session.outcome.code, &self.session.outcome)
        try:
            self.tell(error)
        finally:
            if request is not None:
                request._complete(False, error)
        return 0

    def stop_sending(self) -> None:
        """Give up the message that is being sent; messages in the queue stay. Acts at once, from any thread."""
        cdef Hooks hooks = None
        if unlikely(self.hooks is not None):
            hooks = hooks_now(self)
        if hooks is not None and hooks.stop_sending is not None:
            hooks.stop_sending(success=False)
        else:
            self.end_sending(False)

    def _stop_sending(self, bint success):
        """The same as the second generation has it, for those who override it: called at the end of each message."""
        if self.told != PyThread_get_thread_ident():
            self.end_sending(success)

    @cython.final
    cdef int end_sending(self, bint success) except -1:
        cdef SendRequest request
        with cython.critical_section(self):
            request = self.active_send_request
            self.active_send_request = None
            session_stop_sending(&self.session)
            self.block = None
            self.outlet.end_pause()
        if request is not None:
            complete_untold(self, request, success)
        if self.driven:
            self._drive()           # there may be other messages, or flow control that waited for the same pause


cdef inline int transmit_pass(Sending engine, bint do_rx) except -1:
    """Send what may be sent now. 1: reception is to have a turn before more is sent."""
    cdef int again
    if engine.outlet.resumes != NEVER and not engine.resume_or_fail():
        return 0
    if engine.session.tx.state == TX_IDLE and engine.session.rx.due == FS_NONE and engine.tx_queue.count == 0:
        return 0
    if (engine.confirms and engine.session.rx.due == FS_NONE
            and engine.outlet.echoes.is_full(engine.session.tx.epoch)):
        return 0
    if unlikely(engine.tx_queue.ahead > 0):
        engine.send_those_between()
        if engine.outlet.resumes != NEVER:
            return 0
    again = engine.transmit_frames(do_rx)
    if engine.outlet.port.waiting > 0 and engine.outlet.resumes == NEVER:
        # What still waits are frames of a message whose next one cannot go yet.
        engine.flush_or_fail(False)
    return again


cdef inline bint give_frame(
        Sending engine, Outlet outlet, const Frame *frame, SendRequest request, uint32_t epoch, bint at_once,
) except -1:
    """Give the bus one frame of the active message, with those that wait for it if it has to go `at_once`.

    False: there is no room for it now, or it failed.
    """
    if engine.logs_frames:
        engine.reporter.log_frame("Tx", frame.can_id, frame.data[:frame.len], "p")
    if not outlet.put():
        engine.retry_or_fail(request, epoch)
        return False
    if outlet.port.waiting > 0 and (at_once or engine.session.tx.sent + engine.session.tx.in_frame
                                    >= engine.session.tx.size):
        return engine.flush_or_fail(True)
    return True


cdef inline bint send_frame(
        Sending engine, Outlet outlet, const Frame *frame, SendRequest request, uint32_t epoch, bint ends_burst,
) except -1:
    """Send one frame of the active message, then tell the session, unless it was stopped meanwhile.

    False: there is no room for it now, or it failed.
    """
    cdef Transmitter *tx = &engine.session.tx
    cdef bint limited = engine.rate_limiter.is_enabled
    cdef bint needs_time = limited or starts_timer(tx)
    cdef int size = frame.len
    if not give_frame(engine, outlet, frame, request, epoch, needs_time or ends_burst):
        return False
    if needs_time:
        try:
            engine.now = engine.time.read()
        except BaseException:
            # The frame went: it is not to go again.
            note_sent(engine, size, request, epoch, limited)
            raise
    note_sent(engine, size, request, epoch, limited)
    return True


cdef inline int note_sent(Sending engine, int size, SendRequest request, uint32_t epoch, bint limited) except -1:
    """A frame of the active message is on the bus."""
    cdef bint last = False
    if limited:
        engine.held_back = False
        engine.rate_limiter._count(engine.now, size)
    with cython.critical_section(engine):
        if engine.session.tx.epoch == epoch:
            request.taken += engine.session.tx.in_frame
            last = session_sent(&engine.session, engine.now)
            if last:
                engine.active_send_request = None
                if request.streams:
                    engine.block = None
    if last:
        request._complete(True, None)
    return 0
