"""``isotp.socket`` on a real kernel: messages, options, errors, as stories of frames on a vcan bus."""

from __future__ import annotations

import concurrent.futures
import errno
import os
import selectors
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest
from udsoncan.client import Client
from udsoncan.connections import IsoTPSocketConnection

import isotp
from isotp import Address, AddressingMode, AsymmetricAddress
from isotp.tpsock import (
    OptionError,
    SocketConsecutiveFrameTimeoutError,
    SocketError,
    SocketFlowControlTimeoutError,
    SocketInvalidCanDataError,
    SocketOverflowError,
    SocketWrongSequenceNumberError,
)

pytestmark = pytest.mark.kernel

TESTER = Address(txid=0x7E0, rxid=0x7E8)
FLAGS = isotp.socket.flags
PROTOCOL = isotp.socket.LinkLayerProtocol
CONTINUE, WAIT, OVERFLOW = "7E8#300000", "7E8#310000", "7E8#320000"


def payload(size: int) -> bytes:
    """Bytes in which every neighbour and every 256-byte block differs."""
    return bytes((i * 7 + i // 256) & 0xFF for i in range(size))


# -- the two examples of the 2019 documentation, chapter 2 --


def test_example_without_this_project(capsys):
    SOL_CAN_ISOTP = 106
    CAN_ISOTP_RECV_FC = 2
    s = socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_ISOTP)
    s2 = socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_ISOTP)
    with s, s2:
        s.setsockopt(SOL_CAN_ISOTP, CAN_ISOTP_RECV_FC, struct.pack("=BBB", 0x10, 3, 0))
        s.bind(("vcan0", 0x123, 0x456))
        s2.bind(("vcan0", 0x456, 0x123))
        s2.send(b"Hello, this is a long payload sent in small chunks of 8 bytes.")
        print(s.recv(4095))
    assert "b'Hello, this is a long payload sent in small chunks of 8 bytes.'" in capsys.readouterr().out


def test_example_with_this_project(capsys):
    s = isotp.socket()
    s2 = isotp.socket()
    # Configuring the sockets.
    s.set_fc_opts(stmin=5, bs=10)
    # s.set_general_opts(...)
    # s.set_ll_opts(...)

    s.bind("vcan0", isotp.Address(rxid=0x123, txid=0x456))
    s2.bind("vcan0", isotp.Address(rxid=0x456, txid=0x123))
    s2.send(b"Hello, this is a long payload sent in small chunks of 8 bytes.")
    print(s.recv())
    s.close()
    s2.close()
    assert "b'Hello, this is a long payload sent in small chunks of 8 bytes.'" in capsys.readouterr().out


def test_documented_names_of_option_methods(sockets):
    s = sockets()
    assert s.set_general_opts(txpad=0x55) == s.get_general_opts() == s.get_opts()


# -- addresses --

NORMAL_11, NORMAL_29, FIXED_29, EXTENDED_11, EXTENDED_29, MIXED_11, MIXED_29 = AddressingMode
MODES = {
    # mode: (own address, the peer's, a sent Single Frame, a received one)
    "Normal_11bits": (
        Address(NORMAL_11, txid=0x456, rxid=0x123),
        Address(NORMAL_11, txid=0x123, rxid=0x456),
        "456#03010203",
        "123#03010203",
    ),
    "Normal_29bits": (
        Address(NORMAL_29, txid=0x456, rxid=0x12345678),
        Address(NORMAL_29, txid=0x12345678, rxid=0x456),
        "00000456#03010203",
        "12345678#03010203",
    ),
    "NormalFixed_29bits": (
        Address(FIXED_29, target_address=0x55, source_address=0xAA),
        Address(FIXED_29, target_address=0xAA, source_address=0x55),
        "18DA55AA#03010203",
        "18DAAA55#03010203",
    ),
    "Extended_11bits": (
        Address(EXTENDED_11, txid=0x456, rxid=0x123, target_address=0x55, source_address=0xAA),
        Address(EXTENDED_11, txid=0x123, rxid=0x456, target_address=0xAA, source_address=0x55),
        "456#5503010203",
        "123#AA03010203",
    ),
    "Extended_29bits": (
        Address(EXTENDED_29, txid=0x456, rxid=0x12345678, target_address=0x55, source_address=0xAA),
        Address(EXTENDED_29, txid=0x12345678, rxid=0x456, target_address=0xAA, source_address=0x55),
        "00000456#5503010203",
        "12345678#AA03010203",
    ),
    "Mixed_11bits": (
        Address(MIXED_11, txid=0x456, rxid=0x123, address_extension=0x99),
        Address(MIXED_11, txid=0x123, rxid=0x456, address_extension=0x99),
        "456#9903010203",
        "123#9903010203",
    ),
    "Mixed_29bits": (
        Address(MIXED_29, target_address=0x55, source_address=0xAA, address_extension=0x99),
        Address(MIXED_29, target_address=0xAA, source_address=0x55, address_extension=0x99),
        "18CE55AA#9903010203",
        "18CEAA55#9903010203",
    ),
    "asymmetric, 29 bits out and 11 bits in": (
        AsymmetricAddress(
            tx_addr=Address(FIXED_29, target_address=0x55, source_address=0xAA, tx_only=True),
            rx_addr=Address(NORMAL_11, rxid=0x123, rx_only=True),
        ),
        AsymmetricAddress(
            tx_addr=Address(NORMAL_11, txid=0x123, tx_only=True),
            rx_addr=Address(FIXED_29, target_address=0xAA, source_address=0x55, rx_only=True),
        ),
        "18DA55AA#03010203",
        "123#03010203",
    ),
    "asymmetric, each direction with its extension byte": (
        AsymmetricAddress(
            tx_addr=Address(EXTENDED_29, txid=0x456, target_address=0x55, tx_only=True),
            rx_addr=Address(MIXED_11, rxid=0x123, address_extension=0x99, rx_only=True),
        ),
        AsymmetricAddress(
            tx_addr=Address(MIXED_11, txid=0x123, address_extension=0x99, tx_only=True),
            rx_addr=Address(EXTENDED_29, rxid=0x456, source_address=0x55, rx_only=True),
        ),
        "00000456#5503010203",
        "123#9903010203",
    ),
}


