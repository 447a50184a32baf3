# Stubs of the compiled module _encode.pyx, which has the documentation.

from collections.abc import Iterable
from typing import Literal

from typing_extensions import Buffer

from isotp.address import AbstractAddress, TargetAddressType
from isotp.bulk._message import Direction
from isotp.bulk._records import Records
from isotp.params import Parameters

def encode(
    payloads: Buffer | Iterable[Buffer],
    address: AbstractAddress,
    *,
    direction: Direction | int = Direction.TX,
    target_address_type: TargetAddressType | int = TargetAddressType.Physical,
    params: Parameters | None = None,
    start: int = 0,
    interval: int = 0,
    frame_time: int = 250_000,
    channel: int = 0,
    flow_control: bool = False,
    layout: Literal["classic", "fd"] | None = None,
) -> Records: ...
