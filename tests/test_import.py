"""`import isotp` loads what a layer needs; the rest of the names come when somebody asks for them."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import isotp
from checks.surface.__main__ import peer
from tests.processes import python

# What takes long to import and a layer does not need, in the standard library and in the package.
LATER = {
    *("asyncio", "concurrent.futures", "dataclasses", "difflib", "inspect", "pathlib", "pickle", "socket"),
    *("can", "numpy"),
    *("isotp._socketcan", "isotp.aio", "isotp.bulk", "isotp.capture", "isotp.cli", "isotp.discovery"),
    *("isotp.hub", "isotp.stats", "isotp.tpsock"),
}


def printed_by(program: str) -> str:
    return python("-W", "error", "-c", program).stdout


def test_import_loads_nothing_that_a_layer_does_not_need() -> None:
    # Against what is there before: a path hook of the environment may have loaded one or the other, and of the standard
    # library's, those that logging loads: dataclasses in Python 3.14, pathlib in 3.15.
    loaded = printed_by(
        "import logging, sys; before = set(sys.modules); import isotp; print(*set(sys.modules) - before)"
    )
    assert "isotp.protocol" in loaded.split()
    assert not LATER & set(loaded.split())


def test_what_type_checkers_see_is_what_comes_when_asked_for() -> None:
    tree = ast.parse(Path(isotp.__file__).read_text(encoding="utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen.pop("tpsock") == "isotp"
    assert seen == isotp._WHEN_ASKED_FOR


@pytest.mark.parametrize("name", sorted(isotp._WHEN_ASKED_FOR))
def test_name_comes_when_asked_for(name: str) -> None:
    module = isotp._WHEN_ASKED_FOR[name]
    assert name in dir(isotp)
    assert getattr(isotp, name) is getattr(sys.modules[module], name)
    assert name in vars(isotp), "asked for once, it is there"


def test_star_import_brings_the_names_of_can_isotp() -> None:
    """And no others, after python-can's above all: its Message is not ours."""
    program = "import can; from can import *; from isotp import *; print(Message is can.Message, *sorted(globals()))"
    is_theirs, *names = printed_by(program).split()
    assert is_theirs == "True"
    assert set(isotp.__all__) <= set(names)
    both = {name for generation in (1, 2) for name in peer(generation)["inventory"]["names"]["isotp"]["star"]}
    # In 1.x, which has no __all__, its modules come as well.
    assert set(isotp.__all__) == both - {"address", "errors", "protocol", "tpsock"}


def test_module_of_the_sockets_comes_with_the_package() -> None:
    """As in can-isotp: `import isotp` is enough to write `isotp.tpsock.flags`."""
    program = "import isotp; print(isotp.tpsock.__name__, 'tpsock' in dir(isotp))"
    assert printed_by(program) == "isotp.tpsock True\n"


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'isotp' has no attribute 'Sockets'"):
        isotp.Sockets  # noqa: B018
