"""The cases of polled layers: the object path on either package, and on layers that do nothing."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable

from benchmarks.case import ALL, FULL, QUICK, Case, Repeated, Stage, Workload
from benchmarks.object_path import Listening, RoundTrip, loopback


def roles(prepare: Callable[[], Workload]) -> dict[str, Repeated]:
    """Return the roles of a workload of polled layers: on either package, and on layers that do nothing."""

    def on_the_floor(stage: Stage) -> Workload:
        # It needs our package, and a C compiler.
        from benchmarks.floor import floor

        return floor(prepare, stage.folder)

    def on_a_package(stage: Stage) -> Workload:
        return prepare()

    role = Repeated(on_a_package)
    found = {"ours": role, "peer": role}
    if shutil.which(shlex.split(os.environ.get("CC", "cc"))[0]):
        found["floor"] = Repeated(on_the_floor)
    return found


def size_case(length: int) -> Case:
    """Return the case of classic messages of so many bytes."""
    return Case(
        f"size-{length}",
        "payload size",
        f"Messages of {length} bytes over classic CAN, BS 0: is a frame dearer in a short message, or in a long one?",
        roles(lambda: loopback(length, blocksize=0, fd=False)),
        names={"floor": "layers that do nothing"},
        mode=ALL if length == 512 else FULL,
        x=length,
    )


CASES = (
    Case(
        "classic-4095-bs0",
        "object path",
        "A 4095-byte message over classic CAN without pauses: what one frame of a long transfer costs.",
        roles(lambda: loopback(4095, blocksize=0, fd=False)),
        goal=60,
        limit=1.5,
        names={"floor": "layers that do nothing"},
        mode=QUICK,
    ),
    Case(
        "classic-4095-bs8",
        "object path",
        "The same with a Flow Control every 8 frames, as most ECUs ask for: the price of the handshakes.",
        roles(lambda: loopback(4095, blocksize=8, fd=False)),
        goal=60,
        limit=1.5,
        names={"floor": "layers that do nothing"},
        mode=QUICK,
    ),
    Case(
        "fd-4095-bs0",
        "object path",
        "A 4095-byte message in 64-byte CAN FD frames without pauses.",
        roles(lambda: loopback(4095, blocksize=0, fd=True)),
        goal=60,
        limit=1.5,
        names={"floor": "layers that do nothing"},
        mode=QUICK,
    ),
    Case(
        "fd-4095-bs8",
        "object path",
        "The same with a Flow Control every 8 frames.",
        roles(lambda: loopback(4095, blocksize=8, fd=True)),
        goal=60,
        limit=1.5,
        names={"floor": "layers that do nothing"},
    ),
    Case(
        "fd-1mib",
        "object path",
        "One MiB in CAN FD frames, as in flashing an ECU: does the speed hold when a message is large?",
        roles(lambda: loopback(1024 * 1024, blocksize=0, fd=True)),
        goal=30,
        limit=1.5,
        names={"floor": "layers that do nothing"},
    ),
    Case(
        "single-frame",
        "object path",
        "A 7-byte request and its 7-byte answer: the stack's share of every diagnostic question.",
        roles(RoundTrip),
        unit="round trip",
        goal=35,
        limit=1.5,
        names={"floor": "layers that do nothing"},
        mode=QUICK,
    ),
    Case(
        "listen-4095",
        "object path",
        "Following somebody else's 4095-byte classic transfers in listen mode: how busy a bus may be.",
        roles(lambda: Listening(4095)),
        goal=40,
        limit=1.5,
        names={"floor": "layers that do nothing"},
        mode=QUICK,
    ),
    *(size_case(length) for length in (8, 64, 512, 4096, 65536)),
)
