"""Addresses: what they accept, what frames carry, and that they behave as values."""

import copy
import enum
import pickle
import re
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import isotp.address
from isotp.address import AbstractAddress, Address, AddressingMode, AsymmetricAddress, TargetAddressType

NORMAL_11 = AddressingMode.Normal_11bits
NORMAL_29 = AddressingMode.Normal_29bits
NORMAL_FIXED = AddressingMode.NormalFixed_29bits
EXTENDED_11 = AddressingMode.Extended_11bits
EXTENDED_29 = AddressingMode.Extended_29bits
MIXED_11 = AddressingMode.Mixed_11bits
MIXED_29 = AddressingMode.Mixed_29bits
PHYSICAL = TargetAddressType.Physical
FUNCTIONAL = TargetAddressType.Functional


@dataclass(frozen=True)
class Frame:
    """Any object with these three attributes can be asked about."""

    arbitration_id: int
    is_extended_id: bool
    data: object


@dataclass(frozen=True)
class Case:
    """One addressing mode with all it needs, and what must come out of it."""

    mode: AddressingMode
    kwargs: dict
    tx_fields: frozenset
    rx_fields: frozenset
    is_29bits: bool
    tx_ids: tuple  # physical, functional
    rx_ids: tuple
    tx_prefix: bytes = b""
    rx_prefix: bytes = b""
    content: str = ""

    def address(self, **changes):
        return Address(self.mode, **{**self.kwargs, **changes})

    def partial(self, direction):
        """Only with the fields of this direction ("tx" or "rx")."""
        fields = self.tx_fields if direction == "tx" else self.rx_fields
        return Address(
            self.mode, **{name: self.kwargs[name] for name in fields}, **{f"{direction}_only": True}
        )

    def frame(self, functional=False):
        """A frame that is for the address."""
        return Frame(self.rx_ids[functional], self.is_29bits, self.rx_prefix + b"\x02\x3e\x00")


def case(mode, kwargs, tx_fields, rx_fields, **rest):
    return Case(mode, kwargs, frozenset(tx_fields.split()), frozenset(rx_fields.split()), **rest)


# The examples of chapters 3 and 4.3 of the documentation of can-isotp 1.x.
CASES = [
    case(
        NORMAL_11,
        {"txid": 0x456, "rxid": 0x123},
        "txid",
        "rxid",
        is_29bits=False,
        tx_ids=(0x456, 0x456),
        rx_ids=(0x123, 0x123),
        content="[Normal_11bits - txid:0x456, rxid:0x123]",
    ),
    case(
        NORMAL_29,
        {"txid": 0x789ABC, "rxid": 0x123456},
        "txid",
        "rxid",
        is_29bits=True,
        tx_ids=(0x789ABC, 0x789ABC),
        rx_ids=(0x123456, 0x123456),
        content="[Normal_29bits - txid:0x789abc, rxid:0x123456]",
    ),
    case(
        NORMAL_FIXED,
        {"source_address": 0x55, "target_address": 0xAA},
        "source_address target_address",
        "source_address target_address",
        is_29bits=True,
        tx_ids=(0x18DAAA55, 0x18DBAA55),
        rx_ids=(0x18DA55AA, 0x18DB55AA),
        content="[NormalFixed_29bits - target_address:0xaa, source_address:0x55]",
    ),
    case(
        EXTENDED_11,
        {"txid": 0x456, "rxid": 0x123, "source_address": 0x55, "target_address": 0xAA},
        "txid target_address",
        "rxid source_address",
        is_29bits=False,
        tx_ids=(0x456, 0x456),
        rx_ids=(0x123, 0x123),
        tx_prefix=b"\xaa",
        rx_prefix=b"\x55",
        content="[Extended_11bits - target_address:0xaa, source_address:0x55, txid:0x456, rxid:0x123]",
    ),
    case(
        EXTENDED_29,
        {"txid": 0x789ABC, "rxid": 0x123456, "source_address": 0x55, "target_address": 0xAA},
        "txid target_address",
        "rxid source_address",
        is_29bits=True,
        tx_ids=(0x789ABC, 0x789ABC),
        rx_ids=(0x123456, 0x123456),
        tx_prefix=b"\xaa",
        rx_prefix=b"\x55",
        content="[Extended_29bits - target_address:0xaa, source_address:0x55, txid:0x789abc, rxid:0x123456]",
    ),
    case(
        MIXED_11,
        {"txid": 0x456, "rxid": 0x123, "address_extension": 0x99},
        "txid address_extension",
        "rxid address_extension",
        is_29bits=False,
        tx_ids=(0x456, 0x456),
        rx_ids=(0x123, 0x123),
        tx_prefix=b"\x99",
        rx_prefix=b"\x99",
        content="[Mixed_11bits - address_extension:0x99, txid:0x456, rxid:0x123]",
    ),
    case(
        MIXED_29,
        {"source_address": 0x55, "target_address": 0xAA, "address_extension": 0x99},
        "source_address target_address address_extension",
        "source_address target_address address_extension",
        is_29bits=True,
        tx_ids=(0x18CEAA55, 0x18CDAA55),
        rx_ids=(0x18CE55AA, 0x18CD55AA),
        tx_prefix=b"\x99",
        rx_prefix=b"\x99",
        content="[Mixed_29bits - target_address:0xaa, source_address:0x55, address_extension:0x99]",
    ),
]
WITH_IDS = [c for c in CASES if "txid" in c.kwargs]
WITH_BASES = [c for c in CASES if "txid" not in c.kwargs]


