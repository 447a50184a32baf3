"""The benchmarks measure what they claim: the right work, package and arithmetic. Nothing is timed here."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import isotp
from benchmarks import __main__ as command
from benchmarks import cases as registry
from benchmarks import (
    files,
    instructions,
    kernel,
    machine,
    pair_floor,
    peer_env,
    report,
    rounds,
    socketcan_pair,
    started,
    worker,
)
from benchmarks.case import ALL, FULL, QUICK, ROLES, Case, Measured, Repeated, Stage, percentiles
from benchmarks.cases import CASES, case, choose
from benchmarks.object_path import Listening, Loopback, RoundTrip, loopback, segment, writer
from benchmarks.report import Figure, Report, Result, result_of
from benchmarks.rounds import ROOT, Contender, Settings, Side, interleave, run_turn
from benchmarks.worker import OURS, PEER, Timing, WrongPackageError
from isotp.bus.native import native_bus

VERSION = importlib.metadata.version(OURS)
US = Side(OURS, VERSION, Path(sys.executable))
THEM = Side(PEER, "2.0.7", Path("python-of-the-peer"))
BOTH = (Contender("ours", "ours", US), Contender("peer", "peer", THEM))
SETTINGS = Settings(rounds=2, seconds=0.001, warmup=0.001, cpu=None, budget=100)

RUNNABLE = [each for each in CASES if each.lacking() is None]
# Each of these takes a second or more, and differs from others that are tried by a number or a parameter only.
SLOW = (
    *(
        "sessions-1000",
        "bulk-*-1000",
        "bulk-*-10000",
        "bulk-fd-*",
        "bulk-*-1mib-1",
        "memory-*",
        "fd-1mib",
        "size-*",
    ),
    *("exchange-4095-*", "exchange-8-busy-*", "st*-NotifierBasedCanStack", "udsoncan-NotifierBasedCanStack"),
    *("frames-*-fd", "frames-trc", "frames-csv", "idle-NotifierBasedCanStack"),
)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as cleanup:
        yield Stage(cleanup, tmp_path)


# --- the cases ---


def test_every_case_has_a_name_of_its_own_and_says_what_it_means() -> None:
    assert len({each.name for each in CASES}) == len(CASES)
    for each in CASES:
        assert each.meaning.endswith((".", "?")), each.name
        assert "ours" in each.roles, each.name
        assert set(each.roles) <= set(ROLES), each.name
        assert not set(each.roles) & {"beside", "floor"} - set(each.names), each.name
        assert each.mode in (QUICK, FULL, ALL), each.name


def test_the_modes_are_ever_larger() -> None:
    quick, full, everything = (choose([], mode) for mode in (QUICK, FULL, ALL))
    names = [{each.name for each in chosen} for chosen in (quick, full, everything)]
    assert names[0] < names[1] < names[2]
    assert everything == RUNNABLE
    # Whoever only looks quickly is to see something of everything that there is.
    assert {each.group for each in quick} == {each.group for each in RUNNABLE} - {"payload size"}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        pytest.param(each.name, role, id=f"{each.name}-{role}")
        for each in RUNNABLE
        for role in each.present()
        # can-isotp is not here: its role is that of ours, unless the case has another one for it.
        if (role != "peer" or each.roles[role] is not each.roles["ours"])
        and not any(fnmatchcase(each.name, pattern) for pattern in SLOW)
    ],
)
def test_a_case_delivers_what_was_sent(
    name: str, role: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every case checks what it received, and raises if that is not what was sent."""
    # The frames of a log for two cores: as many as take both of them, and no more.
    monkeypatch.setattr(files, "MANY", 100_000)
    threads = threading.active_count()
    contender = case(name).roles[role]
    if isinstance(contender, Repeated):
        workload = contender.prepare(stage)
        worker.section(workload, 2)
        assert workload.units >= 1
    else:
        found = contender.observe(stage, 0.01)
        assert found.figures
        assert all(math.isfinite(value) for value in found.figures.values())
        assert threading.active_count() <= threads + 1  # the timekeeper stays


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
def test_time_is_divided_by_the_frames_that_the_standard_says(name: str, frames: int, stage: Stage) -> None:
    contender = case(name).roles["ours"]
    assert isinstance(contender, Repeated)
    assert contender.prepare(stage).units == frames


