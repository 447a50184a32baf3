"""The services of ISO 14229-1 that an ECU of :mod:`isotp.testing.ecu` has: a function each, from request to answer.

A function returns what follows the service in a positive answer, or raises NegativeResponse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from isotp.testing._ecu_parts import DEFAULT_SESSION, MS, Access, NegativeResponse, Nrc, Request, Transfer

if TYPE_CHECKING:
    from isotp.testing.ecu import Ecu

__all__ = ["NOT_IN_DEFAULT_SESSION", "SERVICES"]

# ISO 14229-1, table 23: what the default session does not have.
NOT_IN_DEFAULT_SESSION: Final = frozenset((0x27, 0x28, 0x34, 0x35, 0x36, 0x37, 0x85))
ALL_DTCS: Final = 0xFFFFFF
# Status of a DTC that was cleared: not tested since, nor in this operation cycle.
CLEARED: Final = 0x50
STATUS_AVAILABLE: Final = 0xFF
DTC_FORMAT: Final = 0x01  # that of ISO 14229-1
COUNT_BY_MASK, BY_MASK, SUPPORTED = 0x01, 0x02, 0x0A
START, STOP, RESULTS = 0x01, 0x02, 0x03


def diagnostic_session_control(ecu: Ecu, request: Request) -> bytes:
    session = request.sub_function
    request.need(len(request.payload) == 2)
    if session not in ecu.sessions:
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    request.client.enter(session)
    # ISO 14229-2: P2 in ms, P2* in units of 10 ms.
    return bytes((session,)) + to_bytes(round(ecu.p2_ms), 2) + to_bytes(round(ecu.p2_star_ms / 10), 2)


def ecu_reset(ecu: Ecu, request: Request) -> bytes:
    kind = request.sub_function
    request.need(len(request.payload) == 2)
    if kind not in (1, 2, 3):
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    ecu.restart_after_answer()
    return bytes((kind,))


def clear_diagnostic_information(ecu: Ecu, request: Request) -> bytes:
    request.need(len(request.payload) == 4)
    group = int.from_bytes(request.payload[1:], "big")
    if group not in (ALL_DTCS, *ecu.dtcs):
        raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
    for dtc in list(ecu.dtcs) if group == ALL_DTCS else [group]:
        ecu.dtcs[dtc] = CLEARED
    return b""


def read_dtc_information(ecu: Ecu, request: Request) -> bytes:
    kind = request.sub_function
    if kind not in (COUNT_BY_MASK, BY_MASK, SUPPORTED):
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    request.need(len(request.payload) == (2 if kind == SUPPORTED else 3))
    mask = request.payload[-1]
    found = {dtc: status for dtc, status in ecu.dtcs.items() if kind == SUPPORTED or status & mask}
    head = bytes((kind, STATUS_AVAILABLE))
    if kind == COUNT_BY_MASK:
        return head + bytes((DTC_FORMAT,)) + to_bytes(len(found), 2)
    return head + b"".join(to_bytes(dtc, 3) + bytes((status,)) for dtc, status in found.items())


def read_data_by_identifier(ecu: Ecu, request: Request) -> bytes:
    request.need(len(request.payload) >= 3 and len(request.payload) % 2 == 1)
    wanted = [int.from_bytes(request.payload[at : at + 2], "big") for at in range(1, len(request.payload), 2)]
    known = [(did, ecu.dids[did]) for did in wanted if did in ecu.dids]
    # Those that it does not have are left out, as long as there is one.
    if not known:
        raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
    for _, data in known:
        data.read.require(request.client, Nrc.REQUEST_OUT_OF_RANGE)
    return b"".join(to_bytes(did, 2) + data.at(request.now) for did, data in known)


def write_data_by_identifier(ecu: Ecu, request: Request) -> bytes:
    request.need(len(request.payload) >= 4)
    data = ecu.dids.get(int.from_bytes(request.payload[1:3], "big"))
    if data is None or data.write is None:
        raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
    data.write.require(request.client, Nrc.REQUEST_OUT_OF_RANGE)
    value = request.payload[3:]
    request.need(data.any_length or len(value) == len(data.at(request.now)))
    data.value = value
    return request.payload[1:3]


def read_memory_by_address(ecu: Ecu, request: Request) -> bytes:
    request.need(len(request.payload) >= 2)
    address, size = memory_place(request, 1)
    return ecu.stored(address, size)


def security_access(ecu: Ecu, request: Request) -> bytes:
    """An odd sub-function asks for the seed of its level, the even one after it has the key."""
    code, client = request.sub_function, request.client
    level = code - 1 + code % 2
    lock = ecu.security.get(level)
    if lock is None:
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    lock.access.require(client, Nrc.SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION)
    if lock.closed_until is not None:
        if request.now < lock.closed_until:
            raise NegativeResponse(Nrc.REQUIRED_TIME_DELAY_NOT_EXPIRED)
        lock.closed_until, lock.failures = None, 0
    if code == level:
        seed = lock.new_seed()
        if client.unlocked == level:
            return bytes((code, *bytes(len(seed))))
        client.asked = level, seed
        return bytes((code, *seed))
    request.need(len(request.payload) > 2)
    if client.asked is None or client.asked[0] != level:
        raise NegativeResponse(Nrc.REQUEST_SEQUENCE_ERROR)
    (_, seed), client.asked = client.asked, None
    if lock.fits(seed, request.payload[2:]):
        lock.failures, client.unlocked = 0, level
        return bytes((code,))
    lock.failures += 1
    if lock.failures < lock.attempts:
        raise NegativeResponse(Nrc.INVALID_KEY)
    lock.closed_until = request.now + round(lock.delay_ms * MS)
    raise NegativeResponse(Nrc.EXCEEDED_NUMBER_OF_ATTEMPTS)


def communication_control(ecu: Ecu, request: Request) -> bytes:
    kind = request.sub_function
    request.need(len(request.payload) == 3)
    if kind > 3:
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    return bytes((kind,))


def routine_control(ecu: Ecu, request: Request) -> bytes:
    kind = request.sub_function
    request.need(len(request.payload) >= 4)
    routine = ecu.routines.get(int.from_bytes(request.payload[2:4], "big"))
    if routine is None:
        raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
    if kind not in (START, STOP, RESULTS):
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    routine.access.require(request.client, Nrc.SUB_FUNCTION_NOT_SUPPORTED_IN_ACTIVE_SESSION)
    if kind != START and not routine.started:
        raise NegativeResponse(Nrc.REQUEST_SEQUENCE_ERROR)
    result = routine.result(request) if callable(routine.result) else routine.result
    routine.started = kind != STOP
    return bytes((kind,)) + request.payload[2:4] + (b"" if kind == STOP else result)


def request_download(ecu: Ecu, request: Request) -> bytes:
    address, size = transfer_place(ecu, request)
    request.client.transfer = Transfer(address, size)
    return block_length(ecu)


def request_upload(ecu: Ecu, request: Request) -> bytes:
    address, size = transfer_place(ecu, request)
    request.client.transfer = Transfer(address, size, ecu.stored(address, size))
    return block_length(ecu)


def transfer_data(ecu: Ecu, request: Request) -> bytes:
    transfer = transfer_of(request)
    request.need(2 <= len(request.payload) <= ecu.block_length)
    counter, content = request.payload[1], request.payload[2:]
    # A tester that did not hear the answer sends the block again: it is acknowledged, and taken once.
    if counter == (transfer.next_block - 1) % 256 and transfer.last:
        return transfer.last
    if counter != transfer.next_block:
        raise NegativeResponse(Nrc.WRONG_BLOCK_SEQUENCE_COUNTER)
    if transfer.upload is None:
        request.need(len(content) > 0)
        if len(transfer.data) + len(content) > transfer.size:
            raise NegativeResponse(Nrc.TRANSFER_DATA_SUSPENDED)
        transfer.data += content
        transfer.last = bytes((counter,))
    else:
        done = len(transfer.data)
        if done == transfer.size:
            raise NegativeResponse(Nrc.REQUEST_SEQUENCE_ERROR)
        piece = transfer.upload[done : done + ecu.block_length - 2]
        transfer.data += piece
        transfer.last = bytes((counter,)) + piece
    transfer.next_block = (counter + 1) % 256
    return transfer.last


def request_transfer_exit(ecu: Ecu, request: Request) -> bytes:
    transfer = transfer_of(request)
    if len(transfer.data) < transfer.size:
        raise NegativeResponse(Nrc.REQUEST_SEQUENCE_ERROR)
    if transfer.upload is None:
        ecu.memory[transfer.address] = bytes(transfer.data)
    request.client.transfer = None
    return b""


def tester_present(ecu: Ecu, request: Request) -> bytes:
    kind = request.sub_function
    request.need(len(request.payload) == 2)
    if kind:
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    return bytes((kind,))


def control_dtc_setting(ecu: Ecu, request: Request) -> bytes:
    kind = request.sub_function
    if kind not in (1, 2):
        raise NegativeResponse(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
    return bytes((kind,))


SERVICES: Final[dict[int, Callable[[Ecu, Request], bytes]]] = {
    0x10: diagnostic_session_control,
    0x11: ecu_reset,
    0x14: clear_diagnostic_information,
    0x19: read_dtc_information,
    0x22: read_data_by_identifier,
    0x23: read_memory_by_address,
    0x27: security_access,
    0x28: communication_control,
    0x2E: write_data_by_identifier,
    0x31: routine_control,
    0x34: request_download,
    0x35: request_upload,
    0x36: transfer_data,
    0x37: request_transfer_exit,
    0x3E: tester_present,
    0x85: control_dtc_setting,
}


# ---------------------------------------------------------------- what they share


def to_bytes(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def memory_place(request: Request, at: int) -> tuple[int, int]:
    """Address and size, behind the byte that says how long both are."""
    sizes = request.payload[at]
    address_size, size_size = sizes & 0x0F, sizes >> 4
    if not (address_size and size_size):
        raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
    between = at + 1 + address_size
    request.need(len(request.payload) == between + size_size)
    return (
        int.from_bytes(request.payload[at + 1 : between], "big"),
        int.from_bytes(request.payload[between:], "big"),
    )


def transfer_place(ecu: Ecu, request: Request) -> tuple[int, int]:
    request.need(len(request.payload) >= 3)
    if request.payload[1]:  # compressed or encrypted
        raise NegativeResponse(Nrc.REQUEST_OUT_OF_RANGE)
    return memory_place(request, 2)


def block_length(ecu: Ecu) -> bytes:
    size = 2 if ecu.block_length <= 0xFFFF else 4
    return bytes((size << 4,)) + to_bytes(ecu.block_length, size)


def transfer_of(request: Request) -> Transfer:
    if request.client.transfer is None:
        raise NegativeResponse(Nrc.REQUEST_SEQUENCE_ERROR)
    return request.client.transfer


def usual_access(service: int, sessions: frozenset[int]) -> Access:
    """Who may use a service of which nothing is said."""
    return Access(sessions - {DEFAULT_SESSION} if service in NOT_IN_DEFAULT_SESSION else None)
