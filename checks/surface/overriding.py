"""What a subclass sees that overrides one method of a layer: its calls, the frames and the errors, in order.

Runs on whichever `isotp` is there, of either generation: ``python overriding.py GENERATION`` prints JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

import isotp

HOOKS = (
    "check_timeouts_rx",
    "make_flow_control",
    "make_tx_msg",
    "pad_message_data",
    "process_rx",
    "process_tx",
    "stop_receiving",
    "stop_sending",
    "trigger_error",
)

# Parameters and steps of each story: what is sent, received, called or waited for, and process() after each.
STORIES: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "a single frame comes": ({}, ["< 02 aa bb"]),
    "a message comes in blocks": (
        {"blocksize": 1},
        ["< 10 14 00 01 02 03 04 05", "< 21 06 07 08 09 0a 0b 0c", "< 22 0d 0e 0f 10 11 12 13"],
    ),
    "a wrong sequence number": ({}, ["< 10 0a 00 01 02 03 04 05", "< 22 06 07 08 09"]),
    "an interruption": ({}, ["< 10 0a 00 01 02 03 04 05", "< 02 aa bb"]),
    "a single frame goes": ({"tx_padding": 0}, ["> 61 62 63"]),
    "a message goes": ({"tx_padding": 0xCC}, ["> " + "55 " * 20, "< 30 00 00"]),
    "overflow": ({}, ["> " + "55 " * 10, "< 32 00 00"]),
    "N_Cr": ({"rx_consecutive_frame_timeout": 20}, ["< 10 0a 00 01 02 03 04 05", 0.05]),
    "N_Bs": ({"rx_flowcontrol_timeout": 20}, ["> " + "55 " * 10, 0.05]),
    "somebody stops it": (
        {},
        ["> " + "55 " * 10, "stop_sending", "< 10 0a 00 01 02 03 04 05", "stop_receiving"],
    ),
    "reset": ({}, ["> " + "55 " * 10, "< 10 0a 00 01 02 03 04 05", "reset"]),
    "a frame that is none": ({}, ["< 40 00"]),
    "idle": ({}, ["< 21 06 07 08", "< 30 00 00", "stop_sending", "stop_receiving"]),
    "too long": ({"max_frame_size": 5}, ["< 10 0a 00 01 02 03 04 05"]),
}


def shown(value: Any) -> str:
    if hasattr(value, "arbitration_id"):
        return f"{value.arbitration_id:x}#{bytes(value.data).hex()}"
    if isinstance(value, Exception):
        return type(value).__name__
    return bytes(value).hex() if isinstance(value, (bytes, bytearray)) else repr(value)


def play(generation: int, hook: str, params: dict[str, Any], steps: list[Any]) -> list[str]:
    """What the subclass saw."""
    log: list[str] = []
    base = isotp.TransportLayer if generation == 1 else isotp.TransportLayerLogic
    name = hook if generation == 1 else f"_{hook}"

    def override(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = [shown(value) for value in args] + [f"{key}={value!r}" for key, value in kwargs.items()]
        log.append(f"{hook}({', '.join(given)})")
        return getattr(super(layer_class, self), name)(*args, **kwargs)

    layer_class = type("Overriding", (base,), {name: override})
    incoming: list[Any] = []
    layer = layer_class(
        rxfn=lambda: incoming.pop(0) if incoming else None,
        txfn=lambda frame: log.append(f"> {shown(frame)}"),
        address=isotp.Address(rxid=0x456, txid=0x123),
        error_handler=lambda error: log.append(type(error).__name__),
        params=params,
    )
    for step in steps:
        if isinstance(step, float):
            time.sleep(step)
        elif step[:1] == ">":
            layer.send(bytes.fromhex(step[1:]))
        elif step[:1] == "<":
            incoming.append(isotp.CanMessage(arbitration_id=0x456, data=bytes.fromhex(step[1:])))
        else:
            getattr(layer, step)()
        layer.process()
    return log


def observe(generation: int) -> dict[str, dict[str, list[str]]]:
    """By method and story."""
    return {
        hook: {story: play(generation, hook, params, steps) for story, (params, steps) in STORIES.items()}
        for hook in HOOKS
    }


if __name__ == "__main__":
    logging.getLogger("isotp").setLevel(logging.CRITICAL)
    json.dump(observe(int(sys.argv[1])), sys.stdout)
