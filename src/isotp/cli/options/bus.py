"""Which bus: the options that name one, as python-can's programs have them or as can-utils has them."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isotp.cli.complaints import error_text, give_up
from isotp.cli.options import checking, text_called

if TYPE_CHECKING:
    import can

__all__ = ["BusOptions", "BusOrKernelOptions", "LogOrBusesOptions", "Place", "open_bus"]

which_bus = partial(typer.Option, rich_help_panel="Which bus")


def interfaces(incomplete: str) -> list[str]:
    """For the shell: CAN interfaces of this machine."""
    if sys.platform != "linux":
        return []
    import socket

    return [name for _, name in socket.if_nameindex() if "can" in name and name.startswith(incomplete)]


def drivers(incomplete: str) -> list[str]:
    """For the shell: the interfaces that python-can knows.

    They are read from its source, and where other packages name theirs: to import it takes a second or more.
    """
    try:
        found = importlib.util.find_spec("can")
    except ValueError:
        found = None
    if found is None or found.origin is None:
        return []
    names = {each.name for each in importlib.metadata.entry_points(group="can.interface")}
    source = (Path(found.origin).parent / "interfaces" / "__init__.py").read_text(encoding="utf-8")
    for each in ast.walk(ast.parse(source)):
        if isinstance(each, ast.AnnAssign) and getattr(each.target, "id", "") == "BACKENDS" and each.value:
            names |= set(ast.literal_eval(each.value))
    return sorted(name for name in names if name.startswith(incomplete))


@dataclass(frozen=True)
class BusOptions:
    """The options, as they were given."""

    can_interface: Annotated[
        str | None,
        typer.Argument(
            metavar="CAN_INTERFACE",
            parser=text_called("name"),
            help="A CAN interface of Linux, say can0, by a raw socket; python-can is not needed. The options below"
            " name any other bus.",
            autocompletion=interfaces,
            show_default=False,
        ),
    ] = None
    driver: Annotated[
        str | None,
        which_bus(
            "--interface",
            "-i",
            metavar="NAME",
            help="Interface of python-can, say vector, pcan, kvaser, slcan, virtual. If not given: that of python-can's"
            " configuration (environment, files).",
            autocompletion=drivers,
        ),
    ] = None
    channel: Annotated[
        str | None, which_bus("--channel", "-c", metavar="CHANNEL", help="Channel of that interface.")
    ] = None
    bitrate: Annotated[int | None, which_bus("--bitrate", "-b", metavar="BIT/S", help="Bit rate to set.")] = (
        None
    )
    fd: Annotated[
        bool, which_bus("--fd", help="A CAN FD bus. What is sent are CAN FD frames then, see -L.")
    ] = False
    data_bitrate: Annotated[
        int | None, which_bus("--data-bitrate", metavar="BIT/S", help="Bit rate of the data phase.")
    ] = None
    timing: Annotated[
        list[str] | None,
        which_bus(
            "--timing",
            metavar="NAME=VALUE",
            help="Bit timing of python-can, say f_clock=8000000 brp=2 tseg1=5 tseg2=2 sjw=2: in quotes, or once each.",
        ),
    ] = None
    bus_kwargs: Annotated[
        list[str] | None,
        which_bus(
            "--bus-kwargs",
            metavar="NAME=VALUE",
            help="Further arguments of can.Bus, in quotes, or once each.",
        ),
    ] = None

    def place(self) -> Place:
        """The bus that they name.

        :raises typer.BadParameter: if they do not go together.
        """
        return self._place(kernel=False)

    def _place(self, *, kernel: bool) -> Place:
        if self.can_interface is not None:
            if self._for_python_can:
                raise typer.BadParameter(
                    f"they name a bus of python-can, and CAN_INTERFACE ({self.can_interface}) another one",
                    param_hint=" ".join(self._for_python_can),
                )
            return Place(self.can_interface, native=True, kernel=kernel, fd=self.fd)
        if kernel:
            raise typer.BadParameter(
                "the kernel's sockets are on a CAN interface of Linux: name it, say can0",
                param_hint="--kernel",
            )
        return self._configured()

    @property
    def _for_python_can(self) -> list[str]:
        given = {
            "-i": self.driver,
            "-c": self.channel,
            "-b": self.bitrate,
            "--data-bitrate": self.data_bitrate,
            "--timing": self.timing,
            "--bus-kwargs": self.bus_kwargs,
        }
        return [name for name, value in given.items() if value is not None]

    def _configured(self) -> Place:
        can = python_can()
        configured = {**can.util.load_file_config(), **can.util.load_environment_config()}
        driver = self.driver or configured.get("interface")
        if driver is None:
            if self.channel is None:
                raise typer.BadParameter(
                    "name a CAN interface of Linux, say can0, or a bus of python-can with -i and -c; python-can's"
                    " configuration has none",
                    param_hint="CAN_INTERFACE",
                )
            raise typer.BadParameter(
                f"which interface of python-can has channel {self.channel}? (For a raw socket of Linux:"
                f" {self.channel} without -c)",
                param_hint="-i",
            )
        config: dict[str, Any] = {"interface": driver}
        config |= {
            name: value
            for name, value in (
                ("channel", self.channel),
                ("bitrate", self.bitrate),
                ("data_bitrate", self.data_bitrate),
            )
            if value is not None
        }
        if self.fd:
            config["fd"] = True
        if self.timing:
            config["timing"] = bit_timing(can, pairs(self.timing, "--timing"))
        config |= pairs(self.bus_kwargs or (), "--bus-kwargs")
        name = self.channel if self.channel is not None else str(configured.get("channel", driver))
        switched = self.data_bitrate is not None
        return Place(name, native=False, kernel=False, fd=self.fd, config=config, switched=switched)


@dataclass(frozen=True)
class BusOrKernelOptions(BusOptions):
    """The same where the kernel may do the work."""

    kernel: Annotated[
        bool,
        typer.Option(
            "--kernel",
            help="By ISO-TP sockets of the Linux kernel. Between others, they do not tell what broke off.",
        ),
    ] = False

    def place(self) -> Place:
        return self._place(kernel=self.kernel)


LogsOrInterfaces = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CAN_INTERFACE|LOG]...",
        parser=text_called("name or path"),
        help="CAN interfaces of Linux, say can0 can1, by raw sockets; or logs, as isotp decode reads them. The options"
        " below name any other bus.",
        autocompletion=interfaces,
        show_default=False,
    ),
]
Channels = Annotated[
    list[str] | None,
    which_bus("--channel", "-c", metavar="CHANNEL", help="Channel of that interface; may be given again."),
]


@dataclass(frozen=True)
class LogOrBusesOptions(BusOptions):
    """The same where several may be listened to, or logs be read."""

    can_interface: LogsOrInterfaces = None  # type: ignore[assignment]
    channel: Channels = None  # type: ignore[assignment]

    def logs(self) -> list[str]:
        """Those of the names that are logs.

        :raises typer.BadParameter: if others are there beside them.
        """
        names = list(self.can_interface or ())
        logs = [name for name in names if is_log(name)]
        if logs and (len(logs) < len(names) or self._for_python_can or self.channel):
            raise typer.BadParameter("logs do not go with buses", param_hint="LOG")
        return logs

    def places(self) -> list[Place]:
        """The buses that they name, at least one."""
        rest: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(BusOptions)}
        if self.can_interface:
            return [BusOptions(**rest | {"can_interface": name}).place() for name in self.can_interface]
        channels: Sequence[str | None] = self.channel or [None]
        return [BusOptions(**rest | {"channel": name}).place() for name in channels]


def is_log(name: str) -> bool:
    """What is no CAN interface of this machine and is a file, or written as one."""
    return name not in interfaces("") and (name == "-" or "/" in name or os.path.exists(name))


@dataclass(frozen=True)
class Place:
    """A bus: by a raw socket (`native`), by the kernel's ISO-TP sockets too, or by python-can with `config`."""

    name: str
    native: bool
    kernel: bool
    fd: bool
    config: dict[str, Any] | None = None
    # Whether the data phase of CAN FD has a bit rate of its own.
    switched: bool = False


