"""Methods of a layer that its user overrides count, by the names of either generation."""

from __future__ import annotations

import gc
import queue
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import can
import pytest

import isotp
from tests.frames import HERE, MS, Bench, counted, frame, octets

PATIENCE = 10.0
FIRST = "10 0A 00 01 02 03 04 05"
REST = "21 06 07 08 09"

GENERATIONS = pytest.mark.parametrize("prefix", ["", "_"], ids=["1.x", "2.x"])


def overriding(methods: dict[str, Callable[..., Any]]) -> Bench:
    return Bench(layer_class=type("Overriding", (isotp.TransportLayerLogic,), methods))


def identifiers(bench: Bench) -> list[int]:
    return [message.arbitration_id for message in bench.messages]


# --- Frames that go ---


@GENERATIONS
def test_flow_control_goes_to_another_identifier(prefix: str) -> None:
    """What a program for cars does whose ECU listens elsewhere for Flow Control."""

    def redirected(self: Any, *args: Any, **kwargs: Any) -> isotp.CanMessage:
        message: isotp.CanMessage = getattr(super(type(self), self), f"{prefix}make_flow_control")(
            *args, **kwargs
        )
        message.arbitration_id = 0x740
        return message

    bench = overriding({f"{prefix}make_flow_control": redirected})
    assert bench.hear(FIRST) == ["740#30 08 00"]
    bench.hear(REST)
    assert bench.received() == [counted(10)]


@GENERATIONS
def test_frames_are_made_by_the_users_method(prefix: str) -> None:
    given = []

    def extended(self: Any, arbitration_id: int, data: bytes) -> isotp.CanMessage:
        given.append((arbitration_id, bytes(data)))
        return isotp.CanMessage(0x18DA00F1, data=bytes(data).ljust(8, b"\xaa"), extended_id=True)

    bench = overriding({f"{prefix}make_tx_msg": extended})
    assert bench.say(counted(20)) == ["18DA00F1#10 14 00 01 02 03 04 05"]
    assert bench.hear("30 00 00")[-1] == "18DA00F1#22 0D 0E 0F 10 11 12 13"
    assert bench.say(b"ab") == ["18DA00F1#02 61 62 AA AA AA AA AA"]
    assert [data.hex() for _, data in given] == [
        "1014000102030405",
        "21060708090a0b0c",
        "220d0e0f10111213",
        "026162",
    ]
    assert {arbitration_id for arbitration_id, _ in given} == {0x123}


@pytest.mark.parametrize("tx_data_length", [8, 64])
@pytest.mark.parametrize("size", [1, 5, 7, 8, 62, 63, 100, 4095, 4096])
def test_the_users_method_gets_data_before_it_is_padded(size: int, tx_data_length: int) -> None:
    """Whatever form the N_PCI has: together the data are the message."""
    given = []

    def noting(self: Any, arbitration_id: int, data: bytes) -> isotp.CanMessage:
        given.append(bytes(data))
        return super(type(self), self)._make_tx_msg(arbitration_id, data)  # type: ignore[misc,no-any-return]

    address = isotp.Address(isotp.AddressingMode.Mixed_11bits, txid=1, rxid=2, address_extension=0x99)
    plain = Bench(address, tx_data_length=tx_data_length, can_fd=True, tx_padding=0x55)
    bench = Bench(
        address,
        layer_class=type("Noting", (isotp.TransportLayerLogic,), {"_make_tx_msg": noting}),
        tx_data_length=tx_data_length,
        can_fd=True,
        tx_padding=0x55,
    )
    sent = [each.say(counted(size)) + each.hear("99 30 00 00") for each in (plain, bench)]
    assert sent[0] == sent[1]
    first, *others = (data[1:] for data in given)
    # SF and FF, in the short form or with an escape
    n_pci = {0: 2, 0x10: 2 if first[1] else 6}.get(first[0], 2 if first[0] > 0x10 else 1)
    assert first[n_pci:] + b"".join(data[1:] for data in others) == counted(size)
    bench.hear("99 10 0A 00 01 02 03 04")
    assert given[-1] == b"\x99\x30\x08\x00"


