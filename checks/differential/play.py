"""Plays a script on a polled layer, ours or can-isotp's alike, and tells what could be seen after each step.

Only names that both packages have are used. A script is plain JSON, as scripts.py writes it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

LOGGER_NAME = "differential"
# Each error is logged as a warning; the error handler is what is looked at.
logging.getLogger(LOGGER_NAME).setLevel(logging.CRITICAL + 1)

START_NS = 3600 * 1_000_000_000


class Clock:
    """Time that moves when a script says so."""

    def __init__(self) -> None:
        self.ns = START_NS

    def __call__(self) -> int:
        return self.ns


def payload(size: int, seed: int) -> bytes:
    """Bytes of which each tells its place, nearly."""
    return bytes((seed + 7 * k + (k >> 8)) & 0xFF for k in range(size))


def address_of(isotp: Any, description: dict[str, Any]) -> Any:
    if "tx" in description:
        return isotp.AsymmetricAddress(
            address_of(isotp, description["tx"]), address_of(isotp, description["rx"])
        )
    arguments = dict(description)
    return isotp.Address(isotp.AddressingMode(arguments.pop("mode")), **arguments)


class Player:
    """One layer on one script. `attach` gives a new layer the clock."""

    def __init__(
        self, isotp: Any, clock: Clock, attach: Callable[[Any], None], script: dict[str, Any]
    ) -> None:
        self.isotp = isotp
        self.clock = clock
        self.attach = attach
        self.address = script["address"]
        self.params = dict(script["params"])
        self.incoming: deque[Any] = deque()
        self.may_read = -1
        self.events: list[Any] = []
        self.requests: dict[int, Any] = {}
        self.count = 0
        clock.ns = START_NS
        self.build()

    def build(self) -> None:
        isotp = self.isotp
        self.incoming.clear()
        self.requests = {}
        self.layer = isotp.TransportLayerLogic(
            self.rxfn,
            self.txfn,
            address_of(isotp, self.address),
            lambda error: self.events.append(type(error).__name__),
            {**self.params, "logger_name": LOGGER_NAME, "wait_func": lambda seconds: None},
            self.note_request,
        )
        self.attach(self.layer)

    def rxfn(self, timeout: float) -> Any:
        if not self.incoming or self.may_read == 0:
            return None
        self.may_read -= 1
        # The wait until the frame came, or until none came
        waited_ns, *frame = self.incoming.popleft()
        self.clock.ns += waited_ns if timeout > 0 else 0
        if not frame:
            return None
        can_id, extended, data, is_fd = frame
        return self.isotp.CanMessage(can_id, 0, bytes.fromhex(data), extended, is_fd)

    def txfn(self, message: Any) -> None:
        self.events.append(
            [
                message.arbitration_id,
                bool(message.is_extended_id),
                bytes(message.data).hex(),
                message.dlc,
                bool(message.is_fd),
                bool(message.bitrate_switch),
            ]
        )

    def note_request(self, request: Any) -> None:
        self.requests[self.count] = request
        self.count += 1

    # ------------------------------------------------ the steps

    def step(self, name: str, *arguments: Any) -> Any:
        return getattr(self, "do_" + name)(*arguments)

    def do_wait(self, ns: int) -> None:
        self.clock.ns += ns

    def do_hear(self, frames: list[Any]) -> None:
        self.incoming.extend(frames)

    def do_process(self, arguments: dict[str, Any]) -> Any:
        stats = self.layer.process(**arguments)
        return [stats.received, stats.received_processed, stats.sent, stats.frame_received]

    def do_settle(self, arguments: dict[str, Any]) -> Any:
        """One frame after the other, each in a pass of its own, with as many passes as change anything after it."""
        total = [0, 0, 0, 0]
        try:
            while True:
                self.may_read = 1
                before = None
                while before != (before := self.state()):
                    total = [a + b for a, b in zip(total, self.do_process(arguments), strict=True)]
                if not self.incoming or self.may_read == 1:
                    return total  # nothing is left, or nothing is read any more
        finally:
            self.may_read = -1

    def state(self) -> Any:
        layer = self.layer
        return len(self.events), len(self.incoming), layer.rx_state, layer.tx_state, layer.transmitting()

    def do_send(self, size: int, seed: int, kind: str, address_type: int | None) -> None:
        data: Any = payload(size, seed)
        if kind == "list":
            data = list(data)
        elif kind == "bytearray":
            data = bytearray(data)
        elif kind != "bytes":
            data = data[:-1] if kind == "short" else data + b"\x55" if kind == "long" else data
            data = ((byte for byte in data), size)
        self.layer.send(data, address_type)

    def do_recv(self) -> Any:
        received = []
        while (message := self.layer.recv()) is not None:
            received.append(bytes(message).hex())
        return received

    def do_call(self, method: str) -> None:
        getattr(self.layer, method)()

    def do_assign(self, values: dict[str, Any], load: bool) -> None:
        self.params.update(values)
        for name, value in values.items():
            if name == "default_target_address_type":
                value = self.isotp.TargetAddressType(value)
            setattr(self.layer.params, name, value)
        if load:
            self.layer.load_params()

    def do_readdress(self, description: dict[str, Any]) -> None:
        self.address = description
        self.layer.set_address(address_of(self.isotp, description))

    def do_rebuild(self) -> None:
        """Begin anew with the address and the parameters of the moment."""
        self.build()

    # ------------------------------------------------ what can be seen

    def observe(self, raised: str | None, returned: Any) -> dict[str, Any]:
        layer = self.layer
        delay = layer.next_cf_delay()
        events, self.events = self.events, []
        return {
            "raised": raised,
            "returned": returned,
            "unread": len(self.incoming),
            "frames": [event for event in events if type(event) is list],
            "errors": [event for event in events if type(event) is str],
            "rx": layer.rx_state.name,
            "tx": layer.tx_state.name,
            "available": bool(layer.available()),
            "transmitting": bool(layer.transmitting()),
            "throttled": bool(layer.is_tx_throttled()),
            "receiving": bool(layer.is_rx_active()),
            "cf_delay_ns": None if delay is None else round(delay * 1e9),
            "sleep_time": layer.sleep_time(),
            "ended": self.newly_ended(),
        }

    def newly_ended(self) -> list[Any]:
        """Messages, by their number, and whether they were sent."""
        ended = [
            [number, bool(request.success)]
            for number, request in self.requests.items()
            if request.complete_event.is_set()
        ]
        for number, _ in ended:
            del self.requests[number]
        return ended


def play(isotp: Any, clock: Clock, attach: Callable[[Any], None], script: dict[str, Any]) -> Iterator[Any]:
    """The observation after each step of the script."""
    player = Player(isotp, clock, attach, script)
    for name, *arguments in script["steps"]:
        raised = returned = None
        try:
            returned = player.step(name, *arguments)
        except Exception as error:
            raised = type(error).__name__
        yield player.observe(raised, returned)
