"""Several logs as one: their frames in the order of their times, their channels by other names where that is wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

from isotp.bulk._records import Records, record_dtype
from isotp.capture._capture import Capture, open
from isotp.capture._channels import Channels
from isotp.capture._reading import MOST_PROBLEMS, Problem
from isotp.capture._source import StrPath

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["ChannelMap", "Group", "Merged", "groups_of", "merge", "open_group"]

# New names of channels, by the name or number in the log.
ChannelMap: TypeAlias = "Mapping[str | int, str]"

UNKNOWN = -1
CHANNELS = 1 << 16


class Stream:
    """One of the logs: frames of it that are read, and wait for those of the others that are earlier."""

    def __init__(
        self, capture: Capture, names: ChannelMap, shared: Channels, wanted: set[int] | None
    ) -> None:
        import numpy

        self.numpy = numpy
        self.capture = capture
        self.left_out: set[int] = set()
        self.done = False
        self._names = {str(old): new for old, new in names.items()}
        self._shared = shared
        self._wanted = wanted
        self._numbers = numpy.full(CHANNELS, UNKNOWN, numpy.int32)
        self.frames: NDArray[numpy.void] | None = None
        #: The latest time up to each frame: a log keeps its order, also where its times run backwards.
        self.keys: NDArray[numpy.int64] = numpy.empty(0, numpy.int64)
        self._latest = int(numpy.iinfo(numpy.int64).min)

    def fill(self) -> None:
        """Read on until there are frames, or none are left."""
        while not len(self.keys) and not self.done:
            records = next(iter(self.capture), None)
            if records is None:
                self.done = True
            elif len(records):
                self._take(self.numpy.array(records))

    def _take(self, frames: NDArray[numpy.void]) -> None:
        numpy = self.numpy
        for number in numpy.unique(frames["channel"]).tolist():
            if self._numbers[number] == UNKNOWN:
                self._numbers[number] = self._shared_number(number)
        frames["channel"] = self._numbers[frames["channel"]]
        if self._wanted is not None:
            is_wanted = numpy.isin(frames["channel"], list(self._wanted))
            self.left_out.update(numpy.unique(frames["channel"][~is_wanted]).tolist())
            frames = frames[is_wanted]
        if len(frames):
            self.frames = frames
            self.keys = numpy.maximum(numpy.maximum.accumulate(frames["timestamp"]), self._latest)
            self._latest = int(self.keys[-1])

    def _shared_number(self, number: int) -> int:
        name = self.capture.channels[number]
        new = self._names.get(str(name), name)
        return self._shared.number_of(new) if isinstance(new, str) else new

    def cut(self, count: int) -> NDArray[numpy.void]:
        """The first frames, which do not wait any more."""
        assert self.frames is not None
        first, self.frames, self.keys = self.frames[:count], self.frames[count:], self.keys[count:]
        return first


class Merged:
    """Several logs as one: what :class:`isotp.capture.Capture` is for one. Made by :func:`isotp.capture.merge`."""

    def __init__(self, captures: list[Capture], streams: list[Stream], channels: Channels) -> None:
        self._captures = captures
        self._streams = streams
        self.channels = channels
        self._pieces = self._merge()

    @property
    def name(self) -> str:
        """Those of the logs."""
        return ", ".join(each.name for each in self._captures)

    @property
    def problems(self) -> list[Problem]:
        """What could not be read so far, the first 1000."""
        return [problem for each in self._captures for problem in each.problems][:MOST_PROBLEMS]

    @property
    def problem_count(self) -> int:
        """How many problems there were so far."""
        return sum(each.problem_count for each in self._captures)

    @property
    def others(self) -> dict[str, int]:
        """What the logs have besides CAN frames: how many of each kind so far."""
        return dict(sum((Counter(each.others) for each in self._captures), Counter()))

    @property
    def left_out(self) -> list[str | int]:
        """The channels that have frames and are not among the `channels` asked for; known at the end."""
        numbers: set[int] = set().union(*(each.left_out for each in self._streams))
        return [self.channels[number] for number in sorted(numbers)]

    @property
    def bytes_read(self) -> int:
        """Bytes read from the files so far, counted packed."""
        return sum(each.bytes_read for each in self._captures)

    def __iter__(self) -> Iterator[Records]:
        return self._pieces

    def __enter__(self) -> Merged:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files that were opened by their paths."""
        self._pieces.close()
        for each in self._captures:
            each.close()

    def _merge(self) -> Generator[Records, None, None]:
        while True:
            for each in self._streams:
                each.fill()
            waiting = [each for each in self._streams if len(each.keys)]
            if not waiting:
                return
            yield joined(waiting, [self._count(each, waiting) for each in waiting])

    def _count(self, stream: Stream, waiting: Sequence[Stream]) -> int:
        """How many of its frames no unread frame can come before. At the same time, the log that is named first comes
        first.
        """
        count = len(stream.keys)
        is_before = True
        for other in waiting:
            if other is stream:
                is_before = False
                # Its own next frames come after those that it has.
                continue
            if not other.done:
                side = "left" if is_before else "right"
                count = min(count, int(stream.keys.searchsorted(other.keys[-1], side)))  # type: ignore[call-overload]
        return count


