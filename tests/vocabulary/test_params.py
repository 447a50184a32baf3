"""The parameters: defaults, what each accepts, and that a refused value leaves no trace."""

import copy
import functools
import inspect
import math
import pickle
import re
import time

import pytest

import isotp
from isotp.address import TargetAddressType
from isotp.params import _ALIASES, Parameters, Params, UnknownParameterError

DEFAULTS = {
    "stmin": 0,
    "blocksize": 8,
    "override_receiver_stmin": None,
    "squash_stmin_requirement": False,
    "rx_flowcontrol_timeout": 1000,
    "rx_consecutive_frame_timeout": 1000,
    "tx_padding": None,
    "tx_flow_control": True,
    "tx_frame_timeout": 1000,
    "wftmax": 0,
    "wait_frame_interval": 500,
    "tx_data_length": 8,
    "tx_data_min_length": None,
    "max_frame_size": 4095,
    "can_fd": False,
    "bitrate_switch": False,
    "default_target_address_type": TargetAddressType.Physical,
    "rate_limit_max_bitrate": 100_000_000,
    "rate_limit_window_size": 0.2,
    "rate_limit_enable": False,
    "listen_mode": False,
    "strict": False,
    "blocking_send": False,
    "logger_name": "isotp",
    "wait_func": time.sleep,
    "busy_wait": 0.0002,
    "rx_queue_limit": 32 << 20,
    "tx_queue_limit": 32 << 20,
}
BYTES = ["stmin", "blocksize"]
COUNTS = [
    "tx_frame_timeout",
    "rx_flowcontrol_timeout",
    "rx_consecutive_frame_timeout",
    "wftmax",
    "max_frame_size",
]
BOOLEANS = [
    "squash_stmin_requirement",
    "can_fd",
    "bitrate_switch",
    "rate_limit_enable",
    "listen_mode",
    "strict",
    "blocking_send",
]
CAN_FD_LENGTHS = [8, 12, 16, 20, 24, 32, 48, 64]


def each(names, values):
    """All pairs of a name and a value."""
    return [(name, value) for name in names for value in values]


def no_wait(seconds):
    pass


ACCEPTED = [
    *each(BYTES, [0, 1, 127, 0x80, 0xF1, 255, True]),
    *each(COUNTS, [0, 1, 4095, 2**32 - 1, 2**70]),
    *each(BOOLEANS, [True, False]),
    *each(["tx_padding"], [None, 0, 0xAA, 255]),
    *each(["wait_frame_interval"], [1, 500, 2**70, True]),
    *each(["rx_queue_limit", "tx_queue_limit"], [None, 1, 2**70]),
    *each(["tx_data_length"], CAN_FD_LENGTHS),
    *each(["tx_data_min_length"], [None, *range(1, 9)]),
    *each(["override_receiver_stmin"], [None, 0, 0.0, 1, 0.001, 1e300]),
    *each(["default_target_address_type"], [0, 1, False, True, *TargetAddressType]),
    *each(["rate_limit_max_bitrate"], [320, 10_000_000, 10**400]),
    *each(["rate_limit_window_size"], [1, 0.5, 1e-6, 10**300]),
    *each(["logger_name"], ["", "isotp.engine"]),
    *each(["wait_func"], [time.sleep, no_wait, lambda seconds: None, functools.partial(no_wait)]),
]
NAN, INFINITY = float("nan"), float("inf")
REFUSED = [
    *each([*BYTES, "tx_padding"], [-1, 256, 1.0, "1", b"\x01", [1]]),
    *each([*BYTES, *COUNTS, *BOOLEANS, "tx_data_length"], [None]),
    *each(COUNTS, [-1, 1.0, 1000.0, NAN, "1"]),
    *each(BOOLEANS, [0, 1, "True", 1.0, "", []]),
    *each(["wait_frame_interval"], [0, -1, 1.0, None, "1"]),
    *each(["rx_queue_limit", "tx_queue_limit"], [0, -1, 1.0, "1"]),
    *each(["tx_data_length"], [0, 1, 7, 9, 11, 63, 65, -8, 8.0, "8", True]),
    *each(["tx_data_min_length"], [0, -1, 9, 10, 11, 65, 8.0, "8"]),
    *each(["override_receiver_stmin"], [-1, -0.001, NAN, INFINITY, -INFINITY, True, False, "0", 10**400]),
    *each(["default_target_address_type"], [2, -1, None, "Physical", 0.0]),
    *each(["rate_limit_max_bitrate"], [0, -1, 1e6, None, "1", False]),
    *each(["rate_limit_window_size"], [0, -1, 0.0, NAN, INFINITY, None, "1", 10**400, True]),
    *each(["logger_name"], [None, 3, b"isotp"]),
    *each(["wait_func"], [None, 0.001, "sleep"]),
]