def name_of(value):
    return value.mode.name if isinstance(value, Case) else None


every_mode = pytest.mark.parametrize("case", CASES, ids=name_of)
every_mode_with_ids = pytest.mark.parametrize("case", WITH_IDS, ids=name_of)
every_mode_with_bases = pytest.mark.parametrize("case", WITH_BASES, ids=name_of)


def test_the_cases_cover_all_modes():
    assert [c.mode for c in CASES] == list(AddressingMode)


def test_all():
    assert {"Address", "AddressingMode", "TargetAddressType"} <= set(isotp.address.__all__)
    assert all(hasattr(isotp.address, name) for name in isotp.address.__all__)


# -- AddressingMode and TargetAddressType ------------------------------------------------------------------

MEMBERS = {
    AddressingMode: {
        "Normal_11bits": 0,
        "Normal_29bits": 1,
        "NormalFixed_29bits": 2,
        "Extended_11bits": 3,
        "Extended_29bits": 4,
        "Mixed_11bits": 5,
        "Mixed_29bits": 6,
    },
    TargetAddressType: {"Physical": 0, "Functional": 1},
}
every_member = pytest.mark.parametrize(
    ("cls", "name", "number"),
    [(cls, name, number) for cls, members in MEMBERS.items() for name, number in members.items()],
)


@pytest.mark.parametrize("cls", MEMBERS)
def test_there_are_no_other_members(cls):
    assert {member.name: member.value for member in cls} == MEMBERS[cls]


@every_member
def test_members_are_both_enum_members_and_integers(cls, name, number):
    member = getattr(cls, name)
    assert isinstance(member, enum.Enum)
    assert isinstance(member, int)
    assert (member.name, member.value) == (name, number)
    assert member == number
    assert hash(member) == hash(number)
    assert cls(number) is member
    assert cls[name] is member


@every_member
def test_members_print_by_name_on_every_python(cls, name, number):
    member = getattr(cls, name)
    text = f"{cls.__name__}.{name}"
    assert str(member) == text
    assert f"{member}" == text
    assert "{}".format(member) == text  # noqa: UP032 - the other way to format
    assert "%s" % member == text  # noqa: UP031 - and the oldest
    assert f"{member:>40}" == text.rjust(40)
    assert repr(member) == f"<{text}: {number}>"


@every_member
def test_members_print_as_numbers_where_a_number_is_asked_for(cls, name, number):
    member = getattr(cls, name)
    assert "%d" % member == str(number)  # noqa: UP031 - code of 1.x
    assert f"{member:d}" == str(number)
    assert f"{member:04x}" == f"000{number:x}"
    assert f"{member:.1f}" == f"{number}.0"


@every_member
def test_names_by_member_or_number(cls, name, number):
    assert cls.get_name(number) == name
    assert cls.get_name(getattr(cls, name)) == name


@pytest.mark.parametrize("cls", MEMBERS)
@pytest.mark.parametrize("value", [7, -1, None, "Normal_11bits"])
def test_a_name_of_nothing_is_refused(cls, value):
    with pytest.raises(ValueError, match=re.escape(repr(value))):
        cls.get_name(value)


@every_member
def test_members_survive_pickle_and_copy(cls, name, number):
    member = getattr(cls, name)
    assert pickle.loads(pickle.dumps(member)) is member
    assert copy.deepcopy(member) is member


# -- What an address needs ---------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize("as_number", [False, True])
def test_a_complete_address(case, as_number):
    address = Address(int(case.mode) if as_number else case.mode, **case.kwargs)
    assert address.addressing_mode is case.mode
    for name in ("txid", "rxid", "target_address", "source_address", "address_extension"):
        assert getattr(address, name) == case.kwargs.get(name)
    assert not address.is_partial_address()
    assert not address.is_tx_only()
    assert not address.is_rx_only()
    assert isinstance(address, AbstractAddress)


def test_the_default_mode_is_normal_11bits():
    assert Address(txid=1, rxid=2).addressing_mode is NORMAL_11


