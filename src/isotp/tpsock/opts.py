"""The options of a Linux ISO-TP socket: one class for each structure in the kernel's ``linux/can/isotp.h``.

``read(s)`` gives the options of a socket, ``write(s, ...)`` changes those that are not None and gives all of
them as the kernel then has them. ``s`` is a ``socket.socket``: of an ``isotp.socket``, its ``real_socket()``.

Imported when the first ``isotp.socket`` is built: NotImplementedError where there are no such sockets.
"""

from __future__ import annotations

import errno
import operator
import socket as socket_module
import struct
from dataclasses import dataclass, fields, replace
from typing import ClassVar, TypeVar

from isotp.tpsock import check_support, flags
from isotp.tpsock.errors import OptionError

__all__ = [
    "CAN_ISOTP_LL_OPTS",
    "CAN_ISOTP_OPTS",
    "CAN_ISOTP_RECV_FC",
    "CAN_ISOTP_RX_STMIN",
    "CAN_ISOTP_TX_STMIN",
    "FRAME_TXTIME_ZERO",
    "SOL_CAN_BASE",
    "SOL_CAN_ISOTP",
    "FlowControlOpts",
    "GeneralOpts",
    "LinkLayerOpts",
    "assert_is_socket",
    "flowcontrol",
    "general",
    "linklayer",
]

check_support()

SOL_CAN_BASE = 100
SOL_CAN_ISOTP = 106
CAN_ISOTP_OPTS = 1
CAN_ISOTP_RECV_FC = 2
CAN_ISOTP_TX_STMIN = 3
CAN_ISOTP_RX_STMIN = 4
CAN_ISOTP_LL_OPTS = 5

FRAME_TXTIME_ZERO = 0xFFFF_FFFF
"""The ``frame_txtime`` that means no time at all: current kernels take 0 for "as it is"."""

_MAXIMUM = {"B": 0xFF, "L": 0xFFFF_FFFF}
_NANOSECONDS = struct.Struct("=L")

_Options = TypeVar("_Options", bound="_OptionStruct")


def assert_is_socket(s: object) -> None:
    """ValueError unless ``s`` is a ``socket.socket``."""
    if not isinstance(s, socket_module.socket):
        raise ValueError(f"not a socket.socket: {s!r}")


