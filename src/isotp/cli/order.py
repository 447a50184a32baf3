"""Whether logs that are read one after the other are in their order: their times tell."""

from __future__ import annotations

from isotp.bulk._records import Records, times_back
from isotp.cli.shown.words import time_text

__all__ = ["Order"]

# ns that times may go back within a log before that is told: buses of one log may be some ms apart.
MOST_WITHIN = 1_000_000_000


class Order:
    """Looks at the times of all frames of logs, in the order in which they are read."""

    def __init__(self) -> None:
        self._ended: tuple[str, int] | None = None  # the log before, and its latest time
        self._name = ""
        self._latest: int | None = None
        self._told = False
        self.lines: list[str] = []

    def begin(self, name: str) -> None:
        """The next frames are of this log."""
        if self._latest is not None:
            self._ended = self._name, self._latest
        self._name, self._latest, self._told = name, None, False

    def look(self, records: Records) -> None:
        if not len(records):
            return
        if self._latest is None:
            self._latest = records[0].timestamp
            self._compare(self._latest)
        back, self._latest = times_back(records, self._latest)
        if back > MOST_WITHIN and not self._told:
            self._told = True
            self.lines.append(f"times run backwards in {self._name}, by {time_text(back)}")

    def _compare(self, first: int) -> None:
        if self._ended is not None and first < self._ended[1]:
            name, end = self._ended
            self.lines.append(
                f"times run backwards: {self._name} begins {time_text(end - first)} before {name} ends;"
                " --merge reads logs of the same time as one"
            )
