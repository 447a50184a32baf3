"""Hardware that python-can does not know: bring rxfn and txfn.

The adapter of this example speaks the text protocol of serial CAN adapters (slcan) over any stream of bytes:
`t7E0322F190` and a carriage return is a frame with ID 7E0 and three bytes. What is needed of other hardware is the
same: `rxfn(timeout)` waits up to so many seconds for a frame, `txfn(frame)` sends one.

    python examples/custom_hardware.py

has two such adapters, joined by a pair of sockets in place of a bus, send each other a message.
"""

from __future__ import annotations

import contextlib
import select
import socket

import isotp


class Adapter:
    """An adapter at the other end of a stream (a socket here; the file of a serial port works alike)."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._received = b""

    def rxfn(self, timeout: float) -> isotp.CanMessage | None:
        """The next data frame, or None if none came in time; what `TransportLayer` calls to read."""
        while True:
            line, end, rest = self._received.partition(b"\r")
            if end:
                self._received = rest
                if (frame := decode(line)) is not None:
                    return frame
                continue
            readable, _, _ = select.select([self._stream], [], [], timeout)
            if not readable or not (chunk := self._stream.recv(4096)):
                return None
            self._received += chunk

    def txfn(self, frame: isotp.CanMessage) -> None:
        """Send a frame; what `TransportLayer` calls to write."""
        self._stream.sendall(encode(frame))


def encode(frame: isotp.CanMessage) -> bytes:
    """The line of a frame."""
    identifier = f"T{frame.arbitration_id:08X}" if frame.is_extended_id else f"t{frame.arbitration_id:03X}"
    return f"{identifier}{len(frame.data)}{frame.data.hex().upper()}\r".encode()


def decode(line: bytes) -> isotp.CanMessage | None:
    """The frame of a line; None if the line is something else, as the answers of an adapter are."""
    if line[:1] not in (b"t", b"T"):
        return None
    digits = 3 if line[:1] == b"t" else 8
    with contextlib.suppress(ValueError):
        identifier, length = int(line[1 : digits + 1], 16), int(line[digits + 1 : digits + 2])
        data = bytes.fromhex(line[digits + 2 :].decode("ascii"))
        if len(data) == length:
            return isotp.CanMessage(arbitration_id=identifier, data=data, extended_id=digits == 8)
    return None


def main() -> None:
    one, two = socket.socketpair()
    with one, two:
        tester_adapter, ecu_adapter = Adapter(one), Adapter(two)
        tester = isotp.TransportLayer(
            tester_adapter.rxfn, tester_adapter.txfn, isotp.Address(txid=0x7E0, rxid=0x7E8)
        )
        ecu = isotp.TransportLayer(ecu_adapter.rxfn, ecu_adapter.txfn, isotp.Address(txid=0x7E8, rxid=0x7E0))
        tester.start()
        ecu.start()
        try:
            tester.send(b"over hardware that nobody knows")
            print("ECU:   ", bytes(ecu.recv(block=True, timeout=5)).decode())
            ecu.send(b"and back, in several frames as well")
            print("tester:", bytes(tester.recv(block=True, timeout=5)).decode())
        finally:
            tester.stop()
            ecu.stop()


if __name__ == "__main__":
    main()
