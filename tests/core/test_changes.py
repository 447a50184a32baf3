"""Address and parameters that change in the middle of a message, by whom- and whenever.

The receiver never takes a wrong message for good, and the sender never says of a message that it went if it did not.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isotp
from isotp import errors
from isotp._core import TryAgain
from tests.frames import HERE, MS, SECOND, Bench, counted, frame, octets, words

A, Mode = isotp.Address, isotp.AddressingMode
CTS = "30 00 00"
FF_20 = "10 14 00 01 02 03 04 05"
TEN = counted(10)
FD = {"can_fd": True}

ELSEWHERE = A(Mode.Normal_11bits, txid=0x223, rxid=0x556)
EXTENDED = A(Mode.Extended_11bits, txid=0x123, rxid=0x456, target_address=0x55, source_address=0xAA)
SAME_EARS = A(Mode.Normal_11bits, txid=0x223, rxid=0x456)
MIXED, OTHER_MIXED = (
    A(Mode.Mixed_29bits, target_address=0x10, source_address=0xF1, address_extension=extension)
    for extension in (0x21, 0x22)
)
FIXED, FIXED_WITH_OTHER_BASE = (
    A(Mode.NormalFixed_29bits, target_address=0x10, source_address=0xF1, functional_id=base)
    for base in (0x18DB0000, 0x18DC0000)
)


class Moving(Bench):
    """A bench whose txfn calls `amid`, a list of functions, one with each frame, while the bus has that frame."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, txfn=self.take, **kwargs)
        self.amid: list[Callable[[], Any] | None] = []
        self.refuses = 0

    def take(self, message: isotp.CanMessage) -> None:
        change = self.amid.pop(0) if self.amid else None
        if change is not None:
            change()
        if self.refuses:
            self.refuses -= 1
            raise TryAgain("full")
        self.messages.append(message)

    def submit(self, data: Any, address_type: int | None = None) -> Any:
        return self.layer._submit(data, address_type, None)

    def set_now(self, name: str, value: Any) -> None:
        """Change a parameter, and have it read at once, as the send() of another thread does."""
        self.layer.params.set(name, value)
        self.layer.make_flow_control()


# --- The address, while sending -----------------------------------------------------------------------------


@pytest.mark.parametrize("new", [ELSEWHERE, EXTENDED, SAME_EARS], ids=["other IDs", "extended", "other txid"])
def test_the_address_changes_while_the_bus_has_the_first_frame(new: isotp.Address) -> None:
    """7 bytes need a First Frame with an address byte, and none without: the message goes on as it began."""
    bench = Moving(EXTENDED if new is not EXTENDED else HERE)
    payload = counted(7 if new is not EXTENDED else 20)
    bench.amid = [lambda: bench.layer.set_address(new)]
    request = bench.submit(payload)
    (first,) = bench.run()
    assert octets(first)[bench.address.get_rx_prefix_size()] >> 4 == 1
    for _ in range(3):
        assert bench.run() == []
    assert bench.layer.tx_state is bench.layer.TxState.WAIT_FC
    assert request.success is None


@pytest.mark.parametrize("frames_before", [0, 1, 2])
def test_the_address_changes_while_the_bus_has_a_consecutive_frame(frames_before: int) -> None:
    """Without further Flow Control the message goes whole to where it began."""
    bench = Moving()
    request = bench.submit(counted(27))
    sent = bench.run()
    bench.amid = [None] * frames_before + [lambda: bench.layer.set_address(ELSEWHERE)]
    sent += bench.hear(CTS)
    assert sent[1:] == [words([0x21 + k, *counted(27)[6 + 7 * k : 13 + 7 * k]]) for k in range(3)]
    assert request.success
    assert bench.say(b"a") == ["223#01 61"]


def test_the_message_that_waits_takes_the_new_address() -> None:
    bench = Moving()
    bench.submit(b"one")
    bench.submit(b"two")
    bench.amid = [lambda: bench.layer.set_address(ELSEWHERE)]
    assert bench.run() == ["03 6F 6E 65", "223#03 74 77 6F"]


