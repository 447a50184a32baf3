"""isotp.capture reads what python-can's writers wrote exactly as python-can's readers do, frame for frame."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from isotp import capture
from isotp.bulk._records import Record
from tests.capture.logs import BRS, EFF, ERR, ESI, FDF, RTR, SENT, read

can = pytest.importorskip("can", reason="the logs are written with python-can")

FD_LENGTHS = (*range(9), 12, 16, 20, 24, 32, 48, 64)
NS = 1_000_000_000


@st.composite
def frames(draw: st.DrawFn) -> dict[str, Any]:
    """What a message of python-can may be, by its keywords, but for the time."""
    kind = draw(st.sampled_from(["data", "data", "fd", "remote", "error"]))
    extended = draw(st.booleans())
    frame: dict[str, Any] = {
        "arbitration_id": draw(st.integers(0, 0x1FFFFFFF if extended else 0x7FF)),
        "is_extended_id": extended,
        "is_rx": draw(st.booleans()),
        "channel": draw(st.integers(0, 5)),
    }
    if kind == "fd":
        length = draw(st.sampled_from(FD_LENGTHS))
        frame |= {"is_fd": True, "bitrate_switch": draw(st.booleans())}
        frame |= {"error_state_indicator": draw(st.booleans())}
    else:
        length = draw(st.integers(0, 8))
    if kind == "remote":
        frame |= {"is_remote_frame": True, "dlc": length}
    elif kind == "error":
        frame |= {"is_error_frame": True}
    else:
        frame["data"] = draw(st.binary(min_size=length, max_size=length))
    return frame


@st.composite
def logs(draw: st.DrawFn) -> list[Any]:
    """Messages whose times grow, by whole microseconds."""
    now = draw(st.integers(1_000_000_000_000_000, 1_900_000_000_000_000))
    messages = []
    for frame in draw(st.lists(frames(), min_size=1, max_size=30)):
        now += draw(st.integers(0, 3_000_000))
        messages.append(can.Message(timestamp=now / 1e6, **frame))
    return messages


def write(path: Path, messages: list[Any], **options: Any) -> None:
    with can.Logger(path, **options) as writer:
        for message in messages:
            writer.on_message_received(message)


def assert_same(record: Record, message: Any, log: capture.Capture) -> None:
    """Every property that the message has; what it lost on the way to the log is not known to either."""
    assert bool(record.can_id & ERR) == message.is_error_frame
    if message.channel is not None:
        assert log.channels[record.channel] == message.channel
    if message.is_error_frame and log.format in ("candump", "asc"):
        return
    assert record.can_id & 0x1FFFFFFF == message.arbitration_id
    assert bool(record.can_id & EFF) == message.is_extended_id
    assert bool(record.can_id & RTR) == message.is_remote_frame
    assert bool(record.flags & FDF) == message.is_fd
    assert bool(record.flags & BRS) == message.bitrate_switch
    assert bool(record.flags & ESI) == message.error_state_indicator
    assert bool(record.flags & SENT) == (not message.is_rx)
    assert record.data == (bytes(min(message.dlc, 8)) if message.is_remote_frame else bytes(message.data))


def assert_same_time(record: Record, message: Any, path: Path, log_format: str) -> None:
    """python-can adds the start of a BLF file and the time since then as floats: so it is done here."""
    if log_format == "blf":
        began = python_can_start(path)
        since = record.timestamp - round(Fraction(repr(began)) * NS)
        assert since / NS + began == message.timestamp
    elif log_format == "trc":
        # It takes the days since 1899 for a float: 0.6 us are the next one.
        assert abs(record.timestamp / NS - message.timestamp) < 2.5e-6
    else:
        assert record.timestamp / NS == message.timestamp


def python_can_start(path: Path) -> float:
    with can.BLFReader(path) as reader:
        return float(reader.start_timestamp)


def python_can_frames(path: Path) -> Iterator[Any]:
    with can.LogReader(path) as reader:
        yield from reader


SUFFIXES = {"candump": ".log", "asc": ".asc", "blf": ".blf", "trc": ".trc", "csv": ".csv", "mf4": ".mf4"}
relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("log_format", [each for each in SUFFIXES if each != "mf4"])
@given(messages=logs())
@relaxed
def test_frame_for_frame(tmp_path: Path, log_format: str, messages: list[Any]) -> None:
    path = tmp_path / f"log{SUFFIXES[log_format]}"
    if log_format == "trc":
        # Its writer leaves all others out, and then maybe the header too.
        messages = [each for each in messages if each.data and not each.is_fd and not each.is_error_frame]
        assume(messages)
    write(path, messages)
    expected = list(python_can_frames(path))

    found, log = read(path)

    assert log.format == log_format
    assert log.problems == []
    assert len(found) == len(expected)
    for record, message in zip(found, expected, strict=True):
        assert_same(record, message, log)
        assert_same_time(record, message, path, log_format)


@pytest.mark.parametrize("log_format", ["candump", "asc", "blf"])
@given(messages=logs(), data=st.data())
@relaxed
def test_cut_into_any_blocks(
    tmp_path: Path, log_format: str, messages: list[Any], data: st.DataObject
) -> None:
    """The same frames whatever the blocks: a file object may give any number of bytes at a time."""
    path = tmp_path / f"log{SUFFIXES[log_format]}"
    write(path, messages)
    expected, _ = read(path)

    class Dribbling(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(data.draw(st.integers(1, 200)))

    found, log = read(Dribbling(path.read_bytes()), format=log_format)
    assert log.problems == []
    assert found == expected


@given(messages=logs())
@settings(relaxed, max_examples=5)
def test_mf4_frame_for_frame(tmp_path: Path, messages: list[Any]) -> None:
    """Times are floats in the file, and python-can adds its start as a float: what is left is 1 us."""
    pytest.importorskip("asammdf", reason="asammdf writes the logs")
    path = tmp_path / "log.mf4"
    # The groups of data, error and remote frames have no common order at the same time.
    for number, message in enumerate(messages):
        message.timestamp += number * 1e-3
    write(path, messages)
    expected = list(python_can_frames(path))

    found, log = read(path)

    assert log.format == "mf4"
    assert log.problems == []
    assert len(found) == len(expected) == len(messages)
    for record, message in zip(found, expected, strict=True):
        assert_same(record, message, log)
        assert abs(record.timestamp / NS - message.timestamp) < 1e-6


def test_mf4_with_narrow_columns(tmp_path: Path) -> None:
    """Loggers keep identifiers of 11 bits in 16."""
    asammdf = pytest.importorskip("asammdf", reason="asammdf writes the logs")
    numpy = pytest.importorskip("numpy")
    columns = {"BusChannel": "u1", "ID": "u2", "IDE": "u1", "DataLength": "u1", "DataBytes": "(8,)u1"}
    samples = numpy.zeros(1, [(f"CAN_DataFrame.{name}", kind) for name, kind in columns.items()])
    samples["CAN_DataFrame.ID"], samples["CAN_DataFrame.DataLength"] = 0x7E8, 3
    with asammdf.MDF() as mdf:
        mdf.append(asammdf.Signal(samples, numpy.zeros(1), name="CAN_DataFrame"))
        mdf.save(tmp_path / "log.mf4")
    found, log = read(tmp_path / "log.mf4")
    assert log.problems == []
    assert [(each.can_id, each.data) for each in found] == [(0x7E8, bytes(3))]


# The folder of a source distribution of python-can: its test data are logs of Vector's and PEAK's tools. They are
# under another licence than this package, so they are not here.
PUBLIC = os.environ.get("ISOTP_PYTHON_CAN_SDIST")


@pytest.mark.skipif(PUBLIC is None, reason="ISOTP_PYTHON_CAN_SDIST names no unpacked sdist of python-can")
def test_logs_of_other_tools() -> None:
    read_logs = 0
    for path in sorted(Path(PUBLIC or "", "test", "data").iterdir()):
        try:
            found, log = read(path)
        except capture.UnknownFormatError:
            continue
        try:
            expected = list(python_can_frames(path))
        # Some logs are there because a reader must refuse them.
        except (ValueError, can.CanError, NotImplementedError):
            continue
        assert len(found) == len(expected), path
        for record, message in zip(found, expected, strict=True):
            assert_same(record, message, log)
            assert abs(record.timestamp / NS - message.timestamp) < 1e-6
        read_logs += 1
    assert read_logs > 10
