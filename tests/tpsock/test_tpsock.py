"""``isotp.socket`` on machines whose kernel has no ISO-TP sockets: what can be seen without a bus.

Where sockets are needed, a stand-in for the kernel keeps the options as bytes and carries messages over Unix
sockets, so everything on our side of the system calls is real. ``tests/kernel`` has the proofs on a real
kernel.
"""

from __future__ import annotations

import errno
import inspect
import pickle
import re
import socket
import subprocess
import sys

import pytest

import isotp
from isotp import Address, AddressingMode, AsymmetricAddress, tpsock
from isotp.tpsock import errors as socket_errors

linux_only = pytest.mark.skipif(
    not hasattr(socket, "CAN_ISOTP"), reason="this Python has no socket.CAN_ISOTP"
)

TESTER = Address(txid=0x7E0, rxid=0x7E8)
FLAGS = isotp.socket.flags
SOL_CAN_ISOTP = 106
OPTS, RECV_FC, TX_STMIN, RX_STMIN, LL_OPTS = 1, 2, 3, 4, 5


def kernel_has_isotp() -> bool:
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_ISOTP).close()
    except OSError:
        return False
    return True


# -- names and constants --


def test_names():
    assert isotp.socket is tpsock.socket
    assert tpsock.mtu == 4095
    assert tpsock.socket_module is socket
    assert isotp.socket.flags is tpsock.flags
    assert isotp.socket.LinkLayerProtocol is tpsock.LinkLayerProtocol
    assert isotp.socket.set_general_opts is isotp.socket.set_opts
    assert isotp.socket.get_general_opts is isotp.socket.get_opts
    assert set(tpsock.__all__) <= set(dir(tpsock))


def test_constants_of_the_kernel_header():
    assert {flag.name: int(flag) for flag in FLAGS} == {
        "LISTEN_MODE": 0x001,
        "EXTEND_ADDR": 0x002,
        "TX_PADDING": 0x004,
        "RX_PADDING": 0x008,
        "CHK_PAD_LEN": 0x010,
        "CHK_PAD_DATA": 0x020,
        "HALF_DUPLEX": 0x040,
        "FORCE_TXSTMIN": 0x080,
        "FORCE_RXSTMIN": 0x100,
        "RX_EXT_ADDR": 0x200,
        "WAIT_TX_DONE": 0x400,
        "SF_BROADCAST": 0x800,
        "CF_BROADCAST": 0x1000,
        "DYN_FC_PARMS": 0x2000,
    }
    assert (tpsock.LinkLayerProtocol.CAN, tpsock.LinkLayerProtocol.CAN_FD) == (16, 72)
    assert (tpsock.LinkLayerFlags.BRS, tpsock.LinkLayerFlags.ESI) == (1, 2)


def test_signatures_of_can_isotp():
    def names(method):
        return list(inspect.signature(method).parameters)[1:]

    assert names(isotp.socket.set_opts)[:7] == [
        "optflag", "frame_txtime", "ext_address", "txpad", "rxpad", "rx_ext_address", "tx_stmin",
    ]  # fmt: skip
    assert names(isotp.socket.set_fc_opts) == ["bs", "stmin", "wftmax"]
    assert names(isotp.socket.set_ll_opts) == ["mtu", "tx_dl", "tx_flags"]
    assert names(isotp.socket.recv)[:2] == ["bufsize", "flags"]
    assert inspect.signature(isotp.socket.recv).parameters["bufsize"].default == 4095
    assert names(isotp.socket.send) == ["data", "flags"]


# -- where there are no such sockets --