@pytest.mark.parametrize(("own", "peer", "sent", "received"), MODES.values(), ids=MODES.keys())
def test_addressing_mode(sockets, bus, own, peer, sent, received):
    a, b = sockets(), sockets()
    a.bind("vcan0", own)
    b.bind("vcan0", address=peer)
    a.send(b"\1\2\3")
    assert b.recv() == b"\1\2\3"
    assert bus.recv() == sent
    b.send(b"\1\2\3")
    assert a.recv() == b"\1\2\3"
    assert bus.recv() == received
    a.send(payload(100))
    assert b.recv() == payload(100)
    b.send(payload(200))
    assert a.recv() == payload(200)


def test_foreign_extension_byte_is_not_for_us(sockets, bus):
    s = sockets()
    s.bind("vcan0", Address(EXTENDED_11, txid=0x456, rxid=0x123, target_address=0x55, source_address=0xAA))
    bus.send("123#AB03010203", "123#AA03040506")
    assert s.recv() == b"\4\5\6"


def test_bind_takes_the_arguments_of_an_address(sockets):
    a, b = sockets(), sockets()
    a.bind("vcan0", rxid=0x123, txid=0x456)
    b.bind("vcan0", AddressingMode.Normal_11bits, 0x123, 0x456)
    a.send(b"old style")
    assert b.recv() == b"old style"
    assert isinstance(a.address, Address)
    assert repr(a) == "<ISO-TP Socket: vcan0, [Normal_11bits - txid:0x456, rxid:0x123]>"


@pytest.mark.parametrize(
    ("args", "kwargs", "error"),
    [
        ((1, TESTER), {}, ValueError),
        (("vcan0",), {"address": 0x123}, ValueError),
        (("vcan0", None), {}, ValueError),
        (("vcan0",), {"rxid": 0x123}, ValueError),
        (("vcan0", TESTER), {"rxid": 0x123}, TypeError),
        (("vcan0", Address(txid=0x123, tx_only=True)), {}, ValueError),
        (
            (
                "vcan0",
                AsymmetricAddress(
                    tx_addr=Address(EXTENDED_11, txid=0x456, target_address=0x55, tx_only=True),
                    rx_addr=Address(rxid=0x123, rx_only=True),
                ),
            ),
            {},
            ValueError,
        ),
    ],
    ids=[
        "interface",
        "no address",
        "None",
        "incomplete",
        "both styles",
        "partial",
        "extension byte on one side",
    ],
)
def test_bind_refuses(sockets, args, kwargs, error):
    s = sockets()
    with pytest.raises(error):
        s.bind(*args, **kwargs)
    assert not s.bound
    s.bind("vcan0", TESTER)
    assert s.bound


@pytest.mark.parametrize("interface", ["vcan99", "lo"])
def test_bind_to_what_is_no_can_interface(sockets, interface):
    with pytest.raises(OSError, match=f"{interface}: no such CAN interface") as caught:
        sockets().bind(interface, TESTER)
    assert caught.value.errno == errno.ENODEV


def test_bind_with_one_id_for_both_directions(sockets):
    address = AsymmetricAddress(
        tx_addr=Address(txid=0x123, tx_only=True), rx_addr=Address(rxid=0x123, rx_only=True)
    )
    with pytest.raises(OSError, match=r"0x123.*must differ") as caught:
        sockets().bind("vcan0", address)
    assert caught.value.errno == errno.EADDRNOTAVAIL


