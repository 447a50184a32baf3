"""Logs by their URL: fsspec's memory, and a server on this machine, with ranges and without."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isotp import Address, capture
from isotp.capture._remote import is_url
from tests.capture.mf4 import mf4
from tests.processes import python

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")

TESTER = Address(txid=0x7E0, rxid=0x7E8)
LINES = [b"(%d.000000) can0 7E0#0322F1%02X\n" % (k, k % 256) for k in range(2000)]
LOG = b"".join(LINES)
PAYLOADS = [bytes((0x22, 0xF1, k % 256)) for k in range(2000)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        *(("s3://bucket/a.log", True), ("https://x/a", True), ("memory://a", True), ("file:///a", True)),
        *(("zip://a.log::s3://b/c.zip", True), ("simplecache::https://x/a", True), ("abfs://c@a/x", True)),
        *(("a.log", False), ("/a/b.log", False), (r"C:\a.log", False), ("C:/a.log", False), ("c://a", False)),
        *(("a:b", False), ("a/b://c", False), ("-", False), ("", False)),
    ],
)
def test_what_is_a_url(text: str, wanted: bool) -> None:
    assert is_url(text) is wanted


@pytest.fixture
def memory() -> Iterator[Callable[[str, bytes], str]]:
    files = fsspec.filesystem("memory")

    def put(name: str, data: bytes) -> str:
        files.pipe(f"/isotp/{name}", data)
        return f"memory://isotp/{name}"

    yield put
    files.rm("/isotp", recursive=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives files; parts of them if the server is made for that, and half of `broken`."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        files, ranges = self.server.files, self.server.ranges  # type: ignore[attr-defined]
        data = files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range", "")
        if ranges and asked.startswith("bytes="):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(int(last or len(data)), len(data) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{end}/{len(data)}")
            data = data[int(first) : end + 1]
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes" if ranges else "none")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data[: len(data) // 2] if "broken" in self.path else data)

    def log_message(self, *args: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture(params=[True, False], ids=["ranges", "stream"])
def server(request: pytest.FixtureRequest) -> Iterator[Callable[[str, bytes], str]]:
    pytest.importorskip("aiohttp", reason="fsspec needs it for http://")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files = {}  # type: ignore[attr-defined]
        running.ranges = request.param  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever)
        thread.start()

        def put(name: str, data: bytes) -> str:
            running.files[f"/{name}"] = data  # type: ignore[attr-defined]
            return f"http://127.0.0.1:{running.server_port}/{name}"

        try:
            yield put
        finally:
            running.shutdown()
            thread.join()


def payloads(*parts: str, **options: Any) -> list[bytes]:
    with capture.decode(list(parts), [TESTER], **options) as decoding:
        found = decoding.table().payloads
        assert decoding.problem_count == 0
        assert decoding.bytes_read > 0
    return found


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_log_in_memory(memory: Callable[[str, bytes], str], pack: Callable[[bytes], bytes]) -> None:
    url = memory("a.log", pack(LOG))
    assert payloads(url) == PAYLOADS
    with capture.open(url) as log:
        assert (log.name, log.size, log.format) == (url, len(pack(LOG)), "candump")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_log_on_a_server(server: Callable[[str, bytes], str], pack: Callable[[bytes], bytes]) -> None:
    assert payloads(server("a.log", pack(LOG))) == PAYLOADS


def test_damaged_packed_data_of_a_server(server: Callable[[str, bytes], str]) -> None:
    """It is read again from its beginning where that can be: what is there before the damage is what a file has."""
    packed = bytearray(gzip.compress(LOG, 1))
    packed[len(packed) // 2] ^= 0xFF
    with capture.decode(server("a.log.gz", bytes(packed)), [TESTER]) as decoding:
        found = decoding.table().payloads
    assert PAYLOADS[: len(found)] == found
    assert decoding.problem_count > 0


def test_mf4_is_fetched_as_a_whole(memory: Callable[[str, bytes], str]) -> None:
    """Whatever reads here and there."""
    pytest.importorskip("numpy", reason="MF4 needs NumPy")
    with capture.open(memory("a.mf4", mf4(12))) as log:
        assert (sum(map(len, log)), log.problem_count) == (12, 0)


def test_parts_here_and_there(memory: Callable[[str, bytes], str], tmp_path: Path) -> None:
    """Rotated: the message begins in one and ends in the other."""
    (tmp_path / "a.log").write_bytes(b"(1.0) can0 7E0#1008AABBCCDDEEFF\n")
    second = memory("b.log", b"(1.1) can0 7E0#210102\n")
    assert payloads(str(tmp_path / "a.log"), second) == [bytes.fromhex("AABBCCDDEEFF0102")]
    with capture.decode([second, str(tmp_path / "a.log")], [TESTER]) as decoding:
        assert decoding.size is None


def test_sessions_are_discovered_there(memory: Callable[[str, bytes], str]) -> None:
    pairs = b"(%d.0) can0 7E0#0322F190CCCCCCCC\n(%d.1) can0 7E8#0662F19001020300\n"
    url = memory("a.log", b"".join(pairs % (k, k) for k in range(20)))
    with capture.decode(url) as decoding:
        assert len(decoding.table()) == 40


def test_many_recordings(memory: Callable[[str, bytes], str]) -> None:
    urls = [memory(f"{k}.log", LINES[k]) for k in range(3)]
    found = list(capture.decode_all([*urls, "memory://isotp/none.log"], [TESTER]))
    assert [each.messages.payloads for each in found] == [[payload] for payload in PAYLOADS[:3]] + [[]]
    assert found[3].problem_count == 1


def test_what_is_not_there(server: Callable[[str, bytes], str]) -> None:
    url = server("a.log", LOG)
    with pytest.raises(OSError, match=r"none\.log"):
        capture.open(url.replace("a.log", "none.log"))
    with pytest.raises(ValueError, match="nowhere"):
        capture.open("nowhere://a.log")


def test_a_server_that_breaks_off(server: Callable[[str, bytes], str]) -> None:
    with pytest.raises(OSError, match="broken"), capture.open(server("broken.log", LOG * 20)) as log:
        for _ in log:
            pass


def test_without_fsspec() -> None:
    program = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from isotp import capture\n"
        "try:\n    capture.open('memory://a.log')\n"
        "except ImportError as error:\n    print(error)"
    )
    assert "pip install 'can-isotp-cython[url]'" in python("-c", program).stdout


# ---------------------------------------------------------------- the command


def test_the_command_takes_urls(server: Callable[[str, bytes], str], tmp_path: Path) -> None:
    pytest.importorskip("typer", reason="the command is an extra")
    from tests.cli.command import isotp_command

    url = server("a.log", LOG)
    run = isotp_command("decode -q --json -a 7E0:7E8", url)
    assert ([line["payload"] for line in run.json], run.status) == ([each.hex() for each in PAYLOADS], 0)
    run = isotp_command("decode -q --json -a 7E0:7E8", url, url.replace("a.log", "none.log"))
    assert (len(run.json), run.status, "none.log" in run.complaint) == (2000, 1, True)
    run = isotp_command("decode -q --json -a 7E0:7E8", server("broken.log", LOG * 20))
    assert (run.status, "broken.log" in run.complaint) == (1, True)
    run = isotp_command("decode --follow -a 7E0:7E8", url)
    assert (run.status, "files here" in run.complaint) == (2, True)
