"""The layer that is polled: callbacks, parameters and names of both generations on top of the compiled core."""

from __future__ import annotations

import enum
import numbers
import threading
import time
from collections.abc import Callable, Generator, Mapping
from logging import getLogger
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload

from isotp._core import PDU as _PDU
from isotp._core import CanMessage, Hooks, Layer, Reception, dlc_of, monotonic_ns, nearest_can_fd_size
from isotp._core import ProcessStats as _ProcessStats
from isotp._core import SendRequest as _SendRequest
from isotp.address import Address, AsymmetricAddress
from isotp.errors import IsoTpError
from isotp.overridden import HOOK_NAMES, methods_in_place_of, warn_of_methods_not_called
from isotp.params import Params as _Params
from isotp.tools import Timer as _Timer

if TYPE_CHECKING:
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
    """A callable whose parameters cannot be found out: tried with a time-out first, without from then on."""

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
    :param on_reception: called with each message received as a :class:`isotp.Reception`, in place of `on_message`.
    :param on_begin: called as `on_begin(length, address, timestamp)` when a message of several frames begins
        (N_USData_FF.indication), with its length, and the rest as `on_message` has it.
    :param receive_into: called with the length of each segmented message that begins; gives what to put it into
        as it comes: a writable buffer, or a callable that is given `bytes` piece by piece. The message is then
        that object, for :meth:`recv` and `on_message`. None: a bytearray, as ever. A message that breaks off
        is told by the attribute `target` of the error. Mind the parameter `max_frame_size`.
    :param is_ready: called as `is_ready(length, received)` before each Flow Control that would let a message go on,
        with its length and what of it is there. If it is False, the sender is told to wait (FC.WAIT), again and again
        after `wait_frame_interval`; after `wftmax` times the message is refused. :meth:`resume_reception` has it asked
        at once.
    :param tx_confirmation: take a frame for sent only when its echo comes (L_Data.con), not when txfn took it: a frame
        from rxfn whose `is_echo` is True, or `is_rx` False as python-can has it. STmin, N_Bs and N_Cr run from the
        echo, a message is sent when that of its last frame has come, and N_As from txfn to the echo.
    :raises ValueError: if the address is missing or partial, or a parameter has a value that it cannot have.
    """

    LOGGER_NAME = "isotp"
    # pad_message_data() of the user's, if he has overridden it
    _own_pad: Callable[[bytearray], bytes | None] | None = None

    # TypeAlias: without it, type checkers take a name in a class for a variable, which can be no type.
    Params: TypeAlias = _Params
    SendRequest: TypeAlias = _SendRequest
    ProcessStats: TypeAlias = _ProcessStats
    Timer: TypeAlias = _Timer

    RxFn: TypeAlias = Callable[..., "CanMessage | None"]
    TxFn: TypeAlias = Callable[[CanMessage], Any]
    ErrorHandler: TypeAlias = Callable[[IsoTpError], Any]
    SendGenerator: TypeAlias = tuple[Generator[int, None, None], int]
    PostSendCallback: TypeAlias = Callable[[_SendRequest], Any]
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
        params: Mapping[str, Any] | None = None,
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

        :raises ValueError: if a parameter has a value that it cannot have.
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

        A message that is on its way keeps the address that it began with; docs/threads.md has what that means.

        :raises ValueError: if it is no address, or an address for one direction only.
        """
        super().set_address(address)
        self._look_for_hooks()
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
        """State of reception. To set it to IDLE gives up what is being received."""
        return self.RxState(self._rx_state_code)

    @rx_state.setter
    def rx_state(self, state: RxState) -> None:
        if state is not self.rx_state:
            self._require_idle(state, self.RxState.IDLE)
            Layer._stop_receiving(self)

    @property
    def tx_state(self) -> TxState:
        """State of transmission. To set it to IDLE gives up what is being sent."""
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
        timer.start_time = time.perf_counter_ns() - (monotonic_ns() - start_ns)
        return timer

    stats = _StatsAttribute()
    """What the layer counted so far, as :class:`isotp.Stats`: frames, messages, errors. From any thread."""

    def reset_stats(self) -> Stats:
        """Count anew; returns what was counted until now. Nothing that happens meanwhile is lost."""
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
        """Data of a frame, padded as the parameters say; a bytearray is padded itself, too, as in 1.x."""
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
