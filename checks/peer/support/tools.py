"""What bus and socket tests ask of their surroundings: an interface, fresh CAN IDs, whether they can run.

The runner chooses the python-can interface through the environment variable PEER_INTERFACE: `socketcan`
needs a kernel with CAN_ISOTP and the interface vcan0, `virtual` (python-can's in-process bus) runs anywhere.
"""

import functools
import itertools
import os

import isotp

CHANNEL = "vcan0"
INTERFACE = os.environ["PEER_INTERFACE"]
CONFIG = {"interface": INTERFACE, "channel": CHANNEL, "fd": False, "bitrate": 500000, "databitrate": 4000000}
_ids = itertools.count(10)


@functools.cache
def _bind_failure(fd):
    """Why an ISO-TP socket cannot be bound on CHANNEL, or '' where it can."""
    sock = None
    try:
        sock = isotp.socket()
        if fd:
            sock.set_ll_opts(mtu=isotp.tpsock.LinkLayerProtocol.CAN_FD)
        sock.bind(CHANNEL, isotp.Address(rxid=1, txid=2))
    except (OSError, NotImplementedError) as error:
        return f"no ISO-TP socket on {CHANNEL}: {error}"
    finally:
        if sock is not None:
            sock.close()
    return ""


def _why_not(fd):
    return "" if INTERFACE == "virtual" else _bind_failure(fd)


def check_isotp_socket_possible():
    return not _why_not(fd=False)


def isotp_socket_impossible_reason():
    return _why_not(fd=False)


def is_can_fd_socket_possible():
    return not _why_not(fd=True)


def isotp_can_fd_socket_impossible_reason():
    return _why_not(fd=True)


def get_test_interface_config(parameter_name=None):
    return CONFIG[parameter_name] if parameter_name else CONFIG


def get_next_can_id_pair():
    return next(_ids), next(_ids)
