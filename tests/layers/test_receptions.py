"""recvmsg() and on_reception: a message with its times, the address that it came in on, and the identifier."""

from __future__ import annotations

import copy
import time
from typing import Any

import can
import pytest

import isotp
from tests.frames import HERE, MS, SLOW, Bench, counted, frame

FUNCTIONAL = isotp.Address(rxid=0x7DF, txid=0x123)
FF_20 = "10 14 00 01 02 03 04 05"
CF_20 = ("21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13")


def facts(reception: isotp.Reception | None) -> Any:
    assert reception is not None
    return (
        bytes(reception.payload),
        reception.address,
        reception.arbitration_id,
        reception.began_ns,
        reception.ended_ns,
    )


def test_a_single_frame() -> None:
    bench = Bench()
    assert bench.layer.recvmsg() is None
    bench.hear("02 CA FE")
    now = bench.clock.ns
    bench.wait(MS)
    reception = bench.layer.recvmsg()
    assert facts(reception) == (b"\xca\xfe", HERE, 0x456, now, now)
    assert bench.layer.recvmsg() is None


def test_a_long_message_has_two_times() -> None:
    bench = Bench()
    began = bench.clock.ns
    bench.hear(FF_20)
    bench.wait(5 * MS)
    bench.hear(*CF_20)
    assert facts(bench.layer.recvmsg()) == (counted(20), HERE, 0x456, began, began + 5 * MS)


def test_both_ways_to_receive_take_from_one_queue() -> None:
    bench = Bench()
    bench.hear(*(f"01 {k:02X}" for k in range(20)))
    for k in range(0, 20, 2):
        assert bench.layer.recv() == bytes([k])
        reception = bench.layer.recvmsg()
        assert reception is not None
        assert reception.payload == bytes([k + 1])


def test_times_are_those_of_the_message_however_many_wait() -> None:
    bench = Bench()
    times = []
    for k in range(100):
        bench.wait(MS)
        bench.hear(f"01 {k:02X}")
        times.append(bench.clock.ns)
        if k % 3 == 0:  # the ring turns, and grows
            assert facts(bench.layer.recvmsg())[4] == times.pop(0)
    while times:
        assert facts(bench.layer.recvmsg())[4] == times.pop(0)


def test_the_address_tells_who_was_asked() -> None:
    bench = Bench()
    bench.layer.receive_also([FUNCTIONAL])
    bench.hear(frame("7DF#02 3E 80"), "02 3E 00")
    first, second = bench.layer.recvmsg(), bench.layer.recvmsg()
    assert facts(first)[1:3] == (FUNCTIONAL, 0x7DF)
    assert facts(second)[1:3] == (HERE, 0x456)


def test_the_address_is_that_of_the_time_when_it_came() -> None:
    bench = Bench()
    bench.hear("01 61")
    bench.layer.set_address(isotp.Address(txid=0x111, rxid=0x222))
    assert facts(bench.layer.recvmsg())[1] == HERE


def test_the_identifier_tells_who_asked() -> None:
    """With NormalFixed_29bits one address hears the functional identifier as well."""
    address = isotp.Address(isotp.AddressingMode.NormalFixed_29bits, target_address=0xF1, source_address=0x10)
    bench = Bench(address)
    bench.hear(frame("18DB10F1#02 3E 80"))
    reception = bench.layer.recvmsg()
    assert reception is not None
    assert (reception.arbitration_id, reception.is_extended_id) == (0x18DB10F1, True)
    assert repr(reception) == "<Reception of 2 bytes from 18DB10F1>"


def test_a_message_that_interrupts_another_began_by_itself() -> None:
    bench = Bench()
    bench.hear(FF_20)
    bench.wait(5 * MS)
    bench.hear("01 61")
    assert facts(bench.layer.recvmsg())[3:] == (bench.clock.ns, bench.clock.ns)


def test_strict_a_functional_frame_amid_a_message_began_by_itself() -> None:
    bench = Bench(strict=True)
    bench.layer.receive_also([FUNCTIONAL])
    began = bench.clock.ns
    bench.hear(FF_20)
    bench.wait(5 * MS)
    bench.hear(frame("7DF#02 3E 80"))
    assert facts(bench.layer.recvmsg())[3:] == (began + 5 * MS, began + 5 * MS)
    bench.wait(MS)
    bench.hear(*CF_20)
    assert facts(bench.layer.recvmsg())[3:] == (began, began + 6 * MS)


def test_a_target_is_the_payload() -> None:
    target = bytearray(20)
    bench = Bench()
    bench.layer.receive_into = lambda size: target
    bench.hear(FF_20, *CF_20)
    reception = bench.layer.recvmsg()
    assert reception is not None
    assert reception.payload is target
    assert target == counted(20)


