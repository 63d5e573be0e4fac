"""The verbs of `foundry`: service, model and cache."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote

import typer

from pyslm import service
from pyslm.cli.console import output_console
from pyslm.cli.remote import Remote
from pyslm.cli.service import SERVE_ARGUMENTS, restart, start
from pyslm.errors import InvalidRequestError, ServiceError

__all__ = ["build_app"]

Model = Annotated[str, typer.Argument(metavar="MODEL", help="An alias or an id.")]
_Verbs: TypeAlias = dict[str, tuple[Callable[..., None], dict[str, Any]]]
_FILTERS = ("device", "task", "provider", "alias")


def build_app() -> typer.Typer:
    """All verbs."""
    app = typer.Typer(
        name="foundry",
        help="Foundry Local's commands, by pyslm.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    parts: dict[str, tuple[str, _Verbs]] = {
        "service": ("The server in the background.", _SERVICE),
        "model": ("Models.", _MODEL),
        "cache": ("Models on this machine.", _CACHE),
    }
    for part, (text, verbs) in parts.items():
        group = typer.Typer(name=part, help=text, no_args_is_help=True)
        for verb, (function, settings) in verbs.items():
            group.command(verb, **settings)(function)
        app.add_typer(group)
    return app


def _server() -> Remote:
    running = service.find()
    if running is None:
        raise ServiceError("the service is not running; `foundry service start` starts it")
    return Remote(running.url)


def _find(server: Remote, name: str) -> dict[str, Any]:
    """The catalog's entry of an alias or an id, as the SDK chooses it."""
    entries = server.ask("/foundry/list")
    key = name.lower()
    by_version = [entry for entry in entries if entry["name"].lower().startswith(f"{key}:")]
    by_name = [entry for entry in entries if entry["name"].lower() == key]
    by_alias = [entry for entry in entries if entry["alias"].lower() == key]
    for entry in (*by_name, *by_version, *by_alias):
        return dict(entry)
    known = ", ".join(entry["alias"] for entry in entries) or "none"
    raise InvalidRequestError(f"there is no model {name!r}; this service has: {known}")


def _status() -> None:
    """Say whether the service runs, and where."""
    running = service.find()
    if running is None:
        print("Model management service is not running!")
        raise typer.Exit(1)
    print(f"Model management service is running on {running.url}/openai/status")


def _stop() -> None:
    """End the service."""
    running = service.find()
    if running is not None:
        service.stop(running)
    print("Service is stopped")


def _loaded() -> None:
    """List the models in memory."""
    for model in _server().ask("/openai/loadedmodels"):
        print(model)


def _list(
    filter: Annotated[
        str | None,
        typer.Option("--filter", help="device=, task=, provider= or alias=; ! negates, * ends."),
    ] = None,
) -> None:
    """List the catalog."""
    from rich.table import Table

    table = Table("ALIAS", "DEVICE", "TASK", "SIZE", "MODEL ID")
    for entry in _server().ask("/foundry/list"):
        if filter is None or _passes(entry, filter):
            size = f"{entry['fileSizeMb']} MB"
            device = entry["runtime"]["deviceType"]
            table.add_row(entry["alias"], device, entry["task"], size, entry["name"])
    output_console().print(table)


def _passes(entry: dict[str, Any], text: str) -> bool:
    key, _, wanted = text.partition("=")
    if key not in _FILTERS or not wanted:
        allowed = ", ".join(f"{name}=..." for name in _FILTERS)
        raise InvalidRequestError(f"--filter is {text!r}; allowed: {allowed}")
    runtime = entry["runtime"]
    values = {
        "device": runtime["deviceType"],
        "provider": runtime["executionProvider"],
        "task": entry["task"],
        "alias": entry["alias"],
    }
    negated, wanted = wanted.startswith("!"), wanted.removeprefix("!")
    pattern = re.escape(wanted.removesuffix("*")) + (".*" if wanted.endswith("*") else "")
    return negated != bool(re.fullmatch(pattern, values[key], re.IGNORECASE))


