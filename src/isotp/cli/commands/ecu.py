"""`isotp ecu`: an ECU on a bus that answers UDS requests, as a table or a class has it."""

from __future__ import annotations

import importlib.util
import queue
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from isotp._address_words import parse_address
from isotp.address import Address
from isotp.bulk._address_text import address_text
from isotp.cli.complaints import EXIT_STATUS, FAILED, complain, error_text, explained
from isotp.cli.options import checking
from isotp.cli.options.bus import BusOptions, Place, open_bus
from isotp.cli.options.frames import FrameOptions, ReceiverOptions
from isotp.cli.options.listening import Count, ListenOptions
from isotp.cli.options.sessions import SessionOptions, where
from isotp.cli.shown.lines import hex_text, printable, write_json, write_line
from isotp.cli.shown.uds import service_text
from isotp.testing import Ecu, Exchanged, Tester
from isotp.testing._ecu_serving import Serving

__all__ = ["EXAMPLES", "command"]

EXAMPLES = f"""\
[bold]Examples[/bold]

[dim]# a small ECU that has a VIN, at 7E0 and 7E8[/dim]
isotp ecu can0

[dim]# the ECUs of two tables, where these say they are[/dim]
isotp ecu --table engine.toml --table gearbox.toml can0

[dim]# the same engine elsewhere, with block size 8, on a bus of python-can[/dim]
isotp ecu --table engine.toml -s 7E9 -d 7E1 -B 8 -i pcan -c PCAN_USBBUS1 -b 500000

[dim]# two testers with normal fixed addresses, and requests to all[/dim]
isotp ecu --table gearbox.toml -a ta=F1,sa=18 -a ta=F2,sa=18 --functional ta=F1,sa=33 can0

[dim]# a class of your own[/dim]
isotp ecu --table my_ecus.py:Engine can0

{EXIT_STATUS}"""

# Where an ECU is of which nothing is said (ISO 15765-4).
USUAL = Tester(Address(txid=0x7E8, rxid=0x7E0), Address(rxid=0x7DF, rx_only=True))
# What it is then.
SMALL: dict[str, Any] = {
    "name": "small",
    "delay_ms": 5,
    "dids": {
        "F190": {"text": "WVWZZZ1JZ3W386752"},
        "F18C": {"text": "SN00001"},
        "0100": {"hex": "00 00 00 00", "write": {"sessions": [3]}},
    },
    "dtcs": {"030100": "2F"},
    "security": {"01": {"seed": "12 34 56 78", "xor": "FF"}},
    "routines": {"FF00": "00"},
}
# So often a wait looks whether it was interrupted.
PIECE = 0.2
MOST_SHOWN = 24  # bytes of a message


Seen: TypeAlias = "queue.SimpleQueue[tuple[Ecu, Exchanged]]"