def test_parameters_in_their_order():
    positional = Address(MIXED_29, 1, 2, 0xAA, 0x55, 0x18C60000, 0x18C50000, 0x99, False, False)
    assert positional == Address(
        addressing_mode=MIXED_29,
        txid=1,
        rxid=2,
        target_address=0xAA,
        source_address=0x55,
        physical_id=0x18C60000,
        functional_id=0x18C50000,
        address_extension=0x99,
        rx_only=False,
        tx_only=False,
    )


MISSING = [(c, name) for c in CASES for name in sorted(c.tx_fields | c.rx_fields)]


@pytest.mark.parametrize(("case", "name"), MISSING, ids=name_of)
def test_a_field_that_is_missing_is_named(case, name):
    kwargs = {key: value for key, value in case.kwargs.items() if key != name}
    with pytest.raises(ValueError, match=f"{name} .*{case.mode.name}"):
        Address(case.mode, **kwargs)
    with pytest.raises(ValueError, match=f"{name} .*{case.mode.name}"):
        case.address(**{name: None})


@pytest.mark.parametrize(("case", "name"), MISSING, ids=name_of)
@pytest.mark.parametrize("direction", ["tx", "rx"])
def test_a_partial_address_needs_the_fields_of_its_direction_only(case, name, direction):
    needed = case.tx_fields if direction == "tx" else case.rx_fields
    kwargs = {key: value for key, value in case.kwargs.items() if key != name}
    if name in needed:
        with pytest.raises(ValueError, match=name):
            Address(case.mode, **kwargs, **{f"{direction}_only": True})
    else:
        assert getattr(Address(case.mode, **kwargs, **{f"{direction}_only": True}), name) is None


@every_mode
def test_both_directions_alone_is_none(case):
    with pytest.raises(ValueError, match="rx_only=True and tx_only=True"):
        case.address(rx_only=True, tx_only=True)


@pytest.mark.parametrize("mode", [7, -1, 1.0, None, "Normal_11bits", [], 10**20])
def test_an_unknown_mode_is_refused(mode):
    with pytest.raises(ValueError, match="addressing_mode must be one of Normal_11bits") as refusal:
        Address(mode, txid=1, rxid=2)
    assert repr(mode) in str(refusal.value)


def test_an_unknown_parameter_is_refused():
    # The documentation of 1.x misspells rxid so.
    with pytest.raises(TypeError, match="'rxd'"):
        Address(NORMAL_11, rxd=0x123, txid=0x456)


@pytest.mark.parametrize("value", [True, False])
def test_is_fd_is_tolerated_with_a_warning(value):
    with pytest.warns(DeprecationWarning, match="can_fd") as warned:
        address = Address(NORMAL_11, txid=1, rxid=2, is_fd=value)
    assert address == Address(NORMAL_11, txid=1, rxid=2)
    assert warned[0].filename == __file__


# -- Ranges ------------------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize("name", ["target_address", "source_address", "address_extension"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [(-1, "-0x1"), (0x100, "0x100"), (1.0, "1.0"), ("1", "'1'"), (b"\x01", "b'\\x01'"), ([1], "[1]")],
)
def test_one_byte_addresses_are_bytes(case, name, value, shown):
    with pytest.raises(ValueError, match=f"{name} must be an integer from 0 to 0xff") as refusal:
        case.address(**{name: value})
    assert shown in str(refusal.value)


@every_mode
@pytest.mark.parametrize("name", ["target_address", "source_address", "address_extension"])
@pytest.mark.parametrize("value", [0, 0xFF, True])
def test_all_bytes_are_accepted(case, name, value):
    assert getattr(case.address(**{name: value}), name) == value


@every_mode
@pytest.mark.parametrize("name", ["txid", "rxid"])
@pytest.mark.parametrize("value", [-1, 0x20000000, 1.0, "1", b"\x01"])
def test_can_ids_are_integers_in_range(case, name, value):
    with pytest.raises(ValueError, match=f"{name} must be an integer from 0 to 0x(7ff|1fffffff)") as refusal:
        case.address(**{name: value})
    assert (f"{value:#x}" if isinstance(value, int) else repr(value)) in str(refusal.value)
    assert case.mode.name in str(refusal.value)


@every_mode
@pytest.mark.parametrize("name", ["txid", "rxid"])
def test_the_mode_sets_the_range_of_can_ids(case, name):
    highest = 0x1FFFFFFF if case.is_29bits else 0x7FF
    assert getattr(case.address(**{name: highest}), name) == highest
    assert getattr(case.address(**{name: 0}), name) == 0
    with pytest.raises(ValueError, match=f"{name} must be .* not {highest + 1:#x}"):
        case.address(**{name: highest + 1})


@every_mode
@pytest.mark.parametrize("name", ["physical_id", "functional_id"])
@pytest.mark.parametrize("value", [-1, 0x20000000, 1.0, "x"])
def test_base_ids_are_29bit_integers(case, name, value):
    with pytest.raises(ValueError, match=f"{name} must be an integer from 0 to 0x1fffffff") as refusal:
        case.address(**{name: value})
    assert (f"{value:#x}" if isinstance(value, int) else repr(value)) in str(refusal.value)


