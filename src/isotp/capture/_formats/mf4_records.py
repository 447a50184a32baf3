"""Records of MF4's channel groups to frame records, in columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from isotp._can_ids import BRS, EFF_FLAG, EFF_MASK, ERR_FLAG, ESI, FDF, RTR_FLAG, SENT
from isotp.bulk._records import record_dtype
from isotp.capture._formats.mf4_blocks import Blocks, Channel, ChannelGroup, DataGroup
from isotp.capture._parsers import RecordSorter

if TYPE_CHECKING:
    import numpy

    Frames = numpy.ndarray[Any, Any]

__all__ = ["by_time", "frames_of", "kind_of"]

# What the standard for bus logging calls the groups, with the bit that their frames have in the identifier.
KINDS: Final = {"CAN_DataFrame": 0, "CAN_ErrorFrame": ERR_FLAG, "CAN_RemoteFrame": RTR_FLAG}
# What a frame has in any case.
NEEDED: Final = {
    "CAN_DataFrame": ("ID", "DataLength", "DataBytes"),
    "CAN_ErrorFrame": (),
    "CAN_RemoteFrame": ("ID",),
}
# Types of channels and of their values.
VARIABLE_SIZE, MASTER, VIRTUAL_MASTER, VIRTUAL = 1, 2, 3, 6
BIG_ENDIAN: Final = (1, 3, 5)
FLOATS: Final = {(4, 32): "<f4", (5, 32): ">f4", (4, 64): "<f8", (5, 64): ">f8"}
TEXT: Final = (6, 7)
MOST_BYTES: Final = 1 << 16  # of a record
MOST_SECONDS: Final = 1 << 32

Report = Callable[[int, str], None]


class Payloads:
    """What the records of a group say the place of: values of any size, each with its length before it."""

    def __init__(self, pieces: Iterator[bytes] | None) -> None:
        self._pieces = pieces
        self._rest = b""
        self._waiting: list[bytes] = []

    def add(self, values: list[bytes]) -> None:
        self._waiting += values

    def take(self, count: int) -> list[bytes]:
        """The next ones, up to so many."""
        while self._pieces and len(self._waiting) < count and (piece := next(self._pieces, None)) is not None:
            data = self._rest + piece
            place = 0
            while len(data) - place >= 4:
                size = int.from_bytes(data[place : place + 4], "little")
                if size > MOST_BYTES:
                    raise ValueError(f"data of {size} bytes in one frame")
                end = place + 4 + size
                if end > len(data):
                    break
                self._waiting.append(data[place + 4 : end])
                place = end
            self._rest = data[place:]
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


class Group:
    """One channel group with frames: its records to arrays."""

    def __init__(self, group: ChannelGroup, kind: str, began: int, payloads: Payloads | None) -> None:
        self.group = group
        self.kind = kind
        self.payloads = payloads
        self.read = 0
        self._began = began
        self._rest = bytearray()
        for name in NEEDED[kind]:
            if f"{kind}.{name}" not in group.channels:
                raise ValueError(f"a group of {kind} has no {name}")
        if group.master is None or not group.size:
            raise ValueError(f"a group of {kind} has no times")
        if group.size > MOST_BYTES:
            raise ValueError(f"a group of {kind} has records of {group.size} bytes")
        self._master = group.master
        self._size = group.size

    @property
    def left(self) -> int:
        return len(self._rest)

    def frames(self, data: bytes | bytearray, most: int | None) -> Frames:
        """Those that are whole now, up to `most`."""
        import numpy as np

        self._rest += data
        size = self._size
        count = len(self._rest) // size if most is None else min(len(self._rest) // size, most)
        values = None
        if self.payloads is not None:
            values = self.payloads.take(count)
            count = len(values)
        rows = np.frombuffer(bytes(self._rest[: count * size]), "u1").reshape(count, size)
        del self._rest[: count * size]
        self.read += count
        return self._records_of(rows, values)

    def _records_of(self, rows: Any, values: list[bytes] | None) -> Frames:
        import numpy as np

        kind, channels = self.kind, self.group.channels
        first = self.read - len(rows)

        def column(name: str) -> Any:
            channel = channels.get(f"{kind}.{name}")
            return np.zeros(len(rows), "i8") if channel is None else column_of(rows, channel, first)

        def flag(name: str, bit: int) -> Any:
            channel = channels.get(f"{kind}.{name}")
            if channel is not None and channel.data_type in TEXT:
                on = np.array([row.startswith(b"Tx") for row in bytes_of(rows, channel)], bool)
            else:
                on = column(name) != 0
            return np.where(on, bit, 0)

        records = np.zeros(len(rows), record_dtype("fd"))
        records["timestamp"] = times_of(rows, self._master, first) + self._began
        records["can_id"] = (
            column("ID").astype("u8") & EFF_MASK | flag("IDE", EFF_FLAG).astype("u8") | KINDS[kind]
        ).astype("u4")
        records["flags"] = flag("EDL", FDF) | flag("BRS", BRS) | flag("ESI", ESI) | flag("Dir", SENT)
        records["channel"] = column("BusChannel") & 0xFFFF
        if kind == "CAN_RemoteFrame":
            records["len"] = np.minimum(column("DLC"), 8)
        elif f"{kind}.DataBytes" in channels:
            put_data(records, rows, channels[f"{kind}.DataBytes"], values, column("DataLength"))
        return records


def put_data(records: Frames, rows: Any, channel: Channel, values: list[bytes] | None, lengths: Any) -> None:
    import numpy as np

    if values is not None:
        joined = b"".join(value[:64].ljust(64, b"\0") for value in values)
        data = np.frombuffer(joined, "u1").reshape(len(values), 64)
        widths: Any = np.array([len(value) for value in values], "i8")
    else:
        widths = min(channel.bits // 8, 64, max(rows.shape[1] - channel.byte, 0))
        data = rows[:, channel.byte : channel.byte + widths]
    records["len"] = np.clip(lengths, 0, np.minimum(widths, 64))
    records["data"][:, : data.shape[1]] = data
    # What is behind the data of a frame is not its own.
    records["data"][np.arange(64) >= records["len"][:, None]] = 0


def bytes_of(rows: Any, channel: Channel) -> list[bytes]:
    return [bytes(row) for row in rows[:, channel.byte : channel.byte + channel.bits // 8]]


def column_of(rows: Any, channel: Channel, first: int) -> Any:
    """The values of a channel, in whole numbers; `first` is the number of the first record."""
    import numpy as np

    values = converted(raw_column(rows, channel, first), channel)
    return np.rint(values).astype("i8") if values.dtype.kind == "f" else values.astype("i8")


def raw_column(rows: Any, channel: Channel, first: int) -> Any:
    import numpy as np

    if channel.kind in (VIRTUAL, VIRTUAL_MASTER):
        # Not in the records: their numbers count, and a conversion makes constants of them.
        return np.arange(first, first + len(rows), dtype="i8")
    size = (channel.bit + channel.bits + 7) // 8
    if not 0 < size <= 8 or channel.byte + size > rows.shape[1]:
        raise ValueError(f"{channel.name} is not in the records")
    part = rows[:, channel.byte : channel.byte + size]
    form = FLOATS.get((channel.data_type, channel.bits))
    if form is not None:
        return np.ascontiguousarray(part).view(form)[:, 0]
    if channel.data_type in BIG_ENDIAN:
        part = part[:, ::-1]
    values = np.zeros(len(rows), "u8")
    for place in range(size):
        values |= part[:, place].astype("u8") << np.uint64(8 * place)
    values >>= np.uint64(channel.bit)
    values &= np.uint64((1 << channel.bits) - 1)
    return values


def converted(values: Any, channel: Channel) -> Any:
    import numpy as np

    if channel.is_table:
        changed = values.astype("f8")
        for key, value in zip(channel.conversion[::2], channel.conversion[1::2], strict=True):
            changed[values == key] = value
        return changed
    if len(channel.conversion) == 2 and channel.conversion != (0.0, 1.0):
        addend, factor = channel.conversion
        with np.errstate(all="ignore"):
            return values * factor + addend
    return values


def times_of(rows: Any, master: Channel, first: int) -> Any:
    """ns since the start of the measurement."""
    import numpy as np

    seconds = np.asarray(converted(raw_column(rows, master, first), master), "f8")
    if not (np.abs(seconds) < MOST_SECONDS).all():
        raise ValueError("times of MF4 that cannot be")
    return np.rint(seconds * 1e9).astype("i8")


def kind_of(group: ChannelGroup) -> str | None:
    return next((kind for kind in KINDS if any(name.startswith(kind) for name in group.channels)), None)


def frames_of(blocks: Blocks, data_group: DataGroup, began: int, report: Report) -> Iterator[Frames]:
    """The frames of a data group, in pieces that are in the order of time; what is missing is reported."""
    readers: dict[int, Group] = {}
    variable: dict[int, Payloads] = {}
    for group in data_group.groups:
        kind = kind_of(group)
        if kind is None or (group.records == 0 and not blocks.unfinished):
            continue
        try:
            readers[group.number] = Group(
                group, kind, began, payloads_of(blocks, data_group, group, variable)
            )
        except ValueError as error:
            report(group.offset, str(error))
    if not readers:
        return
    try:
        yield from in_order(pieces_of(blocks, data_group, readers, variable, report))
    except ValueError as error:
        report(data_group.offset, str(error))
    if blocks.unfinished:
        return
    for reader in readers.values():
        if reader.read < reader.group.records:
            report(
                reader.group.offset, f"{reader.read} of {reader.group.records} frames of a group are there"
            )


def payloads_of(
    blocks: Blocks, data_group: DataGroup, group: ChannelGroup, variable: dict[int, Payloads]
) -> Payloads | None:
    """Where the data of the frames are, if not in the records."""
    channel = group.channels.get("CAN_DataFrame.DataBytes")
    if channel is None or channel.kind != VARIABLE_SIZE:
        return None
    for other in data_group.groups:
        if other.offset == channel.data:
            return variable.setdefault(other.number, Payloads(None))
    return Payloads(blocks.data(channel.data))


def pieces_of(
    blocks: Blocks,
    data_group: DataGroup,
    readers: dict[int, Group],
    variable: dict[int, Payloads],
    report: Report,
) -> Iterator[list[Frames]]:
    """What each group has in a piece of the data."""
    pieces = blocks.data(data_group.data)

    def most(reader: Group) -> int | None:
        return None if blocks.unfinished else reader.group.records - reader.read

    if data_group.id_size == 0:
        (reader,) = list(readers.values())[:1]
        for piece in pieces:
            yield [reader.frames(piece, most(reader))]
        left = reader.left
    else:
        sorter = RecordSorter(data_group.id_size, {group.number: group.size for group in data_group.groups})
        for piece in pieces:
            found = sorter.feed(piece)
            for number, payloads in variable.items():
                payloads.add(found[number])
            yield [reader.frames(found[number], most(reader)) for number, reader in readers.items()]
            if sorter.lost:
                report(
                    data_group.offset,
                    f"a record of no known group or size, at byte {sorter.offset} of the data",
                )
                return
        left = sorter.left
    if left:
        report(data_group.offset, f"{left} bytes of the data are no whole record")


def by_time(parts: list[Frames]) -> Frames:
    """All of them in one array, in the order of time, and in the order in which they came."""
    import numpy as np

    parts = [frames for frames in parts if len(frames) > 0]
    frames = parts[0] if len(parts) == 1 else np.concatenate(parts)
    times = frames["timestamp"]
    if (times[1:] < times[:-1]).any():
        frames = frames[np.argsort(times, kind="stable")]
    return frames


def in_order(pieces: Iterator[list[Frames]]) -> Iterator[Frames]:
    """Each piece in the order of time; what is later than the last frame of another group waits for the next piece."""
    import numpy as np

    held: list[Frames] = []
    for groups in pieces:
        ends = [frames["timestamp"].max() for frames in groups if len(frames) > 0]
        if not ends:
            continue
        frames = by_time([*held, *groups])
        count = int(np.searchsorted(frames["timestamp"], min(ends), side="right"))
        held = [frames[count:]]
        yield frames[:count]
    yield from held