def test_what_the_user_puts_into_the_queue_was_not_received() -> None:
    bench = Bench()
    for _ in range(9):
        bench.layer.rx_queue.put(bytearray(b"abc"))
    assert bench.layer.recv() == b"abc"
    with pytest.raises(TypeError, match="received by nobody"):
        bench.layer.recvmsg()


def test_a_cleared_queue_begins_anew() -> None:
    bench = Bench()
    bench.hear(*(f"01 {k:02X}" for k in range(20)))
    bench.layer.clear_rx_queue()
    bench.wait(MS)
    bench.hear("01 61")
    assert facts(bench.layer.recvmsg())[4] == bench.clock.ns


# --- the driver's clock ---


def test_the_time_stamp_of_python_can_goes_with_the_message() -> None:
    bench = Bench()
    first = isotp.protocol.frame_from_python_can(
        can.Message(timestamp=12.5, arbitration_id=0x456, is_extended_id=False, data=b"\x01a")
    )
    assert first.timestamp == 12.5
    bench.hear(first, can.Message(timestamp=13.5, arbitration_id=0x456, is_extended_id=False, data=b"\x01b"))
    assert [bench.layer.recvmsg().timestamp for _ in range(2)] == [12.5, 13.5]  # type: ignore[union-attr]


def test_a_frame_may_have_none() -> None:
    bench = Bench()
    bench.hear("01 61")
    reception = bench.layer.recvmsg()
    assert reception is not None
    assert reception.timestamp is None


def test_it_is_that_of_the_last_frame() -> None:
    bench = Bench()
    for k, text in enumerate((FF_20, *CF_20)):
        message = bench.frame(text)
        message.timestamp = 1.0 + k
        bench.hear(message)
    reception = bench.layer.recvmsg()
    assert reception is not None
    assert reception.timestamp == 3.0


def test_a_copy_of_a_frame_has_it() -> None:
    message = isotp.CanMessage(0x456, data=b"\x01a")
    message.timestamp, message.is_echo = 2.5, True
    twin = copy.copy(message)
    assert (twin.timestamp, twin.is_echo) == (2.5, True)


def test_on_a_python_can_bus() -> None:
    with (
        can.Bus(interface="virtual", channel="receptions") as bus,
        can.Bus(interface="virtual", channel="receptions") as other,
    ):
        stack = isotp.CanStack(bus, address=HERE, params=SLOW)
        stack.start()
        before = time.time()
        other.send(can.Message(arbitration_id=0x456, is_extended_id=False, data=b"\x01a"))
        reception = stack.recvmsg(block=True, timeout=30)
        stack.stop()
    assert reception is not None
    assert reception.timestamp is not None
    assert abs(reception.timestamp - before) < 60


# --- on_reception ---


def test_on_reception_is_called_in_place_of_the_queue() -> None:
    told: list[isotp.Reception] = []
    bench = Bench()
    bench.layer.on_reception = told.append
    bench.hear("01 61")
    assert [facts(reception)[:3] for reception in told] == [(b"a", HERE, 0x456)]
    assert not bench.layer.available()


def test_one_of_the_two_callbacks_gets_messages() -> None:
    bench = Bench()
    bench.layer.on_message = lambda *_: None
    bench.layer.on_reception = print
    assert bench.layer.on_message is None
    bench.layer.on_message = lambda *_: None
    assert bench.layer.on_reception is None
    bench.layer.on_message = None
    bench.hear("01 61")
    assert bench.received() == [b"a"]
    with pytest.raises(ValueError, match="not to both"):
        isotp.TransportLayerLogic(
            lambda: None, print, HERE, on_message=lambda *_: None, on_reception=lambda reception: None
        )


def test_on_reception_beside_other_stacks_on_the_bus() -> None:
    """Then threads of the package call it."""
    import threading

    told: list[isotp.Reception] = []
    is_told = threading.Event()

    def tell(reception: isotp.Reception) -> None:
        told.append(reception)
        is_told.set()

    with (
        can.Bus(interface="virtual", channel="receptions-2") as bus,
        can.Bus(interface="virtual", channel="receptions-2") as other,
    ):
        stacks = [
            isotp.CanStack(bus, address=address, on_reception=tell)
            for address in (HERE, isotp.Address(txid=0x111, rxid=0x222))
        ]
        for stack in stacks:
            stack.start()
        other.send(can.Message(arbitration_id=0x222, is_extended_id=False, data=b"\x01a"))
        assert is_told.wait(30)
        for stack in stacks:
            stack.stop()
    assert facts(told[0])[:3] == (b"a", stacks[1].address, 0x222)