def run_python(*lines: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


WITHOUT_SUPPORT = "import socket; vars(socket).pop('CAN_ISOTP', None)"


def test_options_are_not_imported_before_a_socket_is_built():
    out = run_python("import isotp, sys", "print('isotp.tpsock.opts' in sys.modules)")
    assert out == "False\n"


def test_python_without_support():
    out = run_python(
        WITHOUT_SUPPORT,
        "import isotp",
        "for build in isotp.socket, isotp.tpsock.check_support, lambda: __import__('isotp.tpsock.opts'):",
        "    try: build()",
        "    except NotImplementedError as error: print(error)",
    )
    lines = out.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert ("socket.CAN_ISOTP" if sys.platform == "linux" else sys.platform) in line


def test_other_system():
    out = run_python(
        WITHOUT_SUPPORT,
        "import isotp, sys",
        "sys.platform = 'win32'",
        "try: isotp.socket()",
        "except NotImplementedError as error: print(error)",
    )
    assert "Linux" in out
    assert "win32" in out
    assert "isotp.CanStack" in out


@linux_only
def test_kernel_without_support():
    if kernel_has_isotp():
        pytest.skip("the running kernel has ISO-TP sockets")
    with pytest.raises(OSError, match=r"can-isotp.* 5\.10.*modprobe can-isotp") as caught:
        isotp.socket()
    assert caught.value.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


@linux_only
@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EMFILE])
def test_errors_of_building_a_socket_keep_their_number(monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "as the kernel says")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(
        OSError, match="as the kernel says" if number == errno.EMFILE else "modprobe"
    ) as caught:
        isotp.socket()
    assert caught.value.errno == number


# -- errors of the bus --


@linux_only
@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("ECOMM", isotp.FlowControlTimeoutError, "no Flow Control"),
        ("EMSGSIZE", isotp.OverflowError, "Overflow"),
        ("EBADMSG", isotp.InvalidCanDataError, "malformed"),
        ("EILSEQ", isotp.WrongSequenceNumberError, "SequenceNumber"),
        ("ETIMEDOUT", isotp.ConsecutiveFrameTimeoutError, "Consecutive Frame"),
    ],
)
def test_protocol_error(name, error, text):
    number = getattr(errno, name)
    explained = socket_errors.bus_error(OSError(number, "kernel's text"), "vcan0")
    assert isinstance(explained, error)
    assert isinstance(explained, tpsock.SocketError)
    assert isinstance(explained, TimeoutError) == (name == "ETIMEDOUT")
    assert explained.errno == number
    assert re.search(rf"vcan0: .*{text}", str(explained))
    again = pickle.loads(pickle.dumps(explained))
    assert (type(again), again.args) == (type(explained), explained.args)

    earlier = socket_errors.bus_error(OSError(number, "kernel's text"), "vcan0", of_earlier_send=True)
    assert type(earlier) is type(explained)
    assert str(earlier).startswith(str(explained))
    assert "was not sent" in str(earlier)


@linux_only
@pytest.mark.parametrize("name", ["ENETDOWN", "ENOBUFS", "ENODEV", "ENXIO", "EADDRNOTAVAIL"])
def test_interface_error(name):
    number = getattr(errno, name)
    explained = socket_errors.bus_error(OSError(number, "kernel's text"), "vcan0")
    assert isinstance(explained, OSError)
    assert not isinstance(explained, isotp.IsoTpError)
    assert explained.errno == number
    assert "vcan0: the " in str(explained)


def test_errors_that_speak_for_themselves():
    for error in (TimeoutError("timed out"), OSError(errno.EAGAIN, "again"), OSError(errno.EBADF, "closed")):
        assert socket_errors.bus_error(error, "vcan0") is None


# -- over a stand-in for the kernel --


