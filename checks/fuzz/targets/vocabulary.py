"""Constructors of Address, AsymmetricAddress, Params, CanMessage and PDU with any values: made, or refused clearly."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import isotp
from checks.fuzz.choices import Choices
from isotp.params import Params
from isotp.protocol import PDU, RateLimiter

FIELDS = (
    "txid",
    "rxid",
    "target_address",
    "source_address",
    "physical_id",
    "functional_id",
    "address_extension",
)
NUMBERS = (
    0,
    1,
    0x7F,
    0xFF,
    0x100,
    0x7FF,
    0x800,
    0x18DA0000,
    0x1FFFFFFF,
    0x20000000,
    0xFFFFFFFF,
    1 << 40,
    1 << 70,
    -1,
)
ODD = (
    None,
    True,
    False,
    "",
    "7",
    b"\1",
    1.5,
    math.nan,
    math.inf,
    -math.inf,
    1e300,
    [],
    (),
    {},
    object,
    lambda *_: 0,
)
PARAMS = tuple(Params().to_dict()) if hasattr(Params, "to_dict") else tuple(Params.__annotations__)


def value(choices: Choices) -> Any:
    """Any value: a number as a rule."""
    kind = choices.byte() & 7
    if kind < 3:
        return choices.byte()
    if kind < 5:
        return choices.pick(NUMBERS)
    if kind == 5:
        return choices.pick(ODD)
    if kind == 6:
        return choices.number(4)
    return choices.block(choices.byte() % 70)


def some_address(choices: Choices) -> Any:
    """One that is good, in each mode."""
    mode = isotp.AddressingMode(choices.byte() % 7)
    one = choices.flag()
    fields: dict[str, Any] = {
        "txid": 0x123 + one,
        "rxid": 0x456,
        "target_address": 0x12,
        "source_address": 0x34,
    }
    return isotp.Address(mode, **fields, address_extension=0x99)


def any_address(choices: Choices) -> Any:
    mode = choices.byte() % 9
    fields = {name: value(choices) for name in FIELDS if choices.flag()}
    return isotp.Address(mode, **fields, rx_only=choices.byte() % 8 == 0, tx_only=choices.byte() % 8 == 0)


def some_params(choices: Choices) -> dict[str, Any]:
    """A few that are likely to be good, so that the layer comes into being."""
    length = choices.pick((8, 8, 8, 12, 16, 20, 24, 32, 48, 64))
    return {
        "tx_data_length": length,
        "tx_data_min_length": choices.pick((None, None, 1, 8, length)),
        "tx_padding": choices.byte() if choices.flag() else None,
        "stmin": choices.byte(),
        "blocksize": choices.byte(),
        "wftmax": choices.byte() & 3,
        "max_frame_size": choices.number(2),
        "listen_mode": choices.byte() % 8 == 0,
        "tx_flow_control": choices.byte() % 8 != 0,
        "override_receiver_stmin": choices.byte() / 1000 if choices.flag() else None,
        "rate_limit_enable": choices.byte() % 8 == 0,
        "rate_limit_max_bitrate": 1 + choices.number(3),
        "rate_limit_window_size": 0.001 + choices.byte() / 100,
        "rx_flowcontrol_timeout": choices.number(2),
        "rx_consecutive_frame_timeout": choices.number(2),
        "can_fd": choices.flag(),
        "strict": choices.flag(),
    }


def check_address(address: Any, choices: Choices) -> None:
    assert repr(address)
    assert str(address)
    assert address == copy.copy(address) == pickle.loads(pickle.dumps(address))
    assert hash(address) == hash(copy.copy(address))
    partial = address.is_partial_address()
    frame = isotp.CanMessage(
        choices.number(4) & 0x1FFFFFFF, data=choices.block(8), extended_id=choices.flag()
    )
    if not partial:
        assert address.is_for_me(frame) in (True, False)
        for target in (0, 1):
            assert 0 <= address.get_tx_arbitration_id(target) <= 0x1FFFFFFF
            assert 0 <= address.get_rx_arbitration_id(target) <= 0x1FFFFFFF
    assert address != isotp.Address(txid=0x7FE, rxid=0x7FD) or not partial


def try_address(choices: Choices) -> None:
    check_address(any_address(choices), choices)


def try_asymmetric(choices: Choices) -> None:
    ends = [any_address(choices) if choices.byte() % 8 else value(choices) for _ in range(2)]
    check_address(isotp.AsymmetricAddress(*ends), choices)


def try_params(choices: Choices) -> None:
    params = Params()
    for _ in range(1 + choices.byte() % 6):
        params.set(choices.pick(PARAMS), value(choices), validate=choices.flag())
    assert repr(params)
    layer = isotp.TransportLayerLogic(
        lambda: None,
        lambda _: None,
        isotp.Address(txid=1, rxid=2),
        None,
        {name: getattr(params, name) for name in PARAMS},
    )
    layer.process()


def try_frame(choices: Choices) -> None:
    message = isotp.CanMessage(
        value(choices), value(choices), value(choices), value(choices), value(choices), value(choices)
    )
    for name in ("arbitration_id", "data", "dlc", "is_extended_id", "is_fd", "bitrate_switch"):
        if choices.flag():
            setattr(message, name, value(choices))
        getattr(message, name)
    assert repr(message)
    assert copy.copy(message) is not message
    pdu = PDU(message, value(choices))
    assert repr(pdu)
    assert pdu.name()
    assert pdu.length is None or pdu.length >= 0


def try_limiter(choices: Choices) -> None:
    limiter = RateLimiter(value(choices), value(choices))
    limiter.enable()
    for _ in range(4):
        limiter.inform_byte_sent(value(choices))
        limiter.update()
        assert limiter.allowed_bytes() >= 0


def try_flow_control(choices: Choices) -> None:
    data = PDU.craft_flow_control_data(value(choices), value(choices), value(choices))
    assert len(data) == 3


KINDS = (try_address, try_address, try_asymmetric, try_params, try_frame, try_limiter, try_flow_control)


def one_input(data: bytes) -> None:
    choices = Choices(data)
    try:
        choices.pick(KINDS)(choices)
    except (ValueError, TypeError, OverflowError) as error:
        if not str(error):
            raise AssertionError("refused without a word") from error
