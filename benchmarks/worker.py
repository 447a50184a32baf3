"""A turn: one role of a case, in this interpreter, on the package that is claimed to be here; prints JSON.

Started by the other modules, so that each turn has a process of its own::

    python -m benchmarks.worker --case classic-4095-bs0 --role peer --distribution can-isotp --version 2.0.7
"""

from __future__ import annotations

import argparse
import gc
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from benchmarks.case import OURS_ROLE, ROLES, Case, Measured, Observed, Stage, Workload

OURS = "can-isotp-cython"
PEER = "can-isotp"

# The clock is stopped this often to check what arrived. Short enough that few messages are held at a time,
# for either package; long enough that reading the clock costs nothing.
SECTION_NS = 2_000_000


# That of Windows moves 64 times a second.
CPU_CLOCK_IS_FINE = time.get_clock_info("process_time").resolution <= 1e-6


class WrongPackageError(RuntimeError):
    """The interpreter does not run the package that it is said to run."""


@dataclass(frozen=True)
class Package:
    """The `isotp` that this interpreter imports."""

    distribution: str
    version: str
    file: str


@dataclass(frozen=True)
class Timing:
    """What was measured: `messages` messages of `units` units each, by the wall clock and the CPU's."""

    units: int
    messages: int
    elapsed_ns: int
    cpu_ns: int

    @property
    def ns_per_unit(self) -> float:
        return self.elapsed_ns / (self.messages * self.units)

    @property
    def cpu_ns_per_unit(self) -> float:
        return self.cpu_ns / (self.messages * self.units)


def identify(distribution: str, version: str) -> Package:
    """Import isotp and return what it is.

    Raises WrongPackageError unless it is `version` of `distribution`, that distribution owns the files, the
    rival distribution (which installs over the same files) is absent, and the core is compiled exactly if
    it should be.
    """
    rival = {OURS: PEER, PEER: OURS}.get(distribution)
    if rival is None:
        raise ValueError(f"distribution must be {OURS!r} or {PEER!r}, not {distribution!r}")
    try:
        installed = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise WrongPackageError(f"{distribution} is not installed for {sys.executable}") from error
    if installed.version != version:
        raise WrongPackageError(f"{sys.executable} has {distribution} {installed.version}, not {version}")
    if next(iter(importlib.metadata.distributions(name=rival)), None) is not None:
        raise WrongPackageError(f"{sys.executable} has {rival} too, over the same files as {distribution}")

    import isotp

    file = Path(isotp.__file__).resolve()
    if not owns(installed, file):
        raise WrongPackageError(f"{sys.executable} imports isotp from {file}, not from {distribution}")
    core = importlib.util.find_spec("isotp._core")
    compiled = core is not None and str(core.origin).endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
    if compiled != (distribution == OURS):
        kind = "compiled" if compiled else "pure Python"
        raise WrongPackageError(f"{file} is {kind}: it cannot be {distribution}")
    return Package(distribution, installed.version, str(file))


def owns(distribution: importlib.metadata.Distribution, file: Path) -> bool:
    """Tell whether `distribution` installed `file`, or is an editable install of the project around it."""
    direct_url = distribution.read_text("direct_url.json")
    if direct_url is not None:
        origin = json.loads(direct_url)
        if origin.get("dir_info", {}).get("editable"):
            return file.is_relative_to(Path(url2pathname(urlsplit(origin["url"]).path)).resolve())
    return file == Path(str(distribution.locate_file("isotp/__init__.py"))).resolve()


def pin(cpu: int) -> None:
    """Keep this process on one core; RuntimeError where the system can't."""
    if not hasattr(os, "sched_setaffinity"):
        raise RuntimeError(f"cannot pin to core {cpu}: this system has no sched_setaffinity")
    os.sched_setaffinity(0, {cpu})


def section(workload: Workload, messages: int) -> Timing:
    """Time `messages` messages and verify them afterwards."""
    cpu_start = time.process_time_ns()
    start = time.perf_counter_ns()
    received = workload.run(messages)
    elapsed_ns = time.perf_counter_ns() - start
    cpu_ns = time.process_time_ns() - cpu_start
    workload.verify(messages, received)
    return Timing(workload.units, messages, elapsed_ns, cpu_ns)


