"""The routes of a deployment's agents.

::

    GET  /agents                 who is there
    POST /agents/{name}/run      {"input": ..., "session": ..., "user": ..., "stream": false}
    POST /agents/auto/run        the same: the agent that fits
    GET  /agents/{name}/logs     what it did: its entries in the audit log
    POST /approvals/{id}         {"approve": true}: a call that a stream asked about

A stream is one JSON object a line: text, call, result, approval, and at the end done or error.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from pyslm.deploy.host import AgentHost, Asked
from pyslm.deploy.parse import ANY_AGENT
from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.openai.common import json_response
from pyslm.serve.openai.error import error_response
from pyslm.serve.protocol import Dialect, ServeError, Services

__all__ = ["agents_dialect"]

_NDJSON = "application/x-ndjson"


class AgentRunBody(BaseModel):
    """Of POST /agents/{name}/run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: str = Field(min_length=1)
    session: str | None = Field(None, min_length=1, max_length=200)
    user: str = Field("", max_length=200)
    stream: bool = False


class ApprovalBody(BaseModel):
    """Of POST /approvals/{id}."""

    model_config = ConfigDict(extra="forbid", strict=True)

    approve: bool


def agents_dialect(host: AgentHost, services: Services) -> Dialect:  # noqa: ARG001
    """The routes; errors are OpenAI's."""
    router = APIRouter()

    @router.get("/agents")
    async def list_agents() -> Response:
        return json_response({"agents": host.listed(), "queued_calls": host.queued_calls()})

    @router.post("/agents/{name}/run", openapi_extra=request_schema(AgentRunBody, streams=_NDJSON))
    async def run(name: str, request: Request) -> Response:
        body = await parse_body(request, AgentRunBody)
        asked = Asked(body.input, body.session, body.user)
        if name == ANY_AGENT:
            routed = await host.route(asked)
            if body.stream:
                return StreamingResponse(_lines(_only(routed)), media_type=_NDJSON)
            return json_response(routed)
        if not body.stream:
            return json_response(await host.run(name, asked))
        events = host.stream(name, asked)
        first = await anext(events)  # what is refused at once is an error, not a stream
        return StreamingResponse(_lines(_with_first(first, events)), media_type=_NDJSON)

    @router.get("/agents/{name}/logs")
    async def logs(name: str, last: Annotated[int, Query(ge=1, le=10_000)] = 50) -> Response:
        path = host.audit_path(name)
        entries = await asyncio.to_thread(_entries, path, name, last) if path else []
        return json_response({"entries": entries})

    @router.post("/approvals/{number}", openapi_extra=request_schema(ApprovalBody))
    async def approve(number: str, request: Request) -> Response:
        body = await parse_body(request, ApprovalBody)
        if not host.approvals.answer(number, body.approve):
            raise ServeError("not_found", "nobody waits for this approval, or not any more")
        return json_response({"approved": body.approve})

    return Dialect(
        name="agents",
        router=router,
        prefixes=("/agents", "/approvals"),
        error_response=error_response,
    )


async def _only(record: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    yield {"type": "text", "text": record["text"]}
    yield {"type": "done", **record}


async def _with_first(
    first: dict[str, Any], others: AsyncGenerator[dict[str, Any], None]
) -> AsyncGenerator[dict[str, Any], None]:
    try:
        yield first
        async for event in others:
            yield event
    finally:
        await others.aclose()


async def _lines(events: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[bytes, None]:
    try:
        async for event in events:
            yield msgspec.json.encode(event) + b"\n"
    finally:
        await events.aclose()


def _entries(path: Path, name: str, last: int) -> list[dict[str, Any]]:
    """The newest entries of one agent."""
    if not path.exists():
        return []
    found = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("agent") == name:
                found.append(entry)
    return found[-last:]
