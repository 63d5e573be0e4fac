"""What the routes share: ids, durations, usage, answering."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from pyslm import __version__
from pyslm.serve.durations import keep_alive_seconds
from pyslm.serve.openai.fields import IGNORED_HEADER
from pyslm.serve.openai.sampling import SamplingFields
from pyslm.serve.protocol import Completion, LoadOptions

__all__ = [
    "FINGERPRINT",
    "completion_usage",
    "dispatch_options",
    "ignored_header",
    "json_response",
    "new_id",
    "usage_object",
]

FINGERPRINT = f"pyslm-{__version__}"


def new_id(prefix: str, asked: str | None = None) -> str:
    """Of a response: "chatcmpl-..."."""
    return f"{prefix}-{asked or secrets.token_hex(12)}"


def ignored_header(names: Sequence[str]) -> dict[str, str]:
    """Tells which fields were passed over."""
    clean = (name.encode("ascii", "replace").decode() for name in names)
    text = ", ".join("".join(c for c in name if c.isprintable()) for name in clean)
    return {IGNORED_HEADER: text} if text else {}


def json_response(body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """By msgspec, which takes a fraction of json's time."""
    return Response(msgspec.json.encode(body), 200, headers, "application/json")


def usage_object(
    prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0, reasoning_tokens: int = 0
) -> dict[str, Any]:
    """Token counts as OpenAI has them."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens, "audio_tokens": 0},
    }


def completion_usage(completion: Completion) -> dict[str, Any]:
    """Of a whole answer."""
    return usage_object(
        completion.prompt_tokens,
        completion.completion_tokens,
        completion.cached_tokens,
        completion.reasoning_tokens,
    )


def dispatch_options(request: SamplingFields) -> dict[str, Any]:
    """Keyword arguments of `Dispatcher.generate`."""
    return {
        "keep_alive": keep_alive_seconds(request.keep_alive),
        "options": LoadOptions(context_length=request.num_ctx) if request.num_ctx else None,
    }
