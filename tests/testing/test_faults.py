"""Faults of a wire: which frames they meet, and what becomes of these."""

from __future__ import annotations

import pytest

import isotp
from isotp.testing import HeldClock, Wire, WireFrame, assert_frames
from tests.frames import counted
from tests.testing.ends import ECU, TESTER

# FF, FC, three CFs
LONG = counted(27)


def send_long(wire: Wire, clock: HeldClock) -> bytes | None:
    """What an ECU has of a message that a tester sends it."""
    tester, ecu = wire.layer(TESTER, name="tester"), wire.layer(ECU, name="ecu")
    tester.send(LONG)
    received = ecu.recv(block=True, timeout=2)
    return None if received is None else bytes(received)


def reported(wire: Wire) -> list[type[Exception]]:
    return [type(error) for error in wire.errors]


@pytest.mark.parametrize(
    ("which", "lost"),
    [
        ("FF", [0]),
        ("FC", [1]),
        ("CF 2", [3]),
        ("7E0 CF 3", [4]),
        ("7E8 CF 3", []),
        ("7E0# 22 *", [3]),
        (4, [3]),
        (lambda frame: frame.data[0] == 0x23, [4]),
    ],
)
def test_which_frame_is_meant(
    isotp_wire: Wire, isotp_clock: HeldClock, which: object, lost: list[int]
) -> None:
    fault = isotp_wire.drop(which)  # type: ignore[arg-type]
    send_long(isotp_wire, isotp_clock)
    fates = [frame.fate for frame in isotp_wire.frames]
    assert [k for k, fate in enumerate(fates) if fate == "lost"] == lost
    assert fault.hits == len(lost)


def test_a_rule_is_for_each_message_unless_it_is_told_how_often(
    isotp_wire: Wire, isotp_clock: HeldClock
) -> None:
    fault = isotp_wire.drop("CF 3", times=2)
    tester, ecu = isotp_wire.layer(TESTER), isotp_wire.layer(ECU)
    received = []
    for _ in range(4):
        tester.send(LONG)
        received.append(ecu.recv(block=True, timeout=2))
    assert received == [None, None, LONG, LONG]
    assert fault.hits == 2


def test_a_share_of_the_frames_by_a_seed(isotp_clock: HeldClock) -> None:
    def lost(seed: int) -> list[bool]:
        wire = Wire(isotp_clock)
        end = wire.end()
        wire.drop(rate=0.3, seed=seed)
        for _ in range(200):
            end.send_raw(0x1, b"")
        return [frame.fate == "lost" for frame in wire.frames]

    assert lost(1) == lost(1) != lost(2)
    assert 30 < sum(lost(1)) < 90


