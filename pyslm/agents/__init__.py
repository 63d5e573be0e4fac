"""Agents: a model, a job, tools, memory, rules; alone or several together.

::

    request ─> Agent.run ─> filters ─> AgentLoop ─┬─> ChatModel   (models/: here, or a server)
                                                  ├─> Toolbox ─> CallGuard (policy) ─> Tool
                                                  └─> History ─> SessionStore

`loop` is the whole of an agent's behaviour; everything else is a part that it uses. Needs the
packages of the extra `agents`.
"""

from __future__ import annotations

from pyslm.errors import AgentConfigError
from pyslm.extras import check_extra

check_extra("agents", "pyslm.agents", AgentConfigError)

from pyslm.agents.agent import Agent  # noqa: E402 (after the check)
from pyslm.agents.config import Config  # noqa: E402
from pyslm.agents.events import (  # noqa: E402
    AgentEvent,
    AgentResult,
    Done,
    TextDelta,
    ThoughtDelta,
    ToolFinished,
    ToolStarted,
)
from pyslm.agents.mcp import McpServer  # noqa: E402
from pyslm.agents.models import (  # noqa: E402
    Call,
    ChatModel,
    EndpointModel,
    LocalModel,
    ModelPool,
    ModelRequest,
    Reply,
)
from pyslm.agents.monitoring.metrics import PerformanceMetrics  # noqa: E402
from pyslm.agents.monitoring.monitor import AgentMonitor  # noqa: E402
from pyslm.agents.monitoring.resources import ResourceConfig  # noqa: E402
from pyslm.agents.security.audit import AuditLog  # noqa: E402
from pyslm.agents.security.audit_verify import AuditReport, verify_log  # noqa: E402
from pyslm.agents.security.filters import (  # noqa: E402
    BlockPatterns,
    MaxLength,
    Redactor,
    RefusedTextError,
)
from pyslm.agents.security.policy import (  # noqa: E402
    Allow,
    ApprovalRequest,
    Policy,
    User,
)
from pyslm.agents.security.privacy import confine_process, no_egress  # noqa: E402
from pyslm.agents.state.sessions import Memory, SessionInfo, SessionStore  # noqa: E402
from pyslm.agents.stream import AgentStream  # noqa: E402
from pyslm.agents.teams.orchestrator import AgentOrchestrator  # noqa: E402
from pyslm.agents.teams.savings import Price, Savings  # noqa: E402
from pyslm.agents.toolbox import ToolResult  # noqa: E402
from pyslm.agents.tools import Tool, tool  # noqa: E402

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
