"""pcap and pcapng: the compiled parser reads both."""

from typing import Final

from isotp.capture._parsers import PcapParser
from isotp.capture._parsing import parsed_by
from isotp.capture._reading import Format

# In both byte orders, with times in us and in ns.
PCAP: Final = Format(
    parsed_by(PcapParser),
    magic=(b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1"),
)
PCAPNG: Final = Format(parsed_by(PcapParser), magic=(b"\x0a\x0d\x0d\x0a",))
