"""Many threads call everything at random on started layers, while others count on what they send.

    python checks/stress/program.py [--seconds N] [--seed N]

On every kind of link there are three pairs of layers. The *steady* pair carries numbered payloads with checksums in
both directions, from several threads; nobody stops it, so each payload has to arrive once, whole and in order.
The *restless* pair shares its bus, and its threads call every public method at random: start, stop, sending in every
way, new addresses and parameters, callbacks that raise or call back into the layer. Many of its payloads are lost;
what arrives has to be whole, though, and no payload arrives twice. The *wild* pair does what forges payloads, too: its
layers hear frames that nobody sent, and some of those that they send do not go out. It only has to survive.

Prints the seed first. The exit status is 1 if a payload was lost, doubled or changed, if a call raised what it must
not, or if a thread stays behind. What hangs ends with the stacks of all threads.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import itertools
import logging
import queue
import random
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

# python-can loads it where it is installed, and with it polars, which does not start under ThreadSanitizer.
sys.modules["asammdf"] = None  # type: ignore[assignment]

import can  # noqa: E402

import isotp  # noqa: E402
from isotp.hub import Hub  # noqa: E402

# Payloads of one direction that are on their way at a time
WINDOW = 8
LARGEST = 1500
# For the slowest of the instrumented builds on a busy machine; only what hangs takes that long.
PATIENCE = 60.0
# As long, so that no message of a steady pair is given up
STEADY = {"rx_flowcontrol_timeout": 60_000, "rx_consecutive_frame_timeout": 60_000}
RESTLESS = {"rx_flowcontrol_timeout": 100, "rx_consecutive_frame_timeout": 100}
# What a call may raise on a layer that others start, stop and change
EXPECTED = (
    RuntimeError,
    isotp.BlockingSendTimeout,
    isotp.BlockingSendFailure,
    # Those of callbacks, to whoever polls
    ZeroDivisionError,
    SystemExit,
    KeyboardInterrupt,
)

Pair = tuple[isotp.TransportLayer, isotp.TransportLayer]
MakePair = Callable[[isotp.Address, isotp.Address, dict[str, Any]], Pair]


def addresses(number: int) -> tuple[isotp.Address, isotp.Address]:
    """The two ends of session `number`."""
    mode = isotp.AddressingMode.Normal_11bits
    one, other = 0x100 + 2 * number, 0x101 + 2 * number
    address = isotp.Address(mode, txid=one, rxid=other)
    return address, address.reversed()


# --- Links: each makes pairs of layers that can reach one another ---------------------------------------------


def queue_link(stack: ExitStack) -> MakePair:
    def reader(line: queue.Queue[isotp.CanMessage]) -> Callable[[float], isotp.CanMessage | None]:
        def rxfn(timeout: float) -> isotp.CanMessage | None:
            try:
                return line.get(timeout=timeout)
            except queue.Empty:
                return None

        return rxfn

    def make(here: isotp.Address, there: isotp.Address, params: dict[str, Any]) -> Pair:
        to: queue.Queue[isotp.CanMessage] = queue.Queue()
        back: queue.Queue[isotp.CanMessage] = queue.Queue()
        return (
            isotp.TransportLayer(reader(back), to.put, here, params=params, read_timeout=0.01),
            isotp.TransportLayer(reader(to), back.put, there, params=params, read_timeout=0.01),
        )

    return make


def open_bus(stack: ExitStack, channel: str) -> can.BusABC:
    bus = can.Bus(channel, interface="virtual")
    stack.callback(bus.shutdown)
    return bus


def can_stack_link(stack: ExitStack) -> MakePair:
    def make(here: isotp.Address, there: isotp.Address, params: dict[str, Any]) -> Pair:
        # One bus each, on a channel that all stacks share: each hears the frames of all.
        one, other = (
            isotp.CanStack(open_bus(stack, "stacks"), address=address, params=params, read_timeout=0.01)
            for address in (here, there)
        )
        return one, other

    return make


def notifier_link(stack: ExitStack) -> MakePair:
    buses = [open_bus(stack, "notifiers") for _ in range(2)]
    notifiers = [can.Notifier(bus, [], timeout=0.1) for bus in buses]
    for notifier in notifiers:
        stack.callback(notifier.stop)

    def make(here: isotp.Address, there: isotp.Address, params: dict[str, Any]) -> Pair:
        one, other = (
            isotp.NotifierBasedCanStack(bus, notifier, address=address, params=params)
            for bus, notifier, address in zip(buses, notifiers, (here, there), strict=True)
        )
        return one, other

    return make


def hub_link(stack: ExitStack) -> MakePair:
    hubs = [stack.enter_context(Hub(open_bus(stack, "hubs"))) for _ in range(2)]

    def make(here: isotp.Address, there: isotp.Address, params: dict[str, Any]) -> Pair:
        one, other = (
            hub.session(address, params=params) for hub, address in zip(hubs, (here, there), strict=True)
        )
        return one, other

    return make


LINKS = {"queue": queue_link, "CanStack": can_stack_link, "notifier": notifier_link, "hub": hub_link}


# --- The steady pairs -----------------------------------------------------------------------------------------


class Direction:
    """Numbered payloads from one steady layer to the other."""

    def __init__(self, sender: isotp.TransportLayer, receiver: isotp.TransportLayer, seed: int) -> None:
        self.sender, self.receiver = sender, receiver
        self.random = random.Random(seed)
        self.room = threading.Semaphore(WINDOW)
        self.sent = 0
        self.all_sent = threading.Event()
        self.received = 0

    def payload(self, number: int) -> bytes:
        body = number.to_bytes(4, "big") + self.random.randbytes(self.random.choice((1, 3, 60, LARGEST)))
        return body + zlib.crc32(body).to_bytes(4, "big")

    def send(self, is_over: threading.Event) -> None:
        while not is_over.is_set():
            if not self.room.acquire(timeout=PATIENCE):
                raise AssertionError(
                    f"{self.sender!r}: {self.sent} sent, {self.received} received, and no more"
                )
            payload = self.payload(self.sent)
            self.sent += 1
            if self.random.random() < 0.2:
                self.sender.send((iter(payload), len(payload)))
            else:
                self.sender.send(payload)
        self.all_sent.set()

    def receive(self, is_over: threading.Event) -> None:
        while not (self.all_sent.is_set() and self.received == self.sent):
            message = self.receiver.recv(block=True, timeout=0.1 if self.all_sent.is_set() else 1.0)
            if message is None:
                if self.all_sent.is_set() and not self.receiver.available() and self.idle():
                    break
                continue
            self.check(bytes(message))
            self.received += 1
            self.room.release()
        if self.received != self.sent:
            raise AssertionError(f"{self.receiver!r}: {self.sent} sent, {self.received} received")

    def idle(self) -> bool:
        return not self.sender.transmitting() and not self.receiver.is_rx_active()

    def check(self, message: bytes) -> None:
        number = int.from_bytes(message[:4], "big")
        if zlib.crc32(message[:-4]) != int.from_bytes(message[-4:], "big"):
            raise AssertionError(
                f"payload {self.received} of {self.receiver!r} was changed: {message[:20].hex()}"
            )
        if number != self.received:
            raise AssertionError(f"payload {number} of {self.receiver!r} came in place of {self.received}")


def look(layer: isotp.TransportLayer, chance: random.Random) -> None:
    """Call something that changes nothing, or nothing that matters to the messages."""
    looks: tuple[Callable[[], object], ...] = (
        layer.available,
        layer.transmitting,
        layer.sleep_time,
        layer.deadline_ns,
        layer.next_cf_delay,
        layer.is_tx_throttled,
        layer.is_tx_transmitting_cf,
        layer.is_rx_active,
        layer.make_flow_control,
        lambda: repr(layer),
        lambda: (layer.rx_buffer, layer.tx_standby_msg, layer.last_error, layer.active_send_request),
        lambda: (layer.timer_rx_fc, layer.timer_rx_cf, layer.timer_tx_stmin, layer.remote_blocksize),
        lambda: layer.params.set("stmin", chance.choice((0, 0, 0xF1))),
        lambda: layer.params.set("tx_padding", chance.choice((None, 0xCC))),
        lambda: layer.set_address(layer.address),
        lambda: layer.receive_also(()),
        layer.rate_limiter.update,
    )
    chance.choice(looks)()


# --- The restless pairs ---------------------------------------------------------------------------------------


# No payload of a restless layer begins like this: it is that of frames that nobody sent.
FORGED = bytes.fromhex("01 02 03 04 05")
# So that numbered payloads do not
FIRST_NUMBER = 0x80_0000


class Traffic:
    """The payloads of a restless pair: who sent which, and which have arrived."""

    def __init__(self) -> None:
        self.numbers = itertools.count(FIRST_NUMBER)
        self.senders: dict[int, Restless] = {}
        self.arrived: set[int] = set()
        self.problems: list[str] = []

    def payload(self, sender: Restless, chance: random.Random) -> bytes:
        number = next(self.numbers)
        self.senders[number] = sender
        body = number.to_bytes(3, "big") + chance.randbytes(chance.choice((0, 1, 193, LARGEST - 7)))
        return body + zlib.crc32(body).to_bytes(4, "big")

    def check(self, receiver: Restless, message: bytes | None) -> None:
        if message is None or message.startswith(FORGED):
            return
        number = int.from_bytes(message[:3], "big")
        if zlib.crc32(message[:-4]) != int.from_bytes(message[-4:], "big"):
            self.problems.append(f"{len(message)} bytes at {receiver.layer!r} were changed: {message.hex()}")
        elif self.senders.get(number) in (None, receiver):
            self.problems.append(f"payload {number} at {receiver.layer!r} is its own")
        elif number in self.arrived:
            self.problems.append(f"payload {number} at {receiver.layer!r} came twice")
        self.arrived.add(number)


class Restless:
    """A layer with callbacks that raise or use their layer, and everything that one can do to it."""

    def __init__(self, layer: isotp.TransportLayer, traffic: Traffic, seed: int) -> None:
        self.layer = layer
        self.traffic = traffic
        self.address = layer.address
        self.in_callbacks = random.Random(seed)
        layer.error_handler = self.on_error
        layer.post_send_callback = self.on_queued

    def on_error(self, error: Exception) -> None:
        what = self.in_callbacks.randrange(6)
        if what == 0:
            raise self.in_callbacks.choice((ZeroDivisionError, SystemExit, KeyboardInterrupt))
        if what == 1:
            self.layer.stop_sending()
        elif what == 2:
            self.layer.stop_receiving()
        elif what == 3 and self.in_callbacks.randrange(10) == 0:
            self.layer.stop()
        elif what == 4:
            self.recv(block=False)

    def on_queued(self, request: Any) -> None:
        what = self.in_callbacks.randrange(40)
        if what == 0:
            raise ZeroDivisionError("a callback that raises")
        if what == 1:
            self.layer.clear_tx_queue()
        elif what == 2:
            request.complete_event.is_set()

    def payload(self, chance: random.Random) -> Any:
        payload = self.traffic.payload(self, chance)
        if chance.random() < 0.2:
            given = len(payload) if chance.random() < 0.7 else len(payload) // 2
            return iter(payload[:given]), len(payload)
        return payload

    def send(self, chance: random.Random) -> None:
        self.layer.send(self.payload(chance), send_timeout=chance.choice((0.0, 0.01, 0.05)))

    def recv(self, block: bool) -> None:
        self.traffic.check(self, self.layer.recv(block=block, timeout=0.005))

    def process(self, chance: random.Random) -> None:
        self.layer.process(rx_timeout=0.001)

    def single_steps(self, chance: random.Random) -> None:
        self.layer.process_rx(
            isotp.CanMessage(self.address.get_rx_arbitration_id(), data=b"\x10\x0a" + FORGED)
        )
        self.layer.check_timeouts_rx()

    def frame_of_nobody(self, chance: random.Random) -> bytes:
        """As a faulty device would send it, but no consecutive frame: that might be the one which is due."""
        return chance.choice(
            (
                bytes.fromhex("30 00 00"),
                bytes.fromhex("32 00 00"),
                b"\x05" + FORGED,
                bytes.fromhex("10 00 FF FF FF FF"),
                bytes([chance.randrange(0x40, 0x100)]) + chance.randbytes(7),
            )
        )

    def inject(self, chance: random.Random) -> None:
        data = self.frame_of_nobody(chance)
        self.layer._feed(isotp.CanMessage(self.address.get_rx_arbitration_id(), data=data))

    def change(self, chance: random.Random) -> None:
        name, values = chance.choice(
            (
                ("blocksize", (0, 1, 8)),
                ("stmin", (0, 1, 0xF3)),
                ("wftmax", (0, 3)),
                ("blocking_send", (True, False)),
                ("tx_padding", (None, 0)),
                ("max_frame_size", (100, 4095)),
                ("rx_flowcontrol_timeout", (0, 20, 100)),
            )
        )
        self.layer.params.set(name, chance.choice(values))

    def throttle(self, chance: random.Random) -> None:
        limiter = self.layer.rate_limiter
        what = chance.randrange(4)
        if what == 0:
            limiter.set_bitrate(chance.choice((50_000, 5_000_000)))
            limiter.enable()
        elif what == 1:
            limiter.disable()
        elif what == 2:
            limiter.reset()
        else:
            limiter.inform_byte_sent(8)

    def act(self, chance: random.Random) -> None:
        layer = self.layer
        acts: tuple[tuple[int, Callable[[], object]], ...] = (
            (12, lambda: self.send(chance)),
            (12, lambda: self.recv(block=chance.random() < 0.3)),
            (6, lambda: look(layer, chance)),
            (3, layer.start),
            (1, layer.stop),
            (2, layer.stop_sending),
            (2, layer.stop_receiving),
            (1, layer.clear_rx_queue),
            (1, layer.clear_tx_queue),
            (1, layer.reset),
            (1, layer.load_params),
            (2, lambda: self.change(chance)),
            (2, lambda: self.inject(chance)),
            (1, lambda: self.single_steps(chance)),
            *self.forgeries(chance),
            (1, lambda: self.process(chance)),
            (1, layer._drive),
            (1, lambda: self.throttle(chance)),
            (1, lambda: layer.set_address(self.address)),
        )
        weights = [weight for weight, _ in acts]
        with suppress(EXPECTED):
            chance.choices([act for _, act in acts], weights)[0]()
        if self.traffic.problems:
            raise AssertionError("\n".join(self.traffic.problems))

    def forgeries(self, chance: random.Random) -> tuple[tuple[int, Callable[[], object]], ...]:
        """What a wild one does as well."""
        return ()


class WildTraffic(Traffic):
    """The payloads of a wild pair: anything may arrive."""

    def check(self, receiver: Restless, message: bytes | None) -> None:
        pass


class Wild(Restless):
    """A layer that hears any frame, and where frames are lost that its machine has sent."""

    def frame_of_nobody(self, chance: random.Random) -> bytes:
        return chance.choice((super().frame_of_nobody(chance), chance.randbytes(8)))

    def forgeries(self, chance: random.Random) -> tuple[tuple[int, Callable[[], object]], ...]:
        return ((1, self.layer.process_tx),)


# --- The whole ------------------------------------------------------------------------------------------------


class Crew:
    """Threads that must all end well."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.failures: list[str] = []
        self.threads: list[threading.Thread] = []

    def add(self, name: str, work: Callable[[threading.Event], object]) -> None:
        def run() -> None:
            try:
                work(self.is_over)
            except BaseException:
                self.failures.append(f"{name}: {traceback.format_exc()}")
                self.is_over.set()

        self.threads.append(threading.Thread(target=run, name=name, daemon=True))

    def run(self, seconds: float) -> None:
        for thread in self.threads:
            thread.start()
        self.is_over.wait(seconds)
        self.is_over.set()
        for thread in self.threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                faulthandler.dump_traceback()
                self.failures.append(f"{thread.name} does not end")


