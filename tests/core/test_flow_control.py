"""The sender under flow control: BS, STmin, wait frames, overflow, N_Bs (ISO 15765-2:2016, 9.6.5 to 9.8)."""

from __future__ import annotations

from typing import Any

import pytest

import isotp
from isotp import errors
from tests.frames import MS, SECOND, US, Bench, Link, counted

TEN = bytes(range(10))
FF_10 = "10 0A 00 01 02 03 04 05"
CF_10 = "21 06 07 08 09"
CTS = "30 00 00"


def sender(size: int = 10, **params: Any) -> Bench:
    """A bench whose layer has sent the first frame of `size` bytes."""
    bench = Bench(**params)
    assert len(bench.say(counted(size))) == 1
    return bench


# --- BS -----------------------------------------------------------------------------------------------------


def test_block_size_zero_lets_everything_through_in_one_pass() -> None:
    bench = sender(4095)
    assert len(bench.hear(CTS)) == 585
    assert not bench.layer.transmitting()


@pytest.mark.parametrize("blocksize", [1, 2, 5, 8, 255])
def test_each_block_awaits_a_flow_control_frame(blocksize: int) -> None:
    bench = sender(4095)
    blocks = []
    while bench.layer.transmitting():
        blocks.append(len(bench.hear(f"30 {blocksize:02X} 00")))
        assert bench.run() == []
    assert sum(blocks) == 585
    assert set(blocks[:-1]) <= {blocksize}
    assert bench.errors == []
    assert bench.layer.remote_blocksize == blocksize


def test_each_flow_control_frame_brings_its_own_values() -> None:
    bench = sender(100)
    assert len(bench.hear("30 02 00")) == 2
    assert len(bench.hear("30 03 00")) == 3
    assert bench.hear("30 00 01") == []
    for _ in range(9):
        bench.wait(MS)
        assert len(bench.run()) == 1
    assert not bench.layer.transmitting()


def test_last_frame_at_the_end_of_a_block_needs_no_flow_control_frame() -> None:
    bench = sender(6 + 7)
    assert len(bench.hear("30 01 00")) == 1
    assert not bench.layer.transmitting()
    assert bench.layer.deadline_ns() is None


def test_flow_control_frame_in_the_middle_of_a_block_brings_values_only() -> None:
    bench = sender(100)
    assert bench.hear("30 04 0A") == []
    bench.wait(10 * MS)
    assert len(bench.run()) == 1
    assert bench.hear("30 02 01") == []  # it counts from the frame before
    assert bench.complaints() == []
    bench.wait(10 * MS)
    assert len(bench.run()) == 1
    assert bench.layer.tx_state is bench.layer.TxState.WAIT_FC  # the block is now full


@pytest.mark.parametrize("longer", [True, False])
def test_stmin_that_comes_in_the_middle_of_a_block_holds_for_the_gap_that_runs(longer: bool) -> None:
    """As in can-isotp: the next frame goes the new STmin after the last one."""
    b = Bench()
    b.say(counted(30))
    b.hear("30 00 05")
    b.wait(5 * MS)
    assert len(b.run()) == 1
    b.wait(2 * MS)
    assert b.hear("30 00 08" if longer else "30 00 03") == []
    b.wait(6 * MS - 1 if longer else MS - 1)
    assert b.run() == []
    b.wait(1)
    assert len(b.run()) == 1


def test_both_sides_of_one_transfer() -> None:
    for blocksize in (0, 1, 7, 8):
        link = Link(params_there={"blocksize": blocksize})
        link.here.layer.send(counted(4095))
        link.run()
        assert link.there.received() == [counted(4095)]
        assert link.here.errors == link.there.errors == []


def test_all_blocks_go_in_one_pass_where_the_answers_are_there() -> None:
    def txfn(message: isotp.CanMessage) -> None:
        frames.append(message)
        bench.arrive("30 01 00")

    frames: list[isotp.CanMessage] = []
    bench = Bench(txfn=txfn)
    bench.layer.send(counted(30))
    bench.layer.process()
    assert len(frames) == 5


# --- STmin --------------------------------------------------------------------------------------------------

STMIN = {0x00: 0, 0x01: MS, 0x7F: 127 * MS, 0xF1: 100 * US, 0xF5: 500 * US, 0xF9: 900 * US}


