# The compiled types as other compiled modules see them; _core.pyx has their documentation.

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from isotp._protocol.types cimport (
    MAX_FURTHER_ADDRESSES,
    AddressFilter,
    Config,
    Frame,
    Outcome,
    OutcomeCode,
    Receiver,
    Transmitter,
)
from isotp._protocol.rate cimport RateWindow


cdef class CanMessage:
    cdef Frame frame               # res0: INLINE or 0; res1: the DLC code
    cdef object held               # data as it was given, if not INLINE
    cdef dict loose                # attributes with values that no CAN frame can have

    cdef object _loose(self, str name, object value)


cdef class RateLimiter:
    cdef RateWindow window
    cdef bint is_enabled
    cdef readonly object mean_bitrate
    cdef readonly object window_size_sec

    @cython.final
    cdef tuple _settings(self)

    @cython.final
    cdef uint64_t _allowed(self, int64_t now) noexcept

    @cython.final
    cdef void _count(self, int64_t now, double sent_bytes) noexcept

    @cython.final
    cdef int64_t _not_before(self, uint64_t size) noexcept


@cython.final
cdef class MessageQueue:
    cdef list ring                 # of so many places, a power of two; None where there is no item
    cdef Py_ssize_t places
    cdef Py_ssize_t first          # place of the oldest item
    cdef Py_ssize_t count
    cdef Py_ssize_t most           # items that ever were in it at once
    cdef uint64_t weight           # of the items, in bytes, roughly
    cdef public object on_arrival  # called without arguments after an item came in, or None
    cdef object waiting            # collections.deque of locks: who waits is behind one, until it is released

    cdef int push(self, object item) except -1
    cdef int put_back(self, object item) except -1
    cdef bint _place(self, object item) noexcept
    cdef int _grow(self) except -1
    cdef object pop(self)
    cdef void _lighten(self, object item) noexcept
    cdef bint is_full(self, uint64_t limit) noexcept
    cdef bint remove(self, object item) except -1
    cdef int _wake_one(self) except -1
    cdef int _wait_no_more(self, object gate) except -1


cdef class SendRequest:
    cdef object source             # bytes, or an iterator
    cdef bint being_made
    cdef bint streams              # source is no bytes: an iterator, or read() of a file
    cdef bint reads
    cdef uint64_t size
    cdef uint64_t taken            # bytes that went out
    cdef bint functional
    cdef bint done
    cdef object event
    cdef object on_done            # called with the request when it is done, or None
    cdef readonly object success   # None until done
    cdef readonly object failure   # exception that ended the request, or None

    @cython.final
    cdef int _set(self, object data, bint functional) except -1

    @cython.final
    cdef int _complete(self, bint success, object failure) except -1


cdef class ProcessStats:
    cdef readonly int received
    cdef readonly int received_processed
    cdef readonly int sent
    cdef readonly int frame_received


# What an engine counts; isotp.stats.Stats says what is what. Only ever counts up: a reset moves the zero.
cdef struct Counters:
    uint64_t frames_received
    uint64_t frames_for_us
    uint64_t frames_sent
    uint64_t messages_received
    uint64_t bytes_received
    uint64_t messages_sent
    uint64_t bytes_sent
    uint64_t flow_controls_received
    uint64_t waits_received
    uint64_t flow_controls_sent
    uint64_t retries
    uint64_t throttled
    uint64_t receptions_refused
    uint64_t messages_dropped
    uint64_t frames_dropped
    uint64_t errors_dropped


# Where an engine sends frames in C.
cdef class FramePort:
    cdef int waiting               # frames that were put and not sent
    cdef int lost                  # those that the last error of flush() was the end of
    cdef int put(self, const Frame *frame) except -1
    cdef int flush(self) except -1
    cdef object refusal(self)


cdef enum Turn:
    TURN_NONE
    TURN_STOPPED                   # and perhaps started again since
    TURN_STARTED


