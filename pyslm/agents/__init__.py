"""Agents: a model, a job, tools, memory, rules; alone or several together.

::

    request ─> Agent.run ─> filters ─> AgentLoop ─┬─> ChatModel   (models/: here, or a server)
                                                  ├─> Toolbox ─> CallGuard (policy) ─> Tool
                                                  └─> History ─> SessionStore

`loop` is the whole of an agent's behaviour; everything else is a part that it uses.
"""

from __future__ import annotations

from pyslm.agents.agent import Agent
from pyslm.agents.config import Config
from pyslm.agents.events import (
    AgentEvent,
    AgentResult,
    Done,
    TextDelta,
    ThoughtDelta,
    ToolFinished,
    ToolStarted,
)
from pyslm.agents.mcp import McpServer
from pyslm.agents.models import (
    Call,
    ChatModel,
    EndpointModel,
    LocalModel,
    ModelPool,
    ModelRequest,
    Reply,
)
from pyslm.agents.monitoring.metrics import PerformanceMetrics
from pyslm.agents.monitoring.monitor import AgentMonitor
from pyslm.agents.monitoring.resources import ResourceConfig
from pyslm.agents.security.audit import AuditLog
from pyslm.agents.security.audit_verify import AuditReport, verify_log
from pyslm.agents.security.filters import (
    BlockPatterns,
    MaxLength,
    Redactor,
    RefusedTextError,
)
from pyslm.agents.security.policy import (
    Allow,
    ApprovalRequest,
    Policy,
    User,
)
from pyslm.agents.security.privacy import confine_process, no_egress
from pyslm.agents.state.sessions import Memory, SessionInfo, SessionStore
from pyslm.agents.stream import AgentStream
from pyslm.agents.teams.orchestrator import AgentOrchestrator
from pyslm.agents.teams.savings import Price, Savings
from pyslm.agents.toolbox import ToolResult
from pyslm.agents.tools import Tool, tool

__all__ = [
    "Agent",
    "AgentEvent",
    "AgentMonitor",
    "AgentOrchestrator",
    "AgentResult",
    "AgentStream",
    "Allow",
    "ApprovalRequest",
    "AuditLog",
    "AuditReport",
    "BlockPatterns",
    "Call",
    "ChatModel",
    "Config",
    "Done",
    "EndpointModel",
    "LocalModel",
    "MaxLength",
    "McpServer",
    "Memory",
    "ModelPool",
    "ModelRequest",
    "PerformanceMetrics",
    "Policy",
    "Price",
    "Redactor",
    "RefusedTextError",
    "Reply",
    "ResourceConfig",
    "Savings",
    "SessionInfo",
    "SessionStore",
    "TextDelta",
    "ThoughtDelta",
    "Tool",
    "ToolFinished",
    "ToolResult",
    "ToolStarted",
    "User",
    "confine_process",
    "no_egress",
    "tool",
    "verify_log",
]
