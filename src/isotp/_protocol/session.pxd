# One session as a value: the two machines of one N_AI pair, what they are set to, and which frames are theirs.
#
# A frame and a time come in, an event, a frame or a deadline goes out. No verb can fail, wait, or call anybody:
#
#     session_set, session_use_address, session_hear_also     what counts from the next verb on
#     session_hears, session_judge                            is this frame ours, and on which address did it come?
#     session_receive                                         a frame in, with its time: what happened
#     session_expire                                          the time in: what waited too long
#     session_begin, session_bind_first, session_supply       a message to send, the form it takes, and its bytes
#     session_functional, session_functional_sent             an SF between its frames
#     session_next, session_sent                              the next frame out; it is on the bus since then
#     session_taken_by_bus, session_confirmed                 the same of a bus that says later when that was
#     session_flow_control, ..._sent, _taken, _confirmed      the same for the frame that answers the other end
#     session_hold, session_ask_again                         that is to say Wait; not any more
#     session_deadline                                        when to come again, if no frame does
#     session_stop_receiving, session_stop_sending            give up
#
# What changes while a frame is out is for the next verb. A message keeps the address and the length of its frames that
# it began with: the rest of it would be somebody else's on another address (9.9), and no CF is longer than its FF
# (9.5.3).

from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from isotp._protocol.frames cimport hears_alike, is_for_us, is_functional, likely, same_address
from isotp._protocol.reception cimport (
    encode_flow_control,
    flow_control_sent,
    receive,
    receive_functional,
    receive_next_cf,
    receiver_ask,
    receiver_await,
    receiver_expired,
    receiver_free,
    receiver_hold,
    receiver_init,
    receiver_stop,
)
from isotp._protocol.transmission cimport (
    begin_message,
    choose_first_frame,
    confirmed,
    encode_functional,
    next_payload_size,
    next_rate_size,
    on_flow_control,
    sf_capacity,
    supply,
    taken_by_bus,
    transmit,
    transmitted,
    transmitter_expired,
    transmitter_init,
    transmitter_stop,
)
from isotp._protocol.types cimport *


# What is counted; isotp.stats.Stats says what is what. Only ever counts up.
cdef struct Counters:
    uint64_t frames_for_us
    uint64_t messages_received
    uint64_t bytes_received
    uint64_t messages_sent
    uint64_t bytes_sent
    uint64_t flow_controls_received
    uint64_t waits_received
    uint64_t flow_controls_sent


# What session_judge() found of a frame.
cdef struct Judged:
    AddressFilter address          # that it came in on
    bint apart                     # it can be nothing but an SF, as on a functional address


cdef struct Session:
    Receiver rx
    Transmitter tx
    Config config
    AddressFilter address          # its own
    bint looks_closer              # `address` alone does not tell all about a frame
    bint has_own_config            # the message being sent: `kept_config` is its own
    bint asks                      # who owns the session says which frames are its own, and `address` does not
    # A message is bound to these: to what is in force, or to a copy of what was.
    const Config *tx_config
    const AddressFilter *tx_address
    const AddressFilter *rx_address     # by which the message being received is answered
    Config kept_config
    AddressFilter tx_kept
    AddressFilter rx_kept
    AddressFilter source           # by which the message being received came in: its own, or a further one
    AddressFilter[MAX_FURTHER_ADDRESSES] further      # received as well
    int further_count
    int matched                    # which of them the frame at hand came in on; -1: its own
    bint stopped_receiving         # since the flow control frame at hand was made
    Outcome outcome                # of the last event
    Counters counted


cdef inline void session_init(Session *session) noexcept nogil:
    """A session must not move: it points into itself."""
    memset(session, 0, sizeof(Session))
    receiver_init(&session.rx)
    transmitter_init(&session.tx)
    session.matched = -1
    session.tx_config = &session.config
    session.tx_address = &session.address
    session.rx_address = &session.address


cdef inline void session_free(Session *session) noexcept nogil:
    receiver_free(&session.rx)


# ---------------------------------------------------------------- what it is set to


