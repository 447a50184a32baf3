"""The types around the engine: CanMessage, PDU, MessageQueue, SendRequest, ProcessStats, driven layers."""

from __future__ import annotations

import copy
import io
import pickle
import queue
import sys
import threading
import weakref
from typing import Any

import pytest

import isotp
from isotp import errors
from isotp._core import MessageQueue, dlc_of, monotonic_ns, nearest_can_fd_size
from isotp.protocol import PDU
from tests.frames import HERE, SECOND, THERE, Bench, counted, frame, octets

CTS = "30 00 00"

FIELDS = ("arbitration_id", "dlc", "data", "is_extended_id", "is_fd", "bitrate_switch")


def fields(message: Any) -> tuple[Any, ...]:
    return tuple(getattr(message, name) for name in FIELDS)


def sent_message(data: bytes = b"abc") -> isotp.CanMessage:
    """A message as a layer makes it."""
    bench = Bench()
    bench.layer.send(data)
    bench.layer.process()
    return bench.messages[0]


class OwnMessage(isotp.CanMessage):
    """A subclass as users write them: with attributes of its own."""

    channel = "vcan0"


# --- CanMessage ---------------------------------------------------------------------------------------------


def test_can_message_defaults() -> None:
    assert fields(isotp.CanMessage()) == (0, 0, b"", False, False, False)


def test_can_message_by_position_and_by_name() -> None:
    expected = (0x123, 3, b"abc", True, True, True)
    assert fields(isotp.CanMessage(0x123, 3, b"abc", True, True, True)) == expected
    assert (
        fields(
            isotp.CanMessage(
                arbitration_id=0x123, dlc=3, data=b"abc", extended_id=True, is_fd=True, bitrate_switch=True
            )
        )
        == expected
    )
    with pytest.raises(TypeError, match="is_extended_id"):
        isotp.CanMessage(is_extended_id=True)


@pytest.mark.parametrize(
    "message", [isotp.CanMessage(), sent_message(), OwnMessage()], ids=["new", "sent", "own"]
)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("arbitration_id", [0, 0x7FF, 0x1FFFFFFF, 0x7FFFFFFE, 0x7FFFFFFF, 1 << 40, -1, None, "x", 1.5, True]),
        ("dlc", [0, 15, 254, 255, 256, -1, None, "x"]),
        ("data", [b"", b"abc", bytearray(b"x"), [1, 2], None, "text", bytes(100)]),
        ("is_extended_id", [True, False]),
        ("is_fd", [True, False]),
        ("bitrate_switch", [True, False]),
    ],
)
def test_can_message_keeps_what_it_is_given(message: isotp.CanMessage, name: str, values: list[Any]) -> None:
    others = [other for other in FIELDS if other != name]
    before = [getattr(message, other) for other in others]
    for value in values:
        setattr(message, name, value)
        assert getattr(message, name) == value
        if name == "data":
            assert message.data is value
    assert [getattr(message, other) for other in others] == before


def test_can_message_has_no_other_attributes() -> None:
    message = isotp.CanMessage()
    with pytest.raises(AttributeError):
        message.channel = 1.0
    assert OwnMessage().channel == "vcan0"
    own = OwnMessage()
    own.timestamp = 1.0
    assert own.timestamp == 1.0


def test_can_message_compares_by_identity() -> None:
    a, b = isotp.CanMessage(1, data=b"a"), isotp.CanMessage(1, data=b"a")
    assert a != b
    assert a == a
    assert len({a, b}) == 2


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            isotp.CanMessage(0x123, 3, b"abc", is_fd=True, bitrate_switch=True),
            '<CanMessage 123 [3] (fd,bs) "616263" at 0x',
        ),
        (isotp.CanMessage(0x12, 3, b"abc", True, is_fd=True), '<CanMessage 00000012 [3] (fd) "616263" at 0x'),
        (isotp.CanMessage(0x1, 2, b"\x00\xff"), '<CanMessage 001 [2]  "00ff" at 0x'),
        (isotp.CanMessage(1, 0, bytes(64)), f'<CanMessage 001 [0]  "{"00" * 64}" at 0x'),
        (isotp.CanMessage(1, 0, bytes(65)), f'<CanMessage 001 [0]  "{"00" * 64}..." at 0x'),
        (isotp.CanMessage(None, None, None), '<CanMessage None [None]  "" at 0x'),
        (isotp.CanMessage(1, 0, [1, 2]), '<CanMessage 001 [0]  "0102" at 0x'),
        (OwnMessage(1), '<OwnMessage 001 [0]  "" at 0x'),
        (sent_message(), '<CanMessage 123 [4]  "03616263" at 0x'),
    ],
)
def test_can_message_repr(message: isotp.CanMessage, expected: str) -> None:
    assert repr(message).startswith(expected)
    assert repr(message).endswith(f"{id(message):x}>")


