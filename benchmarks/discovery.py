"""How well discovery tells sessions from signals: precision and recall by addressing mode and kind of traffic.

``python -m benchmarks.discovery`` prints the tables; tests/bulk/test_discovery.py asserts what they show.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import isotp
from benchmarks import diagnostics
from benchmarks.diagnostics import Line, Plan, Truth
from benchmarks.signals import EXTENDED, MS, SECOND, SIGNALS, Frame, signal_bus, vehicle
from isotp import Address, AddressingMode, FoundSession, Records, capture
from isotp.address import AbstractAddress

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
        request = bytes([service]) + rng.randbytes(2)
        response = bytes([service | 0x40]) + request[1:3] + rng.randbytes(size)
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


Lines = frozenset[Line]


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


# -- Other people's sessions -------------------------------------------------------------------------------------------


class Count:
    """Sessions there, found and false; half ones are found with one direction of two."""

    def __init__(self) -> None:
        self.there = self.found = self.false = 0

    def result(self) -> Result:
        return Result(self.there, self.found, self.false)


def claimed_by(records: Records, min_score: float) -> list[Lines]:
    return [lines_of(found) for found in isotp.discover(records, min_score=min_score)]


def count_found(count: Count, claimed: list[Lines], truths: list[Truth]) -> None:
    """A session with one wrong direction, or half of one, is a false one."""
    right = {truth.lines for truth in truths}
    allowed = right.union(*(truth.also for truth in truths))
    count.there += len(right)
    count.found += len(right.intersection(claimed))
    count.false += sum(each not in allowed for each in claimed)


# What there is of it: name, plan; all else is as it comes.
KINDS: dict[str, Plan] = {
    **{f"{n} exchange{'s' * (n > 1)}": Plan(n) for n in (1, 2, 3, 5, 10, 100, 1000)},
    "20 exchanges, 2% lost": Plan(20, loss=0.02),
    "20 exchanges, 10% lost": Plan(20, loss=0.1),
    "5 exchanges, FF unanswered": Plan(5, answers_first_frames=False),
    "10 exchanges, CAN FD": Plan(10, fd=True),
    "2 exchanges, responses only": Plan(2, "responses"),
    "10 exchanges, responses only": Plan(10, "responses"),
    "100 exchanges, responses only": Plan(100, "responses"),
    "10 exchanges, requests only": Plan(10, "requests"),
    "100 exchanges, requests only": Plan(100, "requests"),
    **{
        f"10 exchanges, {name} padding": Plan(10, padding=(tester, ecu))
        for name, tester, ecu in (
            ("AA and 00", diagnostics.Padding(0xAA, 0x00, 0xAA), diagnostics.Padding(0xAA, 0x00, 0xAA)),
            ("CC and 00", diagnostics.Padding(0x00, 0xCC, 0x00), diagnostics.Padding(0xCC, 0x00, 0x00)),
            ("stale", diagnostics.Padding(0x00, 0x00, 0x00), diagnostics.Padding(-1, -1, -1)),
            ("no", diagnostics.Padding(None, None, None), diagnostics.Padding(None, None, None)),
        )
    },
}


def other_log(seed: int, plan: Plan, sessions: int, noise: int) -> tuple[Records, list[Truth]]:
    """A vehicle, and diagnostics in it."""
    rng = random.Random(f"log {seed} {plan}")
    frames = vehicle(seed, noise)
    taken = {frame.can_id for frame in frames}
    truths: list[Truth] = []
    for _ in range(sessions):
        more, told = diagnostics.session(rng, plan, taken)
        frames += more
        truths += told
    return records_of(frames), truths


def other_results(
    seeds: Iterable[int], sessions: int, noise: int, min_score: float
) -> Iterator[tuple[str, Result]]:
    for name, plan in KINDS.items():
        count = Count()
        for seed in seeds:
            records, truths = other_log(seed, plan, sessions, noise)
            count_found(count, claimed_by(records, min_score), truths)
        yield name, count.result()
    for exchanges in (2, 5, 50):
        count = Count()
        for seed in seeds:
            rng = random.Random(f"all {seed}")
            more, truths = diagnostics.requests_to_all(rng, exchanges, 1 + seed % 3)
            frames = [frame for frame in vehicle(seed, noise) if not 0x7DF <= frame.can_id < 0x7F0]
            count_found(count, claimed_by(records_of(frames + more), min_score), truths)
        yield f"{exchanges} exchanges, requests to all", count.result()


def vehicle_results(seeds: Iterable[int], count: int, min_score: float) -> Iterator[tuple[str, Result]]:
    for duration in (2, 20, 120):
        false = sum(
            len(claimed_by(records_of(vehicle(seed, count, duration * SECOND)), min_score)) for seed in seeds
        )
        yield f"vehicles without diagnostics, {duration} s", Result(0, 0, false)


def folder_results(folder: Path, min_score: float) -> Iterator[tuple[str, Result]]:
    """Logs with a truth.json: file names, each with "sessions" as the command writes addresses, @ a channel or not."""
    from isotp._address_words import parse_address

    truths: dict[str, dict[str, Any]] = json.loads((folder / "truth.json").read_text())
    for name, truth in truths.items():
        records = Records("fd")
        try:
            with capture.open(folder / name) as log:
                for piece in log:
                    for each in piece:
                        records.append(each.timestamp, each.can_id, each.data, each.flags, each.channel)
        except (ValueError, OSError, ImportError, OverflowError) as error:
            print(f"{name} cannot be read: {error}")
            continue
        wanted = []
        for text in truth.get("sessions", ()):
            address = parse_address(text).address
            lines = {talk_id(address, sends) for sends in (True, False) if side_of(address, sends)}
            wanted.append(Truth(frozenset(lines), 0, len(lines) == 1))
        count = Count()
        count_found(count, claimed_by(records, min_score), wanted)
        yield name, count.result()


def side_of(address: AbstractAddress, sends: bool) -> Any:
    return address.tx_side() if sends else address.rx_side()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="buses of each kind")
    parser.add_argument("--first-seed", type=int, default=0, help="other buses of the same kinds")
    parser.add_argument("--signals", type=int, default=100, help="signal messages on each bus of one kind")
    parser.add_argument("--sessions", type=int, default=10, help="sessions at the same time")
    parser.add_argument("--exchanges", type=int, default=8, help="requests with a response in each session")
    parser.add_argument("--min-score", type=float, default=0.5, help="what is taken for found")
    parser.add_argument(
        "--logs", type=Path, metavar="FOLDER", help="real logs, with a truth.json, in place of all else"
    )
    parser.add_argument("--only", choices=("signals", "own", "other"), help="one of the tables")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    if options.logs:
        print(table("logs of a folder", folder_results(options.logs, options.min_score)))
        return
    if options.only in (None, "signals"):
        print(table("signals only", signal_results(seeds, options.signals)))
        print(table("", vehicle_results(seeds, options.signals, options.min_score)))
    if options.only in (None, "own"):
        print(table("\nsessions among signals", session_results(seeds, options.sessions, options.exchanges)))
        print(table("\nlittle traffic, and losses", hard_results(seeds, options.sessions)))
    if options.only in (None, "other"):
        results = other_results(seeds, options.sessions, options.signals // 2, options.min_score)
        print(table("\nsessions as others have them", results))


if __name__ == "__main__":
    main()
