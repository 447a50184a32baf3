"""Addresses in words: every addressing mode can be written, and is written back in the same words."""

from __future__ import annotations

import re

import pytest

import isotp
from isotp import Address, AddressingMode
from isotp._address_words import CHANNEL_SYNTAX, ChannelAddress, parse_address
from isotp.bulk._address_text import address_text, can_id_text

WRITTEN = {
    "7E0:7E8": Address(AddressingMode.Normal_11bits, txid=0x7E0, rxid=0x7E8),
    "001:002": Address(AddressingMode.Normal_11bits, txid=1, rxid=2),
    "18DA10F1:18DAF110": Address(AddressingMode.Normal_29bits, txid=0x18DA10F1, rxid=0x18DAF110),
    "000007E0:000007E8": Address(AddressingMode.Normal_29bits, txid=0x7E0, rxid=0x7E8),
    "6F1:640,ext=40:F1": Address(
        AddressingMode.Extended_11bits, txid=0x6F1, rxid=0x640, target_address=0x40, source_address=0xF1
    ),
    "6F1:640,ext=40": Address(
        AddressingMode.Extended_11bits, txid=0x6F1, rxid=0x640, target_address=0x40, source_address=0x40
    ),
    "18DA10F1:18DAF110,ext=01:02": Address(
        AddressingMode.Extended_29bits, txid=0x18DA10F1, rxid=0x18DAF110, target_address=1, source_address=2
    ),
    "7E0:7E8,ae=99": Address(AddressingMode.Mixed_11bits, txid=0x7E0, rxid=0x7E8, address_extension=0x99),
    "ta=10,sa=F1": Address(AddressingMode.NormalFixed_29bits, target_address=0x10, source_address=0xF1),
    "ta=10,sa=F1,ae=55": Address(
        AddressingMode.Mixed_29bits, target_address=0x10, source_address=0xF1, address_extension=0x55
    ),
    "ta=10,sa=F1,physical=18EA0000,functional=18EB0000": Address(
        AddressingMode.NormalFixed_29bits,
        target_address=0x10,
        source_address=0xF1,
        physical_id=0x18EA0000,
        functional_id=0x18EB0000,
    ),
    "7DF:": Address(AddressingMode.Normal_11bits, txid=0x7DF, tx_only=True),
    ":18DAF110": Address(AddressingMode.Normal_29bits, rxid=0x18DAF110, rx_only=True),
    "7E0:18DAF110": isotp.AsymmetricAddress(
        Address(AddressingMode.Normal_11bits, txid=0x7E0, tx_only=True),
        Address(AddressingMode.Normal_29bits, rxid=0x18DAF110, rx_only=True),
    ),
}


@pytest.mark.parametrize(("text", "address"), WRITTEN.items(), ids=WRITTEN.keys())
def test_each_mode_can_be_written(text: str, address: isotp.address.AbstractAddress) -> None:
    assert parse_address(text) == ChannelAddress(address, None)
    assert address_text(address) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("0x7e0:0x7e8", "7E0:7E8"),
        (" 7e0 : 7e8 ", "7E0:7E8"),
        ("1:2", "001:002"),
        ("6F1:640,ext=F1:F1", "6F1:640,ext=F1"),
        ("sa=f1,ta=0x10", "ta=10,sa=F1"),
        ("ta=10,sa=F1,physical=18DA0000", "ta=10,sa=F1"),
    ],
)
def test_other_spellings(text: str, same: str) -> None:
    assert address_text(parse_address(text).address) == same


def test_channel() -> None:
    assert parse_address("7E0:7E8@can1") == (WRITTEN["7E0:7E8"], "can1")
    assert parse_address("ta=10,sa=F1@0").channel == "0"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no colon"),
        ("7DF", "no colon"),
        (":", "there is no CAN ID"),
        ("7E0:7E0", "must differ"),
        ("1234:5678", "'1234' is no CAN ID"),
        ("800:801", "'800'|0x800"),
        ("20000000:1", "0x20000000"),
        ("7E0:7E8,ext=100", "'100' is no byte"),
        ("7E0:7E8,ext=", "target_address and source_address|target_address must"),
        ("7E0:7E8,ae=x", "'x' is no byte"),
        ("7E0:7E8,ae=1,ext=2", "do not go together"),
        ("7E0:7E8,ta=1,sa=2", "do not go together"),
        ("ta=1", "do not go together"),
        ("ta=1,ta=2,sa=3", "ta is given twice"),
        ("7E0:7E8,color=1", "do not go together"),
        ("7E0:7E8,physical=18DA0000", "physical and functional go with"),
        ("18DA10F1:18DAF110,ae=1", "written ta=N_TA,sa=N_SA,ae=N_AE"),
    ],
)
def test_anything_else_is_refused_with_the_reason_and_the_syntax(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        parse_address(text)
    assert str(refusal.value).startswith(f"{text!r} is no address: ")
    assert CHANNEL_SYNTAX in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "direction", "target_type", "shown"),
    [
        ("7E0:7E8", 0, 0, "7E0"),
        ("7E0:7E8", 1, 0, "7E8"),
        ("6F1:640,ext=40:F1", 0, 0, "6F1/40"),
        ("6F1:640,ext=40:F1", 1, 0, "640/F1"),
        ("ta=10,sa=F1", 0, 1, "18DB10F1"),
        ("ta=10,sa=F1", 1, 0, "18DAF110"),
        ("7DF:", 0, 0, "7DF"),
        ("7DF:", 1, 0, ""),
        (":640,ext=40:F1", 1, 0, "640/F1"),
    ],
)
def test_can_id_of_a_message(text: str, direction: int, target_type: int, shown: str) -> None:
    assert can_id_text(parse_address(text).address, direction, target_type) == shown


def test_the_syntax_has_each_word() -> None:
    assert {
        word for word in ("ext=", "ae=", "ta=", "sa=", "@") if not re.search(word, CHANNEL_SYNTAX)
    } == set()
