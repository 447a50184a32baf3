"""The parameter strict where a layer has more than frames to look after; tests/conformance has its rules one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

import isotp
from isotp import capture
from tests.frames import Bench, octets

FIXED = isotp.Address(isotp.AddressingMode.NormalFixed_29bits, target_address=0x10, source_address=0xF1)
FUNCTIONAL = "18DBF110#"
BEGIN, REST = "10 0A 00 01 02 03 04 05", "21 06 07 08 09"
MESSAGE = bytes(range(10))


def test_a_functional_message_does_not_go_where_the_physical_one_is_received() -> None:
    target = bytearray(10)
    bench = Bench(FIXED, strict=True)
    bench.layer.receive_into = lambda size: target
    bench.hear(BEGIN, FUNCTIONAL + "02 3E 80")
    assert bench.received() == [b"\x3e\x80"]
    bench.hear(REST)
    assert bench.layer.recv() is target
    assert target == MESSAGE
    assert bench.complaints() == []


def test_what_is_ignored_leaves_the_target_alone() -> None:
    pieces: list[bytes] = []
    bench = Bench(strict=True)
    bench.layer.receive_into = lambda size: pieces.append
    bench.hear(BEGIN, "40", "05", "10 03 00*6", REST)
    assert b"".join(pieces) == MESSAGE
    assert bench.complaints() == [isotp.InvalidCanDataError] * 3


def test_an_interruption_is_told_once() -> None:
    bench = Bench(FIXED, strict=True)
    bench.hear(BEGIN, "02 3E 00")
    assert bench.complaints() == [isotp.ReceptionInterruptedWithSingleFrameError]
    bench.hear(FUNCTIONAL + "02 3E 80")
    assert bench.complaints() == []
    assert bench.received() == [b"\x3e\x00", b"\x3e\x80"]


class Choosy(isotp.Address):
    """Takes frames by a rule of its own."""

    def is_for_me(self, msg: isotp.CanMessage) -> bool:
        return super().is_for_me(msg) and msg.data[-1:] != b"\xff"


def test_an_address_with_rules_of_its_own() -> None:
    address = Choosy(isotp.AddressingMode.NormalFixed_29bits, target_address=0x10, source_address=0xF1)
    bench = Bench(address, strict=True)
    bench.hear(BEGIN, FUNCTIONAL + "02 3E 80", FUNCTIONAL + "02 3E FF", FUNCTIONAL + "21 06", REST)
    assert bench.received() == [b"\x3e\x80", MESSAGE]
    assert bench.complaints() == [isotp.InvalidCanDataError]


@pytest.mark.parametrize("strict", [False, True])
def test_another_address_and_another_mode_on_the_way(strict: bool) -> None:
    bench = Bench(strict=not strict)
    bench.address = FIXED
    bench.layer.set_address(FIXED)
    bench.layer.params.strict = strict
    bench.hear(BEGIN, FUNCTIONAL + "02 3E 80", REST)
    assert bench.received() == [b"\x3e\x80", *([MESSAGE] if strict else [])]


def test_a_log_is_decoded_strictly(tmp_path: Path) -> None:
    log = tmp_path / "drive.log"
    frames = ("7E8", BEGIN), ("7E8", "40"), ("7E8", REST)
    log.write_text(
        "".join(f"({k}.000000) can0 {name}#{octets(data).hex()}\n" for k, (name, data) in enumerate(frames))
    )
    address = isotp.Address(txid=0x7E0, rxid=0x7E8)

    def decoded(strict: bool) -> list[bytes]:
        with capture.decode(log, [address], rx_consecutive_frame_timeout=5000, strict=strict) as decoding:
            return [
                bytes(row.payload)
                for table in decoding
                for row in table
                if row.status is isotp.MessageStatus.OK
            ]

    assert decoded(strict=True) == [MESSAGE]
    assert decoded(strict=False) == []
