"""The parameters of a layer: one table of names, defaults and rules, and the object that holds their values.

``isotp.TransportLayerLogic.Params`` is :class:`Params`.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypedDict, cast

from isotp.address import TargetAddressType

__all__ = ["Parameters", "Params", "UnknownParameterError", "stmin_from_seconds", "stmin_to_seconds"]

_CAN_FD_LENGTHS = (8, 12, 16, 20, 24, 32, 48, 64)


class UnknownParameterError(AttributeError, ValueError):
    """There is no parameter of this name.

    An AttributeError, as can-isotp has it, and a ValueError, like every other refusal of a parameter.
    """


def stmin_from_seconds(seconds: float) -> int:
    """The byte for the parameter `stmin`: the shortest STmin that is no shorter than `seconds` (9.6.5.4).

    :raises ValueError: if `seconds` is not within 0 to 0.127.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= 0.127:
        raise ValueError(f"STmin must be 0 to 0.127 seconds, not {seconds!r}")
    # A float such as 0.0003 may be a trifle above the number that was meant.
    hundreds_of_us = math.ceil(seconds * 10_000 - 1e-6)
    if 1 <= hundreds_of_us <= 9:
        return 0xF0 + hundreds_of_us
    return math.ceil(seconds * 1000 - 1e-6)


def stmin_to_seconds(stmin: int) -> float:
    """What an STmin byte means, in seconds.

    :raises ValueError: if it is reserved (0x80..0xF0, 0xFA..0xFF) or no byte.
    """
    if isinstance(stmin, int) and 0 <= stmin <= 0x7F:
        return stmin / 1000
    if isinstance(stmin, int) and 0xF1 <= stmin <= 0xF9:
        return (stmin - 0xF0) / 10_000
    raise ValueError(f"STmin must be 0x00..0x7F or 0xF1..0xF9, not {stmin!r}")


class _Check(NamedTuple):
    """What a parameter accepts: in words for the message, as a test, and how the value is stored."""

    expected: str
    accepts: Callable[[Any], bool]
    store: Callable[[Any], Any] = lambda value: value


def _integer(low: int, high: int | None = None) -> _Check:
    # bool passes, as in both generations of can-isotp, and is the number from then on.
    if high is None:
        return _Check(
            f"an integer of {low} or more", lambda value: isinstance(value, int) and low <= value, int
        )
    return _Check(
        f"an integer from {low} to {high}", lambda value: isinstance(value, int) and low <= value <= high, int
    )


def _one_of(lengths: tuple[int, ...]) -> _Check:
    return _Check(
        f"one of {', '.join(map(str, lengths))}", lambda value: isinstance(value, int) and value in lengths
    )


def _or_none(check: _Check) -> _Check:
    return _Check(
        f"None or {check.expected}",
        lambda value: value is None or check.accepts(value),
        lambda value: None if value is None else check.store(value),
    )


_BOOLEAN = _Check("True or False", lambda value: isinstance(value, bool))
_SECONDS = _Check(
    "a finite number of seconds, 0 or more",
    lambda value: (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
    ),
    float,
)
_POSITIVE_SECONDS = _Check(
    "a finite number of seconds above 0",
    lambda value: (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= sys.float_info.max
    ),
)
_BUSY_SECONDS = _Check(
    "a number of seconds from 0 to 0.001",
    lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 0.001,
    float,
)
_ADDRESS_TYPE = _Check(
    "TargetAddressType.Physical (0) or TargetAddressType.Functional (1)",
    lambda value: isinstance(value, int) and value in tuple(TargetAddressType),
    TargetAddressType,
)
_TEXT = _Check("a string", lambda value: isinstance(value, str))
_CALLABLE = _Check("a callable that takes a number of seconds", callable)


class _Rule(NamedTuple):
    default: Any
    check: _Check
    doc: str


