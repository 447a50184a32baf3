"""Hub on python-can's virtual bus, read by itself or by a notifier, and what sessions do to each other."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

import isotp
from isotp import Address, AddressingMode
from tests.hub_stories import (
    PATIENCE,
    AnyOfABlock,
    a_hundred_sessions,
    at_ecu,
    at_tester,
    comings_and_goings,
    one_identifier_for_many,
    udsoncan_reads_vins,
)

can = pytest.importorskip("can")
virtual = pytest.importorskip("can.interfaces.virtual")

LONG = bytes(range(256)) * 2


class Bus(virtual.VirtualBus):
    """A virtual bus that raises `failures` on reading, one by one, and can keep its reader waiting."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel=channel, receive_own_messages=False)
        self.failures: list[Exception] = []
        self.reads = 0
        self.in_read = threading.Event()
        self.may_return = threading.Event()
        self.may_return.set()

    def recv(self, timeout: float | None = None) -> Any:
        self.reads += 1
        if self.failures:
            raise self.failures.pop(0)
        received = super().recv(timeout)
        self.in_read.set()
        assert self.may_return.wait(PATIENCE)
        return received


OpenBus = Callable[[], Bus]
MakeHub = Callable[..., isotp.Hub]


@pytest.fixture
def open_bus(request: pytest.FixtureRequest, cleanup: ExitStack) -> OpenBus:
    """A function that opens one more connection to a bus that belongs to this test."""
    return lambda: cleanup.enter_context(Bus(request.node.nodeid))


@pytest.fixture
def make_bus_hub(open_bus: OpenBus, cleanup: ExitStack) -> MakeHub:
    """A function that makes a hub which reads a bus of its own."""
    return lambda: cleanup.enter_context(isotp.Hub(open_bus()))


@pytest.fixture
def make_notifier_hub(open_bus: OpenBus, cleanup: ExitStack) -> MakeHub:
    """A function that makes a hub on a notifier of its own."""

    def make() -> isotp.Hub:
        bus = open_bus()
        notifier = can.Notifier(bus, [], timeout=0.05)
        cleanup.callback(notifier.stop)
        return cleanup.enter_context(isotp.Hub(bus, notifier))

    return make


@pytest.fixture(params=["bus", "notifier"])
def make_hub(request: pytest.FixtureRequest, make_bus_hub: MakeHub, make_notifier_hub: MakeHub) -> MakeHub:
    """Either of the two."""
    return make_bus_hub if request.param == "bus" else make_notifier_hub


def single_frame(payload: bytes, arbitration_id: int, prefix: bytes = b"") -> Any:
    data = prefix + bytes((len(payload),)) + payload
    return can.Message(arbitration_id=arbitration_id, data=data, is_extended_id=arbitration_id > 0x7FF)


def readers() -> int:
    """How many threads of hubs there are."""
    return sum(thread.name == "isotp reader" for thread in threading.enumerate())


# --- Many sessions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [{"blocksize": 0}, {"blocksize": 3}], ids=["bs0", "bs3"])
def test_a_hundred_sessions_at_once(make_hub: MakeHub, params: dict[str, Any]) -> None:
    a_hundred_sessions(make_hub(), make_hub(), params, (7, 8, 100, 333))


@pytest.mark.parametrize(("kind", "own_threads"), [("bus", 1), ("notifier", 0)])
def test_threads_do_not_grow_with_sessions(
    make_bus_hub: MakeHub, make_notifier_hub: MakeHub, open_bus: OpenBus, kind: str, own_threads: int
) -> None:
    hub = make_bus_hub() if kind == "bus" else make_notifier_hub()
    # The reception of a long message makes the timekeeper start, one for the whole process.
    other, probe = open_bus(), hub.session(at_tester(100))
    probe.start()
    other.send(can.Message(arbitration_id=0x364, data=b"\x10\x14" + bytes(6), is_extended_id=False))
    assert other.recv(PATIENCE).data[0] == 0x30
    probe.stop()
    before = threading.active_count()
    sessions = [hub.session(at_tester(k)) for k in range(100)]
    assert threading.active_count() == before
    for session in sessions:
        session.start()
        assert threading.active_count() == before + own_threads
    assert hub.sessions == tuple(sessions)
    for session in sessions:
        session.stop()
    assert threading.active_count() == before
    assert hub.sessions == ()