def test_a_lost_frame_costs_the_message(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    isotp_wire.drop("CF 2")
    assert send_long(isotp_wire, isotp_clock) is None
    assert reported(isotp_wire) == [isotp.WrongSequenceNumberError]


def test_a_doubled_frame_is_a_wrong_one(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    isotp_wire.double("CF 2")
    assert send_long(isotp_wire, isotp_clock) is None
    assert reported(isotp_wire)[0] is isotp.WrongSequenceNumberError
    assert [frame.fate for frame in isotp_wire.frames].count("doubled") == 1


def test_a_frame_that_is_late_comes_at_its_time(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    isotp_wire.delay("FC", ms=800)
    assert send_long(isotp_wire, isotp_clock) == LONG
    assert isotp_clock.ms == 800
    assert_frames(isotp_wire.frames[:2], "@0 tester: FF\n@800 ecu: FC (delayed)")


def test_a_flow_control_that_is_too_late(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    isotp_wire.delay("FC", ms=1001)
    assert send_long(isotp_wire, isotp_clock) is None
    assert set(reported(isotp_wire)) == {
        isotp.FlowControlTimeoutError,
        isotp.ConsecutiveFrameTimeoutError,
        isotp.UnexpectedFlowControlError,
    }


def test_frames_out_of_order(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    isotp_wire.reorder("CF 1")
    assert send_long(isotp_wire, isotp_clock) is None
    assert [str(frame)[4:6] for frame in isotp_wire.frames] == ["10", "30", "22", "21", "23"]
    assert isotp_wire.frames[3].fate == "out of order"


def test_a_corrupt_byte(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    isotp_wire.corrupt("CF 2", at=0, value=0x25)
    assert send_long(isotp_wire, isotp_clock) is None
    assert reported(isotp_wire)[0] is isotp.WrongSequenceNumberError


def test_a_byte_with_its_bits_the_other_way_round(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    """Nothing in ISO-TP finds that out: the message is another one."""
    isotp_wire.corrupt("CF 1", at=1)
    received = send_long(isotp_wire, isotp_clock)
    assert received == LONG[:6] + bytes([LONG[6] ^ 0xFF]) + LONG[7:]


def test_a_frame_cut_short(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    isotp_wire.cut("FF", length=1)
    assert send_long(isotp_wire, isotp_clock) is None
    assert reported(isotp_wire)[0] is isotp.InvalidCanDataError


def test_a_wire_that_is_cut_and_mended(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    isotp_wire.drop()
    assert send_long(isotp_wire, isotp_clock) is None
    isotp_wire.heal()
    assert isotp_wire.layer(isotp.Address(txid=1, rxid=2)) is not None
    isotp_wire.end().send_raw(0x7E8, b"\x01\x00")
    assert isotp_wire.frames[-1].fate == ""


def test_a_wire_that_is_jammed(isotp_wire: Wire, isotp_clock: HeldClock) -> None:
    """Who sends waits for N_As; when the jam ends in time, nothing is lost."""
    tester, ecu = isotp_wire.layer(TESTER, params={"tx_frame_timeout": 300}), isotp_wire.layer(ECU)
    isotp_wire.jam()
    tester.send(LONG)
    isotp_clock.advance(299)
    isotp_wire.heal()
    assert ecu.recv(block=True, timeout=1) == LONG
    isotp_wire.jam()
    tester.send(LONG)
    isotp_clock.advance(301)
    assert reported(isotp_wire) == [isotp.TransmitTimeoutError]


def test_a_fault_that_is_ended_meets_no_frame(isotp_wire: Wire) -> None:
    end = isotp_wire.end()
    fault = isotp_wire.drop()
    end.send_raw(0x1, b"")
    fault.end()
    end.send_raw(0x1, b"")
    assert [frame.fate for frame in isotp_wire.frames] == ["lost", ""]
    assert fault.hits == 1


def test_the_place_of_n_pci_is_that_of_the_address(isotp_wire: Wire) -> None:
    tester = isotp.Address(
        isotp.AddressingMode.Extended_11bits, txid=0x6F1, rxid=0x612, target_address=0x12, source_address=0xF1
    )
    isotp_wire.drop("CF 1")
    isotp_wire.layer(tester, name="tester")
    isotp_wire.layer(tester.reversed(), name="ecu")
    isotp_wire.layer(tester).send(LONG)
    assert [(frame.kind, frame.fate) for frame in isotp_wire.frames][:3] == [
        ("FF", ""),
        ("FC", ""),
        ("CF", "lost"),
    ]


def test_real_time_delays_too() -> None:
    with Wire() as wire:
        tester, ecu = wire.layer(TESTER), wire.layer(ECU)
        wire.delay("FC", ms=1)
        tester.send(LONG)
        assert ecu.recv(block=True, timeout=60) == LONG


def test_what_a_rule_raises_comes_to_who_sends(isotp_wire: Wire) -> None:
    def rule(frame: WireFrame) -> bool:
        raise LookupError(str(frame))

    isotp_wire.drop(rule)
    with pytest.raises(LookupError, match="001#AA"):
        isotp_wire.end().send_raw(0x1, b"\xaa")


@pytest.mark.parametrize("which", ["XX", "CF three", "7E0# 1", "12345# 00", 0])
def test_a_rule_that_means_no_frame(which: str) -> None:
    with pytest.raises(ValueError, match=r"is no|counted from 1"):
        Wire().drop(which)


@pytest.mark.parametrize("how", [{"times": 0}, {"rate": 0}, {"rate": 1.5}])
def test_faults_that_never_happen(how: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not "):
        Wire().drop(**how)  # type: ignore[arg-type]


def test_a_delay_of_nothing() -> None:
    with pytest.raises(ValueError, match="longer than 0 ms"):
        Wire().delay("FC")
