"""Cases of what a receiver takes and ignores: N_PCI, lengths, sequence numbers, N_PDUs that nobody expects."""

from __future__ import annotations

from collections.abc import Iterator

import isotp
from tests.conformance import rules
from tests.conformance.story import Case
from tests.frames import words

EXTENDED = isotp.Address(
    isotp.AddressingMode.Extended_11bits, txid=0x123, rxid=0x456, target_address=0xE1, source_address=0xE0
)

# A message of 20 bytes comes in: what happens between its frames is the rest of the story.
BEGIN = """
    < 10 14 00 01 02 03 04 05
    > 30 00 00
"""
REST = """
    < 21 06 07 08 09 0A 0B 0C
    < 22 0D 0E 0F 10 11 12 13
    got 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 10 11 12 13
"""
# The same after the message was given up: nobody waits for its frames.
REST_IN_VAIN = """
    < 21 06 07 08 09 0A 0B 0C
    error UnexpectedConsecutiveFrameError
    < 22 0D 0E 0F 10 11 12 13
    error UnexpectedConsecutiveFrameError
"""
ONE_BLOCK = {"blocksize": 0}


def only(mode: str, story: str) -> str:
    """The story, in one mode only."""
    lines = (line.strip() for line in story.splitlines())
    return "".join(f"{mode}: {line}\n" for line in lines if line)


def ends_by_default(name: str, frame: str, error: str) -> Iterator[Case]:
    """A frame that can-isotp ends a reception for, and the standard ignores; alone it has no effect either."""
    rule = rules.N_PCI if name.startswith("N_PCI") else rules.DLC
    yield Case(rule, f"{name}, while idle", f"< {frame}\n error {error}\n < 02 3E 00\n got 3E 00")
    yield Case(
        rule,
        f"{name}, amid a message",
        f"{BEGIN} < {frame}\n error {error}\n" + only("default", REST_IN_VAIN) + only("strict", REST),
        ONE_BLOCK,
    )


def n_pci_cases() -> Iterator[Case]:
    for kind in range(4, 16):
        yield from ends_by_default(
            f"N_PCI type {kind}", f"{kind:X}3 01 02 03 04 05 06 07", "InvalidCanDataError"
        )
    yield Case(rules.N_PCI, "SF", "< 03 01 02 03\n got 01 02 03")
    yield Case(rules.N_PCI, "SF, escape form", "< 00 08 00*8 CC CC\n got 00*8")
    yield Case(rules.N_PCI, "FF and CF", BEGIN + REST, ONE_BLOCK)
    yield Case(
        rules.N_PCI,
        "FF, escape form",
        "< 10 00 00 00 10 00 01 02\n > 30 00 00\n < 21 03*7",
        {"blocksize": 0, "max_frame_size": 4096},
    )
    yield Case(rules.N_PCI, "FC", "send 00*8\n > 10 08 00*6\n < 30 00 00\n > 21 00 00\n confirm")


def dlc_cases() -> Iterator[Case]:
    for name, frame in (
        ("no byte", ""),
        ("FF without its second byte", "10"),
        ("FF, escape form, cut", "10 00 00 00 10"),
        ("FC without BS", "30"),
        ("FC without STmin", "30 00"),
        ("SF of 5 bytes in 5", "05 01 02 03 04"),
        ("SF of 7 bytes in 7", "07 01 02 03 04 05 06"),
        ("SF, escape form, without SF_DL", "00"),
    ):
        yield from ends_by_default(name, frame, "InvalidCanDataError")


# Table of SF_DL by CAN_DL beyond 8 bytes: least and most, normal addressing; one less with an address byte.
SF_DL_OF_CAN_DL = {
    12: (8, 10),
    16: (11, 14),
    20: (15, 18),
    24: (19, 22),
    32: (23, 30),
    48: (31, 46),
    64: (47, 62),
}


