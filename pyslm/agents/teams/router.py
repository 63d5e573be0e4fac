"""`Router`: which agents of a team a request goes to, by the strategy that is asked for."""

from __future__ import annotations

import itertools

from pyslm.agents.models.model import ChatModel
from pyslm.agents.teams.routing import Route, by_intent, by_keywords, complexity_of, size_of
from pyslm.agents.teams.team import Team
from pyslm.errors import PyslmError

__all__ = ["Router"]


class Router:
    """Makes routes through a team.

    Args:
        model: chooses by intent; None: that of an agent whose role or specialty is routing, else
            rules.
    """

    def __init__(self, team: Team, model: ChatModel | None) -> None:
        self._team = team
        self._model = model
        self._turn = itertools.count()

    async def route(self, text: str, strategy: str) -> Route:
        """Who is to answer; `strategy` is one that chooses among agents."""
        agents = self._team.agents
        if strategy == "keyword":
            return by_keywords(text, agents)
        if strategy == "intent-based":
            return await by_intent(text, agents, await self._chooser())
        first = next(self._turn) % len(agents)
        names = tuple(agent.name for agent in (*agents[first:], *agents[:first]))
        if strategy == "round-robin":
            return Route(names, "in turn")
        if strategy == "least-loaded":
            health = self._team.health()
            by_load = sorted(names, key=lambda name: health[name].num_running)
            return Route(tuple(by_load), "the least loaded")
        return self._by_complexity(text)

    def _by_complexity(self, text: str) -> Route:
        """The smallest model that is up to it; larger ones stand by, then smaller ones."""
        agents = self._team.agents
        sized = sorted(agents, key=lambda agent: size_of(agent, 3.0 + agents.index(agent) / 100))
        level = complexity_of(text)
        share = {"simple": 0.0, "moderate": 0.5, "complex": 1.0}[level]
        first = round(share * (len(sized) - 1))
        ordered = [*sized[first:], *reversed(sized[:first])]
        return Route(tuple(agent.name for agent in ordered), f"it is {level}")

    async def _chooser(self) -> ChatModel | None:
        if self._model is None:
            for agent in self._team.agents:
                jobs = " ".join((agent.config.role, *agent.config.specialties)).lower()
                if "rout" in jobs or "classif" in jobs:
                    try:
                        return await agent.model()
                    except PyslmError:
                        return None  # rules do
        return self._model