class StandIn(socket.socket):
    """What ``socket.socket`` is replaced with: ISO-TP sockets of a kernel of ours, on top of Unix sockets."""

    def __init__(self, family, kind, protocol):
        assert (family, kind, protocol) == (socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_ISOTP)
        super().__init__(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Defaults of the kernel header, as the bytes of its structures on a little-endian machine.
        self.options = {
            OPTS: bytes.fromhex("00000000 50C30000 00 CC CC 00"),
            RECV_FC: bytes(3),
            TX_STMIN: bytes(4),
            RX_STMIN: bytes(4),
            LL_OPTS: bytes([16, 8, 0]),
        }
        self.bound_to = None
        self.pending = 0

    @staticmethod
    def name(interface, can_id):
        return f"\0{interface}-{can_id:x}"

    def setsockopt(self, level, option, value):
        assert level == SOL_CAN_ISOTP
        assert len(value) == len(self.options[option])
        if self.bound_to is not None:
            raise OSError(errno.EISCONN, "bound")
        if option == LL_OPTS and (
            value[0] not in (16, 72) or value[1] not in (8, 12, 16, 20, 24, 32, 48, 64)
        ):
            raise OSError(errno.EINVAL, "link layer")
        self.options[option] = value
        if option == OPTS and value[1] & 0x18 == 0x18:
            self.options[OPTS] = value[:1] + bytes([value[1] & ~0x10]) + value[2:]
            raise OSError(errno.EINVAL, "broadcast")

    def getsockopt(self, level, option, *size):
        if level == socket.SOL_SOCKET:
            pending, self.pending = self.pending, 0
            return pending
        assert level == SOL_CAN_ISOTP
        assert size == (len(self.options[option]),)
        return self.options[option]

    def bind(self, address):
        interface, rx_id, tx_id = address
        if interface != "vcan0":
            raise OSError(errno.ENODEV, "no such device")
        if rx_id == tx_id:
            raise OSError(errno.EADDRNOTAVAIL, "same")
        super().bind(self.name(interface, rx_id))
        self.bound_to = address

    def send(self, data, flags=0):
        if self.pending:
            raise OSError(self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "kernel's text")
        if not data:
            raise OSError(errno.EINVAL, "empty")
        interface, _, tx_id = self.bound_to
        return self.sendto(data, flags, self.name(interface, tx_id))

    def recv(self, size, flags=0):
        if self.pending:
            raise OSError(self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "kernel's text")
        return super().recv(size, flags)


@pytest.fixture
def make_socket(monkeypatch):
    if sys.platform != "linux" or not hasattr(socket, "CAN_ISOTP"):
        pytest.skip("the stand-in for the kernel needs Linux")
    monkeypatch.setattr(socket, "socket", StandIn)
    made = []

    def make(*args, **kwargs):
        made.append(isotp.socket(*args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def pair(make_socket):
    tester, ecu = make_socket(timeout=5), make_socket(timeout=5)
    tester.bind("vcan0", TESTER)
    ecu.bind("vcan0", Address(txid=0x7E8, rxid=0x7E0))
    return tester, ecu


@pytest.mark.parametrize(
    ("given", "flag", "option", "expected"),
    [
        ({"optflag": 0x2470}, 0x2470, OPTS, "70240000 50C30000 00 CC CC 00"),
        ({"frame_txtime": 0x12345678}, 0, OPTS, "00000000 78563412 00 CC CC 00"),
        ({"ext_address": 0x55}, FLAGS.EXTEND_ADDR, OPTS, "02000000 50C30000 55 CC CC 00"),
        ({"txpad": 0xAA}, FLAGS.TX_PADDING, OPTS, "04000000 50C30000 00 AA CC 00"),
        ({"rxpad": 0xBB}, FLAGS.RX_PADDING, OPTS, "08000000 50C30000 00 CC BB 00"),
        ({"rx_ext_address": 0x66}, FLAGS.RX_EXT_ADDR, OPTS, "00020000 50C30000 00 CC CC 66"),
        ({"tx_stmin": 1_000_000}, FLAGS.FORCE_TXSTMIN, TX_STMIN, "40420F00"),
        ({"rx_stmin": 1_000_000}, FLAGS.FORCE_RXSTMIN, RX_STMIN, "40420F00"),
    ],
)
def test_general_options_as_bytes(make_socket, given, flag, option, expected):
    s = make_socket()
    result = s.set_opts(**given)
    assert result == s.get_opts()
    assert result.optflag == flag
    for name, value in given.items():
        assert getattr(result, name) == value
    assert s._socket.options[option] == bytes.fromhex(expected)


def test_flow_control_and_link_layer_options_as_bytes(make_socket):
    s = make_socket()
    s.set_fc_opts(bs=8, stmin=0xF5, wftmax=3)
    s.set_fc_opts(stmin=5)
    assert s._socket.options[RECV_FC] == bytes([8, 5, 3])
    assert vars(s.get_fc_opts()) == {"bs": 8, "stmin": 5, "wftmax": 3}
    s.set_ll_opts(s.LinkLayerProtocol.CAN_FD, 64)
    s.set_ll_opts(tx_flags=s.LinkLayerFlags.BRS)
    assert s._socket.options[LL_OPTS] == bytes([72, 64, 1])
    assert vars(s.get_ll_opts()) == {"mtu": 72, "tx_dl": 64, "tx_flags": 1}


def test_options_given_later_keep_those_before(make_socket):
    s = make_socket()
    s.set_opts(tx_stmin=500_000, optflag=FLAGS.WAIT_TX_DONE)
    s.set_opts(txpad=0)
    assert s.get_opts().optflag == FLAGS.WAIT_TX_DONE | FLAGS.FORCE_TXSTMIN | FLAGS.TX_PADDING
    assert (s.get_opts().tx_stmin, s.get_opts().txpad) == (500_000, 0)


@pytest.mark.parametrize("value", [-1, 256, "5", 5.0, b"\5"])
@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("set_opts", "ext_address"),
        ("set_opts", "txpad"),
        ("set_opts", "rxpad"),
        ("set_opts", "rx_ext_address"),
        ("set_fc_opts", "bs"),
        ("set_fc_opts", "stmin"),
        ("set_fc_opts", "wftmax"),
        ("set_ll_opts", "mtu"),
        ("set_ll_opts", "tx_dl"),
        ("set_ll_opts", "tx_flags"),
    ],
)
def test_byte_out_of_range(make_socket, method, name, value):
    s = make_socket()
    before = dict(s._socket.options)
    with pytest.raises(
        ValueError, match=re.escape(f"{name} must be an integer from 0 to 0xFF, not {value!r}")
    ):
        getattr(s, method)(**{name: value})
    assert s._socket.options == before


@pytest.mark.parametrize("name", ["optflag", "frame_txtime", "tx_stmin", "rx_stmin"])
@pytest.mark.parametrize("value", [-1, 1 << 32, "5", 5.0])
def test_word_out_of_range(make_socket, name, value):
    s = make_socket()
    before = dict(s._socket.options)
    with pytest.raises(ValueError, match=f"{name} must be an integer from 0 to 0xFFFFFFFF, not {value!r}"):
        s.set_opts(**{name: value})
    assert s._socket.options == before


def test_refusals_of_the_kernel(make_socket):
    s = make_socket()
    before = dict(s._socket.options)
    with pytest.raises(tpsock.OptionError, match=r"tx_dl=0x0d.*tx_dl is 8, 12, 16") as caught:
        s.set_ll_opts(mtu=72, tx_dl=13)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(tpsock.OptionError, match="exclude each other"):
        s.set_opts(optflag=FLAGS.SF_BROADCAST | FLAGS.CF_BROADCAST, txpad=1)
    assert s._socket.options == before


def test_option_classes(make_socket):
    from isotp.tpsock import opts

    assert (opts.general, opts.flowcontrol, opts.linklayer) == (
        opts.GeneralOpts,
        opts.FlowControlOpts,
        opts.LinkLayerOpts,
    )
    assert [c.struct_size for c in (opts.general, opts.flowcontrol, opts.linklayer)] == [12, 3, 3]
    assert (opts.SOL_CAN_BASE, opts.SOL_CAN_ISOTP) == (100, SOL_CAN_ISOTP)
    s = make_socket()
    for wrong in (1, None, s):
        for use in (opts.assert_is_socket, opts.general.read, opts.general.write, opts.flowcontrol.write):
            with pytest.raises(ValueError, match="not a socket"):
                use(wrong)
    real = s.real_socket()
    opts.assert_is_socket(real)
    assert opts.general.write(real, txpad=1) == opts.GeneralOpts.read(real) == s.get_opts()
    # A new object has the kernel's defaults.
    fresh = make_socket()
    assert (fresh.get_opts(), fresh.get_fc_opts(), fresh.get_ll_opts()) == (
        opts.GeneralOpts(),
        opts.FlowControlOpts(),
        opts.LinkLayerOpts(),
    )
    assert repr(fresh.get_ll_opts()) == "<LinkLayerOpts: mtu=0x10, tx_dl=0x08, tx_flags=0x00>"
    assert repr(fresh.get_opts()) == (
        "<GeneralOpts: optflag=0x00000000, frame_txtime=0x0000c350, ext_address=0x00, txpad=0xcc, "
        "rxpad=0xcc, rx_ext_address=0x00, tx_stmin=0x00000000, rx_stmin=0x00000000>"
    )
    s.bind("vcan0", TESTER)
    with pytest.raises(RuntimeError, match=r"before bind\(\)"):
        opts.general.write(real, txpad=1)


EFF = 0x8000_0000


@pytest.mark.parametrize(
    ("address", "rx_id", "tx_id", "extension"),
    [
        (Address(AddressingMode.Normal_11bits, rxid=0x123, txid=0x456), 0x123, 0x456, None),
        (
            Address(AddressingMode.Normal_29bits, rxid=0x123, txid=0x18000456),
            EFF | 0x123,
            EFF | 0x18000456,
            None,
        ),
        (
            Address(AddressingMode.NormalFixed_29bits, target_address=0x55, source_address=0xAA),
            EFF | 0x18DAAA55,
            EFF | 0x18DA55AA,
            None,
        ),
        (
            Address(AddressingMode.Extended_11bits, rxid=1, txid=2, target_address=0x55, source_address=0xAA),
            1,
            2,
            (0x55, 0xAA),
        ),
        (
            Address(AddressingMode.Extended_29bits, rxid=1, txid=2, target_address=0x55, source_address=0xAA),
            EFF | 1,
            EFF | 2,
            (0x55, 0xAA),
        ),
        (Address(AddressingMode.Mixed_11bits, rxid=1, txid=2, address_extension=0x99), 1, 2, (0x99, 0x99)),
        (
            Address(
                AddressingMode.Mixed_29bits, target_address=0x55, source_address=0xAA, address_extension=0x99
            ),
            EFF | 0x18CEAA55,
            EFF | 0x18CE55AA,
            (0x99, 0x99),
        ),
        (
            AsymmetricAddress(
                tx_addr=Address(AddressingMode.Normal_29bits, txid=0x456, tx_only=True),
                rx_addr=Address(AddressingMode.Normal_11bits, rxid=0x123, rx_only=True),
            ),
            0x123,
            EFF | 0x456,
            None,
        ),
    ],
    ids=lambda value: value.get_content_str()[:30] if hasattr(value, "get_content_str") else "",
)
@pytest.mark.parametrize("keyword", [False, True])
def test_bind(make_socket, address, rx_id, tx_id, extension, keyword):
    s = make_socket()
    s.bind("vcan0", address=address) if keyword else s.bind("vcan0", address)
    assert s._socket.bound_to == ("vcan0", rx_id, tx_id)
    assert (s.interface, s.address, s.bound, s.closed) == ("vcan0", address, True, False)
    assert repr(s) == f"<ISO-TP Socket: vcan0, {address.get_content_str()}>"
    options = s.get_opts()
    if extension is None:
        assert options.optflag == 0
    else:
        assert options.optflag == FLAGS.EXTEND_ADDR | FLAGS.RX_EXT_ADDR
        assert (options.ext_address, options.rx_ext_address) == extension


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {"rxid": 0x123, "txid": 0x456}),
        ((0, 0x456, 0x123), {}),
        ((AddressingMode.Normal_11bits,), {"rxid": 0x123, "txid": 0x456}),
    ],
)
def test_bind_as_in_the_first_generation(make_socket, args, kwargs):
    s = make_socket()
    s.bind("vcan0", *args, **kwargs)
    assert s._socket.bound_to == ("vcan0", 0x123, 0x456)
    assert isinstance(s.address, Address)


