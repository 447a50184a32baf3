"""Runs one of the targets under atheris: `python -m checks.fuzz.driver TARGET`, and the arguments of libFuzzer."""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["isotp"]):
        target = importlib.import_module(f"checks.fuzz.targets.{name}")
    atheris.Setup(sys.argv, target.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