@pytest.mark.parametrize(
    "message",
    [
        isotp.CanMessage(0x123, 3, b"abc", True, True, True),
        isotp.CanMessage(None, "x", [1, 2]),
        sent_message(),
        OwnMessage(7),
    ],
    ids=["full", "loose", "sent", "own"],
)
def test_can_message_copied_and_pickled(message: isotp.CanMessage) -> None:
    if isinstance(message, OwnMessage):
        message.note = "kept"
    for twin in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert type(twin) is type(message)
        assert fields(twin) == fields(message)
        assert (
            vars(twin) == {"note": "kept"}
            if isinstance(message, OwnMessage)
            else not hasattr(twin, "__dict__")
        )


def test_can_message_init_again() -> None:
    message = isotp.CanMessage(0x123, 3, b"abc", True, True, True)
    message.__init__(0x7, 1, b"x")  # type: ignore[misc]
    assert fields(message) == (0x7, 1, b"x", False, False, False)


def test_can_message_signature_is_told() -> None:
    import inspect

    assert list(inspect.signature(isotp.CanMessage).parameters) == [
        "arbitration_id",
        "dlc",
        "data",
        "extended_id",
        "is_fd",
        "bitrate_switch",
    ]


def test_data_that_was_sent_can_be_replaced() -> None:
    message = sent_message()
    assert message.data == b"\x03abc"
    assert message.data is message.data
    message = sent_message()
    message.data = b"\x01x"
    assert message.data == b"\x01x"
    bench = Bench(isotp.Address(isotp.AddressingMode.Normal_11bits, txid=1, rxid=0x123))
    bench.hear(message)
    assert bench.received() == [b"x"]


def test_data_of_a_consecutive_frame_that_was_sent_can_be_replaced() -> None:
    """As a gateway does: it is not what the frame was made of that counts."""
    sender = Bench(THERE)
    sender.say(counted(20))
    sender.arrive("30 00 00")
    sender.layer.process()
    message = sender.messages[0]
    bench = Bench()
    bench.hear("10 14 00 01 02 03 04 05")
    message.data = octets("21 AA*7")
    bench.hear(message, "22 BB*7")
    assert bench.received() == [octets("00 01 02 03 04 05 AA*7 BB*7")]


def test_can_message_references_are_counted_right() -> None:
    class Payload(bytes):
        pass

    payload = Payload(b"\x01\x07")
    before = sys.getrefcount(payload)
    messages = [isotp.CanMessage(0x456, data=payload) for _ in range(10)]
    bench = Bench()
    bench.hear(*messages)
    assert len(bench.received()) == 10
    del messages
    assert sys.getrefcount(payload) == before


# --- PDU ----------------------------------------------------------------------------------------------------


def pdu(text: str, start: int = 0) -> PDU:
    return PDU(frame(text), start)


def test_pdu_single_frame() -> None:
    single = pdu("03 61 62 63 CC")
    assert (single.type, single.length, single.data, single.escape_sequence) == (
        PDU.Type.SINGLE_FRAME,
        3,
        b"abc",
        False,
    )
    assert (single.can_dl, single.rx_dl, single.name()) == (5, 8, "SINGLE_FRAME")
    assert (single.seqnum, single.blocksize, single.stmin, single.flow_status) == (None,) * 4
    escaped = pdu("99 00 03 61 62 63 00*6", 1)
    assert (escaped.length, escaped.data, escaped.escape_sequence, escaped.rx_dl) == (3, b"abc", True, 12)