@every_mode_with_ids
@pytest.mark.parametrize("partial", [{}, {"tx_only": True}, {"rx_only": True}], ids=str)
def test_txid_and_rxid_must_differ(case, partial):
    with pytest.raises(ValueError, match=r"txid and rxid must differ .* 0x55"):
        case.address(txid=0x55, rxid=0x55, **partial)


@every_mode_with_bases
def test_where_txid_and_rxid_mean_nothing_they_may_be_equal(case):
    address = case.address(txid=0x55, rxid=0x55)
    assert address.get_tx_arbitration_id() == case.tx_ids[0]


@every_mode_with_bases
def test_target_and_source_address_may_be_equal(case):
    address = case.address(target_address=0x11, source_address=0x11)
    assert address.get_tx_arbitration_id() == address.get_rx_arbitration_id()


# -- What goes on the bus ----------------------------------------------------------------------------------


@every_mode
def test_arbitration_ids(case):
    address = case.address()
    for number, address_type in enumerate((PHYSICAL, FUNCTIONAL)):
        assert address.get_tx_arbitration_id(address_type) == case.tx_ids[number]
        assert address.get_rx_arbitration_id(address_type) == case.rx_ids[number]
        assert address.get_tx_arbitration_id(number) == case.tx_ids[number]
        assert address.get_rx_arbitration_id(number) == case.rx_ids[number]
        assert address.get_tx_arbitration_id(address_type=number) == case.tx_ids[number]
    assert address.get_tx_arbitration_id() == case.tx_ids[0]
    assert address.get_rx_arbitration_id() == case.rx_ids[0]


@every_mode
@pytest.mark.parametrize("address_type", [2, -1, None, "Physical"])
def test_an_unknown_target_address_type_is_refused(case, address_type):
    for ask in (case.address().get_tx_arbitration_id, case.address().get_rx_arbitration_id):
        with pytest.raises(ValueError, match=re.escape(repr(address_type))):
            ask(address_type)


@every_mode
def test_extension_bytes(case):
    address = case.address()
    assert address.requires_tx_extension_byte() is bool(case.tx_prefix)
    assert address.requires_rx_extension_byte() is bool(case.rx_prefix)
    assert address.get_tx_extension_byte() == (case.tx_prefix[0] if case.tx_prefix else None)
    assert address.get_rx_extension_byte() == (case.rx_prefix[0] if case.rx_prefix else None)
    assert address.get_tx_payload_prefix() == case.tx_prefix
    assert type(address.get_tx_payload_prefix()) is bytes
    assert address.get_rx_prefix_size() == len(case.rx_prefix)


@every_mode
def test_id_lengths(case):
    assert case.address().is_tx_29bits() is case.is_29bits
    assert case.address().is_rx_29bits() is case.is_29bits


DEFAULT_BASES = {NORMAL_FIXED: (0x18DA0000, 0x18DB0000), MIXED_29: (0x18CE0000, 0x18CD0000)}


@every_mode_with_bases
def test_default_base_ids(case):
    assert (case.address().physical_id, case.address().functional_id) == DEFAULT_BASES[case.mode]


@every_mode_with_bases
def test_base_ids_of_ones_own_lose_their_low_bytes(case):
    address = case.address(physical_id=0x1FFEFFFF, functional_id=0x00AB1234)
    assert (address.physical_id, address.functional_id) == (0x1FFE0000, 0x00AB0000)
    assert address.get_tx_arbitration_id(PHYSICAL) == 0x1FFEAA55
    assert address.get_tx_arbitration_id(FUNCTIONAL) == 0x00ABAA55
    assert address.get_rx_arbitration_id(PHYSICAL) == 0x1FFE55AA
    assert address.get_rx_arbitration_id(FUNCTIONAL) == 0x00AB55AA
    assert address.is_for_me(Frame(0x1FFE55AA, True, case.rx_prefix))
    assert address.is_for_me(Frame(0x00AB55AA, True, case.rx_prefix))
    assert not address.is_for_me(case.frame())


@every_mode_with_bases
def test_base_id_zero_is_not_the_default(case):
    assert case.address(physical_id=0).get_tx_arbitration_id() == 0xAA55


@every_mode_with_ids
def test_other_modes_have_no_base_ids(case):
    address = case.address(physical_id=0x18DA0000, functional_id=0x18DB0000)
    for name in ("physical_id", "functional_id"):
        with pytest.raises(AttributeError, match=name):
            getattr(address, name)
        assert not hasattr(address, name)
    assert address.get_tx_arbitration_id() == case.tx_ids[0]


# -- is_for_me ---------------------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize("functional", [False, True])
def test_frames_for_me(case, functional):
    assert case.address().is_for_me(case.frame(functional)) is True
    assert case.partial("rx").is_for_me(case.frame(functional)) is True


