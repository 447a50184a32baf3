# The compiled types as other compiled modules see them; _core.pyx has their documentation.

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from isotp._protocol.rate cimport RateWindow
from isotp._protocol.session cimport Counters, Judged, Session
from isotp._protocol.types cimport AddressFilter, Config, Frame, OutcomeCode, RxEvent


cdef class CanMessage:
    cdef Frame frame               # res0: INLINE or 0; res1: the DLC code
    cdef double stamp              # of the driver that brought it, s; 0: none
    cdef object held               # data as it was given, if not INLINE
    cdef dict loose                # attributes with values that no CAN frame can have

    cdef object _loose(self, str name, object value)


cdef class RateLimiter:
    cdef RateWindow window
    cdef bint is_enabled
    cdef object rate               # bits a second
    cdef object length             # of the window, in seconds

    @cython.final
    cdef tuple _settings(self)

    @cython.final
    cdef list _slots(self)

    @cython.final
    cdef uint64_t _allowed(self, int64_t now) noexcept

    @cython.final
    cdef void _count(self, int64_t now, double sent_bytes) noexcept

    @cython.final
    cdef int64_t _not_before(self, uint64_t size) noexcept


# What is known of a message that came.
cdef struct Note:
    int64_t began_ns
    int64_t ended_ns
    double stamp                   # of the driver; 0: none
    uint32_t can_id                # with CAN_EFF_FLAG
    int matched                    # which of the further addresses; -1: the own
    bint is_native                 # ended_ns is the kernel's stamp


@cython.final
cdef class MessageQueue:
    cdef list ring                 # of so many places, a power of two; None where there is no item
    cdef list origins              # beside it, if notes are kept: the Addresses of the layer when it came, or None
    cdef Note *notes               # and these; else NULL
    cdef Py_ssize_t places
    cdef Py_ssize_t first          # place of the oldest item
    cdef Py_ssize_t count
    cdef Py_ssize_t ahead          # of them, that go before others
    cdef Py_ssize_t most           # items that ever were in it at once
    cdef uint64_t weight           # of the items, in bytes, roughly
    cdef public object on_arrival  # called without arguments after an item came in, or None
    cdef object waiting            # collections.deque of locks: who waits is behind one, until it is released
    cdef object lock               # `mutex`, once somebody has asked for it

    cdef int push(self, object item, const Note *note, object origin) except -1
    cdef int keep_notes(self) except -1
    cdef int push_ahead(self, object item) except -1
    cdef int push_first(self, object item) except -1
    cdef int put_back(self, object item) except -1
    cdef bint _place_ahead(self, object item) noexcept
    cdef Py_ssize_t _place_of(self, Py_ssize_t k) noexcept
    cdef object oldest(self)
    cdef bint _place(self, object item, const Note *note, object origin) noexcept
    cdef int _grow(self) except -1
    cdef object pop(self)
    cdef object pop_whole(self)
    cdef list items(self)
    cdef void _lighten(self, object item) noexcept
    cdef bint is_full(self, uint64_t limit) noexcept
    cdef bint remove(self, object item) except -1
    cdef int _wake_one(self) except -1
    cdef int rouse(self) except -1
    cdef int _wait_no_more(self, object gate) except -1


@cython.final
cdef class Reception:
    cdef readonly object payload
    cdef readonly object address
    cdef Note note


@cython.final
cdef class OwnConfig:
    cdef Config config


cdef class SendRequest:
    cdef OwnConfig own             # parameters of this message alone, or None
    cdef bint goes_first           # before messages that wait
    cdef object source             # bytes, or an iterator
    cdef bint being_made
    cdef bint streams              # source is no bytes: an iterator, or read() of a file
    cdef bint reads
    cdef uint64_t size
    cdef uint64_t taken            # bytes that went out
    cdef bint functional
    cdef bint done
    cdef bint is_confirmed
    cdef int64_t when              # its last frame was on the bus then, if that is confirmed
    cdef object event
    cdef public object on_done     # called with the request when it is done, or None
    cdef readonly object success   # None until done
    cdef readonly object failure   # exception that ended the request, or None

    @cython.final
    cdef int _set(self, object data, bint functional) except -1

    @cython.final
    cdef int _sent_at(self, int64_t when) except -1

    @cython.final
    cdef bytes next_bytes(self, bytes have, uint64_t wanted)

    @cython.final
    cdef object _bad_item(self, object item, Py_ssize_t at)

    @cython.final
    cdef int _complete(self, bint success, object failure) except -1


