"""The error classes: their names, their family and their other spellings, which user code relies on."""

import builtins
import pickle

import pytest

from isotp import errors

CHILDREN_OF_ISOTP_ERROR = [
    "BadGeneratorError",
    "BlockingReceiveFailure",
    "BlockingSendFailure",
    "ChangingInvalidRXDLError",
    "ConsecutiveFrameTimeoutError",
    "FlowControlTimeoutError",
    "FrameTooLongError",
    "FramesLostError",
    "InvalidCanDataError",
    "InvalidCanFdFirstFrameRXDL",
    "LayerClosedError",
    "MaximumWaitFrameReachedError",
    "CallbackError",
    "MissingEscapeSequenceError",
    "OverflowError",
    "ReceptionInterruptedWithFirstFrameError",
    "ReceptionInterruptedWithSingleFrameError",
    "ReceptionQueueFullError",
    "TransmitTimeoutError",
    "UnexpectedConsecutiveFrameError",
    "UnexpectedFlowControlError",
    "UnsupportedWaitFrameError",
    "WrongSequenceNumberError",
]
CLASSES = [*CHILDREN_OF_ISOTP_ERROR, "BlockingSendTimeout", "IsoTpError"]
OTHER_SPELLINGS = {
    "ChangingInvalidRXDLLError": "ChangingInvalidRXDLError",
    "IsotpError": "IsoTpError",
    "UnsuportedWaitFrameError": "UnsupportedWaitFrameError",
}


@pytest.mark.parametrize("name", CHILDREN_OF_ISOTP_ERROR)
def test_errors_derive_directly_from_isotp_error(name):
    assert getattr(errors, name).__bases__ == (errors.IsoTpError,)


def test_the_base_is_a_plain_exception():
    assert errors.IsoTpError.__bases__ == (Exception,)


def test_a_blocking_send_timeout_is_a_blocking_send_failure():
    assert errors.BlockingSendTimeout.__bases__ == (errors.BlockingSendFailure,)


@pytest.mark.parametrize(("other", "canonical"), OTHER_SPELLINGS.items())
def test_other_spellings_are_the_same_class(other, canonical):
    # Identical, not derived: user code compares error.__class__.
    assert getattr(errors, other) is getattr(errors, canonical)
    assert getattr(errors, other).__name__ == canonical


def test_all_is_exactly_every_name():
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.IsoTpError)
    }
    assert sorted(errors.__all__) == sorted(defined) == sorted([*CLASSES, *OTHER_SPELLINGS])


def test_overflow_error_is_not_the_builtin_one():
    assert errors.OverflowError is not builtins.OverflowError
    assert not issubclass(errors.OverflowError, builtins.OverflowError)


@pytest.mark.parametrize("name", CLASSES)
def test_errors_carry_their_message_and_can_be_pickled(name):
    error = getattr(errors, name)("what happened", 42)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert copy.args == ("what happened", 42)
    assert str(getattr(errors, name)("what happened")) == "what happened"


@pytest.mark.parametrize("name", CLASSES)
def test_each_error_is_documented_by_itself(name):
    assert vars(getattr(errors, name))["__doc__"]
