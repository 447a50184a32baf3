"""The layers that users build: polled, threaded, and on python-can.

They own threads and I/O; the protocol is in the compiled core, whose engine they extend.
"""

from __future__ import annotations

import enum
import errno
import functools
import importlib
import numbers
import os
import re
import select
import threading
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from logging import getLogger
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar, overload

from isotp import _core, _timekeeper, tools
from isotp._callbacks import Courier
from isotp._core import (
    CanMessage,
    Layer,
    MessageQueue,
    RateLimiter,
    Sleeper,
    TryAgain,
    dlc_of,
    frame_from_python_can,
    monotonic_ns,
    nearest_can_fd_size,
    sharpen_timers,
)
from isotp._doorbell import Doorbell
from isotp._readers import Readers
from isotp.address import Address, AsymmetricAddress
from isotp.errors import IsoTpError
from isotp.errors import IsotpError as IsotpError
from isotp.params import Params as _Params
from isotp.tools import FiniteByteGenerator as FiniteByteGenerator
from isotp.tools import Timer as Timer

if TYPE_CHECKING:
    import can

    from isotp.stats import Stats

__all__ = ["PDU", "CanStack", "NotifierBasedCanStack", "RateLimiter", "TransportLayer", "TransportLayerLogic"]

_Documented = TypeVar("_Documented", bound=Callable[..., Any])

_FULL = re.compile(r"(?<![a-z])full(?![a-z])", re.IGNORECASE)

# How late (s) a rxfn may be when its time-out is over; what it is found to be is kept within these limits. A layer
# waits in rxfn until so long before a consecutive frame is due, and precisely from then on.
_LEAST_LATENESS = 0.0005
_MOST_LATENESS = 0.02
# Seconds to wait for a frame where a doorbell ends the wait.
_NO_POLLING = 3600.0
# Seconds that a new thread may take to run.
_PATIENCE = 10.0
# The longest precise wait at a time, in ns: how long a frame that arrives meanwhile may wait.
_PRECISE_PIECE_NS = 2_000_000

# What a look for a frame takes (ns), as long as it is not known, and what to add to a call of rxfn.
_FIRST_LOOK_NS = 100_000
_LOOK_MARGIN_NS = 5_000

_INTERNAL_TIMEOUT_IDS = range(0x7F5, 0x7FC)


def _python_can() -> ModuleType:
    """python-can, imported at its first use: it takes long, and not everybody needs it.

    :raises RuntimeError: if it is not installed.
    """
    try:
        return importlib.import_module("can")
    except ImportError as error:
        raise RuntimeError("python-can is not installed: pip install 'can-isotp-cython[can]'") from error


