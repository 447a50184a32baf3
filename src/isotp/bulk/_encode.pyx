# cython: language_level=3
"""Payloads in, frame records out: test traffic, replay and simulation by the Transmitter of a layer."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

import warnings

from isotp.address import TargetAddressType
from isotp.bulk._message import Direction
from isotp.params import Params

from isotp._protocol.frames cimport *
from isotp._protocol.n_pci cimport *
from isotp._protocol.reception cimport *
from isotp._protocol.transmission cimport *
from isotp._protocol.types cimport *
from isotp._core cimport config_of, flatten_address, require_both_directions
from isotp.bulk._records cimport LATEST_TIME, ClassicRecord, FdRecord, RecordArray, Records, add_record


cdef struct Encoder:
    Config config
    AddressFilter sender
    AddressFilter receiver
    RecordArray *records
    int64_t now
    int64_t frame_time
    uint16_t channel
    bint flow_control              # records of the receiver's frames too
    bint is_late                   # a frame would have been later than LATEST_TIME


cdef AddressFilter turned(const AddressFilter *address) noexcept nogil:
    """The address as the other end has it."""
    cdef AddressFilter other
    other.rx_id_physical = address.tx_id_physical
    other.rx_id_functional = address.tx_id_functional
    other.rx_prefix_size = address.tx_prefix_size
    other.rx_prefix = address.tx_prefix
    other.tx_id_physical = address.rx_id_physical
    other.tx_id_functional = address.rx_id_functional
    other.tx_prefix_size = address.rx_prefix_size
    other.tx_prefix = address.rx_prefix
    return other


cdef int64_t time_of(Encoder *encoder) noexcept nogil:
    """The time it is. Times end at LATEST_TIME."""
    if encoder.now > LATEST_TIME:
        encoder.now = LATEST_TIME
        encoder.is_late = True
    return encoder.now


cdef Frame *new_frame(Encoder *encoder) noexcept nogil:
    """The frame of a further record, at the time it is, for the caller to fill. NULL: no room."""
    cdef FdRecord *record = add_record(encoder.records)
    if record == NULL:
        return NULL
    record.timestamp = time_of(encoder)
    record.channel = encoder.channel
    encoder.now += encoder.frame_time
    # From here on a record is laid out as a frame; the channel is where a frame has nothing.
    return <Frame *>&record.can_id


cdef bint answer(Encoder *encoder, Transmitter *tx) noexcept nogil:
    """The receiver's flow control frame, seen on the bus or not. False: no room."""
    cdef Frame unseen
    cdef Frame *frame = &unseen
    cdef NPci pci
    cdef Outcome outcome
    cdef int64_t heard = time_of(encoder)
    if encoder.flow_control:
        frame = new_frame(encoder)
        if frame == NULL:
            return False
    encode_flow_control(FS_CTS, &encoder.config, &encoder.receiver, frame)
    if decode_n_pci(frame.data, frame.len, encoder.receiver.tx_prefix_size, &pci, &outcome) != OK:
        return False               # STmin was checked before: cannot happen
    on_flow_control(tx, &encoder.config, &pci, heard, &outcome)
    return True


cdef bint add_message(Encoder *encoder, const uint8_t *payload, uint64_t size, bint functional) noexcept nogil:
    """All frames of one message. False: no room."""
    cdef Transmitter tx
    cdef Frame *frame
    cdef int64_t now
    transmitter_init(&tx)
    begin_message(&tx, &encoder.config, &encoder.sender, size, functional)
    supply(&tx, payload, size)
    while tx.state != TX_IDLE:
        if tx.state == TX_WAIT_FC and not answer(encoder, &tx):
            return False
        if tx.state == TX_TRANSMIT_CF:
            encoder.now = max(encoder.now, tx.cf_due)
        now = time_of(encoder)
        tx.cf_due = min(tx.cf_due, now)        # where times end
        frame = new_frame(encoder)
        if frame == NULL or not transmit(&tx, &encoder.config, &encoder.sender, now, size + CAN_DLEN_MAX, frame):
            return False
        transmitted(&tx, &encoder.config, now)
    return True


