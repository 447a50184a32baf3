"""For those who track the speed of this package over time: the workloads, as pytest-benchmark and CodSpeed run them.

pytest benchmarks/test_history.py --benchmark-autosave --benchmark-compare
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks.case import OURS_ROLE, Repeated, Stage
from benchmarks.cases import CASES, case

GROUPS = ("object path", "sessions", "bulk", "files")


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    # One folder for all, so that logs are written once.
    folder: Path = tmp_path_factory.getbasetemp() / "benchmarks"
    folder.mkdir(exist_ok=True)
    with ExitStack() as cleanup:
        yield Stage(cleanup, folder)


@pytest.mark.parametrize(
    "name",
    [each.name for each in CASES if each.group in GROUPS and isinstance(each.roles[OURS_ROLE], Repeated)],
)
def test_speed(benchmark: Callable[..., Any], name: str, stage: Stage) -> None:
    """One message (a whole log, for those cases); the time of a frame is that by the units in `extra_info`."""
    chosen = case(name)
    if (lacking := chosen.lacking()) is not None:
        pytest.skip(lacking)
    contender = chosen.roles[OURS_ROLE]
    assert isinstance(contender, Repeated)
    workload = contender.prepare(stage)
    benchmark.group = chosen.group  # type: ignore[attr-defined]
    benchmark.extra_info.update(units=workload.units, unit=chosen.unit)  # type: ignore[attr-defined]
    # Messages go by turns through two payloads; a run always begins with the first.
    workload.verify(1, benchmark(workload.run, 1))
