"""Record what can be seen of can-isotp from outside, for the comparisons of tests/checks/test_surface.py.

    python -m checks.surface

Makes an environment with each release and writes what the programs of this folder print there to
`can-isotp-VERSION.json`: facts, such as names and defaults, and no line of its source.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks import peer_env

FOLDER = Path(__file__).parent
RELEASES = {1: "1.9", 2: "2.0.7"}
PROGRAMS = ("inventory", "overriding")


def recorded(generation: int) -> Path:
    """Where it is kept."""
    return FOLDER / f"can-isotp-{RELEASES[generation]}.json"


def peer(generation: int) -> dict[str, Any]:
    """What was found."""
    found: dict[str, Any] = json.loads(recorded(generation).read_text(encoding="utf-8"))
    return found


def main() -> None:
    for generation, version in RELEASES.items():
        python = peer_env.make(version)
        found = {}
        for program in PROGRAMS:
            command = [str(python), str(FOLDER / f"{program}.py"), str(generation)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=peer_env.isolated())
            found[program] = json.loads(done.stdout)
        recorded(generation).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{recorded(generation)} written")


if __name__ == "__main__":
    main()
