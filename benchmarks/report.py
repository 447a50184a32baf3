"""Turn rounds into ratios, and ratios into tables, for a terminal, in Markdown, and as JSON that can be read back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.case import BESIDE_ROLE, FLOOR_ROLE, OURS_ROLE, PEER_ROLE, Case, Measured
from benchmarks.peer_env import DEFAULT_VERSION
from benchmarks.rounds import Round, Settings
from benchmarks.worker import PEER

# The release that the cases' goals were set against.
GOALS_AGAINST = f"{PEER} {DEFAULT_VERSION}"

# Below this share of a core, a turn was disturbed by something else on the machine.
DISTURBED = 0.9

HEADER = ("case", "figure", "ours", "beside", "value", "ratio", "min..max", "goal", "floor", "ours/floor")


@dataclass(frozen=True)
class Figure:
    """One figure of a case, in all rounds."""

    name: str
    rounds: Sequence[Mapping[str, float]]
    """By column, what each round found; the first column is ours."""

    @property
    def columns(self) -> list[str]:
        return list(self.rounds[0])

    def value(self, column: str) -> float:
        """Median over the rounds."""
        return median(each[column] for each in self.rounds)

    def ratios(self, column: str) -> list[float]:
        """How many times ours a column is, round by round; rounds in which ours is nothing have no ratio."""
        first = self.columns[0]
        return [each[column] / each[first] for each in self.rounds if each[first] > 0]

    def ratio(self, column: str) -> float:
        """Median of the rounds' ratios (a ratio of medians could mix a quiet moment with a noisy one), or nan."""
        found = self.ratios(column)
        return median(found) if found else math.nan


@dataclass(frozen=True)
class Result:
    """All rounds of one case."""

    name: str
    group: str
    meaning: str
    names: Mapping[str, str]
    """What the columns are called."""
    goal: float | None
    limit: float | None
    x: float | None
    rounds: Sequence[Round]

    def __post_init__(self) -> None:
        if not self.rounds:
            raise ValueError(f"case {self.name} has no rounds")

    @property
    def figures(self) -> list[Figure]:
        first = next(iter(self.rounds[0].values()))
        return [
            Figure(
                name, [{column: each.figures[name] for column, each in turn.items()} for turn in self.rounds]
            )
            for name in first.figures
        ]

    @property
    def figure(self) -> Figure:
        """The figure that counts most."""
        return self.figures[0]

    @property
    def core_share(self) -> float:
        """Smallest share of its core that a turn had, of those that are to have all of one; 1 if there are none."""
        return min(
            (each.core_share for turn in self.rounds for each in turn.values() if each.core_share), default=1
        )

    @property
    def disturbed(self) -> bool:
        """Whether something else on the machine held up a turn."""
        return self.core_share < DISTURBED

    def rival(self) -> str | None:
        """Return the column that ours is compared with: can-isotp, else what stands beside."""
        columns = self.figure.columns[1:]
        return next((each for each in columns if each not in (BESIDE_ROLE, FLOOR_ROLE)), None) or next(
            (each for each in columns if each == BESIDE_ROLE), None
        )


def result_of(case: Case, rounds: Sequence[Round], names: Mapping[str, str]) -> Result:
    """Return what was found about a case; `names` are those of columns that the case does not name."""
    return Result(
        case.name,
        case.group,
        case.meaning,
        {**names, **case.names},
        case.goal,
        case.limit,
        None if math.isnan(case.x) else case.x,
        rounds,
    )


