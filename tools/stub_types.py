"""Signatures with types for the reference: compiled functions have none, the stubs beside them do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent.parent / "src" / "isotp"

Signature = tuple[str, str | None]


@cache
def signatures() -> dict[str, Signature]:
    """What stands between the brackets, and what is returned, by qualified name: `Records.append`.

    Of a class it is its `__init__`; a `__new__` takes anything. Of overloads the first one counts.
    """
    found: dict[str, Signature] = {}
    for stub in sorted(SOURCES.rglob("*.pyi")):
        for name, function in _functions(ast.parse(stub.read_text(encoding="utf-8")), ""):
            if function.name == "__new__":
                continue
            of_class = name.removesuffix(".__init__")
            returned = ast.unparse(function.returns) if function.returns and of_class == name else None
            found.setdefault(of_class, (_arguments(function, bound="." in name), returned))
    return found


def _functions(node: ast.Module | ast.ClassDef, inside: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for each in node.body:
        if isinstance(each, ast.ClassDef):
            yield from _functions(each, f"{inside}{each.name}.")
        elif isinstance(each, ast.FunctionDef):
            yield f"{inside}{each.name}", each


def _arguments(function: ast.FunctionDef, *, bound: bool) -> str:
    static = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in function.decorator_list)
    arguments = function.args
    if bound and not static:
        first = arguments.posonlyargs or arguments.args
        del first[0]
    return f"({ast.unparse(arguments)})"
