"""Many frames at once: decoding records and making them, beside a plain C loop, can-isotp in listen mode and scapy.

The C loop is compiled by the system's compiler (CC, else cc). It copies payloads and counts offsets, for one
session and without any check: the floor.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.case import ALL, FULL, QUICK, Case, Repeated, Stage, Workload
from benchmarks.object_path import Listening

if TYPE_CHECKING:
    from isotp import Address, Records

# Some dozen megabytes: more than the caches of a core hold, as with logs.
FRAMES = 1_000_000
FEW = 5_000
# How often a thread decodes its log: to begin and end a thread is not what is measured.
DECODINGS = 20

C_LOOP = r"""
#include <stdint.h>
#include <string.h>
#pragma pack(push, 1)
typedef struct { int64_t time; uint32_t id; uint8_t len, flags; uint16_t channel; uint8_t data[ROOM]; } record;
#pragma pack(pop)
long decode(const record *records, long count, uint8_t *out, int64_t *offsets) {
    long messages = 0;
    uint64_t base = 0, size = 0, got = 0, n;
    for (long k = 0; k < count; k++) {
        const uint8_t *data = records[k].data;
        int start;
        switch (data[0] >> 4) {
        case 0:
            start = data[0] ? 1 : 2;
            n = data[0] ? data[0] : data[1];
            memcpy(out + base, data + start, n);
            base += n;
            offsets[++messages] = base;
            break;
        case 1:
            start = 2;
            size = (data[0] & 15) << 8 | data[1];
            if (size == 0) {
                size = (uint32_t)data[2] << 24 | data[3] << 16 | data[4] << 8 | data[5];
                start = 6;
            }
            got = records[k].len - start;
            memcpy(out + base, data + start, got);
            break;
        case 2:
            n = records[k].len - 1;
            if (n > size - got) n = size - got;
            if (n == ROOM - 1) memcpy(out + base + got, data + 1, ROOM - 1);
            else memcpy(out + base + got, data + 1, n);
            got += n;
            if (got == size) { base += size; offsets[++messages] = base; }
        }
    }
    return messages;
}
"""


class Found(list[int]):
    """Numbers of messages, one for each repetition, with what the last repetition made."""

    last: Any = None


class Decoding:
    """A log in memory, decoded again and again; `decode` returns how many messages it found, and what it made."""

    def __init__(self, records: Records, expected: int, decode: Callable[[], tuple[int, Any]]) -> None:
        self.units = len(records)
        self.expected = expected
        self.decode = decode

    def run(self, messages: int) -> list[Any]:
        found = Found()
        for _ in range(messages):
            count, found.last = self.decode()
            found.append(count)
        return found

    def verify(self, messages: int, received: list[Any]) -> None:
        if received != [self.expected] * messages:
            raise RuntimeError(f"found {received!r:.80} messages in place of {self.expected} each time")


class OurDecoding(Decoding):
    """The same by a Reassembler, with a look at each payload."""

    def __init__(self, records: Records, sessions: int, payloads: list[bytes]) -> None:
        from isotp import Reassembler

        self.payloads = payloads * sessions
        reassembler = Reassembler(addresses(sessions))

        def decode() -> tuple[int, Any]:
            found = reassembler.feed(records)
            return len(found), found

        super().__init__(records, len(self.payloads), decode)

    def verify(self, messages: int, received: list[Any]) -> None:
        super().verify(messages, received)
        if isinstance(received, Found) and received.last.payloads != self.payloads:
            raise RuntimeError("the payloads are not those that were sent")


def addresses(count: int) -> list[Address]:
    from isotp import Address, AddressingMode

    return [Address(AddressingMode.Normal_29bits, txid=0x10000 + k, rxid=0x1000000 + k) for k in range(count)]


def traffic(fd: bool, size: int, sessions: int, frames: int) -> tuple[Records, list[bytes]]:
    """Records of about so many frames, the sessions interleaved frame by frame, and the payloads of a session."""
    from isotp import Records, encode

    params = {"tx_data_length": 64, "can_fd": True} if fd else {}
    payload = bytes(k % 251 for k in range(size))
    per_message = len(encode(payload, addresses(1)[0], params=params, flow_control=False))
    payloads = [payload] * max(1, frames // (per_message * sessions))
    parts = [
        encode(payloads, address, params={**params, "blocksize": 0}, frame_time=1000)
        for address in addresses(sessions)
    ]
    if sessions == 1:
        return parts[0], payloads
    import numpy

    together = numpy.stack([numpy.asarray(part) for part in parts], axis=1)
    return Records.from_buffer(numpy.ascontiguousarray(together).reshape(-1)), payloads


def decoding(fd: bool, size: int, sessions: int, stage: Stage) -> Workload:
    """Our Reassembler at work."""
    records, payloads = traffic(fd, size, sessions, FRAMES)
    return OurDecoding(records, sessions, payloads)


def compiled_loop(folder: Path, room: int) -> ctypes.CDLL:
    """Return the library of the loop, which is compiled once a run."""
    library = folder / f"loop{room}.so"
    if not library.exists():
        source = folder / "loop.c"
        source.write_text(C_LOOP)
        compiler = shlex.split(os.environ.get("CC", "cc"))
        flags = ["-O3", "-shared", "-fPIC", f"-DROOM={room}"]
        subprocess.run([*compiler, *flags, str(source), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def plain_c(fd: bool, size: int, stage: Stage) -> Workload:
    """The loop at work; like the Reassembler, each run writes where one before did."""
    import numpy

    records, payloads = traffic(fd, size, 1, FRAMES)
    library = compiled_loop(stage.folder, 64 if fd else 8)
    array = numpy.asarray(records)
    data = numpy.empty(len(array) * (records.itemsize - 17), "u1")
    offsets = numpy.empty(len(array) + 1, "i8")

    def decode() -> tuple[int, Any]:
        found = library.decode(
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_long(len(array)),
            ctypes.c_void_p(data.ctypes.data),
            ctypes.c_void_p(offsets.ctypes.data),
        )
        return int(found), None

    return Decoding(records, len(payloads), decode)


def scapy_decoding(fd: bool, size: int, stage: Stage) -> Workload:
    """scapy's builder at work, which takes one object a frame."""
    from scapy.contrib.isotp import ISOTPMessageBuilder
    from scapy.layers.can import CAN, CANFD

    records, payloads = traffic(fd, size, 1, FEW)
    kind = CANFD if fd else CAN
    frames = [kind(identifier=r.can_id & 0x1FFFFFFF, flags="extended", data=r.data) for r in records]

    def decode() -> tuple[int, Any]:
        # Left to itself it takes every frame for one of extended addressing, too.
        builder = ISOTPMessageBuilder(use_ext_address=False)
        builder.feed(frames)
        return len(list(iter(builder))), None

    return Decoding(records, len(payloads), decode)


