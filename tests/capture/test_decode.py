"""From log files to messages: the kernel's real traffic, in every format, rotated, packed, and on any executor."""

from __future__ import annotations

import gzip
import io
import json
import multiprocessing
import pickle
import struct
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import isotp
from isotp import capture
from tests.capture.blf import blf, blf_object, container
from tests.capture.mf4 import mf4
from tests.capture.pcap import CAN, enhanced, frame, interface, pcap, section
from tests.processes import python
from tests.recorded_traffic import (
    CAPTURES,
    NAMES,
    address_of,
    by_session,
    decoded,
    expected_messages,
    truth,
    write_as,
)

can = pytest.importorskip("can", reason="logs are written with python-can")

N_CR = 600_000  # ms: the frames came as fast as the machine was


def addresses(name: str) -> list[isotp.Address]:
    """Of each pair as the node that receives the forward direction sees it."""
    return [address_of(pair, True) for pair in truth(name)["pairs"]]


def decode(parts: object, name: str, **options: object) -> capture.Decoding:
    return capture.decode(parts, addresses(name), rx_consecutive_frame_timeout=N_CR, **options)


def assert_true(parts: object, name: str, **options: object) -> None:
    with decode(parts, name, **options) as decoding:
        messages = list(decoding.table())
    assert decoding.problems == []
    assert len(messages) == 96
    assert decoded(messages) == by_session(expected_messages(name))


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """The captures as python-can's writers write them in other formats."""
    folder = tmp_path_factory.mktemp("copies")
    made: dict[str, dict[str, Path]] = {}
    for name in NAMES:
        original = CAPTURES / f"{name}.log"
        paths = {"candump": original, "gz": folder / f"{name}.gz"}
        paths["gz"].write_bytes(gzip.compress(original.read_bytes()))
        for suffix in ("asc", "blf", "log"):
            paths[suffix] = folder / f"{name}.{suffix}"
            write_as(paths[suffix], name)
        made[name] = paths
    return made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["candump", "gz", "asc", "blf", "log"])
def test_real_traffic(copies: dict[str, dict[str, Path]], name: str, kind: str) -> None:
    assert_true(copies[name][kind], name)


@pytest.mark.parametrize("name", NAMES)
def test_real_traffic_as_mf4(tmp_path: Path, name: str) -> None:
    pytest.importorskip("asammdf", reason="asammdf writes the log")
    path = tmp_path / "log.mf4"
    write_as(path, name)
    assert_true(path, name)
    with gzip.open(tmp_path / "log.gz", "wb") as packed:
        packed.write(path.read_bytes())
    assert_true(tmp_path / "log.gz", name)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_rotated(tmp_path: Path, name: str, threads: int) -> None:
    """Messages run across the ends of the files, each of which is another format and packed or not."""
    lines = (CAPTURES / f"{name}.log").read_bytes().splitlines(keepends=True)
    parts: list[Path] = []
    for number, place in enumerate(range(0, len(lines), 501)):
        part = b"".join(lines[place : place + 501])
        parts.append(tmp_path / f"log.{number}")
        if number % 3 == 2:
            with can.BLFWriter(parts[-1].open("wb")) as writer:
                for message in can.CanutilsLogReader(io.StringIO(part.decode())):
                    # As can0 does, so that the channel is the same number.
                    writer.on_message_received(message)
        else:
            parts[-1].write_bytes(gzip.compress(part) if number % 3 else part)
    assert len(parts) > 5
    assert_true(parts, name, threads=threads)


@pytest.mark.parametrize("name", NAMES)
def test_sessions_that_nobody_named(tmp_path: Path, name: str) -> None:
    lines = (CAPTURES / f"{name}.log").read_text().splitlines(keepends=True)
    parts = [tmp_path / "1.log", tmp_path / "2.log"]
    for part, some in zip(parts, (lines[:1000], lines[1000:]), strict=True):
        part.write_text("".join(some))
    with capture.decode(parts, rx_consecutive_frame_timeout=N_CR) as decoding:
        messages = list(decoding.table())
    found = sorted(payloads for payloads in decoded(messages).values())
    assert found == sorted(by_session(expected_messages(name)).values())
    (recording,) = capture.decode_all([parts], rx_consecutive_frame_timeout=N_CR)
    assert list(recording.messages) == messages