cdef class ProcessStats:
    cdef readonly int received
    cdef readonly int received_processed
    cdef readonly int sent
    cdef readonly int frame_received


cdef struct Settings:
    Config config
    bint default_functional
    bint blocking_send
    uint64_t rx_limit              # weight of messages that wait; NO_LIMIT: none
    uint64_t tx_limit


# All that is counted of a layer; isotp.stats.Stats says what is what.
cdef struct Totals:
    Counters session
    uint64_t frames_received
    uint64_t frames_received_natively
    uint64_t frames_sent
    uint64_t frames_sent_natively
    uint64_t retries
    uint64_t throttled
    uint64_t receptions_refused
    uint64_t messages_dropped
    uint64_t frames_dropped
    uint64_t errors_dropped


# The layer was stopped or started since the thread that runs its machines began.
cdef enum TurnedCode:
    TURN_NONE = 0
    TURN_STARTED
    TURN_STOPPED


@cython.final
cdef class Clock:
    cdef object function           # None: the system's

    cdef int64_t read(self) except? -1
    cdef int64_t _ask(self) except? -1


# Where an engine sends frames.
cdef class FramePort:
    cdef int waiting               # frames that were put and not sent
    cdef int lost                  # those that the last error of flush() was the end of
    cdef Frame *next               # where the next one is to be written: `room`, or a better place
    cdef Frame room

    cdef bint put(self) except -1
    cdef int flush(self) except -1
    cdef object refusal(self)
    cdef void keep(self, int count) noexcept


@cython.final
cdef class Wiring:
    cdef public object rxfn
    cdef public bint takes_timeout          # rxfn(timeout), not rxfn()
    cdef public object txfn
    cdef public FramePort port              # calls txfn, or a native one
    cdef public object error_handler
    cdef public object post_send_callback
    cdef public object on_message
    cdef public object on_begin
    cdef public object on_reception
    cdef public object receive_into
    cdef public object is_ready
    cdef public object courier              # what calls them, see threads/courier.py, or None

    cdef Wiring but(self, dict changes)


@cython.final
cdef class Addresses:
    cdef object own
    cdef tuple further
    cdef object asked              # is_for_me() of a user's class that decides for itself, else None


cdef enum:
    MOST_UNCONFIRMED = 256         # frames of one engine; so many make those of a message wait:
    ENOUGH_UNCONFIRMED = 64
    ECHO = 2                       # Frame.res0: this is a frame that was sent here, come back


# One frame that the bus has taken.
cdef struct Given:
    uint64_t mark                 # what tells it from others
    int64_t when
    bint is_flow_control
    uint32_t apart                 # number of a functional SF between the frames of the message, or 0
    uint32_t epoch                 # of the message that it is part of; of a flow control frame, number of the reception
    uint64_t place                 # in the message, from 1; of a flow control frame, what had been received by then


# What an echo tells.
cdef struct Confirmed:
    bint is_message                # a frame of a message went, the last one being:
    uint32_t epoch
    uint64_t place
    uint32_t apart                 # so many functional SFs went, too
    bint is_flow_control           # a flow control frame as well
    uint32_t reception
    uint64_t got


cdef class Echoes:
    cdef Given[MOST_UNCONFIRMED] ring
    cdef int first
    cdef int count
    cdef int64_t confirmed_at      # when the last echo came

    cdef Given *at(self, int k) noexcept
    cdef bint is_full(self, uint32_t epoch) noexcept
    cdef void add(self, const Frame *frame) noexcept
    cdef void note(self, int64_t when, bint is_flow_control, uint32_t epoch, uint64_t place) noexcept
    cdef void drop_oldest(self) noexcept
    cdef void drop_newest(self, int count) noexcept
    cdef bint confirm(
        self, uint32_t can_id, const uint8_t *data, Py_ssize_t size, int64_t when, Confirmed *told) noexcept


