"""``isotp.socket``: the ISO-TP implementation of the Linux kernel behind a socket with readable options.

The kernel's module is can-isotp (``net/can/isotp.c``). Importing this package works on every system; building
a socket needs Linux.
"""

from __future__ import annotations

import enum
import errno
import operator
import socket as socket_module
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from isotp.address import AbstractAddress, Address, AsymmetricAddress
from isotp.tpsock.errors import (
    AlreadyBoundError,
    OptionError,
    PartialAddressError,
    SocketConsecutiveFrameTimeoutError,
    SocketError,
    SocketFlowControlTimeoutError,
    SocketInvalidCanDataError,
    SocketOverflowError,
    SocketWrongSequenceNumberError,
    bind_error,
    bus_error,
    is_plain_timeout,
)

if TYPE_CHECKING:
    from isotp.tpsock.opts import FlowControlOpts, GeneralOpts, LinkLayerOpts

__all__ = [
    "LinkLayerFlags",
    "LinkLayerProtocol",
    "OptionError",
    "SocketConsecutiveFrameTimeoutError",
    "SocketError",
    "SocketFlowControlTimeoutError",
    "SocketInvalidCanDataError",
    "SocketOverflowError",
    "SocketWrongSequenceNumberError",
    "check_support",
    "flags",
    "mtu",
    "socket",
    "socket_module",
]

mtu = 4095
"""Longest message that a 12-bit FF_DL announces. :meth:`socket.recv` takes it for "the whole message"."""

_LEGACY_TIMEOUT = 0.1
# Current kernels have the limit as a parameter of the module: 8300 bytes unless raised, to 1025 KiB at most.
# Those before it had constants, up to 66000 bytes.
_MAX_PDU_SIZE_PARAMETER = Path("/sys/module/can_isotp/parameters/max_pdu_size")
_MAX_PDU_SIZE_BEFORE_PARAMETER = 66_000
_MAX_PDU_SIZE_OF_PARAMETER = 1025 * 1024


class flags(enum.IntFlag):
    """Bits of ``optflag`` in :meth:`socket.set_opts`. A kernel ignores those that are newer than itself."""

    LISTEN_MODE = 0x001
    """Send no Flow Control."""
    EXTEND_ADDR = 0x002
    """An extension byte precedes N_PCI: extended or mixed addressing."""
    TX_PADDING = 0x004
    """Pad sent frames with ``txpad``."""
    RX_PADDING = 0x008
    """Expect received frames to be padded with ``rxpad``."""
    CHK_PAD_LEN = 0x010
    """Check the length of received frames for padding."""
    CHK_PAD_DATA = 0x020
    """Check the padding bytes of received frames."""
    HALF_DUPLEX = 0x040
    """Receive nothing but Flow Control while sending, and the other way round."""
    FORCE_TXSTMIN = 0x080
    """Send with the gap ``tx_stmin``, whatever STmin the receiver asks for."""
    FORCE_RXSTMIN = 0x100
    """Ignore Consecutive Frames that come sooner than ``rx_stmin`` after the previous one."""
    RX_EXT_ADDR = 0x200
    """The expected extension byte is ``rx_ext_address``, not ``ext_address``."""
    WAIT_TX_DONE = 0x400
    """``send()`` returns when the whole message has left, or raises what went wrong with it."""
    SF_BROADCAST = 0x800
    """Functional (1 to n) addressing: send Single Frames only, receive nothing."""
    CF_BROADCAST = 0x1000
    """Send without waiting for Flow Control (not in ISO 15765-2), receive nothing."""
    DYN_FC_PARMS = 0x2000
    """Follow BS and STmin of every Flow Control, not only of the first (since Linux 6.8)."""


class LinkLayerProtocol(enum.IntEnum):
    """Kinds of CAN frames: the values of ``mtu`` in :meth:`socket.set_ll_opts`."""

    CAN = 16
    CAN_FD = 72


class LinkLayerFlags(enum.IntFlag):
    """Bits of ``tx_flags`` in :meth:`socket.set_ll_opts`, for CAN FD frames."""

    BRS = 0x01
    """Bit rate switch: the data bytes are sent at the second, higher bit rate."""
    ESI = 0x02
    """Error state indicator."""