@every_mode
def test_the_kind_of_data_does_not_matter(case):
    data = case.frame().data
    for same in (bytearray(data), memoryview(data), list(data), tuple(data)):
        assert case.address().is_for_me(replace(case.frame(), data=same))


@every_mode
def test_only_the_extension_byte_of_the_data_matters(case):
    assert case.address().is_for_me(replace(case.frame(), data=case.rx_prefix))


@every_mode
@pytest.mark.parametrize("data", [None, b"", bytearray(), []])
def test_without_data_no_extension_byte_can_match(case, data):
    assert case.address().is_for_me(replace(case.frame(), data=data)) is not bool(case.rx_prefix)


@every_mode
def test_the_id_length_must_match(case):
    assert not case.address().is_for_me(replace(case.frame(), is_extended_id=not case.is_29bits))


@every_mode
def test_the_own_transmissions_are_not_for_me(case):
    sent = Frame(case.tx_ids[0], case.is_29bits, case.tx_prefix + b"\x01\x02")
    assert not case.address().is_for_me(sent)


@every_mode
@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("bit", range(29))
def test_each_bit_of_the_id_counts(case, functional, bit):
    frame = case.frame(functional)
    other = replace(frame, arbitration_id=frame.arbitration_id ^ (1 << bit))
    # Where physical and functional ID differ in one bit only, that one leads to the other ID.
    assert case.address().is_for_me(other) is (other.arbitration_id in case.rx_ids)


@pytest.mark.parametrize("case", [c for c in CASES if c.rx_prefix], ids=name_of)
@pytest.mark.parametrize("bit", range(8))
def test_each_bit_of_the_extension_byte_counts(case, bit):
    frame = case.frame()
    other = replace(frame, data=bytes((frame.data[0] ^ (1 << bit),)) + frame.data[1:])
    assert not case.address().is_for_me(other)


@given(
    mode=st.sampled_from(AddressingMode),
    low=st.integers(0, 0x3FF),
    target=st.integers(0, 0xFF),
    source=st.integers(0, 0xFF),
    extension=st.integers(0, 0xFF),
    address_type=st.sampled_from(TargetAddressType),
)
def test_what_one_side_sends_is_for_the_other(mode, low, target, source, extension, address_type):
    me = Address(mode, low, low + 0x400, target, source, address_extension=extension)
    peer = Address(mode, low + 0x400, low, source, target, address_extension=extension)
    frame = Frame(
        me.get_tx_arbitration_id(address_type), me.is_tx_29bits(), me.get_tx_payload_prefix() + b"\x01\x00"
    )
    assert peer.is_for_me(frame)
    assert peer.get_rx_arbitration_id(address_type) == me.get_tx_arbitration_id(address_type)


# -- Both directions, and the other end --------------------------------------------------------------------


def sides_of(case):
    flag = 0x80000000 if case.is_29bits else 0
    return [
        (ids[0] | flag, ids[1] | flag, prefix[0] if prefix else None)
        for ids, prefix in ((case.tx_ids, case.tx_prefix), (case.rx_ids, case.rx_prefix))
    ]


@every_mode
def test_what_frames_of_each_direction_look_like(case):
    address = case.address()
    sides = [address.tx_side(), address.rx_side()]
    assert sides == sides_of(case)
    for side in sides:
        assert [side.can_id(), side.can_id(FUNCTIONAL)] == [side.physical_id, side.functional_id]
    with pytest.raises(ValueError, match="2"):
        address.tx_side().can_id(2)
    assert [case.partial("tx").tx_side(), case.partial("tx").rx_side()] == [sides[0], None]
    assert [case.partial("rx").tx_side(), case.partial("rx").rx_side()] == [None, sides[1]]


@every_mode
def test_the_other_end_sends_what_this_one_receives(case):
    for address in (case.address(), case.partial("tx"), case.partial("rx")):
        other = address.reversed()
        assert (other.tx_side(), other.rx_side()) == (address.rx_side(), address.tx_side())
        assert type(other) is Address
        assert other.is_partial_address() == address.is_partial_address()
        assert other.reversed() == address
        other.validate()


@every_mode_with_bases
def test_the_other_end_has_the_same_base_ids(case):
    other = case.address(physical_id=0x18EA0000, functional_id=0x18EB0000).reversed()
    assert (other.physical_id, other.functional_id) == (0x18EA0000, 0x18EB0000)


def test_the_other_end_of_a_subclass_has_what_the_subclass_adds():
    class Named(Address):
        def __init__(self, name, **rest):
            super().__init__(**rest)
            self.name = name

    address = Named("engine", txid=1, rxid=2)
    other = address.reversed()
    assert (type(other), other.name, other.txid, other.rxid) == (Named, "engine", 2, 1)
    assert (address.txid, address.rxid) == (1, 2)


