"""How well discovery tells sessions from signals: precision and recall by addressing mode and kind of traffic.

``python -m benchmarks.discovery`` prints the tables; tests/bulk/test_discovery.py asserts what they show.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import isotp
from isotp import Address, AddressingMode, FoundSession, Records
from isotp.address import AbstractAddress

MS = 1_000_000
SECOND = 1_000_000_000
EXTENDED = 0x80000000


class Frame(NamedTuple):
    """One frame on a bus: its time in ns, its ID with bit 31 for 29 bits, its data."""

    time: int
    can_id: int
    data: bytes


# -- Signals -------------------------------------------------------------------------------------------------------

# What a signal message does: given a source of randomness, data of the frame number 0, 1, 2 ...
Signal = Callable[[random.Random], Callable[[int], bytes]]

SIGNALS: dict[str, Signal] = {}


def signal(make: Signal) -> Signal:
    SIGNALS[make.__name__] = make
    return make


def drift(rng: random.Random, size: int) -> Callable[[int], bytes]:
    """Bytes that change slowly, as most signals do."""
    values = [rng.randrange(256) for _ in range(size)]
    steps = [rng.choice((0, 0, 1, 1, 2, 5)) for _ in range(size)]

    def data(number: int) -> bytes:
        for k in range(size):
            values[k] = min(max(values[k] + rng.randint(-steps[k], steps[k]), 0), 255)
        return bytes(values)

    return data


@signal
def random_bytes(rng: random.Random) -> Callable[[int], bytes]:
    size = rng.choice((4, 8, 8, 8))
    return lambda number: rng.randbytes(size)


@signal
def random_bytes_fd(rng: random.Random) -> Callable[[int], bytes]:
    size = rng.choice((12, 16, 32, 64))
    return lambda number: rng.randbytes(size)


@signal
def slow_values(rng: random.Random) -> Callable[[int], bytes]:
    return drift(rng, rng.choice((2, 4, 6, 8, 8, 8)))


@signal
def slow_values_fd(rng: random.Random) -> Callable[[int], bytes]:
    return drift(rng, rng.choice((12, 16, 32, 64)))


@signal
def constant(rng: random.Random) -> Callable[[int], bytes]:
    held = rng.randbytes(rng.randint(1, 8))
    return lambda number: held


@signal
def constant_like_n_pci(rng: random.Random) -> Callable[[int], bytes]:
    """A frame that might be of a session, again and again."""
    held = rng.choice(
        ("0210030000000000", "023E800000000000", "30000000", "300000AAAAAAAAAA", "0650030032", "103F", "21")
    )
    return lambda number: bytes.fromhex(held).ljust(8, b"\0")


@signal
def small_values(rng: random.Random) -> Callable[[int], bytes]:
    """The first byte may be an SF_DL, and all unused bytes are zero."""
    size = rng.randint(1, 4)
    values = drift(rng, size)
    first = rng.randint(1, 7)
    moves = rng.random() < 0.5

    def data(number: int) -> bytes:
        return bytes([(first + number // 40) % 8 if moves else first, *values(number)]).ljust(8, b"\0")

    return data


@signal
def counter_first(rng: random.Random) -> Callable[[int], bytes]:
    step = rng.choice((1, 1, 1, 2, 16))
    rest = drift(rng, rng.choice((3, 7)))
    return lambda number: bytes([number * step & 0xFF]) + rest(number)


@signal
def counter_16_bits(rng: random.Random) -> Callable[[int], bytes]:
    """A ramp over two bytes: for a while it looks like FFs of one length after the other."""
    step = rng.choice((1, 3, 16, 100))
    start = rng.randrange(0x10000)
    rest = drift(rng, rng.choice((0, 2, 6)))
    return lambda number: (start + number * step & 0xFFFF).to_bytes(2, "big") + rest(number)


@signal
def alive_in_low_nibble(rng: random.Random) -> Callable[[int], bytes]:
    """SN in sequence, for ever."""
    high = rng.randrange(4) << 4
    wraps = rng.choice((16, 16, 15, 4))
    rest = drift(rng, rng.choice((3, 7, 7)))
    return lambda number: bytes([high | number % wraps]) + rest(number)


@signal
def alive_beside_state(rng: random.Random) -> Callable[[int], bytes]:
    """The state in the high nibble changes now and then, the alive counter goes on: FF and CFs in sequence."""
    hold = rng.choice((1, 7, 16, 17, 33))
    rest = drift(rng, 7)
    return lambda number: bytes([(number // hold % 4) << 4 | number % 16]) + rest(number)


@signal
def checksum_first(rng: random.Random) -> Callable[[int], bytes]:
    rest = drift(rng, 6)

    def data(number: int) -> bytes:
        body = bytes([number % 15]) + rest(number)
        return bytes([sum(body) * 29 & 0xFF]) + body

    return data


@signal
def checksum_last(rng: random.Random) -> Callable[[int], bytes]:
    rest = drift(rng, 6)

    def data(number: int) -> bytes:
        body = rest(number) + bytes([number % 16])
        return body + bytes([~sum(body) & 0xFF])

    return data


@signal
def multiplexed_in_turn(rng: random.Random) -> Callable[[int], bytes]:
    """The multiplexer goes round in values that are N_PCI bytes."""
    values = sorted(rng.sample(range(0x10, 0x40), rng.choice((2, 3, 4, 8, 16, 48))))
    rests = {value: drift(rng, 7) for value in values}
    return lambda number: bytes([values[number % len(values)]]) + rests[values[number % len(values)]](number)


@signal
def multiplexed_at_random(rng: random.Random) -> Callable[[int], bytes]:
    values = rng.sample(range(0x10, 0x40), rng.choice((2, 3, 4, 8, 16, 48)))
    constant_rest = rng.random() < 0.3
    rests = {
        value: (lambda held: lambda number: held)(rng.randbytes(7)) if constant_rest else drift(rng, 7)
        for value in values
    }

    def data(number: int) -> bytes:
        value = rng.choice(values)
        return bytes([value]) + rests[value](number)

    return data


@signal
def multiplexed_ff_and_cf(rng: random.Random) -> Callable[[int], bytes]:
    """10, 21, 22 ... round and round: all but the length of a message."""
    count = rng.randint(1, 8)
    values = [0x10, *(0x21 + k for k in range(count))]
    rest = drift(rng, 7)
    return lambda number: bytes([values[number % len(values)]]) + rest(number)


@signal
def digits(rng: random.Random) -> Callable[[int], bytes]:
    """Numbers as text: 30 to 39 are the digits, 30 is flow control."""
    return lambda number: f"{number * 7 % 100_000_000:08d}".encode()


@signal
def flags(rng: random.Random) -> Callable[[int], bytes]:
    bits = [1 << rng.randrange(64) for _ in range(rng.randint(1, 5))]

    def data(number: int) -> bytes:
        return sum(bit for k, bit in enumerate(bits) if number >> k & 1).to_bytes(8, "big")

    return data


@signal
def j1939_transport(rng: random.Random) -> Callable[[int], bytes]:
    """TP.DT of SAE J1939-21: a sequence number from 1 on in the first byte."""
    count = rng.randint(2, 60)
    return lambda number: bytes([number % count + 1]) + rng.randbytes(7)


@signal
def j1939_management(rng: random.Random) -> Callable[[int], bytes]:
    """TP.CM of SAE J1939-21: 0x10 request to send, 0x11 clear to send, 0x13 end, 0x20 broadcast."""
    kinds = rng.choice(((0x10,), (0x11, 0x13), (0x20,), (0x10, 0x20), (0x10, 0x11, 0x13)))

    def data(number: int) -> bytes:
        size = rng.randint(9, 1785)
        return bytes([kinds[number % len(kinds)], size & 0xFF, size >> 8, -(-size // 7), 0xFF, 0xCA, 0xFE, 0])

    return data


@signal
def nmea_fast_packet(rng: random.Random) -> Callable[[int], bytes]:
    """NMEA 2000: three bits that count messages, five that count frames."""
    count = rng.randint(2, 31)

    def data(number: int) -> bytes:
        message, position = divmod(number, count)
        head = bytes([message % 8 << 5 | position])
        return head + (bytes([count * 7 - 1]) + rng.randbytes(6) if position == 0 else rng.randbytes(7))

    return data


@signal
def canopen_sdo(rng: random.Random) -> Callable[[int], bytes]:
    commands = rng.choice(((0x40, 0x40, 0x23, 0x2B), (0x43, 0x4B, 0x60), (0x00, 0x10), (0x20, 0x30)))
    return lambda number: bytes([commands[number % len(commands)]]) + rng.randbytes(3) + bytes(4)


@signal
def xcp_measurement(rng: random.Random) -> Callable[[int], bytes]:
    """XCP: the number of the table in the first byte."""
    count = rng.randint(1, 60)
    rests = [drift(rng, 7) for _ in range(count)]
    return lambda number: bytes([number % count]) + rests[number % count](number)


@signal
def few_frames(rng: random.Random) -> Callable[[int], bytes]:
    """One that sends for a moment only: it has no time to contradict itself (see PERIODS)."""
    first = rng.randrange(0x40)
    rest = drift(rng, 7)
    return lambda number: bytes([first + number & 0xFF]) + rest(number)


PERIODS = (10, 20, 20, 50, 100, 100, 200, 500, 1000)


def signal_frames(kind: str, can_id: int, rng: random.Random, duration: int) -> Iterator[Frame]:
    """One message of signals, sent with a period, some jitter, and a phase of its own."""
    data = SIGNALS[kind](rng)
    period = rng.choice(PERIODS) * MS
    count = rng.randint(1, 6) if kind == "few_frames" else duration // period
    start = rng.randrange(period)
    for number in range(count):
        yield Frame(start + number * period + rng.randrange(period // 20), can_id, data(number))


# -- Sessions ------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """A session of the truth: as the addresses of its two ends."""

    here: Address
    there: Address
    fd: bool
    one_sided: bool


def addresses(mode: AddressingMode, number: int) -> tuple[Address, Address]:
    """The two ends of the session number 0, 1, 2 ... of an addressing mode."""
    first = 0x1A000000 if mode in (AddressingMode.Normal_29bits, AddressingMode.Extended_29bits) else 0x600
    low, high = first + 2 * number, first + 2 * number + 1
    tester, ecu, extension = 0xF1, number % 0xF0, number * 37 % 256
    if mode in (AddressingMode.Normal_11bits, AddressingMode.Normal_29bits):
        here = Address(mode, txid=low, rxid=high)
    elif mode == AddressingMode.NormalFixed_29bits:
        here = Address(mode, target_address=ecu, source_address=tester)
    elif mode == AddressingMode.Mixed_29bits:
        here = Address(mode, target_address=ecu, source_address=tester, address_extension=extension)
    elif mode == AddressingMode.Mixed_11bits:
        here = Address(mode, txid=low, rxid=high, address_extension=extension)
    else:
        # One tester, as on real buses: its frames have one ID, and the first byte says who is meant.
        here = Address(mode, txid=first, rxid=high + 1, target_address=ecu, source_address=tester)
    return here, here.reversed()


class Talk:
    """Two layers on a bus of their own, whose frames are recorded with the time they are sent."""

    def __init__(self, pair: Pair, rng: random.Random) -> None:
        self.now = 0
        self.frames: list[Frame] = []
        self.rng = rng
        params = {
            "blocksize": rng.choice((0, 0, 2, 8)),
            "stmin": rng.choice((0, 0, 1, 5)),
            "tx_padding": rng.choice((None, 0x00, 0x55, 0xAA, 0xCC)),
        }
        if pair.fd:
            params |= {"can_fd": True, "tx_data_length": rng.choice((8, 12, 32, 64))}
        inboxes: tuple[deque[isotp.CanMessage], deque[isotp.CanMessage]] = deque(), deque()
        self.layers = [
            isotp.TransportLayerLogic(
                rxfn=lambda inbox=own: inbox.popleft() if inbox else None,
                txfn=lambda message, inbox=other: self._send(message, inbox),
                address=address,
                params=params,
            )
            for address, own, other in ((pair.here, *inboxes), (pair.there, *inboxes[::-1]))
        ]
        for layer in self.layers:
            layer.clock = lambda: self.now

    def _send(self, message: isotp.CanMessage, inbox: deque[isotp.CanMessage]) -> None:
        self.now += self.rng.randrange(100_000, 400_000)
        can_id = message.arbitration_id | (EXTENDED if message.is_extended_id else 0)
        self.frames.append(Frame(self.now, can_id, bytes(message.data)))
        inbox.append(message)

    def exchange(self, request: bytes, response: bytes | None) -> None:
        """One message there and, unless it is None, one back."""
        for layer, payload in zip(self.layers, (request, response), strict=True):
            if payload is None:
                continue
            layer.send(payload)
            while any(each.transmitting() or each.is_rx_active() for each in self.layers):
                for each in self.layers:
                    each.process()
                self.now += self.rng.randrange(200_000, 900_000)
            for each in self.layers:
                each.process()
            self.now += self.rng.randrange(1 * MS, 20 * MS)


def session_frames(pair: Pair, rng: random.Random, exchanges: int, single_only: bool = False) -> list[Frame]:
    """Diagnostic requests and responses: reading by identifier, downloads, a tester that is present."""
    talk = Talk(pair, rng)
    talk.now = rng.randrange(SECOND)
    for number in range(exchanges):
        service = (0x22, 0x10, 0x2E, 0x31, 0x19, 0x27)[number % 6]
        longest = 3 if single_only else rng.choice((5, 30, 200, 600))
        size = rng.randint(1, longest)
        request, response = bytes([service]) + rng.randbytes(2), bytes([service | 0x40]) + rng.randbytes(size)
        if service == 0x2E and not single_only:
            request, response = request + rng.randbytes(size), response[:3]
        talk.exchange(request, response)
        talk.now += rng.randrange(10 * MS, 400 * MS)
    if pair.one_sided:
        kept = talk_id(pair.there)
        return [frame for frame in talk.frames if (frame.can_id, frame.data[: len(kept[1])]) == kept]
    return talk.frames


def talk_id(
    address: AbstractAddress, sends: bool = True, target_type: int = isotp.TargetAddressType.Physical
) -> tuple[int, bytes]:
    """What the frames that an end sends, or receives, are known by: the ID, and what is before the N_PCI."""
    side = address.tx_side() if sends else address.rx_side()
    assert side is not None
    return side.can_id(target_type), b"" if side.extension_byte is None else bytes([side.extension_byte])


# -- Judging -------------------------------------------------------------------------------------------------------


def records_of(frames: Iterable[Frame], layout: str = "fd", channel: int = 0) -> Records:
    """The frames in the order of their time."""
    records = Records(layout)
    for frame in sorted(frames):
        records.append(frame.time, frame.can_id, frame.data, channel=channel)
    return records


Lines = frozenset[tuple[int, bytes]]


def lines_of(found: FoundSession) -> Lines:
    """What a found session claims, each direction as talk_id() has it."""
    lines = set()
    if found.tx is not None:
        lines.add(talk_id(found.address, True, found.target_type))
    if found.rx is not None:
        lines.add(talk_id(found.address, False))
    return frozenset(lines)


def lines_of_pair(pair: Pair) -> Lines:
    ends = [pair.there] if pair.one_sided else [pair.here, pair.there]
    return frozenset(map(talk_id, ends))


class Result(NamedTuple):
    """How many sessions there were, how many were found, and how many found ones do not exist."""

    there: int
    found: int
    false: int

    @property
    def recall(self) -> float:
        return self.found / self.there if self.there else 1.0

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.false) if self.found + self.false else 1.0


def judge(records: Records, pairs: Iterable[Pair], min_score: float = 0.5) -> Result:
    """Compare what is found with the truth; a session with one wrong direction is a wrong one."""
    claimed = [lines_of(found) for found in isotp.discover(records, min_score=min_score)]
    truth = {lines_of_pair(pair) for pair in pairs}
    return Result(len(truth), len(truth.intersection(claimed)), sum(each not in truth for each in claimed))


def signal_bus(seed: int, kinds: Iterable[str], count: int, duration: int = 10 * SECOND) -> list[Frame]:
    """`count` signal messages with IDs of 11 and 29 bits, the kinds in turn."""
    rng = random.Random(seed)
    names = list(kinds)
    ids = rng.sample(range(0x600), min(count, 0x600))
    return [
        frame
        for k, can_id in enumerate(ids)
        for frame in signal_frames(
            names[k % len(names)],
            EXTENDED | 0x0CF00000 | can_id << 4 if k % 3 == 0 else can_id,
            rng,
            duration,
        )
    ]


def session_bus(
    seed: int,
    mode: AddressingMode,
    count: int,
    exchanges: int,
    *,
    fd: bool = False,
    one_sided: bool = False,
    single_only: bool = False,
) -> tuple[list[Frame], list[Pair]]:
    """`count` sessions of one mode at the same time."""
    rng = random.Random(seed)
    pairs = [Pair(*addresses(mode, number), fd, one_sided) for number in range(count)]
    frames = [frame for pair in pairs for frame in session_frames(pair, rng, exchanges, single_only)]
    return frames, pairs


def table(title: str, rows: Iterable[tuple[str, Result]]) -> str:
    lines = [f"{title:<46}{'sessions':>9}{'found':>7}{'false':>7}{'recall':>8}{'precision':>11}"]
    lines += [
        f"{name:<46}{result.there:>9}{result.found:>7}{result.false:>7}{result.recall:>8.3f}{result.precision:>11.3f}"
        for name, result in rows
    ]
    return "\n".join(lines)


def signal_results(seeds: Iterable[int], count: int) -> Iterator[tuple[str, Result]]:
    """No session is there: whatever is found is false."""
    for kind in SIGNALS:
        results = [judge(records_of(signal_bus(seed, [kind], count)), ()) for seed in seeds]
        yield kind, Result(0, 0, sum(result.false for result in results))


VARIANTS: dict[str, dict[str, bool]] = {
    "both directions": {},
    "both directions, FD": {"fd": True},
    "one direction": {"one_sided": True},
    "single frames only": {"single_only": True},
}


def session_results(seeds: Iterable[int], count: int, exchanges: int) -> Iterator[tuple[str, Result]]:
    """Sessions of each mode among signals of all kinds."""
    for mode in AddressingMode:
        for variant, options in VARIANTS.items():
            total = [0, 0, 0]
            for seed in seeds:
                frames, pairs = session_bus(seed, mode, count, exchanges, **options)
                noise = signal_bus(seed, SIGNALS, 4 * len(SIGNALS), 5 * SECOND)
                total = [a + b for a, b in zip(total, judge(records_of(frames + noise), pairs), strict=True)]
            yield f"{mode.name}, {variant}", Result(*total)


EXCHANGES = (1, 2, 3, 5, 10)
LOSSES = (0.01, 0.05, 0.2)


def hard_results(seeds: Iterable[int], count: int) -> Iterator[tuple[str, Result]]:
    """Sessions of all modes with little in the log, or with frames that the recorder lost."""
    cases = [(exchanges, 0.0) for exchanges in EXCHANGES] + [(20, loss) for loss in LOSSES]
    for (exchanges, loss), (variant, options) in itertools.product(cases, VARIANTS.items()):
        total = [0, 0, 0]
        for seed, mode in itertools.product(seeds, AddressingMode):
            frames, pairs = session_bus(seed, mode, count, exchanges, **options)
            rng = random.Random(seed)
            noise = signal_bus(seed, SIGNALS, len(SIGNALS), 5 * SECOND)
            kept = [frame for frame in frames + noise if rng.random() >= loss]
            total = [a + b for a, b in zip(total, judge(records_of(kept), pairs), strict=True)]
        losses = f", {loss:.0%} lost" if loss else ""
        yield f"{exchanges} exchanges{losses}, {variant}", Result(*total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="buses of each kind")
    parser.add_argument("--first-seed", type=int, default=0, help="other buses of the same kinds")
    parser.add_argument("--signals", type=int, default=100, help="signal messages on each bus of one kind")
    parser.add_argument("--sessions", type=int, default=10, help="sessions at the same time")
    parser.add_argument("--exchanges", type=int, default=8, help="requests with a response in each session")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    print(table("signals only", signal_results(seeds, options.signals)))
    print()
    print(table("sessions among signals", session_results(seeds, options.sessions, options.exchanges)))
    print()
    print(table("little traffic, and losses", hard_results(seeds, options.sessions)))


if __name__ == "__main__":
    main()
