# Frames in: what becomes of one that came, and where its message goes.


cdef class Receiving(Sending):
    """Takes the frames of a session. But for stop_receiving() it is used by the thread that runs the machines."""

    def __cinit__(self, *args, **kwargs):
        self.rx_queue = MessageQueue.__new__(MessageQueue)
        self.rx_queue.keep_notes()

    @cython.final
    cdef int take(self, object message) except -1:
        """Handle one received frame, of our own type or of any with the same attributes."""
        cdef uint32_t can_id
        cdef const uint8_t *data
        cdef Py_ssize_t size
        cdef object given          # owns what the bytes point at
        self.is_native = False
        if type(message) is CanMessage and (<CanMessage>message).frame.res0 & INLINE:
            can_id = (<CanMessage>message).frame.can_id
            data = (<CanMessage>message).frame.data
            size = (<CanMessage>message).frame.len
            self.stamp = (<CanMessage>message).stamp
        else:
            given = data_of(message, &can_id)
            data = <const uint8_t *>PyBytes_AS_STRING(given)
            size = PyBytes_GET_SIZE(given)
            if takes_next_cf(self, can_id, data, size):
                return 0
            self.stamp = stamp_of(message)
        return self.take_bytes(message, can_id, data, size)

    @cython.final
    cdef int take_bytes(self, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size) except -1:
        cdef RxEvent event
        cdef Judged judged
        cdef bint is_ours
        cdef bint is_judged = self.session.looks_closer or self.logs_frames
        cdef object payload = None
        self.heard_id = can_id
        while True:
            if is_judged:
                is_ours = self.judge(message, can_id, data, size, &judged)
                if self.logs_frames:
                    self.reporter.log_frame("Rx", can_id, data[:size], "p" if is_ours else "i")
                if not is_ours:
                    return 0
                if self.hooks is not None:
                    return hear_by_hook(self, message, can_id, data, size, &judged)
            with cython.critical_section(self):
                is_ours = is_judged or session_hears(&self.session, can_id, data, size)
                if is_ours:
                    event = receive_frame(self, &judged if is_judged else NULL, data, <int>min(size, INT_MAX))
                    if event == RX_MESSAGE:
                        payload = PyByteArray_FromStringAndSize(
                            <char *>self.session.rx.message, <Py_ssize_t>self.session.rx.message_size)
            if is_ours:
                break
            if self.session.further_count == 0 and not self.session.looks_closer:
                return 0
            is_judged = True
        if (event == RX_NOTHING and not self.target.is_there()
                and self.session.outcome.code == OK and self.session.outcome.interruption == OK):
            return 0
        return self.follow(event, is_judged and judged.apart, payload)

    @cython.final
    cdef int follow(self, RxEvent event, bint apart, object payload) except -1:
        """What a frame has led to is done, and told."""
        broken = came_in_on = None
        try:
            if self.target.is_there():
                came_in_on = self.address_of_frame()       # what is called here may change it
                if self.session.outcome.interruption != OK:
                    broken = self.target.part()
                elif event == RX_MESSAGE and not apart:
                    payload = self.target.finish(payload)
                elif self.session.rx.state == RX_WAIT_CF:
                    self.fill_target()
            if event == RX_MESSAGE and payload is not None:
                if self.has_begun:
                    self.end_what_has_begun(payload, came_in_on)
                else:
                    self.hand_over(payload, came_in_on)
            elif event == RX_STARTED:
                self.has_begun = True
                self.began_ns = self.now
                if not self.session.config.listen and self.session.config.wftmax == 0 and self.has_no_room():
                    self.refuse_reception()
                elif self.using.receive_into is not None:
                    self.open_target()
                if self.using.on_begin is not None and self.session.rx.state == RX_WAIT_CF:
                    self.tell_of_beginning()
        finally:
            # Last, so that an error handler that raises costs no message
            if self.session.outcome.code != OK or self.session.outcome.interruption != OK:
                self.report_reception(event == RX_ENDED_SENDING, broken)
        return 0

    @cython.final
    cdef int report_reception(self, bint ended_sending, object broken) except -1:
        try:
            if self.session.outcome.interruption != OK:
                error = make_error(self.session.outcome.interruption, &self.session.outcome)
                error.target = broken
                self.tell(error)
        finally:
            if ended_sending:
                self.fail_active()
            elif self.session.outcome.code != OK:
                self.report()
        return 0

    @cython.final
    cdef int report(self) except -1:
        self.tell(make_error(self.session.outcome.code, &self.session.outcome))
        return 0

    @cython.final
    cdef inline int hand_over(self, object payload, object address) except -1:
        """A message is complete; it came in on `address`. None: on that of the frame at hand."""
        cdef Note note
        if self.has_no_room():
            self.messages_dropped += 1
            error = errors.ReceptionQueueFullError(f"a message is lost: {self._full_queue()}")
            error.target = payload if type(payload) is not bytearray else None
            self.tell(error)
            return 0
        if self.queues():
            self.take_note(&note)
            self.rx_queue.push(payload, &note, self.addresses_now())
            return 0
        if self.using.on_reception is not None:
            self.take_note(&note)
            whole = reception_of(payload, address, &note, self.addresses_now())
            return self.deliver(self.using.on_reception, (whole,), payload)
        if address is None:
            address = self.address_of_frame()
        return self.deliver(self.using.on_message, (payload, address, self.now), payload)

    @cython.final
    cdef int deliver(self, object callback, tuple arguments, object payload) except -1:
        if self.using.courier is None:
            callback(*arguments)
        else:
            self.using.courier.carry(weight_of(payload), callback, *arguments)
        return 0

    @cython.final
    cdef inline bint queues(self) noexcept:
        """Whether messages wait for recv()."""
        return self.using.on_message is None and self.using.on_reception is None

    @cython.final
    cdef inline void take_note(self, Note *note) noexcept:
        """A message is complete: what is known of it."""
        # One that an SF interrupted has begun, too; and one may go on behind an SF that stands apart.
        cdef bint has_several_frames = (
            self.has_begun and self.session.rx.state == RX_IDLE and self.session.outcome.interruption == OK)
        note.began_ns = self.began_ns if has_several_frames else self.now
        note.ended_ns = self.now
        note.stamp = self.stamp
        note.can_id = self.heard_id
        note.matched = self.session.matched
        note.is_native = self.is_native and self.time.function is None

    @cython.final
    cdef bint has_no_room(self) except -1:
        """Whether too many received messages wait to be taken."""
        if self.queues():
            return self.rx_queue.is_full(self.settings.rx_limit)
        return self.using.courier is not None and self.using.courier.weight >= self.settings.rx_limit

    @cython.final
    cdef int refuse_reception(self) except -1:
        """A message that begins finds no room: its sender is told, before it has sent it all."""
        cdef bint refused
        with cython.critical_section(self):
            refused = session_refuse(&self.session)
        if refused:
            self.receptions_refused += 1
            self.tell(errors.ReceptionQueueFullError(
                f"a message of {self.session.rx.size} bytes is refused: {self._full_queue()}"))
        return 0

    def _full_queue(self):
        waiting = self.rx_queue.count if self.queues() else "those before"
        return f"{waiting} messages wait to be taken (parameter rx_queue_limit)"

    @cython.final
    cdef int open_target(self) except -1:
        """Ask the user where the message that begins is to go."""
        write = None
        try:
            given = self.using.receive_into(self.session.rx.size)
            if given is not None:
                write = writer_to(given, self.session.rx.size)
        except BaseException:
            with cython.critical_section(self):
                session_refuse(&self.session)
            raise
        with cython.critical_section(self):
            # Unless it was stopped meanwhile, by receive_into itself or by another thread
            if self.session.rx.state == RX_WAIT_CF:
                self.target.given, given = given, self.target.given
                self.target.write, write = write, self.target.write
        return 0

    @cython.final
    cdef int fill_target(self) except -1:
        """Hand out what arrived, before the buffer has to grow."""
        cdef bytes chunk
        cdef Receiver *rx = &self.session.rx
        if rx.got - rx.taken <= <uint64_t>(BUFFER_FIRST - CAN_DLEN_MAX):
            return 0
        with cython.critical_section(self):
            chunk = PyBytes_FromStringAndSize(<char *>rx.buffer, <Py_ssize_t>(rx.got - rx.taken))
            rx.taken = rx.got
        try:
            self.target.put(chunk)
        except BaseException:
            self.stop_receiving()
            raise
        return 0

    cdef int hold_if_not_ready(self) except -1:
        cdef bint is_full
        is_ready = self.using.is_ready
        if self.session.rx.due != FS_CTS:
            return 0
        is_full = self.session.config.wftmax != 0 and self.has_no_room()
        if not is_full and is_ready is not None:
            try:
                if is_ready(self.session.rx.size, self.session.rx.got):
                    return 0
            except BaseException:
                with cython.critical_section(self):
                    session_refuse(&self.session)
                raise
        elif not is_full:
            return 0
        return self.hold(is_full)

    cdef int hold(self, bint is_full) except -1:
        """The other end is told to wait, or it has waited too often."""
        cdef bint is_given_up
        self.waits_for_room = is_full
        with cython.critical_section(self):
            is_given_up = not session_hold(&self.session) and self.session.outcome.code != OK
        if is_given_up:
            self.receptions_refused += 1
            if not is_full:
                self.report()
            else:
                self.tell(errors.ReceptionQueueFullError(
                    f"a message of {self.session.rx.size} bytes is refused after {self.session.outcome.given} wait"
                    f" frames: {self._full_queue()}"))
        return 0

    def resume_reception(self) -> None:
        """If the other end waits, ask `is_ready` at once: call this when more can be taken."""
        cdef bint is_due
        with cython.critical_section(self):
            is_due = session_ask_again(&self.session)
        if is_due and self.driven:
            self._drive()

    def _room_was_made(self):
        """A message was taken: one that waits for that may go on."""
        if self.waits_for_room:
            self.waits_for_room = False
            self.resume_reception()

    cdef int end_what_has_begun(self, object payload, object address) except -1:
        """A message is complete; perhaps not the one that has begun, but an SF apart from it."""
        try:
            self.hand_over(payload, address)
        finally:
            # After the message is there, for those who look at both
            self.has_begun = self.session.rx.state == RX_WAIT_CF
        return 0

    cdef int tell_of_beginning(self) except -1:
        """N_USData_FF.indication."""
        size, address = self.session.rx.size, self.address_of_frame()
        if self.using.courier is None:
            self.using.on_begin(size, address, self.now)
        else:
            self.using.courier.carry(MESSAGE_WEIGHT, self.using.on_begin, size, address, self.now)
        return 0

    cdef int note_break(self, object error) except -1:
        if self.has_begun:
            self.has_begun = False
            self.broken_by = error
            self.breaks += 1
            self.rx_queue.rouse()
        return 0

    def stop_receiving(self) -> None:
        """Give up the message that is being received. Acts at once, from any thread."""
        cdef Hooks hooks = None
        if unlikely(self.hooks is not None):
            hooks = hooks_now(self)
        if hooks is not None and hooks.stop_receiving is not None:
            hooks.stop_receiving()
        else:
            self.end_reception()

    def _stop_receiving(self):
        """The same as the second generation has it, for those who override it: called at the end of each reception."""
        if self.told != PyThread_get_thread_ident():
            self.end_reception()

    @cython.final
    cdef int end_reception(self) except -1:
        with cython.critical_section(self):
            session_stop_receiving(&self.session)
        self.target.part()
        self.has_begun = False
        self.rx_queue.rouse()
        return 0


