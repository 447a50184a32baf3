"""The process in which can-isotp plays scripts: lists of them come in as lines of JSON, observations go out.

Started with the interpreter of an environment that has can-isotp. Whatever clock that package reads is replaced,
before it is imported, by one that stands still unless a script moves it; nobody may sleep.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from play import Clock, play


def no_sleep(seconds: float) -> None:
    raise AssertionError(f"a polled layer slept {seconds} s")


def main() -> None:
    clock = Clock()
    for name in ("perf_counter", "monotonic", "time"):
        setattr(time, name, lambda: clock.ns / 1e9)
        setattr(time, name + "_ns", clock)
    time.sleep = no_sleep

    import isotp

    print(json.dumps({"version": isotp.__version__, "file": isotp.__file__}), flush=True)
    for line in sys.stdin:
        scripts: list[dict[str, Any]] = json.loads(line)
        played = [list(play(isotp, clock, lambda layer: None, script)) for script in scripts]
        print(json.dumps(played, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    main()
