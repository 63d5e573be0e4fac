"""From a request for text to its response: the same for /api/generate and /api/chat."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Request
from starlette.responses import Response

from pyslm.serve.ollama.common import TextRequest, now
from pyslm.serve.ollama.stream import NDJSON, Shape, Writer, whole
from pyslm.serve.openai.common import ignored_header, json_response
from pyslm.serve.protocol import GenerateRequest, ModelCard, Services
from pyslm.serve.streaming import collect_response, stream_response

__all__ = ["answer", "load_or_unload"]


async def answer(
    request: Request,
    services: Services,
    body: TextRequest,
    card: ModelCard,
    generate: GenerateRequest,
    shape: Shape,
) -> Response:
    """Runs a request that has been checked."""
    began_ns = time.monotonic_ns()
    headers = ignored_header(body.passed_over())
    options = body.dispatch_options(services, card)
    stream = await services.models.generate(body.model, generate, **options)
    model = body.model or card.id
    if body.streams:
        writer = Writer(model, shape, began_ns, stream.load_seconds)
        return stream_response(stream, writer, media_type=NDJSON, headers=headers)
    completion = await collect_response(request, stream, 1)
    return json_response(whole(model, shape, completion, began_ns, stream.load_seconds), headers)


async def load_or_unload(
    services: Services, body: TextRequest, card: ModelCard, shape: Shape
) -> Response:
    """What a request without a prompt asks for."""
    headers = ignored_header(body.passed_over())
    options = body.dispatch_options(services, card)
    reason = "unload" if body.wants_unload else "load"
    if body.wants_unload:
        await services.models.unload(body.model)
    else:
        await services.models.load(body.model, **options)
    found: dict[str, Any] = {"model": body.model or card.id, "created_at": now(), **shape({})}
    return json_response({**found, "done": True, "done_reason": reason}, headers)