def measure(workload: Workload, seconds: float, warmup: float) -> Timing:
    """Warm up for `warmup` seconds, then measure for `seconds`, and return the sum over all sections."""
    messages = 1
    warm_ns = 0
    while True:
        timing = section(workload, messages)
        warm_ns += timing.elapsed_ns
        if 2 * timing.elapsed_ns <= SECTION_NS:
            messages *= 2
        elif warm_ns >= warmup * 1e9:
            break
    total = section(workload, messages)
    while total.elapsed_ns < seconds * 1e9:
        total = add(total, section(workload, messages))
    return total


def fixed(workload: Workload, messages: int, warmup_messages: int = 2) -> Timing:
    """Run an exact number of messages in one section, so that two runs' instructions can be compared."""
    if messages < 1:
        raise ValueError(f"messages must be at least 1, not {messages}")
    section(workload, warmup_messages)
    return section(workload, messages)


def add(total: Timing, more: Timing) -> Timing:
    """Return the sum of two timings of the same workload."""
    return Timing(
        total.units,
        total.messages + more.messages,
        total.elapsed_ns + more.elapsed_ns,
        total.cpu_ns + more.cpu_ns,
    )


def take(chosen: Case, role: str, stage: Stage, seconds: float, warmup: float) -> Measured:
    """Measure a role of a case for about so many seconds."""
    contender = chosen.roles[role]
    if isinstance(contender, Observed):
        return contender.observe(stage, seconds)
    timing = measure(contender.prepare(stage), seconds, warmup)
    by_cpu = not chosen.waits and CPU_CLOCK_IS_FINE
    return Measured(
        {f"ns a {chosen.unit}": timing.cpu_ns_per_unit if by_cpu else timing.ns_per_unit},
        work=timing.units if chosen.same_work else None,
        core_share=timing.cpu_ns / timing.elapsed_ns if chosen.pinned else None,
    )


def take_fixed(chosen: Case, role: str, stage: Stage, messages: int) -> Timing:
    """Run an exact number of messages; ValueError for a case that is no workload."""
    contender = chosen.roles[role]
    if isinstance(contender, Observed):
        raise ValueError(f"{chosen.name} is not a workload that can be repeated a number of times")
    return fixed(contender.prepare(stage), messages)


def positive(text: str) -> float:
    """Return the number in a command line argument; ValueError unless it is finite and above zero."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(f"must be finite and above zero, not {text}")
    return value


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__)
    result.add_argument("--case", required=True)
    result.add_argument("--role", default=OURS_ROLE, choices=ROLES)
    result.add_argument("--distribution", required=True, choices=(OURS, PEER))
    result.add_argument("--version", required=True, help="version of the distribution")
    result.add_argument("--cpu", type=int, help="core to run on (default: any)")
    result.add_argument("--seconds", type=positive, default=0.25, help="time to measure")
    result.add_argument("--warmup", type=positive, default=0.1, help="time to run before")
    result.add_argument("--messages", type=int, help="run exactly so many messages instead")
    result.add_argument("--folder", type=Path, help="what the turns of a run share (default: a new one)")
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = parser().parse_args(arguments)
    package = identify(options.distribution, options.version)
    # They use isotp while they are imported.
    from benchmarks.cases import case

    chosen = case(options.case)
    if options.cpu is not None and chosen.pinned:
        pin(options.cpu)
    result: dict[str, object] = {
        "case": chosen.name,
        "role": options.role,
        "package": asdict(package),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gc": list(gc.get_threshold()) if gc.isenabled() else "off",
    }
    with ExitStack() as cleanup:
        folder = options.folder or Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        stage = Stage(cleanup, folder)
        if options.messages is not None:
            result["timing"] = asdict(take_fixed(chosen, options.role, stage, options.messages))
        else:
            result["measured"] = asdict(take(chosen, options.role, stage, options.seconds, options.warmup))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
