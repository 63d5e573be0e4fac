"""`AgentHost`: the agents of a deployment, inside the server that has their models."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pyslm.agents.agent import Agent
from pyslm.agents.events import AgentEvent, TextDelta, ToolFinished, ToolStarted
from pyslm.agents.models import EndpointModel
from pyslm.agents.security.audit import default_audit_path
from pyslm.agents.teams.orchestrator import AgentOrchestrator
from pyslm.agents.toolkits import OfflineQueue
from pyslm.deploy.approvals import Approvals
from pyslm.deploy.parse import ANY_AGENT
from pyslm.deploy.plan import build_agents
from pyslm.deploy.spec import SingleDevice
from pyslm.errors import PyslmError
from pyslm.serve.protocol import Dialect, ServeError, Services

__all__ = ["AgentHost", "Asked"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """One request to an agent."""

    input: str
    session: str | None = None
    user: str = ""


@dataclasses.dataclass(slots=True)
class _Counts:
    requests: int = 0
    failed: int = 0
    running: int = 0


class AgentHost:
    """See `ServerExtension`. Lives on the server's event loop."""

    def __init__(
        self,
        deployment: SingleDevice,
        dialect: Callable[[AgentHost, Services], Dialect],
        *,
        api_key: str | None = None,
        queue: OfflineQueue | None = None,
    ) -> None:
        """Makes no agent yet: they need to know where their models are."""
        self.deployment = deployment
        self._dialect = dialect
        self.approvals = Approvals()
        self._api_key = api_key
        self._queue = queue
        self._agents: dict[str, Agent] = {}
        self._orchestrator: AgentOrchestrator | None = None
        names = (*(agent.name for agent in deployment.agents), ANY_AGENT)
        self._counts = {name: _Counts() for name in names}
        self._is_closing = False
        self._idle = asyncio.Event()

    def start(self, url: str) -> None:
        """The models are at this server."""
        endpoint = f"{url}/v1"
        self._agents = build_agents(
            self.deployment,
            endpoint,
            api_key=self._api_key,
            approve=self.approvals.approve,
            queue=self._queue,
        )
        router = self.deployment.router
        self._orchestrator = AgentOrchestrator(
            list(self._agents.values()),
            router=EndpointModel(endpoint, router.alias, self._api_key) if router else None,
        )
        if self._queue is not None:
            self._queue.start()

    def close(self) -> None:
        """Lets go of what the agents hold."""
        for agent in self._agents.values():
            agent.close()
        if self._queue is not None:
            self._queue.close()

    def dialect(self, services: Services) -> Dialect:
        return self._dialect(self, services)

    async def drain(self) -> None:
        self._is_closing = True
        if any(counts.running for counts in self._counts.values()):
            await self._idle.wait()

    # --- what the routes call ---------------------------------------------------------------

    def listed(self) -> list[dict[str, Any]]:
        """The agents, and what they have done."""
        return [
            {
                "name": name,
                "model": agent.config.model,
                "role": agent.config.role,
                "tools": [tool.name for tool in agent.tools],
                **dataclasses.asdict(self._counts[name]),
            }
            for name, agent in self._agents.items()
        ]

    def queued_calls(self) -> int:
        """Calls that wait for the network."""
        return 0 if self._queue is None else len(self._queue.calls("queued"))

    def audit_path(self, name: str) -> Path | None:
        """The log that an agent writes; None: none. Raises ServeError: there is no such agent."""
        self._agent(name)
        settings = next(a.settings for a in self.deployment.agents if a.name == name)
        audit = settings.get("audit", True)
        if audit is True:
            return default_audit_path()
        return self.deployment.file.parent / audit if audit else None

    async def run(self, name: str, asked: Asked) -> dict[str, Any]:
        """Asks an agent; calls that need approval are refused, for nobody can be asked."""
        agent = self._agent(name)
        with self._counted(name):
            return (await agent.run(asked.input, session=asked.session, user=asked.user)).record()

    async def route(self, asked: Asked) -> dict[str, Any]:
        """Asks the agent that fits."""
        self._check_open()
        assert self._orchestrator is not None
        with self._counted(ANY_AGENT):
            result = await self._orchestrator.process_request_async(
                asked.input, session=asked.session, user=asked.user
            )
        self._counts[result.agent].requests += 1
        return result.record()

    async def stream(self, name: str, asked: Asked) -> AsyncGenerator[dict[str, Any], None]:
        """The events of a request; the last one is "done" or "error". Leaving it cancels it."""
        agent = self._agent(name)
        come: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def emit(event: AgentEvent) -> None:
            told = _told(event)
            if told is not None:
                come.put_nowait(told)

        def ask(event: Mapping[str, Any]) -> None:
            loop.call_soon_threadsafe(come.put_nowait, event)

        async def work() -> None:
            try:
                with self._counted(name), self.approvals.asking(ask):
                    result = await agent.run(
                        asked.input, session=asked.session, user=asked.user, emit=emit
                    )
                come.put_nowait({"type": "done", **result.record()})
            except Exception as error:
                if not isinstance(error, PyslmError):
                    _log.error("the agent %s failed", name, exc_info=error)
                come.put_nowait({"type": "error", "message": ServeError.of(error).message})
            finally:
                come.put_nowait(None)

        task = asyncio.create_task(work())
        try:
            while (event := await come.get()) is not None:
                yield dict(event)
        finally:
            task.cancel()

    def _agent(self, name: str) -> Agent:
        self._check_open()
        if name not in self._agents:
            there = ", ".join(self._agents)
            raise ServeError("not_found", f"there is no agent {name!r:.80}; there are: {there}")
        return self._agents[name]

    def _check_open(self) -> None:
        if self._is_closing:
            raise ServeError("unavailable", "the deployment is stopping", retry_after=5)
        if not self._agents:
            raise ServeError("unavailable", "the agents are starting", retry_after=1)

    @contextlib.contextmanager
    def _counted(self, name: str) -> Iterator[_Counts]:
        counts = self._counts[name]
        counts.requests += 1
        counts.running += 1
        try:
            yield counts
        except BaseException:
            counts.failed += 1
            raise
        finally:
            counts.running -= 1
            if self._is_closing and not any(each.running for each in self._counts.values()):
                self._idle.set()


def _told(event: AgentEvent) -> dict[str, Any] | None:
    if isinstance(event, TextDelta):
        return {"type": "text", "text": event.text}
    if isinstance(event, ToolStarted):
        return {"type": "call", "tool": event.call.name, "arguments": event.call.arguments}
    if isinstance(event, ToolFinished):
        result = event.result
        return {
            "type": "result",
            "tool": result.call.name,
            "outcome": result.outcome,
            "seconds": result.seconds,
        }
    return None
