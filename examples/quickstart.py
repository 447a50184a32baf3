"""The main job, end to end: payloads over classic CAN and CAN FD, and a UDS session of udsoncan's client.

Everything runs in this process, over python-can's virtual bus, so no CAN hardware is needed:

    python examples/quickstart.py

Prints what happened; ends with a non-zero status if anything came out wrong.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import can
import udsoncan
from udsoncan.client import Client
from udsoncan.configs import default_client_config
from udsoncan.connections import PythonIsoTpConnection

import isotp
from isotp.testing import Access, Did, Ecu

TESTER = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7E0, rxid=0x7E8)
ECU = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7E8, rxid=0x7E0)
VIN, COUNTERS = 0xF190, 0x0100
PROGRAMMING, EXTENDED = 0x02, 0x03  # diagnostic sessions

CLASSIC: dict[str, Any] = {}
FD: dict[str, Any] = {"can_fd": True, "tx_data_length": 64}


def open_bus(fd: bool) -> can.BusABC:
    """One node's own connection to the bus; with hardware this would be, say, interface="socketcan"."""
    protocol = can.CanProtocol.CAN_FD if fd else can.CanProtocol.CAN_20
    return can.Bus(interface="virtual", channel="quickstart", protocol=protocol)


def check(good: bool, what: str) -> None:
    print(f"  {'ok   ' if good else 'WRONG'} {what}")
    if not good:
        raise SystemExit(f"quickstart: {what}: this is not what should have happened")


def send_a_payload(fd: bool) -> None:
    """Send 4095 bytes from one stack to another and back, and watch the frames go by."""
    params = {**(FD if fd else CLASSIC), "blocking_send": True}
    payload = bytes(itertools.islice(itertools.cycle(range(256)), 4095))
    with open_bus(fd) as tester_bus, open_bus(fd) as ecu_bus, open_bus(fd) as spy:
        tester = isotp.CanStack(tester_bus, address=TESTER, params=params)
        ecu = isotp.CanStack(ecu_bus, address=ECU, params=params)
        tester.start()
        ecu.start()
        try:
            tester.send(payload, send_timeout=10)
            check(ecu.recv(block=True, timeout=10) == payload, f"{len(payload)} bytes arrived at the ECU")
            ecu.send(payload[::-1], send_timeout=10)
            check(tester.recv(block=True, timeout=10) == payload[::-1], f"{len(payload)} bytes came back")
        finally:
            tester.stop()
            ecu.stop()
        frames = list(iter(lambda: spy.recv(timeout=0), None))
        longest = max(len(frame.data) for frame in frames)
        check(all(frame.is_fd == fd for frame in frames), f"{len(frames)} frames of up to {longest} bytes")


def run_a_uds_session() -> None:
    """Let udsoncan's client talk with an ECU of isotp.testing over CAN FD."""
    config = {
        **default_client_config,
        "data_identifiers": {VIN: udsoncan.AsciiCodec(17), COUNTERS: ">HH"},
        "request_timeout": 10,
        "p2_timeout": 10,
    }
    firmware = bytes(value * 7 % 256 for value in range(0x10000))
    with open_bus(fd=True) as tester_bus, open_bus(fd=True) as ecu_bus:
        counters = Did(bytes(4), write=Access([EXTENDED]))
        # What it tells clients of its patience is meant for machines that are busy.
        ecu = Ecu(dids={VIN: b"WVWZZZ1JZXW000001", COUNTERS: counters}, p2_ms=10_000)
        connection = PythonIsoTpConnection(isotp.CanStack(tester_bus, address=TESTER, params=FD))
        with ecu.serve(ecu_bus, ECU, params=FD), Client(connection, config=config) as client:
            vin = client.read_data_by_identifier(VIN).service_data.values[VIN]
            check(vin == "WVWZZZ1JZXW000001", f"VIN read: {vin}")

            client.change_session(EXTENDED)
            client.write_data_by_identifier(COUNTERS, (12, 34))
            counters = client.read_data_by_identifier(COUNTERS).service_data.values[COUNTERS]
            check(counters == (12, 34), f"counters written and read back: {counters}")

            client.change_session(PROGRAMMING)
            where = udsoncan.MemoryLocation(
                0x8000_0000, len(firmware), address_format=32, memorysize_format=32
            )
            block_length = client.request_download(where).service_data.max_length - 2
            blocks = [firmware[at : at + block_length] for at in range(0, len(firmware), block_length)]
            for number, block in enumerate(blocks, start=1):
                client.transfer_data(number % 256, block)
            client.request_transfer_exit()
            arrived = ecu.memory.get(0x8000_0000) == firmware
            check(arrived, f"{len(firmware)} bytes downloaded in {len(blocks)} blocks")


def main() -> None:
    print("Classic CAN, 8 bytes a frame:")
    send_a_payload(fd=False)
    print("CAN FD, 64 bytes a frame:")
    send_a_payload(fd=True)
    print("UDS session of udsoncan's client over CAN FD:")
    run_a_uds_session()
    print(
        f"All good: isotp {isotp.__version__}, python-can {can.__version__}, Python {sys.version.split()[0]}."
    )


if __name__ == "__main__":
    main()
