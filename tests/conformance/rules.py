"""The rules of ISO 15765-2:2016 that the conformance cases are about, in the order of its clauses."""

from __future__ import annotations

from tests.conformance.story import Rule

RX_DL = Rule("9.5.4", "RX_DL by the First Frame")
CF_LENGTH = Rule("9.5.3", "CAN_DL of Consecutive Frames")
TX_DL = Rule("9.5.2", "frames by TX_DL")
N_PCI = Rule("9.6.1", "N_PCI types, reserved ones")
SF_DL = Rule("9.6.2", "SF_DL and CAN_DL")
FF_DL = Rule("9.6.3", "FF_DL, FF_DLmin, escape, overflow")
SN = Rule("9.6.4", "SequenceNumber")
FS = Rule("9.6.5.2", "FlowStatus")
BS = Rule("9.6.5.3", "BlockSize")
STMIN = Rule("9.6.5.4", "STmin")
STMIN_RESERVED = Rule("9.6.5.5", "STmin, reserved values")
FC_CHANGES = Rule("9.6.5.6", "BS and STmin of later Flow Controls")
WFTMAX = Rule("9.7", "N_WFTmax and FC.WAIT")
N_AS = Rule("9.8.2", "N_As")
N_AR = Rule("9.8.2", "N_Ar")
N_BS = Rule("9.8.2", "N_Bs")
N_BR = Rule("9.8.2", "N_Br")
N_CS = Rule("9.8.2", "N_Cs")
N_CR = Rule("9.8.2", "N_Cr")
IN_IDLE = Rule("9.8.3", "unexpected N_PDU while idle")
IN_RECEPTION = Rule("9.8.3", "unexpected N_PDU during segmented reception")
IN_TRANSMISSION = Rule("9.8.3", "unexpected N_PDU during segmented transmission")
DUPLEX = Rule("9.8.3", "half and full duplex")
FUNCTIONAL = Rule("9.9", "functional addressing: Single Frames only, an N_AI of its own")
FORMATS = Rule("10.3", "addressing formats")
PADDING = Rule("10.4.2", "padding and data optimization")
DLC = Rule("10.4.3", "frames shorter than their N_PCI asks for")

RULES = (
    RX_DL, CF_LENGTH, TX_DL, N_PCI, SF_DL, FF_DL, SN, FS, BS, STMIN, STMIN_RESERVED, FC_CHANGES, WFTMAX,
    N_AS, N_AR, N_BS, N_BR, N_CS, N_CR, IN_IDLE, IN_RECEPTION, IN_TRANSMISSION, DUPLEX, FUNCTIONAL, FORMATS,
    PADDING, DLC,
)  # fmt: skip