@dataclass(frozen=True)
class Report:
    """Everything that one run of the benchmarks found out."""

    machine: Mapping[str, object]
    settings: Settings
    sides: Mapping[str, str]
    """What runs in the columns `ours` and `peer`, or others."""
    results: Sequence[Result]

    @property
    def header(self) -> list[str]:
        """The columns by name; with --null-test, those of can-isotp twice."""
        first = next(iter(self.sides), OURS_ROLE)
        return [each.replace("ours", first) for each in HEADER]

    def groups(self) -> dict[str, list[Result]]:
        found: dict[str, list[Result]] = {}
        for each in self.results:
            found.setdefault(each.group, []).append(each)
        return found

    def rows(self, result: Result) -> list[list[str]]:
        """Return a row for each figure of a case and each that stands beside it, by the columns of HEADER."""
        rows = []
        for number, figure in enumerate(result.figures):
            first = figure.columns[0]
            floor = ["", ""]
            if FLOOR_ROLE in figure.columns:
                over = 1 / figure.ratio(FLOOR_ROLE)
                floor = [
                    shown(figure.value(FLOOR_ROLE)),
                    f"{over:.2f}" + ("" if over <= (result.limit or over) else "!"),
                ]
            beside = [each for each in figure.columns[1:] if each != FLOOR_ROLE] or [""]
            for place, column in enumerate(beside):
                row = [result.name if number == place == 0 else "", figure.name if place == 0 else ""]
                row.append(shown(figure.value(first)) if place == 0 else "")
                if column:
                    goal = (
                        f"{result.goal:g}x" if result.goal and self.goals_hold(column) and number == 0 else ""
                    )
                    row += [
                        result.names.get(column, column),
                        shown(figure.value(column)),
                        *spread(figure, column),
                        goal,
                    ]
                else:
                    row += [""] * 5
                rows.append([*row, *(floor if place == 0 else ["", ""])])
        return rows

    def goals_hold(self, column: str) -> bool:
        """Tell whether a column is the release that the goals were set against."""
        return column == PEER_ROLE and self.sides.get(column) == GOALS_AGAINST and OURS_ROLE in self.sides

    def notes(self) -> list[str]:
        """Return what has to be known to read the tables."""
        how = self.settings
        pinned = (
            "not pinned"
            if how.cpu is None
            else f"pinned to core {how.cpu} (threads of started layers are not)"
        )
        counts = [len(each.rounds) for each in self.results] or [0]
        fewest, most = min(counts), max(counts)
        rounds = "one round" if most == 1 else f"{most if fewest == most else f'{fewest} to {most}'} rounds"
        lines = [
            ", ".join(f"{key}: {value}" for key, value in self.machine.items()),
            ", ".join(f"{column}: {side}" for column, side in self.sides.items()),
            f"{rounds} by turns, about {how.seconds:g} s each, every turn a process of its own, {pinned}",
            "times for a frame are of the CPU's clock where nothing waits (object path, payload size, bulk, files)",
            "figures: medians over the rounds, less is better; ratio: median of the rounds' own ratios, how many times "
            "ours the other is; min..max: their spread",
        ]
        floors = {each.names[FLOOR_ROLE] for each in self.results if FLOOR_ROLE in each.rounds[0]}
        if floors:
            lines.append(f"floor: {', '.join(sorted(floors))}; '!': more above it than the project's goal")
        disturbed = [f"{each.name} {each.core_share:.0%}" for each in self.results if each.disturbed]
        if disturbed:
            lines.append(f"disturbed by other programs (least share of the core): {', '.join(disturbed)}")
        return lines

    def text(self) -> str:
        """Return the table for a terminal."""
        rows = [self.header]
        lines = {}
        for group, results in self.groups().items():
            lines[len(rows)] = group
            for each in results:
                rows += self.rows(each)
        used = [column for column in range(len(HEADER)) if any(row[column] for row in rows[1:])]
        widths = {column: max(len(row[column]) for row in rows) for column in used}
        text = []
        for number, row in enumerate(rows):
            if number in lines:
                text += ["", f"-- {lines[number]} --"]
            cells = [
                row[column].ljust(widths[column])
                if column in (0, 1, 3)
                else row[column].rjust(widths[column])
                for column in used
            ]
            text.append("  ".join(cells).rstrip())
        return "\n".join([*text, "", *self.notes()])

    def markdown(self) -> str:
        """Return the tables, one for each group, in Markdown."""
        parts = []
        for group, results in self.groups().items():
            parts.append(f"### {group[0].upper()}{group[1:]}\n\n{self.table(results)}\n")
        return "\n".join([*parts, *(f"- {note}" for note in self.notes())])

    def table(self, results: Iterable[Result]) -> str:
        """Return the table of these cases in Markdown, without columns that are empty."""
        rows = [row for each in results for row in self.rows(each)]
        used = [column for column in range(len(HEADER)) if any(row[column] for row in rows)]
        rule = ["---" if HEADER[column] in ("case", "figure", "beside") else "---:" for column in used]
        cells = [
            [self.header[column] for column in used],
            rule,
            *([row[column] for column in used] for row in rows),
        ]
        return "\n".join("| " + " | ".join(row) + " |" for row in cells)

    def json(self) -> dict[str, Any]:
        """Return everything, raw figures included, ready for JSON; ratios are there for those who only read it."""
        return {
            "machine": dict(self.machine),
            "settings": asdict(self.settings),
            "sides": dict(self.sides),
            "cases": [
                {
                    **{key: value for key, value in asdict(each).items() if key != "rounds"},
                    "ratios": {
                        figure.name: {
                            column: {"ratio": figure.ratio(column), "all": figure.ratios(column)}
                            for column in figure.columns[1:]
                        }
                        for figure in each.figures
                    },
                    "rounds": [
                        {column: compact(measured) for column, measured in turn.items()}
                        for turn in each.rounds
                    ],
                }
                for each in self.results
            ],
        }

    def save(self, file: Path) -> None:
        """Write all of it into a file."""
        # nan, for what has no ratio, is null in JSON.
        text = json.dumps(self.json(), indent=1).replace("NaN", "null")
        # A list of numbers takes a line.
        text = re.sub(r"\[[^\[\]{}\"]*\]", lambda found: " ".join(found[0].split()), text)
        file.write_text(text + "\n", encoding="utf-8")


def compact(measured: Measured) -> dict[str, Any]:
    """Return what was measured, without what is not there, and no more digits than mean something."""
    found: dict[str, Any] = {"figures": {name: rounded(value) for name, value in measured.figures.items()}}
    if measured.work is not None:
        found["work"] = measured.work
    if measured.core_share is not None:
        found["core_share"] = rounded(measured.core_share)
    if measured.distribution:
        found["distribution"] = [rounded(value) for value in measured.distribution]
    return found


def rounded(value: float) -> float:
    return float(f"{value:.5g}")


def load(file: Path) -> Report:
    """Read a report back."""
    read = json.loads(file.read_text(encoding="utf-8"))
    results = []
    for each in read["cases"]:
        rounds = [{column: Measured(**found) for column, found in turn.items()} for turn in each["rounds"]]
        fields = {key: value for key, value in each.items() if key not in ("rounds", "ratios")}
        results.append(Result(**fields, rounds=rounds))
    return Report(read["machine"], Settings(**read["settings"]), read["sides"], results)


def shown(value: float) -> str:
    """Return a figure with as many digits as mean something."""
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def spread(figure: Figure, column: str) -> list[str]:
    """Return the cells of a ratio and of its smallest and largest value."""
    found = figure.ratios(column)
    if not found:
        return ["", ""]
    return [f"{times(figure.ratio(column))}x", f"{times(min(found))}..{times(max(found))}"]


def times(ratio: float) -> str:
    """Return a ratio with the digits that mean something."""
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"
