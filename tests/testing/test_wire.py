"""Wire: frames of each end come to all others, in one order, and layers sit on it whatever they are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import pairwise

import pytest

import isotp
import isotp.aio
from isotp.protocol import TryAgain
from isotp.testing import HeldClock, Peer, Wire, assert_frames
from tests.frames import counted, frame, words
from tests.testing.ends import ECU, TESTER

# ------------------------------------------------ ends


def test_a_frame_comes_to_all_ends_but_its_own() -> None:
    wire = Wire()
    here, there, beyond = wire.end(), wire.end(), wire.end()
    here.send(frame("123#01 AA"))
    for end in (there, beyond):
        came = end.receive()
        assert came is not None
        assert (came.arbitration_id, bytes(came.data)) == (0x123, b"\x01\xaa")
    assert here.receive() is None


def test_long_identifiers_and_can_fd_come_as_they_went() -> None:
    wire = Wire()
    here, there = wire.end(), wire.end()
    sent = isotp.CanMessage(
        0x18DA10F1, data=bytes(range(64)), extended_id=True, is_fd=True, bitrate_switch=True
    )
    here.send(sent)
    came = there.receive()
    assert came is not None
    assert (came.arbitration_id, came.is_extended_id, came.is_fd, came.bitrate_switch) == (
        0x18DA10F1,
        True,
        True,
        True,
    )
    assert bytes(came.data) == bytes(range(64))


def test_an_end_keeps_what_comes_and_tells_what_it_lost() -> None:
    wire = Wire(kept=10)
    here, there = wire.end(), wire.end()
    for _ in range(65537):
        here.send_raw(0x1, b"")
    assert (there.waiting, there.overrun) == (65536, 1)
    assert wire.carried == 65537
    assert len(wire.frames) == 10


def test_an_end_that_left_hears_nothing() -> None:
    wire = Wire()
    here, there = wire.end(), wire.end()
    there.close()
    here.send_raw(0x1, b"")
    assert there.receive(timeout=5) is None


def test_closing_an_end_ends_the_wait_of_all_who_wait() -> None:
    wire = Wire()
    end = wire.end()
    came: list[object] = []
    threads = [threading.Thread(target=lambda: came.append(end.receive(timeout=60))) for _ in range(3)]
    for thread in threads:
        thread.start()
    end.close()
    for thread in threads:
        thread.join()
    assert came == [None] * 3


def test_a_thread_waits_for_a_frame_of_another_one() -> None:
    wire = Wire()
    here, there = wire.end(), wire.end()
    came: list[isotp.CanMessage | None] = []
    thread = threading.Thread(target=lambda: came.append(there.receive(timeout=60)))
    thread.start()
    here.send_raw(0x7, b"\x01")
    thread.join()
    assert came[0] is not None
    assert came[0].arbitration_id == 7


def test_what_no_can_frame_holds_is_refused() -> None:
    end = Wire().end()
    with pytest.raises(ValueError, match="at most 64 bytes"):
        end.send_raw(0x1, bytes(65))
    with pytest.raises(ValueError, match="no CAN frame"):
        end.send(isotp.CanMessage(0x1, data=bytes(65)))


# ------------------------------------------------ layers


def test_a_message_each_way_on_the_time_of_the_test(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    tester = isotp_wire.layer(TESTER, name="tester")
    ecu = isotp_wire.layer(ECU, name="ecu", params={"stmin": 5, "blocksize": 2})
    tester.send(counted(20))
    assert ecu.recv() is None
    isotp_clock.advance(10)
    assert ecu.recv() == counted(20)
    assert_frames(
        isotp_wire,
        """
        @0.000  tester: 7E0# 10 14 00 01 02 03 04 05
        @0.000  ecu:    7E8# 30 02 05
        @5.000  tester: 7E0# 21 06 *
        @10.000 tester: 7E0# 22 0D *
        """,
    )


def test_a_layer_that_waits_lets_time_pass(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    tester = isotp_wire.layer(TESTER)
    ecu = isotp_wire.layer(ECU, params={"stmin": 10})
    tester.send(counted(20))
    assert ecu.recv(block=True, timeout=60) == counted(20)
    assert isotp_clock.ms == 20
    assert ecu.recv(block=True, timeout=60) is None
    assert isotp_clock.ms == 60_020


def test_a_blocking_send_lets_time_pass_until_it_fails(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    tester = isotp_wire.layer(TESTER, params={"blocking_send": True, "rx_flowcontrol_timeout": 300})
    with pytest.raises(isotp.BlockingSendFailure) as failure:
        tester.send(counted(20))
    assert isinstance(failure.value.__cause__, isotp.FlowControlTimeoutError)
    assert isotp_clock.ms == 300


def test_a_request_and_its_answer_take_the_time_of_the_story(
    isotp_clock: HeldClock, isotp_wire: Wire, isotp_peer: Callable[..., Peer]
) -> None:
    isotp_peer(ECU, "get 22 F1 90\nwait 900\nsend 7F 22 78\nwait 4000\nsend 62 F1 90 41*17")
    assert isotp_wire.layer(TESTER).request(b"\x22\xf1\x90") == b"\x62\xf1\x90" + b"A" * 17
    assert isotp_clock.ms == 4900


def test_a_message_that_breaks_off_ends_the_wait_for_it(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    tester, other = isotp_wire.layer(TESTER), isotp_wire.end()
    isotp_clock.call_at(isotp_clock() + 1, lambda: other.send_raw(0x7E8, bytes.fromhex("1014000102030405")))
    with pytest.raises(isotp.BlockingReceiveFailure):
        tester.recv(block=True, timeout=0.1, until_begin=True)
    assert isotp_clock.ms == pytest.approx(1000, abs=0.001)


def test_errors_come_into_the_list_of_the_wire(isotp_wire: Wire) -> None:
    isotp_wire.layer(TESTER)
    isotp_wire.end().send_raw(0x7E8, b"\x21\x00")
    assert [type(error) for error in isotp_wire.errors] == [isotp.UnexpectedConsecutiveFrameError]


def test_a_callback_may_answer(isotp_wire: Wire) -> None:
    tester = isotp_wire.layer(TESTER)
    ecu = isotp_wire.layer(ECU, on_message=lambda payload, address, when: ecu.send(payload[::-1]))
    tester.send(counted(300))
    assert tester.recv() == counted(300)[::-1]


def test_all_ends_hear_the_same_order(isotp_wire: Wire) -> None:
    """The ECU answers amid the testers' frames: who listens hears each request before its answer."""
    witness = isotp_wire.end("witness")
    tester = isotp_wire.layer(TESTER)
    isotp_wire.layer(ECU)
    tester.send(counted(100))
    heard = []
    while (came := witness.receive()) is not None:
        heard.append(words(came.data))
    assert heard == [words(each.data) for each in isotp_wire.frames]
    assert heard[1].startswith("30")