@pytest.mark.parametrize("status", ["30 00 00", "30 01 05", "31 00 00", "32 00 00"])
@pytest.mark.parametrize("params", [{}, {"wftmax": 3}, {"strict": True}], ids=str)
def test_flow_control_on_the_new_address_is_for_no_message_of_the_old_one(
    status: str, params: dict[str, Any]
) -> None:
    bench = Bench(**params)
    request = bench.layer._submit(counted(20), None, None)
    assert bench.run() == [FF_20]
    bench.layer.set_address(ELSEWHERE)
    assert bench.hear(frame("556#" + status)) == []
    assert bench.complaints() == [errors.InvalidCanDataError]
    # On the old one nothing is heard any more.
    assert bench.hear(frame("456#" + status)) == []
    assert bench.complaints() == []
    assert request.success is None
    bench.wait(SECOND)
    bench.run()
    assert bench.complaints() == [errors.FlowControlTimeoutError]
    assert request.success is False
    assert bench.say(b"a") == ["223#01 61"]


@pytest.mark.parametrize(
    ("old", "new", "here", "there"),
    [
        (HERE, EXTENDED, "456#AA ", "456#"),
        (EXTENDED, HERE, "456#", "456#AA "),
        (MIXED, OTHER_MIXED, "18CEF110#22 ", "18CEF110#21 "),
        (FIXED, FIXED_WITH_OTHER_BASE, "18DAF110#", "18DAF110#"),
    ],
    ids=["address byte", "no address byte", "another address byte", "another functional ID"],
)
def test_the_same_identifier_is_not_yet_the_same_address(old: Any, new: Any, here: str, there: str) -> None:
    """Frames that go on with a message of the old address, but are the new one's."""
    bench = Bench(old, strict=True)
    bench.say(counted(20))
    first = octets("10 09 00 01 02 03 04 05")[: 8 - old.get_rx_prefix_size()]
    bench.hear(frame(there + words(first)))
    bench.sent()
    bench.layer.set_address(new)
    assert bench.hear(frame(here + CTS), frame(here + "21 06 07 08 09 00 00")) == []
    assert bench.complaints() == [errors.InvalidCanDataError] * 2
    assert bench.received() == []


def test_flow_control_on_the_new_address_between_the_frames_of_a_block() -> None:
    bench = Bench()
    request = bench.layer._submit(counted(20), None, None)
    bench.run()
    assert bench.hear("30 00 0A") == []
    bench.layer.set_address(ELSEWHERE)
    bench.hear(frame("556#32 00 00"), frame("556#30 01 00"))
    assert bench.complaints() == [errors.InvalidCanDataError] * 2
    for gap in ("21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13"):
        bench.wait(10 * MS)
        assert bench.run() == [gap]
    assert request.success


def test_flow_control_counts_where_both_addresses_hear_it() -> None:
    bench = Bench()
    bench.say(counted(20))
    bench.layer.set_address(SAME_EARS)
    assert bench.hear("30 01 00") == ["21 06 07 08 09 0A 0B 0C"]
    assert bench.hear(CTS) == ["22 0D 0E 0F 10 11 12 13"]
    assert bench.say(b"a") == ["223#01 61"]


def test_back_on_the_address_that_the_message_began_with() -> None:
    bench = Bench()
    bench.say(counted(20))
    bench.layer.set_address(ELSEWHERE)
    bench.layer.set_address(SAME_EARS)
    bench.layer.set_address(A(Mode.Normal_11bits, txid=0x123, rxid=0x456))
    assert bench.hear(CTS) == ["21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13"]
    assert bench.complaints() == []


def test_a_further_address_does_not_count_as_new() -> None:
    """As in can-isotp, Flow Control is taken from any address that the layer hears."""
    bench = Bench()
    bench.layer.receive_also([A(rxid=0x7DF, rx_only=True)])
    bench.say(counted(20))
    bench.layer.set_address(ELSEWHERE)
    assert bench.hear(frame("7DF#" + CTS)) == ["21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13"]


