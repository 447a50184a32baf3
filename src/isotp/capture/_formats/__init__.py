"""The formats of logs: a room for each, with what parses and what reads it, and the table of them."""

from typing import Final

from isotp.capture._formats import (
    asc,
    blf,
    busmaster,
    candump,
    carbus,
    crtd,
    csv,
    gvret,
    mf4,
    pcap,
    trc,
    vspy,
)
from isotp.capture._reading import Format

__all__ = ["FORMATS"]

_FORMATS: Final[dict[str, Format]] = {
    "asc": asc.FORMAT,
    "blf": blf.FORMAT,
    "busmaster": busmaster.FORMAT,
    "candump": candump.FORMAT,
    "carbus": carbus.FORMAT,
    "crtd": crtd.FORMAT,
    "csv": csv.FORMAT,
    "gvret": gvret.FORMAT,
    "mf4": mf4.FORMAT,
    "pcap": pcap.PCAP,
    "pcapng": pcap.PCAPNG,
    "trc": trc.FORMAT,
    "vspy": vspy.FORMAT,
}
FORMATS: Final = tuple(_FORMATS)
