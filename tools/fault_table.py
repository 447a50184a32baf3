"""The table of faults in docs/testing.md: what each of them makes of our layer, of can-isotp and of the kernel.

    python -m tools.fault_table              plays them to our layer and to can-isotp, and writes the table
    python -m tools.fault_table --kernel     to the kernel as well, in the virtual machine of checks/kernel

Without `--kernel` the column of the kernel stays as it is. The faults are those of ISO 15765-2:2016, 8.3.7 and 9.8.3.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import isotp

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "testing.md"
BEGIN, END = "<!-- faults: python -m tools.fault_table -->", "<!-- end of faults -->"

PAYLOAD = bytes(range(20))  # FF and two CFs
TX, RX = 0x7E0, 0x7E8
MS = 1_000_000
SHOWN = {"send": {True: "sent", False: "not sent"}, "receive": {True: "received", False: "nothing received"}}

FF, FIRST, SECOND = "> 10 14 00 01 02 03 04 05", "> 21 06 07 08 09 0A 0B 0C", "> 22 0D 0E 0F 10 11 12 13"


# What stands for these in the table.
SHORT = {FF: "> FF", FIRST: "> CF 1", SECOND: "> CF 2"}


class Fault(NamedTuple):
    """One thing that a peer does wrong, or the bus."""

    result: str
    what: str
    does: str  # what the layer does meanwhile: it sends PAYLOAD, or it would receive it
    story: tuple[str, ...]
    params: dict[str, int] = {}  # noqa: RUF012  - never changed
    is_jammed: bool = False

    @property
    def shown(self) -> str:
        if self.is_jammed:
            return "`wire.jam()`"
        return "`" + " / ".join(SHORT.get(line, line) for line in self.story) + "`"


FAULTS = (
    Fault("N_TIMEOUT_A", "the bus takes no frame", "send", (), is_jammed=True),
    Fault("N_TIMEOUT_Bs", "no FC after the FF", "send", ("< FF",)),
    Fault("N_TIMEOUT_Bs", "a late FC", "send", ("< FF", "wait 1500", "> 30 00 00")),
    Fault("N_TIMEOUT_Bs", "no FC after a block", "send", ("< FF", "> 30 01 00", "< CF")),
    Fault("N_TIMEOUT_Cr", "no CF after the FC", "receive", (FF, "< FC")),
    Fault("N_TIMEOUT_Cr", "the last CF is missing", "receive", (FF, "< FC", FIRST)),
    Fault("N_TIMEOUT_Cr", "a late CF", "receive", (FF, "< FC", FIRST, "wait 1500", SECOND)),
    Fault("N_WRONG_SN", "a CF is left out", "receive", (FF, "< FC", SECOND)),
    Fault("N_WRONG_SN", "a CF comes twice", "receive", (FF, "< FC", FIRST, FIRST)),
    Fault("N_INVALID_FS", "an FC with a reserved FS", "send", ("< FF", "> 35 00 00")),
    Fault(
        "N_WFT_OVRN",
        "more WAITs than `wftmax`, here 2",
        "send",
        ("< FF", *3 * ("> 31 00 00",)),
        {"wftmax": 2},
    ),
    Fault(
        "N_WFT_OVRN", "a WAIT, with `wftmax` 0", "send", ("< FF", "> 31 00 00", "> 30 00 00", "< CF", "< CF")
    ),
    Fault("N_BUFFER_OVFLW", "the receiver has no room", "send", ("< FF", "> 32 00 00")),
    Fault(
        "N_BUFFER_OVFLW", "a message that is too long", "receive", ("> 10 00 7F FF FF FF 00 01", "< OVFLW")
    ),
    Fault("N_UNEXP_PDU", "a CF, and no FF before it", "receive", (FIRST,)),
    Fault("N_UNEXP_PDU", "an FC, and nothing is sent", "receive", ("> 30 00 00",)),
    Fault("N_UNEXP_PDU", "an SF amid a message", "receive", (FF, "< FC", FIRST, "> 02 3E 00", SECOND)),
    Fault("N_UNEXP_PDU", "an FF amid a message", "receive", (FF, "< FC", FIRST, FF, "< FC", FIRST, SECOND)),
    Fault("N_UNEXP_PDU", "an FC amid a message", "receive", (FF, "< FC", FIRST, "> 30 00 00", SECOND)),
    Fault(
        "N_ERROR",
        "a reserved N_PCI type, amid a message",
        "receive",
        (FF, "< FC", FIRST, "> 40 00 00", SECOND),
    ),
    Fault("N_ERROR", "an SF that says more than it has", "receive", ("> 05 3E 00",)),
    Fault("N_ERROR", "an SF of 0 bytes", "receive", ("> 00 00 00",)),
    Fault("N_ERROR", "an FF of 6 bytes: an SF would do", "receive", ("> 10 06 00 01 02 03 04 05",)),
    Fault("N_ERROR", "an FC that is cut short", "send", ("< FF", "> 30")),
)


def outcome(fault: Fault, errors: Iterable[str], succeeded: bool) -> str:
    """What a cell of the table says."""
    # Each once: what follows a message that was given up is told frame by frame.
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(errors)) or "no error"
    return f"{names}; {SHOWN[fault.does][succeeded]}"


# --- our layer, by the scripted peer ---


def by_our_layer(fault: Fault) -> str:
    from isotp.testing import HeldClock, Peer, Wire

    clock = HeldClock()
    with Wire(clock) as wire:
        layer = wire.layer(isotp.Address(txid=TX, rxid=RX), params=fault.params)
        if fault.is_jammed:
            wire.jam()
        peer = Peer(wire, isotp.Address(txid=RX, rxid=TX), "\n".join(fault.story))
        done = []
        if fault.does == "send":
            layer._submit(PAYLOAD, None, lambda request: done.append(request.success))
        clock.advance(10_000)
        peer.check()
        succeeded = done == [True] if fault.does == "send" else PAYLOAD in _taken(layer)
        return outcome(fault, (type(error).__name__ for error in wire.errors), succeeded)


def _taken(layer: isotp.TransportLayer) -> list[bytes]:
    payloads = []
    while (payload := layer.recv()) is not None:
        payloads.append(bytes(payload))
    return payloads


# --- a layer of another package, polled, on real time that is ten times as fast ---

FASTER = 10


def by_polled_layer(fault: Fault) -> str:
    """This runs where can-isotp is installed: nothing of this package is there."""
    if hasattr(isotp, "Hub"):
        raise RuntimeError(f"{isotp.__file__} is not can-isotp")
    incoming: deque[isotp.CanMessage] = deque()
    outgoing: deque[isotp.CanMessage] = deque()
    errors: list[Exception] = []
    requests: list[Any] = []

    def send(frame: isotp.CanMessage) -> None:
        if fault.is_jammed:
            raise OSError("no buffer space available")
        outgoing.append(frame)

    layer = isotp.TransportLayerLogic(
        lambda: incoming.popleft() if incoming else None,
        send,
        isotp.Address(isotp.AddressingMode.Normal_11bits, txid=TX, rxid=RX),
        errors.append,
        {"rx_flowcontrol_timeout": 100, "rx_consecutive_frame_timeout": 100, **fault.params},
        requests.append,
    )
    lines = deque(fault.story)
    resumes = 0.0
    if fault.does == "send":
        layer.send(PAYLOAD)
    raised = []
    end = time.monotonic() + 0.5
    while time.monotonic() < end and not raised:
        while lines and time.monotonic() >= resumes:
            verb, _, text = lines[0].partition(" ")
            if verb == "<":
                if not outgoing:
                    break
                outgoing.popleft()
            elif verb == ">":
                incoming.append(isotp.CanMessage(arbitration_id=RX, data=bytes.fromhex(text)))
            else:
                resumes = time.monotonic() + float(text) / 1000 / FASTER
            lines.popleft()
        try:
            layer.process()
        except OSError as error:
            raised.append(f"{type(error).__name__} from process()")
        time.sleep(0.001)
    errors_named = [*(type(error).__name__ for error in errors), *raised]
    succeeded = bool(requests[0].success) if requests else PAYLOAD in _taken(layer)
    return outcome(fault, errors_named, succeeded)


# --- the kernel ---


def by_kernel(fault: Fault) -> str:
    """A socket of the kernel's, and a peer on a raw one."""
    if fault.is_jammed:
        return "not on vcan0"
    frame_format = struct.Struct("=IB3x8s")
    errors: list[str] = []
    received: list[bytes] = []
    was_sent = []
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as raw:
        raw.bind(("vcan0",))
        raw.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, struct.pack("=II", TX, 0x7FF))
        raw.settimeout(10)
        node = isotp.socket(timeout=3)
        node.set_opts(optflag=isotp.socket.flags.WAIT_TX_DONE)
        node.bind("vcan0", isotp.Address(txid=TX, rxid=RX))

        def work() -> None:
            if fault.does == "send":
                try:
                    node.send(PAYLOAD)
                    was_sent.append(True)
                except isotp.IsoTpError as error:
                    errors.append(type(error).__name__)
                return
            for _ in range(3):
                try:
                    payload = node.recv()
                except isotp.IsoTpError as error:
                    errors.append(type(error).__name__)
                except TimeoutError:
                    return  # nothing more comes
                else:
                    if payload is not None:
                        received.append(bytes(payload))

        worker = threading.Thread(target=work)
        worker.start()
        time.sleep(0.3)
        for line in fault.story:
            verb, _, text = line.partition(" ")
            if verb == "<":
                raw.recv(72)
            elif verb == ">":
                data = bytes.fromhex(text)
                raw.send(frame_format.pack(RX, len(data), data))
            else:
                time.sleep(float(text) / 1000)
        worker.join()
        node.close()
    succeeded = bool(was_sent) if fault.does == "send" else PAYLOAD in received
    return outcome(fault, errors, succeeded)