def test_a_first_frame_that_did_not_go_is_made_anew() -> None:
    bench = Moving(EXTENDED)
    bench.refuses = 1
    bench.amid = [lambda: bench.layer.set_address(HERE)]
    request = bench.submit(counted(7))
    assert bench.run() == []
    bench.wait(MS)
    assert bench.run() == ["07 00 01 02 03 04 05 06"]
    assert request.success


def test_a_single_frame_that_did_not_go_becomes_a_first_frame() -> None:
    bench = Moving()
    bench.refuses = 1
    bench.amid = [lambda: bench.layer.set_address(EXTENDED)]
    bench.submit(counted(7))
    bench.run()
    bench.wait(MS)
    assert bench.run() == ["55 10 07 00 01 02 03 04"]
    assert bench.hear(frame("456#AA 30 00 00")) == ["55 21 05 06"]


def test_a_functional_message_that_does_not_fit_any_more_fails() -> None:
    """It never goes to the physical address as a segmented one."""
    bench = Moving()
    bench.refuses = 1
    bench.amid = [lambda: bench.layer.set_address(EXTENDED)]
    request = bench.submit(counted(7), 1)
    next_one = bench.submit(b"a")
    bench.run()
    bench.wait(MS)
    assert bench.run() == ["55 01 61"]
    assert request.success is False
    assert "up to 6 bytes" in str(request.failure)
    assert next_one.success
    assert bench.errors == []


def test_a_functional_message_that_the_limiter_holds_fails_as_well() -> None:
    bench = Bench(rate_limit_enable=True, rate_limit_max_bitrate=64, rate_limit_window_size=1.0)
    bench.say(counted(7))
    request = bench.layer._submit(counted(7), 1, None)
    assert bench.run() == []
    bench.layer.set_address(EXTENDED)
    bench.wait(SECOND + 1)
    assert bench.run() == []
    assert request.success is False
    assert not bench.layer.transmitting()


def test_the_frame_that_the_limiter_holds_is_shown_as_it_will_go() -> None:
    bench = Bench(rate_limit_enable=True, rate_limit_max_bitrate=64, rate_limit_window_size=1.0)
    bench.say(counted(7))
    assert bench.say(counted(7)) == []
    bench.layer.set_address(EXTENDED)
    shown = bench.layer.tx_standby_msg
    assert shown is not None
    bench.wait(SECOND + 1)
    assert [words(shown.data)] == bench.run() == ["55 10 07 00 01 02 03 04"]


# --- The address, while receiving ---------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
def test_consecutive_frames_on_the_new_address_are_of_no_message_of_the_old_one(strict: bool) -> None:
    bench = Bench(strict=strict)
    assert bench.hear("10 0A 00 01 02 03 04 05") == ["30 08 00"]
    bench.layer.set_address(ELSEWHERE)
    bench.hear(frame("556#21 66 66 66 66 66 66 66"), frame("456#21 06 07 08 09 00 00 00"))
    assert bench.complaints() == [errors.InvalidCanDataError]
    assert bench.received() == []
    bench.wait(SECOND)
    bench.run()
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError]
    assert bench.hear(frame("556#10 0A 00 01 02 03 04 05")) == ["223#30 08 00"]
    bench.hear(frame("556#21 06 07 08 09 00 00 00"))
    assert bench.received() == [TEN]


@pytest.mark.parametrize(
    ("n_pdu", "received", "answer"),
    [
        ("02 CA FE 00 00 00 00 00", [b"\xca\xfe"], []),
        ("10 0A 00 01 02 03 04 05", [], ["223#30 08 00"]),
        ("1F FF 00 01 02 03 04 05", [], ["223#32 08 00"]),
    ],
)
def test_messages_on_the_new_address_begin_as_ever(
    n_pdu: str, received: list[bytes], answer: list[str]
) -> None:
    bench = Bench(max_frame_size=100)
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.layer.set_address(ELSEWHERE)
    assert bench.hear(frame("556#" + n_pdu)) == answer
    assert bench.received() == received
    assert "Interrupted" in bench.complaints()[0].__name__
    if n_pdu.startswith("10"):
        bench.hear(frame("556#21 06 07 08 09"))
        assert bench.received() == [TEN]


