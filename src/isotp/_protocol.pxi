# The protocol (ISO 15765-2): N_PCI coding, one step of reception, one step of transmission, the rate window.
#
# Pure C value machines: time is an argument, nothing here reads a clock, locks, logs or knows Python.
# Every function is total: each byte pattern has a defined outcome. The file is included by each
# module that runs the machines, so that the compiler can inline the steps into its loop.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from isotp._protocol cimport *


cdef extern from *:
    """
    /* CAN FD data lengths: the smallest one that holds n bytes. */
    static const uint8_t ISOTP_FD_LENGTH[65] = {
        0, 1, 2, 3, 4, 5, 6, 7, 8,
        12, 12, 12, 12, 16, 16, 16, 16, 20, 20, 20, 20, 24, 24, 24, 24,
        32, 32, 32, 32, 32, 32, 32, 32, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48,
        64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64};
    /* Data length -> DLC code of ISO 11898-1; 255 where no frame has this length. */
    static const uint8_t ISOTP_DLC[65] = {
        0, 1, 2, 3, 4, 5, 6, 7, 8,
        255, 255, 255, 9, 255, 255, 255, 10, 255, 255, 255, 11, 255, 255, 255, 12,
        255, 255, 255, 255, 255, 255, 255, 13,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 14,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 15};
    """
    const uint8_t[65] FD_LENGTH "ISOTP_FD_LENGTH"
    const uint8_t[65] DLC_CODE "ISOTP_DLC"


cdef inline void copy_payload(uint8_t *to, const uint8_t *source, uint64_t size) noexcept nogil:
    """memcpy, with the sizes of full consecutive frames known to the compiler: it then needs no call."""
    if size == 7:
        memcpy(to, source, 7)
    elif size == 63:
        memcpy(to, source, 63)
    elif size > 0:                 # without bytes there may be no pointers
        memcpy(to, source, <size_t>size)


# ---------------------------------------------------------------- N_PCI


cdef inline int64_t stmin_to_ns(uint8_t stmin) noexcept nogil:
    """Separation time on the bus (table 20) in ns, or -1 for a reserved value."""
    if stmin <= 0x7F:
        return <int64_t>stmin * 1_000_000
    if 0xF1 <= stmin <= 0xF9:
        return <int64_t>(stmin - 0xF0) * 100_000
    return -1


cdef inline OutcomeCode decode_n_pci(
    const uint8_t *data, int size, int prefix, NPci *pci, Outcome *outcome,
) noexcept nogil:
    """Read the N_PCI (table 9) behind `prefix` address bytes. Anything but OK: the frame is no N_PDU."""
    cdef int room = size - prefix
    cdef uint8_t first
    outcome.given = <uint64_t>size
    if room < 1:
        return BAD_EMPTY
    first = data[prefix]
    if first < 0x10:
        pci.type = N_PCI_SF
        pci.escape = first == 0
        pci.offset = prefix + 1
        pci.length = first
        if pci.escape:
            pci.offset = prefix + 2
            pci.length = data[prefix + 1] if room > 1 else 0
        if pci.length == 0:
            return BAD_SF_DL_ZERO
        if <int>pci.length > size - pci.offset:
            outcome.given = pci.length
            outcome.expected = <uint64_t>(size - pci.offset)
            return BAD_SF_DL_TOO_LONG
        return OK
    if first < 0x20:
        pci.type = N_PCI_FF
        if room < 2:
            return BAD_FF_SHORT
        pci.length = (<uint32_t>(first & 0x0F) << 8) | data[prefix + 1]
        pci.offset = prefix + 2
        pci.escape = pci.length == 0
        if pci.escape:
            if room < 6:
                return BAD_FF_SHORT
            pci.length = (
                (<uint32_t>data[prefix + 2] << 24) | (<uint32_t>data[prefix + 3] << 16)
                | (<uint32_t>data[prefix + 4] << 8) | data[prefix + 5])
            pci.offset = prefix + 6
            if pci.length == 0:
                return BAD_FF_DL_ZERO
        return OK
    if first < 0x30:
        pci.type = N_PCI_CF
        pci.sn = first & 0x0F
        pci.offset = prefix + 1
        return OK
    if first < 0x40:
        pci.type = N_PCI_FC
        if room < 3:
            return BAD_FC_SHORT
        pci.flow_status = first & 0x0F
        pci.blocksize = data[prefix + 1]
        pci.stmin = data[prefix + 2]
        pci.stmin_ns = stmin_to_ns(pci.stmin)
        pci.offset = prefix + 3
        if pci.flow_status > FS_OVFLW:
            outcome.given = pci.flow_status
            return BAD_FC_STATUS
        if pci.stmin_ns < 0:
            outcome.given = pci.stmin
            return BAD_FC_STMIN
        return OK
    outcome.given = first >> 4
    return BAD_N_PCI_TYPE


