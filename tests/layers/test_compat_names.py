"""Every name that code written for can-isotp 1.x or 2.x uses: there, with its signature, defaults, aliases.

One table for each group of names; what the names do is tested in the files beside this one, but for the few
compatibility names that are tested nowhere else.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import importlib
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import isotp
import isotp.protocol
from tests.processes import python

try:
    import can
except ImportError:
    can = None

needs_python_can = pytest.mark.skipif(can is None, reason="python-can is not installed")

ADDRESS = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x456, rxid=0x123)


def resolve(path: str) -> Any:
    """The object of a dotted path such as `isotp.TransportLayer.Params`."""
    module, _, rest = path.partition(":")
    found: Any = importlib.import_module(module)
    for name in filter(None, rest.split(".")):
        found = getattr(found, name)
    return found


def make_layer(
    layer_class: Any = isotp.TransportLayer, **kwargs: Any
) -> tuple[Any, list[isotp.CanMessage], list[isotp.CanMessage]]:
    """A layer, the list that its rxfn takes frames from, and the list that its txfn appends to."""
    received: list[isotp.CanMessage] = []
    sent: list[isotp.CanMessage] = []
    kwargs.setdefault("address", ADDRESS)
    layer = layer_class(rxfn=lambda: received.pop(0) if received else None, txfn=sent.append, **kwargs)
    return layer, received, sent


def frame(hexadecimal: str, arbitration_id: int = 0x123) -> isotp.CanMessage:
    return isotp.CanMessage(arbitration_id=arbitration_id, data=bytes.fromhex(hexadecimal))


# --- The package --------------------------------------------------------------------------------------------

ERRORS = {
    "IsoTpError": Exception,
    "BlockingSendFailure": isotp.IsoTpError,
    "BlockingSendTimeout": isotp.BlockingSendFailure,
    "BadGeneratorError": isotp.IsoTpError,
    "FlowControlTimeoutError": isotp.IsoTpError,
    "ConsecutiveFrameTimeoutError": isotp.IsoTpError,
    "InvalidCanDataError": isotp.IsoTpError,
    "UnexpectedFlowControlError": isotp.IsoTpError,
    "UnexpectedConsecutiveFrameError": isotp.IsoTpError,
    "ReceptionInterruptedWithSingleFrameError": isotp.IsoTpError,
    "ReceptionInterruptedWithFirstFrameError": isotp.IsoTpError,
    "WrongSequenceNumberError": isotp.IsoTpError,
    "UnsupportedWaitFrameError": isotp.IsoTpError,
    "MaximumWaitFrameReachedError": isotp.IsoTpError,
    "FrameTooLongError": isotp.IsoTpError,
    "ChangingInvalidRXDLError": isotp.IsoTpError,
    "MissingEscapeSequenceError": isotp.IsoTpError,
    "InvalidCanFdFirstFrameRXDL": isotp.IsoTpError,
    "OverflowError": isotp.IsoTpError,
}

NAMES = {
    "isotp": (
        "CanMessage",
        "AddressingMode",
        "TargetAddressType",
        "Address",
        "AsymmetricAddress",
        "TransportLayerLogic",
        "TransportLayer",
        "CanStack",
        "NotifierBasedCanStack",
        "socket",
        *ERRORS,
    ),
    "isotp.protocol": (
        "PDU",
        "RateLimiter",
        "TransportLayerLogic",
        "TransportLayer",
        "CanStack",
        "NotifierBasedCanStack",
    ),
    "isotp.tools": ("Timer", "FiniteByteGenerator"),
    "isotp.address": ("AddressingMode", "TargetAddressType", "Address"),
    "isotp.errors": tuple(ERRORS),
    "isotp.can_message": ("CanMessage",),
}

# Names that are reached by attribute only.
MORE_NAMES = {
    "isotp": ("_major_version_", "__version__", "__license__", "__author__"),
    "isotp.protocol": (
        "CanMessage",
        "Timer",
        "FiniteByteGenerator",
        "BusOwner",
        "_can_available",
        "_make_python_can_tx_func",
        "_python_can_to_isotp_message",
        "python_can_tx_canbus_3plus",
        "is_documented_by",
    ),
    "isotp.address": ("AbstractAddress", "AsymmetricAddress"),
    "isotp.tpsock": ("socket", "flags", "LinkLayerProtocol", "mtu", "check_support", "socket_module"),
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in NAMES for name in NAMES[module]])
def test_exported_name(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)
    assert name in importlib.import_module(module).__all__


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in MORE_NAMES for name in MORE_NAMES[module]]
)
def test_attribute_of_module(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


def test_all_names_exist() -> None:
    for module_name in NAMES:
        module = importlib.import_module(module_name)
        assert len(set(module.__all__)) == len(module.__all__)
        for name in module.__all__:
            assert hasattr(module, name), f"{module_name}.{name}"


def test_metadata() -> None:
    assert type(isotp._major_version_) is int  # udsoncan wants exactly this
    assert isotp._major_version_ == 2
    assert isotp.__license__ == "MIT"
    assert isinstance(isotp.__author__, str)
    assert tuple(int(part) for part in isotp.__version__.split(".")[:2]) >= (2, 0)


@pytest.mark.parametrize("module", ["address", "can_message", "errors", "protocol", "tools", "tpsock"])
def test_submodules_are_reached_after_one_import(module: str) -> None:
    program = f"import isotp; print(isotp.{module}.__name__)"
    assert python("-c", program).stdout == f"isotp.{module}\n"


def test_socket_options_are_imported_with_the_first_socket_only() -> None:
    """isotp.tpsock.opts cannot be imported where the system has no such sockets."""
    program = "import isotp, sys; print('isotp.tpsock.opts' in sys.modules, hasattr(isotp.tpsock, 'opts'))"
    assert python("-c", program).stdout == "False False\n"


# The same object under each of its names.
SAME = [
    ("isotp:CanMessage", "isotp.can_message:CanMessage"),
    ("isotp:CanMessage", "isotp.protocol:CanMessage"),
    ("isotp:Address", "isotp.address:Address"),
    ("isotp:AsymmetricAddress", "isotp.address:AsymmetricAddress"),
    ("isotp:AddressingMode", "isotp.address:AddressingMode"),
    ("isotp:TargetAddressType", "isotp.address:TargetAddressType"),
    ("isotp:TransportLayerLogic", "isotp.protocol:TransportLayerLogic"),
    ("isotp:TransportLayer", "isotp.protocol:TransportLayer"),
    ("isotp:CanStack", "isotp.protocol:CanStack"),
    ("isotp:NotifierBasedCanStack", "isotp.protocol:NotifierBasedCanStack"),
    ("isotp:socket", "isotp.tpsock:socket"),
    ("isotp:socket.flags", "isotp.tpsock:flags"),
    ("isotp:socket.LinkLayerProtocol", "isotp.tpsock:LinkLayerProtocol"),
    ("isotp.tools:Timer", "isotp.protocol:Timer"),
    ("isotp.tools:Timer", "isotp:TransportLayer.Timer"),
    ("isotp.tools:FiniteByteGenerator", "isotp.protocol:FiniteByteGenerator"),
    *((f"isotp:{name}", f"isotp.errors:{name}") for name in ERRORS),
    # Spellings of the 1.x code, of its documentation, and of the documentation's samples.
    ("isotp:UnsupportedWaitFrameError", "isotp:UnsuportedWaitFrameError"),
    ("isotp:UnsupportedWaitFrameError", "isotp.errors:UnsuportedWaitFrameError"),
    ("isotp:ChangingInvalidRXDLError", "isotp:ChangingInvalidRXDLLError"),
    ("isotp:ChangingInvalidRXDLError", "isotp.errors:ChangingInvalidRXDLLError"),
    ("isotp:IsoTpError", "isotp:IsotpError"),
    ("isotp:IsoTpError", "isotp.errors:IsotpError"),
    ("isotp:IsoTpError", "isotp.protocol:IsotpError"),
    ("isotp:socket.set_opts", "isotp:socket.set_general_opts"),
    ("isotp:Address.get_tx_arbitration_id", "isotp:Address.get_tx_arbitraton_id"),
    ("isotp:Address.get_rx_arbitration_id", "isotp:Address.get_rx_arbitraton_id"),
]


@pytest.mark.parametrize(("path", "alias"), SAME)
def test_alias(path: str, alias: str) -> None:
    assert resolve(alias) is resolve(path)


@pytest.mark.parametrize(("name", "base"), ERRORS.items())
def test_error(name: str, base: type[Exception]) -> None:
    error_class = getattr(isotp, name)
    assert error_class.__bases__ == (base,)
    assert str(error_class("what happened")) == "what happened"
    assert error_class("a", "b").args == ("a", "b")
    with pytest.raises(isotp.IsoTpError if name != "IsoTpError" else Exception):
        raise error_class


def test_star_import_hands_out_the_errors() -> None:
    names: dict[str, Any] = {}
    exec("from isotp import *", names)
    assert (
        names["OverflowError"] is isotp.OverflowError
    )  # this one hides the builtin, as it does in can-isotp
    assert names["TransportLayer"] is isotp.TransportLayer
    assert issubclass(names["FrameTooLongError"], names["IsoTpError"])


# --- Signatures ---------------------------------------------------------------------------------------------

# Parameters in order, with their defaults; those of our own that follow are free.
Required = inspect.Parameter.empty
SIGNATURES: dict[str, dict[str, Any]] = {
    "isotp:CanMessage": {
        "arbitration_id": 0,
        "dlc": 0,
        "data": b"",
        "extended_id": False,
        "is_fd": False,
        "bitrate_switch": False,
    },
    "isotp:Address": {
        "addressing_mode": isotp.AddressingMode.Normal_11bits,
        "txid": None,
        "rxid": None,
        "target_address": None,
        "source_address": None,
        "physical_id": None,
        "functional_id": None,
        "address_extension": None,
        "rx_only": False,
        "tx_only": False,
    },
    "isotp:AsymmetricAddress": {"tx_addr": Required, "rx_addr": Required},
    "isotp:TransportLayerLogic": {
        "rxfn": Required,
        "txfn": Required,
        "address": None,
        "error_handler": None,
        "params": None,
        "post_send_callback": None,
    },
    "isotp:TransportLayer": {
        "rxfn": Required,
        "txfn": Required,
        "address": None,
        "error_handler": None,
        "params": None,
        "read_timeout": 0.05,
    },
    "isotp:CanStack": {"bus": Required},
    "isotp:NotifierBasedCanStack": {"bus": Required, "notifier": Required},
    "isotp:CanStack.set_bus": {"self": Required, "bus": Required},
    "isotp:CanStack.rx_canbus": {"self": Required},
    "isotp:CanStack.tx_canbus": {"self": Required, "msg": Required},
    "isotp:TransportLayer.send": {
        "self": Required,
        "data": Required,
        "target_address_type": None,
        "send_timeout": None,
    },
    "isotp:TransportLayer.recv": {"self": Required, "block": False, "timeout": None},
    "isotp:TransportLayer.available": {"self": Required},
    "isotp:TransportLayer.transmitting": {"self": Required},
    "isotp:TransportLayer.process": {"self": Required, "rx_timeout": 0.0, "do_rx": True, "do_tx": True},
    "isotp:TransportLayer.set_address": {"self": Required, "address": Required},
    "isotp:TransportLayer.load_params": {"self": Required},
    "isotp:TransportLayer.stop_sending": {"self": Required},
    "isotp:TransportLayer.stop_receiving": {"self": Required},
    "isotp:TransportLayer.clear_rx_queue": {"self": Required},
    "isotp:TransportLayer.clear_tx_queue": {"self": Required},
    "isotp:TransportLayer.reset": {"self": Required},
    "isotp:TransportLayer.sleep_time": {"self": Required},
    "isotp:TransportLayer.set_sleep_timing": {"self": Required, "idle": Required, "wait_fc": Required},
    "isotp:TransportLayer.is_tx_throttled": {"self": Required},
    "isotp:TransportLayer.is_rx_active": {"self": Required},
    "isotp:TransportLayer.is_tx_transmitting_cf": {"self": Required},
    "isotp:TransportLayer.next_cf_delay": {"self": Required},
    "isotp:TransportLayer.start": {"self": Required},
    "isotp:TransportLayer.stop": {"self": Required},
    "isotp:TransportLayer.Params.set": {
        "self": Required,
        "key": Required,
        "val": Required,
        "validate": True,
    },
    "isotp:TransportLayer.Params.validate": {"self": Required},
    "isotp:TransportLayer.SendRequest": {"data": Required, "target_address_type": Ellipsis},
    "isotp:TransportLayer.SendRequest.complete": {"self": Required, "success": Required},
    "isotp:TransportLayer.ProcessStats": {
        "received": Required,
        "received_processed": Required,
        "sent": Required,
        "frame_received": Required,
    },
    "isotp:TransportLayer.ProcessRxReport": {"immediate_tx_required": Required, "frame_received": Required},
    "isotp:TransportLayer.ProcessTxReport": {"msg": Required, "immediate_rx_required": Required},
    "isotp:TransportLayer.get_dlc": {"self": Required, "data": Required, "validate_tx": False},
    "isotp:TransportLayer.get_nearest_can_fd_size": {"self": Required, "size": Required},
    "isotp:TransportLayer.make_tx_msg": {"self": Required, "arbitration_id": Required, "data": Required},
    "isotp:TransportLayer.pad_message_data": {"self": Required, "msg_data": Required},
    "isotp:TransportLayer.make_flow_control": {
        "self": Required,
        "flow_status": 0,
        "blocksize": None,
        "stmin": None,
    },
    "isotp:TransportLayer.trigger_error": {"self": Required, "error": Required},
    "isotp:TransportLayer.process_rx": {"self": Required, "msg": Required},
    "isotp:TransportLayer.process_tx": {"self": Required},
    "isotp:TransportLayer.check_timeouts_rx": {"self": Required},
    "isotp:TransportLayer.start_rx_fc_timer": {"self": Required},
    "isotp:TransportLayer.start_rx_cf_timer": {"self": Required},
    "isotp.tools:Timer": {"timeout": Required},
    "isotp.tools:Timer.set_timeout": {"self": Required, "timeout": Required},
    "isotp.tools:Timer.start": {"self": Required, "timeout": None},
    "isotp.tools:FiniteByteGenerator": {"gen": Required, "size": Required},
    "isotp.tools:FiniteByteGenerator.consume": {"self": Required, "size": Required, "enforce_exact": True},
    "isotp.protocol:RateLimiter": {"mean_bitrate": 10_000_000, "window_size_sec": 0.1},
    "isotp.protocol:RateLimiter.set_bitrate": {"self": Required, "mean_bitrate": Required},
    "isotp.protocol:RateLimiter.inform_byte_sent": {"self": Required, "datalen": Required},
    "isotp.protocol:PDU": {"msg": Required, "start_of_data": 0},
    "isotp.protocol:PDU.craft_flow_control_data": {
        "flow_status": Required,
        "blocksize": Required,
        "stmin": Required,
    },
    "isotp.protocol:_make_python_can_tx_func": {"owner": Required},
    "isotp.protocol:_python_can_to_isotp_message": {"msg": Required},
    "isotp.protocol:python_can_tx_canbus_3plus": {"owner": Required, "msg": Required},
    "isotp.protocol:is_documented_by": {"original": Required},
    "isotp:socket": {"timeout": None},
    "isotp:socket.send": {"self": Required, "data": Required, "flags": 0},
    "isotp:socket.recv": {"self": Required, "bufsize": 4095, "flags": 0},
    "isotp:socket.set_opts": {
        "self": Required,
        "optflag": None,
        "frame_txtime": None,
        "ext_address": None,
        "txpad": None,
        "rxpad": None,
        "rx_ext_address": None,
        "tx_stmin": None,
    },
    "isotp:socket.set_fc_opts": {"self": Required, "bs": None, "stmin": None, "wftmax": None},
    "isotp:socket.set_ll_opts": {"self": Required, "mtu": None, "tx_dl": None, "tx_flags": None},
}


@pytest.mark.parametrize("path", SIGNATURES)
def test_signature(path: str) -> None:
    """The expected parameters come first, in order, can be given by name, and what follows is optional."""
    expected = SIGNATURES[path]
    parameters = list(inspect.signature(resolve(path)).parameters.values())
    assert [parameter.name for parameter in parameters[: len(expected)]] == list(expected)
    for parameter, default in zip(parameters, expected.values(), strict=False):
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.POSITIONAL_ONLY)
        if parameter.name != "self":
            assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD, f"{parameter.name} not by name"
        if default is not Ellipsis:
            assert parameter.default == default
            assert type(parameter.default) is type(default) or default == parameter.default == 10_000_000
    for parameter in parameters[len(expected) :]:
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        assert variadic or parameter.default is not Required


# --- The layer ----------------------------------------------------------------------------------------------


def test_classes_of_the_layer() -> None:
    assert issubclass(isotp.TransportLayer, isotp.TransportLayerLogic)
    assert issubclass(isotp.CanStack, isotp.TransportLayer)
    assert issubclass(isotp.NotifierBasedCanStack, isotp.TransportLayer)
    assert not issubclass(isotp.NotifierBasedCanStack, isotp.CanStack)
    for layer_class in (isotp.TransportLayerLogic, isotp.TransportLayer, isotp.CanStack):
        assert layer_class.LOGGER_NAME == "isotp"


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("RxState", {"IDLE": 0, "WAIT_CF": 1}),
        (
            "TxState",
            {
                "IDLE": 0,
                "WAIT_FC": 1,
                "TRANSMIT_CF": 2,
                "TRANSMIT_SF_STANDBY": 3,
                "TRANSMIT_FF_STANDBY": 4,
                "WAIT_CONFIRMATION": 5,  # can-isotp has no such state: only a layer with tx_confirmation gets there
            },
        ),
    ],
)
def test_states(name: str, members: dict[str, int]) -> None:
    states = getattr(isotp.TransportLayer, name)
    assert issubclass(states, enum.Enum)
    assert {member.name: member.value for member in states} == members
    assert states is getattr(isotp.TransportLayerLogic, name)


@pytest.mark.parametrize("name", ["SendGenerator", "RxFn", "TxFn", "PostSendCallback", "ErrorHandler"])
def test_type_alias_of_the_layer(name: str) -> None:
    assert getattr(isotp.TransportLayerLogic, name) is not None
    assert getattr(isotp.TransportLayer, name) is getattr(isotp.TransportLayerLogic, name)


def test_process_stats() -> None:
    stats = isotp.TransportLayer.ProcessStats(received=3, received_processed=2, sent=1, frame_received=0)
    assert (stats.received, stats.received_processed, stats.sent, stats.frame_received) == (3, 2, 1, 0)
    assert repr(stats) == "<ProcessStats received:3 (processed: 2, sent: 1)>"
    assert stats == isotp.TransportLayer.ProcessStats(3, 2, 1, 0)
    assert stats != isotp.TransportLayer.ProcessStats(3, 2, 1, 1)
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
        stats.sent = 5
    layer, _, _ = make_layer()
    assert isinstance(layer.process(), isotp.TransportLayer.ProcessStats)


def test_reports() -> None:
    rx_report = isotp.TransportLayer.ProcessRxReport(immediate_tx_required=True, frame_received=False)
    assert (rx_report.immediate_tx_required, rx_report.frame_received) == (True, False)
    message = isotp.CanMessage()
    tx_report = isotp.TransportLayer.ProcessTxReport(msg=message, immediate_rx_required=True)
    assert tx_report.msg is message
    assert tx_report.immediate_rx_required is True
    for report in (rx_report, tx_report):
        with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
            report.msg = None


def test_send_request() -> None:
    requests: list[Any] = []
    layer, _, sent = make_layer(isotp.TransportLayerLogic, post_send_callback=requests.append)
    layer.send(b"abc")
    (request,) = requests
    assert isinstance(request, isotp.TransportLayerLogic.SendRequest)
    assert request.target_address_type is isotp.TargetAddressType.Physical
    assert isinstance(request.complete_event, threading.Event)
    assert not request.complete_event.is_set()
    layer.process()
    assert len(sent) == 1
    assert request.complete_event.is_set()
    assert request.success is True
    assert request.consumed_size == 3

    own = isotp.TransportLayerLogic.SendRequest(b"abc", isotp.TargetAddressType.Functional)
    own.complete(False)
    assert own.complete_event.is_set()
    assert own.success is False


# What a fresh layer shows; a type where there is no one value.
ATTRIBUTES: dict[str, Any] = {
    "params": isotp.TransportLayer.Params,
    "logger": logging.Logger,
    "address": ADDRESS,
    "rx_state": isotp.TransportLayer.RxState.IDLE,
    "tx_state": isotp.TransportLayer.TxState.IDLE,
    "timings": dict,
    "error_handler": None,
    "rate_limiter": isotp.protocol.RateLimiter,
    "rx_buffer": b"",
    "remote_blocksize": None,
    "wft_counter": 0,
    "tx_seqnum": 0,
    "last_seqnum": 0,
    "timer_rx_fc": isotp.tools.Timer,
    "timer_rx_cf": isotp.tools.Timer,
    "timer_tx_stmin": isotp.tools.Timer,
    "active_send_request": None,
    "tx_standby_msg": None,
    "blocking_rxfn": False,
}


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize(
    "layer_class", [isotp.TransportLayerLogic, isotp.TransportLayer], ids=["logic", "layer"]
)
def test_attribute_of_a_fresh_layer(layer_class: Any, name: str) -> None:
    layer, _, _ = make_layer(layer_class)
    value, expected = getattr(layer, name), ATTRIBUTES[name]
    if isinstance(expected, type):
        assert isinstance(value, expected)
    else:
        assert value == expected


def test_queues_and_callables_of_a_layer() -> None:
    def rxfn(timeout: float) -> None:
        return None

    def txfn(message: isotp.CanMessage) -> None:
        raise AssertionError("nothing is sent here")

    layer = isotp.TransportLayer(rxfn, txfn, ADDRESS)
    assert layer.rxfn is rxfn
    assert layer.user_rxfn is rxfn
    assert layer.txfn is txfn
    assert layer.blocking_rxfn is True
    assert layer.logger is logging.getLogger("isotp")
    assert layer.rx_queue.empty()
    assert layer.tx_queue.empty()
    layer.send(b"abc")
    assert layer.tx_queue.qsize() == 1
    layer.clear_tx_queue()
    assert layer.tx_queue.qsize() == 0


def test_attributes_amid_a_message() -> None:
    layer, received, _ = make_layer()
    received.append(frame("10 14 00 01 02 03 04 05"))
    layer.process()
    received.append(frame("21 06 07 08 09 0A 0B 0C"))
    layer.process()
    assert layer.rx_state is isotp.TransportLayer.RxState.WAIT_CF
    assert layer.rx_buffer == bytes(range(13))
    assert layer.last_seqnum == 1
    assert not layer.timer_rx_cf.is_stopped()
    assert not layer.timer_rx_cf.is_timed_out()

    layer.send(bytes(20))
    layer.process()
    assert layer.tx_state is isotp.TransportLayer.TxState.WAIT_FC
    assert isinstance(layer.active_send_request, isotp.TransportLayer.SendRequest)
    assert not layer.timer_rx_fc.is_stopped()
    received.append(frame("30 01 7F"))
    layer.process()
    assert layer.tx_state is isotp.TransportLayer.TxState.TRANSMIT_CF
    assert layer.remote_blocksize == 1
    assert not layer.timer_tx_stmin.is_stopped()
    assert layer.is_tx_transmitting_cf()
    layer.reset()
    assert layer.rx_state is isotp.TransportLayer.RxState.IDLE
    assert layer.tx_state is isotp.TransportLayer.TxState.IDLE
    assert layer.active_send_request is None
    assert layer.timer_rx_cf.is_stopped()
    assert layer.timer_rx_fc.is_stopped()


def test_attributes_can_be_replaced() -> None:
    """Code that patches a layer replaces its callables and its logger."""
    layer, _, sent = make_layer()
    errors: list[Exception] = []
    also_sent: list[isotp.CanMessage] = []
    also_received = [frame("30 00 00"), frame("01 61")]
    layer.error_handler = errors.append
    layer.txfn = also_sent.append
    layer.rxfn = lambda: also_received.pop(0) if also_received else None
    layer.logger = logging.getLogger("another")
    layer.send(b"x")
    layer.process()
    assert [type(error) for error in errors] == [isotp.UnexpectedFlowControlError]
    assert len(also_sent) == 1
    assert sent == []
    assert layer.recv() == b"a"
    assert layer.logger.name == "another"


def test_parameters_and_their_defaults() -> None:
    params = isotp.TransportLayer.Params()
    expected = {
        "stmin": 0,
        "blocksize": 8,
        "override_receiver_stmin": None,
        "rx_flowcontrol_timeout": 1000,
        "rx_consecutive_frame_timeout": 1000,
        "tx_padding": None,
        "wftmax": 0,
        "tx_data_length": 8,
        "tx_data_min_length": None,
        "max_frame_size": 4095,
        "can_fd": False,
        "bitrate_switch": False,
        "default_target_address_type": isotp.TargetAddressType.Physical,
        "rate_limit_max_bitrate": 100_000_000,
        "rate_limit_window_size": 0.2,
        "rate_limit_enable": False,
        "listen_mode": False,
        "blocking_send": False,
        "logger_name": "isotp",
        # of the first generation
        "squash_stmin_requirement": False,
        "ll_data_length": 8,
    }
    assert {name: getattr(params, name) for name in expected} == expected
    assert callable(params.wait_func)
    params.set("ll_data_length", 64)
    assert params.tx_data_length == 64
    params.tx_data_length = 32
    assert params.ll_data_length == 32
    with pytest.raises(AttributeError, match="no_such_parameter"):
        params.set("no_such_parameter", 1)
    with pytest.raises(AttributeError, match="no_such_parameter"):
        make_layer(params={"no_such_parameter": 1})


def test_squash_stmin_requirement() -> None:
    """STmin of the receiver is passed over, all frames leave at once; an override goes before that."""
    for params, expected in (
        ({"squash_stmin_requirement": True}, 3),
        ({"squash_stmin_requirement": False}, 1),
        ({"squash_stmin_requirement": True, "override_receiver_stmin": 60.0}, 1),
    ):
        layer, received, sent = make_layer(params=params)
        layer.send(bytes(20))
        layer.process()
        received.append(frame("30 00 7F"))
        layer.process()
        assert len(sent) == expected, params
    with pytest.raises(ValueError, match="squash_stmin_requirement"):
        make_layer(params={"squash_stmin_requirement": 1})


def test_sleep_timing() -> None:
    layer, _, _ = make_layer()
    assert layer.sleep_time() == 0.02
    layer.set_sleep_timing(0.5, wait_fc=0.25)
    assert layer.sleep_time() == 0.5
    layer.send(bytes(20))
    layer.process()
    assert layer.sleep_time() == 0.25
    rx_idle = isotp.TransportLayer.RxState.IDLE
    layer.timings[(rx_idle, isotp.TransportLayer.TxState.WAIT_FC)] = 0.125
    assert layer.sleep_time() == 0.125


# --- Addressing ---------------------------------------------------------------------------------------------

MODES = {
    "Normal_11bits": 0,
    "Normal_29bits": 1,
    "NormalFixed_29bits": 2,
    "Extended_11bits": 3,
    "Extended_29bits": 4,
    "Mixed_11bits": 5,
    "Mixed_29bits": 6,
}


@pytest.mark.parametrize(
    ("constants", "members"),
    [(isotp.AddressingMode, MODES), (isotp.TargetAddressType, {"Physical": 0, "Functional": 1})],
    ids=["AddressingMode", "TargetAddressType"],
)
def test_constants_are_numbers_and_enumerations(constants: Any, members: dict[str, int]) -> None:
    assert issubclass(constants, enum.Enum)
    assert {member.name: member.value for member in constants} == members
    for name, number in members.items():
        member = getattr(constants, name)
        assert member == number
        assert f"{member:d}" == str(number)
        assert "%d" % member == str(number)  # noqa: UP031 - 1.x code does this
        assert str(member) == f"{constants.__name__}.{name}"
        assert constants(number) is member


def test_name_of_an_addressing_mode() -> None:
    for name, number in MODES.items():
        assert isotp.AddressingMode.get_name(number) == name
        assert isotp.AddressingMode.get_name(isotp.AddressingMode[name]) == name
    with pytest.raises(ValueError, match="99"):
        isotp.AddressingMode.get_name(99)


def test_addresses_are_abstract_addresses() -> None:
    assert issubclass(isotp.Address, isotp.address.AbstractAddress)
    assert issubclass(isotp.AsymmetricAddress, isotp.address.AbstractAddress)
    assert isinstance(isotp.address.AbstractAddress, abc.ABCMeta)
    with pytest.raises(TypeError):
        isotp.address.AbstractAddress()


def test_address_with_the_names_of_the_first_generation() -> None:
    address = isotp.Address(3, txid=0x456, rxid=0x123, target_address=0xAA, source_address=0x55)
    expected = {
        "addressing_mode": isotp.AddressingMode.Extended_11bits,
        "txid": 0x456,
        "rxid": 0x123,
        "target_address": 0xAA,
        "source_address": 0x55,
        "address_extension": None,
        "is_29bits": False,
        "tx_payload_prefix": b"\xaa",
        "rx_prefix_size": 1,
        "tx_arbitration_id_physical": 0x456,
        "tx_arbitration_id_functional": 0x456,
        "rx_arbitration_id_physical": 0x123,
        "rx_arbitration_id_functional": 0x123,
    }
    assert {name: getattr(address, name) for name in expected} == expected
    assert address.requires_extension_byte() is True
    assert "txid" in address.get_content_str()

    fixed = isotp.Address(2, target_address=0x22, source_address=0x11)
    functional = isotp.TargetAddressType.Functional
    assert fixed.is_29bits is True
    assert fixed.tx_payload_prefix == b""
    assert fixed.rx_prefix_size == 0
    assert fixed.requires_extension_byte() is False
    assert fixed.get_tx_arbitraton_id() == fixed.get_tx_arbitraton_id(0) == 0x18DA2211
    assert fixed.get_tx_arbitraton_id(functional) == fixed.get_tx_arbitraton_id(1) == 0x18DB2211
    assert fixed.get_rx_arbitraton_id() == 0x18DA1122
    assert fixed.get_rx_arbitraton_id(address_type=functional) == 0x18DB1122
    assert fixed.tx_arbitration_id_functional == 0x18DB2211


# --- What 1.x code calls on a layer -------------------------------------------------------------------------


def test_layer_without_an_address() -> None:
    with pytest.raises(ValueError, match="address"):
        isotp.TransportLayer(rxfn=lambda: None, txfn=lambda message: None)
    with pytest.raises(ValueError, match="None"):
        isotp.TransportLayer(rxfn=lambda: None, txfn=lambda message: None, address=None)


@pytest.mark.parametrize(
    "can_message_arguments", [{"dlc": None}, {"data": None}, {"arbitration_id": None}], ids=str
)
def test_message_of_nothing(can_message_arguments: dict[str, None]) -> None:
    """The first generation's default for everything was None."""
    message = isotp.CanMessage(**can_message_arguments)
    (name,) = can_message_arguments
    assert getattr(message, name) is None
    assert "CanMessage" in repr(message)


