"""The core against the reference model: the same events at the same times, the same in everything that shows.

``ISOTP_MODEL_EXAMPLES=5000`` before the command makes a long run of the short one.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import isotp
from isotp import Direction, MessageStatus, Reassembler, Records
from tests.frames import MS, SECOND, Bench, counted
from tests.model.reference import EXTENDED_ID, Reference, flagged, payloads

EXAMPLES = int(os.environ.get("ISOTP_MODEL_EXAMPLES", "100"))
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

A, Mode = isotp.Address, isotp.AddressingMode
ADDRESSES = st.sampled_from(
    [
        A(Mode.Normal_11bits, txid=0x123, rxid=0x456),
        A(Mode.Normal_29bits, txid=0x123, rxid=0x456),
        A(Mode.NormalFixed_29bits, target_address=0x10, source_address=0xF1),
        A(Mode.Extended_11bits, txid=0x123, rxid=0x456, target_address=0xE1, source_address=0xE0),
        A(Mode.Extended_29bits, txid=0x123, rxid=0x456, target_address=0xE1, source_address=0xE0),
        A(Mode.Mixed_11bits, txid=0x123, rxid=0x456, address_extension=0x21),
        A(Mode.Mixed_29bits, target_address=0x10, source_address=0xF1, address_extension=0x21),
        isotp.AsymmetricAddress(
            A(Mode.Extended_29bits, txid=0x123, target_address=0xE1, tx_only=True),
            A(Mode.Normal_11bits, rxid=0x456, rx_only=True),
        ),
        isotp.AsymmetricAddress(
            A(Mode.Normal_11bits, txid=0x123, tx_only=True),
            A(Mode.NormalFixed_29bits, target_address=0x10, source_address=0xF1, rx_only=True),
        ),
    ]
)
BROADCAST = A(Mode.Normal_11bits, txid=0x124, rxid=0x7DF)
ANOTHER = A(Mode.NormalFixed_29bits, target_address=0x10, source_address=0xF2)  # with a physical identifier
LENGTHS = (8, 12, 16, 20, 24, 32, 48, 64)

PARAMS: dict[str, st.SearchStrategy[Any]] = {
    "strict": st.booleans(),
    "blocksize": st.sampled_from((0, 1, 2, 3, 255)),
    "stmin": st.sampled_from((0, 1, 0x7F, 0xF1)),
    "wftmax": st.sampled_from((0, 1, 2)),
    "tx_padding": st.none() | st.just(0x55),
    "tx_data_length": st.sampled_from(LENGTHS),
    "tx_data_min_length": st.sampled_from((None, 8)),
    "tx_flow_control": st.sampled_from((True, True, False)),
    "override_receiver_stmin": st.sampled_from((None, None, 0.0, 0.0005)),
    "max_frame_size": st.sampled_from((0, 19, 100, 4095, 70_000)),
    "listen_mode": st.sampled_from((False, False, True)),
    "rx_flowcontrol_timeout": st.sampled_from((0, 10, 1000)),
    "rx_consecutive_frame_timeout": st.sampled_from((0, 10, 1000)),
    "wait_frame_interval": st.sampled_from((1, 10, 500)),
}
CAN_DL = st.sampled_from((*range(9), 12, 16, 20, 24, 32, 48, 64))


def changed(n_pdu: bytes, can_dl: int | None) -> bytes:
    """The N_PDU cut or padded to a length, or as it is."""
    return n_pdu if can_dl is None else n_pdu[:can_dl].ljust(can_dl, b"\xa5")


CUT = st.none() | st.none() | st.just(8) | CAN_DL
SINGLE = st.builds(lambda n, cut: changed(bytes([n]) + counted(n), cut), st.integers(0, 15), CUT) | st.builds(
    lambda n, cut: changed(bytes([0, n]) + counted(n), cut), st.integers(0, 64), CUT
)
FF_DL = st.integers(0, 70) | st.sampled_from((100, 101, 4095))
FIRST = st.builds(
    lambda n, size: (bytes([0x10 | n >> 8, n & 0xFF]) + bytes(range(64)))[:size],
    FF_DL,
    st.sampled_from((8, 8, 8, 12, 64)) | CAN_DL,
) | st.builds(
    lambda n, size: (b"\x10\x00" + n.to_bytes(4, "big") + bytes(range(64)))[:size],
    FF_DL | st.sampled_from((4096, 70_000, 70_001, 0xFFFF_FFFF)),
    st.sampled_from((8, 8, 12, 64)) | CAN_DL,
)
FLOW_CONTROL = st.builds(
    lambda status, blocksize, stmin, cut: changed(bytes([0x30 | status, blocksize, stmin]), cut),
    st.sampled_from((0, 0, 0, 0, 1, 1, 2, 3, 15)),
    st.sampled_from((0, 0, 1, 2, 255)),
    st.sampled_from((0, 0, 0, 1, 0xF3, 0x7F, 0x80, 0xFF)),
    CUT,
)
ANY_BYTES = st.binary(max_size=66)
TIMES = st.sampled_from((0, 1, 100_000, MS, 9 * MS, 10 * MS, 127 * MS, SECOND, 5 * SECOND))


ANOTHER_IDS = [flagged(ANOTHER.get_rx_arbitration_id(kind), True) for kind in isotp.TargetAddressType]


class Frames:
    """Frames to a session as they may be on the bus, in CAN IDs and bytes."""

    def __init__(self, address: Any) -> None:
        wide = address.is_rx_29bits()
        self.physical = flagged(address.get_rx_arbitration_id(), wide)
        self.functional = flagged(address.get_rx_arbitration_id(isotp.TargetAddressType.Functional), wide)
        self.prefix = (
            bytes([address.get_rx_extension_byte()]) if address.requires_rx_extension_byte() else b""
        )

    def frame(self, n_pdu: bytes, functional: bool = False) -> tuple[int, bytes]:
        return self.functional if functional else self.physical, self.prefix + n_pdu


class LayerAgainstModel(RuleBasedStateMachine):
    """A layer and the model hear and do the same."""

    @initialize(
        address=ADDRESSES,
        params=st.fixed_dictionaries({}, optional=PARAMS),
        also=st.sampled_from(((), (BROADCAST,), (BROADCAST, ANOTHER))),
        confirming=st.booleans(),
        asks=st.booleans(),
    )
    def begin(
        self, address: Any, params: dict[str, Any], also: tuple[Any, ...], confirming: bool, asks: bool
    ) -> None:
        self.incoming: list[isotp.CanMessage] = []
        layer_class = partial(isotp.TransportLayerLogic, tx_confirmation=confirming)
        self.bench = Bench(address, layer_class=layer_class, rxfn=self.next_frame, **params)  # type: ignore[arg-type]
        if asks:
            self.bench.layer.is_ready = lambda length, received: self.model.is_ready
        self.asks = asks
        self.taken: list[tuple[int, bytes]] = []  # by the bus, which has yet to confirm them
        self.bench.layer.post_send_callback = self.requested
        self.bench.layer.receive_also(also)
        self.requests: list[Any] = []
        self.wire = self.old_wire = Frames(address)
        self.model = Reference(address, self.bench.layer.params, also, self.bench.clock.ns, confirming)

    def next_frame(self, timeout: float) -> isotp.CanMessage | None:
        return self.incoming.pop() if self.incoming else None

    def requested(self, request: Any) -> None:
        self.requests.append(request)

    def run_both(self, frame: tuple[int, bytes] | None = None) -> None:
        if frame is not None:
            can_id, data = frame
            self.incoming = [
                isotp.CanMessage(can_id & ~EXTENDED_ID, data=data, extended_id=can_id >= EXTENDED_ID)
            ]
        self.bench.layer.process()
        self.model.step(self.bench.clock.ns, frame)

    # ------------------------------------------------ what is on the bus

    @rule(n_pdu=SINGLE | FIRST | FLOW_CONTROL, functional=st.sampled_from((False, False, False, True)))
    def hear(self, n_pdu: bytes, functional: bool) -> None:
        self.run_both(self.wire.frame(n_pdu, functional))

    @rule(n_pdu=FIRST)
    def hear_first_frame(self, n_pdu: bytes) -> None:
        self.run_both(self.wire.frame(n_pdu))

    @precondition(lambda self: self.model.reception is not None)
    @rule(
        skipped=st.sampled_from((0, 0, 0, 0, 0, 0, 1, 15)),
        length=st.none() | st.none() | st.none() | CAN_DL,
        on=st.sampled_from(("physical", "physical", "physical", "functional", "another")),
    )
    def hear_consecutive_frame(self, skipped: int, length: int | None, on: str) -> None:
        reception = self.model.reception
        assert reception is not None
        room = reception.rx_dl - len(self.wire.prefix)
        sn = (reception.sn + 1 + skipped) % 16
        n_pdu = changed(bytes([0x20 | sn]) + bytes(range(room - 1)), length)
        self.run_both(
            (ANOTHER_IDS[0], n_pdu) if on == "another" else self.wire.frame(n_pdu, on == "functional")
        )

    @precondition(lambda self: self.model.transmission is not None)
    @rule(n_pdu=FLOW_CONTROL)
    def hear_flow_control(self, n_pdu: bytes) -> None:
        self.run_both(self.wire.frame(n_pdu))

    @rule(data=ANY_BYTES, on=st.sampled_from(("physical", "functional", "broadcast", "other")))
    def hear_anything(self, data: bytes, on: str) -> None:
        ids = {"broadcast": 0x7DF, "other": 0x457}
        self.run_both((ids.get(on) or getattr(self.wire, on), data))

    @rule(n_pdu=SINGLE | FIRST | FLOW_CONTROL, on=st.sampled_from((0x7DF, *ANOTHER_IDS)))
    def hear_further(self, n_pdu: bytes, on: int) -> None:
        self.run_both((on, n_pdu))

    @rule(n_pdu=SINGLE | FIRST | FLOW_CONTROL)
    def hear_on_the_old_address(self, n_pdu: bytes) -> None:
        self.run_both(self.old_wire.frame(n_pdu))

    @precondition(lambda self: self.taken)
    @rule(before=st.sampled_from((0, 0, 0, 1, 3)))
    def echo(self, before: int) -> None:
        """The bus says that a frame went; it may have lost what it had to say of some before."""
        before = min(before, len(self.taken) - 1)
        can_id, data = self.taken[before]
        del self.taken[: before + 1]
        echo = isotp.CanMessage(can_id & ~EXTENDED_ID, data=data, extended_id=can_id >= EXTENDED_ID)
        echo.is_echo = True
        self.incoming = [echo]
        self.bench.layer.process()
        self.model.echo(self.bench.clock.ns, (can_id, data))

    # ------------------------------------------------ time

    @rule(ns=TIMES)
    def wait(self, ns: int) -> None:
        self.bench.wait(ns)
        self.run_both()

    @precondition(lambda self: self.model.deadline() is not None)
    @rule(off=st.sampled_from((-1, 0, 1)))
    def wait_for_the_deadline(self, off: int) -> None:
        deadline = self.model.deadline()
        assert deadline is not None
        self.bench.wait(max(0, deadline + off - self.bench.clock.ns))
        self.run_both()

    @rule(ns=TIMES)
    def sleep(self, ns: int) -> None:
        """Time goes on, and the layer is not run: the next frame may come late."""
        self.bench.wait(ns)

    # ------------------------------------------------ what the layer above does

    @rule(
        size=st.integers(1, 80) | st.sampled_from((200, 4095, 4096)),
        functional=st.booleans(),
        priority=st.sampled_from((False, False, True)),
    )
    def send(self, size: int, functional: bool, priority: bool) -> None:
        try:
            self.bench.layer.send(counted(size), int(functional), priority=priority)
        except RuntimeError:
            assert self.bench.layer.params.listen_mode
        except ValueError:
            assert functional
            assert size > self.model.most_of_sf()
        else:
            self.model.send(counted(size), functional, priority)
        self.run_both()

    @precondition(lambda self: self.asks)
    @rule(is_ready=st.booleans())
    def be_ready_or_not(self, is_ready: bool) -> None:
        self.model.is_ready = is_ready

    @rule()
    def resume_reception(self) -> None:
        self.bench.layer.resume_reception()
        self.model.resume_reception()
        self.run_both()

    @rule(what=st.sampled_from(("stop_sending", "stop_receiving", "clear_tx_queue", "reset")))
    def stop(self, what: str) -> None:
        getattr(self.bench.layer, what)()
        for each in ("clear_tx_queue", "stop_sending", "stop_receiving") if what == "reset" else (what,):
            getattr(self.model, each)()
        self.run_both()

    @rule(change=st.sampled_from(sorted(PARAMS)).flatmap(lambda name: st.tuples(st.just(name), PARAMS[name])))
    def change_a_parameter(self, change: tuple[str, Any]) -> None:
        self.bench.layer.params.set(*change)
        self.run_both()

    @rule(address=ADDRESSES)
    def change_the_address(self, address: Any) -> None:
        self.bench.layer.set_address(address)
        self.model.address = address
        self.wire, self.old_wire = Frames(address), self.wire
        self.run_both()

    # ------------------------------------------------ what shows

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "model"):
            return
        bench, model = self.bench, self.model
        sent = [(flagged(m.arbitration_id, m.is_extended_id), bytes(m.data)) for m in bench.messages]
        bench.messages.clear()
        assert sent == model.frames
        if model.confirming:
            self.taken += sent
        assert bench.received() == payloads(model.messages)
        assert [error.__name__ for error in bench.complaints()] == model.errors
        results = [request.success for request in self.requests if request.success is not None]
        self.requests = [request for request in self.requests if request.success is None]
        assert sorted(results) == sorted(model.confirms)
        for told in (model.frames, model.messages, model.errors, model.confirms):
            told.clear()
        receiving, sender = model.reception is not None, model.transmission
        assert bench.layer.rx_state.name == ("WAIT_CF" if receiving else "IDLE")
        assert bench.layer.tx_state.name == ("IDLE" if sender is None else sender.state)
        assert bench.layer.deadline_ns() == model.deadline()
        assert bench.layer.transmitting() == (sender is not None or bool(model.queue or model.ahead))


LayerAgainstModel.TestCase.settings = SETTINGS
TestLayerAgainstModel = LayerAgainstModel.TestCase


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[int, bytes, str]]:
    """Frames to one session with the time before each; Consecutive Frames mostly in their order."""
    frames: list[tuple[int, bytes, str]] = []
    sn, rx_dl = 0, 8
    for _ in range(draw(st.integers(1, 25))):
        kind = draw(st.sampled_from(("first", "next", "next", "next", "next", "other")))
        if kind == "first":
            n_pdu = draw(FIRST)
            sn, rx_dl = 0, max(8, len(n_pdu))
        elif kind == "next":
            sn = (sn + draw(st.sampled_from((1, 1, 1, 1, 1, 1, 2)))) % 16
            n_pdu = changed(
                bytes([0x20 | sn]) + bytes(range(rx_dl - 1)), draw(st.none() | st.none() | CAN_DL)
            )
        else:
            n_pdu = draw(SINGLE | FLOW_CONTROL | ANY_BYTES)
        on = draw(st.sampled_from(("physical",) * 6 + ("functional", "other")))
        frames.append((draw(st.sampled_from((0, 0, 0, 0, 1, MS, 999 * MS, SECOND))), n_pdu[:64], on))
    return frames


@given(address=ADDRESSES, frames=logs(), strict=st.booleans(), limit=st.sampled_from((19, 4095, 70_000)))
@SETTINGS
def test_records_against_the_model(
    address: Any, frames: list[tuple[int, bytes, str]], strict: bool, limit: int
) -> None:
    """What Reassembler takes out of a log is what the model hears that only listens."""
    params = isotp.TransportLayerLogic.Params()
    params.update({"listen_mode": True, "strict": strict, "max_frame_size": limit})
    wire = Frames(address)
    model = Reference(address, params)
    records = Records("fd")
    now = SECOND
    for gap, n_pdu, on in frames:
        now += gap
        data = (wire.prefix + n_pdu)[:64]
        can_id = 0x457 if on == "other" else getattr(wire, on)
        records.append(now, can_id, data)
        model.step(now, (can_id, data))
    reassembler = Reassembler([address], strict=strict, max_frame_size=limit)
    rows = [*reassembler.feed(records), *reassembler.flush()]
    received = [
        row.payload for row in rows if row.direction is Direction.RX and row.status is MessageStatus.OK
    ]
    assert payloads(received) == model.messages
    counted_errors = [
        error.__name__
        for lane in reassembler.statistics()
        if lane["direction"] is Direction.RX
        for error, count in lane["errors"].items()
        for _ in range(count)
    ]
    assert sorted(counted_errors) == sorted(model.errors)