cdef inline OutcomeCode check_strictly(
    OutcomeCode code, const Receiver *rx, const NPci *pci, int prefix, int size, Outcome *outcome,
) noexcept nogil:
    """What the standard says of a frame that decode_n_pci() gave `code`. Anything but OK: it is ignored.

    A flow control frame passes with a reserved value in it: that is the transmitter's to judge.
    """
    cdef uint64_t left
    if code == BAD_FC_STMIN or code == BAD_FC_STATUS:
        return OK
    if code != OK:
        return code
    outcome.given = <uint64_t>size
    if pci.type == N_PCI_SF:
        # 9.6.2.2: padded to 8 bytes or not padded; beyond 8 bytes, in the escape form and the shortest frame there is.
        if size <= CAN_DLEN_CLASSIC and pci.escape:
            return BAD_SF_DL_ZERO
        outcome.expected = pci.length
        if size < CAN_DLEN_CLASSIC and pci.offset + <int>pci.length != size:
            return BAD_SF_CAN_DL
        if pci.escape and (prefix + 1 + <int>pci.length <= CAN_DLEN_CLASSIC
                           or FD_LENGTH[pci.offset + <int>pci.length] != size):
            return BAD_SF_CAN_DL
    elif pci.type == N_PCI_FF:
        if size < CAN_DLEN_CLASSIC or FD_LENGTH[size] != size:      # 9.5.4
            return BAD_FF_RX_DL
        outcome.given = pci.length
        if pci.escape and pci.length <= 4095:                       # 9.6.3.2
            return BAD_FF_ESCAPE
        # FF_DLmin (9.6.3.1): what no SF of this length could have carried.
        outcome.expected = <uint64_t>((CAN_DLEN_CLASSIC if size == CAN_DLEN_CLASSIC else size - 1) - prefix)
        if pci.length < outcome.expected:
            return FF_DL_TOO_SHORT
    elif pci.type == N_PCI_CF and rx.state == RX_WAIT_CF:
        # 9.5.3, 10.4.3: as long as the FF, but for the last one, which holds what is left.
        left = rx.size - rx.got
        if size != rx.rx_dl and (
                size > rx.rx_dl or FD_LENGTH[size] != size or <uint64_t>(size - pci.offset) < left):
            outcome.expected = rx.rx_dl
            return CHANGING_RX_DL
    return OK


# ---------------------------------------------------------------- addresses and frames


cdef inline bint is_for_us(
    const AddressFilter *address, uint32_t can_id, const uint8_t *data, Py_ssize_t size,
) noexcept nogil:
    if can_id != address.rx_id_physical and can_id != address.rx_id_functional:
        return False
    return address.rx_prefix_size == 0 or (size > 0 and data[0] == address.rx_prefix)


cdef inline bint same_address(const AddressFilter *one, const AddressFilter *other) noexcept nogil:
    return memcmp(one, other, sizeof(AddressFilter)) == 0


cdef inline bint hears_alike(const AddressFilter *one, const AddressFilter *other) noexcept nogil:
    """Whether both take the same frames."""
    return (one.rx_id_physical == other.rx_id_physical and one.rx_id_functional == other.rx_id_functional
            and one.rx_prefix_size == other.rx_prefix_size and one.rx_prefix == other.rx_prefix)


cdef inline bint is_functional(const AddressFilter *address, uint32_t can_id) noexcept nogil:
    return can_id == address.rx_id_functional and can_id != address.rx_id_physical


cdef inline uint8_t *open_frame(Frame *frame, const AddressFilter *address, bint functional) noexcept nogil:
    """Write ID and prefix; returns where the N_PCI goes."""
    frame.can_id = address.tx_id_functional if functional else address.tx_id_physical
    frame.data[0] = address.tx_prefix
    return &frame.data[address.tx_prefix_size]


