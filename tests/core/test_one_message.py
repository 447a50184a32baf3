"""What one message may have of its own: parameters, a place before others, one between the frames of another."""

from __future__ import annotations

from typing import Any

import pytest

import isotp
from isotp.params import UnknownParameterError
from isotp.protocol import TryAgain
from tests.core.test_confirmation import N_AS, EchoBench
from tests.frames import MS, Bench, counted

FIXED = isotp.Address(isotp.AddressingMode.NormalFixed_29bits, target_address=0x10, source_address=0xF1)
FUNCTIONAL = isotp.TargetAddressType.Functional
TESTER_PRESENT = b"\x3e\x80"
PRESENT = "18DB10F1#02 3E 80"


def say(bench: Bench, data: Any, *args: Any, **kwargs: Any) -> list[str]:
    bench.layer.send(data, *args, **kwargs)
    return bench.run()


# --- parameters of one message ---


def test_one_message_in_classic_frames_on_a_fd_layer() -> None:
    bench = Bench(can_fd=True, bitrate_switch=True, tx_data_length=64)
    bench.layer.send(counted(10))
    bench.layer.send(counted(10), params={"can_fd": False, "bitrate_switch": False, "tx_data_length": 8})
    bench.layer.process()
    bench.arrive("30 00 00")
    bench.layer.process()
    bench.layer.send(b"a")
    bench.layer.process()
    assert [(m.is_fd, m.bitrate_switch, len(m.data)) for m in bench.messages] == [
        (True, True, 12),
        (False, False, 8),
        (False, False, 5),
        (True, True, 2),
    ]


def test_one_message_in_fd_frames_on_a_classic_layer() -> None:
    bench = Bench()
    bench.layer.send(counted(40), params={"can_fd": True, "tx_data_length": 64})
    bench.layer.process()
    assert [(m.is_fd, len(m.data)) for m in bench.messages] == [(True, 48)]
    assert bench.layer.params.tx_data_length == 8


def test_padding_of_one_message() -> None:
    bench = Bench(tx_padding=0xAA)
    assert say(bench, b"a", params={"tx_padding": 0x55}) == ["01 61 55 55 55 55 55 55"]
    assert say(bench, b"a", params={"tx_padding": None}) == ["01 61"]
    assert say(bench, b"a") == ["01 61 AA AA AA AA AA AA"]


def test_stmin_of_one_message() -> None:
    bench = Bench()
    assert len(say(bench, counted(20), params={"override_receiver_stmin": 0.003})) == 1
    bench.hear("30 00 7F")
    bench.wait(3 * MS)
    assert len(bench.run()) == 1
    bench.wait(3 * MS)
    assert len(bench.run()) == 1
    assert not bench.layer.transmitting()
    assert len(say(bench, counted(20))) == 1
    bench.hear("30 00 7F")
    bench.wait(127 * MS - 1)
    assert len(bench.run()) <= 1


def test_the_parameters_of_the_layer_may_change_meanwhile() -> None:
    """A message with parameters of its own keeps all that it began with."""
    bench = Bench(tx_padding=0xAA)
    say(bench, counted(20), params={"tx_padding": 0x55})
    bench.layer.params.set("tx_padding", 0x11)
    assert bench.hear("30 00 00") == ["21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13"]
    say(bench, counted(8), params={"tx_padding": 0x55})
    bench.layer.params.set("tx_padding", 0x22)
    assert bench.hear("30 00 00") == ["21 06 07 55 55 55 55 55"]
    assert say(bench, b"a") == ["01 61 22 22 22 22 22 22"]


def test_they_wait_with_the_message() -> None:
    bench = Bench()
    bench.layer.send(counted(10))
    bench.layer.send(b"a", params={"tx_padding": 0})
    bench.run()
    assert bench.hear("30 00 00") == ["21 06 07 08 09", "01 61 00 00 00 00 00 00"]


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"stmin": 1}, ValueError, "stmin is the layer's"),
        ({"tx_paddin": 1}, UnknownParameterError, "tx_padding"),
        ({"tx_padding": 256}, ValueError, "tx_padding must be"),
        ({"tx_data_length": 9}, ValueError, "tx_data_length must be"),
        ({"tx_data_min_length": 12}, ValueError, "must not be above tx_data_length"),
        ([("tx_padding", 1)], TypeError, "mapping"),
    ],
)
def test_parameters_that_can_not_be(params: Any, error: type[Exception], words: str) -> None:
    bench = Bench()
    with pytest.raises(error, match=words):
        bench.layer.send(b"a", params=params)
    assert bench.run() == []


def test_a_wait_function_is_not_tried_for_each_message() -> None:
    waits: list[float] = []
    bench = Bench(wait_func=waits.append)
    assert waits == [0.001]
    say(bench, b"a", params={"tx_padding": 0})
    assert waits == [0.001]


