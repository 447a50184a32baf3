"""Which methods of a layer its user has in place of ours: in a subclass, on the class or on the layer itself.

The core does by itself what these methods do, and calls none of them unless it is somebody else's. That is found out
when a layer is made, when it gets another address, and when a method is assigned to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isotp._core import HOOKS
from isotp.address import AbstractAddress, Address, AsymmetricAddress, overrides

__all__ = ["HOOK_NAMES", "methods_in_place_of", "own_method", "warn_of_methods_not_called"]

HOOK_NAMES = tuple(name for names in HOOKS.values() for name in names)

_IN_THE_CORE = "override make_tx_msg() or process_rx(), which get whole frames"
_BY_PARAMETERS = "set the parameter {} instead"

# Methods that can-isotp's layers call and ours do not, and what to do instead.
_NOT_CALLED = {
    "append_rx_data": "use receive_into, which gets the message as it comes",
    "empty_rx_buffer": "use receive_into, which gets the message as it comes",
    "empty_tx_buffer": "override _stop_sending()",
    "get_dlc": _IN_THE_CORE,
    "get_nearest_can_fd_size": _IN_THE_CORE,
    "request_tx_flowcontrol": "override make_flow_control(), which makes the frame",
    "request_wait_flow_control": "override make_flow_control(), which makes the frame",
    "start_reception_after_first_frame_if_valid": "use on_begin, or override process_rx()",
    "start_rx_cf_timer": _BY_PARAMETERS.format("rx_consecutive_frame_timeout"),
    "start_rx_fc_timer": _BY_PARAMETERS.format("rx_flowcontrol_timeout"),
    "stop_sending_flow_control": "override _stop_receiving()",
}
_NOT_CALLED |= {f"_{name}": advice for name, advice in _NOT_CALLED.items()}
_NOT_CALLED |= {
    "_main_thread_fn": "give the layer a rxfn and a txfn of your own",
    "_relay_thread_fn": "give the layer a rxfn of your own",
    "_read_relay_queue": "give the layer a rxfn of your own",
    "_tx_canbus_3minus": "override tx_canbus()",
}


def warn_of_methods_not_called(new_class: type) -> None:
    """RuntimeWarning for each method that a new class of layers has in vain."""
    for name in new_class.__dict__:
        if name in _NOT_CALLED:
            warnings.warn(
                f"{new_class.__qualname__}.{name}() is not called by the layers of this package: {_NOT_CALLED[name]}",
                RuntimeWarning,
                stacklevel=3,
            )


def own_method(owner: Any, names: Sequence[str], ours: Mapping[str, Any]) -> Callable[..., Any] | None:
    """The method that is not `ours`, by the first of these names that has one; of a subclass before its base's."""
    by_instance = [name for name in names if name in vars(owner)]
    if by_instance:
        found: Callable[..., Any] = getattr(owner, by_instance[0])
        return found
    classes = type(owner).__mro__
    places = {
        name: next(place for place, each in enumerate(classes) if name in each.__dict__)
        for name in names
        if getattr(type(owner), name) is not ours[name]
    }
    return getattr(owner, min(places, key=places.__getitem__)) if places else None


def methods_in_place_of(
    layer: Any, ours: Mapping[str, Any], address: AbstractAddress | None
) -> dict[str, Callable[..., Any]]:
    """The user's methods, by what the core knows them as."""
    found = {hook: own_method(layer, names, ours) for hook, names in HOOKS.items()}
    found["tx_id"] = None if address is None else _own_tx_id(address)
    return {hook: method for hook, method in found.items() if method is not None}


def _own_tx_id(address: AbstractAddress) -> Callable[..., int] | None:
    if isinstance(address, AsymmetricAddress) and not overrides(
        address, AsymmetricAddress, ["get_tx_arbitration_id"]
    ):
        return _own_tx_id(address.tx_addr)
    if isinstance(address, Address) and not overrides(
        address, Address, ["get_tx_arbitration_id", "_get_tx_arbitration_id"]
    ):
        return None
    return address.get_tx_arbitration_id
