"""The fixtures of the package's own pytest plugin, whether it is installed as one or not."""

from __future__ import annotations

from _can_isotp_cython_pytest import (
    isotp_clock,
    isotp_peer,
    isotp_wire,
    pytest_runtest_makereport,
)

__all__ = ["isotp_clock", "isotp_peer", "isotp_wire", "pytest_runtest_makereport"]
