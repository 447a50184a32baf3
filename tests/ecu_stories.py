"""Two testers at once, udsoncan's clients, and one ECU of `isotp.testing`: the same story on any bus."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest

import isotp
from isotp.testing import Access, Did, Ecu, Lock, Routine, Rule, Tester

udsoncan = pytest.importorskip("udsoncan", reason="the testers are udsoncan's clients")
from udsoncan.client import Client  # noqa: E402 - only where udsoncan is there
from udsoncan.configs import default_client_config  # noqa: E402

from isotp.udsoncan import IsoTpConnection  # noqa: E402

# No time-out is part of what is tested: this one only ends a test that has failed.
PATIENCE = 60
VIN, COUNTERS, ERASE = 0xF190, (0x0100, 0x0101), 0xFF00
PROGRAMMING, EXTENDED = 2, 3
START = (0x8000_0000, 0x9000_0000)
EVERYBODY = isotp.Address(rxid=0x7DF, rx_only=True)
# The addresses of the testers, and of the ECU for each.
TESTERS = (isotp.Address(txid=0x7E0, rxid=0x7E8), isotp.Address(txid=0x7E1, rxid=0x7E9))
PLACES = (Tester(TESTERS[0].reversed(), EVERYBODY), Tester(TESTERS[1].reversed()))


def inverted(seed: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in seed)


def ecu_for_two() -> Ecu:
    programming = Access([PROGRAMMING], security=1)
    return Ecu(
        dids={
            VIN: b"WVWZZZ1JZ3W386752",
            **{did: Did(bytes(4), write=Access([EXTENDED])) for did in COUNTERS},
        },
        routines={ERASE: Routine(b"\x00", programming)},
        security={1: Lock(b"\x12\x34\x56\x78", inverted, access=Access([PROGRAMMING]))},
        dtcs={0x030100: 0x2F, 0x442100: 0x24},
        services={0x34: programming, 0x35: programming},
        rules=[Rule("31 01 FF 00", pending=3, every_ms=1)],
        block_length=258,
        testers=PLACES,
    )


# The same for the command.
TABLE: dict[str, Any] = {
    "dids": {
        "F190": {"text": "WVWZZZ1JZ3W386752"},
        **{f"{did:04X}": {"hex": "00000000", "write": {"sessions": [EXTENDED]}} for did in COUNTERS},
    },
    "routines": {"FF00": {"result": "00", "sessions": [PROGRAMMING], "security": "01"}},
    "security": {"01": {"seed": "12345678", "xor": "FF", "sessions": [PROGRAMMING]}},
    "dtcs": {"030100": "2F", "442100": "24"},
    "services": {service: {"sessions": [PROGRAMMING], "security": "01"} for service in ("34", "35")},
    "rules": [{"request": "31 01 FF 00", "pending": 3, "every_ms": 1}],
    "block_length": 258,
    "testers": [{"address": "7E8:7E0", "functional": ":7DF"}, {"address": "7E9:7E1"}],
}
# So many requests two testers make in this story.
REQUESTS = 50


def ten_services(client: Any, number: int, together: Callable[[], object]) -> list[str]:
    """What one tester does; `together` waits for the other one. Returns the services that it was answered, by name."""
    done: list[str] = []

    def did(response: Any) -> Any:
        assert response.positive
        done.append(response.service.get_name())
        return response.service_data

    image = bytes((k * 7 + number) % 256 for k in range(1000))
    where = udsoncan.MemoryLocation(START[number], len(image), address_format=32, memorysize_format=32)
    together()
    assert did(client.read_data_by_identifier(VIN)).values[VIN] == "WVWZZZ1JZ3W386752"
    assert did(client.change_session(EXTENDED)).session_echo == EXTENDED
    did(client.tester_present())
    did(client.write_data_by_identifier(COUNTERS[number], (number, 34)))
    assert client.read_data_by_identifier(COUNTERS[number]).service_data.values == {
        COUNTERS[number]: (number, 34)
    }
    dtcs = did(client.get_dtc_by_status_mask(0x08)).dtcs
    assert [(dtc.id, dtc.status.get_byte_as_int()) for dtc in dtcs] == [(0x030100, 0x2F)]
    together()
    did(client.clear_dtc(0x030100))
    assert client.get_number_of_dtc_by_status_mask(0x08).service_data.dtc_count == 0
    did(client.change_session(PROGRAMMING))
    did(client.unlock_security_access(1))
    assert did(client.start_routine(ERASE)).routine_status_record == b"\x00"
    length = did(client.request_download(where)).max_length
    assert length == 258
    for k, at in enumerate(range(0, len(image), length - 2), 1):
        service_data = client.transfer_data(k, image[at : at + length - 2]).service_data
        assert service_data.sequence_number_echo == k
    done.append("TransferData")
    did(client.request_transfer_exit())
    # What was written can be read.
    did(client.request_upload(where))
    read = [client.transfer_data(k).service_data.parameter_records for k in range(1, 5)]
    assert b"".join(read) == image
    client.request_transfer_exit()
    # A reset is one for both.
    together()
    did(client.ecu_reset(1))
    return done


def play(open_layer: Callable[[int], AbstractContextManager[isotp.TransportLayer]]) -> list[list[str]]:
    """Both testers at once, each on a layer of its own; what each of them did."""
    config = {
        **default_client_config,
        "data_identifiers": {VIN: udsoncan.AsciiCodec(17), COUNTERS[0]: ">HH", COUNTERS[1]: ">HH"},
        "security_algo": lambda level, seed, params: inverted(seed),
        "request_timeout": PATIENCE,
        "p2_timeout": PATIENCE,
        "p2_star_timeout": PATIENCE,
        "use_server_timing": False,
    }
    barrier = threading.Barrier(len(TESTERS), timeout=PATIENCE)

    def tester(number: int) -> list[str]:
        with open_layer(number) as layer, Client(IsoTpConnection(layer), config=config) as client:
            try:
                return ten_services(client, number, barrier.wait)
            except BaseException:
                barrier.abort()
                raise

    with ThreadPoolExecutor(len(TESTERS)) as threads:
        return list(threads.map(tester, range(len(TESTERS))))


def check(ecu: Ecu, done: list[list[str]]) -> None:
    assert done[0] == done[1]
    assert len(set(done[0])) >= 10
    assert [ecu.dids[did].value for did in COUNTERS] == [bytes.fromhex("00000022"), bytes.fromhex("00010022")]
    images = [bytes((k * 7 + number) % 256 for k in range(1000)) for number in (0, 1)]
    assert [ecu.memory[start] for start in START] == images
