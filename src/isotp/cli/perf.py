"""`isotp perf`: how fast messages are: those of others, or those of one end or both ends here."""

from __future__ import annotations

import enum
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any, NamedTuple

import typer

from isotp.address import TargetAddressType
from isotp.cli import listen
from isotp.cli.addresses import address_text, can_id_text
from isotp.cli.complaints import EXIT_STATUS, FAILED, complain, explained
from isotp.cli.ends import End, open_end
from isotp.cli.groups import grouped
from isotp.cli.lines import write_json, write_line
from isotp.cli.link import AddressOptions, FrameOptions, Link, ReceiverOptions
from isotp.cli.places import BusOptions, Place
from isotp.cli.tally import Tally
from isotp.cli.watch import CtrlC, identifiers_of, messages_on
from isotp.cli.wires import open_wire
from isotp.cli.words import count_text, rate_text, size_text, time_text
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
    frames: int | None
    blocksize: int | None
    stmin_us: int | None
    status: str = "ok"

    @property
    def rate(self) -> float | None:
        """Bytes a second."""
        return self.length * 1e9 / self.duration if self.duration else None


@grouped
def command(
    bus: BusOptions,
    address: AddressOptions,
    frames: FrameOptions,
    receiver: ReceiverOptions,
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
    count: listen.Count = None,
    timeout: listen.Silence = None,
    kernel: Annotated[
        bool, typer.Option("--kernel", help="Ends here are ISO-TP sockets of the Linux kernel.")
    ] = False,
    as_json: listen.Json = False,
    stats: listen.Stats = False,
    ready: listen.Ready = False,
) -> None:
    """Measure how fast messages are.

    Of each segmented message: bytes, time from its first frame to its last, bytes per second, and the block size and
    STmin that were asked for. With Ctrl-C or after N messages (10 are sent unless -n says otherwise), the least, median
    and most of them; with --json in a line of its own.
    """
    if kernel and mode is Mode.WATCH:
        raise typer.BadParameter("it has no frames to watch; it goes with --mode send, recv, both",
                                 param_hint="--kernel")  # fmt: skip
    place = bus.place(kernel=kernel)
    measured: list[Measured] = []
    tally = Tally()
    with explained(), ExitStack() as stack:
        if mode is Mode.WATCH:
            results = watched(place, address, timeout, stack)
        else:
            link = frames.link(address.one(), fd=bus.fd, switched=bus.data_bitrate is not None, kernel=kernel)
            link = link.having(receiver.values(), "-B -m -w")
            results = taken_part(place, link, mode, length, count or 10, timeout, tally, stack)
        if ready:
            typer.echo(f"listening on {place.name}", err=True)
        try:
            for each in results:
                measured.append(each)
                if as_json:
                    write_json(channel=place.name, rate=each.rate, **each._asdict())
                else:
                    write_line(line_of(each, place.name))
                if len(measured) == count:
                    break
        except KeyboardInterrupt:
            pass
        except IsoTpError as error:
            complain(f"{type(error).__name__}: {error}")
            tally.add_error(error)
    summarise(measured, as_json)
    if stats:
        tally.show()
    if not measured and timeout is not None:
        complain(f"no segmented message within {timeout:g} s")
    if tally.errors or any(each.status not in ("ok", "open") for each in measured) or not measured:
        raise typer.Exit(FAILED)


def watched(
    place: Place, address: AddressOptions, quiet: float | None, stack: ExitStack
) -> Iterator[Measured]:
    """Segmented messages of others."""
    addresses = address.some()
    wire = open_wire(place, identifiers_of(addresses))
    stack.callback(wire.close)
    ctrl_c = stack.enter_context(CtrlC())

    def results() -> Iterator[Measured]:
        for table in messages_on(wire, addresses, 1000, quiet, ctrl_c):
            for it in table:
                if it.frames > 1 or it.status is not MessageStatus.OK:
                    yield Measured(
                        can_id_text(it.address, it.direction, it.target_type),
                        len(it.payload),
                        it.end - it.start,
                        it.frames,
                        it.blocksize,
                        it.stmin_us,
                        it.status.name.lower(),
                    )

    return results()


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
        there = opened(place, link.to(link.address.reversed()), tally, stack)
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
        yield Measured(can_id, length, duration, None, None, None)


def received(here: End, can_id: str, timeout: float | None, tally: Tally) -> Iterator[Measured]:
    while (message := here.recv(timeout)) is not None:
        tally.add(len(message.payload))
        yield Measured(can_id, len(message.payload), message.duration, None, None, None)


def line_of(it: Measured, channel: str) -> str:
    text = f"{channel}  {it.can_id}  {size_text(it.length):>10}"
    if it.duration is not None:
        text += f"  in {time_text(it.duration):>8}  {rate_text(it.rate):>9} bytes/s"
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
        text += ", bytes/s: " + ", ".join(f"{name} {rate_text(value)}" for name, value in values.items())
    write_line(text)
