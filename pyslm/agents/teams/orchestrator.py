"""`AgentOrchestrator`: several agents, one of which takes each request; or all of them."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyslm.agents.agent import Agent
from pyslm.agents.events import AgentResult
from pyslm.agents.models.choose import as_model
from pyslm.agents.models.model import Message
from pyslm.agents.portal import portal
from pyslm.agents.security.policy import User
from pyslm.agents.security.safety import AgentRequest
from pyslm.agents.teams.handover import (
    STRATEGIES,
    falls_short,
    handoff_tool,
    joined,
    strategy,
    taken_over,
)
from pyslm.agents.teams.health import HealthReport
from pyslm.agents.teams.router import Router
from pyslm.agents.teams.routing import Route, by_keywords
from pyslm.agents.teams.savings import Ledger, Price, Savings
from pyslm.agents.teams.team import Team
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
        self._team = Team(agents, escalate_to)
        self._router = Router(self._team, None if router is None else as_model(router))
        self._escalate_to = escalate_to
        self._needs_escalation = needs_escalation or falls_short
        self._ledger = Ledger(price)

    @property
    def agents(self) -> tuple[Agent, ...]:
        """Those that requests are routed to."""
        return self._team.agents

    @property
    def savings(self) -> Savings:
        """The share of requests kept local, and what was saved by it."""
        return self._ledger.savings()

    def health(self) -> Mapping[str, HealthReport]:
        """Of each agent."""
        return self._team.health()

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
        return await self._routed(request, await self._router.route(text, chosen), private)

    async def run_concurrent(
        self, text: str, *, session: str | None = None, user: str | User = "", private: bool = False
    ) -> list[AgentResult]:
        """All agents answer, beside each other; in their order.

        Raises:
            AgentError: none of them could.
        """
        who = user if isinstance(user, User) else User(user) if user else None
        request = AgentRequest(text, session=session, user=who)
        agents = [agent for agent in self.agents if not private or await self._team.is_near(agent)]
        found = await asyncio.gather(
            *(self._team.ask(agent, request) for agent in agents), return_exceptions=True
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

    # --- work ---------------------------------------------------------------------------------

    async def _routed(self, request: AgentRequest, route: Route, private: bool) -> AgentResult:
        """The first agent of the route that can answer; then a larger one, if need be."""
        errors: list[str] = []
        for name in self._team.by_health(route.names):
            agent = self._team[name]
            if private and not await self._team.is_near(agent):
                errors.append(f"{name}: its model is beyond this machine")
                continue
            trail: list[Message] = []
            try:
                result = await self._team.ask(agent, dataclasses.replace(request, trail=trail))
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
            result = await self._team.ask(self._escalate_to, request)
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
            better = await self._team.ask(larger, taken_over(request, result.messages, _NOT_ENOUGH))
        except PyslmError:  # what there is is better than nothing
            self._ledger.answered(result.agent, local=await self._team.is_near(agent))
            return result
        await self._count(better)
        return better

    async def _may_escalate(self, agent: Agent | None, private: bool) -> bool:
        """Whether policy and privacy let a request go on. Connectivity shows when it is asked."""
        larger = self._escalate_to
        assert larger is not None
        if not self._team.health()[larger.name].is_available:
            return False
        if await self._team.is_near(larger):
            return True
        asking = [agent] if agent is not None else list(self.agents)
        bound = any(a.config.privacy_mode or a.config.offline_mode for a in asking)
        return not private and not bound

    async def _count(self, result: AgentResult) -> None:
        await self._count_tokens(result)
        self._ledger.answered(result.agent, local=await self._was_local(result))

    async def _count_tokens(self, result: AgentResult) -> None:
        self._ledger.used(result.usage, local=await self._was_local(result))

    async def _was_local(self, result: AgentResult) -> bool:
        found = self._team.get(result.agent) or self._escalate_to
        return found is None or await self._team.is_near(found)

    # --- together -----------------------------------------------------------------------------

    async def _sequential(self, request: AgentRequest, private: bool) -> AgentResult:
        """Each agent works on what the one before it has answered."""
        result: AgentResult | None = None
        for agent in self.agents:
            if private and not await self._team.is_near(agent):
                continue
            if result is not None:
                said = f"{request.text}\n\nFrom {result.agent}:\n{result.text}"
                request = dataclasses.replace(request, before=result.messages)
                result = await self._team.ask(agent, dataclasses.replace(request, text=said))
            else:
                result = await self._team.ask(agent, request)
            await self._count_tokens(result)
        if result is None:
            raise AgentError("no agent could answer: their models are beyond this machine")
        self._ledger.answered(result.agent, local=await self._was_local(result))
        return result

    async def _handoff(self, request: AgentRequest, private: bool) -> AgentResult:
        """An agent answers, or hands the conversation over to one that it names."""
        agent = self._team[by_keywords(request.text, self.agents).names[0]]
        for remaining in reversed(range(MAX_HANDOFFS + 1)):
            chosen: list[str] = []
            others = [a for a in self.agents if a is not agent]
            if private:
                others = [a for a in others if await self._team.is_near(a)]
            tools = [handoff_tool(other, chosen) for other in others] if remaining else []
            over = functools.partial(_is_over, chosen)
            asked = dataclasses.replace(request, more_tools=tools, hands_over=over)
            result = await self._team.ask(agent, asked)
            await self._count_tokens(result)
            if result.finish_reason != "handoff":
                break
            agent = self._team[chosen[0]]
            request = taken_over(request, result.messages, _HANDED_OVER)
        self._ledger.answered(result.agent, local=await self._was_local(result))
        return result


def _is_over(chosen: Sequence[str], results: Sequence[ToolResult]) -> bool:
    return bool(chosen) and bool(results)
