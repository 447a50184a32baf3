"""Traffic of a vehicle's buses that is no ISO-TP: signals with counters, checksums and multiplexers, events, network
management, and protocols that look like ISO-TP for a while. discovery.py has to find nothing in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

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
    bits = [1 << place for place in rng.sample(range(64), rng.randint(1, 5))]

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


def sent_by(make: Signal, can_id: int, rng: random.Random, duration: int) -> Iterator[Frame]:
    """One message of signals, sent with a period, some jitter, and a phase of its own."""
    data = make(rng)
    period = rng.choice(PERIODS) * MS
    count = rng.randint(1, 6) if make is few_frames else duration // period
    start = rng.randrange(period)
    for number in range(count):
        yield Frame(start + number * period + rng.randrange(period // 20), can_id, data(number))


def signal_frames(kind: str, can_id: int, rng: random.Random, duration: int) -> Iterator[Frame]:
    """A message of one of the SIGNALS."""
    return sent_by(SIGNALS[kind], can_id, rng, duration)


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


# -- A vehicle ---------------------------------------------------------------------------------------------------------

# What signals of real vehicles do, beside the kinds above; these are sent by vehicle() only.


def checked_frame(rng: random.Random) -> Callable[[int], bytes]:
    """As AUTOSAR E2E profiles have it: a CRC, a counter in the low nibble, then signals."""
    high = rng.choice((0x00, 0x00, 0x10, 0x20, 0x30, 0xF0))
    rest, held = drift(rng, rng.randint(1, 4)), rng.randbytes(rng.randint(0, 2))
    last = rng.choice((14, 15))

    def data(number: int) -> bytes:
        body = bytes([high | number % (last + 1)]) + rest(number) + held
        crc = 0xFF
        for byte in body:
            crc = (crc * 0x1D ^ byte * 0x2F) & 0xFF
        return (bytes([crc]) + body).ljust(8, b"\0")

    return data


def counter_and_checksum_last(rng: random.Random) -> Callable[[int], bytes]:
    rest = drift(rng, 6)
    held = rng.choice((None, 0, 1, 2, 3, 4, 5, 6, 7, 0x10, 0x20, 0x21, 0x30))

    def data(number: int) -> bytes:
        body = rest(number) if held is None else bytes([held]) + rest(number)[1:]
        body += bytes([number % 16 << 4 | 3])
        return body + bytes([sum(body) & 0xFF])

    return data


def mostly_zero(rng: random.Random) -> Callable[[int], bytes]:
    """A few signals, all else zero or FF, which is what padding looks like."""
    fill = rng.choice((0x00, 0x00, 0x00, 0xFF))
    places = rng.sample(range(8), rng.randint(1, 3))
    rests = [drift(rng, 1) for _ in places]
    small = rng.random() < 0.6

    def data(number: int) -> bytes:
        body = bytearray([fill] * 8)
        for place, rest in zip(places, rests, strict=True):
            body[place] = rest(number)[0] & (0x07 if small else 0xFF)
        return bytes(body)

    return data


def date_and_time(rng: random.Random) -> Callable[[int], bytes]:
    """Hours, minutes, seconds in BCD or binary, in either order; hours are 10 to 23, seconds count."""
    second = rng.randrange(86400)
    coded = rng.random() < 0.5
    backwards = rng.random() < 0.5

    def data(number: int) -> bytes:
        now = (second + number) % 86400
        parts = [0x20, 0x19, 0x11, now // 3600, now // 60 % 60, now % 60]
        if coded:
            parts = parts[:3] + [part // 10 << 4 | part % 10 for part in parts[3:]]
        return bytes(parts[::-1] if backwards else parts).ljust(8, b"\0")

    return data


def temperatures(rng: random.Random) -> Callable[[int], bytes]:
    """Values near 0x10 to 0x3F that change by one now and then."""
    values = [rng.randint(0x08, 0x40) for _ in range(8)]

    def data(number: int) -> bytes:
        if number % 7 == 0:
            k = rng.randrange(8)
            values[k] = min(max(values[k] + rng.choice((-1, 1)), 0), 0x50)
        return bytes(values)

    return data


def text_in_pages(rng: random.Random) -> Callable[[int], bytes]:
    """A vehicle identification number, or a station's name, in frames that a page number begins."""
    text = bytes(rng.choice(b"ABCDEFGHJKLMNPRSTUVWXYZ0123456789 ") for _ in range(rng.randint(17, 40)))
    pages = [text[k : k + 7].ljust(7, rng.choice((b"\0", b" ", b"\xff"))) for k in range(0, len(text), 7)]
    first = rng.choice((0x00, 0x01, 0x10, 0x20, 0x21, 0x80))
    return lambda number: bytes([first + number % len(pages) & 0xFF]) + pages[number % len(pages)]