cdef class Engine:
    cdef object __weakref__
    cdef Receiver rx
    cdef Transmitter tx
    cdef Config config
    cdef AddressFilter filter
    # A message keeps the address and the length of its frames that it began with, whatever changes meanwhile: these
    # point at what is in force, or at a copy of what was.
    cdef const Config *tx_config
    cdef const AddressFilter *tx_filter
    cdef const AddressFilter *rx_filter     # by which the message being received is answered
    cdef Config kept_config
    cdef AddressFilter tx_kept
    cdef AddressFilter rx_kept
    cdef AddressFilter source      # by which the message being received came in: the layer's own, or a further one
    cdef Outcome outcome
    cdef readonly object _rxfn
    cdef bint takes_timeout        # rxfn(timeout), not rxfn()
    cdef public object txfn
    cdef public object error_handler
    cdef public object post_send_callback
    cdef public object on_message
    cdef public object receive_into
    cdef public object courier     # what calls on_message and error_handler, see _callbacks.py, or None
    cdef object _logger
    cdef dict logger_levels        # the logger's own cache of isEnabledFor()
    cdef object _params
    cdef bint stale                # the flattened parameters are older than the Params
    cdef uint64_t flattenings      # begun so far ...
    cdef uint64_t flattened        # ... and the one that is in force
    cdef bint default_functional
    cdef bint blocking_send
    cdef uint64_t rx_limit         # weight of messages that wait; NO_LIMIT: none
    cdef uint64_t tx_limit
    cdef object _address
    cdef readonly bint asks_address         # a user's address class decides for itself which frames it takes:
    cdef object is_for_me          # by this method, else None
    cdef bint looks_closer         # the filter alone does not tell all about a frame
    cdef AddressFilter[MAX_FURTHER_ADDRESSES] further      # received as well
    cdef int further_count
    cdef tuple further_addresses
    cdef int matched               # which of them the frame at hand came in on; -1: the layer's own
    cdef object target             # of receive_into, for the message being received
    cdef object write              # callable(bytes) that fills it
    cdef bint stopped_receiving    # since the flow control frame at hand was made
    cdef readonly MessageQueue rx_queue
    cdef readonly MessageQueue tx_queue
    cdef readonly RateLimiter rate_limiter
    cdef readonly SendRequest active_send_request
    cdef readonly object last_error
    cdef uint8_t[64] stage         # bytes of a generated payload for the next frame
    cdef bytes block               # of a file: what is being sent
    cdef public object clock       # callable that returns ns, in place of the system's monotonic clock
    cdef int64_t now
    cdef bint logs_frames
    cdef int burst_limit           # frames sent before reception has a turn
    cdef public bint shares_thread  # the driver's thread has other work: it is left after each burst
    cdef int64_t no_room_since     # the bus refuses frames since then, else NEVER
    cdef int64_t retry_ns          # nothing is sent before, or NEVER
    cdef uint32_t refused_epoch    # the message that was active when this was planned
    cdef Counters counted
    cdef Counters zero             # what was counted at the last reset
    cdef uint64_t clock_due        # frames_received at which the clock is read again
    cdef bint held_back            # the frame that is next, by the rate limiter
    cdef dict error_counts         # by class
    cdef uint64_t frames_told      # of the dropped ones
    cdef int64_t log_since         # errors logged from then on, ...
    cdef int logged
    cdef uint64_t unlogged         # ... and not
    cdef bint busy
    cdef bint again
    cdef unsigned long owner       # the thread that runs the machines while busy
    cdef unsigned long reader      # the thread that calls rxfn, if the layer was started
    cdef bint has_read             # the reader has looked for a frame, and need not do so at once
    cdef bint driven               # frames come by feed(), process() is not for the user
    cdef Turn turned               # what that became while a thread is in charge, which has not noticed yet
    cdef bint looks_first          # it has to look around, or there is a batch, before it takes another frame
    cdef bint polls                # process() is at work ...
    cdef object gate               # ... and a reader waits for its end, by this event
    cdef set readers               # the driver's threads that may be amid rxfn, or None
    cdef readonly MessageQueue inbox
    cdef public FramePort port     # where frames go without becoming CanMessages, or None
    cdef const Frame *batch        # frames of a native driver, read before the inbox
    cdef const int64_t *arrivals   # when they arrived
    cdef int batch_left
    cdef int64_t heard_ns          # until when all frames were given by a native driver; NEVER: no limit
    cdef int64_t wake_ns           # when the driver will look at the deadline again
    cdef object waker              # callable(deadline_ns) of the driver, for an earlier one
    cdef object guard              # callable(deadline_ns) of the driver, for one that it may miss
    cdef int64_t guard_ns          # the deadline that is guarded

    @cython.final
    cdef int64_t _read_clock(self) except? -1

    @cython.final
    cdef bint _is_logging_frames(self) except -1

    @cython.final
    cdef int _flatten(self) except -1

    @cython.final
    cdef void _use_config(self, const Config *new) noexcept

    @cython.final
    cdef void _use_filter(self, const AddressFilter *new) noexcept

    @cython.final
    cdef void _look_closer_if_needed(self) noexcept

    @cython.final
    cdef void _bind_sending(self) noexcept

    @cython.final
    cdef void _bind_reception(self, const AddressFilter *judged) noexcept

    @cython.final
    cdef bint _enter(self) noexcept

    @cython.final
    cdef bint _leave(self) noexcept

    @cython.final
    cdef bint _exit(self) noexcept

    @cython.final
    cdef int _exit_polled(self) except -1

    @cython.final
    cdef int _open_gate(self) except -1

    @cython.final
    cdef bint _has_turned(self, bint is_driven) except -1

    @cython.final
    cdef bint _is_mine(self) noexcept

    @cython.final
    cdef int _tell_deadline(self) except -1

    cpdef drive(self)

    @cython.final
    cdef double _planned(self, double longest, int64_t now) noexcept

    @cython.final
    cdef int64_t _deadline(self) noexcept

    @cython.final
    cdef int64_t _earliest_frame(self) noexcept

    @cython.final
    cdef SendRequest _request(self, object data, object target_address_type)

    @cython.final
    cdef int _enqueue(self, SendRequest request) except -1

    @cython.final
    cdef ProcessStats _run(self, object rx_timeout, bint do_rx, bint do_tx)

    @cython.final
    cdef bint _rests(self) noexcept

    @cython.final
    cdef int _begin_pass(self) except -1

    @cython.final
    cdef int _expire(self, int64_t until, bint do_rx, bint do_tx) except -1

    @cython.final
    cdef int _run_out(self, int64_t until, bint do_rx, bint do_tx) except -1

    @cython.final
    cdef int _receive_pass(self, object rx_timeout, bint do_tx) except -1

    @cython.final
    cdef int _note_arrival(self, object message, bint expires, bint do_tx) except -1

    @cython.final
    cdef int _take(self, object message) except -1

    @cython.final
    cdef int _take_bytes(self, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size) except -1

    @cython.final
    cdef int _take_from_batch(self) except -1

    @cython.final
    cdef bint _judge(
        self, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size, AddressFilter *judged,
        bint *apart) except -1

    @cython.final
    cdef bint _stands_apart(
        self, const AddressFilter *judged, bint functional, const uint8_t *data, Py_ssize_t size) noexcept

    @cython.final
    cdef object _address_of_frame(self)

    @cython.final
    cdef bint _belongs_elsewhere(self, const AddressFilter *judged, int n_pci_type) noexcept

    @cython.final
    cdef int feed_frames(
        self, const Frame *frames, const int64_t *arrivals, int count, int64_t heard_ns) except -1

    @cython.final
    cdef int _drive_entered(self) except -1

    @cython.final
    cdef bint _drive_until_done(self) except -1

    @cython.final
    cdef int _survive(self, object error) except -1

    @cython.final
    cdef int _log_raised(self, str what, object error) except -1

    @cython.final
    cdef int _save_batch(self) except -1

    @cython.final
    cdef int _open_target(self) except -1

    @cython.final
    cdef int _end_reception(self) except -1

    @cython.final
    cdef object _part_from_target(self)

    @cython.final
    cdef int _fill_target(self) except -1

    @cython.final
    cdef object _finish_target(self, object rest)

    @cython.final
    cdef int _hand_over(self, object payload, object address) except -1

    @cython.final
    cdef bint _has_no_room(self) except -1

    @cython.final
    cdef int _refuse_reception(self) except -1

    @cython.final
    cdef int _put_into_inbox(self, object message) except -1

    @cython.final
    cdef int _tell_of_lost_frames(self) except -1

    @cython.final
    cdef int _report_reception(self, bint gave_up, object broken) except -1

    @cython.final
    cdef int _transmit_pass(self, bint do_rx) except -1

    @cython.final
    cdef void _note_if_held_back(self, uint64_t allowed) noexcept

    @cython.final
    cdef int _send_flow_control(self) except -1

    @cython.final
    cdef bint _has_room_again(self) except -1

    @cython.final
    cdef bint _flush_or_fail(self) except -1

    @cython.final
    cdef bint _flush_port(self) except -1

    @cython.final
    cdef int _wait_for_room(self, object refusal, uint32_t epoch) except -1

    @cython.final
    cdef int _forget_waiting(self) except -1

    @cython.final
    cdef int _transmit_frames(self, bint do_rx) except -1

    @cython.final
    cdef bint _send_natively(self, const Frame *frame, SendRequest request, uint32_t epoch, bint flush) except -1

    @cython.final
    cdef bint _put_natively(self, const Frame *frame, bint flush) except -1

    @cython.final
    cdef int _put_again(self) except -1

    @cython.final
    cdef int _retry_or_fail(self, SendRequest request, uint32_t epoch) except -1

    @cython.final
    cdef bint _fail_with(self, SendRequest request, uint32_t epoch, object error) except -1

    @cython.final
    cdef bint _begin_next(self) except -1

    @cython.final
    cdef bint _bind_first_frame(self) except -1

    @cython.final
    cdef bint _fill_stage(self, SendRequest request) except -1

    @cython.final
    cdef bint _fill_block(self, SendRequest request, uint32_t epoch, uint64_t have, uint64_t wanted) except -1

    @cython.final
    cdef int _stop_active(self, SendRequest request, uint32_t epoch, object error) except -1

    @cython.final
    cdef int _give_up(self, SendRequest request, uint32_t epoch, object error) except -1

    @cython.final
    cdef int _fail_active(self) except -1

    @cython.final
    cdef int _report(self) except -1

    @cython.final
    cdef int _count_error(self, object error) except -1

    @cython.final
    cdef bint _is_to_be_logged(self) except -1

    @cython.final
    cdef int _hand_to_handler(self, object error) except -1

    @cython.final
    cdef int _tell_handler(self, object error) except -1


cdef CanMessage message_of_frame(const Frame *frame)
cdef int frame_of_message(CanMessage message, Frame *frame) except -1
cdef int require_address(object address) except -1
cdef int require_both_directions(object address) except -1
cdef AddressFilter flatten_address(object address) except *
cdef bint takes_frames_by_filter(object address)
cdef object error_class_of(OutcomeCode code)
