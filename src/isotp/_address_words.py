"""Addresses in words, as options and files have them; `isotp.bulk._address_text` writes them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from isotp.address import AbstractAddress, Address, AddressingMode, AsymmetricAddress

__all__ = ["CHANNEL_SYNTAX", "SYNTAX", "ChannelAddress", "parse_address"]

SYNTAX = (
    "TX:RX, two CAN IDs in hex, 11 bits with up to 3 digits and 29 bits with 8, or TX: or :RX for one direction alone;"
    " then, after commas, ext=N_TA[:N_SA] or ae=N_AE; or ta=N_TA,sa=N_SA for normal fixed and, with ae=N_AE, mixed"
    " 29 bit addressing"
)
CHANNEL_SYNTAX = f"{SYNTAX}; @CHANNEL at the end for one channel only"

# What may stand beside what, and the addressing mode it means; the first is for 11 bits, the second for 29.
MODES = {
    frozenset({"ids"}): (AddressingMode.Normal_11bits, AddressingMode.Normal_29bits),
    frozenset({"ids", "ext"}): (AddressingMode.Extended_11bits, AddressingMode.Extended_29bits),
    frozenset({"ids", "ae"}): (AddressingMode.Mixed_11bits, None),
    frozenset({"ta", "sa"}): (None, AddressingMode.NormalFixed_29bits),
    frozenset({"ta", "sa", "ae"}): (None, AddressingMode.Mixed_29bits),
}
BASES = frozenset({"physical", "functional"})


class ChannelAddress(NamedTuple):
    """An address, and the name of the one channel that it is used on; None: all."""

    address: AbstractAddress
    channel: str | None


def parse_address(text: str) -> ChannelAddress:
    """The address that `text` writes in CHANNEL_SYNTAX.

    :raises ValueError: if it does not.
    """
    try:
        return _parse(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: {error}. An address is {CHANNEL_SYNTAX}") from None


def _parse(text: str) -> ChannelAddress:
    words, _, channel = text.partition("@")
    fields: dict[str, str] = {}
    for word in words.split(","):
        name, equals, value = word.partition("=")
        name, value = (name.strip().lower(), value.strip()) if equals else ("ids", word.strip())
        if name in fields:
            raise ValueError(f"{name} is given twice")
        fields[name] = value
    modes = MODES.get(frozenset(fields) - BASES)
    if modes is None:
        raise ValueError(f"{', '.join(sorted(fields))} do not go together")
    if "ids" not in fields:
        return ChannelAddress(_fixed_address(fields, modes[1]), channel or None)
    if BASES & fields.keys():
        raise ValueError("physical and functional go with ta and sa only")
    return ChannelAddress(_address_of_ids(fields, modes), channel or None)


def _fixed_address(fields: dict[str, str], mode: AddressingMode | None) -> Address:
    assert mode is not None
    return Address(
        mode,
        target_address=_byte(fields["ta"]),
        source_address=_byte(fields["sa"]),
        address_extension=_byte(fields["ae"]) if "ae" in fields else None,
        physical_id=_can_id(fields["physical"])[0] if "physical" in fields else None,
        functional_id=_can_id(fields["functional"])[0] if "functional" in fields else None,
    )


def _address_of_ids(
    fields: dict[str, str], modes: tuple[AddressingMode | None, AddressingMode | None]
) -> AbstractAddress:
    tx, colon, rx = (part.strip() for part in fields["ids"].partition(":"))
    if not colon:
        raise ValueError("there is no colon between two CAN IDs, or beside one")
    if not tx and not rx:
        raise ValueError("there is no CAN ID")
    # As can-utils has it: the same byte both ways if only one is given.
    sent, _, heard = fields.get("ext", "").partition(":")
    rest: dict[str, Any] = {
        "target_address": _byte(sent) if sent and tx else None,
        "source_address": _byte(heard or sent) if sent and rx else None,
        "address_extension": _byte(fields["ae"]) if "ae" in fields else None,
    }
    sides = {name: _can_id(text) for name, text in (("txid", tx), ("rxid", rx)) if text}
    kinds = {modes[is_wide] for _, is_wide in sides.values()}
    if None in kinds:
        raise ValueError("mixed addressing with 29 bits is written ta=N_TA,sa=N_SA,ae=N_AE")
    if len(kinds) == 1:
        ids: dict[str, Any] = {name: can_id for name, (can_id, _) in sides.items()}
        return Address(kinds.pop() or 0, **ids, **rest, tx_only=not rx, rx_only=not tx)
    (txid, tx_is_wide), (rxid, rx_is_wide) = sides["txid"], sides["rxid"]
    return AsymmetricAddress(
        Address(modes[tx_is_wide] or 0, txid=txid, tx_only=True, **rest),
        Address(modes[rx_is_wide] or 0, rxid=rxid, rx_only=True, **rest),
    )


def _can_id(text: str) -> tuple[int, bool]:
    """A CAN ID, and whether it has 29 bits."""
    digits = text.strip().lower().removeprefix("0x")
    if not re.fullmatch("[0-9a-f]{1,3}|[0-9a-f]{8}", digits):
        raise ValueError(f"{text!r} is no CAN ID of up to 3 or of 8 hexadecimal digits")
    return int(digits, 16), len(digits) == 8


def _byte(text: str) -> int:
    digits = text.strip().lower().removeprefix("0x")
    if not re.fullmatch("[0-9a-f]{1,2}", digits):
        raise ValueError(f"{text!r} is no byte of 1 or 2 hexadecimal digits")
    return int(digits, 16)