cdef inline void session_look_closer_if_needed(Session *session) noexcept nogil:
    session.looks_closer = (session.asks or session.config.strict or session.tx_address != &session.address
                            or session.rx_address != &session.address)


cdef inline void session_set(Session *session, const Config *new, int64_t now) noexcept nogil:
    """Work with these parameters from now on; a message that is being sent keeps the length of its frames."""
    cdef uint8_t tx_dl = session.tx_config.tx_dl
    session.config = new[0]
    session.tx_config = &session.config
    if session.tx.state != TX_IDLE and session.has_own_config:
        session.tx_config = &session.kept_config
    elif session.tx.state != TX_IDLE and tx_dl != new.tx_dl:
        session.kept_config = new[0]
        session.kept_config.tx_dl = tx_dl
        session.kept_config.min_length = min(new.min_length, tx_dl)
        session.tx_config = &session.kept_config
    if new.listen and (session.rx.due != FS_NONE or session.rx.is_held):
        session.rx.is_held = False
        flow_control_sent(&session.rx, &session.config, now)
    session_look_closer_if_needed(session)


cdef inline const AddressFilter *still_bound(
    bint is_active, const AddressFilter *bound, AddressFilter *kept, const AddressFilter *new,
) noexcept nogil:
    """What a message in one direction is bound to when the address becomes `new`; NULL: to that one."""
    if not is_active or same_address(bound, new):
        return NULL
    kept[0] = bound[0]
    return kept


cdef inline void session_use_address(Session *session, const AddressFilter *new, bint asks) noexcept nogil:
    """Hear this address at once; messages on their way keep theirs."""
    session.tx_address = still_bound(session.tx.state != TX_IDLE, session.tx_address, &session.tx_kept, new)
    session.rx_address = still_bound(
        session.rx.state != RX_IDLE or session.rx.due != FS_NONE, session.rx_address, &session.rx_kept, new)
    session.address = new[0]
    session.asks = asks
    if session.tx_address == NULL:
        session.tx_address = &session.address
    if session.rx_address == NULL:
        session.rx_address = &session.address
    session_look_closer_if_needed(session)


cdef inline void session_hear_also(Session *session, const AddressFilter *further, int count) noexcept nogil:
    memcpy(session.further, further, <size_t>count * sizeof(AddressFilter))
    session.further_count = count


# ---------------------------------------------------------------- a frame comes


cdef inline bint session_hears(
    const Session *session, uint32_t can_id, const uint8_t *data, Py_ssize_t size,
) noexcept nogil:
    """Whether a frame came in on the session's own address, where that tells all about it."""
    return not session.looks_closer and is_for_us(&session.address, can_id, data, size)


cdef inline bint belongs_elsewhere(const Session *session, const AddressFilter *came_by, int n_pci_type) noexcept nogil:
    """Whether the own address has changed since the message began that a CF or FC would go on with."""
    if n_pci_type == N_PCI_CF:
        return session.rx.state == RX_WAIT_CF and not hears_alike(session.rx_address, came_by)
    if n_pci_type == N_PCI_FC:
        return ((session.tx.state == TX_WAIT_FC or session.tx.state == TX_TRANSMIT_CF)
                and not hears_alike(session.tx_address, came_by))
    return False


cdef inline bint stands_apart(
    const Session *session, const AddressFilter *came_by, bint functional, const uint8_t *data, Py_ssize_t size,
) noexcept nogil:
    """Whether the frame at hand can be nothing but an SF.

    Each N_AI's N_PDUs stand apart (9.9): by the standard, and where the own address has changed.
    """
    cdef int n_pci_type = data[came_by.rx_prefix_size] >> 4 if size > came_by.rx_prefix_size else -1
    if session.matched < 0 and belongs_elsewhere(session, came_by, n_pci_type):
        return True
    if functional or not session.config.strict:
        return session.config.strict
    if n_pci_type == N_PCI_FC:
        return session.matched >= 0            # what the session sends has its own address
    return session.rx.state == RX_WAIT_CF and not hears_alike(&session.source, came_by)