@pytest.mark.parametrize(("stmin", "ns"), [item for item in STMIN.items() if item[1]])
def test_stmin_to_the_nanosecond(stmin: int, ns: int) -> None:
    bench = sender(6 + 7 * 3)
    assert bench.hear(f"30 00 {stmin:02X}") == []  # the first consecutive frame waits as well
    for _ in range(3):
        assert bench.layer.deadline_ns() == bench.clock.ns + ns
        bench.wait(ns - 1)
        assert bench.run() == []
        bench.wait(1)
        assert len(bench.run()) == 1
    assert not bench.layer.transmitting()


def test_frames_are_never_nearer_than_stmin_however_slow_txfn_is() -> None:
    began: list[int] = []
    ended: list[int] = []

    def txfn(message: isotp.CanMessage) -> None:
        began.append(bench.clock.ns)
        bench.wait(3 * MS)
        ended.append(bench.clock.ns)

    bench = Bench(txfn=txfn)
    bench.layer.send(counted(100))
    bench.run()
    bench.hear("30 05 01")
    while bench.layer.transmitting():
        before = len(began)
        bench.layer.process()
        if len(began) == before and bench.layer.tx_state is bench.layer.TxState.WAIT_FC:
            bench.hear("30 05 01")
        bench.wait(10 * US)
    assert len(began) == 15
    gaps = [b - a for a, b in zip(ended[1:-1], began[2:], strict=True)]
    assert min(gaps) >= MS
    assert max(gaps) <= MS + 20 * US


def test_stmin_of_a_block_counts_from_its_flow_control_frame() -> None:
    bench = sender(100)
    bench.hear("30 01 0A")
    bench.wait(10 * MS)
    assert len(bench.run()) == 1
    bench.wait(500 * MS)
    assert bench.hear("30 01 0A") == []
    bench.wait(10 * MS - 1)
    assert bench.run() == []
    bench.wait(1)
    assert len(bench.run()) == 1


def test_clock_that_moves_on_while_frames_are_sent() -> None:
    """Frames that became due while a pass was running leave in that pass."""
    bench = Bench()
    bench.layer.txfn = lambda message: bench.messages.append(message)
    bench.say(counted(30))
    bench.hear("30 00 01")
    bench.layer.clock = lambda: bench.wait(600 * US) or bench.clock.ns
    sent = []
    for _ in range(20):
        sent += bench.run()
    assert len(sent) == 4


@pytest.mark.parametrize(
    ("params", "ns"),
    [
        ({"override_receiver_stmin": 0}, 0),
        ({"override_receiver_stmin": 0.0}, 0),
        ({"override_receiver_stmin": 0.0025}, 2_500_000),
        ({"override_receiver_stmin": 2}, 2 * SECOND),
        ({"squash_stmin_requirement": True}, 0),
        ({"squash_stmin_requirement": True, "override_receiver_stmin": 0.5}, 500 * MS),
        ({"squash_stmin_requirement": False}, 50 * MS),
    ],
)
def test_stmin_of_the_receiver_overridden(params: dict[str, Any], ns: int) -> None:
    bench = sender(20, rx_flowcontrol_timeout=10_000, **params)
    if ns == 0:
        assert len(bench.hear("30 00 32")) == 2
        return
    assert bench.hear("30 00 32") == []
    bench.wait(ns - 1)
    assert bench.run() == []
    bench.wait(1)
    assert len(bench.run()) == 1


def test_override_for_ever() -> None:
    bench = sender(20, override_receiver_stmin=1e300)
    assert bench.hear("30 00 00") == []
    bench.wait(10**9 * SECOND)
    assert bench.run() == []
    assert bench.layer.next_cf_delay() > 0


@pytest.mark.parametrize("stmin", ["80", "F0", "FA", "FF"])
def test_a_reserved_stmin_is_the_longest_one(stmin: str) -> None:
    """9.6.5.5, until the end of the message."""
    bench = sender(27)
    bench.hear(f"30 01 {stmin}")
    bench.wait(127 * MS - 1)
    assert bench.run() == []
    bench.wait(1)
    assert len(bench.run()) == 1
    bench.hear("30 00 01")
    bench.wait(127 * MS - 1)
    assert bench.run() == []
    bench.wait(1)
    assert len(bench.run()) == 1
    assert bench.complaints() == []


# --- N_Bs ---------------------------------------------------------------------------------------------------