# -- Partial addresses -------------------------------------------------------------------------------------

TX_QUESTIONS = [
    "get_tx_arbitration_id",
    "requires_tx_extension_byte",
    "get_tx_extension_byte",
    "is_tx_29bits",
    "get_tx_payload_prefix",
]
RX_QUESTIONS = [
    "get_rx_arbitration_id",
    "requires_rx_extension_byte",
    "get_rx_extension_byte",
    "is_rx_29bits",
    "get_rx_prefix_size",
]


@every_mode
@pytest.mark.parametrize(
    ("direction", "answered", "refused"),
    [("tx", TX_QUESTIONS, RX_QUESTIONS), ("rx", RX_QUESTIONS, TX_QUESTIONS)],
)
def test_a_partial_address_answers_for_its_direction(case, direction, answered, refused):
    address = case.partial(direction)
    assert address.is_partial_address()
    assert address.is_tx_only() is (direction == "tx")
    assert address.is_rx_only() is (direction == "rx")
    for question in answered:
        assert getattr(address, question)() == getattr(case.address(), question)()
    for question in refused:
        with pytest.raises(NotImplementedError, match=f"{direction}_only"):
            getattr(address, question)()


@every_mode
def test_an_address_to_send_with_cannot_say_what_is_received(case):
    with pytest.raises(NotImplementedError, match="tx_only"):
        case.partial("tx").is_for_me(case.frame())


# -- Values ------------------------------------------------------------------------------------------------


@every_mode
def test_equal_content_is_equal(case):
    assert case.address() == case.address()
    assert hash(case.address()) == hash(case.address())
    assert len({case.address(), case.address()}) == 1


@every_mode
@pytest.mark.parametrize("changed", ["tx_only", "rx_only", "txid", "target_address", "address_extension"])
def test_each_field_counts(case, changed):
    value = True if changed.endswith("only") else 0x33
    assert case.address() != case.address(**{changed: value})


def test_addresses_of_all_modes_differ():
    assert len({c.address() for c in CASES}) == len(CASES)


@every_mode_with_bases
def test_base_ids_count_by_what_they_mean(case):
    physical, functional = DEFAULT_BASES[case.mode]
    assert case.address() == case.address(physical_id=physical | 0x1234, functional_id=functional)
    assert case.address() != case.address(physical_id=0x10000)
    assert case.address() != case.address(functional_id=0x10000)


def test_an_address_equals_nothing_else():
    address = CASES[0].address()
    assert address != CASES[0].content
    assert address != 0
    assert address is not None


@every_mode
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(case, protocol):
    for address in (case.address(), case.partial("tx"), case.partial("rx")):
        again = pickle.loads(pickle.dumps(address, protocol))
        assert again == address
        assert type(again) is Address
        assert again.get_content_str() == address.get_content_str()


@every_mode
@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_copy(case, copier):
    assert copier(case.address()) == case.address()


PUBLIC_1X = [
    "addressing_mode",
    "txid",
    "rxid",
    "target_address",
    "source_address",
    "address_extension",
    "physical_id",
    "functional_id",
    "is_29bits",
    "tx_payload_prefix",
    "rx_prefix_size",
    "tx_arbitration_id_physical",
    "tx_arbitration_id_functional",
    "rx_arbitration_id_physical",
    "rx_arbitration_id_functional",
]


@pytest.mark.parametrize("name", PUBLIC_1X)
def test_content_cannot_be_assigned(name):
    address = CASES[-1].address()
    before = getattr(address, name)
    with pytest.raises(AttributeError):
        setattr(address, name, 1)
    assert getattr(address, name) == before


@every_mode
def test_content_and_repr(case):
    address = case.address()
    assert address.get_content_str() == case.content
    assert repr(address) == str(address)
    assert eval(repr(address)) == address


def test_repr_is_what_one_would_write():
    address = Address(NORMAL_11, txid=1, rxid=0x7E8)
    assert repr(address) == "Address(AddressingMode.Normal_11bits, txid=0x1, rxid=0x7e8)"


def test_repr_has_what_was_given():
    address = Address(2, target_address=1, source_address=2, physical_id=0x18DC0000, functional_id=0x18DD0000)
    partial = Address(1, rxid=6, rx_only=True)
    assert eval(repr(address)) == address
    assert repr(partial) == "Address(AddressingMode.Normal_29bits, rxid=0x6, rx_only=True)"
    assert eval(repr(partial)) == partial


def test_a_partial_address_shows_what_it_has():
    assert Address(NORMAL_11, rxid=5, rx_only=True).get_content_str() == "[Normal_11bits - rxid:0x05]"


# -- Names of can-isotp 1.x --------------------------------------------------------------------------------