def test_discovery_in_a_stream() -> None:
    with pytest.raises(ValueError, match="read twice"):
        capture.decode(io.BytesIO(b""))


def test_a_notebook_shows_how_far_it_is() -> None:
    log = io.BytesIO(b"(1.000000) can0 7E0#0210030000000000\n")
    decoding = capture.decode(log, [isotp.Address(txid=0x7E0, rxid=0x7E8)])
    before = ElementTree.fromstring(decoding._repr_html_())
    messages = decoding.table()
    after = ElementTree.fromstring(decoding._repr_html_())
    assert len(messages) == 1
    rows = [
        dict(tuple(cell.text for cell in row.iter("td")) for row in each.find("tbody"))
        for each in (before, after)
    ]
    assert [row["frames read"] for row in rows] == ["0", "1"]
    assert rows[1]["sessions"] == "7E0:7E8"
    assert rows[1]["problems"] == "0"


def test_streams() -> None:
    """Messages come while the log is read, and the progress is that of the files."""
    path = CAPTURES / f"{NAMES[0]}.log"
    with decode([path, path], NAMES[0], block_size=4096) as decoding:
        assert decoding.size == 2 * path.stat().st_size
        progress = []
        for messages in decoding:
            assert len(messages) < 20
            progress.append(decoding.bytes_read)
    assert progress == sorted(progress)
    assert len(set(progress)) > 50
    assert decoding.bytes_read == decoding.size
    assert decoding.frames == 2 * path.read_bytes().count(b"\n")


def test_stops_in_the_middle(tmp_path: Path) -> None:
    """Closing ends the threads and closes the files."""
    paths = [CAPTURES / f"{NAMES[0]}.log"] * 6
    decoding = decode(paths, NAMES[0], threads=3)
    next(iter(decoding))
    decoding.close()
    assert list(decoding) == []
    assert decoding.bytes_read <= (decoding.size or 0)


def test_by_channel_and_time() -> None:
    """The same address on two buses are two sessions; what is not wanted is not decoded."""
    log = "".join(
        f"({second}.0) {bus} 123#02{second:02X}{number:02X}\n"
        for second in range(4)
        for number, bus in enumerate(("can0", "diag", "can1"))
    ).encode()
    address = isotp.Address(rxid=0x123, txid=0x456)
    with capture.decode(
        io.BytesIO(log), [address], channels=["diag", "can1"], start=10**9, end=3 * 10**9
    ) as all_of:
        found = [(all_of.channels[each.channel], each.payload) for each in all_of.table()]
    assert found == [("diag", b"\1\1"), ("can1", b"\1\2"), ("diag", b"\2\1"), ("can1", b"\2\2")]
    with capture.decode(io.BytesIO(log), [(address, "diag")]) as one:
        assert [each.payload for each in one.table()] == [bytes([second, 1]) for second in range(4)]


def test_channels_beyond_those_that_are_followed(tmp_path: Path) -> None:
    """Frames that were read and not decoded are a problem of the log."""
    log = tmp_path / "channels.asc"
    lines = (f"{k / 1000:.3f} {k + 1} 7E8 Rx d 2 01 02\n" for k in range(16_390))
    log.write_text("base hex timestamps absolute\n" + "".join(lines))
    address = isotp.Address(txid=0x7E0, rxid=0x7E8)
    with capture.decode(log, [address]) as decoding:
        messages = decoding.table()
    assert (decoding.frames, len(messages)) == (16_390, 16_385)
    assert decoding.problem_count == 1
    assert decoding.problems[0].name == str(log)
    assert (
        decoding.problems[0].reason == "5 frames were on more channels than their addresses are followed on"
    )