ONE_SIDED = AsymmetricAddress(
    tx_addr=Address(AddressingMode.Extended_11bits, txid=2, target_address=0x55, tx_only=True),
    rx_addr=Address(AddressingMode.Normal_11bits, rxid=1, rx_only=True),
)
SAME_ID = AsymmetricAddress(tx_addr=Address(txid=1, tx_only=True), rx_addr=Address(rxid=1, rx_only=True))


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "text"),
    [
        ((1, TESTER), {}, ValueError, "interface must be a str, not 1"),
        ((b"vcan0", TESTER), {}, ValueError, "interface"),
        (("vcan0",), {"address": "x"}, ValueError, "not 'x'"),
        (("vcan0", "x"), {}, ValueError, "x"),
        (("vcan0", None), {}, ValueError, "None"),
        (("vcan0",), {}, ValueError, "must be given"),
        (("vcan0",), {"rxid": 0x123}, ValueError, "txid"),
        (("vcan0",), {"rxid": 0x123, "txid": 0x456, "nonsense": 1}, TypeError, "nonsense"),
        (("vcan0", TESTER), {"rxid": 0x123}, TypeError, "not both"),
        (("vcan0", TESTER, 1), {}, TypeError, "not both"),
        (("vcan0", Address(rxid=1, rx_only=True)), {}, ValueError, "partial"),
        (("vcan0", ONE_SIDED), {}, ValueError, "in both directions or in none"),
        (("vcan0", SAME_ID), {}, OSError, "must differ"),
        (("can77", TESTER), {}, OSError, "can77: no such CAN interface"),
    ],
)
def test_bind_refuses(make_socket, args, kwargs, error, text):
    s = make_socket()
    with pytest.raises(error, match=text):
        s.bind(*args, **kwargs)
    assert (s.interface, s.address, s.bound) == (None, None, False)
    s.bind("vcan0", TESTER)
    assert s.bound