def sf_cases() -> Iterator[Case]:
    for address, prefix, extra in ((None, "", 0), (EXTENDED, "E0 ", 1)):
        form = "extended" if address else "normal"
        at = {} if address is None else {"address": address}
        for size in range(1 + extra, 9):
            room = size - 1 - extra
            for sf_dl in range(16):
                frame = f"< {prefix}{sf_dl:02X} " + "A5 " * room
                name = f"SF_DL {sf_dl}, CAN_DL {size}, {form}"
                if sf_dl == 0 or sf_dl > room:
                    # With SF_DL 0 the second byte is taken for the length in the escape form: here beyond the frame.
                    yield Case(rules.SF_DL, name, f"{frame}\n error InvalidCanDataError", **at)
                elif size == 8 or sf_dl == room:
                    yield Case(rules.SF_DL, name, f"{frame}\n got A5*{sf_dl}", **at)
                else:
                    yield Case(
                        rules.SF_DL,
                        name,
                        f"{frame}\n default: got A5*{sf_dl}\n strict: error InvalidCanDataError",
                        **at,
                    )
        for size, (least, most) in SF_DL_OF_CAN_DL.items():
            room = size - 2 - extra
            for sf_dl in sorted({0, 1, 7, least - 1, least, most, most + 1, 63, 255}):
                frame = f"< {prefix}00 {sf_dl:02X} " + "A5 " * room
                name = f"escape SF_DL {sf_dl}, CAN_DL {size}, {form}"
                if sf_dl == 0 or sf_dl > room:
                    story = f"{frame}\n error InvalidCanDataError"
                elif least - extra <= sf_dl <= most - extra:
                    story = f"{frame}\n got A5*{sf_dl}"
                else:
                    story = f"{frame}\n default: got A5*{sf_dl}\n strict: error InvalidCanDataError"
                yield Case(rules.SF_DL, name, story, **at)
            yield Case(
                rules.SF_DL,
                f"no escape form, CAN_DL {size}, {form}",
                f"< {prefix}05 " + "A5 " * (room + 1) + "\n error MissingEscapeSequenceError",
                **at,
            )
    yield Case(
        rules.SF_DL,
        "escape form, CAN_DL 8",
        "< 00 06 01 02 03 04 05 06\n default: got 01 02 03 04 05 06\n strict: error InvalidCanDataError",
    )
    yield Case(
        rules.SF_DL,
        "no escape form, CAN_DL 12, amid a message",
        f"{BEGIN} < 05 A5*11\n error MissingEscapeSequenceError\n {REST}",
        ONE_BLOCK,
    )
    for name, frame in (
        ("SF_DL 0", "00*8"),
        ("SF neither padded nor full", "02 3E 00 CC"),
        ("escape form, CAN_DL 8", "00 02 3E 00"),
    ):
        error = "ReceptionInterruptedWithSingleFrameError"
        got = f"got 3E 00\n error {error}"
        if name == "SF_DL 0":
            got = "error InvalidCanDataError"
        yield Case(
            rules.SF_DL,
            f"{name}, amid a message",
            f"{BEGIN} < {frame}\n"
            + only("default", got + REST_IN_VAIN)
            + only("strict", "error InvalidCanDataError" + REST),
            ONE_BLOCK,
        )


# Table of FF_DLmin by RX_DL, normal addressing; one less with an address byte.
FF_DL_MIN = {8: 8, 12: 11, 16: 15, 20: 19, 24: 23, 32: 31, 48: 47, 64: 63}