cdef inline bint takes_next_cf(Receiving engine, uint32_t can_id, const uint8_t *data, Py_ssize_t size) noexcept:
    """What most frames are: the CF that is due, where nobody has to hear of it. False: nothing was done."""
    cdef bint taken
    if engine.logs_frames or engine.target.is_there():
        return False
    with cython.critical_section(engine):
        taken = session_takes_cf(&engine.session, can_id, data, size, engine.now)
    return taken


cdef inline bint takes_message(Receiving engine, object message) noexcept:
    """The same of a message of our own type. False: it is for take()."""
    cdef const Frame *frame
    if type(message) is not CanMessage:
        return False
    frame = &(<CanMessage>message).frame
    return frame.res0 & INLINE and takes_next_cf(engine, frame.can_id, frame.data, frame.len)


cdef inline RxEvent receive_frame(Receiving engine, const Judged *judged, const uint8_t *data, int size) noexcept:
    """Within a step: a frame that is for us. `judged` NULL: it came in on the own address."""
    if engine.turned == TURN_STOPPED:
        # stop() forgets it, and it begins no message if the layer was started again.
        engine.session.counted.frames_for_us += 1
        engine.session.outcome.code = engine.session.outcome.interruption = OK
        return RX_NOTHING
    if judged != NULL:
        return session_receive(&engine.session, &judged.address, judged.apart, data, size, engine.now)
    engine.session.matched = -1
    return session_receive(&engine.session, &engine.session.address, False, data, size, engine.now)
