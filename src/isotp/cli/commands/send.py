"""`isotp send`: messages out, from the command line, a file or standard input, and their answers in."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console

from isotp.address import TargetAddressType
from isotp.bulk._address_text import address_text
from isotp.cli.complaints import EXIT_STATUS, FAILED, error_text, explained, give_up
from isotp.cli.ends import End, Received, open_end
from isotp.cli.options import checking
from isotp.cli.options.bus import BusOrKernelOptions
from isotp.cli.options.frames import FrameOptions, Link, how
from isotp.cli.options.sessions import SessionOptions
from isotp.cli.shown.lines import hex_text, payload_of, printable, write_json, write_line
from isotp.cli.shown.uds import NEGATIVE, service_text
from isotp.cli.shown.words import DIRECTIONS, TARGET_TYPES
from isotp.errors import IsoTpError
from isotp.exchange import Exchange
from isotp.message import Direction

__all__ = ["EXAMPLES", "command"]

STATUSES = EXIT_STATUS.replace("130: ", "3: a negative response, with --fail-on-nrc\n130: ")
EXAMPLES = f"""\
[bold]Examples[/bold]

[dim]# as isotpsend: a message in hex on standard input, here for each line[/dim]
echo 22 F1 90 | isotp send -s 7E0 -d 7E8 can0

[dim]# a UDS request and its answer, on any bus of python-can[/dim]
isotp send -s 7E0 -d 7E8 --data 22F190 --answer -i pcan -c PCAN_USBBUS1 -b 500000

[dim]# normal fixed addresses, a functional request[/dim]
isotp send -a ta=33,sa=F1 --functional --data 3E80 can0

[dim]# a firmware, over CAN FD with bit rate switch[/dim]
isotp send -s 7E0 -d 7E8 -L 72:64:1 --file image.bin can0

[dim]# 1000 bytes by the kernel's socket[/dim]
isotp send -s 7E0 -d 7E8 -D 1000 --kernel can0

[dim]# the requests of a log once more[/dim]
isotp decode --json -a 7E0:7E8 drive.blf | jq -c 'select(.direction=="tx")' | isotp send -s 7E0 -d 7E8 can0

