"""POST /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from pyslm.serve.anthropic.answer import MessageWriter, collect_message
from pyslm.serve.anthropic.error import request_headers
from pyslm.serve.anthropic.fields import check_extra
from pyslm.serve.anthropic.request import Conversation, MessagesRequest
from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.openai.common import ignored_header, json_response, new_id
from pyslm.serve.protocol import Services
from pyslm.serve.streaming import stream_response, until_gone

__all__ = ["add_routes"]


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""
    described = request_schema(MessagesRequest, streams="text/event-stream")

    @router.post("/v1/messages", openapi_extra=described)
    async def messages(request: Request) -> Response:
        """Continues a conversation."""
        body = await parse_body(request, MessagesRequest)
        headers = ignored_header(check_extra(body)) | request_headers()
        ident = new_id("msg").replace("-", "_")
        card = await services.models.get_model(body.model)
        stream = await services.models.generate(
            body.model, body.to_generate(ident), **body.dispatch_options()
        )
        model = body.model or card.id
        if body.stream:
            return stream_response(stream, MessageWriter(ident, model, body), headers=headers)
        whole = await until_gone(request, collect_message(stream, ident, model, body))
        return json_response(whole, headers)

    @router.post("/v1/messages/count_tokens", openapi_extra=request_schema(Conversation))
    async def count_tokens(request: Request) -> Response:
        """Counts the tokens of the prompt that /v1/messages would make."""
        body = await parse_body(request, Conversation)
        headers = ignored_header(check_extra(body)) | request_headers()
        found = await services.models.tokenize(body.model, body.to_tokenize())
        return json_response({"input_tokens": len(found.ids)}, headers)
