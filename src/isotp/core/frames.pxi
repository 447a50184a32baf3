# CAN frames and N_PDUs as Python sees them.


def nearest_can_fd_size(size: int) -> int:
    """Smallest CAN FD data length that holds `size` bytes.

    :raises ValueError: if `size` is not within 0..64.
    """
    if not 0 <= size <= CAN_DLEN_MAX:
        raise ValueError(f"no CAN frame holds {size} bytes")
    return FD_LENGTH[<int>size]


def dlc_of(size: int) -> int:
    """DLC code (ISO 11898-1) of a frame with exactly `size` bytes of data.

    :raises ValueError: if no frame has this length.
    """
    if not 0 <= size <= CAN_DLEN_MAX or DLC_CODE[<int>size] == INVALID_DLC:
        raise ValueError(f"no CAN frame has exactly {size} bytes of data")
    return DLC_CODE[<int>size]


@cython.freelist(1024)
@cython.no_gc
cdef class CanMessage:
    """CanMessage(arbitration_id=0, dlc=0, data=b"", extended_id=False, is_fd=False, bitrate_switch=False)\n--\n\n
    One frame on the CAN bus (ISO 11898-1), classic or FD.

    Nothing is checked here: a message is what a driver says it received, or what a layer asks to send.

    :param arbitration_id: CAN identifier, 11 bits, or 29 bits if `extended_id`.
    :param dlc: DLC code. Set on frames that a layer sends (9..15 stand for 12..64 bytes), ignored on reception.
    :param data: payload of 0..64 bytes.
    :param extended_id: the identifier has 29 bits.
    :param is_fd: CAN FD frame.
    :param bitrate_switch: the data phase runs at the higher bit rate (CAN FD only).
    """

    def __init__(self, arbitration_id=0, dlc=0, data=b"", bint extended_id=False, bint is_fd=False,
                 bint bitrate_switch=False):
        memset(&self.frame, 0, sizeof(Frame))
        self.loose = None
        self.arbitration_id = arbitration_id
        self.dlc = dlc
        self.held = data
        if extended_id:
            self.frame.can_id |= CAN_EFF_FLAG
        self.frame.flags = (CANFD_FDF if is_fd else 0) | (CANFD_BRS if bitrate_switch else 0)

    cdef object _loose(self, str name, object value):
        if self.loose is None:
            self.loose = {}
        self.loose[name] = value

    @property
    def arbitration_id(self):
        """CAN identifier."""
        cdef uint32_t can_id = self.frame.can_id & ~<uint32_t>CAN_EFF_FLAG
        if can_id == NO_CAN_ID:
            return self.loose["arbitration_id"]
        return can_id

    @arbitration_id.setter
    def arbitration_id(self, value):
        cdef uint32_t can_id = NO_CAN_ID
        if hasattr(value, "__index__") and 0 <= operator.index(value) < NO_CAN_ID:
            can_id = operator.index(value)
        else:
            self._loose("arbitration_id", value)
        self.frame.can_id = (self.frame.can_id & CAN_EFF_FLAG) | can_id

    @property
    def dlc(self):
        """DLC code."""
        if self.frame.res1 == INVALID_DLC:
            return self.loose["dlc"]
        return self.frame.res1

    @dlc.setter
    def dlc(self, value):
        if hasattr(value, "__index__") and 0 <= operator.index(value) < INVALID_DLC:
            self.frame.res1 = operator.index(value)
        else:
            self._loose("dlc", value)
            self.frame.res1 = INVALID_DLC

    @property
    def data(self):
        """Payload; `bytes` on frames that a layer sends."""
        return data_in(self)

    @data.setter
    def data(self, value):
        with cython.critical_section(self):
            self.held, value = value, self.held    # what was there dies after the step
            self.frame.res0 &= ~INLINE

    @property
    def is_echo(self):
        """This is a frame that was sent here and has come back: a layer with `tx_confirmation` waits for it."""
        return (self.frame.res0 & ECHO) != 0

    @is_echo.setter
    def is_echo(self, bint value):
        with cython.critical_section(self):
            self.frame.res0 = (self.frame.res0 & ~ECHO) | (ECHO if value else 0)

    @property
    def timestamp(self):
        """When it came by the clock of its driver, in s, as python-can's `Message.timestamp`; 0.0: not known."""
        return self.stamp

    @timestamp.setter
    def timestamp(self, double value):
        self.stamp = value

    @property
    def is_extended_id(self):
        """The identifier has 29 bits."""
        return (self.frame.can_id & CAN_EFF_FLAG) != 0

    @is_extended_id.setter
    def is_extended_id(self, bint value):
        if value:
            self.frame.can_id |= CAN_EFF_FLAG
        else:
            self.frame.can_id &= ~<uint32_t>CAN_EFF_FLAG

    @property
    def is_fd(self):
        """This is a CAN FD frame."""
        return (self.frame.flags & CANFD_FDF) != 0

    @is_fd.setter
    def is_fd(self, bint value):
        self.frame.flags = (self.frame.flags & ~CANFD_FDF) | (CANFD_FDF if value else 0)

    @property
    def bitrate_switch(self):
        """The data phase of the CAN FD frame runs at the higher bit rate."""
        return (self.frame.flags & CANFD_BRS) != 0

    @bitrate_switch.setter
    def bitrate_switch(self, bint value):
        self.frame.flags = (self.frame.flags & ~CANFD_BRS) | (CANFD_BRS if value else 0)

    def __reduce__(self):
        fields = (self.arbitration_id, self.dlc, self.data, self.is_extended_id, self.is_fd, self.bitrate_switch)
        others = {"timestamp": self.timestamp, "is_echo": self.is_echo}
        return (type(self), fields, (getattr(self, "__dict__", None), others))

    def __repr__(self):
        data = self.data
        size = 0 if data is None else len(data)
        shown = "" if data is None else bytes(data[:64]).hex() + ("..." if size > 64 else "")
        can_id = self.arbitration_id
        if isinstance(can_id, int):
            can_id = f"{can_id:08x}" if self.is_extended_id else f"{can_id:03x}"
        flags = ",".join(name for name, is_set in (("fd", self.is_fd), ("bs", self.bitrate_switch)) if is_set)
        flags = f"({flags})" if flags else ""
        return f'<{type(self).__name__} {can_id} [{self.dlc}] {flags} "{shown}" at 0x{id(self):x}>'


