"""An MCP server that adds numbers, and agents that have it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from pyslm.agents import (
    Agent,
    AgentResult,
    McpServer,
)
from reference.scripted_chat import ScriptedModel

__all__ = ["SCRIPT", "SUM", "agent_of", "ask", "sums"]

SCRIPT = Path(__file__).parent.parent / "agents" / "tool_servers" / "mcp_server.py"
SUM = ("sums__add", {"a": 2, "b": 3})


def sums(folder: Path, **settings: Any) -> McpServer:
    command = [sys.executable, str(SCRIPT), str(folder)]
    return McpServer(**{"name": "sums", "command": command, "trusted": True, **settings})


def ask(agent: Agent, text: str = "Go.") -> AgentResult:
    return asyncio.run(agent.run(text))


def agent_of(*replies: Any, server: McpServer, **settings: Any) -> Agent:
    return Agent(model=ScriptedModel(*replies), mcp=[server], **settings)