def free_text(rng: random.Random) -> Callable[[int], bytes]:
    """What a controller prints, 8 characters a frame: a space is 20, digits are 30 to 39."""
    words = ("  12.5", "ADC= 301 ", "err 0 ", "t=", " 25 C ", "0x30 ", "ok\r\n", "   7 ")

    def data(number: int) -> bytes:
        return "".join(rng.choice(words) for _ in range(8))[:8].encode()

    return data


def sparse_multiplex(rng: random.Random) -> Callable[[int], bytes]:
    """A multiplexer that goes through pages of different kinds; those of one kind have constant bytes behind."""
    pages = [rng.choice((k, k, 0x10 + k, 0x20 + k, 0x30 + k)) & 0xFF for k in range(rng.randint(2, 20))]
    rests = [drift(rng, rng.randint(1, 7)) for _ in pages]

    def data(number: int) -> bytes:
        k = number % len(pages)
        return (bytes([pages[k]]) + rests[k](number)).ljust(8, b"\0")

    return data


def object_list(rng: random.Random) -> Callable[[int], bytes]:
    """Objects of a radar: a header with how many, then one frame each, on one ID."""
    state = {"left": 0, "index": 0}

    def data(number: int) -> bytes:
        if state["left"] == 0:
            state["left"] = rng.randint(0, 12)
            state["index"] = 0
            return bytes([rng.choice((0x10, 0x00)), state["left"], number & 0xFF, 0, 0, 0, 0, 0])
        state["left"] -= 1
        state["index"] += 1
        return bytes([0x20 | state["index"] & 0x0F]) + rng.randbytes(7)

    return data


def j1939_values(rng: random.Random) -> Callable[[int], bytes]:
    """Parameters of J1939: what is not available is FF."""
    rest = drift(rng, 8)
    missing = [rng.random() < 0.5 for _ in range(8)]
    return lambda number: bytes(
        0xFF if gone else byte for gone, byte in zip(missing, rest(number), strict=True)
    )


VEHICLE_KINDS: dict[str, Signal] = {
    make.__name__: make
    for make in (
        checked_frame,
        counter_and_checksum_last,
        mostly_zero,
        date_and_time,
        temperatures,
        text_in_pages,
        free_text,
        sparse_multiplex,
        object_list,
        j1939_values,
    )
}


