"""Attributes that programs for can-isotp read and set, and what they ask of classes."""

from __future__ import annotations

import importlib
import inspect
import logging
import queue
from typing import Any

import pytest

import isotp
from isotp import protocol
from tests.frames import HERE, Bench, counted

FIRST = "10 0A 00 01 02 03 04 05"
REST = "21 06 07 08 09"


# --- States and counters ---


def test_a_layer_that_is_set_to_idle_gives_up_its_messages() -> None:
    bench = Bench()
    bench.hear(FIRST)
    bench.say(counted(20))
    states = bench.layer.RxState, bench.layer.TxState
    assert (bench.layer.last_rx_state, bench.layer.last_tx_state) == (states[0].WAIT_CF, states[1].WAIT_FC)
    bench.layer.rx_state = states[0].WAIT_CF  # as it is: nothing happens
    bench.layer.tx_state = states[1].WAIT_FC
    assert bench.layer.is_rx_active()
    bench.layer.rx_state = states[0].IDLE
    bench.layer.tx_state = states[1].IDLE
    assert not bench.layer.is_rx_active()
    assert not bench.layer.transmitting()
    with pytest.raises(ValueError, match=r"other states come with frames; not to <RxState\.WAIT_CF: 1>"):
        bench.layer.rx_state = states[0].WAIT_CF
    with pytest.raises(ValueError, match="other states come with frames"):
        bench.layer.tx_state = states[1].TRANSMIT_CF


def test_sequence_numbers_that_are_set() -> None:
    bench = Bench()
    bench.hear(FIRST)
    bench.layer.last_seqnum = 4
    bench.hear("25 06 07 08 09")
    assert bench.received() == [counted(10)]
    bench.say(counted(20))
    bench.layer.tx_seqnum = 9
    assert bench.hear("30 00 00")[0][:2] == "29"


NUMBERS = {
    "last_seqnum": 15,
    "tx_seqnum": 15,
    "remote_blocksize": 255,
    "rx_block_counter": 0xFFFFFFFF,
    "tx_block_counter": 0xFFFFFFFF,
    "wft_counter": 0xFFFFFFFF,
}


@pytest.mark.parametrize("name", NUMBERS)
def test_counters_can_be_set(name: str) -> None:
    layer = Bench().layer
    setattr(layer, name, NUMBERS[name])
    assert getattr(layer, name) == NUMBERS[name]
    for wrong in (-1, NUMBERS[name] + 1, "1"):
        with pytest.raises(ValueError, match=f"{name} must be an integer from 0 to {NUMBERS[name]}"):
            setattr(layer, name, wrong)
    assert getattr(layer, name) == NUMBERS[name]


def test_no_block_size_is_known() -> None:
    layer = Bench().layer
    layer.remote_blocksize = 3
    layer.remote_blocksize = None
    assert layer.remote_blocksize is None


def test_a_flow_control_that_is_asked_for() -> None:
    bench = Bench()
    bench.layer.pending_flow_control_tx = True
    bench.layer.pending_flow_control_tx = True
    assert bench.run() == ["30 08 00"]
    bench.layer._request_tx_flowcontrol(2)
    assert bench.layer.pending_flow_control_tx
    assert bench.run() == ["32 08 00"]
    bench.layer.request_wait_flow_control()
    assert bench.run() == ["31 08 00"]
    bench.layer.request_tx_flowcontrol()
    bench.layer.pending_flow_control_tx = False
    assert bench.run() == []
    with pytest.raises(ValueError, match="status must be an integer from 0 to 2, not 3"):
        bench.layer.request_tx_flowcontrol(3)


def test_no_flow_control_waits_to_be_handled() -> None:
    assert Bench().layer.last_flow_control_frame is None


# --- Queues ---


def test_what_waits_in_a_queue() -> None:
    layer = Bench().layer
    for payload in (b"a", b"b", b"c"):
        layer.rx_queue.put(bytearray(payload))
    assert layer.rx_queue.maxsize == 0
    with layer.rx_queue.mutex:
        waiting = layer.rx_queue.queue
        assert len(waiting) == 3
        assert [waiting[0], waiting[-1]] == [b"a", b"c"]
        assert list(waiting[1:]) == [b"b", b"c"]
        assert waiting.popleft() == b"a"
        waiting.append(bytearray(b"d"))
    assert layer.rx_queue.mutex is layer.rx_queue.mutex
    assert repr(waiting) == "WaitingItems([bytearray(b'b'), bytearray(b'c'), bytearray(b'd')])"
    assert layer.recv() == b"b"
    waiting.clear()
    assert layer.rx_queue.empty()
    with pytest.raises(IndexError):
        waiting.popleft()
    with pytest.raises(queue.Empty):
        layer.rx_queue.get_nowait()