def joined(streams: Sequence[Stream], counts: Sequence[int]) -> Records:
    """The first frames of each, by their times."""
    numpy = streams[0].numpy
    keys = numpy.concatenate([each.keys[:count] for each, count in zip(streams, counts, strict=True)])
    parts = [each.cut(count) for each, count in zip(streams, counts, strict=True)]
    if len({each.dtype for each in parts}) > 1:
        parts = [as_fd(each) for each in parts]
    frames = numpy.concatenate(parts)[numpy.argsort(keys, kind="stable")]
    return Records.from_buffer(frames.view(numpy.uint8), "fd" if frames.itemsize > 24 else "classic")


def as_fd(frames: NDArray[numpy.void]) -> NDArray[numpy.void]:
    import numpy

    wide: Any = numpy.zeros(len(frames), record_dtype("fd"))
    for name in ("timestamp", "can_id", "len", "flags", "channel"):
        wide[name] = frames[name]
    wide["data"][:, : frames["data"].shape[1]] = frames["data"]
    return wide  # type: ignore[no-any-return]


def merge(
    logs: Sequence[StrPath | BinaryIO],
    *,
    names: Sequence[ChannelMap] | None = None,
    channels: Iterable[str | int] | None = None,
    table: Channels | None = None,
    **options: Any,
) -> Merged:
    """Open several logs that were recorded at the same time, and read them as one, in the order of their times.

    Frames of the same time are in the order of the logs. A log keeps its own order, even if its times run backwards.

    :param logs: as :func:`open` takes them.
    :param names: new names of channels, for each log: ``[{"can0": "body"}, {"can0": "drive"}]``. Channels with the
        same name are the same.
    :param channels: names or numbers of the channels to keep, by their new names; None: all.
    :param table: where the channels' names get their numbers.
    :param options: further options of :func:`open`, the same for all.
    :raises ImportError: without NumPy (``pip install can-isotp-cython[mf4]``).
    :raises ValueError: if there are no names for each log, and as :func:`open` does.
    """
    table = Channels() if table is None else table
    (group,) = groups_of(logs, names, together=True)
    wanted = table.chosen(channels)
    opener: Callable[..., Capture] = partial(open, **options)
    captures: list[Capture] = []
    try:
        for log in logs:
            # Each has its own numbers: two logs may use one name for two channels.
            captures.append(opener(log, table=Channels()))
        streams = [
            Stream(each, those, table, None if wanted is None else set(wanted))
            for each, those in zip(captures, group.names, strict=True)
        ]
    except BaseException:
        for each in captures:
            each.close()
        raise
    return Merged(captures, streams, table)


class Group(NamedTuple):
    """Logs that are read as one, and other names of the channels of each."""

    logs: Sequence[StrPath | BinaryIO]
    names: Sequence[ChannelMap]


def groups_of(
    logs: Sequence[StrPath | BinaryIO], names: Sequence[ChannelMap] | None, *, together: bool
) -> list[Group]:
    """All of them as one, or each for itself, with its names.

    :raises ValueError: if there are no names for each log.
    """
    names = [{}] * len(logs) if names is None else names
    if len(names) != len(logs):
        raise ValueError(f"there are names of channels for {len(names)} logs, and {len(logs)} logs")
    if together:
        return [Group(logs, names)]
    return [Group([log], [those]) for log, those in zip(logs, names, strict=True)]


def open_group(group: Group, **options: Any) -> Merged:
    return merge(group.logs, names=group.names, **options)