def test_a_frame_is_given_to_its_session_only(make_hub: MakeHub, open_bus: OpenBus) -> None:
    """The cost of a frame: one call of one session, however many there are."""
    calls: list[int] = []

    class Counting(isotp.HubSession):
        def _feed(self, message: isotp.CanMessage) -> None:
            calls.append(message.arbitration_id)
            super()._feed(message)

    hub, other = make_hub(), open_bus()
    sessions = [hub.session(at_tester(k)) for k in range(200)]
    for session in sessions:
        session.__class__ = Counting
        session.start()
    other.send(single_frame(b"nobody's", 0x7DF))
    other.send(single_frame(b"third", 0x303))
    assert sessions[3].recv(block=True, timeout=PATIENCE) == b"third"
    assert calls == [0x303]


# --- Addresses ----------------------------------------------------------------------------------------------


def test_same_identifier_different_extension_bytes(make_hub: MakeHub) -> None:
    one_identifier_for_many(make_hub(), make_hub())


def test_same_address_twice(make_hub: MakeHub, open_bus: OpenBus) -> None:
    """A session that only listens hears what another one answers to."""
    hub, other = make_hub(), open_bus()
    answering = hub.session(at_tester(0))
    listening = hub.session(at_tester(0), params={"listen_mode": True})
    answering.start()
    listening.start()
    other.send(can.Message(arbitration_id=0x300, data=b"\x10\x08abcdef", is_extended_id=False))
    assert other.recv(PATIENCE).data == b"\x30\x08\x00"
    other.send(can.Message(arbitration_id=0x300, data=b"\x21gh", is_extended_id=False))
    for session in (answering, listening):
        assert session.recv(block=True, timeout=PATIENCE) == b"abcdefgh"
    assert other.recv(0) is None


def test_two_that_would_answer_are_refused(make_hub: MakeHub) -> None:
    """Made or started: the second one would send a second Flow Control."""
    hub = make_hub()
    first, late = hub.session(at_tester(0)), hub.session(at_tester(0))
    first.start()
    for refused in (late.start, lambda: hub.session(at_tester(0))):
        with pytest.raises(ValueError, match=r"has a started session \[Normal_11bits - .*\] already"):
            refused()
    assert not late.started
    assert hub.sessions == (first,)
    # The same identifier on another side of another session is another address.
    hub.session(isotp.Address(txid=0x1FF, rxid=0x300)).start()
    first.stop()
    late.start()
    assert late.started


def test_eleven_and_twenty_nine_bits_with_the_same_number(make_hub: MakeHub, open_bus: OpenBus) -> None:
    hub, other = make_hub(), open_bus()
    short = hub.session(Address(AddressingMode.Normal_11bits, txid=0x124, rxid=0x123))
    long = hub.session(Address(AddressingMode.Normal_29bits, txid=0x124, rxid=0x123))
    short.start()
    long.start()
    other.send(can.Message(arbitration_id=0x123, data=b"\x04long", is_extended_id=True))
    other.send(can.Message(arbitration_id=0x123, data=b"\x05short", is_extended_id=False))
    assert short.recv(block=True, timeout=PATIENCE) == b"short"
    assert long.recv(block=True, timeout=PATIENCE) == b"long"
    assert not short.available()
    assert not long.available()


def test_address_with_rules_of_its_own(make_hub: MakeHub, open_bus: OpenBus) -> None:
    """A user's is_for_me() is asked about every frame; the others are still found by identifier."""

    hub, other = make_hub(), open_bus()
    block = hub.session(AnyOfABlock(txid=0x100, rxid=0x101))
    plain = hub.session(Address(txid=0x100, rxid=0x523))
    block.start()
    plain.start()
    for number in (0x51F, 0x520, 0x523, 0x52F, 0x530, 0x101):
        other.send(single_frame(b"%03x" % number, number))
    assert [block.recv(block=True, timeout=PATIENCE) for _ in range(3)] == [b"520", b"523", b"52f"]
    assert plain.recv(block=True, timeout=PATIENCE) == b"523"
    other.send(single_frame(b"end", 0x520))
    assert block.recv(block=True, timeout=PATIENCE) == b"end"
    assert not plain.available()


