"""pyslm: small language models and their agents, on the machine you already have.

::

    import pyslm

    with pyslm.LLM("model.gguf") as llm:
        print(llm.generate("Once upon a time", pyslm.SamplingParams(max_tokens=64)).text)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pyslm.errors import (
    ChatTemplateError,
    ContextLengthError,
    DownloadError,
    EngineError,
    GGUFError,
    InsufficientMemoryError,
    InvalidRequestError,
    ModelFileError,
    ModelNameError,
    ModelNotDownloadedError,
    ModelNotFoundError,
    PrefixCacheError,
    PyslmError,
    QueueFullError,
    ServiceError,
    TokenizerError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    from pyslm.adapters import Adapter
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
    "Adapter",
    "AsyncLLM",
    "ChatTemplateError",
    "ContextLengthError",
    "ContinuationScore",
    "DownloadError",
    "EngineError",
    "GGUFError",
    "GenerationResult",
    "InsufficientMemoryError",
    "InvalidRequestError",
    "ModelFileError",
    "ModelInfo",
    "ModelNameError",
    "ModelNotDownloadedError",
    "ModelNotFoundError",
    "PrefixCacheError",
    "PyslmError",
    "QueueFullError",
    "SamplingParams",
    "ServiceError",
    "StreamChunk",
    "Timings",
    "TokenLogprobs",
    "TokenizerError",
    "UnsupportedModelError",
    "Usage",
    "__version__",
]

__version__ = "0.1.0"

# Loaded on first use: NumPy and the native core take longer than everything else together.
_LAZY = {
    "Adapter": "pyslm.adapters",
    "AsyncLLM": "pyslm.async_llm",
    "ContinuationScore": "pyslm.scores",
    "LLM": "pyslm.llm",
    "ModelInfo": "pyslm.model_info",
    "GenerationResult": "pyslm.request",
    "SamplingParams": "pyslm.request",
    "StreamChunk": "pyslm.request",
    "Timings": "pyslm.request",
    "TokenLogprobs": "pyslm.request",
    "Usage": "pyslm.request",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'pyslm' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
