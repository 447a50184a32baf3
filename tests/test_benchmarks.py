"""The benchmarks measure what they claim: the right work, package and arithmetic. Nothing is timed here."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import json
import math
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import isotp
from benchmarks import __main__ as command
from benchmarks import instructions, machine, peer_env, started, worker
from benchmarks.cases import (
    CASES,
    Case,
    Listening,
    Loopback,
    RoundTrip,
    case,
    loopback,
    segment,
    writer,
)
from benchmarks.report import Comparison, Report
from benchmarks.rounds import ROOT, Settings, Side, interleave, run_turn
from benchmarks.worker import OURS, PEER, Timing, WrongPackageError

VERSION = importlib.metadata.version(OURS)
US = Side(OURS, VERSION, Path(sys.executable))
THEM = Side(PEER, "2.0.7", Path("python-of-the-peer"))
SETTINGS = Settings(rounds=2, seconds=0.001, warmup=0.001, cpu=None)


# --- the cases ---


@pytest.mark.parametrize("each", CASES, ids=lambda each: each.name)
def test_a_case_delivers_what_was_sent(each: Case) -> None:
    workload = each.prepare()
    worker.section(workload, 3)
    assert workload.units >= 1
    assert each.meaning.endswith((".", "?"))
    assert each.goal > 1


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        # FF with 6 bytes, 585 CFs with 7; one FC, and with BS 8 another after every 8 CFs but the last.
        ("classic-4095-bs0", 1 + 585 + 1),
        ("classic-4095-bs8", 1 + 585 + 1 + 73),
        # FF with 62 bytes, 65 CFs with 63.
        ("fd-4095-bs0", 1 + 65 + 1),
        ("fd-4095-bs8", 1 + 65 + 1 + 8),
        # FF with escape sequence and 58 bytes.
        ("fd-1mib", 1 + 16644 + 1),
        ("single-frame", 1),
        ("listen-4095", 1 + 585),
        # FF, two CFs and FC for each.
        ("sessions-10", 10 * 4),
    ],
)
def test_time_is_divided_by_the_frames_that_the_standard_says(name: str, frames: int) -> None:
    assert case(name).prepare().units == frames


def test_an_unknown_case_is_named() -> None:
    with pytest.raises(ValueError, match="'nonsense'"):
        case("nonsense")


def test_segmenting_matches_the_standard() -> None:
    frames = segment(bytes(range(20)))
    assert [bytes(frame.data) for frame in frames] == [
        bytes.fromhex("1014 000102030405"),
        bytes.fromhex("21 060708090a0b0c"),
        bytes.fromhex("22 0d0e0f10111213"),
    ]
    with pytest.raises(ValueError, match="not 7"):
        segment(bytes(7))


def test_a_payload_that_arrives_wrong_is_noticed() -> None:
    for workload in (loopback(20, blocksize=0, fd=False), RoundTrip(), Listening(20)):
        received = workload.run(2)
        workload.verify(2, received)
        with pytest.raises(RuntimeError, match="message 0 did not arrive"):
            workload.verify(2, received[::-1])
        received[-1] = received[-1][:-1] + b"\0\0"
        with pytest.raises(RuntimeError, match="did not arrive"):
            workload.verify(2, received)
        with pytest.raises(RuntimeError, match="were sent"):
            workload.verify(2, received[:-1])


def test_a_message_that_is_not_sent_whole_is_noticed() -> None:
    workload = Loopback(20, blocksize=0, fd=False, make_writer=writer, units=4)
    received = workload.run(1)
    workload.client.send(bytes(20))
    with pytest.raises(RuntimeError, match="still transmits"):
        workload.verify(1, received)


def test_a_protocol_error_ends_the_run() -> None:
    workload = Listening(20)
    workload.bus.extend(workload.transfers[0][1:])
    with pytest.raises(isotp.UnexpectedConsecutiveFrameError):
        workload.layer.process()


# --- the worker ---


class CountedWork:
    """A workload that keeps account of what was asked of it."""

    units = 5

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.verified: list[int] = []

    def run(self, messages: int) -> list[int]:
        self.asked.append(messages)
        return [0] * messages

    def verify(self, messages: int, received: list[int]) -> None:
        assert len(received) == messages
        self.verified.append(messages)


def test_sections_add_up_and_are_all_verified() -> None:
    work = CountedWork()
    timing = worker.measure(work, seconds=1e-9, warmup=1e-9)
    assert work.asked == work.verified
    assert timing.units == 5
    assert timing.messages == work.asked[-1]
    total = worker.add(Timing(5, 2, 30, 20), Timing(5, 1, 15, 10))
    assert total == Timing(5, 3, 45, 30)
    assert total.ns_per_unit == 3


def test_a_fixed_run_is_exact() -> None:
    work = CountedWork()
    assert worker.fixed(work, messages=7, warmup_messages=2).messages == 7
    assert work.verified == [2, 7]
    with pytest.raises(ValueError, match="not 0"):
        worker.fixed(work, messages=0)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf"])
def test_a_time_must_be_positive(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        worker.positive(text)


def test_the_worker_reports_what_it_ran(capsys: pytest.CaptureFixture[str]) -> None:
    worker.main(["--case", "single-frame", "--distribution", OURS, "--version", VERSION, "--messages", "3"])
    report = json.loads(capsys.readouterr().out)
    assert report["case"] == "single-frame"
    assert report["package"]["distribution"] == OURS
    assert report["package"]["version"] == VERSION
    assert report["timing"]["messages"] == 3
    assert report["ns_per_unit"] == report["timing"]["elapsed_ns"] / 3


def test_the_worker_refuses_a_wrong_claim() -> None:
    with pytest.raises(WrongPackageError, match="can-isotp is not installed"):
        worker.identify(PEER, "2.0.7")
    with pytest.raises(WrongPackageError, match=r"not 0\.0\.0"):
        worker.identify(OURS, "0.0.0")
    with pytest.raises(ValueError, match="'isotp'"):
        worker.identify("isotp", VERSION)


def fake(site: Path, distribution: str, core: bool) -> None:
    """Put a distribution with an empty isotp into a directory."""
    info = site / f"{distribution.replace('-', '_')}-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 9.9\n")
    (site / "isotp").mkdir(exist_ok=True)
    (site / "isotp" / "__init__.py").touch()
    if core:
        (site / "isotp" / f"_core{importlib.machinery.EXTENSION_SUFFIXES[0]}").touch()


def refusal(site: Path, distribution: str, version: str, *flags: str) -> str:
    """Run the worker with `site` first on the path; return what it says when it refuses."""
    arguments = ["--case", "single-frame", "--distribution", distribution, "--version", version]
    done = subprocess.run(
        [sys.executable, *flags, "-m", "benchmarks.worker", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    return done.stderr.splitlines()[-1]


def test_the_worker_refuses_files_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "isotp").mkdir()
    (tmp_path / "isotp" / "__init__.py").touch()
    said = refusal(tmp_path, OURS, VERSION)
    assert "WrongPackageError" in said
    assert f"imports isotp from {tmp_path / 'isotp' / '__init__.py'}, not from {OURS}" in said


def test_the_worker_refuses_an_environment_with_both(tmp_path: Path) -> None:
    fake(tmp_path, PEER, core=False)
    assert f"has {PEER} too" in refusal(tmp_path, OURS, VERSION)


def test_the_worker_refuses_the_wrong_kind_of_package(tmp_path: Path) -> None:
    # -S leaves out the site-packages, where the real package is.
    fake(tmp_path / "ours", OURS, core=False)
    assert f"is pure Python: it cannot be {OURS}" in refusal(tmp_path / "ours", OURS, "9.9", "-S")
    fake(tmp_path / "peer", PEER, core=True)
    assert f"is compiled: it cannot be {PEER}" in refusal(tmp_path / "peer", PEER, "9.9", "-S")


# --- turns ---


def test_a_turn_is_a_process_of_its_own() -> None:
    cpu = machine.cores()[0] if hasattr(os, "sched_setaffinity") else None
    timing = run_turn(US, case("single-frame"), Settings(1, 0.001, 0.001, cpu))
    assert timing.units == 1
    assert timing.messages >= 1
    assert timing.elapsed_ns >= 1_000_000


def test_a_failing_turn_says_why() -> None:
    with pytest.raises(
        RuntimeError, match=r"single-frame on can-isotp-cython 0\.0\.0 failed(.|\n)*WrongPackage"
    ):
        run_turn(Side(OURS, "0.0.0", Path(sys.executable)), case("single-frame"), SETTINGS)


def test_the_peer_is_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "ours")
    assert US.environ()["PYTHONPATH"] == "ours"
    assert "PYTHONPATH" not in THEM.environ()


def test_sides_take_turns() -> None:
    order = []

    def turn(side: Side, each: Case, settings: Settings) -> Timing:
        order.append((side.distribution, each.name))
        return Timing(1, 1, 1, 1)

    cases = CASES[:2]
    pairs = interleave((US, THEM), cases, SETTINGS, progress=lambda text: None, turn=turn)
    one_round = [(side.distribution, each.name) for each in cases for side in (US, THEM)]
    assert order == one_round * 2
    assert {name: len(each) for name, each in pairs.items()} == {each.name: 2 for each in cases}


def test_sides_must_do_the_same_work() -> None:
    def turn(side: Side, each: Case, settings: Settings) -> Timing:
        return Timing(587 if side is US else 588, 1, 1, 1)

    with pytest.raises(RuntimeError, match=r"were 587 with can-isotp-cython .*, 588 with can-isotp"):
        interleave((US, THEM), CASES[:1], SETTINGS, progress=lambda text: None, turn=turn)


# --- the report ---


def timing(ns: int, share: float = 1.0) -> Timing:
    """Return a timing of 10 messages of 100 frames that took `ns` nanoseconds a frame."""
    return Timing(100, 10, ns * 1000, int(ns * 1000 * share))


def comparison() -> Comparison:
    # Ratios 60, 80, 50: the median of the pairs' ratios (60) is not the ratio of the medians (8000 / 110).
    return Comparison(
        case("fd-4095-bs0"),
        [
            (timing(100), timing(6000)),
            (timing(110), timing(8800)),
            (timing(160), timing(8000, share=0.5)),
        ],
    )


def test_ratio_is_the_median_of_the_pairs() -> None:
    each = comparison()
    assert each.ratios == [60, 80, 50]
    assert each.ratio == 60
    assert each.spread == (50, 80)
    assert (each.ours_ns, each.peer_ns) == (110, 8000)


def test_a_disturbed_turn_is_noticed() -> None:
    each = comparison()
    assert each.core_share == 0.5
    assert each.disturbed
    assert not Comparison(each.case, each.pairs[:2]).disturbed


def test_a_comparison_needs_a_round() -> None:
    with pytest.raises(ValueError, match="fd-4095-bs0 has no rounds"):
        Comparison(case("fd-4095-bs0"), [])


def test_table() -> None:
    report = Report((US, THEM), SETTINGS, {"cpu": "abacus"}, [comparison()])
    header, row = report.rows()
    assert header == ["case", "ns per", f"{OURS} {VERSION}", "can-isotp 2.0.7", "ratio", "min..max", "goal"]
    assert row == ["fd-4095-bs0", "frame", "110.0", "8000.0", "60x", "50..80", "60x"]
    text = report.text().splitlines()
    assert text[2].split() == row
    assert "cpu: abacus" in text
    assert "disturbed by other programs (least share of the core): fd-4095-bs0 50%" in text
    assert "| " + " | ".join(row) + " |" in report.markdown().splitlines()


def test_goals_stand_only_beside_the_release_they_were_set_against() -> None:
    for sides in ((THEM, THEM), (US, Side(PEER, "2.0.6", THEM.python))):
        assert Report(sides, SETTINGS, {}, [comparison()]).rows()[1][-1] == "-"


def test_json_keeps_the_raw_figures() -> None:
    report = Report((US, THEM), SETTINGS, machine.facts(), [comparison()])
    back = json.loads(json.dumps(report.json()))
    assert back["sides"] == [
        {"distribution": OURS, "version": VERSION},
        {"distribution": PEER, "version": "2.0.7"},
    ]
    assert back["cases"][0]["pairs"][0][1] == {
        "units": 100,
        "messages": 10,
        "elapsed_ns": 6_000_000,
        "cpu_ns": 6_000_000,
    }
    assert back["cases"][0]["spread"] == [50, 80]
    assert {"date", "cpu", "cores", "system", "python", "compiler", "gc", "load"} == set(back["machine"])


# --- the commands ---


def test_list_says_what_cases_mean(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--list"])
    said = capsys.readouterr().out
    for each in CASES:
        assert f"{each.name:18} {each.meaning}\n" in said


def test_cases_are_chosen_by_name() -> None:
    assert command.choose([]) == list(CASES)
    assert [each.name for each in command.choose(["single-frame", "fd-4095-*"])] == [
        "fd-4095-bs0",
        "fd-4095-bs8",
        "single-frame",
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "no case matches 'nonsense'"),
        (["--rounds", "0"], "rounds must be at least 1, not 0"),
        (["--peer-version", "new"], "not 'new'"),
        (["--seconds", "-1"], "invalid positive value: '-1'"),
    ],
)
def test_bad_options_are_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_command_writes_table_and_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []

    def make(version: str, directory: Path | None) -> Path:
        made.append((version, directory))
        return THEM.python

    def measured(
        sides: tuple[Side, Side], cases: list[Case], settings: Settings, progress: object
    ) -> dict[str, list[tuple[Timing, Timing]]]:
        assert sides == (US, THEM)
        assert (settings.rounds, settings.seconds) == (4, command.QUICK["seconds"])
        return {each.name: [(timing(100), timing(7000))] * settings.rounds for each in cases}

    monkeypatch.setattr(peer_env, "make", make)
    monkeypatch.setattr(command, "interleave", measured)
    file = tmp_path / "figures.json"
    options = ["listen-4095", "--quick", "--rounds", "4", "--json", str(file), "--markdown"]
    command.main([*options, "--peer-dir", str(tmp_path)])
    assert made == [("2.0.7", tmp_path)]
    assert "| listen-4095 | frame | 100.0 | 7000.0 | 70x | 70..70 | 40x |" in capsys.readouterr().out
    assert json.loads(file.read_text())["cases"][0]["ratio"] == 70


# --- started layers ---


@pytest.mark.parametrize("each", started.CASES.values(), ids=lambda each: each.name)
def test_a_case_of_started_layers_gives_figures(each: started.StartedCase) -> None:
    """Every case checks what it receives itself, and raises if that is not what was sent."""
    threads = threading.active_count()
    figures = each.measure(0.01)
    assert figures
    assert all(0 <= value < math.inf for value in figures.values())
    assert each.meaning.endswith((".", "?"))
    assert threading.active_count() <= threads + 1  # the timekeeper stays


def test_figures_are_microseconds() -> None:
    durations = [1000 * k for k in range(1000, 0, -1)]
    figures = started.microseconds(durations, ("min", "mean", "p50", "p99"))
    assert figures == {"min us": 1, "mean us": 500.5, "p50 us": 500.5, "p99 us": 991}


def test_a_row_has_the_least_of_each_side_and_the_ratio_of_neighbours() -> None:
    case = next(iter(started.CASES.values()))
    turns = [({"p50 us": 10.0}, {"p50 us": 30.0}), ({"p50 us": 20.0}, {"p50 us": 40.0})]
    assert started.rows(case, turns) == [[case.name, "p50 us", "10", "30", "2.50x (2.00..3.00)"]]
    assert started.rows(case, [({"%": 0.0}, {"%": 1.0})])[0][-1] == "-"


def test_cases_of_started_layers_are_chosen_by_pattern() -> None:
    names = [case.name for case in started.choose(["idle-*"])]
    assert names == ["idle-CanStack", "idle-NotifierBasedCanStack", "idle-Hub"]
    assert len(started.choose([])) == len(started.CASES)
    with pytest.raises(ValueError, match="'nonsense'"):
        started.choose(["nonsense"])


def test_the_command_runs_both_sides_by_turns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    turns: list[str] = []

    def turn(side: Side, case: started.StartedCase, seconds: float) -> started.Figures:
        turns.append(side.distribution)
        return {"p50 us": 2.0 if side.distribution == OURS else 5.0}

    monkeypatch.setattr(started, "turn", turn)
    monkeypatch.setattr(peer_env, "make", lambda *arguments: Path("python-of-the-peer"))
    file = tmp_path / "figures.json"
    started.main(["exchange-8-CanStack", "--rounds", "2", "--json", str(file)])
    assert turns == [OURS, PEER] * 2
    assert "| exchange-8-CanStack | p50 us | 2 | 5 | 2.50x (2.50..2.50) |" in capsys.readouterr().out
    assert len(json.loads(file.read_text())["turns"]["exchange-8-CanStack"]) == 2


def test_a_turn_of_started_layers_is_a_process_that_proves_its_package() -> None:
    case = started.CASES["stmin-100-txfn"]
    assert set(started.turn(US, case, 0.01)) == {"min us", "mean us", "p99 us"}
    with pytest.raises(RuntimeError, match=r"not 0\.0\.0"):
        started.turn(Side(OURS, "0.0.0", Path(sys.executable)), case, 0.01)


# --- the peer's environment ---


def test_a_complete_environment_is_used_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(peer_env, "command", commands.append)
    python = peer_env.make("2.0.7", tmp_path)
    venv, install = commands
    assert python.is_relative_to(peer_env.environment("2.0.7", tmp_path))
    assert venv[:3] == [sys.executable, "-m", "venv"]
    assert install[0] == str(python)
    assert install[-1] == "can-isotp==2.0.7"
    assert peer_env.make("2.0.7", tmp_path) == python
    assert len(commands) == 2
    assert peer_env.make("2.0.6", tmp_path) != python
    assert len(commands) == 4


def test_an_interrupted_environment_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(arguments: list[str]) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(peer_env, "command", broken)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no network"):
            peer_env.make("2.0.7", tmp_path)


def test_a_failing_command_shows_its_output() -> None:
    with pytest.raises(RuntimeError, match="failed with status 3:\nout of disk"):
        peer_env.command([sys.executable, "-c", "print('out of disk'); raise SystemExit(3)"])


@pytest.mark.parametrize("version", ["2", "2.0.7", "1.9", "2.1rc1", "2.0.7.post1"])
def test_every_release_has_its_environment(version: str, tmp_path: Path) -> None:
    assert peer_env.environment(version, tmp_path).name.startswith(f"can-isotp-{version}-")


@pytest.mark.parametrize("version", ["", ">=2", "../2.0", "2.0.7 --pre", "latest", "2.0.*"])
def test_a_version_must_be_exact(version: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be exact"):
        peer_env.environment(version, tmp_path)


# --- instruction counts ---


def test_start_up_cancels_out() -> None:
    # 1000 instructions of start-up, 300 a frame.
    single = 1000 + 20 * 587 * 300
    double = 1000 + 40 * 587 * 300
    assert instructions.per_unit(single, double, messages=20, units=587) == 300
    with pytest.raises(ValueError, match="took 1000 instructions, after 1000"):
        instructions.per_unit(1000, 1000, messages=20, units=587)


def test_the_total_of_a_callgrind_file() -> None:
    text = "version: 1\nevents: Ir\n\nfn=(1) main\n16 400\n\ntotals: 123456\n"
    assert instructions.total(text) == 123456
    with pytest.raises(ValueError, match="not a complete callgrind file: 'version: 1'"):
        instructions.total("version: 1")


def test_valgrind_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="valgrind is not installed"):
        instructions.count(US, case("single-frame"), 1, tmp_path / "callgrind.out")


def test_the_limit_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def count(side: Side, chosen: Case, messages: int, file: Path) -> tuple[int, int]:
        assert side == US
        assert chosen.name == "classic-4095-bs0"
        assert messages * 587 >= instructions.OUR_UNITS
        return 5000 + messages * 587 * 1501, 587

    monkeypatch.setattr(instructions, "count", count)
    instructions.main(["--limit", "1501"])
    assert f"{US}: 1501 instructions a frame in classic-4095-bs0" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="above the limit of 1500"):
        instructions.main(["--limit", "1500"])
