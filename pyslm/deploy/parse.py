"""Reads a deployment file and checks all that can be checked without the machine it runs on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pyslm.agents.config import Config
from pyslm.deploy.spec import (
    HARDWARE,
    AgentSpec,
    Coordination,
    Deployment,
    DistributedEdge,
    Hardware,
    ModelSpec,
    NodeSpec,
    SingleDevice,
)
from pyslm.deploy.yaml_file import Section, read_yaml

__all__ = ["ANY_AGENT", "load_deployment"]

ANY_AGENT = "auto"
"""Stands for the agent that fits a request; none may have this name."""

_SINGLE = ("type", "hardware", "models", "agents", "tools")
_DISTRIBUTED = ("type", "nodes", "coordination")
_MODEL = ("alias", "path", "primary", "secondary", "tasks")
_OWN = ("name", "model", "tools")
_BESIDES_CONFIG = ("roles", "policy", "audit", "sessions", "resources", "mcp")
_OF_THE_DEPLOYMENT = ("model_provider", "model_alias", "model_id", "endpoint", "api_key")
"""Fields of `Config` that say where a model is, which is said once for all here."""
_FAILOVERS = ("automatic", "manual", "none")


def load_deployment(path: str | Path) -> Deployment:
    """What a file says.

    Raises:
        DeploymentError: it cannot be read, or says what is not allowed; with the line.
    """
    path = Path(path)
    file = read_yaml(path).fields(["deployment"], ["deployment"])
    section = file["deployment"]
    section.what = "the deployment"
    kind = section.fields({*_SINGLE, *_DISTRIBUTED}, ["type"])["type"]
    if kind.choice(("single-device", "distributed-edge")) == "single-device":
        return _single_device(path, section)
    return _distributed(path, section)


def _single_device(path: Path, section: Section) -> SingleDevice:
    section.what = "a single-device deployment"
    found = section.fields(_SINGLE, ["models", "agents"])
    hardware = found["hardware"].choice(HARDWARE) if "hardware" in found else "workstation"
    models: dict[str, ModelSpec] = {}
    for item in found["models"].items("a model"):
        model = _model(item)
        if model.alias in models:
            item.fail(f"two models have the alias {model.alias}; allowed: one of a name")
        if model.primary and any(other.primary for other in models.values()):
            item.fail("two models are primary; allowed: one")
        models[model.alias] = model
    shared = _tool_settings(found["tools"]) if "tools" in found else {}
    agents: dict[str, AgentSpec] = {}
    for item in found["agents"].items("an agent"):
        agent = _agent(item, models, shared)
        if agent.name in agents:
            item.fail(f"two agents are named {agent.name}; allowed: one of a name")
        agents[agent.name] = agent
    return SingleDevice(
        file=path,
        hardware=cast(Hardware, hardware),
        models=tuple(models.values()),
        agents=tuple(agents.values()),
    )


def _model(section: Section) -> ModelSpec:
    found = section.fields(_MODEL, ["alias"])
    alias = found["alias"].name()
    flags = {name: found[name].flag() for name in ("primary", "secondary") if name in found}
    if all(flags.get(name) for name in ("primary", "secondary")):
        section.fail(f"the model {alias} is primary and secondary; allowed: one of them")
    path = None
    if "path" in found:
        path = section.path.parent / Path(found["path"].text()).expanduser()
    tasks = found["tasks"].names("a task") if "tasks" in found else ()
    return ModelSpec(alias=alias, path=path, tasks=tasks, line=section.line, **flags)


def _agent(
    section: Section, models: Mapping[str, ModelSpec], shared: Mapping[str, Any]
) -> AgentSpec:
    config = {field.name for field in dataclasses.fields(Config)} - set(_OF_THE_DEPLOYMENT)
    found = section.fields({*_OWN, *_BESIDES_CONFIG, *config}, ["name"])
    name = found["name"].name()
    if "/" in name or name == ANY_AGENT:
        found["name"].fail(
            f"name is {name!r:.80}; allowed: no {ANY_AGENT}, which is the agent that fits, and no /"
        )
    model = found["model"].choice(models) if "model" in found else _default(models).alias
    tools = found["tools"].items("a tool") if "tools" in found else []
    settings = {key: part.plain() for key, part in found.items() if key not in _OWN}
    settings["tools"] = [_tool(item, shared) for item in tools]
    return AgentSpec(name=name, model=model, settings=settings, line=section.line)


def _default(models: Mapping[str, ModelSpec]) -> ModelSpec:
    every = list(models.values())
    return next((model for model in every if model.primary), every[0])


def _tool(section: Section, shared: Mapping[str, Any]) -> Any:
    """A name with its settings, or a Python file, as files of agents have them."""
    if not section.is_mapping:
        name = section.text()
        return name if name.endswith(".py") else {name: shared.get(name, {})}
    found = section.entries()
    if len(found) != 1:
        section.fail(f"a tool has {len(found)} keys; allowed: its name, and its settings in that")
    name, settings = next(iter(found.items()))
    return {name: {**shared.get(name, {}), **_settings(settings)}}


def _tool_settings(section: Section) -> dict[str, Any]:
    return {name: _settings(part) for name, part in section.entries().items()}


def _settings(section: Section) -> dict[str, Any]:
    section.what = f"the settings of {section.what}"
    return {name: part.plain() for name, part in section.entries().items()}


def _distributed(path: Path, section: Section) -> DistributedEdge:
    section.what = "a distributed-edge deployment"
    found = section.fields(_DISTRIBUTED, ["nodes"])
    nodes: dict[str, NodeSpec] = {}
    for item in found["nodes"].items("a node"):
        parts = item.fields(("id", "agents", "models"), ("id", "agents", "models"))
        node = NodeSpec(
            id=parts["id"].name(),
            agents=parts["agents"].names("the name of an agent"),
            models=parts["models"].names("the alias of a model"),
            line=item.line,
        )
        if node.id in nodes:
            item.fail(f"two nodes have the id {node.id}; allowed: one of a name")
        nodes[node.id] = node
    coordination = Coordination()
    if "coordination" in found:
        parts = found["coordination"].fields(("load_balancing", "failover"))
        balancing = parts["load_balancing"].flag() if "load_balancing" in parts else False
        failover = parts["failover"].choice(_FAILOVERS) if "failover" in parts else "none"
        coordination = Coordination(load_balancing=balancing, failover=cast(Any, failover))
    return DistributedEdge(file=path, nodes=tuple(nodes.values()), coordination=coordination)
