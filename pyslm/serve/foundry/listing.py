"""Which models there are, and which are in memory."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from pyslm.serve.catalog import variant_id
from pyslm.serve.openai.common import json_response
from pyslm.serve.protocol import ModelCard, Services

__all__ = ["add_routes", "loaded_ids"]

_MEBIBYTE = 2**20


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""

    @router.get("/foundry/list")
    async def catalog() -> Response:
        """The catalog. A bare array: what the SDK reads, whatever Foundry's documents say."""
        cards = await services.models.list_models()
        return json_response([_entry(card) for card in cards])

    @router.get("/openai/models")
    async def cached() -> Response:
        """Ids of the models on this machine."""
        cards = await services.models.list_models()
        return json_response([variant_id(card.id) for card in cards])

    @router.get("/openai/loadedmodels")
    async def loaded() -> Response:
        """Ids of the models in memory, for SDK 0.x."""
        return json_response(await loaded_ids(services))

    @router.get("/models/loaded")
    async def loaded_too() -> Response:
        """Ids of the models in memory, for SDK 2.x."""
        return json_response(await loaded_ids(services))


async def loaded_ids(services: Services) -> list[str]:
    """Of the models in memory."""
    return [variant_id(model.card.id) for model in await services.models.ps()]


def _entry(card: ModelCard) -> dict[str, Any]:
    """Every field is there, since the SDK refuses an entry without."""
    ident = variant_id(card.id)
    embeds = "embedding" in card.capabilities
    return {
        "name": ident,
        "displayName": ident.rpartition(":")[0],
        "modelType": "GGUF",
        "providerType": "pyslm",
        "uri": card.path.as_uri(),
        "version": ident.rpartition(":")[2],
        "promptTemplate": None,  # in the model's own file
        "publisher": card.owned_by,
        "task": "embeddings" if embeds else "chat-completion",
        "runtime": {"deviceType": "CPU", "executionProvider": "CPUExecutionProvider"},
        "fileSizeMb": max(1, round(card.size_bytes / _MEBIBYTE)),
        "modelSettings": {"parameters": []},
        "alias": card.id,
        "supportsToolCalling": "tools" in card.capabilities,
        "license": "",
        "licenseDescription": "",
        "parentModelUri": "",
        "maxOutputTokens": card.trained_context_length or None,
    }