def encode(
    payloads: Buffer | Iterable[Buffer], address: AbstractAddress, *, direction: Direction | int = Direction.TX,
    target_address_type: TargetAddressType | int = TargetAddressType.Physical, params: Parameters | None = None,
    start: int = 0, interval: int = 0, frame_time: int = 250_000, channel: int = 0, flow_control: bool = False,
    layout: Literal["classic", "fd"] | None = None
) -> Records:
    """Make frame records of messages, one message after the other, as a layer sends them to a receiver.

    :param payloads: bytes, or an iterable of them.
    :param address: `isotp.Address` or `isotp.AsymmetricAddress` of the session.
    :param direction: TX: sent by the owner of the address; RX: by its peer.
    :param target_address_type: Functional takes single frames only.
    :param params: those of a layer, by name: ``tx_data_length``, ``tx_padding``, ``tx_data_min_length``, ``can_fd``,
        ``bitrate_switch``; and ``blocksize`` and ``stmin`` as the receiver asks for them.
    :param start: time of the first frame in ns. Times end at 2**62 ns: frames that would be later have that time, and a
        RuntimeWarning says so.
    :param interval: ns between two messages, beside `frame_time`.
    :param frame_time: ns from one frame to the next if STmin asks for no more; by default about that of a classic
        frame at 500 kbit/s.
    :param channel: number of the bus.
    :param flow_control: also make records of the receiver's flow control frames.
    :param layout: "classic" or "fd"; None: what `tx_data_length` needs.
    :returns: `isotp.Records`
    :raises ValueError: for a bad parameter or address, or a payload that is empty or too long.
    """
    cdef Encoder encoder
    cdef Py_buffer view
    cdef Records records
    cdef bint functional = TargetAddressType(target_address_type) == TargetAddressType.Functional
    cdef bint done
    require_both_directions(address)
    options = Params()
    options.update(params or {})
    options.validate()
    for name, value, least, most in (
            ("start", start, -(1 << 63), LATEST_TIME), ("interval", interval, 0, LATEST_TIME // 2),
            ("frame_time", frame_time, 0, LATEST_TIME // 2), ("channel", channel, 0, 0xFFFF)):
        if not least <= value <= most:
            raise ValueError(f"{name} must be from {least} to {most}, not {value!r}")
    if stmin_to_ns(options.stmin) < 0:
        raise ValueError(f"stmin must be 0x00 to 0x7F or 0xF1 to 0xF9, not {options.stmin:#x}")
    if layout is None:
        layout = "fd" if options.tx_data_length > CAN_DLEN_CLASSIC else "classic"
    records = Records(layout)
    if records.array.itemsize == sizeof(ClassicRecord) and options.tx_data_length > CAN_DLEN_CLASSIC:
        raise ValueError(f"records of layout 'classic' do not hold tx_data_length {options.tx_data_length}")
    encoder.config = config_of(options)
    encoder.sender = flatten_address(address)
    encoder.receiver = turned(&encoder.sender)
    if Direction(direction) == Direction.RX:
        encoder.sender, encoder.receiver = encoder.receiver, encoder.sender
    encoder.records = &records.array
    encoder.now = start
    encoder.frame_time = frame_time
    encoder.channel = channel
    encoder.flow_control = flow_control
    encoder.is_late = False
    for payload in (payloads,) if isinstance(payloads, (bytes, bytearray, memoryview)) else payloads:
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            if not 1 <= view.len <= 0xFFFFFFFF:
                raise ValueError(f"a message has 1 to 4294967295 bytes, not {view.len}")
            if functional and view.len > sf_capacity(&encoder.config, &encoder.sender):
                raise ValueError(
                    f"payload of {view.len} bytes: functional addressing takes single frames only, that is up to"
                    f" {sf_capacity(&encoder.config, &encoder.sender)} bytes here")
            with nogil:
                done = add_message(&encoder, <const uint8_t *>view.buf, <uint64_t>view.len, functional)
            if not done:
                records.raise_full()
        finally:
            PyBuffer_Release(&view)
        encoder.now = min(encoder.now, LATEST_TIME) + <int64_t>interval
    if encoder.is_late:
        warnings.warn(
            f"frames would be later than 2**62 ns: start {start!r}, frame_time {frame_time!r}, interval {interval!r}",
            RuntimeWarning, stacklevel=2)
    return records