@pytest.fixture
def params():
    return Params()


# -- Names and defaults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_defaults(params, name, default):
    assert getattr(params, name) == default
    assert type(getattr(params, name)) is type(default)


def test_the_defaults_are_valid(params):
    params.validate()
    assert params == Params()


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_parameter_is_documented(name):
    assert len(inspect.getdoc(getattr(Params, name))) > 20


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("stmin", 0x80, "STmin"), ("stmin", 0xFA, "STmin"), ("tx_data_min_length", 5, "min_length")],
)
def test_strict_refuses_what_leaves_the_standard(params, name, value, why):
    params.set(name, value)
    with pytest.raises(ValueError, match=f"strict.*{why}"):
        params.set("strict", True)
    assert not params.strict
    params.update({name: 8, "strict": True})
    with pytest.raises(ValueError, match=f"strict.*{why}"):
        params.set(name, value)


def test_there_are_no_other_parameters(params):
    public = {name for name in dir(Params) if not name.startswith("_")}
    others = {"ll_data_length", "effective_override_stmin", "set", "update", "validate"}
    assert public == {*DEFAULTS, *others}
    assert not hasattr(params, "__dict__")


# -- What is accepted and what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), ACCEPTED)
def test_accepted(params, name, value):
    params.set(name, value)
    assert getattr(params, name) == value
    params.validate()


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_refused_by_set_and_not_kept(params, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must ") as refusal:
        params.set(name, value)
    assert repr(value) in str(refusal.value)
    assert getattr(params, name) == DEFAULTS[name]
    assert params == Params()


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_refused_by_update_with_all_that_came_with_it(params, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must "):
        params.update({"stmin": 5, "can_fd": True, name: value})
    assert params == Params()


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_assigning_does_not_validate_but_validate_does(params, name, value):
    setattr(params, name, value)
    assert getattr(params, name) is value
    with pytest.raises(ValueError, match=rf"^{name} must ") as refusal:
        params.validate()
    assert repr(value) in str(refusal.value)


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_set_can_be_told_not_to_validate(params, name, value):
    params.set(name, value, validate=False)
    assert getattr(params, name) is value
    with pytest.raises(ValueError, match=rf"^{name} must "):
        params.validate()


def test_a_refused_value_gives_way_to_the_one_before_it_not_to_the_default(params):
    params.set("blocksize", 3)
    with pytest.raises(ValueError, match="not 300"):
        params.set("blocksize", 300)
    assert params.blocksize == 3


def test_set_finds_what_was_assigned_before(params):
    params.stmin = 999
    with pytest.raises(ValueError, match="stmin must be an integer from 0 to 255, not 999"):
        params.set("blocksize", 3)
    assert params.blocksize == 8
    params.set("stmin", 9)
    params.set("blocksize", 3)
    assert (params.stmin, params.blocksize) == (9, 3)


def test_parameters_of_set_by_name(params):
    params.set(key="stmin", val=999, validate=False)
    assert params.stmin == 999


# -- What is stored ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 3, 0.5])
def test_override_receiver_stmin_is_stored_as_float(params, value):
    params.set("override_receiver_stmin", value)
    assert type(params.override_receiver_stmin) is float


@pytest.mark.parametrize("value", [0, 1, False, True, *TargetAddressType])
def test_default_target_address_type_is_stored_as_such(params, value):
    params.set("default_target_address_type", value)
    assert params.default_target_address_type is TargetAddressType(int(value))


def test_validate_stores_what_was_assigned_in_the_same_way(params):
    params.override_receiver_stmin = 2
    params.default_target_address_type = 1
    params.validate()
    assert type(params.override_receiver_stmin) is float
    assert params.default_target_address_type is TargetAddressType.Functional


# -- Combinations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", CAN_FD_LENGTHS)
@pytest.mark.parametrize("min_length", [*range(1, 8), *CAN_FD_LENGTHS])
def test_the_shortest_frame_is_at_most_as_long_as_the_longest(params, length, min_length):
    values = {"tx_data_min_length": min_length, "tx_data_length": length}
    if min_length <= length:
        params.update(values)
        assert (params.tx_data_length, params.tx_data_min_length) == (length, min_length)
    else:
        with pytest.raises(ValueError, match=f"tx_data_min_length .* {min_length} is above {length}"):
            params.update(values)
        assert params == Params()


def test_the_order_of_an_update_does_not_matter():
    one, other = Params(), Params()
    values = {"tx_data_min_length": 64, "tx_data_length": 64}
    one.update(values)
    other.update(dict(reversed(values.items())))
    assert one == other
    with pytest.raises(ValueError, match="64 is above 8"):
        Params().set("tx_data_min_length", 64)  # one at a time, the order does matter


def test_the_longest_frame_cannot_be_made_shorter_than_the_shortest(params):
    params.update({"tx_data_length": 64, "tx_data_min_length": 32})
    with pytest.raises(ValueError, match="32 is above 24"):
        params.set("tx_data_length", 24)
    assert params.tx_data_length == 64


@pytest.mark.parametrize("enable", [False, True])
@pytest.mark.parametrize(
    ("bitrate", "window", "length", "is_enough"),
    [
        (320, 0.2, 8, True),
        (319, 0.2, 8, False),
        (640, 0.1, 8, True),
        (639, 0.1, 8, False),
        (1, 64, 8, True),
        (1, 63, 8, False),
        (512, 1, 64, True),
        (511, 1, 64, False),
        (1, 1e-300, 8, False),
        (10**400, 1e-300, 64, True),
        (1, 10**300, 64, True),
        (True, 64.0, 8, True),
    ],
)
def test_the_rate_limiter_must_let_a_full_frame_pass(params, enable, bitrate, window, length, is_enough):
    values = {
        "rate_limit_enable": enable,
        "rate_limit_max_bitrate": bitrate,
        "rate_limit_window_size": window,
        "tx_data_length": length,
    }
    if is_enough:
        params.update(values)
        assert (params.rate_limit_max_bitrate, params.rate_limit_window_size) == (bitrate, window)
    else:
        with pytest.raises(ValueError, match=r"rate_limit_max_bitrate .* rate_limit_window_size") as refusal:
            params.update(values)
        for value in (bitrate, window, length):
            assert str(value) in str(refusal.value)
        assert params == Params()


# -- Unknown names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("blocksiz", "did you mean blocksize?"),
        ("st_min", "did you mean stmin?"),
        ("rx_flow_control_timeout", "did you mean rx_flowcontrol_timeout"),
        ("l_data_length", "ll_data_length"),
    ],
)
def test_an_unknown_name_is_refused_with_what_may_have_been_meant(params, name, hint):
    for attempt in (
        lambda: params.set(name, 1),
        lambda: params.set(name, 1, validate=False),
        lambda: params.update({name: 1}),
        lambda: setattr(params, name, 1),
    ):
        with pytest.raises(UnknownParameterError, match="There is no parameter") as refusal:
            attempt()
        assert repr(name) in str(refusal.value)
        assert hint in str(refusal.value)
    assert params == Params()


