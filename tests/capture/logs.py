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