def test_n_bs_at_its_edge() -> None:
    bench = sender()
    bench.wait(SECOND - 1)
    assert bench.hear(CTS) == [CF_10]
    bench = sender()
    bench.wait(SECOND)
    assert bench.hear(CTS) == []
    assert bench.complaints() == [errors.FlowControlTimeoutError, errors.UnexpectedFlowControlError]
    assert not bench.layer.transmitting()
    assert bench.still_works()


@pytest.mark.parametrize("blocksize", [1, 2, 3])
def test_n_bs_begins_when_the_last_frame_of_a_block_is_sent(blocksize: int) -> None:
    def txfn(message: isotp.CanMessage) -> None:
        bench.wait(100 * MS)

    bench = Bench(txfn=txfn)
    bench.say(counted(100))
    assert bench.layer.deadline_ns() == bench.clock.ns + SECOND
    bench.hear(f"30 {blocksize:02X} 00")
    assert bench.layer.tx_state is bench.layer.TxState.WAIT_FC
    assert bench.layer.deadline_ns() == bench.clock.ns + SECOND


def test_n_bs_fires_once_and_without_a_frame() -> None:
    bench = sender(rx_flowcontrol_timeout=250)
    assert bench.layer.deadline_ns() == bench.clock.ns + 250 * MS
    bench.wait(250 * MS - 1)
    bench.run()
    assert bench.complaints() == []
    bench.wait(1)
    bench.run()
    assert "6 of 10" in str(bench.layer.last_error)
    assert bench.complaints() == [errors.FlowControlTimeoutError]
    assert bench.layer.active_send_request is None
    bench.wait(SECOND)
    bench.run()
    assert bench.complaints() == []


def test_n_bs_runs_anew_for_each_block() -> None:
    bench = sender(30)
    for _ in range(4):
        assert bench.layer.tx_state is bench.layer.TxState.WAIT_FC
        bench.wait(SECOND - 1)
        assert len(bench.hear("30 01 00")) == 1
    assert not bench.layer.transmitting()
    assert bench.errors == []


def test_n_bs_counts_from_when_txfn_returned() -> None:
    bench = Bench(txfn=lambda message: bench.wait(400 * MS) or bench.messages.append(message))
    bench.say(counted(20))
    bench.wait(SECOND - 1)
    assert len(bench.hear("30 01 00")) == 1
    bench.wait(SECOND - 1)
    assert len(bench.hear("30 01 00")) == 1
    assert bench.errors == []


def test_next_message_starts_in_the_pass_of_the_time_out() -> None:
    bench = sender()
    bench.layer.send(b"next")
    bench.wait(SECOND)
    assert bench.run() == ["04 6E 65 78 74"]
    assert bench.complaints() == [errors.FlowControlTimeoutError]


def test_n_bs_does_not_run_while_consecutive_frames_are_sent() -> None:
    bench = sender(20, rx_flowcontrol_timeout=10)
    bench.hear("30 00 7F")
    for _ in range(2):
        bench.wait(127 * MS)
        assert len(bench.run()) == 1
    assert bench.errors == []


def test_n_bs_is_noticed_even_without_reception() -> None:
    bench = sender()
    bench.wait(SECOND)
    bench.layer.process(do_rx=False)
    assert bench.complaints() == [errors.FlowControlTimeoutError]


def test_n_bs_waits_for_a_pass_that_sends() -> None:
    bench = sender()
    bench.wait(SECOND)
    bench.layer.process(do_tx=False)
    assert bench.complaints() == []
    bench.layer.process()
    assert bench.complaints() == [errors.FlowControlTimeoutError]


def test_late_flow_control_frame_of_a_waiting_rxfn() -> None:
    bench = Bench(rxfn=lambda timeout: bench.wait(int(timeout * SECOND)) or bench.next_frame())
    bench.layer.send(TEN)
    bench.layer.process()
    bench.arrive(CTS)
    bench.layer.process(rx_timeout=1.0)
    assert bench.complaints() == [errors.FlowControlTimeoutError, errors.UnexpectedFlowControlError]


def test_start_rx_fc_timer() -> None:
    bench = sender()
    bench.wait(SECOND - 1)
    bench.layer.start_rx_fc_timer()
    bench.wait(SECOND - 1)
    assert bench.hear(CTS) == [CF_10]
    bench.layer.start_rx_fc_timer()
    assert bench.layer.deadline_ns() is None


