"""What a deployment needs, and what of it is on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyslm.agents.agent import Agent
from pyslm.agents.files import known_agents, make_agent
from pyslm.agents.security.policy import ApprovalHook
from pyslm.agents.toolkits import OfflineQueue
from pyslm.deploy.spec import AgentSpec, Deployment, DistributedEdge, SingleDevice
from pyslm.errors import AgentConfigError, DeploymentError, PyslmError
from pyslm.hub import resolve
from pyslm.inspect_model import inspect_model
from pyslm.model_info import check_model_path

__all__ = ["Plan", "build_agents", "plan_of"]

_NO_SERVER = "http://127.0.0.1:9/v1"
"""For agents that are made to see whether they can be."""
_SEVERAL_MACHINES = (
    "a registry of the nodes, and how they reach each other",
    "sending requests to the node that has the agent",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A deployment that says nothing wrong, and what it needs."""

    deployment: Deployment
    models: Mapping[str, Path]
    """Alias -> file, of those that are here."""
    agents: Mapping[str, Sequence[str]]
    """Name -> its tools."""
    missing: Sequence[str]
    """What has to be there before it can start, and what to do about it."""

    def report(self) -> dict[str, Any]:
        """For JSON."""
        kind = "single-device" if isinstance(self.deployment, SingleDevice) else "distributed-edge"
        return {
            "file": str(self.deployment.file),
            "type": kind,
            "ready": not self.missing,
            "models": {
                alias: {"file": str(path), "bytes": path.stat().st_size}
                for alias, path in self.models.items()
            },
            "agents": {name: {"tools": list(tools)} for name, tools in self.agents.items()},
            "missing": list(self.missing),
        }


def plan_of(deployment: Deployment) -> Plan:
    """Looks for what it needs; starts nothing and fetches nothing.

    Raises:
        DeploymentError: an agent, or a tool of one, is set up in a way that cannot work.
    """
    if isinstance(deployment, DistributedEdge):
        return _distributed_plan(deployment)
    models, missing = _files([(m.alias, m.source, m.line) for m in deployment.models])
    agents = build_agents(deployment, _NO_SERVER)
    tools = {name: [tool.name for tool in agent.tools] for name, agent in agents.items()}
    for agent in agents.values():
        agent.close()
    return Plan(deployment, models, tools, missing)


def build_agents(
    deployment: SingleDevice,
    endpoint: str,
    *,
    api_key: str | None = None,
    approve: ApprovalHook | None = None,
    queue: OfflineQueue | None = None,
) -> dict[str, Agent]:
    """The agents, by name; they ask the models of a server, at their first request.

    Raises:
        DeploymentError: one of them is set up in a way that cannot work.
    """
    agents: dict[str, Agent] = {}
    for spec in deployment.agents:
        try:
            agents[spec.name] = make_agent(
                {"audit": True, **spec.settings, "name": spec.name},
                deployment.file.parent,
                approve=approve,
                queue=queue,
                model_provider="pyslm",
                model_alias=spec.model,
                endpoint=endpoint,
                api_key=api_key,
                **_fallbacks(deployment, spec),
            )
        except (AgentConfigError, TypeError) as error:
            raise DeploymentError(
                f"{deployment.file}:{spec.line}: the agent {spec.name}: {error}"
            ) from None
    return agents


def _fallbacks(deployment: SingleDevice, spec: AgentSpec) -> dict[str, Any]:
    """The secondary models, for agents of another one that name none themselves."""
    if "fallback_models" in spec.settings:
        return {}
    smaller = [m.alias for m in deployment.models if m.secondary and m.alias != spec.model]
    return {"fallback_models": smaller}


def _files(wanted: Sequence[tuple[str, str, int]]) -> tuple[dict[str, Path], list[str]]:
    """Files of models, and what is to be done about those that are not there."""
    found: dict[str, Path] = {}
    missing = []
    for alias, source, line in wanted:
        try:
            path = check_model_path(resolve(source)).resolve()
            if not inspect_model(path).metadata.get("tokenizer.chat_template"):
                missing.append(
                    f"line {line}: the model {alias}: {path.name} has no chat template, so agents "
                    "cannot talk with it; name a model tuned for chat"
                )
            found[alias] = path
        except (PyslmError, OSError) as error:
            missing.append(f"line {line}: the model {alias}: {error}")
    return found, missing


def _distributed_plan(deployment: DistributedEdge) -> Plan:
    sources = {
        model: (model, model, node.line) for node in deployment.nodes for model in node.models
    }
    models, missing = _files(list(sources.values()))
    known = known_agents()
    wanted = {name: node.line for node in deployment.nodes for name in node.agents}
    missing += [
        f"line {line}: the agent {name}: no file {name}.toml in the folder of agents says what it "
        "is"
        for name, line in wanted.items()
        if name not in known
    ]
    parts = [*_SEVERAL_MACHINES]
    if deployment.coordination.load_balancing:
        parts.append("coordination.load_balancing: balancing between nodes")
    if deployment.coordination.failover != "none":
        parts.append(f"coordination.failover: {deployment.coordination.failover} failover")
    missing += [f"not in this version of pyslm: {part}" for part in parts]
    return Plan(deployment, models, dict.fromkeys(wanted, ()), missing)