@pytest.mark.parametrize(
    "pad",
    [
        lambda self, data: bytes(data).ljust(8, b"\x11"),
        lambda self, data: data.extend(b"\x11" * (8 - len(data))),
    ],
)
@GENERATIONS
def test_padding_of_the_users_own(prefix: str, pad: Callable[..., Any]) -> None:
    """In the second generation it returns the data, in the first it changes them."""
    bench = overriding({f"{prefix}pad_message_data": pad})
    assert bench.say(b"ab") == ["02 61 62 11 11 11 11 11"]
    assert bench.hear(FIRST) == ["30 08 00 11 11 11 11 11"]


def test_padding_by_the_methods_of_ours() -> None:
    layer = Bench(tx_padding=0xCC).layer
    data = bytearray(b"\x02ab")
    assert (
        layer._pad_message_data(b"\x02ab") == layer.pad_message_data(data) == data == octets("02 61 62 CC*5")
    )


def test_a_frame_that_process_tx_drops_or_changes() -> None:
    sent: list[Any] = []

    class Gate(isotp.TransportLayerLogic):
        def _process_tx(self) -> Any:
            report = super()._process_tx()
            sent.append(report)
            assert super()._process_tx().msg is None  # there is one frame at a time
            if report.msg.data[0] == 0x21:
                return self.ProcessTxReport(msg=None, immediate_rx_required=False)
            report.msg.arbitration_id = 0x7FF
            return report

    bench = Bench(layer_class=Gate)
    bench.say(counted(20))
    assert bench.hear("30 00 00") == ["7FF#22 0D 0E 0F 10 11 12 13"]
    assert bench.hear(FIRST) == ["7FF#30 08 00"]
    assert [report.immediate_rx_required for report in sent] == [False, False, False, True]
    assert not bench.layer.transmitting()


def test_process_tx_of_the_first_generation_gives_the_frame() -> None:
    class Counting(isotp.TransportLayerLogic):
        count = 0

        def process_tx(self) -> isotp.CanMessage | None:
            message = super().process_tx()
            self.count += message is not None
            return message

    bench = Bench(layer_class=Counting)
    assert bench.say(b"ab") == ["02 61 62"]
    assert bench.layer.count == 1  # type: ignore[attr-defined]


def test_single_steps_of_a_layer_with_methods_of_the_users() -> None:
    bench = overriding(
        {"_make_tx_msg": lambda self, arbitration_id, data: isotp.CanMessage(0x321, data=bytes(data))}
    )
    bench.layer.send(b"ab")
    message = bench.layer.process_tx()
    assert message is not None
    assert (message.arbitration_id, message.data) == (0x321, b"\x02ab")
    assert bench.run() == []


@pytest.mark.parametrize(
    "answer",
    [None, "a frame", isotp.CanMessage(0x123, data=bytes(9)), isotp.CanMessage(0x123, data=bytes(65))],
)
def test_what_is_no_frame_fails_the_message(answer: Any) -> None:
    bench = overriding({"_make_tx_msg": lambda self, arbitration_id, data: answer})
    request = bench.layer._submit(b"ab", None, None)
    if answer is None:
        assert bench.run() == []  # it was to be dropped
        assert request.success
        return
    with pytest.raises((TypeError, ValueError)):
        bench.run()
    assert request.success is False
    assert bench.run() == []


def test_a_method_that_raises_fails_the_message_and_nothing_else() -> None:
    def fail(self: Any, arbitration_id: int, data: bytes) -> isotp.CanMessage:
        raise LookupError("no")

    bench = overriding({"_make_tx_msg": fail})
    request = bench.layer._submit(b"ab", None, None)
    with pytest.raises(LookupError):
        bench.run()
    assert isinstance(request.failure, LookupError)
    bench.arrive(FIRST)
    with pytest.raises(LookupError):
        bench.run()
    bench.hear(REST)
    assert bench.received() == [counted(10)]


