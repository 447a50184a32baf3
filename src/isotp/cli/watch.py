"""The messages of sessions between others, as they end on a bus: nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isotp._bulk import Reassembler
from isotp._messages import Messages
from isotp._records import Records
from isotp.address import AbstractAddress, TargetAddressType
from isotp.cli.addresses import sides_of
from isotp.cli.wires import Wire, frames_of

__all__ = ["identifiers_of", "messages_on"]


def identifiers_of(addresses: Sequence[AbstractAddress]) -> set[int]:
    """The CAN IDs of both directions."""
    return {
        side.can_id(kind)
        for address in addresses
        for side in sides_of(address)
        for kind in TargetAddressType
        if side is not None
    }


def messages_on(
    wire: Wire, addresses: Sequence[AbstractAddress], n_cr: float, quiet: float | None
) -> Iterator[Messages]:
    """Tables of messages as they end, until no frame came for `quiet` seconds; those that were open then, at last.

    Empty ones now and then, while nothing comes.
    """
    reassembler = Reassembler(addresses, rx_consecutive_frame_timeout=n_cr)
    try:
        for frames in frames_of(wire, quiet):
            records = Records("fd", len(frames))
            for frame in frames:
                records.append(*frame)
            yield reassembler.feed(records)
    except KeyboardInterrupt:
        pass
    yield reassembler.flush()
