"""Addresses (N_AI): which CAN IDs and extension byte a message is sent with, and which frames are for us.

All knowledge about the seven addressing modes is in the table ``_FORMATS``; the methods only read it.
Clause numbers are those of ISO 15765-2:2016.
"""

from __future__ import annotations

import copy
import enum
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, overload

from isotp._can_ids import EFF_FLAG

__all__ = [
    "AbstractAddress",
    "Address",
    "AddressSide",
    "AddressingMode",
    "AsymmetricAddress",
    "TargetAddressType",
]

_CAN_ID_MAX_11BITS = 0x7FF
_CAN_ID_MAX_29BITS = 0x1FFFFFFF
# All of a 29-bit CAN ID except its two lowest bytes, which are target and source address.
_BASE_MASK = 0x1FFF0000
_INTEGER_FORMATS = frozenset("bcdoxXneEfFgG%")


class _NamedNumber(enum.IntEnum):
    """An integer constant that prints by name, alike on every Python version.

    Both generations of can-isotp are served: it equals and passes for its number, and it is an ``Enum``
    member.
    """

    __str__ = enum.Enum.__str__

    def __bool__(self) -> bool:
        """True, as of any member of an Enum, whatever its number."""
        return True

    def __format__(self, format_spec: str) -> str:
        """The name, as ``str()`` gives it; the number if the format is one for numbers (``d``, ``02x``)."""
        if format_spec[-1:] in _INTEGER_FORMATS:
            return format(int(self), format_spec)
        return format(str(self), format_spec)

    @classmethod
    def get_name(cls, num: int) -> str:
        """Name of a member given as such or as its number; ValueError if there is none."""
        return cls(num).name


class AddressingMode(_NamedNumber):
    """How an address is mapped onto a CAN frame (10.3). Plain numbers are accepted wherever a member is."""

    Normal_11bits = 0
    Normal_29bits = 1
    NormalFixed_29bits = 2
    Extended_11bits = 3
    Extended_29bits = 4
    Mixed_11bits = 5
    Mixed_29bits = 6


class TargetAddressType(_NamedNumber):
    """N_TAtype (8.3.2): to one node (Physical) or to all (Functional, only for Single Frames)."""

    Physical = 0
    Functional = 1


class _CanFrame(Protocol):
    """What :meth:`Address.is_for_me` reads; ``isotp.CanMessage`` and ``can.Message`` both have it."""

    @property
    def arbitration_id(self) -> int: ...

    @property
    def is_extended_id(self) -> bool: ...

    @property
    def data(self) -> Sequence[int] | None: ...


class _Format(NamedTuple):
    """One addressing mode: what its CAN ID is made of, and which field goes into the extension byte."""

    is_29bits: bool
    # What target and source address are added to (physical, functional); None: the CAN IDs are txid and rxid.
    base_ids: tuple[int, int] | None
    tx_extension: str | None
    rx_extension: str | None

    @property
    def tx_fields(self) -> tuple[str, ...]:
        """The fields without which nothing can be sent."""
        ids = ("txid",) if self.base_ids is None else ("target_address", "source_address")
        return ids if self.tx_extension is None else (*ids, self.tx_extension)

    @property
    def rx_fields(self) -> tuple[str, ...]:
        """The fields without which nothing can be received."""
        ids = ("rxid",) if self.base_ids is None else ("target_address", "source_address")
        return ids if self.rx_extension is None else (*ids, self.rx_extension)


_FORMATS = {
    # 10.3.2 Normal
    AddressingMode.Normal_11bits: _Format(False, None, None, None),
    AddressingMode.Normal_29bits: _Format(True, None, None, None),
    # 10.3.3 Normal fixed
    AddressingMode.NormalFixed_29bits: _Format(True, (0x18DA0000, 0x18DB0000), None, None),
    # 10.3.4 Extended
    AddressingMode.Extended_11bits: _Format(False, None, "target_address", "source_address"),
    AddressingMode.Extended_29bits: _Format(True, None, "target_address", "source_address"),
    # 10.3.5 Mixed
    AddressingMode.Mixed_11bits: _Format(False, None, "address_extension", "address_extension"),
    AddressingMode.Mixed_29bits: _Format(
        True, (0x18CE0000, 0x18CD0000), "address_extension", "address_extension"
    ),
}