_RULES: dict[str, _Rule] = {
    "stmin": _Rule(
        0,
        _integer(0, 0xFF),
        "STmin to announce in our Flow Controls, as the byte on the bus: 0x00..0x7F are ms, 0xF1..0xF9 are"
        " 100..900 us (ISO 15765-2:2016, 9.6.5.4).",
    ),
    "blocksize": _Rule(
        8,
        _integer(0, 0xFF),
        "BS to announce in our Flow Controls: Consecutive Frames until the next Flow Control; 0: no further"
        " Flow Control (9.6.5.3).",
    ),
    "override_receiver_stmin": _Rule(
        None,
        _or_none(_SECONDS),
        "Seconds between our Consecutive Frames, whatever STmin the receiver wants. None: as the receiver"
        " wants. More than 0.127 is logged: perhaps milliseconds were meant.",
    ),
    "squash_stmin_requirement": _Rule(
        False,
        _BOOLEAN,
        "Send Consecutive Frames as fast as possible, whatever STmin the receiver wants (can-isotp 1.x)."
        " The same as override_receiver_stmin=0.0; that one comes first if given.",
    ),
    "rx_flowcontrol_timeout": _Rule(
        1000, _integer(0), "N_Bs in ms: the longest wait for a Flow Control (9.8.1)."
    ),
    "rx_consecutive_frame_timeout": _Rule(
        1000, _integer(0), "N_Cr in ms: the longest wait for a Consecutive Frame (9.8.1)."
    ),
    "tx_padding": _Rule(
        None,
        _or_none(_integer(0, 0xFF)),
        "Byte to fill up the frames we send with (10.4.2). None: only frames whose length CAN FD does not"
        " have are filled up, with 0xCC.",
    ),
    "tx_flow_control": _Rule(
        True,
        _BOOLEAN,
        "Wait for the receiver's Flow Control. False: for receivers that never send one; all Consecutive Frames"
        " follow the First Frame, override_receiver_stmin apart (or at once).",
    ),
    "tx_frame_timeout": _Rule(
        1000,
        _integer(0),
        "N_As and N_Ar in ms: the longest wait for room for one frame in a full transmit queue (9.8.1).",
    ),
    "wftmax": _Rule(
        0,
        _integer(0),
        "N_WFTmax: Flow Controls with FlowStatus Wait in a row (9.7): how many to accept, 0: none; any, if strict is"
        " set. And how many to send while rx_queue_limit is reached, or is_ready says so, before a message is refused.",
    ),
    "wait_frame_interval": _Rule(
        500,
        _integer(1),
        "N_Br in ms: a sender that was told to wait is told again after so long (9.8.1). Less than the sender's N_Bs.",
    ),
    "tx_data_length": _Rule(
        8, _one_of(_CAN_FD_LENGTHS), "TX_DL: the longest CAN frame to send, in bytes of data (9.5.1)."
    ),
    "tx_data_min_length": _Rule(
        None,
        _or_none(_one_of((*range(1, 8), *_CAN_FD_LENGTHS))),
        "The shortest CAN frame to send, in bytes of data; shorter ones are padded. At most tx_data_length.",
    ),
    "max_frame_size": _Rule(
        4095, _integer(0), "The longest message to receive, in bytes; longer ones are refused with Overflow."
    ),
    "rx_queue_limit": _Rule(
        32 << 20,
        _or_none(_integer(1)),
        "Bytes of received messages that may wait for recv(), or for a slow on_message; a message counts 100 more than"
        " its length (300 for on_message). While they are reached, new messages are refused with Overflow, or lost if"
        " it is too late for that, and ReceptionQueueFullError says so. None: no limit.",
    ),
    "tx_queue_limit": _Rule(
        32 << 20,
        _or_none(_integer(1)),
        "Bytes of messages that may wait to be sent; a message counts 400 more than its length, a generator or a file"
        " just 400. While they are reached, send() raises a RuntimeError. None: no limit.",
    ),
    "can_fd": _Rule(False, _BOOLEAN, "Send CAN FD frames: sets is_fd of the CanMessage."),
    "bitrate_switch": _Rule(
        False,
        _BOOLEAN,
        "Send CAN FD frames with the faster bit rate for data: sets bitrate_switch of the CanMessage.",
    ),
    "default_target_address_type": _Rule(
        TargetAddressType.Physical, _ADDRESS_TYPE, "Target address type of send() calls that give none."
    ),
    "rate_limit_enable": _Rule(False, _BOOLEAN, "Limit the bit rate of what we send."),
    "rate_limit_max_bitrate": _Rule(
        100_000_000, _integer(1), "Bits of payload a second that the rate limiter lets pass on average."
    ),
    "rate_limit_window_size": _Rule(
        0.2, _POSITIVE_SECONDS, "Seconds over which the rate limiter takes its average."
    ),
    "listen_mode": _Rule(False, _BOOLEAN, "Receive only, and without sending Flow Controls."),
    "strict": _Rule(
        False,
        _BOOLEAN,
        "Keep to ISO 15765-2:2016 also where can-isotp does otherwise: what the standard has a receiver ignore"
        " does not end a reception, and more (standard.md has the list).",
    ),
    "blocking_send": _Rule(False, _BOOLEAN, "Let send() wait until the message has left."),
    "logger_name": _Rule("isotp", _TEXT, "Name of the logger to write to."),
    "wait_func": _Rule(
        time.sleep,
        _CALLABLE,
        "Called with a number of seconds to wait between Consecutive Frames; time.sleep stands for a more"
        " precise wait than its own. A new one is tried with 0.001 when it is validated, and must not raise.",
    ),
    "busy_wait": _Rule(
        0.0002,
        _BUSY_SECONDS,
        "Seconds, up to 0.001, that a started layer may keep a processor busy before each Consecutive Frame"
        " to send it on time. As little as the system's timers need is used. 0: sleep only.",
    ),
}

