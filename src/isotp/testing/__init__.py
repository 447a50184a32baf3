"""What tests talk to: an ECU that does as a table says."""

from isotp.testing._ecu_serving import Exchanged, Serving
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

__all__ = [
    "Access",
    "Answer",
    "Did",
    "Ecu",
    "Exchanged",
    "Lock",
    "NegativeResponse",
    "Nrc",
    "Request",
    "Routine",
    "Rule",
    "Serving",
    "Tester",
]