def test_options_that_make_no_sense() -> None:
    address = isotp.Address(rxid=0x123, txid=0x456)
    with pytest.raises(ValueError, match="threads must be 1 or more, not 0"):
        capture.decode([], [address], threads=0)
    with pytest.raises(ValueError, match="ahead must be 1 or more, not 0"):
        capture.decode_all([], [address], ahead=0)
    with pytest.raises(ValueError, match="-1"):
        capture.decode_all([], [address], rx_consecutive_frame_timeout=-1)
    with pytest.raises(FileNotFoundError):
        capture.decode("there/is/no/such.log", [address])


def test_real_faults() -> None:
    """can-utils' traffic on two buses, with sessions that go wrong: every message, and how it ended."""
    sessions = json.loads((CAPTURES / "kernel-faults.json").read_text())["sessions"]
    pairs = [(isotp.Address(rxid=each["tx"], txid=each["rx"]), each["bus"]) for each in sessions]
    with capture.decode(CAPTURES / "kernel-faults.log", pairs, rx_consecutive_frame_timeout=N_CR) as decoding:
        table = list(decoding.table())
    assert decoding.problems == []
    found: dict[tuple[str, int], list[dict[str, str]]] = {}
    for message in table:
        key = (str(decoding.channels[message.channel]), message.address.get_rx_arbitration_id())
        found.setdefault(key, []).append({"status": message.status.name, "data": message.payload.hex()})
    assert found == {(each["bus"], each["tx"]): each["messages"] for each in sessions}


# --- many recordings ---


@contextmanager
def dask_executor() -> Iterator[Executor]:
    distributed = pytest.importorskip("distributed", reason="recordings are decoded on Dask too")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


def process_pool() -> ProcessPoolExecutor:
    # Not fork: this process has threads.
    return ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))


EXECUTORS = {
    "none": lambda: None,
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": process_pool,
    "dask": dask_executor,
}


@pytest.mark.parametrize("kind", EXECUTORS)
def test_many_recordings(copies: dict[str, dict[str, Path]], tmp_path: Path, kind: str) -> None:
    """The same on all executors: one task a recording, of one file or several; a bad one does not stop the rest."""
    name = NAMES[0]
    lines = copies[name]["candump"].read_bytes().splitlines(keepends=True)
    parts = [tmp_path / "part.1", tmp_path / "part.2"]
    parts[0].write_bytes(b"".join(lines[:777]))
    parts[1].write_bytes(b"".join(lines[777:]))
    diary = tmp_path / "diary.txt"
    diary.write_text("Dear diary")
    recordings = [copies[name]["blf"], parts, diary, copies[name]["gz"], tmp_path / "missing.log"]
    expected = by_session(expected_messages(name))
    opened = EXECUTORS[kind]()
    options = {"rx_consecutive_frame_timeout": N_CR, "ahead": 2}
    if opened is None:
        found = list(capture.decode_all(recordings, addresses(name), **options))
    else:
        with opened as executor:
            found = list(capture.decode_all(recordings, addresses(name), executor=executor, **options))
    assert [each.parts for each in found] == [
        tuple(map(str, each)) if isinstance(each, list) else (str(each),) for each in recordings
    ]
    for number in (0, 1, 3):
        assert found[number].problems == []
        assert found[number].frames == len(lines)
        assert decoded(found[number].messages) == expected
    assert "no log in a known format" in found[2].problems[0].reason
    assert "FileNotFoundError" in found[4].problems[0].reason
    assert [len(each.messages) for each in found] == [96, 96, 0, 96, 0]
    assert found[1].channels.numbers == {"vcan0": 0}
    assert pickle.loads(pickle.dumps(found[1])).channels.numbers == {"vcan0": 0}


# --- memory ---

