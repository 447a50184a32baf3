"""What tests of a program on ISO-TP need: a wire, a clock that the test holds, peers that misbehave on request, an ECU.

This file hands names on, nothing else.
"""

from isotp.testing._ecu_serving import Exchanged, Serving
from isotp.testing._wire import End
from isotp.testing.clock import HeldClock, Standstill
from isotp.testing.compare import assert_frames
from isotp.testing.ecu import (
    Access,
    Answer,
    Did,
    Ecu,
    Lock,
    NegativeResponse,
    Nrc,
    Request,
    Routine,
    Rule,
    Tester,
)
from isotp.testing.faults import Fault
from isotp.testing.frames import Pattern, Recording, WireFrame
from isotp.testing.peer import Peer
from isotp.testing.wire import Wire

__all__ = [
    "Access",
    "Answer",
    "Did",
    "Ecu",
    "End",
    "Exchanged",
    "Fault",
    "HeldClock",
    "Lock",
    "NegativeResponse",
    "Nrc",
    "Pattern",
    "Peer",
    "Recording",
    "Request",
    "Routine",
    "Rule",
    "Serving",
    "Standstill",
    "Tester",
    "Wire",
    "WireFrame",
    "assert_frames",
]
