"""Write a firmware image to an ECU (UDS RequestDownload, TransferData, RequestTransferExit), with a progress bar.

    python examples/firmware_download.py [IMAGE] --address 0x80000000
    python examples/firmware_download.py IMAGE --interface socketcan --channel can0 --fd

Without an interface, the ECU is one of isotp.testing, on a bus within this process; without an image, what is
written are 256 KiB of zeros. Needs udsoncan and rich.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import can
import udsoncan
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from udsoncan.client import Client
from udsoncan.configs import default_client_config
from udsoncan.connections import PythonIsoTpConnection

import isotp
from isotp.testing import Ecu

TESTER = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7E0, rxid=0x7E8)
ECU = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x7E8, rxid=0x7E0)


def download(client: Client, image: bytes, address: int, progress: Progress) -> int:
    """Write the image to this address of the ECU; returns in how many blocks."""
    client.change_session(udsoncan.services.DiagnosticSessionControl.Session.programmingSession)
    where = udsoncan.MemoryLocation(address, len(image), address_format=32, memorysize_format=32)
    # What the ECU takes at once, less the service and the counter.
    size = client.request_download(where).service_data.max_length - 2
    blocks = [image[at : at + size] for at in range(0, len(image), size)]
    task = progress.add_task("writing", total=len(image))
    for number, block in enumerate(blocks, start=1):
        client.transfer_data(number % 256, block)
        progress.advance(task, len(block))
    client.request_transfer_exit()
    return len(blocks)


@contextlib.contextmanager
def simulated_ecu(params: dict[str, object]) -> Iterator[tuple[can.BusABC, Ecu]]:
    """A bus in this process with an ECU on it."""
    fd = can.CanProtocol.CAN_FD if params["can_fd"] else can.CanProtocol.CAN_20
    ecu = Ecu(p2_ms=10_000)
    with (
        can.Bus(interface="virtual", channel="firmware", protocol=fd) as bus,
        can.Bus(interface="virtual", channel="firmware", protocol=fd) as ecu_bus,
        ecu.serve(ecu_bus, ECU, params=params),
    ):
        yield bus, ecu


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a firmware image to an ECU.")
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--address", type=lambda text: int(text, 0), default=0x8000_0000)
    parser.add_argument("--interface", help="python-can's name of the adapter, say socketcan")
    parser.add_argument("--channel", help="its channel, say can0")
    parser.add_argument("--fd", action="store_true", help="CAN FD with frames of 64 bytes")
    options = parser.parse_args()
    image = options.image.read_bytes() if options.image else bytes(256 * 1024)
    params = {"can_fd": options.fd, "tx_data_length": 64 if options.fd else 8}

    with contextlib.ExitStack() as opened:
        ecu = None
        if options.interface is None:
            bus, ecu = opened.enter_context(simulated_ecu(params))
        else:
            bus = opened.enter_context(
                can.Bus(interface=options.interface, channel=options.channel, fd=options.fd)
            )
        layer = isotp.CanStack(bus, address=TESTER, params=params)
        config = {**default_client_config, "request_timeout": 10, "p2_timeout": 10}
        client = opened.enter_context(Client(PythonIsoTpConnection(layer), config=config))
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
            blocks = download(client, image, options.address, progress)
        sent = layer.stats
        print(f"{len(image)} bytes written in {blocks} blocks, {sent.frames_sent} frames")
        if ecu is not None and ecu.memory.get(options.address) != image:
            sys.exit("the ECU has something else in its memory")


if __name__ == "__main__":
    main()