def test_a_bus_that_confirms_has_the_frame_that_goes() -> None:
    class Elsewhere(isotp.TransportLayerLogic):
        def _make_tx_msg(self, arbitration_id: int, data: bytes) -> isotp.CanMessage:
            return super()._make_tx_msg(0x321, data)

    taken: list[isotp.CanMessage] = []
    waiting: list[isotp.CanMessage] = []
    layer = Elsewhere(lambda: waiting.pop() if waiting else None, taken.append, HERE, tx_confirmation=True)
    request = layer._submit(b"ab", None, None)
    layer.process()
    assert request.success is None
    taken[0].is_echo = True
    waiting.append(taken[0])
    layer.process()
    assert request.success


# --- Frames that come ---


@GENERATIONS
def test_a_frame_that_process_rx_does_not_hand_on_was_not_there(prefix: str) -> None:
    heard = []

    def choosy(self: Any, msg: isotp.CanMessage) -> Any:
        heard.append(msg.data[0])
        if msg.data[0] != 0x02:
            return getattr(super(type(self), self), f"{prefix}process_rx")(msg)
        return self.ProcessRxReport(immediate_tx_required=False, frame_received=False)

    bench = overriding({f"{prefix}process_rx": choosy})
    assert bench.hear(FIRST, "02 3E 80", REST) == ["30 08 00"]
    assert bench.received() == [counted(10)]
    assert heard == [0x10, 0x02, 0x21]
    assert bench.complaints() == []


def test_process_rx_hears_frames_for_the_layer_only() -> None:
    """As in the second generation; in the first it hears all."""
    heard = []
    bench = overriding({"_process_rx": lambda self, msg: heard.append(bytes(msg.data))})
    bench.hear("789#02 3E 80", "456#02 3E 00")
    assert heard == [b"\x02\x3e\x00"]


def test_process_rx_may_hand_on_another_frame_or_two() -> None:
    class Doubling(isotp.TransportLayerLogic):
        reports: list[Any]

        def _process_rx(self, msg: isotp.CanMessage) -> Any:
            self.reports = [super(Doubling, self)._process_rx(frame("01 3E")) for _ in range(2)]
            return self.reports[-1]

    bench = Bench(layer_class=Doubling)
    bench.hear("02 3E 80")
    assert bench.received() == [b"\x3e", b"\x3e"]
    assert bench.layer.reports == [bench.layer.ProcessRxReport(False, True)] * 2  # type: ignore[attr-defined]


def test_a_frame_that_a_callback_gives_is_heard_after_the_one_at_hand() -> None:
    layer_class = type(
        "Handing",
        (isotp.TransportLayerLogic,),
        {"_process_rx": lambda self, msg: Layer._process_rx(self, msg)},
    )
    Layer = isotp.TransportLayerLogic
    bench = Bench(layer_class=layer_class)
    messages = []

    def on_message(payload: bytearray, address: Any, timestamp: int) -> None:
        messages.append(bytes(payload))
        if len(messages) == 1:
            bench.layer.process_rx(frame("01 02"))
            assert len(messages) == 1

    bench.layer.on_message = on_message
    bench.hear("01 01")
    bench.run()
    assert messages == [b"\x01", b"\x02"]


@GENERATIONS
def test_a_layer_without_time_outs(prefix: str) -> None:
    asked = []
    bench = overriding({f"{prefix}check_timeouts_rx": lambda self: asked.append(self)})
    bench.hear(FIRST)
    bench.wait(5000 * MS)
    bench.run()
    assert bench.layer.is_rx_active()
    deadline = bench.layer.deadline_ns()
    assert deadline is not None
    assert deadline > bench.clock.ns  # nobody is called in vain until then
    bench.hear(REST)
    assert bench.received() == [counted(10)]
    assert asked


