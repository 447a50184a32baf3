"""Options, each in one place: what several commands have in common is a dataclass, each field of which is an option."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

import typer

__all__ = ["checking", "grouped"]

Command = Callable[..., None]


def grouped(command: Command) -> Command:
    """The command with the fields of its parameters that are dataclasses in the place of these parameters."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type, list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if is_dataclass(kind) and isinstance(kind, type):
            expanded = options_of(kind)
            groups[parameter.name] = kind, [each.name for each in expanded]
            parameters += expanded
        else:
            parameters.append(parameter.replace(annotation=kind, kind=parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name, (group, members) in groups.items():
            values[name] = group(**{member: values.pop(member) for member in members})
        command(**values)

    # What typer looks at: the options, not the function behind.
    del run.__wrapped__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def options_of(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]


@contextmanager
def checking(option: str, *further: type[Exception]) -> Iterator[None]:
    """While its value is looked at: a ValueError, or one of further kinds, is told as what is wrong with the option."""
    kinds: tuple[type[Exception], ...] = (ValueError, *further)
    try:
        yield
    except kinds as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