# -- life --


def test_life_of_a_socket(sockets):
    s = sockets()
    assert (s.interface, s.address, s.bound, s.closed) == (None, None, False, False)
    assert repr(s).startswith("<Unbound ISO-TP Socket at 0x")
    for use in (lambda: s.send(b"x"), s.recv):
        with pytest.raises(RuntimeError, match=r"bind\(\) must be called"):
            use()

    s.bind("vcan0", TESTER)
    assert (s.interface, s.address, s.bound, s.closed) == ("vcan0", TESTER, True, False)
    assert s.fileno() == s.real_socket().fileno() == s._socket.fileno()
    with pytest.raises(RuntimeError, match="already bound to vcan0"):
        s.bind("vcan1", TESTER)
    for change in (s.set_opts, s.set_fc_opts, s.set_ll_opts):
        with pytest.raises(RuntimeError, match=r"before bind\(\)"):
            change()

    s.close()
    s.close()
    assert (s.address, s.bound, s.closed, s.fileno()) == (None, False, True, -1)
    assert repr(s).startswith("<Closed ISO-TP Socket at 0x")
    for use in (lambda: s.send(b"x"), s.recv, s.set_opts, lambda: s.bind("vcan0", TESTER)):
        with pytest.raises(RuntimeError, match="closed"):
            use()


def test_context_manager():
    with isotp.socket() as s:
        s.bind("vcan0", TESTER)
        assert s.bound
    assert s.closed


def test_selector(sockets):
    tester, ecu = sockets.pair()
    with selectors.DefaultSelector() as selector:
        selector.register(ecu, selectors.EVENT_READ)
        assert selector.select(timeout=0) == []
        tester.send(b"\x3e\x00")
        assert [key.fileobj for key, _ in selector.select()] == [ecu]
    assert ecu.recv() == b"\x3e\x00"


# -- time-outs --


def test_recv_times_out(sockets):
    s = sockets(timeout=0.05)
    assert s.gettimeout() == 0.05
    s.bind("vcan0", TESTER)
    with pytest.raises(TimeoutError) as caught:
        s.recv()
    assert caught.value.errno is None
    assert not isinstance(caught.value, SocketError)


def test_a_peek_that_times_out(sockets):
    s = sockets(timeout=0.05)
    s.bind("vcan0", TESTER)
    with pytest.raises(TimeoutError):
        s.recv(10)


def test_timeout_may_change_at_any_time(sockets):
    s = sockets(timeout=None)
    assert s.gettimeout() is None
    s.bind("vcan0", TESTER)
    s.settimeout(0.05)
    with pytest.raises(TimeoutError):
        s.recv()


def test_timeout_of_zero_is_none_at_all(sockets):
    assert sockets(timeout=0).gettimeout() is None


@pytest.mark.parametrize("make_non_blocking", [lambda s: s.setblocking(False), lambda s: s.settimeout(0)])
def test_non_blocking(sockets, make_non_blocking):
    tester, ecu = sockets.pair()
    make_non_blocking(ecu)
    assert ecu.gettimeout() == 0
    with pytest.raises(BlockingIOError):
        ecu.recv()
    tester.send(b"\x3e\x00")
    assert ecu.recv() == b"\x3e\x00"
    ecu.setblocking(True)
    assert ecu.gettimeout() is None


def test_non_blocking_send_while_sending(sockets, bus):
    s = sockets()
    s.bind("vcan0", TESTER)
    s.setblocking(False)
    s.send(payload(20))
    with pytest.raises(BlockingIOError):
        s.send(payload(20))
    assert bus.recv().startswith("7E0#1014")
    bus.send(CONTINUE)
    assert [bus.recv()[:6] for _ in range(2)] == ["7E0#21", "7E0#22"]


def test_legacy_recv_gives_none(sockets):
    s = isotp.socket(legacy=True)
    with s:
        assert s.gettimeout() == 0.1
        s.bind("vcan0", TESTER)
        assert s.recv() is None
        assert s.recv(n=10) is None
    assert sockets(timeout=2, legacy=True).gettimeout() == 2


def test_legacy_does_not_hide_what_happened_on_the_bus(sockets, bus):
    s = sockets(legacy=True)
    s.bind("vcan0", TESTER)
    bus.send("7E8#1014000102030405")
    with pytest.raises(SocketConsecutiveFrameTimeoutError):
        s.recv()


# -- sizes --


