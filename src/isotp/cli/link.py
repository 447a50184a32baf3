"""Between whom and how: the options for the address of a session, its frames and its flow control."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, NamedTuple

import typer

from isotp.address import AbstractAddress
from isotp.cli.addresses import SYNTAX, pair_text, parse_address
from isotp.cli.options import WHERE
from isotp.params import Params

__all__ = ["AddressOptions", "FrameOptions", "Link", "ReceiverOptions"]

HOW = "Which frames"
# Reception costs memory only as it comes: nothing speaks for a limit.
LONGEST = 0xFFFFFFFF


@dataclass(frozen=True)
class AddressOptions:
    """Sessions, as can-utils names one, or in words."""

    addresses: Annotated[
        list[str] | None,
        typer.Option(
            "--address",
            "-a",
            metavar="ADDRESS",
            help=f"In place of -s, -d and -x: {SYNTAX}.",
            rich_help_panel=WHERE,
        ),
    ] = None
    source: Annotated[
        str | None,
        typer.Option(
            "-s",
            metavar="CAN_ID",
            help="CAN ID that this side sends with, in hex; one of 29 bits has 8 digits.",
            rich_help_panel=WHERE,
        ),
    ] = None
    destination: Annotated[
        str | None, typer.Option("-d", metavar="CAN_ID", help="CAN ID it hears.", rich_help_panel=WHERE)
    ] = None
    extension: Annotated[
        str | None,
        typer.Option(
            "-x",
            metavar="BYTE[:BYTE]",
            help="Extended address that goes with -s, and that with -d if it is another.",
            rich_help_panel=WHERE,
        ),
    ] = None
    rx_extension: Annotated[
        str | None,
        typer.Option(
            "-X", metavar="BYTE", help="The same as what is after the colon.", rich_help_panel=WHERE
        ),
    ] = None

    def all(self) -> list[AbstractAddress]:
        """Every session that they name, none twice.

        :raises typer.BadParameter: if they are wrong.
        """
        texts = [("--address", text) for text in self.addresses or ()]
        pair = pair_text(self.source, self.destination, self.extension, self.rx_extension)
        if pair is not None:
            texts.append(("-s -d -x -X", pair))
        found = []
        for option, text in texts:
            try:
                address, channel = parse_address(text)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint=option) from None
            if channel is not None:
                raise typer.BadParameter(
                    f"{text!r}: a channel goes with logs; here there is one bus", param_hint=option
                )
            found.append(address)
        return list(dict.fromkeys(found))

    def some(self) -> list[AbstractAddress]:
        """As all(), at least one."""
        found = self.all()
        if not found:
            raise typer.BadParameter(
                "name a session, say -s 7E0 -d 7E8, or --address 7E0:7E8", param_hint="-s -d"
            )
        return found

    def one(self) -> AbstractAddress:
        """The one session of a command that sends: it needs both directions.

        :raises typer.BadParameter: if they name another number of sessions, or half of one.
        """
        found = self.some()
        if len(found) > 1:
            raise typer.BadParameter("name one session here", param_hint="--address")
        if found[0].is_partial_address():
            raise typer.BadParameter(
                "a session needs both CAN IDs: flow control comes on the other one", param_hint="--address"
            )
        return found[0]


class FrameKind(NamedTuple):
    """What -L says: the kind of frames, TX_DL, and the bit rate switch."""

    fd: bool
    tx_dl: int
    flags: int


@dataclass(frozen=True)
class FrameOptions:
    """What sent frames look like."""

    padding: Annotated[
        str | None,
        typer.Option(
            "-p",
            metavar="[TX]:[RX]",
            help="Fill frames up with the byte TX, in hex. RX, which received ones are filled with, is checked by the"
            " kernel only.",
            rich_help_panel=HOW,
        ),
    ] = None
    link_layer: Annotated[
        str | None,
        typer.Option(
            "-L",
            metavar="MTU:TX_DL:FLAGS",
            help="16:8:0 is classic CAN, 72:64:0 CAN FD with frames of up to 64 bytes, 72:64:1 with bit rate switch"
            " too. Default: 16:8:0, with --fd 72:64:0, with --data-bitrate too 72:64:1.",
            rich_help_panel=HOW,
        ),
    ] = None
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="NAME=VALUE",
            help="Any parameter of isotp.TransportLayer, say rx_flowcontrol_timeout=3000 (N_Bs, ms).",
            rich_help_panel=HOW,
        ),
    ] = None

    def link(self, address: AbstractAddress, *, fd: bool, switched: bool, kernel: bool) -> Link:
        """All of it as values.

        :raises typer.BadParameter: if they are wrong.
        """
        pad, rx_pad = self._pad_bytes()
        if rx_pad is not None and not kernel:
            raise typer.BadParameter("what received frames are filled with is checked with --kernel only",
                                     param_hint="-p")  # fmt: skip
        if self.parameters and kernel:
            raise typer.BadParameter("the kernel does not have them", param_hint="--param")
        kind = self._kind(fd, switched)
        params: dict[str, Any] = {"max_frame_size": LONGEST, "wftmax": 0, "tx_padding": pad}
        if pad is not None:
            # As can-utils has it: filled up to 8 bytes at least.
            params["tx_data_min_length"] = 8
        params |= {"can_fd": kind.fd, "tx_data_length": kind.tx_dl, "bitrate_switch": bool(kind.flags & 1)}
        link = Link(address, kind, pad, rx_pad, params)
        return link.having(dict(map(parameter, self.parameters or ())), "-L -p --param")

    def _pad_bytes(self) -> tuple[int | None, int | None]:
        if self.padding is None:
            return None, None
        tx, _, rx = self.padding.partition(":")
        return hex_byte(tx, "-p") if tx else None, hex_byte(rx, "-p") if rx else None

    def _kind(self, fd: bool, switched: bool) -> FrameKind:
        if self.link_layer is None:
            return FrameKind(True, 64, int(switched)) if fd else FrameKind(False, 8, 0)
        words = self.link_layer.split(":")
        try:
            mtu, tx_dl, flags = (int(word, base) for word, base in zip(words, (10, 10, 16), strict=True))
        except ValueError:
            raise typer.BadParameter(
                f"{self.link_layer!r} is not MTU:TX_DL:FLAGS, say 72:64:1", param_hint="-L"
            ) from None
        if mtu not in (16, 72):
            raise typer.BadParameter("MTU is 16 (classic CAN) or 72 (CAN FD)", param_hint="-L")
        if mtu == 16 and tx_dl != 8:
            raise typer.BadParameter("TX_DL of classic CAN is 8", param_hint="-L")
        return FrameKind(mtu == 72, tx_dl, flags)


@dataclass(frozen=True)
class ReceiverOptions:
    """What flow control asks of the other side."""

    blocksize: Annotated[
        int | None,
        typer.Option(
            "--bs",
            "-B",
            metavar="BS",
            help="Block size to ask for (isotprecv's -b); 0: no further flow control. Default: 0.",
            rich_help_panel=HOW,
        ),
    ] = None
    stmin: Annotated[
        str | None,
        typer.Option(
            "-m",
            metavar="STMIN",
            help="STmin to ask for, in hex: 00 to 7F are ms, F1 to F9 100 to 900 us. Default: 00.",
            rich_help_panel=HOW,
        ),
    ] = None
    wait_frames: Annotated[
        int | None,
        typer.Option(
            "-w", metavar="N", help="Wait frames to accept in a row (N_WFTmax).", rich_help_panel=HOW
        ),
    ] = None

    def values(self) -> dict[str, Any]:
        """Parameters of a layer."""
        return {
            "blocksize": 0 if self.blocksize is None else self.blocksize,
            "stmin": 0 if self.stmin is None else hex_byte(self.stmin, "-m"),
            "wftmax": 0 if self.wait_frames is None else self.wait_frames,
        }


@dataclass(frozen=True)
class Link:
    """One session: its address, the kind of its frames, and the parameters of a layer for it."""

    address: AbstractAddress
    kind: FrameKind
    tx_pad: int | None
    rx_pad: int | None
    params: dict[str, Any] = field(default_factory=dict)
    # Of the kernel only: N_As in ns, and whether it sends nothing.
    frame_time: int | None = None
    listens: bool = False

    def having(self, values: dict[str, Any], option: str) -> Link:
        """With these parameters too.

        :raises typer.BadParameter: if a layer refuses them.
        """
        params = {**self.params, **values}
        try:
            Params().update(params)
        except (ValueError, AttributeError) as error:
            raise typer.BadParameter(str(error), param_hint=option) from None
        return replace(self, params=params)

    def to(self, address: AbstractAddress) -> Link:
        """The same for another address."""
        return replace(self, address=address)

    def sending_slowly(self, frame_time: int) -> Link:
        """With so many ns for each frame on the bus, by the kernel."""
        return replace(self, frame_time=frame_time)

    def listening(self) -> Link:
        """Sending nothing, not even flow control, by the kernel."""
        return replace(self, listens=True)


def parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def hex_byte(text: str, option: str) -> int:
    try:
        value = int(text, 16)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFF:
        raise typer.BadParameter(f"{text!r} is no byte in hex", param_hint=option)
    return value
