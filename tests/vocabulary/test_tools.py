"""Timer and FiniteByteGenerator. Time is an explicit number here: nothing waits."""

import itertools

import pytest

from isotp import tools
from isotp.errors import BadGeneratorError
from isotp.tools import FiniteByteGenerator, Timer

MS = 1_000_000


def test_all_is_what_can_isotp_exports():
    assert sorted(tools.__all__) == ["FiniteByteGenerator", "Timer"]


# -- Timer -------------------------------------------------------------------------------------------------


class Clock:
    """Stands in for time.perf_counter_ns; it goes when told."""

    def __init__(self):
        self.now = 12_345 * MS

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(tools, "perf_counter_ns", clock)
    return clock


def test_a_new_timer_is_stopped(clock):
    timer = Timer(1.5)
    assert timer.is_stopped()
    assert not timer.is_timed_out()
    assert timer.start_time is None
    assert timer.timeout == 1500 * MS
    assert (timer.elapsed(), timer.elapsed_ns(), timer.remaining(), timer.remaining_ns()) == (0, 0, 0, 0)


def test_a_running_timer_counts_up_and_down(clock):
    timer = Timer(1.5)
    timer.start()
    assert timer.start_time == clock.now
    assert not timer.is_stopped()
    clock.now += 500 * MS
    assert (timer.elapsed(), timer.remaining()) == (0.5, 1.0)
    assert (timer.elapsed_ns(), timer.remaining_ns()) == (500 * MS, 1000 * MS)
    assert not timer.is_timed_out()


def test_the_limit_itself_is_still_in_time(clock):
    timer = Timer(0.1)
    timer.start()
    clock.now += 100 * MS
    assert not timer.is_timed_out()
    clock.now += 1
    assert timer.is_timed_out()
    assert (timer.remaining(), timer.remaining_ns()) == (0, 0)
    assert timer.elapsed_ns() == 100 * MS + 1


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5])
def test_no_time_at_all_is_over_at_once(clock, timeout):
    timer = Timer(timeout)
    assert not timer.is_timed_out()
    timer.start()
    assert timer.is_timed_out()
    assert timer.remaining() == 0


def test_stopping_forgets_the_time(clock):
    timer = Timer(0.1)
    timer.start()
    clock.now += 200 * MS
    timer.stop()
    assert timer.is_stopped()
    assert not timer.is_timed_out()
    assert (timer.elapsed_ns(), timer.remaining_ns()) == (0, 0)


def test_starting_again_starts_from_zero(clock):
    timer = Timer(0.1)
    timer.start()
    clock.now += 200 * MS
    timer.start()
    assert timer.elapsed_ns() == 0
    assert not timer.is_timed_out()


def test_start_can_bring_a_new_limit(clock):
    timer = Timer(0.1)
    timer.start(timeout=5)
    assert timer.timeout == 5000 * MS
    timer.start()
    assert timer.timeout == 5000 * MS


def test_the_limit_can_change_while_running(clock):
    timer = Timer(10)
    timer.start()
    clock.now += 300 * MS
    timer.set_timeout(0.25)
    assert timer.is_timed_out()
    timer.set_timeout(0.5)
    assert not timer.is_timed_out()
    assert timer.remaining_ns() == 200 * MS


def test_without_a_fake_clock_time_goes_on():
    timer = Timer(0)
    timer.start()
    assert timer.elapsed_ns() >= 0
    assert timer.is_timed_out()


@pytest.mark.parametrize("timeout", [None, "1", float("nan"), float("inf"), -float("inf"), 1e308, [1]])
def test_a_limit_that_is_no_finite_number_is_refused(clock, timeout):
    with pytest.raises(ValueError, match="timeout must be a finite number") as refusal:
        Timer(timeout)
    assert repr(timeout) in str(refusal.value)
    timer = Timer(1)
    with pytest.raises(ValueError, match="timeout must be a finite number"):
        timer.set_timeout(timeout)
    assert timer.timeout == 1000 * MS


# -- FiniteByteGenerator -----------------------------------------------------------------------------------


def counting(n):
    return (i for i in range(n))


def test_bytes_come_in_pieces():
    generator = FiniteByteGenerator(counting(5), 5)
    assert (generator.total_length(), generator.remaining_size(), generator.depleted()) == (5, 5, False)
    assert generator.consume(3) == b"\x00\x01\x02"
    assert (generator.total_length(), generator.remaining_size(), generator.depleted()) == (5, 2, False)
    assert generator.consume(2) == b"\x03\x04"
    assert (generator.total_length(), generator.remaining_size(), generator.depleted()) == (5, 0, True)


def test_pieces_are_bytearrays():
    assert type(FiniteByteGenerator(counting(2), 2).consume(1)) is bytearray
    assert type(FiniteByteGenerator(counting(2), 2).consume(5, enforce_exact=False)) is bytearray


