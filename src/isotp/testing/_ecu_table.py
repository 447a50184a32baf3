"""An ECU as a table, of TOML or JSON, read into the parameters of :class:`isotp.testing.Ecu`: their names are the keys.

Bytes, identifiers and codes are text in hexadecimal, times are ms. What is wrong is told with its place.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

from isotp._address_words import parse_address
from isotp.address import Address, AsymmetricAddress
from isotp.testing._ecu_parts import Access, Did, Lock, Routine, Rule, Tester

__all__ = ["arguments", "table_in"]

_Value = TypeVar("_Value")

NUMBERS: Final = ("delay_ms", "p2_ms", "p2_star_ms", "s3_ms", "reset_ms")


def table_in(path: Path) -> Mapping[str, Any]:
    """What is in a file.

    :raises ValueError: if it is neither TOML nor JSON.
    """
    text = path.read_text(encoding="utf-8")
    try:
        table = json.loads(text) if path.suffix.lower() == ".json" else toml(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"{path}: there is no table in it")
    return table


def toml(text: str) -> dict[str, Any]:
    if sys.version_info < (3, 11):
        raise ValueError("TOML is read by Python 3.11 and later; JSON may have the same table")
    import tomllib

    return tomllib.loads(text)


def arguments(table: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of Ecu.

    :raises ValueError: if there is something else.
    """
    section = Section("", table)
    found: dict[str, Any] = {
        "dids": section.each("dids", did),
        "routines": section.each("routines", routine),
        "security": section.each("security", lock),
        "dtcs": section.each("dtcs", dtc_status),
        "memory": section.each("memory", content),
        "services": section.each("services", access),
        "rules": section.items("rules", rule),
        "testers": testers(section),
    }
    for name in NUMBERS:
        found[name] = section.take(name, number)
    found["sessions"] = section.take("sessions", session_numbers)
    found["block_length"] = section.take("block_length", integer)
    found["one_at_a_time"] = section.take("one_at_a_time", boolean)
    found["name"] = section.take("name", text)
    section.end()
    return {name: value for name, value in found.items() if value is not None}


