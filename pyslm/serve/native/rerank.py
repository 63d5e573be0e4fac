"""POST /rerank, /v1/rerank and /v2/rerank, in the shape of Jina and Cohere."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.openai.common import ignored_header, json_response, new_id
from pyslm.serve.openai.fields import check_extra
from pyslm.serve.protocol import PairsRequest, PairsResult, Services
from pyslm.serve.protocol.number import Integer

__all__ = ["PATHS", "RerankBody", "add_routes", "relevance"]

PATHS = ("/rerank", "/reranking", "/v1/rerank", "/v1/reranking", "/v2/rerank")
MAX_DOCUMENTS = 1024


class Document(BaseModel):
    """A text in an object."""

    text: str


class RerankBody(BaseModel):
    """A question and the texts that may answer it."""

    model_config = ConfigDict(extra="allow")

    model: str = ""
    query: str
    documents: Annotated[list[str | Document], Field(min_length=1, max_length=MAX_DOCUMENTS)]
    top_n: Integer | None = Field(default=None, ge=0)
    return_documents: StrictBool | None = None
    use_activation: StrictBool | None = None
    """False: the numbers of the reranker's head as they are."""

    def texts(self) -> list[str]:
        """Of the documents."""
        return [each if isinstance(each, str) else each.text for each in self.documents]


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""
    described = request_schema(RerankBody)

    async def rerank(request: Request) -> Response:
        """The documents by how well they fit the query, the best first."""
        body = await parse_body(request, RerankBody)
        headers = ignored_header(check_extra(body))
        card = await services.models.get_model(body.model)
        ident = new_id("rerank")
        asked = PairsRequest(id=ident, pairs=[(body.query, text) for text in body.texts()])
        result = await services.models.score_pairs(body.model, asked)
        return json_response(_object(ident, body.model or card.id, body, result), headers)

    for path in PATHS:
        router.post(path, openapi_extra=described)(rerank)


def relevance(result: PairsResult, use_activation: bool | None) -> list[float]:
    """The scores; those of a reranker between 0 and 1, unless they are wanted as they are."""
    if result.are_logits and use_activation is not False:
        return [_sigmoid(score) for score in result.scores]
    return result.scores


def _sigmoid(score: float) -> float:
    if score >= 0:
        return 1 / (1 + math.exp(-score))
    return math.exp(score) / (1 + math.exp(score))


def _object(ident: str, model: str, body: RerankBody, result: PairsResult) -> dict[str, Any]:
    scores = relevance(result, body.use_activation)
    order = sorted(range(len(scores)), key=lambda i: result.scores[i], reverse=True)
    texts = None if body.return_documents is False else body.texts()
    return {
        "id": ident,
        "object": "list",
        "model": model,
        "results": [
            {"index": i, "relevance_score": scores[i]}
            | ({} if texts is None else {"document": {"text": texts[i]}})
            for i in order[: body.top_n or None]
        ],
        "usage": {"prompt_tokens": result.num_tokens, "total_tokens": result.num_tokens},
    }