def test_frame_helpers() -> None:
    layer, _, _ = make_layer(params={"tx_data_length": 64, "can_fd": True, "tx_padding": 0xAA})
    assert [layer.get_nearest_can_fd_size(size) for size in (1, 8, 9, 12, 13, 48, 49, 64)] == [
        1,
        8,
        12,
        12,
        16,
        48,
        64,
        64,
    ]
    with pytest.raises(ValueError, match="65"):
        layer.get_nearest_can_fd_size(65)
    assert [layer.get_dlc(bytes(size)) for size in (2, 8, 12, 16, 20, 24, 32, 48, 64)] == [
        2,
        8,
        9,
        10,
        11,
        12,
        13,
        14,
        15,
    ]
    message = layer.make_tx_msg(0x456, bytearray(b"\x00\x0a0123456789"))
    assert isinstance(message, isotp.CanMessage)
    assert (message.arbitration_id, message.dlc, message.is_fd) == (0x456, 9, True)
    assert message.data == b"\x00\x0a0123456789"
    assert layer.make_tx_msg(0x456, bytes(9)).data == bytes(9) + b"\xaa\xaa\xaa"


def test_make_flow_control() -> None:
    layer, _, sent = make_layer(params={"stmin": 5, "blocksize": 4})
    message = layer.make_flow_control()
    assert (message.arbitration_id, message.data) == (0x456, b"\x30\x04\x05")
    status = isotp.protocol.PDU.FlowStatus
    assert layer.make_flow_control(status.Wait, blocksize=1, stmin=2).data == b"\x31\x01\x02"
    assert layer.make_flow_control(flow_status=status.Overflow).data == b"\x32\x04\x05"
    assert sent == []


