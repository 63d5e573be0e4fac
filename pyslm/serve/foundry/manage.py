"""Loads, unloads and brings models."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from pyslm.errors import PyslmError
from pyslm.hub import pull_events
from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.catalog import plain_name
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
    token: str | None = None
    """Of Hugging Face, where it is one."""


class FoundryCount(BaseModel):
    """Body of the token count."""

    model_config = ConfigDict(extra="allow")

    model: str = ""
    messages: list[Message] = Field(min_length=1)


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""
    _add_first(router, services)
    _add_second(router, services)

    described = request_schema(FoundryDownload, streams="text/plain")

    @router.post("/openai/download", openapi_extra=described)
    async def download(request: Request) -> Response:
        """Brings a model, unless it is here."""
        body = await parse_body(request, FoundryDownload)
        lines = _download(services, body.model.name, body.token)
        return StreamingResponse(lines, media_type="text/plain")

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


async def _download(services: Services, name: str, token: str | None) -> AsyncIterator[bytes]:
    """Lines of progress, then one of JSON; errors as well, since the answer has begun."""
    outcome: dict[str, Any] = {"success": True, "errorMessage": None}
    try:
        async for percent in _bring(services, name, token):
            yield b"Total %.2f%% Downloading model\n" % percent
    except PyslmError as error:
        outcome = {"success": False, "errorMessage": str(error)}
    both = {**outcome, "Success": outcome["success"], "ErrorMessage": outcome["errorMessage"]}
    yield msgspec.json.encode(both) + b"\n"


async def _bring(services: Services, name: str, token: str | None) -> AsyncIterator[float]:
    """How much of a model is here, in percent."""
    try:
        await services.models.get_model(name)
    except ServeError as error:
        if services.store is None or error.kind != "model_not_found":
            raise
        key = token if token and token.startswith("hf_") else None
        events = pull_events(services.needed_store(), plain_name(name), token=key)
        async with contextlib.aclosing(events):
            async for progress in events:
                if progress.total_bytes:
                    yield 100 * progress.done_bytes / progress.total_bytes
    yield 100.0
