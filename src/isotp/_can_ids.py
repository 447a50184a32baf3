"""CAN identifiers and flags of frames as SocketCAN has them (linux/can.h), and an identifier as text."""

from __future__ import annotations

from typing import Final

__all__ = ["BRS", "EFF_FLAG", "EFF_MASK", "ERR_FLAG", "ESI", "FDF", "RTR_FLAG", "SENT", "SFF_MASK", "id_text"]

EFF_FLAG: Final = 0x80000000  # it has 29 bits
RTR_FLAG: Final = 0x40000000
ERR_FLAG: Final = 0x20000000
EFF_MASK: Final = 0x1FFFFFFF
SFF_MASK: Final = 0x7FF
# Flags of CAN FD, and one of frame records: who wrote the log has sent the frame.
BRS, ESI, FDF, SENT = 0x01, 0x02, 0x04, 0x80


def id_text(can_id: int) -> str:
    """As can-utils has it: three digits for 11 bits, eight for the 29 of an identifier with EFF_FLAG."""
    return f"{can_id & EFF_MASK:08X}" if can_id & EFF_FLAG else f"{can_id:03X}"
