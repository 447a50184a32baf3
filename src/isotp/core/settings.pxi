# The parameters of a layer, flattened to what the machines work with; who is to be told when they change.


cdef int64_t ns_of_ms(object milliseconds) except -1:
    return min(int(milliseconds * 1_000_000), LONGEST_WAIT_NS)


cdef Config config_of(object params) except *:
    """What the protocol works with, of some Params.

    :raises TypeError, ValueError, ArithmeticError: if they have invalid values.
    """
    cdef Config config
    memset(&config, 0, sizeof(Config))
    config.tx_dl = params.tx_data_length
    config.min_length = params.tx_data_min_length or 0
    config.pads_classic = params.tx_padding is not None and config.min_length == 0
    config.padding = DEFAULT_PADDING if params.tx_padding is None else params.tx_padding
    config.frame_flags = (CANFD_FDF if params.can_fd else 0) | (CANFD_BRS if params.bitrate_switch else 0)
    config.blocksize = params.blocksize
    config.stmin = params.stmin
    config.listen = params.listen_mode
    config.strict = params.strict
    config.awaits_fc = params.tx_flow_control
    override = params.effective_override_stmin
    config.overrides_stmin = override is not None
    if override is not None:
        config.override_stmin_ns = math.ceil(min(override * 1e9, <double>LONGEST_WAIT_NS))
    config.wftmax = min(params.wftmax, 0xFFFFFFFF)
    config.max_frame_size = min(params.max_frame_size, 0xFFFFFFFF)
    config.n_as_ns = ns_of_ms(params.tx_frame_timeout)
    config.n_bs_ns = ns_of_ms(params.rx_flowcontrol_timeout)
    config.n_cr_ns = ns_of_ms(params.rx_consecutive_frame_timeout)
    config.n_br_ns = ns_of_ms(params.wait_frame_interval)
    if (config.tx_dl < CAN_DLEN_CLASSIC or config.tx_dl > CAN_DLEN_MAX
            or FD_LENGTH[config.tx_dl] != config.tx_dl or config.min_length > config.tx_dl):
        raise ValueError("tx_data_length and tx_data_min_length must be CAN frame lengths that fit")
    return config


cdef uint64_t limit_of(object limit) except? 0:
    return NO_LIMIT if limit is None else min(limit, NO_LIMIT)


cdef Settings settings_of(object params) except *:
    """All of some Params.

    :raises ValueError: if they have invalid values.
    """
    cdef Settings settings
    try:
        settings.config = config_of(params)
        settings.default_functional = (
            TargetAddressType(params.default_target_address_type) == TargetAddressType.Functional)
        settings.blocking_send = params.blocking_send
        settings.rx_limit = limit_of(params.rx_queue_limit)
        settings.tx_limit = limit_of(params.tx_queue_limit)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"parameters were assigned values that they cannot have: {params!r}: {error}") from error
    return settings


cdef class Watchers:
    """The layers that use some Params: told when they change, so that each can flatten them anew."""

    cdef readonly object layers
    cdef object changing           # threading.RLock: a set must not grow while it is gone through

    def __cinit__(self):
        self.layers = weakref.WeakSet()
        self.changing = threading.RLock()

    def add(self, layer):
        """Tell this layer too."""
        with self.changing:
            self.layers.add(layer)

    def discard(self, layer):
        """Tell this layer no more."""
        with self.changing:
            self.layers.discard(layer)

    def __call__(self):
        cdef Endpoint layer
        with self.changing:
            for layer in self.layers:
                with cython.critical_section(layer):       # before it reads the Params, or after it began to
                    layer.stale = True
