"""Routes that bring, name and remove models: all that needs the hub, in one place."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NoReturn

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, StrictBool
from starlette.responses import Response, StreamingResponse

from pyslm.errors import PyslmError
from pyslm.hub import PullProgress, pull_events
from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.catalog import plain_name
from pyslm.serve.ollama.common import BaseRequest
from pyslm.serve.ollama.error import error_object
from pyslm.serve.ollama.stream import NDJSON
from pyslm.serve.openai.common import ignored_header, json_response
from pyslm.serve.protocol import ServeError, Services

__all__ = ["UPLOADS", "add_routes"]

UPLOADS = ("/api/blobs/",)


class OllamaPullRequest(BaseRequest):
    """Asks for a model to be brought."""

    name: str = ""
    """What `model` was called before."""
    stream: StrictBool | None = None


class OllamaCopyRequest(BaseModel):
    """Asks for a further name."""

    model_config = ConfigDict(extra="allow")

    source: str
    destination: str


class OllamaDeleteRequest(BaseRequest):
    """Asks for a model to be removed."""

    name: str = ""
    """What `model` was called before."""


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""

    @router.post("/api/pull", openapi_extra=request_schema(OllamaPullRequest, streams=NDJSON))
    async def pull(request: Request) -> Response:
        """Downloads a model."""
        body = await parse_body(request, OllamaPullRequest)
        headers = ignored_header(body.passed_over())
        events = pull_events(services.needed_store(), body.model or body.name)
        if body.stream is False:
            async for _ in events:
                pass
            return json_response({"status": "success"}, headers)
        known = await _until_known(events)
        return StreamingResponse(_lines(known, events), 200, headers, NDJSON)

    @router.post("/api/copy", openapi_extra=request_schema(OllamaCopyRequest))
    async def copy(request: Request) -> Response:
        """Gives a model a further name."""
        body = await parse_body(request, OllamaCopyRequest)
        store = services.needed_store()
        stored = await asyncio.to_thread(store.find, body.source)  # no path is a name
        await asyncio.to_thread(store.copy, stored.name, body.destination)
        return Response()

    @router.delete("/api/delete", openapi_extra=request_schema(OllamaDeleteRequest))
    async def delete(request: Request) -> Response:
        """Removes a model, also from memory."""
        body = await parse_body(request, OllamaDeleteRequest)
        store, name = services.needed_store(), plain_name(body.model or body.name)
        stored = await asyncio.to_thread(store.find, name)
        await services.models.unload(stored.name)
        await asyncio.to_thread(store.remove, stored.name)
        return Response()

    @router.post("/api/push", include_in_schema=False)
    async def push(request: Request) -> Response:  # noqa: ARG001
        """Uploads a model."""
        _not_yet("pushing models")

    @router.post("/api/create", include_in_schema=False)
    async def create(request: Request) -> Response:  # noqa: ARG001
        """Makes a model of another."""
        _not_yet("creating models")

    @router.head("/api/blobs/{digest}", include_in_schema=False)
    async def has_blob(digest: str) -> Response:  # noqa: ARG001
        """Whether a file is there."""
        _not_yet("blobs")

    @router.post("/api/blobs/{digest}", include_in_schema=False)
    async def add_blob(digest: str, request: Request) -> Response:  # noqa: ARG001
        """Takes a file."""
        _not_yet("blobs")


async def _until_known(events: AsyncGenerator[PullProgress]) -> list[PullProgress]:
    """What is told until the model is found, so that one nobody has can have its status."""
    told = []
    async for progress in events:
        told.append(progress)
        if progress.status != "resolving":
            break
    return told


async def _lines(
    known: list[PullProgress], events: AsyncGenerator[PullProgress]
) -> AsyncIterator[bytes]:
    try:
        async with contextlib.aclosing(events):
            for progress in known:
                yield _line(progress)
            async for progress in events:
                yield _line(progress)
    except PyslmError as error:
        yield msgspec.json.encode(error_object(ServeError.of(error))) + b"\n"


def _line(progress: PullProgress) -> bytes:
    """As Ollama tells it."""
    digest = f"sha256:{progress.digest}"
    told: dict[str, Any]
    match progress.status:
        case "resolving":
            told = {"status": "pulling manifest"}
        case "downloading":
            told = {
                "status": f"pulling {progress.digest[:12]}",
                "digest": digest,
                "total": progress.total_bytes,
                "completed": progress.done_bytes,
            }
        case "verifying":
            told = {"status": "verifying sha256 digest"}
        case "writing":
            told = {"status": "writing manifest"}
        case "success":
            told = {"status": "success"}
    return msgspec.json.encode(told) + b"\n"


def _not_yet(what: str) -> NoReturn:
    raise ServeError(
        "not_implemented", f"{what}: not implemented; it comes with the hub's registry protocol"
    )