def test_machines_by_hand() -> None:
    """process_rx() and process_tx() are the halves of process(), with frames handed over by the caller."""
    layer, _, sent = make_layer()
    layer.process_rx(frame("02 61 62"))
    assert layer.recv() == b"ab"
    layer.process_rx(frame("10 08 00 01 02 03 04 05"))
    assert not layer.available()
    layer.process_rx(frame("21 06 07"))
    assert layer.recv() == bytes(range(8))
    layer.reset()

    layer.send(b"abc")
    produced = layer.process_tx()
    message = getattr(produced, "msg", produced)
    assert message.data == b"\x03abc"
    assert sent == []
    again = layer.process_tx()
    assert getattr(again, "msg", again) is None


def test_timers_by_hand() -> None:
    errors: list[Exception] = []
    layer, received, _ = make_layer(error_handler=errors.append, params={"rx_consecutive_frame_timeout": 0})
    received.append(frame("10 08 00 01 02 03 04 05"))
    layer.process()
    layer.check_timeouts_rx()
    assert [type(error) for error in errors] == [isotp.ConsecutiveFrameTimeoutError]
    assert not layer.is_rx_active()

    layer, received, _ = make_layer()
    assert layer.timer_rx_fc.is_stopped()
    assert layer.timer_rx_cf.is_stopped()
    layer.send(bytes(20))
    received.append(frame("10 08 00 01 02 03 04 05"))
    layer.process()
    layer.start_rx_fc_timer()
    layer.start_rx_cf_timer()
    assert 0 < layer.timer_rx_fc.remaining() <= 1
    assert 0 < layer.timer_rx_cf.remaining() <= 1


