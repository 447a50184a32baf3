"""What the own tests of each can-isotp release must come to: passes, skips, and which fail and why."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Expected:
    """The one acceptable outcome of a run.

    `failures` maps `file::Class::test` to why that test fails; those in `by_speed`, which are not counted in
    `passed`, fail or pass with the speed of the machine. Those in `races` must pass, but may need a second try.
    """

    passed: int
    skipped: int
    failures: dict[str, str] = field(default_factory=dict)
    by_speed: dict[str, str] = field(default_factory=dict)
    races: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One call of pytest: the test files (all if empty), python-can's interface, and what comes out."""

    title: str
    interface: str
    files: tuple[str, ...]
    expected: Expected


_EXTENDED_NEEDS_SOURCE = (
    "builds an Extended address without source_address; "
    "2.0.7's own tests require a ValueError for the same call"
)
_FC_FOLLOWS_FF = (
    "wants no Flow Control between a First Frame and a wrong Consecutive Frame that wait together "
    "for one process(); 2.0.7 and ISO 15765-2 answer the First Frame at once"
)
_ADDRESSING = "test_addressing_modes::TestAddressingMode"
_CONTRADICTED_BY_2 = {
    f"{_ADDRESSING}::test_create_address": _EXTENDED_NEEDS_SOURCE,
    f"{_ADDRESSING}::test_single_frame_only_function_tatype": _EXTENDED_NEEDS_SOURCE,
    "test_transport_layer::TestTransportLayer::test_receive_multiframe_bad_seqnum": _FC_FOLLOWS_FF,
}
# Met only where the kernel's sockets are tested; release 1.9 itself fails these there too. Both ends of the
# second test are sockets of the kernel: nothing of this package takes part in its timing.
_REFUSED_BY_KERNEL = {
    "test_socket::TestSocket::test_read_write_opts": (
        "sets all 16 option flags, but newer kernels refuse SF_BROADCAST (0x800) together with CF_BROADCAST "
        "(0x1000): EINVAL"
    ),
}
_FASTER_IN_KERNEL = {
    "test_socket::TestSocket::test_receive_transmit_fc_opts": (
        "wants at least 2.52 s for a message, counting STmin before every Consecutive Frame, but the kernel "
        "sends the first one after a Flow Control at once, and is done in 2.2 s unless the machine is slow"
    ),
}

_AGAINST_SOCKET = "test_layer_vs_socket::TestLayerAgainstSocket"
_ADDRESS_AFTER_START = dict.fromkeys(
    (f"{_AGAINST_SOCKET}::test_receive_extended_29bits", f"{_AGAINST_SOCKET}::test_receive_mixed_29bits"),
    "one thread gives the started layer another address while the other one sends to that address already",
)

_CAN_STACK_OVER_VIRTUAL = Run(
    title="test_can_stack over python-can's virtual bus",
    interface="virtual",
    files=("test_can_stack.py",),
    expected=Expected(passed=5, skipped=0),
)

# Without a kernel that has CAN_ISOTP and vcan0: the tests that need its socket skip themselves.
EXPECTED: dict[str, tuple[Run, ...]] = {
    "2.0.7": (
        Run("whole suite", "socketcan", (), Expected(passed=133, skipped=31)),
        _CAN_STACK_OVER_VIRTUAL,
    ),
    "1.9": (Run("whole suite", "socketcan", (), Expected(105, 24, _CONTRADICTED_BY_2)),),
}

# With one: nothing is skipped.
EXPECTED_WITH_KERNEL: dict[str, tuple[Run, ...]] = {
    "2.0.7": (
        Run("whole suite", "socketcan", (), Expected(passed=164, skipped=0, races=_ADDRESS_AFTER_START)),
        _CAN_STACK_OVER_VIRTUAL,
    ),
    "1.9": (
        Run(
            "whole suite",
            "socketcan",
            (),
            Expected(127, 0, _CONTRADICTED_BY_2 | _REFUSED_BY_KERNEL, by_speed=_FASTER_IN_KERNEL),
        ),
    ),
}
