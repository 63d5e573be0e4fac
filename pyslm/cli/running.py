"""`pyslm ps`, `load`, `stop` and `unload`: the models of a server that runs."""

from __future__ import annotations

import datetime
import json
import os
import sys
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pyslm.cli.console import JsonOption, output_console
from pyslm.cli.models import NameArgument, size_text
from pyslm.errors import InvalidRequestError

__all__ = ["call_server", "load", "ps", "server_url", "stop", "unload"]

_DEFAULT_URL = "http://127.0.0.1:8000"
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
    models = call_server(url, "GET", "/api/ps")["models"]
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
    call_server(url, "POST", "/api/generate", asked)
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
    call_server(url, "POST", "/api/generate", asked)
    print(f"unloaded {name!r}")


def server_url(url: str | None) -> str:
    """Where the server is: what was asked for, that of `pyslm service`, or the usual place."""
    from pyslm.cli.service import running_service

    if url is None:
        service = running_service()
        return service.url if service is not None else _DEFAULT_URL
    return (url if "://" in url else f"http://{url}").rstrip("/")


def call_server(url: str | None, method: str, path: str, body: Any = None) -> Any:
    """Asks the server; its errors become ours.

    Raises:
        InvalidRequestError: it is not there, or refuses.
    """
    from pyslm.cli.serve import check_extra

    check_extra()
    import httpx

    base = server_url(url)
    key = os.environ.get("PYSLM_API_KEY")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(10, read=600)  # a load may take its time
    try:
        with httpx.Client(trust_env=False, timeout=timeout, headers=headers) as client:
            answer = client.request(method, base + path, json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InvalidRequestError(
            f"no server answers at {base} ({error}); start one with `pyslm serve` or `pyslm "
            "service start`, or say where it is with --url"
        ) from None
    try:
        found = answer.json()
    except ValueError:
        found = {"error": answer.text[:200]}
    if answer.is_error:
        told = found.get("error") if isinstance(found, dict) else None
        message = told.get("message") if isinstance(told, dict) else told
        raise InvalidRequestError(f"{base}: {message or f'status {answer.status_code}'}")
    return found


def _until(stamp: str) -> str:
    when = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    left = (when - datetime.datetime.now(datetime.UTC)).total_seconds()
    if left > 10 * 365 * 86400:
        return "for ever"
    minutes, seconds = divmod(max(int(left), 0), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