# --- python-can's SocketCAN bus on a pair of sockets ---

on_a_pair = pytest.mark.skipif(
    socketcan_pair.lacking(1) is not None or importlib.util.find_spec("can") is None,
    reason="needs Linux and python-can",
)


@pytest.mark.parametrize(("transfer", "_"), socketcan_pair.MESSAGES.values(), ids=socketcan_pair.MESSAGES)
def test_the_frames_of_a_message_on_a_pair_are_those_of_the_stack(transfer: kernel.Transfer, _: str) -> None:
    assert loopback(transfer.length, transfer.blocksize, transfer.fd).units == transfer.frames


@pytest.mark.parametrize(("transfer", "_"), socketcan_pair.MESSAGES.values(), ids=socketcan_pair.MESSAGES)
def test_the_floor_of_a_pair_has_the_frames_of_the_message(transfer: kernel.Transfer, _: str) -> None:
    """Those of its blocks, and one of the other end after each block but the last."""
    first, *blocks = socketcan_pair.blocks_of(transfer)
    assert first == 1
    assert sum(blocks) + len(blocks) == transfer.frames - 1
    assert all(block == blocks[0] for block in blocks[:-1])
    assert len(blocks) == 1 if transfer.blocksize == 0 else blocks[0] == transfer.blocksize


@on_a_pair
def test_the_floor_of_a_pair_says_what_went_wrong(stage: Stage) -> None:
    ends = [stage.cleanup.enter_context(end) for end in socketcan_pair.pair()]
    ends[1].send(b"no frame")  # what the tester waits for as an answer
    with pytest.raises(OSError, match="the pair of sockets failed"):
        pair_floor.durations_ns(ends, False, [1], True, 0.001, stage.folder)


