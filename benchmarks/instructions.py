"""Count the machine instructions that one frame costs: a figure that noise can't move.

A case, by default the classic 4095-byte loopback, runs under ``valgrind --tool=callgrind``, N messages in one
process and 2 N in another. Start-up and warm-up are the same in both, the difference is what N messages cost:

.. code-block:: sh

    python -m benchmarks.instructions            # this package
    python -m benchmarks.instructions --peer     # can-isotp
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
from pathlib import Path

from benchmarks import machine, peer_env
from benchmarks.cases import Case, case
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


def count(side: Side, chosen: Case, messages: int, file: Path) -> tuple[int, int]:
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
            *worker_command(side, chosen),
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


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    result.add_argument("--case", default=CASE, help=f"what to count (default: {CASE})")
    result.add_argument("--peer", action="store_true", help="count can-isotp's instead of ours")
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
    if options.peer:
        python = peer_env.make(options.peer_version, options.peer_dir)
        side = Side(PEER, options.peer_version, python)
    else:
        side = Side(OURS, importlib.metadata.version(OURS), Path(sys.executable))
    messages = options.messages
    if messages is None:
        messages = math.ceil((PEER_UNITS if options.peer else OUR_UNITS) / chosen.prepare().units)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "callgrind.out"
        single, units = count(side, chosen, messages, file)
        double, _ = count(side, chosen, 2 * messages, file)
        if options.keep is not None:
            shutil.copyfile(file, options.keep)
    result = per_unit(single, double, messages, units)
    print(f"{side}: {result:.0f} instructions a {chosen.unit} in {chosen.name}")
    print(f"{messages} and {2 * messages} messages of {units} {chosen.unit}s")
    print(f"{machine.facts()['python']} on {machine.facts()['cpu']}")
    if options.limit is not None and result > options.limit:
        raise SystemExit(f"above the limit of {options.limit:g}")


if __name__ == "__main__":
    main()
