"""Transmission: messages in, frames out; the end of each message, good or bad (ISO 15765-2, 9.6, 10.4)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import isotp
from isotp import errors
from tests.frames import HERE, MS, SECOND, Bench, counted, frame, octets, words

TEN = bytes(range(10))
FF_10 = "10 0A 00 01 02 03 04 05"
CF_10 = "21 06 07 08 09"
CTS = "30 00 00"
TX_DL = (8, 12, 16, 20, 24, 32, 48, 64)
DLC = {**{n: n for n in range(2, 9)}, 12: 9, 16: 10, 20: 11, 24: 12, 32: 13, 48: 14, 64: 15}

A = isotp.Address
Mode = isotp.AddressingMode
NORMAL = HERE
EXTENDED = A(Mode.Extended_11bits, txid=0x123, rxid=0x456, target_address=0x55, source_address=0xAA)
PREFIXED = [(NORMAL, b""), (EXTENDED, b"\x55")]


def fd_length(size: int) -> int:
    """The CAN frame length that holds `size` bytes, written down independently of the package."""
    return size if size <= 8 else next(length for length in TX_DL if length >= size)


def expected_frames(payload: bytes, tx_dl: int, prefix: bytes) -> list[bytes]:
    """What ISO 15765-2 makes of a payload, without optional padding: the readable model of the encoder."""
    if len(prefix) + 1 + len(payload) <= 8:
        return [prefix + bytes([len(payload)]) + payload]
    if tx_dl > 8 and len(prefix) + 2 + len(payload) <= tx_dl:
        return [filled(prefix + bytes([0, len(payload)]) + payload)]
    size = len(payload)
    pci = bytes([0x10 | size >> 8, size & 0xFF]) if size <= 4095 else b"\x10\x00" + size.to_bytes(4, "big")
    room = tx_dl - len(prefix) - len(pci)
    frames, rest, sn = [prefix + pci + payload[:room]], payload[room:], 1
    room = tx_dl - len(prefix) - 1
    while rest:
        frames.append(filled(prefix + bytes([0x20 | sn]) + rest[:room]))
        rest, sn = rest[room:], (sn + 1) % 16
    return frames


def filled(data: bytes) -> bytes:
    return data + b"\xcc" * (fd_length(len(data)) - len(data))


def transfer(bench: Bench, payload: Any) -> list[bytes]:
    """All frames of a message to a receiver that lets everything through."""
    sent = bench.say(payload)
    if bench.layer.transmitting():
        sent += bench.hear(words(bench_prefix(bench)) + " " + CTS)
    return [octets(text) for text in sent]


def bench_prefix(bench: Bench) -> list[int]:
    return [bench.address.get_rx_extension_byte()] if bench.address.requires_rx_extension_byte() else []


# --- N_PCI --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "prefix"), PREFIXED, ids=["normal", "extended"])
@pytest.mark.parametrize("tx_dl", TX_DL)
def test_frames_of_each_payload_size(tx_dl: int, address: Any, prefix: bytes) -> None:
    bench = Bench(address, tx_data_length=tx_dl)
    for size in [*range(1, 150), 4094, 4095, 4096, 4097, 5000]:
        payload = counted(size)
        assert transfer(bench, payload) == expected_frames(payload, tx_dl, prefix), size
        assert not bench.layer.transmitting()
    assert bench.errors == []


@pytest.mark.parametrize("tx_dl", TX_DL)
def test_dlc_tells_the_length_of_each_frame(tx_dl: int) -> None:
    bench = Bench(tx_data_length=tx_dl)
    for size in range(1, 130):
        bench.layer.send(counted(size))
        bench.layer.process()
        bench.arrive(CTS)
        bench.layer.process()
        assert bench.messages
        for message in bench.messages:
            assert message.dlc == DLC[len(message.data)]
        bench.messages.clear()


EXAMPLES = [
    # TX_DL, min length, padding, address, size, frames
    (8, None, None, NORMAL, 1, ["01 00"]),
    (8, None, None, NORMAL, 7, ["07 00 01 02 03 04 05 06"]),
    (8, None, None, EXTENDED, 6, ["55 06 00 01 02 03 04 05"]),
    (8, None, None, EXTENDED, 7, ["55 10 07 00 01 02 03 04", "55 21 05 06"]),
    (8, None, None, NORMAL, 8, ["10 08 00 01 02 03 04 05", "21 06 07"]),
    (8, None, 0x55, NORMAL, 3, ["03 00 01 02 55 55 55 55"]),
    (8, None, 0, NORMAL, 10, [FF_10, CF_10 + " 00 00 00"]),
    (8, 6, None, NORMAL, 3, ["03 00 01 02 CC CC"]),
    (8, 6, 0xAA, NORMAL, 3, ["03 00 01 02 AA AA"]),
    (8, 6, 0xAA, NORMAL, 7, ["07 00 01 02 03 04 05 06"]),
    (8, 6, 0xAA, NORMAL, 10, [FF_10, CF_10 + " AA"]),
    (8, 8, None, NORMAL, 1, ["01 00 CC*6"]),
    (64, None, None, NORMAL, 5, ["05 00 01 02 03 04"]),
    (64, None, 0x11, NORMAL, 5, ["05 00 01 02 03 04"]),
    (64, None, None, NORMAL, 8, ["00 08 00 01 02 03 04 05 06 07 CC CC"]),
    (64, None, 0x11, NORMAL, 8, ["00 08 00 01 02 03 04 05 06 07 11 11"]),
    (64, 8, None, NORMAL, 5, ["05 00 01 02 03 04 CC CC"]),
    (64, 64, None, NORMAL, 16, ["00 10 " + words(counted(16)) + " CC*46"]),
    (64, 8, 0x11, NORMAL, 63, ["10 3F " + words(counted(62)), "21 3E 11*6"]),
    (64, None, None, NORMAL, 62, ["00 3E " + words(counted(62))]),
    (64, None, None, EXTENDED, 6, ["55 06 00 01 02 03 04 05"]),
    (64, None, None, EXTENDED, 7, ["55 00 07 00 01 02 03 04 05 06 CC CC"]),
    (64, None, None, EXTENDED, 61, ["55 00 3D " + words(counted(61))]),
    # A frame that padding takes beyond 8 bytes needs the escape form (9.6.2.1)
    (64, 12, None, NORMAL, 1, ["00 01 00 CC*9"]),
    (64, 64, 0, NORMAL, 7, ["00 07 00 01 02 03 04 05 06 00*55"]),
    (64, 12, None, EXTENDED, 2, ["55 00 02 00 01 CC*7"]),
    (12, 12, None, NORMAL, 10, ["00 0A " + words(counted(10))]),
]


@pytest.mark.parametrize(("tx_dl", "min_length", "padding", "address", "size", "frames"), EXAMPLES)
def test_padding(
    tx_dl: int, min_length: int | None, padding: int | None, address: Any, size: int, frames: list[str]
) -> None:
    bench = Bench(address, tx_data_length=tx_dl, tx_data_min_length=min_length, tx_padding=padding)
    assert transfer(bench, counted(size)) == [octets(text) for text in frames]


@pytest.mark.parametrize("address", [NORMAL, EXTENDED], ids=["normal", "extended"])
@pytest.mark.parametrize("min_length", [None, *range(1, 9), *TX_DL[1:]])
@pytest.mark.parametrize("tx_dl", TX_DL)
def test_no_frame_that_the_standard_forbids(tx_dl: int, min_length: int | None, address: Any) -> None:
    """A strict receiver takes each single frame; all frames have lengths that CAN has, none less than asked."""
    if min_length is not None and min_length > tx_dl:
        with pytest.raises(ValueError, match="tx_data_min_length"):
            Bench(address, tx_data_length=tx_dl, tx_data_min_length=min_length)
        return
    sender = Bench(address, tx_data_length=tx_dl, tx_data_min_length=min_length)
    peer = A(Mode.Extended_11bits, txid=0x456, rxid=0x123, target_address=0xAA, source_address=0x55)
    receiver = Bench(
        peer if address is EXTENDED else A(Mode.Normal_11bits, txid=0x456, rxid=0x123), blocksize=0
    )
    for size in range(1, 70):
        frames = transfer(sender, counted(size))
        for data in frames:
            assert len(data) == fd_length(len(data))
            assert len(data) >= (min_length or 0)
        receiver.hear(*(words(data) for data in frames))
        assert receiver.received() == [counted(size)]
        receiver.sent()
    assert receiver.errors == []


def test_flags_and_identifier_of_sent_frames() -> None:
    for params, expected in (
        ({}, (False, False)),
        ({"tx_data_length": 64}, (False, False)),
        ({"can_fd": True}, (True, False)),
        ({"can_fd": True, "bitrate_switch": True, "tx_data_length": 64}, (True, True)),
    ):
        bench = Bench(A(Mode.Normal_29bits, txid=0x123, rxid=0x456), **params)
        bench.layer.send(b"abc")
        bench.layer.process()
        (message,) = bench.messages
        assert type(message) is isotp.CanMessage
        assert type(message.data) is bytes
        assert (message.is_fd, message.bitrate_switch) == expected
        assert (message.arbitration_id, message.is_extended_id) == (0x123, True)


def test_sequence_numbers_wrap() -> None:
    bench = Bench()
    assert bench.layer.remote_blocksize is None
    frames = transfer(bench, counted(6 + 7 * 33))
    assert [data[0] & 0xF for data in frames[1:]] == [k % 16 for k in range(1, 34)]
    assert bench.layer.remote_blocksize == 0
    assert bench.layer.tx_frame_length == 6 + 7 * 33


def test_one_mebibyte_in_fd_frames() -> None:
    bench = Bench(tx_data_length=64)
    payload = counted(1 << 20)
    assert transfer(bench, payload) == expected_frames(payload, 64, b"")


# --- Physical and functional --------------------------------------------------------------------------------


def test_functional_messages_go_to_the_functional_id() -> None:
    fixed = A(Mode.NormalFixed_29bits, target_address=0x55, source_address=0xAA)
    bench = Bench(fixed)
    assert bench.say(b"a", isotp.TargetAddressType.Functional) == ["18DB55AA#01 61"]
    assert bench.say(b"b", 1) == ["18DB55AA#01 62"]
    assert bench.say(b"c", isotp.TargetAddressType.Physical) == ["01 63"]
    assert bench.say(b"d", 0) == ["01 64"]
    assert bench.say(b"e") == ["01 65"]
    bench.layer.params.set("default_target_address_type", isotp.TargetAddressType.Functional)
    assert bench.say(b"f") == ["18DB55AA#01 66"]
    assert bench.say(b"g", 0) == ["01 67"]
    with pytest.raises(ValueError, match="2"):
        bench.layer.send(b"h", 2)


@pytest.mark.parametrize(
    ("address", "tx_dl", "limit"),
    [(NORMAL, 8, 7), (EXTENDED, 8, 6), (NORMAL, 12, 10), (NORMAL, 64, 62), (EXTENDED, 64, 61)],
)
def test_functional_messages_must_fit_a_single_frame(address: Any, tx_dl: int, limit: int) -> None:
    bench = Bench(address, tx_data_length=tx_dl)
    assert len(bench.say(counted(limit), 1)) == 1
    assert not bench.layer.transmitting()
    for payload in (counted(limit + 1), (iter(counted(limit + 1)), limit + 1)):
        with pytest.raises(ValueError, match=rf"{limit + 1} bytes.*{limit} bytes"):
            bench.layer.send(payload, isotp.TargetAddressType.Functional)
    assert not bench.layer.transmitting()


def test_functional_message_that_no_longer_fits_when_its_turn_comes() -> None:
    """It fitted a single frame of 64 bytes; a multi-frame message to all nodes there cannot be."""
    bench = Bench(tx_data_length=64)
    bench.layer.send(counted(20), isotp.TargetAddressType.Functional)
    request = bench.layer.tx_queue.get()
    bench.layer.tx_queue.put(request)
    bench.layer.params.set("tx_data_length", 8)
    assert bench.run() == []
    assert not bench.layer.transmitting()
    assert request.success is False
    assert bench.still_works()


# --- What can be sent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"abc",
        lambda: bytearray(b"abc"),
        lambda: memoryview(b"abc"),
        lambda: memoryview(b"aXbXcX")[::2],
        lambda: [97, 98, 99],
        lambda: (97, 98, 99),
        lambda: range(97, 100),
        lambda: {97: 1, 98: 2, 99: 3},
        lambda: (byte for byte in b"abc"),
        lambda: iter([97, 98, 99]),
        lambda: ((byte for byte in b"abc"), 3),
        lambda: (iter(b"abc"), 3),
        lambda: type("Bytes", (bytes,), {})(b"abc"),
    ],
    ids=lambda make: type(make()).__name__,
)
def test_kinds_of_payload(make: Callable[[], Any]) -> None:
    bench = Bench()
    assert bench.say(make()) == ["03 61 62 63"]


def test_array_counts_by_value() -> None:
    import array

    bench = Bench()
    assert bench.say(array.array("H", [1, 2, 255])) == ["03 01 02 FF"]
    with pytest.raises(ValueError, match="256"):
        bench.layer.send(array.array("H", [1, 256]))


def test_tuple_of_two_numbers_is_a_payload() -> None:
    bench = Bench()
    assert bench.say((1, 2)) == ["02 01 02"]


BAD_PAYLOADS = {
    "str": ("abc", "'abc'"),
    "int": (1234, "1234"),
    "float": (1.5, "1.5"),
    "None": (None, "None"),
    "bool": (True, "True"),
    "object": (Ellipsis, "Ellipsis"),
    "number above 255": ([1, 300], "300"),
    "number below 0": ([1, -7], "-7"),
    "list of str": (["x1"], "x1"),
    "list of floats": ([1.25], "1.25"),
    "list of None": ([1, None], "None"),
    "sized list": (([1], 1), r"\[1\]"),
    "sized bytes": ((b"abc", 3), "abc"),
    "triple": ((iter(b"a"), 1, 2), "iterator"),
    "negative size": ((iter(b"a"), -4), "-4"),
    "size of float": ((iter(b"a"), 1.5), "1.5"),
    "size of bool": ((iter(b"a"), True), "True"),
    "size of None": ((iter(b"a"), None), "None"),
    "size of str": ((iter(b"a"), "12"), "'12'"),
    "size above 2^32-1": ((iter(b"a"), 1 << 32), str(1 << 32)),
    "endless size": ((iter(b"a"), 1 << 80), str(1 << 80)),
}


@pytest.mark.parametrize(("data", "shown"), BAD_PAYLOADS.values(), ids=BAD_PAYLOADS.keys())
def test_bad_payloads_are_refused_by_send_with_the_value_in_the_message(data: Any, shown: str) -> None:
    bench = Bench()
    with pytest.raises(ValueError, match=shown):
        bench.layer.send(data)
    assert not bench.layer.transmitting()
    assert bench.still_works()


def test_iterable_that_raises() -> None:
    def broken() -> Any:
        yield 1
        raise OSError("disk")

    bench = Bench()
    with pytest.raises(OSError, match="disk"):
        bench.layer.send(broken())
    assert bench.still_works()


@pytest.mark.parametrize("data", [b"", [], (iter(b"abc"), 0)], ids=["bytes", "list", "generator"])
def test_empty_payload_is_done_with_nothing_sent(data: Any) -> None:
    requests: list[Any] = []
    bench = Bench()
    bench.layer.post_send_callback = requests.append
    bench.layer.send(data)
    bench.layer.send(b"x")
    assert bench.run() == ["01 78"]
    assert not bench.layer.transmitting()
    assert [request.success for request in requests] == [True, True]


def test_the_payload_is_copied_by_send() -> None:
    bench = Bench()
    data = bytearray(TEN)
    bench.layer.send(data)
    data[:] = b""
    bench.run()
    assert bench.hear(CTS) == [CF_10]


def test_messages_leave_in_order() -> None:
    bench = Bench()
    for data in (b"\x01", TEN, b"\x02"):
        bench.layer.send(data)
    assert bench.layer.tx_queue.qsize() == 3
    assert bench.run() == ["01 01", FF_10]
    assert bench.layer.transmitting()
    assert bench.hear(CTS) == [CF_10, "01 02"]
    assert not bench.layer.transmitting()


def test_post_send_callback_gets_the_request() -> None:
    requests: list[Any] = []
    bench = Bench()
    bench.layer.post_send_callback = requests.append
    bench.layer.send(TEN)
    (request,) = requests
    assert isinstance(request, isotp.TransportLayerLogic.SendRequest)
    assert (request.success, request.total_length, request.consumed_size) == (None, 10, 0)
    bench.run()
    assert bench.layer.active_send_request is request
    assert request.consumed_size == 6
    bench.hear(CTS)
    assert (request.success, request.consumed_size) == (True, 10)
    assert bench.layer.active_send_request is None
    assert request.complete_event.is_set()


def test_statistics_and_states_of_a_transfer() -> None:
    bench = Bench()
    state = bench.layer.TxState
    bench.layer.send(counted(20))
    assert bench.layer.tx_state is state.IDLE
    assert bench.layer.process().sent == 1
    assert bench.layer.tx_state is state.WAIT_FC
    assert not bench.layer.is_tx_transmitting_cf()
    assert bench.layer.next_cf_delay() is None
    bench.arrive("30 00 05")
    assert bench.layer.process().sent == 0
    assert bench.layer.tx_state is state.TRANSMIT_CF
    assert bench.layer.is_tx_transmitting_cf()
    assert bench.layer.next_cf_delay() == 0.005
    bench.wait(2 * MS)
    assert bench.layer.next_cf_delay() == 0.003
    bench.wait(4 * MS)
    assert bench.layer.next_cf_delay() == 0
    assert bench.layer.process().sent == 1
    assert (bench.layer.tx_seqnum, bench.layer.tx_block_counter) == (2, 1)
    bench.wait(5 * MS)
    assert bench.layer.process().sent == 1
    assert bench.layer.tx_state is state.IDLE


# --- Blocking send ------------------------------------------------------------------------------------------


class Sender:
    """A thread in a blocking send()."""

    def __init__(self, bench: Bench, data: Any, timeout: float | None = None) -> None:
        self.outcome: BaseException | None = None
        self.queued = threading.Event()
        bench.layer.post_send_callback = lambda request: self.queued.set()
        self.thread = threading.Thread(target=self.send, args=(bench, data, timeout), daemon=True)
        self.thread.start()
        assert self.queued.wait(20)

    def send(self, bench: Bench, data: Any, timeout: float | None) -> None:
        try:
            bench.layer.send(data, send_timeout=timeout)
        except Exception as error:
            self.outcome = error

    def result(self) -> BaseException | None:
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.outcome


@pytest.mark.parametrize("data", [b"", b"abc", TEN])
def test_blocking_send_returns_when_the_last_frame_is_out(data: bytes) -> None:
    bench = Bench(blocking_send=True)
    sender = Sender(bench, data)
    bench.run()
    if len(data) > 7:
        assert sender.thread.is_alive()
        bench.hear(CTS)
    assert sender.result() is None


def stopped(bench: Bench) -> None:
    bench.layer.stop_sending()


def reset(bench: Bench) -> None:
    bench.layer.reset()


def timed_out(bench: Bench) -> None:
    bench.wait(SECOND)
    bench.run()


def overflowed(bench: Bench) -> None:
    bench.hear("32 00 00")


def waited_too_often(bench: Bench) -> None:
    bench.hear("31 00 00", "31 00 00")


BUS_SIDE: list[tuple[Callable[[Bench], None], Any]] = [
    (stopped, None),
    (reset, None),
    (timed_out, errors.FlowControlTimeoutError),
    (overflowed, errors.OverflowError),
    (waited_too_often, errors.MaximumWaitFrameReachedError),
]


@pytest.mark.parametrize(("happens", "cause"), BUS_SIDE, ids=lambda value: getattr(value, "__name__", ""))
def test_blocking_send_fails_with_the_cause(happens: Callable[[Bench], None], cause: Any) -> None:
    bench = Bench(blocking_send=True, wftmax=1)
    sender = Sender(bench, TEN)
    assert bench.run() == [FF_10]
    happens(bench)
    failure = sender.result()
    assert type(failure) is errors.BlockingSendFailure
    assert "10 bytes" in str(failure)
    if cause is None:
        assert failure.__cause__ is None
        assert "stopped" in str(failure)
    else:
        assert type(failure.__cause__) is cause
        assert str(failure.__cause__) in str(failure)
    assert not bench.layer.transmitting()
    bench.layer.params.set("blocking_send", False)
    assert bench.still_works()


def test_blocking_send_fails_with_a_bad_generator_as_cause() -> None:
    bench = Bench(blocking_send=True)
    sender = Sender(bench, (iter(b"abc"), 5))
    assert bench.run() == []
    failure = sender.result()
    assert type(failure) is errors.BlockingSendFailure
    assert type(failure.__cause__) is errors.BadGeneratorError


def test_blocking_send_fails_with_the_exception_of_txfn_as_cause() -> None:
    broken = OSError("bus off")

    def txfn(message: isotp.CanMessage) -> None:
        raise broken

    bench = Bench(blocking_send=True, txfn=txfn)
    sender = Sender(bench, b"abc")
    with pytest.raises(OSError, match="bus off"):
        bench.layer.process()
    failure = sender.result()
    assert type(failure) is errors.BlockingSendFailure
    assert failure.__cause__ is broken


def test_blocking_send_times_out() -> None:
    bench = Bench(blocking_send=True)
    with pytest.raises(errors.BlockingSendTimeout, match=r"3 bytes not sent within 0 s \(0 bytes are\)"):
        bench.layer.send(b"abc", send_timeout=0)
    assert bench.run() == ["03 61 62 63"]  # the message stays in the queue
    assert issubclass(errors.BlockingSendTimeout, errors.BlockingSendFailure)


@pytest.mark.parametrize(
    "timeout", [float("inf"), 1e300, pytest.param(10**400, id="10**400"), threading.TIMEOUT_MAX], ids=repr
)
def test_blocking_send_with_a_timeout_beyond_all_time(timeout: float) -> None:
    bench = Bench(blocking_send=True)
    sender = Sender(bench, b"abc", timeout)
    assert bench.run() == ["03 61 62 63"]
    assert sender.result() is None


@pytest.mark.parametrize(
    ("timeout", "error"), [(float("nan"), ValueError), ("1", TypeError), (b"1", TypeError), ([], TypeError)]
)
def test_blocking_send_with_a_timeout_that_is_none(timeout: Any, error: type[Exception]) -> None:
    """Refused before the message is queued."""
    bench = Bench(blocking_send=True)
    with pytest.raises(error, match=rf"send_timeout must be .* not {re.escape(repr(timeout))}"):
        bench.layer.send(b"abc", send_timeout=timeout)
    assert bench.run() == []


@pytest.mark.parametrize(
    "timeout", [-1, pytest.param(-(10**400), id="-10**400"), float("-inf"), Fraction(0), Decimal(0)], ids=repr
)
def test_blocking_send_with_no_time_left(timeout: Any) -> None:
    bench = Bench(blocking_send=True)
    with pytest.raises(errors.BlockingSendTimeout):
        bench.layer.send(b"abc", send_timeout=timeout)
    assert bench.run() == ["03 61 62 63"]


def test_clear_tx_queue_releases_those_who_wait() -> None:
    bench = Bench(blocking_send=True)
    senders = [Sender(bench, b"abc"), Sender(bench, TEN)]
    bench.layer.clear_tx_queue()
    for sender in senders:
        assert type(sender.result()) is errors.BlockingSendFailure
    assert bench.run() == []
    assert not bench.layer.transmitting()


def test_reset_releases_all_who_wait() -> None:
    bench = Bench(blocking_send=True)
    senders = [Sender(bench, TEN)]
    bench.run()
    senders += [Sender(bench, TEN), Sender(bench, TEN)]
    bench.layer.reset()
    assert all(type(sender.result()) is errors.BlockingSendFailure for sender in senders)


@pytest.mark.parametrize("where", ["rxfn", "txfn", "error_handler", "generator", "is_for_me"])
def test_blocking_send_from_a_callback_is_refused(where: str) -> None:
    seen: list[str] = []

    def send_from(name: str, result: Any = None) -> Any:
        if name == where and not seen:
            with pytest.raises(RuntimeError, match="callback"):
                bench.layer.send(b"x", send_timeout=5)
            seen.append(name)
        return result

    class Asking(isotp.Address):
        def is_for_me(self, msg: Any) -> bool:
            send_from("is_for_me")
            return super().is_for_me(msg)

    def generator() -> Any:
        send_from("generator")
        yield 7

    bench = Bench(
        Asking(Mode.Normal_11bits, txid=0x123, rxid=0x456),
        rxfn=lambda: send_from("rxfn", bench.next_frame()),
        txfn=lambda message: send_from("txfn"),
        error_handler=lambda error: send_from("error_handler"),
    )
    bench.layer.send((generator(), 1))
    bench.layer.params.set("blocking_send", True)
    bench.hear("C0 00")
    bench.run()
    assert seen == [where]


def run_often(bench: Bench) -> None:
    for _ in range(3):
        bench.layer.process()


# --- txfn that raises ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "before"),
    [(b"abc", []), (TEN, []), (TEN, [FF_10]), (counted(20), 2)],
    ids=["SF", "FF", "CF", "CF 2"],
)
def test_txfn_that_raises_fails_the_message(data: bytes, before: Any) -> None:
    broken = OSError("bus off")
    good_frames = before if isinstance(before, int) else len(before)
    requests: list[Any] = []
    sent: list[Any] = []

    def txfn(message: isotp.CanMessage) -> None:
        if len(sent) == good_frames:
            raise broken
        sent.append(message)

    bench = Bench(txfn=txfn)
    bench.layer.post_send_callback = requests.append
    bench.layer.send(data)
    bench.arrive(CTS)
    with pytest.raises(OSError, match="bus off") as raised:
        run_often(bench)
    assert raised.value is broken
    (request,) = requests
    assert (request.success, request.failure) == (False, broken)
    assert not bench.layer.transmitting()
    assert bench.layer.active_send_request is None
    assert bench.layer.deadline_ns() is None
    assert bench.complaints() == []
    bench.layer.txfn = bench.messages.append
    bench.layer.send(b"next")
    bench.incoming.clear()
    assert bench.run() == ["04 6E 65 78 74"]


def test_next_message_goes_out_after_one_that_failed() -> None:
    results: list[Any] = [OSError("bus off"), None]
    sent: list[bytes] = []

    def txfn(message: isotp.CanMessage) -> None:
        result = results.pop(0)
        if result:
            raise result
        sent.append(message.data)

    bench = Bench(txfn=txfn)
    bench.layer.send(b"a")
    bench.layer.send(b"b")
    with pytest.raises(OSError, match="bus off"):
        bench.layer.process()
    bench.run()
    assert sent == [b"\x01b"]


def test_base_exceptions_of_txfn_propagate_too() -> None:
    def txfn(message: isotp.CanMessage) -> None:
        raise KeyboardInterrupt

    bench = Bench(txfn=txfn)
    bench.layer.send(b"a")
    with pytest.raises(KeyboardInterrupt):
        bench.layer.process()
    assert not bench.layer.transmitting()


def test_txfn_that_can_not_be_called() -> None:
    bench = Bench()
    bench.layer.txfn = None
    bench.layer.send(b"a")
    with pytest.raises(TypeError, match="NoneType"):
        bench.layer.process()
    bench.layer.txfn = bench.messages.append
    assert bench.still_works()


def test_what_txfn_returns_is_of_no_meaning() -> None:
    bench = Bench(txfn=lambda message: bench.messages.append(message) or object())
    assert bench.say(b"a") == ["01 61"]


# --- Stopping, from everywhere ------------------------------------------------------------------------------

STAGES: dict[str, Callable[[Bench], Any]] = {
    "idle": lambda bench: None,
    "queued": lambda bench: bench.layer.send(TEN),
    "WAIT_FC": lambda bench: bench.say(TEN),
    "TRANSMIT_CF": lambda bench: (bench.say(TEN), bench.hear("30 00 7F")),
    "generator": lambda bench: (bench.say((iter(TEN), 10)), bench.hear("30 00 7F")),
    "receiving too": lambda bench: (bench.say(TEN), bench.hear(FF_10)),
}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
def test_stop_sending_at_each_stage(stage: Callable[[Bench], Any]) -> None:
    bench = Bench()
    requests: list[Any] = []
    bench.layer.post_send_callback = requests.append
    stage(bench)
    bench.layer.stop_sending()
    assert bench.layer.tx_state is bench.layer.TxState.IDLE
    assert bench.layer.active_send_request is None
    if requests and not bench.layer.transmitting():
        assert (requests[0].success, requests[0].failure) == (False, None)
    bench.layer.stop_sending()
    assert bench.still_works()


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
def test_reset_at_each_stage(stage: Callable[[Bench], Any]) -> None:
    bench = Bench()
    requests: list[Any] = []
    bench.layer.post_send_callback = requests.append
    stage(bench)
    bench.layer.reset()
    assert not bench.layer.transmitting()
    assert not bench.layer.is_rx_active()
    assert [request.success for request in requests] == [False] * len(requests)
    bench.sent()
    bench.wait(10 * SECOND)
    assert bench.run() == []
    assert bench.complaints() == []
    assert bench.still_works()


def test_stop_sending_leaves_the_queue() -> None:
    bench = Bench()
    bench.layer.send(TEN)
    bench.layer.send(b"next")
    bench.run()
    bench.layer.stop_sending()
    assert bench.layer.transmitting()
    assert bench.run() == ["04 6E 65 78 74"]


@pytest.mark.parametrize("stop", ["stop_sending", "reset"])
@pytest.mark.parametrize("at_frame", [0, 1, 2])
@pytest.mark.parametrize(
    "source", [lambda: counted(20), lambda: (iter(counted(20)), 20)], ids=["bytes", "generator"]
)
def test_stopping_from_within_txfn(stop: str, at_frame: int, source: Callable[[], Any]) -> None:
    sent: list[bytes] = []

    def txfn(message: isotp.CanMessage) -> None:
        sent.append(message.data)
        if len(sent) == at_frame + 1:
            getattr(bench.layer, stop)()

    bench = Bench(txfn=txfn)
    requests: list[Any] = []
    bench.layer.post_send_callback = requests.append
    bench.layer.send(source())
    bench.run()
    if at_frame:
        bench.hear(CTS)
    assert len(sent) == at_frame + 1
    assert not bench.layer.transmitting()
    assert requests[0].success is False
    bench.layer.txfn = bench.messages.append
    assert bench.still_works()


def test_message_sent_from_within_txfn_after_a_stop_is_not_harmed() -> None:
    """The confirmation of the frame that was in txfn must not be taken for one of the next message."""

    def txfn(message: isotp.CanMessage) -> None:
        bench.messages.append(message)
        if message.data == octets(FF_10):
            bench.layer.stop_sending()
            bench.layer.send(b"next one!!")

    bench = Bench(txfn=txfn)
    assert bench.say(TEN) == [FF_10, "10 0A 6E 65 78 74 20 6F"]
    assert bench.hear(CTS) == ["21 6E 65 21 21"]


@pytest.mark.parametrize("stop", ["stop_sending", "reset"])
def test_stopping_from_within_rxfn(stop: str) -> None:
    bench = Bench(rxfn=lambda: stopping())

    def stopping() -> Any:
        if bench.incoming:
            getattr(bench.layer, stop)()
        return bench.next_frame()

    bench.say(TEN)
    assert bench.hear(CTS) == []
    assert bench.complaints() == [errors.UnexpectedFlowControlError]
    bench.layer.rxfn = bench.next_frame
    assert bench.still_works()


@pytest.mark.parametrize("stop", ["stop_sending", "reset"])
def test_stopping_from_within_the_error_handler(stop: str) -> None:
    bench = Bench(error_handler=lambda error: getattr(bench.layer, stop)())
    bench.say(counted(20))
    bench.hear("31 00 00")  # wftmax 0: an error that leaves the message alive
    assert not bench.layer.transmitting()
    assert bench.hear(CTS) == []
    assert bench.still_works()


def test_stop_sending_then_raising_from_within_txfn() -> None:
    def txfn(message: isotp.CanMessage) -> None:
        bench.layer.stop_sending()
        raise OSError("bus off")

    bench = Bench(txfn=txfn)
    bench.layer.send(TEN)
    with pytest.raises(OSError, match="bus off"):
        bench.layer.process()
    assert not bench.layer.transmitting()
    bench.layer.txfn = bench.messages.append
    assert bench.still_works()


def test_a_callback_may_send() -> None:
    answers = {b"\x01\x10": b"\x50", b"\x01\x11": b"\x51"}

    def txfn(message: isotp.CanMessage) -> None:
        bench.messages.append(message)
        if message.data in answers:
            bench.layer.send(answers[message.data])

    bench = Bench(txfn=txfn)
    assert bench.say(b"\x10") == ["01 10", "01 50"]
    assert bench.say(b"\x11") == ["01 11", "01 51"]


# --- At run time --------------------------------------------------------------------------------------------


def test_params_changed_between_messages() -> None:
    bench = Bench()
    assert bench.say(b"abc") == ["03 61 62 63"]
    bench.layer.params.tx_padding = 0xEE
    assert bench.say(b"abc") == ["03 61 62 63 EE EE EE EE"]
    bench.layer.params.set("tx_data_length", 64)
    assert bench.say(counted(20)) == ["00 14 " + words(counted(20)) + " EE EE"]
    bench.layer.params.set("ll_data_length", 8)
    assert bench.say(counted(20)) == ["10 14 00 01 02 03 04 05"]
    bench.layer.stop_sending()


def test_message_in_the_queue_takes_the_params_of_its_turn() -> None:
    bench = Bench()
    bench.layer.send(TEN)
    bench.layer.params.set("tx_data_length", 16)
    assert bench.run() == ["00 0A " + words(TEN)]


def test_set_address_at_run_time() -> None:
    bench = Bench()
    bench.say(b"a")
    bench.layer.set_address(EXTENDED)
    assert bench.say(b"b") == ["55 01 62"]
    bench.layer.set_address(A(Mode.Normal_29bits, txid=0x1234567, rxid=1))
    assert bench.say(b"c") == ["01234567#01 63"]


# --- Single steps, as the first generation had them ---------------------------------------------------------


def test_process_tx_gives_one_frame_at_a_time() -> None:
    bench = Bench()
    bench.layer.send(counted(20))
    bench.layer.send(b"z")

    def step() -> str | None:
        message = bench.layer.process_tx()
        return None if message is None else bench.text(message)

    assert step() == "10 14 00 01 02 03 04 05"
    assert step() is None
    bench.layer.process_rx(frame(CTS))
    assert step() == "21 06 07 08 09 0A 0B 0C"
    assert step() == "22 0D 0E 0F 10 11 12 13"
    assert step() == "01 7A"
    assert step() is None
    assert bench.messages == []
    assert bench.say(b"y") == ["01 79"]


def test_process_tx_with_a_generator_that_raises() -> None:
    def broken() -> Any:
        raise OSError("disk")
        yield 0

    bench = Bench()
    bench.layer.send((broken(), 5))
    with pytest.raises(OSError, match="disk"):
        bench.layer.process_tx()
    assert bench.say(b"y") == ["01 79"]


def test_process_tx_alone_notices_n_bs() -> None:
    """Who drives the layer by process_rx() and process_tx() hears of a missing flow control frame as well."""
    bench = Bench()
    bench.layer.send(TEN)
    assert bench.layer.process_tx() is not None
    bench.wait(SECOND)
    assert bench.layer.process_tx() is None
    assert bench.complaints() == [errors.FlowControlTimeoutError]
    assert not bench.layer.transmitting()


def test_make_tx_msg_and_its_kin() -> None:
    bench = Bench(tx_data_length=64, tx_padding=0x11, can_fd=True)
    message = bench.layer.make_tx_msg(0x7DF, b"123456789")
    assert (message.arbitration_id, message.data, message.dlc, message.is_fd) == (
        0x7DF,
        b"123456789\x11\x11\x11",
        9,
        True,
    )
    assert bench.layer.pad_message_data(b"\x01") == b"\x01"
    assert Bench(tx_padding=0).layer.pad_message_data(b"\x01") == b"\x01" + bytes(7)
    assert bench.layer.get_dlc(bytes(64)) == 15
    assert bench.layer.get_dlc(bytes(9)) == 9
    assert bench.layer.get_nearest_can_fd_size(33) == 48
    with pytest.raises(ValueError, match="65"):
        bench.layer.make_tx_msg(1, bytes(65))
    with pytest.raises(ValueError, match="65"):
        bench.layer.get_dlc(bytes(65))
    with pytest.raises(ValueError, match="above tx_data_length 8"):
        Bench().layer.get_dlc(bytes(9), validate_tx=True)
    bench.layer.params.tx_data_length = 32
    assert len(bench.layer.make_tx_msg(1, bytes(25)).data) == 32


def test_make_tx_msg_has_the_width_of_the_address() -> None:
    bench = Bench(A(Mode.Normal_29bits, txid=0x123, rxid=0x456))
    assert bench.layer.make_tx_msg(0x123, b"").is_extended_id


# --- Queue and memory ---------------------------------------------------------------------------------------


def test_many_messages_at_once() -> None:
    bench = Bench()
    for k in range(1000):
        bench.layer.send(k.to_bytes(2, "big"))
    assert bench.run() == [words([2, *k.to_bytes(2, "big")]) for k in range(1000)]


def test_long_bursts_give_reception_its_turn() -> None:
    """After 64 frames rxfn is asked, so that an Overflow in the middle of a block is seen."""
    bench = Bench()
    bench.say(counted(4095))
    bench.layer.txfn = lambda message: (
        bench.messages.append(message),
        len(bench.messages) == 10 and bench.arrive("32 00 00"),
    )
    sent = bench.hear(CTS)
    assert len(sent) == 64
    assert bench.complaints() == [errors.OverflowError]


def test_the_reader_of_a_started_layer_looks_for_frames_between_bursts() -> None:
    """Nobody else would while it sends a long message; it does not look where it has just done so, nor while idle."""
    asked: list[int] = []
    bench = Bench(rxfn=lambda timeout: asked.append(len(bench.messages)))
    bench.layer._set_driven(True, lambda deadline: None)
    bench.layer._set_reader()
    bench.layer.send(counted(6 + 7 * 200))
    bench.layer._drive()
    assert asked == []
    bench.layer._feed(bench.frame("30 64 00"))
    assert asked == [1, 65]
    bench.layer._feed(bench.frame("30 00 01"))
    assert asked == [1, 65, 101]
    bench.wait(MS)
    bench.layer._drive_unread()
    assert len(bench.messages) == 102
    assert asked == [1, 65, 101]
    bench.wait(MS)
    bench.layer._drive()
    assert asked == [1, 65, 101, 102]
