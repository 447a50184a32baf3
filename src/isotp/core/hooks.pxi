# Methods of a layer that its user has overridden: the core calls them where it would go on by itself. A layer without
# any has no Hooks, and takes none of these ways.


# What each is called: the first generation has them in public, the second behind an underscore.
HOOKS = {
    name: (name, f"_{name}")
    for name in ("make_flow_control", "make_tx_msg", "pad_message_data", "process_rx", "process_tx",
                 "check_timeouts_rx", "trigger_error")
}
# As in the second generation, what somebody calls is not what is called at each end.
HOOKS.update({name: (f"_{name}",) for name in ("stop_receiving", "stop_sending")})
cdef object HOOK_NAMES = frozenset(name for names in HOOKS.values() for name in names)


@cython.final
cdef class Hooks:
    """The user's methods in place of ours, bound to their layer; None: ours. Never changed: others are another one."""

    def __init__(self, dict methods not None):
        for name, method in methods.items():
            setattr(self, name, method)


cdef Hooks hooks_now(Endpoint layer):
    with cython.critical_section(layer):
        hooks = layer.hooks
    return hooks


cdef bint is_told_to_hook(Endpoint layer, object error) except -1:
    """False: the user has no trigger_error() of his own."""
    cdef Hooks hooks = hooks_now(layer)
    if hooks is None or hooks.trigger_error is None:
        return False
    hooks.trigger_error(error)
    return True


cdef unsigned long begin_to_tell(Endpoint layer) noexcept:
    """The user's method of this thread hears of an end: what it calls of ours has nothing left to do."""
    cdef unsigned long before
    with cython.critical_section(layer):
        before = layer.told
        layer.told = PyThread_get_thread_ident()
    return before


cdef void end_to_tell(Endpoint layer, unsigned long before) noexcept:
    with cython.critical_section(layer):
        layer.told = before


cdef int tell_of_end(Endpoint layer, object method, dict arguments) except -1:
    """Tell the user's method that sending or receiving has ended."""
    cdef unsigned long before = begin_to_tell(layer)
    try:
        method(**arguments)
    finally:
        end_to_tell(layer, before)
    return 0


# ---------------------------------------------------------------- a frame comes


cdef int hear_by_hook(
        Receiving layer, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size, const Judged *judged,
) except -1:
    """Give a frame that is ours to the user's process_rx(), who hands it on to ours, or does not."""
    cdef Hooks hooks = hooks_now(layer)
    if message is None:
        message = CanMessage(can_id & 0x1FFFFFFF, 0, data[:size], (can_id & <uint32_t>CAN_EFF_FLAG) != 0)
    layer.heard = judged[0]
    if hooks is None or hooks.process_rx is None:
        return take_heard(layer, message)
    layer.hears = True
    try:
        hooks.process_rx(message)
    finally:
        layer.hears = False
    return 0


cdef int take_heard(Receiving layer, object message) except -1:
    """Handle a frame of which is known what it is to this layer."""
    cdef RxEvent event
    cdef bint was_receiving, has_ended
    cdef bint hears = layer.hears
    cdef bytes data = bytes(message.data or b"")
    cdef object payload = None
    with cython.critical_section(layer):
        was_receiving = layer.session.rx.state != RX_IDLE
        event = receive_frame(
            layer, &layer.heard, <const uint8_t *>PyBytes_AS_STRING(data), <int>min(PyBytes_GET_SIZE(data), INT_MAX))
        if event == RX_MESSAGE:
            payload = PyByteArray_FromStringAndSize(
                <char *>layer.session.rx.message, <Py_ssize_t>layer.session.rx.message_size)
        # As can-isotp has it: not where a Single Frame interrupts
        has_ended = layer.session.rx.state == RX_IDLE and layer.session.outcome.interruption == OK and (
            was_receiving or OK < layer.session.outcome.code <= BAD_FC_STMIN)
    layer.hears = False                # a frame that a callback gives is for later
    try:
        layer.follow(event, layer.heard.apart, payload)
    finally:
        layer.hears = hears
    if has_ended:
        tell_of_end_of_reception(layer)
    return 0


cdef int tell_of_end_of_reception(Receiving layer) except -1:
    cdef Hooks hooks = hooks_now(layer)
    if hooks is not None and hooks.stop_receiving is not None:
        tell_of_end(layer, hooks.stop_receiving, {})
    return 0


cdef bint is_checked_by_hook(Engine engine, int64_t until) except -1:
    """Have the user's check_timeouts_rx() look for N_Cr; a reception that it lets go on, it is asked for again after
    another N_Cr. False: he has none."""
    cdef Hooks hooks = hooks_now(engine)
    if hooks is None or hooks.check_timeouts_rx is None:
        return False
    engine.checks_until = until
    engine.checks = True
    try:
        hooks.check_timeouts_rx()
    finally:
        engine.checks = False
    with cython.critical_section(engine):
        if until >= engine.session.rx.deadline:
            engine.session.rx.deadline = until + engine.session.config.n_cr_ns
    return True


# ---------------------------------------------------------------- a frame goes


@cython.final
cdef class EndTeller:
    """The `on_done` of a message that is being sent: the user's stop_sending() hears of its end."""

    cdef Sending layer
    cdef object on_done            # as it was without this one

    def __call__(self, SendRequest request not None):
        cdef Hooks hooks = None if self.layer is None else hooks_now(self.layer)
        if (hooks is not None and hooks.stop_sending is not None
                and self.layer.told != PyThread_get_thread_ident()):
            tell_of_end(self.layer, hooks.stop_sending, {"success": request.success})
        if self.on_done is not None:
            self.on_done(request)


