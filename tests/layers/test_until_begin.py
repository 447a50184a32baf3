"""The First Frame tells: on_begin, recv(until_begin=True), and the connection for udsoncan whose P2 ends with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import can
import pytest

import isotp
from tests.frames import HERE, SLOW, Bench, counted, frame

PATIENCE = 30.0
ADDRESS = isotp.Address(txid=0x7E0, rxid=0x7E8)


# --- on_begin ---


def test_on_begin_tells_length_address_and_time() -> None:
    told: list[Any] = []
    bench = Bench()
    bench.layer.on_begin = lambda *what: told.append(what)
    bench.hear("02 CA FE")
    assert told == []
    bench.hear("10 14 00 01 02 03 04 05")
    assert told == [(20, HERE, bench.clock.ns)]
    bench.hear("21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13")
    assert len(told) == 1
    assert bench.received() == [b"\xca\xfe", counted(20)]


def test_on_begin_does_not_hear_of_what_is_refused() -> None:
    told: list[Any] = []
    bench = Bench(rx_queue_limit=1)
    bench.layer.on_begin = lambda *what: told.append(what)
    bench.hear("02 CA FE")
    assert bench.hear("10 14 00 01 02 03 04 05") == ["32 08 00"]
    assert told == []


def test_on_begin_may_stop_the_reception() -> None:
    bench = Bench()
    bench.layer.on_begin = lambda *_: bench.layer.stop_receiving()
    bench.hear("10 14 00 01 02 03 04 05")
    bench.hear("21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13")
    assert bench.received() == []
    bench.layer.on_begin = None
    assert bench.still_works()


# --- recv(until_begin=True) ---


class Ends:
    """A started layer, and what it is sent."""

    def __init__(self, layer: isotp.TransportLayer, send: Any) -> None:
        self.layer, self._send = layer, send

    def hear(self, *frames: str) -> None:
        for text in frames:
            self._send(frame(text, 0x7E8))

    def begin(self) -> None:
        """A First Frame has come."""
        self.hear("10 14 00 01 02 03 04 05")
        while not self.layer.is_rx_active():
            time.sleep(0.001)

    def end(self) -> None:
        self.hear("21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13")


@pytest.fixture(params=["TransportLayer", "CanStack"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    with ExitStack() as cleanup:
        if request.param == "CanStack":
            bus, other = (
                cleanup.enter_context(can.Bus(interface="virtual", channel="until begin")) for _ in range(2)
            )
            layer: isotp.TransportLayer = isotp.CanStack(bus, address=ADDRESS, params=SLOW)

            def send(message: isotp.CanMessage) -> None:
                other.send(can.Message(arbitration_id=0x7E8, is_extended_id=False, data=message.data))
        else:
            layer = isotp.TransportLayer(
                rxfn=lambda timeout: time.sleep(timeout),  # type: ignore[func-returns-value]
                txfn=lambda message: None,
                address=ADDRESS,
                params=SLOW,
            )
            send = layer._feed  # type: ignore[assignment]
        layer.start()
        cleanup.callback(layer.stop)
        yield Ends(layer, send)


def later(function: Any) -> threading.Thread:
    """Call a function when who calls this has most likely begun to wait; all is right as well if he has not."""
    thread = threading.Timer(0.1, function)
    thread.start()
    return thread


def test_what_has_begun_in_time_is_waited_for(ends: Ends) -> None:
    ends.begin()
    thread = later(ends.end)
    assert ends.layer.recv(block=True, timeout=0, until_begin=True) == counted(20)
    thread.join()


def test_what_begins_in_time_is_waited_for(ends: Ends) -> None:
    def answer() -> None:
        ends.begin()
        later(ends.end)

    later(answer)
    assert ends.layer.recv(block=True, timeout=PATIENCE, until_begin=True) == counted(20)


def test_a_single_frame_is_a_message(ends: Ends) -> None:
    later(lambda: ends.hear("02 CA FE"))
    assert ends.layer.recv(block=True, timeout=PATIENCE, until_begin=True) == b"\xca\xfe"


def test_what_does_not_begin_in_time_is_none(ends: Ends) -> None:
    assert ends.layer.recv(block=True, timeout=0, until_begin=True) is None
    assert ends.layer.recv(block=True, timeout=0.01, until_begin=True) is None
    assert ends.layer.recv(until_begin=True) is None
    ends.begin()
    assert ends.layer.recv(block=True, timeout=0.01) is None  # as ever


@pytest.mark.parametrize("timeout", [None, PATIENCE])
def test_a_message_that_breaks_off_is_told(ends: Ends, timeout: float | None) -> None:
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            ends.layer.recv(block=True, timeout=timeout, until_begin=True)
        except isotp.BlockingReceiveFailure as failure:
            failures.append(failure)

    thread = threading.Thread(target=wait)
    thread.start()
    while thread.is_alive():  # however late it begins to wait
        ends.hear("10 14 00 01 02 03 04 05", "23 06 07 08 09 0A 0B 0C")
        time.sleep(0.01)
    assert isinstance(failures[0].__cause__, isotp.WrongSequenceNumberError)
    assert "broke off: " in str(failures[0])


def test_n_cr_ends_the_wait(ends: Ends) -> None:
    ends.layer.params.rx_consecutive_frame_timeout = 50
    later(lambda: ends.hear("10 14 00 01 02 03 04 05"))
    with pytest.raises(isotp.BlockingReceiveFailure) as failed:
        ends.layer.recv(block=True, timeout=PATIENCE, until_begin=True)
    assert isinstance(failed.value.__cause__, isotp.ConsecutiveFrameTimeoutError)


def test_a_reception_that_is_stopped_ends_the_wait(ends: Ends) -> None:
    ends.begin()
    later(ends.layer.stop_receiving)
    assert ends.layer.recv(block=True, timeout=0, until_begin=True) is None


def test_a_timeout_has_to_be_a_number_that_is_not_negative(ends: Ends) -> None:
    for timeout in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout must"):
            ends.layer.recv(block=True, timeout=timeout, until_begin=True)


# --- udsoncan ---


class SlowEcu:
    """Answers a request for a DID with a First Frame at once, and the rest when it has been waited for long."""

    def __init__(self, bus: can.BusABC, rest_after: float) -> None:
        self.layer = isotp.CanStack(bus, address=ADDRESS.reversed(), params=SLOW | {"stmin": 0})
        self.layer.on_message = self.answer
        self._rest_after = rest_after
        send = self.layer.txfn

        def send_slowly(message: isotp.CanMessage) -> None:
            if message.data[0] == 0x21:
                time.sleep(self._rest_after)
            send(message)

        self.layer.txfn = send_slowly

    def answer(self, payload: bytearray, address: Any, timestamp: int) -> None:
        if payload[:1] == b"\x22":
            self.layer.send(b"\x62" + bytes(payload[1:3]) + b"VIN" * 6)


@pytest.fixture
def buses() -> Iterator[tuple[can.BusABC, can.BusABC]]:
    with (
        can.Bus(interface="virtual", channel="slow ecu") as here,
        can.Bus(interface="virtual", channel="slow ecu") as there,
    ):
        yield here, there


def client_on(layer: isotp.TransportLayer, p2: float) -> Any:
    client = pytest.importorskip("udsoncan.client")
    udsoncan = pytest.importorskip("udsoncan")
    from isotp.udsoncan import IsoTpConnection

    config = {
        "data_identifiers": {0xF190: udsoncan.AsciiCodec(18)},
        "p2_timeout": p2,
        "request_timeout": PATIENCE,
    }
    return client.Client(IsoTpConnection(layer), config=config)


def test_p2_of_udsoncan_ends_with_the_first_frame(buses: tuple[can.BusABC, can.BusABC]) -> None:
    """An answer whose beginning is in time and whose rest is not: udsoncan's own connection gives it up."""
    ecu = SlowEcu(buses[1], 1.05)
    ecu.layer.start()
    try:
        tester = isotp.CanStack(buses[0], address=ADDRESS, params=SLOW)
        with client_on(tester, p2=1.0) as client:
            answer = client.read_data_by_identifier(0xF190)
            assert answer.service_data.values[0xF190] == "VIN" * 6
    finally:
        ecu.layer.stop()


def test_p2_of_udsoncan_is_over_where_nothing_begins(buses: tuple[can.BusABC, can.BusABC]) -> None:
    exceptions = pytest.importorskip("udsoncan.exceptions")
    tester = isotp.CanStack(buses[0], address=ADDRESS, params=SLOW)
    with (
        client_on(tester, p2=0.05) as client,
        pytest.raises(exceptions.TimeoutException),
    ):
        client.read_data_by_identifier(0xF190)


def test_udsoncan_is_told_of_an_answer_that_breaks_off(buses: tuple[can.BusABC, can.BusABC]) -> None:
    tester = isotp.CanStack(buses[0], address=ADDRESS, params=SLOW | {"rx_consecutive_frame_timeout": 50})

    def begin() -> None:
        request = buses[1].recv(PATIENCE)
        assert request is not None
        data = bytes.fromhex("10 14 62 F1 90 56 49 4E")
        buses[1].send(can.Message(arbitration_id=0x7E8, is_extended_id=False, data=data))

    thread = threading.Thread(target=begin)
    thread.start()
    with client_on(tester, p2=PATIENCE) as client, pytest.raises(isotp.BlockingReceiveFailure):
        client.read_data_by_identifier(0xF190)
    thread.join()
