#!/usr/bin/env python3
"""Run a command under a Linux kernel that has the buses vcan0 and vcan1 and ISO-TP sockets, in this checkout.

    python checks/kernel/run.py [--vm] [--timeout SECONDS] [--accel kvm] [-- COMMAND [ARG...]]

Without COMMAND: pytest on tests/kernel. Where the running kernel has all that, the command simply runs.
Otherwise (or with --vm) it runs in a small virtual machine: QEMU starts the current Debian kernel, which sees
the files of this machine, so that the command finds the same Python, virtual environment and tests. It may
write to the checkout; what it writes elsewhere is gone afterwards. Its stdout and stderr come out as one
stream, its stdin is empty.

The exit status is that of the command, 124 if the time ran out, 125 if the virtual machine failed.

For the virtual machine (on Debian): apt-get install qemu-system-x86 busybox-static kmod. The kernel package
is fetched once by apt-get download, to ~/.cache/can-isotp-cython; ISOTP_KERNEL_DEB names another one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
BUSES = ("vcan0", "vcan1")
# Debian builds even these as modules; modprobe adds what they depend on.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "vcan", "can-raw", "can-isotp", "sch_tbf")
TIMED_OUT, VM_FAILED = 124, 125

# The first process of the virtual machine. Its initramfs is the same for every run; what differs comes in the
# share "run". Any failure ends the machine without a file "status".
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
exec </dev/null >/dev/console 2>&1
fail() { echo "init: $1"; poweroff -f; }
share() { mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,$3 $1 "$2" || fail "share $1"; }

for module in $(cat /modules/order); do
    # An interface whose frames come back when they went, behind its queue, as those of real controllers do
    case $module in vcan.*) options=echo=1 ;; *) options= ;; esac
    insmod /modules/$module $options || fail "module $module"
done

# The root of the host is read-only, so its files can be cached; a layer in memory takes what is written.
share root /lower ro,cache=loose
mount -t tmpfs memory /upper && mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work files /new || fail overlay
mount -t proc proc /new/proc; mount -t sysfs sys /new/sys; mount -t devtmpfs dev /new/dev
mkdir -p /new/dev/shm && mount -t tmpfs -o mode=1777 memory /new/dev/shm
ln -s /proc/self/fd /new/dev/fd
ln -s fd/1 /new/dev/stdout; ln -s fd/2 /new/dev/stderr
mount -t tmpfs memory /new/run && mkdir /new/run/vm
share run /new/run/vm rw
share checkout "/new$(cat /new/run/vm/checkout)" rw,cache=mmap

ip link set lo up
for bus in $(cat /new/run/vm/buses); do
    ip link add $bus type vcan && ip link set $bus mtu 72 && ip link set $bus up || fail "bus $bus"
done

stty -F /dev/ttyS1 raw
{
    chroot /new /bin/sh /run/vm/command
    echo $? >/new/run/vm/status
    # A process that the command left behind holds the pipe; it must not hold the machine.
    (sleep 5; poweroff -f) >/dev/console 2>&1 &
} 2>&1 | cat >/dev/ttyS1
poweroff -f
"""


class VmError(Exception):
    """The virtual machine cannot be built or did not run the command; says what to do."""


def lacking() -> str | None:
    """What the running system lacks for these tests, None if nothing."""
    if not hasattr(socket, "CAN_ISOTP"):
        return "this Python has no socket.CAN_ISOTP"
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_ISOTP).close()
    except OSError as error:
        return f"the running kernel has no ISO-TP sockets ({error})"
    for bus in BUSES:
        mtu = Path("/sys/class/net", bus, "mtu")
        if not mtu.exists() or int(mtu.read_text()) < 72:
            return (
                f"there is no bus {bus} for CAN FD (ip link add {bus} type vcan; ip link set {bus} mtu 72 up)"
            )
    return None


def tool(name: str, package: str) -> str:
    # kmod's programs are in a directory that only root has in its PATH.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise VmError(f"{name} is missing: apt-get install {package}")
    return found


