"""Foundry Local's control plane, as its SDKs 0.x (`/foundry`, `/openai`) and 2.x (`/models`,
`/status`) speak it. Text is asked for at OpenAI's routes, under the id or the alias of a model.

A model that is not in memory is loaded when it is asked for; Foundry answers with an error there.
"""

from __future__ import annotations

from fastapi import APIRouter

from pyslm.serve.foundry import control, listing, manage
from pyslm.serve.openai.error import error_response
from pyslm.serve.protocol import Dialect, Services

__all__ = ["dialect"]


def dialect(services: Services) -> Dialect:
    """The routes of this dialect."""
    router = APIRouter()
    for part in (listing, manage, control):
        part.add_routes(router, services)
    return Dialect(
        name="foundry",
        router=router,
        prefixes=("/foundry/", "/openai/", "/models/", "/status", "/shutdown"),
        error_response=error_response,
    )
