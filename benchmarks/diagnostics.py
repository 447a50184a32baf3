"""ISO-TP sessions as other people's testers and ECUs have them: written frame by frame, not by this package.

Paddings differ between single, consecutive and flow control frames, responses end in stale bytes, first frames are not
answered, frames are lost, one direction is missing. discovery.py has to find these.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.signals import EXTENDED, MS, SECOND, Frame

STALE = -1  # in place of a padding byte: what the frame before has left there
Line = tuple[int, bytes]  # an ID, and the byte before the N_PCI, if any
Exchange = tuple[bytes, list[bytes]]


class Truth(NamedTuple):
    """A session of a log. `also` are those that may be found beside it or are the same thing said otherwise."""

    lines: frozenset[Line]
    exchanges: int
    one_direction: bool
    also: frozenset[frozenset[Line]] = frozenset()


class Padding(NamedTuple):
    """The unused bytes of each kind of frame: a value, None for shorter frames, or STALE."""

    single: int | None
    flow: int | None
    consecutive: int | None


class Sender:
    """One direction: makes frames of payloads."""

    def __init__(self, line: Line, padding: Padding, longest: int = 8) -> None:
        self.can_id, self.prefix = line
        self.padding = padding
        self.longest = longest
        self._before = bytes(64)

    def _frame(self, now: int, body: bytes, fill: int | None) -> Frame:
        data = self.prefix + body
        size = 8 if len(data) <= 8 else next(n for n in (12, 16, 20, 24, 32, 48, 64) if n >= len(data))
        if fill == STALE:
            data += self._before[len(data) : size]
        elif fill is not None or len(data) > 8:
            data = data.ljust(size, bytes([fill or 0]))
        self._before = data.ljust(64, b"\0")
        return Frame(now, self.can_id, data)

    def flow_control(self, now: int, blocksize: int, stmin: int) -> Frame:
        return self._frame(now, bytes([0x30, blocksize, stmin]), self.padding.flow)

    def single(self, now: int, payload: bytes) -> Frame | None:
        """None if it needs several frames."""
        room = self.longest - len(self.prefix)
        if len(payload) <= 7 - len(self.prefix):
            return self._frame(now, bytes([len(payload)]) + payload, self.padding.single)
        if self.longest > 8 and len(payload) <= room - 2:
            return self._frame(now, bytes([0, len(payload)]) + payload, self.padding.single)
        return None

    def several(self, payload: bytes) -> list[tuple[bytes, int | None]]:
        """FF and CFs, without times."""
        head = bytes([0x10 | len(payload) >> 8, len(payload) & 0xFF])
        room = self.longest - len(self.prefix)
        bodies = [head + payload[: room - 2]]
        rest = payload[room - 2 :]
        bodies += [
            bytes([0x20 | (k // (room - 1) + 1) & 0x0F]) + rest[k : k + room - 1]
            for k in range(0, len(rest), room - 1)
        ]
        return [(body, self.padding.consecutive) for body in bodies]


class Manner(NamedTuple):
    """How the two behave."""

    blocksize: int
    stmin: int
    gap: int  # ns from CF to CF
    delay: int  # ns until a response, at the most
    answers_first_frames: bool


class Dialogue:
    """Frames of a tester and an ECU."""

    def __init__(self, tester: Sender, ecu: Sender, manner: Manner, rng: random.Random) -> None:
        self.tester, self.ecu, self.manner, self.rng = tester, ecu, manner, rng
        self.now = 0
        self.frames: list[Frame] = []

    def say(self, sender: Sender, hearer: Sender, payload: bytes, blocksize: int, stmin: int) -> None:
        frame = sender.single(self.now, payload)
        if frame is not None:
            self.frames.append(frame)
            return
        (first, fill), *rest = sender.several(payload)
        self.frames.append(sender._frame(self.now, first, fill))
        if not self.manner.answers_first_frames:
            self.now += self.rng.randrange(5 * MS, 30 * MS)
            if (
                sender is self.ecu
            ):  # Nothing comes: the tester does not know of flow control, or the log lacks it.
                return
        else:
            self._answer(hearer, blocksize, stmin)
        for k, (body, fill) in enumerate(rest):
            if blocksize and k and k % blocksize == 0 and self.manner.answers_first_frames:
                self._answer(hearer, blocksize, stmin)
            self.now += self.manner.gap + self.rng.randrange(200_000)
            self.frames.append(sender._frame(self.now, body, fill))

    def _answer(self, hearer: Sender, blocksize: int, stmin: int) -> None:
        self.now += self.rng.randrange(300_000, 12 * MS)
        self.frames.append(hearer.flow_control(self.now, blocksize, stmin))

    def exchange(self, request: bytes, responses: list[bytes]) -> None:
        self.say(self.tester, self.ecu, request, self.manner.blocksize, self.manner.stmin)
        for response in responses:
            self.now += self.rng.randrange(MS, self.manner.delay)
            self.say(self.ecu, self.tester, response, 0, 0)


# -- What is said ------------------------------------------------------------------------------------------------------

Scenario = Callable[[random.Random], Iterator[Exchange]]


def reading_identifiers(rng: random.Random) -> Iterator[Exchange]:
    """A few identifiers again and again, as an app does that shows values; some are refused."""
    identifiers = [rng.randrange(0x10000).to_bytes(2, "big") for _ in range(rng.randint(1, 12))]
    sizes = [rng.choice((1, 1, 2, 2, 4, 10, 40, 61)) for _ in identifiers]
    refused = [rng.random() < 0.15 for _ in identifiers]
    held = [rng.randbytes(size) if rng.random() < 0.4 else None for size in sizes]
    while True:
        for name, size, no, value in zip(identifiers, sizes, refused, held, strict=True):
            answer = b"\x7f\x22\x31" if no else b"\x62" + name + (value or rng.randbytes(size))
            yield b"\x22" + name, [answer]


def legislated(rng: random.Random) -> Iterator[Exchange]:
    """Values of mode 01, then what is known of the vehicle."""
    sizes = {0x0C: 2, 0x0D: 1, 0x05: 1, 0x10: 2, 0x00: 4, 0x20: 4, 0x2F: 1, 0x42: 2, 0x0F: 1, 0x11: 1}
    wanted = rng.sample(list(sizes), rng.randint(2, 8))
    yield b"\x01\x00", [b"\x41\x00" + rng.randbytes(4)]
    if rng.random() < 0.7:
        yield b"\x09\x02", [b"\x49\x02\x01" + bytes(rng.choice(b"WVUSA0123456789") for _ in range(17))]
    while True:
        for pid in wanted:
            yield bytes([1, pid]), [bytes([0x41, pid]) + rng.randbytes(sizes[pid])]


def key_word_protocol(rng: random.Random) -> Iterator[Exchange]:
    yield rng.choice((b"\x10\x81", b"\x10\xc0")), [b"\x50"]
    blocks = [rng.randrange(256) for _ in range(rng.randint(1, 6))]
    sizes = [rng.choice((3, 8, 20, 60)) for _ in blocks]
    yield b"\x1a\x90", [b"\x5a\x90" + rng.randbytes(17)]
    while True:
        for block, size in zip(blocks, sizes, strict=True):
            yield bytes([0x21, block]), [bytes([0x61, block]) + rng.randbytes(size)]
        yield b"\x3e", [b"\x7e"]


def service_scan(rng: random.Random) -> Iterator[Exchange]:
    """Every service is tried; most are not there."""
    while True:
        for service in range(256):
            if service == 0x3E:
                yield bytes([service]), []
            elif rng.random() < 0.9:
                yield bytes([service]), [bytes([0x7F, service, rng.choice((0x11, 0x11, 0x12, 0x13))])]
            else:
                yield bytes([service]), [bytes([service | 0x40])]


def flashing(rng: random.Random) -> Iterator[Exchange]:
    """Session, key, erase, download with long requests and pending responses."""
    while True:
        yield b"\x10\x03", [b"\x50\x03\x00\x32\x01\xf4"]
        yield b"\x27\x01", [b"\x67\x01" + rng.randbytes(4)]
        yield b"\x27\x02" + rng.randbytes(4), [b"\x67\x02"]
        yield b"\x31\x01\xff\x00" + rng.randbytes(8), [b"\x7f\x31\x78", b"\x71\x01\xff\x00\x00"]
        yield b"\x34\x00\x44" + rng.randbytes(8), [b"\x74\x20\x01\x02"]
        for block in range(1, rng.randint(3, 10)):
            answers = [b"\x7f\x36\x78"] * rng.randrange(2) + [bytes([0x76, block])]
            yield b"\x36" + bytes([block]) + rng.randbytes(256), answers
        yield b"\x37", [b"\x77"]
        yield b"\x11\x01", [b"\x51\x01"]


def trouble_codes(rng: random.Random) -> Iterator[Exchange]:
    while True:
        codes = b"".join(rng.randbytes(3) + b"\x2f" for _ in range(rng.randint(0, 12)))
        yield b"\x10\x01", [b"\x50\x01\x00\x19\x01\xf4"]
        yield b"\x19\x02\xff", [b"\x59\x02\xff" + codes]
        if rng.random() < 0.5:
            yield b"\x19\x01\xff", [b"\x59\x01\xff\x01" + (len(codes) // 4).to_bytes(2, "big")]
        yield b"\x14\xff\xff\xff", [b"\x54"]
        yield b"\x3e\x00", [b"\x7e\x00"]


def routine_life(rng: random.Random) -> Iterator[Exchange]:
    """A tester that is there, mostly: 3E 80 has no answer."""
    while True:
        yield b"\x3e\x80", []
        if rng.random() < 0.5:
            name = rng.choice((b"\xf1\x90", b"\xf1\x87", b"\xf1\x89", b"\xf1\x8c"))
            yield b"\x22" + name, [b"\x62" + name + bytes(rng.choice(b"0123456789AB") for _ in range(17))]


def unlocking(rng: random.Random) -> Iterator[Exchange]:
    """The same two requests, and no key."""
    while True:
        yield b"\x10\x03", [b"\x50\x03\x00\x32\x01\xf4"]
        yield b"\x27\x03", [b"\x67\x03" + rng.randbytes(4)]


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        reading_identifiers,
        reading_identifiers,
        legislated,
        key_word_protocol,
        service_scan,
        flashing,
        trouble_codes,
        routine_life,
        unlocking,
    )
}
WEIGHTS = (5, 2, 2, 1, 2, 2, 1, 1)


# -- Between whom ------------------------------------------------------------------------------------------------------


def eleven_bits(rng: random.Random) -> tuple[Line, Line]:
    request = rng.choice(
        (
            0x7E0 + rng.randrange(8),
            0x700 + rng.randrange(0xD0),
            0x700 + rng.randrange(0x80),
            0x600 + rng.randrange(0xF0),
            0x240 + rng.randrange(0x20),
            rng.randrange(0x100, 0x7D0),
        )
    )
    offset = {0x7E: 8, 0x24: 0x400}.get(request >> 4, rng.choice((8, 8, 8, 0x6A, 0x20, -0x20, 1, 0x10)))
    response = request + offset if request + offset < 0x7FF else request - 8
    return (request, b""), (response, b"")


def eleven_bits_extended(rng: random.Random) -> tuple[Line, Line]:
    """One ID for all requests of the tester; the byte in front says whom it means."""
    ecu = rng.randrange(0x01, 0xF0)
    return (0x6F1, bytes([ecu])), (0x600 + ecu, b"\xf1")


def eleven_bits_mixed(rng: random.Random) -> tuple[Line, Line]:
    request, ecu = rng.randrange(0x600, 0x7C0), bytes([rng.randrange(256)])
    return (request, ecu), (request + 8, ecu)


def fixed(rng: random.Random) -> tuple[Line, Line]:
    ecu = rng.randrange(0xF0)
    return (EXTENDED | 0x18DA00F1 | ecu << 8, b""), (EXTENDED | 0x18DAF100 | ecu, b"")


def mixed_fixed(rng: random.Random) -> tuple[Line, Line]:
    ecu, extension = rng.randrange(0xF0), bytes([rng.randrange(256)])
    return (EXTENDED | 0x18CE00F1 | ecu << 8, extension), (EXTENDED | 0x18CEF100 | ecu, extension)


def wide(rng: random.Random) -> tuple[Line, Line]:
    ecu = rng.randrange(0x100)
    return (EXTENDED | 0x17FC0000 | ecu, b""), (EXTENDED | 0x17FE0000 | ecu, b"")


def wide_extended(rng: random.Random) -> tuple[Line, Line]:
    ecu = rng.randrange(0x01, 0xF0)
    return (EXTENDED | 0x1DD000F1, bytes([ecu])), (EXTENDED | 0x1DD00000 | ecu, b"\xf1")


# Those of one tester and many ECUs.
SHARED_IDS = {0x6F1, EXTENDED | 0x1DD000F1}
PLACES = (eleven_bits, eleven_bits_extended, eleven_bits_mixed, fixed, mixed_fixed, wide, wide_extended)
PLACE_WEIGHTS = (10, 2, 1, 3, 1, 2, 1)


# -- Sessions ----------------------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """What is asked of session(): None is whatever comes."""

    exchanges: int = 10
    direction: str = "both"  # or "requests", "responses"
    loss: float = 0.0
    scenario: str | None = None
    padding: tuple[Padding, Padding] | None = None
    answers_first_frames: bool | None = None
    fd: bool = False


def paddings(rng: random.Random) -> tuple[Padding, Padding]:
    """Those of the tester and of the ECU."""
    values = (0x00, 0x00, 0x00, 0xAA, 0x55, 0xCC, 0xFF)

    def one(may_be_stale: float) -> Padding:
        single = rng.choice((None, *values))
        if rng.random() < may_be_stale:
            return Padding(STALE, 0x00, STALE)
        if rng.random() < 0.6:
            return Padding(single, single, single)
        return Padding(single, rng.choice((None, *values)), rng.choice((None, *values)))

    return one(0.03), one(0.15)


def exchanges_of(rng: random.Random, name: str, count: int) -> list[Exchange]:
    """`count` of them that have a response; those without come in addition."""
    found: list[Exchange] = []
    left = count
    for exchange in SCENARIOS[name](rng):
        if left == 0:
            return found
        found.append(exchange)
        left -= bool(exchange[1])
    return found


def session(rng: random.Random, plan: Plan, taken: set[int]) -> tuple[list[Frame], list[Truth]]:
    """The frames of one session that begins in the first seconds, and what it is."""
    name = plan.scenario or rng.choices(list(SCENARIOS), WEIGHTS)[0]
    while True:
        here, there = rng.choices(PLACES, PLACE_WEIGHTS)[0](rng)
        if name == "legislated" and rng.random() < 0.7:
            ecu = rng.randrange(8)
            here, there = (0x7E0 + ecu, b""), (0x7E8 + ecu, b"")
        new = not {here[0], there[0]} - SHARED_IDS & taken
        if here[0] != there[0] and new and not ({here, there} & {(each, b"") for each in SHARED_IDS}):
            break
    taken |= {here[0], there[0]}
    fills = plan.padding or paddings(rng)
    longest = rng.choice((12, 32, 64)) if plan.fd else 8
    manner = Manner(
        rng.choice((0, 0, 0, 4, 8)),
        rng.choice((0, 0, 5, 10)),
        rng.choice((MS // 2, 2 * MS, 10 * MS, 20 * MS)),
        rng.choice((5, 20, 50, 300)) * MS,
        rng.random() < 0.93 if plan.answers_first_frames is None else plan.answers_first_frames,
    )
    talk = Dialogue(Sender(here, fills[0], longest), Sender(there, fills[1], longest), manner, rng)
    talk.now = rng.randrange(3 * SECOND)
    pause = rng.choice((2, 10, 50, 300)) * MS
    for request, responses in exchanges_of(rng, name, plan.exchanges):
        talk.exchange(request, responses)
        talk.now += rng.randrange(pause, 3 * pause)
    return heard(talk.frames, rng, plan, here, there)


def heard(
    frames: list[Frame], rng: random.Random, plan: Plan, here: Line, there: Line
) -> tuple[list[Frame], list[Truth]]:
    """What a recorder keeps of it."""
    lines = {"both": (here, there), "requests": (here,), "responses": (there,)}[plan.direction]
    ids = {can_id for can_id, _ in lines}
    kept = [frame for frame in frames if frame.can_id in ids and rng.random() >= plan.loss]
    return kept, [Truth(frozenset(lines), plan.exchanges, plan.direction != "both")]


def requests_to_all(rng: random.Random, exchanges: int, ecus: int) -> tuple[list[Frame], list[Truth]]:
    """OBD as most do it: 7DF asks, one or some answer, and flow control goes to each alone."""
    tester = Sender((0x7DF, b""), Padding(0, 0, 0))
    numbers = rng.sample(range(8), ecus)
    fill = rng.choice((0x00, 0xAA, 0x55, None))
    manner = Manner(0, 0, 5 * MS, 20 * MS, True)
    zeros, fills = Padding(0, 0, 0), Padding(fill, fill, fill)
    answering = [
        Dialogue(Sender((0x7E0 + k, b""), zeros), Sender((0x7E8 + k, b""), fills), manner, rng)
        for k in numbers
    ]
    frames: list[Frame] = []
    now = rng.randrange(SECOND)
    segmented = False
    for request, (response,) in exchanges_of(rng, "legislated", exchanges):
        frame = tester.single(now, request)
        assert frame is not None
        frames.append(frame)
        segmented |= len(response) > 7
        for talk in answering:
            talk.now = now + rng.randrange(2 * MS, 20 * MS)
            talk.say(talk.ecu, talk.tester, response, 0, 0)
        now = max(talk.now for talk in answering) + rng.randrange(30 * MS, 200 * MS)
    frames += [frame for talk in answering for frame in talk.frames]
    asked = (0x7DF, b"")
    truths = []
    also = {frozenset({asked})} | {frozenset({asked, (0x7E8 + k, b"")}) for k in numbers}
    also |= {frozenset({(0x7E8 + k, b"")}) for k in numbers} if not segmented else set()
    for k in numbers:
        lines = {(0x7E0 + k if segmented else 0x7DF, b""), (0x7E8 + k, b"")}
        truths.append(Truth(frozenset(lines), exchanges, False, frozenset(also)))
    return frames, truths
