"""`Agent`: a model with a job, tools and a memory."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pyslm.agents.answering import Answering
from pyslm.agents.asking import Asking
from pyslm.agents.config import Config
from pyslm.agents.events import AgentResult, Done
from pyslm.agents.mcp.load import server_tools
from pyslm.agents.mcp.server import McpServer
from pyslm.agents.models.choose import as_model, check_reach, choose_model
from pyslm.agents.models.model import ChatModel
from pyslm.agents.models.pool import shared_pool
from pyslm.agents.monitoring.monitor import AgentMonitor
from pyslm.agents.monitoring.resources import ResourceConfig, Resources, resources_of
from pyslm.agents.portal import portal
from pyslm.agents.security.audit import AuditLog
from pyslm.agents.security.filters import TextFilter
from pyslm.agents.security.policy import ApprovalHook, Policy
from pyslm.agents.security.safety import AgentRequest, Safety
from pyslm.agents.state.sessions import SessionStore, default_store
from pyslm.agents.toolbox import Toolbox
from pyslm.agents.tools import Tool
from pyslm.errors import AgentConfigError

if TYPE_CHECKING:
    from pyslm.agents.mcp.server_tools import ServerTools

__all__ = ["Agent"]

_F = TypeVar("_F", bound=Callable[..., Any])


class Agent(Asking):
    """A model with a job and tools.

    ::

        agent = pyslm.Agent(pyslm.Config(model_alias="qwen2.5-0.5b"))

        @agent.tool
        def get_current_time() -> str:
            \"\"\"Get the current time.\"\"\"
            return datetime.now().isoformat()

        print(agent.chat("What time is it?"))

    Each request stands alone unless it names a session. Several may run at once, from threads and
    from event loops. What is not ready when the agent is made (a service, a model's file) is
    looked for at the first request.

    Args:
        config: what the agent is; None: the defaults.
        model: an `LLM`, an `AsyncLLM`, a path or name, or a `ChatModel`; None: as `config` says.
        model_endpoint, api_key: those of `config`, given here.
        resource_limits: what the agent may take of the machine.
        tools: functions or `Tool`s; see also the decorator `tool`.
        mcp: servers whose tools it may use, too; see also `add_mcp_server`.
        sessions: where conversations and memories are kept: a store or a path. None: the user's
            own file, once a session is named.
        policy: which tools may be called; None: all that are not sensitive.
        roles: those of the agent, in the policy.
        approve: asked for calls that need approval; without it they are refused.
        audit: a log, or its path. None: none, unless `compliance` asks for one: then the user's
            own.
        input_filters: each takes the user's text and gives it back, changed or not, or refuses it.
        output_filters: the same for the answer, which then comes in one piece.

    Raises:
        AgentConfigError: something is set up wrongly.
        AccessDeniedError: the model is beyond this machine, and the config forbids that.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        model: Any = None,
        model_endpoint: str | None = None,
        api_key: str | None = None,
        resource_limits: ResourceConfig | None = None,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        mcp: Iterable[McpServer] = (),
        sessions: SessionStore | str | os.PathLike[str] | None = None,
        policy: Policy | None = None,
        roles: Sequence[str] = (),
        approve: ApprovalHook | None = None,
        audit: AuditLog | str | os.PathLike[str] | None = None,
        input_filters: Sequence[TextFilter] = (),
        output_filters: Sequence[TextFilter] = (),
    ) -> None:
        config = Config() if config is None else config
        if not isinstance(config, Config):
            raise AgentConfigError(f"config is {config!r:.80}; allowed: a Config")
        if model_endpoint is not None:
            config = config.replace(endpoint=model_endpoint)
        if api_key is not None:
            config = config.replace(api_key=api_key)
        self._config = config
        self._resources = Resources(ResourceConfig())
        if resource_limits is not None:
            self._resources = resources_of(resource_limits)
        self._pool = shared_pool() if resource_limits is None else self._resources.pool
        self._monitors: list[AgentMonitor] = []
        self._was_given = model is not None
        self._model: ChatModel | None = None
        if model is not None:
            self._model = as_model(model, self._pool)
            check_reach(config, self._model)
        self._tools = Toolbox(timeout=config.timeout, max_result_chars=config.max_result_chars)
        for each in tools:
            self.add_tool(each)
        self._servers: dict[str, ServerTools] = {}
        for server in mcp:
            self.add_mcp_server(server)
        if sessions is not None and not isinstance(sessions, SessionStore):
            sessions = SessionStore(sessions)
        self._sessions = sessions
        self._safety = Safety.of(
            config,
            policy=policy,
            roles=roles,
            approve=approve,
            audit=audit,
            input_filters=input_filters,
            output_filters=output_filters,
        )

    @property
    def name(self) -> str:
        """That of the config."""
        return self._config.name

    @property
    def config(self) -> Config:
        """What the agent is."""
        return self._config

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What it may call."""
        return tuple(self._tools)

    def add_tool(self, tool: Tool | Callable[..., Any]) -> Tool:
        """Offers a tool to the model.

        Raises:
            AgentConfigError: it cannot be a tool, or there is one of that name.
        """
        made = tool if isinstance(tool, Tool) else Tool(tool)
        self._tools.add(made)
        return made

    def add_mcp_server(self, server: McpServer) -> None:
        """Offers the tools of an MCP server to the model, under "<server>__<tool>". The server is
        started, or reached, at the next request; it is asked at each request what it has.

        Raises:
            AgentConfigError: the extra `mcp` is missing, or there is a server of that name.
            AccessDeniedError: the server could reach other machines, and the config forbids that.
        """
        if not isinstance(server, McpServer):
            raise AgentConfigError(f"an MCP server is {server!r:.80}; allowed: an McpServer")
        if server.name in self._servers:
            raise AgentConfigError(f"two MCP servers are named {server.name}; allowed: one")
        server.check_reach(self._config)
        self._servers[server.name] = server_tools(server)

    @property
    def mcp_servers(self) -> tuple[ServerTools, ...]:
        """The MCP servers, with what is known of their tools."""
        return tuple(self._servers.values())

    def close(self) -> None:
        """Ends the MCP servers that were started for this agent; a later request starts them anew.
        Those that are not ended end with the program."""
        for server in self._servers.values():
            portal().run(server.close())

    @overload
    def tool(self, function: _F, /) -> _F: ...
    @overload
    def tool(
        self,
        *,
        name: str = ...,
        description: str = ...,
        timeout: float | None = ...,
        sensitive: bool = ...,
        writes: bool = ...,
        trusted: bool = ...,
        network: bool = ...,
    ) -> Callable[[_F], _F]: ...
    def tool(self, function: Any = None, **settings: Any) -> Any:
        """Decorator that offers a function to the model, and leaves the function as it is."""

        def add(decorated: _F) -> _F:
            self.add_tool(decorated if isinstance(decorated, Tool) else Tool(decorated, **settings))
            return decorated

        return add if function is None else add(function)

    # --- requests ---------------------------------------------------------------------------

    async def run_request(self, request: AgentRequest) -> AgentResult:
        """As `run`, for those who set up agents to work together."""
        began = time.perf_counter()
        for monitor in self._monitors:
            monitor.began(self)
        ok, tokens = False, 0
        try:
            async with (
                self._resources.place(),
                self._safety.watched(self.name, request) as watch,
            ):
                result = await self._answering().answer(request, watch)
                watch.answered(result)
            ok, tokens = True, result.usage.completion_tokens
        finally:
            seconds = time.perf_counter() - began
            for monitor in self._monitors:  # their actions may take a while
                ended = partial(monitor.ended, self, seconds, ok=ok, tokens=tokens)
                await asyncio.shield(asyncio.to_thread(ended))
        request.emit(Done(result))
        return result

    def _answering(self) -> Answering:
        """With what the agent is now: a request that runs goes on as it began."""
        return Answering(
            config=self._config,
            safety=self._safety,
            tools=self._tools,
            servers=self.mcp_servers,
            store=lambda: self.sessions,
            model=self.model,
        )

    @property
    def sessions(self) -> SessionStore:
        """Where its conversations and memories are kept."""
        if self._sessions is None:
            self._sessions = default_store()
        return self._sessions

    # --- resources --------------------------------------------------------------------------

    def add_monitor(self, monitor: AgentMonitor) -> None:
        """Shows each request to a monitor."""
        if not isinstance(monitor, AgentMonitor):
            raise AgentConfigError(f"a monitor is {monitor!r:.80}; allowed: an AgentMonitor")
        if monitor not in self._monitors:
            self._monitors.append(monitor)

    def scale_down(self) -> str | None:
        """Goes on with the first of `fallback_models`; gives its name, or None: there is none.

        Requests that run end on the model they began with.
        """
        if not self._config.fallback_models:
            return None
        smaller, *rest = self._config.fallback_models
        self._config = self._config.replace(
            model_id=None, model_alias=smaller, fallback_models=tuple(rest)
        )
        self._model = as_model(smaller, self._pool) if self._was_given else None
        self.unload()
        return smaller

    def unload(self) -> list[str]:
        """Takes idle models of this agent's pool out of memory; gives their names. They come back
        when they are needed. What the caller has loaded itself stays."""
        return [path.name for path in self._pool.unload_idle()]

    @property
    def num_waiting(self) -> int:
        """Requests that wait for a place, of all agents with the same limits."""
        return self._resources.gate.num_waiting

    @property
    def memory_percent(self) -> float | None:
        """Of `max_memory_usage`; None where there is no limit."""
        return self._resources.memory_percent

    async def model(self) -> ChatModel:
        """What it runs on; found and loaded if need be."""
        if self._model is None:
            self._model = await asyncio.to_thread(choose_model, self._config, self._pool)
        prepare = getattr(self._model, "prepare", None)
        if prepare is not None:  # loading takes its time, which is not that of a reply
            await prepare()
        return self._model

    def __repr__(self) -> str:
        return f"Agent({self.name!r}, {len(self._tools)} tools)"