cdef inline object data_in(CanMessage message):
    cdef object data
    with cython.critical_section(message):
        if message.frame.res0 & INLINE:
            message.held = PyBytes_FromStringAndSize(<char *>message.frame.data, message.frame.len)
            message.frame.res0 &= ~INLINE
        data = message.held
    return data


cdef inline CanMessage new_frame_message():
    cdef CanMessage message = CanMessage.__new__(CanMessage)
    message.frame.res0 = INLINE
    return message


cdef CanMessage message_of_frame(const Frame *frame):
    cdef CanMessage message = new_frame_message()
    memcpy(&message.frame, frame, sizeof(Frame))
    message.frame.res0 = INLINE | (frame.res0 & ECHO)
    message.frame.res1 = DLC_CODE[frame.len]
    return message


cdef CanMessage message_that_came(const Frame *frame, int64_t when):
    """The same of one that a native driver read: by the kernel's stamp."""
    cdef CanMessage message = message_of_frame(frame)
    message.stamp = (when + isotp_wall_offset_ns()) / 1e9
    return message


cdef double stamp_of(object message) except? -1:
    """The time stamp of the driver, s; 0: there is none."""
    stamp = getattr(message, "timestamp", None)
    return stamp if isinstance(stamp, (float, int)) else 0.0


def frame_from_python_can(msg: can.Message | None) -> CanMessage | None:
    """The frame of python-can as ours, with a copy of its data; None if it carries none (error and remote frames)."""
    cdef CanMessage message
    cdef bytearray data
    cdef Py_ssize_t size
    cdef int64_t number
    if msg is None or msg.is_error_frame or msg.is_remote_frame:
        return None
    given, identifier = msg.data, msg.arbitration_id
    if type(given) is bytearray and type(identifier) is int and 0 <= identifier < NO_CAN_ID:
        data = given
        number = identifier
        message = new_frame_message()
        message.frame.can_id = flagged_id(<uint32_t>number, msg.is_extended_id)
        message.frame.flags = (CANFD_FDF if msg.is_fd else 0) | (CANFD_BRS if msg.bitrate_switch else 0)
        if not getattr(msg, "is_rx", True):
            message.frame.res0 |= ECHO
        with cython.critical_section(data):
            size = PyByteArray_GET_SIZE(data)
            if size <= CAN_DLEN_MAX:
                memcpy(message.frame.data, PyByteArray_AS_STRING(data), <size_t>size)
        if size <= CAN_DLEN_MAX:
            message.frame.len = <uint8_t>size
            message.stamp = stamp_of(msg)
            return message
    return CanMessage(identifier, 0, given, msg.is_extended_id, msg.is_fd, msg.bitrate_switch)


