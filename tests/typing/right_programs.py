"""Programs without a mistake: mypy --strict and pyright accept all of it. They are not run."""

from __future__ import annotations

from typing import Any

import can

import isotp
import isotp.aio
from isotp.figures import SessionFigures, session_figures


def received(layer: isotp.TransportLayer, session: isotp.HubSession) -> list[bytearray]:
    """What is received is compared with bytes, and is a bytearray."""
    message = layer.recv(block=True)
    assert message is not None
    if message == b"\x7e\x00" or message[:2] == b"\x7e\x00" or message.startswith(b"\x7e"):
        layer.send(message)
    if layer.recv() == b"\x7e\x00" or session.recv() in (b"\x7e\x00", b"\x7e"):
        layer.send(b"\x3e\x00")
    if (reception := layer.recvmsg()) and reception.payload == b"\x7e\x00":
        layer.send(reception.payload)
    return [message, layer.request(b"\x3e\x00"), session.request([0x3E, 0x00])]


async def awaited(layer: isotp.aio.Layer) -> bool:
    answer = await layer.request(b"\x3e\x00")
    return answer == b"\x7e\x00" and await layer.recv() != b"\x7e\x00"


def whole(
    bus: can.BusABC, options: dict[str, Any], mode: isotp.AddressingMode, identifier: int | None
) -> None:
    """What a program finds out as it runs is for the program to know."""
    isotp.CanStack(bus, **options)
    isotp.Hub(bus).session(isotp.Address(mode, txid=identifier, rxid=0x7E8), **options)
    isotp.Address(2, target_address=1, source_address=2)
    isotp.AsymmetricAddress(isotp.Address(txid=1, tx_only=True), isotp.Address(rxid=2, rx_only=True))


def figures(messages: isotp.Messages) -> list[SessionFigures]:
    return session_figures(messages.filter(status=("ok", "open"), direction="tx"), uds=True)


class Stack(isotp.CanStack):
    """A class of the user's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def closed(bus: can.BusABC, address: isotp.Address) -> None:
    parameters: isotp.Parameters = {"stmin": 5}
    parameters["blocksize"] = 4
    with Stack(bus, address=address, params=parameters).start() as stack:
        stack.params.update({"tx_padding": 0xCC})
        stack.send((iter(b"abc"), 3), params={"tx_data_length": 8})
