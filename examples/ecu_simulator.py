"""A small ECU: it answers the UDS requests (ISO 14229-1) that arrive on an ISO-TP layer.

It knows sessions, tester present, reading and writing data by identifier, and downloads. Use it from Python,

    with EcuSimulator(isotp.CanStack(bus, address=address), {0xF190: b"WVWZZZ1JZXW000001"}):
        ...

or on a bus of its own: `python ecu_simulator.py --interface socketcan --channel can0`.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import can

import isotp


class Service(IntEnum):
    """Service identifiers; a positive response carries the identifier + 0x40."""

    DIAGNOSTIC_SESSION_CONTROL = 0x10
    READ_DATA_BY_IDENTIFIER = 0x22
    WRITE_DATA_BY_IDENTIFIER = 0x2E
    REQUEST_DOWNLOAD = 0x34
    TRANSFER_DATA = 0x36
    REQUEST_TRANSFER_EXIT = 0x37
    TESTER_PRESENT = 0x3E


class Session(IntEnum):
    """Diagnostic sessions: the default one only reads, extended also writes, programming also downloads."""

    DEFAULT = 0x01
    PROGRAMMING = 0x02
    EXTENDED = 0x03


class ResponseCode(IntEnum):
    """Negative response codes."""

    SERVICE_NOT_SUPPORTED = 0x11
    SUB_FUNCTION_NOT_SUPPORTED = 0x12
    INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT = 0x13
    REQUEST_SEQUENCE_ERROR = 0x24
    REQUEST_OUT_OF_RANGE = 0x31
    SECURITY_ACCESS_DENIED = 0x33
    TRANSFER_DATA_SUSPENDED = 0x71
    WRONG_BLOCK_SEQUENCE_COUNTER = 0x73
    SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION = 0x7F


NEGATIVE_RESPONSE = 0x7F
POSITIVE_OFFSET = 0x40
SUPPRESS_POSITIVE_RESPONSE = 0x80


class Refused(Exception):
    """A request that gets a negative response."""

    def __init__(self, code: ResponseCode) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass
class Download:
    """A transfer that is under way: where to, how many bytes in all, and what has come so far."""

    address: int
    size: int
    next_block: int = 1
    data: bytearray = field(default_factory=bytearray)


class EcuSimulator:
    """An ECU on `layer`, answering in a thread of its own between start() and stop().

    `identifiers` holds the data by identifier (0..0xFFFF) and their first values; those named in `read_only`
    refuse writing. Downloads land in `memory`, by start address. `max_block_length` is what a tester may send
    in one TransferData request, two bytes of overhead included: keep the layer's `max_frame_size` at least as
    large. `p2_ms` is the time within which the ECU promises to answer.
    """

    def __init__(
        self,
        layer: isotp.TransportLayer,
        identifiers: Mapping[int, bytes],
        read_only: Collection[int] = (),
        max_block_length: int = 4095,
        p2_ms: int = 5000,
    ) -> None:
        self.identifiers = dict(identifiers)
        self.memory: dict[int, bytes] = {}
        self.session = Session.DEFAULT
        self._layer = layer
        self._read_only = frozenset(read_only)
        self._max_block_length = max_block_length
        self._p2_ms = p2_ms
        self._download: Download | None = None
        self._stop_requested = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="ECU", daemon=True)
        self._services: dict[int, Callable[[bytes], bytes | None]] = {
            Service.DIAGNOSTIC_SESSION_CONTROL: self._diagnostic_session_control,
            Service.READ_DATA_BY_IDENTIFIER: self._read_data_by_identifier,
            Service.WRITE_DATA_BY_IDENTIFIER: self._write_data_by_identifier,
            Service.REQUEST_DOWNLOAD: self._request_download,
            Service.TRANSFER_DATA: self._transfer_data,
            Service.REQUEST_TRANSFER_EXIT: self._request_transfer_exit,
            Service.TESTER_PRESENT: self._tester_present,
        }

    def start(self) -> None:
        self._layer.start()
        self._thread.start()

    def stop(self) -> None:
        self._stop_requested.set()
        self._thread.join()
        self._layer.stop()

    def __enter__(self) -> EcuSimulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def respond(self, request: bytes) -> bytes | None:
        """The response to a request (at least one byte long), or None where it asks for none."""
        service, rest = request[0], request[1:]
        try:
            handler = self._services.get(service)
            if handler is None:
                raise Refused(ResponseCode.SERVICE_NOT_SUPPORTED)
            content = handler(rest)
        except Refused as refusal:
            return bytes((NEGATIVE_RESPONSE, service, refusal.code))
        return None if content is None else bytes((service + POSITIVE_OFFSET,)) + content

    def _serve(self) -> None:
        while not self._stop_requested.is_set():
            request = self._layer.recv(block=True, timeout=0.1)
            if request:
                response = self.respond(bytes(request))
                if response is not None:
                    self._layer.send(response)

    def _diagnostic_session_control(self, rest: bytes) -> bytes | None:
        require(len(rest) == 1)
        wanted = rest[0] & ~SUPPRESS_POSITIVE_RESPONSE
        if wanted not in tuple(Session):
            raise Refused(ResponseCode.SUB_FUNCTION_NOT_SUPPORTED)
        self.session = Session(wanted)
        self._download = None
        if rest[0] & SUPPRESS_POSITIVE_RESPONSE:
            return None
        # P2 in milliseconds, P2* (after a "response pending") in units of 10 ms.
        return bytes((wanted,)) + self._p2_ms.to_bytes(2, "big") + self._p2_ms.to_bytes(2, "big")

    def _tester_present(self, rest: bytes) -> bytes | None:
        require(len(rest) == 1)
        if rest[0] & ~SUPPRESS_POSITIVE_RESPONSE:
            raise Refused(ResponseCode.SUB_FUNCTION_NOT_SUPPORTED)
        return None if rest[0] & SUPPRESS_POSITIVE_RESPONSE else b"\x00"

    def _read_data_by_identifier(self, rest: bytes) -> bytes:
        require(len(rest) >= 2 and len(rest) % 2 == 0)
        wanted = (int.from_bytes(rest[at : at + 2], "big") for at in range(0, len(rest), 2))
        known = [identifier for identifier in wanted if identifier in self.identifiers]
        if not known:
            raise Refused(ResponseCode.REQUEST_OUT_OF_RANGE)
        return b"".join(identifier.to_bytes(2, "big") + self.identifiers[identifier] for identifier in known)

    def _write_data_by_identifier(self, rest: bytes) -> bytes:
        self._require_session(Session.EXTENDED)
        require(len(rest) >= 3)
        identifier, value = int.from_bytes(rest[:2], "big"), rest[2:]
        if identifier not in self.identifiers:
            raise Refused(ResponseCode.REQUEST_OUT_OF_RANGE)
        if identifier in self._read_only:
            raise Refused(ResponseCode.SECURITY_ACCESS_DENIED)
        require(len(value) == len(self.identifiers[identifier]))
        self.identifiers[identifier] = value
        return rest[:2]

    def _request_download(self, rest: bytes) -> bytes:
        self._require_session(Session.PROGRAMMING)
        require(len(rest) >= 2)
        data_format, sizes = rest[0], rest[1]
        address_size, length_size = sizes & 0x0F, sizes >> 4
        require(address_size > 0 and length_size > 0 and len(rest) == 2 + address_size + length_size)
        if data_format:  # compressed or encrypted
            raise Refused(ResponseCode.REQUEST_OUT_OF_RANGE)
        address = int.from_bytes(rest[2 : 2 + address_size], "big")
        self._download = Download(address, size=int.from_bytes(rest[2 + address_size :], "big"))
        return b"\x40" + self._max_block_length.to_bytes(4, "big")

    def _transfer_data(self, rest: bytes) -> bytes:
        download = self._require_download()
        require(2 <= len(rest) < self._max_block_length)
        block, content = rest[0], rest[1:]
        # A tester that missed the response repeats its last block: acknowledge that, but take it only once.
        if block == (download.next_block - 1) % 256 and download.data:
            return rest[:1]
        if block != download.next_block:
            raise Refused(ResponseCode.WRONG_BLOCK_SEQUENCE_COUNTER)
        if len(download.data) + len(content) > download.size:
            raise Refused(ResponseCode.TRANSFER_DATA_SUSPENDED)
        download.data += content
        download.next_block = (download.next_block + 1) % 256
        return rest[:1]

    def _request_transfer_exit(self, rest: bytes) -> bytes:
        download = self._require_download()
        require(not rest)
        if len(download.data) < download.size:
            raise Refused(ResponseCode.REQUEST_SEQUENCE_ERROR)
        self.memory[download.address] = bytes(download.data)
        self._download = None
        return b""

    def _require_session(self, session: Session) -> None:
        if self.session != session:
            raise Refused(ResponseCode.SERVICE_NOT_SUPPORTED_IN_ACTIVE_SESSION)

    def _require_download(self) -> Download:
        self._require_session(Session.PROGRAMMING)
        if self._download is None:
            raise Refused(ResponseCode.REQUEST_SEQUENCE_ERROR)
        return self._download


def require(well_formed: bool) -> None:
    """Refuse a request whose length or format is wrong."""
    if not well_formed:
        raise Refused(ResponseCode.INCORRECT_MESSAGE_LENGTH_OR_INVALID_FORMAT)


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer UDS requests on a CAN bus until Ctrl-C.")
    parser.add_argument("--interface", required=True, help="python-can's name of the adapter, say socketcan")
    parser.add_argument("--channel", required=True, help="its channel, say can0")
    parser.add_argument("--bitrate", type=int, default=500_000)
    parser.add_argument("--rxid", type=lambda text: int(text, 16), default=0x7E0, help="hexadecimal")
    parser.add_argument("--txid", type=lambda text: int(text, 16), default=0x7E8, help="hexadecimal")
    arguments = parser.parse_args()
    address = isotp.Address(isotp.AddressingMode.Normal_11bits, rxid=arguments.rxid, txid=arguments.txid)
    with can.Bus(interface=arguments.interface, channel=arguments.channel, bitrate=arguments.bitrate) as bus:
        layer = isotp.CanStack(bus, address=address)
        with EcuSimulator(layer, {0xF190: b"WVWZZZ1JZXW000001", 0x0100: bytes(4)}, read_only=[0xF190]):
            print(f"Listening on {arguments.channel} for 0x{arguments.rxid:X}; Ctrl-C ends.")
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                print("Stopped.")


if __name__ == "__main__":
    main()
