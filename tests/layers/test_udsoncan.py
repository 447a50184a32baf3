"""udsoncan's client, unchanged, over our layers: sessions, data by identifier, and downloads over CAN FD.

On the other side of python-can's virtual bus is an ECU of `isotp.testing`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

import isotp
from isotp.testing import Access, Did, Ecu

can = pytest.importorskip("can")
udsoncan = pytest.importorskip("udsoncan")
from udsoncan.client import Client  # noqa: E402 - only where udsoncan is there
from udsoncan.configs import default_client_config  # noqa: E402
from udsoncan.connections import PythonIsoTpConnection  # noqa: E402

TESTER = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7E0, rxid=0x7E8)
ECU = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7E8, rxid=0x7E0)
FD: dict[str, Any] = {"can_fd": True, "tx_data_length": 64}
VIN, COUNTERS, LONG_TEXT = 0xF190, 0x0100, 0x0200
PROGRAMMING, EXTENDED = 2, 3
START = 0x8000_0000
FIRMWARE = bytes((value ^ value >> 8) & 0xFF for value in range(0x10000))

# No time-out is part of what is tested here: this one only ends a test that has failed.
PATIENCE = 20


def open_bus(channel: str) -> Any:
    return can.Bus(
        interface="virtual",
        channel=channel,
        receive_own_messages=False,
        protocol=can.CanProtocol.CAN_FD,
    )


@contextmanager
def can_stack(channel: str, address: isotp.Address, params: dict[str, Any]) -> Iterator[isotp.CanStack]:
    with open_bus(channel) as bus:
        yield isotp.CanStack(bus, address=address, params=params)


@contextmanager
def notifier_based_can_stack(
    channel: str, address: isotp.Address, params: dict[str, Any]
) -> Iterator[isotp.NotifierBasedCanStack]:
    with open_bus(channel) as bus:
        notifier = can.Notifier(bus, [], timeout=0.05)
        try:
            yield isotp.NotifierBasedCanStack(bus, notifier, address=address, params=params)
        finally:
            notifier.stop()


@contextmanager
def bare_logic(
    channel: str, address: isotp.Address, params: dict[str, Any]
) -> Iterator[isotp.TransportLayerLogic]:
    """A layer with neither thread nor bus of its own: udsoncan polls it, callables join it to the bus."""
    with open_bus(channel) as bus:

        def rxfn(timeout: float) -> isotp.CanMessage | None:
            message = bus.recv(timeout)
            if message is None:
                return None
            return isotp.CanMessage(
                arbitration_id=message.arbitration_id,
                data=message.data,
                extended_id=message.is_extended_id,
                is_fd=message.is_fd,
                bitrate_switch=message.bitrate_switch,
            )

        def txfn(message: isotp.CanMessage) -> None:
            bus.send(
                can.Message(
                    arbitration_id=message.arbitration_id,
                    data=message.data,
                    is_extended_id=message.is_extended_id,
                    is_fd=message.is_fd,
                    bitrate_switch=message.bitrate_switch,
                )
            )

        yield isotp.TransportLayerLogic(rxfn=rxfn, txfn=txfn, address=address, params=params)


LAYERS = {
    "CanStack": can_stack,
    "NotifierBasedCanStack": notifier_based_can_stack,
    "TransportLayerLogic": bare_logic,
}


def session_of(ecu: Ecu) -> int:
    """The diagnostic session of its only tester."""
    return ecu.session_of(time.perf_counter_ns(), 0)


Connect = Callable[..., tuple[Any, Any]]


@pytest.fixture(params=LAYERS)
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """A function that brings an ECU and a client up on a bus of this test's own, and returns both."""
    channel = request.node.nodeid
    with ExitStack() as stack:

        def open_both(params: dict[str, Any] | None = None, **ecu_options: Any) -> tuple[Any, Any]:
            params = params or {}
            ecu = Ecu(
                dids={
                    VIN: Did(b"WVWZZZ1JZXW000001", write=Access(security=1)),
                    COUNTERS: Did(bytes(4), write=Access()),
                    LONG_TEXT: Did(b"." * 3000, write=Access()),
                },
                services={0x2E: Access([EXTENDED])},
                # No session ends while a test is slow.
                s3_ms=1e6,
                **ecu_options,
            )
            stack.enter_context(ecu.serve(stack.enter_context(open_bus(channel)), ECU, params=params))
            tester_layer = stack.enter_context(LAYERS[request.param](channel, TESTER, params))
            config = {
                **default_client_config,
                "data_identifiers": {
                    VIN: udsoncan.AsciiCodec(17),
                    COUNTERS: ">HH",
                    LONG_TEXT: udsoncan.AsciiCodec(3000),
                },
                "request_timeout": PATIENCE,
                "p2_timeout": PATIENCE,
                "use_server_timing": False,
            }
            client = stack.enter_context(Client(PythonIsoTpConnection(tester_layer), config=config))
            return client, ecu

        yield open_both