@every_mode
def test_attributes_of_1x(case):
    address = case.address()
    assert address.is_29bits is case.is_29bits
    assert address.tx_payload_prefix == case.tx_prefix
    assert type(address.tx_payload_prefix) is bytearray
    assert address.rx_prefix_size == len(case.rx_prefix)
    assert (address.tx_arbitration_id_physical, address.tx_arbitration_id_functional) == case.tx_ids
    assert (address.rx_arbitration_id_physical, address.rx_arbitration_id_functional) == case.rx_ids


@every_mode
def test_methods_of_1x(case):
    address = case.address()
    for number, address_type in enumerate((PHYSICAL, FUNCTIONAL)):
        assert address.get_tx_arbitraton_id(address_type) == case.tx_ids[number]
        assert address.get_rx_arbitraton_id(number) == case.rx_ids[number]
    assert address.get_tx_arbitraton_id() == case.tx_ids[0]
    assert address.requires_extension_byte() is bool(case.tx_prefix)


@every_mode
def test_attributes_of_1x_of_a_partial_address(case):
    assert case.partial("tx").tx_payload_prefix == case.tx_prefix
    assert case.partial("rx").rx_prefix_size == len(case.rx_prefix)
    for direction, name in (("tx", "rx_prefix_size"), ("rx", "tx_payload_prefix")):
        with pytest.raises(NotImplementedError, match=f"{direction}_only"):
            getattr(case.partial(direction), name)


def test_the_prefix_of_1x_is_a_new_one_each_time():
    address = CASES[-1].address()
    address.tx_payload_prefix.append(1)
    assert address.tx_payload_prefix == b"\x99"


# -- Subclasses of users -----------------------------------------------------------------------------------


class Named(Address):
    """Adds an attribute and a constructor of its own."""

    def __init__(self, name, **kwargs):
        super().__init__(NORMAL_11, **kwargs)
        self.name = name


class Promiscuous(Address):
    def is_for_me(self, msg):
        return msg.arbitration_id >> 8 == 7

    def get_tx_arbitration_id(self, address_type=PHYSICAL):
        return super().get_tx_arbitration_id(address_type) + 1

    def get_rx_arbitraton_id(self, address_type=PHYSICAL):  # the spelling of 1.x
        return super().get_rx_arbitraton_id(address_type) + 2


class WithoutSource(Address):
    """Allows what 1.x allowed: Extended addressing without a source address."""

    def validate(self):
        if self.txid is None or self.rxid is None:
            raise ValueError("still too little")


def test_a_subclass_may_add_attributes_and_change_the_constructor():
    address = Named("engine", txid=1, rxid=2)
    for again in (pickle.loads(pickle.dumps(address)), copy.copy(address), copy.deepcopy(address)):
        assert type(again) is Named
        assert again == address
        assert again.name == "engine"
    assert address != Address(NORMAL_11, txid=1, rxid=2)
    assert address.get_tx_arbitration_id() == 1


def test_a_subclass_may_override_methods():
    address = Promiscuous(NORMAL_11, txid=0x10, rxid=0x20)
    assert address.is_for_me(Frame(0x7AB, False, b""))
    assert not address.is_for_me(Frame(0x20, False, b""))
    assert address.get_tx_arbitration_id() == 0x11


def test_an_override_counts_under_both_spellings():
    address = Promiscuous(NORMAL_11, txid=0x10, rxid=0x20)
    assert address.get_tx_arbitraton_id() == 0x11
    assert address.get_rx_arbitraton_id() == 0x22
    assert address.get_rx_arbitration_id() == 0x22
    assert address.tx_arbitration_id_functional == 0x11
    assert address.rx_arbitration_id_physical == 0x22


def test_reception_follows_an_overridden_id():
    class Shifted(Address):
        def get_rx_arbitration_id(self, address_type=PHYSICAL):
            return super().get_rx_arbitration_id(address_type) + 8

    address = Shifted(NORMAL_11, txid=0x10, rxid=0x20)
    assert address.is_for_me(Frame(0x28, False, b""))
    assert not address.is_for_me(Frame(0x20, False, b""))


def test_a_subclass_may_override_both_spellings_on_its_own():
    class Both(Address):
        def get_tx_arbitration_id(self, address_type=PHYSICAL):
            return 1

        def get_tx_arbitraton_id(self, address_type=PHYSICAL):
            return 2

    address = Both(NORMAL_11, txid=0x10, rxid=0x20)
    assert (address.get_tx_arbitration_id(), address.get_tx_arbitraton_id()) == (1, 2)


def test_the_constructor_validates_with_the_method_of_the_subclass():
    address = WithoutSource(EXTENDED_11, txid=1, rxid=2, target_address=3)
    assert address.get_tx_payload_prefix() == b"\x03"
    assert address.get_rx_extension_byte() is None
    assert not address.is_for_me(Frame(2, False, b"\x00\x01\x02"))
    with pytest.raises(ValueError, match="still too little"):
        WithoutSource(EXTENDED_11, txid=1)


