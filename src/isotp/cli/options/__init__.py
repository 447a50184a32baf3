"""Options, each in one place: what several commands have in common is a dataclass, each field of which is an option."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import typer

from isotp.cli.shown.lines import printable

__all__ = ["among", "check_output_path", "checking", "grouped", "text_called"]

# What a shell says of a program that a signal ended: 128, and SIGPIPE.
NOBODY_READS = 128 + 13

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
        try:
            command(**values)
            sys.stdout.flush()
        except BrokenPipeError:
            # Say `| head`. What is still to be written goes nowhere, so that Python does not complain at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(NOBODY_READS) from None

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


def text_called(what: str) -> Callable[[str], str]:
    """The parser of an argument that is text: its help says what for, in the place of <str>."""

    def text(value: str) -> str:
        return value

    text.__name__ = what
    return text


def among(words: Sequence[str]) -> Callable[[str], list[str]]:
    """For the shell: which of the words begin like this."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def check_output_path(path: Path, option: str) -> None:
    """Refuse a file that cannot be written, before a long log is read.

    :raises typer.BadParameter: if its folder is not there, or it is a folder itself.
    """
    if path.is_dir():
        raise typer.BadParameter(f"{printable(path)} is a directory", param_hint=option)
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {printable(path.parent)}", param_hint=option)


@contextmanager
def checking(option: str, *further: type[Exception]) -> Iterator[None]:
    """While its value is looked at: a ValueError, or one of further kinds, is told as what is wrong with the option."""
    kinds: tuple[type[Exception], ...] = (ValueError, *further)
    try:
        yield
    except kinds as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
