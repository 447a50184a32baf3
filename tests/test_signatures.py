"""help(), notebooks and the reference show types: compiled functions have those of their stubs."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import isotp

PACKAGE = Path(isotp.__file__).parent

# What a stub has a short name for is written out where people read it.
WRITTEN_OUT = {
    "_Payload": "Buffer | Iterable[int] | BinaryIO | tuple[Iterator[int] | BinaryIO, int]",
    "_Layout": "Literal['classic', 'fd']",
    "_Status": "MessageStatus | int | str",
    "_Statistics": "dict[str, Any]",
    "_Item": "Any",
    "ReceivedBytes": "bytearray",
}
# Parts of the package that its drivers use, and nobody else.
INTERNAL = {"Sleeper", "sharpen_timers", "monotonic_ns", "is_interrupt", "BufferWriter", "Watchers", "restore",
            "joined_channels", "tally", "count_ids", "times_back", "has_frame"}  # fmt: skip


def methods(stub: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.parse((PACKAGE / stub).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.FunctionDef):
                    yield f"{node.name}.{each.name}", each


def is_shown(name: str, node: ast.FunctionDef) -> bool:
    words = name.split(".")
    decorators = {ast.unparse(each) for each in node.decorator_list}
    return (
        not any(word.startswith("_") for word in words)
        and not decorators & {"property", "overload"}
        and not any(each.endswith(".setter") for each in decorators)
        and not INTERNAL & set(words)
    )


def in_words(annotation: ast.expr | None) -> str:
    text = "" if annotation is None else ast.unparse(annotation)
    for name, meaning in WRITTEN_OUT.items():
        text = re.sub(rf"\b{name}\b", meaning, text)
    return text


STUBS = ("_core.pyi", *(f"bulk/_{name}.pyi" for name in ("messages", "records", "encode", "reassembler")))


@pytest.mark.parametrize("stub", STUBS)
def test_compiled_functions_have_the_types_of_their_stub(stub: str) -> None:
    module = import_module("isotp." + stub.removesuffix(".pyi").replace("/", "."))
    seen = 0
    for name, node in methods(stub):
        if not is_shown(name, node):
            continue
        function: Any = module
        for word in name.split("."):
            function = getattr(function, word)
        shown = inspect.signature(function)
        parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        wanted = {each.arg: in_words(each.annotation) for each in parameters if each.annotation is not None}
        found = {
            each.name: ast.unparse(ast.parse(each.annotation))
            for each in shown.parameters.values()
            if each.annotation is not each.empty
        }
        assert found == {key: ast.unparse(ast.parse(value)) for key, value in wanted.items()}, name
        assert ast.unparse(ast.parse(shown.return_annotation)) == ast.unparse(
            ast.parse(in_words(node.returns))
        ), name
        seen += 1
    assert seen > 0


def test_help_shows_them() -> None:
    signature = "(self, block: 'bool' = False, timeout: 'float | None' = None, until_begin: 'bool' = False)"
    assert str(inspect.signature(isotp.CanStack.recv)) == f"{signature} -> 'bytearray | None'"
