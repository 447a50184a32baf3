"""Several logs of the same time as one: by their times, with channels that are told apart."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest

import isotp
from isotp import Record, capture

pytest.importorskip("numpy", reason="logs are merged with NumPy")


def log(*frames: tuple[float, str], channel: str = "can0") -> io.BytesIO:
    """candump's lines of frames ``(1.5, "7E0#01AA")``."""
    return io.BytesIO(
        b"".join(b"(%.6f) %s %s\n" % (time, channel.encode(), text.encode()) for time, text in frames)
    )


def read(*logs: io.BytesIO, **options: Any) -> list[tuple[float, str, str]]:
    """Time, channel and data of each frame."""
    with capture.merge(logs, **options) as merged:
        return [
            (frame.timestamp / 1e9, str(merged.channels[frame.channel]), frame.data.hex())
            for records in merged
            for frame in records
        ]


def test_frames_come_by_their_times() -> None:
    one, two = log((1, "1#01"), (3, "1#03"), (5, "1#05")), log((2, "2#02"), (3, "2#33"), (4, "2#04"))
    assert [data for *_, data in read(one, two)] == ["01", "02", "03", "33", "04", "05"]


def test_channels_get_other_names() -> None:
    logs = log((1, "1#01")), log((2, "2#02")), log((3, "3#03"), channel="can1")
    names = [{"can0": "body"}, {"can0": "drive"}, {"can1": "body"}]
    assert read(*logs, names=names) == [(1, "body", "01"), (2, "drive", "02"), (3, "body", "03")]


def test_channels_without_names_get_some() -> None:
    asc = io.BytesIO(b"base hex  timestamps absolute\n1.5 1  7E0  Rx d 1 AA\n2.5 2  7E0  Rx d 1 BB\n")
    assert read(log((2, "1#01")), asc, names=[{}, {0: "body"}]) == [
        *[(1.5, "body", "aa"), (2, "can0", "01"), (2.5, "1", "bb")]
    ]


def test_only_some_channels() -> None:
    logs = log((1, "1#01"), (4, "1#04")), log((2, "2#02")), log((3, "3#03"), channel="can1")
    with capture.merge(logs, names=[{}, {"can0": "body"}, {}], channels=["body", "can1"]) as merged:
        assert [frame.data for records in merged for frame in records] == [b"\2", b"\3"]
        assert merged.left_out == ["can0"]


def test_a_log_keeps_its_own_order() -> None:
    """Where its times run backwards, its frames come when the ones before them do."""
    one, two = log((1, "1#01"), (5, "1#05"), (2, "1#02"), (6, "1#06")), log((3, "2#03"), (5.5, "2#55"))
    assert [data for *_, data in read(one, two)] == ["01", "03", "05", "02", "55", "06"]


def test_classic_and_fd_frames_together() -> None:
    long = "11" * 48
    one, two = log((1, "1#01"), (3, "1#03")), log((2, f"2##4{long}"))
    assert [data for *_, data in read(one, two)] == ["01", long, "03"]


@pytest.mark.parametrize("seed", range(5))
def test_blocks_of_any_size_give_the_same(seed: int) -> None:
    """Also where many frames have the same time: of those, the log that is named first has the first."""
    chance = random.Random(seed)
    texts = []
    for number in range(3):
        times = sorted(chance.choice((chance.randrange(40), chance.random() * 40)) for _ in range(900))
        texts.append([(time, f"{number}#{k:04X}{number:02X}") for k, time in enumerate(times)])
    wanted = sorted(
        ((round(time, 6), number, k, text.partition("#")[2].lower()) for number, frames in enumerate(texts)
         for k, (time, text) in enumerate(frames)),
    )  # fmt: skip
    for block_size in (4096, 5000, 1 << 19):
        found = read(*(log(*frames) for frames in texts), block_size=block_size)
        assert [data for *_, data in found] == [data for *_, data in wanted]


def test_one_log_and_none() -> None:
    assert [data for *_, data in read(log((1, "1#01"), (2, "1#02")))] == ["01", "02"]
    assert read(log((1, "1#01")), log((9, "1#09")), end=0) == []
    assert read() == []


def test_what_can_not_be_read_of_each() -> None:
    bad = io.BytesIO(b"(1.0) can0 1#01\nwhat is this?\n(2.0) can0 1#02\n")
    other = io.BytesIO(b"base hex  timestamps absolute\n1.5 1  7E0  Rx d 1 AA\n0.2 Li 33 Rx 1 00\n")
    with capture.merge([bad, other]) as merged:
        frames = [frame for records in merged for frame in records]
        assert isinstance(frames[0], Record)
        assert (len(frames), merged.problem_count, merged.problems[0].line) == (3, 1, 2)
        assert merged.others == {"LIN": 1}
        assert merged.bytes_read == len(bad.getvalue()) + len(other.getvalue())


def test_messages_of_both_buses() -> None:
    """A gateway repeats a request on another bus: the two sessions stay apart."""
    one = log((1, "7E0#0322F190"), (4, "7E8#0462F19001"))
    two = log((2, "7E0#0322F190"), (3, "7E8#0462F19001"))
    tester = isotp.Address(txid=0x7E0, rxid=0x7E8)
    reassembler = isotp.Reassembler([tester])
    with capture.merge([one, two], names=[{"can0": "front"}, {"can0": "rear"}]) as merged:
        messages = isotp.Messages.concat(reassembler.feed(records) for records in merged)
        messages = messages.with_channels(merged.channels)
    assert [messages.channel_name(message.channel) for message in messages] == [
        "front",
        "rear",
        "rear",
        "front",
    ]


def test_decode_takes_logs_of_the_same_time(tmp_path: Path) -> None:
    """As one, or one after the other; sessions are discovered in all of them."""
    pairs = [(0.1 * k, (b"7E0#0322F190CCCCCCCC", b"7E8#0662F19001020300")[k % 2].decode()) for k in range(40)]
    paths = []
    for name in ("front", "rear"):
        path = tmp_path / f"{name}.log"
        path.write_bytes(log(*pairs).getvalue())
        paths.append(path)
    names = [{"can0": "front"}, {"can0": "rear"}]
    with capture.decode(paths, merge=True, names=names) as decoding:
        merged = decoding.table()
    assert [merged.channel_name(message.channel) for message in merged][:4] == ["front", "rear"] * 2
    assert decoding.frames == len(merged) == 80
    assert decoding.bytes_read == sum(path.stat().st_size for path in paths)
    (recording,) = capture.decode_all([paths], merge=True, names=names)
    assert recording.messages == merged
    for threads in (1, 2):
        with capture.decode(paths, names=names, threads=threads) as decoding:
            apart = decoding.table()
        assert [apart.channel_name(message.channel) for message in apart] == ["front"] * 40 + ["rear"] * 40
    with pytest.raises(ValueError, match="names of channels for 1 logs"):
        capture.decode(paths, names=names[:1])
    with pytest.raises(ValueError, match="which can be read twice"):
        capture.decode([log(*pairs), paths[0]], merge=True)


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match="names of channels for 1 logs, and 2 logs"):
        capture.merge([log(), log()], names=[{}])
    with pytest.raises(ValueError, match="is empty"):
        capture.merge([log((1, "1#01")), log()])
