"""The `isotp` command. Each command is a file of its own, app.py joins them; typer and rich are the extra `cli`."""

from __future__ import annotations

import io
import sys

__all__ = ["main"]

EXTRA = frozenset({"typer", "rich", "numpy"})


def main() -> int:
    """Run the command that the arguments of the process name; what the console script `isotp` calls."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # On Windows, the encoding of a file may have no place for what a log calls a channel.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        from isotp.cli.app import app

        # Each command imports what it needs when it is asked for.
        app(prog_name="isotp")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA:
            raise
        print(
            f"isotp: the command needs {missing}, which is not installed."
            " To install all it needs: pip install 'can-isotp-cython[cli]'",
            file=sys.stderr,
        )
        return 2
    return 0