def test_trigger_error(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = []
    layer, _, _ = make_layer(error_handler=errors.append)
    error = isotp.FrameTooLongError("by hand")
    layer.trigger_error(error)
    assert errors == [error]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "by hand" in caplog.text


# --- Helpers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["elapsed", "elapsed_ns", "remaining", "remaining_ns", "is_timed_out", "is_stopped", "stop"]
)
def test_timer_has(name: str) -> None:
    timer = isotp.tools.Timer(10)
    getattr(timer, name)()
    timer.start()
    getattr(timer, name)()


def test_timer_in_short() -> None:
    timer = isotp.tools.Timer(timeout=600)
    assert timer.start_time is None
    assert timer.is_stopped()
    assert (timer.elapsed(), timer.elapsed_ns(), timer.is_timed_out()) == (0, 0, False)
    timer.start()
    assert not timer.is_stopped()
    assert 0 < timer.remaining() <= 600
    assert 0 < timer.remaining_ns() <= 600_000_000_000
    assert not timer.is_timed_out()
    timer.start(timeout=0)
    assert timer.is_timed_out()
    timer.stop()
    assert not timer.is_timed_out()


def test_finite_byte_generator_in_short() -> None:
    generator = isotp.tools.FiniteByteGenerator((value for value in range(5)), 5)
    assert (generator.total_length(), generator.remaining_size(), generator.depleted()) == (5, 5, False)
    assert generator.consume(3) == bytearray(b"\x00\x01\x02")
    assert (generator.total_length(), generator.remaining_size(), generator.depleted()) == (5, 2, False)
    assert isinstance(generator.consume(2), bytearray)
    assert generator.depleted()
    short = isotp.tools.FiniteByteGenerator((value for value in range(2)), 5)
    with pytest.raises(isotp.BadGeneratorError):
        short.consume(5)