def test_time_outs_of_both_sides_where_one_is_the_users() -> None:
    class Late(isotp.TransportLayerLogic):
        def _check_timeouts_rx(self) -> None:
            super()._check_timeouts_rx()

    bench = Bench(layer_class=Late)
    bench.hear(FIRST)
    bench.say(counted(20))
    bench.wait(5000 * MS)
    bench.run()
    assert bench.complaints() == [isotp.ConsecutiveFrameTimeoutError, isotp.FlowControlTimeoutError]


def test_what_is_overridden_lets_go_of_frames_and_time_outs() -> None:
    """Calls of the methods from elsewhere are as ever, after the layer has called them."""

    class All(isotp.TransportLayerLogic):
        def _process_rx(self, msg: isotp.CanMessage) -> Any:
            return super()._process_rx(msg)

        def _process_tx(self) -> Any:
            return super()._process_tx()

        def _check_timeouts_rx(self) -> None:
            super()._check_timeouts_rx()

    bench = Bench(layer_class=All)
    bench.hear("01 3E")
    bench.say(b"a")
    bench.layer.process_rx(frame("01 3F"))
    assert bench.received() == [b"\x3e", b"\x3f"]
    bench.layer.send(b"b")
    message = bench.layer.process_tx()
    assert message is not None
    assert message.data == b"\x01b"
    bench.hear(FIRST)
    bench.wait(1000 * MS)
    bench.layer.check_timeouts_rx()
    assert bench.complaints() == [isotp.ConsecutiveFrameTimeoutError]


def test_a_time_out_to_the_nanosecond() -> None:
    bench = overriding({"_check_timeouts_rx": lambda self: None})
    bench.hear(FIRST)
    bench.wait(1000 * MS)
    bench.run()
    assert bench.layer.deadline_ns() == bench.clock.ns + 1000 * MS


def test_n_bs_where_time_outs_of_reception_are_the_users() -> None:
    bench = overriding({"_check_timeouts_rx": lambda self: None})
    bench.say(counted(20))
    bench.wait(999 * MS)
    bench.run()
    assert bench.layer.transmitting()
    bench.wait(MS)
    bench.run()
    assert bench.complaints() == [isotp.FlowControlTimeoutError]


def test_the_end_of_what_is_no_frame_while_idle() -> None:
    """As in can-isotp, but of a frame that was right nobody is told while idle."""
    bench = Bench(layer_class=Ends)
    bench.hear("33 00 00", "40")
    assert ends(bench) == ["received", "received"]
    bench.complaints()
    bench.hear("01 3E", "21 00")
    assert ends(bench) == []


# --- Ends and errors ---


@GENERATIONS
def test_an_error_that_the_user_keeps_to_himself(prefix: str) -> None:
    told = []
    bench = overriding(
        {f"{prefix}trigger_error": lambda self, error, *args, **kwargs: told.append(type(error))}
    )
    bench.hear("21 00")
    assert told == [isotp.UnexpectedConsecutiveFrameError]
    assert bench.complaints() == []


def test_an_error_that_listen_mode_is_to_hide() -> None:
    bench = Bench(listen_mode=True)
    bench.layer._trigger_error(isotp.OverflowError("a"), inhibit_in_listen_mode=True)
    bench.layer._trigger_error(isotp.OverflowError("b"))
    assert [str(error) for error in bench.errors] == ["b"]


