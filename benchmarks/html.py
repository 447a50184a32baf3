"""The report as one file of HTML: tables, and plots that matplotlib draws as SVG; it needs no network."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import count

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from benchmarks.case import BESIDE_ROLE, FLOOR_ROLE, PEER_ROLE
from benchmarks.report import HEADER, Report, Result, shown, times

COLOURS = {"ours": "#1b7f79", PEER_ROLE: "#c8553d", BESIDE_ROLE: "#8a6fb0", FLOOR_ROLE: "#b8b8b0"}
OTHER_COLOURS = ("#1b7f79", "#c8553d", "#8a6fb0", "#b8b8b0")

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 1120px; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.7em; margin-bottom: 0.1em; }
h2 { font-size: 1.2em; margin: 2em 0 0.4em; }
h2::first-letter { text-transform: uppercase; }
p.lead { color: #555; margin-top: 0; }
.plots { display: grid; grid-template-columns: 1fr 1fr; gap: 1em; }
figure { margin: 0; border: 1px solid #e4e4e0; border-radius: 8px; padding: 0.7em; }
figure.wide { grid-column: 1 / -1; }
figcaption { color: #555; font-size: 0.9em; }
figure svg { width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 0.87em; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25em 0.6em; text-align: right; border-bottom: 1px solid #eee; white-space: nowrap; }
th { color: #555; font-weight: 600; border-bottom: 2px solid #ccc; }
td.text, th.text { text-align: left; }
td.ratio { font-weight: 600; color: #14625e; }
td[title] { cursor: help; text-decoration: underline dotted #bbb; }
ul.notes { color: #555; font-size: 0.87em; }
@media (max-width: 900px) { .plots { grid-template-columns: 1fr; } }
"""


def page(report: Report) -> str:
    """Return the whole page."""
    ours, *others = report.sides.values()
    plots = "".join(
        f'<figure class="{kind}"><figcaption>{escape(caption)}</figcaption>{svg(picture)}</figure>'
        for picture, kind, caption in pictures(report)
    )
    tables = "".join(
        f"<h2{' class=kept' if group[0].isupper() else ''}>{escape(group)}</h2>{table(report, results)}"
        for group, results in report.groups().items()
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes())
    title = f"{ours} beside {', '.join(others)}"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<h1>{escape(title)}</h1><p class="lead">{escape(str(report.machine.get("date", "")))}, '
        f"{escape(str(report.machine.get('python', '')))} on {escape(str(report.machine.get('cpu', '')))}, "
        f"{report.machine.get('cores', '?')} cores. Less is better in every figure; ratios say how many times "
        f"ours the other is.</p>"
        f'<div class="plots">{plots}</div>{tables}<h2>How it was measured</h2><ul class="notes">{notes}</ul>'
        "</body></html>\n"
    )


def table(report: Report, results: Sequence[Result]) -> str:
    """Return the table of a group; a case tells its meaning under the pointer."""
    text = {"case", "figure", "beside"}
    rows = [(each, row) for each in results for row in report.rows(each)]
    used = [k for k in range(len(HEADER)) if any(row[k] for _, row in rows)]
    head = "".join(
        f"<th{' class=text' if HEADER[k] in text else ''}>{escape(report.header[k])}</th>" for k in used
    )
    body = ""
    for result, row in rows:
        cells = []
        for k in used:
            kind = "text" if HEADER[k] in text else "ratio" if HEADER[k] == "ratio" else ""
            title = f' title="{escape(result.meaning)}"' if k == 0 and row[0] else ""
            cells.append(f'<td class="{kind}"{title}>{escape(row[k])}</td>')
        body += f"<tr>{''.join(cells)}</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def pictures(report: Report) -> Iterator[tuple[Picture, str, str]]:
    """Yield the plots that there are figures for, how wide each is, and what it shows."""
    compared = [each for each in report.results if each.rival() is not None]
    if compared:
        yield (
            bars(report, compared),
            "wide",
            "How many times ours the other takes, by case (lines: all rounds)",
        )
    for group, scale, caption in (
        ("payload size", "bytes in a message", "Time for a frame by payload size (classic CAN, BS 0)"),
        ("sessions", "sessions on one bus", "Time for a frame by number of sessions that all send at once"),
    ):
        results = [each for each in report.results if each.group == group and each.x is not None]
        if len(results) > 1:
            yield curves(report, results, scale), "half", caption
    for group, scale, caption in (
        ("latency", "microseconds", "Latency: share of the exchanges done within a time"),
        (
            "STmin",
            "microseconds later than asked for",
            "STmin: share of the gaps that are no later than this",
        ),
    ):
        results = [
            each
            for each in report.results
            if each.group == group and all(turn.distribution for turn in each.rounds[0].values())
        ][:3]
        if results:
            yield distributions(report, results, scale), "half", caption


