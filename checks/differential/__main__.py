"""Compare this package with can-isotp 2.0.7 on random scripts.

python -m checks.differential --seeds 20000
python -m checks.differential --seed 4711 [--shrink]
"""

from __future__ import annotations

import argparse
import sys

from checks.differential.comparison import Peer, Report, compare, compare_seeds
from checks.differential.differences import DIFFERENCES, Case
from checks.differential.scripts import script_of


def tell(case: Case) -> None:
    print(f"\nseed {case.seed}: differs after step {case.at}")
    print(f"  address {case.script['address']}\n  params {case.script['params']}")
    for number, (step, seen) in enumerate(zip(case.script["steps"][: case.at + 1], case.ours, strict=False)):
        shown = {name: seen[name] for name in ("errors", "frames", "rx", "tx", "raised") if seen[name]}
        print(f"  {number:3} {step!s:.200} {shown!s:.200}")
    for name in sorted(case.fields):
        print(f"      {name}: ours {case.our[name]}\n      {'':{len(name)}}  theirs {case.their[name]}")


def shrunk(peer: Peer, case: Case) -> Case:
    """A shorter script that still has an unexplained difference: steps are left out while that is so."""
    start_of = script_of(case.seed)
    steps = start_of["steps"]
    size = len(steps) // 2
    while size:
        start = 0
        while start < len(steps):
            shorter = {**start_of, "steps": steps[:start] + steps[start + size :]}
            report = Report()
            compare(peer, [(case.seed, shorter)], report)
            if report.unexplained:
                case = report.unexplained[0]
                steps = shorter["steps"]
            else:
                start += size
        size //= 2
    return case


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks.differential", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20_000, metavar="N", help="seeds 0 to N-1 (%(default)s)")
    parser.add_argument(
        "--first", type=int, default=0, metavar="SEED", help="begin with this seed instead of 0"
    )
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--shrink", action="store_true", help="shorten the scripts that differ")
    parser.add_argument("--show", type=int, default=5, metavar="N", help="show so many of them (%(default)s)")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    with Peer() as peer:
        report = compare_seeds(peer, seeds)
        for case in report.unexplained[: options.show]:
            tell(shrunk(peer, case) if options.shrink else case)
        print("\nexplained differences:")
        for difference in DIFFERENCES:
            print(f"{report.explained[difference.name]:8}  {difference.name}")
    if report.unexplained:
        print("seeds:", *[case.seed for case in report.unexplained])
    print(f"{report.seeds} seeds, {report.steps} steps, {len(report.unexplained)} unexplained differences")
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