cdef inline bint session_judge(
    Session *session, bint is_own, uint32_t can_id, const uint8_t *data, Py_ssize_t size, Judged *judged,
) noexcept nogil:
    """Whether a frame is ours. `judged.address` is what was looked at to find out whether it `is_own`."""
    cdef int k
    session.matched = -1
    if is_own:
        judged.apart = stands_apart(
            session, &judged.address, is_functional(&judged.address, can_id), data, size)
        return True
    for k in range(session.further_count):
        if is_for_us(&session.further[k], can_id, data, size):
            session.matched = k
            judged.address = session.further[k]
            # One with a single identifier is functional: that is what most are for.
            judged.apart = stands_apart(
                session, &judged.address, can_id == judged.address.rx_id_functional, data, size)
            return True
    return False


cdef inline bint session_takes_cf(
    Session *session, uint32_t can_id, const uint8_t *data, Py_ssize_t size, int64_t now,
) noexcept nogil:
    """What most frames are: the CF that is due, full, neither the last of its message nor of a block.

    False: it is something else, and nothing was done. Decides nothing that session_receive() would not decide alike.
    """
    cdef bint taken = False
    if likely(session_hears(session, can_id, data, size)):
        taken = receive_next_cf(
            &session.rx, &session.config, session.address.rx_prefix_size, data, <int>min(size, INT_MAX), now)
    session.counted.frames_for_us += taken
    return taken


cdef inline void bind_reception(Session *session, const AddressFilter *came_by) noexcept nogil:
    """An FF came in; the own address may have changed since it was judged."""
    cdef const AddressFilter *bound = &session.address
    session.source = came_by[0]
    if session.matched < 0 and not same_address(came_by, &session.address):
        session.rx_kept = came_by[0]
        bound = &session.rx_kept
    if session.rx_address != bound:
        session.rx_address = bound
        session_look_closer_if_needed(session)


cdef inline const Config *sending_config(const Session *session) noexcept nogil:
    """What a Flow Control is judged by: the message being sent may have parameters of its own."""
    return &session.config if session.tx.state == TX_IDLE else session.tx_config


cdef inline RxEvent session_receive(
    Session *session, const AddressFilter *came_by, bint apart, const uint8_t *data, int size, int64_t now,
) noexcept nogil:
    """A frame that is ours. `session.outcome` tells what was wrong, if anything.

    RX_STARTED: an FF was accepted. RX_MESSAGE: session.rx.message and .message_size hold until the next verb.
    RX_FLOW_CONTROL: it was heard. RX_ENDED_SENDING: it was, and the message being sent is given up.
    """
    cdef RxEvent event
    session.counted.frames_for_us += 1
    if apart:
        event = receive_functional(
            &session.rx, &session.config, came_by.rx_prefix_size, data, size, &session.outcome)
    else:
        event = receive(&session.rx, &session.config, came_by.rx_prefix_size, data, size, now, &session.outcome)
    if event == RX_MESSAGE:
        session.counted.messages_received += 1
        # What left the buffer before the end is not in it any more.
        session.counted.bytes_received += (
            session.rx.size if session.rx.message == session.rx.buffer else session.rx.message_size)
    elif event == RX_FLOW_CONTROL:
        session.counted.flow_controls_received += 1
        if session.rx.flow_control.flow_status == FS_WAIT:
            session.counted.waits_received += 1
        if on_flow_control(&session.tx, sending_config(session), &session.rx.flow_control, now, &session.outcome):
            event = RX_ENDED_SENDING
    elif event == RX_STARTED or session.outcome.code == FF_DL_TOO_LONG:
        bind_reception(session, came_by)
    return event


cdef inline void session_stop_receiving(Session *session) noexcept nogil:
    receiver_stop(&session.rx)
    session.stopped_receiving = True


