"""`pyslm service`: a server in the background."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pyslm.cli import running
from pyslm.cli.console import JsonOption
from pyslm.errors import InvalidRequestError

__all__ = ["ServiceState", "running_service", "service_app", "start_service", "stop_service"]

START_SECONDS = 60.0
STOP_SECONDS = 45.0
DEFAULT_PORT = 8000

service_app = typer.Typer(
    name="service",
    help="A server in the background.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port", "-p", min=0, max=65535, help="Default: 8000, or any if that is taken; 0: any."
    ),
]


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceState:
    """What the file of the service says."""

    pid: int
    process_started: float
    """Seconds since 1970: tells the process from a later one of the same id."""
    url: str
    log: str


@service_app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def start(context: typer.Context, port: PortOption = None) -> None:
    """Start a server that stays; further arguments are those of `pyslm serve`.

    [dim]Example:[/dim]

      pyslm service start qwen2.5:0.5b --ctx 8192
    """
    found = running_service()
    if found is not None:
        print(f"pyslm is already running at {found.url} (process {found.pid})")
        return
    state = start_service(port, context.args)
    print(f"pyslm serves at {state.url} (process {state.pid}, log {state.log})")


@service_app.command()
def stop() -> None:
    """End it; running requests may finish."""
    state = stop_service()
    print("pyslm is not running" if state is None else f"stopped {state.url}")


@service_app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def restart(context: typer.Context, port: PortOption = None) -> None:
    """End it and start it anew."""
    stop_service()
    start(context, port)


@service_app.command()
def status(as_json: JsonOption = False) -> None:
    """Tell whether it runs, and where."""
    state = running_service()
    if as_json:
        print(json.dumps(dataclasses.asdict(state) if state else None))
    elif state is None:
        print("pyslm is not running; `pyslm service start` starts it")
    else:
        minutes = (time.time() - state.process_started) / 60
        told = f"process {state.pid}, up {minutes:.0f} min, log {state.log}"
        print(f"pyslm is running at {state.url} ({told})")


@service_app.command()
def ps(as_json: JsonOption = False) -> None:
    """List the models it has in memory."""
    running.ps(_needed().url, as_json)


@service_app.command()
def logs(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="The last so many.")] = 50,
) -> None:
    """Show what it wrote."""
    text = log_path().read_text("utf-8", "replace") if log_path().exists() else ""
    print("\n".join(text.splitlines()[-lines:]))


def running_service() -> ServiceState | None:
    """The service, if it runs."""
    import psutil

    try:
        state = ServiceState(**json.loads(state_path().read_bytes()))
        process = psutil.Process(state.pid)
        alive = process.status() != psutil.STATUS_ZOMBIE
        same = abs(process.create_time() - state.process_started) < 1
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return state if alive and same else None


def start_service(port: int | None, arguments: list[str]) -> ServiceState:
    """Starts a server in a session of its own; returns once it takes requests.

    Raises:
        InvalidRequestError: it did not start, and what it said.
    """
    import psutil

    folder = _folder()
    log = log_path()
    if port is None:
        port = 0 if _is_taken(DEFAULT_PORT) else DEFAULT_PORT
    announced = folder / f".{secrets.token_hex(4)}.url"
    command = [sys.executable, "-m", "pyslm", "serve", "--port", str(port), *arguments]
    try:
        with announced.open("wb") as stdout, log.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        url = _wait_for_url(process, announced, log)
    finally:
        announced.unlink(missing_ok=True)
    state = ServiceState(process.pid, psutil.Process(process.pid).create_time(), url, str(log))
    fresh = folder / f".{secrets.token_hex(4)}"
    fresh.write_text(json.dumps(dataclasses.asdict(state)))
    os.replace(fresh, state_path())
    return state


def _wait_for_url(process: subprocess.Popen[bytes], announced: Path, log: Path) -> str:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        told = announced.read_text("utf-8", "replace")
        if "serves at " in told and told.endswith("\n"):
            process.returncode = 0  # it goes on without us: no ResourceWarning
            return told.partition("serves at ")[2].split()[0]
        if process.poll() is not None:
            break
        time.sleep(0.02)
    else:
        process.terminate()
        process.wait()
    said = log.read_text("utf-8", "replace").strip().splitlines()
    reason = said[-1].removeprefix("pyslm: error: ") if said else "it said nothing"
    raise InvalidRequestError(f"the server did not start: {reason} (log: {log})")


def stop_service() -> ServiceState | None:
    """Ends it; gives what it was."""
    import psutil

    state = running_service()
    if state is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(state.pid)
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(5)
    state_path().unlink(missing_ok=True)
    return state


def state_path() -> Path:
    """Where a running service is written down."""
    return _folder() / "service.json"


def log_path() -> Path:
    """What it writes."""
    return _folder() / "service.log"


def _needed() -> ServiceState:
    state = running_service()
    if state is None:
        raise InvalidRequestError("pyslm is not running; `pyslm service start` starts it")
    return state


def _is_taken(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _folder() -> Path:
    chosen = os.environ.get("PYSLM_STATE_DIR")
    if not chosen:
        import platformdirs

        chosen = platformdirs.user_state_dir("pyslm")
    folder = Path(chosen).expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
