"""Programs with a mistake: mypy --strict and pyright refuse each line that says so, and no other. They are not run."""

from __future__ import annotations

import can

import isotp
import isotp.aio
import isotp.capture

ADDRESS = isotp.Address(txid=0x7E0, rxid=0x7E8)


def read(timeout: float) -> isotp.CanMessage | None:
    raise NotImplementedError


def write(frame: isotp.CanMessage) -> None:
    raise NotImplementedError


def layers_and_keywords(bus: can.BusABC, notifier: can.Notifier) -> None:
    isotp.CanStack(bus, adress=ADDRESS)  # wrong
    isotp.CanStack(bus)  # wrong: without an address
    isotp.CanStack(bus, address=None)  # wrong
    isotp.CanStack(bus, address="7E0:7E8")  # wrong
    isotp.CanStack(bus, address=ADDRESS, read_timeout="0.1")  # wrong
    isotp.CanStack(bus, address=ADDRESS, on_message=lambda payload: None)  # wrong
    isotp.CanStack(bus, address=ADDRESS, rxfn=read)  # wrong
    isotp.CanStack("can0", address=ADDRESS)  # wrong
    isotp.NotifierBasedCanStack(bus, notifier, adress=ADDRESS)  # wrong
    isotp.NotifierBasedCanStack(bus, address=ADDRESS)  # wrong
    isotp.SocketCanStack("can0", adress=ADDRESS)  # wrong
    isotp.SocketCanStack(bus, address=ADDRESS)  # wrong
    isotp.TransportLayer(read, write, adress=ADDRESS)  # wrong
    isotp.TransportLayer(read, "write", ADDRESS)  # wrong
    isotp.TransportLayerLogic(read, write, ADDRESS, error_handler=True)  # wrong
    isotp.Hub(bus, excutor=None)  # wrong
    isotp.Hub(bus).session(ADDRESS, on_mesage=None)  # wrong
    isotp.Hub(bus).session(0x7E0)  # wrong
    isotp.aio.Layer(bus, ADDRESS, on_mesage=None)  # wrong
    isotp.aio.Layer(bus, address=ADDRESS, tx_confirmation="yes")  # wrong
    isotp.aio.Hub(bus).layer(adress=ADDRESS)  # wrong


def parameters(bus: can.BusABC, layer: isotp.TransportLayer) -> None:
    isotp.CanStack(bus, address=ADDRESS, params={"stmn": 1})  # wrong
    isotp.CanStack(bus, address=ADDRESS, params={"stmin": "1"})  # wrong
    isotp.CanStack(bus, address=ADDRESS, params={"stmin": 0.001})  # wrong: it is a byte
    isotp.CanStack(bus, address=ADDRESS, params={"can_fd": None})  # wrong
    isotp.SocketCanStack("can0", address=ADDRESS, params={"block_size": 8})  # wrong
    isotp.TransportLayer(read, write, ADDRESS, params={"tx_paddding": 0})  # wrong
    isotp.TransportLayerLogic(read, write, ADDRESS, params={"wait_func": 1})  # wrong
    isotp.Hub(bus).session(ADDRESS, params={"stmn": 1})  # wrong
    isotp.aio.Layer(bus, ADDRESS, params={"stmn": 1})  # wrong
    layer.send(b"\x3e\x00", params={"tx_dl": 64})  # wrong
    layer.request(b"\x3e\x00", params={"tx_dl": 64})  # wrong
    isotp.encode([b"\x3e\x00"], ADDRESS, params={"tx_dl": 64})  # wrong
    layer.params.update({"stmn": 1})  # wrong
    layer.params.stmn  # wrong
    layer.params.stmin = "1"  # wrong
    named: isotp.Parameters = {"stmin": 1, "blocksiz": 8}  # wrong
    isotp.CanStack(bus, address=ADDRESS, params=named)


def addresses() -> None:
    isotp.Address(isotp.AddressingMode.Normal_11bit, txid=1, rxid=2)  # wrong
    isotp.Address(isotp.AddressingMode.Normal_11bits, tx_id=1, rx_id=2)  # wrong
    isotp.Address(isotp.AddressingMode.NormalFixed_29bits, target_adress=1, source_address=2)  # wrong
    isotp.Address("Normal_11bits", txid=1, rxid=2)  # wrong
    isotp.Address(txid=0x7E0)  # wrong: only half of an address
    isotp.Address(rxid=0x7E8)  # wrong
    isotp.Address(txid=0x7E0, rx_only=True)  # wrong
    isotp.Address(rxid=0x7E8, tx_only=True)  # wrong
    isotp.Address(txid="7E0", rxid="7E8")  # wrong
    isotp.Address(target_address=1, source_address=2)  # wrong: the mode is missing
    isotp.AsymmetricAddress(tx_addr=ADDRESS)  # wrong
    isotp.AsymmetricAddress(txid=1, rxid=2)  # wrong
    isotp.CanStack.set_address(0x7E0)  # wrong


def messages(layer: isotp.TransportLayer, asked: isotp.aio.Layer) -> None:
    layer.send(0x3E)  # wrong
    layer.send(b"\x3e\x00", timeout=1)  # wrong
    layer.send("3E 00")  # wrong
    layer.recv(blocking=True)  # wrong
    layer.recv(block=True, timeout="1")  # wrong
    layer.recv(block=True).hex()  # wrong: there may be none
    layer.request(b"\x3e\x00", p2star=5)  # wrong
    layer.request(b"\x3e\x00", timeout="1")  # wrong
    layer.recvmsg().payload  # wrong
    layer.on_message = lambda payload: None  # wrong
    layer.stats.frames  # wrong
    asked.send(b"\x3e\x00", send_timeout=1).close()  # wrong
    asked.recv(block=True).close()  # wrong


def logs(table: isotp.Messages, records: isotp.Records) -> None:
    isotp.capture.open("drive.blf").decod([ADDRESS])  # wrong
    isotp.Reassembler(ADDRESS)  # wrong
    isotp.Reassembler([ADDRESS], strictly=True)  # wrong
    table.filter(status="okay")  # wrong
    table.filter(stat="ok")  # wrong
    table.to_pandas(uds="yes")  # wrong
    table["payload"]  # wrong
    isotp.Records("canfd")  # wrong
    records.append(0, "7E0", b"")  # wrong
    isotp.encode("3E00", ADDRESS)  # wrong
