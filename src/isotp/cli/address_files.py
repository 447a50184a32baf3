"""Files of addresses, for --addresses: CSV, JSON and TOML."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from isotp._address_words import ChannelAddress, parse_address

__all__ = ["FIELDS", "addresses_in"]

# What an address may be made of, if it is not in words; `name` is for people.
PARTS = ("ext", "ae", "ta", "sa", "physical", "functional")
FIELDS = ("address", "tx", "rx", *PARTS, "channel", "name")


def addresses_in(path: Path) -> list[ChannelAddress]:
    """All of them.

    :raises ValueError: if the file is something else; it says where.
    :raises OSError: if it cannot be read.
    """
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"{path}: its name ends in none of {', '.join(READERS)}")
    try:
        rows = list(read(path.read_text(encoding="utf-8-sig")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    found = []
    for place, row in enumerate(rows, 1):
        try:
            found.append(address_of(row))
        except ValueError as error:
            raise ValueError(f"{path}: address {place}: {error}") from None
    if not found:
        raise ValueError(f"{path} has no addresses")
    return found


def address_of(row: Any) -> ChannelAddress:
    """A string is what --address takes; an object has that, or its parts, by name."""
    if isinstance(row, str):
        return parse_address(row)
    if not isinstance(row, dict):
        raise ValueError(f"{row!r} is neither a string nor an object")
    values = {str(name).strip().lower(): value for name, value in row.items() if value not in (None, "")}
    if unknown := sorted(values.keys() - set(FIELDS)):
        raise ValueError(f"{', '.join(unknown)}: there are {', '.join(FIELDS)}")
    if numbers := [name for name, value in values.items() if not isinstance(value, str)]:
        raise ValueError(f"{', '.join(numbers)}: to be written as text, in hexadecimal")
    if "address" in values:
        words = values["address"]
    else:
        ids = [f"{values.get('tx', '')}:{values.get('rx', '')}"] if {"tx", "rx"} & values.keys() else []
        words = ",".join([*ids, *(f"{name}={values[name]}" for name in PARTS if name in values)])
    return parse_address(words + (f"@{values['channel']}" if "channel" in values else ""))


def from_csv(text: str) -> Iterable[Any]:
    rows = csv.DictReader(
        text.splitlines(), restkey="more columns than the first line", skipinitialspace=True
    )
    return rows


def from_json(text: str) -> Iterable[Any]:
    return listed(json.loads(text))


def from_toml(text: str) -> Iterable[Any]:
    if sys.version_info < (3, 11):
        raise ValueError("TOML is read by Python 3.11 and later")
    import tomllib

    return listed(tomllib.loads(text))


def listed(value: Any) -> Iterable[Any]:
    """The list itself, or that under the name of "addresses"."""
    if isinstance(value, dict):
        value = value.get("addresses")
    if not isinstance(value, list):
        raise ValueError('there is no list of "addresses"')
    return value


READERS: dict[str, Callable[[str], Iterable[Any]]] = {
    ".csv": from_csv,
    ".json": from_json,
    ".toml": from_toml,
}