@on_a_pair
@pytest.mark.parametrize(
    ("make", "natively"), [(socketcan_pair.can_stack, True), (socketcan_pair.without_native_path, False)]
)
def test_a_case_goes_the_way_that_it_says(
    make: socketcan_pair.MakeLayer, natively: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ISOTP_NATIVE", raising=False)
    with socketcan_pair.two_ends(make, socketcan_pair.ROUND_TRIP[0]) as ends:
        for end in ends:
            assert isinstance(end, isotp.CanStack)
            assert (native_bus(end.bus) is not None) is natively
    assert "ISOTP_NATIVE" not in os.environ


@on_a_pair
@pytest.mark.parametrize("arrived", [[None], [b"another"], [b"", None]])
def test_a_payload_that_arrives_wrong_on_a_pair_is_noticed(arrived: list[bytes | None]) -> None:
    transfer, _ = socketcan_pair.ROUND_TRIP
    with pytest.raises(RuntimeError, match="did not arrive as it was sent"):
        socketcan_pair.durations_ns(lambda *_: arrived, socketcan_pair.can_stack, transfer, 0.001)


def test_a_pair_needs_linux_and_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(socketcan_pair, "room", lambda opened: 425_984)
    assert socketcan_pair.lacking(8) is None
    assert "less than 587 frames" in (case("pair-4095-bs0-CanStack").lacking() or "")
    monkeypatch.setattr(sys, "platform", "win32")
    assert case("pair-7-CanStack").lacking() == "only Linux has SocketCAN"


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
    first, last = segment(bytes(range(72)), fd=True)
    assert bytes(first.data) == bytes([0x10, 72, *range(62)])
    # Ten bytes and N_PCI do not fill a length of CAN FD.
    assert bytes(last.data) == bytes([0x21, *range(62, 72), 0xCC])


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
    assert total.cpu_ns_per_unit == 2


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
    ours = ["--distribution", OURS, "--version", VERSION]
    worker.main(["--case", "single-frame", *ours, "--messages", "3"])
    report = json.loads(capsys.readouterr().out)
    assert report["case"] == "single-frame"
    assert report["package"]["distribution"] == OURS
    assert report["package"]["version"] == VERSION
    assert report["timing"]["messages"] == 3
    worker.main(["--case", "single-frame", *ours, "--seconds", "0.001", "--warmup", "0.001"])
    measured = Measured(**json.loads(capsys.readouterr().out)["measured"])
    assert list(measured.figures) == ["ns a round trip"]
    assert measured.work == 1
    with pytest.raises(ValueError, match="exchange-8-CanStack is not a workload"):
        worker.main(["--case", "exchange-8-CanStack", *ours, "--messages", "3"])


def test_the_clock_is_that_of_the_cpu_where_nothing_waits(
    monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    monkeypatch.setattr(worker, "measure", lambda *arguments: Timing(1, 1, elapsed_ns=200, cpu_ns=100))
    assert worker.take(case("single-frame"), "ours", stage, 1, 1).figures == {"ns a round trip": 100}
    assert worker.take(case("sessions-1"), "ours", stage, 1, 1).figures == {"ns a frame": 200}


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


def test_a_turn_is_a_process_of_its_own(tmp_path: Path) -> None:
    cpu = machine.cores()[0] if hasattr(os, "sched_setaffinity") else None
    how = Settings(1, 0.001, 0.001, cpu, 1)
    measured = run_turn(BOTH[0], case("single-frame"), how, tmp_path)
    assert measured.work == 1
    assert measured.figures["ns a round trip"] > 0


def test_a_failing_turn_says_why(tmp_path: Path) -> None:
    wrong = Contender("ours", "ours", Side(OURS, "0.0.0", Path(sys.executable)))
    with pytest.raises(
        RuntimeError, match=r"single-frame on can-isotp-cython 0\.0\.0 failed(.|\n)*WrongPackage"
    ):
        run_turn(wrong, case("single-frame"), SETTINGS, tmp_path)


def test_the_peer_is_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "ours")
    assert US.environ()["PYTHONPATH"] == "ours"
    assert "PYTHONPATH" not in THEM.environ()


class Clock:
    """A clock that a turn moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def turns(
    cases: list[Case], settings: Settings, costs: dict[str, float], contenders: tuple[Contender, ...] = BOTH
) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """Return who ran what in which order, and how many rounds each case had; a turn takes what `costs` says."""
    clock, order = Clock(), []

    def turn(contender: Contender, each: Case, settings: Settings, folder: Path) -> Measured:
        order.append((contender.column, each.name))
        clock.now += costs[each.name]
        return Measured({"ns a frame": 1.0}, work=1)

    found = interleave(contenders, cases, settings, Path(), lambda text: None, turn, clock)
    return order, {name: len(each) for name, each in found.items()}


def test_sides_take_turns() -> None:
    cases = [case("classic-4095-bs0"), case("single-frame")]
    order, counts = turns(cases, SETTINGS, dict.fromkeys((each.name for each in cases), 1.0))
    assert order == [(column, each.name) for each in cases for column in ("ours", "peer")] * 2
    assert set(counts.values()) == {2}


def test_only_those_take_part_that_a_case_has() -> None:
    everyone = (*BOTH, Contender("beside", "beside", US), Contender("floor", "floor", US))
    order, _ = turns([case("frames-candump")], Settings(1, 1, 1, None, 1), {"frames-candump": 1}, everyone)
    assert [column for column, _ in order] == ["ours", "beside"]


def test_the_case_that_had_the_least_time_is_next_until_the_time_is_over() -> None:
    cases = [case("sessions-1"), case("single-frame")]
    # A round of the one takes 20 s, of the other 2: from 22 s on, the other catches up.
    how = Settings(rounds=30, seconds=1, warmup=1, cpu=None, budget=41)
    order, counts = turns(cases, how, {"sessions-1": 10, "single-frame": 1})
    assert order[4:6] == [("ours", "single-frame"), ("peer", "single-frame")]
    assert counts == {"sessions-1": 1, "single-frame": 10}


def test_one_round_is_run_however_little_time_there_is() -> None:
    cases = [case("sessions-1"), case("single-frame")]
    how = Settings(rounds=3, seconds=1, warmup=1, cpu=None, budget=1)
    assert turns(cases, how, {"sessions-1": 10, "single-frame": 10})[1] == {
        "sessions-1": 1,
        "single-frame": 1,
    }


def test_sides_must_do_the_same_work() -> None:
    def turn(contender: Contender, each: Case, settings: Settings, folder: Path) -> Measured:
        return Measured({"ns a frame": 1}, work=587 if contender.side is US else 588)

    with pytest.raises(RuntimeError, match=r"frames in a message were 587 with ours, 588 with peer"):
        interleave(BOTH, [case("fd-4095-bs0")], SETTINGS, Path(), lambda text: None, turn)


# --- the report ---


def result(name: str = "fd-4095-bs0", core_share: float = 1.0) -> Result:
    # Ratios 60, 80, 50: the median of the rounds' ratios (60) is not the ratio of the medians (8000 / 110).
    found = [
        {
            "ours": Measured({"ns a frame": ours}, work=67, core_share=1.0),
            "peer": Measured({"ns a frame": peer}, work=67, core_share=core_share),
            "floor": Measured({"ns a frame": ours / 2}, work=67, core_share=1.0),
        }
        for ours, peer in ((100.0, 6000.0), (110.0, 8800.0), (160.0, 8000.0))
    ]
    return result_of(case(name), found, {"ours": str(US), "peer": str(THEM)})


def whole(*results: Result) -> Report:
    return Report(machine.facts(), SETTINGS, {"ours": str(US), "peer": str(THEM)}, results)


def test_ratio_is_the_median_of_the_rounds() -> None:
    figure = result().figure
    assert figure.ratios("peer") == [60, 80, 50]
    assert figure.ratio("peer") == 60
    assert (figure.value("ours"), figure.value("peer")) == (110, 8000)
    assert result().rival() == "peer"


def test_what_costs_nothing_has_no_ratio() -> None:
    figure = Figure("% of a core", [{"ours": 0.0, "peer": 5.0}])
    assert figure.ratios("peer") == []
    assert math.isnan(figure.ratio("peer"))
    assert report.spread(figure, "peer") == ["", ""]


def test_a_disturbed_turn_is_noticed() -> None:
    assert result(core_share=0.5).disturbed
    assert not result().disturbed
    assert (
        "disturbed by other programs (least share of the core): fd-4095-bs0 50%"
        in whole(result(core_share=0.5)).text()
    )


def test_a_result_needs_a_round() -> None:
    with pytest.raises(ValueError, match="fd-4095-bs0 has no rounds"):
        result_of(case("fd-4095-bs0"), [], {})


def test_table() -> None:
    row = [
        "fd-4095-bs0",
        "ns a frame",
        "110",
        "can-isotp 2.0.7",
        "8 000",
        "60x",
        "50..80",
        "60x",
        "55",
        "2.00!",
    ]
    assert whole().rows(result()) == [row]
    text = whole(result()).text()
    assert row in [re.split("  +", line) for line in text.splitlines()]
    assert "-- object path --" in text
    markdown = whole(result()).markdown()
    assert "| " + " | ".join(row) + " |" in markdown.splitlines()
    assert "### Object path" in markdown


def test_goals_stand_only_beside_the_release_they_were_set_against() -> None:
    other = Report({}, SETTINGS, {"ours": str(US), "peer": "can-isotp 2.0.6"}, [result()])
    assert other.rows(result())[0][7] == ""


def test_json_keeps_the_raw_figures_and_can_be_read_back(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    first = whole(result())
    first.save(file)
    raw = json.loads(file.read_text())
    assert raw["cases"][0]["rounds"][1]["peer"] == {
        "figures": {"ns a frame": 8800.0},
        "work": 67,
        "core_share": 1.0,
    }
    assert raw["cases"][0]["ratios"]["ns a frame"]["peer"] == {"ratio": 60, "all": [60, 80, 50]}
    assert {"date", "cpu", "cores", "system", "python", "compiler", "gc", "load", "packages"} == set(
        raw["machine"]
    )
    assert report.load(file).text() == first.text()


def test_list_says_what_cases_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    said = capsys.readouterr().out
    for each in CASES:
        assert f"{each.name:36} {each.meaning}" in said


def test_cases_are_chosen_by_name_pattern_or_group() -> None:
    assert [each.name for each in choose(["single-frame", "fd-4095-*"])] == [
        "fd-4095-bs0",
        "fd-4095-bs8",
        "single-frame",
    ]
    assert [each.name for each in choose(["idle"])] == [
        "idle-CanStack",
        "idle-NotifierBasedCanStack",
        "idle-Hub",
    ]


def test_a_case_that_can_not_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    class Without(Case):
        def lacking(self) -> str | None:
            return "there is no tram"

    broken = Without("tram", "trams", "How fast is it?", {"ours": Repeated(lambda stage: RoundTrip())})
    monkeypatch.setattr(registry, "CASES", (*CASES, broken))
    with pytest.raises(ValueError, match="tram can't run here: there is no tram"):
        choose(["tram"])
    assert broken not in choose([], ALL)


def test_a_case_lacks_what_it_cannot_import() -> None:
    role = Repeated(lambda stage: RoundTrip(), needs=("no_such_package",))
    lacking = Case("x", "x", "x", {"ours": role}).lacking()
    assert lacking == "no_such_package cannot be imported"
    assert Case("x", "x", "x", {"ours": Repeated(lambda stage: RoundTrip()), "beside": role}).present() == [
        "ours"
    ]
    assert (
        Case("x", "x", "x", {}, interface="no-such-can").lacking() == "there is no CAN interface no-such-can"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "no case matches 'nonsense'"),
        (["--rounds", "0"], "rounds must be at least 1, not 0"),
        (["--peer-version", "new"], "not 'new'"),
        (["--seconds", "-1"], "invalid positive value: '-1'"),
        (["--quick", "--all"], "not allowed with argument"),
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
    ran = []

    def make(version: str, directory: Path | None) -> Path:
        made.append((version, directory))
        return THEM.python

    def turn(contender: Contender, each: Case, settings: Settings, folder: Path) -> Measured:
        ran.append((contender.column, contender.side))
        assert settings.seconds == command.PACES[QUICK].seconds
        return Measured({"ns a frame": 7000.0 if contender.column == "peer" else 100.0})

    monkeypatch.setattr(peer_env, "make", make)
    monkeypatch.setattr(command, "interleave", lambda *arguments: rounds.interleave(*arguments, turn=turn))
    file = tmp_path / "figures.json"
    options = ["listen-4095", "--quick", "--rounds", "4", "--json", str(file), "--markdown"]
    assert command.main([*options, "--peer-dir", str(tmp_path)]) == 0
    assert made == [("2.0.7", tmp_path)]
    assert ran[:2] == [("ours", US), ("peer", THEM)]
    assert (
        "| listen-4095 | ns a frame | 100 | can-isotp 2.0.7 | 7 000 | 70x | 70..70 | 40x |"
        in capsys.readouterr().out
    )
    assert len(json.loads(file.read_text())["cases"][0]["rounds"]) == 4


def test_can_isotp_against_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def turn(contender: Contender, each: Case, settings: Settings, folder: Path) -> Measured:
        ran.append((contender.column, contender.role, contender.side))
        return Measured({"ns a frame": 7000.0})

    monkeypatch.setattr(peer_env, "make", lambda version, directory: THEM.python)
    monkeypatch.setattr(command, "interleave", lambda *arguments: rounds.interleave(*arguments, turn=turn))
    command.main(["listen-4095", "--rounds", "1", "--null-test"])
    assert ran == [("one", "peer", THEM), ("other", "peer", THEM)]
    assert "1x" in capsys.readouterr().out


def test_the_virtual_machine_runs_the_same_command(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(arguments: list[str], **others: object) -> subprocess.CompletedProcess[bytes]:
        ran.append(arguments)
        return subprocess.CompletedProcess(arguments, 3)

    monkeypatch.setattr(peer_env, "make", lambda version, directory: THEM.python)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(command.runpy, "run_path", lambda path: {"lacking": lambda: "vcan0"})
    assert command.main(["--vm", "vcan-single-*", "--rounds", "2"]) == 3
    assert ran[0][1] == str(ROOT / "checks" / "kernel" / "run.py")
    assert ran[0][ran[0].index("--") + 1 :] == [
        sys.executable,
        "-m",
        "benchmarks",
        "vcan-single-*",
        "--rounds",
        "2",
    ]


WORKFLOW = ROOT / ".github" / "workflows" / "benchmarks.yml"


@pytest.mark.skipif(not WORKFLOW.exists(), reason="source distributions have no workflows")
def test_the_workflow_runs_commands_that_exist() -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    # YAML takes the key `on` for a truth value.
    assert "pull_request" in workflow[True]
    scripts = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    modules = set(re.findall(r"python -m (benchmarks\S*)", "\n".join(scripts)))
    assert modules == {"benchmarks", "benchmarks.gate"}
    quick = next(line for line in "\n".join(scripts).splitlines() if "python -m benchmarks --quick" in line)
    options = quick.split("|")[0].split()[3:]
    assert command.parser().parse_args(options).quick
    assert "--markdown" in options
    assert any("gh pr comment" in script and "benchmarks.md" in script for script in scripts)
    groups = set(re.findall(r"--group (?:\S+:)?(\w+)", "\n".join(scripts)))
    assert all(f"\n{group} = [" in (ROOT / "pyproject.toml").read_text() for group in groups)


def test_figures_are_microseconds() -> None:
    durations = [1000 * k for k in range(1000, 0, -1)]
    measured = started.microseconds(durations, ("min", "mean", "p50", "p99"))
    assert measured.figures == {"min us": 1, "mean us": 500.5, "p50 us": 500.5, "p99 us": 991}
    assert (measured.distribution[0], measured.distribution[100]) == (1, 1000)


def test_gaps_are_told_by_how_late_they_were() -> None:
    figures = started.beyond(0.001, [1_010_000] * 49 + [990_000] * 1 + [1_110_000] * 50).figures
    assert figures["us late, p50"] == pytest.approx(60)
    assert figures["us late, mean"] == pytest.approx((49 * 10 - 10 + 50 * 110) / 100)
    assert figures["us late, p99"] == pytest.approx(110)
    assert figures["us early, at most"] == pytest.approx(10)
    assert started.beyond(0.001, [1_010_000] * 20).figures["us early, at most"] == 0


def test_percentiles() -> None:
    assert percentiles([3.0]) == [3.0] * 101
    assert percentiles(range(201)) == list(range(0, 201, 2))


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
        instructions.count(US, case("single-frame"), "ours", 1, tmp_path / "callgrind.out")


def test_the_limit_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def count(side: Side, chosen: Case, role: str, messages: int, file: Path) -> tuple[int, int]:
        assert (side, role) == (US, "ours")
        assert chosen.name == "classic-4095-bs0"
        assert messages * 587 >= instructions.OUR_UNITS
        return 5000 + messages * 587 * 1501, 587

    monkeypatch.setattr(instructions, "count", count)
    instructions.main(["--limit", "1501"])
    assert f"ours, {US}: 1501 instructions a frame in classic-4095-bs0" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="above the limit of 1500"):
        instructions.main(["--limit", "1500"])
