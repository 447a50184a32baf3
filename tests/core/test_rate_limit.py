"""The rate limiter: alone by the system's clock, and in a layer whose time stands still."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import isotp
from isotp import errors
from isotp.protocol import RateLimiter
from tests.frames import HERE, MS, SECOND, Bench, counted, words

UNLIMITED = 0xFFFFFFFF


def limited(capacity: int, address: Any = HERE, **params: Any) -> Bench:
    """A bench whose layer may send `capacity` bytes within a second."""
    return Bench(
        address,
        rate_limit_enable=True,
        rate_limit_max_bitrate=capacity * 8,
        rate_limit_window_size=1.0,
        **params,
    )


# --- Alone --------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    limiter = RateLimiter()
    assert (limiter.mean_bitrate, limiter.window_size_sec) == (10_000_000, 0.1)
    assert limiter.enabled
    assert limiter.allowed_bytes() == 125_000
    assert RateLimiter.TIME_SLOT_LENGTH == 0.005


def test_bytes_are_counted() -> None:
    limiter = RateLimiter(mean_bitrate=8000, window_size_sec=3600)
    assert limiter.allowed_bytes() == 3_600_000
    limiter.inform_byte_sent(600_000)
    assert limiter.allowed_bytes() == 3_000_000
    limiter.inform_byte_sent(0.5)
    assert limiter.allowed_bytes() == 2_999_999
    limiter.update()
    assert limiter.allowed_bytes() == 2_999_999
    limiter.inform_byte_sent(5_000_000)
    assert limiter.allowed_bytes() == 0
    limiter.reset()
    assert limiter.allowed_bytes() == 3_600_000


def test_bytes_are_forgotten_after_the_window() -> None:
    limiter = RateLimiter(mean_bitrate=8e12, window_size_sec=1e-9)
    assert limiter.allowed_bytes() == 1000
    limiter.inform_byte_sent(800)
    began = isotp._core.monotonic_ns()
    while isotp._core.monotonic_ns() - began < 10:
        pass
    limiter.update()
    assert limiter.allowed_bytes() == 1000


def test_disabled() -> None:
    limiter = RateLimiter(8000, 3600)
    limiter.disable()
    assert not limiter.enabled
    limiter.inform_byte_sent(1000)
    assert limiter.allowed_bytes() == UNLIMITED
    limiter.enable()
    assert limiter.enabled
    assert limiter.allowed_bytes() == 3_600_000


def test_more_than_a_counter_holds() -> None:
    limiter = RateLimiter(mean_bitrate=10**30, window_size_sec=1e9)
    assert limiter.allowed_bytes() == UNLIMITED
    limiter.inform_byte_sent(1e12)
    assert limiter.allowed_bytes() == UNLIMITED


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf, "fast", None, True])
def test_values_that_make_no_sense(bad: Any) -> None:
    for limiter in (RateLimiter(bad, 1), RateLimiter(1, bad)):
        assert not limiter.can_be_enabled()
        assert not limiter.enabled
        assert limiter.allowed_bytes() == UNLIMITED
        with pytest.raises(ValueError, match=str(bad)):
            limiter.enable()
        limiter.reset()
    assert RateLimiter(1, 1).can_be_enabled()


def test_set_bitrate_starts_anew() -> None:
    limiter = RateLimiter(8000, 3600)
    limiter.inform_byte_sent(1000)
    limiter.set_bitrate(800)
    assert limiter.mean_bitrate == 800
    assert limiter.allowed_bytes() == 360_000


def test_set_bitrate_refuses_what_makes_no_sense() -> None:
    limiter = RateLimiter(8000, 3600)
    with pytest.raises(ValueError, match="-5"):
        limiter.set_bitrate(-5)
    assert limiter.mean_bitrate == 8000
    assert limiter.allowed_bytes() == 3_600_000


@pytest.mark.parametrize("capacity", [15, 100])
def test_deadline_is_that_of_stmin_while_there_is_enough(capacity: int) -> None:
    bench = limited(capacity)
    bench.say(counted(20))
    assert bench.hear("30 00 01") == []
    assert bench.layer.deadline_ns() == bench.clock.ns + MS


# --- In a layer ---------------------------------------------------------------------------------------------


def test_off_by_default() -> None:
    bench = Bench()
    assert not bench.layer.rate_limiter.enabled
    assert not bench.layer.is_tx_throttled()
    assert bench.layer.tx_standby_msg is None


def test_single_frame_on_standby() -> None:
    bench = limited(10)
    assert bench.say(counted(7)) == [words([7, *counted(7)])]
    assert bench.say(b"ab") == []  # three bytes where two may go
    assert bench.layer.tx_state is bench.layer.TxState.TRANSMIT_SF_STANDBY
    assert bench.layer.is_tx_throttled()
    assert bench.text(bench.layer.tx_standby_msg) == "02 61 62"
    assert bench.layer.transmitting()
    bench.wait(SECOND)
    assert bench.run() == []
    bench.wait(1)
    assert bench.run() == ["02 61 62"]
    assert not bench.layer.is_tx_throttled()
    assert bench.layer.tx_standby_msg is None


def test_single_frame_with_an_extension_byte_on_standby() -> None:
    """It counts as all bytes of the frame do."""
    extended = isotp.Address(
        isotp.AddressingMode.Extended_11bits, txid=0x123, rxid=0x456, target_address=0x55, source_address=0xAA
    )
    bench = limited(12, extended)
    assert bench.say(counted(3)) == ["55 03 00 01 02"]
    assert bench.say(counted(6)) == []
    bench.wait(SECOND + 1)
    assert bench.run() == ["55 06 00 01 02 03 04 05"]


def test_first_frame_on_standby() -> None:
    bench = limited(10)
    bench.say(b"ab")
    assert bench.say(counted(20)) == []
    assert bench.layer.tx_state is bench.layer.TxState.TRANSMIT_FF_STANDBY
    assert bench.text(bench.layer.tx_standby_msg) == "10 14 00 01 02 03 04 05"
    assert bench.layer.deadline_ns() == bench.clock.ns + SECOND + 1
    bench.wait(SECOND + 1)
    assert bench.run() == ["10 14 00 01 02 03 04 05"]
    assert bench.layer.tx_state is bench.layer.TxState.WAIT_FC


def test_consecutive_frames_are_held_back() -> None:
    bench = limited(16)
    assert len(bench.say(counted(30))) == 1
    assert len(bench.hear("30 00 00")) == 1
    assert bench.layer.tx_state is bench.layer.TxState.TRANSMIT_CF
    assert not bench.layer.is_tx_throttled()
    assert bench.layer.deadline_ns() == bench.clock.ns + SECOND + 1
    bench.wait(SECOND + 1)
    assert len(bench.run()) == 2
    bench.wait(SECOND + 1)
    assert bench.run() == ["24 1B 1C 1D"]
    assert not bench.layer.transmitting()
    assert bench.errors == []


def test_consecutive_frame_needs_room_for_its_payload_only() -> None:
    bench = limited(15)
    bench.say(counted(13))
    assert len(bench.hear("30 00 00")) == 1


def test_padding_is_not_asked_for_but_counted() -> None:
    bench = limited(10, tx_padding=0)
    assert bench.say(b"a") == ["01 61 00 00 00 00 00 00"]
    assert bench.say(b"b") == ["01 62 00 00 00 00 00 00"]  # 2 bytes are left, and 2 are needed
    assert bench.say(b"c") == []


def test_flow_control_frames_pass_and_are_not_counted() -> None:
    bench = limited(8)
    bench.say(counted(7))
    assert bench.say(b"a") == []
    for _ in range(5):
        assert bench.hear("10 0A 00 01 02 03 04 05") == ["30 08 00"]
    bench.wait(SECOND + 1)
    assert bench.run() == ["01 61"]


def test_generated_payload_on_standby() -> None:
    bench = limited(8)
    bench.say(counted(7))
    assert bench.say((iter(counted(20)), 20)) == []
    for _ in range(3):
        assert bench.run() == []
    assert bench.text(bench.layer.tx_standby_msg) == "10 14 00 01 02 03 04 05"
    bench.wait(SECOND + 1)
    assert bench.run() == ["10 14 00 01 02 03 04 05"]
    assert bench.hear("30 00 00") == []
    bench.wait(SECOND + 1)
    assert bench.run() == ["21 06 07 08 09 0A 0B 0C"]
    bench.wait(SECOND + 1)
    assert bench.run() == ["22 0D 0E 0F 10 11 12 13"]


@pytest.mark.parametrize("stop", ["stop_sending", "reset"])
def test_stopping_while_on_standby(stop: str) -> None:
    bench = limited(8)
    bench.say(counted(7))
    bench.say(b"a")
    getattr(bench.layer, stop)()
    assert not bench.layer.transmitting()
    assert not bench.layer.is_tx_throttled()
    bench.wait(SECOND + 1)
    assert bench.run() == []


def test_reset_forgets_what_was_sent() -> None:
    bench = limited(8)
    bench.say(counted(7))
    bench.layer.reset()
    assert len(bench.say(counted(7))) == 1


def test_what_a_reset_forgot_is_not_given_back_later() -> None:
    """... when it would have left the window."""
    bench = limited(16)
    bench.say(counted(7))
    bench.layer.rate_limiter.reset()
    bench.wait(900 * MS)
    assert len(bench.say(counted(7))) == 1
    bench.wait(101 * MS)
    assert len(bench.say(counted(7))) == 1
    assert bench.say(counted(7)) == []


def test_standby_message_follows_the_params() -> None:
    """A message that waits for the limiter is sent in the form that fits when it goes."""
    bench = limited(64, tx_data_length=64)
    bench.say(counted(62))
    assert bench.say(counted(20)) == []
    assert bench.layer.tx_state is bench.layer.TxState.TRANSMIT_SF_STANDBY
    bench.layer.params.set("tx_data_length", 8)
    assert bench.run() == []
    assert bench.layer.tx_state is bench.layer.TxState.TRANSMIT_FF_STANDBY
    bench.wait(SECOND + 1)
    assert bench.run() == ["10 14 00 01 02 03 04 05"]


def test_standby_message_that_has_come_to_fit_a_single_frame() -> None:
    bench = limited(64)
    bench.say(counted(7))
    bench.layer.rate_limiter.set_bitrate(64 * 8)
    for _ in range(8):
        bench.say(counted(7))
    assert bench.say(counted(20)) == []
    assert bench.layer.tx_state is bench.layer.TxState.TRANSMIT_FF_STANDBY
    bench.layer.params.set("tx_data_length", 64)
    bench.wait(SECOND + 1)
    assert bench.run() == [words([0, 20, *counted(20), 0xCC, 0xCC])]
    assert not bench.layer.transmitting()


def test_standby_message_with_a_new_address() -> None:
    bench = limited(8)
    bench.say(counted(7))
    assert bench.say(counted(7)) == []
    extended = isotp.Address(
        isotp.AddressingMode.Extended_11bits, txid=0x123, rxid=0x456, target_address=0x55, source_address=0xAA
    )
    bench.layer.set_address(extended)
    bench.wait(SECOND + 1)
    assert bench.run() == ["55 10 07 00 01 02 03 04"]


def test_overflow_while_on_standby() -> None:
    bench = limited(8)
    bench.say(counted(7))
    bench.say(b"a")
    bench.hear("32 00 00")
    assert bench.complaints() == [errors.OverflowError]
    bench.wait(SECOND + 1)
    assert bench.run() == []


@pytest.mark.parametrize("payload", [b"a", counted(20)], ids=["SF", "FF"])
def test_flow_control_frame_while_on_standby(payload: bytes) -> None:
    bench = limited(8)
    bench.say(counted(7))
    assert bench.say(payload) == []
    assert bench.hear("30 00 00", "31 00 00") == []
    assert bench.complaints() == [errors.UnexpectedFlowControlError] * 2
    bench.wait(SECOND + 1)
    assert len(bench.run()) == 1


def test_load_params_switches_it() -> None:
    bench = limited(8)
    bench.say(counted(7))
    assert bench.say(b"a") == []
    bench.layer.params.set("rate_limit_enable", False)
    bench.layer.load_params()
    assert bench.run() == ["01 61"]
    bench.layer.params.set("rate_limit_enable", True)
    bench.layer.load_params()
    assert bench.layer.rate_limiter.enabled
    assert bench.layer.rate_limiter.allowed_bytes() == 8


def test_a_limiter_that_is_disabled_amid_a_message_delays_nothing() -> None:
    bench = limited(8)
    bench.say(counted(20))
    bench.hear("30 00 00")
    assert bench.layer._frame_delay_ns() == SECOND + 1
    bench.layer.rate_limiter.disable()
    assert bench.layer._frame_delay_ns() == 0
    assert bench.run() == ["21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13"]


@pytest.mark.parametrize(
    ("bitrate", "window"),
    [
        pytest.param(10**400, 0.2, id="10**400"),
        pytest.param(10**308, 1e300, id="both large"),
        pytest.param(10**400, 10**308, id="both integers"),
        (True, 64.0),
        (64, 1),
    ],
    ids=repr,
)
def test_any_rate_that_is_accepted_limits(bitrate: int, window: float) -> None:
    """Also one beyond what a float can be, and a True that counts as 1."""
    bench = Bench(rate_limit_enable=True, rate_limit_max_bitrate=bitrate, rate_limit_window_size=window)
    assert bench.layer.rate_limiter.enabled
    assert bench.layer.rate_limiter.allowed_bytes() == (8 if bitrate <= 64 else 0xFFFFFFFF)
    assert bench.say(counted(7)) == ["07 00 01 02 03 04 05 06"]


@pytest.mark.parametrize("number", [10**400, 10**308], ids=["10**400", "10**308"])
def test_numbers_beyond_those_of_a_float_on_the_limiter_itself(number: int) -> None:
    limiter = RateLimiter(number, number)
    assert limiter.enabled
    limiter.set_bitrate(number)
    assert limiter.allowed_bytes() == 0xFFFFFFFF


def test_window_too_small_for_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="rate_limit_max_bitrate"):
        limited(7)


@pytest.mark.parametrize(
    "frame_ns",
    [lambda k: 0, lambda k: 300_000, lambda k: MS, lambda k: MS if k < 60 else 0],
    ids=["no time", "300 us", "1 ms", "slow at first"],
)
@pytest.mark.parametrize("stmin", ["00", "01"])
def test_no_window_holds_more_than_its_share(frame_ns: Callable[[int], int], stmin: str) -> None:
    """Over any window (and the one slot by which it is counted) no more than the limit, and not much less.

    The bus takes `frame_ns(k)` for frame k: what txfn takes, the clock shows.
    """
    capacity = 800  # bytes in a window of 200 ms: 32 kbit/s
    sent: list[tuple[int, int]] = []

    def txfn(message: isotp.CanMessage) -> None:
        bench.wait(frame_ns(len(sent)))
        sent.append((bench.clock.ns, len(message.data)))

    bench = Bench(
        txfn=txfn, rate_limit_enable=True, rate_limit_max_bitrate=capacity * 8 * 5, rate_limit_window_size=0.2
    )
    bench.layer.send(counted(4095))
    bench.layer.process()
    bench.arrive(f"30 00 {stmin}")
    while bench.layer.transmitting():
        bench.layer.process()
        bench.wait(100_000)
    window = 200 * MS - 5 * MS
    worst = max(
        sum(size for at, size in sent[k:] if at - start < window) for k, (start, _) in enumerate(sent)
    )
    assert worst <= capacity
    assert sum(size for _, size in sent) == 4095 + 2 + 585
    seconds = (sent[-1][0] - sent[0][0]) / 1e9
    assert seconds <= 4682 / (capacity * 5) * 1.1 + 4 * 0.001 * (stmin == "01") * 585 / 4 + 0.2


def test_many_slots() -> None:
    """The ring of slots grows, wraps and shrinks without losing count: checked against a plain list."""
    capacity = 1000
    bench = Bench(rate_limit_enable=True, rate_limit_max_bitrate=capacity * 8, rate_limit_window_size=1.0)
    model: list[tuple[int, int]] = []  # (start of slot, bytes)
    for k in range(1500):
        bench.wait((3 + k % 7) * MS)
        now = bench.clock.ns
        model = [(start, size) for start, size in model if now - start <= SECOND]
        size = 1 + k % 7
        expected = capacity - sum(s for _, s in model) >= size + 1
        assert bool(bench.say(counted(size))) is expected, k
        if expected:
            if model and now - model[-1][0] < 5 * MS:
                model[-1] = (model[-1][0], model[-1][1] + size + 1)
            else:
                model.append((now, size + 1))
        else:
            bench.layer.stop_sending()
    assert len(model) > 64


def test_each_slot_is_counted_until_the_window_is_over() -> None:
    """What is left is exact after each frame, also when the ring of slots grows while it is wrapped."""
    capacity = 1_000_000
    window = 500 * MS
    bench = Bench(rate_limit_enable=True, rate_limit_max_bitrate=capacity * 16, rate_limit_window_size=0.5)
    slots: list[tuple[int, int, int]] = []  # (first frame, last frame, bytes)
    # A slot alone, for which each edge comes; few slots in a window, then more and more; all are forgotten.
    gaps = [600, 4, 500, 1, 500, 501, 5, 495, *[30] * 40, *[5, 2, 3, 5, 4] * 60, 600]
    most = 0
    for gap in gaps:
        bench.wait(gap * MS)
        now = bench.clock.ns
        assert len(bench.say(b"abc")) == 1
        while slots and now - slots[0][1] > window:
            del slots[0]
        if slots and now - slots[-1][0] < 5 * MS:
            slots[-1] = slots[-1][0], now, slots[-1][2] + 4
        else:
            slots.append((now, now, 4))
        assert bench.layer.rate_limiter.allowed_bytes() == capacity - sum(size for _, _, size in slots)
        most = max(most, len(slots))
    assert most > 64


def test_what_is_no_number_is_forgotten_after_the_window() -> None:
    limiter = RateLimiter(mean_bitrate=8e12, window_size_sec=1e-9)
    limiter.inform_byte_sent(math.nan)
    began = isotp._core.monotonic_ns()
    while isotp._core.monotonic_ns() - began < 10:
        pass
    limiter.update()
    assert limiter.allowed_bytes() == 1000


def test_what_is_no_number_counts_as_too_much() -> None:
    limiter = RateLimiter(1_000_000, 1.0)
    limiter.enable()
    limiter.inform_byte_sent(math.nan)
    assert limiter.allowed_bytes() == 0
    limiter.reset()
    assert limiter.allowed_bytes() > 0
