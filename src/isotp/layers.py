"""The layer that is polled: callbacks, parameters and names of both generations on top of the compiled core."""

from __future__ import annotations

import enum
import numbers
import threading
import time
from collections.abc import Callable, Generator, Iterable
from logging import getLogger
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict, overload

from isotp._core import PDU as _PDU
from isotp._core import (
    CanMessage,
    Hooks,
    Layer,
    Reception,
    SendRequest,
    dlc_of,
    monotonic_ns,
    nearest_can_fd_size,
)
from isotp._core import ProcessStats as _ProcessStats
from isotp.address import Address, AsymmetricAddress
from isotp.errors import IsoTpError
from isotp.overridden import HOOK_NAMES, methods_in_place_of, warn_of_methods_not_called
from isotp.params import Parameters
from isotp.params import Params as _Params
from isotp.tools import Timer as _Timer

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

    from isotp._core import ReceivedBytes
    from isotp.stats import Stats

__all__ = [
    "PDU",
    "ErrorHandler",
    "IsReady",
    "OnBegin",
    "OnMessage",
    "OnReception",
    "PostSendCallback",
    "ReceiveInto",
    "RxFn",
    "TransportLayerLogic",
    "TxFn",
    "require_seconds",
]

_INTERNAL_TIMEOUT_IDS = range(0x7F5, 0x7FC)
# Seconds; ISO 15765-2, table 20: STmin 0x7F
_LONGEST_STMIN = 0.127


class PDU(_PDU):
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
    """A callable whose parameters cannot be found out: called with a time-out first, and without if it takes none."""

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

    A first parameter with an object as its default is a handle, as in ``def rxfn(hardware=hardware)``, not a
    time-out.

    :raises ValueError: if the signature cannot be found out.
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


