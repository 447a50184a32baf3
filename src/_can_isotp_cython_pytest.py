"""The pytest plugin: fixtures of `isotp.testing`. Each imports what it needs, so that who has none pays nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from isotp.address import Address, AsymmetricAddress
    from isotp.testing import HeldClock, Peer, Wire

_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Note which tests failed: their peers have nothing to add."""
    report = yield
    if report.when == "call" and report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture
def isotp_clock() -> HeldClock:
    """A clock that the test holds: nothing waits, and no time passes that the test does not let pass."""
    from isotp.testing import HeldClock

    return HeldClock()


@pytest.fixture
def isotp_wire(isotp_clock: HeldClock, request: pytest.FixtureRequest) -> Iterator[Wire]:
    """A wire on the time of `isotp_clock`, closed at the end; what went over it is shown where the test fails."""
    from isotp.testing import Wire

    with Wire(isotp_clock) as wire:
        yield wire
        if request.node.stash.get(_failed, False):
            print(f"frames on isotp_wire:\n{wire.frames.picture_of_last}")


@pytest.fixture
def isotp_peer(isotp_wire: Wire, request: pytest.FixtureRequest) -> Iterator[Callable[..., Peer]]:
    """Makes scripted peers on `isotp_wire`: `isotp_peer(address, story)`. At the end of a test that passed, each must
    have come to the end of its story, with no frame that is not in it."""
    from isotp.testing import Peer

    peers: list[Peer] = []

    def make(address: Address | AsymmetricAddress, story: str = "", **kwargs: Any) -> Peer:
        peers.append(Peer(isotp_wire, address, story, **kwargs))
        return peers[-1]

    yield make
    if not request.node.stash.get(_failed, False):
        for peer in peers:
            peer.check()