@pytest.mark.parametrize(
    "name", ["xyzzy", "", "_on_change", "effective_override_stmin", "set", None, 3, ("a",)]
)
def test_an_unknown_name_like_no_other_is_refused_without(params, name):
    with pytest.raises(UnknownParameterError, match="There is no parameter") as refusal:
        params.set(name, 1)
    assert repr(name) in str(refusal.value)


def test_an_unknown_name_is_both_kinds_of_error():
    assert issubclass(UnknownParameterError, AttributeError)
    assert issubclass(UnknownParameterError, ValueError)


def test_an_unknown_name_changes_nothing_else(params):
    with pytest.raises(UnknownParameterError):
        params.update({"stmin": 5, "xyzzy": 1})
    assert params == Params()


def test_what_is_derived_cannot_be_assigned(params):
    with pytest.raises(AttributeError, match="effective_override_stmin"):
        params.effective_override_stmin = 1.0


def test_an_unknown_name_cannot_be_read(params):
    with pytest.raises(AttributeError, match="xyzzy"):
        _ = params.xyzzy


@pytest.mark.parametrize("values", [None, 3, "stmin", [("stmin", 1)]])
def test_an_update_needs_a_mapping(params, values):
    with pytest.raises(TypeError) as refusal:
        params.update(values)
    assert repr(values) in str(refusal.value)


def test_an_empty_update_validates(params):
    params.update({})
    params.stmin = 999
    with pytest.raises(ValueError, match="999"):
        params.update({})


# -- Parameters of can-isotp 1.x ---------------------------------------------------------------------------


