"""Our agents as an MCP server: each is a tool that takes a request and gives the answer."""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import mcp_types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from starlette.responses import PlainTextResponse

from pyslm import __version__
from pyslm.agents.agent import Agent
from pyslm.agents.security.safety import AgentRequest
from pyslm.agents.tools import ArgumentsError, Tool
from pyslm.errors import AgentConfigError, PyslmError

__all__ = ["agents_server", "serve_http", "serve_stdio"]

_App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
_LOOPBACK = "127.0.0.1"
_PARAMETERS = {
    "type": "object",
    "properties": {
        "request": {"type": "string", "minLength": 1, "description": "What it shall do, in words."},
        "session": {
            "type": "string",
            "pattern": "^[A-Za-z0-9_-]{1,64}$",
            "description": "Go on with the conversation of this name, and keep it.",
        },
    },
    "required": ["request"],
    "additionalProperties": False,
}


def agents_server(agents: Sequence[Agent]) -> Server[Any]:
    """A server with a tool for each agent.

    What an agent cannot do is the result of the call, as an error; nothing ends the server. The
    sessions that clients name are theirs alone: no client reads those of the user's own agents.

    Raises:
        AgentConfigError: no agents, or two of one name.
    """
    by_name: dict[str, tuple[Agent, Tool]] = {}
    for agent in agents:
        tool = _tool(agent)
        if tool.name in by_name:
            raise AgentConfigError(f"two agents are named {tool.name}; allowed: one of a name")
        by_name[tool.name] = (agent, tool)
    if not by_name:
        raise AgentConfigError("there are no agents to serve; name at least one")

    async def list_tools(context: Any, params: Any) -> mcp_types.ListToolsResult:  # noqa: ARG001
        return mcp_types.ListToolsResult(tools=[_described(tool) for _, tool in by_name.values()])

    async def call_tool(
        context: Any,  # noqa: ARG001
        params: mcp_types.CallToolRequestParams,
    ) -> mcp_types.CallToolResult:
        if params.name not in by_name:
            return _failed(f"there is no agent {params.name!r:.80}; there are {', '.join(by_name)}")
        agent, tool = by_name[params.name]
        try:
            return await _answered(agent, tool.arguments(params.arguments or {}))
        except ArgumentsError as error:
            return _failed(f"the arguments are not valid: {error}")
        except PyslmError as error:
            return _failed(f"{type(error).__name__}: {error}")

    return Server("pyslm", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


async def serve_stdio(server: Server[Any]) -> None:
    """On the standard streams, until the client closes them. What agents and their tools print
    goes to the standard error meanwhile."""
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


async def serve_http(
    server: Server[Any],
    port: int,
    *,
    key: str | None = None,
    told: Callable[[str], None] = lambda url: None,
) -> None:
    """Streamable HTTP at http://127.0.0.1:PORT/mcp, for this machine alone; requests that another
    site's page sends are refused.

    Args:
        port: 0: a free one.
        key: clients must send it ("Authorization: Bearer KEY"); None: whoever is on this machine
            may ask.
        told: called with the URL once it is served.
    """
    app: _App = server.streamable_http_app(host=_LOOPBACK)
    if key:
        app = _guarded(app, key)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((_LOOPBACK, port))
        listening.listen()
        url = f"http://{_LOOPBACK}:{listening.getsockname()[1]}/mcp"
        settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3)
        await _TellingServer(settings, lambda: told(url)).serve(sockets=[listening])


class _TellingServer(uvicorn.Server):
    """One that says when it has started."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._told()


def _guarded(app: _App, key: str) -> _App:
    wanted = hashlib.sha256(f"Bearer {key}".encode()).digest()

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(hashlib.sha256(given).digest(), wanted):
                refusal = PlainTextResponse("a key is needed", 401, {"WWW-Authenticate": "Bearer"})
                await refusal(scope, receive, send)
                return
        await app(scope, receive, send)

    return guarded


def _tool(agent: Agent) -> Tool:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", agent.name)[:64]
    config = agent.config
    jobs = ", ".join(config.specialties)
    described = config.role or (f"for {jobs}" if jobs else "answers requests in plain words")
    return Tool.of_schema(lambda: None, name, f"An agent: {described}.", _PARAMETERS)


def _described(tool: Tool) -> mcp_types.Tool:
    return mcp_types.Tool(
        name=tool.name, description=tool.description, input_schema=dict(tool.parameters)
    )


async def _answered(agent: Agent, asked: Mapping[str, Any]) -> mcp_types.CallToolResult:
    session = f"mcp-{agent.name}-{asked['session']}" if "session" in asked else None
    result = await agent.run_request(AgentRequest(asked["request"], session=session))
    if result.finish_reason == "refused":
        return _failed(result.text)
    return mcp_types.CallToolResult(content=[mcp_types.TextContent(text=result.text)])


def _failed(reason: str) -> mcp_types.CallToolResult:
    return mcp_types.CallToolResult(content=[mcp_types.TextContent(text=reason)], is_error=True)
