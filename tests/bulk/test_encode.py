"""encode(): frame records of whole messages, the same frames that a layer sends."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

import pytest

import isotp
from isotp import Direction, Reassembler, encode
from tests.bulk.logs import ADDRESSES, TESTER
from tests.frames import MS, US, counted

PARAMS: tuple[dict[str, Any], ...] = (
    {},
    {"tx_padding": 0x55, "blocksize": 3, "stmin": 5},
    {"tx_data_length": 64, "can_fd": True, "bitrate_switch": True, "blocksize": 0},
    {"tx_data_length": 12, "can_fd": True, "tx_data_min_length": 12, "stmin": 0xF2},
)
SIZES = (1, 5, 7, 8, 12, 62, 63, 300, 4095, 4096)


def exchanged(address: isotp.Address, payload: bytes, params: dict[str, Any]) -> list[isotp.CanMessage]:
    """The frames on the bus when one layer sends to another."""
    wires: tuple[deque[isotp.CanMessage], deque[isotp.CanMessage]] = (deque(), deque())
    bus: list[isotp.CanMessage] = []

    def layer(side: int, own: isotp.Address) -> isotp.TransportLayerLogic:
        def send(message: isotp.CanMessage) -> None:
            bus.append(message)
            wires[1 - side].append(message)

        made = isotp.TransportLayerLogic(
            rxfn=lambda timeout: wires[side].popleft() if wires[side] else None,
            txfn=send,
            address=own,
            error_handler=lambda error: pytest.fail(str(error)),
            params={**params, "max_frame_size": 5000, "override_receiver_stmin": 0.0},
        )
        return made

    sender, receiver = layer(0, address), layer(1, address.reversed())
    sender.send(payload)
    while not receiver.available():
        sender.process()
        receiver.process()
    assert receiver.recv() == payload
    return bus


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("address", ADDRESSES, ids=lambda a: a.addressing_mode.name)
def test_same_frames_as_two_layers(address: isotp.Address, params: dict[str, Any]) -> None:
    for size in SIZES:
        records = encode(counted(size), address, params=params, flow_control=True)
        assert [(r.can_id, r.flags & 4 != 0, r.flags & 1 != 0, r.data) for r in records] == [
            (m.arbitration_id | m.is_extended_id << 31, m.is_fd, m.bitrate_switch, m.data)
            for m in exchanged(address, counted(size), params)
        ]


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("direction", Direction)
def test_reassembler_reads_it_back(direction: Direction, params: dict[str, Any]) -> None:
    payloads = [counted(size) for size in SIZES]
    for address in ADDRESSES:
        for flow_control in (True, False):
            records = encode(
                payloads, address, direction=direction, params=params, channel=7, flow_control=flow_control
            )
            found = Reassembler([address]).feed(records)
            assert found.payloads == payloads
            assert set(found.column("direction")) == {direction}
            assert set(found.column("channel")) == {7}
            assert found[-1].stmin_us == (
                {5: 5000, 0xF2: 200}.get(params.get("stmin", 0), 0) if flow_control else None
            )


def test_times() -> None:
    records = encode(
        [bytes(20), bytes(3)],
        TESTER,
        params={"stmin": 2, "blocksize": 1},
        start=1000,
        interval=50 * MS,
        frame_time=300 * US,
        flow_control=True,
    )
    gaps = [b.timestamp - a.timestamp for a, b in itertools.pairwise(records)]
    assert records[0].timestamp == 1000
    # FF, FC, CF, FC, CF, and after the interval the SF
    assert gaps == [300 * US, 2 * MS, 300 * US, 2 * MS, 50 * MS + 300 * US]


LATEST = 1 << 62


@pytest.mark.parametrize("flow_control", [True, False])
@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ([7], {}),
        ([8], {"frame_time": 5}),
        ([100], {"frame_time": 1 << 57}),
        ([100], {"frame_time": 1, "params": {"stmin": 1}}),
        ([7, 7], {"frame_time": 1 << 61, "interval": 1 << 61}),
        ([100], {"frame_time": 0, "params": {"override_receiver_stmin": 1e8}}),
    ],
)
def test_no_frame_is_later_than_times_can_tell(
    sizes: list[int], options: dict[str, Any], flow_control: bool
) -> None:
    """The last frame may come at the latest time there is, not 1 ns later."""
    payloads = [counted(size) for size in sizes]
    records = encode(payloads, TESTER, start=-(1 << 62), flow_control=flow_control, **options)
    length = records[-1].timestamp - records[0].timestamp
    latest = encode(payloads, TESTER, start=LATEST - length, flow_control=flow_control, **options)
    times = [record.timestamp for record in latest]
    assert times == sorted(times)
    assert times[-1] == LATEST
    assert Reassembler([TESTER], rx_consecutive_frame_timeout=float("inf")).feed(latest).payloads == payloads
    if length > 0:
        with pytest.warns(RuntimeWarning, match=r"frames would be later than 2\*\*62 ns: start"):
            late = encode(payloads, TESTER, start=LATEST - length + 1, flow_control=flow_control, **options)
        assert [record.timestamp for record in late] == [min(time + 1, LATEST) for time in times]


def test_functional_is_a_single_frame() -> None:
    fixed = ADDRESSES[2]
    (record,) = encode(b"\x3e\x00", fixed, target_address_type=isotp.TargetAddressType.Functional)
    assert record.can_id == 0x98DB33F1
    with pytest.raises(
        ValueError, match="payload of 8 bytes: functional addressing takes single frames only"
    ):
        encode(bytes(8), fixed, target_address_type=1)


@pytest.mark.parametrize(
    ("payloads", "options", "error", "message"),
    [
        (b"", {}, ValueError, "a message has 1 to 4294967295 bytes, not 0"),
        ([b"x", 5], {}, TypeError, "a bytes-like object is required, not 'int'"),
        (b"x", {"params": {"stmin": 0x80}}, ValueError, "stmin must be 0x00 to 0x7F or .* not 0x80"),
        (b"x", {"params": {"tx_data_length": 9}}, ValueError, "tx_data_length must be one of"),
        (b"x", {"layout": "classic", "params": {"tx_data_length": 64}}, ValueError, "do not hold tx_data"),
        (b"x", {"channel": -1}, ValueError, "channel must be from 0 to 65535, not -1"),
        (b"x", {"frame_time": -1}, ValueError, "frame_time must be from 0 to"),
        (b"x", {"frame_time": (1 << 61) + 1}, ValueError, "frame_time must be from 0 to 2305843009213693952"),
        (b"x", {"interval": 1 << 70}, ValueError, "interval must be from 0 to"),
        (b"x", {"start": 1 << 63}, ValueError, "start must be from -9223372036854775808 to"),
    ],
)
def test_refuses(payloads: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        encode(payloads, TESTER, **options)