def test_ll_data_length_is_tx_data_length(params):
    assert params.ll_data_length == 8
    params.set("ll_data_length", 12)
    assert (params.tx_data_length, params.ll_data_length) == (12, 12)
    params.ll_data_length = 16
    assert (params.tx_data_length, params.ll_data_length) == (16, 16)
    params.tx_data_length = 20
    assert params.ll_data_length == 20
    params.update({"ll_data_length": 64})
    assert params.tx_data_length == 64
    params.set("ll_data_length", 24, validate=False)
    assert params.tx_data_length == 24


def test_a_refused_ll_data_length_is_not_kept(params):
    with pytest.raises(ValueError, match=r"tx_data_length must be one of .*, not 9"):
        params.set("ll_data_length", 9)
    assert params.tx_data_length == 8


@pytest.mark.parametrize(
    ("squash", "override", "effective"),
    [(False, None, None), (True, None, 0.0), (False, 0.5, 0.5), (True, 0.5, 0.5), (False, 0, 0.0)],
)
def test_squash_is_an_override_of_zero_unless_there_is_another(params, squash, override, effective):
    params.update({"squash_stmin_requirement": squash, "override_receiver_stmin": override})
    assert params.effective_override_stmin == effective
    assert params.override_receiver_stmin == override
    assert params.squash_stmin_requirement is squash


# -- wait_func ---------------------------------------------------------------------------------------------


@pytest.fixture
def waits():
    return []


def test_a_new_wait_func_is_tried_once(params, waits):
    params.set("wait_func", waits.append)
    assert waits == [0.001]
    params.set("stmin", 5)
    params.validate()
    params.update({"blocksize": 3})
    assert waits == [0.001]


def test_another_wait_func_is_tried_too(params, waits):
    params.set("wait_func", no_wait)
    params.set("wait_func", waits.append)
    assert waits == [0.001]


def test_an_assigned_wait_func_is_tried_when_validated(params, waits):
    params.wait_func = waits.append
    assert waits == []
    params.validate()
    assert waits == [0.001]


def test_setting_parameters_does_not_sleep(monkeypatch, waits):
    monkeypatch.setattr(time, "sleep", waits.append)
    params = Params()
    params.set("stmin", 5)
    params.set("wait_func", time.sleep)
    params.update({"blocksize": 3})
    params.validate()
    assert waits == []


def test_a_wait_func_that_raises_is_refused(params):
    def broken(seconds):
        raise KeyError("broken")

    with pytest.raises(ValueError, match="wait_func must not raise") as refusal:
        params.set("wait_func", broken)
    assert repr(broken) in str(refusal.value)
    assert "KeyError('broken')" in str(refusal.value)
    assert isinstance(refusal.value.__cause__, KeyError)
    assert params.wait_func is time.sleep


def test_a_wait_func_that_takes_no_seconds_is_refused(params):
    with pytest.raises(ValueError, match="wait_func must not raise"):
        params.set("wait_func", lambda: None)
    assert params.wait_func is time.sleep


def test_a_wait_func_is_not_tried_if_something_else_is_refused(params, waits):
    with pytest.raises(ValueError, match="stmin"):
        params.update({"wait_func": waits.append, "stmin": 999})
    assert waits == []
    assert params.wait_func is time.sleep