def test_two_testers_and_two_ecus_do_not_hear_each_other() -> None:
    wire = Wire(HeldClock())
    pairs = [isotp.Address(txid=0x7E0 + k, rxid=0x7E8 + k) for k in range(2)]
    testers = [wire.layer(pair) for pair in pairs]
    ecus = [wire.layer(pair.reversed()) for pair in pairs]
    for k, tester in enumerate(testers):
        tester.send(counted(30 + k))
    assert [bytes(ecu.recv() or b"") for ecu in ecus] == [counted(30), counted(31)]


def test_a_functional_request_reaches_all(isotp_wire: Wire) -> None:
    everyone = isotp.Address(txid=0x7DF, rxid=0x7FF)
    ecus = [
        isotp_wire.layer(isotp.Address(txid=0x7E8 + k, rxid=0x7E0 + k), also=[everyone.reversed()])
        for k in range(3)
    ]
    isotp_wire.layer(everyone).send(b"\x3e\x00", isotp.TargetAddressType.Functional)
    assert [ecu.recv() for ecu in ecus] == [b"\x3e\x00"] * 3


def test_a_hub_sits_on_the_wire(isotp_wire: Wire) -> None:
    with isotp.Hub(isotp_wire) as hub:
        ecus = [hub.session(isotp.Address(txid=0x7E8 + k, rxid=0x7E0 + k)) for k in range(2)]
        for ecu in ecus:
            ecu.start()
        for k in range(2):
            isotp_wire.layer(isotp.Address(txid=0x7E0 + k, rxid=0x7E8 + k)).send(counted(20 + k))
        assert [ecu.recv() for ecu in ecus] == [counted(20), counted(21)]


def test_a_layer_that_was_stopped_hears_again_when_it_is_started(isotp_wire: Wire) -> None:
    tester, ecu = isotp_wire.layer(TESTER), isotp_wire.layer(ECU)
    ecu.stop()
    tester.send(b"\x01")
    ecu.start()
    tester.send(b"\x02")
    assert (ecu.recv(), ecu.recv()) == (b"\x02", None)


def test_frames_are_confirmed_by_their_echo(isotp_wire: Wire) -> None:
    tester = isotp_wire.layer(TESTER, tx_confirmation=True)
    ecu = isotp_wire.layer(ECU)
    request = tester._submit(counted(50), None, None)
    assert (request.success, ecu.recv()) == (True, counted(50))
    assert isotp_wire.errors == []


def test_polled_layers_of_ones_own_wait_at_an_end(isotp_clock: HeldClock) -> None:
    """rxfn waits on the time of the test, so a loop that polls lets time pass."""
    wire = Wire(isotp_clock)
    ends = [wire.end(), wire.end()]
    tester, ecu = (
        isotp.TransportLayer(end.receive, end.send, address, params={"stmin": 20})
        for end, address in zip(ends, (TESTER, ECU), strict=True)
    )
    tester.clock = ecu.clock = isotp_clock
    tester.send(counted(20))
    while not ecu.available():
        for layer in (tester, ecu):
            layer.process(rx_timeout=0.005)
    assert ecu.recv() == counted(20)
    assert 40 <= isotp_clock.ms <= 60