@pytest.mark.parametrize("size", [1, 7, 8, 62, 63, 4095, 4096, 8000])
@pytest.mark.parametrize("fd", [False, True], ids=["classic", "fd"])
def test_size(sockets, size, fd):
    tester, ecu = sockets.pair(mtu=PROTOCOL.CAN_FD, tx_dl=64) if fd else sockets.pair()
    assert tester.send(payload(size)) == size
    assert ecu.recv() == payload(size)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_kinds_of_data(sockets, kind):
    tester, ecu = sockets.pair()
    tester.send(kind(payload(20)))
    received = ecu.recv()
    assert type(received) is bytes
    assert received == payload(20)


@pytest.mark.parametrize("size", [0, 2 << 20])
def test_size_that_the_kernel_refuses(sockets, size):
    tester, ecu = sockets.pair()
    with pytest.raises(OSError, match=f"refuses a message of {size} bytes") as caught:
        tester.send(bytes(size))
    assert caught.value.errno == errno.EINVAL
    tester.send(b"still alive")
    assert ecu.recv() == b"still alive"


def test_recv_never_cuts_a_message(sockets):
    tester, ecu = sockets.pair(mtu=PROTOCOL.CAN_FD, tx_dl=64)
    for _ in range(3):
        tester.send(payload(8000))
    assert ecu.recv() == payload(8000)
    assert ecu.recv(4095) == payload(8000)
    with pytest.raises(OSError, match="8000 bytes, but bufsize is 7999") as caught:
        ecu.recv(7999)
    assert caught.value.errno == errno.EMSGSIZE
    assert not isinstance(caught.value, SocketError)
    with pytest.raises(OSError, match="8000 bytes, but bufsize is 1"):
        ecu.recv(n=1)
    assert ecu.recv(8000) == payload(8000)
    ecu.setblocking(False)
    with pytest.raises(BlockingIOError):
        ecu.recv()


def test_recv_peek(sockets):
    tester, ecu = sockets.pair()
    tester.send(b"\x22\xf1\x90")
    assert ecu.recv(1, socket.MSG_PEEK) == b"\x22"
    assert ecu.recv(flags=socket.MSG_PEEK) == b"\x22\xf1\x90"
    assert ecu.recv(3) == b"\x22\xf1\x90"


@pytest.mark.parametrize(("bufsize", "error"), [(-1, ValueError), ("x", TypeError), (1.5, TypeError)])
def test_recv_refuses_bufsize(sockets, bufsize, error):
    s = sockets()
    s.bind("vcan0", TESTER)
    with pytest.raises(error):
        s.recv(bufsize)


# -- options --


def test_options_of_a_new_socket(sockets):
    s = sockets()
    assert (s.get_opts().optflag, s.get_opts().txpad, s.get_opts().rxpad) == (0, 0xCC, 0xCC)
    assert (s.get_opts().ext_address, s.get_opts().rx_ext_address) == (0, 0)
    assert (s.get_opts().tx_stmin, s.get_opts().rx_stmin) == (0, 0)
    assert vars(s.get_fc_opts()) == {"bs": 0, "stmin": 0, "wftmax": 0}
    assert vars(s.get_ll_opts()) == {"mtu": 16, "tx_dl": 8, "tx_flags": 0}


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        ("frame_txtime", 123_456, 0),
        ("ext_address", 0x55, FLAGS.EXTEND_ADDR),
        ("txpad", 0xAA, FLAGS.TX_PADDING),
        ("rxpad", 0xBB, FLAGS.RX_PADDING),
        ("rx_ext_address", 0x66, FLAGS.RX_EXT_ADDR),
        ("tx_stmin", 1_000_000, FLAGS.FORCE_TXSTMIN),
        ("rx_stmin", 0xFFFF_FFFF, FLAGS.FORCE_RXSTMIN),
    ],
)
def test_general_option(sockets, name, value, flag):
    s = sockets()
    s.set_opts(optflag=FLAGS.HALF_DUPLEX)
    written = s.set_opts(**{name: value})
    assert written == s.get_opts()
    assert getattr(written, name) == value
    assert written.optflag == FLAGS.HALF_DUPLEX | flag
    # An option given later leaves this one, and its flag, as they are.
    s.set_opts(wait := FLAGS.HALF_DUPLEX | flag | FLAGS.WAIT_TX_DONE)
    s.set_opts(txpad=0x11) if name != "txpad" else s.set_opts(rxpad=0x11)
    assert getattr(s.get_opts(), name) == value
    assert s.get_opts().optflag & wait == wait


@pytest.mark.parametrize("flag", FLAGS)
def test_flag(sockets, flag):
    s = sockets()
    assert s.set_opts(optflag=flag).optflag == flag
    assert s.set_opts(optflag=0).optflag == 0