def test_life_of_a_socket(make_socket):
    s = make_socket()
    assert (s.interface, s.address, s.bound, s.closed) == (None, None, False, False)
    assert repr(s).startswith("<Unbound ISO-TP Socket at 0x")
    assert not repr(s).startswith("<Unbound ISO-TP Socket at 0x0x")
    for use in (lambda: s.send(b"x"), s.recv):
        with pytest.raises(RuntimeError, match=r"bind\(\) must be called"):
            use()
    s.bind("vcan0", TESTER)
    with pytest.raises(RuntimeError, match="already bound to vcan0"):
        s.bind("vcan0", TESTER)
    for change in (s.set_opts, s.set_general_opts, s.set_fc_opts, s.set_ll_opts):
        with pytest.raises(RuntimeError, match=r"before bind\(\).* vcan0"):
            change()
    assert s.fileno() == s.real_socket().fileno() >= 0
    with s as same:
        assert same is s
    assert (s.address, s.bound, s.closed, s.fileno()) == (None, False, True, -1)
    assert repr(s).startswith("<Closed ISO-TP Socket at 0x")
    s.close()
    for use in (lambda: s.send(b"x"), s.recv, s.set_opts, lambda: s.bind("vcan0", TESTER)):
        with pytest.raises(RuntimeError, match="closed"):
            use()


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((), {}, None),
        ((None,), {}, None),
        ((0,), {}, None),
        ((0.5,), {}, 0.5),
        ((), {"timeout": 2}, 2.0),
        ((), {"legacy": True}, 0.1),
        ((2,), {"legacy": True}, 2.0),
    ],
)
def test_timeout(make_socket, args, kwargs, expected):
    s = make_socket(*args, **kwargs)
    assert s.gettimeout() == expected
    s.settimeout(7)
    assert s.gettimeout() == 7
    s.setblocking(False)
    assert s.gettimeout() == 0
    s.setblocking(True)
    assert s.gettimeout() is None