def test_nothing_is_taken_before_it_is_wanted():
    taken = []

    def generate():
        for i in range(5):
            taken.append(i)
            yield i

    generator = FiniteByteGenerator(generate(), 5)
    assert taken == []
    generator.consume(2)
    assert taken == [0, 1]
    assert generator.consume(0) == b""
    assert taken == [0, 1]


def test_a_surplus_is_left_alone():
    source = counting(10)
    generator = FiniteByteGenerator(source, 4)
    assert generator.consume(4) == b"\x00\x01\x02\x03"
    assert generator.depleted()
    assert next(source) == 4


def test_an_empty_message():
    generator = FiniteByteGenerator(counting(0), 0)
    assert generator.depleted()
    assert generator.consume(0) == b""
    assert generator.remaining_size() == 0


def test_a_generator_that_ends_early():
    generator = FiniteByteGenerator(counting(3), 5)
    assert generator.consume(2) == b"\x00\x01"
    with pytest.raises(BadGeneratorError, match="ended after 3 of the 5 bytes"):
        generator.consume(2)
    assert generator.depleted()
    assert generator.remaining_size() == 2
    with pytest.raises(BadGeneratorError, match="ended after 3 of the 5 bytes"):
        generator.consume(1)


def test_a_generator_that_ends_early_if_allowed_to():
    generator = FiniteByteGenerator(counting(3), 5)
    assert generator.consume(2, enforce_exact=False) == b"\x00\x01"
    assert generator.consume(2, enforce_exact=False) == b"\x02"
    assert generator.depleted()
    assert generator.remaining_size() == 2
    assert generator.consume(2, enforce_exact=False) == b""


@pytest.mark.parametrize("enforce_exact", [True, False])
def test_taking_more_than_announced_of_a_generator_that_has_more(enforce_exact):
    source = counting(10)
    generator = FiniteByteGenerator(source, 5)
    generator.consume(3)
    with pytest.raises(BadGeneratorError, match="more than the 5 bytes announced"):
        generator.consume(4, enforce_exact)
    assert generator.depleted()
    assert generator.remaining_size() == 0
    assert next(source) == 6  # one byte of the surplus tells; no more is taken


def test_taking_more_than_announced_of_a_generator_that_keeps_its_word():
    generator = FiniteByteGenerator(counting(5), 5)
    assert generator.consume(7, enforce_exact=False) == b"\x00\x01\x02\x03\x04"
    assert generator.consume(1, enforce_exact=False) == b""
    with pytest.raises(BadGeneratorError, match="5 of the 5 bytes announced \\(1 more were wanted, 0 came"):
        generator.consume(1)


def test_bytes_may_be_anything_that_counts_as_an_integer():
    class Index:
        def __index__(self):
            return 7

    assert FiniteByteGenerator((x for x in (True, Index(), 255)), 3).consume(3) == b"\x01\x07\xff"


@pytest.mark.parametrize("item", [256, -1, "a", None, 2.0, b"x", 10**30])
def test_an_item_that_is_no_byte_is_named(item):
    generator = FiniteByteGenerator((x for x in (1, 2, 3, item, 4)), 5)
    generator.consume(2)
    with pytest.raises(ValueError, match="as byte 3, not an integer from 0 to 255") as refusal:
        generator.consume(3)
    assert repr(item) in str(refusal.value)
    # What came after it must not be taken for what should have come before.
    assert generator.depleted()
    with pytest.raises(BadGeneratorError):
        generator.consume(1)


def test_an_exception_of_the_generator_itself_passes_through():
    def generate():
        yield 1
        raise KeyError("its own")

    generator = FiniteByteGenerator(generate(), 3)
    with pytest.raises(KeyError, match="its own"):
        generator.consume(3)
    with pytest.raises(BadGeneratorError):
        generator.consume(1)


@pytest.mark.parametrize("gen", [[1, 2], b"12", None, 3, iter([1, 2]), range(2), itertools.count()])
def test_what_is_no_generator_is_refused(gen):
    with pytest.raises(ValueError, match="gen must be a generator") as refusal:
        FiniteByteGenerator(gen, 2)
    assert repr(gen) in str(refusal.value)


@pytest.mark.parametrize("size", [-1, 1.0, None, "2"])
def test_a_bad_size_is_refused(size):
    with pytest.raises(ValueError, match="size must be an integer of 0 or more") as refusal:
        FiniteByteGenerator(counting(2), size)
    assert repr(size) in str(refusal.value)
    generator = FiniteByteGenerator(counting(2), 2)
    with pytest.raises(ValueError, match="size must be an integer of 0 or more"):
        generator.consume(size)
    assert generator.consume(2) == b"\x00\x01"