def check_support() -> None:
    """NotImplementedError unless this Python can build ISO-TP sockets.

    Whether the running kernel has them shows when one is built.
    """
    if hasattr(socket_module, "CAN_ISOTP"):
        return
    if sys.platform == "linux":
        raise NotImplementedError(
            "isotp.socket needs socket.CAN_ISOTP, which this Python lacks: CPython has it since 3.7, "
            "if built with the kernel header linux/can.h"
        )
    raise NotImplementedError(
        f"isotp.socket is a face of the Linux kernel's ISO-TP sockets, and this system is {sys.platform}. "
        "isotp.CanStack and isotp.TransportLayer work here"
    )


def _open_socket() -> socket_module.socket:
    check_support()
    if sys.platform != "linux":
        raise NotImplementedError(f"there are no ISO-TP sockets on {sys.platform}")
    try:
        return socket_module.socket(socket_module.AF_CAN, socket_module.SOCK_DGRAM, socket_module.CAN_ISOTP)
    except OSError as error:
        if error.errno not in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            raise
        raise OSError(
            error.errno,
            "the running Linux kernel has no ISO-TP sockets. They come with its module can-isotp, part of "
            "Linux since 5.10: try 'modprobe can-isotp' as root. Kernels made for clouds and containers "
            "often leave CAN out; for kernels before 5.10 see https://github.com/hartkopp/can-isotp",
        ) from error


def _longest_message() -> int:
    """Bytes of the longest message that the running kernel can deliver."""
    try:
        return int(_MAX_PDU_SIZE_PARAMETER.read_text())
    except OSError:
        sysfs_is_there = Path("/sys/module").is_dir()
        return _MAX_PDU_SIZE_BEFORE_PARAMETER if sysfs_is_there else _MAX_PDU_SIZE_OF_PARAMETER


def _address_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> AbstractAddress:
    """The address in the arguments of ``bind()`` that follow the interface."""
    given = args[0] if args else kwargs.get("address")
    if isinstance(given, AbstractAddress) or "address" in kwargs:
        if len(args) + len(kwargs) > 1:
            raise TypeError(
                f"bind() takes an address or the arguments of one, not both: {args!r}, {kwargs!r}"
            )
        if not isinstance(given, AbstractAddress):
            raise ValueError(f"address must be an isotp.Address or isotp.AsymmetricAddress, not {given!r}")
        return given
    return Address(*args, **kwargs)


