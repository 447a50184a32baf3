"""Frames beside those that a test expects, and a difference that one can read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isotp.testing.frames import Pattern, Recording, WireFrame
from isotp.testing.wire import Wire

__all__ = ["assert_frames"]

_LINE = re.compile(
    r"(?:@(?P<ms>\d+(?:\.\d+)?)\s+)?(?:(?P<sender>[^:#]+):\s*)?(?P<frame>[^()]+?)\s*(?:\((?P<fate>[a-z ]+)\))?"
)
# Up to here the best match of the two lists is looked for; it takes the square of their length.
_ALIGNED = 500


@dataclass(frozen=True)
class _Expected:
    text: str
    ms: float | None
    sender: str | None
    pattern: Pattern
    fate: str | None

    @classmethod
    def parse(cls, text: str) -> _Expected:
        found = _LINE.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no frame, as 7E0# 10 14 *")
        ms = None if found["ms"] is None else float(found["ms"])
        return cls(text.strip(), ms, found["sender"], Pattern.parse(found["frame"]), found["fate"])

    def matches(self, frame: WireFrame) -> bool:
        if self.ms is not None and abs(self.ms - frame.ms) > 0.0005:
            return False
        if self.sender not in (None, frame.sender):
            return False
        if (self.fate or "") != frame.fate and not (self.fate is None and frame.fate != "lost"):
            return False
        return self.pattern.matches(frame.can_id, frame.data, frame.n_pci)


def assert_frames(frames: Wire | Iterable[WireFrame], expected: str | Sequence[str]) -> None:
    """These frames went over the wire, and no others.

    :param frames: a :class:`Wire`, for all that was sent on it, or a part of its `frames`.
    :param expected: a line for each frame: ``7E0# 10 14 .. 00*3 *``, see :class:`Pattern`. Before it may be the time in
        ms and the name of the sender, ``@5.000 tester: 7E0# 21 *``, behind it what the wire did: ``(lost)``.
        What follows ``//`` is a remark.
    :raises AssertionError: if it was otherwise, with both beside each other.
    :raises ValueError: if a line is no frame.
    """
    __tracebackhide__ = True
    lines = expected.splitlines() if isinstance(expected, str) else expected
    wanted = [_Expected.parse(text) for line in lines if (text := line.partition("//")[0].strip())]
    came = list(frames.frames if isinstance(frames, Wire) else frames)
    if len(wanted) == len(came) and all(
        want.matches(frame) for want, frame in zip(wanted, came, strict=True)
    ):
        return
    difference = "\n".join(_difference(wanted, came))
    raise AssertionError(
        f"the frames are not those expected (- expected, + came):\n{difference}\n\n{Recording(came).picture_of_last}"
    )


def _difference(wanted: list[_Expected], came: list[WireFrame]) -> list[str]:
    lines: list[str] = []
    pairs = [*_pairs(wanted, came), (len(wanted), len(came))]
    next_wanted = next_came = 0
    for want, frame in pairs:
        lines += _unlike(wanted[next_wanted:want], came[next_came:frame])
        if want < len(wanted):
            lines.append(f"  {came[frame]}")
        next_wanted, next_came = want + 1, frame + 1
    return lines


def _unlike(wanted: list[_Expected], came: list[WireFrame]) -> list[str]:
    """A stretch in which nothing agrees: one line beside the other, with the bytes marked that differ."""
    lines = []
    for k in range(max(len(wanted), len(came))):
        if k < len(wanted):
            lines.append(f"- {wanted[k].text}")
        if k < len(came):
            frame = came[k]
            notes = ", ".join(filter(None, (f"{frame.ms:.3f} ms", frame.sender, frame.fate)))
            lines.append(f"+ {frame}   ({notes})")
            if k < len(wanted) and (positions := wanted[k].pattern.differing(frame.data)):
                begin = 2 + str(frame).index("#") + 1
                marks = [" "] * (begin + 3 * (max(positions) + 1))
                for at in positions:
                    marks[begin + 3 * at : begin + 3 * at + 2] = "^^"
                lines.append("".join(marks).rstrip())
    return lines


def _pairs(wanted: list[_Expected], came: list[WireFrame]) -> list[tuple[int, int]]:
    """Which of the expected frames came as which: those at both ends that agree, and as many as can be between."""
    same = [want.matches(frame) for want, frame in zip(wanted, came, strict=False)]
    begin = same.index(False) if False in same else len(same)
    pairs = [(k, k) for k in range(begin)]
    end = 0
    while end < min(len(wanted), len(came)) - begin and wanted[-1 - end].matches(came[-1 - end]):
        end += 1
    middle = _longest(wanted[begin : len(wanted) - end], came[begin : len(came) - end])
    pairs += [(begin + i, begin + k) for i, k in middle]
    return pairs + [(len(wanted) - k, len(came) - k) for k in range(end, 0, -1)]


def _longest(wanted: list[_Expected], came: list[WireFrame]) -> list[tuple[int, int]]:
    """The longest sequence of frames that came as they were expected, with others between."""
    if len(wanted) > _ALIGNED or len(came) > _ALIGNED:
        return []
    longest = [[0] * (len(came) + 1) for _ in range(len(wanted) + 1)]
    for i in reversed(range(len(wanted))):
        for k in reversed(range(len(came))):
            if wanted[i].matches(came[k]):
                longest[i][k] = longest[i + 1][k + 1] + 1
            else:
                longest[i][k] = max(longest[i + 1][k], longest[i][k + 1])
    found = []
    i = k = 0
    while i < len(wanted) and k < len(came):
        if wanted[i].matches(came[k]):
            found.append((i, k))
            i, k = i + 1, k + 1
        elif longest[i + 1][k] >= longest[i][k + 1]:
            i += 1
        else:
            k += 1
    return found