cdef inline bint session_refuse(Session *session) noexcept nogil:
    """The message that begins is not wanted: its sender is told, before it has sent it all. False: it was stopped."""
    if session.rx.state != RX_WAIT_CF:
        return False
    receiver_stop(&session.rx)
    if not session.config.listen:
        session.rx.due = FS_OVFLW
    return True


cdef inline bint session_hold(Session *session) noexcept nogil:
    """Whoever takes the message is not ready: the other end is told to wait, N_WFTmax times in a row at the most.

    False: it is given up; session.outcome says so. (Or it was stopped.)
    """
    session.outcome.code = OK
    return session.rx.due == FS_CTS and receiver_hold(&session.rx, &session.config, &session.outcome)


cdef inline bint session_ask_again(Session *session) noexcept nogil:
    """Whoever takes the message may be ready now. False: nobody was told to wait."""
    if not session.rx.is_held or session.rx.due != FS_NONE:
        return False
    receiver_ask(&session.rx)
    return True


# ---------------------------------------------------------------- time goes on


cdef inline bint session_is_overdue(const Session *session, int64_t now) noexcept nogil:
    return now >= session.rx.deadline or now >= session.tx.fc_deadline


cdef inline RxEvent session_expire(Session *session, int64_t now, bint rx, bint tx) noexcept nogil:
    """Give up what waited too long, one thing a call: RX_EXPIRED (N_Cr), RX_ENDED_SENDING (N_Bs), or RX_NOTHING."""
    if rx and receiver_expired(&session.rx, now, &session.outcome):
        return RX_EXPIRED
    if tx and transmitter_expired(&session.tx, now, &session.outcome):
        return RX_ENDED_SENDING
    return RX_NOTHING


cdef inline int64_t session_deadline(const Session *session, int64_t not_before) noexcept nogil:
    """When to come again if no frame does; no frame of a message goes before `not_before`."""
    if session.tx.state == TX_IDLE or session.tx.state == TX_WAIT_CONFIRMATION:
        return session.rx.deadline
    if session.tx.state == TX_WAIT_FC:
        return min(session.rx.deadline, session.tx.fc_deadline)
    if session.tx.state == TX_TRANSMIT_CF:
        not_before = max(not_before, session.tx.cf_due)
    return min(session.rx.deadline, not_before)


cdef inline bint session_rests(const Session *session) noexcept nogil:
    """No timer runs, and nothing is to be sent."""
    return session.rx.state == RX_IDLE and session.tx.state == TX_IDLE and session.rx.due == FS_NONE


# ---------------------------------------------------------------- a message goes


cdef inline void bind_sending(Session *session) noexcept nogil:
    """Nothing of the message has gone: it is made from what is in force."""
    if not session.has_own_config:
        session.tx_config = &session.config
    if session.tx_address != &session.address:
        session.tx_address = &session.address
        session_look_closer_if_needed(session)


cdef inline void session_begin(Session *session, uint64_t size, bint functional, const Config *own) noexcept nogil:
    """Send a message of so many bytes, which come by session_supply(); by parameters of its `own`, unless NULL."""
    session.has_own_config = own != NULL
    if own != NULL:
        session.kept_config = own[0]
        session.tx_config = &session.kept_config
    bind_sending(session)
    begin_message(&session.tx, session.tx_config, session.tx_address, size, functional)


cdef inline bint session_bind_first(Session *session) noexcept nogil:
    """The SF or FF that is next is made from what is in force. False: a functional message does not fit an SF now."""
    bind_sending(session)
    choose_first_frame(&session.tx, session.tx_config, session.tx_address)
    return not session.tx.functional or session.tx.state != TX_FF_STANDBY


cdef inline uint64_t session_wants(const Session *session) noexcept nogil:
    """Payload bytes that the next frame takes; session.tx has those at hand."""
    return next_payload_size(&session.tx, session.tx_config, session.tx_address)


cdef inline uint64_t session_rate_size(const Session *session) noexcept nogil:
    """Bytes that a rate limiter must allow for the next frame."""
    return next_rate_size(&session.tx, session.tx_config, session.tx_address)