def ff_cases() -> Iterator[Case]:
    for address, prefix, extra in ((None, "", 0), (EXTENDED, "E0 ", 1)):
        form = "extended" if address else "normal"
        at = {} if address is None else {"address": address}
        answer = "> 30 08 00" if address is None else "> E1 30 08 00"
        for size, minimum in FF_DL_MIN.items():
            least = minimum - extra
            room = size - 2 - extra
            for ff_dl in sorted({1, 6, least - 1, least, least + 1, 4095}):
                story = f"< {prefix}1{ff_dl >> 8:X} {ff_dl & 0xFF:02X} " + "A5 " * room + "\n"
                if ff_dl >= least:
                    story += answer
                else:
                    story += f"default: {answer}\n strict: error InvalidCanDataError"
                yield Case(rules.FF_DL, f"FF_DL {ff_dl}, RX_DL {size}, {form}", story, **at)
            for ff_dl in (1, 62, 4095, 4096, 0xFFFF_FFFF):
                story = f"< {prefix}10 00 {ff_dl.to_bytes(4, 'big').hex(' ')} " + "A5 " * (room - 4) + "\n"
                story += answer if ff_dl >= 4096 else f"default: {answer}\n strict: error InvalidCanDataError"
                yield Case(
                    rules.FF_DL,
                    f"FF_DL {ff_dl}, escape form, RX_DL {size}, {form}",
                    story,
                    {"max_frame_size": 2**32 - 1},
                    **at,
                )
            yield Case(
                rules.FF_DL,
                f"FF_DL 0, escape form, RX_DL {size}, {form}",
                f"< {prefix}10 00 00 00 00 00 " + "A5 " * (room - 4) + "\n error InvalidCanDataError",
                **at,
            )
    for limit, ff_dl, escape in (
        (4095, 4096, True),
        (19, 20, False),
        (0, 8, False),
        (100_000, 100_001, True),
    ):
        size = ff_dl.to_bytes(4, "big").hex(" ") if escape else ""
        head = f"10 00 {size} 00 00" if escape else f"10 {ff_dl:02X} 00*6"
        yield Case(
            rules.FF_DL,
            f"FF_DL {ff_dl} for a buffer of {limit}: overflow",
            f"< {head}\n > 32 08 00\n error FrameTooLongError\n < 21 00*7\n error UnexpectedConsecutiveFrameError",
            {"max_frame_size": limit},
        )
    yield Case(
        rules.FF_DL,
        "an overflow amid a message ends that",
        f"""{BEGIN}
        < 10 15 00*6
        > 32 00 00
        error ReceptionInterruptedWithFirstFrameError
        error FrameTooLongError
        {REST_IN_VAIN}""",
        {"blocksize": 0, "max_frame_size": 20},
    )
    for name, frame in (("FF_DL 7", "10 07 00*6"), ("FF_DL 100, escape form", "10 00 00 00 00 64 00 00")):
        yield Case(
            rules.FF_DL,
            f"{name}, amid a message",
            BEGIN
            + f"< {frame}\n"
            + only("default", "> 30 00 00\n error ReceptionInterruptedWithFirstFrameError")
            + only("strict", "error InvalidCanDataError" + REST),
            ONE_BLOCK,
        )


def rx_dl_cases() -> Iterator[Case]:
    for size in range(2, 8):
        yield Case(
            rules.RX_DL,
            f"FF with CAN_DL {size}",
            f"< 10 20 {'A5 ' * (size - 2)}\n default: > 30 08 00\n strict: error InvalidCanFdFirstFrameRXDL",
        )
        yield Case(
            rules.RX_DL,
            f"FF with CAN_DL {size}, amid a message",
            BEGIN
            + f"< 10 20 {'A5 ' * (size - 2)}\n"
            + only("default", "> 30 00 00\n error ReceptionInterruptedWithFirstFrameError")
            + only("strict", "error InvalidCanFdFirstFrameRXDL" + REST),
            ONE_BLOCK,
        )
    for size in (8, 12, 16, 20, 24, 32, 48, 64):
        first, other = size - 2, size - 1
        payload = bytes(range(first + other + 1))
        yield Case(
            rules.RX_DL,
            f"FF with CAN_DL {size}",
            f"""
            < 10 {len(payload):02X} {words(payload[:first])}
            > 30 08 00
            < 21 {words(payload[first:-1])}
            < 22 {words(payload[-1:])}
            got {words(payload)}""",
        )