def test_functional_and_physical(make_hub: MakeHub, open_bus: OpenBus) -> None:
    """Ten ECUs listen on their own identifier and on 0x7DF, and answer by their own only."""
    hub, other = make_hub(), open_bus()
    everybody = Address(rxid=0x7DF, rx_only=True)
    ecus = [hub.session(at_ecu(k), also=[everybody]) for k in range(10)]
    for ecu in ecus:
        ecu.start()
    other.send(single_frame(b"\x3e\x00", 0x7DF))
    for k, ecu in enumerate(ecus):
        assert ecu.recv(block=True, timeout=PATIENCE) == b"\x3e\x00"
        ecu.send(b"\x7e%d" % k)
        answer = other.recv(PATIENCE)
        assert (answer.arbitration_id, bytes(answer.data)) == (0x300 + k, b"\x02\x7e%d" % k)
    other.send(single_frame(b"you", 0x103))
    assert ecus[3].recv(block=True, timeout=PATIENCE) == b"you"
    assert not any(ecu.available() for ecu in ecus)

    ecus[3].receive_also([])
    other.send(single_frame(b"all", 0x7DF))
    other.send(single_frame(b"end", 0x103))
    assert ecus[4].recv(block=True, timeout=PATIENCE) == b"all"
    assert ecus[3].recv(block=True, timeout=PATIENCE) == b"end"


def test_address_changes_while_started(make_hub: MakeHub, open_bus: OpenBus) -> None:
    hub, other = make_hub(), open_bus()
    session = hub.session(at_tester(0), also=[Address(rxid=0x7DF, rx_only=True)])
    session.start()
    session.set_address(at_tester(1))
    other.send(single_frame(b"old", 0x300))
    other.send(single_frame(b"new", 0x301))
    other.send(single_frame(b"all", 0x7DF))
    assert session.recv(block=True, timeout=PATIENCE) == b"new"
    assert session.recv(block=True, timeout=PATIENCE) == b"all"
    session.send(b"back")
    assert other.recv(PATIENCE).arbitration_id == 0x101
    assert not session.available()


def test_bad_addresses(make_hub: MakeHub) -> None:
    hub = make_hub()
    with pytest.raises(ValueError, match="0x300"):
        hub.session("0x300")
    with pytest.raises(ValueError, match="address"):
        hub.session(Address(rxid=0x300, rx_only=True))
    with pytest.raises(ValueError, match="0x7DF"):
        hub.session(at_tester(0), also=["0x7DF"])
    with pytest.raises(ValueError, match="not 9"):
        hub.session(at_tester(0), also=[at_tester(k) for k in range(1, 10)])
    with pytest.raises(TypeError, match="no_such_thing"):
        hub.session(at_tester(0), no_such_thing=1)
    assert hub.sessions == ()


# --- Sessions come and go -----------------------------------------------------------------------------------


def test_start_and_stop_while_others_are_busy(make_hub: MakeHub) -> None:
    comings_and_goings(make_hub(), make_hub(), visitors=40)


def test_stopped_session_forgets_and_hears_nothing(make_hub: MakeHub, open_bus: OpenBus) -> None:
    hub, other = make_hub(), open_bus()
    first, second = hub.session(at_tester(0)), hub.session(at_tester(1))
    first.start()
    second.start()
    other.send(single_frame(b"lost", 0x300))
    other.send(single_frame(b"mark", 0x301))
    assert second.recv(block=True, timeout=PATIENCE) == b"mark"
    first.stop()
    first.stop()
    assert not first.started
    assert not first.available()
    other.send(single_frame(b"lost", 0x300))
    other.send(single_frame(b"mark", 0x301))
    assert second.recv(block=True, timeout=PATIENCE) == b"mark"
    first.start()
    with pytest.raises(RuntimeError):
        first.start()
    assert hub.sessions == (second, first)
    other.send(single_frame(b"heard", 0x300))
    assert first.recv(block=True, timeout=PATIENCE) == b"heard"
    assert not first.available()


