"""Names of what UDS messages have, as udsoncan knows them; None for all where it is not installed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

__all__ = ["did_name", "response_code_name", "service_name", "sub_function_name"]

OWN = "Custom"  # what udsoncan calls sub-functions of a manufacturer begins with that


@lru_cache(1)
def services() -> dict[int, Any]:
    """udsoncan's class of each service, by its identifier."""
    try:
        from udsoncan import services
    except ImportError:
        return {}
    classes = (each for _, each in inspect.getmembers(services, inspect.isclass))
    return {each._sid: each for each in classes if hasattr(each, "_sid")}


@lru_cache(256)
def service_name(service: int) -> str | None:
    known = services().get(service)
    return None if known is None else str(known.get_name())


@lru_cache(4096)
def sub_function_name(service: int, sub_function: int) -> str | None:
    known = services().get(service)
    if known is None:
        return None
    from udsoncan.BaseService import BaseSubfunction

    for _, each in inspect.getmembers(known, inspect.isclass):
        if issubclass(each, BaseSubfunction):
            name = str(each.get_name(sub_function))
            return None if name.startswith(OWN) else name
    return None


@lru_cache(1)
def response_codes() -> dict[int, str]:
    try:
        from udsoncan.Response import Response
    except ImportError:
        return {}
    members = inspect.getmembers(Response.Code, lambda each: isinstance(each, int))
    return {code: name for name, code in members if not name.startswith("_")}


def response_code_name(code: int) -> str | None:
    return response_codes().get(code)


@lru_cache(1)
def identifiers() -> Callable[[int], str | None] | None:
    try:
        from udsoncan import DataIdentifier
    except ImportError:
        return None
    return DataIdentifier.name_from_id


@lru_cache(4096)
def did_name(did: int) -> str | None:
    name_of = identifiers()
    return None if name_of is None else name_of(did)
