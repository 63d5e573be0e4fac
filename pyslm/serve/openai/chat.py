"""POST /v1/chat/completions."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.openai.chat_request import ChatRequest
from pyslm.serve.openai.chat_stream import ChatWriter
from pyslm.serve.openai.common import (
    FINGERPRINT,
    completion_usage,
    dispatch_options,
    ignored_header,
    json_response,
    new_id,
)
from pyslm.serve.openai.fields import check_extra
from pyslm.serve.openai.logprobs import chat_logprobs
from pyslm.serve.protocol import Choice, Completion, Services
from pyslm.serve.streaming import collect_response, stream_response

__all__ = ["add_routes"]


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's route."""
    described = request_schema(ChatRequest, streams="text/event-stream")

    @router.post(
        "/v1/chat/completions",
        openapi_extra=described,
    )
    async def chat_completions(request: Request) -> Response:
        """Continues a conversation."""
        body = await parse_body(request, ChatRequest)
        headers = ignored_header(check_extra(body))
        ident = new_id("chatcmpl", body.request_id)
        generate = body.to_generate(ident)
        card = await services.models.get_model(body.model)
        stream = await services.models.generate(body.model, generate, **dispatch_options(body))
        model = body.model or card.id
        if body.stream:
            return stream_response(stream, ChatWriter(ident, model, body), headers=headers)
        completion = await collect_response(request, stream, generate.sampling.n)
        return json_response(_object(ident, model, body, completion), headers)


def _object(ident: str, model: str, body: ChatRequest, completion: Completion) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": ident,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [_choice(i, choice, body) for i, choice in enumerate(completion.choices)],
        "usage": completion_usage(completion),
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }
    started = completion.started
    if started is not None and started.prompt_token_ids is not None:
        found["prompt_token_ids"] = started.prompt_token_ids
    if started is not None and started.prompt_logprobs is not None:
        found["prompt_logprobs"] = chat_logprobs(started.prompt_logprobs)["content"]
    return found


def _choice(index: int, choice: Choice, body: ChatRequest) -> dict[str, Any]:
    finished = choice.finished
    assert finished is not None
    as_ids = bool(body.return_tokens_as_token_ids)
    reason: str = finished.reason
    if body.is_legacy and reason == "tool_calls":
        reason = "function_call"
    found: dict[str, Any] = {
        "index": index,
        "message": _message(choice, body.is_legacy),
        "logprobs": chat_logprobs(choice.tokens, as_ids=as_ids) if body.logprobs else None,
        "finish_reason": reason,
    }
    if finished.stop_reason is not None:
        found["stop_reason"] = finished.stop_reason
    if body.return_token_ids:
        found["token_ids"] = [token.id for token in choice.tokens]
    return found


def _message(choice: Choice, is_legacy: bool) -> dict[str, Any]:
    calls = choice.tool_calls
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.content or (None if calls else ""),
        "refusal": None,
    }
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
        message["reasoning_details"] = [{"type": "reasoning.text", "text": choice.reasoning}]
    if calls and is_legacy:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
    elif calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    return message
