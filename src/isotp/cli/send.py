"""`isotp send`: messages out, from the command line, a file or standard input, and their answers in."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from isotp.address import TargetAddressType
from isotp.cli.complaints import EXIT_STATUS, FAILED, complain, explained, give_up
from isotp.cli.ends import End, Received, open_end
from isotp.cli.groups import grouped
from isotp.cli.lines import hex_text, payload_of, write_json, write_line
from isotp.cli.link import HOW, AddressOptions, FrameOptions
from isotp.cli.places import BusOptions
from isotp.errors import IsoTpError

__all__ = ["EXAMPLES", "command"]

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

{EXIT_STATUS}"""

RESPONSE_PENDING = 0x78  # ISO 14229-1: the answer takes longer


@grouped
def command(
    bus: BusOptions,
    address: AddressOptions,
    frames: FrameOptions,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", metavar="HEX", help="A message, in hex; may be given again. Default: standard input."
        ),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option("-D", metavar="LENGTH", help="A message of so many bytes: 01 02 03 ...", min=1),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", help="What is in the file is one message.", exists=True, dir_okay=False
        ),
    ] = None,
    answer: Annotated[
        bool, typer.Option("--answer", help="Wait for the answer to each, and show it in hex.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", help="How long to wait for an answer.", min=0)
    ] = 1.0,
    functional: Annotated[
        bool, typer.Option("--functional", help="To the functional address: messages of a single frame.")
    ] = False,
    gap: Annotated[
        int | None,
        typer.Option(
            "-f",
            metavar="NS",
            help="Gap between consecutive frames in ns, whatever the receiver asks for.",
            rich_help_panel=HOW,
        ),
    ] = None,
    frame_time: Annotated[
        int | None,
        typer.Option(
            "-t",
            metavar="NS",
            help="Time for one frame (N_As), kept free beside STmin: by the kernel only.",
            rich_help_panel=HOW,
        ),
    ] = None,
    wait_frames: Annotated[
        int,
        typer.Option("-w", metavar="N", help="Wait frames to accept in a row.", rich_help_panel=HOW, min=0),
    ] = 10,
    kernel: Annotated[
        bool, typer.Option("--kernel", help="By an ISO-TP socket of the Linux kernel.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each message.")] = False,
) -> None:
    """Send messages, and show their answers.

    Each line of standard input is a message in hex, as isotprecv and `isotp recv` write it, or a JSON object with a
    "payload", as `isotp decode --json` writes it. It ends with the first message that can not be sent or is not
    answered.
    """
    place = bus.place(kernel=kernel)
    link = frames.link(address.one(), fd=bus.fd, switched=bus.data_bitrate is not None, kernel=kernel)
    values: dict[str, Any] = {"wftmax": wait_frames}
    if gap is not None:
        values["override_receiver_stmin"] = gap / 1e9
    link = link.having(values, "-f")
    if kernel and functional:
        raise typer.BadParameter("the kernel's sockets are physical", param_hint="--functional")
    if frame_time is not None:
        if not kernel:
            raise typer.BadParameter("it goes with --kernel; see -f", param_hint="-t")
        link = link.sending_slowly(frame_time)
    messages = messages_of(data, length, file)
    target_type = TargetAddressType.Functional if functional else TargetAddressType.Physical
    with explained():
        end = open_end(place, link)
        try:
            for message in messages:
                exchange(end, message, target_type, timeout if answer else None, place.name, as_json)
        finally:
            end.close()


def messages_of(data: list[str] | None, length: int | None, file: Path | None) -> Iterator[bytes | Path]:
    """What is to be sent, one after the other.

    :raises typer.BadParameter: if it is named in two ways.
    """
    if sum(each is not None for each in (data, length, file)) > 1:
        raise typer.BadParameter("name the messages in one way", param_hint="--data -D --file")
    if data is not None:
        return iter([bytes_of(text) for text in data])
    if length is not None:
        return iter([bytes(k & 0xFF for k in range(1, length + 1))])
    return iter([file]) if file is not None else lines_of(sys.stdin.buffer)


def bytes_of(text: str) -> bytes:
    try:
        return payload_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--data") from None


def lines_of(stream: BinaryIO) -> Iterator[bytes]:
    for number, line in enumerate(stream, 1):
        try:
            payload = payload_of(line.decode(errors="replace"))
        except ValueError as error:
            raise give_up(f"line {number} of standard input: {error}") from None
        if payload:
            yield payload


def exchange(
    end: End,
    message: bytes | Path,
    target_type: TargetAddressType,
    patience: float | None,
    channel: str,
    as_json: bool,
) -> None:
    """Send a message and, with `patience`, wait for its answer.

    :raises typer.Exit: if that went wrong.
    """
    began = time.perf_counter()
    size = message.stat().st_size if isinstance(message, Path) else len(message)
    problem: IsoTpError | ValueError | None = None
    answered: Received | None = None
    try:
        if size == 0:
            raise ValueError("there are no messages without a byte")
        if isinstance(message, Path):
            with message.open("rb") as stream:
                end.send(stream, target_type, None)
        else:
            end.send(message, target_type, None)
        took = time.perf_counter() - began
        if patience is not None:
            answered = answer_from(end, patience)
    except (IsoTpError, ValueError) as error:
        problem, took = error, time.perf_counter() - began
    if as_json:
        write_json(
            time=time.time_ns(),
            channel=channel,
            length=size,
            seconds=round(took, 6),
            error=None if problem is None else f"{type(problem).__name__}: {problem}",
            answer=None if answered is None else answered.payload.hex(),
        )
    elif answered is not None:
        write_line(hex_text(answered.payload))
    if problem is not None:
        complain(f"{type(problem).__name__}: {problem}")
    elif patience is not None and answered is None:
        complain(f"no answer within {patience:g} s")
    if problem is not None or (patience is not None and answered is None):
        raise typer.Exit(FAILED)


def answer_from(end: End, patience: float) -> Received | None:
    """The next message that does not say that the answer takes longer; each that does begins the wait anew."""
    while True:
        received = end.recv(patience)
        if received is None or not is_response_pending(received.payload):
            return received


def is_response_pending(payload: bytes) -> bool:
    return len(payload) == 3 and payload[0] == 0x7F and payload[2] == RESPONSE_PENDING
