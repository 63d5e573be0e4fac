"""POST /v1/embeddings."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.durations import keep_alive_seconds
from pyslm.serve.openai.common import ignored_header, json_response, new_id
from pyslm.serve.openai.fields import check_extra
from pyslm.serve.protocol import EmbedRequest, EmbedResult, Services
from pyslm.serve.protocol.number import Integer, Number, TokenIds

__all__ = ["EmbeddingRequest", "add_routes"]

_MAX_INPUTS = 2048
_Ids = Annotated[TokenIds, Field(min_length=1)]


class EmbeddingRequest(BaseModel):
    """Texts, or lists of token ids."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str = ""
    input: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=_MAX_INPUTS)]
        | _Ids
        | Annotated[list[_Ids], Field(min_length=1, max_length=_MAX_INPUTS)]
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Integer | None = Field(None, ge=1)
    keep_alive: Number | str | None = None

    def inputs(self) -> list[str | list[int]]:
        """As a list, whatever it was."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [self.input]
        return list(self.input)


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's route."""

    @router.post("/v1/embeddings", openapi_extra=request_schema(EmbeddingRequest))
    async def embeddings(request: Request) -> Response:
        """A vector for each input."""
        body = await parse_body(request, EmbeddingRequest)
        headers = ignored_header(check_extra(body))
        card = await services.models.get_model(body.model)
        asked = EmbedRequest(id=new_id("embd"), inputs=body.inputs(), dimensions=body.dimensions)
        result = await services.models.embed(
            body.model, asked, keep_alive=keep_alive_seconds(body.keep_alive)
        )
        return json_response(_object(body, body.model or card.id, result), headers)


def _object(body: EmbeddingRequest, model: str, result: EmbedResult) -> dict[str, Any]:
    write = _base64 if body.encoding_format == "base64" else _floats
    num_tokens = sum(result.num_tokens)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": i, "embedding": write(vector)}
            for i, vector in enumerate(result.vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
    }


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _floats(vector: bytes) -> list[float]:
    floats: list[float] = np.frombuffer(vector, "<f4").tolist()
    return floats
