"""`pyslm deploy`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyslm import service
from pyslm.cli.console import JsonOption
from pyslm.errors import DeploymentError, ServiceError

if TYPE_CHECKING:
    from pyslm.deploy import Plan

__all__ = ["deploy"]


def deploy(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The deployment, in YAML.")],
    check: Annotated[
        bool, typer.Option("--check", help="Say what is wrong or missing; start nothing.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="0: any free port.")
    ] = 0,
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key", envvar="PYSLM_API_KEY", show_envvar=True, help="Clients must send it."
        ),
    ] = None,
    drain: Annotated[
        float, typer.Option("--drain", min=0, help="Seconds that requests get to end.")
    ] = 30.0,
    log_level: Annotated[
        str, typer.Option("--log-level", help="debug, info, warning or error.")
    ] = "warning",
    state_file: Annotated[Path | None, typer.Option("--state-file", hidden=True)] = None,
    as_json: JsonOption = False,
) -> None:
    """Start the models and agents that a file names, until Ctrl-C; running requests may end then.

    [dim]A deployment on this machine:[/dim]

      deployment:
        type: single-device
        models:
          - alias: qwen2.5-0.5b            [dim](a name: `pyslm pull` it first; or add path: FILE)[/dim]
            primary: true
        agents:
          - name: office
            context: You help in an office.
            tools:
              - calendar                   [dim](with its own file)[/dim]
              - database: {path: shop.db}  [dim](read-only)[/dim]
              - tools.py                   [dim](functions marked with @tool)[/dim]

    [dim]Then, from anywhere on this machine:[/dim]

      pyslm deploy office.yaml --check

      pyslm deploy office.yaml

      pyslm agent list

      pyslm agent run office "What is on tomorrow?"

      pyslm agent logs office
    """  # noqa: E501
    from pyslm.deploy import deploy, load_deployment, plan_of

    plan = plan_of(load_deployment(file))
    if check:
        _show(plan, as_json)
        raise typer.Exit(2 if plan.missing else 0)
    if plan.missing:
        raise DeploymentError(f"{file} cannot start: {'; '.join(plan.missing)}")
    running = service.find()
    if running is not None:
        raise ServiceError(f"a service runs already at {running.url}; `pyslm service stop` ends it")
    arguments = [str(file.absolute()), "--port", str(port)]
    with _announced(plan, state_file or service.state_path(), arguments, as_json) as announce:
        deploy(
            plan.deployment,
            port=port,
            api_key=api_key,
            drain_seconds=drain,
            log_level=log_level,
            on_ready=announce,
            ends_process=True,
        )


@contextlib.contextmanager
def _announced(
    plan: Plan, state_file: Path, arguments: list[str], as_json: bool
) -> Iterator[Callable[[str], None]]:
    """Says where the agents are, and to programs that look for a service as long as it runs."""

    def announce(url: str) -> None:
        service.announce(state_file, url, arguments, command="deploy")
        agents = plan.report()["agents"]
        if as_json:
            print(json.dumps({"url": url, "agents": agents}), flush=True)
        else:
            print(f"pyslm serves at {url}  (agents: {', '.join(agents)})", flush=True)

    try:
        yield announce
    finally:
        service.withdraw(state_file)


def _show(plan: Plan, as_json: bool) -> None:
    report: dict[str, Any] = plan.report()
    if as_json:
        print(json.dumps(report))
        return
    for alias, model in report["models"].items():
        print(f"model  {alias}: {model['file']} ({model['bytes'] / 1e6:.0f} MB)")
    for name, agent in report["agents"].items():
        print(f"agent  {name}: {', '.join(agent['tools']) or 'no tools'}")
    for problem in report["missing"]:
        print(f"missing  {problem}", file=sys.stderr)
    verdict = "is sound, but not ready" if plan.missing else "is ready"
    print(f"{plan.deployment.file} ({report['type']}) {verdict}")
