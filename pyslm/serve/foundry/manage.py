"""Loads, unloads and brings models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.durations import keep_alive_seconds
from pyslm.serve.openai.common import json_response
from pyslm.serve.openai.messages import Message, plain_messages
from pyslm.serve.protocol import LoadedModel, ServeError, Services, TokenizeRequest

__all__ = ["add_routes"]

_DEVICES = ("", "cpu")


class FoundryModel(BaseModel):
    """The model of a download, as the SDK names its parts."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(alias="Name")


class FoundryDownload(BaseModel):
    """Body of POST /openai/download."""

    model_config = ConfigDict(extra="allow")

    model: FoundryModel


class FoundryCount(BaseModel):
    """Body of the token count."""

    model_config = ConfigDict(extra="allow")

    model: str = ""
    messages: list[Message] = Field(min_length=1)


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""
    _add_first(router, services)
    _add_second(router, services)

    @router.post("/openai/download", openapi_extra=request_schema(FoundryDownload))
    async def download(request: Request) -> Response:
        """Brings a model; what is served is on this machine already."""
        body = await parse_body(request, FoundryDownload)
        found = services.models.get_model(body.model.name)
        return StreamingResponse(_download(found), media_type="text/plain")

    @router.post(
        "/v1/chat/completions/tokenizer/encode/count", openapi_extra=request_schema(FoundryCount)
    )
    async def count(request: Request) -> Response:
        """Tokens of a conversation, as the model's template writes it."""
        body = await parse_body(request, FoundryCount)
        asked = TokenizeRequest(messages=plain_messages(body.messages))
        result = await services.models.tokenize(body.model, asked)
        return json_response({"tokenCount": len(result.ids)})


def _add_first(router: APIRouter, services: Services) -> None:
    """SDK 0.x."""

    @router.get("/openai/load/{model:path}")
    async def load(
        model: str, ttl: float | None = None, ep: str = "", *, unload: bool | None = None
    ) -> Response:
        """Loads a model for `ttl` seconds of idleness. unload=false: for ever."""
        if ep.lower().removesuffix("executionprovider") not in _DEVICES:
            raise ServeError(
                "invalid_request", f"ep is {ep[:40]!r}; this server runs on cpu", param="ep"
            )
        await _load(services, model, -1 if unload is False else ttl)
        return json_response({})

    @router.get("/openai/unload/{model:path}")
    async def unload_one(model: str, *, force: bool = False) -> Response:
        """Unloads a model, with `force` at once."""
        await services.models.unload(model, force=force)
        return json_response({})

    @router.get("/openai/unloadall")
    async def unload_all() -> Response:
        """Unloads every model."""
        for model in await services.models.ps():
            await services.models.unload(model.card.id)
        return json_response({})


def _add_second(router: APIRouter, services: Services) -> None:
    """SDK 2.x."""

    @router.get("/models/load/{model:path}")
    async def load(model: str) -> Response:
        """Loads a model; says whether it was."""
        card = await services.models.get_model(model)
        known = {loaded.card.id for loaded in await services.models.ps()}
        await _load(services, model, None)
        return json_response({"status": "already_loaded" if card.id in known else "loaded"})

    @router.get("/models/unload/{model:path}")
    async def unload(model: str) -> Response:
        """Unloads a model; says whether it was loaded."""
        was_loaded = await services.models.unload(model)
        return json_response({"status": "unloaded" if was_loaded else "not_loaded"})


async def _load(services: Services, model: str, ttl: float | None) -> LoadedModel:
    return await services.models.load(model, keep_alive=keep_alive_seconds(ttl))


async def _download(found: Awaitable[Any]) -> AsyncIterator[bytes]:
    """Lines of progress, then one of JSON; errors as well, since the answer has begun."""
    outcome: dict[str, Any] = {"success": True, "errorMessage": None}
    try:
        await found
        yield b"Total 100.00% Downloading model\n"
    except ServeError as error:
        outcome = {"success": False, "errorMessage": error.message}
    both = {**outcome, "Success": outcome["success"], "ErrorMessage": outcome["errorMessage"]}
    yield msgspec.json.encode(both) + b"\n"
