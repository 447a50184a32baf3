"""ISO-TP (ISO 15765-2) for Python, with a compiled core; a drop-in replacement for can-isotp.

This file hands names on, nothing else: those of the layers at once, the others when somebody asks for one, so
that the import takes as long as a layer needs and no longer.
"""

import os
from typing import TYPE_CHECKING, Any

from isotp import address, can_message, errors, protocol, tools
from isotp._installation import warn_of_shared_folder
from isotp._version import __version__ as __version__
from isotp.address import Address, AddressingMode, AsymmetricAddress, TargetAddressType
from isotp.can_message import CanMessage
from isotp.errors import *
from isotp.params import stmin_from_seconds, stmin_to_seconds
from isotp.protocol import CanStack, NotifierBasedCanStack, TransportLayer, TransportLayerLogic

if TYPE_CHECKING:
    from isotp import tpsock
    from isotp._core import Reception
    from isotp.bulk._encode import encode
    from isotp.bulk._messages import Messages
    from isotp.bulk._reassembler import Reassembler
    from isotp.bulk._records import Record, Records, record_dtype
    from isotp.discovery import Discovery, FoundSession, LineEvidence, discover
    from isotp.hub import Hub, HubSession
    from isotp.message import Direction, Message, MessageStatus
    from isotp.socketcan import SocketCanStack
    from isotp.stats import Stats
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

__all__ = [
    "Address",
    "AddressingMode",
    "AsymmetricAddress",
    "CanMessage",
    "CanStack",
    "Direction",
    "Discovery",
    "FoundSession",
    "Hub",
    "HubSession",
    "LineEvidence",
    "Message",
    "MessageStatus",
    "Messages",
    "NotifierBasedCanStack",
    "Reassembler",
    "Reception",
    "Record",
    "Records",
    "SocketCanStack",
    "Stats",
    "TargetAddressType",
    "TransportLayer",
    "TransportLayerLogic",
    "discover",
    "encode",
    "record_dtype",
    "socket",
    "stmin_from_seconds",
    "stmin_to_seconds",
    *errors.__all__,
]
