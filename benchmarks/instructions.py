"""Count the machine instructions that one frame costs: a figure that noise can't move.

A case, by default the classic 4095-byte loopback, runs under ``valgrind --tool=callgrind``, N messages in one
process and 2 N in another. Start-up and warm-up are the same in both, the difference is what N messages cost:

.. code-block:: sh

    python -m benchmarks.instructions                   # this package
    python -m benchmarks.instructions --role peer       # can-isotp
    python -m benchmarks.instructions --role floor      # layers that do nothing

The gate over all this is ``python -m benchmarks.gate``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import machine, peer_env
from benchmarks.case import OURS_ROLE, PEER_ROLE, ROLES, Case, Observed, Stage
from benchmarks.cases import case
from benchmarks.rounds import ROOT, Side, worker_command
from benchmarks.worker import OURS, PEER

CASE = "classic-4095-bs0"
LIMIT = 1500

# So many units cost far more than what can't be told from them: a list that grows, a collection of garbage.
OUR_UNITS = 12_000
PEER_UNITS = 2_400

# Under valgrind a second of can-isotp takes a minute.
TIMEOUT_S = 1800


def total(callgrind_output: str) -> int:
    """Return the instructions of a whole run from a callgrind file's text; ValueError without a total."""
    found = re.search(r"^(?:totals|summary): (\d+)$", callgrind_output, re.MULTILINE)
    if found is None:
        raise ValueError(f"not a complete callgrind file: {callgrind_output[:80]!r}")
    return int(found[1])


def per_unit(single: int, double: int, messages: int, units: int) -> float:
    """Return instructions a unit, from the totals of runs with `messages` and with twice as many messages.

    `units` is the number of frames or round trips in a message.
    Raises ValueError unless the second run took more than the first.
    """
    if double <= single:
        raise ValueError(f"twice the messages took {double} instructions, after {single}")
    return (double - single) / (messages * units)


def count(side: Side, chosen: Case, role: str, messages: int, file: Path) -> tuple[int, int]:
    """Run so many messages of a case under callgrind, which writes `file`.

    Returns the instructions of the whole run, and the units (frames or round trips) of one message.
    Raises RuntimeError if valgrind is missing or the run fails.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise RuntimeError("valgrind is not installed; it counts the instructions")
    done = subprocess.run(
        [
            *(valgrind, "--tool=callgrind", f"--callgrind-out-file={file}"),
            *worker_command(side, chosen, role),
            *("--messages", str(messages)),
        ],
        cwd=ROOT,
        # The order of sets and dicts, and so the work, must not change from run to run.
        env={**side.environ(), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        raise RuntimeError(f"{chosen.name} on {side} failed under valgrind:\n{done.stderr}")
    units: int = json.loads(done.stdout)["timing"]["units"]
    return total(file.read_text(encoding="utf-8", errors="replace")), units


def units_of(chosen: Case) -> int:
    """Return the units in a message of a case; ValueError for a case that is no workload."""
    contender = chosen.roles[OURS_ROLE]
    if isinstance(contender, Observed):
        raise ValueError(f"{chosen.name} is no workload that can be counted")
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        return contender.prepare(Stage(cleanup, folder)).units


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    result.add_argument("--case", default=CASE, help=f"what to count (default: {CASE})")
    result.add_argument("--role", default=OURS_ROLE, choices=ROLES, help="who does it (default: ours)")
    result.add_argument("--peer-version", default=peer_env.DEFAULT_VERSION, help="can-isotp release to count")
    result.add_argument("--peer-dir", type=Path, help="where can-isotp is kept (default: ~/.cache)")
    result.add_argument("--messages", type=int, help="N (default: enough to be exact)")
    result.add_argument("--limit", type=float, help=f"fail above so many a unit (goal: {LIMIT} a frame)")
    result.add_argument("--keep", type=Path, metavar="FILE", help="keep the profile of the longer run")
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    command_line = parser()
    options = command_line.parse_args(arguments)
    try:
        chosen = case(options.case)
    except ValueError as error:
        command_line.error(str(error))
    if options.role not in chosen.present():
        command_line.error(f"{chosen.name} has no {options.role} here")
    if options.role == PEER_ROLE:
        python = peer_env.make(options.peer_version, options.peer_dir)
        side = Side(PEER, options.peer_version, python)
    else:
        side = Side(OURS, importlib.metadata.version(OURS), Path(sys.executable))
    messages = options.messages or math.ceil(
        (PEER_UNITS if options.role == PEER_ROLE else OUR_UNITS) / units_of(chosen)
    )
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "callgrind.out"
        single, units = count(side, chosen, options.role, messages, file)
        double, _ = count(side, chosen, options.role, 2 * messages, file)
        if options.keep is not None:
            shutil.copyfile(file, options.keep)
    result = per_unit(single, double, messages, units)
    print(f"{options.role}, {side}: {result:.0f} instructions a {chosen.unit} in {chosen.name}")
    print(f"{messages} and {2 * messages} messages of {units} {chosen.unit}s")
    print(f"{machine.facts()['python']} on {machine.facts()['cpu']}")
    if options.limit is not None and result > options.limit:
        raise SystemExit(f"above the limit of {options.limit:g}")


if __name__ == "__main__":
    main()
