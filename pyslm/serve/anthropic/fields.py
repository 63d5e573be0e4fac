"""Anthropic's fields that we do not take: which are refused, and which passed over."""

from __future__ import annotations

from pydantic import BaseModel

from pyslm.serve.openai import fields
from pyslm.serve.openai.fields import Refused

__all__ = ["check_extra"]

_REFUSED: Refused = {
    "container": ((), "there are no containers here"),
    "context_management": (({},), "nothing is cut in silence; shorten the messages"),
    "thread": ((), "conversations are not kept here; send all messages, without thread"),
    "mcp_servers": (([],), "ask the servers yourself, and offer what they do as tools"),
    "betas": (([],), "it belongs into the header anthropic-beta"),
    "n": ((1,), "Anthropic's answers are one; ask /v1/chat/completions"),
    "stop": ((), "it is called stop_sequences here"),
    "logprobs": ((False,), "ask /v1/chat/completions"),
    "top_logprobs": ((0,), "ask /v1/chat/completions"),
    "response_format": ((), "it is called output_config.format here"),
}

# They change when, where or for whom, not what.
_HINTS = frozenset(
    ("metadata", "service_tier", "cache_control", "inference_geo", "speed", "user_profile_id",
     "workspace_id", "diagnostics")
)  # fmt: skip


def check_extra(request: BaseModel) -> list[str]:
    """Names of the fields passed over.

    Raises:
        ServeError: one of them is refused.
    """
    return fields.check_extra(request, _REFUSED, _HINTS)
