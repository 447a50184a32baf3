"""All conformance cases."""

from __future__ import annotations

from tests.conformance import cases_reception, cases_time_and_address, cases_transmission
from tests.conformance.rules import RULES

CASES = [*cases_reception.CASES, *cases_transmission.CASES, *cases_time_and_address.CASES]

__all__ = ["CASES", "RULES"]
