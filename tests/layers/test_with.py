"""`with` on layers: what the end of it leaves behind."""

from __future__ import annotations

from typing import Any

import can
import pytest

import isotp
from tests.frames import HERE, Bench


def test_a_polled_layer_forgets_what_is_under_way() -> None:
    bench = Bench()
    with bench.layer as layer:
        assert layer is bench.layer
        bench.hear("02 CA FE", "10 14 00 01 02 03 04 05")
        layer.send(bytes(20))
        layer.process()
    assert not layer.available()
    assert not layer.is_rx_active()
    assert not layer.transmitting()
    assert bench.still_works()


@pytest.mark.parametrize("kind", ["TransportLayer", "CanStack", "NotifierBasedCanStack", "HubSession"])
def test_a_started_layer_stops(kind: str) -> None:
    with can.Bus(interface="virtual", channel=f"with {kind}") as bus, isotp.Hub(bus) as hub:
        notifier = can.Notifier(bus, [], timeout=0.01) if kind == "NotifierBasedCanStack" else None
        made: Any = {
            "TransportLayer": lambda: isotp.TransportLayer(lambda timeout: None, lambda frame: None, HERE),
            "CanStack": lambda: isotp.CanStack(bus, address=HERE),
            "NotifierBasedCanStack": lambda: isotp.NotifierBasedCanStack(bus, notifier, address=HERE),
            "HubSession": lambda: hub.session(HERE),
        }[kind]()
        with made.start() as layer:
            assert layer is made
            assert layer.started
        assert not layer.started
        # Nothing was started, nothing has to be stopped.
        with layer:
            assert not layer.started
            layer.send(bytes(20))
        assert not layer.transmitting()
        if notifier is not None:
            notifier.stop()