cdef int tell_of_its_end(Sending layer, SendRequest request) except -1:
    """Have the user's stop_sending() hear of the end of the message that is sent from now on."""
    cdef EndTeller teller = EndTeller.__new__(EndTeller)
    teller.layer = layer
    teller.on_done = request.on_done
    request.on_done = teller
    return 0


cdef int complete_untold(Sending layer, SendRequest request, bint success) except -1:
    """A message ends because somebody has it stopped: the user's stop_sending() is what he called."""
    cdef unsigned long before = begin_to_tell(layer)
    try:
        request._complete(success, None)
    finally:
        end_to_tell(layer, before)
    return 0


cdef object frame_by_hook(Endpoint layer, CanMessage message, int size, bint functional):
    """What the user's methods make of a frame with so many bytes before its padding."""
    cdef Hooks hooks = hooks_now(layer)
    if hooks is None:
        return message
    if hooks.tx_id is not None:
        message.arbitration_id = hooks.tx_id(
            TargetAddressType.Functional if functional else TargetAddressType.Physical)
    if hooks.make_tx_msg is None:
        return message
    return hooks.make_tx_msg(message.arbitration_id, message.data[:size])


@cython.final
cdef class AskingPort(FramePort):
    """Has the user's methods make of each frame what goes in its place, and gives that to the port behind it."""

    cdef Engine engine
    cdef FramePort behind
    cdef bint asks_process_tx
    cdef object error              # of the user's method, which refusal() raises
    cdef bint has_frame            # our process_tx(), called by the user's, gives the frame in `next`

    cdef object made(self):
        """The message that goes in place of the frame in `next`."""
        cdef Hooks hooks = hooks_now(self.engine)
        cdef const Transmitter *tx = &self.engine.session.tx
        cdef int size = self.engine.session.address.tx_prefix_size
        cdef const uint8_t *pci = &self.next.data[size]
        cdef int n_pci_type = pci[0] >> 4
        if n_pci_type == N_PCI_FC:
            if hooks is not None and hooks.make_flow_control is not None:
                return hooks.make_flow_control(flow_status=pci[0] & 0x0F)
            size += 3
        elif n_pci_type == N_PCI_SF:
            size += tx.in_frame + (1 if pci[0] != 0 else 2)
        elif n_pci_type == N_PCI_FF:
            size = self.next.len       # it is always full
        else:
            size += tx.in_frame + 1
        return frame_by_hook(
            self.engine, message_of_frame(self.next), size, n_pci_type == N_PCI_SF and tx.functional)

    cdef object asked(self):
        """What goes in place of the frame in `next`; None: nothing."""
        cdef Hooks hooks = hooks_now(self.engine)
        if hooks is None or hooks.process_tx is None or not self.asks_process_tx:
            return self.made()
        self.has_frame = True
        try:
            report = hooks.process_tx()
        finally:
            self.has_frame = False
        return getattr(report, "msg", report)      # of the second generation, or of the first

    cdef bint put(self) except -1:
        cdef bint went
        cdef uint8_t mark
        try:
            message = self.asked()
            if message is None:
                return True
            mark = self.behind.next.res0       # the port's own
            frame_of_message(message, self.behind.next)
            self.behind.next.res0 = mark
            if DLC_CODE[self.behind.next.len] == INVALID_DLC:
                raise ValueError(f"no CAN frame can be {message!r}")
        except BaseException as error:
            self.error = error
            return False
        if self.engine.outlet.echoes is not None:
            self.engine.outlet.echoes.drop_newest(1)       # what the bus confirms is the one that goes
            self.engine.outlet.echoes.add(self.behind.next)
        went = self.behind.put()
        self.waiting = self.behind.waiting
        return went

    cdef int flush(self) except -1:
        try:
            self.behind.flush()
        finally:
            self.waiting = self.behind.waiting
            self.lost = self.behind.lost
        return 0

    cdef object refusal(self):
        error, self.error = self.error, None
        if error is not None:
            raise error
        return self.behind.refusal()

    cdef void keep(self, int count) noexcept:
        self.behind.keep(count)
        self.waiting = self.behind.waiting


cdef FramePort asking_port(Engine engine, FramePort behind, bint asks_process_tx):
    """`behind` itself, where the user has no method that is to be asked for the frames that go."""
    cdef AskingPort port
    cdef Hooks hooks = hooks_now(engine)
    if hooks is None or (hooks.make_flow_control is None and hooks.make_tx_msg is None and hooks.process_tx is None
                         and hooks.tx_id is None):
        return behind
    port = AskingPort.__new__(AskingPort)
    port.engine = engine
    port.behind = behind
    port.waiting = behind.waiting
    port.asks_process_tx = asks_process_tx
    return port


cdef bint is_asked_for_frame(Engine engine) noexcept:
    """Whether our process_tx() was called by the user's, for the frame that is to go."""
    return type(engine.outlet.port) is AskingPort and (<AskingPort>engine.outlet.port).has_frame


cdef object frame_asked_for(Engine engine):
    cdef AskingPort port = engine.outlet.port
    port.has_frame = False             # there is no second one
    return port.made()
