"""Two revisions of this project beside each other, by turns, as the package and can-isotp are.

.. code-block:: sh

    python -m benchmarks.revisions main HEAD
    python -m benchmarks.revisions v2.1.0 HEAD 'classic-*' bulk --json both.json

Each revision is built in a worktree and an environment of its own, which are gone afterwards; the cases are those of
this checkout. For whether instructions grew, ``python -m benchmarks.gate`` is the better judge.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import __main__ as suite
from benchmarks import machine, peer_env
from benchmarks.case import OURS_ROLE
from benchmarks.cases import choose
from benchmarks.report import Report, result_of
from benchmarks.rounds import ROOT, Contender, Side, interleave
from benchmarks.worker import OURS

# What the cases import besides isotp, in the releases that this interpreter has.
COMPANIONS = ("python-can", "udsoncan", "numpy")


def commit(revision: str) -> str:
    """Return the short hash of a revision; ValueError if git knows none of that name."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"git knows no revision {revision!r}")
    return done.stdout.strip()


@contextmanager
def worktree(revision: str, folder: Path) -> Iterator[Path]:
    """Check a revision out beside this one."""
    path = folder / "source"
    peer_env.command(["git", "-C", str(ROOT), "worktree", "add", "--quiet", "--detach", str(path), revision])
    try:
        yield path
    finally:
        peer_env.command(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(path)])


def build(revision: str, folder: Path) -> Side:
    """Build a revision and install it into an environment of its own."""
    folder.mkdir()
    environment = folder / "environment"
    peer_env.command([sys.executable, "-m", "venv", str(environment)])
    python = peer_env.python_of(environment)
    with worktree(revision, folder) as source:
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        peer_env.command([*pip, *peer_env.companions(COMPANIONS), str(source)])
    asked = [str(python), "-c", f"import importlib.metadata; print(importlib.metadata.version({OURS!r}))"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return Side(OURS, version, python)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="python -m benchmarks.revisions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("before", metavar="REV1")
    result.add_argument("after", metavar="REV2")
    result.add_argument(
        "options", nargs=argparse.REMAINDER, metavar="...", help="as those of python -m benchmarks"
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    command_line = parser()
    both = command_line.parse_args(arguments)
    options = suite.parser().parse_args(both.options)
    try:
        revisions = {f"{each} ({commit(each)})": each for each in (both.before, both.after)}
        if len(revisions) < 2:
            raise ValueError(f"{both.before} beside itself tells nothing")
        how = suite.settings(options)
        chosen = choose(options.cases, suite.mode_of(options))
    except ValueError as error:
        command_line.error(str(error))
    with tempfile.TemporaryDirectory(prefix="revisions-") as folder:
        contenders = []
        for number, (name, revision) in enumerate(revisions.items()):
            suite.progress(f"building {name}")
            contenders.append(Contender(name, OURS_ROLE, build(revision, Path(folder, f"{number}"))))
        rounds = interleave(contenders, chosen, how, Path(folder), suite.progress)
    suite.progress("")
    names = {each.column: f"{each.side}" for each in contenders}
    results = [result_of(each, rounds[each.name], {name: name for name in names}) for each in chosen]
    suite.output(Report(machine.facts(), how, names, results), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
