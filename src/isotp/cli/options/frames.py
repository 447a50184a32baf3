"""What frames look like and how they flow: the options for that, and all that a layer of one session needs."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, NamedTuple, cast

import typer

from isotp.address import AbstractAddress
from isotp.cli.options import among, checking
from isotp.cli.options.bus import Place
from isotp.params import Parameters, Params

__all__ = ["FrameOptions", "Link", "ReceiverOptions", "hex_byte", "how"]

# Reception costs memory only as it comes: nothing speaks for a limit.
LONGEST = 0xFFFFFFFF

how = partial(typer.Option, rich_help_panel="Which frames")


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
        how(
            "-p",
            metavar="[TX]:[RX]",
            help="Fill frames up with the byte TX, in hex. RX, which received ones are filled with, is checked by the"
            " kernel only.",
        ),
    ] = None
    link_layer: Annotated[
        str | None,
        how(
            "-L",
            metavar="MTU:TX_DL:FLAGS",
            help="16:8:0 is classic CAN, 72:64:0 CAN FD with frames of up to 64 bytes, 72:64:1 with bit rate switch"
            " too. Default: 16:8:0, with --fd 72:64:0, with --data-bitrate too 72:64:1.",
        ),
    ] = None
    parameters: Annotated[
        list[str] | None,
        how(
            "--param",
            metavar="NAME=VALUE",
            help="Any parameter of isotp.TransportLayer, say rx_flowcontrol_timeout=3000 (N_Bs, ms).",
            autocompletion=among([f"{name}=" for name in Params.__slots__]),
        ),
    ] = None

    def link(self, address: AbstractAddress, place: Place) -> Link:
        """All of it as values, for a bus.

        :raises typer.BadParameter: if they are wrong.
        """
        pad, _, rx_pad = (self.padding or "").partition(":")
        if rx_pad and not place.kernel:
            raise typer.BadParameter(
                "what received frames are filled with is checked with --kernel only", param_hint="-p"
            )
        if self.parameters and place.kernel:
            raise typer.BadParameter("the kernel does not have them", param_hint="--param")
        kind = self._kind(place)
        params: Parameters = {
            "max_frame_size": LONGEST,
            "wftmax": 0,
            "tx_padding": hex_byte(pad, "-p") if pad else None,
            "can_fd": kind.fd,
            "tx_data_length": kind.tx_dl,
            "bitrate_switch": bool(kind.flags & 1),
        }
        if pad:
            # As can-utils has it: filled up to 8 bytes at least.
            params["tx_data_min_length"] = 8
        link = Link(address, kind, params, hex_byte(rx_pad, "-p") if rx_pad else None)
        return link.having(dict(map(parameter, self.parameters or ())), "-L -p --param")

    def _kind(self, place: Place) -> FrameKind:
        if self.link_layer is None:
            return FrameKind(True, 64, int(place.switched)) if place.fd else FrameKind(False, 8, 0)
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
        int,
        how(
            "--bs",
            "-B",
            metavar="BS",
            help="Block size to ask for (isotprecv's -b); 0: no further flow control.",
        ),
    ] = 0
    stmin: Annotated[
        str,
        how("-m", metavar="STMIN", help="STmin to ask for, in hex: 00 to 7F are ms, F1 to F9 100 to 900 us."),
    ] = "00"
    wait_frames: Annotated[int, how("-w", metavar="N", help="Wait frames to accept in a row (N_WFTmax).")] = 0

    def added_to(self, link: Link) -> Link:
        stmin = hex_byte(self.stmin, "-m")
        if not (stmin <= 0x7F or 0xF1 <= stmin <= 0xF9):
            raise typer.BadParameter(
                f"{self.stmin} is reserved (ISO 15765-2): 00 to 7F are ms, F1 to F9 100 to 900 us",
                param_hint="-m",
            )
        values = {"blocksize": self.blocksize, "stmin": stmin, "wftmax": self.wait_frames}
        return link.having(values, "-B -m -w")


@dataclass(frozen=True)
class Link:
    """One session: its address, the kind of its frames, and the parameters of a layer for it."""

    address: AbstractAddress
    kind: FrameKind
    params: Parameters
    # Of the kernel only: what received frames are filled with, N_As in ns, and whether it sends nothing.
    rx_pad: int | None = None
    frame_time: int | None = None
    listens: bool = False

    def having(self, values: dict[str, Any], option: str) -> Link:
        """With these parameters too.

        :raises typer.BadParameter: if a layer refuses them.
        """
        # What the user named: update() refuses what is none.
        params = cast(Parameters, {**self.params, **values})
        with checking(option, AttributeError):
            Params().update(params)
        return replace(self, params=params)


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
