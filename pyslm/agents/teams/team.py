"""`Team`: agents that work together, and how each is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pyslm.agents.agent import Agent
from pyslm.agents.events import AgentResult
from pyslm.agents.security.safety import AgentRequest
from pyslm.agents.teams.health import Health, HealthReport
from pyslm.errors import PyslmError

__all__ = ["MAX_RUNNING", "Team"]

MAX_RUNNING = 10
"""Requests that one agent runs at the same time; others wait."""


class Team:
    """Agents under their names.

    Args:
        agents: those that requests are routed to.
        escalate_to: who stands behind them.
    """

    def __init__(self, agents: Sequence[Agent], escalate_to: Agent | None = None) -> None:
        self.agents = tuple(agents)
        self._everyone = {agent.name: agent for agent in agents}
        if escalate_to is not None:
            self._everyone.setdefault(escalate_to.name, escalate_to)
        self._health = {name: Health() for name in self._everyone}

    def __getitem__(self, name: str) -> Agent:
        return self._everyone[name]

    def get(self, name: str) -> Agent | None:
        """None: nobody is called so."""
        return self._everyone.get(name)

    def health(self) -> Mapping[str, HealthReport]:
        """Of each agent."""
        return {name: health.report() for name, health in self._health.items()}

    async def ask(self, agent: Agent, request: AgentRequest) -> AgentResult:
        """One agent's answer, and how it was doing."""
        health = self._health[agent.name]
        while health.report().num_running >= MAX_RUNNING:
            await asyncio.sleep(0.01)
        began = health.began()
        try:
            result = await agent.run_request(request)
        except asyncio.CancelledError:
            health.left()
            raise
        except BaseException:
            health.ended(began, ok=False)
            raise
        health.ended(began, ok=True)
        return result

    def by_health(self, names: Sequence[str]) -> list[str]:
        """Those that are available first, in the order of the route; of the others, the fastest."""
        reports = {name: self._health[name].report() for name in names}
        first, *others = names
        standing_by = sorted(others, key=lambda name: reports[name].latency_seconds)
        ordered = [first, *standing_by]
        return sorted(ordered, key=lambda name: not reports[name].is_available)

    async def is_near(self, agent: Agent) -> bool:
        """Whether its model is on this machine."""
        try:
            return (await agent.model()).place != "network"
        except PyslmError:
            return True  # it will say itself what is wrong