def test_pdu_first_frame() -> None:
    first = pdu("11 23 61 62 63 64 65 66")
    assert (first.type, first.length, first.data, first.escape_sequence) == (1, 0x123, b"abcdef", False)
    assert first.name() == "FIRST_FRAME"
    escaped = pdu("10 00 FF FF FF FE 61 62")
    assert (escaped.length, escaped.data, escaped.escape_sequence) == (0xFFFFFFFE, b"ab", True)
    assert pdu("10 02 61 62 63 64 65 66").data == b"ab"


def test_pdu_consecutive_frame() -> None:
    consecutive = pdu("2A 61 62")
    assert (consecutive.type, consecutive.seqnum, consecutive.data) == (PDU.Type.CONSECUTIVE_FRAME, 10, b"ab")
    assert consecutive.name() == "CONSECUTIVE_FRAME"


@pytest.mark.parametrize(
    ("stmin", "seconds"), [(0, 0), (1, 0.001), (0x7F, 0.127), (0xF1, 0.0001), (0xF9, 0.0009)]
)
def test_pdu_flow_control(stmin: int, seconds: float) -> None:
    for status in (PDU.FlowStatus.ContinueToSend, PDU.FlowStatus.Wait, PDU.FlowStatus.Overflow):
        control = PDU(isotp.CanMessage(data=PDU.craft_flow_control_data(status, 8, stmin)))
        assert (control.type, control.flow_status, control.blocksize) == (PDU.Type.FLOW_CONTROL, status, 8)
        assert (control.stmin, control.stmin_sec, control.name()) == (stmin, seconds, "FLOW_CONTROL")
        assert control.data == b""