# --- The rate limiter ---


def test_a_rate_limiter_tells_of_its_window() -> None:
    limiter = protocol.RateLimiter(mean_bitrate=1000, window_size_sec=0.5)
    limiter.inform_byte_sent(10)
    assert (limiter.window_bit_max, limiter.bit_total) == (500, 80)
    assert limiter.burst_bitcount == [80]
    assert len(limiter.burst_time) == 1
    assert limiter.error_reason == ""
    limiter.mean_bitrate = 2000
    limiter.window_size_sec = 1
    limiter.reset()
    assert (limiter.window_bit_max, limiter.bit_total, limiter.burst_bitcount) == (2000, 0, [])
    limiter.enabled = False
    assert not limiter.enabled
    limiter.enabled = True
    assert limiter.enabled
    limiter.mean_bitrate = 0
    assert "above 0" in limiter.error_reason
    assert not limiter.can_be_enabled()


# --- Classes, and what they are asked ---


@pytest.mark.parametrize("member", [*isotp.AddressingMode, *isotp.TargetAddressType])
def test_each_member_is_true(member: Any) -> None:
    assert member
    assert member == member.value


@pytest.mark.parametrize("name", isotp.errors.__all__)
def test_errors_have_a_signature(name: str) -> None:
    error = getattr(isotp, name)
    assert list(inspect.signature(error).parameters)[:1] in (["args"], ["message"])
    with pytest.raises(TypeError):
        isotp.IsoTpError("a", key=1)


def test_stacks_own_a_bus() -> None:
    assert issubclass(isotp.CanStack, protocol.BusOwner)
    assert issubclass(isotp.NotifierBasedCanStack, protocol.BusOwner)
    assert not issubclass(isotp.TransportLayer, protocol.BusOwner)


def test_a_layer_that_was_never_made_can_be_shown() -> None:
    shown = repr(isotp.TransportLayer.__new__(isotp.TransportLayer))
    assert shown.startswith("<TransportLayer without an address, as __init__() was not called")


def test_fields_of_a_pdu_can_be_set() -> None:
    pdu = protocol.PDU(isotp.CanMessage(data=b"\x01\x02"))
    pdu.data = b"\x03"
    pdu.length = 7
    assert (pdu.data, pdu.length) == (b"\x03", 7)


def test_an_address_as_the_second_generation_has_it() -> None:
    address = isotp.Address(
        isotp.AddressingMode.Mixed_29bits, target_address=1, source_address=2, address_extension=3
    )
    assert address._is_29bits
    assert address._requires_extension_byte()
    assert (address._rx_prefix_size, address._tx_payload_prefix) == (1, b"\x03")
    assert address._tx_arbitration_id_physical == address._get_tx_arbitration_id(0) == 0x18CE0102
    assert address._tx_arbitration_id_functional == address._get_tx_arbitration_id(1) == 0x18CD0102
    assert address._rx_arbitration_id_physical == address._get_rx_arbitration_id(0) == 0x18CE0201
    assert address._rx_arbitration_id_functional == address._get_rx_arbitration_id(1) == 0x18CD0201


def test_the_time_out_of_a_polled_stack() -> None:
    can = pytest.importorskip("can")
    with can.Bus(interface="virtual", channel="test_the_time_out_of_a_polled_stack") as bus:
        stack = isotp.CanStack(bus, timeout=0.5, address=HERE)
        assert stack.timeout == 0.5
        stack.timeout = 0.0
        assert stack.timeout == 0
        with pytest.raises(ValueError, match="timeout must be a finite number"):
            stack.timeout = -1


# --- Modules that code reaches through ---


@pytest.mark.parametrize(
    "name", ["binascii", "copy", "enum", "logging", "math", "queue", "threading", "time"]
)
def test_modules_of_the_protocol(name: str) -> None:
    assert getattr(protocol, name) is importlib.import_module(name)
    assert name in dir(protocol)


def test_other_names_of_the_protocol() -> None:
    assert protocol.isotp is isotp
    assert {"can", "_can_available", "PDU"} <= set(dir(protocol))
    assert protocol.python_can_tx_canbus_3minus is protocol.python_can_tx_canbus_3plus
    assert isotp.address.CanMessage is isotp.CanMessage
    with pytest.raises(AttributeError, match="has no attribute 'CanMessages'"):
        isotp.address.CanMessages  # noqa: B018


# --- The log ---


def test_starting_and_stopping_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "isotp")
    layer = isotp.TransportLayer(lambda timeout: None, print, HERE, read_timeout=0.01)
    layer.start()
    layer.stop()
    layer.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "Starting TransportLayer",
        "Stopping TransportLayer",
        "TransportLayer stopped",
    ]
