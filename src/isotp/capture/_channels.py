"""Numbers for the names of channels: frame records have no room for names."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable

# Named channels whose own number is taken are numbered from here on.
FIRST_FREE = 256


class Channels:
    """A table of channel names and their numbers, for one log or for several that belong together.

    A log that numbers its channels keeps the numbers, as python-can gives them: channel 1 of an ASC or BLF file is 0.
    A log that names them gets the number at the end of the name ("can1": 1), or, if another name has that number
    or there is none, the next free one from 256 on. So the usual names have the same number everywhere.

    :param numbers: names whose numbers are fixed from the start.
    """

    def __init__(self, numbers: dict[str, int] | None = None) -> None:
        self._lock = threading.Lock()
        self._numbers = dict(numbers or {})
        self._names = {number: name for name, number in self._numbers.items()}
        self._free = FIRST_FREE  # no number from FIRST_FREE up to it is free
        for name, number in self._numbers.items():
            if not 0 <= number <= 0xFFFF:
                raise ValueError(f"the number of a channel must be from 0 to 65535, not {number} of {name!r}")
        if len(self._names) < len(self._numbers):
            raise ValueError(f"two channels have the same number: {self._numbers!r}")

    def __reduce__(self) -> tuple[type[Channels], tuple[dict[str, int]]]:
        return Channels, (self.numbers,)

    def __repr__(self) -> str:
        return f"Channels({self._numbers!r})"

    def __getitem__(self, number: int) -> str | int:
        """The name of a channel; the number itself if the log has no names."""
        return self._names.get(number, number)

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each name, as a copy."""
        with self._lock:
            return dict(self._numbers)

    def number_of(self, name: str) -> int:
        """The number of a name; a new name gets one.

        :raises ValueError: if all 65536 numbers are taken.
        """
        with self._lock:
            if name not in self._numbers:
                number = self._number_for(name)
                self._numbers[name] = number
                self._names[number] = name
            return self._numbers[name]

    def _number_for(self, name: str) -> int:
        digits = re.search(r"[0-9]{1,3}$", name)
        if digits and int(digits[0]) < FIRST_FREE and int(digits[0]) not in self._names:
            return int(digits[0])
        while self._free in self._names:
            self._free += 1
        if self._free > 0xFFFF:
            raise ValueError(f"no number is left for channel {name!r}")
        return self._free

    def chosen(self, channels: Iterable[str | int] | None) -> list[int] | None:
        """The numbers of channels that are given by name or number; None (all) stays None."""
        if channels is None:
            return None
        if isinstance(channels, (str, int)):
            raise TypeError(f"channels must be several names or numbers, not {channels!r}")
        return [self.number_of(each) if isinstance(each, str) else each for each in channels]