cdef inline void session_supply(Session *session, const uint8_t *chunk, uint64_t size) noexcept nogil:
    """Payload bytes at hand; they stay the caller's, and must live until they are used up."""
    supply(&session.tx, chunk, size)


cdef inline bint session_next(Session *session, int64_t now, uint64_t allowed, Frame *out) noexcept nogil:
    """The next SF, FF or CF, if one may go; it is the one of session.tx.epoch. Say session_sent() when it went."""
    return transmit(&session.tx, session.tx_config, session.tx_address, now, allowed, out)


cdef inline void session_count_sent(Session *session, uint64_t size) noexcept nogil:
    session.counted.messages_sent += 1
    session.counted.bytes_sent += size


cdef inline bint session_is_sent(Session *session) noexcept nogil:
    session_count_sent(session, session.tx.size)
    return True


cdef inline bint session_sent(Session *session, int64_t now) noexcept nogil:
    """The frame of session_next() is on the bus since `now`. True: with that the message is sent."""
    return transmitted(&session.tx, session.tx_config, now) and session_is_sent(session)


cdef inline void session_taken_by_bus(Session *session, int64_t now) noexcept nogil:
    """The same, of a bus that says later when the frame was on it: session_confirmed()."""
    taken_by_bus(&session.tx, session.tx_config, now)


cdef inline bint session_confirmed(Session *session, uint64_t count, int64_t now) noexcept nogil:
    """The first `count` frames of the message are on the bus since `now`. True: with that the message is sent."""
    return confirmed(&session.tx, session.tx_config, count, now) and session_is_sent(session)


cdef inline bint session_functional(
    const Session *session, const Config *config, const uint8_t *payload, uint64_t size, Frame *out,
) noexcept nogil:
    """A functional SF between the frames of the message being sent: its N_AI is another one (9.9).

    False: it is too long.
    """
    if size > <uint64_t>sf_capacity(config, &session.address):
        return False
    encode_functional(config, &session.address, payload, size, out)
    return True


cdef inline void session_functional_sent(Session *session, uint64_t size) noexcept nogil:
    session_count_sent(session, size)


cdef inline void session_stop_sending(Session *session) noexcept nogil:
    transmitter_stop(&session.tx)


cdef inline FlowStatus session_flow_control(Session *session, int64_t now, Frame *out) noexcept nogil:
    """The flow control frame that is due; FS_NONE: there is none.

    It counts as sent: if it never goes, a reception ends by N_Cr. Say session_flow_control_sent() when it went.
    """
    cdef FlowStatus due = session.rx.due
    session.stopped_receiving = False
    if due != FS_NONE:
        encode_flow_control(due, &session.config, session.rx_address, out)
        flow_control_sent(&session.rx, &session.config, now)
    return due


cdef inline void session_flow_control_sent(Session *session, FlowStatus due, bint went, int64_t now) noexcept nogil:
    """That frame is on the bus since `now`, from when N_Cr runs, or N_Br; or it did not go, and is due again."""
    if went:
        session.counted.flow_controls_sent += 1
        flow_control_sent(&session.rx, &session.config, now)
    elif not session.stopped_receiving and not session.config.listen:
        session.rx.due = due


cdef inline void session_flow_control_taken(Session *session) noexcept nogil:
    """The bus has that frame, and says later since when it is on it: N_Cr does not run before, but N_Ar does."""
    if session.rx.state == RX_WAIT_CF:
        session.rx.deadline = NEVER


cdef inline bint session_awaits_block(const Session *session, uint32_t number, uint64_t got) noexcept nogil:
    """No CF has come since the flow control frame of reception `number` that went when so many bytes were there."""
    return session.rx.state == RX_WAIT_CF and session.rx.number == number and session.rx.got == got


cdef inline void session_flow_control_confirmed(
    Session *session, uint32_t number, uint64_t got, int64_t now,
) noexcept nogil:
    """That flow control frame is on the bus since `now`: N_Cr runs from there, unless a CF has come."""
    if session_awaits_block(session, number, got):
        receiver_await(&session.rx, &session.config, now)
