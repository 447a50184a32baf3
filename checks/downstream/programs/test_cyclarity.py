"""The ISO-TP communicator of cyclarity-in-vehicle-sdk, and its UDS client, on python-can's virtual bus.

Its own tests of them need a kernel with CAN and an ECU that it does not bring, and are skipped.
"""

from __future__ import annotations

from typing import Any

import can
import pytest
from conftest import LONG, answering
from cyclarity_in_vehicle_sdk.communication.can.impl.can_communicator_socketcan import (
    CanCommunicatorSocketCan,
)
from cyclarity_in_vehicle_sdk.communication.isotp.impl.isotp_communicator import IsoTpCommunicator
from cyclarity_in_vehicle_sdk.protocol.uds.base.uds_utils_base import NegativeResponse, NoResponse
from cyclarity_in_vehicle_sdk.protocol.uds.impl.uds_utils import UdsUtils

import isotp


class OnVirtualBus(CanCommunicatorSocketCan):
    def open(self) -> None:
        self._bus = can.Bus(interface="virtual", channel=self.channel)


def communicator(channel: str, txid: int = 0x7E0, rxid: int = 0x7E8, **options: Any) -> IsoTpCommunicator:
    bus = OnVirtualBus(channel=channel, support_fd=True)
    return IsoTpCommunicator(can_communicator=bus, txid=txid, rxid=rxid, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding_byte": 0xAA},
        {"can_fd": True, "bitrate_switch": True},
        {"stmin": 1},
        {"override_receiver_stmin": 0.001},
        {"rate_limit_enable": True, "rate_limit_max_bitrate": 10_000_000},
        {"extended_addressing": True, "txid": 0x18DA10F1, "rxid": 0x18DAF110},
    ],
)
@pytest.mark.parametrize("size", [1, 7, 8, 4095])
def test_both_ways(request: pytest.FixtureRequest, options: dict[str, Any], size: int) -> None:
    turned = {**options, "txid": options.get("rxid", 0x7E8), "rxid": options.get("txid", 0x7E0)}
    here, there = (communicator(request.node.name, **each) for each in (options, turned))
    assert here.open()
    assert there.open()
    payload = bytes(k % 251 for k in range(size))
    try:
        for sender, receiver in ((here, there), (there, here)):
            assert sender.send(payload, timeout=10) == size
            assert receiver.recv(2) == payload
            assert receiver.recv(0.01) == b""
        assert here.is_open()
        assert there.is_open()
    finally:
        here.close()
        there.close()
    assert not here.is_open()


def test_nobody_is_there(request: pytest.FixtureRequest) -> None:
    alone = communicator(request.node.name)
    alone.open()
    with pytest.raises(RuntimeError):
        alone.send(bytes(100), timeout=0.2)
    assert not alone.is_open()
    alone.close()


def test_another_address_and_what_was_waiting(request: pytest.FixtureRequest) -> None:
    here, there = communicator(request.node.name), communicator(request.node.name, 0x701, 0x700)
    here.open()
    there.open()
    here.set_address(isotp.Address(txid=0x700, rxid=0x701))
    there.send(b"first")
    here.send(b"other")
    assert there.recv(2) == b"other"
    here.drain_rx_queue()
    there.send(b"second")
    assert here.recv(2) == b"second"
    here.close()
    there.close()


def test_opened_again(request: pytest.FixtureRequest, ecu: list[bytes]) -> None:
    here = communicator(request.node.name)
    for _ in range(3):
        here.open()
        here.send(b"\x3e\x00")
        assert here.recv(2) == b"\x7e\x00"
        here.close()


def test_uds(request: pytest.FixtureRequest) -> None:
    client = UdsUtils(data_link_layer=communicator(request.node.name))
    with answering(request.node.name):
        client.setup()
        assert client.tester_present()
        assert client.session(session=3).session_echo == 3
        assert client.read_did(didlist=0xF190)[0].data == LONG.hex()
        with pytest.raises(NegativeResponse):
            client.ecu_reset(reset_type=1)
        client.teardown()


def test_uds_without_an_answer(request: pytest.FixtureRequest, ecu: list[bytes]) -> None:
    client = UdsUtils(data_link_layer=communicator(request.node.name))
    client.setup()
    with pytest.raises(NoResponse):
        client.read_did(didlist=0x1234, timeout=0.2)
    assert client.tester_present()
    client.teardown()