def can_isotp(fd: bool, stage: Stage) -> Workload:
    """can-isotp's way to the messages of a log: a layer in listen mode, with the frames ready as its objects."""
    return Listening(4095, fd)


class TwoThreads:
    """Two threads that decode a log each, or the same two logs one after the other."""

    def __init__(self, together: bool) -> None:
        records, payloads = traffic(False, 4095, 1, FRAMES)
        self.work = [OurDecoding(records, 1, payloads) for _ in range(2)]
        self.together = together
        self.units = 2 * DECODINGS * len(records)

    def run(self, messages: int) -> list[Any]:
        found: list[list[Any]] = [[], []]

        def decode(side: int) -> None:
            found[side].append(self.work[side].run(DECODINGS * messages))

        if self.together:
            threads = [threading.Thread(target=decode, args=(side,)) for side in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        else:
            decode(0)
            decode(1)
        return found

    def verify(self, messages: int, received: list[Any]) -> None:
        for work, (found,) in zip(self.work, received, strict=True):
            work.verify(DECODINGS * messages, found)


class SmallFeeds:
    """A Reassembler that gets its frames one by one; the last one of a round ends the message."""

    def __init__(self) -> None:
        from isotp import Reassembler, encode

        self.payload = bytes(k % 251 for k in range(4095))
        records = encode(self.payload, addresses(1)[0], params={"blocksize": 0}, flow_control=False)
        self.pieces = [records[k : k + 1] for k in range(len(records))]
        self.units = len(self.pieces)
        self.reassembler = Reassembler(addresses(1))

    def run(self, messages: int) -> list[Any]:
        feed = self.reassembler.feed
        received = []
        for _ in range(messages):
            for piece in self.pieces:
                found = feed(piece)
            received.append(found)
        return received

    def verify(self, messages: int, received: list[Any]) -> None:
        if [each.payloads for each in received] != [[self.payload]] * messages:
            raise RuntimeError("the payloads are not those that were sent")


class Encoding:
    """Payloads made into frame records."""

    def __init__(self, fd: bool) -> None:
        from isotp import Reassembler

        self.payloads = [bytes(k % 251 for k in range(4095))] * 100
        self.params = {"blocksize": 0, **({"tx_data_length": 64, "can_fd": True} if fd else {})}
        self.address = addresses(1)[0]
        self.units = len(self.run(1)[0])
        self.reassembler = Reassembler(addresses(1))

    def run(self, messages: int) -> list[Any]:
        from isotp import encode

        made = None
        for _ in range(messages):
            made = encode(
                self.payloads, self.address, params=self.params, flow_control=False, frame_time=1000
            )
        return [made]

    def verify(self, messages: int, received: list[Any]) -> None:
        if self.reassembler.feed(received[0]).payloads != self.payloads:
            raise RuntimeError("the frames do not hold the payloads")


def decoding_case(fd: bool, size: int, sessions: int, mode: str = ALL) -> Case:
    """Return the case of decoding a log of such messages."""
    roles = {
        "ours": Repeated(partial(decoding, fd, size, sessions), needs=("numpy",) if sessions > 1 else ())
    }
    if sessions == 1:
        if size == 4095:
            roles["peer"] = Repeated(partial(can_isotp, fd))
            roles["beside"] = Repeated(partial(scapy_decoding, fd, size), needs=("scapy",))
        if shutil.which(shlex.split(os.environ.get("CC", "cc"))[0]):
            roles["floor"] = Repeated(partial(plain_c, fd, size), needs=("numpy",))
    kind = "CAN FD" if fd else "classic"
    return Case(
        f"bulk-{'fd' if fd else 'classic'}-{size if size < 1 << 20 else '1mib'}-{sessions}",
        "bulk",
        f"A {kind} log in memory, messages of {size} bytes, {sessions} sessions: how fast is a recording decoded?",
        roles,
        limit=1.5,
        names={"floor": "C loop", "beside": "scapy"},
        mode=mode,
        same_work=False,
        x=sessions,
    )


CASES = (
    *(
        decoding_case(fd, size, 1, mode=QUICK if size == 4095 else FULL)
        for fd in (False, True)
        for size in (7, 4095, 1 << 20)
    ),
    *(
        decoding_case(fd, 4095, sessions, mode=ALL if fd or sessions == 10 else FULL)
        for fd in (False, True)
        for sessions in (10, 100, 1000)
    ),
    decoding_case(False, 127, 10_000),
    decoding_case(False, 7, 1000),
    Case(
        "bulk-two-threads",
        "bulk",
        "Two threads that decode a log each, beside one that decodes both: do all cores take part?",
        {
            "ours": Repeated(lambda stage: TwoThreads(together=True)),
            "beside": Repeated(lambda stage: TwoThreads(together=False)),
        },
        names={"beside": "one thread"},
        pinned=False,
        waits=True,
    ),
    Case(
        "bulk-one-by-one",
        "bulk",
        "feed() with a single frame: what the call costs where frames do not come in bulk.",
        {"ours": Repeated(lambda stage: SmallFeeds())},
        unit="call",
    ),
    *(
        Case(
            f"encode-{'fd' if fd else 'classic'}-4095",
            "bulk",
            f"Payloads of 4095 bytes made into {'CAN FD' if fd else 'classic'} records: how fast is a log made?",
            {"ours": Repeated(partial(lambda fd, stage: Encoding(fd), fd))},
            mode=QUICK if not fd else FULL,
        )
        for fd in (False, True)
    ),
)