def _checked(name: str, value: int, maximum: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number <= maximum:
        raise ValueError(f"{name} must be an integer from 0 to 0x{maximum:X}, not {value!r}")
    return number


def _set_option(s: socket_module.socket, option: int, value: bytes, refused: str) -> None:
    try:
        s.setsockopt(SOL_CAN_ISOTP, option, value)
    except OSError as error:
        if error.errno == errno.EISCONN:
            raise RuntimeError("options must be set before bind()") from error
        if error.errno == errno.EINVAL:
            raise OptionError(error.errno, f"the kernel refused {refused}") from error
        raise


@dataclass(repr=False)
class _OptionStruct:
    """A structure of integers, in the order and layout of the kernel's."""

    _option: ClassVar[int]
    _layout: ClassVar[str]
    _rule: ClassVar[str] = ""
    struct_size: ClassVar[int]

    def __repr__(self) -> str:
        sizes = self._layout[1:].ljust(len(fields(self)), "L")
        digits = {"B": 2, "L": 8}
        shown = (
            f"{f.name}=0x{getattr(self, f.name):0{digits[c]}x}"
            for f, c in zip(fields(self), sizes, strict=True)
        )
        return f"<{type(self).__name__}: {', '.join(shown)}>"

    def _pack(self) -> bytes:
        names = [field.name for field in fields(self)][: len(self._layout) - 1]
        return struct.pack(self._layout, *(getattr(self, name) for name in names))

    @classmethod
    def read(cls: type[_Options], s: socket_module.socket) -> _Options:
        """The options of socket ``s``. ValueError if ``s`` is no socket, OSError if it is none for ISO-TP."""
        assert_is_socket(s)
        return cls(*struct.unpack(cls._layout, s.getsockopt(SOL_CAN_ISOTP, cls._option, cls.struct_size)))

    @classmethod
    def _change(cls: type[_Options], s: socket_module.socket, given: dict[str, int | None]) -> _Options:
        before = cls.read(s)
        options = replace(before)
        for name, code in zip(given, cls._layout[1:], strict=True):
            value = given[name]
            if value is not None:
                setattr(options, name, _checked(name, value, _MAXIMUM[code]))
        try:
            _set_option(s, cls._option, options._pack(), f"{options}{cls._rule}")
        except OptionError:
            # The kernel takes over part of the general options that it refuses.
            _set_option(s, cls._option, before._pack(), f"{before}")
            raise
        return cls.read(s)


@dataclass(repr=False)
class GeneralOpts(_OptionStruct):
    """``struct can_isotp_options``, and the two STmin values that have socket options of their own.

    ``optflag``: bits of :class:`isotp.tpsock.flags`. ``frame_txtime`` (N_As, ns): time left between two sent
    frames, beside STmin. ``ext_address``, ``rx_ext_address``: the extension byte before N_PCI, sent and
    expected. ``txpad``, ``rxpad``: padding byte, sent and expected. ``tx_stmin`` (ns): instead of the STmin
    that the receiver asks for, if FORCE_TXSTMIN. ``rx_stmin`` (ns): Consecutive Frames that come sooner are
    ignored, if FORCE_RXSTMIN.
    """

    _option: ClassVar[int] = CAN_ISOTP_OPTS
    _layout: ClassVar[str] = "=LLBBBB"
    _rule: ClassVar[str] = ": SF_BROADCAST and CF_BROADCAST exclude each other in optflag"
    struct_size: ClassVar[int] = struct.calcsize("=LLBBBB")

    optflag: int = 0
    frame_txtime: int = 50_000
    ext_address: int = 0
    txpad: int = 0xCC
    rxpad: int = 0xCC
    rx_ext_address: int = 0
    tx_stmin: int = 0
    rx_stmin: int = 0

    @classmethod
    def read(cls, s: socket_module.socket) -> GeneralOpts:
        """The options of socket ``s``. ValueError if ``s`` is no socket, OSError if it is none for ISO-TP."""
        options = super().read(s)
        options.tx_stmin, options.rx_stmin = (
            _NANOSECONDS.unpack(s.getsockopt(SOL_CAN_ISOTP, option, _NANOSECONDS.size))[0]
            for option in (CAN_ISOTP_TX_STMIN, CAN_ISOTP_RX_STMIN)
        )
        return options

    @classmethod
    def write(
        cls,
        s: socket_module.socket,
        optflag: int | None = None,
        frame_txtime: int | None = None,
        ext_address: int | None = None,
        txpad: int | None = None,
        rxpad: int | None = None,
        rx_ext_address: int | None = None,
        tx_stmin: int | None = None,
        rx_stmin: int | None = None,
    ) -> GeneralOpts:
        """Change what is not None; a value that works only together with a flag sets that flag as well.

        ``optflag`` replaces all flags, before those that the other values set are added.

        :raises ValueError: ``s`` is no socket, or a value is out of range; as
            :exc:`isotp.tpsock.OptionError`, an OSError too, if the kernel refuses the flags together.
        :raises RuntimeError: the socket is bound.
        """
        assert_is_socket(s)
        if optflag is None:
            optflag = cls.read(s).optflag
        optflag = _checked("optflag", optflag, _MAXIMUM["L"])
        for value, flag in (
            (ext_address, flags.EXTEND_ADDR),
            (txpad, flags.TX_PADDING),
            (rxpad, flags.RX_PADDING),
            (rx_ext_address, flags.RX_EXT_ADDR),
            (tx_stmin, flags.FORCE_TXSTMIN),
            (rx_stmin, flags.FORCE_RXSTMIN),
        ):
            if value is not None:
                optflag |= flag
        times = {
            option: _NANOSECONDS.pack(_checked(name, value, _MAXIMUM["L"]))
            for name, value, option in (
                ("tx_stmin", tx_stmin, CAN_ISOTP_TX_STMIN),
                ("rx_stmin", rx_stmin, CAN_ISOTP_RX_STMIN),
            )
            if value is not None
        }
        cls._change(
            s,
            {
                "optflag": optflag,
                "frame_txtime": frame_txtime,
                "ext_address": ext_address,
                "txpad": txpad,
                "rxpad": rxpad,
                "rx_ext_address": rx_ext_address,
            },
        )
        for option, packed in times.items():
            _set_option(s, option, packed, "the STmin value")
        return cls.read(s)


@dataclass(repr=False)
class FlowControlOpts(_OptionStruct):
    """``struct can_isotp_fc_options``: what the Flow Control frames say that the socket sends.

    ``bs``: Consecutive Frames until the next Flow Control, 0 for no limit. ``stmin``: minimum gap between
    Consecutive Frames as coded in the frame, 0x00 to 0x7F in ms, 0xF1 to 0xF9 for 100 to 900 us; sent as it
    is. ``wftmax``: kept by the kernel without effect, it sends no wait frames.
    """

    _option: ClassVar[int] = CAN_ISOTP_RECV_FC
    _layout: ClassVar[str] = "=BBB"
    struct_size: ClassVar[int] = struct.calcsize("=BBB")

    bs: int = 0
    stmin: int = 0
    wftmax: int = 0

    @classmethod
    def write(
        cls,
        s: socket_module.socket,
        bs: int | None = None,
        stmin: int | None = None,
        wftmax: int | None = None,
    ) -> FlowControlOpts:
        """Change what is not None.

        :raises ValueError: ``s`` is no socket, or a value is out of range.
        :raises RuntimeError: the socket is bound.
        """
        return cls._change(s, {"bs": bs, "stmin": stmin, "wftmax": wftmax})


@dataclass(repr=False)
class LinkLayerOpts(_OptionStruct):
    """``struct can_isotp_ll_options``: the kind of CAN frames.

    ``mtu``: one of :class:`isotp.tpsock.LinkLayerProtocol`, sent and accepted. ``tx_dl`` (TX_DL): data bytes
    of a sent frame, 8, 12, 16, 20, 24, 32, 48 or 64; frames of any length are received. ``tx_flags``: bits of
    :class:`isotp.tpsock.LinkLayerFlags` set in sent CAN FD frames.
    """

    _option: ClassVar[int] = CAN_ISOTP_LL_OPTS
    _layout: ClassVar[str] = "=BBB"
    _rule: ClassVar[str] = (
        ": mtu is 16 (classic CAN) or 72 (CAN FD), tx_dl is 8, 12, 16, 20, 24, 32, 48 or 64; "
        "with mtu 16, tx_dl is 8 and tx_flags 0"
    )
    struct_size: ClassVar[int] = struct.calcsize("=BBB")

    mtu: int = 16
    tx_dl: int = 8
    tx_flags: int = 0

    @classmethod
    def write(
        cls,
        s: socket_module.socket,
        mtu: int | None = None,
        tx_dl: int | None = None,
        tx_flags: int | None = None,
    ) -> LinkLayerOpts:
        """Change what is not None.

        :raises ValueError: ``s`` is no socket, or a value is out of range; as
            :exc:`isotp.tpsock.OptionError`, which is an OSError too, if the kernel refuses the values
            together.
        :raises RuntimeError: the socket is bound.
        """
        return cls._change(s, {"mtu": mtu, "tx_dl": tx_dl, "tx_flags": tx_flags})


# The names of can-isotp 1.x.
general = GeneralOpts
flowcontrol = FlowControlOpts
linklayer = LinkLayerOpts
