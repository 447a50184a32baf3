"""ISO-TP (ISO 15765-2) for Python, with a compiled core; a drop-in replacement for can-isotp.

This file hands names on, nothing else: those of the layers at once, the others when somebody asks for one, so
that the import takes as long as a layer needs and no longer.

A program may import it before pytest, which would warn of that: PYTEST_DONT_REWRITE.
"""

import os
from typing import TYPE_CHECKING, Any

from isotp import address as address
from isotp import can_message as can_message
from isotp import errors as errors
from isotp import protocol as protocol
from isotp import tools as tools
from isotp._installation import warn_of_shared_folder
from isotp._version import __version__ as __version__
from isotp.address import Address, AddressingMode, AsymmetricAddress, TargetAddressType
from isotp.can_message import CanMessage
from isotp.errors import (
    BadGeneratorError,
    BlockingSendFailure,
    BlockingSendTimeout,
    ChangingInvalidRXDLError,
    ConsecutiveFrameTimeoutError,
    FlowControlTimeoutError,
    FrameTooLongError,
    InvalidCanDataError,
    InvalidCanFdFirstFrameRXDL,
    IsoTpError,
    MaximumWaitFrameReachedError,
    MissingEscapeSequenceError,
    OverflowError,
    ReceptionInterruptedWithFirstFrameError,
    ReceptionInterruptedWithSingleFrameError,
    UnexpectedConsecutiveFrameError,
    UnexpectedFlowControlError,
    UnsuportedWaitFrameError,
    UnsupportedWaitFrameError,
    WrongSequenceNumberError,
)
from isotp.errors import BlockingReceiveFailure as BlockingReceiveFailure
from isotp.errors import CallbackError as CallbackError
from isotp.errors import ChangingInvalidRXDLLError as ChangingInvalidRXDLLError
from isotp.errors import FramesLostError as FramesLostError
from isotp.errors import IsotpError as IsotpError
from isotp.errors import LayerClosedError as LayerClosedError
from isotp.errors import ReceptionQueueFullError as ReceptionQueueFullError
from isotp.errors import TransmitTimeoutError as TransmitTimeoutError
from isotp.params import Parameters as Parameters
from isotp.params import stmin_from_seconds as stmin_from_seconds
from isotp.params import stmin_to_seconds as stmin_to_seconds
from isotp.protocol import CanStack, NotifierBasedCanStack, TransportLayer, TransportLayerLogic

if TYPE_CHECKING:
    from isotp import tpsock as tpsock
    from isotp._core import Reception as Reception
    from isotp.bulk._encode import encode as encode
    from isotp.bulk._messages import Messages as Messages
    from isotp.bulk._reassembler import Reassembler as Reassembler
    from isotp.bulk._records import Record as Record
    from isotp.bulk._records import Records as Records
    from isotp.bulk._records import record_dtype as record_dtype
    from isotp.discovery import Discovery as Discovery
    from isotp.discovery import FoundSession as FoundSession
    from isotp.discovery import LineEvidence as LineEvidence
    from isotp.discovery import discover as discover
    from isotp.hub import Hub as Hub
    from isotp.hub import HubSession as HubSession
    from isotp.message import Direction as Direction
    from isotp.message import Message as Message
    from isotp.message import MessageStatus as MessageStatus
    from isotp.socketcan import SocketCanStack as SocketCanStack
    from isotp.stats import Stats as Stats
    from isotp.tpsock import socket

__license__ = "MIT"
__author__ = "The can-isotp-cython developers"

# Which generation of the API this is; clients such as udsoncan ask for it.
_major_version_ = 2

# The names above that are for type checkers only, by the module that has them.
_WHEN_ASKED_FOR = {
    name: f"isotp.{module}"
    for module, names in {
        "_core": ("Reception",),
        "bulk._encode": ("encode",),
        "bulk._messages": ("Messages",),
        "bulk._reassembler": ("Reassembler",),
        "bulk._records": ("Record", "Records", "record_dtype"),
        "discovery": ("Discovery", "FoundSession", "LineEvidence", "discover"),
        "hub": ("Hub", "HubSession"),
        "message": ("Direction", "Message", "MessageStatus"),
        "socketcan": ("SocketCanStack",),
        "stats": ("Stats",),
        "tpsock": ("socket",),
    }.items()
    for name in names
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "tpsock":
        return import_module("isotp.tpsock")
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module 'isotp' has no attribute {name!r}")
    value = getattr(import_module(_WHEN_ASKED_FOR[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHEN_ASKED_FOR, "tpsock"})


warn_of_shared_folder(os.path.dirname(os.path.dirname(__file__)))
del os, warn_of_shared_folder

# What `from isotp import *` brings: the names of can-isotp. Other names might hide those of other packages, such as
# python-can's Message: import them by name.
__all__ = [
    "Address",
    "AddressingMode",
    "AsymmetricAddress",
    "BadGeneratorError",
    "BlockingSendFailure",
    "BlockingSendTimeout",
    "CanMessage",
    "CanStack",
    "ChangingInvalidRXDLError",
    "ConsecutiveFrameTimeoutError",
    "FlowControlTimeoutError",
    "FrameTooLongError",
    "InvalidCanDataError",
    "InvalidCanFdFirstFrameRXDL",
    "IsoTpError",
    "MaximumWaitFrameReachedError",
    "MissingEscapeSequenceError",
    "NotifierBasedCanStack",
    "OverflowError",
    "ReceptionInterruptedWithFirstFrameError",
    "ReceptionInterruptedWithSingleFrameError",
    "TargetAddressType",
    "TransportLayer",
    "TransportLayerLogic",
    "UnexpectedConsecutiveFrameError",
    "UnexpectedFlowControlError",
    "UnsuportedWaitFrameError",
    "UnsupportedWaitFrameError",
    "WrongSequenceNumberError",
    "socket",
]
