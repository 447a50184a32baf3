"""Bulk decoding beside a plain C loop, can-isotp in listen mode and scapy: ns a frame, as a table.

    python -m benchmarks.bulk [--quick] [--scapy]

The C loop is compiled by the system's compiler (CC, else cc). It copies payloads and counts offsets, for one
session and without any check: the floor. can-isotp comes from the environment that ``python -m benchmarks`` makes;
scapy has to be installed here. All figures are medians of interleaved rounds; what was decoded is compared.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy

import isotp
from benchmarks import peer_env
from isotp import Address, AddressingMode, Reassembler, Records, encode

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

# What can-isotp runs: it reads the frames from a file and prints ns a frame.
PEER = """
import pickle, sys, time, isotp
frames, expected = pickle.load(open(sys.argv[1], "rb"))
messages = [isotp.CanMessage(arbitration_id=i, data=d, extended_id=True) for i, d in frames]
left = iter(messages)
layer = isotp.TransportLayerLogic(
    rxfn=lambda timeout: next(left, None), txfn=None,
    address=isotp.Address(isotp.AddressingMode.Normal_29bits, rxid=frames[0][0], txid=1),
    params={"listen_mode": True, "max_frame_size": 1 << 30, "rx_consecutive_frame_timeout": 600_000})
received = []
begin = time.perf_counter_ns()
while len(received) < expected:
    layer.process()
    while layer.available():
        received.append(layer.recv())
