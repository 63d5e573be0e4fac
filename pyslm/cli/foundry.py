"""`pyslm foundry`."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Annotated

import typer

from pyslm.errors import InvalidRequestError

__all__ = ["foundry_app"]

foundry_app = typer.Typer(
    name="foundry",
    help="The command `foundry`, for programs made for Foundry Local.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_MARK = "pyslm.foundry"
Folder = Annotated[
    Path | None, typer.Option("--dir", help="Default: where the command `pyslm` is.")
]


@foundry_app.command()
def install(
    folder: Folder = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where another `foundry` would be hidden.")
    ] = False,
) -> None:
    """Put a launcher `foundry` on the path, by which Foundry Local's SDK finds our service.

    [dim]Example:[/dim]

      pyslm foundry install && pyslm service start model.gguf
    """
    launcher = _launcher(folder)
    other = shutil.which("foundry")
    for there in {Path(other)} if other else set():
        if not force and not _is_ours(there):
            raise InvalidRequestError(
                f"there is a foundry already, {there}, which is not ours; --force hides it"
            )
    if launcher.exists() and not force and not _is_ours(launcher):
        raise InvalidRequestError(f"{launcher} is not ours; --force replaces it")
    launcher.parent.mkdir(parents=True, exist_ok=True)
    launcher.write_text(_script())
    launcher.chmod(0o755)
    print(launcher)


@foundry_app.command()
def uninstall(folder: Folder = None) -> None:
    """Remove that launcher again."""
    launcher = _launcher(folder)
    if not _is_ours(launcher):
        raise InvalidRequestError(f"{launcher} is not there, or not ours")
    launcher.unlink()
    print(launcher)


def _launcher(folder: Path | None) -> Path:
    name = "foundry.cmd" if os.name == "nt" else "foundry"
    return (folder or Path(sysconfig.get_path("scripts"))) / name


def _is_ours(path: Path) -> bool:
    try:
        return _MARK in path.read_text(errors="replace")[:1000]
    except OSError:
        return False


def _script() -> str:
    if os.name == "nt":
        return f'@"{sys.executable}" -m {_MARK} %*\n'
    return f'#!/bin/sh\nexec "{sys.executable}" -m {_MARK} "$@"\n'