def require_seconds(name: str, value: Any, hint: str = "") -> None:
    """TypeError if this is not a number, ValueError if nobody can wait that long."""
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
    :param on_message: called as `on_message(payload, address, timestamp)` with each received message, which then does
        not go to :meth:`recv`. `address` is the one that it came in on, `timestamp` the time of its last frame in ns
        of `time.perf_counter_ns()`.
    :param on_reception: called with each message received as a :class:`isotp.Reception`, in place of `on_message`.
    :param on_begin: called as `on_begin(length, address, timestamp)` when a message of several frames begins
        (N_USData_FF.indication), with its length. The other arguments are those of `on_message`.
    :param receive_into: called with the length of each segmented message that begins; returns where to put it as it
        comes: a writable buffer, or a callable that takes `bytes` piece by piece. :meth:`recv` and `on_message` then
        get that object as the message. None: a bytearray, as usual. If the message breaks off, the attribute `target`
        of the error is that object. The parameter `max_frame_size` still limits the length.
    :param is_ready: called as `is_ready(length, received)` before each Flow Control that would let a message
        continue, with its length and the number of bytes received. If it returns False, the layer tells the sender to
        wait (FC.WAIT), and again after each `wait_frame_interval`; after `wftmax` times it refuses the message.
        :meth:`resume_reception` makes the layer ask at once.
    :param tx_confirmation: a frame counts as sent only when its echo comes (L_Data.con), not when txfn took it. The
        echo is a frame from rxfn whose `is_echo` is True, or whose `is_rx` is False as in python-can. STmin, N_Bs and
        N_Cr run from the echo, and N_As from txfn to the echo. A message is sent when the echo of its last frame has
        come.
    :raises ValueError: if the address is missing or partial, or a parameter has an invalid value.
    """

    LOGGER_NAME = "isotp"
    # The user's own pad_message_data(), if it is overridden
    _own_pad: Callable[[bytearray], bytes | None] | None = None

    # TypeAlias: without it, type checkers take a name in a class for a variable, which cannot be a type.
    Params: TypeAlias = _Params
    SendRequest: TypeAlias = SendRequest
    ProcessStats: TypeAlias = _ProcessStats
    Timer: TypeAlias = _Timer

    RxFn: TypeAlias = Callable[..., "CanMessage | None"]
    TxFn: TypeAlias = Callable[[CanMessage], Any]
    ErrorHandler: TypeAlias = Callable[[IsoTpError], Any]
    SendGenerator: TypeAlias = tuple[Generator[int, None, None], int]
    PostSendCallback: TypeAlias = Callable[[SendRequest], Any]
    OnMessage: TypeAlias = Callable[[Any, Address | AsymmetricAddress, int], Any]
    OnReception: TypeAlias = Callable[[Reception], Any]
    OnBegin: TypeAlias = Callable[[int, Address | AsymmetricAddress, int], Any]
    ReceiveInto: TypeAlias = Callable[[int], Any]
    IsReady: TypeAlias = Callable[[int, int], Any]

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
        WAIT_CONFIRMATION = 5

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
        params: Parameters | None = None,
        post_send_callback: PostSendCallback | None = None,
        on_message: OnMessage | None = None,
        receive_into: ReceiveInto | None = None,
        *,
        on_reception: OnReception | None = None,
        on_begin: OnBegin | None = None,
        is_ready: IsReady | None = None,
        tx_confirmation: bool = False,
    ) -> None:
        if tx_confirmation:
            self._confirm_frames()
        self.on_begin = on_begin
        self.is_ready = is_ready
        self.params = self.Params()
        if params is not None:
            self.params.update(params)
        self.logger = getLogger(self.params.logger_name)
        self.rxfn = rxfn
        self.txfn = txfn
        self.error_handler = error_handler
        self.post_send_callback = post_send_callback
        if on_message is not None and on_reception is not None:
            raise ValueError("messages go to on_message or to on_reception, not to both")
        self.on_message = on_message
        self.on_reception = on_reception
        self.receive_into = receive_into
        self.timings = {
            (self.RxState.IDLE, self.TxState.IDLE): 0.02,
            (self.RxState.IDLE, self.TxState.WAIT_FC): 0.005,
        }
        self._requesting = threading.Lock()
        self.set_address(address)  # type: ignore[arg-type]  # None is refused there
        self.load_params()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        warn_of_methods_not_called(cls)

    def _look_for_hooks(self) -> None:
        methods = methods_in_place_of(self, _OURS, self.address)
        self._own_pad = methods.pop("pad_message_data", None)
        if self._own_pad is not None:
            methods.setdefault("make_tx_msg", self.make_tx_msg)
        self._use_hooks(Hooks(methods) if methods else None)

    def load_params(self) -> None:
        """Validate the parameters and bring the rate limiter up to date.

        :raises ValueError: if a parameter has an invalid value.
        """
        super().load_params()
        stmin = self.params.effective_override_stmin
        if stmin is not None and stmin > _LONGEST_STMIN:
            self.logger.warning(
                "override_receiver_stmin is in seconds: %g s between two frames, where %g s is the longest STmin"
                " that a receiver can ask for",
                stmin,
                _LONGEST_STMIN,
            )

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
            self._wire_rxfn(_EitherArity(rxfn), True)
        else:
            self._wire_rxfn(rxfn, takes_timeout)

    def _set_rxfn(self, rxfn: RxFn) -> None:
        self.rxfn = rxfn

    def set_address(self, address: Address | AsymmetricAddress) -> None:
        """Use this address from the next message on; frames are heard on it at once.

        A message that is on its way keeps the address that it began with; docs/threads.md says what that means.

        :raises ValueError: if it is not an address, or an address for one direction only.
        """
        super().set_address(address)
        self._look_for_hooks()
        for identifier in (address.get_tx_arbitration_id(), address.get_rx_arbitration_id()):
            if identifier in _INTERNAL_TIMEOUT_IDS and not address.is_tx_29bits():
                self.logger.warning("CAN ID 0x%03X is reserved by ISO 15765-4", identifier)

    def request(
        self,
        payload: Buffer | Iterable[int],
        target_address_type: int | None = None,
        *,
        timeout: float | None = None,
        p2: float = 1.0,
        p2_star: float = 5.0,
        uds: bool = True,
        params: Parameters | None = None,
    ) -> ReceivedBytes:
        """Send a request of UDS, and wait for the answer to it.

        Messages that were received before are dropped, and so are those that come meanwhile and are no answer to this
        request: an answer has its service, and repeats its sub-function, data identifier, routine or block. "Response
        pending" (7F .. 78) is waited out. Another negative response is an answer, and returned like any.

        A layer that is not started works meanwhile, as by :meth:`process`. Requests of several threads go one after the
        other. Nobody else may take messages meanwhile.

        :param payload: the bytes of the request.
        :param target_address_type: as of :meth:`send`. The first answer to a functional request ends it.
        :param timeout: seconds for all of it, up to the beginning of the answer. None: P2 and P2* are the only limits,
            and each "response pending" begins P2* anew.
        :param p2: seconds from the end of the request to the beginning of the answer.
        :param p2_star: seconds from a "response pending" to the beginning of what follows.
        :param uds: False, for other protocols: whatever message comes next is the answer.
        :param params: parameters of the request alone, as of :meth:`send`.
        :returns: the answer, a `bytearray`.
        :raises TimeoutError: if no answer has begun in time.
        :raises isotp.BlockingSendTimeout: if the request was not sent within `timeout`; it is given up.
        :raises isotp.BlockingSendFailure: if it could not be sent; the reason is its `__cause__`.
        :raises isotp.BlockingReceiveFailure: if a message that had begun broke off; its `__cause__` says why.
        :raises ValueError: if the payload is empty or no request of UDS, or a time is negative, infinite or NaN.
        :raises RuntimeError: if messages go to a callback or by `receive_into`, if a callback of the layer asks, and as
            :meth:`send` does.
        """
        from isotp.exchange import Exchange  # needed by who asks

        data = bytes(payload)
        exchange = Exchange(data, timeout=timeout, p2=p2, p2_star=p2_star, uds=uds)
        self._require_free_messages()
        if self._is_callback:
            raise RuntimeError("a callback of the layer cannot wait for that same layer to be answered")
        with self._requesting:
            self.clear_rx_queue()
            began_ns = self._now_ns()
            exchange.begin(self._wait_clock())
            sent = self._submit(data, target_address_type, None, params=params)
            try:
                if not self._wait_sent(sent, exchange.left(self._wait_clock())):
                    raise exchange.not_sent()
            finally:
                self._withdraw(sent)  # unless it has ended
            self._require_sent(sent)
            exchange.sent(self._wait_clock())
            while True:
                reception = self._next_reception(exchange.left(self._wait_clock()))
                if reception is None:
                    raise exchange.not_answered()
                answer: ReceivedBytes = reception.payload
                if reception.began_ns >= began_ns and exchange.is_over(bytes(answer), self._wait_clock()):
                    return answer
                self.logger.debug("Dropped while an answer is waited for: %d bytes", len(answer))

    def _require_free_messages(self) -> None:
        if self.on_message is not None or self.on_reception is not None or self.receive_into is not None:
            raise RuntimeError("request() takes the messages that on_message or receive_into would be given")

    def _now_ns(self) -> int:
        return monotonic_ns() if self.clock is None else self.clock()

    def _wait_clock(self) -> float:
        """Seconds of the clock that waits are measured by."""
        return self._now_ns() / 1e9

    def _wait_sent(self, sent: SendRequest, seconds: float | None) -> bool:
        """Wait until a message was sent or given up; False if the time is over before."""
        is_done = sent.complete_event.is_set
        self._work_until(is_done, seconds)
        return is_done()

    def _next_reception(self, seconds: float | None) -> Reception | None:
        """The next message that begins within this time."""
        breaks = self._breaks

        def has_ended() -> bool:
            return self.available() or self._breaks != breaks

        self._work_until(has_ended, seconds)
        if self._has_begun:
            self._work_until(has_ended, None)  # until N_Cr at the most
        reception = self.recvmsg()
        if reception is None and self._breaks != breaks:
            raise self._broken_off()
        return reception

    def _work_until(self, is_over: Callable[[], bool], seconds: float | None) -> None:
        """Work until this is so, or the time is over: a layer that is polled does nothing by itself."""
        end = None if seconds is None else self._wait_clock() + seconds
        while not is_over():
            left = self.sleep_time() if end is None else end - self._wait_clock()
            if left <= 0:
                return
            pause = min(self.sleep_time(), left)
            began = time.monotonic()
            self.process(rx_timeout=pause if self.blocking_rxfn else 0.0)
            rest = pause - (time.monotonic() - began)
            # A rxfn that takes a time-out need not have waited.
            if rest > pause / 2 and not is_over():
                time.sleep(rest)

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
        """State of reception. Setting it to IDLE gives up what is being received."""
        return self.RxState(self._rx_state_code)

    @rx_state.setter
    def rx_state(self, state: RxState) -> None:
        if state is not self.rx_state:
            self._require_idle(state, self.RxState.IDLE)
            Layer._stop_receiving(self)

    @property
    def tx_state(self) -> TxState:
        """State of transmission. Setting it to IDLE gives up what is being sent."""
        return self.TxState(self._tx_state_code)

    @tx_state.setter
    def tx_state(self, state: TxState) -> None:
        if state is not self.tx_state:
            self._require_idle(state, self.TxState.IDLE)
            Layer._stop_sending(self, False)

    def _require_idle(self, state: enum.Enum, idle: enum.Enum) -> None:
        if state is not idle:
            raise ValueError(f"a layer can be set to {idle}, other states come with frames; not to {state!r}")

    @property
    def last_rx_state(self) -> RxState:
        """The same as `rx_state`: what can-isotp has logged last."""
        return self.rx_state

    @property
    def last_tx_state(self) -> TxState:
        """The same as `tx_state`: what can-isotp has logged last."""
        return self.tx_state

    @property
    def last_flow_control_frame(self) -> PDU | None:
        """None: a flow control frame is handled when it is read."""
        return None

    @property
    def timer_rx_fc(self) -> _Timer:
        """N_Bs as it runs now: the time left for a flow control frame."""
        return self._timer("fc")

    @property
    def timer_rx_cf(self) -> _Timer:
        """N_Cr as it runs now: the time left for a consecutive frame."""
        return self._timer("cf")

    @property
    def timer_tx_stmin(self) -> _Timer:
        """STmin as it runs now: the time left until the next consecutive frame."""
        return self._timer("stmin")

    def _timer(self, which: str) -> _Timer:
        running = self._timer_state(which)
        if running is None:
            return _Timer(0)
        start_ns, length_ns = running
        timer = _Timer(length_ns / 1e9)
        timer.start_time = start_ns
        return timer

    stats = _StatsAttribute()
    """What the layer counted so far, as :class:`isotp.Stats`: frames, messages, errors. From any thread."""

    def reset_stats(self) -> Stats:
        """Start the counts anew; returns those until now. Nothing that happens meanwhile is lost."""
        return self._stats(True)

    def __repr__(self) -> str:
        if self.address is None:
            return (
                f"<{type(self).__name__} without an address, as __init__() was not called, at 0x{id(self):x}>"
            )
        stats = self._stats(False)
        return (
            f"<{type(self).__name__} {self.address.get_content_str()}"
            f" rx:{self.rx_state.name} tx:{self.tx_state.name}"
            f"{f' {stats.summary()}' if stats != type(stats)() else ''} at 0x{id(self):x}>"
        )

    def __enter__(self) -> Self:
        """The layer, as it is: polled, or started."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Give up what is sent and received, and what waits, as :meth:`reset` does."""
        self._reset()

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
        """Data of a frame, padded as the parameters say; a bytearray is also padded in place, as in 1.x."""
        padded = self._close_message(0, bytes(msg_data), False).data
        if isinstance(msg_data, bytearray):
            msg_data[:] = padded
        return padded

    def make_tx_msg(self, arbitration_id: int, data: bytes) -> CanMessage:
        """A frame with this data, padded and flagged as the parameters say."""
        if self._own_pad is not None:
            given = bytearray(data)
            padded = self._own_pad(given)
            data = bytes(given if padded is None else padded)
        return self._close_message(arbitration_id, bytes(data), self.address.is_tx_29bits())

    # What code of the second generation calls on a layer, or overrides.

    _check_timeouts_rx = Layer.check_timeouts_rx
    _get_dlc = get_dlc
    _get_nearest_can_fd_size = get_nearest_can_fd_size
    _make_flow_control = Layer.make_flow_control
    _make_tx_msg = make_tx_msg
    _pad_message_data = pad_message_data
    _request_tx_flowcontrol = Layer.request_tx_flowcontrol
    _start_rx_cf_timer = Layer.start_rx_cf_timer
    _start_rx_fc_timer = Layer.start_rx_fc_timer
    _stop_sending_flow_control = Layer.stop_sending_flow_control

    def _process_rx(self, msg: CanMessage) -> ProcessRxReport:
        messages, flow_controls = self._heard_so_far
        Layer.process_rx(self, msg)
        more_messages, more_flow_controls = self._heard_so_far
        return self.ProcessRxReport(
            immediate_tx_required=self.pending_flow_control_tx or more_flow_controls != flow_controls,
            frame_received=more_messages != messages,
        )

    def _process_tx(self) -> ProcessTxReport:
        message = Layer.process_tx(self)
        is_flow_control = message is not None and self._is_flow_control(message)
        return self.ProcessTxReport(msg=message, immediate_rx_required=is_flow_control)

    def _is_flow_control(self, message: CanMessage) -> bool:
        n_pci = message.data[len(self.address.get_tx_payload_prefix()) :]
        return n_pci[:1] != b"" and n_pci[0] >> 4 == PDU.Type.FLOW_CONTROL

    def _trigger_error(self, error: IsoTpError, inhibit_in_listen_mode: bool = False) -> None:
        if not (inhibit_in_listen_mode and self.params.listen_mode):
            self.trigger_error(error)


