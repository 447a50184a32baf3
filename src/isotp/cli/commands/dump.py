"""`isotp dump`: the frames of buses as they come, or of logs, each explained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import chain
from typing import Annotated, NamedTuple

import typer

from isotp._can_ids import FDF, id_text
from isotp._core import PDU
from isotp.address import AbstractAddress
from isotp.bulk._address_text import address_text, lanes_of
from isotp.cli.complaints import EXIT_STATUS, FAILED, complain, explained, give_up
from isotp.cli.options.bus import LogOrBusesOptions
from isotp.cli.options.listening import ListenOptions, ViewOptions
from isotp.cli.options.sessions import SessionOptions
from isotp.cli.shown.colours import Colours
from isotp.cli.shown.lines import TimeText, ascii_text, hex_text, write_json, write_line
from isotp.cli.shown.uds import service_text
from isotp.cli.shown.words import DIRECTIONS
from isotp.cli.wires import Frame, Receiver, SeveralWires, frames_of, message_of, open_wire
from isotp.message import Direction

__all__ = ["EXAMPLES", "command"]

EXAMPLES = f"""\
[bold]Examples[/bold]

[dim]# as isotpdump: the frames of one session[/dim]
isotp dump -s 7E0 -d 7E8 can0

[dim]# of two, with the time since the frame before[/dim]
isotp dump -t d -a 7E0:7E8 -a ta=10,sa=F1 can0

[dim]# all frames of a bus of python-can, taken for ISO-TP with normal addresses[/dim]
isotp dump -i vector -c 0 -b 500000

[dim]# two buses at once, and the frames of a log[/dim]
isotp dump can0 can1
isotp dump -t A -a 7E0:7E8 drive.blf

[dim]# 100 frames for another program[/dim]
isotp dump -n 100 --json -s 7E0 -d 7E8 can0 | jq 'select(.type=="FC")'

