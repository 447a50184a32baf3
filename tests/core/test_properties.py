"""What holds for every payload, parameter, address and byte pattern: searched with Hypothesis."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import isotp
from tests.frames import HERE, MS, SECOND, US, Bench, Link, counted, words

# Coverage and sanitizer builds are slow: no example is wrong for taking its time.
settings.register_profile("core", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("core")

A = isotp.Address
Mode = isotp.AddressingMode
LENGTHS = (8, 12, 16, 20, 24, 32, 48, 64)
BYTE = st.integers(0, 255)


def pair(mode: Mode, target: int, source: int, extension: int) -> tuple[Any, Any]:
    """The two addresses of one session."""
    given_ids = mode not in (Mode.NormalFixed_29bits, Mode.Mixed_29bits)
    ids_here = {"txid": 0x123, "rxid": 0x456} if given_ids else {}
    ids_there = {"txid": 0x456, "rxid": 0x123} if given_ids else {}
    return (
        A(mode, target_address=target, source_address=source, address_extension=extension, **ids_here),
        A(mode, target_address=source, source_address=target, address_extension=extension, **ids_there),
    )


def asymmetric(here: Any, there: Any) -> tuple[Any, Any]:
    """Extended in one direction, normal in the other."""
    forth = {"txid": 0x700, "rxid": 0x700, "target_address": 0x11, "source_address": 0x11}
    back = {"txid": 0x701, "rxid": 0x701}
    return (
        isotp.AsymmetricAddress(
            A(Mode.Extended_29bits, txid=forth["txid"], target_address=0x11, tx_only=True),
            A(Mode.Normal_11bits, rxid=back["rxid"], rx_only=True),
        ),
        isotp.AsymmetricAddress(
            A(Mode.Normal_11bits, txid=back["txid"], tx_only=True),
            A(Mode.Extended_29bits, rxid=forth["rxid"], source_address=0x11, rx_only=True),
        ),
    )


SYMMETRIC = st.builds(pair, st.sampled_from(Mode), BYTE, BYTE, BYTE)
ADDRESSES = SYMMETRIC | SYMMETRIC.map(lambda both: asymmetric(*both))


@st.composite
def layer_params(draw: st.DrawFn) -> dict[str, Any]:
    tx_dl = draw(st.sampled_from(LENGTHS))
    shortest = [None, *(n for n in (*range(1, 9), *LENGTHS[1:]) if n <= tx_dl)]
    return {
        "tx_data_length": tx_dl,
        "tx_data_min_length": draw(st.sampled_from(shortest)),
        "tx_padding": draw(st.none() | BYTE),
        "blocksize": draw(st.sampled_from((0, 1, 2, 3, 8, 255))),
        "stmin": draw(st.sampled_from((0, 1, 0xF1, 0xF9))),
        "can_fd": draw(st.booleans()),
        "max_frame_size": 10_000,
        "override_receiver_stmin": draw(st.sampled_from((None, 0, 0.0005))),
    }


SIZES = st.integers(1, 150) | st.sampled_from((4095, 4096, 5000))
PAYLOADS = st.binary(min_size=1, max_size=200) | SIZES.map(counted)


@given(
    addresses=ADDRESSES,
    params_here=layer_params(),
    params_there=layer_params(),
    forth=st.lists(PAYLOADS, max_size=3),
    back=st.lists(PAYLOADS, max_size=3),
    by_generator=st.booleans(),
)
def test_messages_arrive_whole_and_in_order_both_ways(
    addresses: tuple[Any, Any],
    params_here: dict[str, Any],
    params_there: dict[str, Any],
    forth: list[bytes],
    back: list[bytes],
    by_generator: bool,
) -> None:
    link = Link(*addresses, params_here=params_here, params_there=params_there)
    for payload in forth:
        link.here.layer.send((iter(payload), len(payload)) if by_generator else payload)
    for payload in back:
        link.there.layer.send(payload)
    link.run(step_ns=100 * US)
    assert link.there.received() == forth
    assert link.here.received() == back
    assert link.here.errors == link.there.errors == []


def strictly(params: dict[str, Any]) -> dict[str, Any]:
    return {**params, "strict": True, "tx_data_min_length": 8 if params["tx_data_min_length"] else None}


@given(
    addresses=ADDRESSES,
    params_here=layer_params().map(strictly),
    params_there=layer_params().map(strictly),
    forth=st.lists(PAYLOADS, max_size=2),
    back=st.lists(PAYLOADS, max_size=2),
)
def test_a_strict_layer_takes_all_that_a_strict_layer_sends(
    addresses: tuple[Any, Any],
    params_here: dict[str, Any],
    params_there: dict[str, Any],
    forth: list[bytes],
    back: list[bytes],
) -> None:
    link = Link(*addresses, params_here=params_here, params_there=params_there)
    for payload in forth:
        link.here.layer.send(payload)
    for payload in back:
        link.there.layer.send(payload)
    link.run(step_ns=100 * US)
    assert link.there.received() == forth
    assert link.here.received() == back
    assert link.here.errors == link.there.errors == []


STEPS = st.lists(
    st.tuples(st.sampled_from(("here", "there")), st.booleans(), st.booleans(), st.integers(0, 3 * MS)),
    max_size=60,
)


@given(
    params_here=layer_params(), params_there=layer_params(), steps=STEPS, payload=PAYLOADS, answer=PAYLOADS
)
def test_the_order_of_process_calls_does_not_matter(
    params_here: dict[str, Any],
    params_there: dict[str, Any],
    steps: list[tuple[str, bool, bool, int]],
    payload: bytes,
    answer: bytes,
) -> None:
    """Passes of either side, in halves or whole, with any time between them that is no time-out."""
    link = Link(params_here=params_here, params_there=params_there)
    link.here.layer.send(payload)
    link.there.layer.send(answer)
    for side, do_rx, do_tx, ns in steps:
        getattr(link, side).layer.process(do_rx=do_rx, do_tx=do_tx)
        link.wait(ns)
    link.run(step_ns=100 * US)
    assert link.there.received() == [payload]
    assert link.here.received() == [answer]
    assert link.here.errors == link.there.errors == []


N_PCI = st.sampled_from(
    [
        "",
        "00",
        "03",
        "07",
        "0F",
        "00 05",
        "00 3E",
        "10",
        "10 0A",
        "10 14",
        "1F FF",
        "10 00 00 00 00 20",
        "10 00 FF FF FF FF",
        *(f"2{n:X}" for n in range(16)),
        "30 00 00",
        "30 02 01",
        "31 00 00",
        "32 00 00",
        "33 00 00",
        "30 00 80",
        "50",
    ]
)
FRAMES = st.binary(max_size=70) | st.builds(
    lambda head, tail: bytes.fromhex(head.replace(" ", "")) + tail, N_PCI, st.binary(max_size=64)
)
TIMES = st.sampled_from((0, 1, MS, SECOND - 1, SECOND, 5 * SECOND))


@given(
    address=ADDRESSES.map(lambda both: both[0]),
    params=layer_params(),
    events=st.lists(st.tuples(FRAMES, TIMES, st.none() | PAYLOADS), max_size=30),
    listen=st.booleans(),
)
def test_no_frames_crash_or_break_a_layer(
    address: Any, params: dict[str, Any], events: list[tuple[bytes, int, bytes | None]], listen: bool
) -> None:
    """Whatever came before: a good message after it gets through, and so does one of our own."""
    bench = Bench(address, wftmax=1, listen_mode=listen, **params)
    identifier, extended = address.get_rx_arbitration_id(), address.is_rx_29bits()
    prefix = bytes([address.get_rx_extension_byte()]) if address.requires_rx_extension_byte() else b""
    for data, ns, payload in events:
        if payload is not None and not listen:
            bench.layer.send(payload)
        bench.arrive(isotp.CanMessage(identifier, data=prefix + data, extended_id=extended))
        bench.run()
        bench.wait(ns)
    bench.received()
    bench.hear(words([*prefix, 0x10, 10, *range(8 - 2 - len(prefix))]))
    rest = counted(10)[6 - len(prefix) :]
    bench.hear(words([*prefix, 0x21, *rest]))
    assert bench.received() == [counted(10)]
    bench.layer.clear_tx_queue()
    bench.layer.stop_sending()
    if not listen:
        bench.sent()
        assert len(bench.say(b"x")) == 1
    assert not bench.layer.transmitting()


def observe(frames: list[bytes], cuts: set[int], params: dict[str, Any]) -> tuple[Any, ...]:
    bench = Bench(**params)
    sent: list[str] = []
    for k, data in enumerate(frames):
        bench.arrive(isotp.CanMessage(0x456, data=data))
        if k in cuts:
            sent += bench.run()
    sent += bench.run()
    return bench.received(), sent, bench.complaints(), bench.layer.rx_state


@given(frames=st.lists(FRAMES, max_size=40), cuts=st.sets(st.integers(0, 39)), params=layer_params())
def test_reception_does_not_depend_on_how_frames_are_divided_over_passes(
    frames: list[bytes], cuts: set[int], params: dict[str, Any]
) -> None:
    assert (
        observe(frames, cuts, params)
        == observe(frames, set(), params)
        == observe(frames, set(range(40)), params)
    )


@given(
    payload=st.binary(min_size=8, max_size=600), cuts=st.sets(st.integers(0, 99)), blocksize=st.integers(0, 9)
)
def test_good_messages_do_not_depend_on_it_either(payload: bytes, cuts: set[int], blocksize: int) -> None:
    frames = [bytes([0x10 | len(payload) >> 8, len(payload) & 0xFF]) + payload[:6]]
    frames += [
        bytes([0x20 | (k + 1) & 0xF]) + payload[at : at + 7] for k, at in enumerate(range(6, len(payload), 7))
    ]
    received, _, errors, _ = observe(frames, cuts, {"blocksize": blocksize})
    assert received == [payload]
    assert errors == []


@given(data=st.binary(max_size=80), start=st.integers(0, 1))
def test_pdu_tells_the_same_as_reception(data: bytes, start: int) -> None:
    """A layer delivers what PDU takes for a single frame, and complains about what PDU refuses."""
    address = (
        HERE
        if start == 0
        else A(Mode.Mixed_11bits, txid=0x123, rxid=0x456, address_extension=data[0] if data else 0)
    )
    bench = Bench(address)
    bench.hear(isotp.CanMessage(0x456, data=data))
    received, complaints = bench.received(), bench.complaints()
    if start > len(data) or len(data) > 64:
        assert received == []
        return
    try:
        pdu = isotp.protocol.PDU(isotp.CanMessage(data=data), start)
    except ValueError:
        assert received == []
        assert len(complaints) == 1
        return
    if pdu.type == pdu.Type.SINGLE_FRAME and complaints == []:
        assert received == [pdu.data]
    else:
        assert received == []


@given(
    data=st.lists(st.integers(-2, 300) | st.none() | st.text(max_size=1), max_size=12),
    kind=st.sampled_from((list, tuple, iter, bytes)),
)
def test_send_takes_what_bytes_takes_and_refuses_the_rest(data: list[Any], kind: Any) -> None:
    bench = Bench()
    try:
        expected = bytes(data)
    except (TypeError, ValueError):
        if kind is not bytes:
            with pytest.raises(ValueError, match=r"\w"):
                bench.layer.send(kind(data))
            assert not bench.layer.transmitting()
        return
    bench.layer.send(kind(data))
    bench.layer.process()
    if expected:
        assert bench.layer.tx_frame_length == len(expected)


@given(
    sizes=st.lists(st.integers(1, 70), min_size=1, max_size=20),
    waits=st.lists(st.integers(0, 2 * SECOND), min_size=20, max_size=20),
    capacity=st.integers(64, 300),
)
def test_rate_limiter_never_lets_more_pass_than_it_should(
    sizes: list[int], waits: list[int], capacity: int
) -> None:
    bench = Bench(
        tx_data_length=64,
        rate_limit_enable=True,
        rate_limit_max_bitrate=capacity * 8,
        rate_limit_window_size=1.0,
        rx_flowcontrol_timeout=10**6,
    )
    for size in sizes:
        bench.layer.send(counted(size))
    sent: list[tuple[int, int]] = []
    for ns in [*waits, *[SECOND + 1] * 200]:
        if bench.layer.tx_state is bench.layer.TxState.WAIT_FC:
            bench.arrive("30 00 00")
        sent += [(bench.clock.ns, len(text.split())) for text in bench.run()]
        bench.wait(ns)
    assert not bench.layer.transmitting()
    for start, _ in sent:
        # Consecutive frames ask for the room of their payload, so that each may exceed the limit by its N_PCI
        # and padding; hence the one frame of grace.
        within = [size for at, size in sent if start <= at < start + SECOND - 5 * MS]
        assert sum(within) <= capacity + 64
