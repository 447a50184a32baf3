"""Stories of many sessions on hubs, told on virtual buses by test_hub.py and on real ones by kernel/test_hub.py."""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import isotp
from isotp import Address, AddressingMode
from tests.frames import SLOW

# No time-out is part of what is tested: this one only ends a test that has failed.
PATIENCE = 60.0


class AnyOfABlock(Address):
    """Takes identifiers 0x520 to 0x52F: a user's own rule."""

    def is_for_me(self, msg: isotp.CanMessage) -> bool:
        return msg.arbitration_id & 0x7F0 == 0x520


def at_tester(number: int) -> Address:
    """Address of the tester's side of a session."""
    return Address(txid=0x100 + number, rxid=0x300 + number)


def at_ecu(number: int) -> Address:
    """Address of the other side."""
    return Address(txid=0x300 + number, rxid=0x100 + number)


def payload_of(session: int, turn: int, size: int) -> bytes:
    """Bytes that no other session and no other turn has, if there are at least 3."""
    head = struct.pack("=HB", session, turn)
    return head[:size] + bytes((session * 7 + turn * 31 + k) & 0xFF for k in range(size - len(head)))


def exchange(testers: Sequence[Any], ecus: Sequence[Any], sizes: tuple[int, ...]) -> None:
    """All sessions send at once, in both directions; check that all payloads arrive, whole and in order."""
    for turn, size in enumerate(sizes):
        for k, (tester, ecu) in enumerate(zip(testers, ecus, strict=True)):
            tester.send(payload_of(k, turn, size))
            ecu.send(payload_of(k, turn + 100, size))
    for k, (tester, ecu) in enumerate(zip(testers, ecus, strict=True)):
        for turn, size in enumerate(sizes):
            assert ecu.recv(block=True, timeout=PATIENCE) == payload_of(k, turn, size)
            assert tester.recv(block=True, timeout=PATIENCE) == payload_of(k, turn + 100, size)
    assert not any(session.available() for session in (*testers, *ecus))


def a_hundred_sessions(
    here: isotp.Hub, there: isotp.Hub, params: dict[str, Any], sizes: tuple[int, ...]
) -> None:
    """All busy in both directions: every payload is whole and in order, and no error is reported."""
    errors: list[Exception] = []
    options = {"params": params | SLOW, "error_handler": errors.append}
    testers = [here.session(at_tester(k), **options) for k in range(100)]
    ecus = [there.session(at_ecu(k), **options) for k in range(100)]
    for session in (*testers, *ecus):
        session.start()
    exchange(testers, ecus, sizes)
    assert errors == []


def one_identifier_for_many(here: isotp.Hub, there: isotp.Hub) -> None:
    """Mixed addressing: a gateway reaches many ECUs under one identifier."""

    def address(extension: int, txid: int, rxid: int) -> Address:
        return Address(AddressingMode.Mixed_11bits, txid=txid, rxid=rxid, address_extension=extension)

    testers = [here.session(address(k, 0x600, 0x680), params=SLOW) for k in range(20)]
    ecus = [there.session(address(k, 0x680, 0x600), params=SLOW) for k in range(20)]
    for session in (*testers, *ecus):
        session.start()
    exchange(testers, ecus, (5, 60))


def comings_and_goings(here: isotp.Hub, there: isotp.Hub, visitors: int) -> None:
    """One pair exchanges messages the whole time; others are started, used and stopped meanwhile."""
    steady = here.session(at_tester(0), params=SLOW), there.session(at_ecu(0), params=SLOW)
    for session in steady:
        session.start()
    done = threading.Event()
    echoed: list[bool] = []

    def keep_busy() -> None:
        while not done.is_set() or len(echoed) < 10:
            payload = payload_of(0, len(echoed) & 0xFF, 200)
            steady[0].send(payload)
            echoed.append(steady[1].recv(block=True, timeout=PATIENCE) == payload)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        for k in range(1, visitors + 1):
            tester, ecu = here.session(at_tester(k), params=SLOW), there.session(at_ecu(k), params=SLOW)
            tester.start()
            ecu.start()
            exchange([tester], [ecu], (50,))
            tester.stop()
            ecu.stop()
    finally:
        done.set()
        busy.join(PATIENCE)
    assert len(echoed) >= 10
    assert all(echoed)


def udsoncan_reads_vins(here: isotp.Hub, there: isotp.Hub) -> None:
    """Two clients of udsoncan on one hub, at the same time."""
    import udsoncan
    from udsoncan.client import Client
    from udsoncan.connections import PythonIsoTpConnection

    vins = ["WVWZZZ1JZXW000001", "WVWZZZ1JZXW000002"]
    config = {
        "data_identifiers": {0xF190: udsoncan.AsciiCodec(17)},
        "request_timeout": PATIENCE,
        "p2_timeout": PATIENCE,
        "exception_on_negative_response": True,
        "exception_on_invalid_response": True,
        "exception_on_unexpected_response": True,
    }

    def serve(server: isotp.HubSession, vin: bytes) -> None:
        for _ in range(2):
            request = server.recv(block=True, timeout=PATIENCE)
            server.send(b"\x62" + bytes(request[1:3]) + vin)

    servers = [there.session(at_ecu(k), params=SLOW) for k in range(2)]
    serving = []
    for server, vin in zip(servers, vins, strict=True):
        server.start()
        serving.append(threading.Thread(target=serve, args=(server, vin.encode())))
        serving[-1].start()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                Client(PythonIsoTpConnection(here.session(at_tester(k), params=SLOW)), config=config)
            )
            for k in range(2)
        ]
        for _ in range(2):
            for client, vin in zip(clients, vins, strict=True):
                response = client.read_data_by_identifier(0xF190)
                assert response.service_data.values[0xF190] == vin
    for thread in serving:
        thread.join(PATIENCE)