@cython.final
cdef class Outlet:
    cdef FramePort port
    cdef Echoes echoes             # None: the bus confirms nothing
    cdef Clock clock
    cdef int64_t no_room_since     # the bus refuses frames since then, else NEVER
    cdef int64_t resumes           # nothing is sent before, or NEVER
    cdef uint32_t refused_epoch    # the message that was active when this was planned
    cdef uint64_t sent             # frames
    cdef uint64_t sent_in_batches  # those of them that a driver took by flush()
    cdef uint64_t retries

    cdef bint put(self) except -1
    cdef bint give(self, uint32_t epoch, int64_t n_as_ns) except -1
    cdef int refused(self, uint32_t epoch, int64_t n_as_ns) except -1
    cdef bint flush_last(self, uint32_t epoch, int64_t n_as_ns) except -1
    cdef void take_back(self, int count) noexcept
    cdef bint flush(self, uint32_t epoch, int64_t n_as_ns) except -1
    cdef int _pause(self, uint32_t epoch, int64_t n_as_ns, object refusal) except -1
    cdef bint resume(self, uint32_t epoch, int64_t n_as_ns) except -1
    cdef void rest(self, int64_t until, uint32_t epoch) noexcept
    cdef void end_pause(self) noexcept
    cdef void forget(self) noexcept


@cython.final
cdef class Target:
    cdef object given              # by receive_into
    cdef object write              # callable(bytes) that fills it

    cdef bint is_there(self) noexcept
    cdef object part(self)
    cdef int put(self, bytes chunk) except -1
    cdef object finish(self, object rest)


@cython.final
cdef class Reporter:
    cdef Clock clock
    cdef object logger
    cdef dict levels               # the logger's own cache of isEnabledFor()
    cdef dict counts               # of errors, by class
    cdef object last_error
    cdef uint64_t dropped          # errors for which the courier had no room
    cdef int64_t log_since         # errors logged from then on, ...
    cdef int logged
    cdef uint64_t unlogged         # ... and not

    cdef int set_logger(self, object logger) except -1
    cdef object get_logger(self)
    cdef object get_last_error(self)
    cdef dict error_counts(self, bint reset)
    cdef bint logs_frames(self) except -1
    cdef int log_frame(self, str direction, uint32_t can_id, bytes data, str mark) except -1
    cdef int tell(self, object error, Wiring wiring) except -1
    cdef int tell_of_raised(self, object error, object error_handler) except -1
    cdef int _count(self, object error) except -1
    cdef int _log_raised(self, str what, object error) except -1
    cdef bint _is_to_be_logged(self) except -1


@cython.final
cdef class Inlet:
    cdef MessageQueue inbox
    cdef const Frame *batch
    cdef const int64_t *arrivals   # when they arrived
    cdef int left                  # of the batch
    cdef int64_t heard_ns          # until when all frames were given by a native driver; NEVER: no limit
    cdef uint64_t dropped          # frames for which the inbox had no room ...
    cdef uint64_t told             # ... and those of them that were told of

    cdef int keep(self, object message) except -1
    cdef int keep_batch(self) except -1
    cdef uint64_t newly_dropped(self) noexcept


@cython.final
cdef class Hooks:
    cdef public object make_flow_control
    cdef public object make_tx_msg
    cdef public object process_rx
    cdef public object process_tx
    cdef public object check_timeouts_rx
    cdef public object stop_receiving
    cdef public object stop_sending
    cdef public object trigger_error
    cdef public object tx_id       # get_tx_arbitration_id() of the address


cdef class Endpoint:
    cdef object __weakref__
    cdef Session session
    cdef int64_t now               # the time of the step at hand
    cdef Clock time
    cdef Settings settings
    cdef object _params
    cdef bint confirms             # a frame was sent when the bus has confirmed it
    cdef bint waits_for_more       # than the session does: `confirms`, or check_timeouts_rx() is the user's
    cdef bint stale                # `settings` are older than the Params
    cdef uint64_t flattenings      # begun so far ...
    cdef uint64_t flattened        # ... and the one that is in force
    cdef readonly RateLimiter rate_limiter
    cdef Addresses addresses
    cdef Wiring wiring             # in force
    cdef Wiring using              # in the pass at hand, by who runs the machines
    cdef Reporter reporter
    cdef Target target
    cdef Hooks hooks               # methods that the user has overridden, or None
    cdef unsigned long told        # the thread that tells one of them of an end
    cdef bint hears                # process_rx() is the user's, and ours handles what he gives it at once, ...
    cdef Judged heard              # ... as what the frame at hand is

    cdef int note_break(self, object error) except -1

    @cython.final
    cdef int flatten(self) except -1

    @cython.final
    cdef Addresses addresses_now(self)

    @cython.final
    cdef object address_of_frame(self)

    @cython.final
    cdef bint judge(
        self, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size, Judged *judged) except -1

    @cython.final
    cdef bint hears_all(self) noexcept

    @cython.final
    cdef void note_what_is_waited_for(self) noexcept

    @cython.final
    cdef int rewire(self, dict changes) except -1

    @cython.final
    cdef Wiring wiring_now(self)

    @cython.final
    cdef int tell(self, object error) except -1


