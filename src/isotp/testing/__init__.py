"""What tests of a program on ISO-TP need: a wire, a clock that the test holds, and peers that misbehave on request.

This file hands names on, nothing else.
"""

from isotp.testing._wire import End
from isotp.testing.clock import HeldClock, Standstill
from isotp.testing.compare import assert_frames
from isotp.testing.faults import Fault
from isotp.testing.frames import Pattern, Recording, WireFrame
from isotp.testing.peer import Peer
from isotp.testing.wire import Wire

__all__ = [
    "End",
    "Fault",
    "HeldClock",
    "Pattern",
    "Peer",
    "Recording",
    "Standstill",
    "Wire",
    "WireFrame",
    "assert_frames",
]