cdef inline void close_frame(Frame *frame, const Config *config, int used) noexcept nogil:
    """Pad (10.4.2): classic frames on request, CAN FD frames up to a length that a DLC can tell."""
    cdef int size = used
    if size < config.min_length:
        size = config.min_length
    elif config.tx_dl == CAN_DLEN_CLASSIC and config.pads_classic:
        size = CAN_DLEN_CLASSIC
    size = FD_LENGTH[size]
    if size > used:
        memset(&frame.data[used], config.padding, size - used)
    frame.len = <uint8_t>size
    frame.flags = config.frame_flags


# ---------------------------------------------------------------- reception


cdef inline void receiver_init(Receiver *rx) noexcept nogil:
    memset(rx, 0, sizeof(Receiver))
    rx.due = FS_NONE
    rx.deadline = NEVER


cdef inline void receiver_stop(Receiver *rx) noexcept nogil:
    rx.state = RX_IDLE
    rx.due = FS_NONE
    rx.deadline = NEVER


cdef enum:
    BUFFER_FIRST = 256             # bytes: the first buffer of a message, unless it is shorter
    BUFFER_KEPT = 65536            # bytes: a larger buffer is not kept from message to message


cdef inline void receiver_free(Receiver *rx) noexcept nogil:
    free(rx.buffer)
    rx.buffer = NULL
    rx.capacity = 0


cdef inline bint receiver_reserve(Receiver *rx, uint64_t needed) noexcept nogil:
    """Room for `needed` bytes. Grows with what arrives, so a claim in a First Frame costs nothing."""
    cdef uint64_t capacity = rx.capacity * 2
    cdef uint8_t *buffer
    if needed <= rx.capacity:
        return True
    if capacity < BUFFER_FIRST:
        capacity = BUFFER_FIRST
    if capacity > rx.size:
        capacity = rx.size
    if capacity < needed:
        capacity = needed
    buffer = <uint8_t *>realloc(rx.buffer, <size_t>capacity)
    if buffer == NULL:
        return False
    rx.buffer = buffer
    rx.capacity = capacity
    return True


cdef inline bint receiver_append(Receiver *rx, const uint8_t *data, uint64_t size) noexcept nogil:
    cdef uint64_t kept = rx.got - rx.taken
    if size > rx.size - rx.got:
        size = rx.size - rx.got
    if size == 0:
        return True                # an FF may end with its N_PCI: there is no buffer yet, nor need there be one
    if not receiver_reserve(rx, kept + size):
        return False
    copy_payload(&rx.buffer[kept], data, size)
    rx.got += size
    return True


cdef inline RxEvent receive_ff(
    Receiver *rx, const Config *config, const NPci *pci, const uint8_t *data, int size, int64_t now, Outcome *outcome,
) noexcept nogil:
    cdef int rx_dl = size if size > CAN_DLEN_CLASSIC else CAN_DLEN_CLASSIC
    if rx.state == RX_WAIT_CF:
        outcome.interruption = INTERRUPTED_BY_FF
    receiver_stop(rx)
    if FD_LENGTH[rx_dl] != rx_dl:
        outcome.code = BAD_FF_RX_DL
        outcome.given = <uint64_t>size
        return RX_NOTHING
    if rx.capacity > BUFFER_KEPT:
        receiver_free(rx)
    if pci.length > config.max_frame_size:
        outcome.code = FF_DL_TOO_LONG
        outcome.given = pci.length
        outcome.expected = config.max_frame_size
        if not config.listen:
            rx.due = FS_OVFLW
        return RX_NOTHING
    rx.size = pci.length
    rx.got = 0
    rx.taken = 0
    if not receiver_append(rx, &data[pci.offset], <uint64_t>(size - pci.offset)):
        outcome.code = OUT_OF_MEMORY
        outcome.given = pci.length
        return RX_NOTHING
    rx.state = RX_WAIT_CF
    rx.sn = 0
    rx.rx_dl = <uint8_t>rx_dl
    rx.in_block = 0
    rx.deadline = now + config.n_cr_ns
    if not config.listen:
        rx.due = FS_CTS
    return RX_STARTED


