"""What a layer has counted: a value, taken at one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["Stats"]


@dataclass(frozen=True)
class Stats:
    """What a layer has counted since it was made, or since its `reset_stats()`. ``layer.stats`` gives one.

    You can add two of them: counts add up, and the highest fill of each queue is kept.
    """

    frames_received: int = 0
    """Frames that were brought to the layer."""
    frames_for_us: int = 0
    """Those of them that its address accepts."""
    frames_received_natively: int = 0
    """Those that the compiled driver of CAN sockets brought; the others came by rxfn or python-can."""
    frames_sent: int = 0
    """Frames that the bus took."""
    frames_sent_natively: int = 0
    """Those of them that the compiled driver of CAN sockets sent; the others went by txfn or python-can."""
    messages_received: int = 0
    """Complete messages."""
    bytes_received: int = 0
    """Their payload."""
    messages_sent: int = 0
    """Messages whose last frame was sent."""
    bytes_sent: int = 0
    """Their payload."""
    flow_controls_received: int = 0
    """Flow Controls, well-formed ones, of any FlowStatus."""
    waits_received: int = 0
    """Those of them with FlowStatus Wait."""
    flow_controls_sent: int = 0
    """Flow Controls that were sent, of any FlowStatus."""
    retries: int = 0
    """Times that the bus had no room for a frame (TryAgain, a full queue), so that it was sent again later."""
    throttled: int = 0
    """Frames that the rate limiter held back."""
    rx_queue_most: int = 0
    """Most received messages that ever waited for recv() at the same time."""
    tx_queue_most: int = 0
    """Most messages that ever waited to be sent at the same time."""
    inbox_most: int = 0
    """Most received frames that ever waited for a started layer at the same time."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Errors reported, by the name of their class."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """What was lost for lack of room, by its kind."""

    def as_dict(self) -> dict[str, Any]:
        """All counts as plain values, for example for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}

    def __add__(self, other: Stats) -> Stats:
        if not isinstance(other, Stats):
            return NotImplemented
        return Stats(
            **{
                each.name: _together(each.name, getattr(self, each.name), getattr(other, each.name))
                for each in fields(self)
            }
        )

    @classmethod
    def sum(cls, parts: Iterable[Stats]) -> Stats:
        """All parts added."""
        return sum(parts, cls())

    def summary(self) -> str:
        """The main counts in a few words."""
        words = (
            f"in {self.frames_for_us} frames {self.messages_received} messages,"
            f" out {self.frames_sent} frames {self.messages_sent} messages"
        )
        for name, counts in (("errors", self.errors), ("dropped", self.dropped)):
            if counts:
                words += f", {sum(counts.values())} {name}"
        return words

    def __repr__(self) -> str:
        """The counts that are not zero."""
        counted = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items() if value)
        return f"{type(self).__name__}({counted})"


def _together(name: str, one: Any, other: Any) -> Any:
    if isinstance(one, Mapping):
        return dict(Counter(one) + Counter(other))
    return max(one, other) if name.endswith("_most") else one + other
