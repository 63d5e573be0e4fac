"""OpenAI's API: /v1/chat/completions, /v1/responses, /v1/completions, /v1/embeddings,
/v1/models.

Besides OpenAI's own fields the requests take vLLM's, llama.cpp's and Foundry Local's names for
what pyslm can do; see `fields` for those it cannot.
"""

from __future__ import annotations

from fastapi import APIRouter

from pyslm.serve.openai import chat, completions, embeddings, models, responses
from pyslm.serve.openai.error import error_response
from pyslm.serve.protocol import Dialect, Services

__all__ = ["dialect"]


def dialect(services: Services) -> Dialect:
    """The routes of this dialect."""
    router = APIRouter()
    for part in (chat, completions, embeddings, models, responses):
        part.add_routes(router, services)
    return Dialect(
        name="openai",
        router=router,
        prefixes=("/v1",),
        error_response=error_response,
        busy=frozenset(
            ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
        ),
    )
