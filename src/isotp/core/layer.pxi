# What a layer does with messages: send, receive, count. The top of the core.


cdef class Layer(DrivenEngine):
    """Messages in and out of an engine, from any thread."""

    def __cinit__(self, *args, **kwargs):
        memset(&self.zero, 0, sizeof(Totals))

    def __setattr__(self, name, value):
        set_attribute(self, name, <PyObject *>value)
        if name in HOOK_NAMES:
            self._look_for_hooks()

    def __delattr__(self, name):
        set_attribute(self, name, NULL)
        if name in HOOK_NAMES:
            self._look_for_hooks()

    def _look_for_hooks(self):
        """Find out which methods of this layer are not ours any more."""
        raise NotImplementedError(f"{type(self).__name__}._look_for_hooks")

    # ------------------------------------------------ messages out

    def send(
        self, data: Buffer | Iterable[int] | BinaryIO | tuple[Iterator[int] | BinaryIO, int],
        target_address_type: int | None = None, send_timeout: float | None = None, *,
        params: Parameters | None = None, bint priority: bool = False
    ) -> None:
        """Queue a message.

        :param data: bytes, bytearray, memoryview, an iterable of byte values; `(generator, size)`, which is
            consumed frame by frame; a binary file, read from its position on in blocks as it is sent, or
            `(file, size)`. 1 to 2^32-1 bytes; an empty message is done at once, with nothing sent.
        :param target_address_type: Physical (0, 1-to-1) or Functional (1, 1-to-n; must fit a single frame).
            None: parameter `default_target_address_type`.
        :param send_timeout: seconds to wait for the end of the transmission if the parameter `blocking_send` is
            set. None: no limit.
        :param params: parameters for this message alone, by name: `can_fd`, `bitrate_switch`, `tx_data_length`,
            `tx_data_min_length`, `tx_padding`, `override_receiver_stmin`. The others are the layer's, as they are
            now.
        :param priority: send it before the messages that wait; if it is functional, also between the frames of the
            one that is being sent (9.9: its N_AI is a different one).
        :raises ValueError: if the payload is not a sequence of bytes, or too long for functional addressing; if
            `send_timeout` is NaN; if a parameter has an invalid value, or cannot be set for one message.
        :raises RuntimeError: in listen mode; if too many messages wait (parameter `tx_queue_limit`); and if a
            callback of this layer asks for a blocking send.
        :raises isotp.BlockingSendTimeout: if a blocking send is not done in time.
        :raises isotp.BlockingSendFailure: if it failed; the reason is its `__cause__`.
        """
        cdef SendRequest request = self.request(data, target_address_type, params, priority)
        cdef bint waits = self.settings.blocking_send      # once: it may change meanwhile
        if waits:
            seconds = seconds_to_wait("send_timeout", send_timeout)
            if self.is_mine():
                raise RuntimeError("a callback of the layer cannot wait for that same layer to send")
            request.event = threading.Event()
        self.enqueue(request)
        if waits:
            self._await(request, seconds)

    def _submit(self, data, target_address_type, on_done, *, params=None, bint priority=False):
        """Queue a message as send() does, but never wait; `on_done(request)` is called when it was sent or given up.

        :returns: :class:`SendRequest`
        """
        cdef SendRequest request = self.request(data, target_address_type, params, priority)
        request.on_done = on_done
        self.enqueue(request)
        return request

    @cython.final
    cdef SendRequest request(self, object data, object target_address_type, object params, bint priority):
        cdef SendRequest request
        cdef const Config *config = &self.session.config
        cdef bint functional
        if self.stale:
            self.flatten()
        if self.session.config.listen:
            raise RuntimeError("a layer in listen mode cannot send")
        if target_address_type is None:
            functional = self.settings.default_functional
        else:
            functional = TargetAddressType(target_address_type) == TargetAddressType.Functional
        request = SendRequest.__new__(SendRequest)
        request._set(data, functional)
        request.goes_first = priority
        if params is not None:
            request.own = own_config(self.params, params)
            config = &request.own.config
        if functional and request.size > <uint64_t>sf_capacity(config, &self.session.address):
            raise self.functional_limit(request.size, config)
        return request

    @cython.final
    cdef int enqueue(self, SendRequest request) except -1:
        if self.tx_queue.is_full(self.settings.tx_limit):
            raise RuntimeError(
                f"the send queue is full: {self.tx_queue.count} messages wait (parameter tx_queue_limit)")
        if self.reporter.logs_frames():
            self.logger.debug("Enqueuing a message of %d bytes", request.size)
        if request.goes_first:
            self.tx_queue.push_ahead(request)
        else:
            self.tx_queue.push(request, NULL, None)
        post_send_callback = self.wiring_now().post_send_callback
        try:
            if post_send_callback is not None:
                post_send_callback(request)
        finally:
            if self.driven:
                self._drive()
        return 0

    @property
    def _is_callback(self):
        """It is a callback of this layer that asks: it cannot wait for what the layer does."""
        return self.is_mine()

    def _await(self, SendRequest request not None, timeout):
        if not self._wait_done(request, timeout):
            raise errors.BlockingSendTimeout(
                f"message of {request.size} bytes not sent within {timeout} s ({request.taken} bytes are)")
        self._require_sent(request)

    def _wait_done(self, SendRequest request not None, timeout):
        """Wait up to `timeout` seconds until the message was sent or given up; False if it was not."""
        return request.event.wait(timeout)

    def _require_sent(self, SendRequest request not None):
        """Raise BlockingSendFailure if the message, which is done, was not sent."""
        if not request.success:
            reason = f": {request.failure}" if request.failure is not None else ": it was stopped"
            raise errors.BlockingSendFailure(
                f"message of {request.size} bytes was not sent{reason}") from request.failure

    def transmitting(self) -> bool:
        """True while a message is being sent or waits for that."""
        return self.session.tx.state != TX_IDLE or self.tx_queue.count > 0

    def _withdraw(self, SendRequest request not None):
        """Give up this message, and no other, if it waits or is being sent. False: it has ended already."""
        cdef bint active
        with cython.critical_section(self):
            active = self.active_send_request is request
        if active:
            self.stop_sending()
            return True
        if not self.tx_queue.remove(request) and not self.forget_apart(request):
            return False
        request._complete(False, None)
        return True

    cdef bint forget_apart(self, SendRequest request) except -1:
        """Nobody waits any more for the echo of this functional SF. False: there is none such."""
        for entry in list(self.apart or ()):
            if entry[1] is request:
                self.apart.remove(entry)
                return True
        return False

    def clear_tx_queue(self) -> None:
        """Drop the messages that wait to be sent; a blocking send that waits raises BlockingSendFailure."""
        cdef SendRequest request
        while True:
            request = self.tx_queue.pop()
            if request is None:
                return
            request._complete(False, None)

    # ------------------------------------------------ messages in

    def recv(self, block: bool = False, timeout: float | None = None, until_begin: bool = False) -> bytearray | None:
        """The next message received, or None.

        :param block: wait for one.
        :param timeout: the most seconds to wait; None: no limit.
        :param until_begin: `timeout` is for the beginning of a message. If its First Frame has come by then, the call
            waits for the rest as long as its frames come in time (N_Cr).
        :raises ValueError: if `timeout` is negative or NaN.
        :raises isotp.BlockingReceiveFailure: with `until_begin`, if a message breaks off; its `__cause__` says why.
        """
        message = self._await_message(timeout, until_begin, False) if block else self.rx_queue.pop()
        if unlikely(self.waits_for_room) and message is not None:
            self._room_was_made()
        return message

    def recvmsg(
        self, block: bool = False, timeout: float | None = None, until_begin: bool = False
    ) -> Reception | None:
        """Like recv(), with all that is known of the message.

        :returns: :class:`isotp.Reception`, or None.
        """
        message = self._await_message(timeout, until_begin, True) if block else self.rx_queue.pop_whole()
        if unlikely(self.waits_for_room) and message is not None:
            self._room_was_made()
        return message

    def _await_message(self, timeout, until_begin, bint whole):
        breaks = self.breaks
        timeout = self._read_meanwhile(timeout, breaks if until_begin else None)
        if until_begin:
            return self._recv_begun(timeout, breaks, whole)
        try:
            return self.rx_queue._get(True, timeout, whole)
        except queue.Empty:
            return None

    def _read_meanwhile(self, timeout, breaks):
        """Bring a message, where who waits for it can; unless one breaks off beyond so many. What is left to wait."""
        return timeout

    @property
    def _breaks(self):
        """How many messages broke off that had begun."""
        return self.breaks

    @property
    def _has_begun(self):
        """A message of several frames has, and has neither come nor broken off."""
        return self.has_begun

    def _broken_off(self):
        """The exception that says that a message which had begun broke off."""
        error = errors.BlockingReceiveFailure(f"a message that had begun broke off: {self.broken_by}")
        error.__cause__ = self.broken_by
        return error

    def _recv_begun(self, timeout, breaks, bint whole):
        """recv(until_begin=True), where so many messages had broken off when it began."""
        seconds = seconds_to_wait("timeout", timeout)
        if seconds is not None and seconds < 0:
            raise ValueError(f"timeout must not be negative: {timeout!r}")
        message = self.rx_queue._wait_to_begin(
            lambda: self.breaks != breaks, lambda: self.has_begun,
            None if seconds is None else time.monotonic() + seconds, whole)
        if message is None and self.breaks != breaks:
            raise self._broken_off()
        return message

    def available(self) -> bool:
        """True if a message can be taken with recv()."""
        return self.rx_queue.count > 0

    def clear_rx_queue(self) -> None:
        """Drop the messages that were received and not taken."""
        self.rx_queue.clear()

    # ------------------------------------------------ both

    def reset(self) -> None:
        """Back to the start: nothing sent, nothing received, queues empty.

        :raises RuntimeError: if the layer was started.
        """
        if self.driven:
            raise RuntimeError("reset() is not possible while the layer is started")
        self._reset()

    def _reset(self):
        self.clear_tx_queue()
        self.clear_rx_queue()
        self.stop_sending()
        self.stop_receiving()
        self.inlet.inbox.clear()
        self.rate_limiter.reset()

    # ------------------------------------------------ counters

    @cython.final
    cdef Totals totals(self) noexcept:
        cdef Totals all
        all.session = self.session.counted
        all.frames_received = self.frames_received
        all.frames_received_natively = self.received_natively
        all.frames_sent = self.outlet.sent
        all.frames_sent_natively = self.outlet.sent_in_batches
        all.retries = self.outlet.retries
        all.throttled = self.throttled
        all.receptions_refused = self.receptions_refused
        all.messages_dropped = self.messages_dropped
        all.frames_dropped = self.inlet.dropped
        all.errors_dropped = self.reporter.dropped
        return all

    def _stats(self, bint reset):
        """What was counted since the last reset, from any thread; `reset` begins anew in the same step."""
        from isotp.stats import Stats  # what it imports takes long, and not everybody counts

        cdef Totals now
        cdef Totals zero
        cdef dict error_counts
        cdef Py_ssize_t rx_most, tx_most, inbox_most
        with cython.critical_section(self):
            now = self.totals()
            zero = self.zero
            rx_most, tx_most, inbox_most = self.rx_queue.most, self.tx_queue.most, self.inlet.inbox.most
            if reset:
                self.zero = now
                self.rx_queue.most = self.tx_queue.most = self.inlet.inbox.most = 0
            error_counts = self.reporter.error_counts(reset)
        dropped = {
            "receptions": now.receptions_refused - zero.receptions_refused,
            "messages": now.messages_dropped - zero.messages_dropped,
            "frames": now.frames_dropped - zero.frames_dropped,
            "errors": now.errors_dropped - zero.errors_dropped,
        }
        by_name = {}
        for error_class, count in error_counts.items():
            by_name[error_class.__name__] = by_name.get(error_class.__name__, 0) + count
        return Stats(
            frames_received=now.frames_received - zero.frames_received,
            frames_for_us=now.session.frames_for_us - zero.session.frames_for_us,
            frames_received_natively=now.frames_received_natively - zero.frames_received_natively,
            frames_sent=now.frames_sent - zero.frames_sent,
            frames_sent_natively=now.frames_sent_natively - zero.frames_sent_natively,
            messages_received=now.session.messages_received - zero.session.messages_received,
            bytes_received=now.session.bytes_received - zero.session.bytes_received,
            messages_sent=now.session.messages_sent - zero.session.messages_sent,
            bytes_sent=now.session.bytes_sent - zero.session.bytes_sent,
            flow_controls_received=now.session.flow_controls_received - zero.session.flow_controls_received,
            waits_received=now.session.waits_received - zero.session.waits_received,
            flow_controls_sent=now.session.flow_controls_sent - zero.session.flow_controls_sent,
            retries=now.retries - zero.retries,
            throttled=now.throttled - zero.throttled,
            dropped={name: count for name, count in dropped.items() if count > 0},
            rx_queue_most=rx_most,
            tx_queue_most=tx_most,
            inbox_most=inbox_most,
            errors=by_name,
        )
