"""The address that -s, -d, -x and -X of can-utils name."""

from __future__ import annotations

import typer

__all__ = ["pair_text"]


def pair_text(
    source: str | None, destination: str | None, extension: str | None, rx_extension: str | None
) -> str | None:
    """The address that -s, -d, -x and -X of can-utils name, as parse_address() reads it; None if they are not given.

    :raises typer.BadParameter: if one lacks another.
    """
    if source is None and destination is None and extension is None and rx_extension is None:
        return None
    if source is None or destination is None:
        raise typer.BadParameter("-s and -d need each other", param_hint="-s -d")
    if extension is None:
        if rx_extension is not None:
            raise typer.BadParameter("it goes with -x", param_hint="-X")
        return f"{source}:{destination}"
    sent, _, heard = extension.partition(":")
    if heard and rx_extension is not None:
        raise typer.BadParameter(f"-x {extension} has that byte already", param_hint="-X")
    return f"{source}:{destination},ext={sent}:{rx_extension or heard or sent}"
