"""Log the messages of several sessions on two buses, as they come, as JSON lines. Sends nothing.

    python examples/logger_rig.py --interface socketcan can0 can1 --session 7E0:7E8 --session 7E1:7E9 > messages.jsonl

Each bus has a hub: one thread for all of its sessions. A session is heard in both directions by two layers in listen
mode. Ends by Ctrl-C, or after `--count` messages; says then, for each bus, what was seen and what went wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
import time
from typing import TextIO

import can

import isotp


class Logger:
    """Writes a line for each message and each error, whatever thread they come from."""

    def __init__(self, output: TextIO, count: int | None = None) -> None:
        self.done = threading.Event()
        self._output = output
        self._left = count
        self._lock = threading.Lock()
        # on_message has the time of time.perf_counter_ns(), logs are by the clock on the wall.
        self._wall_ns = time.time_ns() - time.perf_counter_ns()

    def listen(self, hub: isotp.Hub, bus: str, tester: int, ecu: int) -> None:
        """Hear one session in both directions."""
        for sender, receiver in ((tester, ecu), (ecu, tester)):
            name = f"{sender:X}>{receiver:X}"

            def on_message(
                payload: bytes, address: isotp.Address, time_ns: int, name: str = name, bus: str = bus
            ) -> None:
                self._write(time_ns, {"bus": bus, "from_to": name, "payload": bytes(payload).hex()})

            def on_error(error: isotp.IsoTpError, name: str = name, bus: str = bus) -> None:
                text = {"bus": bus, "from_to": name, "error": type(error).__name__, "text": str(error)}
                self._write(time.perf_counter_ns(), text)

            session = hub.session(
                isotp.Address(rxid=sender, txid=receiver),
                on_message=on_message,
                error_handler=on_error,
                # N_Cr is that of the listener: generous, as it cannot tell the sender to hurry.
                params={
                    "listen_mode": True,
                    "max_frame_size": 0xFFFF_FFFF,
                    "rx_consecutive_frame_timeout": 2000,
                },
            )
            session.start()

    def _write(self, monotonic_ns: int, line: dict[str, str]) -> None:
        with self._lock:
            if self._left == 0:
                return
            print(json.dumps({"time": monotonic_ns + self._wall_ns, **line}), file=self._output, flush=True)
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    self.done.set()


def session_of(text: str) -> tuple[int, int]:
    tester, _, ecu = text.partition(":")
    return int(tester, 16), int(ecu, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description="Log the messages of sessions on several buses.")
    parser.add_argument("--interface", required=True, help="python-can's name of the adapter, say socketcan")
    parser.add_argument("channels", nargs="+", help="its channels, say can0 can1")
    parser.add_argument(
        "--session", action="append", required=True, type=session_of, help="two CAN IDs, say 7E0:7E8"
    )
    parser.add_argument("--count", type=int, help="end after so many messages")
    options = parser.parse_args()

    logger = Logger(sys.stdout, options.count)
    with contextlib.ExitStack() as opened:
        hubs = {}
        for channel in options.channels:
            bus = opened.enter_context(can.Bus(interface=options.interface, channel=channel))
            hubs[channel] = opened.enter_context(isotp.Hub(bus))
            for tester, ecu in options.session:
                logger.listen(hubs[channel], channel, tester, ecu)
        print("listening", file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            logger.done.wait()
        for channel, hub in hubs.items():
            print(f"{channel}: {hub.stats.as_dict()}", file=sys.stderr)


if __name__ == "__main__":
    main()
