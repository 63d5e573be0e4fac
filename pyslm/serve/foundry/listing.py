"""Which models there are, and which are in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from pyslm.hub import CatalogModel, Hardware, ModelStore, choose_variant
from pyslm.hub.catalog import Variant
from pyslm.serve.catalog import variant_id
from pyslm.serve.openai.common import json_response
from pyslm.serve.protocol import ModelCard, Services

__all__ = ["add_routes", "loaded_ids"]

_MEBIBYTE = 2**20
_RUNTIME = {"deviceType": "CPU", "executionProvider": "CPUExecutionProvider"}


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""

    @router.get("/foundry/list")
    async def catalog() -> Response:
        """The catalog. A bare array: what the SDK reads, whatever Foundry's documents say."""
        cards = await services.models.list_models()
        if services.store is None:
            return json_response([_entry(card) for card in cards])
        return json_response(await asyncio.to_thread(_entries, services.store, cards))

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


def _entries(store: ModelStore, cards: Sequence[ModelCard]) -> list[dict[str, Any]]:
    """What is here, by the aliases that the catalog has for it, and then what may be downloaded."""
    known = [(card, store.describe(card.id)) for card in cards]
    here = {model.name for _, model in known if model is not None}
    hardware = Hardware.here()
    entries = [_entry(card) | _about(model) for card, model in known]
    return entries + [
        _catalog_entry(model, choose_variant(model.variants, model.parameters, hardware).variant)
        for model in store.catalog.models
        if model.name not in here
    ]


def _about(model: CatalogModel | None) -> dict[str, Any]:
    if model is None:
        return {}
    told = {"publisher": model.publisher, "license": model.license, "displayName": model.title}
    return {"alias": model.alias, **told}


def _catalog_entry(model: CatalogModel, variant: Variant) -> dict[str, Any]:
    ident = variant_id(model.alias)
    return {
        "name": ident,
        "displayName": model.title,
        "modelType": "GGUF",
        "providerType": "pyslm",
        "uri": f"https://huggingface.co/{model.repository}",
        "version": ident.rpartition(":")[2],
        "promptTemplate": None,
        "publisher": model.publisher,
        "task": "embeddings" if "embed" in model.roles else "chat-completion",
        "runtime": _RUNTIME,
        "fileSizeMb": max(1, round(variant.size_bytes / _MEBIBYTE)),
        "modelSettings": {"parameters": []},
        "alias": model.alias,
        "supportsToolCalling": model.supports_tools,
        "license": model.license,
        "licenseDescription": "",
        "parentModelUri": "",
        "maxOutputTokens": model.context_length,
    }


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
        "runtime": _RUNTIME,
        "fileSizeMb": max(1, round(card.size_bytes / _MEBIBYTE)),
        "modelSettings": {"parameters": []},
        "alias": card.id,
        "supportsToolCalling": "tools" in card.capabilities,
        "license": "",
        "licenseDescription": "",
        "parentModelUri": "",
        "maxOutputTokens": card.trained_context_length or None,
    }