def _info(model: Model) -> None:
    """Show what is known of a model."""
    print(json.dumps(_find(_server(), model), indent=2))


def _download(model: Model) -> None:
    """Bring a model to this machine."""
    server = _server()
    entry = _find(server, model)
    body = {"model": {"Name": entry["name"], "Uri": entry["uri"]}, "IgnorePipeReport": True}
    outcome: dict[str, Any] = {}
    for line in server.lines("/openai/download", body):
        if line.startswith(b"{"):
            outcome = json.loads(line)
        else:
            print(line.decode().rstrip())
    if not outcome.get("success"):
        raise ServiceError(f"{model}: {outcome.get('errorMessage') or 'the answer was cut off'}")


def _load(
    model: Model,
    ttl: Annotated[int, typer.Option("--ttl", help="Seconds of idleness until it goes.")] = 600,
) -> None:
    """Load a model into memory."""
    server = _server()
    name = _find(server, model)["name"]
    server.ask(f"/openai/load/{quote(name)}?ttl={ttl}")
    print(f"{name} is loaded")


def _unload(
    model: Model,
    force: Annotated[bool, typer.Option("--force", help="Also one that has requests.")] = False,
) -> None:
    """Take a model out of memory."""
    server = _server()
    name = _find(server, model)["name"]
    server.ask(f"/openai/unload/{quote(name)}?force={str(force).lower()}")
    print(f"{name} is unloaded")


def _run(
    model: Model,
    prompt: Annotated[str | None, typer.Argument(help="Default: a conversation.")] = None,
) -> None:
    """Ask a model."""
    server = _server()
    name = _find(server, model)["name"]
    messages: list[dict[str, str]] = []
    while True:
        text = prompt if prompt is not None else _read_line()
        if not text:
            return
        messages.append({"role": "user", "content": text})
        answer = ""
        body = {"model": name, "messages": messages, "stream": True}
        for line in server.lines("/v1/chat/completions", body):
            piece = _piece(line)
            answer += piece
            print(piece, end="", flush=True)
        print()
        messages.append({"role": "assistant", "content": answer})
        if prompt is not None:
            return


def _read_line() -> str:
    try:
        return input("> ")
    except EOFError:
        return ""


def _piece(line: bytes) -> str:
    if not line.startswith(b"data: {"):
        return ""
    event = json.loads(line.removeprefix(b"data: "))
    if "error" in event:
        raise ServiceError(str(event["error"].get("message", event["error"])))
    choices = event.get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


def _remove(model: Model) -> None:
    """Remove a model from this machine."""
    server = _server()
    name = _find(server, model)["name"]
    server.ask("/api/delete", {"model": name}, method="DELETE")
    print(f"{name} is removed")


def _location() -> None:
    """Say where models are kept."""
    print(_server().ask("/openai/status")["modelDirPath"])


def _cached() -> None:
    """List the models on this machine."""
    for model in _server().ask("/openai/models"):
        print(model)


_PLAIN: dict[str, Any] = {}
_SERVICE: _Verbs = {
    "start": (start, {"context_settings": SERVE_ARGUMENTS}),
    "stop": (_stop, _PLAIN),
    "restart": (restart, {"context_settings": SERVE_ARGUMENTS}),
    "status": (_status, _PLAIN),
    "ps": (_loaded, _PLAIN),
    "list": (_loaded, _PLAIN),
}
_MODEL: _Verbs = {
    "list": (_list, _PLAIN),
    "ls": (_list, _PLAIN),
    "info": (_info, _PLAIN),
    "download": (_download, _PLAIN),
    "load": (_load, _PLAIN),
    "unload": (_unload, _PLAIN),
    "remove": (_remove, _PLAIN),
    "run": (_run, _PLAIN),
}
_CACHE: _Verbs = {
    "location": (_location, _PLAIN),
    "list": (_cached, _PLAIN),
    "ls": (_cached, _PLAIN),
    "remove": (_remove, _PLAIN),
}