@pytest.mark.parametrize(
    "text",
    [
        "456#",
        "00",
        "00 00",
        "05 61",
        "10",
        "10 00 00 00 01",
        "10 00 00 00 00 00",
        "30",
        "30 00",
        "33 00 00",
        "30 00 80",
        "40",
    ],
)
def test_pdu_of_a_malformed_frame(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        pdu(text)


@pytest.mark.parametrize("start", [-1, 3, 100])
def test_pdu_that_starts_outside_of_its_frame(start: int) -> None:
    with pytest.raises(ValueError, match=str(start)):
        pdu("01 00", start)


def test_pdu_of_data_of_all_kinds() -> None:
    for data in (bytearray(b"\x01a"), [1, 97], memoryview(b"\x01a")):
        assert PDU(isotp.CanMessage(data=data)).data == b"a"
    assert PDU(isotp.CanMessage(data=b"\x21" + bytes(200))).can_dl == 201


@pytest.mark.parametrize("data", [5, 1 << 40, True])
def test_a_number_is_no_data_of_a_pdu(data: Any) -> None:
    """bytes() would make as many zeros of it, or end the memory."""
    with pytest.raises(TypeError, match=rf"must be bytes, not {data!r}"):
        PDU(isotp.CanMessage(data=data))


@pytest.mark.parametrize("values", [(16, 0, 0), (0, 256, 0), (0, 0, -1)])
def test_craft_flow_control_data_refuses_what_does_not_fit(values: tuple[int, int, int]) -> None:
    bad = next(value for value in values if value)
    with pytest.raises(ValueError, match=str(bad)):
        PDU.craft_flow_control_data(*values)


# --- Lengths and clock --------------------------------------------------------------------------------------


def test_lengths() -> None:
    lengths = [*range(9), 12, 16, 20, 24, 32, 48, 64]
    for size in range(65):
        assert nearest_can_fd_size(size) == next(length for length in lengths if length >= size)
        if size in lengths:
            assert dlc_of(size) == lengths.index(size)
        else:
            with pytest.raises(ValueError, match=str(size)):
                dlc_of(size)
    for size in (-1, 65, 1 << 40):
        for function in (nearest_can_fd_size, dlc_of):
            with pytest.raises(ValueError, match=str(size)):
                function(size)


def test_clock_is_that_of_the_system() -> None:
    import time

    a, b, c = time.perf_counter_ns(), monotonic_ns(), time.perf_counter_ns()
    assert a <= b <= c


# --- MessageQueue -------------------------------------------------------------------------------------------


def test_queue_is_first_in_first_out() -> None:
    items = MessageQueue()
    assert items.empty()
    expected: list[int] = []
    taken: list[int] = []
    for k in range(200):  # grows, and wraps while it does
        items.put(k)
        expected.append(k)
        if k % 3 == 0:
            taken.append(items.get_nowait())
    assert items.qsize() == len(items) == 200 - len(taken)
    while not items.empty():
        taken.append(items.get())
    assert taken == expected
    assert not items.full()


def test_queue_without_items() -> None:
    items = MessageQueue()
    with pytest.raises(queue.Empty):
        items.get_nowait()
    with pytest.raises(queue.Empty):
        items.get(block=False)
    with pytest.raises(queue.Empty):
        items.get(timeout=0)
    with pytest.raises(queue.Empty):
        items.get(timeout=0.001)
    with pytest.raises(ValueError, match="-2"):
        items.get(timeout=-2)
    with pytest.raises(ValueError, match="None"):
        items.put(None)


def test_queue_clear_repr_and_length() -> None:
    items = MessageQueue()
    items.put_nowait("a")
    items.put("b", block=True, timeout=1)
    assert repr(items).startswith("<MessageQueue of 2 items at 0x")
    items.clear()
    assert len(items) == 0


def test_queue_wakes_who_waits() -> None:
    items = MessageQueue()
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(items.get(timeout=20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for k in range(4):
        items.put(k)
    for thread in threads:
        thread.join(20)
    assert sorted(got) == [0, 1, 2, 3]


def test_queue_between_threads_loses_nothing() -> None:
    items = MessageQueue()
    got: list[int] = []

    def consume() -> None:
        while (item := items.get(timeout=20)) >= 0:
            got.append(item)

    consumers = [threading.Thread(target=consume) for _ in range(3)]
    producers = [
        threading.Thread(target=lambda base=base: [items.put(base + k) for k in range(2000)])
        for base in (0, 2000, 4000)
    ]
    for thread in (*consumers, *producers):
        thread.start()
    for thread in producers:
        thread.join(60)
    for _ in consumers:
        items.put(-1)
    for thread in consumers:
        thread.join(60)
    assert sorted(got) == list(range(6000))


def test_queue_frees_its_items() -> None:
    class Item:
        pass

    items = MessageQueue()
    kept = [Item() for _ in range(20)]
    for item in kept:
        items.put(item)
    for _ in range(5):
        items.get()
    refs = [weakref.ref(item) for item in kept]
    del kept, item, items
    assert [ref() for ref in refs] == [None] * 20


# --- SendRequest, ProcessStats ------------------------------------------------------------------------------


def test_send_request_of_bytes() -> None:
    request = isotp.TransportLayerLogic.SendRequest(b"abc")
    assert (request.total_length, request.consumed_size, request.success, request.failure) == (
        3,
        0,
        None,
        None,
    )
    assert request.target_address_type is isotp.TargetAddressType.Physical
    assert list(request.generator) == [97, 98, 99]
    assert repr(request) == "<SendRequest of 3 bytes, 0 sent, pending>"


def test_send_request_of_a_generator() -> None:
    source = iter(b"abc")
    request = isotp.TransportLayerLogic.SendRequest((source, 3), isotp.TargetAddressType.Functional)
    assert request.generator is source
    assert request.target_address_type is isotp.TargetAddressType.Functional
    with pytest.raises(ValueError, match="7"):
        isotp.TransportLayerLogic.SendRequest(b"abc", 7)
    with pytest.raises(ValueError, match="-1"):
        isotp.TransportLayerLogic.SendRequest((source, -1))


@pytest.mark.parametrize(
    "data", [b"B", (iter(b"B"), 1), io.BytesIO(b"B")], ids=["bytes", "generator", "file"]
)
@pytest.mark.parametrize("when", ["new", "queued", "sent in part", "done"])
def test_send_request_is_made_once(when: str, data: Any) -> None:
    """A transmitter may point at what it holds: it does not change any more."""
    requests: list[Any] = []
    bench = Bench()
    bench.layer.post_send_callback = requests.append
    payload = bytes(bytearray(b"A" * 400))
    if when == "new":
        requests.append(isotp.TransportLayerLogic.SendRequest(payload))
    else:
        bench.layer.send(payload)
    del payload
    sent = bench.run() if when in ("sent in part", "done") else []
    sent += bench.hear(CTS) if when == "done" else []
    requests[0].__init__(data)
    assert requests[0].total_length == 400
    assert requests[0].target_address_type is isotp.TargetAddressType.Physical
    if when != "new":
        sent += bench.run()
        sent += bench.hear(CTS) if when != "done" else []
        assert b"".join(octets(text)[1:] for text in sent)[1:401] == b"A" * 400
        assert requests[0].success


def test_send_request_that_was_refused_may_be_made_again() -> None:
    request = isotp.TransportLayerLogic.SendRequest.__new__(isotp.TransportLayerLogic.SendRequest)
    with pytest.raises(ValueError, match="size of a generated payload"):
        request.__init__((io.BytesIO(b"abc"), 1 << 99))
    request.__init__(b"abc")
    assert (request.total_length, list(request.generator)) == (3, [97, 98, 99])


def test_send_request_in_the_queues_of_two_layers() -> None:
    """Nobody should; each of them sends of the file what it gets, and has it for itself."""
    file = io.BytesIO(b"A" * 100_000 + b"B" * 100_000)
    request = isotp.TransportLayerLogic.SendRequest((file, 60_000))
    one, other = Bench(), Bench()
    one.layer.tx_queue.put(request)
    other.layer.tx_queue.put(request)
    sent = one.run()
    other.run()
    junk = [bytes(bytearray(b"Z" * 65_536)) for _ in range(20)]
    for _ in range(200):
        sent += one.hear(CTS)
    assert junk[0][:1] == b"Z"
    assert set(b"".join(octets(text)[1:] for text in sent[1:])) <= set(b"AB")


def test_send_request_can_not_be_pickled() -> None:
    """It belongs to a queue; and what a pickle says of its size would be believed."""
    request = isotp.TransportLayerLogic.SendRequest(b"abc")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(request, protocol)
    with pytest.raises(TypeError):
        copy.copy(request)


@pytest.mark.parametrize("success", [True, False])
def test_send_request_completed(success: bool) -> None:
    before = isotp.TransportLayerLogic.SendRequest(b"abc")
    event = before.complete_event
    assert isinstance(event, threading.Event)
    assert before.complete_event is event
    assert not event.is_set()
    before.complete(success)
    assert event.is_set()
    after = isotp.TransportLayerLogic.SendRequest(b"abc")
    after.complete(success)
    assert after.complete_event.is_set()
    assert after.success is success
    assert ("sent>" in repr(after)) is success
    assert ("failed" in repr(after)) is not success


def test_process_stats() -> None:
    stats = isotp.TransportLayerLogic.ProcessStats(received=1, received_processed=2, sent=3, frame_received=4)
    assert repr(stats) == "<ProcessStats received:1 (processed: 2, sent: 3)>"
    assert stats == isotp.TransportLayerLogic.ProcessStats(1, 2, 3, 4)
    assert hash(stats) == hash(isotp.TransportLayerLogic.ProcessStats(1, 2, 3, 4))
    assert stats != isotp.TransportLayerLogic.ProcessStats(1, 2, 3, 5)
    assert stats != (1, 2, 3, 4)
    with pytest.raises(AttributeError):
        stats.sent = 5  # type: ignore[misc]


def test_reports() -> None:
    logic = isotp.TransportLayerLogic
    assert logic.ProcessRxReport(True, False) == logic.ProcessRxReport(
        immediate_tx_required=True, frame_received=False
    )
    assert logic.ProcessTxReport(None, True).msg is None


# --- A started layer, without its thread --------------------------------------------------------------------


class Driven(Bench):
    """A layer in the state of a started one; the test is its driver: brings frames, looks at deadlines."""

    def __init__(self, **params: Any) -> None:
        super().__init__(HERE, **params)
        self.wakes: list[int] = []
        self.layer._set_driven(True, self.wakes.append)

    def feed(self, *frames: str) -> list[str]:
        for text in frames:
            self.layer._feed(self.frame(text))
        return self.sent()


def test_driven_layer_acts_on_each_event() -> None:
    bench = Driven()
    assert bench.feed("10 0A 00 01 02 03 04 05") == ["30 08 00"]
    bench.feed("21 06 07 08 09")
    assert bench.received() == [bytes(range(10))]
    bench.layer.send(counted(10))
    assert bench.sent() == ["10 0A 00 01 02 03 04 05"]
    assert bench.feed("30 00 00") == ["21 06 07 08 09"]


def test_driven_layer_is_not_for_polling() -> None:
    bench = Driven()
    with pytest.raises(RuntimeError, match="process"):
        bench.layer.process()
    with pytest.raises(RuntimeError, match="reset"):
        bench.layer.reset()


def test_driven_layer_asks_to_be_woken_at_its_deadlines() -> None:
    bench = Driven()
    bench.layer.send(counted(20))
    assert bench.wakes == [bench.clock.ns + SECOND]
    bench.layer._set_wake(bench.wakes[-1])
    bench.feed("30 00 0A")
    assert bench.wakes[1:] == [bench.clock.ns + 10_000_000]
    bench.layer._set_wake(None)
    assert bench.layer._plan_wait(5) == 0.01
    bench.wait(10_000_000)
    bench.layer._drive()
    assert len(bench.sent()) == 1
    bench.layer.stop_sending()
    assert [bench.layer._plan_wait(longest) for longest in (5, 0, -1)] == [5, 0, 0]


def test_driven_layer_sends_what_waits_after_a_stop() -> None:
    bench = Driven()
    bench.layer.send(counted(20))
    bench.layer.send(b"a")
    bench.sent()
    bench.layer.stop_sending()
    assert bench.sent() == ["01 61"]


def test_driven_layer_reports_what_callbacks_raise(caplog: pytest.LogCaptureFixture) -> None:
    bench = Driven()
    broken = OSError("bus off")

    def txfn(message: isotp.CanMessage) -> None:
        raise broken

    bench.layer.txfn = txfn
    bench.layer.send(b"a")
    assert bench.complaints() == [errors.CallbackError]
    assert bench.layer.last_error.__cause__ is broken
    assert "OSError" in caplog.text
    assert not bench.layer.transmitting()
    bench.layer.txfn = bench.messages.append
    bench.layer.send(b"b")
    assert bench.sent() == ["01 62"]


def test_driven_layer_survives_an_error_handler_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    bench = Driven()

    def handler(error: Exception) -> None:
        raise RuntimeError("handler")

    bench.layer.error_handler = handler
    bench.feed("C0")
    assert "the error handler raised RuntimeError" in caplog.text
    bench.layer.error_handler = None
    bench.feed("C0", "01 07")
    assert bench.received() == [b"\x07"]


def test_driven_layer_lets_base_exceptions_through() -> None:
    bench = Driven()

    def txfn(message: isotp.CanMessage) -> None:
        raise KeyboardInterrupt

    bench.layer.txfn = txfn
    with pytest.raises(KeyboardInterrupt):
        bench.layer.send(b"a")
    bench.layer.txfn = bench.messages.append
    bench.layer.send(b"b")
    assert bench.sent() == ["01 62"]


def test_driven_layer_reports_impossible_parameters_once_for_each_event() -> None:
    """An assigned value that cannot be is told, and does not keep the thread busy for ever."""
    bench = Driven()
    reports: list[Exception] = []

    def handler(error: Exception) -> None:
        reports.append(error)
        if len(reports) == 10:
            bench.layer.params.stmin = 0  # enough: let the loop end

    bench.layer.error_handler = handler
    bench.layer.params.stmin = 300
    bench.feed("01 07")
    assert len(reports) == 1
    bench.layer.params.stmin = 0
    bench.layer._drive()
    assert bench.received() == [b"\x07"]


def test_driven_layer_fed_from_within_its_callbacks() -> None:
    """Work that comes while the layer runs is done by the run that is on."""
    bench = Driven()

    def txfn(message: isotp.CanMessage) -> None:
        bench.messages.append(message)
        if len(bench.messages) == 1:
            bench.layer._feed(frame("30 00 00"))
            bench.layer.send(b"after")

    bench.layer.txfn = txfn
    bench.layer.send(counted(10))
    assert bench.sent() == ["10 0A 00 01 02 03 04 05", "21 06 07 08 09", "05 61 66 74 65 72"]


def test_driven_layer_stopped_from_within_a_callback() -> None:
    bench = Driven()

    def txfn(message: isotp.CanMessage) -> None:
        bench.messages.append(message)
        bench.layer._set_driven(False, None)

    bench.layer.txfn = txfn
    bench.layer.send(b"a")
    assert bench.sent() == ["01 61"]
    bench.layer.txfn = bench.messages.append
    assert bench.say(b"b") == ["01 62"]


class Reader(Driven):
    """A driven layer whose reader is the test: rxfn gives what was prepared, each after so many ns of its time."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.coming: list[tuple[int, Any]] = []
        self.asked: list[float] = []
        self.layer.rxfn = self.rxfn
        self.layer._set_reader()

    def rxfn(self, timeout: float) -> Any:
        self.asked.append(timeout)
        after_ns, what = self.coming.pop(0) if self.coming else (round(timeout * 1e9), None)
        self.wait(after_ns)
        if isinstance(what, str):
            return self.frame(what)
        return what() if callable(what) else what


def test_reader_handles_frames_until_none_comes() -> None:
    bench = Reader()
    bench.coming = [(0, "10 0A 00 01 02 03 04 05"), (2_000_000, "21 06 07 08 09"), (0, "02 AA BB")]
    assert bench.layer._read_on(5) == (5, 0)
    assert bench.asked == [5, 1, 5, 5]  # N_Cr ends the second read
    assert bench.sent() == ["30 08 00"]
    assert bench.received() == [bytes(range(10)), b"\xaa\xbb"]
    assert bench.wakes == []  # the reader looks at deadlines by itself


def test_reader_looks_at_the_deadline_that_ended_its_read() -> None:
    bench = Reader()
    bench.coming = [(0, "10 0A 00 01 02 03 04 05")]
    assert bench.layer._read_on(5) == (1, 0)
    assert [type(error) for error in bench.errors] == [isotp.ConsecutiveFrameTimeoutError]


def test_reader_tells_of_a_read_that_was_late_or_early() -> None:
    bench = Reader()
    bench.coming = [(5_300_000_000, None)]
    assert bench.layer._read_on(5) == (5, pytest.approx(-0.3))
    bench.coming = [(5_200_000_000, "02 AA BB")]
    assert bench.layer._read_on(5) == (5, pytest.approx(-0.2))
    assert bench.received() == [b"\xaa\xbb"]
    bench.coming = [(5_000_000_000, "02 AA CC"), (0, "02 AA DD")]
    assert bench.layer._read_on(5) == (5, 0)  # at the last moment: what is due comes first
    assert len(bench.coming) == 1
    bench.coming = [(0, None)]
    assert bench.layer._read_on(5) == (5, 5)


def test_reader_leaves_the_time_of_consecutive_frames_to_others() -> None:
    bench = Reader()
    bench.layer.send(counted(20))
    bench.coming = [(0, "30 00 0A"), (0, "02 AA BB")]
    assert bench.layer._read_on(5) is None
    assert bench.asked == [1, 0, 0]  # N_Bs, and what has come meanwhile


def test_reader_that_found_nothing_does_not_look_again_before_it_sends() -> None:
    bench = Reader()
    bench.layer.send(counted(20))
    bench.feed("30 00 0A")
    bench.asked.clear()
    assert bench.layer._read_on(5) == (0.01, 0)
    assert bench.asked == [0.01]
    assert bench.sent()[-1] == "21 06 07 08 09 0A 0B 0C"


def test_reader_asks_for_no_time_once_a_deadline_has_passed() -> None:
    bench = Reader()
    bench.layer.send(counted(20))
    bench.feed("30 00 0A")
    bench.asked.clear()
    bench.wait(20_000_000)
    bench.layer._read_on(5)
    assert bench.asked[0] == 0


@pytest.mark.parametrize(("longest", "is_woken"), [(5, True), (0.5, False)])
def test_reader_is_woken_for_a_deadline_before_the_end_of_its_read(longest: float, is_woken: bool) -> None:
    """N_Bs of a message that was sent meanwhile: 1 s."""
    bench = Reader()
    bench.coming = [(0, lambda: bench.layer.send(counted(20)))]
    began = bench.clock.ns
    bench.layer._read_on(longest)
    assert bench.wakes == ([began + SECOND] if is_woken else [])


def test_reader_whose_layer_was_stopped_by_a_callback_reads_no_more() -> None:
    bench = Reader()
    bench.layer.on_message = lambda *message: bench.layer._set_driven(False, None)
    bench.coming = [(0, "02 AA BB"), (0, "02 AA CC")]
    assert bench.layer._read_on(5) is None
    assert len(bench.coming) == 1


def test_reader_of_a_stopped_layer_reads_no_more() -> None:
    """What it has read by then is dropped, as is all that the layer had."""
    bench = Reader()
    bench.coming = [(0, lambda: bench.layer._set_driven(False, None) or bench.frame("02 AA BB"))]
    assert bench.layer._read_on(5) is None
    assert bench.layer._inbox.empty()
    assert bench.received() == []


def test_reader_hands_on_what_rxfn_raises() -> None:
    def fail() -> None:
        raise OSError("bus off")

    bench = Reader()
    bench.coming = [(0, "02 AA BB"), (0, fail)]
    with pytest.raises(OSError, match="bus off"):
        bench.layer._read_on(5)
    assert bench.received() == [b"\xaa\xbb"]


def test_reader_of_a_rxfn_without_a_time_out() -> None:
    bench = Reader()
    frames = [bench.frame("02 AA BB")]
    bench.layer.rxfn = lambda: frames.pop() if frames else None
    assert bench.layer._read_on(5) == (5, 5)
    assert bench.received() == [b"\xaa\xbb"]


def test_reader_keeps_no_frame() -> None:
    class Tracked(isotp.CanMessage):
        pass

    bench = Reader()
    message = Tracked(data=b"\x02\xaa\xbb", arbitration_id=bench.frame("00").arbitration_id)
    before = sys.getrefcount(message)
    left: list[int] = []
    bench.coming = [(0, lambda: message), (0, lambda: left.append(sys.getrefcount(message)))]
    bench.layer._read_on(5)
    assert left == [before]


def test_feeding_from_many_threads_loses_nothing() -> None:
    bench = Driven()
    bench.layer.clock = None
    threads = [
        threading.Thread(
            target=lambda k=k: [bench.layer._feed(frame(f"02 {k:02X} {n:02X}")) for n in range(250)]
        )
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expected = [bytes([k, n]) for k in range(4) for n in range(250)]
    assert sorted(bench.received()) == expected


def test_layer_as_it_is_described() -> None:
    assert octets("01*3 FF") == b"\x01\x01\x01\xff"
    logic = isotp.TransportLayerLogic
    assert logic.LOGGER_NAME == "isotp"
    assert [(s.name, s.value) for s in logic.RxState] == [("IDLE", 0), ("WAIT_CF", 1)]
    assert [(s.name, s.value) for s in logic.TxState] == [
        ("IDLE", 0),
        ("WAIT_FC", 1),
        ("TRANSMIT_CF", 2),
        ("TRANSMIT_SF_STANDBY", 3),
        ("TRANSMIT_FF_STANDBY", 4),
        ("WAIT_CONFIRMATION", 5),
    ]
