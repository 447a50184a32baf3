"""placeholder"""

import typer

EXAMPLES = ""


def command() -> None:
    """x"""
