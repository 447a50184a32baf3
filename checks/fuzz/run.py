#!/usr/bin/env python3
"""Fuzz the protocol, the parsers and the API with AddressSanitizer and UBSan, for a bounded time.

    python checks/fuzz/run.py [--executions N | --seconds N] [--corpus FOLDER] [HARNESS ...]
    python checks/fuzz/run.py --input FILE HARNESS

There are two kinds of harnesses. `protocol/steps.pyx` calls the C functions of the protocol from libFuzzer, without an
interpreter: they make nearly all of the executions. The modules in `targets/` use the package from Python by atheris,
with extensions that are built for it. Each begins with its inputs in `seeds/`. What is found is written to
`fuzz-findings/`, and `--input` runs it again. Inputs that reach further are dropped at the end, or kept in `--corpus`
for the next run.

The exit status is 1 if there is a crash, a broken promise, a report of a sanitizer, an input that takes 25 seconds or
1 GB, or too few executions. Needs clang with its runtime libraries (CLANG names another one), and the dependency group
`fuzz`.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from checks.fuzz import seeds
from checks.instrumented import CHECKOUT, environment, instrumented_copy

HERE = Path(__file__).resolve().parent
FINDINGS = CHECKOUT / "fuzz-findings"

# Share of the executions, of a million. How fast a harness is differs by a factor of a thousand.
PROTOCOL = {
    "decode": 656_000,
    "reception": 120_000,
    "transmission": 150_000,
    "exchange": 5_000,
    "encode": 8_000,
    "rate": 60_000,
}
TARGETS = {
    "reassembler": 100,
    "candump": 100,
    "asc": 100,
    "blf": 100,
    "pcap": 100,
    "capture": 50,
    "engine": 100,
    "vocabulary": 150,
    "pickled": 100,
    "tables": 60,
    "discovery": 40,
}
SHARES = PROTOCOL | TARGETS
EXECUTIONS = 10_200_000
LONGEST = {
    "decode": 80,
    "rate": 400,
    "vocabulary": 400,
    "blf": 1500,
    "capture": 1500,
}  # bytes of an input; others: 1000
OPTIONS = ("-timeout=25", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=1", "-reload=0")
SANITIZERS = {
    # The stacks of what was allocated cost more than all the rest; a finding is run again with them.
    "ASAN_OPTIONS": "detect_leaks=0:malloc_context_size=2:quarantine_size_mb=16:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "PYTHONMALLOC": "malloc",
}
FLAGS = ("-O2", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", "-w")
# What the protocol is compiled with in the package: the directives of setup.py
DIRECTIVES = "boundscheck=False,wraparound=False,initializedcheck=False,cdivision=True"
# What libFuzzer calls, for the harness of steps.pyx that TARGET names
ENTRY = """\
#include <stddef.h>
#include <stdint.h>
void TARGET(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    TARGET(data, size);
    return 0;
}
"""
SIGNS = (
    "ERROR: AddressSanitizer",
    "ERROR: libFuzzer",
    "runtime error:",
    "NOT KEPT",
    "Uncaught Python exception",
)


class Outcome(NamedTuple):
    executions: int
    edges: int
    seconds: float
    report: str  # of what was found, or empty


def clang() -> str:
    for name in filter(None, (os.environ.get("CLANG"), "clang", *(f"clang-{n}" for n in range(22, 13, -1)))):
        if found := shutil.which(name):
            return found
    raise SystemExit(
        "there is no clang: install clang and its compiler-rt (Debian: clang libclang-rt-14-dev)"
    )


# ---------------------------------------------------------------- building


def build_protocol(names: Sequence[str], folder: Path) -> dict[str, list[str]]:
    """A program for each harness of steps.pyx."""
    subprocess.run(
        [
            *(sys.executable, "-m", "cython", "-3", "-X", DIRECTIVES),
            *("-I", str(CHECKOUT / "src"), "-I", str(CHECKOUT / "src/isotp")),
            *("-o", str(folder / "steps.c"), str(HERE / "protocol/steps.pyx")),
        ],
        check=True,
    )
    compiler = [clang(), *FLAGS]
    subprocess.run(
        [
            *(*compiler, "-fsanitize=address,undefined,fuzzer-no-link", f"-I{sysconfig.get_path('include')}"),
            *("-c", "steps.c", "-o", "steps.o"),
        ],
        cwd=folder,
        check=True,
    )
    # Nothing of Python is ever called, but the module around the functions refers to it.
    libraries = [sysconfig.get_config_var(name) for name in ("LIBDIR", "LIBPL")]
    python = f"-lpython{sysconfig.get_config_var('LDVERSION')}"
    search = [option for place in libraries for option in (f"-L{place}", f"-Wl,-rpath,{place}")]
    system = shlex.split(f"{sysconfig.get_config_var('LIBS')} {sysconfig.get_config_var('SYSLIBS')}")
    (folder / "entry.c").write_text(ENTRY)
    for name in names:
        subprocess.run(
            [
                *(*compiler, "-fsanitize=address,undefined,fuzzer", f"-DTARGET=fuzz_{name}"),
                *("entry.c", "steps.o", "-o", name, *search, python, *system),
            ],
            cwd=folder,
            check=True,
        )
    return {name: [str(folder / name)] for name in names}


@contextmanager
def build_targets(names: Sequence[str]) -> Iterator[tuple[dict[str, list[str]], dict[str, str]]]:
    """The commands for each target, and their environment: extensions that atheris gets the coverage of."""
    try:
        import atheris
    except ImportError:
        raise SystemExit("there is no atheris: install the dependency group `fuzz`") from None
    runtime = Path(atheris.path()) / "asan_with_fuzzer.so"
    # atheris has the runtime of these sanitizers with libFuzzer in one: it must be there before Python starts.
    with instrumented_copy(
        {
            # Where an object is made without arguments, Cython adds 0 to NULL, which clang reports and gcc does not.
            "ISOTP_SANITIZE": "address,undefined,fuzzer-no-link,-pointer-overflow",
            "CC": f"{os.environ.get('CCACHE', '')} {clang()}".strip(),
        }
    ) as copy:
        yield (
            {name: [sys.executable, "-m", "checks.fuzz.driver", name] for name in names},
            environment(copy) | {"LD_PRELOAD": str(runtime)},
        )


# ---------------------------------------------------------------- running


def statistic(name: str, text: str) -> int:
    found = re.findall(rf"stat::{name}:\s+(\d+)", text)
    return int(found[-1]) if found else 0


def run_harness(
    name: str, command: list[str], bound: str, folders: list[Path], setting: dict[str, str]
) -> Outcome:
    FINDINGS.mkdir(exist_ok=True)
    begun = time.monotonic()
    done = subprocess.run(
        [
            *(*command, *OPTIONS, bound, f"-max_len={longest(name)}"),
            f"-artifact_prefix={FINDINGS / name}-",
            *map(str, folders),
        ],
        env=os.environ | SANITIZERS | setting,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    edges = re.findall(r"cov: (\d+)", done.stdout)
    failed = done.returncode != 0 or any(sign in done.stdout for sign in SIGNS)
    return Outcome(
        statistic("number_of_executed_units", done.stdout),
        int(edges[-1]) if edges else 0,
        time.monotonic() - begun,
        done.stdout if failed else "",
    )


def longest(name: str) -> int:
    return LONGEST.get(name, 1000)


def put_seeds(folder: Path, inputs: list[bytes]) -> None:
    folder.mkdir(parents=True)
    for k, each in enumerate(inputs):
        (folder / f"{k:03}").write_bytes(each)


def best_of(name: str, corpus: Path, begin_with: Path, command: list[str], scratch: Path) -> list[bytes]:
    """Few inputs that reach much of what all reach."""
    if name in TARGETS:
        # atheris cannot merge. Each input of a corpus reached something new when it was found.
        found = sorted((path.read_bytes() for path in corpus.iterdir()), key=len)
        given = seeds.generated(name)
        step = max(1, -(-len(found) // (seeds.MOST - len(given))))
        return [*given, *found[::step]]
    best = scratch / "best" / name
    best.mkdir(parents=True)
    subprocess.run(
        [*command, "-set_cover_merge=1", f"-max_len={longest(name)}", *map(str, (best, corpus, begin_with))],
        env=os.environ | SANITIZERS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return sorted((path.read_bytes() for path in best.iterdir()), key=len)[: seeds.MOST]


def telling(output: str) -> str:
    """The output from the first sign of a finding on, and the end of it."""
    lines = output.splitlines()
    first = next((k for k, line in enumerate(lines) if any(sign in line for sign in SIGNS)), len(lines) - 20)
    return "\n".join([*lines[max(first - 5, 0) : first + 40], "[...]", *lines[-12:]])


def fuzz(names: Sequence[str], options: argparse.Namespace) -> bool:
    weight = sum(SHARES[name] for name in names)
    total, found, short = 0, [], []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isotp-fuzz-")))
        commands: dict[str, list[str]] = {}
        setting: dict[str, str] = {}
        print("building ...", flush=True)
        if chosen := [name for name in names if name in PROTOCOL]:
            commands |= build_protocol(chosen, folder)
        if chosen := [name for name in names if name in TARGETS]:
            more, setting = stack.enter_context(build_targets(chosen))
            commands |= more
        for name in names:
            own = {} if name in PROTOCOL else setting
            if options.input:
                outcome = run_harness(name, commands[name], "-runs=1", [options.input], own)
                print(outcome.report or f"{name}: nothing is wrong with {options.input}")
                found += [name] if outcome.report else []
                continue
            corpus = (options.corpus or folder / "corpus") / name
            corpus.mkdir(parents=True, exist_ok=True)
            begin_with = folder / "seeds" / name
            put_seeds(begin_with, seeds.generated(name) if options.write_seeds else seeds.load(name))
            wanted = round(options.executions * SHARES[name] / weight)
            bound = f"-runs={wanted}"
            if options.seconds:
                wanted, bound = 1, f"-max_total_time={max(1, round(options.seconds / len(names)))}"
            outcome = run_harness(name, commands[name], bound, [corpus, begin_with], own)
            total += outcome.executions
            print(
                f"{name:14}{outcome.executions:>12,} executions {outcome.seconds:6.1f} s,"
                f" {outcome.edges} edges covered",
                flush=True,
            )
            if outcome.report:
                found.append(name)
                print(f"--- {name}\n{telling(outcome.report)}\n---", flush=True)
            elif outcome.executions < wanted:
                short.append(name)
            if options.write_seeds:
                seeds.save(name, best_of(name, corpus, begin_with, commands[name], folder))
    if not options.input:
        print(f"{total:,} executions of {len(names)} harnesses")
    print(f"sanitizers: {f'REPORTS in {found}, inputs in {FINDINGS}' if found else 'no report'}")
    if short:
        print(f"NOT GOOD: fewer executions than asked for: {short}")
    return not found and not short


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the package with sanitizers, for a bounded time.")
    parser.add_argument(
        "--executions", type=int, default=EXECUTIONS, metavar="N", help="of all harnesses together"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="for all harnesses together, in place of that"
    )
    parser.add_argument(
        "--corpus", type=Path, metavar="FOLDER", help="where inputs that reach further are kept"
    )
    parser.add_argument(
        "--write-seeds", action="store_true", help="make the files in seeds/ of what was found"
    )
    parser.add_argument("--input", type=Path, metavar="FILE", help="run one input")
    parser.add_argument(
        "harnesses", nargs="*", metavar="HARNESS", help=f"default: all of {', '.join(SHARES)}"
    )
    options = parser.parse_args()
    unknown = set(options.harnesses) - set(SHARES)
    if unknown or (options.input and len(options.harnesses) != 1):
        parser.error(
            f"no such harness: {', '.join(sorted(unknown))}" if unknown else "--input is for one harness"
        )
    passed = fuzz(options.harnesses or list(SHARES), options)
    print("good" if passed else "NOT GOOD")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
