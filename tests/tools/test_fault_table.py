"""The table of faults in docs/testing.md is what our layer does, and every result of the standard has a fault."""

from __future__ import annotations

import pytest

from tools import fault_table
from tools.fault_table import FAULTS, Fault, by_our_layer, key_of, rows_of

ROWS = rows_of(fault_table.PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("fault", [pytest.param(each, id=key_of(each)) for each in FAULTS])
def test_the_page_has_what_our_layer_does(fault: Fault) -> None:
    shown, ours, *others = ROWS[key_of(fault)]
    assert (shown, ours) == (fault.shown, by_our_layer(fault)), "python -m tools.fault_table"
    assert len(others) == 2
    assert all(others)


def test_each_result_of_the_standard_has_a_fault() -> None:
    """ISO 15765-2:2016, 8.3.7; N_OK is none, and N_TIMEOUT_A is N_As and N_Ar."""
    assert {fault.result for fault in FAULTS} == {
        "N_TIMEOUT_A",
        "N_TIMEOUT_Bs",
        "N_TIMEOUT_Cr",
        "N_WRONG_SN",
        "N_INVALID_FS",
        "N_UNEXP_PDU",
        "N_WFT_OVRN",
        "N_BUFFER_OVFLW",
        "N_ERROR",
    }