def test_flow_control_options(sockets):
    s = sockets()
    assert vars(s.set_fc_opts(bs=8, stmin=0xF5, wftmax=3)) == {"bs": 8, "stmin": 0xF5, "wftmax": 3}
    assert vars(s.set_fc_opts(stmin=5)) == {"bs": 8, "stmin": 5, "wftmax": 3}
    assert vars(s.set_fc_opts()) == {"bs": 8, "stmin": 5, "wftmax": 3}


@pytest.mark.parametrize("tx_dl", [8, 12, 16, 20, 24, 32, 48, 64])
def test_link_layer_options(sockets, tx_dl):
    s = sockets()
    expected = {"mtu": 72, "tx_dl": tx_dl, "tx_flags": 1}
    assert vars(s.set_ll_opts(PROTOCOL.CAN_FD, tx_dl, s.LinkLayerFlags.BRS)) == expected
    assert vars(s.get_ll_opts()) == expected


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("set_opts", "optflag", 1 << 32),
        ("set_opts", "frame_txtime", -1),
        ("set_opts", "ext_address", 256),
        ("set_opts", "txpad", 256),
        ("set_opts", "rxpad", "a"),
        ("set_opts", "rx_ext_address", 1.0),
        ("set_opts", "tx_stmin", 1 << 32),
        ("set_opts", "rx_stmin", -1),
        ("set_fc_opts", "bs", 256),
        ("set_fc_opts", "stmin", -1),
        ("set_fc_opts", "wftmax", b"1"),
        ("set_ll_opts", "mtu", 256),
        ("set_ll_opts", "tx_dl", -8),
        ("set_ll_opts", "tx_flags", 256),
    ],
)
def test_option_out_of_range(sockets, method, name, value):
    s = sockets()
    before = s.get_opts(), s.get_fc_opts(), s.get_ll_opts()
    with pytest.raises(ValueError, match=f"{name} must be an integer from 0 to 0xF+, not {value!r}"):
        getattr(s, method)(**{name: value})
    assert (s.get_opts(), s.get_fc_opts(), s.get_ll_opts()) == before


@pytest.mark.parametrize(
    "ll_opts",
    [{"mtu": 71}, {"mtu": 72, "tx_dl": 13}, {"tx_dl": 64}, {"tx_flags": 1}],
    ids=["no such mtu", "no such length", "long classic frame", "classic frame with flags"],
)
def test_link_layer_options_that_the_kernel_refuses(sockets, ll_opts):
    s = sockets()
    with pytest.raises(OptionError, match="mtu is 16") as caught:
        s.set_ll_opts(**ll_opts)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.EINVAL
    assert vars(s.get_ll_opts()) == {"mtu": 16, "tx_dl": 8, "tx_flags": 0}


def test_both_kinds_of_broadcast(sockets, kernel_version):
    if kernel_version < (6, 1):
        pytest.skip("older kernels do not know CF_BROADCAST and do not look at unknown flags")
    s = sockets()
    before = s.set_opts(optflag=FLAGS.HALF_DUPLEX, txpad=0x11)
    with pytest.raises(OptionError, match=r"0x00001804.*exclude each other"):
        s.set_opts(optflag=FLAGS.SF_BROADCAST | FLAGS.CF_BROADCAST, txpad=0x22)
    assert s.get_opts() == before


def test_binding_keeps_the_options(sockets):
    s = sockets()
    s.set_opts(optflag=FLAGS.WAIT_TX_DONE, tx_stmin=500_000, txpad=0xAA)
    s.bind("vcan0", MODES["Extended_11bits"][0])
    options = s.get_opts()
    assert (options.tx_stmin, options.txpad, options.ext_address, options.rx_ext_address) == (
        500_000,
        0xAA,
        0x55,
        0xAA,
    )
    expected = (
        FLAGS.WAIT_TX_DONE | FLAGS.FORCE_TXSTMIN | FLAGS.TX_PADDING | FLAGS.EXTEND_ADDR | FLAGS.RX_EXT_ADDR
    )
    assert options.optflag == expected


def test_frame_txtime_replaces_stmin_in_legacy_only(sockets):
    assert sockets().set_opts(frame_txtime=1000).optflag == 0
    assert sockets(legacy=True).set_opts(frame_txtime=1000).optflag == FLAGS.FORCE_TXSTMIN


def test_options_module(sockets):
    from isotp.tpsock import opts

    s = sockets()
    with pytest.raises(ValueError, match="not a socket"):
        opts.general.read(s)
    real = s.real_socket()
    assert opts.flowcontrol.write(real, bs=4) == opts.FlowControlOpts.read(real) == s.get_fc_opts()
    assert (opts.general.struct_size, opts.flowcontrol.struct_size, opts.linklayer.struct_size) == (12, 3, 3)
    assert repr(opts.flowcontrol.read(real)) == "<FlowControlOpts: bs=0x04, stmin=0x00, wftmax=0x00>"
    assert repr(opts.general.read(real)).endswith("tx_stmin=0x00000000, rx_stmin=0x00000000>")
    s.bind("vcan0", TESTER)
    with pytest.raises(RuntimeError, match=r"before bind\(\)"):
        opts.linklayer.write(real, mtu=72)


