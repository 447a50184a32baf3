# One step of reception (ISO 15765-2, 9.6 to 9.8): a frame and a time in; an event, and what was wrong, out.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from isotp._protocol.frames cimport close_frame, copy_payload, open_frame
from isotp._protocol.n_pci cimport FD_LENGTH, check_strictly, decode_n_pci
from isotp._protocol.types cimport *


cdef inline void receiver_init(Receiver *rx) noexcept nogil:
    memset(rx, 0, sizeof(Receiver))
    rx.due = FS_NONE
    rx.deadline = NEVER


cdef inline void receiver_stop(Receiver *rx) noexcept nogil:
    rx.state = RX_IDLE
    rx.due = FS_NONE
    rx.deadline = NEVER
    rx.is_held = False


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
    rx.was_cleared = False
    rx.waits = 0
    rx.number += 1
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
    cdef int offset = prefix + 1
    if rx.state != RX_IDLE or size > CAN_DLEN_MAX or size <= offset:
        return 0
    if size > CAN_DLEN_CLASSIC:    # 9.6.2.1: only in the escape form
        if data[prefix] != 0:
            return 0
        offset += 1
    if data[offset - 1] > size - offset:       # no SF, or SF_DL is too long
        return 0
    payload[0] = &data[offset]
    return data[offset - 1]


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
    elif outcome.code == BAD_FC_STMIN:
        outcome.code = OK          # 9.6.5.5: it is 127 ms
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


cdef inline void receiver_ask(Receiver *rx) noexcept nogil:
    """The next FC to a sender that is held is due."""
    rx.due = FS_CTS
    rx.deadline = NEVER


cdef inline bint receiver_hold(Receiver *rx, const Config *config, Outcome *outcome) noexcept nogil:
    """Whoever takes the message is not ready for more: the FC that is due becomes Wait. False: that was too often.

    The reception ends then (9.7), and so does the sender's patience. Overflow answers an FF only (9.6.5.2).
    """
    if rx.waits < config.wftmax:
        rx.waits += 1
        rx.is_held = True
        rx.due = FS_WAIT
        return True
    outcome.code = WAITED_TOO_OFTEN
    outcome.interruption = OK
    outcome.given = rx.waits
    outcome.expected = rx.size
    receiver_stop(rx)
    if not rx.was_cleared:
        rx.due = FS_OVFLW
    return False


cdef inline bint receiver_expired(Receiver *rx, int64_t now, Outcome *outcome) noexcept nogil:
    """N_Cr (9.8.2). While the sender is held: N_Br, after which it is told again."""
    if now < rx.deadline:
        return False
    if rx.is_held:
        receiver_ask(rx)
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


cdef inline void receiver_await(Receiver *rx, const Config *config, int64_t now) noexcept nogil:
    """What follows the FC that is on the bus since `now`: a CF, or another FC."""
    if rx.state == RX_WAIT_CF:
        rx.deadline = now + (config.n_br_ns if rx.is_held else config.n_cr_ns)


cdef inline void flow_control_sent(Receiver *rx, const Config *config, int64_t now) noexcept nogil:
    if rx.due == FS_CTS:
        rx.was_cleared = True
        rx.is_held = False
        rx.waits = 0
    rx.due = FS_NONE
    receiver_await(rx, config, now)
