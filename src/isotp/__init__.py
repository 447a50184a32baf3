"""ISO-TP (ISO 15765-2) for Python, with a compiled core; a drop-in replacement for can-isotp.

This file hands names on, nothing else.
"""

from pathlib import Path

from isotp import address, can_message, errors, protocol, tools, tpsock
from isotp._bulk import Reassembler
from isotp._encode import encode
from isotp._installation import warn_of_shared_folder
from isotp._messages import Messages
from isotp._records import Record, Records, record_dtype
from isotp._version import __version__ as __version__
from isotp.address import Address, AddressingMode, AsymmetricAddress, TargetAddressType
from isotp.can_message import CanMessage
from isotp.discovery import Discovery, FoundSession, LineEvidence, discover
from isotp.errors import *
from isotp.hub import Hub, HubSession
from isotp.message import Direction, Message, MessageStatus
from isotp.params import stmin_from_seconds, stmin_to_seconds
from isotp.protocol import CanStack, NotifierBasedCanStack, TransportLayer, TransportLayerLogic
from isotp.socketcan import SocketCanStack
from isotp.stats import Stats
from isotp.tpsock import socket

__license__ = "MIT"
__author__ = "The can-isotp-cython developers"

# Which generation of the API this is; clients such as udsoncan ask for it.
_major_version_ = 2

warn_of_shared_folder(Path(__file__).parent.parent)
del Path, warn_of_shared_folder

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