_OURS = {name: getattr(TransportLayerLogic, name) for name in HOOK_NAMES}


RxFn = TransportLayerLogic.RxFn
TxFn = TransportLayerLogic.TxFn
ErrorHandler = TransportLayerLogic.ErrorHandler
PostSendCallback = TransportLayerLogic.PostSendCallback
OnMessage = TransportLayerLogic.OnMessage
OnReception = TransportLayerLogic.OnReception
OnBegin = TransportLayerLogic.OnBegin
ReceiveInto = TransportLayerLogic.ReceiveInto
IsReady = TransportLayerLogic.IsReady


if TYPE_CHECKING:
    # Only type checkers look at these, and they take long to make.

    class SessionKeywords(TypedDict, total=False):
        """What a session on a bus takes by keyword, beside its address: see :class:`TransportLayerLogic`."""

        error_handler: ErrorHandler | None
        params: Parameters | None
        read_timeout: float
        post_send_callback: PostSendCallback | None
        on_message: OnMessage | None
        receive_into: ReceiveInto | None
        on_reception: OnReception | None
        on_begin: OnBegin | None
        is_ready: IsReady | None
        tx_confirmation: bool

    class _WithAddress(TypedDict):
        address: Address | AsymmetricAddress

    class LayerKeywords(_WithAddress, SessionKeywords):
        """What a layer on a bus takes by keyword."""
