"""The protocol is pure C: Cython's annotation shows no Python interaction in _protocol/."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "src/isotp"

pytest.importorskip("Cython", reason="Cython is not installed: the annotation is made by it")
pytest.importorskip("setuptools", reason="setuptools is not installed: setup.py has Cython's directives")

# setup.py up to the point where C would be compiled.
TRANSLATE = "import runpy, setuptools; setuptools.setup = lambda **_: None; runpy.run_path('setup.py')"

LINE = re.compile(
    r'<pre class="cython line score-(?P<score>\d+)"[^>]*>.*?<span class="">0*(?P<number>\d+)</span>'
)
CIMPORT = re.compile(r"^from isotp\._protocol\.(\w+) cimport (?:\([^)]*\)|.*)$", re.MULTILINE)


class Annotation(NamedTuple):
    """What Cython says of a source text: by line number, the weight of the calls into Python."""

    source: str
    scores: dict[int, int]

    def yellow_lines(self) -> list[str]:
        lines = self.source.splitlines()
        return [f"{number}: {lines[number - 1]}" for number, score in self.scores.items() if score]


def annotate(source: str, folder: Path) -> Annotation:
    """Translate `source`, in place of _core.pyx, with the directives that setup.py builds the core with.

    Only a module is annotated, so the protocol has to be one for once.
    """
    package = folder / "src/isotp"
    package.mkdir(parents=True)
    for name in ("setup.py", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for name in ("__init__.py", "_version.py", "_clock.h"):
        shutil.copy(CORE / name, package)
    (package / "_core.pyx").write_text(source, encoding="utf-8")
    for module in CORE.rglob("*.pyx"):
        if module.name != "_core.pyx":
            empty = package / module.relative_to(CORE)
            empty.parent.mkdir(exist_ok=True)
            empty.touch()
    switches = {name: value for name, value in os.environ.items() if not name.startswith("ISOTP_")}
    translated = subprocess.run(
        [sys.executable, "-c", TRANSLATE],
        cwd=folder,
        env={**switches, "ISOTP_ANNOTATE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert translated.returncode == 0, translated.stdout
    page = (package / "_core.html").read_text(encoding="utf-8")
    scores = {int(line["number"]): int(line["score"]) for line in LINE.finditer(page)}
    return Annotation(source, scores)


def protocol() -> str:
    """All files of the protocol as one text, each behind those that it takes names from."""
    left = {path.stem: path.read_text(encoding="utf-8") for path in (CORE / "_protocol").glob("*.pxd")}
    wants = {name: set(CIMPORT.findall(text)) for name, text in left.items()}
    whole = "# cython: language_level=3\n"
    while left:
        ready = sorted(name for name in left if not wants[name] & set(left))
        assert ready, f"these files of the protocol need each other: {sorted(left)}"
        for name in ready:
            whole += CIMPORT.sub("", left.pop(name)) + "\n"
    return whole


def test_protocol_functions_do_not_touch_python(tmp_path: Path) -> None:
    source = protocol()
    annotation = annotate(source, tmp_path)
    assert list(annotation.scores) == list(range(1, len(source.splitlines()) + 1))
    assert annotation.yellow_lines() == []


def test_protocol_functions_need_no_gil_and_can_not_raise() -> None:
    source = protocol()
    heads = re.findall(r"^cdef (?!extern|enum)[^:]*?\w+\([^:]*\)[^:]*:$", source, re.MULTILINE)
    names = re.findall(r"^cdef (?:inline )?[\w *]+?(\w+)\(", source, re.MULTILINE)
    assert {"decode_n_pci", "receive", "transmit", "on_flow_control", "rate_count"} <= set(names)
    assert len(heads) == len(names)
    assert [head for head in heads if not head.endswith(" noexcept nogil:")] == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("print(size)", id="call"),
        pytest.param("raise ValueError(size)", id="exception"),
        pytest.param("things = [size]", id="object"),
    ],
)
def test_python_inside_would_be_seen(line: str, tmp_path: Path) -> None:
    annotation = annotate(
        f"{protocol()}\n\ncdef int impure(int size) except -1:\n    {line}\n    return 0\n", tmp_path
    )
    assert any(line in yellow for yellow in annotation.yellow_lines())
