"""Reception: frames in, messages and errors out (ISO 15765-2:2016, 9.6 to 9.8)."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import isotp
from isotp import errors
from tests.frames import HERE, MS, SECOND, THERE, Bench, counted, frame, octets, words

FF_10 = "10 0A 00 01 02 03 04 05"
CF_10 = "21 06 07 08 09"
TEN = bytes(range(10))
FC = "30 08 00"


def first_frame(size: int, length: int = 8) -> str:
    head = [0x10 | size >> 8, size & 0xFF] if size <= 4095 else [0x10, 0, *size.to_bytes(4, "big")]
    return words([*head, *counted(size)[: length - len(head)]])


# --- Messages that arrive whole -----------------------------------------------------------------------------


def test_a_single_frame_is_a_message() -> None:
    bench = Bench()
    assert bench.hear("03 61 62 63") == []
    assert bench.layer.available()
    message = bench.layer.recv()
    assert message == b"abc"
    assert isinstance(message, bytearray)
    assert bench.layer.recv() is None
    assert not bench.layer.available()


@pytest.mark.parametrize("size", range(1, 8))
def test_single_frame_of_each_length_with_and_without_padding(size: int) -> None:
    bench = Bench()
    bench.hear(words([size, *counted(size)]), words([size, *counted(size), *[0xCC] * (7 - size)]))
    assert bench.received() == [counted(size)] * 2


@pytest.mark.parametrize(("length", "size"), [(8, 6), (8, 1), (12, 8), (12, 10), (12, 1), (64, 62), (64, 33)])
def test_single_frame_in_the_escape_form(length: int, size: int) -> None:
    bench = Bench()
    bench.hear(words([0, size, *counted(size), *[0xCC] * (length - 2 - size)]))
    assert bench.received() == [counted(size)]
    assert bench.errors == []


def test_segmented_message() -> None:
    bench = Bench()
    assert bench.hear(FF_10) == [FC]
    assert bench.layer.is_rx_active()
    assert bench.layer.rx_state is isotp.TransportLayerLogic.RxState.WAIT_CF
    assert bench.layer.rx_buffer == bytes(range(6))
    assert (bench.layer.actual_rxdl, bench.layer.rx_frame_length, bench.layer.last_seqnum) == (8, 10, 0)
    assert bench.hear(CF_10) == []
    assert bench.received() == [TEN]
    assert bench.errors == []
    assert not bench.layer.is_rx_active()
    assert bench.layer.rx_state is isotp.TransportLayerLogic.RxState.IDLE
    assert bench.layer.rx_buffer == b""
    assert bench.layer.actual_rxdl is None


def test_padding_of_the_last_frame_is_cut() -> None:
    bench = Bench()
    bench.hear(FF_10, CF_10 + " CC CC CC")
    assert bench.received() == [TEN]


def test_sequence_numbers_wrap_from_15_to_0() -> None:
    bench = Bench(blocksize=0)
    payload = counted(6 + 40 * 7)
    bench.hear(first_frame(len(payload)))
    for k in range(40):
        bench.hear(words([0x20 | (k + 1) & 0xF, *payload[6 + 7 * k : 13 + 7 * k]]))
    assert bench.received() == [payload]
    assert bench.errors == []


@pytest.mark.parametrize("rx_dl", [8, 12, 16, 20, 24, 32, 48, 64])
def test_segmented_message_at_each_rx_dl(rx_dl: int) -> None:
    bench = Bench(blocksize=0)
    payload = counted(200)
    assert bench.hear(first_frame(200, rx_dl)) == ["30 00 00"]
    assert bench.layer.actual_rxdl == rx_dl
    rest, sn = payload[rx_dl - 2 :], 1
    while rest:
        bench.hear(words([0x20 | sn, *rest[: rx_dl - 1]]))
        rest, sn = rest[rx_dl - 1 :], (sn + 1) & 0xF
    assert bench.received() == [payload]
    assert bench.errors == []


def test_ff_dl_in_the_escape_form() -> None:
    bench = Bench(blocksize=0, max_frame_size=5000)
    payload = counted(5000)
    assert bench.hear(words([0x10, 0, 0, 0, 0x13, 0x88, *payload[:58]])) == ["30 00 00"]
    for k, at in enumerate(range(58, 5000, 63)):
        bench.hear(words([0x20 | (k + 1) & 0xF, *payload[at : at + 63]]))
    assert bench.received() == [payload]


def test_ff_dl_up_to_4095_may_come_in_the_escape_form() -> None:
    bench = Bench()
    assert bench.hear("10 00 00 00 00 0A 00 01") == [FC]
    bench.hear("21 02 03 04 05 06 07 08", "22 09")
    assert bench.received() == [TEN]


def test_ff_dl_that_a_single_frame_could_carry_is_accepted() -> None:
    bench = Bench()
    assert bench.hear("10 03 61 62 63 CC CC CC") == [FC]
    assert bench.received() == []
    bench.hear("21 CC")
    assert bench.received() == [b"abc"]


def test_first_frame_that_carries_no_payload() -> None:
    bench = Bench()
    assert bench.hear("10 08") == [FC]
    assert bench.layer.rx_buffer == b""
    bench.hear("21 00 01 02 03 04 05 06", "22 07")
    assert bench.received() == [counted(8)]


def test_largest_message_without_escape() -> None:
    bench = Bench(blocksize=0)
    payload = counted(4095)
    bench.hear(first_frame(4095))
    bench.hear(*(words([0x20 | (k + 1) & 0xF, *payload[6 + 7 * k : 13 + 7 * k]]) for k in range(585)))
    assert bench.received() == [payload]


def test_one_mebibyte_in_fd_frames() -> None:
    bench = Bench(blocksize=0, max_frame_size=1 << 20)
    payload = counted(1 << 20)
    bench.arrive(isotp.CanMessage(0x456, data=bytes([0x10, 0, *(1 << 20).to_bytes(4, "big")]) + payload[:58]))
    for k, at in enumerate(range(58, 1 << 20, 63)):
        bench.arrive(isotp.CanMessage(0x456, data=bytes([0x20 | (k + 1) & 0xF]) + payload[at : at + 63]))
    bench.run()
    assert bench.received() == [payload]
    assert bench.errors == []


def test_messages_wait_in_order() -> None:
    bench = Bench()
    bench.hear("01 01", "01 02", FF_10, CF_10, "01 03")
    assert bench.received() == [b"\x01", b"\x02", TEN, b"\x03"]


def test_statistics_of_a_pass() -> None:
    bench = Bench()
    bench.arrive("01 01", frame("777#01 02"), FF_10)
    stats = bench.layer.process()
    assert (stats.received, stats.received_processed, stats.sent, stats.frame_received) == (3, 2, 1, 1)
    assert bench.layer.process() == isotp.TransportLayerLogic.ProcessStats(0, 0, 0, 0)


def test_recv_with_a_timeout() -> None:
    bench = Bench()
    assert bench.layer.recv(block=True, timeout=0) is None
    bench.hear("01 07")
    assert bench.layer.recv(block=True, timeout=0) == b"\x07"
    with pytest.raises(ValueError, match=r"-1"):
        bench.layer.recv(block=True, timeout=-1)


# --- Frames that are no N_PDU -------------------------------------------------------------------------------

MALFORMED = {
    "empty": "456#",
    "SF_DL 0": "00",
    "SF_DL 0, escape form": "00 00",
    "SF_DL 0, escape form, FD": "00 00 CC*10",
    "SF_DL above the frame": "03 61 62",
    "SF_DL 8": "08 00*7",
    "SF_DL 15": "0F 00*7",
    "SF_DL above the frame, escape form": "00 07 00*6",
    "SF_DL above the frame, escape form, FD": "00 0B 00*10",
    "FF without its second byte": "10",
    "FF, escape form, length cut": "10 00 00 00 10",
    "FF, escape form, FF_DL 0": "10 00 00 00 00 00 00 00",
    "FC of one byte": "30",
    "FC of two bytes": "30 08",
    "flow status 3": "33 00 00",
    "flow status 15": "3F 00 00",
    **{f"N_PCI type {n:X}": f"{n:X}0 00*7" for n in range(4, 16)},
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_frame(text: str) -> None:
    bench = Bench()
    assert bench.hear(text) == []
    assert bench.complaints() == [errors.InvalidCanDataError]
    assert bench.received() == []
    assert bench.still_works()


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_frame_ends_a_reception(text: str) -> None:
    bench = Bench()
    bench.hear(FF_10, text)
    assert bench.complaints() == [errors.InvalidCanDataError]
    assert not bench.layer.is_rx_active()
    bench.wait(10 * SECOND)
    assert bench.run() == []
    assert bench.complaints() == []  # N_Cr does not run on
    assert bench.received() == []


def test_frame_of_more_than_64_bytes() -> None:
    bench = Bench()
    for size in (65, 100, 100_000):
        bench.hear(isotp.CanMessage(0x456, data=b"\x00\x05" + bytes(size - 2)))
        assert bench.complaints() == [errors.InvalidCanDataError]
        assert str(size) in str(bench.layer.last_error)
    assert bench.received() == []
    assert bench.still_works()


def test_malformed_frame_with_an_address_byte() -> None:
    mixed = isotp.Address(isotp.AddressingMode.Mixed_11bits, txid=0x123, rxid=0x456, address_extension=0x99)
    bench = Bench(mixed)
    for text in ("99", "99 07 00*6", "99 10", "99 30 00", "99 10 00 00 00 00"):
        bench.hear(text)
        assert bench.complaints() == [errors.InvalidCanDataError], text
    assert bench.hear("99 06 00 01 02 03 04 05", "98 01 00") == []
    assert bench.received() == [counted(6)]


def test_an_empty_frame_has_no_address_byte() -> None:
    mixed = isotp.Address(isotp.AddressingMode.Mixed_11bits, txid=0x123, rxid=0x456, address_extension=0)
    bench = Bench(mixed)
    bench.hear("456#")
    assert bench.complaints() == []
    bench.hear("00 01 61")
    assert bench.received() == [b"a"]


def test_a_first_frame_with_one_byte_after_a_large_message() -> None:
    """The buffer of the large message is not kept."""
    mixed = isotp.Address(isotp.AddressingMode.Mixed_11bits, txid=0x123, rxid=0x456, address_extension=0x99)
    bench = Bench(mixed, blocksize=0, max_frame_size=100_000)
    payload = counted(100_000)
    bench.hear(words([0x99, 0x10, 0, *len(payload).to_bytes(4, "big"), *payload[:57]]))
    for k, at in enumerate(range(57, len(payload), 62)):
        bench.arrive(words([0x99, 0x20 | (k + 1) & 0xF, *payload[at : at + 62]]))
    bench.run()
    assert bench.received() == [payload]
    bench.hear("99 10 00 00 00 00 07 61", "99 21 62 63 64 65 66 67")
    assert bench.received() == [b"abcdefg"]


def test_a_new_message_begins_a_new_block() -> None:
    bench = Bench(blocksize=2, stmin=0)
    first, *rest = (first_frame(30), "21 00*7", "22 00*7", "23 00*7")
    assert bench.hear(first) == ["30 02 00"]
    assert bench.hear(rest[0]) == []
    assert bench.hear(first) == ["30 02 00"]
    assert bench.hear(rest[0]) == []
    assert bench.hear(rest[1]) == ["30 02 00"]


def test_single_frame_beyond_8_bytes_without_the_escape_form_is_ignored() -> None:
    bench = Bench()
    bench.hear(FF_10, "05 00*11")
    assert bench.complaints() == [errors.MissingEscapeSequenceError]
    bench.hear(CF_10)
    assert bench.received() == [TEN]
    assert bench.complaints() == []


@pytest.mark.parametrize("length", [9, 10, 11, 13, 17, 21, 25, 33, 49, 63])
def test_first_frame_of_a_length_that_can_fd_has_not(length: int) -> None:
    bench = Bench()
    assert bench.hear(FF_10, first_frame(100, length)) == [FC]
    assert bench.complaints() == [
        errors.ReceptionInterruptedWithFirstFrameError,
        errors.InvalidCanFdFirstFrameRXDL,
    ]
    assert not bench.layer.is_rx_active()
    assert bench.still_works()


# Frames, of which the last one is what the error is about; "R ..." where reception is by the letter of the standard
SENTENCES = {
    "456#": "CAN frame of 0 bytes has no N_PCI",
    "40": "N_PCI type 4 is reserved",
    "40 00*64": "CAN frame of 65 bytes: 64 is the most there can be",
    "R 40 00*64": "CAN frame of 65 bytes: 64 is the most there can be",
    "F0 01": "N_PCI type 15 is reserved",
    "00": "single frame with SF_DL 0",
    "02 61": "single frame with SF_DL 2, but 1 bytes of payload",
    "08 00*7": "single frame with SF_DL 8, but 7 bytes of payload",
    "00 0B 00*10": "single frame with SF_DL 11, but 10 bytes of payload",
    "00 FF 00*62": "single frame with SF_DL 255, but 62 bytes of payload",
    "10": "first frame of 1 bytes is too short for its FF_DL",
    "10 00 00 00 10": "first frame of 5 bytes is too short for its FF_DL",
    "10 00*7": "first frame with FF_DL 0 in the escape form",
    "30": "flow control frame of 1 bytes is too short",
    "30 08": "flow control frame of 2 bytes is too short",
    "33 00 00": "flow status 3 is reserved",
    "3F 00 00": "flow status 15 is reserved",
    "05 00*11": "single frame of 12 bytes without the escape sequence",
    "10 64 00*9": "first frame of 11 bytes, which is no valid RX_DL",
    "11 2D 00*6": "first frame announces 301 bytes, max_frame_size is 300",
    "10 00 FF FE FD FC 00 00": "first frame announces 4294901244 bytes, max_frame_size is 300",
    "2C 00": "consecutive frame with SN 12, but no message is being received",
    "10 0A 00*6, 2C 00*4": "consecutive frame with SN 12 where 1 was due",
    "10 14 00*6, 21 00*7, 21 00*7": "consecutive frame with SN 1 where 2 was due",
    "10 64 00*14, 21 00*11": "consecutive frame of 12 bytes, which is not RX_DL (16) nor the last of the message",
    "10 64 00*14, 21 00*4": "consecutive frame of 8 bytes, which is not RX_DL (16) nor the last of the message",
    "10 0A 00*6, 03 61 62 63": "reception of a message was interrupted by a single frame",
    "10 0A 00*6, 10 0A 00*6": "reception of a message was interrupted by a first frame",
    "31 00 00": "flow control frame (flow status 1), but no message waits for it",
    "R 33 00 00": "flow status 3 is reserved",
    "R 00 06 00*6": "single frame with SF_DL 0",
    "R 02 61 62 63": "single frame with SF_DL 2, for which 4 bytes are not the length",
    "R 00 0A 00*14": "single frame with SF_DL 10, for which 16 bytes are not the length",
    "R 00 06 00*10": "single frame with SF_DL 6, for which 12 bytes are not the length",
    "R 10 0A 00*5": "first frame of 7 bytes, which is no valid RX_DL",
    "R 10 64 00*9": "first frame of 11 bytes, which is no valid RX_DL",
    "R 10 00 00 00 0F FF 00 00": "first frame with FF_DL 4095 in the escape form, which is for more than 4095",
    "R 10 07 00*6": "first frame with FF_DL 7, which is below FF_DLmin (8)",
    "R 10 0A 00*10": "first frame with FF_DL 10, which is below FF_DLmin (11)",
    "R 10 64 00*14, 21 00*11": "consecutive frame of 12 bytes, which is not RX_DL (16) nor the last of the message",
    "R 10 64 00*14, 21 00*4": "consecutive frame of 5 bytes, which is not RX_DL (16) nor the last of the message",
    "R 31 00 00": "flow control frame (flow status 1), but no message waits for it",
}


@pytest.mark.parametrize(("text", "sentence"), SENTENCES.items())
def test_the_sentence_of_an_error_has_its_numbers(text: str, sentence: str) -> None:
    bench = Bench(max_frame_size=300, strict=text.startswith("R "))
    bench.hear(*text.removeprefix("R ").split(", "))
    assert [str(error)[: len(sentence)] for error in bench.errors] == [sentence]


FUNCTIONAL_SENTENCES = {
    "21 06 07 08": "N_PDU type 2 with a functional address",
    "30 00 00 CC*5": "N_PDU type 3 with a functional address",
    "05 00*11": "single frame of 12 bytes without the escape sequence",
    "03 61": "single frame with SF_DL 3, but 1 bytes of payload",
    "02 61 62 63": "single frame with SF_DL 2, for which 4 bytes are not the length",
    "40 00*64": "CAN frame of 65 bytes: 64 is the most there can be",
}


@pytest.mark.parametrize(("text", "sentence"), FUNCTIONAL_SENTENCES.items())
def test_the_sentence_of_an_error_with_a_functional_address(text: str, sentence: str) -> None:
    mode = isotp.AddressingMode.NormalFixed_29bits
    bench = Bench(isotp.Address(mode, target_address=0x10, source_address=0xF1), strict=True)
    bench.hear("18DBF110#" + text)
    assert [str(error)[: len(sentence)] for error in bench.errors] == [sentence]


@pytest.mark.parametrize("size", [1, 7, 8, 62])
def test_single_frame_with_a_functional_address(size: int) -> None:
    mode = isotp.AddressingMode.NormalFixed_29bits
    bench = Bench(isotp.Address(mode, target_address=0x10, source_address=0xF1), strict=True)
    escape = [0] if size > 7 else []
    padding = [0xCC] * (12 - 2 - size) if size == 8 else []
    bench.hear("18DBF110#" + words([*escape, size, *counted(size), *padding]))
    assert bench.received() == [counted(size)]
    assert bench.complaints() == []


# What the sentences count begins with the N_PCI, or with the frame
SENTENCES_WITH_AN_ADDRESS_BYTE = {
    "99": "CAN frame of 1 bytes has no N_PCI",
    "99 07 00*6": "single frame with SF_DL 7, but 6 bytes of payload",
    "99 00 08 00*7": "single frame with SF_DL 8, but 7 bytes of payload",
    "99 10": "first frame of 2 bytes is too short for its FF_DL",
    "99 10 00 00 00 10": "first frame of 6 bytes is too short for its FF_DL",
    "99 30 00": "flow control frame of 3 bytes is too short",
    "R 99 02 61 62 63": "single frame with SF_DL 2, for which 5 bytes are not the length",
    "R 99 00 06 00*9": "single frame with SF_DL 6, for which 12 bytes are not the length",
    "R 99 10 06 00*5": "first frame with FF_DL 6, which is below FF_DLmin (7)",
    "R 99 10 09 00*9": "first frame with FF_DL 9, which is below FF_DLmin (10)",
}


@pytest.mark.parametrize(("text", "sentence"), SENTENCES_WITH_AN_ADDRESS_BYTE.items())
def test_the_sentence_of_an_error_with_an_address_byte(text: str, sentence: str) -> None:
    mixed = isotp.Address(isotp.AddressingMode.Mixed_11bits, txid=0x123, rxid=0x456, address_extension=0x99)
    bench = Bench(mixed, strict=text.startswith("R "))
    bench.hear(text.removeprefix("R "))
    assert [str(error)[: len(sentence)] for error in bench.errors] == [sentence]


# --- Too long -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ff", [first_frame(33), "10 00 00 00 10 00 00 01", "10 00 FF FF FF FF 00 01"])
def test_message_above_max_frame_size_is_refused_with_overflow(ff: str) -> None:
    bench = Bench(max_frame_size=32, stmin=5)
    assert bench.hear(ff) == ["32 08 05"]
    assert bench.complaints() == [errors.FrameTooLongError]
    assert not bench.layer.is_rx_active()
    bench.wait(10 * SECOND)
    assert bench.hear("21 00*7") == []
    assert bench.complaints() == [errors.UnexpectedConsecutiveFrameError]
    assert bench.still_works()


def test_message_of_max_frame_size_is_accepted() -> None:
    bench = Bench(max_frame_size=10)
    assert bench.hear(FF_10) == [FC]
    bench.hear(CF_10)
    assert bench.received() == [TEN]


def test_largest_ff_dl_is_accepted_if_max_frame_size_allows() -> None:
    bench = Bench(max_frame_size=(1 << 32) - 1)
    assert bench.hear("10 00 FF FF FF FF 00 01") == [FC]
    assert bench.layer.rx_frame_length == (1 << 32) - 1


def test_a_claim_of_4_gib_costs_no_memory() -> None:
    benches = [Bench(max_frame_size=1 << 40, blocksize=0) for _ in range(100)]
    gc.collect()
    before = resident()
    for bench in benches:
        bench.hear("10 00 FF FF FF FF 00 01", "21 00*7")
        assert bench.layer.is_rx_active()
        assert len(bench.layer.rx_buffer) == 9
    assert resident() - before < 8 << 20


@pytest.mark.skipif("san.so" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers keep what is freed")
def test_the_buffer_for_messages_goes_with_its_layer() -> None:
    payload = counted(60_000)
    sender = Bench(THERE, tx_data_length=64)
    sender.layer.send(payload)
    sender.layer.process()
    sender.arrive("30 00 00")
    while sender.layer.transmitting():
        sender.layer.process()
    frames = list(sender.messages)

    def receive(times: int) -> None:
        for _ in range(times):
            bench = Bench(max_frame_size=len(payload), blocksize=0)
            bench.hear(*frames)
            assert bench.received() == [payload]
        del bench
        gc.collect()

    receive(10)
    before = resident()
    receive(200)
    assert resident() - before < 4 << 20


def resident() -> int:
    """Bytes of memory that this process really has, but for what is free."""
    if sys.platform != "linux":
        pytest.skip("no /proc here")
    # What others freed would hide what is taken anew.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="AddressSanitizer keeps what is freed for a while")
def test_large_buffers_are_not_kept() -> None:
    """Many layers that each had one large message do not add up."""
    benches = [Bench(max_frame_size=1 << 20, blocksize=0, stmin=0) for _ in range(20)]
    payload = counted(1 << 20)
    frames = [isotp.CanMessage(0x456, data=bytes([0x10, 0, *(1 << 20).to_bytes(4, "big")]) + payload[:58])]
    frames += [
        isotp.CanMessage(0x456, data=bytes([0x20 | (k + 1) & 0xF]) + payload[at : at + 63])
        for k, at in enumerate(range(58, 1 << 20, 63))
    ]
    gc.collect()
    before = resident()
    for bench in benches:
        bench.hear(*frames)
        assert bench.received() == [payload]
        bench.hear(FF_10, CF_10)
    assert resident() - before < 8 << 20


# --- Interruptions ------------------------------------------------------------------------------------------


def test_single_frame_interrupts_a_reception() -> None:
    bench = Bench()
    bench.hear(FF_10, "02 CA FE")
    assert bench.complaints() == [errors.ReceptionInterruptedWithSingleFrameError]
    assert bench.received() == [b"\xca\xfe"]
    assert not bench.layer.is_rx_active()
    bench.wait(10 * SECOND)
    bench.run()
    assert bench.complaints() == []  # no N_Cr of the reception that is gone


def test_first_frame_interrupts_a_reception() -> None:
    bench = Bench()
    assert bench.hear(FF_10) == [FC]
    assert bench.hear("10 08 A0 A1 A2 A3 A4 A5") == [FC]
    assert bench.complaints() == [errors.ReceptionInterruptedWithFirstFrameError]
    bench.wait(SECOND - 1)
    bench.hear("21 A6 A7")
    assert bench.received() == [octets("A0 A1 A2 A3 A4 A5 A6 A7")]
    bench.wait(10 * SECOND)
    bench.run()
    assert bench.complaints() == []


def test_too_long_first_frame_interrupts_a_reception() -> None:
    bench = Bench(max_frame_size=100)
    assert bench.hear(FF_10) == [FC]
    assert bench.hear(first_frame(101)) == ["32 08 00"]
    assert bench.complaints() == [errors.ReceptionInterruptedWithFirstFrameError, errors.FrameTooLongError]
    assert not bench.layer.is_rx_active()
    bench.wait(10 * SECOND)
    bench.run()
    assert bench.complaints() == []


def test_interrupting_message_arrives_even_if_the_error_handler_raises() -> None:
    def handler(error: Exception) -> None:
        raise RuntimeError("handler")

    bench = Bench(error_handler=handler)
    bench.hear(FF_10)
    bench.arrive("02 CA FE")
    with pytest.raises(RuntimeError, match="handler"):
        bench.layer.process()
    assert bench.received() == [b"\xca\xfe"]
    bench.hear(FF_10)
    bench.arrive("10 08 A0 A1 A2 A3 A4 A5")
    with pytest.raises(RuntimeError, match="handler"):
        bench.layer.process()
    assert bench.run() == [FC]
    bench.hear("21 A6 A7")
    assert bench.received() == [octets("A0 A1 A2 A3 A4 A5 A6 A7")]


# --- Consecutive frames -------------------------------------------------------------------------------------


def test_consecutive_frame_while_idle() -> None:
    bench = Bench()
    assert bench.hear(CF_10) == []
    assert bench.complaints() == [errors.UnexpectedConsecutiveFrameError]
    assert bench.still_works()


@pytest.mark.parametrize("sn", [n for n in range(16) if n != 1])
def test_wrong_sequence_number(sn: int) -> None:
    bench = Bench()
    bench.hear(FF_10)
    assert bench.hear(words([0x20 | sn, 6, 7, 8, 9])) == []
    assert bench.complaints() == [errors.WrongSequenceNumberError]
    assert not bench.layer.is_rx_active()
    bench.hear(CF_10)
    assert bench.complaints() == [errors.UnexpectedConsecutiveFrameError]
    assert bench.received() == []


def test_first_frame_and_bad_consecutive_frame_in_one_pass() -> None:
    bench = Bench()
    assert bench.hear(FF_10, "22 00*4") == [FC]
    assert bench.complaints() == [errors.WrongSequenceNumberError]


def test_shorter_frame_in_the_middle_of_an_fd_message_is_ignored() -> None:
    bench = Bench(blocksize=0)
    payload = counted(40)
    bench.hear(first_frame(40, 16))
    bench.hear(words([0x21, *payload[14:25]]))
    assert bench.complaints() == [errors.ChangingInvalidRXDLError]
    assert bench.layer.is_rx_active()
    bench.hear(words([0x21, *payload[14:29]]), words([0x22, *payload[29:]]))
    assert bench.received() == [payload]
    assert bench.complaints() == []


def test_last_frame_may_be_shorter_or_longer_than_rx_dl() -> None:
    bench = Bench(blocksize=0)
    payload = counted(40)
    for last in (payload[29:], payload[29:] + bytes(52)):
        bench.hear(first_frame(40, 16), words([0x21, *payload[14:29]]), words([0x22, *last]))
        assert bench.received() == [payload]
    assert bench.errors == []


def test_frame_of_the_length_of_what_is_left_may_come_in_the_middle() -> None:
    """Its N_PCI takes a byte, so that it cannot be the last one."""
    bench = Bench(blocksize=0)
    payload = counted(14 + 12)
    bench.hear(first_frame(26, 16), words([0x21, *payload[14:25]]), words([0x22, payload[25]]))
    assert bench.received() == [payload]
    assert bench.errors == []


def test_short_classic_frame_in_the_middle_counts_with_what_it_has() -> None:
    bench = Bench()
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.wait(SECOND - 1)
    bench.hear("21 06 07")
    bench.wait(SECOND - 1)
    bench.hear("22 08 09")
    assert bench.received() == [TEN]


@pytest.mark.parametrize("n_pci_type", range(4, 16))
def test_reserved_type_with_the_sequence_number_that_is_due(n_pci_type: int) -> None:
    bench = Bench(blocksize=0)
    bench.hear(first_frame(100), words([n_pci_type << 4 | 1, *bytes(7)]))
    assert bench.complaints() == [errors.InvalidCanDataError]
    assert not bench.layer.is_rx_active()


def test_consecutive_frames_of_others() -> None:
    bench = Bench(blocksize=0)
    payload = counted(20)
    others = "457#21 CC*7", "00000456#21 CC*7"
    own = words([0x21, *payload[6:13]]), words([0x22, *payload[13:]])
    bench.hear(first_frame(20), *others, own[0], *others, own[1])
    assert bench.received() == [payload]
    assert bench.errors == []


# --- Time: N_Cr ---------------------------------------------------------------------------------------------


def test_n_cr_at_its_edge() -> None:
    for ns, complaints, messages in (
        (SECOND - 1, [], [TEN]),
        (SECOND, [errors.ConsecutiveFrameTimeoutError, errors.UnexpectedConsecutiveFrameError], []),
    ):
        bench = Bench()
        bench.hear(FF_10)
        bench.wait(ns)
        bench.hear(CF_10)
        assert bench.complaints() == complaints
        assert bench.received() == messages


def test_n_cr_fires_once_and_without_a_frame() -> None:
    bench = Bench(rx_consecutive_frame_timeout=150)
    bench.hear(FF_10)
    assert bench.layer.deadline_ns() == bench.clock.ns + 150 * MS
    bench.wait(150 * MS - 1)
    bench.run()
    assert bench.complaints() == []
    bench.wait(1)
    bench.run()
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError]
    assert "6 of 10" in str(bench.layer.last_error)
    assert bench.layer.deadline_ns() is None
    bench.wait(SECOND)
    bench.run()
    assert bench.complaints() == []
    assert bench.still_works()


@pytest.mark.parametrize("do_tx", [False, True])
def test_n_cr_is_no_matter_of_the_sender(do_tx: bool) -> None:
    bench = Bench()
    bench.hear(FF_10)
    assert bench.say(TEN) == [FF_10]
    bench.wait(SECOND // 2)
    bench.arrive("31 00 00")
    bench.layer.params.set("wftmax", 1)
    bench.run()
    bench.wait(SECOND // 2)
    bench.layer.process(do_tx=do_tx)
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError]
    assert bench.hear("30 00 00") == [CF_10]
    assert bench.complaints() == []


def test_each_consecutive_frame_starts_n_cr_anew() -> None:
    bench = Bench(blocksize=0)
    bench.hear(first_frame(27))
    for k in range(3):
        bench.wait(SECOND - 1)
        bench.hear(words([0x21 + k, *counted(27)[6 + 7 * k : 13 + 7 * k]]))
    assert bench.received() == [counted(27)]
    assert bench.errors == []


def test_ignored_frame_does_not_start_n_cr_anew() -> None:
    bench = Bench(blocksize=0)
    bench.hear(first_frame(40, 16))
    bench.wait(SECOND - 1)
    bench.hear("21 00*7")
    assert bench.complaints() == [errors.ChangingInvalidRXDLError]
    bench.wait(1)
    bench.run()
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError]


def test_n_cr_stands_still_until_the_flow_control_frame_is_out() -> None:
    bench = Bench(blocksize=1)
    payload = counted(20)
    bench.hear(first_frame(20))
    bench.arrive(words([0x21, *payload[6:13]]))
    bench.layer.process(do_tx=False)
    assert bench.layer.pending_flow_control_tx
    assert bench.layer.deadline_ns() is None
    bench.wait(10 * SECOND)
    bench.layer.process(do_tx=False)
    assert bench.complaints() == []
    assert bench.run() == ["30 01 00"]
    bench.wait(SECOND - 1)
    bench.hear(words([0x22, *payload[13:]]))
    assert bench.received() == [payload]


def test_n_cr_starts_anew_with_the_flow_control_frame_after_a_first_frame() -> None:
    bench = Bench()
    bench.arrive(FF_10)
    bench.layer.process(do_tx=False)
    bench.wait(SECOND - 1)
    assert bench.run() == [FC]
    bench.wait(SECOND - 1)
    bench.hear(CF_10)
    assert bench.received() == [TEN]


def test_n_cr_counts_from_when_txfn_returned() -> None:
    bench = Bench(txfn=lambda message: bench.wait(400 * MS))
    bench.hear(FF_10)
    assert bench.layer.deadline_ns() == bench.clock.ns + SECOND


def test_n_cr_of_zero_is_over_at_once() -> None:
    bench = Bench(rx_consecutive_frame_timeout=0)
    assert bench.hear(FF_10) == [FC]
    bench.hear(CF_10)
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError, errors.UnexpectedConsecutiveFrameError]


def test_n_cr_is_seen_while_rxfn_waits() -> None:
    """rxfn(timeout) came back after the time-out of the reception: the frame it brings is late."""
    bench = Bench(rxfn=lambda timeout: slow_rxfn(timeout))

    def slow_rxfn(timeout: float) -> isotp.CanMessage | None:
        bench.wait(int(timeout * SECOND))
        return bench.next_frame()

    bench.arrive(FF_10)
    bench.layer.process(rx_timeout=0)
    assert bench.sent() == [FC]
    bench.arrive(CF_10)
    bench.layer.process(rx_timeout=1.0)
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError, errors.UnexpectedConsecutiveFrameError]


def test_check_timeouts_rx() -> None:
    bench = Bench()
    bench.hear(FF_10)
    bench.layer.check_timeouts_rx()
    assert bench.complaints() == []
    bench.wait(SECOND)
    bench.layer.check_timeouts_rx()
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError]


def test_start_rx_cf_timer() -> None:
    bench = Bench()
    bench.layer.start_rx_cf_timer()
    assert bench.layer.deadline_ns() is None
    bench.hear(FF_10)
    bench.wait(SECOND - 1)
    bench.layer.start_rx_cf_timer()
    bench.wait(SECOND - 1)
    bench.hear(CF_10)
    assert bench.received() == [TEN]


def test_an_rxfn_without_parameter_that_waits() -> None:
    """The first generation's rxfn may wait for a frame: N_Cr runs from the frame that it brought.

    40 frames, 50 ms apart, within one process(); then a pause that is shorter than N_Cr.
    """
    bench = Bench(rxfn=lambda: slow_rxfn(), blocksize=0)
    payload = counted(6 + 41 * 7)

    def slow_rxfn() -> isotp.CanMessage | None:
        bench.wait(50 * MS)
        return bench.next_frame()

    bench.arrive(first_frame(len(payload)))
    bench.arrive(*(words([0x20 | (k + 1) & 0xF, *payload[6 + 7 * k : 13 + 7 * k]]) for k in range(40)))
    bench.run()
    assert bench.layer.is_rx_active()
    bench.hear(words([0x20 | 41 & 0xF, *payload[6 + 7 * 40 :]]))
    assert bench.complaints() == []
    assert bench.received() == [payload]


# --- Frames of others; what rxfn may return -----------------------------------------------------------------


def test_frames_of_others_are_not_looked_at() -> None:
    bench = Bench()
    others = ("457#01 00", "00000456#01 00", "123#01 00")
    stats = None
    bench.arrive(*map(frame, others))
    stats = bench.layer.process()
    assert (stats.received, stats.received_processed) == (3, 0)
    assert bench.received() == []
    assert bench.errors == []


A = isotp.Address
Mode = isotp.AddressingMode
ADDRESSED = {
    "normal 11": (A(Mode.Normal_11bits, txid=1, rxid=2), ["002#"], ["003#", "00000002#"]),
    "normal 29": (A(Mode.Normal_29bits, txid=1, rxid=2), ["00000002#"], ["00000003#", "002#"]),
    "normal fixed": (
        A(Mode.NormalFixed_29bits, target_address=0x55, source_address=0xAA),
        ["18DAAA55#", "18DBAA55#"],
        ["18DA55AA#", "18DCAA55#", "18DAAA56#"],
    ),
    "extended 11": (
        A(Mode.Extended_11bits, txid=1, rxid=2, target_address=0x55, source_address=0xAA),
        ["002#AA"],
        ["002#55", "002#", "003#AA", "00000002#AA"],
    ),
    "extended 29": (
        A(Mode.Extended_29bits, txid=1, rxid=2, target_address=0x55, source_address=0xAA),
        ["00000002#AA"],
        ["00000002#55", "002#AA"],
    ),
    "mixed 11": (
        A(Mode.Mixed_11bits, txid=1, rxid=2, address_extension=0x99),
        ["002#99"],
        ["002#98", "002#"],
    ),
    "mixed 29": (
        A(Mode.Mixed_29bits, target_address=0x55, source_address=0xAA, address_extension=0x99),
        ["18CEAA55#99", "18CDAA55#99"],
        ["18CEAA55#98", "18CE55AA#99", "18DAAA55#99"],
    ),
    "asymmetric": (
        isotp.AsymmetricAddress(
            A(Mode.Extended_29bits, txid=1, target_address=0x55, tx_only=True),
            A(Mode.Normal_11bits, rxid=2, rx_only=True),
        ),
        ["002#"],
        ["00000002#", "001#"],
    ),
}


@pytest.mark.parametrize(("address", "mine", "others"), ADDRESSED.values(), ids=ADDRESSED.keys())
def test_address_filter(address: Any, mine: list[str], others: list[str]) -> None:
    bench = Bench(address)
    bench.hear(*(frame(head + " 02 CA FE") for head in others))
    assert bench.received() == []
    bench.hear(*(frame(head + " 02 CA FE") for head in mine))
    assert bench.received() == [b"\xca\xfe"] * len(mine)
    assert bench.errors == []
    assert bench.still_works()


class Anything:
    """A frame as some driver has it."""

    def __init__(self, arbitration_id: Any, data: Any, is_extended_id: Any = False) -> None:
        self.arbitration_id = arbitration_id
        self.data = data
        self.is_extended_id = is_extended_id


class OwnMessage(isotp.CanMessage):
    pass


class Number:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


@pytest.mark.parametrize(
    "message",
    [
        Anything(0x456, b"\x02\xca\xfe"),
        Anything(Number(0x456), bytearray(b"\x02\xca\xfe"), 0),
        Anything(0x456, [2, 0xCA, 0xFE], None),
        OwnMessage(0x456, data=b"\x02\xca\xfe"),
        isotp.CanMessage(0x456, data=bytearray(b"\x02\xca\xfe")),
        isotp.CanMessage(0x456, data=memoryview(b"\x02\xca\xfe")),
        isotp.CanMessage(0x456, dlc=None, data=[2, 0xCA, 0xFE], is_fd=True, bitrate_switch=True),
        isotp.CanMessage(Number(0x456), dlc="x", data=(2, 0xCA, 0xFE)),
    ],
    ids=repr,
)
def test_duck_typed_messages_and_loose_values(message: Any) -> None:
    bench = Bench()
    bench.hear(message)
    assert bench.received() == [b"\xca\xfe"]


@pytest.mark.parametrize(
    "message",
    [
        Anything(None, b"\x01\x00"),
        Anything("456", b"\x01\x00"),
        Anything(-1, b"\x01\x00"),
        Anything(0x456 + (1 << 31), b"\x01\x00"),
        Anything(0x456 + (1 << 64), b"\x01\x00"),
        Anything(0x456, b"\x01\x00", True),
        isotp.CanMessage(None, data=b"\x01\x00"),
        isotp.CanMessage(4.5, data=b"\x01\x00"),
        isotp.CanMessage(0x456 + (1 << 31), data=b"\x01\x00"),
        isotp.CanMessage(0x456 + (1 << 32), data=b"\x01\x00"),
    ],
    ids=repr,
)
def test_messages_with_an_identifier_that_no_frame_has_are_for_nobody(message: Any) -> None:
    bench = Bench()
    bench.hear(message)
    assert bench.received() == []
    assert bench.errors == []
    assert bench.still_works()


@pytest.mark.parametrize(
    "message", [Anything(0x456, None), isotp.CanMessage(0x456, data=None)], ids=["duck", "own"]
)
def test_message_without_data(message: Any) -> None:
    bench = Bench()
    bench.hear(message)
    assert bench.complaints() == [errors.InvalidCanDataError]


@pytest.mark.parametrize("data", ["text", [300], 1.5], ids=repr)
def test_message_with_data_that_are_no_bytes_raises_and_the_layer_lives_on(data: Any) -> None:
    bench = Bench()
    bench.arrive(isotp.CanMessage(0x456, data=data))
    with pytest.raises((TypeError, ValueError)):
        bench.layer.process()
    assert bench.still_works()


def test_a_layer_hears_its_own_sent_message_object() -> None:
    """Frames from one layer's txfn go into another's rxfn without a copy, read or not."""
    source = Bench(isotp.Address(Mode.Normal_11bits, txid=0x456, rxid=0x123))
    for look in (False, True):
        source.layer.send(b"abc")
        source.layer.process()
        message = source.messages.pop()
        if look:
            assert message.data == b"\x03abc"
        bench = Bench()
        bench.hear(message)
        assert bench.received() == [b"abc"]


# --- Subclasses of Address ----------------------------------------------------------------------------------


def test_subclass_of_address_that_refuses_consecutive_frames() -> None:
    class Picky(isotp.Address):
        def is_for_me(self, msg: Any) -> bool:
            return super().is_for_me(msg) and msg.data[-1:] != b"\xff"

    bench = Bench(Picky(Mode.Normal_11bits, txid=0x123, rxid=0x456))
    payload = counted(20)
    bench.hear(first_frame(20), "21 FF*7", words([0x21, *payload[6:13]]), words([0x22, *payload[13:]]))
    assert bench.received() == [payload]
    assert bench.errors == []


def test_subclass_of_address_that_decides_for_itself() -> None:
    class Promiscuous(isotp.Address):
        def is_for_me(self, msg: Any) -> bool:
            return msg.data[:1] != b"\x00"

    bench = Bench(Promiscuous(Mode.Normal_11bits, txid=0x123, rxid=0x456))
    bench.hear(frame("7FF#01 07"), frame("456#00 01 07"), frame("12345678#01 08"))
    assert bench.received() == [b"\x07", b"\x08"]
    assert bench.still_works()


def test_subclass_of_address_in_an_asymmetric_one() -> None:
    class Promiscuous(isotp.Address):
        def is_for_me(self, msg: Any) -> bool:
            return True

    address = isotp.AsymmetricAddress(
        A(Mode.Normal_11bits, txid=0x123, tx_only=True),
        Promiscuous(Mode.Normal_11bits, rxid=0x456, rx_only=True),
    )
    bench = Bench(address)
    bench.hear(frame("7FF#01 07"))
    assert bench.received() == [b"\x07"]


def test_is_for_me_replaced_on_the_object() -> None:
    address = A(Mode.Normal_11bits, txid=0x123, rxid=0x456)
    address.is_for_me = lambda msg: msg.arbitration_id == 0x700  # type: ignore[method-assign]
    bench = Bench(address)
    bench.hear(frame("456#01 07"), frame("700#01 08"))
    assert bench.received() == [b"\x08"]


def test_is_for_me_that_raises() -> None:
    class Broken(isotp.Address):
        def is_for_me(self, msg: Any) -> bool:
            raise RuntimeError("is_for_me")

    bench = Bench(Broken(Mode.Normal_11bits, txid=0x123, rxid=0x456))
    bench.arrive("01 00")
    with pytest.raises(RuntimeError, match="is_for_me"):
        bench.layer.process()
    bench.layer.set_address(HERE)
    assert bench.still_works()


def test_empty_frame_that_a_subclass_takes_for_its_own() -> None:
    class Promiscuous(isotp.Address):
        def is_for_me(self, msg: Any) -> bool:
            return True

    bench = Bench(Promiscuous(Mode.Mixed_11bits, txid=0x123, rxid=0x456, address_extension=0x99))
    bench.hear("456#", "456#99")
    assert bench.complaints() == [errors.InvalidCanDataError] * 2


# --- What rxfn may be ---------------------------------------------------------------------------------------


def feeding(incoming: list[Any]) -> dict[str, Any]:
    """rxfns of all shapes over one list of frames."""

    def take() -> Any:
        return incoming.pop(0) if incoming else None

    def no_parameter() -> Any:
        return take()

    def one_parameter(timeout: float) -> Any:
        assert isinstance(timeout, float)
        return take()

    def default_timeout(timeout: float = 1.0) -> Any:
        assert timeout != 1.0
        return take()

    def any_parameters(*args: Any) -> Any:
        assert len(args) == 1
        return take()

    def handle_by_default(hardware: Any = incoming) -> Any:
        assert hardware is incoming
        return take()

    def keyword_only(*, hardware: Any = incoming) -> Any:
        return take()

    def bound_by_partial(hardware: Any, timeout: float) -> Any:
        assert isinstance(timeout, float)
        return take()

    def all_bound(hardware: Any) -> Any:
        return take()

    class Hardware:
        def read(self) -> Any:
            return take()

        def read_within(self, timeout: float) -> Any:
            return take()

        def __call__(self, timeout: float) -> Any:
            return take()

    return {
        "no parameter": no_parameter,
        "one parameter": one_parameter,
        "default time-out": default_timeout,
        "any parameters": any_parameters,
        "handle by default": handle_by_default,
        "keyword only": keyword_only,
        "partial": functools.partial(bound_by_partial, incoming),
        "partial without more": functools.partial(all_bound, incoming),
        "bound method": Hardware().read,
        "bound method with time-out": Hardware().read_within,
        "callable object": Hardware(),
    }


TIMEOUT_TAKERS = {
    "one parameter",
    "default time-out",
    "any parameters",
    "partial",
    "bound method with time-out",
    "callable object",
}


@pytest.mark.parametrize("kind", feeding([]).keys())
def test_shapes_of_rxfn(kind: str) -> None:
    incoming: list[Any] = [frame(FF_10), frame(CF_10)]
    bench = Bench(rxfn=feeding(incoming)[kind])
    assert bench.layer.blocking_rxfn is (kind in TIMEOUT_TAKERS)
    bench.run()
    incoming.append(frame("01 07"))
    bench.layer.process(0.25)
    assert bench.received() == [TEN, b"\x07"]


class Uninspectable:
    """A callable like those of extension modules: nobody can tell its parameters."""

    @property
    def __signature__(self) -> Any:
        raise ValueError("no signature found")

    def __init__(self, arity: int, incoming: list[Any]) -> None:
        self.arity = arity
        self.incoming = incoming
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *args: Any) -> Any:
        if len(args) != self.arity:
            raise TypeError(f"takes {self.arity} arguments")
        self.calls.append(args)
        return self.incoming.pop(0) if self.incoming else None


@pytest.mark.parametrize("arity", [0, 1])
def test_rxfn_whose_parameters_can_not_be_found_out(arity: int) -> None:
    rxfn = Uninspectable(arity, [frame(FF_10), frame(CF_10)])
    bench = Bench(rxfn=rxfn)
    bench.layer.process(0.5)
    assert bench.received() == [TEN]
    assert set(rxfn.calls) == {(0.5,) if arity else ()}


def test_rxfn_that_can_not_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="5"):
        isotp.TransportLayerLogic(5, print, HERE)


def test_rxfn_replaced_at_run_time() -> None:
    bench = Bench()
    bench.hear("01 01")
    bench.layer.rxfn = feeding([frame("01 02")])["one parameter"]
    assert bench.layer.blocking_rxfn
    bench.run()
    bench.layer.rxfn = feeding([frame("01 03")])["no parameter"]
    assert not bench.layer.blocking_rxfn
    bench.run()
    assert bench.received() == [b"\x01", b"\x02", b"\x03"]


def test_rxfn_that_raises() -> None:
    bench = Bench(rxfn=lambda: failing())
    results: list[Any] = [frame(FF_10), OSError("bus off"), frame(CF_10)]

    def failing() -> Any:
        result = results.pop(0) if results else None
        if isinstance(result, Exception):
            raise result
        return result

    with pytest.raises(OSError, match="bus off"):
        bench.layer.process()
    assert bench.sent() == [FC]
    bench.run()
    assert bench.received() == [TEN]  # the reception outlives it


def test_error_handler_that_raises() -> None:
    def handler(error: Exception) -> None:
        raise RuntimeError(f"about {type(error).__name__}")

    bench = Bench(error_handler=handler)
    bench.arrive(CF_10, "01 07")
    with pytest.raises(RuntimeError, match="UnexpectedConsecutiveFrameError"):
        bench.layer.process()
    bench.run()
    assert bench.received() == [b"\x07"]
    bench.hear(FF_10)
    bench.wait(SECOND)
    with pytest.raises(RuntimeError, match="ConsecutiveFrameTimeoutError"):
        bench.layer.process()
    bench.run()
    assert not bench.layer.is_rx_active()


def test_error_handler_replaced_removed_or_of_no_use(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    seen: list[Exception] = []
    bench.layer.error_handler = seen.append
    bench.hear(CF_10)
    assert len(seen) == 1
    bench.layer.error_handler = None
    bench.hear(CF_10)
    assert len(seen) == 1
    bench.layer.error_handler = 5
    caplog.clear()
    bench.hear(CF_10)
    assert "error_handler is not callable: 5" in caplog.text
    assert isinstance(bench.layer.last_error, errors.UnexpectedConsecutiveFrameError)


def test_trigger_error() -> None:
    bench = Bench()
    error = isotp.IsoTpError("own")
    bench.layer.trigger_error(error)
    assert bench.errors == [error]
    assert bench.layer.last_error is error


# --- Stopping, from everywhere ------------------------------------------------------------------------------


def test_stop_receiving() -> None:
    bench = Bench()
    bench.hear(FF_10)
    bench.layer.stop_receiving()
    assert not bench.layer.is_rx_active()
    bench.wait(10 * SECOND)
    bench.run()
    assert bench.complaints() == []
    bench.hear(CF_10)
    assert bench.complaints() == [errors.UnexpectedConsecutiveFrameError]


def test_stop_receiving_drops_a_flow_control_frame_that_is_due() -> None:
    bench = Bench()
    bench.arrive(FF_10)
    bench.layer.process(do_tx=False)
    assert bench.layer.pending_flow_control_tx
    bench.layer.stop_receiving()
    assert not bench.layer.pending_flow_control_tx
    assert bench.run() == []


@pytest.mark.parametrize("stop", ["stop_receiving", "reset"])
def test_stopping_from_within_txfn(stop: str) -> None:
    bench = Bench(txfn=lambda message: getattr(bench.layer, stop)())
    bench.hear(FF_10)
    assert not bench.layer.is_rx_active()
    assert bench.layer.deadline_ns() is None
    bench.layer.txfn = bench.messages.append
    assert bench.still_works()


@pytest.mark.parametrize("stop", ["stop_receiving", "reset"])
def test_stopping_from_within_rxfn(stop: str) -> None:
    bench = Bench(rxfn=lambda: stopping_rxfn())

    def stopping_rxfn() -> Any:
        getattr(bench.layer, stop)()
        return bench.next_frame()

    bench.arrive(FF_10, CF_10, "01 07")
    bench.run()
    assert bench.complaints() == [errors.UnexpectedConsecutiveFrameError]
    bench.layer.rxfn = bench.next_frame
    assert bench.still_works()


@pytest.mark.parametrize("stop", ["stop_receiving", "reset"])
def test_stopping_from_within_the_error_handler(stop: str) -> None:
    seen: list[Exception] = []

    def handler(error: Exception) -> None:
        seen.append(error)
        getattr(bench.layer, stop)()

    bench = Bench(error_handler=handler)
    bench.hear(FF_10)
    assert bench.hear("10 08 A0 A1 A2 A3 A4 A5") == []
    assert [type(error) for error in seen] == [errors.ReceptionInterruptedWithFirstFrameError]
    assert not bench.layer.is_rx_active()
    assert bench.still_works()


def test_process_within_a_callback_does_nothing() -> None:
    """But a frame that is given there is heard after the one at hand."""
    inner: list[Any] = []
    bench = Bench(rxfn=lambda: nested())

    def nested() -> Any:
        inner.append(bench.layer.process())
        if len(inner) == 1:
            bench.layer.process_rx(frame("01 55"))
        bench.layer.check_timeouts_rx()
        assert bench.layer.process_tx() is None
        return bench.next_frame()

    bench.hear("01 07")
    assert bench.received() == [b"\x07", b"\x55"]
    assert set(inner) == {isotp.TransportLayerLogic.ProcessStats(0, 0, 0, 0)}


def test_reset_while_idle_and_at_every_stage_of_a_reception() -> None:
    bench = Bench(blocksize=1)
    stages = [[], [FF_10], [first_frame(20), words([0x21, *counted(20)[6:13]])], ["01 07"]]
    for frames in stages:
        bench.hear(*frames)
        bench.layer.reset()
        assert not bench.layer.is_rx_active()
        assert not bench.layer.available()
        assert bench.layer.deadline_ns() is None
        assert bench.still_works()


def test_clear_rx_queue() -> None:
    bench = Bench()
    bench.hear("01 01", "01 02")
    assert bench.layer.rx_queue.qsize() == 2
    bench.layer.clear_rx_queue()
    assert bench.received() == []


# --- At run time --------------------------------------------------------------------------------------------


def test_set_address_at_run_time() -> None:
    bench = Bench()
    other = A(Mode.Extended_11bits, txid=0x700, rxid=0x701, target_address=0x55, source_address=0xAA)
    bench.layer.set_address(other)
    bench.hear(frame("456#01 01"), frame("701#AA 01 02"))
    assert bench.received() == [b"\x02"]
    assert bench.hear(frame("701#AA 10 0A 00 01 02 03 04")) == ["700#55 30 08 00"]
    bench.layer.address = HERE
    bench.hear("01 03")
    assert bench.layer.address is HERE
    assert bench.received() == [b"\x03"]


@pytest.mark.parametrize(
    "address",
    [
        None,
        "0x123",
        5,
        A(Mode.Normal_11bits, txid=1, tx_only=True),
        A(Mode.Normal_11bits, rxid=1, rx_only=True),
    ],
)
def test_set_address_refuses_what_is_none(address: Any) -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="address"):
        bench.layer.set_address(address)
    with pytest.raises(ValueError, match="address"):
        isotp.TransportLayerLogic(bench.next_frame, bench.messages.append, address)
    assert bench.still_works()


def test_set_address_refuses_a_prefix_of_two_bytes() -> None:
    class Wide(isotp.Address):
        def get_tx_payload_prefix(self) -> bytes:
            return b"\x01\x02"

    with pytest.raises(ValueError, match="2 bytes before the N_PCI"):
        Bench(Wide(Mode.Normal_11bits, txid=1, rxid=2))


def test_reserved_identifiers_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    Bench(A(Mode.Normal_11bits, txid=0x7F5, rxid=0x456))
    assert "0x7F5" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "is_odd"), [(None, False), (0, False), (0.127, False), (0.128, True), (1, True)]
)
def test_milliseconds_taken_for_seconds_are_noticed(
    caplog: pytest.LogCaptureFixture, seconds: float | None, is_odd: bool
) -> None:
    """No receiver asks for such a gap: most likely the user meant milliseconds."""
    Bench(override_receiver_stmin=seconds)
    assert ("override_receiver_stmin is in seconds" in caplog.text) is is_odd


def test_max_frame_size_and_blocksize_changed_at_run_time() -> None:
    bench = Bench()
    bench.layer.params.max_frame_size = 9
    assert bench.hear(FF_10) == ["32 08 00"]
    bench.layer.params.set("max_frame_size", 10)
    bench.layer.params.set("blocksize", 3)
    bench.layer.params.set("stmin", 0xF1)
    assert bench.hear(FF_10) == ["30 03 F1"]
    bench.layer.params.set("rx_consecutive_frame_timeout", 50)
    bench.hear("10 0A 00 01 02 03 04 05")
    bench.wait(50 * MS)
    bench.run()
    assert bench.complaints() == [
        errors.FrameTooLongError,
        errors.ReceptionInterruptedWithFirstFrameError,
        errors.ConsecutiveFrameTimeoutError,
    ]


def test_frames_before_the_block_size_was_set_are_of_no_block() -> None:
    bench = Bench(blocksize=0)
    assert bench.hear(first_frame(100), *(words([0x21 + k, *bytes(7)]) for k in range(3))) == ["30 00 00"]
    assert bench.layer.rx_block_counter == 0
    bench.layer.params.set("blocksize", 4)
    assert bench.hear(*(words([0x24 + k, *bytes(7)]) for k in range(3))) == []
    assert bench.hear(words([0x27, *bytes(7)])) == ["30 04 00"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stmin", 256),
        ("blocksize", -1),
        ("tx_data_length", 9),
        ("tx_data_length", 300),
        ("tx_data_length", 72),
        ("tx_data_min_length", 12),
        ("tx_padding", 256),
        ("rx_flowcontrol_timeout", "x"),
        ("default_target_address_type", 2),
        ("wftmax", -1),
    ],
)
def test_assigned_values_that_can_not_be_are_refused_at_their_use(name: str, value: Any) -> None:
    bench = Bench()
    good = getattr(bench.layer.params, name)
    setattr(bench.layer.params, name, value)
    for use in (bench.layer.process, lambda: bench.layer.send(b"x"), bench.layer.load_params):
        with pytest.raises(ValueError, match=str(value)):
            use()
    setattr(bench.layer.params, name, good)
    bench.layer.load_params()
    assert bench.still_works()


def test_params_object_replaced() -> None:
    bench = Bench()
    params = isotp.TransportLayerLogic.Params()
    params.set("blocksize", 2)
    bench.layer.params = params
    assert bench.hear(FF_10) == ["30 02 00"]
    params.blocksize = 7
    bench.layer.stop_receiving()
    assert bench.hear(FF_10) == ["30 07 00"]


# --- Listen mode --------------------------------------------------------------------------------------------


def test_listen_mode_receives_without_a_word() -> None:
    bench = Bench(listen_mode=True, blocksize=1, max_frame_size=100)
    payload = counted(27)
    frames = [words([0x21 + k, *payload[6 + 7 * k : 13 + 7 * k]]) for k in range(3)]
    assert bench.hear(first_frame(27), *frames) == []
    assert bench.received() == [payload]
    assert bench.hear(first_frame(101)) == []
    assert bench.complaints() == [errors.FrameTooLongError]
    assert bench.hear("30 00 00", "31 00 00") == []
    assert bench.complaints() == []
    with pytest.raises(RuntimeError, match="listen mode"):
        bench.layer.send(b"x")


def test_listen_mode_keeps_n_cr() -> None:
    bench = Bench(listen_mode=True)
    bench.hear(FF_10)
    bench.wait(SECOND)
    bench.run()
    assert bench.complaints() == [errors.ConsecutiveFrameTimeoutError]


def test_listen_mode_switched_on_while_a_flow_control_frame_is_due() -> None:
    bench = Bench()
    bench.arrive(FF_10)
    bench.layer.process(do_tx=False)
    bench.layer.params.set("listen_mode", True)
    assert bench.run() == []
    bench.hear(CF_10)
    assert bench.received() == [TEN]


# --- Flow control frames of the receiver --------------------------------------------------------------------


@pytest.mark.parametrize("blocksize", [1, 2, 3, 8])
def test_flow_control_after_each_block(blocksize: int) -> None:
    bench = Bench(blocksize=blocksize, stmin=0x7F)
    payload = counted(6 + 7 * 12)
    flow_control = f"30 {blocksize:02X} 7F"
    assert bench.hear(first_frame(len(payload))) == [flow_control]
    for k in range(12):
        expected = [flow_control] if (k + 1) % blocksize == 0 and k < 11 else []
        assert bench.hear(words([0x20 | (k + 1) & 0xF, *payload[6 + 7 * k : 13 + 7 * k]])) == expected
        if k < 11:
            assert bench.layer.rx_block_counter == (k + 1) % blocksize
    assert bench.received() == [payload]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "30 08 00"),
        ({"tx_padding": 0xAA}, "30 08 00 AA AA AA AA AA"),
        ({"tx_data_min_length": 6}, "30 08 00 CC CC CC"),
        ({"tx_data_length": 64}, "30 08 00"),
        (
            {"tx_data_length": 64, "tx_data_min_length": 12, "tx_padding": 0},
            "30 08 00 00 00 00 00 00 00 00 00 00",
        ),
    ],
)
def test_flow_control_frames_are_padded_like_others(params: dict[str, Any], expected: str) -> None:
    assert Bench(**params).hear(FF_10) == [expected]


def test_flow_control_goes_to_the_physical_address_with_its_prefix() -> None:
    mixed = A(Mode.Mixed_29bits, target_address=0x55, source_address=0xAA, address_extension=0x99)
    bench = Bench(mixed, default_target_address_type=1)
    assert bench.hear(frame("18CDAA55#99 10 0A 00 01 02 03 04")) == ["99 30 08 00"]


@pytest.mark.parametrize("stop", [False, True])
def test_txfn_that_raises_on_a_flow_control_frame(stop: bool) -> None:
    """The peer heard nothing: the reception waits for N_Cr as always, the layer lives on."""
    results: list[Any] = [OSError("bus off")]

    def txfn(message: isotp.CanMessage) -> None:
        if results:
            raise results.pop()
        bench.messages.append(message)

    bench = Bench(txfn=txfn)
    bench.arrive(FF_10)
    with pytest.raises(OSError, match="bus off"):
        bench.layer.process()
    bench.wait(SECOND - 1)
    assert bench.run() == []
    assert bench.complaints() == []
    if not stop:
        bench.hear(CF_10)
        assert bench.received() == [TEN]
    bench.wait(1)
    bench.run()
    assert bench.complaints() == ([errors.ConsecutiveFrameTimeoutError] if stop else [])
    assert bench.still_works()


# --- Single steps, as the first generation had them ---------------------------------------------------------


def test_process_rx_and_process_tx() -> None:
    bench = Bench()
    bench.layer.process_rx(frame(FF_10))
    flow_control = bench.layer.process_tx()
    assert flow_control is not None
    assert flow_control.data == octets(FC)
    assert bench.layer.process_tx() is None
    bench.layer.process_rx(frame(CF_10))
    assert bench.received() == [TEN]
    assert bench.messages == []


def test_make_flow_control() -> None:
    bench = Bench(blocksize=4, stmin=2)
    assert bench.text(bench.layer.make_flow_control()) == "30 04 02"
    assert bench.text(bench.layer.make_flow_control(1)) == "31 04 02"
    assert bench.text(bench.layer.make_flow_control(flow_status=2, blocksize=9, stmin=0xF3)) == "32 09 F3"
    bench.layer.params.set("tx_padding", 0)
    message = bench.layer.make_flow_control(stmin=1)
    assert (message.data, message.dlc) == (octets("30 04 01 00*5"), 8)


@pytest.mark.parametrize("values", [{"flow_status": 16}, {"blocksize": 256}, {"stmin": -1}])
def test_make_flow_control_refuses_what_does_not_fit(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(values.values())))):
        Bench().layer.make_flow_control(**values)


# --- The log ------------------------------------------------------------------------------------------------


def test_frames_are_logged_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    with caplog.at_level("DEBUG", "isotp"):
        bench.hear(FF_10, frame("18DAF110#01 00"))
        bench.layer.send(b"\x07")
        bench.run()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "Rx: <456> (08) [p] 100a000102030405",
        "Tx: <123> (03) [p] 300800",
        "Rx: <18daf110> (02) [i] 0100",
        "Enqueuing a message of 1 bytes",
        "Tx: <123> (02) [p] 0107",
    ]
    caplog.clear()
    bench.hear(CF_10)
    assert caplog.records == []


def test_consecutive_frames_in_the_midst_are_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    with caplog.at_level("DEBUG", "isotp"):
        bench.hear(first_frame(20), "21 06 07 08 09 0A 0B 0C")
    assert caplog.records[-1].getMessage() == "Rx: <456> (08) [p] 21060708090a0b0c"


def test_logger_of_the_users_choice(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(logger_name="my.bus")
    bench.hear(CF_10)
    assert [record.name for record in caplog.records] == ["my.bus"]


def test_logger_without_a_cache_of_its_levels() -> None:
    class Plain:
        lines: list[str]

        def __init__(self) -> None:
            self.lines = []

        def isEnabledFor(self, level: int) -> bool:
            return True

        def debug(self, message: str, *args: Any) -> None:
            self.lines.append(message % args)

    bench = Bench()
    bench.layer.logger = logger = Plain()
    bench.hear("01 07")
    assert logger.lines == ["Rx: <456> (02) [p] 0107"]


@pytest.mark.parametrize("now", [-(1 << 63), -(1 << 62), 1 << 62, (1 << 63) - 1])
def test_clock_at_the_end_of_its_range(now: int) -> None:
    """Deadlines are added to any time that a clock may give."""
    bench = Bench()
    bench.layer.clock = lambda: now
    assert bench.hear("10 09 01 02 03 04 05 06") == [words(octets("30 08 00"))]
    bench.hear("21 07 08 09")
    assert bench.received() == [octets("01 02 03 04 05 06 07 08 09")]
    assert bench.say(bytes(20)) == ["10 14 00 00 00 00 00 00"]
    assert len(bench.hear("30 01 00")) == 1
    assert bench.layer.deadline_ns() is not None


def test_data_that_is_a_number() -> None:
    """It is no size: bytes() would make as many zeros of it."""
    bench = Bench()
    message = bench.frame("02 01 02")
    message.data = 1 << 62  # type: ignore[assignment]
    bench.arrive(message)
    with pytest.raises(TypeError, match="must be bytes"):
        bench.run()
    bench.hear("02 01 02")
    assert bench.received() == [b"\1\2"]