def test_all_stop_and_one_starts_again(make_hub: MakeHub, open_bus: OpenBus) -> None:
    hub, other = make_hub(), open_bus()
    session = hub.session(at_tester(0))
    for turn in range(3):
        session.start()
        other.send(single_frame(b"%d" % turn, 0x300))
        assert session.recv(block=True, timeout=PATIENCE) == b"%d" % turn
        session.stop()


def test_start_while_the_last_one_stops(make_bus_hub: MakeHub, open_bus: OpenBus) -> None:
    """The thread of the hub is just about to end when it is needed again."""
    hub, other = make_bus_hub(), open_bus()
    first, second = hub.session(at_tester(0)), hub.session(at_tester(1))
    first.start()
    hub.bus.may_return.clear()
    hub.bus.in_read.clear()
    assert hub.bus.in_read.wait(PATIENCE)
    stopping = threading.Thread(target=first.stop, daemon=True)
    stopping.start()
    try:
        while hub.sessions:
            assert stopping.is_alive()
        second.start()
    finally:
        hub.bus.may_return.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    other.send(single_frame(b"second", 0x301))
    assert second.recv(block=True, timeout=PATIENCE) == b"second"
    assert readers() == 1


def test_callback_stops_its_own_session(make_hub: MakeHub, open_bus: OpenBus) -> None:
    """The last session, by the thread of the hub itself; then it is started again."""
    stopped = threading.Event()
    hub, other = make_hub(), open_bus()

    def stop_and_tell(error: Exception) -> None:
        session.stop()
        stopped.set()

    session = hub.session(at_tester(0), error_handler=stop_and_tell)
    for turn in range(2):
        session.start()
        other.send(can.Message(arbitration_id=0x300, data=b"\x21stray", is_extended_id=False))
        assert stopped.wait(PATIENCE)
        stopped.clear()
        assert not session.started
        session.start()
        other.send(single_frame(b"%d" % turn, 0x300))
        assert session.recv(block=True, timeout=PATIENCE) == b"%d" % turn
        assert readers() <= 1
        session.stop()


def test_close(make_hub: MakeHub, open_bus: OpenBus) -> None:
    hub, other = make_hub(), open_bus()
    sessions = [hub.session(at_tester(k)) for k in range(3)]
    for session in sessions:
        session.start()
    assert "3 sessions" in repr(hub)
    hub.close()
    hub.close()
    assert hub.sessions == ()
    assert not any(session.started for session in sessions)
    # The bus stays its owner's.
    hub.bus.send(single_frame(b"open", 0x123))
    assert other.recv(PATIENCE).arbitration_id == 0x123


def test_session_that_was_not_started(make_hub: MakeHub, open_bus: OpenBus) -> None:
    """It hears nothing, but sends what fits one frame when it is polled; as a NotifierBasedCanStack does."""
    hub, other = make_hub(), open_bus()
    session, mark = hub.session(at_tester(0)), hub.session(at_tester(1))
    mark.start()
    other.send(single_frame(b"data", 0x300))
    other.send(single_frame(b"mark", 0x301))
    assert mark.recv(block=True, timeout=PATIENCE) == b"mark"
    session.process()
    assert not session.available()
    session.send(b"abc")
    session.process()
    assert other.recv(PATIENCE).data == b"\x03abc"


