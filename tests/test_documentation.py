"""What README.md and docs/ show is true: Python runs and prints what the page says, links lead somewhere."""

from __future__ import annotations

import enum
import importlib.util
import inspect
import pkgutil
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import isotp
import isotp.aio
import isotp.capture
import isotp.testing
from tests.documentation import (
    A_TEST,
    BY_A_NEWCOMER,
    DOCS,
    FIRST_LINES,
    ON_A_KERNEL,
    PAGES,
    ROOT,
    SHOWN,
    TERMINAL,
    TESTED,
    Block,
    anchors,
    blocks,
    check_block,
    links,
    play_terminals,
)
from tests.test_public_names import NAMES
from tools import diagrams, parameters_page


def of_kind(kind: str, note: str | None = None) -> list[pytest.param]:
    return [
        pytest.param(block, id=block.name)
        for page in PAGES
        for block in blocks(page)
        if block.kind == kind and block.note == note
    ]


@pytest.mark.parametrize("block", of_kind("python"))
def test_block_of_python_runs(block: Block) -> None:
    for package in set(
        re.findall(r"(?:import |to_)(numpy|arrow|pandas|polars|pyarrow|cantools)", block.text)
    ):
        pytest.importorskip({"arrow": "pyarrow"}.get(package, package))
    if "capture.merge(" in block.text or "isotp.figures" in block.text:
        pytest.importorskip("numpy")
    check_block(block)


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of a shell")
@pytest.mark.parametrize("block", [each for each in of_kind("sh") if each.values[0].page.parent == DOCS])
def test_shell_commands_of_the_pages_run(block: Block) -> None:
    """Those of README.md set up environments: .ci/run has them."""
    for package in ("can", "udsoncan", "typer", "rich", "numpy"):
        pytest.importorskip(package, reason="the commands use the extras")
    check_block(block)


@pytest.fixture
def multicast() -> None:
    """Skip where no packet comes back: then there is no bus between processes, or no msgpack to make it of."""
    can = pytest.importorskip("can", reason="the commands use python-can")
    pytest.importorskip("msgpack", reason="buses of UDP packets need msgpack")
    pytest.importorskip("typer", reason="the commands are those of the extra `cli`")
    try:
        with (
            can.Bus(interface="udp_multicast", channel="239.74.163.3") as one,
            can.Bus(interface="udp_multicast", channel="239.74.163.3") as two,
        ):
            one.send(can.Message(arbitration_id=1))
            if two.recv(5) is None:
                pytest.skip("multicast packets do not come back on this machine")
    except (OSError, can.CanError) as error:
        pytest.skip(f"no multicast on this machine: {error}")


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of a shell")
def test_terminals(multicast: None) -> None:
    """Start here: an ECU in one terminal, a dump in another, a question from a third."""
    answer, dumped = play_terminals(ROOT, Path(sys.executable).parent)
    assert "62 F1 90 57 56 57 5A 5A 5A 31 4A 5A 33 57 33 38 36 37 35 32" in answer.upper()
    (shown,) = (block.text for block in blocks(DOCS / "start.md") if block.note == SHOWN)
    assert [line.removeprefix("239.74.163.2").strip() for line in dumped] == shown.splitlines()


NOTES = {None, ON_A_KERNEL, BY_A_NEWCOMER, TERMINAL, SHOWN, TESTED, FIRST_LINES, A_TEST}


def test_only_known_kinds_of_blocks() -> None:
    """Python and sh run; text is output or layout; toctrees are for Sphinx. Anything else would run nowhere."""
    for page in PAGES:
        for block in blocks(page):
            assert block.kind in {
                "python",
                "sh",
                "text",
                "{toctree}",
                "{include} ../CHANGELOG.md",
                "{include} ../README.md",
            }, block.name
            assert block.note in NOTES, block.name


def test_ci_runs_the_commands_of_the_readme() -> None:
    """The shell blocks of README.md are what .ci/run executes, in that order, each on one line."""
    if not (ROOT / ".ci").is_dir():
        pytest.skip("no checkout: the sdist has no .ci")
    commands = [block.text for block in blocks(ROOT / "README.md") if block.kind == "sh"]
    assert len(commands) == 3
    assert all(command.count("\n") == 1 for command in commands)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert [int(n) for n in re.findall(r"\$\(readme_command (\d)\)", script)] == [1, 2, 3]


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    """Files and headings are looked up; of addresses on the web only the form is."""
    for target in links(page):
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.scheme == "https", target
            assert re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc), target
            continue
        linked = page if not parts.path else page.parent / parts.path
        assert linked.exists(), f"{page.name}: {target}"
        if parts.fragment and linked.suffix == ".md":
            assert parts.fragment in anchors(linked), f"{page.name}: {target}"


