"""The pictures of docs/concepts.md, drawn from what two layers really send each other: python -m tools.diagrams"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import isotp

DOCS = Path(__file__).parent.parent / "docs"

TESTER, ECU = isotp.Address(txid=0x7E0, rxid=0x7E8), isotp.Address(txid=0x7E8, rxid=0x7E0)
# About what a frame of 8 bytes takes at 500 kbit/s.
FRAME_NS = 250_000
MS = 1_000_000

LEFT, RIGHT, TOP, ROW = 150, 530, 70, 34
NAMES = {0: "SF", 1: "FF", 2: "CF", 3: "FC"}
STYLE = """\
text { font: 13px ui-monospace, monospace; fill: #24292f }
.name { font: bold 14px sans-serif } .note { font: 12px sans-serif; fill: #57606a }
line, path { stroke: #57606a; fill: none } .life { stroke-dasharray: 3 3 }
.tester { stroke: #0969da } .ecu { stroke: #bc4c00 } .span { stroke: #8250df } .spantext { fill: #8250df }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .note { fill: #9198a1 } line, path { stroke: #9198a1 } }"""


@dataclass(frozen=True)
class Sent:
    """A frame on the bus: when it was complete, who sent it, and its data."""

    time_ns: int
    by_tester: bool
    data: bytes

    @property
    def label(self) -> str:
        kind = self.data[0] >> 4
        spaced = self.data.hex(" ").upper()
        return f"{NAMES[kind]}  {spaced if len(spaced) <= 23 else spaced[:23] + ' ...'}"


@dataclass(frozen=True)
class Span:
    """A time between two rows of the picture, and what it is called."""

    first: int
    last: int
    text: str
    at_tester: bool


def conversation(payload: bytes, ecu_params: dict[str, Any]) -> list[Sent]:
    """Send the payload from a tester to an ECU, in a time of its own."""
    now = 0
    sent: list[Sent] = []
    wires: dict[bool, deque[isotp.CanMessage]] = {True: deque(), False: deque()}

    def layer(is_tester: bool, **more: Any) -> isotp.TransportLayerLogic:
        def send(frame: isotp.CanMessage) -> None:
            nonlocal now
            now += FRAME_NS
            sent.append(Sent(now, is_tester, frame.data))
            wires[is_tester].append(frame)

        incoming = wires[not is_tester]
        made = isotp.TransportLayerLogic(lambda: incoming.popleft() if incoming else None, send, **more)
        made.clock = lambda: now
        return made

    tester = layer(True, address=TESTER)
    ecu = layer(False, address=ECU, params=ecu_params)
    tester.send(payload)
    while not ecu.available():
        before = len(sent)
        tester.process()
        ecu.process()
        if len(sent) == before and not any(wires.values()) and not ecu.available():
            deadlines = (tester.deadline_ns(), ecu.deadline_ns())
            now = max(now, min(each for each in deadlines if each is not None))
    return sent


def picture(title: str, frames: list[Sent], spans: list[Span], end: str) -> str:
    """An SVG: frames as arrows between two lines, downwards as time goes."""
    height = TOP + ROW * len(frames) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {height}" width="680" height="{height}"'
        f' role="img">\n<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>'
    ]
    for x, name in ((LEFT, "tester 7E0"), (RIGHT, "ECU 7E8")):
        parts.append(f'<text class="name" x="{x}" y="30" text-anchor="middle">{name}</text>')
        parts.append(f'<line class="life" x1="{x}" y1="40" x2="{x}" y2="{height - 30}"/>')
    for number, frame in enumerate(frames):
        y = TOP + ROW * number
        start, stop, who = (LEFT, RIGHT, "tester") if frame.by_tester else (RIGHT, LEFT, "ecu")
        tip = stop - 9 if frame.by_tester else stop + 9
        parts.append(f'<text x="{(LEFT + RIGHT) // 2}" y="{y - 6}" text-anchor="middle">{frame.label}</text>')
        parts.append(f'<line class="{who}" x1="{start}" y1="{y}" x2="{stop}" y2="{y}"/>')
        parts.append(f'<path class="{who}" d="M{tip},{y - 4} L{stop},{y} L{tip},{y + 4}"/>')
        parts.append(f'<text class="note" x="8" y="{y + 4}">{frame.time_ns / MS:6.2f} ms</text>')
    for span in spans:
        top, bottom = TOP + ROW * span.first, TOP + ROW * span.last
        x, anchor = (LEFT - 12, "end") if span.at_tester else (RIGHT + 12, "start")
        hook = 5 if span.at_tester else -5
        parts.append(f'<path class="span" d="M{x + hook},{top + 3} H{x} V{bottom - 3} H{x + hook}"/>')
        text_x = x - 5 if span.at_tester else x + 5
        parts.append(
            f'<text class="note spantext" x="{text_x}" y="{(top + bottom) // 2 + 4}"'
            f' text-anchor="{anchor}">{escape(span.text)}</text>'
        )
    parts.append(
        f'<text class="note" x="{RIGHT}" y="{height - 10}" text-anchor="middle">{escape(end)}</text>'
    )
    return "\n".join([*parts, "</svg>\n"])


def pictures() -> dict[str, str]:
    """All pictures by the name of their file."""
    single = conversation(bytes.fromhex("22F190"), {})
    blocks = conversation(bytes(range(41)), {"blocksize": 3, "stmin": 5})
    return {
        "frame-single.svg": picture("A message in a single frame", single, [], "3 bytes received"),
        "frame-segmented.svg": picture(
            "A message of 41 bytes, block size 3, STmin 5 ms",
            blocks,
            [
                Span(0, 1, "N_Bs", True),
                Span(1, 2, "N_Cr", False),
                Span(2, 3, "STmin", True),
                Span(3, 4, "STmin", True),
                Span(4, 5, "N_Bs", True),
                Span(5, 6, "N_Cr", False),
            ],
            "41 bytes received",
        ),
    }


if __name__ == "__main__":
    for name, drawn in pictures().items():
        (DOCS / name).write_text(drawn, encoding="utf-8")
