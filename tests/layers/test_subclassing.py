"""Classes used as people do: own subclasses, callables of all kinds, patched attributes, copies, repr."""

from __future__ import annotations

import copy
import functools
import pickle
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isotp
from isotp.address import AbstractAddress

# No time-out is part of what is tested here: this one only ends a test that has failed.
PATIENCE = 10.0

HERE = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x456, rxid=0x123)
THERE = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x123, rxid=0x456)

FIRST_FRAME = "10 0A 01 02 03 04 05 06"


def frame(data: str, arbitration_id: int = 0x123) -> isotp.CanMessage:
    return isotp.CanMessage(arbitration_id, 0, bytes.fromhex(data))


class Bus:
    """What a layer is to read, and what it sent; its methods serve as rxfn and txfn."""

    def __init__(self) -> None:
        self.to_read: queue.Queue[isotp.CanMessage] = queue.Queue()
        self.sent: queue.Queue[isotp.CanMessage] = queue.Queue()

    def put(self, *frames: str) -> None:
        for data in frames:
            self.to_read.put(frame(data))

    def recv(self, timeout: float = 0.0) -> isotp.CanMessage | None:
        try:
            return self.to_read.get(timeout=timeout)
        except queue.Empty:
            return None

    def poll(self) -> isotp.CanMessage | None:
        return self.recv()

    def send(self, message: isotp.CanMessage) -> None:
        self.sent.put(message)

    def take(self) -> bytes:
        return bytes(self.sent.get(timeout=PATIENCE).data)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def layer(bus: Bus) -> Iterator[isotp.TransportLayer]:
    layer = isotp.TransportLayer(bus.recv, bus.send, HERE, read_timeout=0.01)
    yield layer
    layer.stop()


def receive(layer: isotp.TransportLayer) -> bytes:
    message = layer.recv(block=True, timeout=PATIENCE)
    assert message is not None
    return bytes(message)


# --- Subclasses of the layers -------------------------------------------------------------------------------


class Ecu(isotp.TransportLayer):
    """As in many a test bench: attributes and methods of its own, before and after the base's constructor."""

    LOGGER_NAME = "ecu"

    class Params(isotp.TransportLayer.Params):
        """With defaults of its own."""

        def __init__(self) -> None:
            super().__init__()
            self.stmin = 20

    def __init__(self, bus: Bus, name: str, **kwargs: Any) -> None:
        self.name = name
        self.bus = bus
        self.log: list[str] = []
        super().__init__(self.read, self.write, HERE, error_handler=self.on_error, **kwargs)
        self.answers = {b"\x3e": b"\x7e"}

    def read(self, timeout: float) -> isotp.CanMessage | None:
        return self.bus.recv(timeout)

    def write(self, message: isotp.CanMessage) -> None:
        self.log.append(bytes(message.data).hex())
        self.bus.send(message)

    def on_error(self, error: isotp.IsoTpError) -> None:
        self.log.append(type(error).__name__)

    def send(self, data: Any, *args: Any, **kwargs: Any) -> None:
        self.log.append("send")
        super().send(data, *args, **kwargs)

    def recv(self, *args: Any, **kwargs: Any) -> bytearray | None:
        message = super().recv(*args, **kwargs)
        return message and self.answers.get(bytes(message), message)

    def start(self) -> None:
        self.log.append("start")
        super().start()

    def stop(self) -> None:
        self.log.append("stop")
        super().stop()

    def process(self, *args: Any, **kwargs: Any) -> Any:
        self.log.append("process")
        return super().process(*args, **kwargs)


def test_subclass_of_a_layer_polled(bus: Bus) -> None:
    ecu = Ecu(bus, "engine")
    bus.put("21 00", "01 3E")
    ecu.process()
    assert ecu.recv() == b"\x7e"
    ecu.send(b"\x01")
    stats = ecu.process()
    assert stats.sent == 1
    assert ecu.log == ["process", "UnexpectedConsecutiveFrameError", "send", "process", "0101"]
    assert ecu.name == "engine"
    assert repr(ecu).startswith("<Ecu ")


def test_subclass_of_a_layer_started(bus: Bus) -> None:
    ecu = Ecu(bus, "engine", params={"blocksize": 4})
    ecu.start()
    bus.put(FIRST_FRAME)
    assert bus.take() == b"\x30\x04\x14"  # its own default of STmin
    bus.put("21 07 08 09 0A")
    assert receive(ecu) == bytes(range(1, 11))
    ecu.stop()
    assert ecu.log == ["start", "300414", "stop"]
    assert isinstance(ecu.params, Ecu.Params)


