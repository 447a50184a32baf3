"""docs/commands.md, made of the options of the commands: python -m tools.commands_page"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"

HEAD = """\
# All commands and options

What `isotp COMMAND --help` shows, made of the source (`python -m tools.commands_page`).
[command-line.md](command-line.md) and [decode.md](decode.md) explain with examples.
"""


JSON = """
## JSON lines

With `--json` each line of standard output is an object. A key means the same in all commands. What is not known is
null, times are in ns, bytes in hex.

| key | |
|---|---|
"""


def page() -> str:
    # Here: they need the extra cli.
    from isotp.cli.app import COMMANDS
    from isotp.cli.options import grouped
    from isotp.cli.shown.keys import KEYS

    modules = {name: importlib.import_module(f"isotp.cli.commands.{name}") for name in COMMANDS}
    sections = "".join(
        section(name, module, inspect.signature(grouped(module.command))) for name, module in modules.items()
    )
    rows = (
        f"| {', '.join(f'`{key}`' for key in keys.split(', '))} | {text} |\n" for keys, text in KEYS.items()
    )
    return HEAD + sections + JSON + "".join(rows)


def section(name: str, module: Any, options: inspect.Signature) -> str:
    text = f"\n## isotp {name}\n\n{inspect.cleandoc(module.command.__doc__)}\n"
    panels: dict[str, list[str]] = {}
    for parameter in options.parameters.values():
        if get_origin(parameter.annotation) is Annotated:
            kind, info = get_args(parameter.annotation)
            panels.setdefault(info.rich_help_panel or "Options", []).append(row(parameter, kind, info))
    for panel, rows in panels.items():
        text += f"\n| {panel} | |\n|---|---|\n" + "".join(rows)
    return text + epilog(module.EXAMPLES)


def row(parameter: inspect.Parameter, kind: Any, info: Any) -> str:
    is_option = type(info).__name__ == "OptionInfo"
    # What typer calls the default of an option that stands in Annotated is its first name.
    names = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
    if is_option and not names:
        names = [f"--{parameter.name.replace('_', '-')}"]
    text, choices = info.help, choices_of(kind)
    words = ", ".join(f"`{each}`" for name in names for each in name.split("/")) if is_option else ""
    if choices or kind is not bool:
        words += f" `{info.metavar or '|'.join(choices) or 'VALUE'}`".replace("|", "\\|")
    default = getattr(parameter.default, "value", parameter.default)
    if is_option and default not in (None, inspect.Parameter.empty) and not isinstance(default, bool):
        text += f" Default: {default:g}." if isinstance(default, float) else f" Default: {default}."
    return f"| {words.strip()} | {text} |\n".replace("N_TA[:N_SA]", "N_TA\\[:N_SA\\]")


def choices_of(kind: Any) -> list[str]:
    for each in (kind, *get_args(kind)):
        if isinstance(each, type) and issubclass(each, enum.Enum):
            return [member.value for member in each]
    return []


def epilog(text: str) -> str:
    """Its headings, and what is under them, without the marks for the terminal."""
    parts = re.split(r"\[bold\](.+?)\[/bold\]\n", inspect.cleandoc(text))[1:]
    result = ""
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        plain = re.sub(r"\[/?dim\]", "", body).strip()
        result += f"\n{heading}:\n\n```text\n{plain}\n```\n"
    return result


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
