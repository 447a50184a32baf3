"""Cases of what a sender does: its frames, flow control, and N_PDUs that come while it sends."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance import rules
from tests.conformance.cases_reception import (
    BEGIN,
    EXTENDED,
    FF_DL_MIN,
    ONE_BLOCK,
    REST,
    REST_IN_VAIN,
    only,
)
from tests.conformance.story import Case
from tests.frames import words

CAN_FD_LENGTHS = (8, 12, 16, 20, 24, 32, 48, 64)

# 20 bytes go out: until Flow Control comes.
SEND = """
    send 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 10 11 12 13
    > 10 14 00 01 02 03 04 05
"""
CFS = """
    > 21 06 07 08 09 0A 0B 0C
    > 22 0D 0E 0F 10 11 12 13
    confirm
"""
GO_ON = "< 30 00 00\n" + CFS
# 1 ms from CF to CF, and the second one is still to come.
SENDING = SEND + "< 30 00 0A\n default: wait 10\n > 21 06 07 08 09 0A 0B 0C\n"
LAST = "> 22 0D 0E 0F 10 11 12 13\n confirm\n"


def tx_dl_cases() -> Iterator[Case]:
    for tx_dl in CAN_FD_LENGTHS:
        for address, prefix, extra in ((None, "", 0), (EXTENDED, "E1 ", 1)):
            form = "extended" if address else "normal"
            at = {} if address is None else {"address": address}
            params = {"tx_data_length": tx_dl, "tx_padding": 0xCC}
            most = FF_DL_MIN[tx_dl] - 1 - extra
            for size in sorted({1, 6, 7 - extra, 8 - extra, most - 1, most}):
                if size > most or size < 1:
                    continue
                payload = words(range(size))
                head = f"{size:02X}" if size <= 7 - extra else f"00 {size:02X}"
                used = len(f"{prefix}{head} {payload}".split())
                length = next(n for n in (*range(9), *CAN_FD_LENGTHS) if n >= used)
                if tx_dl == 8:
                    length = 8
                padding = " CC" * (length - used)
                yield Case(
                    rules.TX_DL,
                    f"SF of {size} bytes, TX_DL {tx_dl}, {form}",
                    f"send {payload}\n > {prefix}{head} {payload}{padding}\n confirm",
                    params,
                    **at,
                )
            payload = bytes(range(most + 1))
            taken = tx_dl - 2 - extra
            rest = words(payload[taken:])
            cc = " CC" * (8 - 1 - extra - len(payload[taken:])) if tx_dl == 8 else ""
            fc = "E0 30 00 00" if address else "30 00 00"
            yield Case(
                rules.TX_DL,
                f"FF with FF_DLmin, TX_DL {tx_dl}, {form}",
                f"send {words(payload)}\n > {prefix}10 {most + 1:02X} {words(payload[:taken])}\n"
                f" < {fc}\n > {prefix}21 {rest}{cc}\n confirm",
                params,
                **at,
            )
            yield Case(
                rules.TX_DL,
                f"FF of 4095 bytes, TX_DL {tx_dl}, {form}",
                f"send 5A*4095\n > {prefix}1F FF {'5A ' * taken}",
                params,
                **at,
            )
            yield Case(
                rules.TX_DL,
                f"FF of 4096 bytes, TX_DL {tx_dl}, {form}",
                f"send 5A*4096\n > {prefix}10 00 00 00 10 00 {'5A ' * (taken - 4)}",
                params,
                **at,
            )


def padding_cases() -> Iterator[Case]:
    rule = rules.PADDING
    for size in range(1, 8):
        payload = words(range(size))
        padding = " AA" * (7 - size)
        yield Case(rule, f"SF of {size} bytes, optimized", f"send {payload}\n > 0{size} {payload}\n confirm")
        yield Case(
            rule,
            f"SF of {size} bytes, padded",
            f"send {payload}\n > 0{size} {payload}{padding}\n confirm",
            {"tx_padding": 0xAA},
        )
        yield Case(
            rule, f"SF of {size} bytes, received padded", f"< 0{size} {payload}{padding}\n got {payload}"
        )
        yield Case(rule, f"SF of {size} bytes, received optimized", f"< 0{size} {payload}\n got {payload}")
    yield Case(rule, "FC, optimized", "< 10 08 00*6\n > 30 08 00")
    yield Case(rule, "FC, padded", "< 10 08 00*6\n > 30 08 00 55*5", {"tx_padding": 0x55})
    yield Case(rule, "FC, received padded", SEND + "< 30 00 00 CC*5\n" + CFS)
    yield Case(rule, "FC, received padded to 64", SEND + "< 30 00 00 CC*61\n" + CFS)
    yield Case(
        rule,
        "last CF, padded",
        "send 00*8\n > 10 08 00*6\n < 30 00 00\n > 21 00 00 00*5\n confirm",
        {"tx_padding": 0},
    )
    yield Case(rule, "last CF, optimized", "send 00*8\n > 10 08 00*6\n < 30 00 00\n > 21 00 00\n confirm")
    yield Case(rule, "last CF, received padded", "< 10 08 00*6\n > 30 08 00\n < 21 00 00 FF*5\n got 00*8")
    for used, length in ((10, 12), (12, 12), (13, 16), (17, 20), (21, 24), (25, 32), (33, 48), (49, 64)):
        size = used - 2
        yield Case(
            rule,
            f"mandatory padding of CAN FD: {used} bytes in {length}",
            f"send 01*{size}\n > 00 {size:02X} {'01 ' * size}{'CC ' * (length - used)}\n confirm",
            {"tx_data_length": 64},
        )
    for used in range(2, 9):
        yield Case(
            rule,
            f"no padding of CAN FD up to 8 bytes: {used}",
            f"send 01*{used - 1}\n > 0{used - 1} 01*{used - 1}\n confirm",
            {"tx_data_length": 64},
        )
    yield Case(
        rule,
        "padding of CAN FD up to 8 bytes on request",
        "send 3E 00\n > 02 3E 00 CC*5\n confirm",
        {"tx_data_length": 64, "tx_data_min_length": 8},
    )


def fs_cases() -> Iterator[Case]:
    rule = rules.FS
    yield Case(rule, "CTS", SEND + GO_ON)
    yield Case(rule, "CTS, with the reserved low bits of nothing else", SEND + "< 30 00 00 FF FF\n" + CFS)
    yield Case(rule, "WAIT, then CTS", SEND + "< 31 00 00\n" + GO_ON, {"wftmax": 1})
    yield Case(
        rule,
        "OVFLW",
        SEND + "< 32 00 00\n failed\n error OverflowError\n < 30 00 00\n error UnexpectedFlowControlError",
    )
    yield Case(
        rule,
        "OVFLW after a block",
        SEND + "< 30 01 00\n > 21 06 07 08 09 0A 0B 0C\n < 32 00 00\n failed\n error OverflowError",
    )
    yield Case(rule, "OVFLW whatever BS and STmin say", SEND + "< 32 FF 7F\n failed\n error OverflowError")
    for status in range(3, 16):
        frame = f"< 3{status:X} 00 00\n error InvalidCanDataError\n"
        yield Case(
            rule,
            f"reserved: {status}",
            SEND
            + frame
            + "strict: failed\n"
            + only("default", GO_ON)
            + only("strict", "< 30 00 00\n error UnexpectedFlowControlError"),
        )
    yield Case(
        rule,
        "reserved, after a block",
        SEND
        + "< 30 01 00\n > 21 06 07 08 09 0A 0B 0C\n < 3F 00 00\n error InvalidCanDataError\n strict: failed\n"
        + only("default", "< 30 00 00\n" + LAST),
    )
    yield Case(
        rule,
        "the next message leaves after an invalid one",
        f"{SEND} send 3E 00\n < 35 00 00\n error InvalidCanDataError\n"
        "strict: > 02 3E 00\n strict: failed\n strict: confirm",
        alone="two messages wait at once",
    )  # fmt: skip


def bs_cases() -> Iterator[Case]:
    rule = rules.BS
    payload = bytes(range(6 + 7 * 20))
    cfs = [
        f"> 2{k % 16:X} {words(payload[at : at + 7])}" for k, at in enumerate(range(6, len(payload), 7), 1)
    ]
    send = f"send {words(payload)}\n > 10 {len(payload):02X} 00 01 02 03 04 05\n"
    for blocksize in (0, 1, 2, 3, 7, 8, 19, 20, 21, 255):
        story = send
        block = blocksize or len(cfs)
        for at in range(0, len(cfs), block):
            story += f"< 30 {blocksize:02X} 00\n" + "\n".join(cfs[at : at + block]) + "\n"
        yield Case(rule, f"sender, BS {blocksize}", story + "confirm")
        story = f"< 10 {len(payload):02X} 00 01 02 03 04 05\n > 30 {blocksize:02X} 00\n"
        for at in range(0, len(cfs), block):
            part = [cf.replace(">", "<") for cf in cfs[at : at + block]]
            story += "\n".join(part) + "\n"
            if at + block < len(cfs):
                story += f"> 30 {blocksize:02X} 00\n"
        yield Case(
            rule, f"receiver, BS {blocksize}", story + f"got {words(payload)}", {"blocksize": blocksize}
        )
    yield Case(
        rule,
        "the block counter begins anew with a message",
        "< 10 14 00*6\n > 30 02 00\n < 21 00*7\n < 10 14 00*6\n > 30 02 00\n"
        " error ReceptionInterruptedWithFirstFrameError\n < 21 00*7\n < 22 00*7\n got 00*20",
        {"blocksize": 2},
    )


def stmin_cases() -> Iterator[Case]:
    rule = rules.STMIN
    for stmin, ms in (
        *((n, float(n)) for n in (1, 2, 10, 0x7E, 0x7F)),
        *((0xF0 + n, n / 10) for n in range(1, 10)),
    ):
        before = f"{ms - 0.000001:.6f}"
        yield Case(
            rule,
            f"0x{stmin:02X}",
            SEND
            + f"< 30 00 {stmin:02X}\n default: wait {before}\n default: wait 0.000001\n > 21 06 07 08 09 0A 0B 0C\n"
            + f"wait {before}\n wait 0.000001\n {LAST}",
        )
        yield Case(
            rule,
            f"0x{stmin:02X}, a Flow Control after each CF",
            SEND
            + f"< 30 01 {stmin:02X}\n default: wait {ms}\n > 21 06 07 08 09 0A 0B 0C\n wait {ms / 4}\n"
            + f"< 30 01 {stmin:02X}\n wait {ms * 3 / 4 - 0.000001:.6f}\n wait 0.000001\n"
            + only("strict", LAST)
            + only("default", f"wait {ms / 4 - 0.000001:.6f}\n wait 0.000001\n{LAST}"),
        )
    yield Case(rule, "0x00: at once", SEND + "< 30 00 00\n" + CFS)
    yield Case(
        rule,
        "the gap of a message is none of the next one",
        SENDING + "wait 10\n" + LAST + SEND + "< 30 00 7F\n default: wait 127\n"
        "> 21 06 07 08 09 0A 0B 0C\n wait 126.999999\n wait 0.000001\n" + LAST,
    )
    for stmin in (0, 1, 0x7F, 0xF1, 0xF9):
        yield Case(
            rule,
            f"announced: 0x{stmin:02X}",
            f"< 10 14 00*6\n > 30 08 {stmin:02X}",
            {"stmin": stmin},
        )
    reserved = rules.STMIN_RESERVED
    for stmin in (*range(0x80, 0xF1), *range(0xFA, 0x100)):
        yield Case(
            reserved,
            f"0x{stmin:02X}",
            SEND
            + f"< 30 00 {stmin:02X}\n"
            + "default: wait 126.999999\n default: wait 0.000001\n > 21 06 07 08 09 0A 0B 0C\n"
            + " wait 126.999999\n wait 0.000001\n"
            + LAST,
        )
    yield Case(
        reserved,
        "counts until the end of the message",
        SEND
        + "< 30 01 80\n default: wait 127\n > 21 06 07 08 09 0A 0B 0C\n < 30 00 01\n"
        + " wait 126.999999\n wait 0.000001\n"
        + LAST,
    )
    yield Case(
        reserved,
        "not in the next message",
        SEND
        + "< 30 00 FF\n default: wait 127\n > 21 06 07 08 09 0A 0B 0C\n wait 127\n"
        + LAST
        + SEND
        + GO_ON,
    )
    for name, status in (("WAIT", 1), ("OVFLW", 2)):
        yield Case(
            reserved,
            f"has no meaning in FC.{name}",
            SEND + f"< 3{status} 00 80\n" + ("failed\n error OverflowError" if status == 2 else GO_ON),
            {"wftmax": 1},
        )


def later_fc_cases() -> Iterator[Case]:
    rule = rules.FC_CHANGES
    payload = bytes(range(6 + 7 * 4))
    cfs = [f"> 2{k} {words(payload[at : at + 7])}" for k, at in enumerate(range(6, len(payload), 7), 1)]
    send = f"send {words(payload)}\n > 10 {len(payload):02X} 00 01 02 03 04 05\n"
    yield Case(
        rule,
        "BS from 1 to 2 to 0",
        send + f"< 30 01 00\n {cfs[0]}\n < 30 02 00\n {cfs[1]}\n {cfs[2]}\n < 30 00 00\n {cfs[3]}\n confirm",
    )
    yield Case(
        rule,
        "STmin from 10 ms to 0 to 500 us",
        send
        + f"< 30 02 0A\n default: wait 10\n {cfs[0]}\n wait 10\n {cfs[1]}\n < 30 01 00\n {cfs[2]}\n < 30 00 F5\n"
        + f" wait 0.499999\n wait 0.000001\n {cfs[3]}\n confirm",
    )
    yield Case(
        rule,
        "those of FC.WAIT do not count",
        send + "< 31 01 7F\n < 30 00 00\n" + "\n".join(cfs) + "\n confirm",
        {"wftmax": 1},
    )


def wait_cases() -> Iterator[Case]:
    rule = rules.WFTMAX
    unsupported = "default: error UnsupportedWaitFrameError\n"
    yield Case(rule, "sender without a limit", SEND + f"< 31 00 00\n {unsupported}" + GO_ON)
    yield Case(
        rule,
        "sender without a limit, 20 in a row",
        SEND
        + only("strict", "< 31 00 00\n wait 999\n" * 20 + GO_ON)
        + only("default", ("< 31 00 00\n error UnsupportedWaitFrameError\n" * 20) + GO_ON),
    )
    for limit in (1, 3):
        yield Case(
            rule,
            f"sender with a limit of {limit}: that many",
            SEND + "< 31 00 00\n wait 900\n" * limit + GO_ON,
            {"wftmax": limit},
        )
        yield Case(
            rule,
            f"sender with a limit of {limit}: one more",
            SEND
            + "< 31 00 00\n wait 900\n" * limit
            + "< 31 00 00\n failed\n error MaximumWaitFrameReachedError",
            {"wftmax": limit},
        )
    yield Case(
        rule,
        "counted in a row, not in all",
        SEND + "< 31 00 00\n < 30 01 00\n > 21 06 07 08 09 0A 0B 0C\n < 31 00 00\n < 30 00 00\n" + LAST,
        {"wftmax": 1},
    )
    yield Case(
        rule,
        "N_Bs after FC.WAIT: the sender learns of a receiver that gave up",
        SEND + "< 31 00 00\n wait 999.999999\n wait 0.000001\n failed\n error FlowControlTimeoutError",
        {"wftmax": 5},
    )
    yield Case(rule, "receiver: none is sent", BEGIN + "wait 900", ONE_BLOCK)
    yield from sent_wait_cases()


def sent_wait_cases() -> Iterator[Case]:
    rule = rules.WFTMAX
    first, wait = "< 10 14 00 01 02 03 04 05\n", "> 31 00 00\n"
    again = "wait 499.999999\n wait 0.000001\n" + wait
    go_on = "wait 499.999999\n ready\n wait 0.000001\n > 30 00 00\n"
    refused = "error MaximumWaitFrameReachedError\n"
    for limit in (1, 2, 5):
        params = {"blocksize": 0, "wftmax": limit}
        waits = first + wait + again * (limit - 1)
        yield Case(rule, f"receiver: {limit} sent, then it goes on", "busy\n" + waits + go_on + REST, params)
        yield Case(
            rule,
            f"receiver: {limit} sent, then it gives up",
            "busy\n" + waits + f"wait 499.999999\n wait 0.000001\n {refused} > 32 00 00\n {REST_IN_VAIN}",
            params,
            alone="whether its receiver takes a message a log does not say",
        )
    block = {"blocksize": 1, "wftmax": 1}
    yield Case(
        rule,
        "receiver: within a message no Overflow follows",
        f"{first} > 30 01 00\n busy\n < 21 06 07 08 09 0A 0B 0C\n > 31 01 00\n wait 499.999999\n"
        + f" wait 0.000001\n {refused} < 22 0D 0E 0F 10 11 12 13\n error UnexpectedConsecutiveFrameError",
        block,
        alone="whether its receiver takes a message a log does not say",
    )
    yield Case(
        rule,
        "receiver: counted in a row, not in all",
        f"busy\n {first} > 31 01 00\n ready\n wait 500\n > 30 01 00\n busy\n < 21 06 07 08 09 0A 0B 0C\n > 31 01 00\n"
        + " ready\n wait 500\n > 30 01 00\n < 22 0D 0E 0F 10 11 12 13\n"
        + " got 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 10 11 12 13",
        block,
    )
    yield Case(
        rules.N_BR,
        "FC.WAIT follows FF at once, and the next Flow Control as the parameter says",
        f"busy\n {first} {wait} wait 99.999999\n wait 0.000001\n {wait} ready\n wait 100\n > 30 00 00\n"
        + REST,
        {"blocksize": 0, "wftmax": 5, "wait_frame_interval": 100},
    )
    yield Case(
        rules.N_CR,
        "does not run after FC.WAIT, and runs from the Flow Control that follows",
        f"busy\n {first} {wait} ready\n wait 500\n > 30 00 00\n wait 199.999999\n wait 0.000001\n"
        + " error ConsecutiveFrameTimeoutError",
        {"blocksize": 0, "wftmax": 1, "rx_consecutive_frame_timeout": 200},
        alone="when its receiver gives up a log does not say",
    )


def unexpected_cases() -> Iterator[Case]:
    rule = rules.IN_TRANSMISSION
    begins = {"while FC is awaited": (SEND, GO_ON), "between CFs": (SENDING, "wait 10\n" + LAST)}
    for when, (begin, rest) in begins.items():
        yield Case(rule, f"SF {when}", f"{begin} < 02 3E 00\n got 3E 00\n {rest}")
        yield Case(
            rule,
            f"FF {when}",
            f"{begin} < 10 08 00 01 02 03 04 05\n > 30 08 00\n < 21 06 07\n got 00 01 02 03 04 05 06 07\n {rest}",
        )
        yield Case(rule, f"CF {when}", f"{begin} < 21 00*7\n error UnexpectedConsecutiveFrameError\n {rest}")
        yield Case(rule, f"unknown N_PDU {when}", f"{begin} < 90\n error InvalidCanDataError\n {rest}")
        yield Case(
            rule, f"FC that is too short {when}", f"{begin} < 30 00\n error InvalidCanDataError\n {rest}"
        )
    unexpected = "error UnexpectedFlowControlError"
    yield Case(rule, "FC while it is awaited", SEND + GO_ON)
    yield Case(
        rule,
        "FC.CTS between CFs",
        SENDING + f"< 30 00 00\n strict: {unexpected}\n strict: wait 10\n" + LAST,
    )
    yield Case(
        rule,
        "FC.CTS between CFs does not change BS and STmin",
        "send 00*27\n > 10 1B 00*6\n < 30 00 0A\n default: wait 10\n > 21 00*7\n"
        f"< 30 00 64\n strict: {unexpected}\n wait 10\n strict: > 22 00*7\n wait 10\n strict: > 23 00*7\n"
        "strict: confirm\n wait 80\n default: > 22 00*7\n wait 100\n default: > 23 00*7\n default: confirm",
    )
    yield Case(
        rule,
        "FC.WAIT between CFs",
        SENDING
        + f"< 31 00 00\n strict: {unexpected}\n wait 10\n"
        + only("strict", LAST)
        + only("default", "< 30 00 00\n" + LAST),
        {"wftmax": 1},
    )
    yield Case(
        rule,
        "FC.OVFLW between CFs",
        SENDING
        + "< 32 00 00\n"
        + only("default", "failed\n error OverflowError")
        + only("strict", f"{unexpected}\n wait 10\n" + LAST),
    )
    yield Case(
        rule,
        "FC with a reserved FlowStatus between CFs",
        SENDING + "< 34 00 00\n error InvalidCanDataError\n wait 10\n" + LAST,
    )
    yield Case(
        rule,
        "FC with a reserved STmin between CFs",
        SENDING
        + f"< 30 00 F0\n strict: {unexpected}\n default: wait 126.999999\n default: wait 0.000001\n strict: wait 10\n"
        + LAST,
    )
    yield Case(
        rule,
        "FC after the message",
        SEND + GO_ON + f"< 30 00 00\n {unexpected}",
    )


def duplex_cases() -> Iterator[Case]:
    rule = rules.DUPLEX
    incoming = "< 10 08 10 11 12 13 14 15\n > 30 08 00\n"
    rest = "< 21 16 17\n got 10 11 12 13 14 15 16 17\n"
    yield Case(rule, "half duplex: one message in, then one out", incoming + rest + SEND + GO_ON)
    yield Case(rule, "half duplex: one message out, then one in", SEND + GO_ON + incoming + rest)
    yield Case(rule, "full duplex: one comes in while FC is awaited", SEND + incoming + rest + GO_ON)
    yield Case(rule, "full duplex: one comes in between CFs", SENDING + incoming + rest + "wait 10\n" + LAST)
    yield Case(rule, "full duplex: one leaves while another comes in", incoming + SEND + GO_ON + rest)
    yield Case(
        rule,
        "full duplex: frames in turn",
        SEND + incoming + "< 30 01 00\n > 21 06 07 08 09 0A 0B 0C\n" + rest + "< 30 00 00\n" + LAST,
    )
    yield Case(
        rule,
        "full duplex: a fault in one direction leaves the other alone",
        incoming + SEND + "< 22 00\n default: error WrongSequenceNumberError\n"
        " strict: error ChangingInvalidRXDLError\n" + GO_ON,
        {"rx_consecutive_frame_timeout": 5000},
    )  # fmt: skip
    yield Case(
        rule,
        "full duplex: Overflow of ours, a message of ours",
        SEND + "< 10 15 00*6\n > 32 08 00\n error FrameTooLongError\n" + GO_ON,
        {"max_frame_size": 20},
    )


CASES = [
    *tx_dl_cases(),
    *padding_cases(),
    *fs_cases(),
    *bs_cases(),
    *stmin_cases(),
    *later_fc_cases(),
    *wait_cases(),
    *unexpected_cases(),
    *duplex_cases(),
]
