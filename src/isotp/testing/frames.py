"""Frames as a test writes and reads them: the notation, one frame of a recording, and the picture of all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["FATES", "Pattern", "Recording", "WireFrame", "octets", "parse_id", "words"]

_EXTENDED = 0x8000_0000
# What the wire can do to a frame, by the number that it notes.
FATES = ("", "lost", "changed", "doubled", "delayed", "out of order")
LOST = FATES.index("lost")
_TYPES = ("SF", "FF", "CF", "FC")
# Frames that a failure shows.
_SHOWN = 100
_STATUS = ("CTS", "WAIT", "OVFLW")


def octets(text: str) -> bytes:
    """Bytes of ``"10 0A CC*3"``: in hexadecimal, ``*3`` repeats one.

    :raises ValueError: if it is written in another way.
    """
    data = bytearray()
    for word in text.split():
        byte, _, times = word.partition("*")
        if not re.fullmatch(r"[0-9A-Fa-f]{2}", byte) or not re.fullmatch(r"\d*", times):
            raise ValueError(f"{word!r} is no byte in hexadecimal, as 0A, nor several of them, as CC*3")
        data += bytes([int(byte, 16)]) * int(times or 1)
    return bytes(data)


def words(data: Iterable[int]) -> str:
    """Bytes as the notation has them."""
    return " ".join(f"{byte:02X}" for byte in data)


def parse_id(text: str) -> int:
    """Identifier of ``7E0``, or of ``18DA10F1``: eight digits are 29 bits, which sets bit 31."""
    if not re.fullmatch(r"[0-9A-Fa-f]{1,3}|[0-9A-Fa-f]{8}", text):
        raise ValueError(f"{text!r} is no identifier of a CAN frame, as 7E0 or 18DA10F1")
    return int(text, 16) | (_EXTENDED if len(text) == 8 else 0)


def id_text(can_id: int) -> str:
    return f"{can_id & 0x1FFF_FFFF:08X}" if can_id & _EXTENDED else f"{can_id & 0x7FF:03X}"


class WireFrame(NamedTuple):
    """One frame that was sent on a wire."""

    ms: float
    """When it was on the wire: milliseconds since that was made."""
    sender: str
    """The name of the end that sent it."""
    can_id: int
    """Its identifier; bit 31 is set for one of 29 bits."""
    data: bytes
    fate: str
    """What the wire did to it: nothing (""), or "lost", "changed", "doubled", "delayed", "out of order"."""
    n_pci: int = 0
    """Where N_PCI begins: 1 behind a byte of the address."""

    @property
    def kind(self) -> str:
        """SF, FF, CF or FC; "" if it is no frame of ISO-TP."""
        kind = self.data[self.n_pci] >> 4 if len(self.data) > self.n_pci else 15
        return _TYPES[kind] if kind < len(_TYPES) else ""

    @property
    def meaning(self) -> str:
        """What its N_PCI says, in words."""
        pci = self.data[self.n_pci :]
        kind = self.kind
        if kind == "SF":
            return f"{(pci[0] & 0x0F) or (pci[1] if len(pci) > 1 else 0)} bytes"
        if kind == "FF" and len(pci) > 1:
            length = (pci[0] & 0x0F) << 8 | pci[1]
            return f"{length or int.from_bytes(pci[2:6], 'big')} bytes"
        if kind == "CF":
            return f"SN {pci[0] & 0x0F}"
        if kind == "FC" and len(pci) > 2:
            status = pci[0] & 0x0F
            name = _STATUS[status] if status < len(_STATUS) else f"status {status}"
            return f"{name}, BS {pci[1]}, STmin {pci[2]:02X}" if status == 0 else name
        return ""

    def __str__(self) -> str:
        return f"{id_text(self.can_id)}#{words(self.data)}"


@dataclass(frozen=True)
class Pattern:
    """A frame as a test expects it: ``7E8# 10 14 .. 00*3 *``.

    ``..`` is any byte, a lone ``*`` at the end any further bytes. Without ``7E8#`` any identifier does. ``SF``, ``FF``,
    ``CF`` or ``FC`` in place of bytes is any frame of this kind; ``CTS``, ``WAIT`` and ``OVFLW`` are such FCs.
    """

    can_id: int | None
    data: tuple[int | None, ...]
    is_open: bool
    kind: str
    text: str

    @classmethod
    def parse(cls, text: str, can_id: int | None = None) -> Pattern:
        """:raises ValueError: if it is no frame."""
        head, mark, tail = text.rpartition("#")
        if mark:
            can_id = parse_id(head.strip())
        wanted = tail.split()
        if len(wanted) == 1 and wanted[0] in _TYPES + _STATUS:
            return cls(can_id, (), True, wanted[0], text.strip())
        is_open = bool(wanted) and wanted[-1] == "*"
        data: list[int | None] = []
        for word in wanted[: len(wanted) - is_open]:
            byte, _, times = word.partition("*")
            if byte == "..":
                data += [None] * int(times or 1)
            else:
                data += octets(word)
        return cls(can_id, tuple(data), is_open, "", text.strip())

    def matches(self, can_id: int, data: bytes, n_pci: int = 0) -> bool:
        """Whether a frame is as it is expected."""
        if self.can_id is not None and can_id != self.can_id:
            return False
        if self.kind:
            pci = data[n_pci : n_pci + 1]
            if self.kind in _STATUS:
                return pci == bytes([0x30 + _STATUS.index(self.kind)])
            return bool(pci) and pci[0] >> 4 == _TYPES.index(self.kind)
        if len(data) < len(self.data) or (len(data) > len(self.data) and not self.is_open):
            return False
        return all(want is None or want == got for want, got in zip(self.data, data, strict=False))

    def differing(self, data: bytes) -> list[int]:
        """The positions of bytes that are not as they are expected."""
        found = [
            k
            for k in range(max(len(data), len(self.data)))
            if (k >= len(self.data) and not self.is_open)
            or k >= len(data)
            or (k < len(self.data) and self.data[k] not in (None, data[k]))
        ]
        return [] if self.kind else found


class Recording(Sequence[WireFrame]):
    """The frames of a wire, in their order. Printed, they are a picture: who sent what, and what became of it."""

    def __init__(self, frames: Iterable[WireFrame]) -> None:
        self._frames = tuple(frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        found = self._frames[place]
        return Recording(found) if isinstance(place, slice) else found

    def __repr__(self) -> str:
        return f"<Recording of {len(self)} frames>"

    def only(self, which: str | Callable[[WireFrame], bool]) -> Recording:
        """Those frames that are such: by a pattern as ``7E0# 2. *``, or by what a function says."""
        if callable(which):
            return Recording(filter(which, self))
        pattern = Pattern.parse(which)
        return Recording(f for f in self if pattern.matches(f.can_id, f.data, f.n_pci))

    @property
    def picture_of_last(self) -> str:
        """The picture of the last hundred, which a failure shows."""
        left_out = len(self) - _SHOWN
        return str(self) if left_out <= 0 else f"({left_out} frames before)\n{self[left_out:]}"

    def __str__(self) -> str:
        if not self._frames:
            return "(no frame)"
        senders = list(dict.fromkeys(frame.sender for frame in self))
        texts = [f"{id_text(f.can_id)}  {f.kind:2}  {_shortened(f.data)}" for f in self]
        width = max(*map(len, texts), 30)
        others = senders[1] if len(senders) == 2 else "others"
        lines = [f"{'':13}{senders[0]:<{width}}{'' if len(senders) < 2 else others:>10}"]
        for frame, text in zip(self, texts, strict=True):
            is_lost = frame.fate == "lost"
            if frame.sender == senders[0]:
                arrow = f"|-- {text} {'-' * (width - len(text))}-{'x ' if is_lost else '->'}|"
            else:
                arrow = f"|{' x' if is_lost else '<-'} {text} {'-' * (width - len(text))}---|"
            notes = [frame.meaning, frame.fate]
            if len(senders) > 2:
                notes.append(f"from {frame.sender}")
            lines.append(f"{frame.ms:9.3f} ms {arrow}  {', '.join(filter(None, notes))}".rstrip())
        return "\n".join(lines)


def _shortened(data: bytes) -> str:
    return words(data) if len(data) <= 8 else f"{words(data[:8])} ..."
