"""`isotp bench`: hands over to the benchmarks of a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from isotp.cli.complaints import give_up

__all__ = ["CONTEXT_SETTINGS", "EXAMPLES", "command"]

EXAMPLES = """\
[bold]Examples[/bold]

[dim]# all cases, quickly[/dim]
isotp bench --quick

[dim]# what the cases mean[/dim]
isotp bench --list

[dim]# the cases of one group, with a report to look at[/dim]
isotp bench idle --html report.html

[dim]# of another checkout[/dim]
isotp bench --checkout ~/src/can-isotp-cython --quick

[bold]Exit status[/bold]

That of the benchmark; 2 if there is none.
"""

# What is not an option here goes on.
CONTEXT_SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True}


def command(
    context: typer.Context,
    checkout: Annotated[
        Path | None,
        typer.Option(
            "--checkout",
            metavar="DIRECTORY",
            help="Where the source is. Default: the current directory or one above it, or where this package was"
            " installed from as editable.",
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Measure this package beside can-isotp.

    The benchmarks come with the source, not with the installed package; everything else on the line goes to
    `python -m benchmarks`, whose --help has `isotp bench -- --help`.
    """
    root = root_of(checkout)
    raise typer.Exit(
        subprocess.run([sys.executable, "-m", "benchmarks", *context.args], cwd=root, check=False).returncode
    )


def root_of(given: Path | None) -> Path:
    """The root of a checkout.

    :raises typer.Exit: if there is none, having said what to do.
    """
    if given is not None:
        places = [given.resolve()]
    else:
        here, package = Path.cwd(), Path(__file__).resolve().parent
        places = [here, *here.parents, *package.parents]
    for place in places:
        if (place / "benchmarks" / "worker.py").is_file() and (place / "src" / "isotp").is_dir():
            return place
    raise give_up(
        "the benchmarks are not installed with the package: they are in its source, and measure can-isotp beside it."
        " Unpack the source distribution (pip download --no-binary :all: --no-deps can-isotp-cython) or clone the"
        " repository, and run this there, or name the directory with --checkout"
        + ("" if given is None else f"; there are none in {given}")
    )
