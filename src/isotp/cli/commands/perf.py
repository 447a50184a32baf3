"""`isotp perf`: how fast messages are: those of others, or those of one end or both ends here."""

from __future__ import annotations

import enum
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import typer

from isotp.address import TargetAddressType
from isotp.bulk._address_text import address_text, can_id_text
from isotp.cli.complaints import EXIT_STATUS, FAILED, complain, error_text, explained
from isotp.cli.ends import End, open_end
from isotp.cli.options.bus import BusOrKernelOptions, Place
from isotp.cli.options.frames import FrameOptions, Link, ReceiverOptions
from isotp.cli.options.listening import TallyOptions
from isotp.cli.options.sessions import SessionOptions
from isotp.cli.shown.lines import write_json, write_line
from isotp.cli.shown.tally import Tally
from isotp.cli.shown.words import STATUSES, count_text, number_text, size_text, time_text
from isotp.cli.watch import messages_between
from isotp.errors import IsoTpError
from isotp.message import MessageStatus

__all__ = ["EXAMPLES", "command"]

EXAMPLES = f"""\
[bold]Examples[/bold]

[dim]# as isotpperf: how fast the segmented messages of others are[/dim]
isotp perf -s 7E0 -d 7E8 can0

[dim]# 100 messages of 4095 bytes to somebody who receives, say isotprecv -l[/dim]
isotp perf --mode send -D 4095 -n 100 -s 7E0 -d 7E8 can0

[dim]# the other side of that[/dim]
isotp perf --mode recv -n 100 -B 8 -s 7E8 -d 7E0 can0

[dim]# both ends here, on a bus of python-can, CAN FD[/dim]
isotp perf --mode both -L 72:64:1 -s 7E0 -d 7E8 -i virtual -c test --fd

[dim]# both ends are sockets of the kernel[/dim]
isotp perf --mode both --kernel -s 7E0 -d 7E8 vcan0

{EXIT_STATUS}"""

PATIENCE = 10.0  # seconds that a message whose last frame was sent may take to arrive


class Mode(str, enum.Enum):
    """Which ends of the session are here."""

    WATCH = "watch"
    SEND = "send"
    RECV = "recv"
    BOTH = "both"


class Measured(NamedTuple):
    """A message: ns from its first frame to its last (None if unknown), and what flow control asked for."""

    can_id: str
    length: int
    duration: int | None
    frames: int | None = None
    blocksize: int | None = None
    stmin_us: int | None = None
    status: str = "ok"

    @property
    def rate(self) -> float | None:
        """Bytes a second."""
        return self.length * 1e9 / self.duration if self.duration else None


def command(
    *,
    bus: BusOrKernelOptions,
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode",
            help="watch: messages of others, nothing is sent. send, recv: one end is here. both: both ends are.",
        ),
    ] = Mode.WATCH,
    length: Annotated[
        int, typer.Option("-D", metavar="LENGTH", help="Bytes of each message sent.", min=1)
    ] = 4095,
    address: SessionOptions,
    frames: FrameOptions,
    receiver: ReceiverOptions,
    listening: TallyOptions,
) -> None:
    """Measure how fast messages are.

    Of each segmented message: bytes, time from its first frame to its last, bytes per second, and the block size and
    STmin that were asked for. With Ctrl-C or after N messages (10 are sent unless -n says otherwise), the least, median
    and most of them; with --json in a line of its own.
    """
    if bus.kernel and mode is Mode.WATCH:
        raise typer.BadParameter(
            "it has no frames to watch; it goes with --mode send, recv, both", param_hint="--kernel"
        )
    place, count = bus.place(), listening.count
    measured: list[Measured] = []
    tally = Tally()
    with explained(), ExitStack() as stack:
        if mode is Mode.WATCH:
            results = watched(place, address, listening.timeout, stack)
        else:
            link = receiver.added_to(frames.link(address.one(), place))
            results = taken_part(place, link, mode, length, count or 10, listening.timeout, tally, stack)
        listening.tell(place)
        try:
            for each in results:
                measured.append(each)
                if listening.as_json:
                    write_json(channel=place.name, rate=each.rate, **each._asdict())
                else:
                    write_line(line_of(each, place.name))
                if len(measured) == count:
                    break
        except KeyboardInterrupt:
            pass
        except IsoTpError as error:
            complain(error_text(error))
            tally.add_error(error)
    summarise(measured, listening.as_json)
    if listening.stats:
        tally.show()
    if not measured and listening.timeout is not None:
        listening.tell_none("segmented message")
    if tally.errors or any(each.status not in ("ok", "open") for each in measured) or not measured:
        raise typer.Exit(FAILED)