def output_of(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def kernel_package(cache: Path) -> Path:
    """The Debian package of the current kernel, downloaded if need be."""
    if given := os.environ.get("ISOTP_KERNEL_DEB"):
        return Path(given)
    if cached := sorted(cache.glob("linux-image-*.deb")):
        return cached[-1]
    # Not the flavour for clouds: it comes without CAN.
    depends = re.search(
        r"Depends: (linux-image-\d\S+)", output_of("apt-cache", "depends", "linux-image-amd64")
    )
    if depends is None:
        raise VmError("apt knows no kernel linux-image-amd64: run apt-get update, or set ISOTP_KERNEL_DEB")
    with tempfile.TemporaryDirectory(dir=cache) as directory:
        os.chmod(directory, 0o777)  # apt downloads as a user of its own
        subprocess.run(["apt-get", "download", depends[1]], check=True, cwd=directory, stdout=sys.stderr)
        package = next(Path(directory).glob("*.deb"))
        return package.rename(cache / package.name)


def boot_files(cache: Path) -> tuple[Path, Path]:
    """Kernel and initramfs, built once for each kernel package and version of this file."""
    package = kernel_package(cache)
    key = hashlib.sha256(Path(__file__).read_bytes() + package.name.encode()).hexdigest()[:12]
    kernel, initramfs = cache / f"vmlinuz-{key}", cache / f"initramfs-{key}"
    if kernel.exists() and initramfs.exists():
        return kernel, initramfs

    busybox = tool("busybox", "busybox-static")
    with tempfile.TemporaryDirectory(dir=cache) as directory:
        unpacked, root = Path(directory, "package"), Path(directory, "root")
        subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
        version = next(unpacked.glob("lib/modules/*")).name
        subprocess.run([tool("depmod", "kmod"), "-b", unpacked, version], check=True)

        for name in ("bin", "dev", "lower", "modules", "new", "proc", "sys", "upper"):
            Path(root, name).mkdir(parents=True)
        shutil.copy(busybox, root / "bin/busybox")
        (root / "init").write_text(INIT)
        (root / "init").chmod(0o755)
        order: list[str] = []
        for module in MODULES:
            shown = output_of(
                tool("modprobe", "kmod"), "-d", unpacked, "-S", version, "--show-depends", module
            )
            for path in re.findall(r"^insmod (\S+)", shown, re.MULTILINE):
                if Path(path).name not in order:
                    shutil.copy(path, root / "modules")
                    order.append(Path(path).name)
        (root / "modules/order").write_text("\n".join(order))

        names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
        archive = subprocess.run(
            [busybox, "cpio", "-o", "-H", "newc"],
            check=True,
            cwd=root,
            input=names.encode(),
            capture_output=True,
        )
        Path(directory, "archive").write_bytes(archive.stdout)
        Path(directory, "archive").rename(initramfs)
        next(unpacked.glob("boot/vmlinuz-*")).rename(kernel)
    return kernel, initramfs


def run_in_vm(command: list[str], accel: str, timeout: float) -> int:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "can-isotp-cython")
    cache.mkdir(parents=True, exist_ok=True)
    qemu = tool("qemu-system-x86_64", "qemu-system-x86")
    kernel, initramfs = boot_files(cache)
    with tempfile.TemporaryDirectory() as directory:
        run, console = Path(directory, "run"), Path(directory, "console")
        run.mkdir()
        (run / "checkout").write_text(str(CHECKOUT))
        (run / "buses").write_text(" ".join(BUSES))
        environment = {**os.environ, "ISOTP_KERNEL_REQUIRED": "1"}
        exports = [
            f"export {k}={shlex.quote(v)}" for k, v in environment.items() if re.fullmatch(r"[A-Za-z_]\w*", k)
        ]
        goto = f"cd {shlex.quote(os.getcwd())} || exit {VM_FAILED}"
        (run / "command").write_text("\n".join([*exports, goto, f"exec {shlex.join(command)}", ""]))

        arguments = [qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "1G"]
        arguments += ["-accel", accel, "-cpu", "max" if accel == "tcg" else "host"]
        # A panic ends the machine at once; ttyS0 is for such messages, ttyS1 for the command.
        # Where the host is busy, the kernel's check of its timer interrupt fails, and it would not start.
        options = "console=ttyS0 quiet loglevel=4 panic=-1 tsc=reliable mitigations=off no_timer_check"
        arguments += ["-append", options]
        arguments += ["-kernel", str(kernel), "-initrd", str(initramfs)]
        arguments += ["-serial", f"file:{console}", "-serial", "stdio"]
        for tag, path, mode in (("root", "/", "readonly=on,"), ("checkout", CHECKOUT, ""), ("run", run, "")):
            share = f"local,id={tag},{mode}security_model=none,multidevs=remap,path="
            arguments += ["-fsdev", share + str(path).replace(",", ",,")]
            arguments += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        try:
            subprocess.run(arguments, stdin=subprocess.DEVNULL, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            print(f"run.py: no end after {timeout:g} s", file=sys.stderr)
            return TIMED_OUT
        if not (run / "status").exists():
            log = console.read_text(errors="replace") if console.exists() else "no output from QEMU"
            raise VmError(f"the virtual machine did not run the command:\n{log}")
        return int((run / "status").read_text())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vm", action="store_true", help="use the virtual machine in any case")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for the command and all (600)")
    parser.add_argument(
        "--accel", choices=["tcg", "kvm"], default="tcg", help="kvm is faster where it works (tcg)"
    )
    parser.add_argument("command", nargs="*", help="after --")
    options = parser.parse_args()
    command = options.command or [sys.executable, "-m", "pytest", str(CHECKOUT / "tests/kernel")]
    # A plain SIGTERM would leave QEMU behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.vm or lacking():
        try:
            return run_in_vm(command, options.accel, options.timeout)
        except (VmError, subprocess.CalledProcessError) as error:
            print(f"run.py: {error}", file=sys.stderr)
            return VM_FAILED
    try:
        environment = {**os.environ, "ISOTP_KERNEL_REQUIRED": "1"}
        return subprocess.run(command, env=environment, timeout=options.timeout, check=False).returncode
    except subprocess.TimeoutExpired:
        print(f"run.py: no end after {options.timeout:g} s", file=sys.stderr)
        return TIMED_OUT


if __name__ == "__main__":
    sys.exit(main())