cdef inline RxEvent receive_cf(
    Receiver *rx, const Config *config, const NPci *pci, const uint8_t *data, int size, int64_t now, Outcome *outcome,
) noexcept nogil:
    cdef uint8_t expected
    cdef int rx_dl = size if size > CAN_DLEN_CLASSIC else CAN_DLEN_CLASSIC
    if rx.state != RX_WAIT_CF:
        outcome.code = UNEXPECTED_CF
        outcome.given = pci.sn
        return RX_NOTHING
    expected = (rx.sn + 1) & 0x0F
    if pci.sn != expected:
        receiver_stop(rx)
        outcome.code = WRONG_SN
        outcome.given = pci.sn
        outcome.expected = expected
        return RX_NOTHING
    if rx_dl != rx.rx_dl and <uint64_t>rx_dl < rx.size - rx.got:
        # Only the last CF may be shorter than the FF (9.6.4.1). The frame is dropped, the sender may repeat it.
        outcome.code = CHANGING_RX_DL
        outcome.given = <uint64_t>rx_dl
        outcome.expected = rx.rx_dl
        return RX_NOTHING
    if not receiver_append(rx, &data[pci.offset], <uint64_t>(size - pci.offset)):
        receiver_stop(rx)
        outcome.code = OUT_OF_MEMORY
        outcome.given = rx.size
        return RX_NOTHING
    rx.sn = expected
    if rx.got == rx.size:
        receiver_stop(rx)
        rx.message = rx.buffer
        rx.message_size = rx.size - rx.taken
        return RX_MESSAGE
    rx.deadline = now + config.n_cr_ns
    if config.blocksize != 0 and not config.listen:
        rx.in_block += 1
        if rx.in_block >= config.blocksize:
            rx.in_block = 0
            rx.due = FS_CTS
            rx.deadline = NEVER    # N_Cr runs again from the moment the FC is sent
    return RX_NOTHING


cdef inline bint is_next_cf(const Receiver *rx, int prefix, const uint8_t *data) noexcept nogil:
    return data[prefix] == (N_PCI_CF << 4 | ((rx.sn + 1) & 0x0F))


cdef inline void take_cf(
    Receiver *rx, const Config *config, int prefix, const uint8_t *data, int64_t now,
) noexcept nogil:
    """The CF that is due, full, neither the last of its message nor of a block, for which the buffer has room."""
    cdef uint64_t payload = <uint64_t>(rx.rx_dl - prefix - 1)
    copy_payload(&rx.buffer[rx.got - rx.taken], &data[prefix + 1], payload)
    rx.got += payload
    rx.sn = (rx.sn + 1) & 0x0F
    rx.deadline = now + config.n_cr_ns


cdef inline bint receive_next_cf(
    Receiver *rx, const Config *config, int prefix, const uint8_t *data, int size, int64_t now,
) noexcept nogil:
    """What most frames are: the CF that is due, full, neither the last of its message nor of a block.

    False: it is something else, and nothing was done. Decides nothing that receive_cf() would not decide alike.
    """
    cdef uint64_t payload = <uint64_t>(rx.rx_dl - prefix - 1)
    cdef uint64_t kept = rx.got - rx.taken
    if (rx.state != RX_WAIT_CF or size != rx.rx_dl or not is_next_cf(rx, prefix, data)
            or rx.got + payload >= rx.size or kept + payload > rx.capacity
            or not (config.listen or config.blocksize == 0 or rx.in_block + 1 < config.blocksize)):
        return False
    take_cf(rx, config, prefix, data, now)
    rx.in_block += not config.listen and config.blocksize != 0
    return True


cdef inline uint64_t next_cfs(const Receiver *rx, int prefix) noexcept nogil:
    """How many full CFs can come before the last one, or before the buffer has to grow."""
    cdef uint64_t payload = <uint64_t>(rx.rx_dl - prefix - 1)
    if rx.state != RX_WAIT_CF or rx.size <= rx.got:
        return 0
    return min(rx.size - rx.got - 1, rx.capacity - (rx.got - rx.taken)) // payload


cdef inline int lone_sf(
    const Receiver *rx, int prefix, const uint8_t *data, int size, const uint8_t **payload,
) noexcept nogil:
    """What short messages are: an SF while nothing is received. Returns the length of its payload.

    0: it is something else. Decides nothing that receive() would not decide alike, which it changes nothing for.
    """
    cdef int length
    if rx.state != RX_IDLE or size > CAN_DLEN_CLASSIC or size <= prefix:
        return 0
    length = data[prefix]
    if length >= size - prefix:    # no SF, or SF_DL is too long
        return 0
    payload[0] = &data[prefix + 1]
    return length