class Ends(isotp.TransportLayerLogic):
    """Notes how messages end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.ends: list[Any] = []
        super().__init__(*args, **kwargs)

    def _stop_sending(self, success: bool) -> None:
        self.ends.append(success)
        super()._stop_sending(success)

    def _stop_receiving(self) -> None:
        self.ends.append("received")
        super()._stop_receiving()


def ends(bench: Bench) -> list[Any]:
    found, bench.layer.ends = bench.layer.ends, []  # type: ignore[attr-defined]
    return found  # type: ignore[no-any-return]


def test_each_end_of_a_message_is_told_once() -> None:
    bench = Bench(layer_class=Ends)
    bench.say(b"a")
    assert ends(bench) == [True]
    bench.say(counted(20))
    bench.hear("32 00 00")
    assert ends(bench) == [False]
    bench.say(counted(20))
    bench.layer.stop_sending()
    assert ends(bench) == [False]
    assert not bench.layer.transmitting()
    bench.hear(FIRST, REST)
    assert ends(bench) == ["received"]
    bench.hear(FIRST)
    bench.layer.stop_receiving()
    assert ends(bench) == ["received"]
    assert not bench.layer.is_rx_active()
    bench.hear(FIRST)
    bench.wait(1000 * MS)
    bench.run()
    assert ends(bench) == ["received"]


def test_what_is_told_of_an_end_does_not_end_the_next_message() -> None:
    bench = Bench(layer_class=Ends)
    bench.layer.send(b"a")
    bench.layer.send(b"b")
    assert bench.run() == ["01 61", "01 62"]
    assert ends(bench) == [True, True]


def test_who_submitted_a_message_hears_of_its_end_as_well() -> None:
    done: list[Any] = []
    bench = Bench(layer_class=Ends)
    request = bench.layer._submit(b"a", None, done.append)
    bench.run()
    assert done == [request]
    assert ends(bench) == [True]


def test_a_blocking_send_that_is_told_of() -> None:
    bus = can.Bus(interface="virtual", channel="test_a_blocking_send_that_is_told_of")
    told = queue.Queue[bool]()

    class Telling(isotp.CanStack):
        def _stop_sending(self, success: bool) -> None:
            told.put(success)
            super()._stop_sending(success)

    with bus:
        stack = Telling(bus, address=HERE, params={"blocking_send": True})
        stack.start()
        try:
            stack.send(b"abc", send_timeout=PATIENCE)
            assert told.get(timeout=PATIENCE)
            assert told.empty()
        finally:
            stack.stop()


# --- Where the method is found ---


def test_a_method_that_is_assigned_to_a_layer_counts_until_it_is_deleted() -> None:
    bench = Bench()
    bench.layer._make_flow_control = lambda **kwargs: isotp.CanMessage(0x740, data=b"\x30\x00\x00")  # type: ignore[method-assign]
    assert bench.hear(FIRST) == ["740#30 00 00"]
    del bench.layer._make_flow_control
    assert bench.hear(REST, FIRST) == ["30 08 00"]


def test_a_method_that_is_patched_on_a_layer() -> None:
    bench = Bench()
    with mock.patch.object(bench.layer, "trigger_error") as trigger_error:
        bench.hear("21 00")
    trigger_error.assert_called_once()
    bench.hear("21 00")
    trigger_error.assert_called_once()
    assert len(bench.errors) == 1


def test_a_method_that_is_patched_on_our_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        isotp.TransportLayerLogic,
        "make_tx_msg",
        lambda self, can_id, data: isotp.CanMessage(0x321, data=bytes(data)),
    )
    bench = Bench()
    bench.layer.send(b"a")
    bench.layer.process()
    assert identifiers(bench) == [0x321]


def test_of_two_spellings_that_of_the_subclass_counts() -> None:
    class Base(isotp.TransportLayerLogic):
        def make_tx_msg(self, arbitration_id: int, data: bytes) -> isotp.CanMessage:
            return isotp.CanMessage(1, data=data)

    class Derived(Base):
        def _make_tx_msg(self, arbitration_id: int, data: bytes) -> isotp.CanMessage:
            return isotp.CanMessage(2, data=data)

    for layer_class, identifier in ((Base, 1), (Derived, 2)):
        bench = Bench(layer_class=layer_class)
        bench.layer.send(b"a")
        bench.layer.process()
        assert identifiers(bench) == [identifier]


def test_a_layer_that_calls_its_own_methods_is_dropped_as_others() -> None:
    bench = Bench(layer_class=Ends)
    bench.layer._make_tx_msg = bench.layer._make_tx_msg  # type: ignore[method-assign]
    bench.say(counted(20))
    reference = weakref.ref(bench.layer)
    del bench
    gc.collect()
    assert reference() is None


IN_VAIN = [
    "get_dlc",
    "_get_dlc",
    "append_rx_data",
    "_start_rx_cf_timer",
    "_relay_thread_fn",
    "request_tx_flowcontrol",
]


@pytest.mark.parametrize("name", IN_VAIN)
def test_a_method_that_is_not_called_is_told_of(name: str) -> None:
    with pytest.warns(RuntimeWarning, match=rf"Vain\.{name}\(\) is not called by the layers .*: \w+") as told:
        type("Vain", (isotp.TransportLayer,), {name: lambda self: None})
    assert told[0].filename == __file__


# --- Addresses ---


def test_an_identifier_that_the_address_chooses_for_each_frame() -> None:
    class Alternating(isotp.Address):
        count = 0

        def get_tx_arbitration_id(self, address_type: int = isotp.TargetAddressType.Physical) -> int:
            self.count += 1
            return 0x100 + self.count % 2

    bench = Bench(Alternating(txid=0x123, rxid=0x456))
    for _ in range(4):
        bench.layer.send(b"a")
    bench.layer.process()
    assert sorted(identifiers(bench)) == [0x100, 0x100, 0x101, 0x101]


@pytest.mark.parametrize("name", ["get_tx_arbitration_id", "get_tx_arbitraton_id", "_get_tx_arbitration_id"])
def test_functional_identifiers_of_the_users(name: str) -> None:
    asked = []

    def get(self: Any, address_type: int = isotp.TargetAddressType.Physical) -> int:
        asked.append(address_type)
        return 0x7DF if address_type == isotp.TargetAddressType.Functional else 0x7E0

    address = type("Ours", (isotp.Address,), {name: get})(txid=0x123, rxid=0x456)
    bench = Bench(address)
    bench.layer.send(b"a", isotp.TargetAddressType.Functional)
    bench.layer.send(b"a")
    bench.layer.process()
    assert identifiers(bench) == [0x7DF, 0x7E0]


JUDGES = {
    "is_for_me": isotp.AddressingMode.Normal_11bits,
    "_is_for_me_normal": isotp.AddressingMode.Normal_29bits,
    "_is_for_me_extended": isotp.AddressingMode.Extended_11bits,
    "_is_for_me_mixed_11bits": isotp.AddressingMode.Mixed_11bits,
    "_is_for_me_mixed_29bits": isotp.AddressingMode.Mixed_29bits,
    "_is_for_me_normal_fixed": isotp.AddressingMode.NormalFixed_29bits,
    "_is_for_me_normalfixed": isotp.AddressingMode.NormalFixed_29bits,
}


@pytest.mark.parametrize("name", JUDGES)
def test_an_address_that_takes_other_frames(name: str) -> None:
    mode = JUDGES[name]
    address_class = type("Wide", (isotp.Address,), {name: lambda self, msg: msg.arbitration_id == 0x700})
    has_ids = mode not in (isotp.AddressingMode.NormalFixed_29bits, isotp.AddressingMode.Mixed_29bits)
    address = address_class(
        mode,
        target_address=0x10,
        source_address=0xF1,
        address_extension=0x99,
        **({"txid": 0x123, "rxid": 0x456} if has_ids else {}),
    )
    bench = Bench(address)
    prefix = "99 " * address.get_rx_prefix_size()
    bench.hear(f"700#{prefix}01 3E", bench.frame(f"{prefix}01 10"))
    assert bench.received() == [b"\x3e"]


def test_an_address_with_a_byte_before_the_n_pci() -> None:
    class Shifted(isotp.Address):
        def get_rx_prefix_size(self) -> int:
            return 1

    bench = Bench(Shifted(txid=0x123, rxid=0x456))
    bench.hear("AA 01 3E", "BB 01 3F")
    assert bench.received() == [b"\x3e", b"\x3f"]


def test_more_than_a_byte_before_the_n_pci_is_refused() -> None:
    address = type("Shifted", (isotp.Address,), {"get_rx_prefix_size": lambda self: 2})(
        txid=0x123, rxid=0x456
    )
    with pytest.raises(ValueError, match="2 bytes before the N_PCI"):
        Bench(address)


# --- Layers on python-can ---


@pytest.fixture
def buses(request: pytest.FixtureRequest) -> Iterator[tuple[can.BusABC, can.BusABC]]:
    with (
        can.Bus(interface="virtual", channel=request.node.name) as ours,
        can.Bus(interface="virtual", channel=request.node.name) as theirs,
    ):
        yield ours, theirs


def send(bus: can.BusABC, text: str) -> None:
    bus.send(can.Message(arbitration_id=0x456, data=octets(text), is_extended_id=False))


def test_flow_control_of_a_stack_on_a_notifier(buses: tuple[can.BusABC, can.BusABC]) -> None:
    class Redirecting(isotp.NotifierBasedCanStack):
        def _make_flow_control(self, *args: Any, **kwargs: Any) -> isotp.CanMessage:
            message = super()._make_flow_control(*args, **kwargs)
            message.arbitration_id = 0x740
            return message

    ours, theirs = buses
    notifier = can.Notifier(ours, [], timeout=0.05)
    stack = Redirecting(ours, notifier, address=HERE)
    stack.start()
    try:
        send(theirs, FIRST)
        answer = theirs.recv(PATIENCE)
        assert answer is not None
        assert (answer.arbitration_id, bytes(answer.data)) == (0x740, b"\x30\x08\x00")
        send(theirs, REST)
        assert stack.recv(block=True, timeout=PATIENCE) == counted(10)
    finally:
        stack.stop()
        notifier.stop()


def reading(base: type[Any], name: str, heard: list[int]) -> type[Any]:
    """A class that looks at each frame, and keeps 3E 80 back."""

    def read(self: Any, timeout: float = 0.0) -> isotp.CanMessage | None:
        message: isotp.CanMessage | None = getattr(super(stack_class, self), name)(timeout)
        if message is None:
            return None
        heard.append(message.data[0])
        return None if message.data[0] == 0x02 else message

    stack_class = type("Reading", (base,), {name: read})
    return stack_class


@pytest.mark.parametrize("name", ["rx_canbus", "_rx_canbus"])
def test_a_can_stack_that_reads_the_users_way(buses: tuple[can.BusABC, can.BusABC], name: str) -> None:
    heard: list[int] = []
    ours, theirs = buses
    stack = reading(isotp.CanStack, name, heard)(ours, address=HERE, read_timeout=0.05)
    send(theirs, "02 3E 80")
    send(theirs, "01 3E")
    while not stack.available():
        stack.process(0.01)
    assert stack.recv() == b"\x3e"
    stack.start()
    try:
        send(theirs, "02 3E 80")
        send(theirs, "01 10")
        assert stack.recv(block=True, timeout=PATIENCE) == b"\x10"
    finally:
        stack.stop()
    assert heard == [0x02, 0x01] * 2


def test_a_notifier_based_stack_that_reads_the_users_way(buses: tuple[can.BusABC, can.BusABC]) -> None:
    heard: list[int] = []
    ours, theirs = buses
    notifier = can.Notifier(ours, [], timeout=0.05)
    stack = reading(isotp.NotifierBasedCanStack, "_rx_canbus", heard)(
        ours, notifier, address=HERE, read_timeout=0.05
    )
    for _ in range(2):  # and once more
        stack.start()
        try:
            send(theirs, "02 3E 80")
            send(theirs, "01 10")
            assert stack.recv(block=True, timeout=PATIENCE) == b"\x10"
        finally:
            stack.stop()
    notifier.stop()
    assert heard == [0x02, 0x01] * 2


@pytest.mark.parametrize("name", ["tx_canbus", "_tx_canbus_3plus"])
def test_a_can_stack_that_sends_the_users_way(buses: tuple[can.BusABC, can.BusABC], name: str) -> None:
    sent = []
    ours, _ = buses
    stack = type("Sending", (isotp.CanStack,), {name: lambda self, msg: sent.append(bytes(msg.data))})(
        ours, address=HERE
    )
    stack.send(b"a")
    stack.process()
    assert sent == [b"\x01a"]