def test_frames_before_the_hub_knows_the_session_begin_no_message(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread may still be amid a frame for the session as it was before stop(); the session then misses others."""
    hub = make_hub()
    session = hub.session(at_tester(0))
    enlist = hub._enlist

    def enlist_late(session: isotp.HubSession) -> None:
        session._feed(isotp.CanMessage(0x300, data=b"\x10\x0aabcdef"))
        enlist(session)

    monkeypatch.setattr(hub, "_enlist", enlist_late)
    session.start()
    assert not session.is_rx_active()


# --- The thread of the hub does not return ------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isotp.bus.feed.longest_end", lambda timeout: 0.01)


def test_close_where_the_bus_does_not_return(
    make_bus_hub: MakeHub, open_bus: OpenBus, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so; who starts again gets what comes then, and the frame that the thread was left behind with."""
    hub, other = make_bus_hub(), open_bus()
    session = hub.session(at_tester(0))
    hub.bus.may_return.clear()
    session.start()
    other.send(single_frame(b"1", 0x300))
    assert hub.bus.in_read.wait(PATIENCE)
    hub.close()
    assert "left behind" in caplog.text
    assert not session.started
    session.start()
    reads = hub.bus.reads
    other.send(single_frame(b"2", 0x300))
    hub.bus.may_return.set()
    assert [session.recv(block=True, timeout=PATIENCE) for _ in range(2)] == [b"1", b"2"]
    assert hub.bus.reads > reads == 1


def test_close_where_a_callback_does_not_return(
    make_bus_hub: MakeHub, open_bus: OpenBus, impatient: None
) -> None:
    entered, release = threading.Event(), threading.Event()

    def stuck(size: int) -> None:
        entered.set()
        assert release.wait(PATIENCE)

    hub, other = make_bus_hub(), open_bus()
    sessions = [hub.session(at_tester(k), receive_into=stuck) for k in range(2)]
    for session in sessions:
        session.start()
    other.send(can.Message(arbitration_id=0x300, data=b"\x10\x0aabcdef", is_extended_id=False))
    assert entered.wait(PATIENCE)
    hub.close()
    assert not any(session.started for session in sessions)
    release.set()


def test_callback_on_the_thread_of_the_hub_stops_and_starts_many_times(
    make_bus_hub: MakeHub, open_bus: OpenBus, caplog: pytest.LogCaptureFixture
) -> None:
    def restart(size: int) -> None:
        session.receive_into = None
        for _ in range(5):
            session.stop()
            session.start()

    hub, other = make_bus_hub(), open_bus()
    session = hub.session(at_tester(0), receive_into=restart)
    session.start()
    other.send(can.Message(arbitration_id=0x300, data=b"\x10\x0aabcdef", is_extended_id=False))
    other.send(single_frame(b"after", 0x300))
    assert session.recv(block=True, timeout=PATIENCE) == b"after"
    assert caplog.text == ""


# --- What goes wrong ----------------------------------------------------------------------------------------


def test_callback_that_raises(make_hub: MakeHub, open_bus: OpenBus) -> None:
    """It is told to its own session, and harms no other."""
    told = threading.Event()
    errors: list[Exception] = []

    def raise_then_note(error: Exception) -> None:
        errors.append(error)
        if not isinstance(error, isotp.CallbackError):
            raise LookupError("a bug of the user's")
        told.set()

    others: list[Exception] = []
    hub, other = make_hub(), open_bus()
    clumsy = hub.session(at_tester(0), error_handler=raise_then_note)
    innocent = hub.session(at_tester(1), error_handler=others.append)
    clumsy.start()
    innocent.start()
    for _ in range(3):
        told.clear()
        errors.clear()
        other.send(can.Message(arbitration_id=0x300, data=b"\x21stray", is_extended_id=False))
        other.send(single_frame(b"after", 0x301))
        other.send(single_frame(b"own", 0x300))
        assert innocent.recv(block=True, timeout=PATIENCE) == b"after"
        assert clumsy.recv(block=True, timeout=PATIENCE) == b"own"
        assert told.wait(PATIENCE)
        assert isinstance(errors[0], isotp.UnexpectedConsecutiveFrameError)
        assert isinstance(errors[1].__cause__, LookupError)
    assert others == []


def test_bus_that_fails_on_reading(make_bus_hub: MakeHub, open_bus: OpenBus) -> None:
    """Every session is told; the hub pauses between tries, longer each time, and goes on."""
    errors: list[list[Exception]] = [[], []]
    recovered = threading.Event()
    hub, other = make_bus_hub(), open_bus()
    failures = [can.CanOperationError(f"failure {k}") for k in range(4)]

    def note(error: Exception) -> None:
        errors[0].append(error)
        if len(errors[0]) == len(failures):
            recovered.set()

    sessions = [
        hub.session(at_tester(0), error_handler=note),
        hub.session(at_tester(1), error_handler=errors[1].append),
    ]
    for session in sessions:
        session.start()
    hub.bus.failures = list(failures)
    assert recovered.wait(PATIENCE)
    for k, session in enumerate(sessions):
        other.send(single_frame(b"back", 0x300 + k))
        assert session.recv(block=True, timeout=PATIENCE) == b"back"
        assert session.started
    for heard in errors:
        assert [error.__cause__ for error in heard] == failures
        assert all(isinstance(error, isotp.CallbackError) for error in heard)


@pytest.mark.parametrize("what", [SystemExit, KeyboardInterrupt])
def test_bus_whose_reading_raises_anything(
    make_bus_hub: MakeHub, open_bus: OpenBus, what: type[BaseException]
) -> None:
    hub, other = make_bus_hub(), open_bus()
    hub.bus.failures = [what()]
    session = hub.session(at_tester(0))
    session.start()
    other.send(single_frame(b"back", 0x300))
    assert session.recv(block=True, timeout=PATIENCE) == b"back"


def test_stop_where_the_notifier_has_lost_the_hub(make_notifier_hub: MakeHub, open_bus: OpenBus) -> None:
    hub, other = make_notifier_hub(), open_bus()
    sessions = [hub.session(at_tester(k)) for k in range(2)]
    for session in sessions:
        session.start()
    hub._feed._notifier.listeners.clear()
    hub.close()
    assert not any(session.started for session in sessions)
    sessions[0].start()
    other.send(single_frame(b"data", 0x300))
    assert sessions[0].recv(block=True, timeout=PATIENCE) == b"data"


def test_all_sessions_stop_whatever_one_of_them_raises(make_hub: MakeHub) -> None:
    class Clumsy(isotp.HubSession):
        def _stop_reading(self) -> None:
            super()._stop_reading()
            raise LookupError("on the way out")

    hub = make_hub()
    sessions = [hub.session(at_tester(k)) for k in range(3)]
    sessions[1].__class__ = Clumsy
    for session in sessions:
        session.start()
    with pytest.raises(LookupError, match="on the way out"):
        hub.close()
    assert not any(session.started for session in sessions)
    assert hub.sessions == ()


def test_stop_on_a_bus_that_is_gone(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(table: Any) -> None:
        raise OSError("no such device")

    hub = make_hub()
    session = hub.session(at_tester(0))
    session.start()
    monkeypatch.setattr(hub._feed, "listen_for", gone)
    session.stop()
    assert not session.started
    assert hub.sessions == ()
    assert readers() == 0


def test_pauses_grow_while_the_bus_fails(make_bus_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float | None] = []
    enough = threading.Event()

    class NoPause(threading.Event):
        """The request to stop: waits for it are noted, and over at once."""

        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            if len(pauses) == 10:
                enough.set()
            return self.is_set()

    monkeypatch.setattr("isotp.bus.feed.threading", SimpleNamespace(**{**vars(threading), "Event": NoPause}))
    hub = make_bus_hub()
    hub.bus.failures = [can.CanOperationError("gone") for _ in range(10)]
    hub.session(at_tester(0)).start()
    assert enough.wait(PATIENCE)
    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 1.0]


def test_sending_that_fails_is_the_senders_own(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    testers, ecus = make_hub(), make_hub()
    params = {"blocking_send": True}
    first, second = (testers.session(at_tester(k), params=params) for k in range(2))
    ecu = ecus.session(at_ecu(1))
    for session in (first, second, ecu):
        session.start()
    failure = can.CanOperationError("no such identifier")
    send = testers.bus.send

    def refuse_one(msg: Any, timeout: float | None = None) -> None:
        if msg.arbitration_id == 0x100:
            raise failure
        send(msg, timeout)

    monkeypatch.setattr(testers.bus, "send", refuse_one)
    with pytest.raises(isotp.BlockingSendFailure) as failed:
        first.send(LONG, send_timeout=PATIENCE)
    assert failed.value.__cause__ is failure
    second.send(LONG, send_timeout=PATIENCE)
    assert ecu.recv(block=True, timeout=PATIENCE) == LONG


@pytest.mark.parametrize(
    "frame",
    [
        {"is_remote_frame": True, "dlc": 8},
        {"is_error_frame": True},
    ],
    ids=["remote", "error"],
)
def test_frames_without_data_are_ignored(make_hub: MakeHub, open_bus: OpenBus, frame: dict[str, Any]) -> None:
    errors: list[Exception] = []
    hub, other = make_hub(), open_bus()
    session = hub.session(at_tester(0), error_handler=errors.append)
    session.start()
    other.send(can.Message(arbitration_id=0x300, is_extended_id=False, **frame))
    other.send(single_frame(b"data", 0x300))
    assert session.recv(block=True, timeout=PATIENCE) == b"data"
    assert errors == []


def test_what_is_no_bus(open_bus: OpenBus) -> None:
    for wrong in (None, 5, object):
        with pytest.raises(ValueError, match="bus") as refused:
            isotp.Hub(wrong)
        assert repr(wrong) in str(refused.value)
    with pytest.raises(ValueError, match="notifier") as refused:
        isotp.Hub(open_bus(), "notifier")
    assert "'notifier'" in str(refused.value)
    with pytest.raises(ValueError, match="can77"):
        isotp.Hub("can77", can.Notifier([], []))


@pytest.mark.skipif(sys.platform == "linux", reason="Linux has raw CAN sockets")
def test_interface_on_other_systems() -> None:
    with pytest.raises(NotImplementedError, match="Linux"):
        isotp.Hub("can0")
    with pytest.raises(NotImplementedError, match="CanStack"):
        isotp.SocketCanStack("can0", address=at_tester(0))


@pytest.mark.skipif(sys.platform != "linux", reason="needs raw CAN sockets")
def test_interface_that_does_not_exist() -> None:
    """Either there is no CAN in this kernel or no such interface; the message says which."""
    for make in (isotp.Hub, lambda name: isotp.SocketCanStack(name, address=at_tester(0))):
        with pytest.raises(OSError, match=r"nosuchcan0|modprobe can-raw"):
            make("nosuchcan0")


# --- Company ------------------------------------------------------------------------------------------------


def test_two_hubs_on_one_bus(make_notifier_hub: MakeHub, open_bus: OpenBus) -> None:
    """Both on one notifier, with different sessions, and with the same address; one closes, one goes on."""
    first, other = make_notifier_hub(), open_bus()
    second = isotp.Hub(first.bus, first._feed._notifier)
    with second:
        mine, shared = first.session(at_tester(0)), first.session(at_tester(1))
        theirs, too = second.session(at_tester(2)), second.session(at_tester(1))
        for session in (mine, shared, theirs, too):
            session.start()
        for k in range(3):
            other.send(single_frame(b"%d" % k, 0x300 + k))
        for session, expected in ((mine, b"0"), (shared, b"1"), (theirs, b"2"), (too, b"1")):
            assert session.recv(block=True, timeout=PATIENCE) == expected
        first.close()
        other.send(single_frame(b"still", 0x301))
        assert too.recv(block=True, timeout=PATIENCE) == b"still"
        assert not shared.available()


def test_two_hubs_that_talk(make_hub: MakeHub) -> None:
    """CAN FD with BRS, 29 bits, and a payload beyond 4095 bytes."""
    params = {"can_fd": True, "bitrate_switch": True, "tx_data_length": 64, "max_frame_size": 10_000}
    mode = AddressingMode.NormalFixed_29bits
    testers, ecus = make_hub(), make_hub()
    tester = testers.session(Address(mode, target_address=0x10, source_address=0xF1), params=params)
    ecu = ecus.session(Address(mode, target_address=0xF1, source_address=0x10), params=params)
    tester.start()
    ecu.start()
    tester.send(bytes(5000) + b"end")
    assert ecu.recv(block=True, timeout=PATIENCE) == bytes(5000) + b"end"


def test_udsoncan_over_a_session(make_hub: MakeHub) -> None:
    pytest.importorskip("udsoncan")
    udsoncan_reads_vins(make_hub(), make_hub())