class socket:
    """A socket of the Linux kernel's ISO-TP: set options, then :meth:`bind`, :meth:`send` and :meth:`recv`.

    :param timeout: Longest wait of a call in seconds; None, and as in can-isotp 0 too, is for ever. For a
        non-blocking socket see :meth:`setblocking`.
    :param legacy: The behaviour of can-isotp 1.x: without ``timeout`` a call waits 0.1 s, ``recv()`` returns
        None when the time runs out, and ``set_opts(frame_txtime=...)`` replaces the receiver's STmin.

    :raises NotImplementedError: Python lacks ISO-TP sockets, as everywhere but on Linux.
    :raises OSError: EPROTONOSUPPORT or EAFNOSUPPORT, the kernel lacks them.
    :raises ValueError: negative ``timeout``.

    Bus errors reach the program as :class:`isotp.tpsock.SocketError`, from whichever call follows them; with
    the flag WAIT_TX_DONE, those of a sent message from its own ``send()``.
    """

    flags = flags
    LinkLayerProtocol = LinkLayerProtocol
    LinkLayerFlags = LinkLayerFlags

    interface: str | None
    address: AbstractAddress | None
    bound: bool
    closed: bool

    def __init__(self, timeout: float | None = None, *, legacy: bool = False) -> None:
        if timeout is None and legacy:
            timeout = _LEGACY_TIMEOUT
        if timeout is not None and timeout < 0:
            raise ValueError(f"timeout must be None or a number of seconds, not {timeout!r}")
        self.interface = None
        self.address = None
        self.bound = False
        self.closed = False
        self._legacy = legacy
        self._waits_for_tx_done = False
        self._socket = _open_socket()
        self._longest_message = _longest_message()
        if timeout:
            self._socket.settimeout(timeout)

    # -- options --

    def _check_unbound(self) -> None:
        if self.closed:
            raise RuntimeError("the socket is closed")
        if self.bound:
            raise RuntimeError(
                f"options must be set before bind(), and the socket is bound to {self.interface}"
            )

    def get_opts(self) -> GeneralOpts:
        """The general options."""
        from isotp.tpsock.opts import GeneralOpts

        return GeneralOpts.read(self._socket)

    def get_fc_opts(self) -> FlowControlOpts:
        """What the sent Flow Controls say."""
        from isotp.tpsock.opts import FlowControlOpts

        return FlowControlOpts.read(self._socket)

    def get_ll_opts(self) -> LinkLayerOpts:
        """The kind of CAN frames."""
        from isotp.tpsock.opts import LinkLayerOpts

        return LinkLayerOpts.read(self._socket)

    def set_opts(
        self,
        optflag: int | None = None,
        frame_txtime: int | None = None,
        ext_address: int | None = None,
        txpad: int | None = None,
        rxpad: int | None = None,
        rx_ext_address: int | None = None,
        tx_stmin: int | None = None,
        rx_stmin: int | None = None,
    ) -> GeneralOpts:
        """Set the general options; None leaves one as it is. Returns all of them.

        :param optflag: bits of :class:`socket.flags`, replacing those set before. The flags that the other
            parameters need are added.
        :param frame_txtime: time for one frame on the bus (N_As), in ns, kept free before each Consecutive
            Frame beside STmin; :data:`isotp.tpsock.opts.FRAME_TXTIME_ZERO` for none.
        :param ext_address: extension byte to send; sets EXTEND_ADDR. ``bind()`` does this for an address that
            has one.
        :param txpad: byte to fill sent frames with; sets TX_PADDING.
        :param rxpad: byte that received frames are filled with; sets RX_PADDING. It is checked only with
            CHK_PAD_LEN or CHK_PAD_DATA in ``optflag``.
        :param rx_ext_address: extension byte to expect; sets RX_EXT_ADDR.
        :param tx_stmin: gap between sent Consecutive Frames in ns, instead of the receiver's STmin; sets
            FORCE_TXSTMIN.
        :param rx_stmin: Consecutive Frames that come sooner than this many ns are ignored; sets
            FORCE_RXSTMIN.

        :raises ValueError: a value is out of range, or both SF_BROADCAST and CF_BROADCAST are set.
        :raises RuntimeError: the socket is bound or closed.
        """
        from isotp.tpsock.opts import GeneralOpts

        self._check_unbound()
        if self._legacy and frame_txtime is not None and tx_stmin is None:
            tx_stmin = self.get_opts().tx_stmin
        return GeneralOpts.write(
            self._socket, optflag, frame_txtime, ext_address, txpad, rxpad, rx_ext_address, tx_stmin, rx_stmin
        )

    # The names in the first example of the 2019 documentation.
    get_general_opts = get_opts
    set_general_opts = set_opts

    def set_fc_opts(
        self, bs: int | None = None, stmin: int | None = None, wftmax: int | None = None
    ) -> FlowControlOpts:
        """Set what the sent Flow Controls say; None leaves a value as it is. Returns all of them.

        :param bs: block size: Consecutive Frames until the next Flow Control, 0 for no limit.
        :param stmin: minimum gap between Consecutive Frames: 0x00 to 0x7F in ms, 0xF1 to 0xF9 for 100 to 900
            us.
        :param wftmax: kept by the kernel, which sends no wait frames.

        :raises ValueError: a value is not from 0 to 255.
        :raises RuntimeError: the socket is bound or closed.
        """
        from isotp.tpsock.opts import FlowControlOpts

        self._check_unbound()
        return FlowControlOpts.write(self._socket, bs, stmin, wftmax)

    def set_ll_opts(
        self, mtu: int | None = None, tx_dl: int | None = None, tx_flags: int | None = None
    ) -> LinkLayerOpts:
        """Set the kind of CAN frames; None leaves a value as it is. Returns all of them.

        :param mtu: one of :class:`socket.LinkLayerProtocol`. Frames of the other kind are neither sent nor
            received.
        :param tx_dl: data bytes in a sent frame (TX_DL): 8, with CAN FD also 12, 16, 20, 24, 32, 48 or 64.
        :param tx_flags: bits of :class:`socket.LinkLayerFlags`, with CAN FD.

        :raises ValueError: a value is not from 0 to 255, or the kernel refuses the combination.
        :raises RuntimeError: the socket is bound or closed.
        """
        from isotp.tpsock.opts import LinkLayerOpts

        self._check_unbound()
        return LinkLayerOpts.write(self._socket, mtu, tx_dl, tx_flags)

    # -- life --

    @overload
    def bind(self, interface: str, address: Address | AsymmetricAddress) -> None: ...

    @overload
    def bind(self, interface: str, *args: Any, **kwargs: Any) -> None: ...

    def bind(self, interface: str, *args: Any, **kwargs: Any) -> None:
        """Attach the socket to a CAN interface and an address. It receives from then on.

        ``bind("can0", address)``, or as in can-isotp 1.x the arguments of :class:`isotp.Address` in place of
        the address: ``bind("can0", rxid=0x123, txid=0x456)``.

        :raises ValueError: ``interface`` is no str, the address is wrong or partial, or has an extension byte
            on one side only, which the kernel cannot do.
        :raises RuntimeError: the socket is bound or closed already; it is an OSError too, as can-isotp's is.
        :raises OSError: there is no such CAN interface, or it cannot carry CAN FD and the socket is set to
            it.
        """
        from isotp.tpsock.opts import GeneralOpts

        if self.closed:
            raise AlreadyBoundError("the socket is closed; build a new one")
        if self.bound:
            raise AlreadyBoundError(
                f"the socket is already bound to {self.interface}; build one for each address"
            )
        if not isinstance(interface, str):
            raise ValueError(f"interface must be a str, not {interface!r}")
        address = _address_of(args, kwargs)
        if address.is_partial_address():
            raise PartialAddressError(
                f"a socket needs both directions, and this address is partial: {address!r}"
            )
        if address.requires_tx_extension_byte() != address.requires_rx_extension_byte():
            raise ValueError(
                f"the kernel takes an extension byte in both directions or in none, not {address!r}"
            )

        options = GeneralOpts.write(
            self._socket,
            ext_address=address.get_tx_extension_byte(),
            rx_ext_address=address.get_rx_extension_byte(),
        )
        rx_id = _kernel_id(address.get_rx_arbitration_id(), address.is_rx_29bits())
        tx_id = _kernel_id(address.get_tx_arbitration_id(), address.is_tx_29bits())
        try:
            self._socket.bind((interface, rx_id, tx_id))
        except OSError as error:
            explained = bind_error(error, interface, rx_id, tx_id)
            if explained is None:
                raise
            raise explained from error
        self._waits_for_tx_done = bool(options.optflag & flags.WAIT_TX_DONE)
        self.interface = interface
        self.address = address
        self.bound = True

    def close(self) -> None:
        """Close the socket, after the message being sent has left. Closing again does nothing."""
        self._socket.close()
        self.bound = False
        self.closed = True
        self.address = None

    def __enter__(self) -> socket:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """The file descriptor, for ``select`` and its like; -1 once closed."""
        return self._socket.fileno()

    def real_socket(self) -> socket_module.socket:
        """The ``socket.socket`` behind this object."""
        return self._socket

    def settimeout(self, value: float | None) -> None:
        """Set the longest wait of a call in seconds: None is for ever, 0 makes the socket non-blocking."""
        self._socket.settimeout(value)

    def gettimeout(self) -> float | None:
        """The longest wait of a call in seconds, None for ever, 0 on a non-blocking socket."""
        return self._socket.gettimeout()

    def setblocking(self, flag: bool) -> None:
        """True: calls wait for ever. False: a call that would have to wait raises BlockingIOError."""
        self._socket.setblocking(flag)

    # -- messages --

    def _check_bound(self) -> str:
        if not self.bound or self.interface is None:
            raise RuntimeError(
                "the socket is closed" if self.closed else "bind() must be called before send() and recv()"
            )
        return self.interface

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Send a message. Returns its length.

        The call returns as soon as the kernel has taken the message over, and what becomes of it shows at the
        next call, unless the flag WAIT_TX_DONE was set. While the previous message is being sent, it waits.

        :param flags: ``MSG_...`` bits for the kernel.
        :raises RuntimeError: the socket is not bound.
        :raises TimeoutError: the previous message did not leave within the time-out.
        :raises SocketError: a message could not be sent or, before this call, received; the text says which.
        :raises OSError: the message is empty or too long for the kernel; the interface is down or its queue
            is full.
        """
        interface = self._check_bound()
        if self._waits_for_tx_done:
            # Taken up before sending, so that an error after it is about this message.
            pending = self._socket.getsockopt(socket_module.SOL_SOCKET, socket_module.SO_ERROR)
            if pending:
                error = OSError(pending, "pending on the socket")
                raise bus_error(error, interface, of_earlier_send=True) or error
        try:
            return self._socket.send(data, flags)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise OSError(
                    errno.EINVAL,
                    f"{interface}: the kernel refuses a message of {memoryview(data).nbytes} bytes. It must "
                    f"not be empty, nor exceed the limit of the kernel (here {self._longest_message} bytes at the "
                    "most; newer ones have it as parameter max_pdu_size of the module can-isotp), nor a Single "
                    "Frame if the flag SF_BROADCAST is set",
                ) from error
            explained = bus_error(error, interface, of_earlier_send=not self._waits_for_tx_done)
            if explained is None:
                raise
            raise explained from error

    def recv(self, bufsize: int = mtu, flags: int = 0, *, n: int | None = None) -> bytes | Any:
        """Receive a message, as a whole.

        :param bufsize: most bytes that the caller takes. A longer message is not cut, it stays where it is:
            the OSError (EMSGSIZE) tells its length, to call again with. The default 4095 puts no limit, the
            message is returned however long it is. With MSG_PEEK in ``flags``, the message is left in the
            kernel and its first bytes are returned.
        :param flags: ``MSG_...`` bits for the kernel.
        :param n: name of ``bufsize`` in can-isotp 1.x.
        :returns: bytes; with ``legacy``, None if the time ran out.
        :raises RuntimeError: the socket is not bound.
        :raises TimeoutError: no message came within the time-out.
        :raises SocketError: a message could not be received or, earlier, sent.
        """
        interface = self._check_bound()
        limit = operator.index(bufsize if n is None else n)
        if limit < 0:
            raise ValueError(f"bufsize must not be negative, but is {limit}")
        try:
            if limit == mtu or limit >= self._longest_message:
                return self._socket.recv(self._longest_message, flags)
            first = self._socket.recv(self._longest_message, flags | socket_module.MSG_PEEK)
            if flags & socket_module.MSG_PEEK:
                return first[:limit]
            if len(first) <= limit:
                # Room for any message here too: another thread may have taken the one that was looked at.
                return self._socket.recv(self._longest_message, flags)
        except OSError as error:
            if self._legacy and is_plain_timeout(error):
                return None
            explained = bus_error(error, interface)
            if explained is None:
                raise
            raise explained from error
        raise OSError(
            errno.EMSGSIZE,
            f"{interface}: the next message has {len(first)} bytes, but bufsize is {limit}; "
            "it is still there, call recv() with more room",
        )

    def __repr__(self) -> str:
        if self.bound and self.address is not None:
            return f"<ISO-TP Socket: {self.interface}, {self.address.get_content_str()}>"
        return f"<{'Closed' if self.closed else 'Unbound'} ISO-TP Socket at 0x{id(self):x}>"


def _kernel_id(can_id: int, is_29bits: bool) -> int:
    """The kernel's form of a CAN ID: bit 31 marks one of 29 bits."""
    return can_id | 0x8000_0000 if is_29bits else can_id
