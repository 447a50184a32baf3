"""What type checkers make of programs: they refuse each wrong line, and accept what pages show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.documentation import DOCS, ROOT, blocks

WRONG = Path(__file__).with_name("wrong_programs.py")
RIGHT = Path(__file__).with_name("right_programs.py")
PAGES = [ROOT / "README.md", DOCS / "use.md", DOCS / "cookbook.md"]


class Refusal(NamedTuple):
    file: str
    line: int
    reason: str


# Packages that only tables are made with: to read their stubs takes most of the time.
MYPY_SETTINGS = """\
[mypy]
strict = true
ignore_missing_imports = true
[mypy-numpy.*,pandas.*,polars.*,pyarrow.*,cantools.*]
follow_imports = skip
follow_imports_for_stubs = true
"""


def refused_by_mypy(folder: Path) -> set[Refusal]:
    """With --strict."""
    pytest.importorskip("mypy")
    settings = folder / "mypy.ini"
    settings.write_text(MYPY_SETTINGS)
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", settings, *folder.glob("*.py")],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found = re.findall(r"^(.*):(\d+): error: (.*)$", run.stdout, re.MULTILINE)
    return {Refusal(Path(file).name, int(line), reason) for file, line, reason in found}


def refused_by_pyright(folder: Path) -> set[Refusal]:
    """In its strictest mode but for what it says of types that others leave open."""
    pytest.importorskip("basedpyright")
    kinds = ("MemberType", "VariableType", "ArgumentType", "LambdaType")
    quiet = {f"reportUnknown{kind}": "none" for kind in kinds}
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT / "src")], **quiet}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "basedpyright",
            "--outputjson",
            "--pythonpath",
            sys.executable,
            "-p",
            str(folder),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return {
        Refusal(Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in json.loads(run.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    }


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All programs in one folder, as each run of a checker takes its time."""
    folder = tmp_path_factory.mktemp("programs")
    for file in (WRONG, RIGHT):
        (folder / file.name).write_bytes(file.read_bytes())
    for page in PAGES:
        for block in blocks(page):
            if block.kind == "python":
                (folder / f"{page.stem}_{block.number}.py").write_text(block.text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("refused_by", [refused_by_mypy, refused_by_pyright])
def test_each_wrong_line_is_refused_and_no_other(
    programs: Path, refused_by: Callable[[Path], set[Refusal]]
) -> None:
    refused = refused_by(programs)
    lines = WRONG.read_text(encoding="utf-8").splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if "# wrong" in line}
    assert len(wrong) > 60
    assert {each.line for each in refused if each.file == WRONG.name} == wrong
    assert [each for each in refused if each.file != WRONG.name] == []