cdef inline RxEvent receive(
    Receiver *rx, const Config *config, int prefix, const uint8_t *data, int size, int64_t now, Outcome *outcome,
) noexcept nogil:
    """One step of reception: a frame that passed the address filter.

    RX_MESSAGE: rx.message and rx.message_size hold until the next step (an SF points into `data`).
    RX_FLOW_CONTROL: rx.flow_control is for the transmitter. `outcome` tells what was wrong, if anything.
    """
    cdef NPci pci
    outcome.interruption = OK
    if receive_next_cf(rx, config, prefix, data, size, now):
        outcome.code = OK
        return RX_NOTHING
    outcome.code = decode_n_pci(data, size, prefix, &pci, outcome)
    if size > CAN_DLEN_MAX:
        outcome.code = BAD_CAN_DL
        outcome.given = <uint64_t>size
    elif config.strict:
        outcome.code = check_strictly(outcome.code, rx, &pci, prefix, size, outcome)
    if outcome.code != OK:
        if not config.strict:
            receiver_stop(rx)
        return RX_NOTHING
    if pci.type == N_PCI_CF:
        return receive_cf(rx, config, &pci, data, size, now, outcome)
    if pci.type == N_PCI_FC:
        rx.flow_control = pci
        return RX_FLOW_CONTROL
    if pci.type == N_PCI_FF:
        return receive_ff(rx, config, &pci, data, size, now, outcome)
    if size > CAN_DLEN_CLASSIC and not pci.escape:
        # 9.6.2.1: SF_DL of a frame with CAN_DL > 8 comes in the escape form. The frame is dropped.
        outcome.code = MISSING_ESCAPE
        outcome.given = <uint64_t>size
        return RX_NOTHING
    if rx.state == RX_WAIT_CF:
        outcome.interruption = INTERRUPTED_BY_SF
    receiver_stop(rx)
    rx.message = &data[pci.offset]
    rx.message_size = pci.length
    return RX_MESSAGE


cdef inline RxEvent receive_functional(
    Receiver *rx, const Config *config, int prefix, const uint8_t *data, int size, Outcome *outcome,
) noexcept nogil:
    """receive() for a frame with a functional address, in the standard's way: an N_AI of its own, with SFs only.

    A message that is being received on the physical address goes on.
    """
    cdef NPci pci
    outcome.interruption = OK
    outcome.code = decode_n_pci(data, size, prefix, &pci, outcome)
    if size > CAN_DLEN_MAX:
        outcome.code = BAD_CAN_DL
        outcome.given = <uint64_t>size
    elif outcome.code == OK and pci.type != N_PCI_SF:
        outcome.code = NOT_FUNCTIONAL
        outcome.given = pci.type
    elif outcome.code == OK and size > CAN_DLEN_CLASSIC and not pci.escape:
        outcome.code = MISSING_ESCAPE
    elif outcome.code == OK:
        outcome.code = check_strictly(OK, rx, &pci, prefix, size, outcome)
    if outcome.code != OK:
        return RX_NOTHING
    rx.message = &data[pci.offset]
    rx.message_size = pci.length
    return RX_MESSAGE


cdef inline bint receiver_expired(Receiver *rx, int64_t now, Outcome *outcome) noexcept nogil:
    """N_Cr (9.8.2)."""
    if now < rx.deadline:
        return False
    outcome.code = N_CR_TIMEOUT
    outcome.interruption = OK
    outcome.given = rx.got
    outcome.expected = rx.size
    receiver_stop(rx)
    return True


cdef inline void encode_flow_control(
    FlowStatus status, const Config *config, const AddressFilter *address, Frame *out,
) noexcept nogil:
    cdef uint8_t *pci = open_frame(out, address, False)
    pci[0] = 0x30 | <uint8_t>status
    pci[1] = config.blocksize
    pci[2] = config.stmin
    close_frame(out, config, address.tx_prefix_size + 3)


cdef inline void flow_control_sent(Receiver *rx, const Config *config, int64_t now) noexcept nogil:
    rx.due = FS_NONE
    if rx.state == RX_WAIT_CF:
        rx.deadline = now + config.n_cr_ns


# ---------------------------------------------------------------- transmission


cdef enum:
    LONGEST_STMIN_NS = 127_000_000


cdef inline int sf_capacity(const Config *config, const AddressFilter *address) noexcept nogil:
    """Largest payload that fits a single frame (9.6.2.1)."""
    if config.tx_dl == CAN_DLEN_CLASSIC:
        return CAN_DLEN_CLASSIC - 1 - address.tx_prefix_size
    return config.tx_dl - 2 - address.tx_prefix_size


