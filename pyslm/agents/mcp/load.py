"""Loads the parts that need the extra `mcp`, when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyslm.agents.mcp.server import McpServer
from pyslm.errors import AgentConfigError
from pyslm.extras import check_extra

if TYPE_CHECKING:
    from pyslm.agents.mcp.server_tools import ServerTools

__all__ = ["check_mcp", "server_tools"]


def check_mcp() -> None:
    """Raises AgentConfigError where the extra is missing."""
    check_extra("mcp", "MCP", AgentConfigError)


def server_tools(server: McpServer) -> ServerTools:
    """The tools of a server; it is reached when they are asked for."""
    check_mcp()
    from pyslm.agents.mcp.server_tools import ServerTools

    return ServerTools(server)
