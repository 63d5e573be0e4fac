"""Loads the parts that need the extra `mcp`, when they are needed."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from pyslm.agents.mcp.server import McpServer
from pyslm.errors import AgentConfigError

if TYPE_CHECKING:
    from pyslm.agents.mcp.server_tools import ServerTools

__all__ = ["check_extra", "server_tools"]


def check_extra() -> None:
    """Raises AgentConfigError where the extra is missing."""
    if importlib.util.find_spec("mcp") is None or importlib.util.find_spec("mcp_types") is None:
        raise AgentConfigError(
            "MCP needs the package mcp (2.2 or later), which is not installed; run: pip install "
            "'pyslm[mcp]'"
        )


def server_tools(server: McpServer) -> ServerTools:
    """The tools of a server; it is reached when they are asked for."""
    check_extra()
    from pyslm.agents.mcp.server_tools import ServerTools

    return ServerTools(server)