def test_negative_timeout(make_socket):
    with pytest.raises(ValueError, match="-1"):
        make_socket(-1)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_messages(pair, kind):
    tester, ecu = pair
    assert tester.send(kind(b"\x22\xf1\x90")) == 3
    assert ecu.recv() == b"\x22\xf1\x90"
    assert ecu.send(b"\x62\xf1\x90") == 3
    assert tester.recv(4095) == b"\x62\xf1\x90"


def test_recv_never_cuts_a_message(pair):
    tester, ecu = pair
    long = bytes(range(256)) * 32
    for _ in range(3):
        tester.send(long)
    assert ecu.recv() == long
    assert ecu.recv(4095) == long
    for too_small in ({"bufsize": 8191}, {"bufsize": 0}, {"n": 5}):
        with pytest.raises(
            OSError, match=f"8192 bytes, but bufsize is {next(iter(too_small.values()))}"
        ) as caught:
            ecu.recv(**too_small)
        assert caught.value.errno == errno.EMSGSIZE
        assert not isinstance(caught.value, isotp.OverflowError)
    assert ecu.recv(3, socket.MSG_PEEK) == long[:3]
    assert ecu.recv(flags=socket.MSG_PEEK) == long
    assert ecu.recv(8192) == long
    ecu.setblocking(False)
    for bufsize in (4095, 10):
        with pytest.raises(BlockingIOError):
            ecu.recv(bufsize)