@dataclass(frozen=True)
class EcuOptions(ListenOptions):
    """Which ECU, and where else it is."""

    count: Count = None
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="FILE",
            help="What the ECU is: TOML, JSON, or FILE.py:CLASS; may be given again, for another ECU. If not given: a"
            " small one.",
        ),
    ] = None
    functional: Annotated[
        list[str] | None,
        where(
            "--functional",
            metavar="ADDRESS",
            help="Where the ECU hears requests to all, say :7DF; the first goes with the first address, and so on.",
        ),
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show requests and answers.")] = False

    def ecus(self, given: list[Tester]) -> list[Ecu]:
        """All of them, each with its testers.

        :raises typer.BadParameter: if there is something wrong with a table, or with where they are.
        """
        if given and len(self.tables or ()) > 1:
            raise typer.BadParameter(
                "several ECUs are where their tables say", param_hint="--address --functional"
            )
        with checking("--table", OSError, RuntimeError):
            found = [ecu_of(each) for each in self.tables or ()] or [Ecu.from_table(SMALL)]
        for ecu in found:
            ecu.testers = given or ecu.testers or [USUAL]
        return found

    def testers(self, sessions: SessionOptions) -> list[Tester]:
        """Those that the options name."""
        addresses = sessions.all()
        words = self.functional or []
        if len(words) > len(addresses):
            raise typer.BadParameter("each goes with an address: -s -d, or -a", param_hint="--functional")
        found = []
        for address in addresses:
            if address.is_partial_address():
                raise typer.BadParameter("a session needs both CAN IDs", param_hint="--address")
            found.append(Tester(address))  # type: ignore[arg-type]  # there are no other addresses
        for k, word in enumerate(words):
            with checking("--functional"):
                to_all = parse_address(word).address
            if not isinstance(to_all, Address) or to_all.is_tx_only():
                raise typer.BadParameter("it is to be heard: say :7DF", param_hint="--functional")
            found[k] = replace(found[k], functional=to_all)
        return found


def command(
    bus: BusOptions,
    address: SessionOptions,
    frames: FrameOptions,
    receiver: ReceiverOptions,
    serving: EcuOptions,
) -> None:
    """Be an ECU: answer UDS requests on a bus.

    What it answers is in a table: data, trouble codes, routines, security, and rules that make it slow, silent or
    unwilling (docs/ecu.md). -s is the CAN ID that it answers with, -d the one that it hears. Requests and answers are
    shown as they come. It ends with Ctrl-C, after -n requests, or if none came for --timeout seconds.
    """
    place = bus.place()
    ecus = serving.ecus(serving.testers(address))
    link = receiver.added_to(frames.link(ecus[0].testers[0].address, place))
    seen: Seen = queue.SimpleQueue()
    with explained(), ExitStack() as stack:
        medium = (
            place.name if place.native else stack.enter_context(open_bus(place, fd=place.fd or link.kind.fd))
        )
        works = [
            stack.enter_context(ecu.serve(medium, params=link.params, watch=partial(keep, seen, ecu)))
            for ecu in ecus
        ]
        serving.tell(place)
        try:
            heard = shown_until_the_end(works, seen, serving, place)
        except KeyboardInterrupt:
            heard = 1
    errors = [error for work in works for error in work.errors]
    for error in errors:
        complain(error_text(error))
    if errors or not heard:
        raise typer.Exit(FAILED)


def shown_until_the_end(works: list[Serving], seen: Seen, serving: EcuOptions, place: Place) -> int:
    """Show what is said; how many requests there were."""
    requests = 0
    latest = time.monotonic()
    while not any(work.wait(0) for work in works):
        if serving.count is not None and requests >= serving.count and is_done(works, seen):
            break
        try:
            ecu, what = seen.get(timeout=PIECE)
        except queue.Empty:
            if serving.timeout is not None and time.monotonic() - latest >= serving.timeout:
                break
            continue
        latest = time.monotonic()
        requests += what.is_request
        if not serving.quiet:
            show(ecu, what, serving.as_json, place.name)
    if not requests and serving.timeout is not None:
        serving.tell_none("request")
    return requests


def is_done(works: list[Serving], seen: Seen) -> bool:
    """Whether all that was heard is answered, and shown."""
    return not any(work.is_busy for work in works) and seen.empty()


def keep(seen: Seen, ecu: Ecu, what: Exchanged) -> None:
    """The ECU's thread does not wait for who looks."""
    seen.put((ecu, what))


def show(ecu: Ecu, what: Exchanged, as_json: bool, channel: str) -> None:
    session = address_text(ecu.testers[what.tester].address)
    if as_json:
        since_epoch = time.time_ns() - (time.perf_counter_ns() - what.time)
        write_json(
            time=since_epoch,
            channel=channel,
            ecu=ecu.name,
            session=session,
            direction="rx" if what.is_request else "tx",
            target_type="functional" if what.functional else "physical",
            length=len(what.payload),
            payload=what.payload.hex(),
        )
        return
    mark = "<" if what.is_request else ">"
    length = len(what.payload)
    text = hex_text(what.payload[:MOST_SHOWN]) + (f" ... ({length} bytes)" if length > MOST_SHOWN else "")
    to_all = " to all" if what.functional else ""
    write_line(
        printable(f"{ecu.name}  {session} {mark} {text}  {service_text(what.payload)}{to_all}".rstrip())
    )


def ecu_of(text: str) -> Ecu:
    """What a file, or a class in one, describes.

    :raises ValueError: if it is none.
    """
    path, colon, name = text.rpartition(":")
    if not (colon and path.endswith(".py")):
        return Ecu.from_file(text)
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses and pickle look it up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    kind = getattr(module, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Ecu)):
        raise ValueError(f"{path} has no class {name} of the kind of isotp.testing.Ecu")
    return kind()
