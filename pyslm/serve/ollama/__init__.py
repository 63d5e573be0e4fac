"""Ollama's API: /api/generate, /api/chat, /api/embed and those about models.

Prompts are written by the chat template of the model's own file, `tool_choice` is honoured, and
nothing is cut in silence: what does not fit the context is an error with the counts.
"""

from __future__ import annotations

from fastapi import APIRouter

from pyslm.serve.ollama import chat, embeddings, generate, hub, models
from pyslm.serve.ollama.error import error_response
from pyslm.serve.protocol import Dialect, Services

__all__ = ["dialect"]


def dialect(services: Services) -> Dialect:
    """The routes of this dialect."""
    router = APIRouter()
    for part in (chat, embeddings, generate, hub, models):
        part.add_routes(router, services)
    return Dialect(
        name="ollama",
        router=router,
        prefixes=("/api/",),
        error_response=error_response,
        uploads=hub.UPLOADS,
    )
