"""python-can's own SocketcanBus without a CAN kernel: UDP on loopback carries frames and the kernel's time stamps."""

from __future__ import annotations

import logging
import select
import socket
import threading
from typing import Any

import pytest


class Wire:
    """What one connection sends, all others get. Close it after its buses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._module = pytest.importorskip("can.interfaces.socketcan.socketcan")
        self._monkeypatch = monkeypatch
        self._far_ends: list[socket.socket] = []
        self._stop, self._stopping = socket.socketpair()
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()
        # Options of CAN sockets are none of UDP's; python-can says so.
        logging.getLogger("can.interfaces.socketcan.socketcan").setLevel(logging.CRITICAL)

    def open(self, **options: Any) -> Any:
        """One more bus on it."""
        near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for end in (near, far):
            end.bind(("127.0.0.1", 0))
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        near.connect(far.getsockname())
        far.connect(near.getsockname())
        self._monkeypatch.setattr(self._module, "create_socket", lambda: near)
        self._monkeypatch.setattr(self._module, "bind_socket", lambda *_: None)
        bus = self._module.SocketcanBus(channel="vcan0", **options)
        self._far_ends.append(far)
        self._stopping.send(b"?")  # there is one more to look at
        return bus

    def _forward(self) -> None:
        while True:
            for end in select.select((self._stop, *self._far_ends), (), ())[0]:
                if end is self._stop:
                    if self._stop.recv(1) == b"!":
                        return
                    continue
                try:
                    frame = end.recv(100)
                    # Those that are there now: one may have come since the wait began.
                    for other in tuple(self._far_ends):
                        if other is not end:
                            other.send(frame)
                except ConnectionRefusedError:
                    pass  # a bus that was shut down

    def close(self) -> None:
        self._stopping.send(b"!")
        self._thread.join()
        for end in (*self._far_ends, self._stop, self._stopping):
            end.close()