def cf_length_cases() -> Iterator[Case]:
    for size in range(1, 8):
        # A default layer takes the bytes that are there, and goes on.
        yield Case(
            rules.CF_LENGTH,
            f"CF amid a message, CAN_DL {size}, RX_DL 8",
            BEGIN
            + f"< 21 {words(range(6, 5 + size))}\n"
            + only("strict", "error ChangingInvalidRXDLError" + REST)
            + only("default", "< 22 0D 0E 0F 10 11 12 13"),
            ONE_BLOCK,
        )
    for rx_dl in (12, 16, 20, 24, 32, 48, 64):
        payload = bytes(range(2 * rx_dl + 5))
        first, second = payload[: rx_dl - 2], payload[rx_dl - 2 : 2 * rx_dl - 3]
        rest = payload[2 * rx_dl - 3 :]
        for size in (8, 12, 16, 20, 24, 32, 48, 64):
            if size == rx_dl:
                continue
            name = f"CF amid a message, CAN_DL {size}, RX_DL {rx_dl}"
            wrong = f"< 21 {'5A ' * (size - 1)}\n error ChangingInvalidRXDLError\n"
            if size >= len(payload) - len(first):
                # For a default layer this one may be the last, whatever its length.
                wrong = f"strict: < 21 {'5A ' * (size - 1)}\n strict: error ChangingInvalidRXDLError\n"
            yield Case(
                rules.CF_LENGTH,
                name,
                f"""
                < 10 {len(payload):02X} {words(first)}
                > 30 00 00
                {wrong}
                < 21 {words(second)}
                < 22 {words(rest)} CC CC CC
                got {words(payload)}""",
                ONE_BLOCK,
            )
    for size in (4, 8, 12, 64):
        # 3 bytes are left.
        longer = size > 8
        rest = "0D 0E 0F" + " CC" * (size - 4)
        yield Case(
            rules.CF_LENGTH,
            f"last CF, CAN_DL {size}, RX_DL 8",
            f"""
            < 10 10 00 01 02 03 04 05
            > 30 00 00
            < 21 06 07 08 09 0A 0B 0C
            < 22 {rest}
            """
            + (
                "default: got 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F\n"
                "strict: error ChangingInvalidRXDLError\n strict: < 22 0D 0E 0F\n"
                "strict: got 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F"
                if longer
                else "got 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F"
            ),
            ONE_BLOCK,
        )
    for size in range(1, 4):
        yield Case(
            rules.CF_LENGTH,
            f"last CF of {size} bytes, 4 are needed",
            "< 10 09 00 01 02 03 04 05\n > 30 00 00\n"
            + f"< 21 {words(range(6, 5 + size))}\n"
            + only(
                "strict", "error ChangingInvalidRXDLError\n < 21 06 07 08\n got 00 01 02 03 04 05 06 07 08"
            )
            + only("default", f"< 22 {words(range(5 + size, 9))}\n got 00 01 02 03 04 05 06 07 08"),
            ONE_BLOCK,
        )
    yield Case(
        rules.CF_LENGTH,
        "a CF of a wrong length and with a wrong SN",
        BEGIN
        + "< 27 06\n"
        + only("default", "error WrongSequenceNumberError" + REST_IN_VAIN)
        + only("strict", "error ChangingInvalidRXDLError" + REST),
        ONE_BLOCK,
    )


def sn_cases() -> Iterator[Case]:
    for sn in range(16):
        if sn == 1:
            continue
        yield Case(
            rules.SN,
            f"first CF with SN {sn}",
            f"{BEGIN} < 2{sn:X} 06 07 08 09 0A 0B 0C\n error WrongSequenceNumberError\n {REST_IN_VAIN}",
            ONE_BLOCK,
        )
    for sn in (0, 1, 3):
        yield Case(
            rules.SN,
            f"second CF with SN {sn}",
            BEGIN + f"< 21 06 07 08 09 0A 0B 0C\n < 2{sn} 0D*7\n error WrongSequenceNumberError",
            ONE_BLOCK,
        )
    payload = bytes(range(6 + 7 * 33))
    frames = [
        f"< 2{k % 16:X} {words(payload[at : at + 7])}" for k, at in enumerate(range(6, len(payload), 7), 1)
    ]
    head = f"< 10 {len(payload):02X} 00 01 02 03 04 05\n > 30 00 00\n"
    yield Case(
        rules.SN, "from 15 to 0, twice", head + "\n".join(frames) + f"\n got {words(payload)}", ONE_BLOCK
    )
    yield Case(
        rules.SN,
        "16 frames lost are not noticed at once",
        head + "\n".join(frames[:3] + frames[19:]) + "\n wait 1000\n error ConsecutiveFrameTimeoutError",
        ONE_BLOCK,
    )
    yield Case(
        rules.SN,
        "SN begins at 1 again with each message",
        BEGIN + REST + BEGIN + REST,
        ONE_BLOCK,
    )