{STATUSES}"""

REFUSED = 3  # the exit status for a negative response


@dataclass(frozen=True)
class SendOptions:
    """What is sent, how, and what is done then."""

    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", metavar="HEX", help="A message, in hex; may be given again. Default: standard input."
        ),
    ] = None
    length: Annotated[
        int | None,
        typer.Option("-D", metavar="LENGTH", help="A message of so many bytes: 01 02 03 ...", min=1),
    ] = None
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", help="What is in the file is one message.", exists=True, dir_okay=False
        ),
    ] = None
    answer: Annotated[
        bool, typer.Option("--answer", help="Wait for the answer to each, and show it in hex.")
    ] = False
    any_answer: Annotated[
        bool,
        typer.Option(
            "--any", help="With --answer: whatever message comes next is it, for other protocols than UDS."
        ),
    ] = False
    fail_on_nrc: Annotated[
        bool,
        typer.Option(
            "--fail-on-nrc",
            help=f"With --answer: a negative response of UDS ends it, with the exit status {REFUSED}.",
        ),
    ] = False
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", help="How long to wait for an answer (P2).", min=0)
    ] = 1.0
    timeout_star: Annotated[
        float,
        typer.Option(
            "--timeout-star",
            metavar="S",
            help='How long to wait for what follows a "response pending" (P2*); not less than --timeout.',
            min=0,
        ),
    ] = 5.0
    functional: Annotated[
        bool, typer.Option("--functional", help="To the functional address: messages of a single frame.")
    ] = False
    gap: Annotated[
        int | None,
        how("-f", metavar="NS", help="Gap between consecutive frames in ns, whatever the receiver asks for."),
    ] = None
    frame_time: Annotated[
        int | None,
        how(
            "-t", metavar="NS", help="Time for one frame (N_As), kept free beside STmin: by the kernel only."
        ),
    ] = None
    wait_frames: Annotated[int, how("-w", metavar="N", help="Wait frames to accept in a row.", min=0)] = 10
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each message.")] = False

    def added_to(self, link: Link, *, kernel: bool) -> Link:
        """:raises typer.BadParameter: if they do not go together."""
        values: dict[str, Any] = {"wftmax": self.wait_frames}
        if self.gap is not None:
            values["override_receiver_stmin"] = self.gap / 1e9
        if self.fail_on_nrc and not self.answer:
            raise typer.BadParameter("it goes with --answer", param_hint="--fail-on-nrc")
        if kernel and self.functional:
            raise typer.BadParameter("the kernel's sockets are physical", param_hint="--functional")
        if self.frame_time is not None and not kernel:
            raise typer.BadParameter("it goes with --kernel; see -f", param_hint="-t")
        return replace(link.having(values, "-f"), frame_time=self.frame_time)

    def messages(self) -> Iterator[bytes | Path]:
        """What is to be sent, one after the other.

        :raises typer.BadParameter: if it is named in two ways.
        """
        if sum(each is not None for each in (self.data, self.length, self.file)) > 1:
            raise typer.BadParameter("name the messages in one way", param_hint="--data -D --file")
        if self.data is not None:
            with checking("--data"):
                return iter([payload_of(text) for text in self.data])
        if self.length is not None:
            return iter([bytes(k & 0xFF for k in range(1, self.length + 1))])
        return iter([self.file]) if self.file is not None else lines_of(sys.stdin.buffer)


def command(
    bus: BusOrKernelOptions, address: SessionOptions, frames: FrameOptions, sending: SendOptions
) -> None:
    """Send messages, and show their answers.

    Each line of standard input is a message in hex, as isotprecv and `isotp recv` write it, or a JSON object with a
    "payload", as `isotp decode --json` writes it. It ends with the first message that cannot be sent or is not
    answered.
    """
    place = bus.place()
    link = sending.added_to(frames.link(address.one(), place), kernel=bus.kernel)
    messages = sending.messages()
    with explained(), closing(open_end(place, link)) as end:
        for message in messages:
            exchange(end, message, sending, place.name, address_text(link.address))


def lines_of(stream: BinaryIO) -> Iterator[bytes]:
    for number, line in enumerate(stream, 1):
        try:
            payload = payload_of(line.decode(errors="replace"))
        except ValueError as error:
            raise give_up(f"line {number} of standard input: {error}") from None
        if payload:
            yield payload


def exchange(end: End, message: bytes | Path, sending: SendOptions, channel: str, session: str) -> None:
    """Send a message and wait for its answer, if that is asked for.

    :raises typer.Exit: if that went wrong.
    """
    began = time.perf_counter()
    exchange = exchange_of(message, sending) if sending.answer else None
    size = message.stat().st_size if isinstance(message, Path) else len(message)
    problem = ""
    answered: Received | None = None
    try:
        send(end, message, size, TargetAddressType(sending.functional))
        took = time.perf_counter() - began
        if exchange is not None:
            answered = answer_from(end, exchange)
    except (IsoTpError, ValueError) as error:
        problem, took = error_text(error), time.perf_counter() - began
    if sending.as_json:
        write_json(
            time=time.time_ns(),
            channel=channel,
            session=session,
            direction=DIRECTIONS[Direction.TX],
            target_type=TARGET_TYPES[int(sending.functional)],
            length=size,
            duration=round(took * 1e9),
            error=problem or None,
            answer=None if answered is None else answered.payload.hex(),
        )
    elif answered is not None:
        write_line(hex_text(answered.payload))
    if not problem and sending.answer and answered is None:
        problem = f"no answer within {sending.timeout:g} s"
    if problem:
        raise give_up(problem, FAILED)
    if sending.fail_on_nrc and answered is not None and answered.payload[:1] == bytes((NEGATIVE,)):
        raise give_up(f"refused: {service_text(answered.payload)}", REFUSED)


def send(end: End, message: bytes | Path, size: int, target_type: TargetAddressType) -> None:
    if size == 0:
        raise ValueError("there are no messages without a byte")
    if isinstance(message, Path):
        with message.open("rb") as stream, shown_progress(stream, message.name, size) as watched:
            end.send(watched, target_type, None)
    else:
        end.send(message, target_type, None)


@contextmanager
def shown_progress(
    stream: BinaryIO, name: str, size: int, console: Console | None = None
) -> Iterator[BinaryIO]:
    """The file, with a bar on the terminal of how much of it is sent, as layers read it as they go."""
    console = Console(stderr=True) if console is None else console
    if not console.is_terminal:
        yield stream
        return
    # It brings many modules, for a terminal alone.
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        yield bar.wrap_file(stream, total=size, description=printable(name))


def exchange_of(message: bytes | Path, sending: SendOptions) -> Exchange:
    """:raises typer.BadParameter: if that is nothing that one can ask."""
    with checking("--answer"):
        return Exchange(
            message.read_bytes() if isinstance(message, Path) else message,
            timeout=None,
            p2=sending.timeout,
            p2_star=max(sending.timeout_star, sending.timeout),
            uds=not sending.any_answer,
        )


def answer_from(end: End, exchange: Exchange) -> Received | None:
    """The answer, None if none came in time; other messages are passed over."""
    exchange.sent(time.monotonic())
    while True:
        received = end.recv(exchange.left(time.monotonic()))
        if received is None or exchange.is_over(received.payload, time.monotonic()):
            return received