# -- what the options do on the bus --


def test_flow_control_says_what_was_set(sockets, bus):
    s = sockets()
    s.set_fc_opts(bs=2, stmin=0xF3)
    s.bind("vcan0", TESTER)
    bus.send("7E8#1014000102030405")
    assert bus.recv() == "7E0#3002F3"
    bus.send("7E8#21060708090A0B0C", "7E8#220D0E0F10111213")
    assert s.recv() == bytes(range(20))
    bus.send("7E8#101B000102030405")
    assert bus.recv() == "7E0#3002F3"
    bus.send("7E8#21060708090A0B0C", "7E8#220D0E0F10111213")
    assert bus.recv() == "7E0#3002F3"
    bus.send("7E8#231415161718191A")
    assert s.recv() == bytes(range(27))


def test_sender_heeds_block_size(sockets, bus):
    s = sockets()
    s.bind("vcan0", TESTER)
    s.send(bytes(range(27)))
    assert bus.recv() == "7E0#101B000102030405"
    # The kernel takes BS from the first Flow Control of a message, even from one that says "wait".
    bus.send("7E8#310200", "7E8#300000")
    assert [bus.recv() for _ in range(2)] == ["7E0#21060708090A0B0C", "7E0#220D0E0F10111213"]
    assert bus.quiet()
    bus.send("7E8#300200")
    assert bus.recv() == "7E0#231415161718191A"


def test_transmit_padding(sockets, bus):
    s = sockets()
    s.set_opts(txpad=0xAA)
    s.bind("vcan0", TESTER)
    s.send(b"\1\2\3")
    assert bus.recv() == "7E0#03010203AAAAAAAA"
    bus.send("7E8#1008000102030405")
    assert bus.recv() == "7E0#300000AAAAAAAAAA"


def test_without_padding_frames_are_short(sockets, bus):
    s = sockets()
    s.bind("vcan0", TESTER)
    s.send(b"\1\2\3")
    assert bus.recv() == "7E0#03010203"


def test_receive_padding_is_checked(sockets, bus):
    s = sockets()
    s.set_opts(optflag=FLAGS.CHK_PAD_DATA | FLAGS.CHK_PAD_LEN, rxpad=0xAA)
    s.bind("vcan0", TESTER)
    bus.send("7E8#03010203AAAAAAAA")
    assert s.recv() == b"\1\2\3"
    bus.send("7E8#03010203AAAAAABB")
    with pytest.raises(SocketInvalidCanDataError, match=r"vcan0: .*padding") as caught:
        s.recv()
    assert caught.value.errno == errno.EBADMSG
    bus.send("7E8#03010203")
    with pytest.raises(isotp.errors.InvalidCanDataError):
        s.recv()
    bus.send("7E8#03040506AAAAAAAA")
    assert s.recv() == b"\4\5\6"


def test_listen_mode_sends_no_flow_control(sockets, bus):
    s = sockets()
    s.set_opts(optflag=FLAGS.LISTEN_MODE)
    s.bind("vcan0", TESTER)
    bus.send("7E8#1008000102030405", "7E8#210607")
    assert s.recv() == bytes(range(8))
    assert bus.quiet()


def test_forced_receive_stmin_ignores_early_frames(sockets, bus):
    s = sockets()
    s.set_opts(rx_stmin=0xFFFF_FFFF)
    s.bind("vcan0", TESTER)
    bus.send("7E8#1014000102030405", "7E8#21060708090A0B0C", "7E8#220D0E0F10111213")
    with pytest.raises(SocketConsecutiveFrameTimeoutError):
        s.recv()


def test_single_frame_broadcast(sockets, bus):
    s, listener = sockets(), sockets()
    s.set_opts(optflag=FLAGS.SF_BROADCAST)
    s.bind("vcan0", Address(txid=0x7DF, rxid=0x7E8))
    listener.bind("vcan0", Address(txid=0x7E9, rxid=0x7DF))
    s.send(b"\x3e\x80")
    assert bus.recv() == "7DF#023E80"
    assert listener.recv() == b"\x3e\x80"
    with pytest.raises(OSError, match="Single Frame") as caught:
        s.send(payload(8))
    assert caught.value.errno == errno.EINVAL


