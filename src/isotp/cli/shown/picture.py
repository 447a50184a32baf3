"""The picture of `isotp stats`: which session was how busy and when, lengths, STmin, response times, services of UDS.

Its colours are told apart by people who do not see red and green (Okabe and Ito); what broke has a mark of its own too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    MultipleLocator,
    NullLocator,
)
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
MOST_ANSWERING = 6  # sessions with response times
MOST_SERVICES = 24
MOST_POINTS = 200
BINS = 1200  # of the timeline: about as many as it has pixels, however many messages there are
BINS_OF_A_MARK = 8
HALF = 0.4  # of a row: the height of what fills all of the time
LEAST_HEIGHT = 0.15  # of that, for a message that is short beside a bin
# A frame at 500 kbit/s. The times of a log are those of the ends of frames.
FRAME_NS = 250_000
# s between marks of the time axis, from 1 min on.
STEPS = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)
DIRECTION_COLOURS = {Direction.TX: "#0072b2", Direction.RX: "#e69f00"}
GOOD, OPEN = "#0072b2", "#e6c229"


@dataclass(frozen=True)
class Theme:
    """The colours of what is around the data."""

    paper: str
    text: str
    faint: str
    grid: str
    broken: str


LIGHT = Theme(paper="#ffffff", text="#39424b", faint="#d9dde1", grid="#eceff1", broken="#b2182b")
DARK = Theme(paper="#14181d", text="#d7dde3", faint="#48525c", grid="#262d34", broken="#ff7b72")


def style_of(theme: Theme) -> Any:
    return {
        "axes.axisbelow": True,
        "axes.edgecolor": theme.faint,
        "axes.facecolor": theme.paper,
        "axes.grid": True,
        "axes.grid.axis": "x",
        "axes.labelcolor": theme.text,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": theme.text,
        "axes.titlelocation": "left",
        "axes.titlesize": 10.5,
        "figure.facecolor": theme.paper,
        "font.size": 9,
        "grid.color": theme.grid,
        "legend.frameon": False,
        "savefig.facecolor": theme.paper,
        # Text stays text, and the same log gives the same file.
        "svg.fonttype": "none",
        "svg.hashsalt": "isotp",
        "text.color": theme.text,
        "xtick.color": theme.text,
        "ytick.color": theme.text,
    }


def draw(
    path: Path,
    columns: MessageColumns,
    figures: list[SessionFigures],
    services: list[ServiceFigures],
    channel_name: Callable[[int], str],
    *,
    dark: bool = False,
) -> None:
    """Draw what `figures`, and `services` of UDS, say into a file whose name ends in .png, .svg or .pdf."""
    theme = DARK if dark else LIGHT
    with matplotlib.rc_context(style_of(theme)):
        rows = figures[:MOST_ROWS]
        height = 0.32 * max(len(rows), 3) + 1.1
        heights = [height, 3.2]
        if services:
            heights.append(0.3 * max(len(services[:MOST_SERVICES]), 3) + 1.1)
        figure = Figure(figsize=(12, sum(heights)), layout="constrained")
        parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
        above, below = parts[:2]
        draw_timeline(above.subplots(), columns, rows, len(figures), channel_name, theme)
        lengths, stmin, responses = below.subplots(1, 3)
        draw_lengths(lengths, columns, theme)
        draw_stmin(stmin, columns, figures)
        draw_response_times(responses, figures, channel_name, theme)
        if services:
            draw_services(parts[2].subplots(1, 2), services, channel_name, theme)
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
        figure.savefig(path, dpi=110, metadata=metadata)


# ---------------------------------------------------------------- when


def draw_timeline(
    axes: Axes,
    columns: MessageColumns,
    rows: list[SessionFigures],
    session_count: int,
    channel_name: Callable[[int], str],
    theme: Theme,
) -> None:
    title = f"{count_text(len(columns), 'message')} of {count_text(session_count, 'session')}"
    if len(rows) < session_count:
        title += f"; the {len(rows)} busiest"
    axes.set_title(title)
    axes.set_yticks(range(len(rows)), [row_name(each, channel_name) for each in rows], parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    if not len(columns):
        say_nothing(axes, "no messages")
        return
    first, last = int(columns["start"].min()), int(columns["end"].max())
    width = max(last - first, 1) / 1e9 / BINS
    axes.set_xlim(-5 * width, (BINS + 5) * width)
    time_axis(axes, BINS * width)
    busy = {
        (place, direction): occupancy(each, direction, first, width * 1e9)
        for place, each in enumerate(rows)
        for direction in Direction
    }
    # What is busiest has the full height: a scale that suits all of the time and a thousandth of it.
    most = max(float(shares.max()) for shares in busy.values())
    axes.set_xlabel(
        f"time from the first message; full height: {percent_text(most)} of the time in a message"
    )
    for place, each in enumerate(rows):
        axes.axhline(place, color=theme.faint, linewidth=0.8, zorder=0)
        for direction in Direction:
            draw_half_row(axes, place, direction, busy[place, direction] / most, width)
        draw_marks(axes, place, each, first, width, theme)
    handles: list[Artist] = [
        Patch(color=DIRECTION_COLOURS[Direction.TX], label="sent (TX, above the line)"),
        Patch(color=DIRECTION_COLOURS[Direction.RX], label="received (RX, below)"),
    ]
    if columns["pending"].any():
        handles.append(Line2D([], [], **pending_mark(theme), label="response pending (0x78)"))
    if columns.broken.any():
        handles.append(Line2D([], [], **broken_mark(theme), label="broken"))
    legend_above(axes, handles)


def row_name(session: SessionFigures, channel_name: Callable[[int], str]) -> str:
    """For labels without formulas: a channel may be called $."""
    return f"{channel_name(session.channel)}  {address_text(session.address)}"


def occupancy(session: SessionFigures, direction: Direction, first: int, step: float) -> Numbers:
    """The share of each bin of `step` ns that is within a message; more than nothing where one is."""
    chosen = session.column("direction") == direction
    ends = session.column("end")[chosen].astype(float) - first
    starts = numpy.minimum(session.column("start")[chosen] - first, ends - FRAME_NS)
    edges = numpy.arange(BINS + 1) * step
    shares: Numbers = numpy.diff(elapsed(starts, edges) - elapsed(ends, edges)) / step
    touched = (ends / step).astype(numpy.int64).clip(0, BINS - 1)
    shares[touched] = numpy.maximum(shares[touched], 1e-9)
    return shares.clip(0, 1)


def elapsed(times: Numbers, edges: Numbers) -> Numbers:
    """At each edge, the time since all those before it, in total."""
    times = numpy.sort(times)
    before = numpy.searchsorted(times, edges)
    total: Numbers = before * edges - numpy.concatenate(([0.0], numpy.cumsum(times)))[before]
    return total


def draw_half_row(axes: Axes, place: int, direction: Direction, shares: Numbers, width: float) -> None:
    """What one direction of a session did: up from its line what was sent, down from it what was received."""
    # No number where nothing is: the outline of the rest, which has the thinnest seen, goes around it.
    heights = numpy.where(shares > 0, numpy.maximum(shares, LEAST_HEIGHT), numpy.nan) * HALF
    axes.stairs(
        place - heights if direction == Direction.TX else place + heights,
        numpy.arange(BINS + 1) * width,
        baseline=place,
        fill=True,
        color=DIRECTION_COLOURS[direction],
        linewidth=0.7,
    )


def draw_marks(
    axes: Axes, place: int, session: SessionFigures, first: int, width: float, theme: Theme
) -> None:
    """Crosses on what broke, and diamonds on the answers that only ask for patience."""
    bins = ((session.column("end") - first) / (width * 1e9)).astype(numpy.int64).clip(0, BINS - 1)
    broken = session.columns.broken[session.rows]
    for chosen, mark in ((session.column("pending"), pending_mark(theme)), (broken, broken_mark(theme))):
        for direction, away in ((Direction.TX, -HALF / 2), (Direction.RX, HALF / 2)):
            marked = apart(bins[chosen & (session.column("direction") == direction)])
            axes.plot((marked + 0.5) * width, numpy.full(len(marked), place + away), **mark, zorder=3)


def apart(bins: Numbers) -> Numbers:
    """The first of each few bins beside each other, whose marks would be one."""
    bins = numpy.unique(bins)
    _, first = numpy.unique(bins // BINS_OF_A_MARK, return_index=True)
    chosen: Numbers = bins[first]
    return chosen


def broken_mark(theme: Theme) -> dict[str, Any]:
    around = [withStroke(linewidth=3.4, foreground=theme.paper)]
    return {"color": theme.broken, "marker": "x", "markersize": 6, "markeredgewidth": 1.8, "linestyle": "",
            "path_effects": around}  # fmt: skip


def pending_mark(theme: Theme) -> dict[str, Any]:
    return {"color": theme.paper, "marker": "D", "markersize": 4, "markeredgecolor": theme.text,
            "markeredgewidth": 0.8, "linestyle": ""}  # fmt: skip


def time_axis(axes: Axes, seconds: float) -> None:
    """In seconds and what is less; from two minutes on in min:s, from two hours on in h:min."""
    if seconds < 120:
        axes.xaxis.set_major_formatter(EngFormatter(unit="s"))
        return
    step = next((step for step in STEPS if seconds / step <= 12), STEPS[-1] * max(round(seconds / 1e6), 1))
    axes.xaxis.set_major_locator(MultipleLocator(step))
    in_hours = seconds >= 7200
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock_text(round(value), in_hours)))


def clock_text(seconds: int, in_hours: bool) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02} h" if in_hours else f"{minutes}:{rest:02} min"


def percent_text(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "all"


# ---------------------------------------------------------------- how long, how far apart, how soon


def draw_lengths(axes: Axes, columns: MessageColumns, theme: Theme) -> None:
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
        ("broken", theme.broken, columns.broken),
    ]
    kinds = [kind for kind in kinds if kind[2].any()]
    axes.hist(
        [lengths[chosen] for _, _, chosen in kinds],
        bins=(2.0**powers).tolist(),
        stacked=True,
        color=[colour for _, colour, _ in kinds],
        label=[name for name, _, _ in kinds],
        edgecolor=theme.paper,
        linewidth=0.6,
    )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: bytes_text(value)))
    count_axis(axes)
    if len(kinds) > 1:
        axes.set_title("length of messages", pad=20)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=len(kinds), borderaxespad=0)


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


def draw_response_times(
    axes: Axes, figures: list[SessionFigures], channel_name: Callable[[int], str], theme: Theme
) -> None:
    """A line for each session: where its response times are, and their median."""
    axes.set_title("response times by session")
    axes.set_xlabel("from a message sent to its answer")
    answered = [(each, times) for each in figures if len(times := each.response_times())]
    if not answered:
        say_nothing(axes, "no message was answered")
        return
    if len(answered) > MOST_ANSWERING:
        axes.set_title(f"response times of {MOST_ANSWERING} sessions")
    answered = answered[:MOST_ANSWERING]
    names = [row_name(each, channel_name) for each, _ in answered]
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(max(len(names), 3) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    for place, (_, times) in enumerate(answered):
        draw_spread(axes, place, times, theme)
        axes.annotate(
            micro(f"median {time_text(numpy.median(times))}, 95 % {time_text(numpy.quantile(times, 0.95))}"),
            (0, place),
            xycoords=("axes fraction", "data"),
            xytext=(4, 8),
            textcoords="offset points",
            fontsize=7.5,
        )
    log_time_axis(axes, numpy.concatenate([times for _, times in answered]))


def draw_spread(axes: Axes, place: int, times: Any, theme: Theme) -> None:
    """Response times (ns) on a line, with a dot for their median."""
    axes.axhline(place, color=theme.faint, linewidth=0.8, zorder=0)
    # A mark for each of some; all of many would be the same line.
    levels = numpy.linspace(0, 1, min(len(times), MOST_POINTS))
    # Two frames of a log may have the same time.
    seconds = numpy.maximum(numpy.quantile(times, levels), 1000) / 1e9
    axes.plot(seconds, numpy.full(len(seconds), place), "|", color=GOOD, markersize=9, alpha=0.5)
    median = max(float(numpy.median(times)), 1000) / 1e9
    axes.plot([median], [place], "o", color=theme.text, markersize=4)


def log_time_axis(axes: Axes, times: Any) -> None:
    """For times in ns, whatever their range: marks with a name at some of them at least."""
    axes.set_xscale("log")
    if len(times):
        low, high = max(float(min(times)), 1000) / 1e9, max(float(max(times)), 1000) / 1e9
        axes.set_xlim(low / 1.6, high * 1.6)
        few = high / low < 30
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=6 if few else 8))
    axes.xaxis.set_major_formatter(EngFormatter(unit="s"))


def draw_services(
    both: Any, services: list[ServiceFigures], channel_name: Callable[[int], str], theme: Theme
) -> None:
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
        if len(each.times):
            draw_spread(times, place, each.times, theme)
    log_time_axis(
        times, [ns for each in shown for ns in (min(each.times, default=0), max(each.times, default=0)) if ns]
    )
    kinds = (
        ("positive", GOOD, [each.positive for each in shown]),
        ("negative", theme.broken, [each.negative.total() for each in shown]),
        ("unanswered", OPEN, [each.unanswered for each in shown]),
    )
    for place, each in enumerate(shown):
        if each.pending:
            text = f"0x78: {each.pending}"
            counts.annotate(text, (1, place), xycoords=("axes fraction", "data"), ha="right", va="center")
    left = numpy.zeros(len(shown))
    for name, colour, values in kinds:
        if any(values):
            counts.barh(range(len(shown)), values, left=left, color=colour, height=0.62, label=name)
            left += values
    counts.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if left.any():
        counts.margins(x=0.2)
        legend_above(counts, None)


def count_axis(axes: Axes) -> None:
    axes.grid(False, axis="x")
    axes.grid(True, axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def legend_above(axes: Axes, handles: list[Artist] | None) -> None:
    """Beside the title, where no data are; of all that has a label, if nothing else is said."""
    handles = axes.get_legend_handles_labels()[0] if handles is None else handles
    axes.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(handles), borderaxespad=0
    )


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