def test_started_layers_of_ones_own_read_at_an_end() -> None:
    wire = Wire()
    ends = [wire.end(), wire.end()]
    tester, ecu = (
        isotp.TransportLayer(end.receive, end.send, address)
        for end, address in zip(ends, (TESTER, ECU), strict=True)
    )
    tester.start()
    ecu.start()
    try:
        tester.send(counted(200))
        assert ecu.recv(block=True, timeout=60) == counted(200)
    finally:
        tester.stop()
        ecu.stop()


def test_layers_of_two_threads_on_real_time() -> None:
    """Each message comes whole and in its order, whichever thread carries the frames."""
    with Wire() as wire:
        tester, ecu = wire.layer(TESTER), wire.layer(ECU)
        payloads = [counted(k) for k in range(1, 400, 7)]

        def answer() -> None:
            for _ in payloads:
                request = ecu.recv(block=True, timeout=60)
                assert request is not None
                ecu.send(request)

        thread = threading.Thread(target=answer)
        thread.start()
        for payload in payloads:
            tester.send(payload)
        assert [tester.recv(block=True, timeout=60) for _ in payloads] == payloads
        thread.join()
        assert wire.errors == []
        assert all(before.ms <= after.ms for before, after in pairwise(wire.frames))


def test_four_threads_send_at_once() -> None:
    with Wire() as wire:
        pairs = [isotp.Address(txid=0x100 + k, rxid=0x200 + k) for k in range(4)]
        senders = [wire.layer(pair) for pair in pairs]
        receivers = [wire.layer(pair.reversed()) for pair in pairs]

        def send(layer: isotp.TransportLayer) -> None:
            for _ in range(20):
                layer.send(counted(500))

        threads = [threading.Thread(target=send, args=(layer,)) for layer in senders]
        for thread in threads:
            thread.start()
        for layer in receivers:
            assert [layer.recv(block=True, timeout=60) for _ in range(20)] == [counted(500)] * 20
        for thread in threads:
            thread.join()


def test_a_full_wire_says_try_again() -> None:
    """Who is amid carrying may send on, but not without end."""
    wire = Wire(kept=0)
    here, there = wire.end(), wire.end()
    refused = []

    def flood(when: int, can_id: int, data: bytes, flags: int) -> None:
        there.on_frame = None
        try:
            for _ in range(65537):
                there.send_raw(0x2, b"")
        except TryAgain as error:
            refused.append(str(error))

    there.on_frame = flood
    here.send_raw(0x1, b"")
    assert refused == ["the wire takes no frame: it is jammed, or 65536 are on it"]
    assert here.waiting == 65536


def test_what_a_listener_raises_costs_no_other_frame() -> None:
    wire = Wire()
    here, there = wire.end(), wire.end()

    def fail(when: int, can_id: int, data: bytes, flags: int) -> None:
        there.on_frame = None
        raise RuntimeError("this one")

    there.on_frame = fail
    with pytest.raises(RuntimeError, match="this one"):
        here.send_raw(0x1, b"")
    here.send_raw(0x2, b"")
    came = there.receive()
    assert came is not None
    assert came.arbitration_id == 2


# ------------------------------------------------ layers of asyncio


def test_layers_in_an_event_loop() -> None:
    async def converse() -> bytes:
        with Wire() as wire:
            async with isotp.aio.Layer(wire, ECU) as ecu, isotp.aio.Layer(wire, TESTER) as tester:
                await tester.send(counted(100))
                await ecu.send((await ecu.recv())[::-1])
                return bytes(await tester.recv())

    assert asyncio.run(converse()) == counted(100)[::-1]


def test_a_layer_in_a_loop_and_one_of_threads() -> None:
    async def ask(wire: Wire) -> bytes:
        async with isotp.aio.Layer(wire, TESTER) as tester:
            await tester.send(counted(100))
            return bytes(await tester.recv())

    with Wire() as wire:
        ecu = wire.layer(ECU, on_message=lambda payload, address, when: ecu.send(payload[::-1]))
        assert asyncio.run(ask(wire)) == counted(100)[::-1]


def test_a_loop_that_was_closed_hears_no_more() -> None:
    async def leave(wire: Wire) -> isotp.aio.Layer:
        layer = isotp.aio.Layer(wire, TESTER)
        layer.start()
        return layer

    with Wire() as wire:
        layer = asyncio.run(leave(wire))
        wire.end().send_raw(0x7E8, b"\x01\x00")
        wire.end().send_raw(0x7E8, b"\x01\x00")
        assert layer.stats.frames_received == 0


def test_the_time_of_a_loop_is_real(isotp_wire: Wire) -> None:
    async def sit_on(wire: Wire) -> None:
        isotp.aio.Layer(wire, TESTER)

    with pytest.raises(ValueError, match="the time of an event loop is real"):
        asyncio.run(sit_on(isotp_wire))