def test_a_method_may_be_replaced_on_one_address():
    address = CASES[0].address()
    address.is_for_me = lambda msg: True
    assert address.is_for_me(None)


# -- AsymmetricAddress -------------------------------------------------------------------------------------

every_pair = pytest.mark.parametrize(
    ("tx_case", "rx_case"), [(tx, rx) for tx in CASES for rx in CASES], ids=name_of
)


@every_pair
def test_each_direction_has_its_own_mode(tx_case, rx_case):
    tx_addr, rx_addr = tx_case.partial("tx"), rx_case.partial("rx")
    address = AsymmetricAddress(tx_addr, rx_addr)
    assert address.tx_addr is tx_addr
    assert address.rx_addr is rx_addr
    for question in TX_QUESTIONS:
        assert getattr(address, question)() == getattr(tx_addr, question)()
    for question in RX_QUESTIONS:
        assert getattr(address, question)() == getattr(rx_addr, question)()
    for address_type in (PHYSICAL, FUNCTIONAL, 0, 1):
        assert address.get_tx_arbitration_id(address_type) == tx_addr.get_tx_arbitration_id(address_type)
        assert address.get_rx_arbitration_id(address_type) == rx_addr.get_rx_arbitration_id(address_type)
    assert address.is_for_me(rx_case.frame())
    assert not address.is_for_me(replace(rx_case.frame(), is_extended_id=not rx_case.is_29bits))
    assert not address.is_partial_address()
    assert isinstance(address, AbstractAddress)
    assert not isinstance(address, Address)
    other = address.reversed()
    assert [address.tx_side(), address.rx_side()] == [sides_of(tx_case)[0], sides_of(rx_case)[1]]
    assert [other.rx_side(), other.tx_side()] == [address.tx_side(), address.rx_side()]
    assert other.reversed() == address


TX = Address(NORMAL_11, txid=1, tx_only=True)
RX = Address(NORMAL_29, rxid=5, rx_only=True)
COMPLETE = Address(NORMAL_11, txid=1, rxid=5)


@pytest.mark.parametrize(
    ("tx_addr", "rx_addr", "message"),
    [
        (1, RX, "tx_addr must be an isotp.Address, not 1"),
        (None, RX, "tx_addr must be an isotp.Address, not None"),
        (TX, "x", "rx_addr must be an isotp.Address, not 'x'"),
        (TX, AsymmetricAddress(TX, RX), "rx_addr must be an isotp.Address, not AsymmetricAddress("),
        (RX, RX, "tx_addr must be made with tx_only=True: Address(AddressingMode.Normal_29bits"),
        (COMPLETE, RX, "tx_addr must be made with tx_only=True: Address(AddressingMode.Normal_11bits"),
        (TX, TX, "rx_addr must be made with rx_only=True: Address(AddressingMode.Normal_11bits"),
        (TX, COMPLETE, "rx_addr must be made with rx_only=True: Address(AddressingMode.Normal_11bits"),
    ],
)
def test_two_matching_partial_addresses_are_needed(tx_addr, rx_addr, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        AsymmetricAddress(tx_addr, rx_addr)


def test_parameters_of_an_asymmetric_address_by_name():
    assert AsymmetricAddress(rx_addr=RX, tx_addr=TX) == AsymmetricAddress(TX, RX)


def test_an_asymmetric_address_is_a_value_too():
    address = AsymmetricAddress(TX, RX)
    for again in (pickle.loads(pickle.dumps(address)), copy.copy(address), copy.deepcopy(address)):
        assert again == address
        assert hash(again) == hash(address)
        assert type(again) is AsymmetricAddress
    assert address != AsymmetricAddress(Address(NORMAL_11, txid=2, tx_only=True), RX)
    assert address != AsymmetricAddress(TX, Address(NORMAL_29, rxid=6, rx_only=True))
    assert address != TX
    for name in ("tx_addr", "rx_addr"):
        with pytest.raises(AttributeError):
            setattr(address, name, TX)


def test_an_asymmetric_address_in_words():
    address = AsymmetricAddress(TX, RX)
    assert address.get_content_str() == f"RxAddr: {RX.get_content_str()} - TxAddr: {TX.get_content_str()}"
    assert repr(address) == f"AsymmetricAddress(tx_addr={TX!r}, rx_addr={RX!r})"
    assert eval(repr(address)) == address


def test_an_asymmetric_address_uses_the_methods_of_subclasses():
    address = AsymmetricAddress(
        Promiscuous(NORMAL_11, txid=0x10, tx_only=True), Promiscuous(NORMAL_11, rxid=0x20, rx_only=True)
    )
    assert address.is_for_me(Frame(0x7AB, False, b""))
    assert address.get_tx_arbitration_id() == 0x11
    assert address.get_rx_arbitration_id() == 0x22


def test_the_abstract_address_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        AbstractAddress()
