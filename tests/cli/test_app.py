"""The program `isotp` as a whole: its commands, their help, and what is imported when."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from isotp.cli.app import COMMANDS
from tests.cli.command import PAIR, TALK, isotp_command, log_of
from tests.processes import python

NAMES = ["send", "recv", "dump", "sniff", "perf", "ecu", "scan", "decode", "stats"]


def test_the_program_names_all_commands() -> None:
    assert list(COMMANDS) == NAMES
    run = isotp_command("--help")
    assert run.status == 0
    assert [name for name in NAMES if f"│ {name}" not in run.text] == []


@pytest.mark.parametrize("name", NAMES)
def test_help_begins_with_the_line_that_the_program_shows_and_has_examples(name: str) -> None:
    run = isotp_command(name, "--help")
    assert run.status == 0
    lines = [line.strip() for line in run.lines if line.strip()]
    assert lines[0].startswith(f"Usage: isotp {name} ")
    assert lines[1] == COMMANDS[name]
    assert "Examples" in lines
    assert "Exit status" in lines


def test_nothing_heavy_is_imported_for_the_help_of_the_program() -> None:
    code = (
        "import sys; from isotp.cli.app import app\n"
        "try: app(['--help'], prog_name='isotp')\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'can', 'pyarrow', 'isotp.capture', 'isotp.cli.commands.decode'} & set(sys.modules)))"
    )
    assert python("-c", code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_nothing_heavy_is_imported_for_a_small_log(form: str, tmp_path: Path) -> None:
    code = (
        "import sys; from isotp.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'can', 'pyarrow', 'matplotlib', 'pandas', 'asyncio'} & set(sys.modules)))"
    )
    run = python("-c", code, "decode", *PAIR, "-f", form, log_of(tmp_path / "talk.log", *TALK))
    assert len(run.stdout.splitlines()) > 2
    assert run.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ("isotp ", "", {"send", "recv", "dump", "decode", "stats"}),
        ("isotp re", "re", {"recv"}),
        ("isotp recv --", "--", {"--timeout", "--json", "--interface"}),
        ("isotp recv -i virt", "virt", {"virtual"}),
        ("isotp recv --param rx_flow", "rx_flow", {"rx_flowcontrol_timeout="}),
        ("isotp decode --status ", "", {"broken", "ok", "wrong_sequence_number"}),
        ("isotp decode --log-format a", "a", {"asc"}),
        ("isotp decode -f p", "p", {"parquet", "pcapng", "pdu"}),
        ("isotp scan --bits ", "", {"11", "29", "both"}),
    ],
)
def test_completion(words: str, incomplete: str, expected: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What bash is told by the function that --show-completion defines."""
    if "virtual" in expected:
        pytest.importorskip("can", reason="the names are python-can's")
    run = isotp_command(
        _ISOTP_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
        _TYPER_COMPLETE_ARGS=words,
    )
    assert expected <= set(run.text.split()), run.errors


def test_completion_of_python_can_names_its_interfaces_without_importing_it() -> None:
    can = pytest.importorskip("can", reason="the names are python-can's")
    code = (
        "import sys; from isotp.cli.options.bus import drivers\n"
        "print(*drivers(''))\n"
        "assert 'can' not in sys.modules"
    )
    assert set(python("-c", code).stdout.split()) == can.VALID_INTERFACES


@pytest.mark.parametrize("name", NAMES)
def test_help_has_words_of_ours_and_no_types_of_python(name: str) -> None:
    text = isotp_command(name, "--help").text
    assert not re.search("<(str|int|bool|float|text|integer|boolean|path|function)>", text, re.IGNORECASE)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGPIPE")
@pytest.mark.parametrize("command", ["decode", "decode --json", "decode -f candump", "stats --json"])
def test_output_that_nobody_reads_any_more(command: str, tmp_path: Path) -> None:
    """`| head`: no complaint, and the status that a shell gives a program that SIGPIPE ended."""
    log = log_of(tmp_path / "long.log", *["7E0#0322F190"] * 20_000)
    code = "from isotp.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command.split(), "-q", *PAIR, str(log)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), complaint) == (141, b"")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("decode -o {missing}/a.csv", "there is no folder"),
        ("decode -o {here}", "is a directory"),
        ("decode -o {here}/a.xlsx", "does not tell what to write: it ends in none of .txt"),
        ("stats --plot {missing}/a.png", "there is no folder"),
    ],
)
def test_a_file_that_can_not_be_written(words: str, complaint: str, tmp_path: Path) -> None:
    """It is refused before the log is read."""
    places = {"here": tmp_path, "missing": tmp_path / "missing"}
    run = isotp_command(words.format(**places), *PAIR, log_of(tmp_path / "a.log", *TALK))
    assert run.status == 2
    assert complaint in run.complaint


def test_an_stmin_that_is_reserved() -> None:
    run = isotp_command("recv -m 80 -i virtual -c reserved --timeout 0", *PAIR)
    assert run.status == 2
    assert "80 is reserved (ISO 15765-2): 00 to 7F are ms, F1 to F9 100 to 900 us" in run.complaint
