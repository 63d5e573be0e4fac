"""POST /api/embed, and /api/embeddings of old."""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request
from pydantic import Field, StrictBool
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.ollama.common import BaseRequest
from pyslm.serve.openai.common import ignored_header, json_response, new_id
from pyslm.serve.protocol import EmbedRequest, EmbedResult, Services
from pyslm.serve.protocol.number import Integer

__all__ = ["OllamaEmbedRequest", "OllamaEmbeddingRequest", "add_routes"]

TRUNCATED_HEADER = "x-pyslm-truncated-inputs"


class OllamaEmbedRequest(BaseRequest):
    """Texts."""

    input: str | Annotated[list[str], Field(max_length=2048)] = ""
    truncate: StrictBool | None = None
    """Unless False, a text too long for the model is cut, which a response header tells."""
    dimensions: Integer | None = Field(default=None, ge=0)

    def texts(self) -> list[str | list[int]]:
        """As a list, whatever it was; a lone empty text is none."""
        if isinstance(self.input, str):
            return [self.input] if self.input else []
        return list(self.input)


class OllamaEmbeddingRequest(BaseRequest):
    """One text."""

    prompt: str = ""


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""

    async def vectors(
        body: BaseRequest,
        texts: list[str | list[int]],
        dimensions: int | None = None,
        *,
        truncate: bool,
    ) -> EmbedResult:
        asked = EmbedRequest(
            id=new_id("embd"), inputs=texts, dimensions=dimensions or None, truncate=truncate
        )
        card = await services.models.get_model(body.model)
        return await services.models.embed(
            body.model, asked, **body.dispatch_options(services, card)
        )

    @router.post("/api/embed", openapi_extra=request_schema(OllamaEmbedRequest))
    async def embed(request: Request) -> Response:
        """A unit vector for each text."""
        began = time.monotonic_ns()
        body = await parse_body(request, OllamaEmbedRequest)
        headers = ignored_header(body.passed_over())
        card = await services.models.get_model(body.model)
        truncate = body.truncate is not False
        result = await vectors(body, body.texts(), body.dimensions, truncate=truncate)
        answer = {
            "model": body.model or card.id,
            "embeddings": _floats(result),
            "total_duration": time.monotonic_ns() - began,
            "load_duration": int(result.load_seconds * 1e9),
            "prompt_eval_count": sum(result.num_tokens),
        }
        return json_response(answer, headers | _cut(result))

    @router.post("/api/embeddings", openapi_extra=request_schema(OllamaEmbeddingRequest))
    async def embeddings(request: Request) -> Response:
        """The vector of a text."""
        body = await parse_body(request, OllamaEmbeddingRequest)
        headers = ignored_header(body.passed_over())
        texts: list[str | list[int]] = [body.prompt] if body.prompt else []
        result = await vectors(body, texts, truncate=True)
        found = _floats(result)
        return json_response({"embedding": found[0] if found else []}, headers | _cut(result))


def _floats(result: EmbedResult) -> list[list[float]]:
    return [np.frombuffer(vector, "<f4").tolist() for vector in result.vectors]


def _cut(result: EmbedResult) -> dict[str, str]:
    positions = ",".join(map(str, result.truncated[:64]))
    return {TRUNCATED_HEADER: positions} if positions else {}