# The method that says whether a frame is for us, by mode.
_JUDGES = {
    AddressingMode.Normal_11bits: "_is_for_me_normal",
    AddressingMode.Normal_29bits: "_is_for_me_normal",
    AddressingMode.NormalFixed_29bits: "_is_for_me_normal_fixed",
    AddressingMode.Extended_11bits: "_is_for_me_extended",
    AddressingMode.Extended_29bits: "_is_for_me_extended",
    AddressingMode.Mixed_11bits: "_is_for_me_mixed_11bits",
    AddressingMode.Mixed_29bits: "_is_for_me_mixed_29bits",
}


def overrides(instance: object, base: type, names: Iterable[str]) -> bool:
    """Whether an instance of `base`, or its class, has a method of its own by one of these names."""
    own = getattr(instance, "__dict__", {})
    return any(name in own or getattr(type(instance), name) is not getattr(base, name) for name in names)


def _shown(value: object) -> str:
    """A refused value as its user would write it: integers in hexadecimal."""
    return f"{value:#x}" if isinstance(value, int) else repr(value)


class AddressSide(NamedTuple):
    """One direction of an address: what its frames look like.

    The CAN IDs are as SocketCAN and frame records have them: those of 29 bits with bit 31 set. They differ where target
    and source address are part of them. ``extension_byte`` comes before the N_PCI; None: there is none.
    """

    physical_id: int
    functional_id: int
    extension_byte: int | None

    def can_id(self, address_type: int = TargetAddressType.Physical) -> int:
        """The one of the two for physical or functional addressing."""
        return self[TargetAddressType(address_type)]  # type: ignore[return-value]


class AbstractAddress(ABC):
    """What a layer asks of its address. :class:`Address` and :class:`AsymmetricAddress` answer it."""

    @abstractmethod
    def get_tx_arbitration_id(self, address_type: int = TargetAddressType.Physical) -> int:
        """CAN ID of the frames to send, for physical or functional addressing."""

    @abstractmethod
    def get_rx_arbitration_id(self, address_type: int = TargetAddressType.Physical) -> int:
        """CAN ID of the frames to receive, for physical or functional addressing."""

    @abstractmethod
    def requires_tx_extension_byte(self) -> bool:
        """True if sent frames begin with an extension byte (Extended and Mixed)."""

    @abstractmethod
    def requires_rx_extension_byte(self) -> bool:
        """True if received frames begin with an extension byte (Extended and Mixed)."""

    @abstractmethod
    def get_tx_extension_byte(self) -> int | None:
        """First byte of the frames to send (N_TA in Extended, N_AE in Mixed), None in the other modes."""

    @abstractmethod
    def get_rx_extension_byte(self) -> int | None:
        """First byte of the frames to receive (N_SA in Extended, N_AE in Mixed), None in the other modes."""

    @abstractmethod
    def is_tx_29bits(self) -> bool:
        """True if frames are sent with a 29-bit CAN ID."""

    @abstractmethod
    def is_rx_29bits(self) -> bool:
        """True if frames are received with a 29-bit CAN ID."""

    @abstractmethod
    def is_for_me(self, msg: _CanFrame) -> bool:
        """True if the received frame ``msg`` carries this address.

        ``msg`` is any object with ``arbitration_id``, ``is_extended_id`` and ``data`` (bytes or None).
        """

    @abstractmethod
    def get_rx_prefix_size(self) -> int:
        """Bytes before the N_PCI in received frames: 0 or 1."""

    @abstractmethod
    def get_tx_payload_prefix(self) -> bytes:
        """What comes before the N_PCI in sent frames: the extension byte, or nothing."""

    @abstractmethod
    def is_partial_address(self) -> bool:
        """True if it only serves one direction; such an address goes into an :class:`AsymmetricAddress`."""

    @abstractmethod
    def get_content_str(self) -> str:
        """The content, in one line."""

    def tx_side(self) -> AddressSide | None:
        """What sent frames look like; None for a partial address that only receives."""
        flag = EFF_FLAG if self.is_tx_29bits() else 0
        physical, functional = (self.get_tx_arbitration_id(kind) | flag for kind in TargetAddressType)
        return AddressSide(physical, functional, self.get_tx_extension_byte())

    def rx_side(self) -> AddressSide | None:
        """What received frames look like; None for a partial address that only sends."""
        flag = EFF_FLAG if self.is_rx_29bits() else 0
        physical, functional = (self.get_rx_arbitration_id(kind) | flag for kind in TargetAddressType)
        return AddressSide(physical, functional, self.get_rx_extension_byte())

    def reversed(self) -> AbstractAddress:
        """The same session as its other end has it: what one sends is what the other receives."""
        raise NotImplementedError(f"{type(self).__name__} cannot be reversed")


