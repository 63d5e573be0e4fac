"""`pyslm ps`, `load`, `stop` and `unload`: the models of a server that runs."""

from __future__ import annotations

import datetime
import json
import sys
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pyslm.cli.console import JsonOption, output_console
from pyslm.cli.model_tables import size_text
from pyslm.cli.models import NameArgument
from pyslm.cli.remote import find_server

__all__ = ["load", "ps", "stop", "unload"]

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="PYSLM_HOST",
        show_envvar=True,
        help="Of the server. Default: that of `pyslm service`, else port 8000 here.",
    ),
]


def ps(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the models that a server has in memory.

    [dim]Example:[/dim]

      pyslm ps
    """
    models = find_server(url).ask("/api/ps")["models"]
    if as_json:
        json.dump(models, sys.stdout, indent=2)
        print()
        return
    table = Table(box=None, pad_edge=False)
    for column in ("NAME", "SIZE", "CONTEXT", "UNTIL"):
        table.add_column(column, no_wrap=True, justify="left" if column == "NAME" else "right")
    for model in models:
        row = (model["name"], size_text(model["size"]), f"{model['context_length']:,}")
        table.add_row(*map(Text, (*row, _until(model["expires_at"]))))
    output_console().print(table)


def load(
    name: NameArgument,
    keep_alive: Annotated[
        str | None,
        typer.Option("--keep-alive", help="How long it stays when idle: 5m, 1h; -1: for ever."),
    ] = None,
    url: UrlOption = None,
) -> None:
    """Load a model into a server's memory.

    [dim]Example:[/dim]

      pyslm load qwen2.5:0.5b --keep-alive -1
    """
    asked: dict[str, Any] = {"model": name, "stream": False}
    if keep_alive is not None:
        asked["keep_alive"] = keep_alive
    find_server(url).ask("/api/generate", asked)
    print(f"loaded {name!r}")


def unload(name: NameArgument, url: UrlOption = None) -> None:
    """Take a model out of a server's memory, once its requests are done.

    [dim]Example:[/dim]

      pyslm unload qwen2.5:0.5b
    """
    _unload(name, url)


def stop(name: NameArgument, url: UrlOption = None) -> None:
    """The same as unload, as Ollama has it.

    [dim]Example:[/dim]

      pyslm stop qwen2.5:0.5b
    """
    _unload(name, url)


def _unload(name: str, url: str | None) -> None:
    asked = {"model": name, "keep_alive": 0, "stream": False}
    find_server(url).ask("/api/generate", asked)
    print(f"unloaded {name!r}")


def _until(stamp: str) -> str:
    when = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    left = (when - datetime.datetime.now(datetime.UTC)).total_seconds()
    if left > 10 * 365 * 86400:
        return "for ever"
    minutes, seconds = divmod(max(int(left), 0), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
