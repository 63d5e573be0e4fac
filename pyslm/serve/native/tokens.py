"""POST /tokenize and /detokenize, with the bodies of vLLM and of llama.cpp."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.openai.common import ignored_header, json_response
from pyslm.serve.openai.fields import check_extra
from pyslm.serve.openai.messages import Message, plain_messages
from pyslm.serve.openai.tools import Tool
from pyslm.serve.protocol import (
    DetokenizeRequest,
    ServeError,
    Services,
    TokenizeRequest,
    TokenizeResult,
)
from pyslm.serve.protocol.number import each_a_number

__all__ = ["PATHS", "DetokenizeBody", "TokenizeBody", "add_routes"]

PATHS = ("/tokenize", "/detokenize")


class TokenizeBody(BaseModel):
    """llama.cpp's `content`, or vLLM's `prompt` or `messages`."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str = ""
    content: str | None = None
    add_special: StrictBool = False
    parse_special: StrictBool = True
    with_pieces: StrictBool = False

    prompt: str | None = None
    messages: list[Message] | None = Field(default=None, min_length=1)
    add_special_tokens: StrictBool | None = None
    return_token_strs: StrictBool | None = None
    add_generation_prompt: StrictBool = True
    tools: list[Tool] | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    def to_request(self) -> TokenizeRequest:
        """The same for the worker."""
        given = [n for n in ("content", "prompt", "messages") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ServeError(
                "invalid_request",
                f"given: {' and '.join(given) or 'nothing'}; allowed: one of content, prompt and "
                "messages",
                param=given[-1] if given else "prompt",
            )
        if self.content is not None:
            return TokenizeRequest(
                text=self.content,
                add_special_tokens=self.add_special,
                parse_special=self.parse_special,
                with_pieces=self.with_pieces,
            )
        tools = [tool.model_dump(exclude_none=True) for tool in self.tools or ()]
        return TokenizeRequest(
            text=self.prompt,
            add_special_tokens=self.add_special_tokens is not False,
            messages=None if self.messages is None else plain_messages(self.messages),
            tools=tools or None,
            template_options=self.chat_template_kwargs or {},
            add_generation_prompt=self.add_generation_prompt,
            with_pieces=bool(self.return_token_strs),
        )


class DetokenizeBody(BaseModel):
    """Token ids."""

    model_config = ConfigDict(extra="allow")

    model: str = ""
    tokens: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], each_a_number]


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""

    @router.post("/tokenize", openapi_extra=request_schema(TokenizeBody))
    async def tokenize(request: Request) -> Response:
        """Token ids of a text, or of a conversation as the model's template writes it."""
        body = await parse_body(request, TokenizeBody)
        headers = ignored_header(check_extra(body))
        result = await services.models.tokenize(body.model, body.to_request())
        write = _llama_cpp if body.content is not None else _vllm
        return json_response(write(result), headers)

    @router.post("/detokenize", openapi_extra=request_schema(DetokenizeBody))
    async def detokenize(request: Request) -> Response:
        """The text of token ids, under the names of both."""
        body = await parse_body(request, DetokenizeBody)
        headers = ignored_header(check_extra(body))
        asked = DetokenizeRequest(ids=body.tokens, skip_special_tokens=False)
        text = await services.models.detokenize(body.model, asked)
        return json_response({"prompt": text, "content": text}, headers)


def _vllm(result: TokenizeResult) -> dict[str, Any]:
    texts = result.pieces
    return {
        "count": len(result.ids),
        "max_model_len": result.context_length,
        "tokens": result.ids,
        "token_strs": None if texts is None else [raw.decode("utf-8", "replace") for raw in texts],
    }


def _llama_cpp(result: TokenizeResult) -> dict[str, Any]:
    if result.pieces is None:
        return {"tokens": result.ids}
    pairs = zip(result.ids, result.pieces, strict=True)
    return {"tokens": [{"id": ident, "piece": _piece(raw)} for ident, raw in pairs]}


def _piece(raw: bytes) -> str | list[int]:
    """Text, or the bytes of what is none by itself."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return list(raw)
