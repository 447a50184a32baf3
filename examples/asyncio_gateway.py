"""A gateway between two buses, on asyncio: what testers ask on one bus is asked on the other, answers go back.

    python examples/asyncio_gateway.py --interface socketcan can0 can1 --route 7E0:7E8=710:718 --route 7E1:7E9=711:719

`7E0:7E8=710:718`: requests that come with 7E0 on the first bus are sent with 710 on the second one, and what comes with
718 there goes back with 7E8. Any number of routes is served by one thread, the loop's. Ends by Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass

import can

import isotp
import isotp.aio


@dataclass(frozen=True)
class Route:
    """The identifiers of one ECU: as testers see it, and as it really is."""

    request: int
    response: int
    inner_request: int
    inner_response: int

    @classmethod
    def parse(cls, text: str) -> Route:
        outer, _, inner = text.partition("=")
        return cls(*(int(part, 16) for part in (*outer.split(":"), *inner.split(":"))))


async def carry(source: isotp.aio.Layer, target: isotp.aio.Layer) -> None:
    """Send on all that comes, until the layer is closed. What cannot be sent is lost, as on the bus."""
    async for message in source:
        try:
            await target.send(message)
        except isotp.BlockingSendFailure as failure:
            print(f"{target.address}: {failure.__cause__ or failure}", file=sys.stderr)


async def gateway(
    outer: can.BusABC, inner: can.BusABC, routes: list[Route], serving: asyncio.Event | None = None
) -> None:
    """Serve the routes until the task is cancelled; `serving` is set when nothing will be missed any more."""
    # Messages of any length pass: those of more than 4095 bytes as well.
    params = {"max_frame_size": 0xFFFF_FFFF}
    async with isotp.aio.Hub(outer) as outside, isotp.aio.Hub(inner) as inside:
        work = []
        for route in routes:
            tester = outside.layer(isotp.Address(txid=route.response, rxid=route.request), params=params)
            ecu = inside.layer(
                isotp.Address(txid=route.inner_request, rxid=route.inner_response), params=params
            )
            for layer in (tester, ecu):
                layer.start()
            work += [carry(tester, ecu), carry(ecu, tester)]
        if serving is not None:
            serving.set()
        await asyncio.gather(*work)


async def main() -> None:
    parser = argparse.ArgumentParser(description="A gateway for ISO-TP messages between two buses.")
    parser.add_argument("--interface", required=True, help="python-can's name of the adapter, say socketcan")
    parser.add_argument("outer", help="channel of the testers, say can0")
    parser.add_argument("inner", help="channel of the ECUs, say can1")
    parser.add_argument("--route", action="append", required=True, type=Route.parse)
    options = parser.parse_args()
    with (
        can.Bus(interface=options.interface, channel=options.outer) as outer,
        can.Bus(interface=options.interface, channel=options.inner) as inner,
    ):
        serving = asyncio.Event()
        work = asyncio.create_task(gateway(outer, inner, options.route, serving))
        await asyncio.wait((work, asyncio.create_task(serving.wait())), return_when=asyncio.FIRST_COMPLETED)
        print("serving", len(options.route), "routes", file=sys.stderr, flush=True)
        await work


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
