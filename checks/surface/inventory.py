"""What can be seen of an `isotp` from outside: modules, names, signatures, defaults, attributes, values, bases.

Runs on whichever `isotp` is there, of either generation: ``python inventory.py GENERATION`` prints JSON, lines of
text by what they are about. Public names and those behind one underscore count; of an object's attributes
also whether they can be set.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import inspect
import json
import logging
import sys
import typing
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import can

import isotp

MODULES = ("isotp", "isotp.address", "isotp.errors", "isotp.protocol", "isotp.tpsock", "isotp.tpsock.opts")
MODULES_2 = ("isotp.can_message", "isotp.tools")
# What can-isotp's modules import for themselves, but for what programs are known to reach through.
FOREIGN = {
    "TYPE_CHECKING",
    "annotations",
    "Any",
    "Callable",
    "Dict",
    "Generator",
    "Iterable",
    "List",
    "Optional",
}
FOREIGN |= {"Tuple", "Union", "cast", "dataclass", "ABC", "abstractmethod", "Type"}


def is_seen(name: str) -> bool:
    return not name.startswith("__") and name != "_abc_impl"


def value_of(value: Any) -> str:
    """A value as text that is the same in both packages."""
    if isinstance(value, enum.Enum):
        return value_of(value.value)
    if isinstance(value, (int, float, str, bytes, bytearray, bool, type(None))):
        return repr(value)
    return type(value).__name__


def signature_of(function: Callable[..., Any]) -> str:
    """Names, kinds and defaults of the parameters."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        return type(error).__name__
    shown = []
    for parameter in parameters:
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={value_of(parameter.default)}"
        shown.append(f"{star}{parameter.name}{default}")
    return f"({', '.join(shown)})"


def members_of(owner: type) -> Iterator[str]:
    """The methods of a class, and what else stands there."""
    for name in sorted(set(dir(owner)) - set(dir(object)) - set(dir(Exception))):
        if not is_seen(name):
            continue
        static = inspect.getattr_static(owner, name)
        value = getattr(owner, name)
        if isinstance(value, type):
            yield f"{name} is a class"
        elif typing.get_origin(value) is not None:
            continue
        elif callable(value):
            yield f"{name}{signature_of(value)}"
        elif isinstance(value, (int, float, str, enum.Enum)) and not isinstance(static, property):
            yield f"{name} = {value_of(value)}"


def attributes_of(make: Callable[[], Any]) -> Iterator[str]:
    """What an object has beside methods, and whether that can be set."""
    seen = make()
    for name in sorted(set(dir(seen)) - set(dir(object)) - set(dir(Exception))):
        if not is_seen(name) or callable(inspect.getattr_static(type(seen), name, None)):
            continue
        try:
            value = getattr(seen, name)
        except Exception as error:
            yield f"{name} raises {type(error).__name__}"
            continue
        if isinstance(value, type):
            continue
        is_number = isinstance(value, (int, float, enum.Enum))
        kind = "callable" if callable(value) else "number" if is_number else type(value).__name__
        yield f"{name}: {kind}"
        fresh = make()
        with contextlib.suppress(Exception):
            setattr(fresh, name, getattr(fresh, name))
            yield f"{name} can be set"


def bases_of(owner: type) -> str:
    return "is a " + ", ".join(base.__name__ for base in owner.__mro__[1:-1])


def classes(generation: int) -> dict[str, type]:
    """The classes of the API, and those that they hold."""
    protocol = importlib.import_module("isotp.protocol")
    names = ["Address", "AddressingMode", "TargetAddressType", "CanMessage", "CanStack", "TransportLayer"]
    names += ["AsymmetricAddress", "TransportLayerLogic", "NotifierBasedCanStack"] if generation == 2 else []
    found = {name: getattr(isotp, name) for name in names}
    found |= {name: getattr(protocol, name) for name in ("PDU", "RateLimiter")}
    found |= {"PDU.Type": protocol.PDU.Type, "PDU.FlowStatus": protocol.PDU.FlowStatus}
    base = found["TransportLayer"] if generation == 1 else found["TransportLayerLogic"]
    for name in ("Params", "RxState", "TxState", "Timer", "SendRequest", "ProcessStats"):
        if hasattr(base, name):
            found[name] = getattr(base, name)
    if generation == 2:
        tools = importlib.import_module("isotp.tools")
        found |= {"Timer": tools.Timer, "FiniteByteGenerator": tools.FiniteByteGenerator}
        found |= {"BusOwner": protocol.BusOwner, "ProcessRxReport": base.ProcessRxReport}
        found |= {"ProcessTxReport": base.ProcessTxReport, "Events": isotp.TransportLayer.Events}
        found |= {"AbstractAddress": importlib.import_module("isotp.address").AbstractAddress}
    found["socket"] = isotp.socket
    found["tpsock.flags"] = isotp.tpsock.flags
    found["tpsock.LinkLayerProtocol"] = isotp.tpsock.LinkLayerProtocol
    return found


