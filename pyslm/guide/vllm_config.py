"""What is asked of servers and of the service before them."""

from __future__ import annotations

import dataclasses
from typing import Literal

from pydantic import BaseModel, Field

__all__ = ["AgentRequest", "VLLMServerConfig"]


@dataclasses.dataclass
class VLLMServerConfig:
    """A server of one model."""

    model_name: str
    """As Hugging Face names it: "microsoft/Phi-3.5-mini-instruct"; or as `pyslm list` does."""
    port: int
    gpu_memory_utilization: float
    """Share of the memory that the model may take: of the machine's, where there is no GPU."""
    max_model_len: int
    """Tokens of prompt and reply."""
    tensor_parallel_size: int = 1
    quantization: str | None = None


class AgentRequest(BaseModel):
    """Body of POST /chat."""

    message: str = Field(min_length=1)
    agent_type: str = "general"
    priority: Literal["high", "normal", "low"] = "normal"
    """Those of higher priority do not wait for others."""
    timeout: float = Field(default=30, gt=0)
    """Seconds."""