def test_a_message_that_both_addresses_hear_goes_on_and_is_answered_where_it_began() -> None:
    bench = Bench(blocksize=1)
    assert bench.hear(FF_20) == ["30 01 00"]
    bench.layer.set_address(SAME_EARS)
    assert bench.hear("21 06 07 08 09 0A 0B 0C") == ["30 01 00"]
    bench.hear("22 0D 0E 0F 10 11 12 13")
    assert bench.received() == [counted(20)]
    assert bench.hear(FF_20) == ["223#30 01 00"]


@pytest.mark.parametrize(("first", "answer"), [(FF_20, "30 08 00"), ("1F FF 00 01 02 03 04 05", "32 08 00")])
def test_flow_control_that_is_due_goes_to_where_it_was_asked_for(first: str, answer: str) -> None:
    bench = Moving(max_frame_size=100)
    bench.arrive(first)
    bench.layer.process(do_tx=False)
    bench.layer.set_address(ELSEWHERE)
    assert bench.run() == [answer]


def test_flow_control_that_a_full_bus_refused_goes_to_where_it_was_asked_for() -> None:
    bench = Moving()
    bench.refuses = 1
    bench.amid = [lambda: bench.layer.set_address(ELSEWHERE)]
    assert bench.hear(FF_20) == []
    bench.wait(MS)
    assert bench.run() == ["30 08 00"]


def test_back_on_the_address_that_the_message_came_in_on() -> None:
    bench = Bench()
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.layer.set_address(ELSEWHERE)
    bench.layer.set_address(HERE)
    bench.hear("21 06 07 08 09")
    assert bench.received() == [TEN]
    assert bench.complaints() == []


def test_a_message_that_comes_in_on_a_further_address_does_not_mind() -> None:
    bench = Bench(strict=True)
    bench.layer.receive_also([A(Mode.NormalFixed_29bits, target_address=0x10, source_address=0xF2)])
    assert bench.hear(frame("18DAF210#" + FF_20)) == ["30 08 00"]
    bench.layer.set_address(ELSEWHERE)
    bench.hear(frame("18DAF210#21 06 07 08 09 0A 0B 0C"), frame("18DAF210#22 0D 0E 0F 10 11 12 13"))
    assert bench.received() == [counted(20)]
    assert bench.complaints() == []


def test_another_further_address_in_the_place_of_the_one_that_the_message_came_in_on() -> None:
    """By the standard each keeps its own; that they have the same number does not make them the same."""
    one, other = (
        A(Mode.NormalFixed_29bits, target_address=0x10, source_address=source) for source in (0xF2, 0xF3)
    )
    bench = Bench(strict=True)
    bench.layer.receive_also([one])
    bench.hear(frame("18DAF210#10 0A 00 01 02 03 04 05"))
    bench.layer.receive_also([other])
    bench.hear(frame("18DAF310#21 66 66 66 66 00 00 00"))
    assert bench.complaints() == [errors.InvalidCanDataError]
    bench.layer.receive_also([other, one])
    bench.hear(frame("18DAF210#21 06 07 08 09 00 00 00"))
    assert bench.received() == [TEN]


class Handler(logging.Handler):
    """Calls a function with the next record."""

    def __init__(self, once: Callable[[], Any]) -> None:
        super().__init__()
        self.once: Callable[[], Any] | None = once

    def emit(self, record: logging.LogRecord) -> None:
        once, self.once = self.once, None
        if once is not None:
            once()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("isotp.test_changes")
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


