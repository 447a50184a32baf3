"""Started layers and the life of a process: its exit, forks, other processes, interpreters, signals."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import textwrap

import pytest

# Only ends a test that has failed: what is tested must end by itself.
PATIENCE = 60.0

# Two ends on python-can's virtual bus, and a line of queues, for all programs here.
PRELUDE = """
import collections, logging, os, queue, signal, sys, threading, time, can, isotp
from isotp.hub import Hub
logging.getLogger("can").setLevel(logging.CRITICAL)  # it complains of buses that were not shut down
logging.getLogger("isotp").setLevel(logging.ERROR)  # time-outs are warnings
# Polars, which comes with python-can where asammdf is installed, lets no SIGINT end the wait for a lock.
if hasattr(signal, "siginterrupt"):
    signal.siginterrupt(signal.SIGINT, True)
HERE, THERE = isotp.Address(rxid=0x123, txid=0x456), isotp.Address(rxid=0x456, txid=0x123)

class Line:
    def __init__(self):
        self.frames = queue.Queue()
    def rxfn(self, timeout):
        try:
            return self.frames.get(timeout=timeout)
        except queue.Empty:
            return None

def silent(address=HERE, **kwargs):
    '''A layer whose other end never answers.'''
    return isotp.TransportLayer(Line().rxfn, lambda message: None, address, read_timeout=0.01, **kwargs)

def bus():
    return can.Bus("life", interface="virtual")

def can_stack():
    return isotp.CanStack(bus(), address=HERE)

def notifier_based():
    one = bus()
    return isotp.NotifierBasedCanStack(one, can.Notifier(one, [], timeout=0.1), address=HERE)

def session():
    return Hub(bus()).session(HERE)

def to_itself():
    '''A layer that hears what it sends.'''
    line = Line()
    address = isotp.AsymmetricAddress(
        tx_addr=isotp.Address(txid=0x123, tx_only=True), rx_addr=isotp.Address(rxid=0x123, rx_only=True)
    )
    return isotp.TransportLayer(line.rxfn, line.frames.put, address, read_timeout=0.01)

def in_thread(function, daemon=True):
    thread = threading.Thread(target=function, daemon=daemon)
    thread.start()
    return thread
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
LAYERS = ["silent", "can_stack", "notifier_based", "session"]


