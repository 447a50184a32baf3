"""The program `isotp` as a whole: its commands, their help, and what is imported when."""

from __future__ import annotations

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