def test_rate_limiter_in_short() -> None:
    limiter = isotp.protocol.RateLimiter(mean_bitrate=1000, window_size_sec=1)
    assert limiter.can_be_enabled() is True
    assert limiter.TIME_SLOT_LENGTH == 0.005
    assert limiter.allowed_bytes() == 125
    limiter.inform_byte_sent(100)
    limiter.update()
    assert limiter.allowed_bytes() <= 125
    limiter.reset()
    assert limiter.allowed_bytes() == 125
    limiter.disable()
    assert limiter.allowed_bytes() == 0xFFFFFFFF
    limiter.set_bitrate(2000)
    limiter.enable()
    assert limiter.allowed_bytes() == 250
    invalid = isotp.protocol.RateLimiter(mean_bitrate=0)
    assert invalid.can_be_enabled() is False
    with pytest.raises(ValueError, match="0"):
        invalid.enable()


PDU_TYPES = {"SINGLE_FRAME": 0, "FIRST_FRAME": 1, "CONSECUTIVE_FRAME": 2, "FLOW_CONTROL": 3}
FLOW_STATUSES = {"ContinueToSend": 0, "Wait": 1, "Overflow": 2}


def test_pdu_constants() -> None:
    assert {name: getattr(isotp.protocol.PDU.Type, name) for name in PDU_TYPES} == PDU_TYPES
    assert {name: getattr(isotp.protocol.PDU.FlowStatus, name) for name in FLOW_STATUSES} == FLOW_STATUSES
    for constants in (isotp.protocol.PDU.Type, isotp.protocol.PDU.FlowStatus):
        values = [value for name, value in vars(constants).items() if not name.startswith("_")]
        assert all(isinstance(value, int) for value in values)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            "02 61 62",
            {"type": 0, "length": 2, "data": b"ab", "escape_sequence": False, "can_dl": 3, "rx_dl": 8},
        ),
        (
            "10 0A 00 01 02 03 04 05",
            {"type": 1, "length": 10, "data": bytes(range(6)), "escape_sequence": False, "rx_dl": 8},
        ),
        ("25 01 02", {"type": 2, "seqnum": 5, "data": b"\x01\x02"}),
        ("31 08 F3", {"type": 3, "flow_status": 1, "blocksize": 8, "stmin": 0xF3, "stmin_sec": 0.0003}),
    ],
    ids=["single", "first", "consecutive", "flow_control"],
)
def test_pdu_attributes(data: str, expected: dict[str, Any]) -> None:
    pdu = isotp.protocol.PDU(frame(data))
    assert {name: getattr(pdu, name) for name in expected} == pytest.approx(expected)
    assert isinstance(pdu.name(), str)
    names = ("type", "length", "data", "blocksize", "stmin", "stmin_sec", "seqnum", "flow_status")
    for name in (*names, "rx_dl", "escape_sequence", "can_dl"):
        getattr(pdu, name)  # there, whatever the type of the frame