def test_n_bs_error_handler_that_raises() -> None:
    def handler(error: Exception) -> None:
        raise RuntimeError("handler")

    bench = Bench(error_handler=handler)
    requests: list[Any] = []
    bench.layer.post_send_callback = requests.append
    bench.say(TEN)
    bench.wait(SECOND)
    with pytest.raises(RuntimeError, match="handler"):
        bench.layer.process()
    assert type(requests[0].failure) is errors.FlowControlTimeoutError
    assert not bench.layer.transmitting()
    assert bench.say(b"x") == ["01 78"]


def test_the_timers_as_objects() -> None:
    bench = sender(20)
    bench.layer.clock = None
    bench.layer.start_rx_fc_timer()
    assert 0 < bench.layer.timer_rx_fc.remaining() <= 1.0
    assert not bench.layer.timer_rx_fc.is_timed_out()
    assert bench.layer.timer_tx_stmin.is_stopped()
    assert bench.layer.timer_rx_cf.is_stopped()
    bench.hear("30 00 7F", "10 0A 00 01 02 03 04 05")
    assert bench.layer.timer_rx_fc.is_stopped()
    assert 0 < bench.layer.timer_tx_stmin.remaining() <= 0.127
    assert 0 < bench.layer.timer_rx_cf.remaining() <= 1.0


# --- Wait frames --------------------------------------------------------------------------------------------


def test_wait_frame_without_wftmax_is_an_error_but_not_the_end() -> None:
    bench = sender()
    assert bench.hear("31 00 00") == []
    assert bench.complaints() == [errors.UnsupportedWaitFrameError]
    bench.wait(SECOND - 1)
    assert bench.hear(CTS) == [CF_10]


def test_ignored_wait_frame_does_not_start_n_bs_anew() -> None:
    bench = sender()
    bench.wait(SECOND - 1)
    bench.hear("31 00 00")
    bench.wait(1)
    assert bench.hear(CTS) == []
    assert bench.complaints()[:2] == [errors.UnsupportedWaitFrameError, errors.FlowControlTimeoutError]


@pytest.mark.parametrize("wftmax", [1, 2, 5])
def test_wait_frames_up_to_wftmax(wftmax: int) -> None:
    bench = sender(wftmax=wftmax)
    for k in range(wftmax):
        bench.wait(SECOND - 1)
        assert bench.hear("31 00 00") == []
        assert bench.layer.wft_counter == k + 1
    bench.wait(SECOND - 1)
    assert bench.hear(CTS) == [CF_10]
    assert bench.errors == []


@pytest.mark.parametrize("wftmax", [1, 2, 5])
def test_one_wait_frame_too_many(wftmax: int) -> None:
    bench = sender(wftmax=wftmax)
    for _ in range(wftmax):
        bench.hear("31 00 00")
    assert bench.complaints() == []
    bench.hear("31 00 00")
    assert bench.complaints() == [errors.MaximumWaitFrameReachedError]
    assert str(wftmax) in str(bench.layer.last_error)
    assert not bench.layer.transmitting()
    assert bench.still_works()


def test_wait_frames_count_in_a_row() -> None:
    bench = sender(30, wftmax=1)
    for _ in range(4):
        assert bench.hear("31 00 00") == []
        assert len(bench.hear("30 01 00")) == 1
        assert bench.layer.wft_counter == 0
    assert bench.errors == []


def test_wait_frames_count_anew_for_each_message() -> None:
    bench = sender(wftmax=1)
    bench.hear("31 00 00")
    bench.layer.stop_sending()
    bench.say(TEN)
    assert bench.hear("31 00 00") == []
    assert bench.complaints() == []


def test_wait_frame_in_the_middle_of_a_block_stops_the_flow() -> None:
    bench = sender(30, wftmax=1)
    bench.hear("30 00 05")
    bench.wait(5 * MS)
    assert len(bench.run()) == 1
    assert bench.hear("31 00 00") == []
    assert bench.layer.tx_state is bench.layer.TxState.WAIT_FC
    bench.wait(100 * MS)
    assert bench.run() == []
    assert len(bench.hear(CTS)) == 3
    assert bench.errors == []


def test_wait_frame_then_silence() -> None:
    bench = sender(wftmax=3)
    bench.wait(900 * MS)
    bench.hear("31 00 00")
    bench.wait(SECOND)
    bench.run()
    assert bench.complaints() == [errors.FlowControlTimeoutError]


# --- Overflow; flow control frames that nobody waits for ----------------------------------------------------


