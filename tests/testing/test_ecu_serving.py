"""An ECU on a bus: udsoncan's clients at the other end, requests to all, and what goes wrong."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

import isotp
from isotp.testing import Ecu, Exchanged, HeldClock, NegativeResponse, Request, Rule, Tester, Wire
from tests import ecu_stories
from tests.ecu_stories import PATIENCE, PLACES, TESTERS

can = pytest.importorskip("can", reason="the bus is one of python-can")


@contextmanager
def client_on(channel: str, address: isotp.Address) -> Iterator[isotp.CanStack]:
    with can.Bus(interface="virtual", channel=channel) as bus:
        layer = isotp.CanStack(bus, address=address)
        try:
            yield layer
        finally:
            layer.stop()


@contextmanager
def bus_of(channel: str) -> Iterator[Any]:
    with can.Bus(interface="virtual", channel=channel) as bus:
        yield bus


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> str:
    return request.node.nodeid


def test_two_testers_at_once_do_ten_services(channel: str) -> None:
    ecu = ecu_stories.ecu_for_two()
    with bus_of(channel) as bus, ecu.serve(bus) as serving:
        done = ecu_stories.play(lambda number: client_on(channel, TESTERS[number]))
    ecu_stories.check(ecu, done)
    assert serving.errors == []


def test_two_testers_at_once_do_ten_services_on_the_wire() -> None:
    ecu = ecu_stories.ecu_for_two()
    with Wire() as wire, ecu.serve(wire) as serving:
        done = ecu_stories.play(lambda number: nullcontext(wire.layer(TESTERS[number], start=False)))
    ecu_stories.check(ecu, done)
    assert serving.errors == wire.errors == []


def test_on_a_held_clock_it_answers_when_that_says_so() -> None:
    told: list[Exchanged] = []
    ecu = Ecu(dids={1: b"W"}, delay_ms=5, rules=[Rule("22 00 01", pending=1, every_ms=2000)], s3_ms=4000)
    clock = HeldClock()
    with Wire(clock) as wire, ecu.serve(wire, *PLACES, watch=told.append) as serving:
        tester = wire.layer(TESTERS[0])
        tester.send(b"\x10\x03")
        assert not serving.is_busy
        clock.advance(4.5)
        assert serving.is_busy
        assert tester.recv() is None
        clock.advance(0.5)
        assert bytes(tester.recv()) == bytes.fromhex("500300 3201F4")
        tester.send(b"\x22\x00\x01")
        assert bytes(tester.recv(block=True, timeout=1)) == b"\x7f\x22\x78"
        assert bytes(tester.recv(block=True, timeout=3)) == b"\x62\x00\x01W"
        assert clock.ms == 2010
        assert ecu.session_of(clock(), 0) == 3
        clock.advance(4000)
        assert ecu.session_of(clock(), 0) == 1
        tester.send(b"\x3e\x00")
        clock.advance(0)
        tester.send(b"\x11\x01")
    # What was to be sent later is not sent, and nobody is asked any more.
    clock.advance(100)
    assert [each.payload.hex() for each in told] == [
        "1003",
        "5003003201f4",
        "220001",
        "7f2278",
        "62000157",
        "3e00",
    ]


def test_on_a_held_clock_what_a_class_raises_comes_to_whoever_moves_it() -> None:
    clock = HeldClock()
    with Wire(clock) as wire, Broken().serve(wire, PLACES[0]):
        wire.layer(TESTERS[0]).send(b"\xba")
        with pytest.raises(ZeroDivisionError, match="a mistake of its author"):
            clock.advance(1)


def answer_to(layer: isotp.CanStack, request: str) -> str:
    layer.send(bytes.fromhex(request))
    answer = layer.recv(block=True, timeout=PATIENCE)
    assert answer is not None
    return bytes(answer).hex(" ")


def test_request_to_all_is_answered_once_and_refused_in_silence(channel: str) -> None:
    everyone = isotp.Address(txid=0x7DF, rxid=0x7F0)
    with (
        bus_of(channel) as bus,
        Ecu(dids={0xF190: b"W"}).serve(bus, *PLACES),
        client_on(channel, TESTERS[0]) as tester,
        client_on(channel, everyone) as to_all,
    ):
        for layer in (tester, to_all):
            layer.start()
        for request in ("BA 00", "22 00 00", "3E 80", "3E 00"):
            to_all.send(bytes.fromhex(request))
        assert bytes(tester.recv(block=True, timeout=PATIENCE)).hex(" ") == "7e 00"
        # The same to it alone is refused aloud.
        assert answer_to(tester, "BA 00") == "7f ba 11"
        assert answer_to(tester, "22 F1 90") == "62 f1 90 57"


def test_normal_fixed_address_hears_its_functional_identifier(channel: str) -> None:
    fixed = isotp.AddressingMode.NormalFixed_29bits
    ecu_address = isotp.Address(fixed, target_address=0xF1, source_address=0x18)
    with (
        bus_of(channel) as bus,
        Ecu().serve(bus, Tester(ecu_address)),
        client_on(channel, ecu_address.reversed()) as tester,
    ):
        tester.start()
        for kind in isotp.TargetAddressType:
            tester.send(b"\xba", kind)
        tester.send(b"\x3e\x00", isotp.TargetAddressType.Functional)
        heard = [bytes(tester.recv(block=True, timeout=PATIENCE)).hex(" ") for _ in range(2)]
        assert heard == ["7f ba 11", "7e 00"]


def test_whoever_watches_is_told_of_each_message(channel: str) -> None:
    told: queue.SimpleQueue[Exchanged] = queue.SimpleQueue()
    ecu = Ecu(rules=[Rule("3E 00", pending=1, every_ms=1)])
    with (
        bus_of(channel) as bus,
        ecu.serve(bus, TESTERS[0].reversed(), watch=told.put),
        client_on(channel, TESTERS[0]) as tester,
    ):
        tester.start()
        assert answer_to(tester, "3E 00") == "7f 3e 78"
        seen = [told.get(timeout=PATIENCE) for _ in range(3)]
    assert [(each.is_request, each.payload.hex(" ")) for each in seen] == [
        (True, "3e 00"),
        (False, "7f 3e 78"),
        (False, "7e 00"),
    ]
    times = [each.time for each in seen]
    assert times == sorted(times)


def test_layers_of_the_ecu_have_the_parameters_that_are_given(channel: str) -> None:
    with (
        bus_of(channel) as bus,
        bus_of(channel) as spy,
        Ecu().serve(bus, PLACES[0], params={"tx_padding": 0xAA}),
        client_on(channel, TESTERS[0]) as tester,
    ):
        tester.start()
        assert answer_to(tester, "3E 00") == "7e 00"
        frames = [spy.recv(PATIENCE) for _ in range(2)]
    assert [frame.data.hex() for frame in frames] == ["023e00", "027e00aaaaaaaaaa"]


class Broken(Ecu):
    def handle(self, request: Request) -> bytes | None:
        if request.service == 0xBA:
            raise ZeroDivisionError("a mistake of its author")
        if request.service == 0xBB:
            raise NegativeResponse(0x22)
        return super().handle(request)


def test_what_a_class_raises_ends_it_and_is_raised_by_close(channel: str) -> None:
    with bus_of(channel) as bus, client_on(channel, TESTERS[0]) as tester:
        serving = Broken().serve(bus, PLACES[0])
        serving.start()
        tester.start()
        assert answer_to(tester, "BB") == "7f bb 22"
        assert not serving.wait(0)
        tester.send(b"\xba")
        assert serving.wait(PATIENCE)
        with pytest.raises(ZeroDivisionError, match="a mistake of its author"):
            serving.close()


def test_an_ecu_that_was_not_started_can_be_closed(channel: str) -> None:
    with bus_of(channel) as bus:
        Ecu().serve(bus, PLACES[0]).close()


def test_where_an_ecu_is_has_to_be_said(channel: str) -> None:
    with bus_of(channel) as bus, pytest.raises(ValueError, match="at least one tester"):
        Ecu().serve(bus)