def test_pdu_of_a_malformed_frame() -> None:
    with pytest.raises(ValueError, match=r"."):
        isotp.protocol.PDU(frame("F0 00"))
    assert isotp.protocol.PDU.craft_flow_control_data(2, 8, 0x7F) == b"\x32\x08\x7f"


def test_is_documented_by() -> None:
    def original() -> None:
        """What both do."""

    @isotp.protocol.is_documented_by(original)
    def other(value: int) -> int:
        return value + 1

    assert other.__doc__ == "What both do."
    assert other(1) == 2


class RecordingOwner:
    """What the helpers for python-can take: something with a bus."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self.bus = type("RecordingBus", (), {"send": staticmethod(send)})()


@needs_python_can
@pytest.mark.parametrize("make", ["_make_python_can_tx_func", "python_can_tx_canbus_3plus"])
def test_frames_to_python_can(make: str) -> None:
    sent: list[Any] = []
    owner = RecordingOwner(sent.append)
    message = isotp.CanMessage(
        arbitration_id=0x18DA2211, dlc=8, data=b"\x01\x02", extended_id=True, is_fd=True, bitrate_switch=True
    )
    helper = getattr(isotp.protocol, make)
    if make == "_make_python_can_tx_func":
        helper(owner)(message)
    else:
        helper(owner, message)
    (out,) = sent
    assert isinstance(out, can.Message)
    assert (out.arbitration_id, bytes(out.data)) == (0x18DA2211, b"\x01\x02")
    assert (out.is_extended_id, out.is_fd, out.bitrate_switch) == (True, True, True)


@needs_python_can
def test_frames_from_python_can() -> None:
    convert = isotp.protocol._python_can_to_isotp_message
    assert isotp.protocol._can_available is True
    assert isotp.protocol.can is can
    assert convert(None) is None
    assert convert(can.Message(is_error_frame=True)) is None
    assert convert(can.Message(is_remote_frame=True, dlc=3)) is None
    message = convert(
        can.Message(
            arbitration_id=0x12345, data=bytes(12), is_extended_id=True, is_fd=True, bitrate_switch=True
        )
    )
    assert isinstance(message, isotp.CanMessage)
    assert (message.arbitration_id, message.dlc, message.data) == (0x12345, 0, bytes(12))
    assert (message.is_extended_id, message.is_fd, message.bitrate_switch) == (True, True, True)


class Strange:
    """A frame of a driver that python-can does not know."""

    is_error_frame = is_remote_frame = False
    is_extended_id = is_fd = bitrate_switch = False
    arbitration_id: Any = 0x123
    data: Any = bytearray(b"\x01\x02")

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"data": b"\x01\x02"},
        {"data": bytearray(65)},
        {"data": memoryview(b"\x01\x02")},
        {"data": None},
        {"arbitration_id": -1},
        {"arbitration_id": 1 << 40},
        {"arbitration_id": 0x7FFFFFFF},
        {"arbitration_id": 0x1FFFFFFF, "is_extended_id": 1},
        {"arbitration_id": None},
        {"is_fd": 1, "bitrate_switch": "yes"},
    ],
    ids=str,
)
def test_strange_frames_come_as_they_are(fields: dict[str, Any]) -> None:
    """Whether a frame is possible is for the layer to say, not for what brings it."""
    given = Strange(**fields)
    message = isotp.protocol.frame_from_python_can(given)  # type: ignore[arg-type]
    assert message is not None
    assert (message.arbitration_id, message.data) == (given.arbitration_id, given.data)
    flags = (given.is_extended_id, given.is_fd, given.bitrate_switch)
    assert (message.is_extended_id, message.is_fd, message.bitrate_switch) == tuple(map(bool, flags))


def test_a_frame_does_not_change_with_the_one_that_it_was_made_of() -> None:
    data = bytearray(b"\x01\x02")
    message = isotp.protocol.frame_from_python_can(Strange(data=data))  # type: ignore[arg-type]
    data[1] = 0xFF
    assert message is not None
    assert message.data == b"\x01\x02"


# --- Sockets, as far as they show without a kernel that has them --------------------------------------------


def test_socket_constants() -> None:
    flags = {
        "LISTEN_MODE": 0x001,
        "EXTEND_ADDR": 0x002,
        "TX_PADDING": 0x004,
        "RX_PADDING": 0x008,
        "CHK_PAD_LEN": 0x010,
        "CHK_PAD_DATA": 0x020,
        "HALF_DUPLEX": 0x040,
        "FORCE_TXSTMIN": 0x080,
        "FORCE_RXSTMIN": 0x100,
        "RX_EXT_ADDR": 0x200,
        "WAIT_TX_DONE": 0x400,
    }
    assert {name: getattr(isotp.socket.flags, name) for name in flags} == flags
    assert isotp.socket.LinkLayerProtocol.CAN == 16
    assert isotp.socket.LinkLayerProtocol.CAN_FD == 72
    assert isotp.tpsock.mtu == 4095


@pytest.mark.parametrize(
    "name",
    [
        "settimeout",
        "gettimeout",
        "send",
        "recv",
        "fileno",
        "real_socket",
        "close",
        "get_ll_opts",
        "get_opts",
        "get_fc_opts",
        "set_ll_opts",
        "set_opts",
        "set_fc_opts",
        "bind",
    ],
)
def test_method_of_the_socket(name: str) -> None:
    assert callable(getattr(isotp.socket, name))


@pytest.mark.skipif(not hasattr(isotp.tpsock.socket_module, "CAN_ISOTP"), reason="Python without CAN_ISOTP")
def test_socket_options_by_the_names_of_both_generations() -> None:
    opts = importlib.import_module("isotp.tpsock.opts")
    assert opts.general is opts.GeneralOpts
    assert opts.flowcontrol is opts.FlowControlOpts
    assert opts.linklayer is opts.LinkLayerOpts
    assert (opts.SOL_CAN_ISOTP, opts.flags) == (106, isotp.tpsock.flags)
    assert opts.GeneralOpts.struct_size == 12
    assert opts.FlowControlOpts.struct_size == 3
    assert opts.LinkLayerOpts.struct_size == 3
    for options in (opts.GeneralOpts, opts.FlowControlOpts, opts.LinkLayerOpts):
        with pytest.raises(ValueError, match="socket"):
            options.read("no socket")
        with pytest.raises(ValueError, match="socket"):
            options.write("no socket")
    with pytest.raises(ValueError, match="socket"):
        opts.assert_is_socket("no socket")
