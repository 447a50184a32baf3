"""`isotp scan`: who answers on a bus: it listens, asks everybody, and asks those who answered again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, NamedTuple, cast

import typer
from rich.console import Console
from rich.progress import track

from isotp._can_ids import EFF_FLAG, EFF_MASK, id_text
from isotp._core import PDU, CanMessage
from isotp.address import Address, AddressingMode, TargetAddressType
from isotp.bulk._address_text import address_text
from isotp.bulk._encode import encode
from isotp.cli.complaints import EXIT_STATUS, FAILED, explained, give_up
from isotp.cli.options import among, checking
from isotp.cli.options.bus import BusOptions
from isotp.cli.options.frames import FrameOptions, hex_byte
from isotp.cli.shown.lines import hex_text, payload_of, write_json, write_line
from isotp.cli.shown.uds import NEGATIVE, POSITIVE, is_request, service_text
from isotp.cli.shown.words import count_text
from isotp.cli.wires import Frame, Wire, message_of, open_wire
from isotp.params import Parameters
from isotp.protocol import TransportLayer

__all__ = ["EXAMPLES", "command"]

EXAMPLES = f"""\
[bold]Examples[/bold]

[dim]# what would be sent[/dim]
isotp scan can0

[dim]# everybody, with the usual CAN IDs[/dim]
isotp scan --transmit can0

[dim]# 11 bits only, more CAN IDs, another request, frames filled up[/dim]
isotp scan --transmit --bits 11 --ids 600-7FF --request 1001 -p CC can0

[dim]# which services and which data of one ECU[/dim]
isotp scan --transmit --ids 7E0 --services --dids F180-F1FF can0

[dim]# for other programs, on a bus of python-can[/dim]
isotp scan --transmit --json -i pcan -c PCAN_USBBUS1 -b 500000 | jq -r .session