cdef inline bint sf_needs_escape(uint64_t size, const Config *config, const AddressFilter *address) noexcept nogil:
    # A frame that padding takes beyond 8 bytes must use the escape form, however short its payload is.
    return size + address.tx_prefix_size > 7 or config.min_length > CAN_DLEN_CLASSIC


cdef inline int next_n_pci_size(
    const Transmitter *tx, const Config *config, const AddressFilter *address,
) noexcept nogil:
    """Bytes of the N_PCI of the next frame (table 9)."""
    if tx.state == TX_SF_STANDBY:
        return 2 if sf_needs_escape(tx.size, config, address) else 1
    if tx.state == TX_FF_STANDBY:
        return 2 if tx.size <= 4095 else 6
    return 1


cdef inline uint64_t next_payload_size(
    const Transmitter *tx, const Config *config, const AddressFilter *address,
) noexcept nogil:
    """Payload bytes that the next frame takes."""
    cdef int room
    if tx.state == TX_SF_STANDBY:
        room = sf_capacity(config, address)
    else:
        room = config.tx_dl - address.tx_prefix_size - next_n_pci_size(tx, config, address)
    return min(<uint64_t>room, tx.size - tx.sent)


cdef inline void transmitter_init(Transmitter *tx) noexcept nogil:
    memset(tx, 0, sizeof(Transmitter))
    tx.fc_deadline = NEVER
    tx.blocksize = NO_BLOCKSIZE


cdef inline void transmitter_stop(Transmitter *tx) noexcept nogil:
    tx.state = TX_IDLE
    tx.fc_deadline = NEVER
    tx.chunk = NULL
    tx.chunk_size = 0
    tx.chunk_used = 0
    tx.epoch += 1


cdef inline void choose_first_frame(Transmitter *tx, const Config *config, const AddressFilter *address) noexcept nogil:
    """SF or FF, for a message of which nothing was sent yet."""
    if tx.state == TX_SF_STANDBY or tx.state == TX_FF_STANDBY:
        tx.state = TX_SF_STANDBY if tx.size <= <uint64_t>sf_capacity(config, address) else TX_FF_STANDBY


cdef inline void begin_message(
    Transmitter *tx, const Config *config, const AddressFilter *address, uint64_t size, bint functional,
) noexcept nogil:
    """A message of 1 to 2^32-1 bytes is to be sent; its bytes come by supply()."""
    tx.epoch += 1
    tx.size = size
    tx.sent = 0
    tx.functional = functional
    tx.waits = 0
    tx.saw_reserved_stmin = False
    tx.state = TX_SF_STANDBY
    choose_first_frame(tx, config, address)


cdef inline uint64_t next_rate_size(
    const Transmitter *tx, const Config *config, const AddressFilter *address,
) noexcept nogil:
    """Bytes that the rate limiter must allow for the next frame: an SF or FF without padding, the payload of a CF."""
    cdef uint64_t payload = next_payload_size(tx, config, address)
    if tx.state == TX_TRANSMIT_CF:
        return payload
    return payload + <uint64_t>(address.tx_prefix_size + next_n_pci_size(tx, config, address))


cdef inline void supply(Transmitter *tx, const uint8_t *chunk, uint64_t size) noexcept nogil:
    """Hand over payload bytes; they stay the caller's and must live until they are used up."""
    tx.chunk = chunk
    tx.chunk_size = size
    tx.chunk_used = 0


cdef inline bint encode_next(
    Transmitter *tx, const Config *config, const AddressFilter *address, uint64_t allowed, Frame *out,
) noexcept nogil:
    """Build the SF, FF or CF that is next, if the rate limiter allows its bytes."""
    cdef uint8_t *pci
    cdef int header = next_n_pci_size(tx, config, address)
    # A payload source that ran dry makes a short last frame.
    cdef uint64_t payload = min(next_payload_size(tx, config, address), tx.chunk_size - tx.chunk_used)
    if (payload if tx.state == TX_TRANSMIT_CF else payload + <uint64_t>(header + address.tx_prefix_size)) > allowed:
        return False
    pci = open_frame(out, address, tx.functional and tx.state == TX_SF_STANDBY)
    if tx.state == TX_TRANSMIT_CF:
        pci[0] = 0x20 | tx.sn
    elif tx.state == TX_SF_STANDBY:
        pci[0] = <uint8_t>tx.size if header == 1 else 0
        pci[header - 1] = <uint8_t>tx.size
    elif header == 2:
        pci[0] = 0x10 | <uint8_t>(tx.size >> 8)
        pci[1] = <uint8_t>(tx.size & 0xFF)
    else:
        pci[0] = 0x10
        pci[1] = 0
        pci[2] = <uint8_t>((tx.size >> 24) & 0xFF)
        pci[3] = <uint8_t>((tx.size >> 16) & 0xFF)
        pci[4] = <uint8_t>((tx.size >> 8) & 0xFF)
        pci[5] = <uint8_t>(tx.size & 0xFF)
    copy_payload(&pci[header], &tx.chunk[tx.chunk_used], payload)
    tx.in_frame = <uint8_t>payload
    close_frame(out, config, address.tx_prefix_size + header + <int>payload)
    return True