def test_the_address_changes_between_a_look_at_the_frame_and_its_handling(logger: logging.Logger) -> None:
    """A handler of the log does so: the frame was one of the old address, and so is its message."""
    bench = Bench()
    bench.layer.logger = logger
    logger.addHandler(Handler(lambda: bench.layer.set_address(ELSEWHERE)))
    assert bench.hear(FF_20) == ["30 08 00"]
    bench.hear(frame("556#21 06 07 08 09 0A 0B 0C"))
    assert bench.complaints() == [errors.InvalidCanDataError]
    bench.layer.set_address(HERE)
    bench.hear("21 06 07 08 09 0A 0B 0C", "22 0D 0E 0F 10 11 12 13")
    assert bench.received() == [counted(20)]


def test_is_for_me_that_changes_the_address() -> None:
    class Restless(isotp.Address):
        def is_for_me(self, msg: Any) -> bool:
            bench.layer.set_address(ELSEWHERE)
            return super().is_for_me(msg)

    bench = Bench(Restless(Mode.Extended_11bits, txid=1, rxid=2, target_address=3, source_address=4))
    assert bench.hear(frame("002#04 10 0A 00 01 02 03 04")) == ["03 30 08 00"]
    bench.hear(frame("556#21 66 66 66 66 66 66 66"))
    assert bench.complaints() == [errors.InvalidCanDataError]
    bench.hear(frame("556#02 CA FE"))
    assert bench.received() == [b"\xca\xfe"]


def test_on_message_is_told_the_address_that_the_frame_came_in_on() -> None:
    """Also where what is called before it changes the address."""
    came: list[Any] = []
    bench = Bench()
    bench.layer.receive_into = lambda size: lambda piece: bench.layer.set_address(ELSEWHERE)
    bench.layer.on_message = lambda payload, address, now: came.append(address)
    bench.hear("10 0A 00 01 02 03 04 05", "21 06 07 08 09")
    assert came == [HERE]


def test_on_message_is_told_the_own_address_if_the_other_one_is_there_no_more(logger: logging.Logger) -> None:
    came: list[Any] = []
    bench = Bench()
    one, other = (A(rxid=number, rx_only=True) for number in (0x7DE, 0x7DF))
    bench.layer.receive_also([one, other])
    bench.layer.on_message = lambda payload, address, now: came.append(address)
    bench.layer.logger = logger
    logger.addHandler(Handler(lambda: bench.layer.receive_also([one])))
    bench.hear(frame("7DF#01 AA"))
    assert came == [HERE]


# --- tx_data_length -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(8, 64), (64, 8), (12, 16), (8, 12), (48, 64)])
@pytest.mark.parametrize("when", [0, 1, 2])
def test_a_message_keeps_the_length_of_its_frames(before: int, after: int, when: int) -> None:
    """Whenever it changes while the bus has a frame; the next message has the new one."""
    bench = Moving(tx_data_length=before, **FD)
    payload = counted(before * 3)
    bench.amid = [None] * when + [lambda: bench.set_now("tx_data_length", after)]
    request = bench.submit(payload)
    sent = [octets(text) for text in bench.run() + bench.hear(CTS)]
    assert request.success
    assert [data[0] >> 4 for data in sent] == [1, 2, 2, 2]
    assert {len(data) for data in sent[:-1]} == {before}
    assert (sent[0][2:] + b"".join(data[1:] for data in sent[1:]))[: len(payload)] == payload
    assert len(octets(bench.say(counted(after * 2))[0])) == after


def test_a_message_that_would_fit_a_single_frame_now_goes_on() -> None:
    bench = Moving()
    payload = counted(60)
    bench.amid = [lambda: bench.set_now("tx_data_length", 64)]
    request = bench.submit(payload)
    assert bench.run() == [words([0x10, 60, *payload[:6]])]
    assert [text[:2] for text in bench.hear(CTS)] == ["21", "22", "23", "24", "25", "26", "27", "28"]
    assert request.success


def test_tx_data_length_there_and_back() -> None:
    bench = Bench()
    bench.say(counted(30))
    for length in (64, 16, 8):
        bench.layer.params.set("tx_data_length", length)
        bench.run()
    assert {len(octets(text)) for text in bench.hear("30 02 00")} == {8}
    bench.layer.params.set("tx_data_length", 64)
    assert [len(octets(text)) for text in bench.hear(CTS)] == [8, 4]


