"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from pyslm.serve.openai.common import json_response
from pyslm.serve.protocol import ModelCard, Services

__all__ = ["add_routes"]


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""

    @router.get("/v1/models")
    async def list_models() -> Response:
        """The models that can be asked for."""
        cards = await services.models.list_models()
        return json_response({"object": "list", "data": [_object(card) for card in cards]})

    @router.get("/v1/models/{model:path}")
    async def retrieve_model(model: str) -> Response:
        """One of them."""
        return json_response(_object(await services.models.get_model(model)))


def _object(card: ModelCard) -> dict[str, Any]:
    return {
        "id": card.id,
        "object": "model",
        "created": card.created,
        "owned_by": card.owned_by,
        "root": card.parent or card.id,
        "parent": card.parent,
        "max_model_len": card.trained_context_length,
        "meta": {
            "architecture": card.architecture,
            "file_type": card.file_type,
            "n_ctx_train": card.trained_context_length,
            "n_params": card.num_parameters,
            "size": card.size_bytes,
            "capabilities": card.capabilities,
        },
    }
