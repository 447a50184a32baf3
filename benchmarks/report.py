"""Turn paired measurements into ratios, and ratios into a table, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from benchmarks.cases import Case
from benchmarks.peer_env import DEFAULT_VERSION
from benchmarks.rounds import Settings, Side
from benchmarks.worker import OURS, PEER, Timing

# The release that the cases' goals were set against.
GOALS_AGAINST = f"{PEER} {DEFAULT_VERSION}"

# Below this share of a core, a turn was disturbed by something else on the machine.
DISTURBED = 0.9


@dataclass(frozen=True)
class Comparison:
    """All rounds of one case: `pairs` of (ours, peer)."""

    case: Case
    pairs: Sequence[tuple[Timing, Timing]]

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ValueError(f"case {self.case.name} has no rounds")

    @property
    def ours_ns(self) -> float:
        """Median of our nanoseconds per unit."""
        return median(ours.ns_per_unit for ours, _ in self.pairs)

    @property
    def peer_ns(self) -> float:
        """Median of the peer's nanoseconds per unit."""
        return median(peer.ns_per_unit for _, peer in self.pairs)

    @property
    def ratios(self) -> list[float]:
        """How many times faster we were, round by round."""
        return [peer.ns_per_unit / ours.ns_per_unit for ours, peer in self.pairs]

    @property
    def ratio(self) -> float:
        """Median of the pairs' ratios; a ratio of medians could mix a quiet moment with a noisy one."""
        return median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest ratio of a pair."""
        return min(self.ratios), max(self.ratios)

    @property
    def core_share(self) -> float:
        """Smallest share of its core that a turn got."""
        return min(turn.cpu_ns / turn.elapsed_ns for pair in self.pairs for turn in pair)

    @property
    def disturbed(self) -> bool:
        """Whether something else on the machine held up a turn."""
        return self.core_share < DISTURBED


@dataclass(frozen=True)
class Report:
    """Everything that one run of the benchmarks found out."""

    sides: tuple[Side, Side]
    settings: Settings
    machine: dict[str, object]
    comparisons: Sequence[Comparison]

    def rows(self) -> list[list[str]]:
        """Return the table's cells, the header first."""
        ours, peer = self.sides
        rows = [["case", "ns per", str(ours), str(peer), "ratio", "min..max", "goal"]]
        for each in self.comparisons:
            low, high = each.spread
            # The goals were set against one release.
            goal = f"{each.case.goal:g}x" if ours.distribution == OURS and str(peer) == GOALS_AGAINST else "-"
            row = [each.case.name, each.case.unit, f"{each.ours_ns:.1f}", f"{each.peer_ns:.1f}"]
            rows.append([*row, f"{each.ratio:.3g}x", f"{low:.3g}..{high:.3g}", goal])
        return rows

    def notes(self) -> list[str]:
        """Return what has to be known to read the table."""
        how = self.settings
        pinned = "not pinned" if how.cpu is None else f"pinned to core {how.cpu}"
        facts = ", ".join(f"{key}: {value}" for key, value in self.machine.items())
        lines = [
            facts,
            f"{how.rounds} rounds by turns, {how.seconds:g} s each after {how.warmup:g} s of warm-up, "
            f"every turn a process of its own, {pinned}",
            "times: medians over the rounds; ratio: median of the rounds' own ratios, min..max: their spread",
        ]
        disturbed = [f"{each.case.name} {each.core_share:.0%}" for each in self.comparisons if each.disturbed]
        if disturbed:
            lines.append(f"disturbed by other programs (least share of the core): {', '.join(disturbed)}")
        return lines

    def text(self) -> str:
        """Return the table for a terminal."""
        rows = self.rows()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        lines.insert(1, "-" * max(len(line) for line in lines))
        return "\n".join([*lines, "", *self.notes()])

    def markdown(self) -> str:
        """Return the table in Markdown."""
        header, *rows = self.rows()
        rule = ["---", "---", *["---:"] * (len(header) - 2)]
        table = ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]
        return "\n".join([*table, "", *(f"- {note}" for note in self.notes())])

    def json(self) -> dict[str, object]:
        """Return everything, raw figures included, ready for JSON."""
        return {
            "sides": [{"distribution": side.distribution, "version": side.version} for side in self.sides],
            "settings": asdict(self.settings),
            "machine": self.machine,
            "cases": [
                {
                    "name": each.case.name,
                    "meaning": each.case.meaning,
                    "unit": each.case.unit,
                    "goal": each.case.goal,
                    "ours_ns": each.ours_ns,
                    "peer_ns": each.peer_ns,
                    "ratio": each.ratio,
                    "spread": each.spread,
                    "core_share": each.core_share,
                    "pairs": [[asdict(turn) for turn in pair] for pair in each.pairs],
                }
                for each in self.comparisons
            ],
        }