@pytest.mark.parametrize(
    "params", [{}, {"tx_padding": 0xAA, "blocksize": 3}, FD], ids=["classic", "padded", "fd"]
)
def test_session_control_and_data(connect: Connect, params: dict[str, Any]) -> None:
    client, ecu = connect(params)
    response = client.change_session(EXTENDED)
    assert response.positive
    assert response.service_data.session_echo == EXTENDED
    assert session_of(ecu) == EXTENDED

    # One frame, two frames, and several blocks of them, in both directions.
    client.write_data_by_identifier(COUNTERS, (0x1234, 0x5678))
    client.write_data_by_identifier(LONG_TEXT, "long" * 750)
    values = client.read_data_by_identifier([COUNTERS, VIN, LONG_TEXT]).service_data.values
    assert values[COUNTERS] == (0x1234, 0x5678)
    assert values[VIN] == "WVWZZZ1JZXW000001"
    assert values[LONG_TEXT] == "long" * 750
    assert ecu.dids[COUNTERS].value == bytes.fromhex("12345678")
    assert ecu.dids[LONG_TEXT].value == b"long" * 750


def test_negative_responses_and_silence(connect: Connect) -> None:
    client, ecu = connect()
    with pytest.raises(udsoncan.exceptions.NegativeResponseException) as refused:
        client.write_data_by_identifier(COUNTERS, (1, 2))  # needs the extended session
    assert refused.value.response.code_name == "ServiceNotSupportedInActiveSession"
    with client.suppress_positive_response:
        assert client.change_session(EXTENDED) is None
    with pytest.raises(udsoncan.exceptions.NegativeResponseException) as refused:
        client.write_data_by_identifier(VIN, "X" * 17)
    assert refused.value.response.code_name == "SecurityAccessDenied"
    # The connection goes on as if nothing had been.
    assert client.tester_present().positive
    assert session_of(ecu) == EXTENDED
    assert ecu.dids[VIN].value == b"WVWZZZ1JZXW000001"


def download(client: Any) -> int:
    """Send FIRMWARE to the ECU in blocks as long as it takes; return how many."""
    client.change_session(PROGRAMMING)
    location = udsoncan.MemoryLocation(START, len(FIRMWARE), address_format=32, memorysize_format=32)
    block_length = client.request_download(location).service_data.max_length - 2
    blocks = [FIRMWARE[at : at + block_length] for at in range(0, len(FIRMWARE), block_length)]
    for number, block in enumerate(blocks, start=1):
        client.transfer_data(number % 256, block)
    client.request_transfer_exit()
    return len(blocks)


@pytest.mark.parametrize("blocksize", [0, 8], ids=lambda bs: f"BS{bs}")
def test_download_of_64_kb_over_fd(connect: Connect, blocksize: int) -> None:
    client, ecu = connect({**FD, "blocksize": blocksize})
    assert download(client) == 17
    assert ecu.memory == {START: FIRMWARE}


def test_download_of_64_kb_in_one_message(connect: Connect) -> None:
    """The whole 64 kB in one TransferData: more than 4095 bytes need the long form of the First Frame."""
    whole = len(FIRMWARE) + 2
    params = {**FD, "blocksize": 0, "max_frame_size": whole}
    client, ecu = connect(params, block_length=whole)
    assert download(client) == 1
    assert ecu.memory == {START: FIRMWARE}


def test_connection_reopens(connect: Connect) -> None:
    client, ecu = connect()
    for _ in range(3):
        client.close()
        client.open()
        assert client.change_session(EXTENDED).positive
        assert client.tester_present().positive
    assert session_of(ecu) == EXTENDED


@pytest.mark.parametrize("layer", ["not a layer", None, isotp], ids=["text", "none", "module"])
def test_connection_refuses_what_is_no_layer(layer: Any) -> None:
    with pytest.raises(ValueError, match="layer"):
        PythonIsoTpConnection(layer)