def unexpected_cases() -> Iterator[Case]:
    idle, busy = rules.IN_IDLE, rules.IN_RECEPTION
    cf, fc = "UnexpectedConsecutiveFrameError", "UnexpectedFlowControlError"
    yield Case(idle, "SF", "< 02 3E 00\n got 3E 00")
    yield Case(idle, "FF", BEGIN + REST, ONE_BLOCK)
    yield Case(idle, "CF", f"< 21 00*7\n error {cf}\n < 02 3E 00\n got 3E 00")
    for name, status in (("CTS", 0), ("WAIT", 1)):
        yield Case(idle, f"FC.{name}", f"< 3{status} 00 00\n error {fc}")
        yield Case(busy, f"FC.{name}", f"{BEGIN} < 3{status} 00 00\n error {fc}\n {REST}", ONE_BLOCK)
    overflow = f"default: error OverflowError\n strict: error {fc}\n"
    yield Case(idle, "FC.OVFLW", f"< 32 00 00\n {overflow}")
    yield Case(busy, "FC.OVFLW", f"{BEGIN} < 32 00 00\n {overflow} {REST}", ONE_BLOCK)
    invalid = "error InvalidCanDataError\n"
    name, frame = "FC with a reserved FlowStatus", "33 00 00"
    yield Case(idle, name, f"< {frame}\n {invalid} < 02 3E 00\n got 3E 00")
    yield Case(
        busy,
        name,
        f"{BEGIN} < {frame}\n {invalid}" + only("default", REST_IN_VAIN) + only("strict", REST),
        ONE_BLOCK,
    )
    name, frame = "FC with a reserved STmin", "30 00 80"
    yield Case(idle, name, f"< {frame}\n error {fc}\n < 02 3E 00\n got 3E 00")
    yield Case(busy, name, f"{BEGIN} < {frame}\n error {fc}\n {REST}", ONE_BLOCK)
    yield Case(idle, "unknown N_PDU", "< 50 01\n error InvalidCanDataError\n < 02 3E 00\n got 3E 00")
    yield Case(
        busy,
        "SF",
        f"{BEGIN} < 02 3E 00\n got 3E 00\n error ReceptionInterruptedWithSingleFrameError\n {REST_IN_VAIN}",
        ONE_BLOCK,
    )
    yield Case(
        busy,
        "FF",
        f"{BEGIN} < 10 14 00 01 02 03 04 05\n > 30 00 00\n error ReceptionInterruptedWithFirstFrameError\n {REST}",
        ONE_BLOCK,
    )
    yield Case(
        busy,
        "FF between two CFs",
        f"""{BEGIN} < 21 06 07 08 09 0A 0B 0C
        < 10 14 00 01 02 03 04 05
        > 30 00 00
        error ReceptionInterruptedWithFirstFrameError
        {REST}""",
        ONE_BLOCK,
    )
    yield Case(
        busy,
        "FF and CF of another N_AI",
        f"{BEGIN} < 457#10 14 00*6\n < 21 06 07 08 09 0A 0B 0C\n < 457#21 00*7\n < 22 0D 0E 0F 10 11 12 13\n"
        " got 00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 10 11 12 13",
        ONE_BLOCK,
    )
    yield Case(
        busy,
        "a CF twice",
        f"{BEGIN} < 21 06*7\n < 21 06*7\n error WrongSequenceNumberError",
        ONE_BLOCK,
    )
    yield Case(busy, "unknown N_PDU", f"{BEGIN} < F0 01\n error InvalidCanDataError\n"
               + only("default", REST_IN_VAIN) + only("strict", REST), ONE_BLOCK)  # fmt: skip


CASES = [
    *n_pci_cases(),
    *dlc_cases(),
    *sf_cases(),
    *ff_cases(),
    *rx_dl_cases(),
    *cf_length_cases(),
    *sn_cases(),
    *unexpected_cases(),
]
