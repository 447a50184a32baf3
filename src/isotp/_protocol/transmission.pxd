# One step of transmission (ISO 15765-2, 9.5 to 9.8): a time in, a frame out; a Flow Control in.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from isotp._protocol.frames cimport close_frame, copy_payload, open_frame
from isotp._protocol.n_pci cimport LONGEST_STMIN_NS
from isotp._protocol.types cimport *


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
    tx.given = 0
    tx.confirmed = 0
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


cdef inline void encode_functional(
    const Config *config, const AddressFilter *address, const uint8_t *payload, uint64_t size, Frame *out,
) noexcept nogil:
    """A functional SF, whatever message is on its way."""
    cdef Transmitter apart
    transmitter_init(&apart)
    begin_message(&apart, config, address, size, True)
    supply(&apart, payload, size)
    encode_next(&apart, config, address, size + CAN_DLEN_MAX, out)


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
        tx.in_block = 0
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


cdef inline void taken_by_bus(Transmitter *tx, const Config *config, int64_t now) noexcept nogil:
    """The bus has the frame of transmit(), and says later since when it is on it: no timer runs before.

    Without STmin the next one need not wait for that.
    """
    tx.given += 1
    if tx.sent + tx.in_frame >= tx.size:
        tx.sent += tx.in_frame
        tx.chunk_used += tx.in_frame
        tx.state = TX_WAIT_CONFIRMATION
        return
    transmitted(tx, config, now)
    if tx.state == TX_WAIT_FC:
        tx.fc_deadline = NEVER
        tx.cf_due = NEVER
    elif tx.stmin_ns != 0:
        tx.cf_due = NEVER


cdef inline bint confirmed(Transmitter *tx, const Config *config, uint64_t count, int64_t now) noexcept nogil:
    """The first `count` frames of the message are on the bus since `now` (L_Data.con). True: the message is sent."""
    if count <= tx.confirmed:
        return False               # a Flow Control has told before
    tx.confirmed = count
    if count < tx.given:
        return False
    if tx.state == TX_WAIT_CONFIRMATION:
        transmitter_stop(tx)
        return True
    if tx.state == TX_WAIT_FC:
        tx.fc_deadline = now + config.n_bs_ns
        tx.cf_due = now + tx.stmin_ns
    elif tx.state == TX_TRANSMIT_CF:
        tx.cf_due = now + tx.stmin_ns
    return False


cdef inline int64_t first_cf_of_block(
    const Transmitter *tx, const Config *config, int64_t stmin_ns, int64_t now,
) noexcept nogil:
    """When the first CF may go that a Flow Control asks for, which came now.

    STmin is the gap between two CFs (9.6.5.4): none follows the FF, and what a block's last CF began may be over. By
    default it is waited after each Flow Control, as can-isotp does it, whose tests ask for that.
    """
    if not config.strict:
        return now + stmin_ns
    if tx.in_block == 0:
        return now                     # it is the first one after the FF
    if tx.cf_due == NEVER:
        return now + stmin_ns          # not confirmed, but it has come: at the latest it went just now
    return max(now, tx.cf_due + stmin_ns - tx.stmin_ns)


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
    if tx.state == TX_WAIT_FC:
        tx.confirmed = tx.given        # who answers has received all
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
        tx.saw_reserved_stmin = True
    if config.overrides_stmin:
        stmin_ns = config.override_stmin_ns
    elif tx.saw_reserved_stmin:
        stmin_ns = LONGEST_STMIN_NS    # 9.6.5.5: for the rest of the message
    else:
        stmin_ns = pci.stmin_ns
    if tx.state == TX_WAIT_FC:
        tx.state = TX_TRANSMIT_CF
        tx.fc_deadline = NEVER
        tx.cf_due = first_cf_of_block(tx, config, stmin_ns, now)
        tx.in_block = 0
    elif tx.confirmed < tx.given:
        tx.cf_due = now if stmin_ns == 0 else NEVER
    else:
        tx.cf_due += stmin_ns - tx.stmin_ns    # holds for the gap that runs, too
    tx.stmin_ns = stmin_ns
    return False
