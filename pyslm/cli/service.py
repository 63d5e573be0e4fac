"""`pyslm service`."""

from __future__ import annotations

import dataclasses
import json
import time

import typer

from pyslm import service
from pyslm.cli import running
from pyslm.cli.console import JsonOption
from pyslm.errors import ServiceError
from pyslm.extras import check_extra

__all__ = ["SERVE_ARGUMENTS", "restart", "service_app", "start", "stop"]

service_app = typer.Typer(
    name="service",
    help="A server in the background, found by other programs.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

SERVE_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


@service_app.command(context_settings=SERVE_ARGUMENTS)
def start(context: typer.Context) -> None:
    """Start it. Takes the arguments of `pyslm serve`, with any free port as the default.

    [dim]Example:[/dim]

      pyslm service start model.gguf --name tiny
    """
    check_extra("serve", "pyslm serve")
    print(f"started at {service.start(_with_port(context.args)).url}")


def _with_port(arguments: list[str]) -> list[str]:
    names = {argument.partition("=")[0] for argument in arguments}
    return arguments if names & {"--port", "-p"} else [*arguments, "--port", "0"]


@service_app.command()
def stop() -> None:
    """End it; requests that run may end."""
    service.stop(_running())
    print("stopped")


@service_app.command(context_settings=SERVE_ARGUMENTS)
def restart(context: typer.Context) -> None:
    """End it and start it, as before unless other arguments are given."""
    before = _running()
    service.stop(before)
    if context.args:
        found = service.start(_with_port(context.args))
    else:
        found = service.start(before.arguments, command=before.command)
    print(f"started at {found.url}")


@service_app.command()
def status(*, as_json: JsonOption = False) -> None:
    """Say whether it runs, and where. Exit code 0: it does."""
    found = service.find()
    if as_json:
        fields = None if found is None else dataclasses.asdict(found)
        print(json.dumps({"running": found is not None, "service": fields}))
    elif found is not None:
        minutes = (time.time() - found.started) / 60
        print(f"running at {found.url} for {minutes:.0f} min (process {found.pid})")
        print(f"log: {service.log_path()}")
    else:
        print("not running; `pyslm service start MODEL` starts it")
    raise typer.Exit(0 if found is not None else 1)


@service_app.command()
def ps(*, as_json: JsonOption = False) -> None:
    """List the models it has in memory."""
    running.ps(_running().url, as_json)


def _running() -> service.Service:
    found = service.find()
    if found is None:
        raise ServiceError("no service runs; `pyslm service start MODEL` starts it")
    return found
