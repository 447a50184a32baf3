# cython: language_level=3
"""What libFuzzer calls: the steps of the protocol with any bytes, and what must hold after each of them.

One function for each harness of run.py. Frames and payloads lie in blocks of exactly their size, so that
AddressSanitizer sees each byte that is read or written beside them.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, malloc
from libc.string cimport memcmp

from isotp._protocol.frames cimport *
from isotp._protocol.n_pci cimport *
from isotp._protocol.rate cimport *
from isotp._protocol.reception cimport *
from isotp._protocol.transmission cimport *
from isotp._protocol.types cimport *


cdef enum:
    MOST_BYTES = 1 << 16           # of payload that one input brings
    MOST_FRAME = 72                # bytes: a little more than a frame can have
    SECOND = 1_000_000_000


cdef void require(bint holds, const char *promise) noexcept nogil:
    if not holds:
        fprintf(stderr, b"NOT KEPT: %s\n", promise)
        abort()


# ---------------------------------------------------------------- the bytes of an input, one after the other


cdef struct Input:
    const uint8_t *data
    size_t left


cdef uint8_t take(Input *source) noexcept nogil:
    """The next byte, 0 behind the end."""
    if source.left == 0:
        return 0
    source.data += 1
    source.left -= 1
    return (source.data - 1)[0]


cdef uint32_t take_32(Input *source) noexcept nogil:
    cdef uint32_t value = 0
    for _ in range(4):
        value = value << 8 | take(source)
    return value


cdef uint8_t *take_block(Input *source, size_t size) noexcept nogil:
    """A block of exactly `size` bytes, zero behind the end of the input."""
    cdef uint8_t *block = <uint8_t *>malloc(size)
    cdef size_t k
    require(block != NULL or size == 0, b"there is memory")
    for k in range(size):
        block[k] = take(source)
    return block


cdef int64_t take_delay(Input *source) noexcept nogil:
    """0 to 2 s, in steps that meet STmin and the time-outs of take_config()."""
    cdef uint8_t given = take(source)
    return <int64_t>(given & 0x3F) * (100_000 if given < 0x80 else 32_000_000)


cdef uint64_t take_length(Input *source) noexcept nogil:
    """Of a message: short as a rule, for the sake of speed, or about where FF_DL takes its escape form."""
    cdef uint8_t what = take(source)
    if what >= 0xFC:
        return 4094 + <uint64_t>(what & 3)
    return max(take(source) | <uint64_t>(what & 1) << 8, <uint64_t>1)


cdef void take_config(Input *source, Config *config, AddressFilter *address) noexcept nogil:
    """Any parameters that Params lets through, with short and round time-outs."""
    cdef uint8_t bits = take(source)
    cdef uint8_t more = take(source)
    cdef uint8_t *lengths = [8, 12, 16, 20, 24, 32, 48, 64]
    memset(config, 0, sizeof(Config))
    config.tx_dl = lengths[bits & 7]
    config.listen = bits & 8 != 0
    config.awaits_fc = bits & 16 != 0
    config.overrides_stmin = bits & 32 != 0
    config.min_length = more & 0x7F if bits & 64 else 0
    if config.min_length > config.tx_dl:
        config.min_length = config.tx_dl
    config.pads_classic = bits & 128 != 0 and config.min_length == 0
    config.padding = take(source)
    config.frame_flags = CANFD_FDF if config.tx_dl > 8 else 0
    config.blocksize = take(source)
    config.stmin = take(source)
    config.override_stmin_ns = <int64_t>config.stmin * 1_000_000
    config.wftmax = take(source)
    config.strict = config.wftmax & 0x80 != 0
    config.wftmax &= 3
    config.max_frame_size = take_32(source)
    config.n_as_ns = config.n_bs_ns = config.n_cr_ns = SECOND
    memset(address, 0, sizeof(AddressFilter))
    address.tx_id_physical = 0x123
    address.tx_id_functional = 0x7DF
    address.rx_id_physical = address.rx_id_functional = 0x456
    address.tx_prefix_size = address.rx_prefix_size = more >> 7
    address.tx_prefix = 0x99
    address.rx_prefix = 0x99


# ---------------------------------------------------------------- N_PCI


cdef bint is_no_n_pdu(OutcomeCode code) noexcept nogil:
    return BAD_EMPTY <= code <= BAD_FC_STMIN and code != BAD_CAN_DL


cdef public void fuzz_decode(const uint8_t *data, size_t size) noexcept nogil:
    """decode_n_pci() of any bytes: it stays in the frame, its outcome is defined, and an FC comes back the same."""
    cdef Input source = Input(data, size)
    cdef Config config
    cdef AddressFilter address
    cdef Frame frame
    cdef NPci pci, again
    cdef Outcome outcome
    cdef OutcomeCode code
    cdef int prefix = take(&source) & 1
    cdef int length = <int>min(source.left, <size_t>MOST_FRAME)
    cdef uint8_t *bytes_ = take_block(&source, <size_t>length)
    code = decode_n_pci(bytes_, length, prefix, &pci, &outcome)
    if code != OK:
        require(is_no_n_pdu(code), b"what cannot be decoded has one of the codes of bad frames")
        free(bytes_)
        return
    require(pci.type <= N_PCI_FC, b"one of four types")
    require(prefix < pci.offset <= length, b"the payload begins in the frame")
    if pci.type == N_PCI_SF:
        require(pci.length >= 1 and pci.offset + <int>pci.length <= length, b"an SF holds its payload")
    elif pci.type == N_PCI_FF:
        require(pci.length >= 1, b"an FF has a length")
        require(pci.escape == (pci.offset == prefix + 6), b"only the escape form is longer")
    elif pci.type == N_PCI_CF:
        require(pci.sn <= 15, b"SN has four bits")
    else:
        require(pci.flow_status <= FS_OVFLW, b"one of three flow states")
        require(0 <= pci.stmin_ns <= 127_000_000, b"STmin is 0 to 127 ms")
        memset(&config, 0, sizeof(Config))
        memset(&address, 0, sizeof(AddressFilter))
        config.tx_dl = CAN_DLEN_CLASSIC
        config.blocksize = pci.blocksize
        config.stmin = pci.stmin
        address.tx_prefix_size = <uint8_t>prefix
        encode_flow_control(<FlowStatus>pci.flow_status, &config, &address, &frame)
        require(decode_n_pci(frame.data, frame.len, prefix, &again, &outcome) == OK, b"an FC of ours is good")
        require(
            again.flow_status == pci.flow_status and again.blocksize == pci.blocksize and again.stmin == pci.stmin
            and again.stmin_ns == pci.stmin_ns, b"an FC says what was put into it")
    free(bytes_)


cdef void check_sent(
    const Frame *frame, const Config *config, const AddressFilter *address, NPci *pci, OutcomeCode *code,
) noexcept nogil:
    """What holds for each frame that is sent; its N_PCI."""
    cdef Outcome outcome
    cdef uint8_t *exact = <uint8_t *>malloc(frame.len)
    require(exact != NULL, b"there is memory")
    memcpy(exact, frame.data, frame.len)
    require(frame.len <= config.tx_dl and DLC_CODE[frame.len] != INVALID_DLC, b"a length that a frame can have")
    require(frame.len >= config.min_length, b"as long as asked for")
    require(not config.pads_classic or config.tx_dl > 8 or frame.len == 8, b"padded as asked for")
    require(frame.flags == config.frame_flags, b"the flags asked for")
    require(address.tx_prefix_size == 0 or exact[0] == address.tx_prefix, b"the prefix leads")
    code[0] = decode_n_pci(exact, frame.len, address.tx_prefix_size, pci, &outcome)
    free(exact)


cdef public void fuzz_encode(const uint8_t *data, size_t size) noexcept nogil:
    """A message becomes frames: each is good, and together they hold the message, once and in order."""
    cdef Input source = Input(data, size)
    cdef Config config
    cdef AddressFilter address
    cdef Transmitter tx
    cdef Frame frame
    cdef NPci pci
    cdef OutcomeCode code
    cdef uint8_t *payload
    cdef uint64_t length, payload_size, seen = 0
    cdef int64_t now = 0
    cdef int sn = 0
    take_config(&source, &config, &address)
    config.awaits_fc = False
    config.overrides_stmin = False
    length = take_length(&source)
    payload = take_block(&source, <size_t>length)
    transmitter_init(&tx)
    begin_message(&tx, &config, &address, length, take(&source) & 1)
    supply(&tx, payload, length)
    while tx.state != TX_IDLE:
        payload_size = next_payload_size(&tx, &config, &address)
        require(not encode_next(&tx, &config, &address, 0, &frame), b"no frame without a byte allowed")
        require(transmit(&tx, &config, &address, now, <uint64_t>-1, &frame), b"nothing else holds a frame back")
        check_sent(&frame, &config, &address, &pci, &code)
        require(code == OK, b"a frame of ours is good")
        require(payload_size == tx.in_frame and tx.in_frame >= 1, b"each frame has payload, as foretold")
        require(pci.offset + <int>payload_size <= frame.len, b"the payload is in the frame")
        require(memcmp(&frame.data[pci.offset], &payload[seen], <size_t>payload_size) == 0, b"the bytes in order")
        if pci.type == N_PCI_CF:
            sn = (sn + 1) & 15
            require(pci.sn == sn, b"SN counts")
        else:
            require(seen == 0 and pci.length == length, b"first the SF or FF, with the length")
        seen += payload_size
        require(transmitted(&tx, &config, now) == (seen == length), b"the message ends with its last byte")
    require(seen == length, b"all of the message went out")
    free(payload)


# ---------------------------------------------------------------- reception


cdef void check_receiver(const Receiver *rx, const Config *config, uint64_t arrived) noexcept nogil:
    require(rx.state == RX_IDLE or rx.state == RX_WAIT_CF, b"a state that there is")
    require(rx.due <= FS_OVFLW or rx.due == FS_NONE, b"a flow state, or none")
    require(not config.listen or rx.due == FS_NONE, b"a listener sends no flow control")
    # Twice what came is what the growth of a buffer costs at most.
    require(rx.capacity <= max(2 * arrived, <uint64_t>BUFFER_FIRST), b"a buffer grows by what came only")
    require(rx.got - rx.taken <= rx.capacity or rx.state == RX_IDLE, b"what came is in the buffer")
    if rx.state == RX_IDLE:
        require(rx.deadline == NEVER, b"who waits for nothing has no deadline")
        return
    require(rx.taken <= rx.got <= rx.size, b"no more than the message has")
    require(rx.size <= config.max_frame_size, b"not longer than allowed")
    require(rx.sn <= 15 and CAN_DLEN_CLASSIC <= rx.rx_dl <= CAN_DLEN_MAX, b"SN and RX_DL that there are")
    require(config.blocksize == 0 or rx.in_block < config.blocksize, b"BS is kept")


cdef void check_fast_path(
    const Receiver *rx, const Config *config, int prefix, const uint8_t *data, int size, int64_t now,
) noexcept nogil:
    """receive_next_cf() either does nothing, or what receive_cf() does."""
    cdef Receiver fast = rx[0]
    cdef Receiver slow = rx[0]
    cdef NPci pci
    cdef Outcome outcome
    if rx.state != RX_WAIT_CF:
        return
    fast.buffer = <uint8_t *>malloc(rx.capacity)
    slow.buffer = <uint8_t *>malloc(rx.capacity)
    require(fast.buffer != NULL and slow.buffer != NULL, b"there is memory")
    copy_payload(fast.buffer, rx.buffer, rx.got - rx.taken)
    copy_payload(slow.buffer, rx.buffer, rx.got - rx.taken)
    if receive_next_cf(&fast, config, prefix, data, size, now):
        outcome.code = OK
        require(decode_n_pci(data, size, prefix, &pci, &outcome) == OK and pci.type == N_PCI_CF, b"it is a CF")
        require(receive_cf(&slow, config, &pci, data, size, now, &outcome) == RX_NOTHING, b"it is not the last")
        require(outcome.code == OK, b"nothing is wrong with it")
        require(
            fast.state == slow.state and fast.sn == slow.sn and fast.got == slow.got and fast.due == slow.due
            and fast.deadline == slow.deadline and (fast.in_block == slow.in_block or config.listen),
            b"the short way and the long way lead to the same state")
        require(
            memcmp(fast.buffer, slow.buffer, fast.got - fast.taken) == 0,
            b"the short way and the long way lead to the same bytes")
    free(fast.buffer)
    free(slow.buffer)


# What the receiver should have: the payload of the frames it said it took, put together in the plainest way.
cdef struct Shadow:
    uint8_t *bytes
    uint64_t got
    uint64_t size
    uint64_t taken


cdef void shadow_add(Shadow *shadow, const uint8_t *data, uint64_t size) noexcept nogil:
    size = min(size, shadow.size - shadow.got)
    require(shadow.got + size <= MOST_BYTES, b"an input brings so many bytes only")
    if size > 0:
        memcpy(&shadow.bytes[shadow.got], data, size)
    shadow.got += size


cdef RxEvent hear(
    Receiver *rx, const Config *config, int prefix, const uint8_t *data, int size, int64_t now,
    Shadow *shadow, uint64_t *arrived, Outcome *outcome,
) noexcept nogil:
    """A frame, and what must hold after it."""
    cdef RxEvent event
    cdef bint waited = rx.state == RX_WAIT_CF
    arrived[0] += <uint64_t>size
    check_fast_path(rx, config, prefix, data, size, now)
    event = receive(rx, config, prefix, data, size, now, outcome)
    require(
        OK <= outcome.code < UNEXPECTED_FC and outcome.code != N_CR_TIMEOUT, b"an outcome of reception")
    require(
        outcome.interruption == OK or waited and (
            outcome.interruption == INTERRUPTED_BY_SF or outcome.interruption == INTERRUPTED_BY_FF),
        b"only what went on is interrupted")
    require(outcome.code != OUT_OF_MEMORY, b"there is memory")
    check_receiver(rx, config, arrived[0])
    if event == RX_STARTED:
        shadow.got = shadow.taken = 0
        shadow.size = rx.size
        shadow_add(shadow, &data[prefix + (2 if data[prefix] != 0x10 or data[prefix + 1] != 0 else 6)],
                   rx.got)
        require(rx.state == RX_WAIT_CF, b"after an FF come CFs")
    elif waited and (event == RX_MESSAGE and outcome.interruption == OK
                     or event == RX_NOTHING and rx.state == RX_WAIT_CF and outcome.code == OK):
        shadow_add(shadow, &data[prefix + 1], <uint64_t>(size - prefix - 1))
        require(shadow.got == rx.got, b"what came is counted")
    if event == RX_MESSAGE and waited and outcome.interruption == OK:
        require(shadow.got == shadow.size, b"a message is complete")
        require(rx.message_size == shadow.size - shadow.taken, b"a message has its length")
        require(
            memcmp(rx.message, &shadow.bytes[shadow.taken], rx.message_size) == 0, b"a message has its bytes")
    elif event == RX_MESSAGE:
        require(1 <= rx.message_size <= <uint64_t>size, b"an SF has its payload")
        require(
            data + prefix < rx.message and rx.message + rx.message_size <= data + size, b"and it is in the frame")
    elif event == RX_FLOW_CONTROL:
        require(
            config.strict or (rx.flow_control.flow_status <= FS_OVFLW and rx.flow_control.stmin_ns >= 0),
            b"a good FC, or one that the transmitter judges")
    return event


cdef public void fuzz_reception(const uint8_t *data, size_t size) noexcept nogil:
    """Any frames at any time, with each kind of parameters, bytes taken out in between and flow control sent late."""
    cdef Input source = Input(data, size)
    cdef Config config
    cdef AddressFilter address
    cdef Receiver rx
    cdef Outcome outcome
    cdef Frame frame
    cdef NPci pci
    cdef OutcomeCode code
    cdef Shadow shadow
    cdef uint64_t arrived = 0
    cdef int64_t now = 0
    cdef uint8_t what
    cdef uint8_t *bytes_
    cdef int length, prefix
    shadow.bytes = <uint8_t *>malloc(MOST_BYTES)
    shadow.got = shadow.size = shadow.taken = 0
    take_config(&source, &config, &address)
    prefix = address.rx_prefix_size
    receiver_init(&rx)
    while source.left > 0:
        what = take(&source)
        if what < 0xE0:
            # A frame: of 8 or 64 bytes as a rule, of any length if told so, led by the SN that is due now and then.
            length = 8 if what < 0x80 else 64 if what < 0xA0 else take(&source) % (MOST_FRAME + 1)
            bytes_ = take_block(&source, <size_t>length)
            if what & 1 and length > prefix:
                bytes_[prefix] = 0x20 | ((rx.sn + 1) & 15)
            if prefix and length and what & 2:
                bytes_[0] = address.rx_prefix
            if is_for_us(&address, 0x456, bytes_, length):
                hear(&rx, &config, prefix, bytes_, length, now, &shadow, &arrived, &outcome)
            free(bytes_)
        elif what < 0xF0:
            now += take_delay(&source)
            if receiver_expired(&rx, now, &outcome):
                require(outcome.code == N_CR_TIMEOUT and outcome.given <= outcome.expected, b"N_Cr ran out")
                require(rx.state == RX_IDLE, b"and the reception with it")
            require(now < rx.deadline, b"a deadline that passed is not kept")
        elif what < 0xF8:
            if rx.due != FS_NONE:
                encode_flow_control(rx.due, &config, &address, &frame)
                check_sent(&frame, &config, &address, &pci, &code)
                require(code == OK or (code == BAD_FC_STMIN and stmin_to_ns(config.stmin) < 0), b"a good FC")
                flow_control_sent(&rx, &config, now)
                require(rx.due == FS_NONE, b"it is sent once")
        elif what < 0xFC:
            # As receive_into does
            if rx.state == RX_WAIT_CF and rx.got > rx.taken:
                require(memcmp(rx.buffer, &shadow.bytes[rx.taken], rx.got - rx.taken) == 0, b"the bytes so far")
                shadow.taken = rx.taken = rx.got
        else:
            receiver_stop(&rx)
        check_receiver(&rx, &config, arrived)
    receiver_free(&rx)
    free(shadow.bytes)


# ---------------------------------------------------------------- transmission


cdef void check_transmitter(const Transmitter *tx, const Config *config) noexcept nogil:
    require(TX_IDLE <= tx.state <= TX_FF_STANDBY, b"a state that there is")
    require(tx.sent <= tx.size, b"nothing is sent twice")
    require(tx.chunk_used <= tx.chunk_size, b"bytes that were supplied")
    require(tx.waits <= config.wftmax or (config.strict and config.wftmax == 0), b"WFTmax is kept")
    require((tx.fc_deadline == NEVER) == (tx.state != TX_WAIT_FC), b"N_Bs runs while an FC is due")
    if tx.state == TX_TRANSMIT_CF and tx.blocksize != 0 and tx.blocksize != NO_BLOCKSIZE:
        require(tx.sn <= 15, b"SN has four bits")


cdef public void fuzz_transmission(const uint8_t *data, size_t size) noexcept nogil:
    """Messages of any size, any flow control at any time, a rate limit, time-outs, a source that runs dry."""
    cdef Input source = Input(data, size)
    cdef Config config
    cdef AddressFilter address
    cdef Transmitter tx
    cdef Outcome outcome
    cdef Frame frame
    cdef NPci pci
    cdef OutcomeCode code
    cdef int64_t now = 0, last_cf = 0, gap = 0
    cdef uint64_t length, wanted, allowed, block = 0
    cdef uint8_t what
    cdef uint8_t *bytes_
    cdef uint8_t *chunk = NULL
    cdef TxStateCode before
    cdef bint gave_up
    take_config(&source, &config, &address)
    transmitter_init(&tx)
    while source.left > 0:
        what = take(&source)
        before = tx.state
        if what < 0x20:
            if tx.state != TX_IDLE:
                continue
            length = max(take_32(&source) if what & 1 else take(&source), <uint32_t>1)
            begin_message(&tx, &config, &address, length, what & 2)
            require(tx.state == TX_SF_STANDBY or tx.state == TX_FF_STANDBY, b"an SF or an FF comes first")
        elif what < 0x90:
            if tx.state != TX_IDLE and tx.state != TX_WAIT_FC:
                wanted = next_payload_size(&tx, &config, &address)
                require(1 <= wanted <= 63, b"a frame has room")
                if what & 4 and wanted > 1 and tx.state == TX_TRANSMIT_CF:
                    wanted -= 1            # the source runs dry
                if tx.chunk_size - tx.chunk_used < wanted:
                    free(chunk)
                    chunk = take_block(&source, <size_t>wanted)
                    supply(&tx, chunk, wanted)
            allowed = take(&source) if what & 8 else <uint64_t>-1
            if transmit(&tx, &config, &address, now, allowed, &frame):
                require(before != TX_IDLE and before != TX_WAIT_FC, b"only what is to be sent is sent")
                check_sent(&frame, &config, &address, &pci, &code)
                if before == TX_TRANSMIT_CF:
                    require(code == OK and pci.type == N_PCI_CF, b"a CF")
                    require(now >= tx.cf_due and now - last_cf >= min(gap, tx.stmin_ns), b"STmin is kept")
                    require(tx.blocksize == 0 or block < tx.blocksize, b"BS is kept")
                    block += 1
                last_cf = now
                gap = tx.stmin_ns
                transmitted(&tx, &config, now)
                require(tx.state == TX_IDLE or tx.state == TX_WAIT_FC or tx.state == TX_TRANSMIT_CF, b"it went on")
        elif what < 0xC0:
            # Flow control, or what claims to be; with the first byte right now and then.
            bytes_ = take_block(&source, 3)
            if what & 1:
                bytes_[0] = 0x30 | (bytes_[0] & 3)
            code = decode_n_pci(bytes_, 3, 0, &pci, &outcome)
            if config.strict and (code == BAD_FC_STATUS or code == BAD_FC_STMIN):
                code = OK                  # as receive() has it
            if code == OK and pci.type == N_PCI_FC:
                gave_up = on_flow_control(&tx, &config, &pci, now, &outcome)
                require(not gave_up or tx.state == TX_IDLE, b"who gives up is idle")
                require(not gave_up or before != TX_IDLE, b"only what goes on is given up")
                require(
                    outcome.code == OK or (outcome.code == BAD_FC_STATUS and config.strict)
                    or (UNEXPECTED_FC <= outcome.code <= PEER_OVERFLOW and outcome.code != N_BS_TIMEOUT),
                    b"an outcome of flow control")
                if tx.state == TX_TRANSMIT_CF and pci.flow_status == FS_CTS:
                    block = 0
                if tx.state == TX_TRANSMIT_CF and before == TX_WAIT_FC:
                    gap = tx.stmin_ns
                    require(tx.cf_due - now == tx.stmin_ns, b"STmin runs from the FC")
            free(bytes_)
        elif what < 0xF0:
            now += take_delay(&source)
            if transmitter_expired(&tx, now, &outcome):
                require(outcome.code == N_BS_TIMEOUT and before == TX_WAIT_FC, b"N_Bs ran out")
            require(now < tx.fc_deadline, b"a deadline that passed is not kept")
        elif what < 0xF8:
            config.tx_dl = 8 if config.tx_dl == 64 else 64
            config.min_length = 0
            config.frame_flags = CANFD_FDF if config.tx_dl > 8 else 0
            choose_first_frame(&tx, &config, &address)
            if tx.state == TX_SF_STANDBY or tx.state == TX_FF_STANDBY or tx.state == TX_TRANSMIT_CF:
                require(next_payload_size(&tx, &config, &address) >= 1, b"a frame has room")
        else:
            transmitter_stop(&tx)
        check_transmitter(&tx, &config)
    free(chunk)


# ---------------------------------------------------------------- two ends of one bus


cdef public void fuzz_exchange(const uint8_t *data, size_t size) noexcept nogil:
    """A message from one end to the other over a bus that loses, repeats and damages frames.

    Without faults it arrives as it was. With faults it arrives, or an end notices, but nothing runs on for ever.
    """
    cdef Input source = Input(data, size)
    cdef Config sends, receives
    cdef AddressFilter there, here
    cdef Transmitter tx
    cdef Receiver rx
    cdef Frame frame
    cdef NPci pci
    cdef Outcome outcome
    cdef Shadow shadow
    cdef RxEvent event
    cdef uint8_t *payload
    cdef uint8_t *wire
    cdef uint64_t length, arrived = 0
    cdef int64_t now = 0, wake
    cdef uint32_t rounds = 0, most, times
    cdef uint8_t fault, place
    cdef bint faults = False, delivered = False
    take_config(&source, &sends, &there)
    take_config(&source, &receives, &here)
    here = there
    receives.listen = False
    receives.max_frame_size = 0xFFFFFFFF
    sends.awaits_fc = True
    sends.strict = receives.strict     # by the standard, both
    if sends.strict:
        # 9.6.2.2 has one length for each SF; who pads it to another is not heard.
        sends.min_length = 0
    if stmin_to_ns(receives.stmin) < 0:
        receives.stmin = 0
    length = take_length(&source)
    payload = take_block(&source, <size_t>length)
    shadow.bytes = <uint8_t *>malloc(MOST_BYTES)
    shadow.got = shadow.size = shadow.taken = 0
    transmitter_init(&tx)
    receiver_init(&rx)
    begin_message(&tx, &sends, &there, length, False)
    supply(&tx, payload, length)
    # For each frame: when it may go, it, and a flow control frame.
    most = <uint32_t>(4 * length + 64)
    while tx.state != TX_IDLE or rx.state != RX_IDLE or rx.due != FS_NONE:
        rounds += 1
        require(rounds < most, b"an exchange comes to its end")
        if rx.due != FS_NONE:
            encode_flow_control(rx.due, &receives, &here, &frame)
            flow_control_sent(&rx, &receives, now)
            fault = take(&source)
            if fault > 0xF0:
                faults = True
                continue
            if fault > 0xE0:
                faults = True
                frame.data[take(&source) & 63] ^= take(&source)
            wire = <uint8_t *>malloc(frame.len)
            memcpy(wire, frame.data, frame.len)
            if (is_for_us(&there, 0x456, wire, frame.len)
                    and decode_n_pci(wire, frame.len, there.rx_prefix_size, &pci, &outcome) == OK
                    and pci.type == N_PCI_FC):
                on_flow_control(&tx, &sends, &pci, now, &outcome)
            free(wire)
            continue
        if transmit(&tx, &sends, &there, now, <uint64_t>-1, &frame):
            transmitted(&tx, &sends, now)
            fault = take(&source)
            times = 1
            if fault > 0xD0:
                faults = True
                times = 0 if fault > 0xF0 else 2 if fault > 0xE0 else 1
                if times == 1:
                    place = take(&source) & 63
                    frame.data[place] ^= take(&source)
            while times > 0:
                times -= 1
                wire = <uint8_t *>malloc(frame.len)
                memcpy(wire, frame.data, frame.len)
                if is_for_us(&here, 0x456, wire, frame.len):
                    event = hear(
                        &rx, &receives, here.rx_prefix_size, wire, frame.len, now, &shadow, &arrived, &outcome)
                    if event == RX_MESSAGE and not faults:
                        require(rx.message_size == length, b"a message arrives whole")
                        require(memcmp(rx.message, payload, <size_t>length) == 0, b"a message arrives as it was sent")
                        delivered = True
                free(wire)
            continue
        # Nothing can go now: on to the next deadline.
        wake = min(rx.deadline, tx.fc_deadline)
        if tx.state == TX_TRANSMIT_CF:
            wake = min(wake, tx.cf_due)
        require(now < wake < NEVER, b"who waits has a deadline ahead")
        now = wake
        receiver_expired(&rx, now, &outcome)
        transmitter_expired(&tx, now, &outcome)
    require(faults or delivered, b"without faults a message arrives")
    receiver_free(&rx)
    free(payload)
    free(shadow.bytes)


# ---------------------------------------------------------------- rate limit


cdef public void fuzz_rate(const uint8_t *data, size_t size) noexcept nogil:
    """A window of any width: it never allows more bits than fit, and a byte it refuses is allowed later."""
    cdef Input source = Input(data, size)
    cdef RateWindow window
    cdef int64_t now = 0, change
    cdef uint64_t allowed
    cdef uint32_t rounds = 0
    cdef double rate = <double>(take_32(&source) % 10_000_000 + 1)
    cdef double seconds = <double>(take(&source) + 1) / 100
    memset(&window, 0, sizeof(RateWindow))
    rate_window_init(&window, rate, seconds)
    while source.left > 0:
        now += take_delay(&source)
        rate_forget(&window, now)
        allowed = rate_allowed_bytes(&window)
        require(<double>allowed * 8 <= window.capacity, b"no more than the window holds")
        if allowed > 0:
            rate_count(&window, now, <double>min(allowed, <uint64_t>take(&source)))
            require(window.used <= window.capacity * 1.000001, b"what was allowed fits")
            require(window.count <= window.size, b"slots in the ring")
            continue
        if window.capacity < 8:
            continue
        rounds = 0
        while rate_allowed_bytes(&window) == 0:
            change = rate_next_change(&window)
            require(now < change < NEVER, b"a full window has an end")
            now = change
            rate_forget(&window, now)
            rounds += 1
            require(rounds <= 1 + <uint32_t>window.size, b"slots leave one by one")
    free(window.slots)