cdef inline bint transmit(
    Transmitter *tx, const Config *config, const AddressFilter *address, int64_t now, uint64_t allowed, Frame *out,
) noexcept nogil:
    """One step of transmission. True: the frame is in `out`; call transmitted() once it is on the bus."""
    if tx.state == TX_IDLE or tx.state == TX_WAIT_FC:
        return False
    if tx.state == TX_TRANSMIT_CF and now < tx.cf_due:
        return False
    return encode_next(tx, config, address, allowed, out)


cdef inline bint transmitter_expired(Transmitter *tx, int64_t now, Outcome *outcome) noexcept nogil:
    """N_Bs (9.8.2)."""
    if now < tx.fc_deadline:
        return False
    outcome.code = N_BS_TIMEOUT
    outcome.interruption = OK
    outcome.given = tx.sent
    outcome.expected = tx.size
    transmitter_stop(tx)
    return True


cdef inline void await_flow_control(Transmitter *tx, const Config *config, int64_t now) noexcept nogil:
    tx.state = TX_WAIT_FC
    tx.fc_deadline = now + config.n_bs_ns


cdef inline void go_on_unasked(Transmitter *tx, const Config *config, int64_t now) noexcept nogil:
    """CFs follow the FF without flow control, in one block."""
    tx.state = TX_TRANSMIT_CF
    tx.blocksize = 0
    tx.stmin_ns = config.override_stmin_ns if config.overrides_stmin else 0
    tx.cf_due = now + tx.stmin_ns


cdef inline bint starts_timer(const Transmitter *tx) noexcept nogil:
    """True if N_Bs or STmin run from the moment at which the frame of transmit() is sent."""
    if tx.state == TX_TRANSMIT_CF:
        return tx.stmin_ns != 0 or (tx.blocksize != 0 and tx.in_block + 1 >= tx.blocksize)
    return tx.state == TX_FF_STANDBY


cdef inline bint transmitted(Transmitter *tx, const Config *config, int64_t now) noexcept nogil:
    """The frame of transmit() is on the bus since `now`. True: it was the message's last."""
    tx.sent += tx.in_frame
    tx.chunk_used += tx.in_frame
    if tx.sent >= tx.size:
        transmitter_stop(tx)
        return True
    if tx.state == TX_FF_STANDBY:
        tx.sn = 1
        if config.awaits_fc:
            await_flow_control(tx, config, now)
        else:
            go_on_unasked(tx, config, now)
        return False
    tx.sn = (tx.sn + 1) & 0x0F
    tx.cf_due = now + tx.stmin_ns
    tx.in_block += 1               # also without BS: a flow control frame within the block may bring one
    if tx.blocksize != 0 and tx.in_block >= tx.blocksize:
        await_flow_control(tx, config, now)
    return False


