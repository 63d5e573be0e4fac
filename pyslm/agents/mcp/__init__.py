"""The Model Context Protocol: servers' tools for our agents, and our agents as a server.

::

    Agent.run ─> ServerTools ─┬─> Line ─> a server (a process, or a URL)
                              └─> PinStore (what its tools were when they were first seen)

    a client ─> agents_server ─> Agent.run

`McpServer` says which server; the rest is loaded when it is used, and needs the extra `mcp`.
"""

from __future__ import annotations

from pyslm.agents.mcp.server import McpServer

__all__ = ["McpServer"]