_ALIASES = {"ll_data_length": "tx_data_length"}
# What one message may have of its own.
_OF_ONE_MESSAGE = (
    "can_fd",
    "bitrate_switch",
    "tx_data_length",
    "tx_data_min_length",
    "tx_padding",
    "override_receiver_stmin",
)


def _known(name: object) -> str:
    """``name``, or the parameter that it is an other name of; UnknownParameterError if there is none."""
    if isinstance(name, str):
        parameter = _ALIASES.get(name, name)
        if parameter in _RULES:
            return parameter
    raise _unknown(name)


def _unknown(name: object) -> UnknownParameterError:
    from difflib import get_close_matches  # needed only by who mistyped

    close = get_close_matches(str(name), (*_RULES, *_ALIASES))
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return UnknownParameterError(f"There is no parameter {name!r}{hint}")


class Parameters(TypedDict, total=False):
    """What `params=` takes: a dict of parameters by name, all of which may be left out, as type checkers see it.

    Where it does not stand in the call itself, name the type: `params: isotp.Parameters = {"stmin": 5}`. What each
    means, and its default: :class:`Params`, docs/parameters.md.
    """

    stmin: int
    blocksize: int
    override_receiver_stmin: float | None
    squash_stmin_requirement: bool
    rx_flowcontrol_timeout: int
    rx_consecutive_frame_timeout: int
    tx_padding: int | None
    tx_flow_control: bool
    tx_frame_timeout: int
    wftmax: int
    wait_frame_interval: int
    tx_data_length: int
    ll_data_length: int
    tx_data_min_length: int | None
    max_frame_size: int
    rx_queue_limit: int | None
    tx_queue_limit: int | None
    can_fd: bool
    bitrate_switch: bool
    default_target_address_type: int
    rate_limit_enable: bool
    rate_limit_max_bitrate: int
    rate_limit_window_size: float
    listen_mode: bool
    strict: bool
    blocking_send: bool
    logger_name: str
    wait_func: Callable[[float], object]
    busy_wait: float


