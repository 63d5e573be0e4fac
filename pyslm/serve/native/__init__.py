"""Routes that vLLM and llama.cpp have beside OpenAI's: tokens, scores, filling in the middle."""

from __future__ import annotations

from fastapi import APIRouter

from pyslm.serve.native import infill, rerank, score, tokens
from pyslm.serve.openai.error import error_response
from pyslm.serve.protocol import Dialect, Services

__all__ = ["dialect"]


def dialect(services: Services) -> Dialect:
    """The routes of this dialect, whose errors are OpenAI's."""
    router = APIRouter()
    for part in (infill, rerank, score, tokens):
        part.add_routes(router, services)
    paths = tuple(path for part in (infill, rerank, score, tokens) for path in part.PATHS)
    return Dialect(
        name="native",
        router=router,
        prefixes=paths,
        error_response=error_response,
        busy=frozenset((*infill.PATHS, *rerank.PATHS, *score.PATHS)),
    )