def event_message(can_id: int, rng: random.Random, duration: int) -> Iterator[Frame]:
    """Sent when something changes, often three times at once; a few frames an hour, or some a minute."""
    size = rng.choice((1, 2, 3, 4, 8, 8, 8))
    values = bytearray(rng.choice((0, 1, 2, 3, 5, 0x10, 0x20, 0x30, rng.randrange(256))) for _ in range(size))
    now = rng.randrange(duration)
    for _ in range(rng.randint(1, 6)):
        values[rng.randrange(size)] = rng.choice((0, 1, 2, 4, 8, rng.randrange(256)))
        for _ in range(rng.choice((1, 1, 3))):
            yield Frame(now, can_id, bytes(values))
            now += rng.randrange(10 * MS, 40 * MS)
        now += rng.randrange(100 * MS, max(duration // 4, 200 * MS))
        if now > duration:
            return


def network_management(first_id: int, rng: random.Random, duration: int) -> Iterator[Frame]:
    """OSEK (a ring: who is next, 01 alive, 02 ring) or AUTOSAR (who, control bits, user data)."""
    nodes = rng.sample(range(0x40), rng.randint(2, 6))
    ring = rng.random() < 0.5
    for node, now in enumerate(range(rng.randrange(100 * MS), duration, rng.choice((60, 100, 200)) * MS)):
        here = nodes[node % len(nodes)]
        there = nodes[(node + 1) % len(nodes)]
        if ring:
            yield Frame(
                now, first_id + here, bytes([there, 0x01 if node < len(nodes) else 0x02, 0, 0, 0, 0, 0, 0])
            )
        else:
            yield Frame(now, first_id + here, bytes([here, 0x10 if node < 20 else 0, 0xFF, 0xFF, 0, 0, 0, 0]))


# What two stations say to each other, without ISO-TP: given two IDs, the time, gives frames and the time after them.
Talk = Callable[[random.Random, int, int, int], Iterator[Frame]]


def canopen_objects(rng: random.Random, here: int, there: int, now: int) -> Iterator[Frame]:
    """SDO: expedited uploads and downloads, and segmented ones, each frame answered."""
    index = rng.choice((0x1000, 0x1018, 0x2000 + rng.randrange(0x100), 0x6041)).to_bytes(2, "little")
    what = index + bytes([rng.randrange(4)])
    kind = rng.randrange(3)
    if kind == 0:
        yield Frame(now, here, b"\x40" + what + bytes(4))
        yield Frame(now + 2 * MS, there, rng.choice((b"\x43", b"\x4b", b"\x4f")) + what + rng.randbytes(4))
        return
    if kind == 1:
        yield Frame(now, here, rng.choice((b"\x23", b"\x2b", b"\x2f")) + what + rng.randbytes(4))
        yield Frame(now + 2 * MS, there, b"\x60" + what + bytes(4))
        return
    count = rng.randint(2, 12)
    yield Frame(now, here, b"\x21" + what + (7 * count).to_bytes(4, "little"))
    yield Frame(now + MS, there, b"\x60" + what + bytes(4))
    for k in range(count):
        now += 3 * MS
        yield Frame(now, here, bytes([0x10 * (k & 1) | (k == count - 1)]) + rng.randbytes(7))
        yield Frame(now + MS, there, bytes([0x20 | 0x10 * (k & 1)]) + bytes(7))


def j1939_connection(rng: random.Random, here: int, there: int, now: int) -> Iterator[Frame]:
    """A transport session of J1939-21; its management and its data have IDs of their own."""
    count = rng.randint(2, 30)
    pgn = bytes([0xCA, 0xFE, 0x00])
    size = (7 * count - rng.randrange(7)).to_bytes(2, "little")
    yield Frame(now, here, b"\x10" + size + bytes([count, 0xFF]) + pgn)
    yield Frame(now + 3 * MS, there, bytes([0x11, count, 1, 0xFF, 0xFF]) + pgn)
    for k in range(count):
        now += 5 * MS
        yield Frame(now, here ^ 0x70000, bytes([k + 1]) + rng.randbytes(7))
    yield Frame(now + 3 * MS, there, b"\x13" + size + bytes([count, 0xFF]) + pgn)


def xcp_commands(rng: random.Random, here: int, there: int, now: int) -> Iterator[Frame]:
    """XCP: commands from C0 on, answers FF or FE."""
    for _ in range(rng.randint(1, 5)):
        command = rng.choice((b"\xff\x00", b"\xfd", b"\xf6\0\0\0" + rng.randbytes(4), b"\xf5\x04"))
        yield Frame(now, here, command)
        answer = rng.choice((b"\xff" + rng.randbytes(rng.randint(0, 7)), b"\xfe\x20"))
        yield Frame(now + 2 * MS, there, answer)
        now += 10 * MS


def vw_transport(rng: random.Random, here: int, there: int, now: int) -> Iterator[Frame]:
    """TP 2.0: the high nibble is 0 to 3 for data, the low one counts, B0 acknowledges, A3 keeps it alive."""
    number = rng.randrange(16)
    for _ in range(rng.randint(1, 3)):
        size = rng.randint(2, 40)
        body = (
            size.to_bytes(2, "big") + bytes([rng.choice((0x21, 0x1A, 0x61, 0x5A))]) + rng.randbytes(size - 1)
        )
        parts = [body[k : k + 7] for k in range(0, len(body), 7)]
        for k, part in enumerate(parts):
            yield Frame(now, here, bytes([(0x10 if k == len(parts) - 1 else 0x20) | number]) + part)
            number = number + 1 & 0x0F
            now += 4 * MS
        yield Frame(now, there, bytes([0xB0 | number]))
        here, there = there, here
        now += 20 * MS
    yield Frame(now, here, b"\xa3")
    yield Frame(now + 3 * MS, there, b"\xa1\x0f\x8a\xff\x4a\xff")


def challenge_and_answer(rng: random.Random, here: int, there: int, now: int) -> Iterator[Frame]:
    """An immobiliser: some random bytes, and some others a moment later."""
    head = rng.choice((b"", b"\x01", b"\x02", b"\x06"))
    yield Frame(now, here, (head + rng.randbytes(6)).ljust(8, b"\0"))
    yield Frame(now + rng.randrange(2, 30) * MS, there, (head + rng.randbytes(4)).ljust(8, b"\0"))


def mirrored(rng: random.Random, here: int, there: int, now: int) -> Iterator[Frame]:
    """A gateway that sends the same on an ID of its own."""
    data = bytes([rng.choice((1, 2, 3, 0x10, 0x21, 0x30))]) + rng.randbytes(3) + bytes(4)
    yield Frame(now, here, data)
    yield Frame(now + MS, there, data)


def charger(rng: random.Random, here: int, there: int, now: int) -> Iterator[Frame]:
    """Two that tell each other their limits, in turn, as fast charging does."""
    for k in range(5):
        yield Frame(now, here, bytes([rng.randint(1, 3), k, 0x90, 0x01, 0x10, 0, 0, 0]))
        yield Frame(now + 40 * MS, there, bytes([0x02, 0x90 & 0xFF, 0x01, k & 1, 0x05, 0, 0, 0]))
        now += 100 * MS


TALKS: dict[str, Talk] = {
    talk.__name__: talk
    for talk in (
        canopen_objects,
        j1939_connection,
        xcp_commands,
        vw_transport,
        challenge_and_answer,
        mirrored,
        charger,
    )
}


def conversation(kind: str, here: int, there: int, rng: random.Random, duration: int) -> Iterator[Frame]:
    """The same kind of talk between the same two, now and then or often."""
    now = rng.randrange(SECOND)
    pause = rng.choice((20, 100, 500, 3000))
    while now < duration:
        last = now
        for frame in TALKS[kind](rng, here, there, now):
            last = max(last, frame.time)
            yield frame
        now = last + rng.randrange(pause // 2, pause * 2) * MS


def ids_of_talk(kind: str, rng: random.Random) -> tuple[int, int]:
    """IDs as such talks have them."""
    if kind == "canopen_objects":
        node = rng.randrange(1, 0x80)
        return 0x600 + node, 0x580 + node
    if kind == "j1939_connection":
        here, there = rng.sample(range(0xFE), 2)
        return EXTENDED | 0x1CEC0000 | there << 8 | here, EXTENDED | 0x1CEC0000 | here << 8 | there
    here = rng.randrange(0x200, 0x7F0)
    return here, here + rng.choice((1, 8, 0x10, -1))


def vehicle(seed: int, count: int = 60, duration: int = 20 * SECOND, talks: int = 4) -> list[Frame]:
    """One bus of a vehicle without diagnostics: `count` IDs with signals, events, and some that talk."""
    rng = random.Random(f"vehicle {seed}")
    kinds = {**SIGNALS, **VEHICLE_KINDS}
    wide = rng.random() < 0.25
    # One ID is that of all requests with extended addresses, see diagnostics.py.
    ids = rng.sample([each for each in range(0x7DF) if each != 0x6F1], min(count, 0x700))
    frames: list[Frame] = []
    for can_id in ids:
        whole = EXTENDED | rng.choice((0x0CF00000, 0x18FE0000, 0x12D00000)) | can_id << 8 if wide else can_id
        if rng.random() < 0.25:
            frames += event_message(whole, rng, duration)
            continue
        # Two thirds are what one finds everywhere.
        names = VEHICLE_KINDS if rng.random() < 0.66 else kinds
        frames += sent_by(kinds[rng.choice(list(names))], whole, rng, duration)
    for _ in range(talks):
        kind = rng.choice(list(TALKS))
        frames += conversation(kind, *ids_of_talk(kind, rng), rng, duration)
    if rng.random() < 0.5:
        frames += network_management(rng.choice((0x400, 0x500, 0x600)), rng, duration)
    return frames