class Params:
    """The parameters of one layer, as attributes.

    Assigning to an attribute does not validate; :meth:`set`, :meth:`update` and :meth:`validate` do.
    ``help(Params)`` tells what each parameter means.

    Two objects are equal if all parameters are; they can be copied and pickled (``wait_func`` permitting).
    """

    # The documentation of each attribute comes with its slot.
    __slots__ = {
        **{name: rule.doc for name, rule in _RULES.items()},
        "_on_change": "None, or a function without parameters, called after each assignment to a parameter.",
        "_tried_wait_func": "The wait_func that is known to work.",
    }

    stmin: int
    blocksize: int
    override_receiver_stmin: float | None
    squash_stmin_requirement: bool
    rx_flowcontrol_timeout: int
    rx_consecutive_frame_timeout: int
    tx_padding: int | None
    tx_flow_control: bool
    tx_frame_timeout: int
    wftmax: int
    wait_frame_interval: int
    tx_data_length: int
    tx_data_min_length: int | None
    max_frame_size: int
    rx_queue_limit: int | None
    tx_queue_limit: int | None
    can_fd: bool
    bitrate_switch: bool
    default_target_address_type: TargetAddressType
    rate_limit_enable: bool
    rate_limit_max_bitrate: int
    rate_limit_window_size: float
    listen_mode: bool
    strict: bool
    blocking_send: bool
    logger_name: str
    wait_func: Callable[[float], object]
    busy_wait: float
    _on_change: Callable[[], object] | None
    _tried_wait_func: Callable[[float], object]

    def __init__(self) -> None:
        # Not through __setattr__: there is nobody yet to tell of a change.
        object.__setattr__(self, "_on_change", None)
        object.__setattr__(self, "_tried_wait_func", time.sleep)
        for name, rule in _RULES.items():
            object.__setattr__(self, name, rule.default)

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            object.__setattr__(self, name, value)
        except AttributeError:
            raise _unknown(name) from None
        if name in _RULES and self._on_change is not None:
            self._on_change()

    @property
    def ll_data_length(self) -> int:
        """Other name of ``tx_data_length`` (can-isotp 1.x)."""
        return self.tx_data_length

    @ll_data_length.setter
    def ll_data_length(self, value: int) -> None:
        self.tx_data_length = value

    @property
    def effective_override_stmin(self) -> float | None:
        """Seconds between our Consecutive Frames instead of the receiver's STmin; None if that one counts."""
        if self.override_receiver_stmin is not None:
            return self.override_receiver_stmin
        return 0.0 if self.squash_stmin_requirement else None

    def set(self, key: str, val: Any, validate: bool = True) -> None:
        """Set one parameter.

        :param validate: Check all parameters afterwards; if one is refused, this one keeps its old value.
        :raises UnknownParameterError: There is no parameter ``key``.
        :raises ValueError: A value is refused.
        """
        if validate:
            self.update(cast(Parameters, {key: val}))
        else:
            setattr(self, _known(key), val)

    def update(self, values: Parameters) -> None:
        """Set many parameters and check them once, at the end, so that their order does not matter.

        :param values: Values by name of parameter.
        :raises UnknownParameterError: There is no parameter of such a name.
        :raises ValueError: A value or a combination is refused. All parameters keep their old values then.
        :raises TypeError: ``values`` is no mapping.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"Parameters must be given as a mapping by name, not {values!r}")
        new = [(_known(name), value) for name, value in values.items()]
        old = self.__getstate__()
        try:
            for name, value in new:
                setattr(self, name, value)
            self.validate()
        except BaseException:
            for name, value in old.items():
                if getattr(self, name) is not value:
                    setattr(self, name, value)
            raise

    def _for_message(self, values: Parameters) -> Params:
        """These parameters, but for some that one message has of its own.

        :raises UnknownParameterError: There is no parameter of such a name.
        :raises ValueError: A value or a combination is refused, or one is the whole layer's.
        :raises TypeError: ``values`` is no mapping.
        """
        params = copy.copy(self)
        object.__setattr__(params, "_tried_wait_func", self.wait_func)
        params.update(values)
        for name in values:
            if _known(name) not in _OF_ONE_MESSAGE:
                raise ValueError(f"{name} is the layer's, a message has none of its own")
        return params

    def validate(self) -> None:
        """Check each parameter and their combinations.

        Stores ``override_receiver_stmin`` as a float and ``default_target_address_type`` as a
        :class:`TargetAddressType`.

        :raises ValueError: A value is refused.
        """
        for name, rule in _RULES.items():
            value = getattr(self, name)
            if not rule.check.accepts(value):
                raise ValueError(f"{name} must be {rule.check.expected}, not {value!r}")
            stored = rule.check.store(value)
            if type(stored) is not type(value):
                setattr(self, name, stored)

        if self.tx_data_min_length is not None and self.tx_data_min_length > self.tx_data_length:
            raise ValueError(
                f"tx_data_min_length must not be above tx_data_length, but {self.tx_data_min_length} is above"
                f" {self.tx_data_length}"
            )
        # Less would hold back a full frame for ever. Written as a quotient, since that cannot overflow.
        if self.rate_limit_max_bitrate < self.tx_data_length * 8 / self.rate_limit_window_size:
            raise ValueError(
                "rate_limit_max_bitrate * rate_limit_window_size must allow a frame of tx_data_length bytes,"
                f" but {self.rate_limit_max_bitrate} bit/s * {self.rate_limit_window_size} s is less than"
                f" {self.tx_data_length} * 8 bits"
            )
        if self.strict:
            self._validate_strictly()
        self._try_wait_func()

    def _validate_strictly(self) -> None:
        try:
            stmin_to_seconds(self.stmin)
        except ValueError as error:
            raise ValueError(f"with strict, {error}") from None
        if self.tx_data_min_length not in (None, 8):
            raise ValueError(
                f"with strict, tx_data_min_length must be None or 8 (10.4.2), not {self.tx_data_min_length}"
            )

    def _try_wait_func(self) -> None:
        if self.wait_func is self._tried_wait_func or self.wait_func is time.sleep:
            return
        try:
            self.wait_func(0.001)
        except Exception as error:
            raise ValueError(
                f"wait_func must not raise, but {self.wait_func!r} raised {error!r} when called with 0.001"
            ) from error
        self._tried_wait_func = self.wait_func

    def __getstate__(self) -> dict[str, Any]:
        """The values by name; who watches them is not part of the state."""
        return {name: getattr(self, name) for name in _RULES}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Params.__init__(self)
        for name, value in state.items():
            setattr(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Params):
            return NotImplemented
        return self.__getstate__() == other.__getstate__()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        """The parameters that differ from their defaults."""
        changed = (
            f"{name}={value!r}"
            for name, value in self.__getstate__().items()
            if value is not _RULES[name].default and value != _RULES[name].default
        )
        return f"{type(self).__qualname__}({', '.join(changed)})"
