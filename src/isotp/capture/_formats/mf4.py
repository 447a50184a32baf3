"""MF4 with CAN bus logging: its blocks, their records as columns, and all groups merged by time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from isotp.bulk._records import Records
from isotp.capture._formats.mf4_blocks import Blocks
from isotp.capture._formats.mf4_records import by_time, frames_of, kind_of
from isotp.capture._local_time import ns_since_1970
from isotp.capture._reading import Format, Reading
from isotp.capture._source import Source

if TYPE_CHECKING:
    import numpy

# How large a packed log may become on the disk: this many times the bytes of the file, and this many bytes in any
# case.
MOST_TIMES: Final = 256
ANYWAY: Final = 32 << 20
MOST_NS: Final = 1 << 62


def unpacked(source: Source, reading: Reading, file: BinaryIO) -> bool:
    """Write all of it into a file, for it is read here and there. False: it is too much, and that is reported."""
    size = 0
    while block := source.read(reading.block_size):
        size += len(block)
        if source.compression and size > max(ANYWAY, MOST_TIMES * source.bytes_read):
            reading.report(0, f"MF4 is not unpacked to more than {MOST_TIMES} times its size")
            return False
        file.write(block)
    return True


def read(source: Source, reading: Reading) -> Iterator[Records]:
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{source.name} is read with numpy: pip install can-isotp-cython[mf4]") from error
    with ExitStack() as stack:
        file: BinaryIO
        if source.path is None or source.compression:
            # It imports many modules, for this alone.
            from tempfile import TemporaryFile

            file = stack.enter_context(TemporaryFile())
            if not unpacked(source, reading, file):
                return
        else:
            file = stack.enter_context(open(source.path, "rb"))
        blocks = Blocks(file, reading.report)
        ns, is_local, first = blocks.start()
        began = start_time(ns, is_local, reading)
        groups = []
        for data_group in blocks.data_groups(first):
            for group in data_group.groups:
                if kind_of(group) is None and group.size is not None:
                    pass_by(group.channels, group.records, reading)
            groups.append(frames_of(blocks, data_group, began, reading.report))
        yield from merged(groups, reading)


def pass_by(channels: Any, records: int, reading: Reading) -> None:
    """Count the records of a group without frames."""
    if records > 0:
        reading.pass_by("LIN" if "LIN_Frame" in channels else "record of another kind", records)


def start_time(ns: int, is_local: bool, reading: Reading) -> int:
    """When the measurement began, in ns since 1970; the file may say it in the time of its zone."""
    if ns >= MOST_NS:
        reading.report(0, "the time of the start cannot be right: times count from it")
        return 0
    if is_local:
        return ns_since_1970(datetime(1970, 1, 1) + timedelta(microseconds=ns // 1000)) + ns % 1000
    return ns


def merged(groups: list[Iterator[numpy.ndarray[Any, Any]]], reading: Reading) -> Iterator[Records]:
    """All groups as one log in the order of time; a group itself is in order."""
    import numpy as np

    heads = {number: head for number, group in enumerate(groups) if (head := next_of(group)) is not None}
    while heads:
        # Up to here no group can have anything more to come.
        until = min(head["timestamp"][-1] for head in heads.values())
        parts = []
        for number, head in list(heads.items()):
            count = np.searchsorted(head["timestamp"], until, side="right")
            parts.append(head[:count])
            rest = head[count:] if count < len(head) else next_of(groups[number])
            if rest is None:
                del heads[number]
            else:
                heads[number] = rest
        frames = wanted(by_time(parts), reading)
        if len(frames) > 0:
            yield Records.from_buffer(frames.data, "fd")


def next_of(group: Iterator[numpy.ndarray[Any, Any]]) -> numpy.ndarray[Any, Any] | None:
    """The next piece that has frames."""
    return next((frames for frames in group if len(frames) > 0), None)


def wanted(frames: numpy.ndarray[Any, Any], reading: Reading) -> numpy.ndarray[Any, Any]:
    import numpy as np

    if reading.start is None and reading.end is None and reading.wanted is None:
        return frames
    keep = np.ones(len(frames), bool)
    if reading.start is not None:
        keep &= frames["timestamp"] >= reading.start
    if reading.end is not None:
        keep &= frames["timestamp"] < reading.end
    if reading.wanted is not None:
        on_them = np.isin(frames["channel"], reading.wanted)
        reading.left_out.update(np.unique(frames["channel"][~on_them]).tolist())
        keep &= on_them
    return frames[keep]


FORMAT: Final = Format(read, magic=(b"MDF     ", b"UnFinMF "))
