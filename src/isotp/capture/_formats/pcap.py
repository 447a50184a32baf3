"""pcap and pcapng: the compiled parser reads both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from isotp._records import Records
from isotp.capture._parsers import PcapParser
from isotp.capture._reading import Format, Reading
from isotp.capture._source import Source

__all__ = ["PCAP", "PCAPNG"]


def read(source: Source, reading: Reading) -> Iterator[Records]:
    return reading.parse_all(reading.parser(PcapParser), source)


# In both byte orders, with times in us and in ns.
PCAP: Final = Format(
    read, magic=(b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1")
)
PCAPNG: Final = Format(read, magic=(b"\x0a\x0d\x0d\x0a",))
