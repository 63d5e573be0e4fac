"""POST /v1/completions."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.openai.common import (
    FINGERPRINT,
    dispatch_options,
    ignored_header,
    json_response,
    new_id,
    usage_object,
)
from pyslm.serve.openai.completion_request import CompletionRequest
from pyslm.serve.openai.completion_stream import CompletionWriter, echo_tokens
from pyslm.serve.openai.fields import check_extra
from pyslm.serve.openai.logprobs import completion_logprobs
from pyslm.serve.openai.merged import MergedStream
from pyslm.serve.protocol import Choice, Completion, EventStream, GenerateRequest, Services, collect
from pyslm.serve.streaming import stream_response, until_gone

__all__ = ["add_routes"]


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's route."""
    described = request_schema(CompletionRequest, streams="text/event-stream")

    @router.post(
        "/v1/completions",
        openapi_extra=described,
    )
    async def completions(request: Request) -> Response:
        """Continues prompts as they are."""
        body = await parse_body(request, CompletionRequest)
        headers = ignored_header(check_extra(body))
        ident = new_id("cmpl", body.request_id)
        card = await services.models.get_model(body.model)
        model = body.model or card.id
        streams = await _start(services, body, body.to_generate(ident))
        n = body.n or 1
        if body.stream:
            merged = MergedStream(streams, n)
            return stream_response(merged, CompletionWriter(ident, model, body), headers=headers)
        completions = await until_gone(request, _collect_all(streams, n))
        return json_response(_object(ident, model, body, completions), headers)


async def _start(
    services: Services, body: CompletionRequest, requests: list[GenerateRequest]
) -> list[EventStream]:
    """All prompts, or none of them."""
    streams: list[EventStream] = []
    options = dispatch_options(body)
    try:
        for request in requests:
            streams.append(await services.models.generate(body.model, request, **options))
    except BaseException:
        await asyncio.gather(*(stream.aclose() for stream in streams))
        raise
    return streams


async def _collect_all(streams: list[EventStream], n: int) -> list[Completion]:
    try:
        return await asyncio.gather(*(collect(stream, n) for stream in streams))
    finally:
        await asyncio.gather(*(stream.aclose() for stream in streams))


def _object(
    ident: str, model: str, body: CompletionRequest, completions: list[Completion]
) -> dict[str, Any]:
    choices = [
        _choice(p * len(completion.choices) + i, completion, choice, body)
        for p, completion in enumerate(completions)
        for i, choice in enumerate(completion.choices)
    ]
    written = 0 if body.only_prompt else sum(c.completion_tokens for c in completions)
    return {
        "id": ident,
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": usage_object(
            sum(completion.prompt_tokens for completion in completions),
            written,
            sum(completion.cached_tokens for completion in completions),
        ),
        "system_fingerprint": FINGERPRINT,
    }


def _choice(
    index: int, completion: Completion, choice: Choice, body: CompletionRequest
) -> dict[str, Any]:
    finished, started = choice.finished, completion.started
    assert finished is not None
    assert started is not None
    content = "" if body.only_prompt else choice.content
    tokens = [] if body.only_prompt else choice.tokens
    as_ids = bool(body.return_tokens_as_token_ids)
    logprobs: dict[str, Any] | None = None
    if body.logprobs is not None:
        echoed = echo_tokens(started) if body.echo else []
        logprobs = completion_logprobs([*echoed, *tokens], 0, as_ids=as_ids)
    found: dict[str, Any] = {
        "index": index,
        "text": (started.prompt_text or "") + content,
        "logprobs": logprobs,
        "finish_reason": "length" if body.only_prompt else finished.reason,
    }
    if finished.stop_reason is not None:
        found["stop_reason"] = finished.stop_reason
    if body.return_token_ids:
        found["token_ids"] = [token.id for token in tokens]
        found["prompt_token_ids"] = started.prompt_token_ids
    return found
