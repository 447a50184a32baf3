"""What tests of a program on ISO-TP need: a wire, a clock that the test holds, and peers that misbehave on request.

This file hands names on, nothing else.
"""

from isotp.testing.clock import HeldClock as HeldClock
from isotp.testing.clock import Standstill as Standstill
from isotp.testing.compare import assert_frames as assert_frames
from isotp.testing.faults import Fault as Fault
from isotp.testing.frames import Recording as Recording
from isotp.testing.frames import WireFrame as WireFrame
from isotp.testing.peer import Peer as Peer
from isotp.testing.wire import Wire as Wire