cdef inline bint on_flow_control(
    Transmitter *tx, const Config *config, const NPci *pci, int64_t now, Outcome *outcome,
) noexcept nogil:
    """A flow control frame came in. True: the message was given up."""
    cdef bint sending = tx.state == TX_WAIT_FC or tx.state == TX_TRANSMIT_CF
    cdef int64_t stmin_ns
    outcome.code = OK
    outcome.interruption = OK
    if config.strict and tx.state != TX_WAIT_FC:
        # 9.8.3: not awaited, so ignored
        if pci.flow_status > FS_OVFLW:
            outcome.code = BAD_FC_STATUS
            outcome.given = pci.flow_status
        elif config.awaits_fc and not config.listen:
            outcome.code = UNEXPECTED_FC
            outcome.given = pci.flow_status
        return False
    if pci.flow_status > FS_OVFLW:
        outcome.code = INVALID_FS      # 9.6.5.2; only strictly do such frames come here
        outcome.given = pci.flow_status
        transmitter_stop(tx)
        return True
    if pci.flow_status == FS_OVFLW:
        outcome.code = PEER_OVERFLOW
        outcome.given = tx.size
        if tx.state == TX_IDLE:
            return False
        transmitter_stop(tx)
        return True
    if not config.awaits_fc and tx.state != TX_WAIT_FC:
        return False
    if not sending:
        if not config.listen:
            outcome.code = UNEXPECTED_FC
            outcome.given = pci.flow_status
        return False
    if pci.flow_status == FS_WAIT:
        if config.wftmax == 0 and not config.strict:
            outcome.code = WAIT_UNSUPPORTED
            return False
        # 9.7: N_WFTmax is the receiver's; as a limit of the sender's own it is kept where one is set.
        if config.wftmax != 0 and tx.waits >= config.wftmax:
            outcome.code = WAIT_TOO_OFTEN
            outcome.given = config.wftmax
            transmitter_stop(tx)
            return True
        tx.waits += 1
        await_flow_control(tx, config, now)
        return False
    tx.waits = 0
    tx.blocksize = pci.blocksize
    if pci.stmin_ns < 0:
        tx.saw_reserved_stmin = True   # only strictly do such frames come here
    if config.overrides_stmin:
        stmin_ns = config.override_stmin_ns
    elif tx.saw_reserved_stmin:
        stmin_ns = LONGEST_STMIN_NS    # 9.6.5.5: for the rest of the message
    else:
        stmin_ns = pci.stmin_ns
    if tx.state == TX_WAIT_FC:
        tx.state = TX_TRANSMIT_CF
        tx.fc_deadline = NEVER
        tx.in_block = 0
        tx.cf_due = now + stmin_ns
    else:
        tx.cf_due += stmin_ns - tx.stmin_ns    # holds for the gap that runs, too
    tx.stmin_ns = stmin_ns
    return False


# ---------------------------------------------------------------- rate limit


cdef enum:
    RATE_SLOT_NS = 5_000_000       # frames of one slot are counted, and forgotten, together


cdef inline void rate_window_init(RateWindow *window, double bits_per_second, double seconds) noexcept nogil:
    window.window_ns = <int64_t>(min(seconds, 1e9) * 1e9)
    window.capacity = bits_per_second * seconds
    window.used = 0
    window.first = 0
    window.count = 0


cdef inline void rate_forget(RateWindow *window, int64_t now) noexcept nogil:
    """Drop the slots that left the window."""
    while window.count > 0 and now - window.slots[window.first].last > window.window_ns:
        window.used -= window.slots[window.first].bits
        window.first = (window.first + 1) % window.size
        window.count -= 1
    if window.count == 0:
        window.used = 0            # fractions of a bit do not pile up


cdef inline uint64_t rate_allowed_bytes(const RateWindow *window) noexcept nogil:
    cdef double free_bits = window.capacity - window.used
    if not free_bits > 0:          # none, or no number: that is what somebody said was sent
        return 0
    return <uint64_t>min(free_bits / 8, 4294967295.0)


cdef inline bint rate_grow(RateWindow *window) noexcept nogil:
    cdef size_t size = window.size * 2 if window.size else 64
    cdef size_t k
    cdef RateSlot *slots = <RateSlot *>realloc(window.slots, size * sizeof(RateSlot))
    if slots == NULL:
        return False
    # The part of the ring that had wrapped moves behind the rest.
    for k in range(window.first):
        slots[window.size + k] = slots[k]
    window.slots = slots
    window.size = size
    return True


cdef inline void rate_count(RateWindow *window, int64_t now, double sent_bytes) noexcept nogil:
    cdef RateSlot *last
    window.used += sent_bytes * 8
    if window.count > 0:
        last = &window.slots[(window.first + window.count - 1) % window.size]
        # With no memory for a further slot the last one goes on: stricter, never laxer.
        if now - last.start < RATE_SLOT_NS or (window.count == window.size and not rate_grow(window)):
            last.bits += sent_bytes * 8
            last.last = now
            return
    elif window.size == 0 and not rate_grow(window):
        return
    last = &window.slots[(window.first + window.count) % window.size]
    last.start = now
    last.last = now
    last.bits = sent_bytes * 8
    window.count += 1


cdef inline int64_t rate_next_change(const RateWindow *window) noexcept nogil:
    """When the oldest slot leaves the window."""
    if window.count == 0:
        return NEVER
    return window.slots[window.first].last + window.window_ns + 1
