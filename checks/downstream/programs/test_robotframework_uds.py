"""The keywords of robotframework-uds for CAN, called as Robot Framework calls them, on python-can's virtual bus."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from conftest import LONG
from RobotFramework_UDS import RobotFramework_UDS

CHANNELS = count(1)
CONFIG = {
    "data_identifiers": {"default": "340s"},
    "request_timeout": 2,
    "p2_timeout": 1,
    "use_server_timing": False,
    "exception_on_negative_response": True,
}


@pytest.fixture
def channel() -> int:
    # The keyword takes a number.
    return next(CHANNELS)


@pytest.fixture(params=[{}, {"tx_padding": 0xCC}, {"stmin": 1, "blocksize": 4}])
def keywords(request: pytest.FixtureRequest, channel: int, ecu: Any) -> Iterator[RobotFramework_UDS]:
    library = RobotFramework_UDS()
    library.create_uds_connector(
        device_name="ecu",
        communication_name="can",
        interface="virtual",
        channel=channel,
        txid="0x7E0",
        rxid="0x7E8",
        baudrate=500_000,
        isotp_config=request.param,
    )
    library.connect_uds_connector(device_name="ecu", config=CONFIG)
    library.connect("ecu")
    yield library
    library.disconnect("ecu")


def test_session_and_data(keywords: RobotFramework_UDS) -> None:
    assert keywords.diagnostic_session_control("3", device_name="ecu").positive
    keywords.tester_present(device_name="ecu")
    response = keywords.read_data_by_identifier([0xF190], device_name="ecu")
    assert response.service_data.values[0xF190][0] == LONG


def test_response_pending(keywords: RobotFramework_UDS) -> None:
    response = keywords.routine_control(0x0203, 1, device_name="ecu")
    assert response.positive


def test_no(keywords: RobotFramework_UDS) -> None:
    with pytest.raises(AssertionError, match="0x22"):
        keywords.ecu_reset(1, device_name="ecu")
    keywords.tester_present(device_name="ecu")
