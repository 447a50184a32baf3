"""udsoncan's connections on layers of whichever `isotp` is there: what a client asks, and what it gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import can
import pytest
from udsoncan.client import Client
from udsoncan.connections import PythonIsoTpConnection
from udsoncan.exceptions import NegativeResponseException, TimeoutException

import isotp

TESTER = {"txid": 0x7E0, "rxid": 0x7E8}
CONFIG = {
    "data_identifiers": {"default": "340s"},
    "request_timeout": 2,
    "p2_timeout": 1,
    "use_server_timing": False,
}


@pytest.fixture
def bus(request: pytest.FixtureRequest) -> Iterator[can.BusABC]:
    with can.Bus(interface="virtual", channel=request.node.name) as bus:
        yield bus


def threaded(bus: can.BusABC) -> Any:
    return isotp.CanStack(bus, address=isotp.Address(**TESTER))


def on_a_notifier(bus: can.BusABC) -> Any:
    return isotp.NotifierBasedCanStack(
        bus, can.Notifier(bus, [], timeout=0.05), address=isotp.Address(**TESTER)
    )


def polled(bus: can.BusABC) -> Any:
    def read(timeout: float) -> Any:
        message = bus.recv(timeout)
        return None if message is None else isotp.CanMessage(message.arbitration_id, data=message.data)

    def send(message: Any) -> None:
        bus.send(
            can.Message(
                arbitration_id=message.arbitration_id,
                data=message.data,
                is_extended_id=message.is_extended_id,
            )
        )

    return isotp.TransportLayerLogic(read, send, isotp.Address(**TESTER))


@pytest.fixture(params=[threaded, on_a_notifier, polled])
def client(request: pytest.FixtureRequest, bus: can.BusABC, ecu: Any) -> Iterator[Client]:
    layer = request.param(bus)
    with Client(PythonIsoTpConnection(layer), config=CONFIG) as client:
        yield client
    if hasattr(layer, "notifier"):
        layer.notifier.stop()


def test_short_and_long_answers(client: Client) -> None:
    client.change_session(3)
    client.tester_present()
    response = client.read_data_by_identifier(0xF190)
    assert response.service_data.values[0xF190][0] == b"WVWZZZ1JZXW000001" * 20


def test_no(client: Client) -> None:
    with pytest.raises(NegativeResponseException):
        client.ecu_reset(1)
    client.tester_present()


def test_no_answer(client: Client) -> None:
    with pytest.raises(TimeoutException):
        client.clear_dtc()
    client.tester_present()


def test_opened_again(client: Client) -> None:
    client.tester_present()
    client.close()
    client.open()
    client.tester_present()