cdef int frame_of_message(CanMessage message, Frame *frame) except -1:
    """The frame that a message stands for.

    :raises ValueError: if no frame can have its identifier or data.
    """
    cdef bytes data = data_of(message, &frame.can_id)
    if frame.can_id & ~<uint32_t>CAN_EFF_FLAG > 0x1FFFFFFF or len(data) > CAN_DLEN_MAX:
        raise ValueError(f"no CAN frame can be {message!r}")
    frame.len = <uint8_t>len(data)
    frame.flags = message.frame.flags
    frame.res0 = 0
    frame.res1 = 0
    memcpy(frame.data, PyBytes_AS_STRING(data), <size_t>len(data))
    return 0


cdef inline uint32_t flagged_id(uint32_t arbitration_id, bint is_extended_id) noexcept:
    return arbitration_id | <uint32_t>CAN_EFF_FLAG if is_extended_id else arbitration_id


cdef bytes data_of(object message, uint32_t *can_id):
    """Identifier (with CAN_EFF_FLAG) and data of any object that looks like a CanMessage."""
    if type(message) is CanMessage:
        can_id[0] = (<CanMessage>message).frame.can_id
        return bytes_of(data_in(message))
    return data_of_other(message, can_id)


cdef bytes data_of_other(object message, uint32_t *can_id):
    can_id[0] = NO_CAN_ID
    number = message.arbitration_id
    data = message.data
    if hasattr(number, "__index__") and 0 <= operator.index(number) < NO_CAN_ID:
        can_id[0] = operator.index(number)
    can_id[0] = flagged_id(can_id[0], message.is_extended_id)
    return bytes_of(data)


cdef inline bytes bytes_of(object data):
    if type(data) is bytes:
        return data
    if data is None:
        return b""
    if isinstance(data, int):
        raise TypeError(f"data of a CAN message must be bytes, not {data!r}")   # bytes() would make as many zeros
    return bytes(data)


cdef int check_flow_control(object flow_status, object blocksize, object stmin) except -1:
    fields = (("flow status", flow_status, 0x0F), ("block size", blocksize, 0xFF), ("STmin", stmin, 0xFF))
    for name, value, most in fields:
        if not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(f"{name} must be an integer from 0 to {most}, not {value!r}")
    return 0


cdef class PDU:
    """PDU(msg, start_of_data=0)\n--\n\n
    The N_PCI and the payload of one CAN frame, decoded (ISO 15765-2, 9.6).

    :param msg: message with a `data` attribute.
    :param start_of_data: bytes of address information before the N_PCI (0 or 1).
    :raises ValueError: if the frame is no valid N_PDU.
    """

    cdef public object type
    cdef public object length
    cdef public object data
    cdef public object blocksize
    cdef public object stmin
    cdef public object stmin_sec
    cdef public object seqnum
    cdef public object flow_status
    cdef public object rx_dl
    cdef public object can_dl
    cdef public object escape_sequence

    def __init__(self, msg, start_of_data=0):
        cdef NPci pci
        cdef Outcome outcome
        cdef bytes data = bytes_of(msg.data)
        cdef OutcomeCode code
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if not 0 <= start_of_data <= size:
            raise ValueError(f"CAN frame of {size} bytes has no N_PCI at {start_of_data}")
        memset(&pci, 0, sizeof(NPci))
        code = decode_n_pci(
            <const uint8_t *>PyBytes_AS_STRING(data), <int>min(size, INT_MAX), start_of_data, &pci, &outcome)
        if code != OK:
            raise ValueError(str(make_error(code, &outcome)))
        self.can_dl = size
        self.rx_dl = max(CAN_DLEN_CLASSIC, size)
        self.type = <int>pci.type
        self.escape_sequence = False
        self.data = b""
        if pci.type == N_PCI_SF or pci.type == N_PCI_FF:
            self.escape_sequence = pci.escape
            self.length = pci.length
            self.data = data[pci.offset:pci.offset + <Py_ssize_t>min(<int64_t>pci.length, <int64_t>size)]
        elif pci.type == N_PCI_CF:
            self.seqnum = pci.sn
            self.data = data[pci.offset:]
        else:
            self.flow_status = pci.flow_status
            self.blocksize = pci.blocksize
            self.stmin = pci.stmin
            self.stmin_sec = pci.stmin_ns / 1e9

    @classmethod
    def craft_flow_control_data(cls, flow_status: int, blocksize: int, stmin: int) -> bytes:
        """The three bytes of a flow control N_PCI.

        :raises ValueError: if a value does not fit its field.
        """
        check_flow_control(flow_status, blocksize, stmin)
        return bytes((0x30 | flow_status, blocksize, stmin))

    def name(self) -> str:
        """Name of the N_PDU type."""
        return ("SINGLE_FRAME", "FIRST_FRAME", "CONSECUTIVE_FRAME", "FLOW_CONTROL")[self.type]