def test_each_page_is_in_the_contents() -> None:
    tables = [block.text for block in blocks(DOCS / "index.md") if block.kind == "{toctree}"]
    lines = {line for table in tables for line in table.splitlines() if line and not line.startswith(":")}
    outside = {line for line in lines if "<https://" in line}
    listed = lines - outside
    assert len(outside) == 1  # tests/test_metadata.py knows where it leads
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"} | {"api/index"}
    assert listed == pages


# -- Reference pages and the source say the same ---------------------------------------------------------------


ERRORS = {name: getattr(isotp.errors, name) for name in isotp.errors.__all__}


@pytest.mark.parametrize("error", sorted(set(ERRORS.values()), key=lambda each: each.__name__))
def test_each_error_links_to_its_section(error: type[isotp.IsoTpError]) -> None:
    (target,) = re.findall(r"See (\S+)\.$", inspect.getdoc(error) or "", re.MULTILINE)
    path, _, anchor = target.partition("#")
    assert ROOT / path == DOCS / "errors.md"
    assert anchor == error.__name__.lower()
    assert anchor in anchors(ROOT / path)


def test_each_section_of_an_error_is_of_one() -> None:
    """And the other way: no section is of a class that is not there, none is missing in the table."""
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    classes = {error.__name__ for error in ERRORS.values()}
    assert len(sections) == len(set(sections))
    assert set(sections) == classes
    table = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \|", text, re.MULTILINE)
    assert {name for name, _ in table} == classes - {"IsoTpError"}
    assert all(name.lower() == anchor for name, anchor in table)
    for other, error in ERRORS.items():
        if other != error.__name__:
            assert f"`{other}` is the same class" in text


def test_parameters_page_is_the_table_of_the_source() -> None:
    assert parameters_page.PAGE.read_text(encoding="utf-8") == parameters_page.page()


def test_pictures_are_what_layers_send() -> None:
    for name, drawn in diagrams.pictures().items():
        assert (DOCS / name).read_text(encoding="utf-8") == drawn, "python -m tools.diagrams"


def test_reference_has_the_whole_public_api() -> None:
    reference = "".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.rst")))
    single = set(
        re.findall(r"^\.\. auto(?:class|exception|function|data):: ([\w.]+)$", reference, re.MULTILINE)
    )
    modules = re.findall(r"^\.\. automodule:: ([\w.]+)\n   :members: ([\w, ]+)$", reference, re.MULTILINE)
    documented = single | {f"{module}.{name}" for module, names in modules for name in names.split(", ")}
    names = {
        "isotp": NAMES["isotp"].split(),
        **{each.__name__: each.__all__ for each in (isotp.aio, isotp.capture, isotp.testing)},
    }
    public = {f"{module}.{name}" for module in names for name in names[module]}
    assert public <= documented, sorted(public - documented)
    # Nothing is documented that is not there; the options of the kernel's sockets are on Linux alone.
    for name in documented:
        if sys.platform != "linux" and name.startswith("isotp.tpsock.opts."):
            continue
        # These need NumPy.
        if name.startswith("isotp.figures") and importlib.util.find_spec("numpy") is None:
            continue
        pkgutil.resolve_name(name)


# Attributes of layers that the drivers of the package set, and types that are named in signatures.
OF_THE_PACKAGE = {"asks_address", "courier", "port", "shares_thread"}
IN_SIGNATURES = {
    "ErrorHandler",
    "IsReady",
    "OnBegin",
    "OnMessage",
    "OnReception",
    "PostSendCallback",
    "ReceiveInto",
    "RxFn",
    "TxFn",
}


@pytest.mark.parametrize(
    "name", sorted(name for name in NAMES["isotp"].split() if isinstance(getattr(isotp, name), type))
)
def test_reference_has_each_attribute(name: str) -> None:
    """Sphinx takes what has a docstring; attributes that can have none are written down beside their class."""
    reference = "".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.rst")))
    written = set(re.findall(r"^   \.\. attribute:: (\w+)$", reference, re.MULTILINE))
    public = {each for each in dir(getattr(isotp, name)) if not each.startswith("_")} - set(dir(Exception))
    silent = {
        each for each in public if not inspect.getdoc(inspect.getattr_static(getattr(isotp, name), each))
    }
    if issubclass(getattr(isotp, name), enum.Enum):
        return  # all members are listed, see :undoc-members:
    assert silent <= written | OF_THE_PACKAGE | IN_SIGNATURES, silent - written