def test_what_fits_is_judged_by_the_parameters_of_the_message() -> None:
    bench = Bench(FIXED, tx_data_length=64, can_fd=True)
    with pytest.raises(ValueError, match="up to 7 bytes"):
        bench.layer.send(counted(8), FUNCTIONAL, params={"can_fd": False, "tx_data_length": 8})
    assert len(say(bench, counted(8), FUNCTIONAL)) == 1


# --- priority ---


def test_priority_goes_before_what_waits() -> None:
    bench = Bench()
    for data in (b"a", b"b"):
        bench.layer.send(data)
    for data in (b"1", b"2"):
        bench.layer.send(data, priority=True)
    bench.layer.send(b"c")
    assert bench.run() == ["01 31", "01 32", "01 61", "01 62", "01 63"]


def test_a_long_queue_with_priority() -> None:
    bench = Bench()
    for k in range(40):
        bench.layer.send(bytes([k]), priority=k % 3 == 0)
    ahead = [k for k in range(40) if k % 3 == 0]
    assert bench.run() == [f"01 {k:02X}" for k in (*ahead, *(k for k in range(40) if k % 3))]


def test_priority_does_not_break_a_message_off() -> None:
    bench = Bench()
    say(bench, counted(20))
    assert say(bench, b"a", priority=True) == []
    assert len(bench.hear("30 01 00")) == 1
    assert bench.hear("30 00 00") == ["22 0D 0E 0F 10 11 12 13", "01 61"]


def test_what_has_priority_can_be_withdrawn_and_cleared() -> None:
    bench = Bench()
    bench.layer.send(b"a")
    first, second = (bench.layer._submit(data, None, None, priority=True) for data in (b"1", b"2"))
    assert bench.layer._withdraw(first)
    bench.layer.send(b"3", priority=True)
    assert bench.run() == ["01 32", "01 33", "01 61"]
    assert (first.success, second.success) == (False, True)
    bench.layer.send(b"4", priority=True)
    bench.layer.clear_tx_queue()
    bench.layer.send(b"b")
    bench.layer.send(b"5", priority=True)
    assert bench.run() == ["01 35", "01 62"]


# --- a functional message between the frames of another one ---


def amid(**params: Any) -> Bench:
    """A bench that has sent the First Frame of a long message."""
    bench = Bench(FIXED, **params)
    assert len(bench.say(counted(60))) == 1
    return bench


def present(bench: Bench, **kwargs: Any) -> list[str]:
    return say(bench, TESTER_PRESENT, FUNCTIONAL, priority=True, **kwargs)


def test_while_flow_control_is_awaited() -> None:
    bench = amid()
    assert present(bench) == [PRESENT]
    assert len(bench.hear("30 00 00")) == 8


def test_within_stmin() -> None:
    bench = amid()
    bench.hear("30 00 0A")
    bench.wait(10 * MS)
    assert len(bench.run()) == 1
    bench.wait(4 * MS)
    assert present(bench) == [PRESENT]
    bench.wait(6 * MS - 1)
    assert bench.run() == []
    bench.wait(1)
    assert bench.run() == ["22 0D 0E 0F 10 11 12 13"]
    assert bench.layer.stats.messages_sent == 1


def test_several_of_them() -> None:
    bench = amid()
    for _ in range(3):
        bench.layer.send(TESTER_PRESENT, FUNCTIONAL, priority=True)
    assert bench.run() == [PRESENT] * 3


def test_without_priority_it_waits_for_its_turn() -> None:
    bench = amid()
    assert bench.say(TESTER_PRESENT, FUNCTIONAL) == []
    assert bench.hear("30 00 00")[-1] == PRESENT


def test_behind_a_physical_one_with_priority_it_waits() -> None:
    bench = amid()
    assert say(bench, b"a", priority=True) == []
    assert present(bench) == []
    assert bench.hear("30 00 00")[-2:] == ["01 61", PRESENT]


def test_a_generator_waits_for_the_end_of_the_message() -> None:
    bench = amid()
    assert say(bench, (iter(TESTER_PRESENT), 2), FUNCTIONAL, priority=True) == []
    assert bench.hear("30 00 00")[-1] == PRESENT


def test_its_own_parameters() -> None:
    bench = amid(tx_padding=0)
    assert present(bench, params={"tx_padding": None}) == [PRESENT]


def test_it_may_not_fit_any_more() -> None:
    bench = Bench(FIXED, can_fd=True, tx_data_length=64)
    bench.say(counted(200))
    request = bench.layer._submit(counted(30), FUNCTIONAL, None, priority=True)
    bench.layer.params.update({"tx_data_length": 8})
    assert bench.run() == []
    assert isinstance(request.failure, ValueError)
    assert bench.layer.transmitting()