# --- the table ---


def elsewhere(command: list[str]) -> dict[str, str]:
    """What this program says when it runs somewhere else."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.search(r"^FAULTS (.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    told: dict[str, str] = json.loads(found[1])
    return told


def of_can_isotp() -> dict[str, str]:
    from benchmarks import peer_env

    # A copy: the folder of this file has what must not be imported there.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "fault_table.py")
        copy.write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
        return elsewhere(["env", "-u", "PYTHONPATH", str(peer_env.make()), str(copy), "--side", "polled"])


def of_kernel() -> dict[str, str]:
    run = ROOT / "checks" / "kernel" / "run.py"
    here = [sys.executable, "-m", "tools.fault_table", "--side", "kernel"]
    return elsewhere([sys.executable, str(run), "--timeout", "900", "--", *here])


def of_ours() -> dict[str, str]:
    return {key_of(fault): by_our_layer(fault) for fault in FAULTS}


def key_of(fault: Fault) -> str:
    return f"{fault.result}: {fault.what}"


def rows_of(page: str) -> dict[str, list[str]]:
    """The cells of the table that the page has, by fault."""
    table = page.partition(BEGIN)[2].partition(END)[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| N_")]
    return {f"{row[0]}: {row[1]}": row[2:] for row in rows}


def table(*columns: dict[str, str]) -> str:
    lines = [
        "| N_Result | fault | the peer | our layer | can-isotp 2.0.7 | kernel |",
        "|---|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        told = [column.get(key_of(fault), "") for column in columns]
        lines.append("| " + " | ".join([fault.result, fault.what, fault.shown, *told]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kernel", action="store_true", help="play them to the kernel, too")
    parser.add_argument("--side", choices=("polled", "kernel"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    logging.disable()
    if chosen.side is not None:
        play = by_polled_layer if chosen.side == "polled" else by_kernel
        print("FAULTS", json.dumps({key_of(fault): play(fault) for fault in FAULTS}))
        return
    page = PAGE.read_text(encoding="utf-8")
    kernel = of_kernel() if chosen.kernel else {key: cells[3] for key, cells in rows_of(page).items()}
    made = table(of_ours(), of_can_isotp(), kernel)
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