def test_an_interrupted_update_is_undone(params):
    def interrupted(seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        params.update({"stmin": 5, "wait_func": interrupted})
    assert params == Params()


# -- The hook for the engine -------------------------------------------------------------------------------


class Watch:
    """Counts the calls and notes what it could see."""

    def __init__(self, params):
        self.params = params
        self.seen = []
        params._on_change = self

    def __call__(self):
        self.seen.append(self.params.stmin)


def test_nobody_watches_at_first(params):
    assert params._on_change is None


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_assignment_is_told(params, name):
    watch = Watch(params)
    setattr(params, name, DEFAULTS[name])
    assert len(watch.seen) == 1


def test_it_is_told_after_the_value_is_stored(params):
    watch = Watch(params)
    params.stmin = 1
    params.set("stmin", 2)
    params.set("stmin", 3, validate=False)
    params.update({"stmin": 4})
    assert watch.seen == [1, 2, 3, 4]


def test_it_is_told_of_the_other_name_too(params):
    watch = Watch(params)
    params.ll_data_length = 64
    assert watch.seen == [0]


def test_it_is_told_that_a_refused_value_is_gone(params):
    watch = Watch(params)
    with pytest.raises(ValueError, match="999"):
        params.set("stmin", 999)
    assert watch.seen[0] == 999
    assert watch.seen[-1] == 0


def test_it_is_told_what_validate_stores(params):
    params.override_receiver_stmin = 1
    watch = Watch(params)
    params.validate()
    assert watch.seen == [0]
    params.validate()
    assert watch.seen == [0]


def test_it_is_not_told_of_itself_nor_of_what_is_not_there(params):
    watch = Watch(params)
    params._on_change = watch
    with pytest.raises(UnknownParameterError):
        params.xyzzy = 1
    assert watch.seen == []
    params._on_change = None
    params.stmin = 1
    assert watch.seen == []


# -- A value -----------------------------------------------------------------------------------------------

CHANGED = [(name, value) for name, value in ACCEPTED if value != DEFAULTS[name]]


@pytest.mark.parametrize(("name", "value"), CHANGED)
def test_each_parameter_counts(params, name, value):
    setattr(params, name, value)
    assert params != Params()
    other = Params()
    setattr(other, name, value)
    assert params == other


def test_who_watches_does_not_count(params):
    Watch(params)
    assert params == Params()


def test_params_equal_nothing_else(params):
    assert params != DEFAULTS
    assert params is not None


def test_params_can_change_and_so_have_no_hash(params):
    with pytest.raises(TypeError, match="unhashable"):
        hash(params)


def pickled(params):
    return pickle.loads(pickle.dumps(params))


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, pickled])
def test_copies_are_equal_and_independent(params, copier):
    params.update(
        {"stmin": 5, "override_receiver_stmin": 1, "default_target_address_type": 1, "can_fd": True}
    )
    params.set("wait_func", no_wait)
    watch = Watch(params)
    again = copier(params)
    assert again == params
    assert type(again) is Params
    assert again._on_change is None
    again.stmin = 6
    assert params.stmin == 5
    assert watch.seen == []
    again.validate()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_all_pickle_protocols(params, protocol):
    params.set("blocksize", 3)
    assert pickle.loads(pickle.dumps(params, protocol)) == params


def test_repr_shows_what_is_not_the_default(params):
    assert repr(params) == "Params()"
    params.update({"blocksize": 0, "stmin": 5, "logger_name": "engine", "default_target_address_type": 1})
    assert repr(params) == (
        "Params(stmin=5, blocksize=0,"
        " default_target_address_type=<TargetAddressType.Functional: 1>, logger_name='engine')"
    )


def test_a_subclass_may_have_attributes_of_its_own():
    class Mine(Params):
        def __init__(self):
            super().__init__()
            self.note = "mine"

    params = Mine()
    params.set("stmin", 5)
    assert (params.note, params.stmin) == ("mine", 5)
    assert repr(params).endswith("Mine(stmin=5)")


# --- STmin in seconds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "stmin"),
    [
        *((k / 10_000, 0xF0 + k) for k in range(1, 10)),
        *((k / 1000, k) for k in range(0x80)),
        (1e-9, 0xF1),
        (0.00011, 0xF2),
        (0.00091, 1),
        (0.0011, 2),
        (0.1, 100),
    ],
)
def test_stmin_is_never_shorter_than_asked(seconds, stmin):
    assert isotp.stmin_from_seconds(seconds) == stmin
    assert isotp.stmin_to_seconds(stmin) >= seconds - 1e-12


@pytest.mark.parametrize("stmin", [*range(0x80), *range(0xF1, 0xFA)])
def test_stmin_there_and_back(stmin):
    assert isotp.stmin_from_seconds(isotp.stmin_to_seconds(stmin)) == stmin


@pytest.mark.parametrize("seconds", [-0.001, 0.128, math.nan, math.inf, "1", None, True])
def test_seconds_that_are_no_stmin(seconds):
    with pytest.raises(ValueError, match=re.escape(repr(seconds))):
        isotp.stmin_from_seconds(seconds)


@pytest.mark.parametrize("stmin", [0x80, 0xF0, 0xFA, 0xFF, -1, 256, 1.0, None])
def test_bytes_that_are_no_stmin(stmin):
    with pytest.raises(ValueError, match=re.escape(repr(stmin))):
        isotp.stmin_to_seconds(stmin)


def test_type_checkers_know_all_of_them() -> None:
    assert set(Parameters.__annotations__) == set(DEFAULTS) | set(_ALIASES)
    types = {name: kind for name, kind in Parameters.__annotations__.items() if name not in _ALIASES}
    assert {name: kind.__forward_arg__ for name, kind in types.items()} == {
        **{name: kind for name, kind in Params.__annotations__.items() if not name.startswith("_")},
        "default_target_address_type": "int",
    }
