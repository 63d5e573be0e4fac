"""pyslm: small language models and their agents, on the machine you already have.

::

    import pyslm

    with pyslm.LLM("model.gguf") as llm:
        print(llm.generate("Once upon a time", pyslm.SamplingParams(max_tokens=64)).text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyslm.errors import (
    AccessDeniedError,
    AgentConfigError,
    AgentError,
    AuditError,
    ChatTemplateError,
    ContextLengthError,
    DeploymentError,
    DownloadError,
    EngineError,
    GGUFError,
    InsufficientMemoryError,
    InvalidRequestError,
    ModelCallError,
    ModelFileError,
    ModelNameError,
    ModelNotDownloadedError,
    ModelNotFoundError,
    OfflineError,
    PrefixCacheError,
    PyslmError,
    QueueFullError,
    ReplyError,
    ServiceError,
    SessionError,
    TokenizerError,
    ToolServerError,
    UnsupportedModelError,
)
from pyslm.lazy import lazy_names

if TYPE_CHECKING:
    from pyslm.adapters import Adapter
    from pyslm.agents import (
        Agent,
        AgentMonitor,
        AgentOrchestrator,
        AgentResult,
        Config,
        PerformanceMetrics,
        ResourceConfig,
        Tool,
        tool,
    )
    from pyslm.async_llm import AsyncLLM
    from pyslm.llm import LLM
    from pyslm.model_info import ModelInfo
    from pyslm.request import (
        GenerationResult,
        SamplingParams,
        StreamChunk,
        Timings,
        TokenLogprobs,
        Usage,
    )
    from pyslm.scores import ContinuationScore

__all__ = [
    "LLM",
    "AccessDeniedError",
    "Adapter",
    "Agent",
    "AgentConfigError",
    "AgentError",
    "AgentMonitor",
    "AgentOrchestrator",
    "AgentResult",
    "AsyncLLM",
    "AuditError",
    "ChatTemplateError",
    "Config",
    "ContextLengthError",
    "ContinuationScore",
    "DeploymentError",
    "DownloadError",
    "EngineError",
    "GGUFError",
    "GenerationResult",
    "InsufficientMemoryError",
    "InvalidRequestError",
    "ModelCallError",
    "ModelFileError",
    "ModelInfo",
    "ModelNameError",
    "ModelNotDownloadedError",
    "ModelNotFoundError",
    "OfflineError",
    "PerformanceMetrics",
    "PrefixCacheError",
    "PyslmError",
    "QueueFullError",
    "ReplyError",
    "ResourceConfig",
    "SamplingParams",
    "ServiceError",
    "SessionError",
    "StreamChunk",
    "Timings",
    "TokenLogprobs",
    "TokenizerError",
    "Tool",
    "ToolServerError",
    "UnsupportedModelError",
    "Usage",
    "__version__",
    "tool",
]

__version__ = "0.1.0"

# Loaded on first use: NumPy and the native core take longer than everything else together.
_LAZY = {
    "Adapter": "pyslm.adapters",
    "Agent": "pyslm.agents",
    "AgentMonitor": "pyslm.agents",
    "AgentOrchestrator": "pyslm.agents",
    "AgentResult": "pyslm.agents",
    "AsyncLLM": "pyslm.async_llm",
    "Config": "pyslm.agents",
    "PerformanceMetrics": "pyslm.agents",
    "ResourceConfig": "pyslm.agents",
    "ContinuationScore": "pyslm.scores",
    "LLM": "pyslm.llm",
    "ModelInfo": "pyslm.model_info",
    "GenerationResult": "pyslm.request",
    "SamplingParams": "pyslm.request",
    "StreamChunk": "pyslm.request",
    "Tool": "pyslm.agents",
    "tool": "pyslm.agents",
    "Timings": "pyslm.request",
    "TokenLogprobs": "pyslm.request",
    "Usage": "pyslm.request",
}

__getattr__, __dir__ = lazy_names(__name__, _LAZY)
