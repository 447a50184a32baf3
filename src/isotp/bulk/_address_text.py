"""Addresses in words, as all tables show them, and what frames of a session look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from isotp._can_ids import id_text
from isotp.address import AbstractAddress, Address, AddressingMode, TargetAddressType
from isotp.bulk._message import Direction

__all__ = ["Lane", "address_text", "can_id_text", "lanes_of"]

FIXED_MODES = (AddressingMode.NormalFixed_29bits, AddressingMode.Mixed_29bits)


def address_text(address: AbstractAddress) -> str:
    """The address as `--address` of the command takes it."""
    if isinstance(address, Address) and address.addressing_mode in FIXED_MODES:
        text = f"ta={address.target_address:02X},sa={address.source_address:02X}"
        if address.address_extension is not None:
            text += f",ae={address.address_extension:02X}"
        plain = Address(address.addressing_mode, target_address=0, source_address=0, address_extension=0)
        for name in ("physical_id", "functional_id"):
            if getattr(address, name) != getattr(plain, name):
                text += f",{name.removesuffix('_id')}={getattr(address, name):08X}"
        return text
    return _ids_text(address)


def _ids_text(address: AbstractAddress) -> str:
    lanes = [lane_of(address, direction) for direction in Direction]
    text = ":".join("" if lane is None else id_text(lane.can_id) for lane in lanes)
    present = [lane.extension for lane in lanes if lane is not None]
    if set(present) == {None}:
        return text
    if isinstance(address, Address) and address.address_extension is not None:
        return f"{text},ae={address.address_extension:02X}"
    return f"{text},ext=" + ":".join("" if byte is None else f"{byte:02X}" for byte in dict.fromkeys(present))


class Lane(NamedTuple):
    """What frames of a session look like: CAN ID with EFF_FLAG, as frame records have it, and the byte before N_PCI."""

    direction: Direction
    can_id: int
    extension: int | None

    @property
    def text(self) -> str:
        return id_text(self.can_id) + ("" if self.extension is None else f"/{self.extension:02X}")


def lane_of(address: AbstractAddress, direction: int, target_type: int = 0) -> Lane | None:
    """The lane of frames as the address sends or receives them; None for a direction that a partial address does not
    have."""
    side = address.tx_side() if direction == Direction.TX else address.rx_side()
    return None if side is None else Lane(Direction(direction), side.can_id(target_type), side.extension_byte)


def lanes_of(address: AbstractAddress) -> Iterator[Lane]:
    """All of them: both directions, physical and functional."""
    for direction in Direction:
        for target_type in TargetAddressType:
            if (lane := lane_of(address, direction, target_type)) is not None:
                yield lane


def can_id_text(address: AbstractAddress, direction: int, target_type: int) -> str:
    """CAN ID of the frames of one direction, with the byte in front; nothing if there is no such direction."""
    lane = lane_of(address, direction, target_type)
    return "" if lane is None else lane.text