def test_consecutive_frame_broadcast_waits_for_nobody(sockets, bus):
    s = sockets()
    s.set_opts(optflag=FLAGS.CF_BROADCAST)
    s.bind("vcan0", TESTER)
    s.send(bytes(range(20)))
    assert [bus.recv() for _ in range(3)] == [
        "7E0#1014000102030405",
        "7E0#21060708090A0B0C",
        "7E0#220D0E0F10111213",
    ]


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_flow_control_parameters_of_later_blocks(sockets, bus, dynamic, kernel_version):
    if dynamic and kernel_version < (6, 8):
        pytest.skip("DYN_FC_PARMS is in Linux since 6.8")
    s = sockets()
    s.set_opts(optflag=FLAGS.DYN_FC_PARMS if dynamic else 0)
    s.bind("vcan0", TESTER)
    s.send(bytes(range(34)))
    assert bus.recv() == "7E0#1022000102030405"
    bus.send("7E8#300100")
    assert bus.recv() == "7E0#21060708090A0B0C"
    bus.send("7E8#300300")
    assert bus.recv() == "7E0#220D0E0F10111213"
    if not dynamic:
        assert bus.quiet()
        bus.send("7E8#300300")
    assert bus.recv() == "7E0#231415161718191A"


@pytest.mark.parametrize("tx_dl", [8, 12, 16, 20, 24, 32, 48, 64])
@pytest.mark.parametrize("tx_flags", [0, 1], ids=["one bit rate", "BRS"])
def test_can_fd(sockets, bus, tx_dl, tx_flags):
    tester, ecu = sockets.pair(mtu=PROTOCOL.CAN_FD, tx_dl=tx_dl, tx_flags=tx_flags)
    tester.send(payload(300))
    assert ecu.recv() == payload(300)
    first = bus.recv()
    assert first == f"7E0##{tx_flags}112C{payload(tx_dl - 2).hex().upper()}"
    assert bus.recv() == f"7E8##{tx_flags}300000"
    consecutive = bus.recv()
    assert consecutive == f"7E0##{tx_flags}21{payload(300)[tx_dl - 2 : 2 * tx_dl - 3].hex().upper()}"


def test_can_fd_and_classic_do_not_hear_each_other(sockets, bus):
    s = sockets()
    s.set_ll_opts(mtu=PROTOCOL.CAN_FD, tx_dl=64)
    s.bind("vcan0", TESTER)
    bus.send("7E8#03010203", "7E8##003040506")
    assert s.recv() == b"\4\5\6"


# -- errors on the bus --


@pytest.fixture
def waiting(sockets):
    """A tester whose send() waits until the message has left."""
    s = sockets()
    s.set_opts(optflag=FLAGS.WAIT_TX_DONE)
    s.bind("vcan0", TESTER)
    return s


@pytest.fixture
def elsewhere() -> Iterator[concurrent.futures.Executor]:
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        yield executor


def test_waiting_send_without_receiver(waiting, bus):
    with pytest.raises(SocketFlowControlTimeoutError, match=r"vcan0: no Flow Control .*N_Bs") as caught:
        waiting.send(payload(20))
    assert caught.value.errno == errno.ECOMM
    assert isinstance(caught.value, isotp.errors.FlowControlTimeoutError)
    assert "before the present send()" not in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert bus.recv().startswith("7E0#1014")
    waiting.send(b"\x3e\x00")
    assert bus.recv() == "7E0#023E00"


def test_send_without_receiver_shows_at_the_next_recv(sockets):
    s = sockets()
    s.bind("vcan0", TESTER)
    assert s.send(payload(20)) == 20
    with pytest.raises(SocketFlowControlTimeoutError) as caught:
        s.recv()
    assert caught.value.errno == errno.ECOMM


def test_send_without_receiver_shows_at_the_next_send(sockets, bus):
    s = sockets()
    s.bind("vcan0", TESTER)
    s.send(payload(20))
    with pytest.raises(
        SocketFlowControlTimeoutError, match=r"before the present send\(\), whose message was not sent"
    ):
        s.send(b"\x3e\x00")
    assert bus.recv().startswith("7E0#1014")
    assert bus.quiet()
    s.send(b"\x3e\x00")
    assert bus.recv() == "7E0#023E00"


@pytest.mark.parametrize(
    ("answer", "error", "name", "text"),
    [
        (OVERFLOW, SocketOverflowError, "EMSGSIZE", "Overflow"),
        ("7E8#3000", SocketInvalidCanDataError, "EBADMSG", "malformed Flow Control"),
        (WAIT, SocketFlowControlTimeoutError, "ECOMM", "no Flow Control"),
    ],
    ids=["overflow", "short", "wait for ever"],
)
def test_flow_control_that_stops_the_sender(waiting, bus, elsewhere, answer, error, name, text):
    sending = elsewhere.submit(waiting.send, payload(20))
    assert bus.recv().startswith("7E0#1014")
    bus.send(answer)
    with pytest.raises(error, match=text) as caught:
        sending.result()
    assert errno.errorcode[caught.value.errno] == name
    again = elsewhere.submit(waiting.send, payload(20))
    assert bus.recv().startswith("7E0#1014")
    bus.send(CONTINUE)
    assert again.result() == 20


