"""`pyslm keys`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pyslm.cli.console import output_console
from pyslm.errors import InvalidRequestError
from pyslm.extras import check_extra

__all__ = ["keys_app"]

keys_app = typer.Typer(
    name="keys",
    help="API keys for `pyslm serve --require-key`.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

FileOption = Annotated[Path | None, typer.Option("--file", help="Default: the user's own.")]


@keys_app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whom it is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="inference, manage or metrics; default: inference."),
    ] = None,
    days: Annotated[
        float | None, typer.Option("--days", min=0, help="Days that it is valid. Default: ever.")
    ] = None,
    file: FileOption = None,
) -> None:
    """Make a key. It is shown once; only its hash is kept."""
    keys = _keys_file(file)
    from pyslm.serve.caller import SCOPES
    from pyslm.serve.keys import new_key

    scopes = [known for known in SCOPES if known in (scope or ["inference"])]
    unknown = [given for given in scope or () if given not in SCOPES]
    if unknown:
        raise InvalidRequestError(f"--scope is {unknown[0]!r}; allowed: {', '.join(SCOPES)}")
    key, record = new_key(name, scopes, days)
    keys.write([*keys.read(), record])
    print(key)


@keys_app.command("list")
def list_keys(file: FileOption = None) -> None:
    """Show the keys there are, without the keys."""
    from rich.table import Table

    table = Table("ID", "NAME", "SCOPES", "EXPIRES", "STATE")
    for record in _keys_file(file).read():
        state = "revoked" if record.revoked else "valid" if record.is_valid else "expired"
        table.add_row(record.id, record.name, " ".join(record.scopes), _day(record.expires), state)
    output_console().print(table)


@keys_app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID|NAME", help="As `pyslm keys list` shows it.")],
    file: FileOption = None,
) -> None:
    """End a key. A server that runs refuses it from its next request on."""
    import msgspec

    keys = _keys_file(file)
    records = keys.read()
    found = [record for record in records if key in (record.id, record.name)]
    if not found:
        raise InvalidRequestError(f"there is no key {key!r}; `pyslm keys list` shows them")
    keys.write([msgspec.structs.replace(r, revoked=True) if r in found else r for r in records])


def _keys_file(path: Path | None) -> Any:
    check_extra("serve", "pyslm keys")
    from pyslm.serve.keys import KeyFile, default_keys_path

    return KeyFile(path or default_keys_path())


def _day(when: float | None) -> str:
    return "never" if when is None else time.strftime("%Y-%m-%d", time.localtime(when))
