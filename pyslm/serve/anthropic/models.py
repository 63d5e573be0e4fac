"""GET /v1/models and /v1/models/{id}, for clients that send `anthropic-version`.

Other clients get OpenAI's objects at the same paths.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from pyslm.serve.anthropic.error import request_headers
from pyslm.serve.openai.common import json_response
from pyslm.serve.protocol import ModelCard, Services

__all__ = ["VERSION_HEADER", "add_routes"]

VERSION_HEADER = "anthropic-version"


class _VersionedRoute(APIRoute):
    """Not there for clients that do not send the header."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and VERSION_HEADER not in Headers(scope=scope):
            return Match.NONE, {}
        return super().matches(scope)


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""
    versioned = APIRouter(route_class=_VersionedRoute, include_in_schema=False)

    @versioned.get("/v1/models")
    async def list_models(
        limit: Annotated[int, Query(ge=1, le=1000)] = 20,
        after_id: str | None = None,
        before_id: str | None = None,
    ) -> Response:
        """The models that can be asked for, a page at a time."""
        cards = await services.models.list_models()
        return json_response(_page(cards, limit, after_id, before_id), request_headers())

    @versioned.get("/v1/models/{model:path}")
    async def retrieve_model(model: str) -> Response:
        """One of them."""
        return json_response(_object(await services.models.get_model(model)), request_headers())

    router.include_router(versioned)


def _page(
    cards: Sequence[ModelCard], limit: int, after: str | None, before: str | None
) -> dict[str, Any]:
    ids = [card.id for card in cards]
    begin = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(ids)
    if before is not None and after is None:
        begin = max(begin, end - limit)
        has_more = begin > 0
    else:
        has_more = end - begin > limit
        end = min(end, begin + limit)
    page = [_object(card) for card in cards[begin:end]]
    return {
        "data": page,
        "has_more": has_more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def _object(card: ModelCard) -> dict[str, Any]:
    created = datetime.datetime.fromtimestamp(card.created, datetime.UTC)
    return {
        "type": "model",
        "id": card.id,
        "display_name": card.id,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": card.trained_context_length,
        "max_tokens": card.trained_context_length,
    }
