"""Anthropic's API: /v1/messages, /v1/messages/count_tokens, and /v1/models for its clients.

They are known by their header `anthropic-version`. As with Anthropic, thoughts are in the answer
only where a request says `thinking`; requests may also hold `seed`, `min_p`, `repetition_penalty`,
`keep_alive` and `num_ctx`.
"""

from __future__ import annotations

from fastapi import APIRouter

from pyslm.serve.anthropic import messages, models
from pyslm.serve.anthropic.error import error_response
from pyslm.serve.anthropic.models import VERSION_HEADER
from pyslm.serve.protocol import Dialect, Services

__all__ = ["dialect"]


def dialect(services: Services) -> Dialect:
    """The routes of this dialect."""
    router = APIRouter()
    for part in (messages, models):
        part.add_routes(router, services)
    return Dialect(
        name="anthropic",
        router=router,
        prefixes=("/v1/messages",),
        header=VERSION_HEADER,
        error_response=error_response,
        busy=frozenset(("/v1/messages",)),
    )
