"""Digests of what the package does with the same input: they are to be the same on every platform.

    python -m checks.platforms.digests [--seeds N]

Scripts of the differential check (checks/differential) on a polled layer, and the test captures: their frames,
messages, sessions found, and the frames that carry their messages again. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import isotp
from checks.differential.play import Clock, play
from checks.differential.scripts import script_of
from isotp import capture

CHECKOUT = Path(__file__).resolve().parents[2]
LOGS = (*sorted((CHECKOUT / "tests/data/captures").glob("*.log")), CHECKOUT / "docs/drive.log.gz")


def digest(lines: Iterable[object]) -> str:
    """Of the lines as text, a short one."""
    found = hashlib.sha256()
    for line in lines:
        found.update(f"{line}\n".encode())
    return found.hexdigest()[:16]


def scripts(seeds: int) -> Iterable[str]:
    clock = Clock()

    def attach(layer: isotp.TransportLayerLogic) -> None:
        layer.clock = clock

    for seed in range(seeds):
        for seen in play(isotp, clock, attach, script_of(seed)):
            yield json.dumps(seen, separators=(",", ":"), sort_keys=True)


def frames() -> Iterable[object]:
    for log in LOGS:
        with capture.open(log) as reader:
            for records in reader:
                yield from (tuple(record) for record in records)


def sessions() -> Iterable[object]:
    for log in LOGS:
        with capture.open(log) as reader:
            discovery = isotp.Discovery()
            for records in reader:
                discovery.feed(records)
        for found in (*discovery.sessions(), *discovery.candidates()):
            # The last digits of a logarithm are the C library's own, and where an object is tells nothing.
            address = re.sub(r" at 0x\w+", "", repr(found.address))
            yield f"{found.score:.6f} {address} {found.channel}"


def messages() -> Iterable[object]:
    for log in LOGS:
        for table in capture.decode(log, rx_consecutive_frame_timeout=10_000):
            for message in table:
                yield (
                    *(message.start, message.end, message.channel, message.session, message.direction.name),
                    *(message.target_type.name, message.payload.hex(), message.status.name, message.length),
                    *(message.frames, message.blocksize, message.stmin_us, message.waits),
                )


def encoded() -> Iterable[object]:
    address = isotp.Address(txid=0x7E0, rxid=0x7E8)
    for log in LOGS:
        payloads = [message.payload for table in capture.decode(log) for message in table]
        for params in ({}, {"can_fd": True, "tx_data_length": 64}):
            yield from (tuple(record) for record in isotp.encode(payloads, address, params=params))


WHAT: dict[str, Callable[[], Iterable[object]]] = {
    "frames": frames,
    "messages": messages,
    "sessions": sessions,
    "encoded": encoded,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m checks.platforms.digests", description=__doc__)
    parser.add_argument(
        "--seeds", type=int, default=20_000, metavar="N", help="scripts (default: %(default)s)"
    )
    seeds = parser.parse_args().seeds
    found = {"scripts": digest(scripts(seeds)), **{name: digest(what()) for name, what in WHAT.items()}}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
