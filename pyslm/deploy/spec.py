"""What a deployment file says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

__all__ = [
    "HARDWARE",
    "AgentSpec",
    "Coordination",
    "Deployment",
    "DistributedEdge",
    "Hardware",
    "ModelSpec",
    "NodeSpec",
    "SingleDevice",
]

Hardware: TypeAlias = Literal["edge-device", "workstation", "server"]

HARDWARE: Mapping[Hardware, int] = {"edge-device": 4, "workstation": 16, "server": 64}
"""How many requests one model answers at a time: each takes memory of its own."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model of a deployment."""

    alias: str
    """What agents and clients call it; without `path`, also its name on this machine."""
    path: Path | None = None
    """A GGUF file."""
    primary: bool = False
    """For agents that name no model."""
    secondary: bool = False
    """What agents of the primary one go to when they scale down."""
    tasks: tuple[str, ...] = ()
    """"routing" and "classification": it chooses the agent of a request."""
    line: int = 0

    @property
    def source(self) -> str:
        """A path, or a name that `pyslm list` knows."""
        return self.alias if self.path is None else str(self.path)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """An agent of a deployment."""

    name: str
    model: str
    """The alias of a model of the deployment."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """As a file of an agent has them: see `pyslm.agents.files`."""
    line: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SingleDevice:
    """All on this machine."""

    file: Path
    hardware: Hardware = "workstation"
    models: tuple[ModelSpec, ...]
    agents: tuple[AgentSpec, ...]

    @property
    def router(self) -> ModelSpec | None:
        """The model that chooses the agent of a request, if one is said to."""
        for task in ("routing", "classification"):
            for model in self.models:
                if task in model.tasks:
                    return model
        return None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One machine of several."""

    id: str
    agents: tuple[str, ...]
    models: tuple[str, ...]
    line: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Coordination:
    """How the machines work together."""

    load_balancing: bool = False
    failover: Literal["automatic", "manual", "none"] = "none"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DistributedEdge:
    """Models and agents on several machines."""

    file: Path
    nodes: tuple[NodeSpec, ...]
    coordination: Coordination = Coordination()


Deployment: TypeAlias = SingleDevice | DistributedEdge