def python_can() -> ModuleType:
    try:
        import can
        import can.util
    except ImportError:
        raise give_up(
            "this bus needs python-can, which is not installed: pip install 'can-isotp-cython[can]'."
            " A CAN interface of Linux needs none: isotp ... can0"
        ) from None
    return can


def open_bus(place: Place, *, fd: bool = False) -> can.BusABC:
    """The bus of python-can, opened.

    :raises typer.Exit: if that is not possible, having said why.
    """
    assert place.config is not None
    library = python_can()
    config = {**place.config, "fd": True} if fd else place.config
    known = ", ".join(sorted(library.VALID_INTERFACES))
    if config["interface"] not in library.VALID_INTERFACES:
        raise give_up(f"python-can has no interface {config['interface']!r}. It has: {known}")
    try:
        bus: can.BusABC = library.Bus(**config)
    except (library.CanError, ImportError, OSError, ValueError, TypeError, AttributeError) as error:
        raise give_up(
            f"the bus cannot be opened ({', '.join(f'{name}={value}' for name, value in config.items())}):"
            f" {error_text(error)}"
        ) from None
    return bus


def pairs(texts: list[str] | tuple[()], option: str) -> dict[str, Any]:
    """What NAME=VALUE says, several in one text or in texts of their own."""
    found: dict[str, Any] = {}
    for word in re.split(r"[\s,]+", " ".join(texts).strip()):
        name, equals, value = word.partition("=")
        if word and (not equals or not re.fullmatch(r"[A-Za-z_][\w-]*", name)):
            raise typer.BadParameter(f"{word!r} is not NAME=VALUE", param_hint=option)
        if word:
            found[name.replace("-", "_")] = python_value(value)
    return found


def python_value(text: str) -> str | int | float | bool:
    """As python-can's programs understand values: bool, integers in any notation, numbers, or else text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (lambda: int(text, 0), lambda: float(text)):
        try:
            return kind()
        except ValueError:
            continue
    return text


def bit_timing(can: ModuleType, values: dict[str, Any]) -> Any:
    """python-can's object for these values, for CAN FD if they are such."""
    kind = can.BitTimingFd if any(name.startswith("data_") for name in values) else can.BitTiming
    with checking("--timing", TypeError):
        return kind(**values)
