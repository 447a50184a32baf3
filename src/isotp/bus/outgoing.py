"""The messages that layers give to python-can; importing this imports python-can."""

from __future__ import annotations

from typing import Any

import can

__all__ = ["OutgoingMessage"]


class OutgoingMessage(can.Message):
    """A `can.Message` that is copied in fewer steps: some buses, the virtual one among them, copy each.

    What it is copied to, or pickled as, is a plain `can.Message`.
    """

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any] | None) -> can.Message:
        return can.Message(*self._fields())

    def __reduce__(self) -> tuple[type[can.Message], tuple[Any, ...]]:
        return can.Message, self._fields()

    def _fields(self) -> tuple[Any, ...]:
        """What the constructor takes, in its order, with a copy of the data."""
        return (
            self.timestamp,
            self.arbitration_id,
            self.is_extended_id,
            self.is_remote_frame,
            self.is_error_frame,
            self.channel,
            self.dlc,
            self.data[:],
            self.is_fd,
            self.is_rx,
            self.bitrate_switch,
            self.error_state_indicator,
        )