{EXIT_STATUS}"""

TYPES = ("SF", "FF", "CF", "FC")
FLOW_STATUSES = ("CTS", "WT", "OVFLW")


class Owner(NamedTuple):
    """Whose a frame is: which session, its address in words, the direction, bytes before the N_PCI."""

    session: int
    text: str
    direction: Direction
    prefix: int


class Owners:
    """Finds the session of a frame. Without sessions, each CAN ID is one, with normal addressing."""

    def __init__(self, addresses: Iterable[AbstractAddress]) -> None:
        self._by_key: dict[tuple[int, int | None], Owner] = {}
        for index, address in enumerate(addresses):
            for lane in lanes_of(address):
                owner = Owner(index, address_text(address), lane.direction, int(lane.extension is not None))
                self._by_key.setdefault((lane.can_id, lane.extension), owner)
        self.identifiers = {can_id for can_id, _ in self._by_key} or None
        # Of the CAN IDs on the screen: 29 bits take 8 digits.
        self.id_width = max((len(id_text(can_id)) for can_id, _ in self._by_key), default=3)

    def __getitem__(self, frame: Frame) -> Owner | None:
        if self.identifiers is None:
            self.id_width = max(self.id_width, len(id_text(frame.can_id)))
            return Owner(frame.can_id, "", Direction.TX, 0)
        owner = self._by_key.get((frame.can_id, None))
        if owner is None and frame.data:
            owner = self._by_key.get((frame.can_id, frame.data[0]))
        return owner


class Explained(NamedTuple):
    """A frame and what it says; `pdu` is None if it is no N_PDU, and `problem` then says why."""

    frame: Frame
    owner: Owner
    pdu: PDU | None
    problem: str

    @property
    def uds(self) -> str:
        """What the message is that begins here."""
        return service_text(self.pdu.data) if self.pdu is not None and self.pdu.type in (0, 1) else ""


def explain(frame: Frame, owner: Owner) -> Explained:
    try:
        return Explained(frame, owner, PDU(message_of(frame), owner.prefix), "")
    except ValueError as error:
        return Explained(frame, owner, None, str(error))


def command(
    *,
    bus: LogOrBusesOptions,
    with_ascii: Annotated[bool, typer.Option("--ascii/--no-ascii", help="Data in ASCII too.")] = True,
    address: SessionOptions,
    view: ViewOptions,
    listening: ListenOptions,
) -> None:
    """Show the frames of a bus, explained.

    Of several buses, in the order of their times, or of logs. Sends nothing. Without a session, all frames are shown
    as those of normal addressing; -a, once for each, names sessions.
    """
    owners = Owners(address.all())
    if logs := bus.logs():
        if not show(frames_of_logs(logs), "", owners, with_ascii, view, listening):
            raise give_up("there are no more such frames in the logs", FAILED)
        return
    places = bus.places()
    wire: Receiver
    if len(places) == 1:
        wire = one = open_wire(places[0], owners.identifiers)
        name, close = places[0].name, one.close
    else:
        wire = several = SeveralWires(places, owners.identifiers)
        name, close = "", several.close
    listening.tell(*places)
    with ExitStack() as stack:
        stack.callback(close)
        frames = chain.from_iterable(frames_of(wire, listening.timeout))
        if not show(frames, name, owners, with_ascii, view, listening):
            listening.tell_none("frame")
            raise typer.Exit(FAILED)


def show(
    frames: Iterable[Frame],
    channel: str,
    owners: Owners,
    with_ascii: bool,
    view: ViewOptions,
    listening: ListenOptions,
) -> bool:
    """Show frames, each with the name of its channel, or all with the one that is given.

    False if they ended before there were as many as are asked for, or one.
    """
    colours, time_text = Colours(view.colour), TimeText(view.times)
    shown = 0
    with explained(), suppress(KeyboardInterrupt):
        for frame in frames:
            if (owner := owners[frame]) is None:
                continue
            it = explain(frame, owner)
            name = frame.channel or channel
            if listening.as_json:
                write_json(channel=name, **fields_of(it))
            else:
                uds = it.uds if view.with_uds else ""
                line = line_of(it, name, owners.id_width, colours, with_ascii, uds)
                write_line(time_text(frame.timestamp) + line)
            shown += 1
            if shown == listening.count:
                return True
        return listening.count is None and shown > 0
    return True


def frames_of_logs(names: list[str]) -> Iterator[Frame]:
    """The frames of logs, and at the end what could not be read of them.

    :raises typer.Exit: if there is such.
    """
    # All formats of logs come with them.
    from isotp.cli.logs import LogFiles
    from isotp.cli.options.logs import LogOptions

    files = LogFiles(replace(LogOptions(names).question(), discover=False))
    for records in files.records():
        for record in map(records.__getitem__, range(len(records))):
            name = files.channel_name(record.channel)
            yield Frame(record.timestamp, record.can_id, record.data, record.flags, name)
    for problem in files.problems:
        complain(problem)
    if files.problem_count:
        raise typer.Exit(FAILED)


def line_of(it: Explained, channel: str, id_width: int, colours: Colours, with_ascii: bool, uds: str) -> str:
    """As isotpdump has it."""
    frame, owner = it.frame, it.owner
    prefix = f"{{{frame.data[0]:02X}}}" if owner.prefix and frame.data else ""
    head = f"{channel}  {id_text(frame.can_id):>{id_width}}{prefix}  [{len(frame.data)}]  "
    if it.pdu is None:
        return head + colours.error("[??]") + f" {hex_text(frame.data)}  {colours.faint(it.problem)}"
    text = head + f"[{TYPES[it.pdu.type]}] {facts_of(it.pdu)}"
    if it.pdu.type != 3:
        text += hex_text(it.pdu.data)
        if with_ascii:
            text += f" - '{ascii_text(it.pdu.data)}'"
    line = colours.of(owner.session, text, bright=owner.direction is Direction.TX and owner.text != "")
    return f"{line}  {uds}" if uds else line


def facts_of(pdu: PDU) -> str:
    if pdu.type == 2:
        return f"sn: {pdu.seqnum:X}    data: "
    if pdu.type == 3:
        status, stmin = pdu.flow_status or 0, pdu.stmin or 0
        return (
            f"FC: {status} = {FLOW_STATUSES[status]} # BS: {pdu.blocksize}{'' if pdu.blocksize else ' = off'}"
            f" # STmin: 0x{stmin:02X} = {stmin_text(pdu)}"
        )
    return f"ln: {pdu.length:<4} data: "


def stmin_text(pdu: PDU) -> str:
    us = round((pdu.stmin_sec or 0) * 1e6)
    return f"{us} us" if 0 < us < 1000 else f"{us // 1000} ms"


def fields_of(it: Explained) -> dict[str, object]:
    """For JSON; what a frame of its type does not have is None."""
    frame, owner, pdu = it.frame, it.owner, it.pdu
    return {
        "time": frame.timestamp,
        "session": owner.text or None,
        "direction": DIRECTIONS[owner.direction] if owner.text else None,
        "can_id": id_text(frame.can_id),
        "extension": frame.data[0] if owner.prefix and frame.data else None,
        "fd": bool(frame.flags & FDF),
        "data": frame.data.hex(),
        "type": None if pdu is None else TYPES[pdu.type],
        "length": None if pdu is None else pdu.length,
        "sn": None if pdu is None else pdu.seqnum,
        "flow_status": None if pdu is None or pdu.flow_status is None else FLOW_STATUSES[pdu.flow_status],
        "blocksize": None if pdu is None else pdu.blocksize,
        "stmin_us": None if pdu is None or pdu.stmin_sec is None else round(pdu.stmin_sec * 1e6),
        "payload": None if pdu is None or pdu.type == 3 else pdu.data.hex(),
        "uds": it.uds or None,
        "problem": it.problem or None,
    }
