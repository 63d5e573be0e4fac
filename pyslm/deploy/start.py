"""Runs a deployment until it is told to end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from pyslm.agents.security.audit import default_audit_path
from pyslm.agents.toolkits import OfflineQueue
from pyslm.deploy.host import AgentHost
from pyslm.deploy.parse import load_deployment
from pyslm.deploy.plan import Plan, plan_of
from pyslm.deploy.routes import agents_dialect
from pyslm.deploy.spec import HARDWARE, Deployment, SingleDevice
from pyslm.errors import DeploymentError
from pyslm.serve.config import ServeConfig
from pyslm.serve.server import serve

__all__ = ["deploy", "queue_path"]


def deploy(
    deployment: Deployment | str | Path,
    *,
    port: int = 0,
    api_key: str | None = None,
    drain_seconds: float = 30.0,
    log_level: str = "info",
    on_ready: Callable[[str], None] = lambda url: None,
    ends_process: bool = False,
) -> None:
    """Starts the models and the agents of a deployment on this machine, and serves them until
    SIGTERM or SIGINT; requests that run then may end. Call it on the main thread.

    Args:
        deployment: what a file says, or the file.
        port: on the loopback address; 0: a free one.
        api_key: clients must send it; None: whoever is on this machine may ask.
        on_ready: called with the server's URL once the agents take requests.
        ends_process: nothing comes after it, and signals stay without effect. Else their handlers
            are afterwards what they were.

    Raises:
        DeploymentError: the file is wrong, or what it needs is missing: all of it is told.
        PyslmError: a model cannot be loaded.
        OSError: the port cannot be bound.
    """
    if isinstance(deployment, (str, Path)):
        deployment = load_deployment(deployment)
    plan = plan_of(deployment)
    if plan.missing or not isinstance(deployment, SingleDevice):
        raise DeploymentError(f"{deployment.file} cannot start: {'; '.join(plan.missing)}")
    config = _server_config(deployment, plan, port, api_key, drain_seconds, log_level)
    queue = OfflineQueue(queue_path())
    host = AgentHost(deployment, agents_dialect, api_key=api_key, queue=queue)

    failures: list[Exception] = []

    def ready(url: str) -> None:
        try:
            host.start(url)
            on_ready(url)
        except Exception as error:  # on the server's event loop, which it must not end
            failures.append(error)
            signal.raise_signal(signal.SIGTERM)

    try:
        serve(config, ready, host, ends_process=ends_process)
    finally:
        host.close()
    if failures:
        raise failures[0]


def queue_path() -> Path:
    """Where calls wait for the network: beside the audit log."""
    return default_audit_path().with_name("queued-calls.db")


def _server_config(
    deployment: SingleDevice,
    plan: Plan,
    port: int,
    api_key: str | None,
    drain_seconds: float,
    log_level: str,
) -> ServeConfig:
    aliases: dict[str, list[str]] = {}
    for model in sorted(deployment.models, key=lambda model: not model.primary):
        # A file that has two names is in memory once.
        aliases.setdefault(str(plan.models[model.alias]), []).append(model.alias)
    return ServeConfig(
        models=tuple(aliases),
        aliases=aliases,
        max_loaded_models=len(aliases),
        max_sequences=HARDWARE[deployment.hardware],
        port=port,
        api_keys=() if api_key is None else (api_key,),
        drain_seconds=drain_seconds,
        log_level=log_level,
    )