def __getattr__(name: str) -> Any:
    # Names that user code finds here: the module "can", and whether it is there.
    if name not in ("can", "_can_available"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = _python_can()
    except RuntimeError as error:
        if name == "_can_available":
            return False
        raise AttributeError(str(error)) from error
    return module if name == "can" else True


class PDU(_core.PDU):
    """The N_PCI and the payload of one CAN frame, decoded."""

    class Type:
        """N_PCI types (ISO 15765-2, table 9)."""

        SINGLE_FRAME = 0
        FIRST_FRAME = 1
        CONSECUTIVE_FRAME = 2
        FLOW_CONTROL = 3

    class FlowStatus:
        """Flow status (ISO 15765-2, table 18)."""

        ContinueToSend = 0
        Wait = 1
        Overflow = 2


class _EitherArity:
    """A callable whose parameters can not be found out: tried with a time-out first, without from then on."""

    def __init__(self, function: Callable[..., CanMessage | None]) -> None:
        self.function = function
        self.takes_timeout = True

    def __call__(self, timeout: float) -> CanMessage | None:
        if self.takes_timeout:
            try:
                return self.function(timeout)
            except TypeError:
                message = self.function()
                self.takes_timeout = False
                return message
        return self.function()


def _takes_timeout(rxfn: Callable[..., Any]) -> bool:
    """Whether rxfn is one of the second generation, rxfn(timeout), or of the first, rxfn().

    A first parameter that has an object for its default is a handle that the function was given that way,
    as in ``def rxfn(hardware=hardware)``, and no time-out.

    :raises ValueError: if the signature can not be found out.
    """
    import inspect  # takes long, and is needed once a layer is made

    for parameter in inspect.signature(rxfn).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return True
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            has_handle = parameter.default is not parameter.empty and not isinstance(
                parameter.default, (int, float, type(None))
            )
            return not has_handle
    return False


def _require_seconds(name: str, value: Any, hint: str = "") -> None:
    """TypeError if this is no number, ValueError if nobody can wait so long."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number:
        raise TypeError(f"{name} must be a number of seconds, not {value!r}{hint}")
    if not 0 <= value < threading.TIMEOUT_MAX - 1:
        raise ValueError(f"{name} must be a finite number of seconds, 0 or more, not {value!r}")


class _StatsAttribute:
    """What gives `layer.stats`: not a property, so that a user's subclass may have an attribute of that name."""

    @overload
    def __get__(self, layer: None, layer_class: type) -> _StatsAttribute: ...
    @overload
    def __get__(self, layer: TransportLayerLogic, layer_class: type) -> Stats: ...
    def __get__(self, layer: TransportLayerLogic | None, layer_class: type) -> Stats | _StatsAttribute:
        return self if layer is None else layer._stats(False)


class TransportLayerLogic(Layer):
    """The transport layer, driven by calls of :meth:`process`.

    :param rxfn: gives the next received frame or None. `rxfn(timeout)` may wait up to `timeout` seconds;
        `rxfn()` without a parameter must not wait.
    :param txfn: sends the frame that it is given.
    :param address: :class:`isotp.Address` or :class:`isotp.AsymmetricAddress`.
    :param error_handler: called with each :class:`isotp.IsoTpError` that happens on the bus.
    :param params: parameters by name, see :class:`Params`.
    :param post_send_callback: called with the :class:`SendRequest` that a call of :meth:`send` queued.
    :param on_message: called as `on_message(payload, address, timestamp)` with each message received, which then
        does not go to :meth:`recv`: the address that it came in on, and the time of its last frame in ns as
        `time.monotonic_ns()` has it.
    :param receive_into: called with the length of each segmented message that begins; gives what to put it into
        as it comes: a writable buffer, or a callable that is given `bytes` piece by piece. The message is then
        that object, for :meth:`recv` and `on_message`. None: a bytearray, as ever. A message that breaks off
        is told by the attribute `target` of the error. Mind the parameter `max_frame_size`.
    :raises ValueError: if the address is missing or partial, or a parameter has a value that it can not have.
    """

    LOGGER_NAME = "isotp"

    # TypeAlias: without it, type checkers take a name in a class for a variable, which can be no type.
    Params: TypeAlias = _Params
    SendRequest: TypeAlias = _core.SendRequest
    ProcessStats: TypeAlias = _core.ProcessStats
    Timer: TypeAlias = tools.Timer

    RxFn: TypeAlias = Callable[..., "CanMessage | None"]
    TxFn: TypeAlias = Callable[[CanMessage], Any]
    ErrorHandler: TypeAlias = Callable[[IsoTpError], Any]
    SendGenerator: TypeAlias = tuple[Generator[int, None, None], int]
    PostSendCallback: TypeAlias = Callable[[_core.SendRequest], Any]
    OnMessage: TypeAlias = Callable[[Any, Address | AsymmetricAddress, int], Any]
    ReceiveInto: TypeAlias = Callable[[int], Any]

    class RxState(enum.Enum):
        """What reception waits for."""

        IDLE = 0
        WAIT_CF = 1

    class TxState(enum.Enum):
        """What transmission waits for."""

        IDLE = 0
        WAIT_FC = 1
        TRANSMIT_CF = 2
        TRANSMIT_SF_STANDBY = 3
        TRANSMIT_FF_STANDBY = 4

    class ProcessRxReport(NamedTuple):
        """What handling one received frame led to."""

        immediate_tx_required: bool
        frame_received: bool

    class ProcessTxReport(NamedTuple):
        """What one step of transmission led to."""

        msg: CanMessage | None
        immediate_rx_required: bool

    def __init__(
        self,
        rxfn: RxFn,
        txfn: TxFn,
        address: Address | AsymmetricAddress | None = None,
        error_handler: ErrorHandler | None = None,
        params: Mapping[str, Any] | None = None,
        post_send_callback: PostSendCallback | None = None,
        on_message: OnMessage | None = None,
        receive_into: ReceiveInto | None = None,
    ) -> None:
        self.params = self.Params()
        if params is not None:
            self.params.update(params)
        self.logger = getLogger(self.params.logger_name)
        self.rxfn = rxfn
        self.txfn = txfn
        self.error_handler = error_handler
        self.post_send_callback = post_send_callback
        self.on_message = on_message
        self.receive_into = receive_into
        self.timings = {
            (self.RxState.IDLE, self.TxState.IDLE): 0.02,
            (self.RxState.IDLE, self.TxState.WAIT_FC): 0.005,
        }
        self.set_address(address)  # type: ignore[arg-type]  # None is refused there
        self.load_params()

    @property
    def rxfn(self) -> RxFn:
        """Where received frames come from."""
        return self._rxfn

    @rxfn.setter
    def rxfn(self, rxfn: RxFn) -> None:
        if not callable(rxfn):
            raise TypeError(f"rxfn must be callable, not {rxfn!r}")
        try:
            takes_timeout = _takes_timeout(rxfn)
        except (ValueError, TypeError):
            self._set_rxfn(_EitherArity(rxfn), True)
        else:
            self._set_rxfn(rxfn, takes_timeout)

    def set_address(self, address: Address | AsymmetricAddress) -> None:
        """Use this address from the next message on; frames are heard on it at once.

        A message that is on its way keeps the address that it began with; docs/threads.md has what that means.

        :raises ValueError: if it is no address, or an address for one direction only.
        """
        super().set_address(address)
        for identifier in (address.get_tx_arbitration_id(), address.get_rx_arbitration_id()):
            if identifier in _INTERNAL_TIMEOUT_IDS and not address.is_tx_29bits():
                self.logger.warning("CAN ID 0x%03X is reserved by ISO 15765-4", identifier)

    def set_sleep_timing(self, idle: float, wait_fc: float) -> None:
        """Change what :meth:`sleep_time` returns (s): while idle, and while waiting for flow control."""
        self.timings = {
            (self.RxState.IDLE, self.TxState.IDLE): idle,
            (self.RxState.IDLE, self.TxState.WAIT_FC): wait_fc,
        }

    def sleep_time(self) -> float:
        """Seconds that a polling thread may sleep before the next :meth:`process`."""
        return self.timings.get((self.rx_state, self.tx_state), 0.001)

    @property
    def rx_state(self) -> RxState:
        """State of reception."""
        return self.RxState(self._rx_state_code)

    @property
    def tx_state(self) -> TxState:
        """State of transmission."""
        return self.TxState(self._tx_state_code)

    @property
    def timer_rx_fc(self) -> Timer:
        """N_Bs as it runs now: the time left for a flow control frame."""
        return self._timer("fc")

    @property
    def timer_rx_cf(self) -> Timer:
        """N_Cr as it runs now: the time left for a consecutive frame."""
        return self._timer("cf")

    @property
    def timer_tx_stmin(self) -> Timer:
        """STmin as it runs now: the time left until the next consecutive frame."""
        return self._timer("stmin")

    def _timer(self, which: str) -> Timer:
        running = self._timer_state(which)
        if running is None:
            return Timer(0)
        start_ns, length_ns = running
        timer = Timer(length_ns / 1e9)
        timer.start_time = time.perf_counter_ns() - (monotonic_ns() - start_ns)
        return timer

    stats = _StatsAttribute()
    """What the layer counted so far, as :class:`isotp.Stats`: frames, messages, errors. From any thread."""

    def reset_stats(self) -> Stats:
        """Count anew; returns what was counted until now. Nothing that happens meanwhile is lost."""
        return self._stats(True)

    def __repr__(self) -> str:
        stats = self._stats(False)
        return (
            f"<{type(self).__name__} {self.address.get_content_str()}"
            f" rx:{self.rx_state.name} tx:{self.tx_state.name}"
            f"{f' {stats.summary()}' if stats != type(stats)() else ''} at 0x{id(self):x}>"
        )

    # What code of the first generation calls on a layer.

    def get_nearest_can_fd_size(self, size: int) -> int:
        """Smallest CAN FD data length that holds `size` bytes."""
        return nearest_can_fd_size(size)

    def get_dlc(self, data: bytes, validate_tx: bool = False) -> int:
        """DLC code of a frame with this data.

        :raises ValueError: if no frame holds it; with `validate_tx`, if tx_data_length forbids it.
        """
        if validate_tx and len(data) > self.params.tx_data_length:
            raise ValueError(
                f"frame of {len(data)} bytes is above tx_data_length {self.params.tx_data_length}"
            )
        return dlc_of(nearest_can_fd_size(len(data)))

    def pad_message_data(self, msg_data: bytes) -> bytes:
        """Data of a frame, padded as the parameters say."""
        return self.make_tx_msg(0, msg_data).data

    def make_tx_msg(self, arbitration_id: int, data: bytes) -> CanMessage:
        """A frame with this data, padded and flagged as the parameters say."""
        return self._close_message(arbitration_id, bytes(data), self.address.is_tx_29bits())


RxFn = TransportLayerLogic.RxFn
TxFn = TransportLayerLogic.TxFn
ErrorHandler = TransportLayerLogic.ErrorHandler
PostSendCallback = TransportLayerLogic.PostSendCallback
OnMessage = TransportLayerLogic.OnMessage
ReceiveInto = TransportLayerLogic.ReceiveInto


class TransportLayer(TransportLayerLogic):
    """The transport layer with a thread of its own, once :meth:`start` was called; polled as long as not.

    :param read_timeout: seconds that rxfn is asked to wait at the most. How long :meth:`stop` may take. (A stack on a
        python-can bus with a file descriptor, as SocketCAN's, waits until there is something to do.)

    The other parameters are those of :class:`TransportLayerLogic`. After :meth:`start`, `rxfn` is called by
    the layer's thread; `txfn` and `error_handler` by the thread that brings the event: the layer's thread for
    a received frame, the caller of :meth:`send` for the first frame of a message.

    :raises TypeError: if `read_timeout` is no number.
    :raises ValueError: if it is negative, infinite or NaN, and as :class:`TransportLayerLogic` does.
    """

    class Events:
        """What the threads tell each other."""

        def __init__(self) -> None:
            self.main_thread_ready = threading.Event()
            self.relay_thread_ready = threading.Event()
            self.stop_requested = threading.Event()

    def __init__(
        self,
        rxfn: RxFn,
        txfn: TxFn,
        address: Address | AsymmetricAddress | None = None,
        error_handler: ErrorHandler | None = None,
        params: Mapping[str, Any] | None = None,
        read_timeout: float = 0.05,
        post_send_callback: PostSendCallback | None = None,
        on_message: OnMessage | None = None,
        receive_into: ReceiveInto | None = None,
    ) -> None:
        _require_seconds("read_timeout", read_timeout)
        self.started = False
        # Held while the layer starts or stops, but not while stop() waits: a callback may be the one that stops.
        self._life = threading.RLock()
        self.main_thread: threading.Thread | None = None
        self.default_read_timeout = read_timeout
        self.events = self.Events()
        self._courier = self._new_courier()
        self._readers = self._new_readers()
        self._sleeper = Sleeper()
        self._rxfn_lateness = _LEAST_LATENESS
        self._look_ns = _FIRST_LOOK_NS
        super().__init__(
            rxfn, txfn, address, error_handler, params, post_send_callback, on_message, receive_into
        )

    @property
    def relay_thread(self) -> threading.Thread | None:
        """The thread that calls rxfn; there is only one thread, so it is `main_thread`."""
        return self.main_thread

    @property
    def rx_relay_queue(self) -> MessageQueue[CanMessage]:
        """Frames that were read and not handled yet."""
        return self._inbox

    @property
    def user_rxfn(self) -> RxFn:
        """The rxfn that the layer was given."""
        return self.rxfn

    def start(self) -> None:
        """Let the layer work on its own.

        :raises RuntimeError: if it was started already.
        """
        with self._life:
            if self.started:
                raise RuntimeError("the transport layer was started already")
            self.started = True
            # New ones each time: a thread of an earlier start may still be on its way out.
            self.events = self.Events()
            _started.add(self)
            self._set_courier(self._courier)
            try:
                self._drive_from_now_on()
                self._start_reading()
            except BaseException:
                self._let_go()
                raise
        self._drive()

    def stop(self) -> None:
        """Stop working and forget everything: messages being sent or received, and those in the queues.

        Does nothing if the layer was not started. May be called from any thread, and by callbacks of the layer.
        """
        with self._life:
            if not self.started:
                return
            try:
                wait = self._let_go()
            except BaseException:
                self._let_go()  # what KeyboardInterrupt has cut short; a second time does no harm
                raise
        if wait is not None:
            wait()
        with self._life:
            # What the thread still did; unless another one started the layer meanwhile.
            if not self.started:
                self._reset()

    def _let_go(self) -> Callable[[], object] | None:
        """Begin to stop; what this returns waits for the end. Whatever is raised on the way, the layer is stopped."""
        self.started = False
        self.events.stop_requested.set()
        self._set_driven(False, None, None)
        try:
            self._reset()  # a thread amid a long message has nothing more to send
        finally:
            try:
                wait = self._stop_reading()
            finally:
                self._set_courier(None)
                if self._courier is not None:
                    self._courier.clear()
                _started.discard(self)
        return wait

    def _new_courier(self) -> Courier | None:
        """What calls on_message and error_handler of the started layer; None: the thread that brings the event."""
        return None

    # rxfn may be another one when it is started again: a thread that does not return from the old one is no obstacle.
    _leaves_readers_behind = True

    def _new_readers(self) -> Readers:
        readers = Readers("isotp reader", self._leaves_readers_behind)
        self._set_readers(readers.alive)
        return readers

    def _end_in_child(self) -> None:
        """After a fork, in the child: the threads are gone, and with them what they were amid; so are locks' owners."""
        self.started = False
        self.main_thread = None
        self._life = threading.RLock()
        self.events = self.Events()
        self._set_courier(None)
        self._courier = self._new_courier()
        self._readers = self._new_readers()
        self._forget_threads()

    def _drive_from_now_on(self) -> None:
        self._set_driven(True, self._wake_at, self._guard_deadline)

    def _start_reading(self) -> None:
        events = self.events
        patience = longest_end(self.default_read_timeout)
        thread = self._readers.make(
            lambda: self._read_frames(events.stop_requested, patience),
            patience,
            begin=lambda: self._begin_to_read(events),
        )
        # Before it runs: what rxfn does at once may be to stop, or to start anew.
        self.main_thread = thread
        try:
            self._readers.start(thread)
        except BaseException:
            self.main_thread = None
            raise
        if not events.main_thread_ready.wait(_PATIENCE):
            raise RuntimeError("the thread of the transport layer did not start in time")

    def _stop_reading(self) -> Callable[[], object] | None:
        """Let the thread end; what this returns waits until it has."""
        thread, self.main_thread = self.main_thread, None
        # A callback may stop its own layer: the thread then ends by itself.
        if thread is None or self._readers.include_this_one():
            return None
        return lambda: self._wait_for_end(thread)

    def _wait_for_end(self, thread: threading.Thread) -> None:
        if not self._readers.wait_for(thread, longest_end(self.default_read_timeout)):
            self.logger.error("rxfn does not return: the thread of the transport layer is left behind")

    def _wake_at(self, deadline_ns: int) -> None:
        self._set_wake(deadline_ns)
        self._call_later(deadline_ns, lambda layer: layer._wake(deadline_ns), self._busy_ns_now())

    def _busy_ns_now(self) -> int:
        """How much of the wait for the next deadline may be busy (ns): only frames are that urgent."""
        return int(self.params.busy_wait * 1e9) if self.is_tx_transmitting_cf() else 0

    def _call_later(self, when_ns: int, method: Callable[[TransportLayer], object], busy_ns: int = 0) -> None:
        # By a weak reference: a deadline keeps no dropped layer alive.
        reference = weakref.ref(self)

        def call() -> None:
            layer = reference()
            if layer is not None:
                method(layer)

        _timekeeper.call_at(when_ns, call, busy_ns)

    def _begin_to_read(self, events: Events) -> None:
        """The thread: it is there. An earlier one may still be on its way out, and be the one that starts this one."""
        self._set_reader()
        sharpen_timers()
        events.main_thread_ready.set()
        events.relay_thread_ready.set()

    def _read_frames(self, stop_requested: threading.Event, patience: float) -> None:
        """The thread: waits in rxfn, or for STmin, up to the next deadline."""
        self._let_poll_end(patience if self._leaves_readers_behind else None)
        pause = 0.0
        while not stop_requested.is_set():
            try:
                self._read_once(stop_requested)
                pause = 0.0
            except BaseException as error:
                if stop_requested.is_set():
                    return
                self._report_callback_error(error)
                # A bus that is gone raises at each call: do not fill the log at full speed.
                pause = min(max(2 * pause, 0.01), 1.0)
                stop_requested.wait(pause)

    def _read_once(self, stop_requested: threading.Event) -> None:
        longest = self._longest_read()
        delay_ns = self._frame_delay_ns()
        if delay_ns is not None:
            if not self.blocking_rxfn:
                if not self.is_rx_active():
                    # A rxfn without a parameter might wait, and keep the message from going on.
                    self._wait_for_frame_time(delay_ns)
                    self._drive()
                    return
            elif delay_ns <= self._rxfn_lateness * 1e9:
                self._read_before_frame(delay_ns, stop_requested)
                return
            else:
                longest = min(longest, delay_ns / 1e9 - self._rxfn_lateness)
        read = self._read_on(longest)
        if read is not None:
            self._look_at_rxfn(*read, stop_requested)

    def _longest_read(self) -> float:
        """Seconds that rxfn may wait at the most: nothing else ends its wait."""
        return self.default_read_timeout

    def _look_at_rxfn(self, timeout: float, remaining: float, stop_requested: threading.Event) -> None:
        """What a rxfn does that found nothing, or was late: does it wait, and how well?

        :param timeout: seconds that it was asked to wait.
        :param remaining: what was left of them when it returned; less than 0: it was late.
        """
        if remaining > timeout / 2:
            # rxfn does not wait: do it for it, in short pieces since frames can not wake this thread
            stop_requested.wait(min(self.sleep_time(), remaining))
        elif remaining <= 0:
            # The longest of late, which fades.
            lateness = max(-remaining, self._rxfn_lateness * 0.95)
            self._rxfn_lateness = min(max(lateness, _LEAST_LATENESS), _MOST_LATENESS)

    def _read_before_frame(self, delay_ns: int, stop_requested: threading.Event) -> None:
        """Have a last look for a frame before the next consecutive frame, then send that in time.

        The look comes late, after the sleep: what it finds acts before the frame, and what runs for it is then what
        sends the frame, with the caches warm.
        """
        busy_ns = self._busy_ns_now()
        dozes = busy_ns > 0 and self.params.wait_func is time.sleep
        if dozes:
            self._sleeper.doze(min(delay_ns, _PRECISE_PIECE_NS) - self._look_ns, busy_ns)
        clock = monotonic_ns if self.clock is None else self.clock
        began = clock()
        message = self._rxfn(0.0)
        if stop_requested.is_set():
            self._pass_on(message)
            return
        if message is not None:
            self._feed(message)
            return
        remaining_ns = self._frame_delay_ns()
        # The longest of late, which fades.
        took_ns = clock() - began + _LOOK_MARGIN_NS
        self._look_ns = min(max(took_ns, self._look_ns * 15 // 16), _PRECISE_PIECE_NS)
        if dozes and delay_ns > _PRECISE_PIECE_NS:
            return
        if remaining_ns and dozes and remaining_ns <= busy_ns:
            self._sleeper.spin(remaining_ns)
        else:
            self._wait_for_frame_time(remaining_ns)
        self._drive_unread()

    def _wait_for_frame_time(self, delay_ns: int | None) -> None:
        """Wait for the time of the next consecutive frame, or for a part of it."""
        if not delay_ns:
            return
        if self.params.wait_func is not time.sleep:
            self.params.wait_func(delay_ns / 1e9)
            return
        self._sleeper.wait(min(delay_ns, _PRECISE_PIECE_NS), self._busy_ns_now())

    def _guard_deadline(self, deadline_ns: int) -> None:
        """Have the timekeeper look whether a deadline was missed: rxfn may wait longer than it was asked to."""
        # It always does so if it has done so: then nobody but the timekeeper can be in time.
        overstays = self._rxfn_lateness >= _MOST_LATENESS
        patience_ns = 0 if overstays else int(_MOST_LATENESS * 1e9)
        when_ns = max(deadline_ns, monotonic_ns()) + patience_ns
        self._call_later(
            when_ns, lambda layer: layer._look_after(deadline_ns), self._busy_ns_now() if overstays else 0
        )


def longest_end(read_timeout: float) -> float:
    """Seconds that a thread may take to end which reads for up to `read_timeout` seconds at a time."""
    return max(read_timeout + 0.5, 1.0)


# Layers that were started.
_started: weakref.WeakSet[TransportLayer] = weakref.WeakSet()


def _end_all_in_child() -> None:
    global _changing_listeners
    _changing_listeners = threading.Lock()
    for layer in list(_started):
        layer._end_in_child()
    _started.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_end_all_in_child)


class BusOwner(Protocol):
    """Whatever has a python-can bus."""

    bus: can.BusABC


# Where user code of the second generation finds it.
_python_can_to_isotp_message = frame_from_python_can


def send_on_bus(bus: can.BusABC, msg: CanMessage) -> None:
    """Send a frame on a python-can bus; does not wait.

    :raises can.CanError: if the bus refuses the frame.
    :raises isotp._core.TryAgain: if the transmit queue of its driver is full; a layer then does.
    """
    # By position, which is quicker than by name: this is done for each frame.
    message = _outgoing_class()(
        0.0,
        msg.arbitration_id,
        msg.is_extended_id,
        False,
        False,
        None,
        None,
        msg.data,
        msg.is_fd,
        True,
        msg.bitrate_switch,
    )
    try:
        bus.send(message)
    except _python_can().CanError as error:
        if not _says_queue_is_full(error):
            raise
        raise TryAgain(str(error)) from error


@functools.cache
def _outgoing_class() -> type[can.Message]:
    # Imported when the first frame is sent, as python-can is.
    from isotp._outgoing import OutgoingMessage

    return OutgoingMessage


def _says_queue_is_full(error: can.CanError) -> bool:
    # SocketCAN reports ENOBUFS; other drivers only have a text, as "Transmit buffer full", "XL_ERR_QUEUE_IS_FULL".
    return error.error_code == errno.ENOBUFS or _FULL.search(str(error)) is not None


def python_can_tx_canbus_3plus(owner: BusOwner, msg: CanMessage) -> None:
    """Send a frame on the owner's bus (python-can 3 and later)."""
    send_on_bus(owner.bus, msg)


def is_documented_by(original: Callable[..., Any]) -> Callable[[_Documented], _Documented]:
    """Decorator: the docstring of `original` is that of the decorated function too."""

    def document(function: _Documented) -> _Documented:
        function.__doc__ = original.__doc__
        return function

    return document


def _make_python_can_tx_func(owner: BusOwner) -> TxFn:
    def send(msg: CanMessage) -> None:
        send_on_bus(owner.bus, msg)

    return send


def check_bus(bus: can.BusABC) -> None:
    """ValueError if it is no python-can bus, RuntimeError if there is no python-can."""
    bus_class: type[can.BusABC] = _python_can().BusABC
    if not isinstance(bus, bus_class):
        raise ValueError(f"bus must be a python-can bus, not {bus!r}")


def descriptor_of(bus: can.BusABC) -> int:
    """File descriptor that tells of received frames; -1 if the bus has none."""
    try:
        return int(bus.fileno())
    except NotImplementedError:
        return -1


def check_notifier(notifier: can.Notifier) -> None:
    """ValueError if it is none, RuntimeError if there is no python-can."""
    if not isinstance(notifier, _python_can().Notifier):
        raise ValueError(f"notifier must be a can.Notifier, not {notifier!r}")


_changing_listeners = threading.Lock()


def add_listener(notifier: can.Notifier, listener: Callable[[can.Message], None]) -> None:
    """Add a listener to a notifier, of which another one may just be removed."""
    with _changing_listeners:
        notifier.add_listener(listener)


def remove_listener(notifier: can.Notifier, listener: Callable[[can.Message], None]) -> None:
    """Remove a listener of a notifier that may be amid a frame; others may have removed it already.

    The notifier's own method shortens the list that its thread goes through: the next listener would miss the frame.
    """
    with _changing_listeners:
        listeners = notifier.listeners
        kept = listeners.copy()
        if listener not in kept:
            return
        kept.remove(listener)
        seen = len(listeners)
        notifier.listeners = kept
        # Others that the user added meanwhile
        kept.extend(listeners[seen:])


class _Plan(threading.local):
    """What a thread planned its next read of a bus with."""

    doorbell: Doorbell | None = None


class CanStack(TransportLayer):
    """The transport layer on a python-can bus.

    :param bus: `can.BusABC`.
    :param timeout: seconds that one read of the bus waits when the layer is polled with process().

    All other parameters are those of :class:`TransportLayer`, by name, but for rxfn and txfn.

    :raises RuntimeError: if python-can is not installed.
    :raises ValueError: if `bus` is no python-can bus.
    """

    bus: can.BusABC

    # Error and remote frames that one read passes over before it gives others a turn.
    _PASSED_OVER_AT_ONCE = 1000

    def __init__(self, bus: can.BusABC, timeout: float = 0.0, **kwargs: Any) -> None:
        self._doorbell: Doorbell | None = None
        self._plan = _Plan()
        self.set_bus(bus)
        _require_seconds("timeout", timeout, "; address and all else go by name")
        self._polling_timeout = timeout
        super().__init__(rxfn=self.rx_canbus, txfn=self.tx_canbus, **kwargs)

    def set_bus(self, bus: can.BusABC) -> None:
        """Work on another bus.

        :raises ValueError: if it is no python-can bus.
        """
        check_bus(bus)
        self.bus = bus
        if self._doorbell is not None:
            self._watch(self.bus)

    def _watch(self, bus: can.BusABC | None) -> None:
        """Have the reader wait for this bus from now on."""
        descriptor = -1 if bus is None else descriptor_of(bus)
        # What a driver does without a descriptor can not be interrupted: it is asked for a while at a time.
        watched = Doorbell(descriptor) if descriptor >= 0 and hasattr(select, "poll") else None
        before, self._doorbell = self._doorbell, watched
        if before is not None:
            before.ring()

    def _start_reading(self) -> None:
        self._watch(self.bus)
        super()._start_reading()

    def _stop_reading(self) -> Callable[[], object] | None:
        self._watch(None)
        return super()._stop_reading()

    def _end_in_child(self) -> None:
        super()._end_in_child()
        self._doorbell = None

    def _longest_read(self) -> float:
        self._plan.doorbell = self._doorbell
        return self.default_read_timeout if self._doorbell is None else _NO_POLLING

    def rx_canbus(self, timeout: float = 0.0) -> CanMessage | None:
        """The next data frame on the bus."""
        if not self.started:
            timeout = timeout or self._polling_timeout
        # The one that the reader planned its time-out with: stop() or another bus may have taken it away since.
        doorbell = self._plan.doorbell
        if doorbell is None or timeout == 0:
            return self._read_bus(timeout)
        # What a driver has read ahead does not make its descriptor readable.
        message = self._read_bus(0.0)
        if message is None:
            doorbell.wait(timeout)
            message = self._read_bus(0.0)
        return message

    def _read_bus(self, timeout: float) -> CanMessage | None:
        for _ in range(self._PASSED_OVER_AT_ONCE):
            received = self.bus.recv(timeout)
            if received is None:
                return None
            message = frame_from_python_can(received)
            if message is not None:
                return message
        return None

    def tx_canbus(self, msg: CanMessage) -> None:
        """Send a frame on the bus."""
        send_on_bus(self.bus, msg)


class NotifierBasedCanStack(TransportLayer):
    """The transport layer on a python-can bus that a `can.Notifier` reads; needs no thread of its own.

    Started, it calls `on_message` and `error_handler` on threads that the package has for that, so that neither the
    notifier nor another stack has to wait for them.

    :param bus: `can.BusABC` to send on.
    :param notifier: `can.Notifier` that reads the bus.

    All other parameters are those of :class:`TransportLayer`, by name, but for rxfn and txfn. Receives only
    after :meth:`start`.

    :raises RuntimeError: if python-can is not installed.
    :raises ValueError: if `bus` is no python-can bus or `notifier` no notifier.
    """

    bus: can.BusABC
    notifier: can.Notifier

    def __init__(self, bus: can.BusABC, notifier: can.Notifier, **kwargs: Any) -> None:
        check_bus(bus)
        self.bus = bus
        check_notifier(notifier)
        self.notifier = notifier
        self.buffered_reader: Callable[[can.Message], None] | None = None
        super().__init__(rxfn=self._no_frame, txfn=_make_python_can_tx_func(self), **kwargs)

    def _no_frame(self, timeout: float = 0.0) -> None:
        """A layer that was not started hears nothing: the notifier does not know it."""

    def _new_courier(self) -> Courier | None:
        return Courier(self._report_callback_error)

    def _end_in_child(self) -> None:
        super()._end_in_child()
        self.buffered_reader = None  # the notifier's thread is gone as well

    def _drive_from_now_on(self) -> None:
        # In this order: a layer that works must not miss a frame amid others, which it might put together then.
        self.buffered_reader = self._on_message_received
        add_listener(self.notifier, self.buffered_reader)
        super()._drive_from_now_on()

    def _start_reading(self) -> None:
        """The notifier reads."""

    def _stop_reading(self) -> None:
        reader, self.buffered_reader = self.buffered_reader, None
        if reader is not None:
            remove_listener(self.notifier, reader)

    def _on_message_received(self, msg: can.Message) -> None:
        message = frame_from_python_can(msg)
        if message is not None:
            self._feed(message)
