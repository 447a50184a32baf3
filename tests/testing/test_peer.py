"""Peer: the other end of a session does what its story says, and tells what came otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import isotp
from isotp.testing import HeldClock, Peer, Wire, assert_frames
from tests.frames import counted
from tests.testing.ends import ECU, TESTER

MakePeer = Callable[..., Peer]


def test_wait_frames_then_a_block_then_silence(
    isotp_wire: Wire, isotp_clock: HeldClock, isotp_peer: MakePeer
) -> None:
    isotp_peer(
        ECU,
        """
        < FF
        > WAIT
        wait 100
        > WAIT
        wait 100
        > WAIT
        > CTS bs=4 stmin=1
        < CF x4
        silent
        """,
    )
    isotp_wire.layer(TESTER, name="tester", params={"wftmax": 3}).send(counted(100))
    isotp_clock.advance(2000)
    assert_frames(
        isotp_wire,
        """
        @0   tester: FF
        @0   peer:   7E8# 31 00 00
        @100 peer:   WAIT
        @200 peer:   WAIT
        @200 peer:   7E8# 30 04 01
        @201 tester: 21 *
        @202 tester: 22 *
        @203 tester: 23 *
        @204 tester: 24 *
        """,
    )
    assert [type(error) for error in isotp_wire.errors] == [isotp.FlowControlTimeoutError]


def test_requests_and_answers_of_any_length(isotp_wire: Wire, isotp_peer: MakePeer) -> None:
    ecu = isotp_peer(
        ECU,
        """
        get 36 01 *
        send 76 01
        get 22 F1 90
        send 62 F1 90 41*17
        """,
        params={"blocksize": 2},
    )
    tester = isotp_wire.layer(TESTER)
    tester.send(b"\x36\x01" + counted(100))
    assert tester.recv() == b"\x76\x01"
    tester.send(b"\x22\xf1\x90")
    assert tester.recv() == b"\x62\xf1\x90" + b"A" * 17
    assert ecu.is_done
    assert ecu.received == [b"\x36\x01" + counted(100), b"\x22\xf1\x90"]


def test_an_answer_with_a_wrong_sequence_number(isotp_wire: Wire, isotp_peer: MakePeer) -> None:
    isotp_peer(ECU, "< SF\n> 10 14 62 F1 90 41*3\n< CTS\n> 21 41*7\n> 23 41*7")
    tester = isotp_wire.layer(TESTER)
    tester.send(b"\x22\xf1\x90")
    assert tester.recv() is None
    assert [type(error) for error in isotp_wire.errors] == [isotp.WrongSequenceNumberError]


def test_a_consecutive_frame_that_is_late(
    isotp_wire: Wire, isotp_clock: HeldClock, isotp_peer: MakePeer
) -> None:
    isotp_wire.layer(TESTER)
    isotp_peer(ECU, "> 10 14 62 F1 90 41*3\n< FC\n> 21 41*7\nwait 1500\n> 22 41*7")
    isotp_clock.advance(2000)
    assert [type(error) for error in isotp_wire.errors] == [
        isotp.ConsecutiveFrameTimeoutError,
        isotp.UnexpectedConsecutiveFrameError,
    ]


def test_overflow(isotp_wire: Wire, isotp_peer: MakePeer) -> None:
    isotp_peer(ECU, "< FF\n> OVFLW")
    isotp_wire.layer(TESTER).send(counted(20))
    assert [type(error) for error in isotp_wire.errors] == [isotp.OverflowError]


def test_the_functional_address(isotp_wire: Wire, isotp_peer: MakePeer) -> None:
    isotp_peer(ECU, "< 7DF# 02 3E 00\n> 02 7E 00\n> 7EA# 02 7E 00")
    everyone = isotp_wire.layer(isotp.Address(txid=0x7DF, rxid=0x7EA))
    tester = isotp_wire.layer(TESTER)
    everyone.send(b"\x3e\x00", isotp.TargetAddressType.Functional)
    assert (tester.recv(), everyone.recv()) == (b"\x7e\x00", b"\x7e\x00")


def test_whole_messages_on_the_functional_address(isotp_wire: Wire, isotp_peer: MakePeer) -> None:
    everyone = isotp.Address(txid=0x7DF, rxid=0x7FF)
    isotp_peer(ECU, "get 3E 00\nsend 7E 00", also=[everyone.reversed()])
    tester = isotp_wire.layer(TESTER)
    isotp_wire.layer(everyone).send(b"\x3e\x00", isotp.TargetAddressType.Functional)
    assert tester.recv() == b"\x7e\x00"


def test_a_story_that_begins_anew(isotp_wire: Wire, isotp_peer: MakePeer) -> None:
    isotp_wire.layer(TESTER)
    ecu = isotp_peer(ECU, "get 3E 00\nsend 7E 00\nagain")
    tester = isotp_wire.layer(TESTER)
    for _ in range(5):
        tester.send(b"\x3e\x00")
        assert tester.recv() == b"\x7e\x00"
    ecu.play("")


def test_what_comes_while_the_story_rests_is_heard_after(
    isotp_wire: Wire, isotp_clock: HeldClock, isotp_peer: MakePeer
) -> None:
    isotp_peer(ECU, "wait 50\nget 22 F1 90\nsend 62 F1 90 00")
    tester = isotp_wire.layer(TESTER)
    tester.send(b"\x22\xf1\x90")
    assert tester.recv(block=True, timeout=1) == b"\x62\xf1\x90\x00"
    assert isotp_clock.ms == 50


def test_addresses_with_a_byte_of_their_own(isotp_wire: Wire, isotp_peer: MakePeer) -> None:
    tester = isotp.Address(
        isotp.AddressingMode.Extended_11bits, txid=0x6F1, rxid=0x612, target_address=0x12, source_address=0xF1
    )
    isotp_peer(tester.reversed(), "< FF\n> CTS\n< CF\n< CF\n> 12 01 50\nsend 50")
    layer = isotp_wire.layer(tester)
    isotp_wire.end().send_raw(0x6F1, b"\x13\x02\x00\x00")  # for another ECU
    layer.send(counted(15))
    assert layer.recv() == b"\x50"


def test_real_time() -> None:
    with Wire() as wire:
        peer = Peer(wire, ECU, "get 22 *\nwait 1\nsend 62 00*20")
        tester = wire.layer(TESTER)
        tester.send(b"\x22\xf1\x90")
        assert tester.recv(block=True, timeout=60) == b"\x62" + bytes(20)
        peer.check()


# ------------------------------------------------ what came otherwise


def problem(peer: Peer) -> str:
    with pytest.raises(AssertionError) as failure:
        peer.check()
    return str(failure.value).splitlines()[1]


@pytest.fixture
def tester(isotp_wire: Wire) -> isotp.TransportLayer:
    return isotp_wire.layer(TESTER)


@pytest.mark.parametrize(
    ("story", "told"),
    [
        ("< 02 3E 01", "line 1: < 02 3E 01; but 02 3E 00 came"),
        ("get 3E 01", "line 1: get 3E 01; but 3E 00 came"),
        ("< 02 3E 00\n\n< FF", "the story did not come to its end, it is at line 3: < FF"),
        ("< SF\nwait 5", "the story did not come to its end, it is at line 2: wait 5"),
        ("< SF\nsend 62 00*20", "the story did not come to its end, it is at line 2: send 62 00*20"),
    ],
)
def test_a_frame_that_is_not_in_the_story(
    isotp_wire: Wire, tester: isotp.TransportLayer, story: str, told: str
) -> None:
    isotp_wire.drop("7E0 FC")
    peer = Peer(isotp_wire, ECU, story)
    tester.send(b"\x3e\x00")
    assert problem(peer) == told


def test_a_message_that_could_not_be_sent(
    isotp_wire: Wire, isotp_clock: HeldClock, tester: isotp.TransportLayer
) -> None:
    isotp_wire.drop("7E0 FC")
    peer = Peer(isotp_wire, ECU, "send 62 00*20")
    isotp_clock.advance(1000)
    assert problem(peer).startswith("line 1: send 62 00*20; but it was not sent: FlowControlTimeoutError")
    assert [type(error) for error in peer.errors] == [isotp.FlowControlTimeoutError]


def test_a_peer_that_was_closed_hears_nothing(isotp_wire: Wire, tester: isotp.TransportLayer) -> None:
    peer = Peer(isotp_wire, ECU, "< SF")
    peer.close()
    tester.send(b"\x3e\x00")
    assert not peer.is_done
    assert repr(peer) == "<Peer peer, line 1: < SF>"


@pytest.mark.parametrize(
    "story", ["hear FF", "< 1", "> 1", "> CTS bs=x", "send 1", "get 1", "wait long", "> 01 00\nagain"]
)
def test_a_line_that_nobody_can_do(isotp_wire: Wire, story: str) -> None:
    with pytest.raises(ValueError, match=r"line 1|never end"):
        Peer(isotp_wire, ECU, story)


def test_an_address_for_one_direction(isotp_wire: Wire) -> None:
    with pytest.raises(ValueError, match="sends and hears"):
        Peer(isotp_wire, isotp.Address(txid=0x7DF, tx_only=True))