{EXIT_STATUS}"""

whom = partial(typer.Option, rich_help_panel="Whom to ask, and how")
# ISO 15765-4: functional requests of 11 bits, and the distance of an answer from its physical request.
FUNCTIONAL_11, ANSWER_DISTANCE = 0x7DF, 8
FUNCTIONAL_TARGET = 0x33
# Where testers send that use extended addressing: N_SA is added.
EXTENDED_11 = 0x600
# ISO 14229-1: services, and negative responses by which an ECU says that it has none such.
SERVICES = (*range(0x10, 0x3F), *range(0x83, 0x89))
READ_DATA = 0x22
NO_SUCH_SERVICE = 0x11
NO_SUCH_DATA = frozenset((0x11, 0x12, 0x13, 0x31))
PENDING, P2_STAR = 0x78, 5.0
# So many requests before the one after which an answer came may be what was answered.
LATE = 3
OVERFLOW = 2  # FlowStatus
# Seconds that who waits for flow control, or for a consecutive frame, waits at the most (ISO 15765-2).
N_BS = N_CR = 1.0


class Request(NamedTuple):
    """To whom: CAN ID with EFF_FLAG, whether to all, N_TA of extended addressing; in a CAN FD frame or not."""

    can_id: int
    functional: bool = False
    target: int | None = None
    fd: bool = False

    @property
    def prefix(self) -> int | None:
        """The first byte of answers, with extended addressing: the N_TA is the one who asks."""
        return None if self.target is None else self.can_id & 0xFF

    def is_like(self, other: Request) -> bool:
        """True if what answers to the one may be late, and answer to the other."""
        return (self.functional, self.prefix, self.fd) == (other.functional, other.prefix, other.fd)


@dataclass
class Responder:
    """Who answered: with which CAN ID, to which requests, and what, when it was asked again."""

    can_id: int
    requests: list[Request] = field(default_factory=list)
    functional: bool = False
    segmented: bool = False
    request: Request | None = None
    answer: bytes = b""

    @property
    def session(self) -> str:
        """Its address as --address of other commands reads it."""
        if self.request is None:
            return ""
        return address_text(address_between(self.request, self.can_id))


def address_between(request: Request, answer: int) -> Address:
    """The address with which to talk to who has these CAN IDs."""
    number = request.can_id
    if request.target is not None:
        return Address(
            AddressingMode.Extended_11bits,
            txid=number,
            rxid=answer & EFF_MASK,
            target_address=request.target,
            source_address=request.prefix,
        )
    if number & EFF_FLAG and guess(answer) == Request(number):
        return Address(
            AddressingMode.NormalFixed_29bits,
            target_address=number >> 8 & 0xFF,
            source_address=number & 0xFF,
        )
    return Address(mode_of(number), txid=number & EFF_MASK, rxid=answer & EFF_MASK)


def mode_of(can_id: int) -> AddressingMode:
    return AddressingMode.Normal_29bits if can_id & EFF_FLAG else AddressingMode.Normal_11bits


@dataclass(frozen=True)
class ScanOptions:
    """Whom to ask what, how patiently, and what to tell."""

    transmit: Annotated[
        bool,
        typer.Option(
            "--transmit",
            help="Really send: to every address in turn. Without this, it only says what would be sent.",
        ),
    ] = False
    bits: Annotated[
        str,
        whom(
            "--bits",
            metavar="11|29|both",
            help="Length of CAN IDs.",
            autocompletion=among(("11", "29", "both")),
        ),
    ] = "both"
    identifiers: Annotated[
        list[str] | None,
        whom(
            "--ids",
            metavar="FROM-TO",
            help="CAN IDs of 11 bits to ask physically, in hex; may be given again. Default: 700-7FF.",
        ),
    ] = None
    targets: Annotated[
        list[str] | None,
        whom(
            "--targets",
            metavar="FROM-TO",
            help="N_TA of normal fixed addresses (29 bits) to ask physically. Default: 00-FF.",
        ),
    ] = None
    extended: Annotated[
        bool | None,
        whom(
            "--extended/--no-extended",
            help="Ask by extended addressing, too: CAN ID 600 + N_SA, to each N_TA. If not given: unless --ids or"
            " --targets tell whom to ask.",
            show_default=False,
        ),
    ] = None
    source: Annotated[str, whom("--sa", metavar="BYTE", help="N_SA of the one who asks.")] = "F1"
    request: Annotated[
        str, whom("--request", metavar="HEX", help="What to ask. 3E00 is TesterPresent of UDS.")
    ] = "3E00"
    noise: Annotated[
        float,
        typer.Option(
            "--noise", metavar="S", help="Listen so long first: who is heard then does not answer.", min=0
        ),
    ] = 2.0
    wait: Annotated[
        float,
        typer.Option("--wait", metavar="MS", help="How long to wait for answers to each request.", min=1),
    ] = 50.0
    verify: Annotated[
        int, typer.Option("--verify", metavar="N", help="Ask each responder so often again.", min=1)
    ] = 2
    services: Annotated[
        bool,
        typer.Option(
            "--services",
            help="Ask each responder for each service of UDS, by its first byte alone, and show which it has.",
        ),
    ] = False
    identifiers_of_data: Annotated[
        list[str] | None,
        typer.Option(
            "--dids",
            metavar="FROM-TO",
            help="Read these data identifiers from each responder (service 22), in hex, say F180-F1FF; may be given"
            " again.",
        ),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each responder.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not tell of the phases.")] = False

    def payload(self) -> bytes:
        with checking("--request"):
            payload = payload_of(self.request)
        if not 1 <= len(payload) <= 7:
            raise typer.BadParameter("a request is a single frame: 1 to 7 bytes", param_hint="--request")
        return payload

    def requests(self) -> tuple[list[Request], list[Request]]:
        """Functional and physical ones."""
        if self.bits not in ("11", "29", "both"):
            raise typer.BadParameter(f"{self.bits!r} is none of 11, 29, both", param_hint="--bits")
        source = hex_byte(self.source, "--sa")
        functional, physical = [], []
        if self.bits != "29":
            functional.append(Request(FUNCTIONAL_11, True))
            asked = numbers(self.identifiers or ["700-7FF"], 0x7FF, "--ids")
            physical += [Request(k) for k in asked if k != FUNCTIONAL_11]
            if self.extended or (self.extended is None and not self.identifiers and not self.targets):
                asked = numbers(self.targets or ["00-FF"], 0xFF, "--targets")
                physical += [Request(EXTENDED_11 | source, target=k) for k in asked if k != source]
        if self.bits != "11":
            fixed = 0x18DA0000 | source | EFF_FLAG
            functional.append(Request(0x18DB0000 | FUNCTIONAL_TARGET << 8 | source | EFF_FLAG, True))
            asked = numbers(self.targets or ["00-FF"], 0xFF, "--targets")
            physical += [Request(fixed | k << 8) for k in asked if k != source]
        return functional, physical

    def questions(self) -> list[bytes]:
        """What to ask those who were found.

        :raises typer.BadParameter: if --dids is wrong.
        """
        services = [bytes((service,)) for service in SERVICES] if self.services else []
        identifiers = numbers(self.identifiers_of_data or [], 0xFFFF, "--dids")
        return services + [bytes((READ_DATA, *number.to_bytes(2, "big"))) for number in identifiers]

    def tell(self, text: str) -> None:
        if not self.quiet:
            typer.echo(text, err=True)


def command(bus: BusOptions, frames: FrameOptions, scanning: ScanOptions) -> None:
    """Find who answers on a bus, by asking.

    It listens for a while (noise: CAN IDs that are there anyway), asks everybody at once with functional requests and
    then each address with a physical one, and asks those who answered again: only who answers each time, and is silent
    when not asked, is shown. Normal and extended addressing with 11 bits, and normal fixed with 29; with --fd in CAN FD
    frames and in classic ones.

    A request is made of ECUs that you may not know: do not scan a vehicle that moves.
    """
    place = bus.place()
    payload = scanning.payload()
    functional, physical = scanning.requests()
    scanning.questions()
    params = frames.link(address_between(Request(0x7E0), 0x7E8), place).params
    if params["can_fd"]:
        # On a CAN FD bus both kinds are understood, unless -L says which one.
        kinds = (True, False) if frames.link_layer is None else (True,)
        functional, physical = (
            [each._replace(fd=kind) for kind in kinds for each in those] for those in (functional, physical)
        )
    if not scanning.transmit:
        took = scanning.noise + (len(functional) + len(physical)) * scanning.wait / 1000
        raise give_up(
            f"nothing was sent. A scan of {place.name} sends {hex_text(payload)} in"
            f" {len(functional)} functional and {count_text(len(physical), 'physical request')},"
            f" one after the other, in {took:.0f} s or so. If that may be: --transmit"
        )
    with explained(), closing(open_wire(place, None)) as wire:
        scan = Scan(wire, payload, params, scanning.wait / 1000)
        found = 0
        for responder in responders(scan, functional, physical, scanning):
            show(responder, place.name, scanning.as_json)
            found += 1
            for question in scanning.questions():
                answer = scan.answer_to(question, responder)
                if answer is not None and has_it(question, answer):
                    show_answer(responder, question, answer, place.name, scanning.as_json)
    if not found:
        raise give_up("nobody answered", FAILED)


def responders(
    scan: Scan, functional: list[Request], physical: list[Request], scanning: ScanOptions
) -> Iterator[Responder]:
    """Those who answer reliably, as the phases of the scan find them."""
    scan.listen(scanning.noise)
    scanning.tell(f"noise: {count_text(len(scan.noise), 'CAN ID')} heard in {scanning.noise:g} s")
    for each in functional:
        scan.ask(each)
    scanning.tell(f"functional: {count_text(len(scan.responders), 'responder')}")
    console = Console(stderr=True)
    kind = bool(functional) and functional[0].fd
    guesses = [each._replace(fd=kind) for each in scan.guesses()]
    requests = list(dict.fromkeys([*guesses, *physical]))
    hidden = scanning.quiet or not console.is_terminal
    for each in track(requests, "asking", console=console, transient=True, disable=hidden):
        scan.ask(each)
    count = count_text(len(scan.responders), "responder")
    scanning.tell(f"physical: {count} so far, asked again {scanning.verify} times")
    for responder in scan.responders.values():
        if scan.verify(responder, scanning.verify):
            yield responder
        else:
            scanning.tell(f"{id_text(responder.can_id)} does not answer reliably, left out")


def numbers(ranges: Sequence[str], most: int, option: str) -> Iterator[int]:
    for text in ranges:
        first, _, last = text.partition("-")
        try:
            low, high = int(first, 16), int(last or first, 16)
        except ValueError:
            low = high = -1
        if not 0 <= low <= high <= most:
            raise typer.BadParameter(f"{text!r} is no range in hex up to {most:X}", param_hint=option)
        yield from range(low, high + 1)


def guess(can_id: int) -> Request | None:
    """The physical request that is usual for who answers with this CAN ID."""
    if not can_id & EFF_FLAG:
        return Request(can_id - ANSWER_DISTANCE) if can_id >= ANSWER_DISTANCE else None
    if can_id >> 16 & 0x1FFF == 0x18DA:
        return Request(EFF_FLAG | 0x18DA0000 | (can_id & 0xFF) << 8 | can_id >> 8 & 0xFF)
    return None


class Scan:
    """The phases, and what they found."""

    def __init__(self, wire: Wire, payload: bytes, params: Parameters, wait: float) -> None:
        self._wire = wire
        self._payload = payload
        self._params = params
        self._wait = wait
        self._asked: list[Request] = []
        self.noise: set[int] = set()
        # By CAN ID, and whether the answers are those of extended addressing.
        self.responders: dict[tuple[int, bool], Responder] = {}

    def listen(self, seconds: float) -> None:
        """Who is heard now is no responder."""
        self.noise |= {frame.can_id for frame in self._frames(seconds)}

    def _frames(self, seconds: float) -> Iterator[Frame]:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            yield from self._wire.receive(left)

    def ask(self, request: Request) -> None:
        """Send one request, and note who answers."""
        self._asked.append(request)
        self._send(request)
        for frame in self._frames(self._wait):
            pdu = None if frame.can_id in self.noise else self._begin_of_answer(frame, request.prefix)
            if pdu is None:
                continue
            key = frame.can_id, request.target is not None
            responder = self.responders.setdefault(key, Responder(frame.can_id))
            if pdu.type == 1:
                responder.segmented = True
                self._decline(guess(frame.can_id) if request.functional else request)
            responder.functional |= request.functional
            # The last first: a slow ECU may have been asked before.
            late = [each for each in reversed(self._asked[-1 - LATE :]) if each.is_like(request)]
            responder.requests += [each for each in late if each not in responder.requests]

    def _send(self, request: Request) -> None:
        # The other CAN ID is that of nobody: there is flow control only when it is asked again.
        number = request.can_id & EFF_MASK
        mode = mode_of(request.can_id)
        address = Address(mode, txid=number, rxid=number ^ ANSWER_DISTANCE)
        if request.target is not None:
            address = address_between(request, number ^ ANSWER_DISTANCE)
        self._send_frame(request, encode(self._payload, address, params=self._frame_params(request))[0].data)

    def _send_frame(self, request: Request, data: bytes) -> None:
        params = self._params_for(request)
        self._wire.send(
            CanMessage(
                request.can_id & EFF_MASK,
                data=data,
                extended_id=bool(request.can_id & EFF_FLAG),
                is_fd=params["can_fd"],
                bitrate_switch=params["bitrate_switch"],
            )
        )

    def _params_for(self, request: Request) -> Parameters:
        """Those of a layer for frames of the kind of this request."""
        if request.fd or not self._params["can_fd"]:
            return self._params
        return cast(
            Parameters, {**self._params, "can_fd": False, "tx_data_length": 8, "bitrate_switch": False}
        )

    def _frame_params(self, request: Request) -> Parameters:
        names = ("tx_data_length", "tx_padding", "tx_data_min_length", "can_fd", "bitrate_switch")
        params = self._params_for(request)
        return cast(Parameters, {name: value for name, value in params.items() if name in names})

    def _decline(self, request: Request | None) -> None:
        """Free who began a long answer: it would wait for flow control, and be deaf meanwhile."""
        if request is not None:
            prefix = b"" if request.target is None else bytes((request.target,))
            self._send_frame(request, prefix + PDU.craft_flow_control_data(OVERFLOW, 0, 0))

    def _begin_of_answer(self, frame: Frame, prefix: int | None) -> PDU | None:
        if prefix is not None and frame.data[:1] != bytes((prefix,)):
            return None
        try:
            pdu = PDU(message_of(frame), 0 if prefix is None else 1)
        except ValueError:
            return None
        return pdu if pdu.type in (0, 1) and is_answer(self._payload, pdu.data) else None

    def guesses(self) -> list[Request]:
        """Physical requests for those who answered to a functional one."""
        guesses = [guess(can_id) for can_id, is_extended in self.responders if not is_extended]
        return [request for request in guesses if request is not None]

    def verify(self, responder: Responder, times: int) -> bool:
        """Whether it answers each time to one of its requests, physical ones first, and is silent otherwise."""
        requests = sorted(responder.requests, key=lambda each: each.functional)
        if responder.segmented and self._verify_with(responder, requests, times):
            return True
        if responder.segmented:
            # It may still wait for flow control.
            deque(self._frames(N_BS), 0)
        return self._verify_with(responder, requests, times)

    def _verify_with(self, responder: Responder, requests: Sequence[Request], times: int) -> bool:
        for request in requests:
            if all(self._answers_again(responder, request) for _ in range(times)):
                responder.request = request
                return True
        return False

    def _answers_again(self, responder: Responder, request: Request) -> bool:
        if any(frame.can_id == responder.can_id for frame in self._frames(self._wait)):
            return False
        answer = self._whole_answer(request, responder.can_id, self._payload)
        if answer is None:
            return False
        responder.answer = answer
        return True

    def answer_to(self, question: bytes, responder: Responder) -> bytes | None:
        """What it says to something else, if it answers to a physical request."""
        if responder.request is None or responder.request.functional:
            return None
        return self._whole_answer(responder.request, responder.can_id, question)

    def _whole_answer(self, request: Request, can_id: int, question: bytes) -> bytes | None:
        """The answer as a message, received by a layer that sends flow control."""
        if request.functional:
            # Nobody is to be acknowledged: there may be several.
            self._send(request)
            begins = [
                self._begin_of_answer(frame, request.prefix)
                for frame in self._frames((1 + LATE) * self._wait)
                if frame.can_id == can_id
            ]
            return next((pdu.data for pdu in begins if pdu is not None), None)
        heard: deque[CanMessage] = deque()
        layer = TransportLayer(
            lambda timeout: heard.popleft() if heard else None,
            self._wire.send,
            address_between(request, can_id),
            params=self._params_for(request),
        )
        layer.send(question, TargetAddressType.Physical)
        layer.process()
        deadline = time.monotonic() + (1 + LATE) * self._wait
        while (left := deadline - time.monotonic()) > 0:
            for frame in self._wire.receive(left):
                if frame.can_id != can_id:
                    continue
                heard.append(message_of(frame))
                layer.process()
                received = layer.recv()
                if received is not None and is_answer(question, bytes(received)):
                    if bytes(received[2:]) != bytes((PENDING,)) or received[0] != NEGATIVE:
                        return bytes(received)
                    deadline = time.monotonic() + P2_STAR
                if layer.is_rx_active():
                    deadline = time.monotonic() + N_CR
        return None


def is_answer(question: bytes, payload: bytes) -> bool:
    """Positive or negative, to this service; to what is no service of UDS, anything."""
    if not is_request(question):
        return True
    return payload[0] == question[0] + POSITIVE or payload[:2] == bytes((NEGATIVE, question[0]))


def has_it(question: bytes, answer: bytes) -> bool:
    """Whether the answer says that there is such a service, or such data, be it that it is not given now."""
    if answer[0] != NEGATIVE:
        return True
    return answer[2:3] != bytes((NO_SUCH_SERVICE,)) if len(question) == 1 else answer[2] not in NO_SUCH_DATA


def show_answer(responder: Responder, question: bytes, answer: bytes, channel: str, as_json: bool) -> None:
    if as_json:
        write_json(channel=channel, session=responder.session, request=question.hex(), answer=answer.hex())
        return
    write_line(f"    {hex_text(question):<9} {hex_text(answer)}  {service_text(answer)}".rstrip())


def show(responder: Responder, channel: str, as_json: bool) -> None:
    assert responder.request is not None
    if as_json:
        write_json(
            channel=channel,
            session=responder.session,
            request_id=id_text(responder.request.can_id),
            response_id=id_text(responder.can_id),
            physical=not responder.request.functional,
            functional=responder.functional,
            fd=responder.request.fd,
            answer=responder.answer.hex(),
        )
        return
    kinds = ["physical"] * (not responder.request.functional) + ["functional"] * responder.functional
    kinds += ["CAN FD"] * responder.request.fd
    write_line(
        f"{channel}  {responder.session:<17}  {' and '.join(kinds):<23}  {hex_text(responder.answer)}"
        f"  {service_text(responder.answer)}".rstrip()
    )
