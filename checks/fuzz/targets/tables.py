"""The API of `Records` and `Messages` with any arguments, and `encode()`: what is encoded is reassembled again."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import isotp
from checks.fuzz.choices import Choices
from checks.fuzz.targets.reassembler import ADDRESSES, SIZES, check, frames
from isotp import Direction, Messages, MessageStatus, Reassembler, Records

LENGTHS = (8, 12, 16, 20, 24, 32, 48, 64)


def integer(choices: Choices) -> int:
    """Small ones, and those at the limits of what a field holds."""
    return choices.number(choices.byte() % 10) - choices.byte()


def edit_records(choices: Choices) -> None:
    layout = choices.pick(("classic", "fd"))
    records = Records(layout, choices.byte())
    held: list[memoryview] = []
    for _ in range(8):
        what = choices.byte() % 8
        with contextlib.suppress(ValueError, OverflowError, IndexError, BufferError, TypeError):
            if what == 0:
                records.append(
                    integer(choices),
                    integer(choices),
                    choices.block(choices.byte() % 70),
                    choices.byte(),
                    integer(choices),
                )
            elif what == 1:
                records.extend(choices.block(choices.number(2)))
            elif what == 2:
                records.extend(records)
            elif what == 3:
                held.append(memoryview(records))
            elif what == 4:
                held.clear()
            elif what == 5:
                records[integer(choices)]
            elif what == 6:
                records = records[integer(choices) : integer(choices) : integer(choices)]
            else:
                records.clear()
        for view in held:
            bytes(view)
    again = Records.from_buffer(bytes(records), records.layout)
    assert again == records
    assert list(again) == list(records)


def edit_messages(choices: Choices) -> None:
    feeder = Reassembler(ADDRESSES)
    layout = choices.pick(("classic", "fd"))
    log = frames(Choices(choices.block(choices.byte() * 4)), SIZES[layout])
    table = Messages.concat([feeder.feed(log, layout), feeder.flush()])
    for _ in range(6):
        what = choices.byte() % 4
        with contextlib.suppress(ValueError, OverflowError, IndexError, TypeError):
            if what == 0:
                table = table[integer(choices) : integer(choices) : integer(choices)]
            elif what == 1:
                table = table + table[: integer(choices) % 32]
            elif what == 2:
                table[integer(choices)]
            else:
                table = table.filter(
                    session=integer(choices) if choices.flag() else None,
                    direction=choices.byte() % 3 if choices.flag() else None,
                    channel=integer(choices) if choices.flag() else None,
                    status=choices.byte() % 12 if choices.flag() else None,
                    since=integer(choices) if choices.flag() else None,
                    until=integer(choices) if choices.flag() else None,
                )
        if len(table) > 5000:
            return
    assert len(table.payloads) == len(table) == len(list(table))
    assert table[::-1][::-1] == table


def encode_and_decode(choices: Choices) -> None:
    address: Any = choices.pick(ADDRESSES)
    tx_data_length = choices.pick(LENGTHS)
    params = {
        "tx_data_length": tx_data_length,
        "tx_data_min_length": choices.pick((None, 1, 8, *LENGTHS)),
        "tx_padding": choices.byte() if choices.flag() else None,
        "stmin": choices.byte(),
        "blocksize": choices.byte(),
        "can_fd": tx_data_length > 8,
    }
    payloads = [
        choices.block(choices.number(2) % 5000 if choices.flag() else choices.byte()) for _ in range(3)
    ]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of times that end
            records = isotp.encode(
                payloads,
                address,
                direction=Direction(choices.byte() & 1),
                target_address_type=choices.byte() & 1,
                params=params,
                start=choices.number(8) - choices.number(8),
                interval=choices.number(8),
                frame_time=choices.number(7),
                channel=choices.number(2),
                flow_control=choices.flag(),
            )
    except ValueError:
        return
    times = [record.timestamp for record in records]
    assert times == sorted(times), "the times of the frames go back"
    # N_Cr without an end: STmin and the time of a frame may be anything here.
    feeder = Reassembler([address], rx_consecutive_frame_timeout=float("inf"))
    table = Messages.concat([feeder.feed(records), feeder.flush()])
    check(table)
    assert table.payloads == payloads, "what was encoded is not what is decoded"
    assert {message.status for message in table} <= {MessageStatus.OK}


def one_input(data: bytes) -> None:
    choices = Choices(data)
    choices.pick((edit_records, edit_messages, encode_and_decode))(choices)