def test_subclass_that_forgets_the_base_is_told(bus: Bus) -> None:
    """An exception, not a crash."""

    class Forgetful(isotp.TransportLayer):
        def __init__(self) -> None:
            pass

    forgetful = Forgetful()
    for use in (forgetful.process, lambda: forgetful.send(b"1"), forgetful.start, forgetful.load_params):
        with pytest.raises((AttributeError, TypeError, RuntimeError)):
            use()


def test_two_bases() -> None:
    class Named:
        def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.name = name

    class NamedLayer(Named, isotp.TransportLayerLogic):
        pass

    layer = NamedLayer(lambda: None, print, HERE, name="a name")
    assert layer.name == "a name"
    layer.process()


def test_subclass_of_can_stack() -> None:
    can = pytest.importorskip("can")

    class Stack(isotp.CanStack):
        def __init__(self, bus: Any, *args: Any, **kwargs: Any) -> None:
            self.seen: list[str] = []
            super().__init__(bus, *args, **kwargs)

        def rx_canbus(self, *args: Any, **kwargs: Any) -> isotp.CanMessage | None:
            message = super().rx_canbus(*args, **kwargs)
            if message is not None:
                self.seen.append(f"rx {bytes(message.data).hex()}")
            return message

        def tx_canbus(self, msg: isotp.CanMessage) -> None:
            self.seen.append(f"tx {bytes(msg.data).hex()}")
            super().tx_canbus(msg)

    with (
        can.Bus("subclassing", interface="virtual") as near,
        can.Bus("subclassing", interface="virtual") as far,
    ):
        stack = Stack(near, address=HERE)
        stack.start()
        far.send(can.Message(arbitration_id=0x123, data=bytes.fromhex(FIRST_FRAME), is_extended_id=False))
        flow_control = far.recv(PATIENCE)
        assert flow_control is not None
        far.send(can.Message(arbitration_id=0x123, data=b"\x21\x07\x08\x09\x0a", is_extended_id=False))
        assert receive(stack) == bytes(range(1, 11))
        stack.stop()
        assert stack.seen == ["rx 100a010203040506", "tx 300800", "rx 210708090a"]


# --- Subclasses of CanMessage and Address -------------------------------------------------------------------


