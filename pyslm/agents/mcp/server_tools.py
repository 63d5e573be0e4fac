"""The tools of an MCP server as an agent's own: vetted, named apart, called over the line."""

from __future__ import annotations

import copy
import json
import logging
import weakref
from collections.abc import Mapping
from typing import Any

import mcp_types

from pyslm.agents.mcp.line import Line
from pyslm.agents.mcp.pins import PinStore, default_pins_path, definition_hash
from pyslm.agents.mcp.server import McpServer
from pyslm.agents.portal import portal
from pyslm.agents.schemas import for_models, unenforceable
from pyslm.agents.tools import Tool
from pyslm.errors import AgentConfigError, ToolServerError

__all__ = ["ServerTools"]

_log = logging.getLogger(__name__)
_MAX_TOOLS = 256
_MAX_DEFINITION_CHARS = 32_000


class ToolFailedError(RuntimeError):
    """A tool says that it could not do what it was asked."""


class ServerTools:
    """Those that an agent may use, of one server. Safe to share by threads and event loops."""

    def __init__(self, server: McpServer, pins: PinStore | None = None) -> None:
        """`pins`: None: the user's own."""
        self.server = server
        self._line = Line(server)
        self._pins = pins or PinStore(default_pins_path())
        self._tools: dict[str, Tool] | None = None
        self._hashes: dict[str, str] = {}
        self._num_opened = 0
        self.refused: dict[str, str] = {}
        """Tool, as the agent would know it -> why it may not be used."""
        weakref.finalize(self, _hang_up, self._line).atexit = False

    async def offered(self) -> list[Tool]:
        """The tools, as the server has them now. Where it cannot say, those of the last time:
        calls then tell the model what is wrong.

        Raises:
            ToolServerError: the server was never reached, and cannot be.
        """
        try:
            await portal().call(self._look())
        except ToolServerError as error:
            if self._tools is None:
                raise
            _log.warning("%s", error)
        return list((self._tools or {}).values())

    async def close(self) -> None:
        """Ends the server, if it was started here."""
        await portal().call(self._line.close())

    def accept(self, tool: str) -> None:
        """Pins a tool, by the server's own name, as it was last seen."""
        if tool not in self._hashes:
            raise AgentConfigError(
                f"the MCP server {self.server.name} has no tool {tool!r:.80}; it has: "
                f"{', '.join(self._hashes) or 'none'}"
            )
        self._pins.accept(self.server.key, tool, self._hashes[tool])

    @property
    def hashes(self) -> Mapping[str, str]:
        """Tool -> hash of its definition, as it was last seen."""
        return self._hashes

    async def _look(self) -> None:
        listed = (await self._line.tools())[:_MAX_TOOLS]
        self._num_opened = self._line.num_opened
        known = [tool for tool in listed if self.server.has("allow", tool.name)]
        before, self._hashes = self._hashes, {t.name: definition_hash(t) for t in known}
        pinned = self.server.pins
        if pinned is None:
            pinned = self._pins.held(self.server.key, self._hashes)
        tools: dict[str, Tool] = {}
        refused: dict[str, str] = {}
        for definition in known:
            name = self._name(definition.name)
            try:
                self._check_pin(definition.name, pinned)
                same = before.get(definition.name) == self._hashes[definition.name]
                made = (self._tools or {}).get(name) if same else None
                tools[name] = made or self._made(definition)
            except ToolServerError as error:
                refused[name] = str(error)
        for name in refused.keys() - self.refused.keys():
            _log.warning("%r is refused: %s", name, refused[name])
        self._tools, self.refused = tools, refused

    def _check_pin(self, tool: str, pinned: Mapping[str, str]) -> None:
        held = pinned.get(tool)
        if held is None:
            raise ToolServerError(f"the tool {tool} of {self.server.name} is not among its pins")
        if held != self._hashes[tool]:
            raise ToolServerError(
                f"the definition of the tool {tool} of {self.server.name} has changed since it was "
                f"pinned ({held[:15]} then, {self._hashes[tool][:15]} now); a person has to look "
                "at it, and may accept it with `pyslm agent pins`"
            )

    def _name(self, tool: str) -> str:
        return f"{self.server.name}__{tool}"

    def _made(self, definition: mcp_types.Tool) -> Tool:
        server, name = self.server, definition.name
        if len(definition.model_dump_json()) > _MAX_DEFINITION_CHARS:
            raise ToolServerError(f"its definition has over {_MAX_DEFINITION_CHARS} characters")
        schema = for_models(copy.deepcopy(definition.input_schema))
        _check_references(schema)
        problem = unenforceable(schema)
        if problem is not None:
            raise ToolServerError(f"its schema cannot be followed: {problem}")
        hints = definition.annotations
        reads = server.has("read_only", name) or (hints is not None and hints.read_only_hint)

        async def call(**arguments: Any) -> str:
            return await portal().call(self._call(name, arguments))

        try:
            return Tool.of_schema(
                call,
                self._name(name),
                definition.description or definition.title or "",
                schema,
                timeout=server.timeout,
                trusted=server.trusted,
                writes=not reads,
                sensitive=server.has("sensitive", name),
            )
        except AgentConfigError as error:
            raise ToolServerError(str(error)) from None

    async def _call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        await self._line.open()
        if self._line.num_opened != self._num_opened:  # a server that came back may be another
            seen = self._hashes.get(tool)
            await self._look()
            if self._hashes.get(tool) != seen or self._name(tool) in self.refused:
                raise ToolServerError(self.refused.get(self._name(tool), "the tool has changed"))
        result = await self._line.call(tool, arguments)
        if result.is_error:
            raise ToolFailedError(_told(result))
        return _told(result)


def _told(result: mcp_types.CallToolResult) -> str:
    """A result as text. Pictures and sounds are named, not shown."""
    parts = []
    for block in result.content:
        if isinstance(block, mcp_types.TextContent):
            parts.append(block.text)
        elif isinstance(block, mcp_types.EmbeddedResource):
            inner = block.resource
            if isinstance(inner, mcp_types.TextResourceContents):
                parts.append(inner.text)
            else:
                parts.append(f"[resource {inner.uri}, {inner.mime_type}]")
        elif isinstance(block, mcp_types.ResourceLink):
            parts.append(f"[resource {block.uri}: {block.name}]")
        else:
            parts.append(f"[{block.type}, {block.mime_type}]")
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts)


def _check_references(schema: Any) -> None:
    """Schemas may not lead elsewhere: nothing is fetched to check arguments."""
    pending = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, Mapping):
            for key in ("$ref", "$dynamicRef"):
                target = part.get(key)
                if isinstance(target, str) and not target.startswith("#"):
                    raise ToolServerError(f"its schema refers to {target:.80}; allowed: itself")
            pending += part.values()
        elif isinstance(part, list):
            pending += part


def _hang_up(line: Line) -> None:
    async def end() -> None:
        line.hang_up()

    portal().start(end())
