"""Every public name can be imported from where it always could: the list is of the state before the rooms moved."""

from __future__ import annotations

import importlib

import pytest

NAMES = {
    "isotp": (
        "Address AddressingMode AsymmetricAddress BadGeneratorError BlockingReceiveFailure "
        "BlockingSendFailure BlockingSendTimeout "
        "CallbackError CanMessage CanStack ChangingInvalidRXDLError ChangingInvalidRXDLLError "
        "ConsecutiveFrameTimeoutError Direction Discovery FlowControlTimeoutError FoundSession "
        "FrameTooLongError FramesLostError Hub HubSession InvalidCanDataError InvalidCanFdFirstFrameRXDL "
        "IsoTpError IsotpError LayerClosedError LineEvidence MaximumWaitFrameReachedError Message "
        "MessageStatus Messages MissingEscapeSequenceError NotifierBasedCanStack OverflowError Parameters Reassembler "
        "Reception "
        "ReceptionInterruptedWithFirstFrameError ReceptionInterruptedWithSingleFrameError "
        "ReceptionQueueFullError Record Records SocketCanStack Stats TargetAddressType TransmitTimeoutError "
        "TransportLayer TransportLayerLogic UnexpectedConsecutiveFrameError UnexpectedFlowControlError "
        "UnsuportedWaitFrameError UnsupportedWaitFrameError WrongSequenceNumberError discover encode "
        "record_dtype socket stmin_from_seconds stmin_to_seconds"
    ),
    "isotp._core": "TryAgain",
    "isotp.address": "AbstractAddress Address AddressSide AddressingMode AsymmetricAddress TargetAddressType",
    "isotp.aio": "Hub Layer",
    "isotp.can_message": "CanMessage",
    "isotp.capture": (
        "Capture Channels Decoded Decoding FORMATS Merged Problem UnknownFormatError decode decode_all merge open"
    ),
    "isotp.discovery": "Discovery FoundSession LineEvidence Reason discover",
    "isotp.errors": (
        "BadGeneratorError BlockingReceiveFailure BlockingSendFailure BlockingSendTimeout CallbackError "
        "ChangingInvalidRXDLError "
        "ChangingInvalidRXDLLError ConsecutiveFrameTimeoutError FlowControlTimeoutError FrameTooLongError "
        "FramesLostError InvalidCanDataError InvalidCanFdFirstFrameRXDL IsoTpError IsotpError "
        "LayerClosedError MaximumWaitFrameReachedError MissingEscapeSequenceError OverflowError "
        "ReceptionInterruptedWithFirstFrameError ReceptionInterruptedWithSingleFrameError "
        "ReceptionQueueFullError TransmitTimeoutError UnexpectedConsecutiveFrameError "
        "UnexpectedFlowControlError UnsuportedWaitFrameError UnsupportedWaitFrameError "
        "WrongSequenceNumberError"
    ),
    "isotp.figures": "ServiceFigures SessionFigures session_figures",
    "isotp.hub": "Hub HubSession",
    "isotp.message": "Direction Message MessageStatus",
    "isotp.params": "Parameters Params UnknownParameterError stmin_from_seconds stmin_to_seconds",
    "isotp.protocol": (
        "BusOwner CanMessage CanStack ErrorHandler FiniteByteGenerator IsoTpError IsotpError MessageQueue "
        "NotifierBasedCanStack OnMessage PDU PostSendCallback RateLimiter ReceiveInto RxFn Timer "
        "TransportLayer TransportLayerLogic TryAgain TxFn _make_python_can_tx_func "
        "_python_can_to_isotp_message frame_from_python_can is_documented_by python_can_tx_canbus_3plus "
        "send_on_bus"
    ),
    "isotp.socketcan": "SocketCanStack open_can_socket port_on receive_identifiers",
    "isotp.stats": "Stats",
    "isotp.testing": (
        "Access Answer Did Ecu End Exchanged Fault HeldClock Lock NegativeResponse Nrc Pattern Peer Recording Request "
        "Routine Rule Serving Standstill Tester Wire WireFrame assert_frames"
    ),
    "isotp.testing.ecu": (
        "Access Answer Client Did Ecu Lock NegativeResponse Nrc Request Routine Rule Tester"
    ),
    "isotp.tools": "FiniteByteGenerator Timer",
    "isotp.tpsock": (
        "LinkLayerFlags LinkLayerProtocol OptionError SocketConsecutiveFrameTimeoutError SocketError "
        "SocketFlowControlTimeoutError SocketInvalidCanDataError SocketOverflowError "
        "SocketWrongSequenceNumberError check_support flags mtu socket socket_module"
    ),
    "isotp.tpsock.errors": (
        "OptionError SocketConsecutiveFrameTimeoutError SocketError SocketFlowControlTimeoutError "
        "SocketInvalidCanDataError SocketOverflowError SocketWrongSequenceNumberError bind_error bus_error "
        "is_plain_timeout"
    ),
    "isotp.tpsock.opts": (
        "CAN_ISOTP_LL_OPTS CAN_ISOTP_OPTS CAN_ISOTP_RECV_FC CAN_ISOTP_RX_STMIN CAN_ISOTP_TX_STMIN "
        "FRAME_TXTIME_ZERO FlowControlOpts GeneralOpts LinkLayerOpts SOL_CAN_BASE SOL_CAN_ISOTP "
        "assert_is_socket flowcontrol general linklayer"
    ),
    "isotp.uds": "Exchanges UdsRow",
}


@pytest.mark.parametrize("module", NAMES)
def test_names_stay_where_they_are(module: str) -> None:
    if module.startswith("isotp.socketcan"):
        pytest.importorskip("isotp._socketcan", reason="raw CAN sockets are Linux's")
    if module == "isotp.figures":
        pytest.importorskip("numpy", reason="figures are made with NumPy")
    there = importlib.import_module(module)
    missing = [name for name in NAMES[module].split() if not hasattr(there, name)]
    assert not missing


@pytest.mark.parametrize("module", [name for name in NAMES if name != "isotp._core"])
def test_what_a_module_says_it_has_is_listed(module: str) -> None:
    if module == "isotp.figures":
        pytest.importorskip("numpy", reason="figures are made with NumPy")
    there = importlib.import_module(module)
    assert set(getattr(there, "__all__", ())) <= set(NAMES[module].split())
