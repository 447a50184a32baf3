"""A façade: every name that user code imports from `isotp.protocol`; they stand in layers.py, started.py and bus/."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from isotp._core import CanMessage as CanMessage
from isotp._core import MessageQueue as MessageQueue
from isotp._core import RateLimiter as RateLimiter
from isotp._core import TryAgain as TryAgain
from isotp._core import frame_from_python_can as frame_from_python_can
from isotp.bus.can_stack import CanStack as CanStack
from isotp.bus.notifier import NotifierBasedCanStack as NotifierBasedCanStack
from isotp.bus.python_can import BusOwner as BusOwner
from isotp.bus.python_can import python_can as _python_can
from isotp.bus.python_can import send_on_bus as send_on_bus
from isotp.bus.python_can import sender_for as _sender_for
from isotp.errors import IsoTpError as IsoTpError
from isotp.errors import IsotpError as IsotpError
from isotp.layers import PDU as PDU
from isotp.layers import ErrorHandler as ErrorHandler
from isotp.layers import OnMessage as OnMessage
from isotp.layers import PostSendCallback as PostSendCallback
from isotp.layers import ReceiveInto as ReceiveInto
from isotp.layers import RxFn as RxFn
from isotp.layers import TransportLayerLogic as TransportLayerLogic
from isotp.layers import TxFn as TxFn
from isotp.started import TransportLayer as TransportLayer
from isotp.tools import FiniteByteGenerator as FiniteByteGenerator
from isotp.tools import Timer as Timer

__all__ = ["PDU", "CanStack", "NotifierBasedCanStack", "RateLimiter", "TransportLayer", "TransportLayerLogic"]

_Documented = TypeVar("_Documented", bound=Callable[..., Any])

# As the second generation has them
_python_can_to_isotp_message = frame_from_python_can
_make_python_can_tx_func = _sender_for


# Modules that can-isotp has imported here, which code reaches through: `isotp.protocol.logging`.
_REACHED_THROUGH = frozenset(
    [
        "binascii",
        "copy",
        "enum",
        "functools",
        "inspect",
        "isotp",
        "logging",
        "math",
        "queue",
        "threading",
        "time",
    ]
)


def __dir__() -> list[str]:
    return sorted({*globals(), *_REACHED_THROUGH, "can", "_can_available"})


def __getattr__(name: str) -> Any:
    # Names that user code finds here: the module "can", and whether it is there.
    if name in _REACHED_THROUGH:
        return importlib.import_module(name)
    if name not in ("can", "_can_available"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = _python_can()
    except RuntimeError as error:
        if name == "_can_available":
            return False
        raise AttributeError(str(error)) from error
    return module if name == "can" else True


def python_can_tx_canbus_3plus(owner: BusOwner, msg: CanMessage) -> None:
    """Send a frame on the owner's bus (python-can 3 and later)."""
    send_on_bus(owner.bus, msg)


python_can_tx_canbus_3minus = python_can_tx_canbus_3plus


def is_documented_by(original: Callable[..., Any]) -> Callable[[_Documented], _Documented]:
    """Decorator: the docstring of `original` is that of the decorated function too."""

    def document(function: _Documented) -> _Documented:
        function.__doc__ = original.__doc__
        return function

    return document