@pytest.mark.parametrize(
    ("bufsize", "error"), [(-1, ValueError), ("x", TypeError), (1.5, TypeError), (None, TypeError)]
)
def test_recv_refuses_bufsize(pair, bufsize, error):
    with pytest.raises(error):
        pair[0].recv(bufsize)


@pytest.mark.parametrize("bufsize", [4095, 10])
def test_recv_times_out(make_socket, bufsize):
    s = make_socket(timeout=0.01)
    s.bind("vcan0", TESTER)
    with pytest.raises(TimeoutError) as caught:
        s.recv(bufsize)
    assert caught.value.errno is None
    old = make_socket(timeout=0.01, legacy=True)
    old.bind("vcan0", Address(txid=1, rxid=2))
    assert old.recv(bufsize) is None


@pytest.mark.parametrize("legacy", [False, True])
def test_recv_tells_what_happened_on_the_bus(make_socket, legacy):
    s = make_socket(legacy=legacy)
    s.bind("vcan0", TESTER)
    for bufsize in (4095, 10):
        s._socket.pending = errno.ETIMEDOUT
        with pytest.raises(tpsock.SocketConsecutiveFrameTimeoutError) as caught:
            s.recv(bufsize)
        assert caught.value.errno == errno.ETIMEDOUT
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("waiting", [False, True])
def test_send_tells_that_an_earlier_message_failed(make_socket, waiting):
    s, receiver = make_socket(), make_socket()
    if waiting:
        s.set_opts(optflag=FLAGS.WAIT_TX_DONE)
    s.bind("vcan0", TESTER)
    receiver.bind("vcan0", Address(txid=0x7E8, rxid=0x7E0))
    s._socket.pending = errno.EILSEQ
    with pytest.raises(tpsock.SocketWrongSequenceNumberError, match=r"before the present send\(\)"):
        s.send(b"x")
    s._socket.pending = errno.ENETDOWN
    with pytest.raises(OSError, match="vcan0: the interface is down"):
        s.send(b"x")
    assert s.send(b"y") == 1
    assert receiver.recv() == b"y"


def test_waiting_send_tells_that_its_own_message_failed(make_socket, monkeypatch):
    s = make_socket()
    s.set_opts(optflag=FLAGS.WAIT_TX_DONE)
    s.bind("vcan0", TESTER)

    def no_flow_control(*_):
        raise OSError(errno.ECOMM, "kernel's text")

    monkeypatch.setattr(StandIn, "send", no_flow_control)
    with pytest.raises(tpsock.SocketFlowControlTimeoutError) as caught:
        s.send(bytes(100))
    assert "before the present send()" not in str(caught.value)


def test_message_that_the_kernel_refuses(pair):
    with pytest.raises(OSError, match="vcan0: the kernel refuses a message of 0 bytes") as caught:
        pair[0].send(b"")
    assert caught.value.errno == errno.EINVAL


def test_legacy_frame_txtime_replaces_stmin(make_socket):
    assert make_socket().set_opts(frame_txtime=1000).optflag == 0
    old = make_socket(legacy=True)
    assert old.set_opts(frame_txtime=1000).optflag == FLAGS.FORCE_TXSTMIN
    assert old.set_opts(frame_txtime=1000, tx_stmin=5).tx_stmin == 5
    assert old.set_opts(frame_txtime=2000).tx_stmin == 5


# -- how long a message can be --


@pytest.mark.parametrize(
    ("parameter", "expected"), [("8300\n", 8300), ("1049600\n", 1049600), (None, 66_000)], ids=repr
)
@linux_only
def test_longest_message(tmp_path, monkeypatch, parameter, expected):
    path = tmp_path / "max_pdu_size"
    if parameter is not None:
        path.write_text(parameter)
    monkeypatch.setattr(tpsock, "_MAX_PDU_SIZE_PARAMETER", path)
    assert tpsock._longest_message() == expected
