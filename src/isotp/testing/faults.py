"""What a wire does to frames: which ones, and what becomes of them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from isotp.testing.frames import FATES, Pattern, WireFrame, parse_id

__all__ = ["Fault", "Faults", "Which"]

Which: TypeAlias = "str | int | Callable[[WireFrame], bool] | None"
# Who sent it, what becomes of it (a place in FATES), identifier, data, flags of CAN FD
Verdict: TypeAlias = "list[tuple[int, int, int, bytes, int]]"

_RULE = re.compile(
    r"(?:(?P<id>[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})\s+)?(?P<kind>SF|FF|CF|FC)(?:\s+(?P<place>\d+))?"
)


@dataclass(frozen=True)
class _Passing:
    """A frame as it comes to the faults."""

    frame: WireFrame
    when: int
    number: int  # of all that were sent since a fault was made, from 1
    place: int  # among the frames of its kind in its message, from 1
    sender: int
    flags: int

    def as_is(self, fate: str = "", data: bytes | None = None) -> tuple[int, int, int, bytes, int]:
        data = self.frame.data if data is None else data
        return (self.sender, FATES.index(fate), self.frame.can_id, data, self.flags)


def _chosen(which: Which) -> Callable[[_Passing], bool]:
    """What tells the frames that are meant.

    :raises ValueError: if `which` is written in no way that is known.
    """
    if which is None:
        return lambda passing: True
    if callable(which):
        return lambda passing: which(passing.frame)
    if isinstance(which, int):
        if which < 1:
            raise ValueError(f"frames are counted from 1, not from {which}")
        return lambda passing: passing.number == which
    rule = _RULE.fullmatch(which.strip())
    if rule is None:
        pattern = Pattern.parse(which)
        return lambda passing: pattern.matches(passing.frame.can_id, passing.frame.data, passing.frame.n_pci)
    kind, place = rule["kind"], int(rule["place"] or 0)
    can_id = parse_id(rule["id"]) if rule["id"] else None
    return lambda passing: (
        passing.frame.kind == kind and place in (0, passing.place) and can_id in (None, passing.frame.can_id)
    )


@dataclass
class Fault:
    """One thing that is wrong with a wire, until :meth:`end`.

    `hits` is how many frames it has met.
    """

    act: Callable[[_Passing], Verdict]
    chooses: Callable[[_Passing], bool]
    times: int | None
    rate: float
    seed: int
    hits: int = 0
    first: int = 0  # frames that had gone before it was made
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.times is not None and self.times < 1:
            raise ValueError(f"a fault happens once or more often, not {self.times} times")
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate is a share of the frames, from 0 to 1, not {self.rate}")
        self._random = random.Random(self.seed)

    def end(self) -> None:
        """Meet no frame any more."""
        self.times = self.hits

    def meets(self, passing: _Passing) -> bool:
        if self.times is not None and self.hits >= self.times:
            return False
        if not self.chooses(passing) or (self.rate < 1 and self._random.random() >= self.rate):
            return False
        self.hits += 1
        return True


class Faults:
    """All that is wrong with a wire.

    `which` says what frames are meant:

    - ``"CF 3"``: the third Consecutive Frame of each message; ``"FF"``, ``"FC"``: each; ``"7E8 CF 3"``: with an
      identifier;
    - ``"7E8# 03 7F .. 78"``: frames like this, see :class:`Pattern`;
    - ``5``: the fifth frame from now on;
    - a function that is given a :class:`WireFrame` and says whether it is one;
    - None: all.

    `times` is how often it happens, None: each time; `rate` the share of these frames that it happens to, drawn with
    `seed`. The first fault that meets a frame decides what becomes of it.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._sent = 0
        self._places: dict[tuple[str, str], int] = {}
        self._held_back: dict[int, _Passing] = {}

    def drop(self, which: Which = None, *, times: int | None = None, rate: float = 1, seed: int = 0) -> Fault:
        """Lose frames; all of them is a wire that is cut."""
        return self._add(lambda passing: [passing.as_is("lost")], which, times, rate, seed)

    def double(
        self, which: Which = None, *, times: int | None = None, rate: float = 1, seed: int = 0
    ) -> Fault:
        """Have frames come twice."""
        return self._add(
            lambda passing: [passing.as_is(), passing.as_is("doubled")], which, times, rate, seed
        )

    def delay(
        self, which: Which = None, ms: float = 0, *, times: int | None = None, rate: float = 1, seed: int = 0
    ) -> Fault:
        """Have frames come so many milliseconds late; others go past them."""
        if not ms > 0:
            raise ValueError(f"a delay is longer than 0 ms, not {ms!r}")

        def act(passing: _Passing) -> Verdict:
            self._inject_at(passing.when + round(ms * 1e6), passing.as_is("delayed"))
            return []

        return self._add(act, which, times, rate, seed)

    def reorder(
        self, which: Which = None, *, times: int | None = None, rate: float = 1, seed: int = 0
    ) -> Fault:
        """Have frames come behind the next one of the same sender."""

        def act(passing: _Passing) -> Verdict:
            self._held_back[passing.sender] = passing
            return []

        return self._add(act, which, times, rate, seed)

    def corrupt(
        self,
        which: Which = None,
        at: int = 0,
        value: int | None = None,
        *,
        times: int | None = None,
        rate: float = 1,
        seed: int = 0,
    ) -> Fault:
        """Set the byte at a position to a value; None: have all its bits the other way round."""

        def act(passing: _Passing) -> Verdict:
            data = bytearray(passing.frame.data)
            if at < len(data):
                data[at] = data[at] ^ 0xFF if value is None else value
            return [passing.as_is("changed", bytes(data))]

        return self._add(act, which, times, rate, seed)

    def cut(
        self,
        which: Which = None,
        length: int = 0,
        *,
        times: int | None = None,
        rate: float = 1,
        seed: int = 0,
    ) -> Fault:
        """Have frames end after so many bytes."""
        return self._add(
            lambda passing: [passing.as_is("changed", passing.frame.data[:length])], which, times, rate, seed
        )

    def jam(self) -> None:
        """Take no frame until :meth:`heal`, as a bus that is off, or that nobody acknowledges on: who sends waits."""
        self._set_jammed(True)

    def heal(self) -> None:
        """End all faults. A frame that was held back for another one is lost."""
        self._set_jammed(False)
        self._faults.clear()
        self._held_back.clear()
        self._changed(False)

    def _add(
        self,
        act: Callable[[_Passing], Verdict],
        which: Which,
        times: int | None,
        rate: float,
        seed: int,
    ) -> Fault:
        fault = Fault(act, _chosen(which), times, rate, seed, first=self._sent)
        self._faults.append(fault)
        self._changed(True)
        return fault

    def _judge(self, when: int, sender: int, can_id: int, data: bytes, flags: int) -> Verdict | None:
        """What comes of a frame; None: it goes as it is."""
        self._sent += 1
        frame = self._frame_of(when, sender, 0, can_id, data)
        passing = _Passing(frame, when, self._sent, self._place_of(frame), sender, flags)
        held_back = self._held_back.pop(sender, None)
        verdict = self._verdict(passing)
        if held_back is None:
            return verdict
        return [*([passing.as_is()] if verdict is None else verdict), held_back.as_is("out of order")]

    def _verdict(self, passing: _Passing) -> Verdict | None:
        for fault in self._faults:
            counted = _Passing(
                passing.frame,
                passing.when,
                passing.number - fault.first,
                passing.place,
                passing.sender,
                passing.flags,
            )
            if fault.meets(counted):
                return fault.act(passing)
        return None

    def _place_of(self, frame: WireFrame) -> int:
        """Which of the frames of its kind this is, in the message that it is part of."""
        if frame.kind == "FF":
            # The message that begins has no CF yet; nor has anybody said FC to it.
            self._places[frame.sender, "CF"] = 0
            for sender, kind in list(self._places):
                if kind == "FC" and sender != frame.sender:
                    self._places[sender, kind] = 0
        key = frame.sender, frame.kind
        if frame.kind not in ("CF", "FC"):
            return 1
        self._places[key] = self._places.get(key, 0) + 1
        return self._places[key]

    def _changed(self, has_faults: bool) -> None:
        """There are faults now, or none."""
        raise NotImplementedError

    def _set_jammed(self, is_jammed: bool) -> None:
        raise NotImplementedError

    def _inject_at(self, when: int, passage: tuple[int, int, int, bytes, int]) -> None:
        raise NotImplementedError

    def _frame_of(self, when: int, sender: int, fate: int, can_id: int, data: bytes) -> WireFrame:
        raise NotImplementedError