@pytest.mark.parametrize(
    "state", ["IDLE", "WAIT_FC", "TRANSMIT_CF", "TRANSMIT_SF_STANDBY", "TRANSMIT_FF_STANDBY"]
)
def test_overflow_in_each_state(state: str) -> None:
    bench = Bench(rate_limit_max_bitrate=100 * 8, rate_limit_window_size=1.0)
    if state.endswith("STANDBY"):
        bench.layer.params.set("rate_limit_enable", True)
        bench.layer.load_params()
        bench.layer.rate_limiter.inform_byte_sent(100)
        bench.layer.clock = None  # the limiter has counted by the clock of the system
        bench.say(TEN if "FF" in state else b"a")
    elif state != "IDLE":
        bench.say(TEN)
        if state == "TRANSMIT_CF":
            bench.hear("30 00 7F")
    assert bench.layer.tx_state.name == state
    assert bench.hear("32 00 00") == []
    assert bench.complaints() == [errors.OverflowError]
    assert bench.layer.tx_state.name == "IDLE"
    assert not bench.layer.transmitting()


def test_overflow_while_idle_in_listen_mode() -> None:
    bench = Bench(listen_mode=True)
    bench.hear("32 00 00")
    assert bench.complaints() == [errors.OverflowError]


def test_overflow_lets_the_next_message_go() -> None:
    bench = sender()
    bench.layer.send(b"next")
    assert bench.hear("32 00 00") == ["04 6E 65 78 74"]


@pytest.mark.parametrize("text", ["30 00 00", "31 00 00"])
def test_flow_control_frame_while_idle(text: str) -> None:
    bench = Bench(wftmax=1)
    assert bench.hear(text) == []
    assert bench.complaints() == [errors.UnexpectedFlowControlError]
    assert bench.still_works()


def test_flow_control_frame_while_receiving_leaves_the_reception_alone() -> None:
    bench = Bench()
    bench.hear(FF_10, CTS, CF_10)
    assert bench.complaints() == [errors.UnexpectedFlowControlError]
    assert bench.received() == [TEN]


def test_malformed_flow_control_frame_leaves_the_transmission_alone() -> None:
    bench = sender()
    bench.hear("30 00", "33 00 00", "3F 00 00")
    assert bench.complaints() == [errors.InvalidCanDataError] * 3
    assert bench.hear(CTS) == [CF_10]


# Heard after the first frame of 20 bytes
SENTENCES = {
    "32 00 00": "the receiver reports that a message of 20 bytes overflows its buffer",
    "31 00 00, 31 00 00, 31 00 00": "the receiver asked to wait more than 2 times in a row",
    "33 00 00": "flow status 3 is reserved",
    "R 35 00 00": "flow status 5 is reserved; transmission stopped",
    "R 32 00 00": "the receiver reports that a message of 20 bytes overflows its buffer",
    "R 30 00 7F, 31 00 00": "flow control frame (flow status 1), but no message waits for it",
    "R 30 00 7F, 34 00 00": "flow status 4 is reserved",
}


@pytest.mark.parametrize(("text", "sentence"), SENTENCES.items())
def test_the_sentence_of_an_error_has_its_numbers(text: str, sentence: str) -> None:
    bench = sender(20, wftmax=2, strict=text.startswith("R "))
    bench.hear(*text.removeprefix("R ").split(", "))
    assert [str(error)[: len(sentence)] for error in bench.errors] == [sentence]


# --- Both directions at once --------------------------------------------------------------------------------


def test_both_directions_at_once() -> None:
    link = Link(params_here={"blocksize": 3, "stmin": 2}, params_there={"blocksize": 4, "stmin": 0xF3})
    link.here.layer.send(counted(500))
    link.there.layer.send(counted(300))
    link.run(step_ns=100 * US)
    assert link.there.received() == [counted(500)]
    assert link.here.received() == [counted(300)]
    assert link.here.errors == link.there.errors == []


def test_process_in_halves() -> None:
    bench = Bench()
    bench.layer.send(TEN)
    bench.arrive(FF_10)
    bench.layer.process(do_rx=False)
    assert bench.sent() == [FF_10]
    assert len(bench.incoming) == 1
    bench.layer.process(do_tx=False)
    assert bench.sent() == []
    bench.layer.process(do_rx=False)
    assert bench.sent() == ["30 08 00"]


