#!/usr/bin/env python3
"""Do what docs/start.md says, as somebody new would: in a fresh copy, from nothing, and within five minutes.

    python checks/packaging/newcomer.py

Needs git, a C compiler, and an index of packages. Prints how long each block took; exit status 1 if one fails, or if
all together took more processor time than the page says: what they take on a machine that has nothing else to do.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.documentation import DOCS, SHOWN, TERMINAL, Block, blocks, play_terminals  # noqa: E402

MINUTES = 5


def copy_of_checkout(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def run(block: Block, checkout: Path) -> None:
    scripts = checkout / ".venv" / "bin"
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", block.text]
    if block.kind == "python":
        command = [str(scripts / "python"), "-W", "error", "-c", block.text]
    done = subprocess.run(
        command, cwd=checkout, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{block.name} failed:\n{block.text}\n{done.stdout}{done.stderr}")


def main() -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="isotp-newcomer-") as name:
        checkout = Path(name).resolve()
        copy_of_checkout(checkout)
        played = False
        for block in blocks(DOCS / "start.md"):
            before = time.monotonic()
            if block.note == TERMINAL:
                if played:
                    continue  # all three at once
                played = True
                answer, dumped = play_terminals(checkout, checkout / ".venv" / "bin")
                if "62 f1 90" not in answer.lower() or len(dumped) != 5:
                    raise SystemExit(f"the terminals showed {answer!r} and {dumped!r}")
            elif block.kind in {"sh", "python"}:
                run(block, checkout)
            else:
                assert block.note in {None, SHOWN}
                continue
            print(f"ok: {block.name}: {time.monotonic() - before:.1f} s", flush=True)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    took, busy = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    good = busy < 60 * MINUTES
    print(
        f"{'all good' if good else 'FAILED'}: {took:.0f} s, {busy:.0f} s of a processor; {MINUTES} minutes are promised"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