class Stamped(isotp.CanMessage):
    """A frame with the time of its reception."""

    def __init__(self, *args: Any, timestamp: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.timestamp = timestamp


def test_subclass_of_can_message(bus: Bus, layer: isotp.TransportLayer) -> None:
    bus.to_read.put(Stamped(0x123, 0, b"\x01\xaa", timestamp=1.5))
    bus.to_read.put(Stamped(0x123, 0, b"\x01\xbb", extended_id=True, timestamp=1.5))
    layer.process()
    assert layer.recv() == b"\xaa"
    assert layer.recv() is None
    message = Stamped(0x7FF, 2, b"\x01\xaa", timestamp=2.5)
    assert repr(message).startswith('<Stamped 7ff [2]  "01aa" at 0x')
    for twin in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert type(twin) is Stamped
        assert (twin.arbitration_id, twin.dlc, twin.data, twin.timestamp) == (0x7FF, 2, b"\x01\xaa", 2.5)


def test_attributes_of_a_subclass_of_can_message_count(bus: Bus, layer: isotp.TransportLayer) -> None:
    """A property in place of the base's attribute is what the layer reads."""

    class Shifted(isotp.CanMessage):
        @property
        def data(self) -> bytes:
            return b"\x01\xbb"

    bus.to_read.put(Shifted(0x123, 0, b"\x01\xaa"))
    layer.process()
    assert layer.recv() == b"\xbb"


def test_any_object_with_the_attributes_of_a_frame(bus: Bus, layer: isotp.TransportLayer) -> None:
    """python-can's own messages, for example."""

    class Foreign:
        arbitration_id = 0x123
        data = bytearray(b"\x02\x01\x02")
        is_extended_id = False

    bus.to_read.put(Foreign())  # type: ignore[arg-type]
    layer.process()
    assert layer.recv() == b"\x01\x02"


class Several(isotp.Address):
    """An address that takes frames of several identifiers."""

    def __init__(self, *args: Any, others: tuple[int, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.others = others

    def is_for_me(self, msg: isotp.CanMessage) -> bool:
        return super().is_for_me(msg) or msg.arbitration_id in self.others


@pytest.mark.parametrize("started", [False, True], ids=["polled", "started"])
def test_subclass_of_address(bus: Bus, layer: isotp.TransportLayer, started: bool) -> None:
    address = Several(isotp.AddressingMode.Normal_11bits, txid=0x456, rxid=0x123, others=(0x7DF, 0x7E0))
    layer.set_address(address)
    assert layer.address is address
    for k, arbitration_id in enumerate((0x7DF, 0x7E1, 0x123, 0x7E0, 0x100)):
        bus.to_read.put(frame(f"01 {k:02X}", arbitration_id))
    if started:
        layer.start()
    else:
        layer.process()
    assert [receive(layer) for _ in range(3)] == [b"\x00", b"\x02", b"\x03"]
    assert layer.recv() is None


def test_subclass_of_address_that_computes_its_identifiers(bus: Bus, layer: isotp.TransportLayer) -> None:
    class Offset(isotp.Address):
        def get_tx_arbitration_id(self, *args: Any, **kwargs: Any) -> int:
            return super().get_tx_arbitration_id(*args, **kwargs) + 8

    layer.set_address(Offset(txid=0x100, rxid=0x123))
    layer.send(b"\xaa")
    layer.process()
    assert bus.sent.get().arbitration_id == 0x108


def test_is_for_me_that_is_patched(bus: Bus, layer: isotp.TransportLayer) -> None:
    address = isotp.Address(txid=0x456, rxid=0x123)
    address.is_for_me = lambda msg: msg.arbitration_id == 0x7DF  # type: ignore[method-assign]
    layer.set_address(address)
    bus.to_read.put(frame("01 AA"))
    bus.to_read.put(frame("01 BB", 0x7DF))
    layer.process()
    assert layer.recv() == b"\xbb"
    assert layer.recv() is None


def test_is_for_me_that_raises(bus: Bus, layer: isotp.TransportLayer) -> None:
    """A callback as any other."""

    class Failing(isotp.Address):
        def is_for_me(self, msg: isotp.CanMessage) -> bool:
            if msg.data == b"\x01\xee":
                raise KeyError("in is_for_me")
            return super().is_for_me(msg)

    layer.set_address(Failing(txid=0x456, rxid=0x123))
    bus.put("01 EE", "01 AA")
    with pytest.raises(KeyError):
        layer.process()
    layer.process()
    assert layer.recv() == b"\xaa"

    reported = threading.Event()
    layer.error_handler = lambda error: reported.set()
    layer.start()
    bus.put("01 EE", "01 BB")
    assert receive(layer) == b"\xbb"
    assert reported.is_set()


# --- rxfn and txfn of all kinds -----------------------------------------------------------------------------


class Reader:
    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    def __call__(self, timeout: float) -> isotp.CanMessage | None:
        return self.bus.recv(timeout)


class Poller(Reader):
    def __call__(self) -> isotp.CanMessage | None:  # type: ignore[override]
        return self.bus.recv()


class Writer(Reader):
    def __call__(self, message: isotp.CanMessage) -> None:  # type: ignore[override]
        self.bus.send(message)


def read_from(bus: Bus, timeout: float) -> isotp.CanMessage | None:
    return bus.recv(timeout)


def read_later(timeout: float, *, bus: Bus) -> isotp.CanMessage | None:
    return bus.recv(timeout)


def write_to(bus: Bus, message: isotp.CanMessage) -> None:
    bus.send(message)


class Static:
    bus: Bus

    @staticmethod
    def static(timeout: float) -> isotp.CanMessage | None:
        return Static.bus.recv(timeout)

    @classmethod
    def of_class(cls, timeout: float) -> isotp.CanMessage | None:
        return cls.bus.recv(timeout)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


RXFNS: dict[str, tuple[Callable[[Bus], Callable[..., Any]], bool]] = {
    "function": (lambda bus: lambda timeout: bus.recv(timeout), True),
    "function_without_parameter": (lambda bus: lambda: bus.recv(), False),
    "function_with_default": (lambda bus: lambda timeout=0.0: bus.recv(timeout), True),
    "function_with_none": (lambda bus: lambda timeout=None: bus.recv(timeout or 0), True),
    "function_of_any": (lambda bus: lambda *args: bus.recv(*args), True),
    "function_of_keywords": (lambda bus: lambda **kwargs: bus.recv(**kwargs), False),
    "handle_as_default": (lambda bus: lambda hardware=bus: hardware.recv(), False),
    "method": (lambda bus: bus.recv, True),
    "method_without_parameter": (lambda bus: bus.poll, False),
    "static_method": (lambda bus: Static.static, True),
    "class_method": (lambda bus: Static.of_class, True),
    "object": (Reader, True),
    "object_without_parameter": (Poller, False),
    "partial": (lambda bus: functools.partial(read_from, bus), True),
    "partial_by_name": (lambda bus: functools.partial(read_later, bus=bus), True),
    "partial_without_parameter": (lambda bus: functools.partial(bus.recv, 0.0), False),
    "partial_of_a_method": (lambda bus: functools.partial(Bus.recv, bus), True),
    "partial_of_timeout": (lambda bus: functools.partial(bus.recv, timeout=0.0), False),
    "decorated": (lambda bus: decorated(bus.recv), True),
    "decorated_without_parameter": (lambda bus: decorated(bus.poll), False),
}


@pytest.mark.parametrize("started", [False, True], ids=["polled", "started"])
@pytest.mark.parametrize("kind", RXFNS)
def test_rxfn(bus: Bus, kind: str, started: bool) -> None:
    make, blocking = RXFNS[kind]
    Static.bus = bus
    rxfn = make(bus)
    errors: list[Exception] = []
    layer = isotp.TransportLayer(rxfn, bus.send, HERE, errors.append, read_timeout=0.01)
    assert layer.rxfn == rxfn
    assert layer.blocking_rxfn is blocking
    if started:
        layer.start()
    try:
        for k in range(3):
            bus.put(f"01 {k:02X}")
            if not started:
                layer.process(rx_timeout=0.001)
            assert receive(layer) == bytes([k])
        assert errors == []
    finally:
        layer.stop()


TXFNS: dict[str, Callable[[Bus], Callable[..., Any]]] = {
    "function": lambda bus: lambda message: bus.send(message),
    "method": lambda bus: bus.send,
    "built_in": lambda bus: bus.sent.put,
    "object": Writer,
    "partial": lambda bus: functools.partial(write_to, bus),
    "partial_of_a_method": lambda bus: functools.partial(Bus.send, bus),
    "function_that_returns": lambda bus: lambda message: (bus.send(message), True),
}


@pytest.mark.parametrize("started", [False, True], ids=["polled", "started"])
@pytest.mark.parametrize("kind", TXFNS)
def test_txfn(bus: Bus, kind: str, started: bool) -> None:
    txfn = TXFNS[kind](bus)
    layer = isotp.TransportLayer(bus.recv, txfn, HERE, read_timeout=0.01)
    assert layer.txfn == txfn
    if started:
        layer.start()
    try:
        layer.send(b"\xaa")
        if not started:
            layer.process()
        assert bus.take() == b"\x01\xaa"
    finally:
        layer.stop()


@pytest.mark.parametrize("wrong", [None, 5, "rxfn"], ids=repr)
def test_rxfn_that_can_not_be_called(bus: Bus, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        isotp.TransportLayer(wrong, bus.send, HERE)
    assert repr(wrong) in str(refused.value)


# --- Attributes replaced at run time ------------------------------------------------------------------------


@pytest.mark.parametrize("started", [False, True], ids=["polled", "started"])
def test_replacing_rxfn_and_txfn(bus: Bus, layer: isotp.TransportLayer, started: bool) -> None:
    """Also by one of the other generation."""
    if started:
        layer.start()
    for rxfn in ("poll", "recv", "poll", "recv"):
        other = Bus()
        layer.rxfn = getattr(other, rxfn)
        layer.txfn = other.send
        assert layer.blocking_rxfn is (rxfn == "recv")
        other.put("01 AA")
        layer.send(b"\xbb")
        if not started:
            layer.process()
        assert receive(layer) == b"\xaa"
        assert other.take() == b"\x01\xbb"
    assert bus.sent.empty()


@pytest.mark.parametrize("started", [False, True], ids=["polled", "started"])
def test_replacing_the_error_handler(bus: Bus, layer: isotp.TransportLayer, started: bool) -> None:
    if started:
        layer.start()
    for _ in range(2):
        errors: queue.Queue[Exception] = queue.Queue()
        layer.error_handler = errors.put
        bus.put("21 00")
        if not started:
            layer.process()
        assert isinstance(errors.get(timeout=PATIENCE), isotp.UnexpectedConsecutiveFrameError)
    layer.error_handler = None
    bus.put("21 00", "01 AA")
    if not started:
        layer.process()
    assert receive(layer) == b"\xaa"
    assert errors.empty()


def test_error_handler_that_can_not_be_called(
    bus: Bus, layer: isotp.TransportLayer, caplog: pytest.LogCaptureFixture
) -> None:
    layer.error_handler = "no function"  # type: ignore[assignment]
    bus.put("21 00", "01 AA")
    layer.process()
    assert layer.recv() == b"\xaa"
    assert "'no function'" in caplog.text


def test_replacing_a_method(bus: Bus, layer: isotp.TransportLayer) -> None:
    """As unittest.mock.patch.object() does."""
    sent: list[Any] = []
    original = layer.send
    layer.send = sent.append  # type: ignore[method-assign, assignment]
    layer.send(b"\xaa")
    assert sent == [b"\xaa"]
    del layer.send  # type: ignore[method-assign]
    assert layer.send == original
    layer.send(b"\xbb")
    layer.process()
    assert bus.take() == b"\x01\xbb"


def flow_control(bus: Bus, layer: isotp.TransportLayer, started: bool) -> bytes:
    """The Flow Control that a First Frame gets as its answer."""
    layer.stop_receiving()
    bus.put(FIRST_FRAME)
    if not started:
        layer.process()
    return bus.take()


@pytest.mark.parametrize("started", [False, True], ids=["polled", "started"])
def test_changing_parameters(bus: Bus, layer: isotp.TransportLayer, started: bool) -> None:
    if started:
        layer.start()
    assert flow_control(bus, layer, started) == b"\x30\x08\x00"
    layer.params.set("stmin", 5)
    assert flow_control(bus, layer, started) == b"\x30\x08\x05"
    layer.params.blocksize = 2
    assert flow_control(bus, layer, started) == b"\x30\x02\x05"
    layer.params.set("tx_padding", 0x55)
    assert flow_control(bus, layer, started) == b"\x30\x02\x05" + b"\x55" * 5
    with pytest.raises(ValueError, match="256"):
        layer.params.set("tx_padding", 256)
    assert flow_control(bus, layer, started) == b"\x30\x02\x05" + b"\x55" * 5
    layer.params.update({"tx_padding": None, "stmin": 0, "blocksize": 0})
    assert flow_control(bus, layer, started) == b"\x30\x00\x00"


@pytest.mark.parametrize("started", [False, True], ids=["polled", "started"])
def test_replacing_all_parameters(bus: Bus, layer: isotp.TransportLayer, started: bool) -> None:
    if started:
        layer.start()
    old = layer.params
    new = isotp.TransportLayer.Params()
    new.stmin = 7
    layer.params = new
    assert layer.params is new
    assert flow_control(bus, layer, started) == b"\x30\x08\x07"
    new.stmin = 8
    assert flow_control(bus, layer, started) == b"\x30\x08\x08"
    old.stmin = 9
    assert flow_control(bus, layer, started) == b"\x30\x08\x08"


def test_parameters_of_two_layers(bus: Bus, layer: isotp.TransportLayer) -> None:
    """Shared by both, a change counts for both."""
    second_bus = Bus()
    second = isotp.TransportLayer(second_bus.recv, second_bus.send, HERE)
    second.params = layer.params
    assert flow_control(bus, layer, False) == b"\x30\x08\x00"
    assert flow_control(second_bus, second, False) == b"\x30\x08\x00"
    layer.params.stmin = 5
    assert flow_control(bus, layer, False) == b"\x30\x08\x05"
    assert flow_control(second_bus, second, False) == b"\x30\x08\x05"


def test_parameters_change_amid_a_message(bus: Bus, layer: isotp.TransportLayer) -> None:
    layer.send(bytes(30))
    layer.process()
    assert bus.take() == b"\x10\x1e" + bytes(6)
    layer.params.set("tx_padding", 0xAA)
    bus.put("30 01 00")
    layer.process()
    assert bus.take() == b"\x21" + bytes(7)
    layer.params.set("tx_data_length", 64)
    bus.put("30 00 00")
    layer.process()
    assert [bus.take() for _ in range(3)] == [
        b"\x22" + bytes(7),
        b"\x23" + bytes(7),
        b"\x24" + bytes(3) + b"\xaa" * 4,
    ]
    assert not layer.transmitting()


def test_load_params(bus: Bus, layer: isotp.TransportLayer) -> None:
    layer.params.rate_limit_enable = True
    layer.params.rate_limit_max_bitrate = 1000
    layer.params.rate_limit_window_size = 0.5
    assert not layer.rate_limiter.enabled
    layer.load_params()
    assert layer.rate_limiter.enabled
    assert layer.rate_limiter.allowed_bytes() == 62
    layer.params.rate_limit_enable = False
    layer.load_params()
    assert not layer.rate_limiter.enabled
    layer.params.stmin = -1
    with pytest.raises(ValueError, match="-1"):
        layer.load_params()
    layer.params.stmin = 1
    layer.load_params()
    assert flow_control(bus, layer, False) == b"\x30\x08\x01"


def test_parameter_that_is_assigned_an_impossible_value(bus: Bus, layer: isotp.TransportLayer) -> None:
    """Assigning does not check; the next use says what is wrong, each time, until it is mended."""
    layer.params.tx_data_length = 9
    for use in (layer.process, lambda: layer.send(b"\xaa"), layer.load_params):
        with pytest.raises(ValueError, match="tx_data_length"):
            use()
    layer.params.tx_data_length = 8
    layer.send(b"\xaa")
    layer.process()
    assert bus.take() == b"\x01\xaa"


def test_address_can_be_changed_while_started(bus: Bus, layer: isotp.TransportLayer) -> None:
    layer.start()
    bus.put("01 AA")
    assert receive(layer) == b"\xaa"
    layer.set_address(isotp.Address(txid=0x700, rxid=0x701))
    bus.to_read.put(frame("01 BB"))
    bus.to_read.put(frame("01 CC", 0x701))
    assert receive(layer) == b"\xcc"
    layer.send(b"\xdd")
    assert bus.sent.get(timeout=PATIENCE).arbitration_id == 0x700
    layer.address = HERE
    with pytest.raises(ValueError, match="address"):
        layer.address = 0x123  # type: ignore[assignment]
    assert layer.address is HERE


# --- Copies -------------------------------------------------------------------------------------------------

COPIERS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle_{protocol}": lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}

MODE = isotp.AddressingMode
ADDRESSES: dict[str, AbstractAddress] = {
    "normal": HERE,
    "normal_29": isotp.Address(MODE.Normal_29bits, txid=0x1ABCDEF0, rxid=0x1ABCDEF1),
    "normal_fixed": isotp.Address(MODE.NormalFixed_29bits, target_address=0x33, source_address=0xF1),
    "fixed_with_ids": isotp.Address(
        MODE.NormalFixed_29bits,
        target_address=0x33,
        source_address=0xF1,
        physical_id=0x1CDA0000,
        functional_id=0x1CDB0000,
    ),
    "extended": isotp.Address(
        MODE.Extended_11bits, txid=0x456, rxid=0x123, target_address=1, source_address=2
    ),
    "mixed_11": isotp.Address(MODE.Mixed_11bits, txid=0x456, rxid=0x123, address_extension=0x99),
    "mixed_29": isotp.Address(MODE.Mixed_29bits, target_address=1, source_address=2, address_extension=0x99),
    "tx_only": isotp.Address(MODE.Normal_11bits, txid=0x456, tx_only=True),
    "subclass": Several(txid=0x456, rxid=0x123, others=(0x7DF,)),
    "asymmetric": isotp.AsymmetricAddress(
        tx_addr=isotp.Address(MODE.Normal_11bits, txid=0x456, tx_only=True),
        rx_addr=isotp.Address(MODE.Normal_29bits, rxid=0x123, rx_only=True),
    ),
}


@pytest.mark.parametrize("copier", COPIERS)
@pytest.mark.parametrize("name", ADDRESSES)
def test_copies_of_addresses(name: str, copier: str) -> None:
    address = ADDRESSES[name]
    twin = COPIERS[copier](address)
    assert type(twin) is type(address)
    assert twin == address
    assert hash(twin) == hash(address)
    assert repr(twin).split(" at 0x")[0] == repr(address).split(" at 0x")[0]
    if address.is_partial_address():
        assert twin.get_tx_arbitration_id() == 0x456
        return
    bus, twin_bus = Bus(), Bus()
    for one, its_bus in ((address, bus), (twin, twin_bus)):
        layer = isotp.TransportLayer(its_bus.recv, its_bus.send, one)
        layer.send(b"\xaa")
        layer.process()
    sent, twin_sent = bus.sent.get(), twin_bus.sent.get()
    assert (sent.arbitration_id, sent.data) == (twin_sent.arbitration_id, twin_sent.data)


@pytest.mark.parametrize("name", ADDRESSES)
def test_addresses_differ(name: str) -> None:
    others = [address for other, address in ADDRESSES.items() if other not in (name, "subclass")]
    if name != "subclass":
        assert ADDRESSES[name] not in others
        assert len({ADDRESSES[name], *others}) == len(others) + 1
    assert ADDRESSES[name] != name


@pytest.mark.parametrize("copier", COPIERS)
@pytest.mark.parametrize(
    "message",
    [
        isotp.CanMessage(),
        isotp.CanMessage(0x7FF, 3, b"abc"),
        isotp.CanMessage(0x1FFFFFFF, 15, bytes(range(64)), extended_id=True, is_fd=True, bitrate_switch=True),
        isotp.CanMessage(None, None, None),
        isotp.CanMessage(-1, 300, bytearray(b"abc")),
    ],
    ids=["empty", "classic", "fd", "none", "odd"],
)
def test_copies_of_can_message(message: isotp.CanMessage, copier: str) -> None:
    twin = COPIERS[copier](message)
    assert type(twin) is isotp.CanMessage
    for name in ("arbitration_id", "dlc", "data", "is_extended_id", "is_fd", "bitrate_switch"):
        assert getattr(twin, name) == getattr(message, name), name
    assert type(twin.data) is type(message.data)
    assert twin != message  # as in can-isotp: a frame equals itself only


def test_copies_of_a_frame_that_was_sent(bus: Bus, layer: isotp.TransportLayer) -> None:
    """Its data is in another place until somebody looks."""
    layer.send(b"abc")
    layer.process()
    message = bus.sent.get()
    twin = copy.copy(message)
    layer.send(b"xyz")
    layer.process()
    assert twin.data == message.data == b"\x03abc"
    assert pickle.loads(pickle.dumps(bus.sent.get())).data == b"\x03xyz"


@pytest.mark.parametrize("copier", COPIERS)
def test_copies_of_parameters_in_use(bus: Bus, layer: isotp.TransportLayer, copier: str) -> None:
    """They are independent of the layer, whose own they can become again."""
    layer.params.set("stmin", 5)
    twin = COPIERS[copier](layer.params)
    assert twin == layer.params
    twin.stmin = 6
    assert layer.params.stmin == 5
    assert flow_control(bus, layer, False) == b"\x30\x08\x05"
    layer.params = twin
    assert flow_control(bus, layer, False) == b"\x30\x08\x06"


# --- repr ---------------------------------------------------------------------------------------------------


def test_repr_of_a_layer(bus: Bus, layer: isotp.TransportLayer) -> None:
    assert repr(layer) == (
        f"<TransportLayer [Normal_11bits - txid:0x456, rxid:0x123] rx:IDLE tx:IDLE at 0x{id(layer):x}>"
    )
    layer.send(bytes(100))
    bus.put(FIRST_FRAME)
    layer.process()
    assert "rx:WAIT_CF tx:WAIT_FC" in repr(layer)
    layer.start()
    layer.stop()
    assert "rx:IDLE tx:IDLE" in repr(layer)


def test_repr_of_what_a_layer_has(layer: isotp.TransportLayer) -> None:
    layer.params.set("stmin", 5)
    assert repr(layer.params) == "Params(stmin=5)"
    layer.send(bytes(3))
    assert "1 items" in repr(layer.tx_queue)
    request = isotp.TransportLayer.SendRequest(b"abc")
    assert repr(request) == "<SendRequest of 3 bytes, 0 sent, pending>"
    request.complete(True)
    assert "sent>" in repr(request)
    assert repr(layer.process()) == "<ProcessStats received:0 (processed: 0, sent: 1)>"
    assert repr(HERE) == "Address(AddressingMode.Normal_11bits, txid=0x456, rxid=0x123)"
    assert "456" in repr(ADDRESSES["asymmetric"])
    assert repr(MODE.Normal_11bits) == "<AddressingMode.Normal_11bits: 0>"