def watched(
    place: Place, address: SessionOptions, quiet: float | None, stack: ExitStack
) -> Iterator[Measured]:
    """Segmented messages of others."""
    heard = messages_between(place, address.some(), 1000, quiet, stack)
    return (
        Measured(
            can_id_text(it.address, it.direction, it.target_type),
            len(it.payload),
            it.end - it.start,
            it.frames,
            it.blocksize,
            it.stmin_us,
            STATUSES[it.status],
        )
        for _, it in heard
        if it.frames > 1 or it.status is not MessageStatus.OK
    )


def taken_part(
    place: Place,
    link: Link,
    mode: Mode,
    length: int,
    count: int,
    timeout: float | None,
    tally: Tally,
    stack: ExitStack,
) -> Iterator[Measured]:
    """Messages of which one end or both ends are here."""
    there = None
    if mode is Mode.BOTH:
        there = opened(place, replace(link, address=link.address.reversed()), tally, stack)
    here = opened(place, link, tally, stack)
    if mode is Mode.RECV:
        return received(here, can_id_text(link.address, 1, 0), timeout, tally)
    return sent(here, there, can_id_text(link.address, 0, 0), length, count, tally)


def opened(place: Place, link: Link, tally: Tally, stack: ExitStack) -> End:
    end = open_end(place, link)

    def close() -> None:
        tally.add_counters(address_text(link.address), end.counters())
        end.close()

    stack.callback(close)
    return end


def sent(
    here: End, there: End | None, can_id: str, length: int, count: int, tally: Tally
) -> Iterator[Measured]:
    payload = bytes(k & 0xFF for k in range(length))
    for _ in range(count):
        began = time.perf_counter_ns()
        here.send(payload, TargetAddressType.Physical, None)
        if there is not None:
            arrived = there.recv(PATIENCE)
            if arrived is None or arrived.payload != payload:
                raise IsoTpError(
                    f"{length} bytes were sent, and {'nothing' if arrived is None else 'others'} arrived"
                )
        duration = time.perf_counter_ns() - began
        tally.add(length)
        yield Measured(can_id, length, duration)


def received(here: End, can_id: str, timeout: float | None, tally: Tally) -> Iterator[Measured]:
    while (message := here.recv(timeout)) is not None:
        tally.add(len(message.payload))
        yield Measured(can_id, len(message.payload), message.duration)


def line_of(it: Measured, channel: str) -> str:
    text = f"{channel}  {it.can_id}  {size_text(it.length):>10}"
    if it.duration is not None:
        text += f"  in {time_text(it.duration):>8}  {number_text(it.rate):>9} bytes/s"
    for name, value in (("frames", it.frames), ("BS", it.blocksize)):
        text += "" if value is None else f"  {name} {value}"
    text += "" if it.stmin_us is None else f"  STmin {time_text(it.stmin_us * 1000)}"
    return text if it.status == "ok" else f"{text}  {it.status}"


def summarise(measured: list[Measured], as_json: bool) -> None:
    rates = [each.rate for each in measured if each.rate is not None and each.status == "ok"]
    size = sum(each.length for each in measured)
    values: dict[str, Any] = dict.fromkeys(("least", "median", "most"))
    if rates:
        values = {"least": min(rates), "median": statistics.median(rates), "most": max(rates)}
    if as_json:
        write_json(messages=len(measured), bytes=size, bytes_per_second=values)
        return
    text = f"{count_text(len(measured), 'message')}, {size_text(size)}"
    if rates:
        text += ", bytes/s: " + ", ".join(f"{name} {number_text(value)}" for name, value in values.items())
    write_line(text)
