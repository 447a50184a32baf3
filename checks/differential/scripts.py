"""Random scripts by seed: an address, parameters, and what happens to one layer, as plain JSON.

Most of it is traffic that makes sense, as a sender and a receiver on the other side would make it, in which now
and then something goes wrong; the rest is anything. An event is one of

    ["wait", ns]                                    the clock moves
    ["hear", [[ns, ID, 29 bits?, data, FD?], ...]]  frames that rxfn will give, each after a wait; [ns]: none came
    ["process", keyword arguments]
    ["send", size, seed, kind, address type]
    ["recv"]                                        all messages are taken
    ["call", method]
    ["assign", values, load_params?]                to the parameters, while the layer works
    ["readdress", address]
    ["rebuild"]                                     a new layer
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

MS = 1_000_000
LENGTHS = (8, 12, 16, 20, 24, 32, 48, 64)
NORMAL_11, NORMAL_29, FIXED_29, EXTENDED_11, EXTENDED_29, MIXED_11, MIXED_29 = range(7)
WIDE = (NORMAL_29, FIXED_29, EXTENDED_29, MIXED_29)
# The bases of the IDs of NormalFixed and Mixed_29 (ISO 15765-2, 10.3) unless the address names others
BASES = {FIXED_29: (0x18DA0000, 0x18DB0000), MIXED_29: (0x18CE0000, 0x18CD0000)}

Event = list[Any]


def chance(rng: random.Random, percent: float) -> bool:
    return rng.random() * 100 < percent


# ---------------------------------------------------------------- addresses


def an_address(rng: random.Random) -> dict[str, Any]:
    if chance(rng, 15):
        tx, rx = one_address(rng), one_address(rng)
        return {"tx": {**tx, "tx_only": True}, "rx": {**rx, "rx_only": True}}
    return one_address(rng)


def one_address(rng: random.Random) -> dict[str, Any]:
    mode = rng.randrange(7)
    top = 0x1FFFFFFF if mode in WIDE else 0x7FF
    address: dict[str, Any] = {"mode": mode}
    if mode in BASES:
        if chance(rng, 25):
            address["physical_id"] = rng.randrange(0x2000) << 16
            address["functional_id"] = rng.randrange(0x2000) << 16
    else:
        address["txid"] = rng.randrange(top)
        address["rxid"] = address["txid"] + 1
    if mode in (FIXED_29, EXTENDED_11, EXTENDED_29, MIXED_29):
        address["target_address"] = rng.randrange(256)
        address["source_address"] = rng.randrange(256)
    if mode in (MIXED_11, MIXED_29):
        address["address_extension"] = rng.randrange(256)
    return address


def heard_by(address: dict[str, Any], functional: bool) -> tuple[int, bool, str]:
    """ID, its width, and the address byte in hexadecimal of the frames that this address takes."""
    address = address.get("rx", address)
    mode = address["mode"]
    if mode in BASES:
        base = address.get(("physical_id", "functional_id")[functional], BASES[mode][functional])
        can_id = base | address["source_address"] << 8 | address["target_address"]
    else:
        can_id = address["rxid"]
    name = {
        EXTENDED_11: "source_address",
        EXTENDED_29: "source_address",
        MIXED_11: "address_extension",
        MIXED_29: "address_extension",
    }.get(mode)
    return can_id, mode in WIDE, "" if name is None else f"{address[name]:02x}"


def prefix_sent(address: dict[str, Any]) -> int:
    """Address bytes before the N_PCI of the frames that go out."""
    return int(address.get("tx", address)["mode"] in (EXTENDED_11, EXTENDED_29, MIXED_11, MIXED_29))


# ---------------------------------------------------------------- parameters


def some_params(rng: random.Random) -> dict[str, Any]:
    tx_dl = 8 if chance(rng, 50) else rng.choice(LENGTHS)
    params: dict[str, Any] = {
        "tx_data_length": tx_dl,
        "can_fd": tx_dl > 8 if chance(rng, 90) else chance(rng, 50),
        "blocksize": rng.choice((0, 0, 1, 2, 3, 4, 8, 15, 255)),
        "stmin": rng.choice((0, 0, 1, 5, 0x7F, 0x80, 0xF0, 0xF1, 0xF9, 0xFA, 0xFF)),
        "rx_flowcontrol_timeout": rng.choice((1000,) * 9 + (100, 100, 10, 10, 10, 1, 1, 0)),
        "rx_consecutive_frame_timeout": rng.choice((1000,) * 9 + (100, 100, 10, 10, 10, 1, 1, 0)),
        "wftmax": rng.choice((0, 0, 1, 2, 5)),
    }
    if chance(rng, 40):
        params["tx_padding"] = rng.randrange(256)
    if chance(rng, 30):
        shortest = [n for n in (*range(1, 9), *LENGTHS[1:]) if n <= tx_dl]
        params["tx_data_min_length"] = rng.choice(shortest)
    if chance(rng, 30):
        params["max_frame_size"] = rng.choice((0, 7, 8, 20, 62, 63, 100, 4095, 4096, 100_000))
    if chance(rng, 20):
        params["override_receiver_stmin"] = rng.choice((0, 0.0, 0.0005, 0.001, 0.0100001))
    if chance(rng, 20):
        params["bitrate_switch"] = True
    if chance(rng, 8):
        params["listen_mode"] = True
    if chance(rng, 20):
        params["default_target_address_type"] = rng.randrange(2)
    if chance(rng, 15):
        params["rate_limit_enable"] = True
        params["rate_limit_window_size"] = window = rng.choice((0.01, 0.1, 0.2, 1))
        # At least one frame must fit the window.
        params["rate_limit_max_bitrate"] = int(tx_dl * 8 / window) * rng.choice((1, 2, 5)) + 1
    return params


# ---------------------------------------------------------------- what happens


class Author:
    """Writes one script."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.address = an_address(rng)
        self.params = some_params(rng)
        # Whether a pass finds more than one frame, now and then
        self.bursts = chance(rng, 30)

    def script(self) -> dict[str, Any]:
        rng = self.rng
        start = {"address": self.address, "params": dict(self.params)}
        steps: list[Event] = []
        length = rng.choice((8, 16, 24, 32))
        while len(steps) < length:
            first = list(self.episode())
            # Now and then two at once: full duplex, or a mess
            steps += merged(rng, first, list(self.episode())) if chance(rng, 25) else first
        return {**start, "steps": [*steps, ["process", {}], ["recv"]]}

    def episode(self) -> Iterator[Event]:
        write = self.rng.choices(
            (
                self.incoming_message,
                self.outgoing_message,
                self.incoming_single_frame,
                self.outgoing_single_frame,
                self.anything_incoming,
                self.control,
                self.change,
            ),
            (30, 30, 8, 6, 10, 8, 5),
        )[0]
        return write()

    # -------- frames, waits and passes

    def frame(self, data: str, waited_ns: int = 0, functional: bool = False) -> list[Any]:
        rng = self.rng
        can_id, wide, prefix = heard_by(self.address, functional)
        if chance(rng, 1.5):
            # For somebody else, though not by much
            fault = rng.randrange(3)
            if fault == 0:
                can_id ^= 1 << rng.randrange(11)
            elif fault == 1:
                wide = not wide
            elif prefix:
                prefix = f"{int(prefix, 16) ^ 1 << rng.randrange(8):02x}"
        data = prefix + data
        return [waited_ns, can_id, wide, data, len(data) > 16]

    def room(self) -> int:
        """Data bytes of the frames of the other side, without the address byte."""
        return (8 if chance(self.rng, 50) else self.rng.choice(LENGTHS)) - len(
            heard_by(self.address, False)[2]
        ) // 2

    def process(self) -> Event:
        rng = self.rng
        if chance(rng, 90):
            return ["process", {}]
        arguments: dict[str, Any] = {}
        if chance(rng, 50):
            arguments["rx_timeout"] = rng.choice((0.0, 0.001, 1))
        if chance(rng, 40):
            arguments["do_rx"] = chance(rng, 50)
        if chance(rng, 40):
            arguments["do_tx"] = chance(rng, 50)
        return ["process", arguments]

    def heard(self, frames: list[Any]) -> Iterator[Event]:
        """Frames come in, in one pass or in several."""
        rng = self.rng
        if chance(rng, 5):
            # While a pass waits for each
            for frame in frames:
                frame[0] = self.a_wait()
            if chance(rng, 50):
                frames.insert(rng.randrange(len(frames) + 1), [self.a_wait()])
            yield ["hear", frames]
            yield ["process", {"rx_timeout": 1}]
            return
        while frames:
            count = rng.choice((1, 1, 2, 3, len(frames))) if self.bursts else 1
            yield ["hear", frames[:count]]
            if chance(rng, 95):
                yield self.process()
            frames = frames[count:]

    def a_time(self) -> int:
        """Next to where something happens."""
        rng = self.rng
        params = self.params
        around = rng.choice(
            (
                0,
                100_000,
                MS,
                5 * MS,
                rng.randrange(2000 * MS),
                params["rx_flowcontrol_timeout"] * MS,
                params["rx_consecutive_frame_timeout"] * MS,
                int((params.get("override_receiver_stmin") or 0) * 1e9),
                int(params.get("rate_limit_window_size", 0) * 1e9),
            )
        )
        return max(0, around + rng.choice((-1, -1, 0, 1, 1, 1, 1000, 1000)))

    def a_wait(self) -> int:
        """As a_time(), and such that waits cannot add up to less than what they are next to."""
        return max(0, self.a_time() + 1)

    def pause(self, percent: float) -> Iterator[Event]:
        if chance(self.rng, percent):
            yield ["wait", self.a_time()]
            if chance(self.rng, 60):
                yield self.process()

    # -------- messages that come in

    def incoming_single_frame(self) -> Iterator[Event]:
        rng = self.rng
        functional = chance(rng, 15)
        room = self.room()
        if room <= 8:
            size = rng.randint(1, room - 1)
            head = f"{size:02x}" if chance(rng, 90) or size == room - 1 else f"00{size:02x}"
        else:
            size = rng.randint(1, room - 2)
            head = f"00{size:02x}" if chance(rng, 90) else f"{min(size, 15):02x}"
        data = head + rng.randbytes(size).hex()
        if chance(rng, 60):
            data = data.ljust(2 * room, "c")
        yield from self.heard([self.frame(data, functional=functional)])
        if chance(rng, 30):
            yield ["recv"]

    def segments(self) -> list[Any]:
        """The frames of a message, perhaps with something wrong in them."""
        rng = self.rng
        room = self.room()
        size = rng.choice((rng.randint(1, 30), rng.randint(8, 120), rng.randint(100, 600), 4095, 4096))
        if size > 1000 and chance(rng, 90):
            size = 2 * room
        if chance(rng, 1):
            size = 0
        short = 0 < size <= 4095 and chance(rng, 98)
        head = f"1{size:03x}" if short else f"1000{size:08x}"
        head_room = max(0, room - len(head) // 2)
        content = rng.randbytes(size)
        frames = [head + content[:head_room].hex()]
        sn = 0
        for start in range(head_room, max(size, head_room + 1), room - 1):
            sn = (sn + 1) & 15
            piece = content[start : start + room - 1].hex()
            if chance(rng, 30) and start + room - 1 >= size:
                piece = piece.ljust(2 * (room - 1), "a")
            frames.append(f"2{sn:x}{piece}")
        if chance(rng, 35):
            self.spoil(frames)
        return [self.frame(data) for data in frames]

    def spoil(self, frames: list[str]) -> None:
        """One fault: a frame lost, doubled, out of order, cut, lengthened, changed, or another one in between."""
        rng = self.rng
        place = rng.randrange(len(frames))
        fault = rng.randrange(8)
        if fault == 0:
            del frames[place]
        elif fault == 1:
            frames.insert(place, frames[place])
        elif fault == 2:
            other = rng.randrange(len(frames))
            frames[place], frames[other] = frames[other], frames[place]
        elif fault == 3:
            frames[place] = frames[place][: 2 * rng.randrange(len(frames[place]) // 2 + 1)]
        elif fault == 4:
            frames[place] += "55" * min(rng.choice((1, 4, 8, 56)), 63 - len(frames[place]) // 2)
        elif fault == 5:
            frames[place] = f"{rng.randrange(256):02x}" + frames[place][2:]
        else:
            frames.insert(place, self.any_frame())

    def incoming_message(self) -> Iterator[Event]:
        rng = self.rng
        frames = self.segments()
        yield from self.heard(frames[:1])
        frames = frames[1:]
        while frames:
            yield from self.pause(15)
            count = rng.choice((1, 2, 8, len(frames)))
            yield from self.heard(frames[:count])
            frames = frames[count:]
            if chance(rng, 3):
                return
        if chance(rng, 50):
            yield ["recv"]

    # -------- messages that go out

    def send(self, size: int, address_type: int | None) -> Event:
        kind = self.rng.choices(
            ("bytes", "list", "bytearray", "generator", "short", "long"), (70, 5, 5, 10, 5, 5)
        )[0]
        return ["send", size, self.rng.randrange(256), kind, address_type]

    def outgoing_single_frame(self) -> Iterator[Event]:
        rng = self.rng
        tx_dl = self.params["tx_data_length"]
        size = rng.choice((0, rng.randint(1, 7), 7 - rng.randrange(2), rng.randint(1, tx_dl), tx_dl - 2))
        # As many as the rate limiter may hold back
        for _ in range(4 if "rate_limit_enable" in self.params else 1):
            yield self.send(size, rng.choice((None, None, 0, 1)))
            yield self.process()
        yield from self.pause(20)

    def flow_control(self) -> str:
        rng = self.rng
        status = rng.choices((0, 1, 2, rng.randrange(16)), (85, 9, 3, 3))[0]
        blocksize = rng.choice((0, 0, 1, 2, 3, 8, rng.randrange(256)))
        stmin = rng.choice((0, 0, 0, 1, 2, 0x7F, 0xF1, 0xF5, 0xF9, rng.randrange(256)))
        data = f"3{status:x}{blocksize:02x}{stmin:02x}"
        if chance(rng, 3):
            data = data[: 2 * rng.randrange(3)]
        return data.ljust(16 - len(heard_by(self.address, False)[2]), "0") if chance(rng, 30) else data

    def outgoing_message(self) -> Iterator[Event]:
        rng = self.rng
        tx_dl = self.params["tx_data_length"]
        size = rng.choice(
            (rng.randint(1, 100), rng.randint(tx_dl, 4 * tx_dl), rng.randint(tx_dl, 20 * tx_dl), tx_dl)
        )
        if chance(rng, 2):
            size = rng.choice((4095, 4096, 4097))
        yield self.send(size, None if chance(rng, 90) else rng.randrange(2))
        if chance(rng, 8):
            yield self.send(rng.randint(1, 3 * tx_dl), None)
        yield self.process()
        blocks = rng.choice((1, 1, 2, 3, 6))
        for _ in range(blocks):
            yield from self.pause(12)
            controls = [self.flow_control()]
            if chance(rng, 6):
                controls.append(self.flow_control())
            if chance(rng, 3):
                controls.insert(rng.randrange(len(controls) + 1), self.any_frame())
            yield from self.heard([self.frame(data) for data in controls])
            for _ in range(rng.choice((0, 0, 1, 3))):
                yield ["wait", rng.choice((MS, 127 * MS, 100_000, self.a_time()))]
                yield self.process()

    # -------- the rest

    def any_frame(self) -> str:
        rng = self.rng
        size = rng.choice((0, 1, 2, 3, 5, 6, 7, 8, 8, 8, 9, 12, 16, 32, 63, rng.randrange(64)))
        data = rng.randbytes(size)
        if size and chance(rng, 80):
            nibble = rng.choice((0, 0, 1, 2, 3))
            data = bytes([nibble << 4 | rng.choice((0, 1, rng.randrange(16)))]) + data[1:]
        return data.hex()

    def anything_incoming(self) -> Iterator[Event]:
        count = self.rng.choice((1, 1, 2, 5))
        yield from self.heard([self.frame(self.any_frame()) for _ in range(count)])

    def control(self) -> Iterator[Event]:
        rng = self.rng
        yield [
            "call",
            rng.choice(("stop_sending", "stop_receiving", "clear_rx_queue", "clear_tx_queue", "reset")),
        ]
        if chance(rng, 60):
            yield self.process()

    def change(self) -> Iterator[Event]:
        rng = self.rng
        if chance(rng, 20):
            self.address = an_address(rng)
            yield ["readdress", self.address]
        else:
            new = {k: v for k, v in some_params(rng).items() if chance(rng, 25)}
            # Lengths go together, or the other parameters would be refused.
            for name in ("tx_data_length", "tx_data_min_length"):
                new.pop(name, None)
            if any(name.startswith("rate_") for name in new):
                new = {k: v for k, v in new.items() if not k.startswith("rate_")}
            if chance(rng, 30) and "rate_limit_enable" not in self.params:
                tx_dl = rng.choice(LENGTHS)
                new |= {"tx_data_length": tx_dl, "tx_data_min_length": None}
            self.params.update(new)
            yield ["assign", new, chance(rng, 50)]
        yield self.process()


def merged(rng: random.Random, one: list[Event], other: list[Event]) -> list[Event]:
    """Two sequences in one, each in its order."""
    result = []
    while one and other:
        result.append((one if chance(rng, 50) else other).pop(0))
    return result + one + other


def script_of(seed: int) -> dict[str, Any]:
    return Author(seed).script()