print((time.perf_counter_ns() - begin) / len(frames))
"""


class Case(NamedTuple):
    """One line of the table."""

    fd: bool
    size: int
    sessions: int

    def __str__(self) -> str:
        return f"{'FD' if self.fd else 'classic'}, {self.size} bytes, {self.sessions} sessions"


CASES = (
    *(Case(fd, size, 1) for fd in (False, True) for size in (7, 4095, 1 << 20)),
    *(Case(fd, 4095, sessions) for fd in (False, True) for sessions in (10, 100, 1000)),
    Case(False, 4095, 10_000),
    Case(False, 7, 1000),
)


def addresses(count: int) -> list[Address]:
    return [Address(AddressingMode.Normal_29bits, txid=0x10000 + k, rxid=0x1000000 + k) for k in range(count)]


def traffic(case: Case, frames: int) -> tuple[Records, list[bytes]]:
    """Records of about so many frames, the sessions interleaved frame by frame, and the payloads of a session."""
    params = {"tx_data_length": 64, "can_fd": True} if case.fd else {}
    payload = bytes(k % 251 for k in range(case.size))
    per_message = len(encode(payload, addresses(1)[0], params=params, flow_control=False))
    payloads = [payload] * max(1, frames // (per_message * case.sessions))
    parts = [
        numpy.asarray(encode(payloads, address, params={**params, "blocksize": 0}, frame_time=1000))
        for address in addresses(case.sessions)
    ]
    return Records.from_buffer(numpy.ascontiguousarray(numpy.stack(parts, axis=1)).reshape(-1)), payloads


def compile_loop(folder: Path, room: int) -> ctypes.CDLL:
    source, library = folder / "loop.c", folder / f"loop{room}.so"
    source.write_text(C_LOOP)
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-O3", "-shared", "-fPIC", f"-DROOM={room}", str(source), "-o", str(library)], check=True
    )
    return ctypes.CDLL(str(library))


def plain_c(library: ctypes.CDLL, records: Records) -> Callable[[], int]:
    """The loop as a function; like the Reassembler, each run makes its output anew."""
    array = numpy.asarray(records)

    def run() -> int:
        data = numpy.empty(len(array) * (records.itemsize - 17), "u1")
        offsets = numpy.empty(len(array) + 1, "i8")
        return int(
            library.decode(
                ctypes.c_void_p(array.ctypes.data),
                ctypes.c_long(len(array)),
                ctypes.c_void_p(data.ctypes.data),
                ctypes.c_void_p(offsets.ctypes.data),
            )
        )

    return run


def scapy_decode(records: Records) -> Callable[[], int]:
    from scapy.contrib.isotp import ISOTPMessageBuilder
    from scapy.layers.can import CAN, CANFD

    kind = CANFD if records.layout == "fd" else CAN
    frames = [kind(identifier=r.can_id & 0x1FFFFFFF, flags="extended", data=r.data) for r in records]

    def run() -> int:
        builder = ISOTPMessageBuilder()
        builder.feed(frames)
        return len(list(iter(builder)))

    return run


def can_isotp(records: Records, messages: int) -> float:
    """ns a frame of can-isotp in listen mode, in its own interpreter."""
    import pickle

    with tempfile.NamedTemporaryFile(suffix=".pickle") as file:
        pickle.dump(([(r.can_id & 0x1FFFFFFF, r.data) for r in records], messages), file)
        file.flush()
        done = subprocess.run(
            [str(peer_env.make()), "-c", PEER, file.name],
            capture_output=True,
            text=True,
            check=True,
            env=peer_env.isolated(),
        )
    return float(done.stdout)


def interleaved(rounds: int, functions: dict[str, Callable[[], int]], expected: int) -> dict[str, float]:
    """Median ns of each function, all run by turns; RuntimeError if one finds another number of messages."""
    taken: dict[str, list[int]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            begin = time.perf_counter_ns()
            found = function()
            taken[name].append(time.perf_counter_ns() - begin)
            if found != expected:
                raise RuntimeError(f"{name} found {found} messages in place of {expected}")
    return {name: statistics.median(times) for name, times in taken.items()}


def measure(case: Case, frames: int, rounds: int, loops: dict[bool, ctypes.CDLL], scapy: bool) -> str:
    records, payloads = traffic(case, frames)
    known = addresses(case.sessions)
    messages = len(payloads) * case.sessions
    reassembler = Reassembler(known)
    found = reassembler.feed(records)
    if found.payloads != payloads[:1] * messages:
        raise RuntimeError(f"{case}: not what was sent")

    def ours() -> int:
        return len(reassembler.feed(records))

    functions = {"ours": ours}
    if case.sessions == 1:
        functions["C"] = plain_c(loops[case.fd], records)
    taken = interleaved(rounds, functions, messages)
    cells = [f"{taken['ours'] / len(records):.2f}"]
    cells.append(f"{taken['C'] / len(records):.2f}" if "C" in taken else "")
    cells.append(f"{taken['ours'] / taken['C']:.2f}" if "C" in taken else "")
    if case.sessions == 1 and case.size == 4095:
        few = records[: 200 * len(records) // len(payloads)] if len(payloads) > 200 else records
        count = len(Reassembler(known).feed(few))
        peer = can_isotp(few, count)
        cells.append(f"{peer:.0f}")
        cells.append(f"{peer * len(records) / taken['ours']:.0f}")
        cells.append(
            f"{interleaved(1, {'scapy': scapy_decode(few)}, count)['scapy'] / len(few):.0f}" if scapy else ""
        )
    else:
        cells += ["", "", ""]
    return f"| {case} | {' | '.join(cells)} |"


def threads_ratio(frames: int, rounds: int) -> float:
    """How much two threads decode together, in terms of one."""
    records, _ = traffic(Case(False, 4095, 1), frames)
    known = addresses(1)

    def work() -> None:
        reassembler = Reassembler(known)
        for _ in range(5):
            reassembler.feed(records)

    def together() -> int:
        pair = [threading.Thread(target=work) for _ in range(2)]
        for thread in pair:
            thread.start()
        for thread in pair:
            thread.join()
        return 0

    def alone() -> int:
        work()
        return 0

    taken = interleaved(rounds, {"one": alone, "two": together}, 0)
    return 2 * taken["one"] / taken["two"]


def small_feed() -> float:
    """ns of a feed() with one frame that ends no message."""
    records = encode(bytes(1 << 20), addresses(1)[0], params={"blocksize": 0})
    reassembler = Reassembler(addresses(1))
    pieces = [records[k : k + 1] for k in range(10_000)]
    begin = time.perf_counter_ns()
    for piece in pieces:
        reassembler.feed(piece)
    return (time.perf_counter_ns() - begin) / len(pieces)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer frames and rounds")
    parser.add_argument("--scapy", action="store_true", help="scapy too, which has to be installed")
    options = parser.parse_args(arguments)
    frames, rounds = (100_000, 5) if options.quick else (1_000_000, 15)
    print(f"isotp {isotp.__version__}, ns a frame\n")
    print("| case | ours | C loop | ours / C | can-isotp | can-isotp / ours | scapy |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        loops = {fd: compile_loop(Path(folder), 64 if fd else 8) for fd in (False, True)}
        for case in CASES:
            print(measure(case, frames, rounds, loops, options.scapy), flush=True)
    print(
        f"\ntwo threads: {threads_ratio(frames, rounds):.2f} x one; a feed() of one frame: {small_feed():.0f} ns"
    )


if __name__ == "__main__":
    main()