def test_what_else_changes_with_the_length_that_is_back() -> None:
    bench = Bench()
    bench.say(counted(15))
    bench.layer.params.set("tx_data_length", 64)
    bench.run()
    bench.layer.params.update({"tx_data_length": 8, "tx_padding": 0x55})
    assert bench.hear(CTS) == ["21 06 07 08 09 0A 0B 0C", "22 0D 0E 55 55 55 55 55"]


def test_a_longer_tx_data_min_length_waits_for_the_next_message() -> None:
    bench = Bench()
    bench.say(counted(15))
    bench.layer.params.update({"tx_data_length": 64, "tx_data_min_length": 32})
    sent = bench.hear(CTS)
    assert sent == ["21 06 07 08 09 0A 0B 0C", "22 0D 0E CC CC CC CC CC"]
    assert len(octets(bench.say(b"a")[0])) == 32


def test_what_is_not_the_length_changes_with_the_next_frame() -> None:
    bench = Bench(tx_data_length=64, tx_padding=0xAA, **FD)
    bench.say(counted(130))
    bench.layer.params.update({"tx_data_length": 8, "tx_padding": 0x55, "bitrate_switch": True})
    bench.layer.send(b"a")
    bench.arrive(CTS)
    bench.layer.process()
    assert [(len(m.data), m.bitrate_switch) for m in bench.messages] == [(64, True), (6, True), (8, True)]
    assert bench.sent()[2] == "01 61 55 55 55 55 55 55"


def test_a_first_frame_that_a_full_bus_refused_is_made_with_the_new_length() -> None:
    bench = Moving()
    bench.refuses = 1
    bench.amid = [lambda: bench.set_now("tx_data_length", 64)]
    request = bench.submit(counted(60))
    bench.run()
    bench.wait(MS)
    assert [text[:5] for text in bench.run()] == ["00 3C"]
    assert request.success


def test_a_limit_that_becomes_too_small_for_the_frames_of_a_message() -> None:
    """load_params() looks at the new length only: each frame of the message goes alone, and it ends."""
    bench = Bench(
        tx_data_length=64,
        rate_limit_enable=True,
        rate_limit_max_bitrate=64 * 8,
        rate_limit_window_size=1.0,
        **FD,
    )
    request = bench.layer._submit(counted(150), None, None)
    assert len(bench.run()) == 1
    bench.layer.params.update({"tx_data_length": 8, "rate_limit_max_bitrate": 64})
    bench.layer.load_params()
    lengths = [len(octets(text)) for text in bench.hear(CTS)]
    for _ in range(3):
        deadline = bench.layer.deadline_ns()
        if deadline is None:
            break
        assert deadline > bench.clock.ns
        bench.clock.ns = deadline
        lengths += [len(octets(text)) for text in bench.run()]
    assert lengths == [64, 32]
    assert request.success


# --- Generators ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 3, 5, 6, 30, 33, 99])
@pytest.mark.parametrize("change", ["longer", "shorter", "no address byte"])
def test_a_generator_in_whose_middle_something_changes(change: str, at: int) -> None:
    """It gave each byte that was asked for: nobody says that it ended."""
    bench = Moving(EXTENDED, tx_data_length=8 if change == "longer" else 16, **FD)

    def bytes_of_it() -> Iterator[int]:
        for k, byte in enumerate(counted(100)):
            if k == at and change == "no address byte":
                bench.layer.set_address(A(Mode.Normal_11bits, txid=0x123, rxid=0x456))
            elif k == at:
                bench.set_now("tx_data_length", 64 if change == "longer" else 8)
            yield byte

    request = bench.submit((bytes_of_it(), 100))
    sent = bench.run()
    sent += bench.hear(frame("456#AA 30 00 00"))
    if change == "no address byte" and at < 13:
        # Amid the First Frame: no Flow Control from there is heard any more.
        assert len(sent) == 1
        assert request.success is None
        return
    assert request.success
    assert {text[:2] for text in sent} == {"55"}
    frames = [octets(text)[1:] for text in sent]
    assert (frames[0][2:] + b"".join(data[1:] for data in frames[1:]))[:100] == counted(100)
    assert bench.errors == []


