"""`isotp recv`: messages in, a line in hex or JSON each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from isotp.bulk._address_text import address_text, can_id_text
from isotp.cli.complaints import EXIT_STATUS, FAILED, Complaints, explained
from isotp.cli.ends import End, Received, open_end
from isotp.cli.options.bus import BusOrKernelOptions
from isotp.cli.options.frames import FrameOptions, ReceiverOptions
from isotp.cli.options.listening import Count, TallyOptions
from isotp.cli.options.sessions import SessionOptions
from isotp.cli.shown.lines import hex_text, write_json, write_line
from isotp.cli.shown.tally import Tally
from isotp.errors import IsoTpError

__all__ = ["EXAMPLES", "command"]

EXAMPLES = f"""\
[bold]Examples[/bold]

[dim]# as isotprecv: one message, in hex[/dim]
isotp recv -s 7E8 -d 7E0 can0

[dim]# all messages until Ctrl-C, with block size 8 and STmin 300 us, as JSON lines[/dim]
isotp recv -l -B 8 -m F3 -s 7E8 -d 7E0 --json can0 | jq .payload

[dim]# what comes in goes out on another bus[/dim]
isotp recv -l -s 7E8 -d 7E0 can0 | isotp send -s 7E0 -d 7E8 can1

[dim]# three messages on a bus of python-can, CAN FD, or none within 5 s[/dim]
isotp recv -n 3 --timeout 5 -s 7E8 -d 7E0 --fd -i kvaser -c 0

[dim]# by the kernel's socket[/dim]
isotp recv --kernel -s 7E8 -d 7E0 can0

{EXIT_STATUS}"""


@dataclass(frozen=True)
class ReceiveOptions(TallyOptions):
    """One message, unless others are asked for."""

    count: Count = 1
    loop: Annotated[
        bool, typer.Option("-l", "--loop", help="Do not end with the first message, but with Ctrl-C.")
    ] = False


def command(
    bus: BusOrKernelOptions,
    address: SessionOptions,
    frames: FrameOptions,
    receiver: ReceiverOptions,
    listening: ReceiveOptions,
) -> None:
    """Receive messages, and acknowledge them.

    -s is the CAN ID that flow control is sent with, -d the one that messages come with, as isotprecv has it. A message
    that breaks off is told of on standard error.
    """
    place = bus.place()
    link = receiver.added_to(frames.link(address.one(), place))
    session, can_id = address_text(link.address), can_id_text(link.address, 1, 0)
    tally, complaints = Tally(), Complaints()
    with explained():
        end = open_end(place, link)
        listening.tell(place)
        try:
            for time, _, payload in received(end, listening, tally, complaints):
                if listening.as_json:
                    facts = {"channel": place.name, "session": session, "direction": "rx", "can_id": can_id}
                    write_json(time=time, **facts, length=len(payload), payload=payload.hex())
                else:
                    write_line(hex_text(payload))
        except KeyboardInterrupt:
            if not listening.loop:
                raise
        finally:
            tally.add_counters(session, end.counters())
            for error in end.close():
                tally.add_error(error)
                complaints.tell(error)
            complaints.end_row()
            if listening.stats or listening.loop:
                tally.show()
    if tally.errors or (tally.messages == 0 and listening.timeout is not None):
        raise typer.Exit(FAILED)


def received(end: End, listening: ReceiveOptions, tally: Tally, complaints: Complaints) -> Iterator[Received]:
    """Messages, so many as are asked for; until none came in time."""
    count = None if listening.loop else listening.count
    while count is None or tally.messages < count:
        try:
            message = end.recv(listening.timeout)
        except IsoTpError as error:
            tally.add_error(error)
            complaints.tell(error)
            continue
        complaints.end_row()
        if message is None:
            if tally.messages == 0 or count is not None:
                listening.tell_none("message")
            return
        tally.add(len(message.payload))
        yield message
