"""tools.stub_types: what the reference says of compiled functions stands in their stubs."""

from __future__ import annotations

import inspect

import isotp
from tools.stub_types import signatures


def test_arguments_and_what_is_returned() -> None:
    assert signatures()["Layer.available"] == ("()", "bool")
    arguments, returned = signatures()["Records.from_buffer"]
    assert (arguments.split(":")[0], returned) == ("(source", "Records")
    arguments, returned = signatures()["Reassembler"]
    assert arguments.startswith("(addresses: Iterable[")
    assert returned is None


def test_each_compiled_method_of_a_layer_has_types() -> None:
    methods = [
        method
        for name, method in inspect.getmembers(isotp.TransportLayerLogic)
        if not name.startswith("_") and type(method).__name__ == "cython_function_or_method"
    ]
    assert len(methods) > 10
    assert {method.__qualname__ for method in methods} <= set(signatures())
    assert not any(method.__annotations__ for method in methods)
