"""`pyslm service`."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Annotated

import typer

from pyslm import service
from pyslm.cli.console import output_console
from pyslm.cli.remote import Remote
from pyslm.cli.serve import check_extra
from pyslm.errors import ServiceError

__all__ = ["restart", "service_app", "start", "stop"]

service_app = typer.Typer(
    name="service",
    help="A server in the background, found by other programs.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
_SERVE_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


@service_app.command(context_settings=_SERVE_ARGUMENTS)
def start(context: typer.Context) -> None:
    """Start it. Takes the arguments of `pyslm serve`, with any free port as the default.

    [dim]Example:[/dim]

      pyslm service start model.gguf --name tiny
    """
    check_extra()
    print(f"started at {service.start(_with_port(context.args)).url}")


def _with_port(arguments: list[str]) -> list[str]:
    names = {argument.partition("=")[0] for argument in arguments}
    return arguments if names & {"--port", "-p"} else [*arguments, "--port", "0"]


@service_app.command()
def stop() -> None:
    """End it; requests that run may end."""
    service.stop(_running())
    print("stopped")


@service_app.command(context_settings=_SERVE_ARGUMENTS)
def restart(context: typer.Context) -> None:
    """End it and start it, as before unless other arguments are given."""
    running = _running()
    service.stop(running)
    arguments = _with_port(context.args) if context.args else list(running.arguments)
    print(f"started at {service.start(arguments).url}")


@service_app.command()
def status(*, as_json: JsonOption = False) -> None:
    """Say whether it runs, and where. Exit code 0: it does."""
    running = service.find()
    if as_json:
        fields = None if running is None else dataclasses.asdict(running)
        print(json.dumps({"running": running is not None, "service": fields}))
    elif running is not None:
        minutes = (time.time() - running.started) / 60
        print(f"running at {running.url} for {minutes:.0f} min (process {running.pid})")
        print(f"log: {service.log_path()}")
    else:
        print("not running; `pyslm service start MODEL` starts it")
    raise typer.Exit(0 if running is not None else 1)


@service_app.command()
def ps(*, as_json: JsonOption = False) -> None:
    """List the models it has in memory."""
    models = Remote(_running().url).ask("/api/ps")["models"]
    if as_json:
        print(json.dumps(models))
        return
    from rich.table import Table

    table = Table("NAME", "MEMORY", "CONTEXT", "UNTIL")
    for model in models:
        memory = f"{model['size'] / 2**20:.0f} MiB"
        table.add_row(
            model["name"], memory, str(model["context_length"]), _until(model["expires_at"])
        )
    output_console().print(table)


def _until(when: str) -> str:
    return "for ever" if when.startswith("9999") else when


def _running() -> service.Service:
    running = service.find()
    if running is None:
        raise ServiceError("no service runs; `pyslm service start MODEL` starts it")
    return running