def colour(report: Report, column: str) -> str:
    return COLOURS.get(column) or OTHER_COLOURS[list(report.sides).index(column) % len(OTHER_COLOURS)]


def bars(report: Report, results: Sequence[Result]) -> Picture:
    """Draw the ratio of each case."""
    picture = Picture(figsize=(10.5, 0.9 + 0.23 * len(results)))
    axes = picture.add_subplot()
    drawn: dict[str, str] = {}
    for place, each in enumerate(results):
        column = each.rival()
        assert column is not None
        ratio, found = each.figure.ratio(column), each.figure.ratios(column)
        name = each.names.get(column, column)
        label = (
            name
            if drawn.setdefault(name, column) and name not in axes.get_legend_handles_labels()[1]
            else None
        )
        axes.barh(place, ratio - 1, left=1, color=colour(report, column), height=0.7, label=label)
        if found:
            axes.plot([min(found), max(found)], [place, place], color="#222", linewidth=1.2)
            axes.annotate(f" {times(ratio)}x", (max(*found, ratio), place), va="center", fontsize=8)
    axes.set_yticks(range(len(results)), [f"{each.name}" for each in results], fontsize=8)
    axes.set_ylim(len(results) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.axvline(1, color="#222", linewidth=0.8)
    axes.set_xlabel("times as long as ours (right of 1: ours is faster)", fontsize=9)
    axes.margins(x=0.08)
    axes.legend(fontsize=8, loc="lower right", title="beside", title_fontsize=8)
    tidy(axes)
    return picture


def curves(report: Report, results: Sequence[Result], scale: str) -> Picture:
    """Draw the figure of each column over the scale of a group."""
    picture = Picture(figsize=(5.6, 3.6))
    axes = picture.add_subplot()
    for column in dict.fromkeys(column for each in results for column in each.figure.columns):
        points = sorted(
            (each.x or 0, each.figure.value(column)) for each in results if column in each.figure.columns
        )
        name = results[0].names.get(column, column)
        axes.plot(*zip(*points, strict=True), marker="o", color=colour(report, column), label=name)
        axes.annotate(
            f" {shown(points[-1][1])}", points[-1], fontsize=8, va="bottom", color=colour(report, column)
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(x=0.12, y=0.12)
    axes.set_xlabel(scale, fontsize=9)
    axes.set_ylabel(results[0].figure.name, fontsize=9)
    axes.legend(fontsize=8)
    tidy(axes)
    return picture


def distributions(report: Report, results: Sequence[Result], scale: str) -> Picture:
    """Draw what share of the events was done by when; all rounds together."""
    picture = Picture(figsize=(5.6, 3.6))
    axes = picture.add_subplot()
    for result, line in zip(results, ("-", "--", ":"), strict=False):
        for column in result.rounds[0]:
            values = sorted(value for turn in result.rounds for value in turn[column].distribution)
            share = [100 * (k + 1) / len(values) for k in range(len(values))]
            name = f"{result.name}, {result.names.get(column, column)}"
            axes.plot(values, share, line, color=colour(report, column), label=name)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlabel(scale, fontsize=9)
    axes.set_ylabel("%", fontsize=9)
    axes.set_ylim(0, 101)
    axes.legend(fontsize=7)
    tidy(axes)
    return picture


def tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", axis="both", color="#eee", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


_numbers = count()


def svg(picture: Picture) -> str:
    """Return a plot as SVG for a page: text stays text, and names of parts are its own."""
    picture.set_layout_engine("tight")
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "benchmarks"}):
        picture.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    own = f"plot{next(_numbers)}-"
    return re.sub(r'(id="|"#|url\(#)', rf"\g<1>{own}", text)
