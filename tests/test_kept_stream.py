"""A stream that is read again, whatever it is: the same bytes each time."""

from __future__ import annotations

import io

import pytest

from isotp import _kept_stream
from isotp._kept_stream import KeptStream


class Pipe(io.RawIOBase):
    """Gives a few bytes at a time, and cannot seek, though it may say so."""

    def __init__(self, data: bytes, says_it_can: bool = False) -> None:
        self.rest = data
        self.says_it_can = says_it_can
        self.reads = 0

    def seekable(self) -> bool:
        return self.says_it_can

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError(29, "Illegal seek")

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        size = min(size, 7)
        data, self.rest = self.rest[:size], self.rest[size:]
        return data


def all_of(stream: KeptStream, size: int) -> bytes:
    return b"".join(iter(lambda: stream.read(size), b""))


DATA = bytes(range(256))


@pytest.mark.parametrize("in_memory", [10, 1 << 20])
@pytest.mark.parametrize("says_it_can", [False, True])
def test_a_pipe_is_kept(monkeypatch: pytest.MonkeyPatch, in_memory: int, says_it_can: bool) -> None:
    monkeypatch.setattr(_kept_stream, "IN_MEMORY", in_memory)
    pipe = Pipe(DATA, says_it_can)
    stream = KeptStream(pipe)
    assert all_of(stream, 16) == DATA
    reads = pipe.reads
    for size in (1, 16, 1000):
        stream.rewind()
        assert all_of(stream, size) == DATA
    # It ends where it ended: each time the pipe is asked whether there is more.
    assert pipe.reads == reads + 3
    stream.close()


def test_what_was_not_read_the_first_time_follows() -> None:
    stream = KeptStream(Pipe(DATA))
    assert stream.read(5) == DATA[:5]
    stream.rewind()
    assert all_of(stream, 9) == DATA
    stream.close()


def test_a_file_is_read_again_from_where_it_was() -> None:
    file = io.BytesIO(DATA)
    file.seek(100)
    stream = KeptStream(file)
    for _ in range(2):
        assert all_of(stream, 50) == DATA[100:]
        stream.rewind()
    assert file.tell() == 100
    stream.close()
    assert not file.closed
