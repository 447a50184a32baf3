"""Logs as the tests make them, byte by byte, and what is read of them."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import random
from typing import Any

from isotp import capture
from isotp.bulk._records import Record

EFF, RTR, ERR = 0x80000000, 0x40000000, 0x20000000
BRS, ESI, FDF, SENT = 0x01, 0x02, 0x04, 0x80


def read(file: Any, **options: Any) -> tuple[list[Record], capture.Capture]:
    """The frames of a log, which are its bytes, a path or an open file."""
    with capture.open(io.BytesIO(file) if isinstance(file, bytes) else file, **options) as log:
        return [record for records in log for record in records], log


def problems(log: capture.Capture) -> list[tuple[int, int | None, str]]:
    return [(each.offset, each.line, each.reason) for each in log.problems]


def numbers(found: list[Record]) -> list[int]:
    return [each.can_id - 0x100 for each in found]


# --- ASC ---

ASC = "date Sam Sep 30 15:06:13.191 2017\nbase hex  timestamps absolute\nno internal events logged\n"


def asc(*lines: str, head: str = ASC) -> bytes:
    return (head + "".join(f"{line}\n" for line in lines)).encode()


# --- all formats of text ---


def lines(count: int, form: str, head: str = "") -> bytes:
    """A line for each frame; their identifiers count from 0x100 to 0x109, again and again."""
    numbers = (k % 10 for k in range(count))
    return (head + "".join(form.format(k=k, can_id=0x100 + k) + "\n" for k in numbers)).encode()


def text_logs(count: int) -> dict[str, bytes]:
    """A log of each format of text, with so many frames."""
    few = [k % 10 for k in range(count)]
    trc = ";$FILEVERSION={}\n;$STARTTIME=40178.5\n"
    return {
        "candump": lines(count, "(1.{k}) can{k} {can_id:X}#0{k}A5"),
        "candump on a screen": lines(count, "  can0  {can_id:X}   [2]  0{k} A5   '..'"),
        "candump with times": lines(count, " (00{k}.000000)  can0  RX - -  {can_id:X}  [02]  0{k} A5"),
        "candump with dates": lines(
            count, " (2016-01-01 12:34:0{k}.000000)  can0  {can_id:X}   [2]  0{k} A5"
        ),
        "asc": asc(*(f"   1.{k} 1  {0x100 + k:X}             Rx   d 2 0{k} A5" for k in few)),
        "asc with more": asc(
            *(f"1.{k} 1 {0x100 + k:X} Tx d 1 0{k} Length = 0 BitCount = 64 ID = 256" for k in few)
        ),
        "asc of FD": asc(*(f"1.{k} CANFD 1 Rx {0x100 + k:X} 1 0 2 2 0{k} 11 130000 130 303000" for k in few)),
        "trc 1.0": lines(count, " {k}) 1{k} 0{can_id:X} 2 0{k} A5", ";---+-\n"),
        "trc 1.1": lines(count, " {k}) 1{k}.5 Rx 0{can_id:X} 2 0{k} A5", trc.format("1.1")),
        "trc 2.1": lines(
            count,
            "{k} 1.{k} DT 1 0{can_id:X} Rx - 2 0{k} A5",
            trc.format("2.1") + ";$COLUMNS=N,O,T,B,I,d,R,L,D\n",
        ),
        "carbus": (b"@ TEXT @ 3 @ 64 @ 0 @ 6 @ 7 @ 00:00:07 @\r# $LocalTime=11:19:54.503\r")
        + lines(count, "34,09169{k}\t1\t00000004\t{can_id:X}\t2\t0{k} A5\t00000000\t  \t").replace(
            b"\n", b"\r"
        ),
        "gvret": lines(
            count,
            "100{k},00000{can_id:X},false,Rx,0,2,0{k},A5,",
            "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2\n",
        ),
        "crtd": lines(count, "1.00{k} 1R11 {can_id:X} 0{k} A5", "0.001 CXX text\n"),
        "busmaster": lines(
            count, "11:49:12:942{k} Rx 1 0x{can_id:X} s 2 0{k} A5", "***BUSMASTER Ver 3.2.2***\n***HEX***\n"
        ),
        "vspy": lines(
            count,
            "{k},1.{k},0.1,67371008,F,F,HS CAN ${can_id:X},HS CAN,,{can_id:X},F,F,0{k},A5,,,,,,,,,",
            "Vehicle Spy 3 Bus Traffic File\r\n\r\nLine,Abs Time(Sec),Rel Time (Sec),Status,Er,Tx,Description\n",
        ),
        "csv": lines(
            count,
            "1.{k},0x{can_id:x},0,0,0,1,A{k}==",
            "timestamp,arbitration_id,extended,remote,error,dlc,data\n",
        ),
    }


# --- compression ---

PAYLOADS = random.Random(5).randbytes(8 * 20_000)
LOG = b"".join(
    b"(%d.0) can0 123#%s\n" % (second, PAYLOADS[8 * second : 8 * second + 8].hex().encode())
    for second in range(20_000)
)


def packers() -> dict[str, Any]:
    found: dict[str, Any] = {
        "gz": gzip.compress,
        # It loses a block as a whole: so they are made small.
        "bz2": functools.partial(bz2.compress, compresslevel=1),
        "xz": lzma.compress,
    }
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            return found
    return found | {"zstd": zstd.compress}