def run(program: str, *options: str) -> str:
    """What a program prints that must end by itself, quietly."""
    done = subprocess.run(
        [sys.executable, *options, "-c", PRELUDE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


# --- Exit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
def test_exit_without_stop(layer: str) -> None:
    run(f"layer = {layer}(); layer.start(); layer.send(bytes(100))")


@pytest.mark.parametrize("layer", LAYERS)
def test_exit_while_threads_wait(layer: str) -> None:
    """Daemon threads in a blocking send, a blocking recv and a callback."""
    program = f"""
        layer = {layer}()
        layer.params.set("blocking_send", True)
        layer.params.set("rx_flowcontrol_timeout", 3_600_000)
        layer.start()
        in_thread(lambda: layer.recv(block=True))
        in_thread(lambda: layer.send(bytes(100)))
        in_callback = threading.Event()
        def waits(request):
            in_callback.set()
            threading.Event().wait()
        layer.post_send_callback = waits
        in_thread(lambda: layer.send(bytes(100)))
        in_callback.wait()
    """
    run(program)


@pytest.mark.parametrize("layer", LAYERS)
def test_exit_from_callback_kept_alive_by_atexit(layer: str) -> None:
    """A layer that is used and stopped while the interpreter shuts down."""
    program = f"""
        import atexit
        layer = {layer}()
        layer.start()
        def at_exit():
            layer.send(b"bye")
            layer.stop()
            print(layer.started)
        atexit.register(at_exit)
    """
    assert run(program) == "False\n"


@pytest.mark.parametrize("layer", LAYERS)
def test_stop_by_a_destructor(layer: str) -> None:
    """Even one that runs when modules are being torn down."""
    program = f"""
        class Owner:
            def __init__(self):
                self.layer = {layer}()
                self.layer.start()
            def __del__(self):
                self.layer.stop()
        owner = Owner()
        sys.kept_to_the_very_end = owner
    """
    run(program)


def test_a_thread_that_is_no_daemon_is_waited_for() -> None:
    program = """
        layer = silent()
        layer.start()
        def last():
            threading.main_thread().join()
            layer.stop()
            print("stopped")
        in_thread(last, daemon=False)
    """
    assert run(program) == "stopped\n"


# --- Fork ---------------------------------------------------------------------------------------------------

# Python itself warns of forks while there are threads, since 3.12.
FORKS = ("-W", "ignore::DeprecationWarning")


@needs_fork
@pytest.mark.parametrize("layer", LAYERS)
def test_child_has_stopped_layers(layer: str) -> None:
    """They do nothing, can be stopped and started anew, and the child ends; the parent's go on."""
    program = f"""
        layer = {layer}()
        layer.start()
        layer.send(bytes(100))
        in_thread(lambda: layer.recv(block=True))
        child = os.fork()
        if child == 0:
            assert not layer.started
            assert not layer.transmitting()
            assert layer.recv() is None
            layer.stop()
            layer.params.set("stmin", 5)
            layer.start()
            assert layer.started
            layer.send(b"x")
            layer.stop()
            sys.exit(7)  # through all that an interpreter does at its end
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), layer.started)
        layer.stop()
    """
    assert run(program, *FORKS) == "7 True\n"


@needs_fork
@pytest.mark.skipif(sys.platform != "linux", reason="raw CAN sockets are Linux's")
@pytest.mark.parametrize("kind", ["stack", "hub"])
def test_child_closes_a_socket_that_the_parent_waits_on(kind: str) -> None:
    """The threads that used it are not there: nobody is to be waited for. In the parent it stays open."""
    program = f"""
        import isotp.hub, isotp.socketcan, socket
        from isotp._socketcan import CanSocket
        reads = threading.Event()
        def clock():
            reads.set()  # and the thread uses the socket from here on
            return 0
        class Wire(CanSocket):
            def set_filters(self, identifiers):
                pass
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        descriptor = near.fileno()
        wire = Wire("wire", near)
        wire.clock = clock
        isotp.bus.feeds.open_can_socket = isotp.socketcan.open_can_socket = lambda interface: wire
        if {kind!r} == "stack":
            owner = session = isotp.SocketCanStack("wire", address=HERE)
            session.clock = clock
        else:
            owner = Hub("wire")
            session = owner.session(HERE)
        session.start()
        assert reads.wait(20)
        def is_open():
            try:
                return bool(os.fstat(descriptor))
            except OSError:
                return False
        child = os.fork()
        if child == 0:
            owner.close()
            os._exit(is_open())
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), is_open())
        owner.close()
        print(is_open())
    """
    assert run(program, "-W", "ignore::DeprecationWarning") == "0 True\nFalse\n"


@needs_fork
@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="without the GIL, locks of the interpreter's own objects may be held in the child for ever",
)
def test_fork_amid_everything() -> None:
    """At any moment: locks are held and machines run in other threads, which the child does not have."""
    program = """
        # No lock but those of the layers: that of a queue or a bus may be held for ever in the child.
        frames = collections.deque()
        def rxfn(timeout):
            time.sleep(0.001)
            return frames.popleft() if frames else None
        layers = [
            isotp.TransportLayer(rxfn, frames.append, isotp.Address(rxid=n, txid=n + 1), read_timeout=0.01)
            for n in range(10, 13)
        ]
        hub = Hub(bus())
        sessions = [hub.session(isotp.Address(rxid=n, txid=n + 1)) for n in range(20, 23)]
        over = threading.Event()
        def work(layer):
            while not over.is_set():
                layer.send(bytes(50))
                layer.params.set("stmin", 0)
                layer.set_address(layer.address)
                layer.stop_sending()
        for layer in layers + sessions:
            layer.start()
        threads = [in_thread(lambda layer=layer: work(layer)) for layer in layers + sessions]
        for _ in range(20):
            child = os.fork()
            if child == 0:
                for layer in layers + sessions:
                    assert not layer.started
                    layer.set_address(layer.address)
                    layer.params.set("stmin", 1)
                    layer.stop()
                for layer in layers:
                    layer.start()
                    layer.send(b"x")
                    layer.stop()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        over.set()
        for thread in threads:
            thread.join()
        for layer in layers + sessions:
            layer.stop()
    """
    run(program, *FORKS)


def test_spawned_process(tmp_path: object) -> None:
    """A new process, not a copy: it has layers of its own."""
    path = os.path.join(str(tmp_path), "program.py")
    program = """
        import multiprocessing
        def work(results):
            layer = to_itself()
            layer.start()
            layer.send(b"hello")
            results.put(bytes(layer.recv(block=True, timeout=10)))
        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            layer = silent()
            layer.start()
            results = context.Queue()
            process = context.Process(target=work, args=(results,))
            process.start()
            print(results.get(timeout=20))
            process.join()
            print(process.exitcode)
    """
    with open(path, "w", encoding="utf-8") as file:
        file.write(PRELUDE + textwrap.dedent(program))
    done = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("b'hello'\n0\n", "", 0)


# --- Signals ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(__import__("signal"), "pthread_kill"), reason="needs signals to a thread")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("call", ["recv(block=True)", "send(bytes(100))"])
def test_keyboard_interrupt_ends_a_wait(layer: str, call: str) -> None:
    program = f"""
        layer = {layer}()
        layer.params.set("blocking_send", True)
        layer.params.set("rx_flowcontrol_timeout", 3_600_000)
        layer.start()
        interrupted = threading.Event()
        def interrupt():
            # As often as it takes: the first may come before the wait.
            while not interrupted.wait(0.05):
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        thread = threading.Thread(target=interrupt)
        try:
            thread.start()
            layer.{call}
        except KeyboardInterrupt:
            interrupted.set()
            print("interrupted")
        thread.join()
        layer.params.set("blocking_send", False)
        layer.stop()
    """
    assert run(program) == "interrupted\n"


def test_keyboard_interrupt_in_a_callback_leaves_the_layer_at_work() -> None:
    """What others left to the interrupted thread is done all the same, and so are deadlines."""
    program = """
        line, told = Line(), threading.Event()
        calls = []
        def txfn(message):
            calls.append(bytes(message.data))
            if len(calls) == 1:
                # On another thread, while this one runs the machines
                in_thread(lambda: layer.send(b"second")).join()
                raise KeyboardInterrupt
            told.set()
        class Fed(isotp.TransportLayer):
            def _start_reading(self): pass
            def _stop_reading(self): pass
        layer = Fed(line.rxfn, txfn, HERE)
        layer.start()
        try:
            layer.send(b"first")
        except KeyboardInterrupt:
            print(told.wait(10), calls)
        layer.stop()
    """
    assert run(program) == "True [b'\\x05first', b'\\x06second']\n"


# --- Interpreters -------------------------------------------------------------------------------------------


@pytest.mark.skipif(
    not any(importlib.util.find_spec(name) for name in ("_interpreters", "_xxsubinterpreters")),
    reason="needs sub-interpreters",
)
def test_sub_interpreters_are_refused() -> None:
    """With an ImportError that says so; the main interpreter's layers go on."""
    program = """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        layer = silent()
        layer.start()
        program = '''if True:
            try:
                import isotp
            except ImportError as error:
                print("refused:", error, flush=True)
            '''
        other = interpreters.create()
        interpreters.run_string(other, program)
        interpreters.destroy(other)
        layer.send(b"x")
        layer.stop()
    """
    said = run(program)
    assert said.startswith("refused:")
    assert "interpreter" in said
