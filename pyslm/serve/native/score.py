"""POST /score: how well pairs of texts fit, or how likely texts are after a prompt."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictBool
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.native.rerank import relevance
from pyslm.serve.openai.common import ignored_header, json_response, new_id
from pyslm.serve.openai.fields import check_extra
from pyslm.serve.protocol import LikelihoodRequest, PairsRequest, ServeError, Services

__all__ = ["PATHS", "ScoreBody", "add_routes"]

PATHS = ("/score", "/v1/score")
MAX_TEXTS = 1024
_Texts = str | Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)]


class ScoreBody(BaseModel):
    """vLLM's two texts, or lists of them; or a prompt and what may come after it."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    model: str = ""
    text_1: _Texts | None = Field(
        default=None, validation_alias=AliasChoices("text_1", "queries", "data_1")
    )
    text_2: _Texts | None = Field(
        default=None, validation_alias=AliasChoices("text_2", "documents", "data_2")
    )
    use_activation: StrictBool | None = None
    prompt: str | None = None
    continuations: _Texts | None = None

    def pairs(self) -> list[tuple[str, str]]:
        """The pairs to score.

        Raises:
            ServeError: the lists are not of one length, nor is the first a single text.
        """
        if self.text_1 is None or self.text_2 is None:
            raise ServeError(
                "invalid_request",
                "nothing to score; give text_1 and text_2, or prompt and continuations",
                param="text_1" if self.text_1 is None else "text_2",
            )
        first, second = _listed(self.text_1), _listed(self.text_2)
        if len(first) == 1:
            first *= len(second)
        if len(first) != len(second):
            raise ServeError(
                "invalid_request",
                f"text_1 has {len(first)} texts and text_2 {len(second)}; allowed: as many, or "
                "one in text_1",
                param="text_2",
            )
        return list(zip(first, second, strict=True))


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""
    described = request_schema(ScoreBody)

    async def score(request: Request) -> Response:
        """A number for each pair, or for each continuation its log-likelihood."""
        body = await parse_body(request, ScoreBody)
        headers = ignored_header(check_extra(body))
        card = await services.models.get_model(body.model)
        ident = new_id("score")
        ask = _pairs if body.continuations is None else _continuations
        data, num_tokens = await ask(services, body, ident)
        answer = {
            "id": ident,
            "object": "list",
            "created": int(time.time()),
            "model": body.model or card.id,
            "data": [{"index": i, "object": "score", **each} for i, each in enumerate(data)],
            "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
        }
        return json_response(answer, headers)

    for path in PATHS:
        router.post(path, openapi_extra=described)(score)


async def _pairs(
    services: Services, body: ScoreBody, ident: str
) -> tuple[list[dict[str, Any]], int]:
    asked = PairsRequest(id=ident, pairs=body.pairs())
    result = await services.models.score_pairs(body.model, asked)
    return [{"score": s} for s in relevance(result, body.use_activation)], result.num_tokens


async def _continuations(
    services: Services, body: ScoreBody, ident: str
) -> tuple[list[dict[str, Any]], int]:
    if not body.prompt:
        raise ServeError("invalid_request", "continuations need a prompt", param="prompt")
    texts: list[str | list[int]] = [*_listed(body.continuations or "")]
    asked = LikelihoodRequest(id=ident, prompt=body.prompt, continuations=texts)
    result = await services.models.likelihoods(body.model, asked)
    rows = zip(result.logprobs, result.are_greedy, result.lengths, strict=True)
    data = [{"score": s, "is_greedy": greedy, "num_tokens": n} for s, greedy, n in rows]
    return data, result.num_tokens


def _listed(texts: str | list[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)