cdef class Sending(Endpoint):
    cdef Outlet outlet
    cdef readonly MessageQueue tx_queue
    cdef readonly SendRequest active_send_request
    cdef object apart              # collections.deque of the functional SFs that wait for their echo
    cdef uint32_t last_apart       # number of the last one
    cdef bytes block               # of a generator or file: what is being sent
    cdef bint driven               # frames come by feed(), process() is not for the user
    cdef bint logs_frames
    cdef int burst_limit           # frames sent before reception has a turn
    cdef public bint _shares_thread  # the driver's thread has other work: it is left after each burst
    cdef bint held_back            # the frame that is next, by the rate limiter
    cdef uint64_t throttled

    cpdef _drive(self)

    @cython.final
    cdef int transmit_frames(self, bint do_rx) except -1

    # Not final, as the methods of Echoes: out of the way of those who need none of this
    cdef bint send_to_confirm(
        self, Outlet outlet, const Frame *frame, SendRequest request, uint32_t epoch, bint ends_burst) except -1
    cdef bint take_echo(self, uint32_t can_id, const uint8_t *data, Py_ssize_t size) except -1
    cdef bint waits_for_echo(self, const Given *given) noexcept
    cdef int64_t confirmation_deadline(self) noexcept
    cdef int give_up_unconfirmed(self) except -1

    @cython.final
    cdef void note_if_held_back(self, uint64_t allowed) noexcept

    @cython.final
    cdef int end_sending(self, bint success) except -1

    @cython.final
    cdef int send_flow_control(self) except -1

    cdef int hold_if_not_ready(self) except -1
    cdef int send_those_between(self) except -1
    cdef bint send_between(self) except -1
    cdef bint is_between(self) noexcept
    cdef int64_t between_not_before(self) noexcept
    cdef int fail_apart(self, object error) except -1

    @cython.final
    cdef bint begin_next(self) except -1

    @cython.final
    cdef bint bind_first(self) except -1

    @cython.final
    cdef object functional_limit(self, uint64_t size, const Config *config)

    @cython.final
    cdef bint supply_next(self, SendRequest request) except -1

    @cython.final
    cdef bint resume_or_fail(self) except -1

    @cython.final
    cdef bint flush_or_fail(self, bint last) except -1

    @cython.final
    cdef int64_t frame_not_before(self) noexcept

    @cython.final
    cdef SendRequest active(self)

    @cython.final
    cdef int stop_active(self, SendRequest request, uint32_t epoch, object error) except -1

    @cython.final
    cdef int give_up(self, SendRequest request, uint32_t epoch, object error) except -1

    @cython.final
    cdef bint fail_with(self, SendRequest request, uint32_t epoch, object error) except -1

    @cython.final
    cdef int retry_or_fail(self, SendRequest request, uint32_t epoch) except -1

    @cython.final
    cdef int fail_active(self) except -1


cdef class Receiving(Sending):
    cdef readonly MessageQueue rx_queue
    cdef TurnedCode turned         # since this pass began
    cdef uint64_t receptions_refused
    cdef uint64_t messages_dropped
    cdef bint waits_for_room       # the sender was told to wait, as too many messages wait
    cdef uint32_t heard_id         # of the frame at hand, with CAN_EFF_FLAG ...
    cdef double stamp              # ... and the time stamp of its driver; 0: none
    cdef bint is_native            # a native driver brought it
    cdef int64_t began_ns          # when the segmented message at hand began
    cdef bint has_begun            # a message of several frames; it has neither come nor broken off
    cdef uint64_t breaks           # how many broke off
    cdef object broken_by          # the error that the last one broke off by

    cdef int note_break(self, object error) except -1

    @cython.final
    cdef int take(self, object message) except -1

    @cython.final
    cdef int take_bytes(self, object message, uint32_t can_id, const uint8_t *data, Py_ssize_t size) except -1

    @cython.final
    cdef int follow(self, RxEvent event, bint apart, object payload) except -1

    @cython.final
    cdef int report_reception(self, bint ended_sending, object broken) except -1

    @cython.final
    cdef int report(self) except -1

    @cython.final
    cdef int hand_over(self, object payload, object address) except -1

    @cython.final
    cdef int deliver(self, object callback, tuple arguments, object payload) except -1

    @cython.final
    cdef bint queues(self) noexcept

    @cython.final
    cdef void take_note(self, Note *note) noexcept

    cdef int hold_if_not_ready(self) except -1
    cdef int hold(self, bint is_full) except -1
    cdef int end_what_has_begun(self, object payload, object address) except -1
    cdef int tell_of_beginning(self) except -1

    @cython.final
    cdef bint has_no_room(self) except -1

    @cython.final
    cdef int refuse_reception(self) except -1

    @cython.final
    cdef int open_target(self) except -1

    @cython.final
    cdef int fill_target(self) except -1

    @cython.final
    cdef int end_reception(self) except -1


