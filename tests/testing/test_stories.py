"""The stories of hubs and of confirmed frames, which are told on other buses too, told on a wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import isotp
from isotp.testing import Wire
from tests import confirmation_stories, hub_stories

Hubs = tuple[isotp.Hub, isotp.Hub]


@pytest.fixture
def hubs() -> Iterator[Hubs]:
    with Wire() as wire, isotp.Hub(wire) as here, isotp.Hub(wire) as there:
        yield here, there


@pytest.mark.parametrize("params", [{}, {"blocksize": 2}, {"tx_data_length": 64, "can_fd": True}])
def test_a_hundred_sessions(hubs: Hubs, params: dict[str, Any]) -> None:
    hub_stories.a_hundred_sessions(*hubs, params, sizes=(1, 7, 8, 100, 400))


def test_one_identifier_for_many(hubs: Hubs) -> None:
    hub_stories.one_identifier_for_many(*hubs)


def test_comings_and_goings(hubs: Hubs) -> None:
    hub_stories.comings_and_goings(*hubs, visitors=20)


def test_udsoncan_reads_vins(hubs: Hubs) -> None:
    pytest.importorskip("udsoncan")
    hub_stories.udsoncan_reads_vins(*hubs)


@pytest.mark.parametrize(
    "story",
    [each for each in confirmation_stories.ALL.values() if each is not confirmation_stories.polled],
    ids=lambda story: story.__name__,
)
def test_frames_are_confirmed(story: Callable[..., None]) -> None:
    with Wire() as wire:
        story(lambda **kwargs: wire.layer(kwargs.pop("address"), start=False, **kwargs))