def test_the_half_that_sends_does_not_judge_what_was_received() -> None:
    bench = Bench()
    bench.hear(FF_10)
    bench.wait(SECOND)
    bench.layer.process(do_rx=False)
    assert bench.complaints() == []
    assert bench.layer.is_rx_active()
    bench.layer.process(do_tx=False)
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError]


def test_what_came_is_heard_before_a_message_goes_on() -> None:
    """Whatever waits behind it; a message that begins goes at once."""
    bench = Bench()
    bench.say(counted(30))
    bench.hear("30 00 0A")
    bench.layer.send(b"a")
    bench.wait(10 * MS)
    assert bench.hear("32 00 00") == ["01 61"]
    assert bench.complaints() == [errors.OverflowError]


def test_sleep_time_follows_the_states() -> None:
    bench = Bench()
    assert bench.layer.sleep_time() == 0.02
    bench.say(counted(20))
    assert bench.layer.sleep_time() == 0.005
    bench.hear("30 00 7F")
    assert bench.layer.sleep_time() == 0.001
    bench.layer.set_sleep_timing(0.3, 0.2)
    bench.layer.reset()
    assert bench.layer.sleep_time() == 0.3
    bench.say(counted(20))
    assert bench.layer.sleep_time() == 0.2


def test_repr_tells_the_states() -> None:
    bench = sender()
    assert "rx:IDLE tx:WAIT_FC" in repr(bench.layer)
    assert "0x123" in repr(bench.layer)


# --- A receiver that never sends flow control --------------------------------------------------------------


def test_without_flow_control_all_frames_follow_the_first() -> None:
    bench = Bench(tx_flow_control=False)
    assert bench.say(counted(20)) == [
        "10 14 00 01 02 03 04 05",
        "21 06 07 08 09 0A 0B 0C",
        "22 0D 0E 0F 10 11 12 13",
    ]
    assert not bench.layer.transmitting()
    assert bench.complaints() == []


def test_without_flow_control_there_are_no_blocks() -> None:
    """Nor those that a message before had."""
    bench = Bench()
    bench.say(counted(20))
    assert bench.hear("30 01 00") == ["21 06 07 08 09 0A 0B 0C"]
    assert bench.hear("30 01 00") == ["22 0D 0E 0F 10 11 12 13"]
    bench.layer.params.tx_flow_control = False
    assert len(bench.say(counted(20))) == 3
    assert not bench.layer.transmitting()


def test_without_flow_control_the_gap_is_ours() -> None:
    bench = Bench(tx_flow_control=False, override_receiver_stmin=0.01)
    assert bench.say(counted(20)) == ["10 14 00 01 02 03 04 05"]
    bench.wait(10 * MS - 1)
    assert bench.run() == []
    bench.wait(1)
    assert bench.run() == ["21 06 07 08 09 0A 0B 0C"]
    bench.wait(10 * MS)
    assert bench.run() == ["22 0D 0E 0F 10 11 12 13"]


def test_flow_control_that_comes_unasked_changes_nothing() -> None:
    bench = Bench(tx_flow_control=False, override_receiver_stmin=0.01)
    bench.say(counted(30))
    bench.wait(10 * MS)
    assert bench.hear("30 01 7F", "31 00 00") == ["21 06 07 08 09 0A 0B 0C"]
    bench.wait(10 * MS)
    assert bench.run() == ["22 0D 0E 0F 10 11 12 13"]
    assert bench.complaints() == []


def test_overflow_counts_all_the_same() -> None:
    bench = Bench(tx_flow_control=False, override_receiver_stmin=0.01)
    bench.say(counted(30))
    assert bench.hear("32 00 00") == []
    assert bench.complaints() == [isotp.OverflowError]
    assert not bench.layer.transmitting()


def test_flow_control_that_is_awaited_already_still_counts() -> None:
    bench = Bench()
    bench.say(counted(10))
    bench.layer.params.tx_flow_control = False
    assert bench.hear("30 00 00") == ["21 06 07 08 09"]


@pytest.mark.parametrize("params", [{"listen_mode": True}, {"tx_flow_control": False}])
@pytest.mark.parametrize("strict", [False, True])
def test_flow_control_frames_that_are_not_ours_to_judge(params: dict[str, Any], strict: bool) -> None:
    bench = Bench(strict=strict, wftmax=1, **params)
    assert bench.hear("30 00 00", "31 00 00") == []
    assert bench.complaints() == []