MEASURE = """
import re, sys
import isotp
from isotp import capture
addresses = [isotp.Address(rxid=0x123, txid=0x456)]
with capture.decode(sys.argv[1], addresses, threads=int(sys.argv[2])) as decoding:
    count = sum(len(messages) for messages in decoding)
assert not decoding.problems, decoding.problems
# Not ru_maxrss: that begins with what the process had that started this one.
print(count, re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""

# What begins a text, and the line of a frame at a time in seconds.
LINES = {
    "log": ("", "({n}.0) can0 123#0461626364656667\n"),
    "screen": ("", "  can0  123   [8]  04 61 62 63 64 65 66 67\n"),
    "asc": ("base hex  timestamps absolute\n", "{n}.0 1  123             Rx   d 8 04 61 62 63 64 65 66 67\n"),
    "trc": (";$FILEVERSION=1.1\n;$STARTTIME=40178.5\n", " {n}) {n}.5 Rx 0123 8 04 61 62 63 64 65 66 67\n"),
    "csv": (
        "timestamp,arbitration_id,extended,remote,error,dlc,data\n",
        "{n}.0,0x123,0,0,0,8,BGFiY2RlZmc=\n",
    ),
    "gvret": (
        "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n",
        "{n},00000123,false,Rx,0,8,04,61,62,63,64,65,66,67,\n",
    ),
    "crtd": ("", "{n}.0 1R11 123 04 61 62 63 64 65 66 67\n"),
    "busmaster": (
        "***BUSMASTER Ver 3.2.2***\n***HEX***\n***RELATIVE MODE***\n",
        "0:0:0:0001 Rx 1 0x123 s 8 04 61 62 63 64 65 66 67\n",
    ),
    "vspy": (
        "Vehicle Spy 3 Bus Traffic File\nLine,Abs Time(Sec),Rel Time (Sec)\n",
        "{n},{n}.5,1.0,67371008,F,F,HS CAN $123,HS CAN,,123,F,F,04,61,62,63,64,65,66,67,,,\n",
    ),
    "carbus": (
        "@ TEXT @ 3 @ 64 @ 0 @ 6 @ 7 @ 00:00:07 @\r",
        "{n},000000\t1\t00000004\t123\t8\t04 61 62 63 64 65 66 67\t00000000\t  \t\r",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize(
    ("form", "threads"),
    [*((form, 1) for form in [*LINES, "gz", "zip", "blf", "pcap", "pcapng", "mf4"])]
    + [(form, 2) for form in ("log", "asc", "gz", "blf")],
)
def test_memory_does_not_grow_with_the_log(tmp_path: Path, form: str, threads: int) -> None:
    """A log ten times longer takes no more memory: 4 MiB are what allocators may differ by."""
    if form == "mf4":
        pytest.importorskip("numpy", reason="MF4 is read with numpy")

    def peak(frames: int) -> int:
        path = tmp_path / f"{frames}.{form}"
        write_long(path, form, frames)
        count, kilobytes = map(int, python("-c", MEASURE, path, str(threads)).stdout.split())
        path.unlink()
        assert count == frames
        return kilobytes

    # Two threads have all their blocks in memory only with a log that is several times longer than these.
    frames = 60_000 if threads == 1 else 240_000
    assert peak(10 * frames) - peak(frames) < 4096


def write_long(path: Path, form: str, frames: int) -> None:
    data = b"\x04abcdefg"
    if form == "blf":
        objects = b"".join(blf_object(1, b"\1\0\0\x08\x23\x01\0\0" + data, number) for number in range(1000))
        path.write_bytes(blf(*[container(objects)] * (frames // 1000)))
    elif form == "pcap":
        packet = pcap("<", CAN, [frame(0x123, data)])
        path.write_bytes(packet + packet[24:] * (frames - 1))
    elif form == "pcapng":
        packet = enhanced("<", 0, 1, frame(0x123, data))
        path.write_bytes(section("<") + interface("<", CAN, "can0") + packet * frames)
    elif form == "mf4":
        path.write_bytes(mf4(frames, lambda n: struct.pack("<dHBBB8s", n, 0x123, 0, 1, 8, data)))
    else:
        head, line = LINES.get(form, LINES["log"])
        text = (head + "".join(line.format(n=n) for n in range(frames))).encode()
        if form == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("drive.log", text)
        else:
            path.write_bytes(gzip.compress(text, 1) if form == "gz" else text)
