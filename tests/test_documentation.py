"""Every block of Python in README.md and docs/ runs, in a process of its own, and prints no error."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]


def blocks(language: str) -> list[pytest.param]:
    found = []
    for page in PAGES:
        pattern = rf"^```{language}\n(.*?)^```"
        for number, text in enumerate(re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL), 1):
            found.append(pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}"))
    return found


@pytest.mark.parametrize("code", blocks("python"))
def test_block_of_python_runs(code: str) -> None:
    for package in set(re.findall(r"(?:import |to_)(numpy|arrow|pandas|polars|pyarrow)", code)):
        pytest.importorskip({"arrow": "pyarrow"}.get(package, package))
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""


def test_only_known_kinds_of_blocks() -> None:
    """Python runs here, sh in .ci/run; text is output or layout. Anything else would run nowhere."""
    for page in PAGES:
        kinds = re.findall(r"^```(\w*)$", page.read_text(), re.MULTILINE)[::2]
        assert set(kinds) <= {"python", "sh", "text"}, page


def test_ci_runs_the_commands_of_the_readme() -> None:
    """The shell blocks of README.md are what .ci/run executes, in that order, each on one line."""
    commands = [param.values[0] for param in blocks("sh") if str(param.id).startswith("README.md")]
    assert len(commands) == 3
    assert all(command.count("\n") == 1 for command in commands)
    script = (ROOT / ".ci" / "run").read_text()
    assert [int(n) for n in re.findall(r"\$\(readme_command (\d)\)", script)] == [1, 2, 3]
