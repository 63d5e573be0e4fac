"""`AgentOrchestrator`: several agents, one of which takes each request; or all of them."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyslm.agents.agent import Agent
from pyslm.agents.events import AgentResult
from pyslm.agents.handover import (
    STRATEGIES,
    falls_short,
    handoff_tool,
    joined,
    strategy,
    taken_over,
)
from pyslm.agents.health import Health, HealthReport
from pyslm.agents.models.choose import as_model
from pyslm.agents.models.model import ChatModel, Message
from pyslm.agents.policy import User
from pyslm.agents.portal import portal
from pyslm.agents.routing import Route, by_intent, by_keywords, complexity_of, size_of
from pyslm.agents.safety import AgentRequest
from pyslm.agents.savings import Ledger, Price, Savings
from pyslm.agents.toolbox import ToolResult
from pyslm.errors import (
    AccessDeniedError,
    AgentConfigError,
    AgentError,
    AuditError,
    PyslmError,
    SessionError,
)

__all__ = ["STRATEGIES", "AgentOrchestrator"]

MAX_RUNNING = 10
"""Requests that one agent runs at the same time; others wait."""
MAX_HANDOFFS = 8
_INTERRUPTED = "An agent before you was interrupted; what it has done stands above."
_NOT_ENOUGH = "The answer above is not good enough. Answer better."
_HANDED_OVER = "This was handed over to you."
# What no other agent would mend: it is a decision, or would be done twice.
_FINAL = (AccessDeniedError, AgentConfigError, AuditError, SessionError)


class AgentOrchestrator:
    """Routes requests to agents, and on to others when they fail or are not up to it.

    ::

        orchestrator = AgentOrchestrator([scheduling, technical])
        result = orchestrator.process_request("I need a callback", routing_strategy="intent-based")
        print(result.text, result.agent)

    Args:
        agents: at least one; their names differ.
        router: a small model that chooses by intent: as `Agent(model=...)` takes it. None: the
            model of an agent whose role or specialty is routing, else rules.
        escalate_to: an agent on a larger model, here or in the cloud. It gets what the others could
            not answer, with the conversation so far. A model beyond this machine is asked only for
            requests, and by agents, that are neither private nor offline.
        needs_escalation: whether an answer is not good enough. None: one that was cut off, made in
            a loop, or says that it does not know.
        price: of the cloud model that local work is compared with.

    Raises:
        AgentConfigError: no agents, two of one name, or an unknown strategy.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        *,
        router: Any = None,
        escalate_to: Agent | None = None,
        needs_escalation: Callable[[AgentResult], bool] | None = None,
        price: Price | None = None,
    ) -> None:
        names = [agent.name for agent in agents]
        if not names or len(set(names)) < len(names):
            raise AgentConfigError(
                f"the agents are {names}; allowed: at least one, with names that differ"
            )
        self._agents = {agent.name: agent for agent in agents}
        self._router = None if router is None else as_model(router)
        self._escalate_to = escalate_to
        self._needs_escalation = needs_escalation or falls_short
        self._ledger = Ledger(price)
        everyone = [*agents, *([escalate_to] if escalate_to else [])]
        self._health = {agent.name: Health() for agent in everyone}
        self._turn = itertools.count()

    @property
    def agents(self) -> tuple[Agent, ...]:
        """Those that requests are routed to."""
        return tuple(self._agents.values())

    @property
    def savings(self) -> Savings:
        """The share of requests kept local, and what was saved by it."""
        return self._ledger.savings()

    def health(self) -> Mapping[str, HealthReport]:
        """Of each agent."""
        return {name: health.report() for name, health in self._health.items()}

    def process_request(
        self, text: str, routing_strategy: str = "intent-based", **of: Any
    ) -> AgentResult:
        """Answers a request; waits for it. As `process_request_async`."""
        return portal().run(self.process_request_async(text, routing_strategy, **of))

    async def process_request_async(
        self,
        text: str,
        routing_strategy: str = "intent-based",
        *,
        session: str | None = None,
        user: str | User = "",
        private: bool = False,
    ) -> AgentResult:
        """Answers a request.

        Args:
            routing_strategy: one of `STRATEGIES`.
            session, user: as of `Agent.chat`; the agents should share a store.
            private: it never leaves this machine, whatever else is configured.

        Raises:
            AgentError: all agents that could answer have failed; says how.
            AgentConfigError: an unknown strategy.
        """
        chosen = strategy(routing_strategy)
        who = user if isinstance(user, User) else User(user) if user else None
        request = AgentRequest(text, session=session, user=who)
        if chosen == "sequential":
            return await self._sequential(request, private)
        if chosen == "concurrent":
            results = await self.run_concurrent(text, session=session, user=user, private=private)
            return joined(results)
        if chosen == "handoff":
            return await self._handoff(request, private)
        return await self._routed(request, await self._route(text, chosen), private)

    async def run_concurrent(
        self, text: str, *, session: str | None = None, user: str | User = "", private: bool = False
    ) -> list[AgentResult]:
        """All agents answer, beside each other; in their order.

        Raises:
            AgentError: none of them could.
        """
        who = user if isinstance(user, User) else User(user) if user else None
        request = AgentRequest(text, session=session, user=who)
        agents = [agent for agent in self.agents if not private or await self._is_near(agent)]
        found = await asyncio.gather(
            *(self._asked(agent, request) for agent in agents), return_exceptions=True
        )
        results = [each for each in found if isinstance(each, AgentResult)]
        errors = [each for each in found if isinstance(each, BaseException)]
        for error in errors:
            if not isinstance(error, PyslmError):
                raise error
        if not results:
            raise AgentError(f"no agent could answer: {'; '.join(map(str, errors)) or 'no agents'}")
        for result in results:
            await self._count(result)
        return results

    # --- routes -------------------------------------------------------------------------------

    async def _route(self, text: str, strategy: str) -> Route:
        agents = self.agents
        if strategy == "keyword":
            return by_keywords(text, agents)
        if strategy == "intent-based":
            return await by_intent(text, agents, await self._routing_model())
        first = next(self._turn) % len(agents)
        names = tuple(agent.name for agent in (*agents[first:], *agents[:first]))
        if strategy == "round-robin":
            return Route(names, "in turn")
        if strategy == "least-loaded":
            running = {name: self._health[name].report().num_running for name in names}
            return Route(tuple(sorted(names, key=running.__getitem__)), "the least loaded")
        return self._by_complexity(text)

    def _by_complexity(self, text: str) -> Route:
        """The smallest model that is up to it; larger ones stand by, then smaller ones."""
        sized = sorted(
            self.agents, key=lambda agent: size_of(agent, 3.0 + self.agents.index(agent) / 100)
        )
        level = complexity_of(text)
        share = {"simple": 0.0, "moderate": 0.5, "complex": 1.0}[level]
        first = round(share * (len(sized) - 1))
        ordered = [*sized[first:], *reversed(sized[:first])]
        return Route(tuple(agent.name for agent in ordered), f"it is {level}")

    async def _routing_model(self) -> ChatModel | None:
        if self._router is None:
            for agent in self.agents:
                jobs = " ".join((agent.config.role, *agent.config.specialties)).lower()
                if "rout" in jobs or "classif" in jobs:
                    try:
                        return await agent.model()
                    except PyslmError:
                        return None  # rules do
        return self._router

    # --- work ---------------------------------------------------------------------------------

    async def _routed(self, request: AgentRequest, route: Route, private: bool) -> AgentResult:
        """The first agent of the route that can answer; then a larger one, if need be."""
        errors: list[str] = []
        for name in self._by_health(route.names):
            agent = self._agents[name]
            if private and not await self._is_near(agent):
                errors.append(f"{name}: its model is beyond this machine")
                continue
            trail: list[Message] = []
            try:
                result = await self._asked(agent, dataclasses.replace(request, trail=trail))
            except _FINAL:
                raise
            except PyslmError as error:
                errors.append(f"{name}: {error}")
                self._ledger.failed_over()
                request = taken_over(request, trail, _INTERRUPTED)
                continue
            return await self._escalated(agent, request, result, private)
        if self._escalate_to is not None and await self._may_escalate(None, private):
            self._ledger.escalated()
            result = await self._asked(self._escalate_to, request)
            await self._count(result)
            return result
        raise AgentError(f"no agent could answer: {'; '.join(errors)}")

    async def _escalated(
        self, agent: Agent, request: AgentRequest, result: AgentResult, private: bool
    ) -> AgentResult:
        larger = self._escalate_to
        if larger is None or not self._needs_escalation(result):
            await self._count(result)
            return result
        if not await self._may_escalate(agent, private):
            await self._count(result)
            return result
        self._ledger.escalated()
        await self._count_tokens(result)
        try:
            better = await self._asked(larger, taken_over(request, result.messages, _NOT_ENOUGH))
        except PyslmError:  # what there is is better than nothing
            self._ledger.answered(result.agent, local=await self._is_near(agent))
            return result
        await self._count(better)
        return better

    async def _may_escalate(self, agent: Agent | None, private: bool) -> bool:
        """Whether policy and privacy let a request go on. Connectivity shows when it is asked."""
        larger = self._escalate_to
        assert larger is not None
        if not self._health[larger.name].report().is_available:
            return False
        if await self._is_near(larger):
            return True
        asking = [agent] if agent is not None else list(self.agents)
        bound = any(a.config.privacy_mode or a.config.offline_mode for a in asking)
        return not private and not bound

    async def _asked(self, agent: Agent, request: AgentRequest) -> AgentResult:
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

    def _by_health(self, names: Sequence[str]) -> list[str]:
        """Those that are available first, in the order of the route; of the others, the fastest."""
        reports = {name: self._health[name].report() for name in names}
        first, *others = names
        standing_by = sorted(others, key=lambda name: reports[name].latency_seconds)
        ordered = [first, *standing_by]
        return sorted(ordered, key=lambda name: not reports[name].is_available)

    async def _is_near(self, agent: Agent) -> bool:
        try:
            return (await agent.model()).place != "network"
        except PyslmError:
            return True  # it will say itself what is wrong

    async def _count(self, result: AgentResult) -> None:
        await self._count_tokens(result)
        self._ledger.answered(result.agent, local=await self._was_local(result))

    async def _count_tokens(self, result: AgentResult) -> None:
        self._ledger.used(result.usage, local=await self._was_local(result))

    async def _was_local(self, result: AgentResult) -> bool:
        found = self._agents.get(result.agent, self._escalate_to)
        return found is None or await self._is_near(found)

    # --- together -----------------------------------------------------------------------------

    async def _sequential(self, request: AgentRequest, private: bool) -> AgentResult:
        """Each agent works on what the one before it has answered."""
        result: AgentResult | None = None
        for agent in self.agents:
            if private and not await self._is_near(agent):
                continue
            if result is not None:
                said = f"{request.text}\n\nFrom {result.agent}:\n{result.text}"
                request = dataclasses.replace(request, before=result.messages)
                result = await self._asked(agent, dataclasses.replace(request, text=said))
            else:
                result = await self._asked(agent, request)
            await self._count_tokens(result)
        if result is None:
            raise AgentError("no agent could answer: their models are beyond this machine")
        self._ledger.answered(result.agent, local=await self._was_local(result))
        return result

    async def _handoff(self, request: AgentRequest, private: bool) -> AgentResult:
        """An agent answers, or hands the conversation over to one that it names."""
        agent = self._agents[by_keywords(request.text, self.agents).names[0]]
        for remaining in reversed(range(MAX_HANDOFFS + 1)):
            chosen: list[str] = []
            others = [a for a in self.agents if a is not agent]
            if private:
                others = [a for a in others if await self._is_near(a)]
            tools = [handoff_tool(other, chosen) for other in others] if remaining else []
            over = functools.partial(_is_over, chosen)
            asked = dataclasses.replace(request, more_tools=tools, hands_over=over)
            result = await self._asked(agent, asked)
            await self._count_tokens(result)
            if result.finish_reason != "handoff":
                break
            agent = self._agents[chosen[0]]
            request = taken_over(request, result.messages, _HANDED_OVER)
        self._ledger.answered(result.agent, local=await self._was_local(result))
        return result


def _is_over(chosen: Sequence[str], results: Sequence[ToolResult]) -> bool:
    return bool(chosen) and bool(results)
