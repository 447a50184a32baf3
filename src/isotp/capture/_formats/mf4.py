"""MF4 with CAN bus logging: columns of asammdf to frame records, all groups merged by time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timezone
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from isotp._can_ids import BRS, EFF_FLAG, EFF_MASK, ERR_FLAG, ESI, FDF, RTR_FLAG, SENT
from isotp.bulk._records import Records, record_dtype
from isotp.capture._local_time import ns_of
from isotp.capture._reading import Format, Reading
from isotp.capture._source import Source

if TYPE_CHECKING:
    import numpy

CHUNK: Final = 65_536  # frames of one group at once
# What the standard for bus logging calls the groups, with the bit that their frames have in the identifier.
KINDS: Final = {"CAN_DataFrame": 0, "CAN_ErrorFrame": ERR_FLAG, "CAN_RemoteFrame": RTR_FLAG}


# What a packed log may become on the disk: so many times the bytes of the file, but so many bytes in any case.
MOST_TIMES: Final = 256
ANYWAY: Final = 32 << 20


def unpacked(source: Source, reading: Reading, file: BinaryIO) -> bool:
    """Write all of it into a file, for asammdf reads here and there. False: it is too much, and that is reported."""
    size = 0
    while block := source.read(reading.block_size):
        size += len(block)
        if source.compression and size > max(ANYWAY, MOST_TIMES * source.bytes_read):
            reading.report(0, f"MF4 is not unpacked to more than {MOST_TIMES} times its size")
            return False
        file.write(block)
    file.seek(0)
    return True


def read(source: Source, reading: Reading) -> Iterator[Records]:
    try:
        import asammdf
    except ImportError as error:
        raise ImportError(f"{source.name} is read with asammdf: pip install can-isotp-cython[mf4]") from error
    with ExitStack() as stack:
        file: Any = source.path
        if source.path is None or source.compression:
            # It brings many modules, for this alone.
            from tempfile import TemporaryFile

            file = stack.enter_context(TemporaryFile())
            if not unpacked(source, reading, file):
                return
        try:
            mdf = stack.enter_context(asammdf.MDF(file))
            began = ns_of(mdf.header.start_time.astimezone(timezone.utc))
            yield from merged(
                [read_group(mdf, index, kind, began) for index, kind in groups_of(mdf)], reading
            )
        # asammdf raises what a damaged file happens to lead to; there is no class for it.
        except Exception as error:
            reading.report(0, f"asammdf can not read on: {type(error).__name__}: {error}")


def groups_of(mdf: Any) -> Iterator[tuple[int, str]]:
    for index, group in enumerate(mdf.groups):
        names = {channel.name for channel in group.channels}
        if group.channel_group.cycles_nr > 0:
            yield from ((index, kind) for kind in KINDS if kind in names)


def read_group(mdf: Any, index: int, kind: str, began: int) -> Iterator[numpy.ndarray[Any, Any]]:
    """The frames of a group in pieces, each an array of FD records."""
    for offset in range(0, mdf.groups[index].channel_group.cycles_nr, CHUNK):
        signal = mdf.get(kind, index, record_offset=offset, record_count=CHUNK, raw=False)
        yield records_of(signal, kind, began)


def records_of(signal: Any, kind: str, began: int) -> numpy.ndarray[Any, Any]:
    import numpy as np

    samples = signal.samples
    names = samples.dtype.names or ()

    def column(name: str, default: int = 0) -> Any:
        found = samples[f"{kind}.{name}"] if f"{kind}.{name}" in names else None
        return np.full(len(samples), default) if found is None else found

    def flag(name: str, bit: int) -> Any:
        values = column(name)
        # A direction may come as text.
        on = values == b"Tx" if values.dtype.kind == "S" else values.astype(bool)
        return np.where(on, bit, 0)

    records = np.zeros(len(samples), record_dtype("fd"))
    records["timestamp"] = np.rint(signal.timestamps * 1e9).astype("i8") + began
    records["can_id"] = column("ID").astype("u4") & EFF_MASK | flag("IDE", EFF_FLAG) | KINDS[kind]
    records["flags"] = flag("EDL", FDF) | flag("BRS", BRS) | flag("ESI", ESI) | flag("Dir", SENT)
    records["channel"] = column("BusChannel")
    if kind == "CAN_RemoteFrame":
        records["len"] = np.minimum(column("DLC"), 8)
        return records
    if f"{kind}.DataBytes" in names:
        data = samples[f"{kind}.DataBytes"]
        width = min(data.shape[1], 64)
        records["len"] = np.minimum(column("DataLength"), width)
        records["data"][:, :width] = data[:, :width]
        # What is behind the data of a frame is not its own.
        records["data"][np.arange(64) >= records["len"][:, None]] = 0
    return records


def merged(groups: list[Iterator[numpy.ndarray[Any, Any]]], reading: Reading) -> Iterator[Records]:
    """All groups as one log in the order of time; a group itself is in order."""
    import numpy as np

    heads = {number: next(group) for number, group in enumerate(groups)}
    while heads:
        # Up to here no group can have anything more to come.
        until = min(head["timestamp"][-1] for head in heads.values())
        parts = []
        for number, head in list(heads.items()):
            count = np.searchsorted(head["timestamp"], until, side="right")
            parts.append(head[:count])
            rest = head[count:] if count < len(head) else next(groups[number], None)
            if rest is None:
                del heads[number]
            else:
                heads[number] = rest
        frames = np.concatenate(parts)
        frames = wanted(frames[np.argsort(frames["timestamp"], kind="stable")], reading)
        if len(frames) > 0:
            yield Records.from_buffer(frames.data, "fd")


def wanted(frames: numpy.ndarray[Any, Any], reading: Reading) -> numpy.ndarray[Any, Any]:
    import numpy as np

    keep = np.ones(len(frames), bool)
    if reading.start is not None:
        keep &= frames["timestamp"] >= reading.start
    if reading.end is not None:
        keep &= frames["timestamp"] < reading.end
    if reading.wanted is not None:
        keep &= np.isin(frames["channel"], reading.wanted)
    return frames[keep]


FORMAT: Final = Format(read, magic=(b"MDF     ", b"UnFinMF "))