def objects(generation: int, bus: can.BusABC, notifier: can.Notifier) -> dict[str, Callable[[], Any]]:
    """What makes an object of each class."""
    Mode = isotp.AddressingMode
    protocol = importlib.import_module("isotp.protocol")
    address = isotp.Address(rxid=0x456, txid=0x123)

    def frame(data: str) -> Any:
        return isotp.CanMessage(arbitration_id=0x456, data=bytes.fromhex(data))

    def layer() -> Any:
        made = isotp.TransportLayer(rxfn=lambda: None, txfn=print, address=address)
        # In 1.x some attributes come with the first frame.
        made.process()
        return made

    found: dict[str, Callable[[], Any]] = {
        "Address": lambda: isotp.Address(rxid=0x456, txid=0x123),
        "Address (NormalFixed)": lambda: isotp.Address(
            Mode.NormalFixed_29bits, target_address=1, source_address=2
        ),
        "CanMessage": lambda: frame("0102"),
        "CanStack": lambda: isotp.CanStack(bus, address=address),
        "PDU (SF)": lambda: protocol.PDU(frame("0102")),
        "PDU (FF)": lambda: protocol.PDU(frame("100a000102030405")),
        "PDU (CF)": lambda: protocol.PDU(frame("2102")),
        "PDU (FC)": lambda: protocol.PDU(frame("300102")),
        "Params": lambda: layer().params,
        "RateLimiter": lambda: protocol.RateLimiter(mean_bitrate=1000, window_size_sec=0.1),
        "TransportLayer": layer,
        "tx_queue": lambda: layer().tx_queue,
        "rx_queue": lambda: layer().rx_queue,
        "timer_rx_cf": lambda: layer().timer_rx_cf,
    }
    if generation == 2:
        logic = isotp.TransportLayerLogic
        found |= {
            "AsymmetricAddress": lambda: isotp.AsymmetricAddress(
                isotp.Address(txid=1, tx_only=True), isotp.Address(rxid=2, rx_only=True)
            ),
            "NotifierBasedCanStack": lambda: isotp.NotifierBasedCanStack(bus, notifier, address=address),
            "ProcessRxReport": lambda: logic.ProcessRxReport(False, False),
            "ProcessStats": lambda: logic.ProcessStats(1, 1, 1, 1),
            "ProcessTxReport": lambda: logic.ProcessTxReport(None, False),
            "SendRequest": lambda: logic.SendRequest(b"abc", isotp.TargetAddressType.Physical),
            "Timer": lambda: importlib.import_module("isotp.tools").Timer(1.0),
            "FiniteByteGenerator": lambda: importlib.import_module("isotp.tools").FiniteByteGenerator(
                (byte for byte in b"a"), 1
            ),
            "Events": isotp.TransportLayer.Events,
            "rx_relay_queue": lambda: layer().rx_relay_queue,
        }
    return found


def names_of(module: ModuleType) -> dict[str, list[str]]:
    star: dict[str, Any] = {}
    exec(f"from {module.__name__} import *", star)
    names = {name for name in dir(module) if is_seen(name)} - FOREIGN
    return {"star": sorted(set(star) - {"__builtins__"}), "names": sorted(names)}


def truths() -> list[str]:
    """Which members of enumerations count as false, and which equal their number."""
    members = [
        (name, getattr(kind, name))
        for kind in (isotp.AddressingMode, isotp.TargetAddressType)
        for name in dir(kind)
        if is_seen(name) and isinstance(getattr(kind, name), (enum.Enum, int))
    ]
    return [f"{name} is {'true' if member else 'false'}" for name, member in members] + [
        f"{name} {'is' if member == getattr(member, 'value', member) else 'is not'} equal to its number"
        for name, member in members
    ]


def observe(generation: int) -> dict[str, Any]:
    """All of it."""
    modules = MODULES if generation == 1 else MODULES + MODULES_2
    errors = importlib.import_module("isotp.errors")
    kinds = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    with can.Bus(interface="virtual", channel="inventory") as bus:
        notifier = can.Notifier(bus, [], timeout=0.01)
        try:
            attributes = {
                name: list(attributes_of(make)) for name, make in objects(generation, bus, notifier).items()
            }
        finally:
            notifier.stop()
    return {
        "names": {name: names_of(importlib.import_module(name)) for name in modules},
        "errors": {name: [bases_of(kind), f"__init__{signature_of(kind)}"] for name, kind in kinds.items()},
        "classes": {
            name: [f"__init__{signature_of(kind)}", *members_of(kind)]
            for name, kind in classes(generation).items()
        },
        "attributes": attributes,
        "truths": truths(),
    }


if __name__ == "__main__":
    logging.getLogger("isotp").setLevel(logging.CRITICAL)
    json.dump(observe(int(sys.argv[1])), sys.stdout)