cdef class Engine(Receiving):
    cdef Inlet inlet
    cdef uint64_t frames_received
    cdef uint64_t clock_due        # frames_received at which the clock is read again
    cdef bint busy
    cdef bint again
    cdef bint polls                # process() is at work
    cdef object gate               # threading.Event of who waits for the end of that, or None
    cdef unsigned long owner       # the thread that runs the machines while busy
    cdef unsigned long reader      # the thread that calls rxfn, if the layer was started
    cdef set readers               # threads that may be amid rxfn
    cdef bint has_read             # the reader has looked for a frame, and need not do so at once
    cdef bint checks               # check_timeouts_rx() is the user's, and ours reports what is over at once, ...
    cdef int64_t checks_until      # ... at this time
    cdef bint looks_first          # something is to be looked at before the next frame: a batch, or `turned`

    cdef bint is_echo(self, object message) except -1

    @cython.final
    cdef bint enter(self) noexcept

    @cython.final
    cdef bint leave(self) noexcept

    @cython.final
    cdef bint exit(self) noexcept

    @cython.final
    cdef int exit_polled(self) except -1

    @cython.final
    cdef int end_of_poll(self) except -1

    @cython.final
    cdef bint is_mine(self) noexcept

    @cython.final
    cdef int begin_pass(self) except -1

    @cython.final
    cdef bint rests(self) noexcept

    @cython.final
    cdef ProcessStats run(self, object rx_timeout, bint do_rx, bint do_tx)

    @cython.final
    cdef int expire(self, int64_t until, bint do_rx, bint do_tx) except -1

    cdef int expire_more(self, int64_t until, bint do_rx, bint do_tx) except -1

    @cython.final
    cdef int run_out(self, int64_t until, bint do_rx, bint do_tx) except -1

    @cython.final
    cdef int64_t deadline(self) noexcept

    @cython.final
    cdef int receive_pass(self, object rx_timeout, bint do_tx) except -1

    @cython.final
    cdef bint has_turned(self, bint is_driven) except -1

    @cython.final
    cdef int note_arrival(self, object message, bint expires, bint do_tx) except -1

    @cython.final
    cdef int take_from_batch(self) except -1


cdef class DrivenEngine(Engine):
    cdef int64_t wake_ns           # when the driver will look at the deadline again
    cdef object waker              # callable(deadline_ns) of the driver, for an earlier one
    cdef object guard              # callable(deadline_ns) of the driver, for one that it may miss
    cdef int64_t guard_ns          # the deadline that is guarded
    cdef uint64_t received_natively

    cpdef _drive(self)

    @cython.final
    cdef int feed_frames(self, const Frame *frames, const int64_t *arrivals, int count, int64_t heard_ns) except -1

    @cython.final
    cdef void heard_until(self, int64_t heard_ns) noexcept

    @cython.final
    cdef int drive_entered(self) except -1

    @cython.final
    cdef bint drive_until_done(self) except -1

    @cython.final
    cdef int survive(self, object error) except -1

    @cython.final
    cdef int tell_of_lost_frames(self) except -1

    @cython.final
    cdef int tell_deadline(self) except -1

    @cython.final
    cdef double planned(self, double longest, int64_t now) noexcept


cdef class Layer(DrivenEngine):
    cdef Totals zero               # what was counted at the last reset

    @cython.final
    cdef SendRequest request(self, object data, object target_address_type, object params, bint priority)

    @cython.final
    cdef int enqueue(self, SendRequest request) except -1

    cdef bint forget_apart(self, SendRequest request) except -1

    @cython.final
    cdef Totals totals(self) noexcept


cdef CanMessage message_of_frame(const Frame *frame)
cdef int frame_of_message(CanMessage message, Frame *frame) except -1
cdef int require_address(object address) except -1
cdef int require_both_directions(object address) except -1
cdef AddressFilter flatten_address(object address) except *
cdef bint takes_frames_by_filter(object address)
cdef Config config_of(object params) except *
cdef object error_class_of(OutcomeCode code)
