"""Cases of the timers, to the nanosecond, and of the addressing formats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from isotp import Address, AddressingMode, AsymmetricAddress
from tests.conformance import rules
from tests.conformance.cases_reception import BEGIN, ONE_BLOCK, REST, REST_IN_VAIN, only
from tests.conformance.cases_transmission import GO_ON, LAST, SEND
from tests.conformance.story import Case

NS = "0.000001"


def confirmation_cases() -> Iterator[Case]:
    """N_As and N_Ar end with the confirmation of the data link layer, from which the other times run (9.8.1)."""
    here = {"alone": "what the bus confirms a log does not say", "confirming": True}
    over = "wait 999.999999\n wait 0.000001\n"
    lost = "failed\n error TransmitTimeoutError\n"
    yield Case(
        rules.N_AS, "SF: confirmed", "send 3E 00\n > 02 3E 00\n wait 999.999999\n echo\n confirm", **here
    )
    yield Case(rules.N_AS, "SF: never confirmed", f"send 3E 00\n > 02 3E 00\n {over} {lost}", **here)
    yield Case(rules.N_AS, "FF: never confirmed", SEND + over + lost, **here)
    yield Case(
        rules.N_AS,
        "CF: never confirmed",
        SEND + "echo\n < 30 01 00\n > 21 06 07 08 09 0A 0B 0C\n" + over + lost,
        **here,
    )
    yield Case(
        rules.N_AS,
        "runs from the confirmation of the frame before",
        SEND + "echo\n < 30 00 00\n > 21 06 07 08 09 0A 0B 0C\n > 22 0D 0E 0F 10 11 12 13\n"
        + "wait 999.999999\n echo\n wait 999.999999\n echo\n confirm",
        **here,
    )  # fmt: skip
    yield Case(
        rules.N_AR,
        "FC: never confirmed, the reception is given up",
        f"< 10 14 00*6\n > 30 00 00\n {over} error TransmitTimeoutError\n {REST_IN_VAIN}",
        ONE_BLOCK,
        **here,
    )
    yield Case(
        rules.N_BS,
        "runs from the confirmation of FF",
        SEND + "wait 900\n echo\n" + over + "failed\n error FlowControlTimeoutError",
        **here,
    )
    yield Case(
        rules.N_CR,
        "runs from the confirmation of FC",
        f"< 10 14 00*6\n > 30 00 00\n wait 900\n echo\n {over} error ConsecutiveFrameTimeoutError",
        ONE_BLOCK,
        **here,
    )
    yield Case(
        rules.STMIN,
        "runs from the confirmation of a CF",
        "send 00*27\n > 10 1B 00*6\n echo\n < 30 00 05\n default: wait 5\n > 21 00*7\n wait 500\n echo\n"
        + " wait 4.999999\n wait 0.000001\n > 22 00*7\n echo\n wait 5\n > 23 00*7\n echo\n confirm",
        **here,
    )


def timer_cases() -> Iterator[Case]:
    no_room = "no room for a frame, which is not on the bus"
    # N_As: from the request of a frame to its confirmation by the data link layer, for each frame of a sender.
    for name, before, request in (
        ("SF", "", "send 3E 00"),
        ("FF", "", "send 00*20"),
        ("CF", "send 00*20\n > 10 14 00*6\n", "< 30 00 00"),
    ):
        yield Case(
            rules.N_AS,
            f"{name}: runs out",
            f"{before} full\n {request}\n wait 999.9\n wait 1\n failed\n error TransmitTimeoutError",
            alone=no_room,
        )
    yield Case(
        rules.N_AS, "SF: in time", "full\n send 3E 00\n wait 999\n free\n wait 1\n > 02 3E 00\n confirm"
    )
    yield Case(
        rules.N_AS,
        "FF: in time",
        "full\n send 00*20\n wait 999\n free\n wait 1\n > 10 14 00*6\n < 30 00 00\n > 21 00*7\n > 22 00*7\n confirm",
    )
    yield Case(
        rules.N_AS,
        "runs anew for each frame",
        SEND + "full\n < 30 00 05\n wait 900\n free\n wait 1\n > 21 06 07 08 09 0A 0B 0C\n full\n wait 900\n free\n"
        " wait 1\n" + LAST,
    )  # fmt: skip
    yield Case(
        rules.N_AR,
        "FC: runs out, the reception is given up",
        f"full\n < 10 14 00*6\n wait 999.9\n wait 1\n error TransmitTimeoutError\n free\n {REST_IN_VAIN}",
        alone=no_room,
    )
    yield Case(
        rules.N_AR,
        "FC: in time",
        "full\n < 10 14 00 01 02 03 04 05\n wait 990\n free\n wait 1\n > 30 00 00\n wait 999\n" + REST,
        ONE_BLOCK,
    )
    yield Case(
        rules.N_AR,
        "FC after a block: in time, and N_Cr runs from it",
        "< 10 14 00 01 02 03 04 05\n > 30 01 00\n full\n < 21 06 07 08 09 0A 0B 0C\n wait 990\n free\n wait 1\n"
        " > 30 01 00\n wait 999\n < 22 0D 0E 0F 10 11 12 13\n"
        " got 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 10 11 12 13",
        {"blocksize": 1},
    )

    for limit in (1, 150, 1000):
        params = {"rx_flowcontrol_timeout": limit}
        before = f"wait {limit - 0.000001:.6f}\n"
        gone = "failed\n error FlowControlTimeoutError\n < 30 00 00\n error UnexpectedFlowControlError"
        yield Case(rules.N_BS, f"{limit} ms after FF", SEND + before + f"wait {NS}\n {gone}", params)
        yield Case(rules.N_BS, f"FC just before {limit} ms", SEND + before + GO_ON, params)
        yield Case(
            rules.N_BS,
            f"{limit} ms after the last CF of a block",
            SEND + before + f"< 30 01 00\n > 21 06 07 08 09 0A 0B 0C\n {before} wait {NS}\n {gone}",
            params,
        )
        yield Case(
            rules.N_BS,
            f"{limit} ms after FC.WAIT",
            SEND + before + f"< 31 00 00\n {before} wait {NS}\n {gone}",
            {**params, "wftmax": 2},
        )
    yield Case(
        rules.N_BS,
        "the next message leaves afterwards",
        SEND + "wait 1000\n failed\n error FlowControlTimeoutError\n send 3E 00\n > 02 3E 00\n confirm",
    )
    yield Case(
        rules.N_BS,
        "runs on while other N_PDUs come in",
        SEND + "wait 600\n < 02 3E 00\n got 3E 00\n < 60\n error InvalidCanDataError\n wait 399.999999\n"
        f" wait {NS}\n failed\n error FlowControlTimeoutError",
    )  # fmt: skip
    yield Case(
        rules.N_BS,
        "does not run while CFs are sent",
        SEND + "< 30 00 7F\n default: wait 127\n > 21 06 07 08 09 0A 0B 0C\n wait 127\n" + LAST,
        {"rx_flowcontrol_timeout": 100},
    )

    yield from confirmation_cases()
    yield Case(rules.N_BR, "FC follows FF at once", BEGIN, ONE_BLOCK)
    yield Case(
        rules.N_BR,
        "FC follows the last CF of a block at once",
        "< 10 14 00*6\n > 30 01 00\n < 21 00*7\n > 30 01 00",
        {"blocksize": 1},
    )
    yield Case(rules.N_CS, "CF follows FC at once", SEND + GO_ON)
    yield Case(
        rules.N_CS,
        "CF follows CF after STmin and no later",
        SEND + "< 30 00 01\n default: wait 1\n > 21 06 07 08 09 0A 0B 0C\n wait 1\n" + LAST,
    )

    for limit in (1, 150, 1000):
        params = {"blocksize": 0, "rx_consecutive_frame_timeout": limit}
        before = f"wait {limit - 0.000001:.6f}\n"
        gone = "error ConsecutiveFrameTimeoutError\n"
        yield Case(
            rules.N_CR, f"{limit} ms after FC", BEGIN + before + f"wait {NS}\n {gone} {REST_IN_VAIN}", params
        )
        yield Case(rules.N_CR, f"CF just before {limit} ms", BEGIN + before + REST, params)
        yield Case(
            rules.N_CR,
            f"{limit} ms after a CF",
            BEGIN + before + f"< 21 06 07 08 09 0A 0B 0C\n {before} wait {NS}\n {gone}",
            params,
        )
        yield Case(
            rules.N_CR,
            f"{limit} ms after the FC of a block",
            f"< 10 14 00*6\n > 30 01 00\n {before} < 21 00*7\n > 30 01 00\n {before} wait {NS}\n {gone}",
            {**params, "blocksize": 1},
        )
    yield Case(
        rules.N_CR,
        "what is ignored does not start it anew",
        BEGIN + "wait 600\n < 457#21 06\n < 05 A5*11\n error MissingEscapeSequenceError\n wait 399.999999\n"
        f" wait {NS}\n error ConsecutiveFrameTimeoutError",
        ONE_BLOCK,
    )  # fmt: skip
    yield Case(
        rules.N_CR,
        "ends with the message",
        BEGIN + REST + "wait 5000",
        ONE_BLOCK,
    )
    yield Case(
        rules.N_CR,
        "ends with an interruption",
        BEGIN + "< 01 3E\n got 3E\n error ReceptionInterruptedWithSingleFrameError\n wait 5000",
        ONE_BLOCK,
    )


MODES = {
    "normal, 11 bits": (
        Address(AddressingMode.Normal_11bits, txid=0x123, rxid=0x456),
        "456#",
        "123#",
        "",
        "",
    ),
    "normal, 29 bits": (
        Address(AddressingMode.Normal_29bits, txid=0x1234567, rxid=0x456),
        *("00000456#", "01234567#", "", ""),
    ),
    "normal fixed": (
        Address(AddressingMode.NormalFixed_29bits, target_address=0x10, source_address=0xF1),
        *("18DAF110#", "18DA10F1#", "", ""),
    ),
    "extended, 11 bits": (
        Address(
            AddressingMode.Extended_11bits, txid=0x123, rxid=0x456, target_address=0xE1, source_address=0xE0
        ),
        *("456#", "123#", "E0 ", "E1 "),
    ),
    "extended, 29 bits": (
        Address(
            AddressingMode.Extended_29bits, txid=0x123, rxid=0x456, target_address=0xE1, source_address=0xE0
        ),
        *("00000456#", "00000123#", "E0 ", "E1 "),
    ),
    "mixed, 11 bits": (
        Address(AddressingMode.Mixed_11bits, txid=0x123, rxid=0x456, address_extension=0xAE),
        *("456#", "123#", "AE ", "AE "),
    ),
    "mixed, 29 bits": (
        Address(
            AddressingMode.Mixed_29bits, target_address=0x10, source_address=0xF1, address_extension=0xAE
        ),
        *("18CEF110#", "18CE10F1#", "AE ", "AE "),
    ),
    "asymmetric": (
        AsymmetricAddress(
            Address(AddressingMode.Extended_29bits, txid=0x1234567, target_address=0xE1, tx_only=True),
            Address(AddressingMode.Normal_11bits, rxid=0x456, rx_only=True),
        ),
        *("456#", "01234567#", "", "E1 "),
    ),
}


def address_cases() -> Iterator[Case]:
    for name, (address, rx, tx, rx_byte, tx_byte) in MODES.items():
        rule = rules.FORMATS
        yield Case(rule, f"{name}: SF in", f"< {rx}{rx_byte}02 3E 00\n got 3E 00", address=address)
        # The frames that are sent are told without an identifier: it is the address's own.
        yield Case(rule, f"{name}: SF out", f"send 3E 00\n > {tx_byte}02 3E 00\n confirm", address=address)
        wrong = "00000457#" if len(rx) == 9 else "457#"
        yield Case(rule, f"{name}: another identifier", f"< {wrong}{rx_byte}02 3E 00", address=address)
        digits = rx[:-1]
        other = f"{int(digits, 16) & 0x7FF:03X}#" if len(digits) == 8 else f"{int(digits, 16):08X}#"
        yield Case(
            rule, f"{name}: an identifier of the other length", f"< {other}{rx_byte}02 3E 00", address=address
        )
        yield Case(rule, f"{name}: our own identifier", f"< {tx}{tx_byte}02 3E 00", address=address,
                   alone="a log has both directions")  # fmt: skip
        room = 6 - len(rx_byte.split())
        first, rest = "A5 " * room, "A5 " * (10 - room)
        yield Case(
            rule,
            f"{name}: segmented message in",
            f"< {rx}{rx_byte}10 0A {first}\n > {tx_byte}30 08 00\n < {rx}{rx_byte}21 {rest}\n got A5*10",
            address=address,
        )
        room = 6 - len(tx_byte.split())
        first, rest = "A5 " * room, "A5 " * (10 - room)
        yield Case(
            rule,
            f"{name}: segmented message out",
            f"send A5*10\n > {tx_byte}10 0A {first}\n < {rx}{rx_byte}30 00 00\n > {tx_byte}21 {rest}\n confirm",
            address=address,
        )
        if rx_byte:
            yield Case(rule, f"{name}: another address byte", f"< {rx}77 02 3E 00", address=address)
            yield Case(rule, f"{name}: no address byte", f"< {rx}", address=address)
    for name in ("normal fixed", "mixed, 29 bits"):
        address, rx, _, rx_byte, _ = MODES[name]
        for part, identifier in (("target", 0x100), ("source", 0x1), ("priority", 0x0400_0000)):
            changed = f"{int(rx[:-1], 16) ^ identifier:08X}#"
            yield Case(
                rules.FORMATS, f"{name}: another {part}", f"< {changed}{rx_byte}02 3E 00", address=address
            )


def functional_cases() -> Iterator[Case]:
    rule = rules.FUNCTIONAL
    begin = "< {p}10 0A 00 01 02 03 04 05\n > 30 08 00\n"
    rest = "< {p}21 06 07 08 09\n got 00 01 02 03 04 05 06 07 08 09\n"
    fixed = Address(AddressingMode.NormalFixed_29bits, target_address=0x10, source_address=0xF1)
    normal = Address(AddressingMode.Normal_11bits, txid=0x7E8, rxid=0x7E0)
    broadcast = Address(AddressingMode.Normal_11bits, txid=0x7E8, rxid=0x7DF)
    settings = {
        "normal fixed": ({"address": fixed}, "18DAF110#", "18DBF110#"),
        "normal, further address": (
            {"address": normal, "also": (broadcast,), "alone": "a further address is a session of its own"},
            *("7E0#", "7DF#"),
        ),
    }
    error = "error InvalidCanDataError\n"
    for name, (at, physical, functional) in settings.items():
        start, end = begin.format(p=physical), rest.format(p=physical)
        yield Case(rule, f"{name}: SF", f"< {functional}02 3E 80\n got 3E 80", **at)
        yield Case(
            rule,
            f"{name}: FF",
            f"< {functional}10 0A 00 01 02 03 04 05\n default: > 30 08 00\n strict: {error}",
            **at,
        )
        yield Case(
            rule,
            f"{name}: CF while idle",
            f"< {functional}21 00*7\n default: error UnexpectedConsecutiveFrameError\n strict: {error}",
            **at,
        )
        yield Case(
            rule,
            f"{name}: CF amid a message",
            start + f"< {functional}21 06 07 08 09\n"
            + only("default", "got 00 01 02 03 04 05 06 07 08 09") + only("strict", error + end),
            **at,
        )  # fmt: skip
        yield Case(
            rule,
            f"{name}: CF amid a message, not the last one",
            f"< {physical}10 14 00 01 02 03 04 05\n > 30 08 00\n < {functional}21 06 07 08 09 0A 0B 0C\n"
            + only("strict", f"{error} < {physical}21 06 07 08 09 0A 0B 0C\n")
            + f"< {physical}22 0D 0E 0F 10 11 12 13\n"
            " got 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 10 11 12 13",
            **at,
        )
        yield Case(
            rule,
            f"{name}: FC",
            f"send 00*8\n > 10 08 00*6\n < {functional}30 00 00\n"
            + only("default", "> 21 00 00\n confirm")
            + only("strict", f"{error} < {physical}30 00 00\n > 21 00 00\n confirm"),
            **at,
        )
        yield Case(
            rule,
            f"{name}: SF amid a message on the physical address",
            start
            + f"< {functional}02 3E 80\n got 3E 80\n default: error ReceptionInterruptedWithSingleFrameError\n"
            + only("strict", end),
            **at,
        )
        yield Case(
            rule,
            f"{name}: FF amid a message on the physical address",
            start + f"< {functional}10 14 00*6\n"
            + only("default", "> 30 08 00\n error ReceptionInterruptedWithFirstFrameError")
            + only("strict", error + end),
            **at,
        )  # fmt: skip
        for what, frame in (
            ("unknown N_PDU", "70"),
            ("SF_DL 0", "00 00"),
            ("FC with a reserved FlowStatus", "3F 00 00"),
            ("FC with a reserved STmin", "30 00 80"),
            ("SF, CAN_DL 12, no escape form", "03 00*11"),
        ):
            broken = "error MissingEscapeSequenceError\n" if "escape" in what else error
            story = f"< {functional}{frame}\n {broken}"
            if "STmin" in what:
                story = f"< {functional}{frame}\n default: error UnexpectedFlowControlError\n strict: {error}{end}"
            elif "escape" in what:
                story += end
            else:
                story += only("strict", end) + f"default: < {physical}21 06 07 08 09\n"
                story += "default: error UnexpectedConsecutiveFrameError\n"
            yield Case(rule, f"{name}: {what} amid a message on the physical address", start + story, **at)
    yield Case(rule, "SF out", "send functional 3E 80\n > 18DB10F1#02 3E 80\n confirm", address=fixed)
    between = "send functional priority 3E 80\n > 18DB10F1#02 3E 80\n confirm\n"
    in_time = {"address": fixed, "alone": "messages end in another order than they begin"}
    yield Case(rule, "SF out while FC is awaited", SEND + between + GO_ON, **in_time)
    yield Case(
        rule,
        "SF out between CFs",
        SEND + "< 30 00 0A\n default: wait 10\n > 21 06 07 08 09 0A 0B 0C\n wait 4\n" + between
        + "wait 5.999999\n wait 0.000001\n" + LAST,
        **in_time,
    )  # fmt: skip
    yield Case(
        rule,
        "SF out without priority waits for the end of the message",
        SEND + "send functional 3E 80\n < 30 00 00\n > 21 06 07 08 09 0A 0B 0C\n > 22 0D 0E 0F 10 11 12 13\n"
        + " > 18DB10F1#02 3E 80\n confirm\n confirm",
        **in_time,
    )  # fmt: skip
    yield Case(
        rule,
        "SF out, mixed",
        "send functional 3E 80\n > 18CD10F1#AE 02 3E 80\n confirm",
        address=MODES["mixed, 29 bits"][0],
    )


def further_cases() -> Iterator[Case]:
    """A further address with two identifiers has a physical one: an N_AI of its own, on which messages come, too."""
    rule = rules.FUNCTIONAL
    fixed = AddressingMode.NormalFixed_29bits
    at: dict[str, Any] = {
        "address": Address(fixed, target_address=0x10, source_address=0xF1),
        "also": (Address(fixed, target_address=0x10, source_address=0xF2),),
        "alone": "a further address is a session of its own",
    }
    own, further = "18DAF110#", "18DAF210#"
    error = "error InvalidCanDataError\n"
    interrupted = "error ReceptionInterruptedWithFirstFrameError\n"
    payload = "00 01 02 03 04 05 06 07 08 09"

    def begin(where: str) -> str:
        return f"< {where}10 0A 00 01 02 03 04 05\n > 30 08 00\n"

    def rest(where: str) -> str:
        return f"< {where}21 06 07 08 09\n got {payload}\n"

    def case(name: str, story: str) -> Case:
        return Case(rule, f"further physical address: {name}", story, **at)

    yield case("segmented message", begin(further) + rest(further))
    yield case(
        "FF on its functional identifier",
        f"< 18DBF210#10 0A 00 01 02 03 04 05\n default: > 30 08 00\n strict: {error}",
    )
    for here, there, name in ((own, further, "it"), (further, own, "the first")):
        yield case(
            f"SF on {name} amid a message on the other",
            begin(here) + f"< {there}02 3E 00\n got 3E 00\n"
            "default: error ReceptionInterruptedWithSingleFrameError\n" + only("strict", rest(here)),
        )  # fmt: skip
        yield case(
            f"FF on {name} amid a message on the other",
            begin(here) + f"< {there}10 0B 00*6\n"
            + only("default", f"> 30 08 00\n {interrupted}") + only("strict", error + rest(here)),
        )  # fmt: skip
        yield case(
            f"CF on {name} amid a message on the other",
            begin(here) + f"< {there}21 06 07 08 09\n"
            + only("default", f"got {payload}") + only("strict", error + rest(here)),
        )  # fmt: skip
        yield case(
            f"unknown N_PDU on {name} amid a message on the other",
            begin(here) + f"< {there}70\n {error}" + only("strict", rest(here)),
        )
    go_on = "> 21 00 00\n confirm\n"
    yield case(
        "FC on it",
        f"send 00*8\n > 10 08 00*6\n < {further}30 00 00\n"
        + only("default", go_on) + only("strict", f"{error} < {own}30 00 00\n {go_on}"),
    )  # fmt: skip
    yield case(
        "FC on the first amid a message on it",
        f"send 00*8\n > 10 08 00*6\n {begin(further)} < {own}30 00 00\n {go_on} {rest(further)}",
    )


CASES = [*timer_cases(), *address_cases(), *functional_cases(), *further_cases()]