def at_random(act: Callable[[random.Random], object], seed: int) -> Callable[[threading.Event], None]:
    def work(is_over: threading.Event) -> None:
        chance = random.Random(seed)
        while not is_over.is_set():
            act(chance)
            # A share of the machine for the threads that carry messages
            time.sleep(chance.choice((0, 0, 0.001)))

    return work


def seeds(seed: int) -> Iterator[int]:
    chance = random.Random(seed)
    while True:
        yield chance.getrandbits(32)


def stress(seconds: float, seed: int) -> list[str]:
    """Run it all; the failures, and a line of figures on stdout."""
    threads_before = set(threading.enumerate())
    seed_of = seeds(seed)
    crew = Crew()
    directions: list[Direction] = []
    layers: list[isotp.TransportLayer] = []
    traffics: list[Traffic] = []
    with ExitStack() as stack:
        for number, (name, link) in enumerate(LINKS.items()):
            make = link(stack)
            steady = make(*addresses(3 * number), STEADY)
            for layer in steady:
                layer.start()
            for one, other in (steady, steady[::-1]):
                directions.append(Direction(one, other, next(seed_of)))
                crew.add(f"{name}: sender", directions[-1].send)
                crew.add(f"{name}: receiver", directions[-1].receive)
                crew.add(
                    f"{name}: looks", at_random(lambda chance, layer=one: look(layer, chance), next(seed_of))
                )
            restless = make(*addresses(3 * number + 1), RESTLESS)
            traffic = Traffic()
            for layer in restless:
                actor = Restless(layer, traffic, next(seed_of))
                for _ in range(2):
                    crew.add(f"{name}: restless", at_random(actor.act, next(seed_of)))
            wild = make(*addresses(3 * number + 2), RESTLESS)
            for layer in wild:
                crew.add(
                    f"{name}: wild", at_random(Wild(layer, WildTraffic(), next(seed_of)).act, next(seed_of))
                )
            layers += [*steady, *restless, *wild]
            traffics.append(traffic)
        crew.run(seconds)
        for layer in layers:
            layer.stop()
    gc.collect()
    left = [
        thread
        for thread in threading.enumerate()
        if thread not in threads_before and thread.name not in ("isotp timekeeper", "isotp callbacks")
    ]
    crew.failures += [f"{thread!r} was left behind" for thread in left]
    received = [direction.received for direction in directions]
    print(f"{sum(received)} payloads received, {min(received)} to {max(received)} a direction", flush=True)
    arrived = ", ".join(f"{len(traffic.arrived)} of {len(traffic.senders)}" for traffic in traffics)
    print(f"payloads of restless layers that arrived: {arrived}", flush=True)
    return crew.failures


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    # Twice: threads that wait for others, and then those that wait for these
    faulthandler.dump_traceback_later(options.seconds + 2.5 * PATIENCE, exit=True)
    # What the restless layers report is not what this is about.
    logging.getLogger("isotp").setLevel(logging.CRITICAL + 1)
    logging.getLogger("can").setLevel(logging.CRITICAL + 1)
    failures = stress(options.seconds, options.seed)
    for failure in failures:
        print(failure, file=sys.stderr)
    print("good" if not failures else f"NOT GOOD: {len(failures)} failures", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
