"""udsoncan's connections on layers of whichever `isotp` is there: what a client asks, and what it gets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import can
import pytest
from udsoncan.client import Client
from udsoncan.connections import PythonIsoTpConnection
from udsoncan.exceptions import NegativeResponseException, TimeoutException

import isotp

TESTER = {"txid": 0x7E0, "rxid": 0x7E8}
ECU = {"txid": 0x7E8, "rxid": 0x7E0}
ANSWERS = {
    b"\x10\x03": b"\x50\x03\x00\x32\x01\xf4",
    b"\x3e\x00": b"\x7e\x00",
    b"\x22\xf1\x90": b"\x62\xf1\x90" + b"WVWZZZ1JZXW000001" * 20,
    b"\x11\x01": b"\x7f\x11\x22",
}
CONFIG = {
    "data_identifiers": {"default": "340s"},
    "request_timeout": 2,
    "p2_timeout": 1,
    "use_server_timing": False,
}


@pytest.fixture
def buses(request: pytest.FixtureRequest) -> Iterator[tuple[can.BusABC, can.BusABC]]:
    with (
        can.Bus(interface="virtual", channel=request.node.name) as ours,
        can.Bus(interface="virtual", channel=request.node.name) as theirs,
    ):
        yield ours, theirs


@pytest.fixture
def ecu(buses: tuple[can.BusABC, can.BusABC]) -> Iterator[Any]:
    """Answers until the test is over."""
    layer = isotp.CanStack(buses[1], address=isotp.Address(**ECU))
    over = threading.Event()

    def answer() -> None:
        while not over.is_set():
            request = layer.recv(block=True, timeout=0.05)
            if request is not None and bytes(request) in ANSWERS:
                layer.send(ANSWERS[bytes(request)])

    layer.start()
    thread = threading.Thread(target=answer)
    thread.start()
    yield layer
    over.set()
    thread.join()
    layer.stop()


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
def client(
    request: pytest.FixtureRequest, buses: tuple[can.BusABC, can.BusABC], ecu: Any
) -> Iterator[Client]:
    layer = request.param(buses[0])
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
