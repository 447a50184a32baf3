# One end of a session as Python sees it: the session, what it is set to and wired to, and its state for those who look.


@cython.final
cdef class Addresses:
    """The addresses of a session, as objects. Never changed: other addresses are another one of these."""


cdef uint32_t number_up_to(str name, object value, uint32_t most) except? 0xFFFFFFFF:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{name} must be an integer from 0 to {most}, not {value!r}")
    return value


cdef class Endpoint:
    """A session with what it is set to. Each change of it is one step without Python code in it, from any thread."""

    def __cinit__(self, *args, **kwargs):
        session_init(&self.session)
        self.time = Clock.__new__(Clock)
        self.rate_limiter = RateLimiter.__new__(RateLimiter)
        self.wiring = self.using = Wiring.__new__(Wiring)
        self.target = Target.__new__(Target)
        self.reporter = Reporter.__new__(Reporter)
        self.reporter.clock = self.time
        self.reporter.set_logger(logging.getLogger("isotp"))
        self.addresses = Addresses.__new__(Addresses)
        self.addresses.further = ()
        self.stale = True

    def __dealloc__(self):
        session_free(&self.session)

    # ------------------------------------------------ parameters

    @property
    def clock(self):
        """Callable that returns ns, in place of `time.perf_counter_ns()`: for tests; to be set before start()."""
        return self.time.function

    @clock.setter
    def clock(self, clock):
        self.time.function = clock

    @property
    def params(self):
        """Parameters of the layer; changes take effect with the next frame, `tx_data_length` with the next message."""
        with cython.critical_section(self):
            params = self._params
        return params

    @params.setter
    def params(self, params):
        if not isinstance(params._on_change, Watchers):
            params._on_change = Watchers()
        params._on_change.add(self)
        given = params
        with cython.critical_section(self):
            self._params, params = params, self._params
            self.stale = True
        if params is not None and params is not given:
            params._on_change.discard(self)

    @cython.final
    cdef int flatten(self) except -1:
        """Read the Params into what the machines work with."""
        cdef Settings settings
        cdef uint64_t turn
        params = self.params
        if params is None:
            raise RuntimeError(f"{type(self).__name__}.__init__() of the base class was not called")
        with cython.critical_section(self):
            self.stale = False
            self.flattenings += 1
            turn = self.flattenings
        try:
            settings = settings_of(params)
        except ValueError:
            self.stale = True
            raise
        with cython.critical_section(self):
            # Reading Params lets other threads in: what one of them read later is not to be undone.
            if turn >= self.flattened:
                self.flattened = turn
                self.settings = settings
                session_set(&self.session, &settings.config, self.now)
        return 0

    def load_params(self) -> None:
        """Validate the parameters and bring the rate limiter up to date.

        :raises ValueError: if a parameter has an invalid value.
        """
        params = self.params
        params.validate()
        self.flatten()
        self.rate_limiter.configure(params.rate_limit_max_bitrate, params.rate_limit_window_size)
        if not params.rate_limit_enable:
            self.rate_limiter.disable()

    # ------------------------------------------------ addresses

    @property
    def address(self):
        """N_AI of this layer."""
        return self.addresses_now().own

    @address.setter
    def address(self, address):
        self.set_address(address)

    @property
    def _asks_address(self):
        """A user's class of address decides for itself which frames it takes."""
        return self.addresses_now().asked is not None

    def set_address(self, address: Address | AsymmetricAddress) -> None:
        """Use this address from the next message on; frames are heard on it at once.

        A message that is on its way keeps the address that it began with; docs/threads.md says what that means.

        :param address: `isotp.Address` or `isotp.AsymmetricAddress`, for both directions.
        :raises ValueError: if it is something else, or an address for one direction only.
        """
        cdef AddressFilter new
        cdef Addresses addresses = Addresses.__new__(Addresses)
        require_both_directions(address)
        new = flatten_address(address)
        addresses.own = address
        addresses.asked = None if takes_frames_by_filter(address) else address.is_for_me
        with cython.critical_section(self):
            addresses.further = self.addresses.further
            self.addresses, addresses = addresses, self.addresses   # what was there dies after the step
            session_use_address(&self.session, &new, self.addresses.asked is not None or self.hears_all())

    def receive_also(self, addresses: Iterable[Address]) -> None:
        """Receive on these addresses too, as an ECU does on its functional one; answers go by the layer's own.

        :param addresses: up to 8 `isotp.Address`; their receiving side counts. They replace those of earlier calls.
        :raises ValueError: if there are too many, or one is not an address, or is one with rules of its own.
        """
        cdef AddressFilter[MAX_FURTHER_ADDRESSES] filters
        cdef Addresses together = Addresses.__new__(Addresses)
        cdef int count = 0
        together.further = tuple(addresses)
        if len(together.further) > MAX_FURTHER_ADDRESSES:
            raise ValueError(
                f"a layer receives on up to {MAX_FURTHER_ADDRESSES} further addresses, not {len(together.further)}")
        for address in together.further:
            if not isinstance(address, AbstractAddress) or not takes_frames_by_filter(address):
                raise ValueError(f"further addresses must be plain isotp.Address objects, not {address!r}")
        for address in together.further:
            filters[count] = flatten_receiving(address)
            count += 1
        with cython.critical_section(self):
            together.own = self.addresses.own
            together.asked = self.addresses.asked
            self.addresses, together = together, self.addresses
            session_hear_also(&self.session, filters, count)

    @cython.final
    cdef Addresses addresses_now(self):
        with cython.critical_section(self):
            addresses = self.addresses
        return addresses

    @cython.final
    cdef object address_of_frame(self):
        """The address that the frame at hand came in on."""
        cdef Addresses addresses = self.addresses_now()
        # Another thread may have changed them meanwhile.
        if 0 <= self.session.matched < len(addresses.further):
            return addresses.further[self.session.matched]
        return addresses.own

    @cython.final
    cdef bint judge(
            self, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size, Judged *judged) except -1:
        """Whether a frame is for us, where the layer's own address does not tell all.

        `judged` becomes the address that it came in on, and what that means for it.
        """
        cdef Addresses addresses
        cdef bint is_own, is_ours
        with cython.critical_section(self):
            addresses = self.addresses
            judged.address = self.session.address      # what was looked at counts, whatever address there is later
        if addresses.asked is None:
            is_own = is_for_us(&judged.address, can_id, data, size)
        else:
            if message is None:
                message = CanMessage(
                    can_id & 0x1FFFFFFF, 0, data[:size], (can_id & <uint32_t>CAN_EFF_FLAG) != 0)
            is_own = bool(addresses.asked(message))
        with cython.critical_section(self):
            is_ours = session_judge(&self.session, is_own, can_id, data, size, judged)
        return is_ours

    # ------------------------------------------------ what its user has overridden

    def _use_hooks(self, Hooks hooks):
        """Call these methods in place of our own from the next frame on; None: our own."""
        with cython.critical_section(self):
            self.hooks, hooks = hooks, self.hooks
            self.session.asks = self.addresses.asked is not None or self.hears_all()
            session_look_closer_if_needed(&self.session)
            self.note_what_is_waited_for()
        self.rewire({})                # the next pass begins with another port

    @cython.final
    cdef bint hears_all(self) noexcept:
        """Some method of the user's is asked for each frame that comes."""
        return self.hooks is not None and (
            self.hooks.process_rx is not None or self.hooks.stop_receiving is not None)

    @cython.final
    cdef void note_what_is_waited_for(self) noexcept:
        self.waits_for_more = self.confirms or (
            self.hooks is not None and self.hooks.check_timeouts_rx is not None)

    # ------------------------------------------------ what it is wired to

    @cython.final
    cdef int rewire(self, dict changes) except -1:
        cdef Wiring before, after
        cdef bint is_done = False
        while not is_done:
            before = self.wiring_now()
            after = before.but(changes)
            with cython.critical_section(self):
                is_done = self.wiring is before
                if is_done:
                    self.wiring = after    # `before` dies with this function
        return 0

    @cython.final
    cdef Wiring wiring_now(self):
        """For who does not run the machines; who does has `using`."""
        with cython.critical_section(self):
            wiring = self.wiring
        return wiring

    def _wire_rxfn(self, rxfn, bint takes_timeout):
        self.rewire({"rxfn": rxfn, "takes_timeout": takes_timeout})

    @property
    def _rxfn(self):
        return self.wiring_now().rxfn

    @property
    def blocking_rxfn(self):
        """rxfn takes a time-out."""
        return self.wiring_now().takes_timeout

    @property
    def txfn(self):
        """Where frames go."""
        return self.wiring_now().txfn

    @txfn.setter
    def txfn(self, txfn):
        # A native port is set after it: who sets a function of his own wants that to be called.
        self.rewire({"txfn": txfn, "port": port_of(txfn)})

    @property
    def _port(self):
        """Where frames go without becoming CanMessages; None: to txfn."""
        port = self.wiring_now().port
        return None if type(port) is FunctionPort else port

    @_port.setter
    def _port(self, FramePort port):
        self.rewire({"port": port_of(self.wiring_now().txfn) if port is None else port})

    @property
    def error_handler(self):
        """Called with each error that happens on the bus, or None."""
        return self.wiring_now().error_handler

    @error_handler.setter
    def error_handler(self, error_handler):
        self.rewire({"error_handler": error_handler})

    @property
    def post_send_callback(self):
        """Called with the request that send() has queued, or None."""
        return self.wiring_now().post_send_callback

    @post_send_callback.setter
    def post_send_callback(self, post_send_callback):
        self.rewire({"post_send_callback": post_send_callback})

    @property
    def on_message(self):
        """Called with each message received, in place of the queue, or None."""
        return self.wiring_now().on_message

    @on_message.setter
    def on_message(self, on_message):
        self.rewire({"on_message": on_message} if on_message is None
                    else {"on_message": on_message, "on_reception": None})

    @property
    def on_reception(self):
        """Called with each message received, as a Reception, in place of the queue and of `on_message`, or None."""
        return self.wiring_now().on_reception

    @on_reception.setter
    def on_reception(self, on_reception):
        self.rewire({"on_reception": on_reception} if on_reception is None
                    else {"on_reception": on_reception, "on_message": None})

    @property
    def on_begin(self):
        """Called when a segmented message begins, or None."""
        return self.wiring_now().on_begin

    @on_begin.setter
    def on_begin(self, on_begin):
        self.rewire({"on_begin": on_begin})

    @property
    def receive_into(self):
        """Called with the length of each segmented message that begins; returns where to put it; or None."""
        return self.wiring_now().receive_into

    @receive_into.setter
    def receive_into(self, receive_into):
        self.rewire({"receive_into": receive_into})

    @property
    def is_ready(self):
        """Asked before each Flow Control that would let a message continue: can more of it be taken? Or None."""
        return self.wiring_now().is_ready

    @is_ready.setter
    def is_ready(self, is_ready):
        self.rewire({"is_ready": is_ready})

    def _set_courier(self, courier):
        """What calls on_message and error_handler from now on, see threads/courier.py; None: who runs the machines."""
        self.rewire({"courier": courier})

    @property
    def logger(self):
        """`logging.Logger` of this layer."""
        return self.reporter.get_logger()

    @logger.setter
    def logger(self, logger):
        self.reporter.set_logger(logger)

    @property
    def last_error(self):
        """The error that was reported last, or None."""
        return self.reporter.get_last_error()

    def trigger_error(self, error: IsoTpError) -> None:
        """Report an error as the layer itself does: log, then error handler."""
        self.reporter.tell(error, self.wiring_now())

    @cython.final
    cdef int tell(self, object error) except -1:
        """Report an error of the session."""
        if self.session.rx.state == RX_IDLE:
            self.note_break(error)
            if self.target.is_there():
                # The message that went there broke off.
                error.target = self.target.part()
        if unlikely(self.hooks is not None) and is_told_to_hook(self, error):
            return 0
        self.reporter.tell(error, self.using)
        return 0

    cdef int note_break(self, object error) except -1:
        """No message is being received now: if one was, it broke off by this."""
        raise NotImplementedError(f"{type(self).__name__}.note_break")

    # ------------------------------------------------ frames, as this end would send them

    def _close_message(self, uint32_t arbitration_id, bytes data, bint is_extended_id):
        """A frame to send with this data, padded and flagged as the parameters say."""
        cdef CanMessage message = new_frame_message()
        if self.stale:
            self.flatten()
        if len(data) > CAN_DLEN_MAX:
            raise ValueError(f"no CAN frame holds {len(data)} bytes")
        memcpy(message.frame.data, PyBytes_AS_STRING(data), <size_t>len(data))
        close_frame(&message.frame, &self.session.config, <int>len(data))
        message.frame.can_id = flagged_id(arbitration_id, is_extended_id)
        message.frame.res1 = DLC_CODE[message.frame.len]
        return message

    def make_flow_control(
        self, flow_status: int = FS_CTS, blocksize: int | None = None, stmin: int | None = None
    ) -> CanMessage:
        """A flow control frame as this layer would send it now, or with other values."""
        cdef Frame frame
        cdef Config config
        if self.stale:
            self.flatten()
        config = self.session.config
        blocksize = config.blocksize if blocksize is None else blocksize
        stmin = config.stmin if stmin is None else stmin
        check_flow_control(flow_status, blocksize, stmin)
        config.blocksize = blocksize
        config.stmin = stmin
        encode_flow_control(<FlowStatus><int>flow_status, &config, &self.session.address, &frame)
        message = message_of_frame(&frame)
        if unlikely(self.hooks is not None):
            return frame_by_hook(self, message, self.session.address.tx_prefix_size + 3, False)
        return message

    def start_rx_fc_timer(self) -> None:
        """Start N_Bs anew, if a flow control frame is awaited."""
        if self.session.tx.state == TX_WAIT_FC:
            self.session.tx.fc_deadline = self.time.read() + self.session.config.n_bs_ns

    def start_rx_cf_timer(self) -> None:
        """Start N_Cr anew, if a consecutive frame is awaited."""
        if self.session.rx.state == RX_WAIT_CF:
            self.session.rx.deadline = self.time.read() + self.session.config.n_cr_ns

    # ------------------------------------------------ state, for those who look

    @property
    def _rx_state_code(self):
        """State of reception as an int, see TransportLayerLogic.RxState."""
        return <int>self.session.rx.state

    @property
    def _tx_state_code(self):
        """State of transmission as an int, see TransportLayerLogic.TxState."""
        return <int>self.session.tx.state

    @property
    def rx_buffer(self):
        """Copy of what was received so far of the current message and is not in the target of receive_into yet."""
        cdef Py_ssize_t size
        with cython.critical_section(self):
            size = 0 if self.session.rx.state == RX_IDLE else <Py_ssize_t>(self.session.rx.got - self.session.rx.taken)
            received = PyByteArray_FromStringAndSize(<char *>self.session.rx.buffer, size)
        return received

    @property
    def last_seqnum(self):
        """SN of the last consecutive frame received."""
        return self.session.rx.sn

    @last_seqnum.setter
    def last_seqnum(self, value):
        self.session.rx.sn = <uint8_t>number_up_to("last_seqnum", value, 0x0F)

    @property
    def tx_seqnum(self):
        """SN of the next consecutive frame to send."""
        return self.session.tx.sn

    @tx_seqnum.setter
    def tx_seqnum(self, value):
        self.session.tx.sn = <uint8_t>number_up_to("tx_seqnum", value, 0x0F)

    @property
    def remote_blocksize(self):
        """BS that the last flow control frame asked for; None before the first one."""
        return None if self.session.tx.blocksize == NO_BLOCKSIZE else self.session.tx.blocksize

    @remote_blocksize.setter
    def remote_blocksize(self, value):
        self.session.tx.blocksize = (
            <uint16_t>NO_BLOCKSIZE if value is None else <uint16_t>number_up_to("remote_blocksize", value, 0xFF))

    @property
    def actual_rxdl(self):
        """RX_DL of the message being received, or None."""
        return None if self.session.rx.state == RX_IDLE else self.session.rx.rx_dl

    @property
    def rx_frame_length(self):
        """FF_DL of the last first frame."""
        return self.session.rx.size

    @property
    def tx_frame_length(self):
        """Length of the last message to send."""
        return self.session.tx.size

    @property
    def rx_block_counter(self):
        """Consecutive frames received since our last flow control frame."""
        return self.session.rx.in_block

    @rx_block_counter.setter
    def rx_block_counter(self, value):
        self.session.rx.in_block = number_up_to("rx_block_counter", value, 0xFFFFFFFF)

    @property
    def tx_block_counter(self):
        """Consecutive frames sent since the receiver's last flow control frame."""
        return self.session.tx.in_block

    @tx_block_counter.setter
    def tx_block_counter(self, value):
        self.session.tx.in_block = number_up_to("tx_block_counter", value, 0xFFFFFFFF)

    @property
    def pending_flow_control_tx(self):
        """A flow control frame is due; to set it has one (CTS) go with the next pass, or none."""
        return self.session.rx.due != FS_NONE

    @pending_flow_control_tx.setter
    def pending_flow_control_tx(self, bint is_due):
        if not is_due:
            self.stop_sending_flow_control()
        elif self.session.rx.due == FS_NONE:
            self.request_tx_flowcontrol()

    def request_tx_flowcontrol(self, status: int = FS_CTS) -> None:
        """Have a flow control frame go with the next pass: 0 CTS, 1 Wait, 2 Overflow."""
        cdef FlowStatus due = <FlowStatus><int>number_up_to("status", status, FS_OVFLW)
        with cython.critical_section(self):
            self.session.rx.due = due

    def request_wait_flow_control(self) -> None:
        """Have a flow control frame with FlowStatus Wait go with the next pass."""
        self.request_tx_flowcontrol(FS_WAIT)

    def stop_sending_flow_control(self) -> None:
        """Let no flow control frame go that is due."""
        with cython.critical_section(self):
            self.session.rx.due = FS_NONE

    @property
    def wft_counter(self):
        """Wait frames in a row."""
        return self.session.tx.waits

    @wft_counter.setter
    def wft_counter(self, value):
        self.session.tx.waits = number_up_to("wft_counter", value, 0xFFFFFFFF)

    @property
    def tx_standby_msg(self):
        """Frame that the rate limiter holds back, or None. (Payload of a generator: as far as taken.)"""
        cdef Frame frame
        cdef Transmitter tx
        cdef bint is_there
        with cython.critical_section(self):
            is_there = self.session.tx.state == TX_SF_STANDBY or self.session.tx.state == TX_FF_STANDBY
            if is_there:
                tx = self.session.tx           # the layer's own takes note of the frame that it made last
                choose_first_frame(&tx, &self.session.config, &self.session.address)
                encode_next(&tx, &self.session.config, &self.session.address, 0xFFFFFFFF, &frame)
        return message_of_frame(&frame) if is_there else None

    def is_tx_throttled(self) -> bool:
        """True while the rate limiter holds the first frame of a message back."""
        return self.session.tx.state == TX_SF_STANDBY or self.session.tx.state == TX_FF_STANDBY

    def is_rx_active(self) -> bool:
        """True while a message is being received."""
        return self.session.rx.state != RX_IDLE

    def is_tx_transmitting_cf(self) -> bool:
        """True while consecutive frames are being sent."""
        return self.session.tx.state == TX_TRANSMIT_CF

    def next_cf_delay(self) -> float | None:
        """Seconds until STmin lets the next consecutive frame go; None if none is to be sent."""
        if self.session.tx.state != TX_TRANSMIT_CF:
            return None
        return max(0, min(self.session.tx.cf_due, LONGEST_WAIT_NS) - self.time.read()) / 1e9

    def _timer_state(self, which):
        """(start, length) in ns of the timer "fc", "cf" or "stmin"; None if it does not run."""
        if which == "fc" and self.session.tx.state == TX_WAIT_FC and self.session.tx.fc_deadline != NEVER:
            return self.session.tx.fc_deadline - self.session.config.n_bs_ns, self.session.config.n_bs_ns
        if which == "cf" and self.session.rx.deadline != NEVER:
            return self.session.rx.deadline - self.session.config.n_cr_ns, self.session.config.n_cr_ns
        if which == "stmin" and self.session.tx.state == TX_TRANSMIT_CF and self.session.tx.cf_due != NEVER:
            return self.session.tx.cf_due - self.session.tx.stmin_ns, self.session.tx.stmin_ns
        return None
