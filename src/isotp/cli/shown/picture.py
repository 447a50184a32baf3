"""The picture of `isotp stats`: when which session had messages, lengths, STmin, response times; errors in red."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from isotp.bulk._address_text import address_text
from isotp.bulk._figures import MessageColumns, SessionFigures
from isotp.bulk._uds_figures import ServiceFigures
from isotp.cli.shown.words import count_text, time_text
from isotp.message import Direction, MessageStatus

__all__ = ["draw"]

Numbers = NDArray[Any]

MOST_ROWS = 24  # sessions in the timeline
MOST_STMINS = 10
MOST_SERVICES = 24
MOST_POINTS = 200
RESPONSE_MARKS = (("median", 0.5, "-"), ("95 %", 0.95, ":"))
BINS = 1200  # of the timeline: about as many as it has pixels, however many messages there are
DIRECTION_COLOURS = {Direction.TX: "#2f6f9f", Direction.RX: "#e1a33b"}
GOOD, OPEN, BROKEN = "#5b8db8", "#e8c547", "#c0392b"
FAINT, TEXT = "#d9dde1", "#39424b"

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.labelcolor": TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": TEXT,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "font.size": 9,
    "grid.color": "#eceff1",
    "legend.frameon": False,
    # Text stays text, and the same log gives the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "isotp",
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
}


def draw(
    path: Path,
    columns: MessageColumns,
    figures: list[SessionFigures],
    services: list[ServiceFigures],
    channel_name: Callable[[int], str],
) -> None:
    """Draw what `figures`, and `services` of UDS, say into a file whose name ends in .png, .svg or .pdf."""
    with matplotlib.rc_context(STYLE):
        rows = figures[:MOST_ROWS]
        height = 0.32 * max(len(rows), 3) + 1.1
        heights = [height, 3.2]
        if services:
            heights.append(0.3 * max(len(services[:MOST_SERVICES]), 3) + 1.1)
        figure = Figure(figsize=(12, sum(heights)), layout="constrained")
        parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
        above, below = parts[:2]
        draw_timeline(above.subplots(), columns, rows, len(figures), channel_name)
        lengths, stmin, responses = below.subplots(1, 3)
        draw_lengths(lengths, columns)
        draw_stmin(stmin, columns, figures)
        draw_response_times(responses, figures)
        if services:
            draw_services(parts[2].subplots(1, 2), services, channel_name)
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
        figure.savefig(path, dpi=110, metadata=metadata)


def draw_timeline(
    axes: Axes,
    columns: MessageColumns,
    rows: list[SessionFigures],
    session_count: int,
    channel_name: Callable[[int], str],
) -> None:
    title = f"{count_text(len(columns), 'message')} of {count_text(session_count, 'session')}"
    if len(rows) < session_count:
        title += f"; the {len(rows)} busiest"
    axes.set_title(title)
    axes.set_xlabel("time from the first message")
    axes.xaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.set_yticks(
        range(len(rows)),
        [f"{channel_name(each.channel)}  {address_text(each.address)}" for each in rows],
        # A dollar in the name of a channel is no formula.
        parse_math=False,
    )
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    if not len(columns):
        say_nothing(axes, "no messages")
        return
    first, last = int(columns["start"].min()), int(columns["end"].max())
    width = max(last - first, 1) / 1e9 / BINS
    axes.set_xlim(-5 * width, (BINS + 5) * width)
    for place, each in enumerate(rows):
        axes.axhline(place, color=FAINT, linewidth=0.8, zorder=0)
        draw_row(axes, place, each, first, width)
    handles: list[Artist] = [
        Patch(color=DIRECTION_COLOURS[Direction.TX], label="sent (TX, above the line)"),
        Patch(color=DIRECTION_COLOURS[Direction.RX], label="received (RX, below)"),
    ]
    if columns.broken.any():
        handles.append(
            Line2D([], [], color=BROKEN, marker="x", markeredgewidth=1.6, linestyle="", label="broken")
        )
    axes.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(handles), borderaxespad=0
    )


def draw_row(axes: Axes, place: int, session: SessionFigures, first: int, width: float) -> None:
    """One session: what it sent above its line, what it received below, with crosses on what broke."""
    step = width * 1e9
    begins = ((session.column("start") - first) / step).astype(numpy.int64).clip(0, BINS - 1)
    ends = ((session.column("end") - first) / step).astype(numpy.int64).clip(0, BINS - 1)
    broken = session.columns.broken[session.rows]
    for direction, low in ((Direction.TX, place - 0.38), (Direction.RX, place + 0.04)):
        chosen = session.column("direction") == direction
        # Thin as the shortest may be, the line around them is seen.
        bars = [(begin * width, (end - begin) * width) for begin, end in runs(begins[chosen], ends[chosen])]
        axes.broken_barh(bars, (low, 0.34), color=DIRECTION_COLOURS[direction], linewidth=0.8)
        crosses = numpy.unique(ends[chosen & broken])
        axes.plot(
            (crosses + 0.5) * width,
            numpy.full(len(crosses), low + 0.17),
            color=BROKEN,
            marker="x",
            markersize=6,
            markeredgewidth=1.6,
            linestyle="",
            zorder=3,
        )


def runs(begins: Numbers, ends: Numbers) -> list[tuple[int, int]]:
    """Where bins are covered by a message: (first, one after the last) of each run of them."""
    steps = numpy.zeros(BINS + 2, numpy.int64)
    numpy.add.at(steps, begins + 1, 1)
    numpy.add.at(steps, ends + 2, -1)
    covered = numpy.cumsum(steps) > 0
    edges = numpy.flatnonzero(numpy.diff(covered.astype(numpy.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def draw_lengths(axes: Axes, columns: MessageColumns) -> None:
    axes.set_title("length of messages")
    axes.set_xlabel("bytes")
    axes.set_ylabel("messages")
    if not len(columns):
        say_nothing(axes, "no messages")
        return
    lengths = numpy.maximum(columns["length"].astype(numpy.int64), 1)
    powers = numpy.arange(int(lengths.max()).bit_length() + 1)
    kinds = [
        ("complete", GOOD, columns["status"] == MessageStatus.OK),
        ("open", OPEN, columns["status"] == MessageStatus.OPEN),
        ("broken", BROKEN, columns.broken),
    ]
    kinds = [kind for kind in kinds if kind[2].any()]
    axes.hist(
        [lengths[chosen] for _, _, chosen in kinds],
        bins=(2.0**powers).tolist(),
        stacked=True,
        color=[colour for _, colour, _ in kinds],
        label=[name for name, _, _ in kinds],
        edgecolor="white",
        linewidth=0.6,
    )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: bytes_text(value)))
    count_axis(axes)
    if len(kinds) > 1:
        axes.legend(loc="upper right")


def draw_stmin(axes: Axes, columns: MessageColumns, figures: list[SessionFigures]) -> None:
    """A bar for each STmin that was asked for, with the gap between frames that was kept."""
    axes.set_title("STmin asked for, and gap between frames")
    axes.set_xlabel("messages")
    stmin = columns["stmin_us"]
    values, counts = numpy.unique(stmin[stmin >= 0], return_counts=True)
    if not len(values):
        say_nothing(axes, "no flow control seen")
        return
    most = numpy.sort(numpy.argsort(-counts, kind="stable")[:MOST_STMINS])
    values, counts = values[most], counts[most]
    gaps = numpy.concatenate([each.frame_gaps() for each in figures])
    asked = numpy.concatenate([each.column("stmin_us") for each in figures])
    bars = axes.barh(range(len(values)), counts.tolist(), color=GOOD, height=0.62)
    medians = [float(numpy.median(gaps[asked == value])) for value in values]
    axes.bar_label(bars, [micro(f"gap {time_text(median)}") for median in medians], padding=4)
    axes.set_yticks(range(len(values)), [micro(time_text(value * 1000)) for value in values.tolist()])
    axes.set_ylim(max(len(values), 3) - 0.5, -0.5)
    axes.margins(x=0.35)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))


def draw_response_times(axes: Axes, figures: list[SessionFigures]) -> None:
    axes.set_title("response time")
    axes.set_xlabel("from a message sent to its answer")
    axes.set_ylabel("responses")
    times = numpy.concatenate([numpy.empty(0), *(each.response_times() for each in figures)])
    if not len(times):
        say_nothing(axes, "no message was answered")
        return
    marks = [(name, float(numpy.quantile(times, level)), line) for name, level, line in RESPONSE_MARKS]
    axes.set_title(micro("response: " + ", ".join(f"{name} {time_text(ns)}" for name, ns, _ in marks)))
    # Two frames of a log may have the same time.
    seconds = numpy.maximum(times, 1000) / 1e9
    bins = numpy.geomspace(seconds.min() / 1.1, seconds.max() * 1.1, 30)
    axes.hist(seconds, bins=bins.tolist(), color=GOOD, edgecolor="white", linewidth=0.6)
    axes.set_xscale("log")
    decades = float(numpy.log10(seconds.max() / seconds.min()))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,), numticks=10))
    axes.xaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for _, ns, line in marks:
        axes.axvline(max(ns, 1000) / 1e9, color=TEXT, linewidth=1.2, linestyle=line)
    count_axis(axes)


def draw_services(both: Any, services: list[ServiceFigures], channel_name: Callable[[int], str]) -> None:
    """A line for each service of each session: its response times, and beside them what came back how often."""
    times, counts = both
    shown = sorted(services, key=lambda each: -each.requests - each.unasked)[:MOST_SERVICES]
    shown.sort(key=lambda each: (each.channel, each.session, each.service))
    title = "UDS: response times by service" + ("; the busiest" if len(shown) < len(services) else "")
    times.set_title(title)
    names = [f"{channel_name(each.channel)}  {each.session}  {each.title}" for each in shown]
    times.set_yticks(range(len(shown)), names, parse_math=False)
    counts.set_title("responses")
    counts.set_yticks(range(len(shown)), [""] * len(shown))
    counts.set_xlabel("requests")
    for axes in both:
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    for place, each in enumerate(shown):
        times.axhline(place, color=FAINT, linewidth=0.8, zorder=0)
        # A point for each of some; all of many would be the same line.
        levels = numpy.linspace(0, 1, min(len(each.times), MOST_POINTS))
        spread: Numbers = numpy.quantile(each.times, levels) if each.times else numpy.empty(0)
        seconds = numpy.maximum(spread, 1000) / 1e9
        times.plot(seconds, numpy.full(len(seconds), place), "|", color=GOOD, markersize=9, alpha=0.5)
        if len(seconds):
            median = max(float(numpy.median(each.times)), 1000) / 1e9
            times.plot([median], [place], "o", color=TEXT, markersize=4)
    times.set_xscale("log")
    times.xaxis.set_major_locator(LogLocator(numticks=10))
    times.xaxis.set_major_formatter(EngFormatter(unit="s"))
    times.xaxis.set_minor_formatter(NullFormatter())
    kinds = (
        ("positive", GOOD, [each.positive for each in shown]),
        ("negative", BROKEN, [each.negative.total() for each in shown]),
        ("unanswered", OPEN, [each.unanswered for each in shown]),
    )
    left = numpy.zeros(len(shown))
    for name, colour, values in kinds:
        if any(values):
            counts.barh(range(len(shown)), values, left=left, color=colour, height=0.62, label=name)
            left += values
    counts.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if left.any():
        counts.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0)


def count_axis(axes: Axes) -> None:
    axes.grid(False, axis="x")
    axes.grid(True, axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def say_nothing(axes: Axes, reason: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", style="italic")


def micro(text: str) -> str:
    """The sign for micro, which a picture can show anywhere."""
    return text.replace(" us", " µs")


def bytes_text(value: float) -> str:
    size = round(value)
    return f"{size // 1024} Ki" if size >= 1024 and size % 1024 == 0 else str(size)
