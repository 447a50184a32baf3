"""Logs in zip archives: of any size, as a stream, with folders before them, and what is told of others."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from isotp import capture
from isotp.capture import _inflate
from tests.capture.blf import blf, can_message, container
from tests.capture.logs import LOG, numbers, problems, read


class Pipe(io.RawIOBase):
    """What zipfile takes for a file that cannot be gone back in: it writes sizes and checksums behind each file."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.written += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, streamed: bool = False) -> bytes:
    file = Pipe() if streamed else io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:  # type: ignore[arg-type]
        for name, content in files:
            archive.writestr(name, content)
    return file.written if isinstance(file, Pipe) else file.getvalue()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("block_size", [4096, 1 << 20])
def test_a_log_in_a_zip(method: int, streamed: bool, block_size: int) -> None:
    file = zipped(("drives/", b""), ("drives/log.txt", LOG), method=method, streamed=streamed)
    if streamed and method == zipfile.ZIP_STORED:
        # Nobody can tell where such a file ends without the directory at the end of the archive.
        with pytest.raises(capture.UnknownFormatError, match="method 0"):
            read(file)
        return
    found, log = read(file, block_size=block_size)
    assert (log.format, log.compression) == ("candump", "zip")
    assert problems(log) == []
    assert found == read(LOG)[0]


def test_large_archives() -> None:
    """Sizes of 64 bits, which stand in a field of their own."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        archive.open("log", "w", force_zip64=True) as log,
    ):
        log.write(LOG)
    found, opened = read(file.getvalue())
    assert problems(opened) == []
    assert len(found) == 20_000


def test_blf_in_a_zip() -> None:
    found, log = read(zipped(("log.blf", blf(container(can_message(1))))))
    assert (log.format, numbers(found), problems(log)) == ("blf", [1], [])


def told(file: bytes) -> tuple[int, list[str]]:
    found, log = read(file)
    return len(found), [reason for *_, reason in problems(log)]


def test_another_file() -> None:
    count, reasons = told(zipped(("a.log", LOG), ("b.log", LOG)))
    assert (count, reasons) == (20_000, ["the zip has another file: only the first one is read"])


def test_what_is_cut_or_damaged() -> None:
    file = zipped(("a.log", LOG))
    count, reasons = told(file[: len(file) // 2])
    assert (5_000 < count < 20_000, reasons) == (True, ["the zip data ends in the middle"])
    end = file.index(b"PK\x01\x02")
    assert told(file[:end]) == (20_000, ["the zip data ends in the middle"])
    assert told(file[:end] + b"something else")[1] == ["other bytes follow the zip data"]
    damaged = bytearray(file)
    damaged[end // 2] ^= 0xFF
    count, reasons = told(bytes(damaged))
    assert (5_000 < count < 20_000, len(reasons) > 0) == (True, True)
    damaged = bytearray(file)
    damaged[14] ^= 1
    assert told(bytes(damaged)) == (20_000, ["the zip data is damaged: its checksum is wrong"])


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [(6, 1, "it is encrypted"), (8, 12, "it is packed by method 12, which is not known")],
)
def test_what_can_not_be_unpacked(place: int, value: int, reason: str) -> None:
    file = bytearray(zipped(("a.log", LOG)))
    struct.pack_into("<H", file, place, value)
    with pytest.raises(capture.UnknownFormatError, match=reason):
        read(bytes(file))


def outcome(file: bytes) -> tuple[int, Sequence[tuple[int, int | None, str]]]:
    try:
        found, log = read(file, format="candump")
    except OSError:
        return 0, []
    return len(found), problems(log)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_same_with_zlib_alone(monkeypatch: pytest.MonkeyPatch, streamed: bool) -> None:
    """Each byte changed, and cut at each."""
    file = zipped(("log", b"(1.0) can0 123#00112233\n" * 40), streamed=streamed)
    files = [file[:k] for k in range(len(file))]
    files += [file[:k] + bytes([file[k] ^ 0x55]) + file[k + 1 :] for k in range(len(file))]
    fast = [outcome(each) for each in files]
    monkeypatch.setattr(_inflate, "isal", None)
    assert [outcome(each) for each in files] == fast
    end = file.index(b"PK\x01\x02")
    assert all(count == 40 or told for count, told in fast[1 : end + 1])
    # What is 4 bytes into the file decides that it is a zip.
    assert all(count == 40 or told for count, told in fast[len(file) + 4 :])


def test_the_command_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    path.write_bytes(zipped(("log", LOG)))
    with capture.open(path) as log:
        assert sum(len(records) for records in log) == 20_000
    assert log.bytes_read <= path.stat().st_size