def test_a_generator_whose_first_frame_was_refused_and_becomes_a_single_frame() -> None:
    bench = Moving()
    bench.refuses = 1
    bench.amid = [lambda: bench.set_now("tx_data_length", 64)]
    bench.submit((iter(counted(60)), 60))
    bench.run()
    bench.wait(MS)
    (sent,) = bench.run()
    assert octets(sent)[:62] == bytes([0, 60]) + counted(60)
    assert bench.errors == []


# --- Anything, at any time ----------------------------------------------------------------------------------


class Ecu:
    """One end of the bus, with what it received and its own address; silent unless it is spoken to."""

    def __init__(self, number: int) -> None:
        self.bench = Bench(
            A(Mode.Normal_11bits, rxid=0x700 + number, txid=0x600 + number), max_frame_size=4095
        )
        self.received: list[bytes] = []


@pytest.mark.parametrize("seed", range(150))
def test_no_wrong_message_and_no_false_success(seed: int) -> None:
    """A tester that changes between four ECUs, and its parameters, in any callback: what arrives was sent, and what
    was reported as sent has arrived."""
    rng = random.Random(seed)
    ecus = [Ecu(number) for number in range(4)]
    pending: list[tuple[int, bytes, Any]] = []
    tester = Moving(A(Mode.Normal_11bits, txid=0x700, rxid=0x600), **FD)
    to_tester: list[isotp.CanMessage] = []

    def change() -> None:
        kind = rng.randrange(12)
        if kind < 3:
            number = rng.randrange(4)
            tester.layer.set_address(A(Mode.Normal_11bits, txid=0x700 + number, rxid=0x600 + number))
        elif kind < 6:
            tester.set_now("tx_data_length", rng.choice((8, 12, 16, 64)))
        elif kind == 6:
            tester.layer.stop_sending()
        elif kind == 7:
            tester.layer.stop_receiving()
        elif kind == 8:
            tester.set_now("tx_padding", rng.choice((None, 0xAA)))

    def payload() -> bytes:
        return rng.randbytes(rng.choice((1, 6, 7, 8, 20, 60, 100)))

    def sources(data: bytes) -> Any:
        def slowly() -> Iterator[int]:
            for byte in data:
                if rng.random() < 0.02:
                    change()
                yield byte

        return data if rng.random() < 0.5 else (slowly(), len(data))

    sent_by_tester: list[bytes] = []
    sent_by_ecus: list[bytes] = []
    received: list[bytes] = []
    for _ in range(120):
        if rng.random() < 0.25:
            data = payload()
            sent_by_tester.append(data)
            pending.append((0, data, tester.submit(sources(data))))
        if rng.random() < 0.25:
            data = payload()
            sent_by_ecus.append(data)
            rng.choice(ecus).bench.layer.send(data)
        if rng.random() < 0.3:
            change()
        if rng.random() < 0.5:
            tester.amid = [change if rng.random() < 0.3 else None for _ in range(5)]
        tester.refuses = rng.randrange(3) if rng.random() < 0.2 else 0
        tester.incoming.extend(to_tester)
        to_tester.clear()
        tester.layer.process()
        tester.wait(MS)
        for message in tester.messages:
            for ecu in ecus:
                ecu.bench.incoming.append(message)
        tester.messages.clear()
        for ecu in ecus:
            ecu.bench.clock.ns = tester.clock.ns
            ecu.bench.layer.process()
            to_tester += ecu.bench.messages
            ecu.bench.messages.clear()
            ecu.received += ecu.bench.received()
        received += tester.received()
    arrived = [data for ecu in ecus for data in ecu.received]
    assert all(data in sent_by_tester for data in arrived)
    assert all(data in sent_by_ecus for data in received)
    for _, data, request in pending:
        if request.success:
            assert arrived.count(data) >= 1
            arrived.remove(data)
