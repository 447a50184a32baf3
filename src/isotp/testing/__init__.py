"""What tests of a program on ISO-TP need: a wire, a clock that the test holds, peers that misbehave on request, an ECU.

This file hands names on, nothing else.
"""

from isotp.testing._ecu_serving import Exchanged as Exchanged
from isotp.testing._ecu_serving import Serving as Serving
from isotp.testing.clock import HeldClock as HeldClock
from isotp.testing.clock import Standstill as Standstill
from isotp.testing.compare import assert_frames as assert_frames
from isotp.testing.ecu import Access as Access
from isotp.testing.ecu import Answer as Answer
from isotp.testing.ecu import Did as Did
from isotp.testing.ecu import Ecu as Ecu
from isotp.testing.ecu import Lock as Lock
from isotp.testing.ecu import NegativeResponse as NegativeResponse
from isotp.testing.ecu import Nrc as Nrc
from isotp.testing.ecu import Request as Request
from isotp.testing.ecu import Routine as Routine
from isotp.testing.ecu import Rule as Rule
from isotp.testing.ecu import Tester as Tester
from isotp.testing.faults import Fault as Fault
from isotp.testing.frames import Recording as Recording
from isotp.testing.frames import WireFrame as WireFrame
from isotp.testing.peer import Peer as Peer
from isotp.testing.wire import Wire as Wire

__all__ = [
    "Access",
    "Answer",
    "Did",
    "Ecu",
    "Exchanged",
    "Fault",
    "HeldClock",
    "Lock",
    "NegativeResponse",
    "Nrc",
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