class Address(AbstractAddress):
    """The N_AI of one session: how to reach a peer and how to know its frames.

    Which fields are needed depends on the mode; the others may be left out.

    =======================  =====================================  ================================
    mode                     needed to send                         needed to receive
    =======================  =====================================  ================================
    Normal (11, 29 bits)     txid                                   rxid
    NormalFixed (29 bits)    target_address, source_address         the same
    Extended (11, 29 bits)   txid, target_address                   rxid, source_address
    Mixed_11bits             txid, address_extension                rxid, address_extension
    Mixed_29bits             target_address, source_address,        the same
                             address_extension
    =======================  =====================================  ================================

    An address is a value: it compares and hashes by its content, can be pickled and copied, and does not
    change after construction (the attributes named like the parameters can be read only).

    :param addressing_mode: An :class:`AddressingMode` or its number.
    :param txid: CAN ID to send with: 0..0x7FF, in 29-bit modes 0..0x1FFFFFFF.
    :param rxid: CAN ID to receive, same range. Differs from ``txid``.
    :param target_address: N_TA, 0..0xFF.
    :param source_address: N_SA, 0..0xFF.
    :param physical_id: The upper 13 bits of the CAN ID in NormalFixed and Mixed_29bits, for physical
        addressing: 0x18DA0000 and 0x18CE0000 if not given. The 16 bits of the two addresses are masked out.
    :param functional_id: The same for functional addressing: 0x18DB0000 and 0x18CD0000.
    :param address_extension: N_AE, 0..0xFF.
    :param rx_only: A partial address, which only needs what receiving needs; for :class:`AsymmetricAddress`.
    :param tx_only: The same for sending.
    :param is_fd: Ignored with a DeprecationWarning: CAN FD is chosen by the layer's parameter ``can_fd``.
    :raises ValueError: Something needed is missing, or a value is out of its range.

    On a partial address every question about the missing direction raises NotImplementedError.
    """

    # For type checkers: without a mode, CAN IDs are what is needed. What each mode needs is checked as it is made.
    @overload
    def __init__(self, *, txid: int, rxid: int, rx_only: bool = False, tx_only: bool = False) -> None: ...
    @overload
    def __init__(self, *, txid: int, rxid: int | None = None, tx_only: Literal[True]) -> None: ...
    @overload
    def __init__(self, *, rxid: int, txid: int | None = None, rx_only: Literal[True]) -> None: ...
    @overload
    def __init__(
        self,
        addressing_mode: int,
        txid: int | None = None,
        rxid: int | None = None,
        target_address: int | None = None,
        source_address: int | None = None,
        physical_id: int | None = None,
        functional_id: int | None = None,
        address_extension: int | None = None,
        rx_only: bool = False,
        tx_only: bool = False,
        *,
        is_fd: object = None,
    ) -> None: ...
    def __init__(
        self,
        addressing_mode: int = AddressingMode.Normal_11bits,
        txid: int | None = None,
        rxid: int | None = None,
        target_address: int | None = None,
        source_address: int | None = None,
        physical_id: int | None = None,
        functional_id: int | None = None,
        address_extension: int | None = None,
        rx_only: bool = False,
        tx_only: bool = False,
        *,
        is_fd: object = None,
    ) -> None:
        if is_fd is not None:
            warnings.warn(
                "Address ignores is_fd; CAN FD is chosen by the parameter can_fd of the layer",
                DeprecationWarning,
                stacklevel=2,
            )
        if not isinstance(addressing_mode, int) or addressing_mode not in _FORMATS:
            known = ", ".join(f"{mode.name} ({mode:d})" for mode in AddressingMode)
            raise ValueError(f"addressing_mode must be one of {known}, not {addressing_mode!r}")
        self._addressing_mode = AddressingMode(addressing_mode)
        self._txid = txid
        self._rxid = rxid
        self._target_address = target_address
        self._source_address = source_address
        self._address_extension = address_extension
        self._physical_id = physical_id
        self._functional_id = functional_id
        self._rx_only = bool(rx_only)
        self._tx_only = bool(tx_only)
        self.validate()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let a subclass override by either name the methods that the generations spell differently."""
        super().__init_subclass__(**kwargs)
        for name, name_1x in (
            ("get_tx_arbitration_id", "get_tx_arbitraton_id"),
            ("get_rx_arbitration_id", "get_rx_arbitraton_id"),
            ("_get_tx_arbitration_id", "_get_tx_arbitraton_id"),
            ("_is_for_me_normal_fixed", "_is_for_me_normalfixed"),
            ("_requires_extension_byte", "requires_extension_byte"),
        ):
            overridden = cls.__dict__.get(name, cls.__dict__.get(name_1x))
            if overridden is not None:
                setattr(cls, name, cls.__dict__.get(name, overridden))
                setattr(cls, name_1x, cls.__dict__.get(name_1x, overridden))

    def validate(self) -> None:
        """Check the address as a whole; the constructor does it.

        :raises ValueError: A needed field is missing, a value is out of range, or ``txid`` equals ``rxid``.
        """
        mode = self._addressing_mode
        if self._rx_only and self._tx_only:
            raise ValueError("An address cannot be both rx_only=True and tx_only=True")

        id_max = _CAN_ID_MAX_29BITS if self._format.is_29bits else _CAN_ID_MAX_11BITS
        for name, value, maximum in (
            ("txid", self._txid, id_max),
            ("rxid", self._rxid, id_max),
            ("target_address", self._target_address, 0xFF),
            ("source_address", self._source_address, 0xFF),
            ("address_extension", self._address_extension, 0xFF),
            ("physical_id", self._physical_id, _CAN_ID_MAX_29BITS),
            ("functional_id", self._functional_id, _CAN_ID_MAX_29BITS),
        ):
            if value is not None and not (isinstance(value, int) and 0 <= value <= maximum):
                raise ValueError(
                    f"{name} must be an integer from 0 to {maximum:#x} in mode {mode.name},"
                    f" not {_shown(value)}"
                )

        for purpose, skipped, fields in (
            ("send", self._rx_only, self._format.tx_fields),
            ("receive", self._tx_only, self._format.rx_fields),
        ):
            missing = [name for name in fields if getattr(self, name) is None]
            if missing and not skipped:
                raise ValueError(f"{' and '.join(missing)} must be given to {purpose} in mode {mode.name}")

        if self._format.base_ids is None and self._txid is not None and self._txid == self._rxid:
            raise ValueError(f"txid and rxid must differ in mode {mode.name}; both are {_shown(self._txid)}")

    # -- The fields ----------------------------------------------------------------------------------------

    @property
    def _format(self) -> _Format:
        return _FORMATS[self._addressing_mode]

    @property
    def addressing_mode(self) -> AddressingMode:
        return self._addressing_mode

    @property
    def txid(self) -> int | None:
        return self._txid

    @property
    def rxid(self) -> int | None:
        return self._rxid

    @property
    def target_address(self) -> int | None:
        return self._target_address

    @property
    def source_address(self) -> int | None:
        return self._source_address

    @property
    def address_extension(self) -> int | None:
        return self._address_extension

    @property
    def physical_id(self) -> int:
        """Physical CAN ID without the two addresses; only in NormalFixed_29bits and Mixed_29bits."""
        return self._base_id(TargetAddressType.Physical, self._physical_id, "physical_id")

    @property
    def functional_id(self) -> int:
        """Functional CAN ID without the two addresses; only in NormalFixed_29bits and Mixed_29bits."""
        return self._base_id(TargetAddressType.Functional, self._functional_id, "functional_id")

    def _base_id(self, address_type: TargetAddressType, given: int | None, name: str) -> int:
        defaults = self._format.base_ids
        if defaults is None:
            raise AttributeError(f"An address in mode {self._addressing_mode.name} has no {name}")
        return defaults[address_type] if given is None else given & _BASE_MASK

    def is_tx_only(self) -> bool:
        """True if made with ``tx_only=True``."""
        return self._tx_only

    def is_rx_only(self) -> bool:
        """True if made with ``rx_only=True``."""
        return self._rx_only

    def is_partial_address(self) -> bool:
        return self._tx_only or self._rx_only

    # -- Sending -------------------------------------------------------------------------------------------

    def get_tx_arbitration_id(self, address_type: int = TargetAddressType.Physical) -> int:
        """CAN ID of the frames to send.

        :param address_type: A :class:`TargetAddressType` or its number. It only matters where target and
            source address are part of the CAN ID (NormalFixed_29bits, Mixed_29bits).
        :raises ValueError: ``address_type`` is neither.
        """
        self._need_tx()
        return self._get_tx_arbitration_id(TargetAddressType(address_type))

    def _get_tx_arbitration_id(self, address_type: int) -> int:
        return self._arbitration_id(address_type, self._txid, self._target_address, self._source_address)

    def requires_tx_extension_byte(self) -> bool:
        self._need_tx()
        return self._format.tx_extension is not None

    def get_tx_extension_byte(self) -> int | None:
        self._need_tx()
        return self._extension_byte(self._format.tx_extension)

    def is_tx_29bits(self) -> bool:
        self._need_tx()
        return self._format.is_29bits

    def get_tx_payload_prefix(self) -> bytes:
        self._need_tx()
        extension_byte = self._extension_byte(self._format.tx_extension)
        return b"" if extension_byte is None else bytes((extension_byte,))

    # -- Receiving -----------------------------------------------------------------------------------------

    def get_rx_arbitration_id(self, address_type: int = TargetAddressType.Physical) -> int:
        """CAN ID of the frames to receive: that of :meth:`get_tx_arbitration_id` as the peer sees it.

        :raises ValueError: ``address_type`` is no :class:`TargetAddressType` and no number of one.
        """
        self._need_rx()
        return self._get_rx_arbitration_id(TargetAddressType(address_type))

    def _get_rx_arbitration_id(self, address_type: int = TargetAddressType.Physical) -> int:
        return self._arbitration_id(address_type, self._rxid, self._source_address, self._target_address)

    def requires_rx_extension_byte(self) -> bool:
        self._need_rx()
        return self._format.rx_extension is not None

    def get_rx_extension_byte(self) -> int | None:
        self._need_rx()
        return self._extension_byte(self._format.rx_extension)

    def is_rx_29bits(self) -> bool:
        self._need_rx()
        return self._format.is_29bits

    def get_rx_prefix_size(self) -> int:
        self._need_rx()
        return 0 if self._format.rx_extension is None else 1

    def is_for_me(self, msg: _CanFrame) -> bool:
        is_for_me: bool = getattr(self, _JUDGES[self._addressing_mode])(msg)
        return is_for_me

    def _is_for_me(self, msg: _CanFrame) -> bool:
        self._need_rx()
        if bool(msg.is_extended_id) != self.is_rx_29bits():
            return False
        if msg.arbitration_id not in (
            self.get_rx_arbitration_id(TargetAddressType.Physical),
            self.get_rx_arbitration_id(TargetAddressType.Functional),
        ):
            return False
        if not self.requires_rx_extension_byte():
            return True
        data = msg.data
        return data is not None and len(data) > 0 and data[0] == self.get_rx_extension_byte()

    # By these names a subclass of either generation overrides it for one mode.
    _is_for_me_normal = _is_for_me_extended = _is_for_me_normal_fixed = _is_for_me
    _is_for_me_mixed_11bits = _is_for_me_mixed_29bits = _is_for_me_normalfixed = _is_for_me

    # -- Both directions -----------------------------------------------------------------------------------

    def tx_side(self) -> AddressSide | None:
        return None if self._rx_only else super().tx_side()

    def rx_side(self) -> AddressSide | None:
        return None if self._tx_only else super().rx_side()

    def reversed(self) -> Address:
        """The same session as its other end has it: what one sends is what the other receives.

        That of a subclass is of the subclass, and has what the subclass adds.
        """
        other = copy.copy(self)
        other._txid, other._rxid = self._rxid, self._txid
        other._target_address, other._source_address = self._source_address, self._target_address
        other._tx_only, other._rx_only = self._rx_only, self._tx_only
        return other

    # -- What both directions are made of ------------------------------------------------------------------

    def _need_tx(self) -> None:
        if self._rx_only:
            raise NotImplementedError(f"Address {self.get_content_str()} is rx_only: it cannot send")

    def _need_rx(self) -> None:
        if self._tx_only:
            raise NotImplementedError(f"Address {self.get_content_str()} is tx_only: it cannot receive")

    def _arbitration_id(
        self, address_type: int, given_id: int | None, target_address: int | None, source_address: int | None
    ) -> int:
        """The CAN ID towards ``target_address``; the directions only differ in who is the target."""
        functional = TargetAddressType(address_type) is TargetAddressType.Functional
        if self._format.base_ids is None:
            assert given_id is not None  # validate() saw to it
            return given_id
        assert target_address is not None
        assert source_address is not None
        return (self.functional_id if functional else self.physical_id) | target_address << 8 | source_address

    def _extension_byte(self, field: str | None) -> int | None:
        extension_byte: int | None = None if field is None else getattr(self, field)
        return extension_byte

    # -- A value -------------------------------------------------------------------------------------------

    def _value(self) -> tuple[object, ...]:
        bases = None if self._format.base_ids is None else (self.physical_id, self.functional_id)
        return (
            self._addressing_mode,
            self._txid,
            self._rxid,
            self._target_address,
            self._source_address,
            self._address_extension,
            bases,
            self._rx_only,
            self._tx_only,
        )

    def __eq__(self, other: object) -> bool:
        """Same class and same content. What a subclass adds is not looked at."""
        if not isinstance(other, Address) or type(self) is not type(other):
            return NotImplemented
        return self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())

    def get_content_str(self) -> str:
        fields = ("target_address", "source_address", "address_extension", "txid", "rxid")
        given = [(name, getattr(self, name)) for name in fields]
        content = ", ".join(f"{name}:0x{value:02x}" for name, value in given if value is not None)
        return f"[{self._addressing_mode.name} - {content}]"

    def __repr__(self) -> str:
        """As one would write it, where `AddressingMode` and the class are imported."""
        fields = ("txid", "rxid", "target_address", "source_address", "physical_id", "functional_id")
        given = [(name, getattr(self, f"_{name}")) for name in (*fields, "address_extension")]
        words = [f"AddressingMode.{self._addressing_mode.name}"]
        words += [f"{name}={_shown(value)}" for name, value in given if value is not None]
        words += [f"{name}=True" for name in ("rx_only", "tx_only") if getattr(self, f"_{name}")]
        return f"{type(self).__name__}({', '.join(words)})"

    # -- Names of can-isotp 1.x ----------------------------------------------------------------------------

    get_tx_arbitraton_id = get_tx_arbitration_id
    get_rx_arbitraton_id = get_rx_arbitration_id

    _get_tx_arbitraton_id = _get_tx_arbitration_id

    def _requires_extension_byte(self) -> bool:
        """True in Extended and Mixed modes."""
        return self._format.tx_extension is not None

    requires_extension_byte = _requires_extension_byte

    @property
    def is_29bits(self) -> bool:
        return self._format.is_29bits

    @property
    def tx_payload_prefix(self) -> bytearray:
        """:meth:`get_tx_payload_prefix` as a bytearray, a new one each time."""
        return bytearray(self.get_tx_payload_prefix())

    @property
    def _tx_payload_prefix(self) -> bytes:
        return self.get_tx_payload_prefix()

    @property
    def rx_prefix_size(self) -> int:
        return self.get_rx_prefix_size()

    @property
    def tx_arbitration_id_physical(self) -> int:
        return self.get_tx_arbitration_id(TargetAddressType.Physical)

    @property
    def tx_arbitration_id_functional(self) -> int:
        return self.get_tx_arbitration_id(TargetAddressType.Functional)

    @property
    def rx_arbitration_id_physical(self) -> int:
        return self.get_rx_arbitration_id(TargetAddressType.Physical)

    @property
    def rx_arbitration_id_functional(self) -> int:
        return self.get_rx_arbitration_id(TargetAddressType.Functional)

    # -- The same as the second generation has them --------------------------------------------------------

    _is_29bits = is_29bits
    _rx_prefix_size = rx_prefix_size
    _tx_arbitration_id_physical = tx_arbitration_id_physical
    _tx_arbitration_id_functional = tx_arbitration_id_functional
    _rx_arbitration_id_physical = rx_arbitration_id_physical
    _rx_arbitration_id_functional = rx_arbitration_id_functional


class AsymmetricAddress(AbstractAddress):
    """One address to send with and another to receive with, for peers that answer in another addressing mode.

    A value like :class:`Address`.

    :param tx_addr: An :class:`Address` made with ``tx_only=True``.
    :param rx_addr: An :class:`Address` made with ``rx_only=True``.
    :raises ValueError: Either is something else.
    """

    def __init__(self, tx_addr: Address, rx_addr: Address) -> None:
        for name, address in (("tx_addr", tx_addr), ("rx_addr", rx_addr)):
            if not isinstance(address, Address):
                raise ValueError(f"{name} must be an isotp.Address, not {address!r}")
        if not tx_addr.is_tx_only():
            raise ValueError(f"tx_addr must be made with tx_only=True: {tx_addr!r}")
        if not rx_addr.is_rx_only():
            raise ValueError(f"rx_addr must be made with rx_only=True: {rx_addr!r}")
        self._tx_addr = tx_addr
        self._rx_addr = rx_addr

    @property
    def tx_addr(self) -> Address:
        return self._tx_addr

    @property
    def rx_addr(self) -> Address:
        return self._rx_addr

    def get_tx_arbitration_id(self, address_type: int = TargetAddressType.Physical) -> int:
        return self._tx_addr.get_tx_arbitration_id(address_type)

    def get_rx_arbitration_id(self, address_type: int = TargetAddressType.Physical) -> int:
        return self._rx_addr.get_rx_arbitration_id(address_type)

    def requires_tx_extension_byte(self) -> bool:
        return self._tx_addr.requires_tx_extension_byte()

    def requires_rx_extension_byte(self) -> bool:
        return self._rx_addr.requires_rx_extension_byte()

    def get_tx_extension_byte(self) -> int | None:
        return self._tx_addr.get_tx_extension_byte()

    def get_rx_extension_byte(self) -> int | None:
        return self._rx_addr.get_rx_extension_byte()

    def is_tx_29bits(self) -> bool:
        return self._tx_addr.is_tx_29bits()

    def is_rx_29bits(self) -> bool:
        return self._rx_addr.is_rx_29bits()

    def is_for_me(self, msg: _CanFrame) -> bool:
        return self._rx_addr.is_for_me(msg)

    def get_rx_prefix_size(self) -> int:
        return self._rx_addr.get_rx_prefix_size()

    def get_tx_payload_prefix(self) -> bytes:
        return self._tx_addr.get_tx_payload_prefix()

    def is_partial_address(self) -> bool:
        """Always False: both directions are there."""
        return False

    def reversed(self) -> AsymmetricAddress:
        """The same session as its other end has it: what one sends is what the other receives."""
        other = copy.copy(self)
        other._tx_addr, other._rx_addr = self._rx_addr.reversed(), self._tx_addr.reversed()
        return other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AsymmetricAddress) or type(self) is not type(other):
            return NotImplemented
        return self._tx_addr == other._tx_addr and self._rx_addr == other._rx_addr

    def __hash__(self) -> int:
        return hash((self._tx_addr, self._rx_addr))

    def get_content_str(self) -> str:
        return f"RxAddr: {self._rx_addr.get_content_str()} - TxAddr: {self._tx_addr.get_content_str()}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(tx_addr={self._tx_addr!r}, rx_addr={self._rx_addr!r})"


def judges_frames_itself(address: AbstractAddress) -> bool:
    """Whether it is of a user's class that decides for itself which frames are for it, or where their N_PCI is."""
    if isinstance(address, AsymmetricAddress):
        return overrides(
            address, AsymmetricAddress, ("is_for_me", "get_rx_prefix_size")
        ) or judges_frames_itself(address.rx_addr)
    judges = ("is_for_me", "get_rx_prefix_size", *_JUDGES.values())
    return not isinstance(address, Address) or overrides(address, Address, judges)


def __getattr__(name: str) -> Any:
    # Code of the second generation finds it here.
    if name != "CanMessage":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from isotp.can_message import CanMessage

    return CanMessage