def test_wrong_sequence_number(sockets, bus):
    s = sockets()
    s.bind("vcan0", TESTER)
    bus.send("7E8#1014000102030405", "7E8#22060708090A0B0C")
    with pytest.raises(SocketWrongSequenceNumberError, match="SequenceNumber") as caught:
        s.recv()
    assert caught.value.errno == errno.EILSEQ
    assert isinstance(caught.value, isotp.errors.WrongSequenceNumberError)
    bus.send("7E8#03010203")
    assert s.recv() == b"\1\2\3"


def test_consecutive_frame_does_not_come(sockets, bus):
    s = sockets()
    s.bind("vcan0", TESTER)
    bus.send("7E8#1014000102030405")
    with pytest.raises(SocketConsecutiveFrameTimeoutError, match="N_Cr") as caught:
        s.recv()
    assert caught.value.errno == errno.ETIMEDOUT
    assert isinstance(caught.value, isotp.errors.ConsecutiveFrameTimeoutError)
    # ETIMEDOUT is a TimeoutError to Python, so code that catches that goes on working.
    assert isinstance(caught.value, TimeoutError)


def test_error_of_a_reception_before_a_waiting_send(waiting, bus):
    bus.send("7E8#1014000102030405", "7E8#22060708090A0B0C")
    assert bus.recv() == "7E0#300000"
    with pytest.raises(
        SocketWrongSequenceNumberError, match=r"before the present send\(\), whose message was not sent"
    ):
        waiting.send(b"\x3e\x00")
    assert bus.quiet()
    waiting.send(b"\x3e\x00")
    assert bus.recv() == "7E0#023E00"


@pytest.fixture
def spare_interface() -> Iterator[str]:
    """A vcan interface that a test may take down and remove."""
    name = "vcan-spare"
    if shutil.which("ip") is None and "ISOTP_KERNEL_REQUIRED" not in os.environ:
        pytest.skip("ip (package iproute2) is needed to make an interface")
    if subprocess.run(
        ["ip", "link", "add", name, "type", "vcan"], capture_output=True, check=False
    ).returncode:
        pytest.skip("making an interface takes root")
    subprocess.run(["ip", "link", "set", name, "mtu", "16", "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)


def test_can_fd_on_a_classic_interface(sockets, spare_interface):
    s = sockets()
    s.set_ll_opts(mtu=PROTOCOL.CAN_FD)
    with pytest.raises(OSError, match="mtu 72") as caught:
        s.bind(spare_interface, TESTER)
    assert caught.value.errno == errno.EINVAL


def test_interface_goes_down_and_away(sockets, spare_interface):
    s = sockets()
    s.bind(spare_interface, TESTER)
    subprocess.run(["ip", "link", "set", spare_interface, "down"], check=True)
    for use in (s.recv, lambda: s.send(b"x")):
        with pytest.raises(OSError, match="vcan-spare: the interface is down") as caught:
            use()
        assert caught.value.errno == errno.ENETDOWN
    subprocess.run(["ip", "link", "del", spare_interface], check=True)
    with pytest.raises(OSError, match="vcan-spare: the interface") as caught:
        s.recv()
    for use in (s.recv, lambda: s.send(b"x")):
        with pytest.raises(OSError, match="removed"):
            use()


# -- udsoncan --


def ecu_answers(ecu: isotp.socket, answers: dict[bytes, bytes]) -> None:
    for request, answer in answers.items():
        assert ecu.recv() == request
        ecu.send(answer)


def test_udsoncan_client(sockets, elsewhere):
    ecu = sockets()
    ecu.bind("vcan0", Address(txid=0x7E8, rxid=0x7E0))
    long_answer = payload(5000)
    done = elsewhere.submit(
        ecu_answers,
        ecu,
        {
            b"\x10\x03": b"\x50\x03\x00\x32\x01\xf4",
            b"\x22\xf1\x90" + bytes(100): long_answer,
            b"\x3e\x00": b"\x7e\x00",
        },
    )
    connection = IsoTPSocketConnection("vcan0", TESTER)
    with Client(connection, request_timeout=10) as client:
        assert connection.is_open()
        response = client.change_session(3)
        assert response is not None
        assert response.positive
        connection.send(b"\x22\xf1\x90" + bytes(100))
        # Longer than the 4095 bytes that recv() without arguments would give of it in can-isotp.
        assert connection.wait_frame(timeout=10) == long_answer
        assert client.tester_present() is not None
    assert not connection.is_open()
    done.result()