class Section:
    """A table, whose keys are taken one after the other; at the end none may be left."""

    def __init__(self, place: str, table: object) -> None:
        if not isinstance(table, Mapping):
            raise ValueError(f"{place}: {table!r} is no table")
        self.place = place
        self._left = dict(table)
        self._taken: list[str] = []

    def _at(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def take(self, name: str, read: Callable[[Any], _Value]) -> _Value | None:
        """The value of a key, None if it is not there."""
        return self.part(name, lambda place, value: read_at(place, read, value))

    def part(self, name: str, read: Callable[[str, Any], _Value]) -> _Value | None:
        """The same where what reads it says the place itself."""
        self._taken.append(name)
        return read(self._at(name), self._left.pop(name)) if name in self._left else None

    def need(self, name: str, read: Callable[[Any], _Value]) -> _Value:
        value = self.take(name, read)
        if value is None:
            raise ValueError(f"{self.place} has no {name}")
        return value

    def each(self, name: str, read: Callable[[str, Any], _Value]) -> dict[int, _Value] | None:
        """A table in it whose keys are numbers in hex."""

        def all_of(place: str, table: Any) -> dict[int, _Value]:
            inner = Section(place, table)._left
            return {
                read_at(place, hex_number, key): read(f"{place}.{key}", value) for key, value in inner.items()
            }

        return self.part(name, all_of)

    def items(self, name: str, read: Callable[[str, Any], _Value]) -> list[_Value] | None:
        """A list in it."""

        def all_of(place: str, values: Any) -> list[_Value]:
            if not isinstance(values, list):
                raise ValueError(f"{place}: {values!r} is no list")
            return [read(f"{place}[{k}]", value) for k, value in enumerate(values, 1)]

        return self.part(name, all_of)

    def end(self) -> None:
        if self._left:
            unknown = ", ".join(map(str, sorted(self._left)))
            raise ValueError(f"{self._at(unknown)}: there are {', '.join(self._taken)}")


def read_at(place: str, read: Callable[[Any], _Value], value: Any) -> _Value:
    """A value, and where it stands if it is wrong."""
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


# ---------------------------------------------------------------- values


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(f"{value!r} is no number of ms")
    return value


def integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no whole number")
    return value


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def hex_bytes(value: object) -> bytes:
    try:
        return bytes.fromhex(text(value))
    except ValueError:
        raise ValueError(f"{value!r} is no text with bytes in hex") from None


def hex_number(value: object) -> int:
    digits = text(value).replace(" ", "")
    if not re.fullmatch("[0-9A-Fa-f]{1,8}", digits):
        raise ValueError(f"{value!r} is no number in hex")
    return int(digits, 16)


def session_numbers(value: object) -> list[int]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list of sessions")
    return [integer(each) for each in value]


def response_code(value: object) -> int:
    """A code in hex, or its name in udsoncan."""
    if re.fullmatch("[0-9A-Fa-f]{2}", text(value)):
        return int(text(value), 16)
    codes = udsoncan(f"the name of the response code {value}").Response.Code
    code = getattr(codes, text(value), None)
    if not isinstance(code, int):
        raise ValueError(f"{value!r} is neither a code in hex nor the name of one in udsoncan")
    return code


def udsoncan(what: str) -> ModuleType:
    """The package.

    :raises RuntimeError: if it is not installed.
    """
    try:
        import udsoncan
    except ImportError:
        raise RuntimeError(
            f"{what} is udsoncan's, which is not installed: pip install 'can-isotp-cython[uds]'"
        ) from None
    return udsoncan


# ---------------------------------------------------------------- what the sections have


def access_in(section: Section) -> Access:
    return Access(section.take("sessions", session_numbers), section.take("security", hex_number) or 0)


def access(place: str, value: object) -> Access | None:
    """`true`: everybody; `false`: nobody; or a table."""
    if isinstance(value, bool):
        return Access() if value else None
    section = Section(place, value)
    found = access_in(section)
    section.end()
    return found


def dtc_status(place: str, value: object) -> int:
    status = read_at(place, hex_bytes, value)
    if len(status) != 1:
        raise ValueError(f"{place}: {value!r} is no status of a byte in hex")
    return status[0]


def bytes_in(section: Section) -> bytes | None:
    """Bytes in one of several ways."""
    ways = [
        section.take("hex", hex_bytes),
        section.take("text", lambda value: text(value).encode("latin-1")),
        packed(section),
    ]
    given = [each for each in ways if each is not None]
    if len(given) > 1:
        raise ValueError(f"{section.place} has a value in several ways: one of hex, text, codec with value")
    return given[0] if given else None


def packed(section: Section) -> bytes | None:
    """What udsoncan's codec of a format makes of values."""
    codec, values = section.take("codec", text), section.take("value", list_of_values)
    if codec is None or values is None:
        if codec is not None or values is not None:
            raise ValueError(f"{section.place}: codec and value need each other")
        return None
    try:
        return bytes(udsoncan(f"the codec of {section.place}").DidCodec(codec).encode(*values))
    except Exception as error:
        if isinstance(error, RuntimeError):
            raise
        raise ValueError(f"{section.place}: {error}") from None


def list_of_values(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def value_of(section: Section) -> bytes:
    value = bytes_in(section)
    if value is None:
        raise ValueError(f"{section.place} has none of hex, text, codec")
    return value


def did(place: str, value: object) -> Did:
    if isinstance(value, str):
        return Did(read_at(place, hex_bytes, value))
    section = Section(place, value)
    reading = section.part("read", access)
    found = Did(
        value_of(section),
        write=section.part("write", access),
        read=reading or Access(),
        any_length=section.take("any_length", boolean) or False,
    )
    section.end()
    return found


def routine(place: str, value: object) -> Routine:
    if isinstance(value, str):
        return Routine(read_at(place, hex_bytes, value))
    section = Section(place, value)
    found = Routine(section.take("result", hex_bytes) or b"", access_in(section))
    section.end()
    return found


def lock(place: str, value: object) -> Lock:
    section = Section(place, value)
    seed = section.need("seed", seed_of)
    key, mask = section.take("key", hex_bytes), section.take("xor", hex_bytes)
    if (key is None) == (mask is None):
        raise ValueError(f"{place} has one of key, xor")
    opens: Any = key if mask is None else partial(xor, mask)
    found = Lock(seed, opens, access=access_in(section))
    found.attempts = section.take("attempts", integer) or found.attempts
    delay = section.take("delay_ms", number)
    found.delay_ms = found.delay_ms if delay is None else delay
    section.end()
    return found


def seed_of(value: object) -> bytes | Callable[[], bytes]:
    """Bytes, or how many by chance."""
    return partial(os.urandom, integer(value)) if isinstance(value, int) else hex_bytes(value)


def xor(mask: bytes, seed: bytes) -> bytes:
    """The seed with the mask over it, again and again if that is shorter."""
    return bytes(byte ^ mask[k % len(mask)] for k, byte in enumerate(seed)) if mask else seed


def content(place: str, value: object) -> bytes:
    """Bytes, or so many of one kind."""
    if isinstance(value, str):
        return read_at(place, hex_bytes, value)
    section = Section(place, value)
    size = section.take("size", integer)
    found = value_of(section)
    section.end()
    return found if size is None else (found * (size // max(len(found), 1) + 1))[:size]


def rule(place: str, value: object) -> Rule:
    section = Section(place, value)
    request = section.need("request", text)
    answer, nrc = section.take("answer", hex_bytes), section.take("nrc", response_code)
    options = {
        "silent": section.take("silent", boolean),
        "pending": section.take("pending", integer),
        "delay_ms": section.take("delay_ms", number),
        "every_ms": section.take("every_ms", number),
        "times": section.take("times", integer),
        "sessions": section.take("sessions", session_numbers),
    }
    section.end()
    given: dict[str, Any] = {name: each for name, each in options.items() if each is not None}
    return read_at(place, lambda _: Rule(request, answer, nrc, **given), None)


def testers(section: Section) -> Iterable[Tester] | None:
    """That of `address` and `functional`, and those of a list."""
    first = section.take("address", address), section.take("functional", functional)
    found = section.items("testers", tester)
    if first[0] is not None:
        return [Tester(first[0], first[1]), *(found or ())]
    if first[1] is not None:
        raise ValueError("functional: it goes with address; a table of testers has its own")
    return found


def tester(place: str, value: object) -> Tester:
    section = Section(place, value)
    found = Tester(section.need("address", address), section.take("functional", functional))
    section.end()
    return found


def address(value: object) -> Address | AsymmetricAddress:
    found = parse_address(text(value))
    if found.channel is not None or found.address.is_partial_address():
        raise ValueError(f"{value!r}: both CAN IDs, and no channel")
    return found.address  # type: ignore[return-value]  # there are no others


def functional(value: object) -> Address:
    found = parse_address(text(value)).address
    if not isinstance(found, Address) or found.is_tx_only():
        raise ValueError(f"{value!r} is no address to hear requests to all on, say :7DF or ta=F1,sa=33")
    return found