def test_the_bus_may_have_no_room_for_it() -> None:
    taken: list[isotp.CanMessage] = []
    is_full = False

    def txfn(message: isotp.CanMessage) -> None:
        if is_full:
            raise TryAgain
        taken.append(message)

    bench = Bench(FIXED, txfn=txfn)
    bench.say(counted(60))
    request = bench.layer._submit(TESTER_PRESENT, FUNCTIONAL, None, priority=True)
    is_full = True
    bench.run()
    assert request.success is None
    is_full = False
    bench.wait(MS)
    bench.run()
    assert request.success is True
    bench.hear("30 00 00")
    assert len(taken) == 10
    assert not bench.layer.transmitting()


def test_a_bus_that_stays_full_fails_it_and_not_the_other() -> None:
    is_full = False

    def txfn(message: isotp.CanMessage) -> None:
        if is_full:
            raise TryAgain

    bench = Bench(FIXED, txfn=txfn, rx_flowcontrol_timeout=60_000)
    bench.say(counted(60))
    request = bench.layer._submit(TESTER_PRESENT, FUNCTIONAL, None, priority=True)
    is_full = True
    for _ in range(3):
        bench.run()
        bench.wait(N_AS)
    bench.run()
    assert isinstance(request.failure, isotp.TransmitTimeoutError)
    assert bench.complaints() == [isotp.TransmitTimeoutError]
    assert bench.layer.transmitting()
    is_full = False
    bench.hear("30 00 00")
    assert not bench.layer.transmitting()


def test_a_txfn_that_raises_fails_it_and_not_the_other() -> None:
    raises = False

    def txfn(message: isotp.CanMessage) -> None:
        if raises:
            raise KeyError("no bus")

    bench = Bench(FIXED, txfn=txfn)
    bench.say(counted(60))
    request = bench.layer._submit(TESTER_PRESENT, FUNCTIONAL, None, priority=True)
    raises = True
    with pytest.raises(KeyError, match="no bus"):
        bench.run()
    assert isinstance(request.failure, KeyError)
    raises = False
    bench.hear("30 00 00")
    assert not bench.layer.transmitting()


def test_the_rate_limiter_counts_it() -> None:
    bench = Bench(FIXED, rate_limit_enable=True, rate_limit_max_bitrate=80 * 8, rate_limit_window_size=0.1)
    bench.say(counted(60))  # the window allows 8 bytes: they are used up
    assert present(bench) == []
    deadline = bench.layer.deadline_ns()
    assert deadline is not None
    bench.wait(deadline - bench.clock.ns)
    assert bench.run() == [PRESENT]


# --- and with confirmation ---


def test_it_is_sent_when_its_echo_comes() -> None:
    bench = EchoBench(address=FIXED)
    bench.say(counted(60))
    request = bench.layer._submit(TESTER_PRESENT, FUNCTIONAL, None, priority=True)
    assert bench.run() == [PRESENT]
    bench.echo()
    assert request.success is None
    bench.wait(3 * MS)
    bench.echo()
    assert (request.success, request.sent_ns) == (True, bench.clock.ns)
    assert len(bench.hear("30 00 00")) == 8
    bench.echo(8)
    assert not bench.layer.transmitting()


def test_its_echo_confirms_what_went_before() -> None:
    bench = EchoBench(address=FIXED, rx_flowcontrol_timeout=100)
    bench.say(counted(60))
    bench.layer.send(TESTER_PRESENT, FUNCTIONAL, priority=True)
    bench.run()
    bench.taken.popleft()  # the echo of the First Frame is lost
    bench.echo()
    assert bench.layer.deadline_ns() == bench.clock.ns + 100 * MS  # N_Bs


def test_no_echo_fails_both() -> None:
    bench = EchoBench(address=FIXED)
    bench.say(counted(60))
    request = bench.layer._submit(TESTER_PRESENT, FUNCTIONAL, None, priority=True)
    bench.run()
    bench.wait(N_AS)
    bench.run()
    assert bench.complaints() == [isotp.TransmitTimeoutError]
    assert isinstance(request.failure, isotp.TransmitTimeoutError)
    assert not bench.layer.transmitting()


def test_no_echo_fails_it_after_the_message_has_ended() -> None:
    bench = EchoBench(address=FIXED)
    bench.say(counted(60))
    request = bench.layer._submit(TESTER_PRESENT, FUNCTIONAL, None, priority=True)
    bench.run()
    bench.layer.stop_sending()
    bench.wait(N_AS)
    bench.run()
    assert bench.complaints() == [isotp.TransmitTimeoutError]
    assert request.success is False


def test_who_gives_it_up_need_not_wait_for_its_echo() -> None:
    bench = EchoBench(address=FIXED)
    bench.say(counted(60))
    request = bench.layer._submit(TESTER_PRESENT, FUNCTIONAL, None, priority=True)
    bench.run()
    assert bench.layer._withdraw(request)
    assert request.success is False
    assert not bench.layer._withdraw(request)
    bench.echo(2)
    assert request.success is False
