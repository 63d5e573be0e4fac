"""POST /v1/responses, and what is kept of it."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.caller import current_caller
from pyslm.serve.openai.common import dispatch_options, ignored_header, json_response
from pyslm.serve.openai.fields import check_extra
from pyslm.serve.openai.responses.answer import Answer
from pyslm.serve.openai.responses.items import Item, ItemReference, stored_item
from pyslm.serve.openai.responses.request import ResponsesRequest
from pyslm.serve.openai.responses.store import ResponseStore, StoredResponse
from pyslm.serve.openai.responses.stream import KeptStream, ResponseWriter
from pyslm.serve.protocol import EventStream, ServeError, Services
from pyslm.serve.streaming import stream_response, until_gone

__all__ = ["add_routes"]

_Ident = Annotated[str, Path(min_length=1, max_length=256)]


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""
    config = services.config
    store = ResponseStore(
        config.responses_db,
        max_age=config.responses_days * 86400.0,
        max_count=config.responses_count,
    )
    described = request_schema(ResponsesRequest, streams="text/event-stream")

    @router.post("/v1/responses", openapi_extra=described)
    async def create_response(request: Request) -> Response:
        """Goes on with a conversation, which the server keeps."""
        body = await parse_body(request, ResponsesRequest)
        headers = ignored_header(check_extra(body))
        body.check()
        owner, ident = _owner(), f"resp_{secrets.token_hex(24)}"
        history = await _history(store, owner, body)
        inputs = await _inputs(store, owner, body, history)
        generate = body.to_generate(ident, history, inputs)
        card = await services.models.get_model(body.model)
        stream = await services.models.generate(body.model, generate, **dispatch_options(body))
        answer = Answer(
            _object(ident, body.model or card.id, body), with_logprobs=body.with_logprobs
        )

        async def keep() -> None:
            if body.is_stored:
                await store.put(owner, StoredResponse(body=answer.response, inputs=inputs))

        kept = KeptStream(stream, keep)
        if body.stream:
            return stream_response(kept, ResponseWriter(answer), headers=headers)
        await until_gone(request, _run(kept, answer))
        return json_response(answer.response, headers)

    @router.get("/v1/responses/{response_id}")
    async def get_response(response_id: _Ident, stream: bool = False) -> Response:
        """A response as it was given."""
        if stream:
            raise ServeError(
                "unsupported_field",
                "stream is not supported here: a response is kept when it is done",
                param="stream",
            )
        return json_response(await store.get(_owner(), response_id))

    @router.delete("/v1/responses/{response_id}")
    async def delete_response(response_id: _Ident) -> Response:
        """Forgets a response; what goes on from it can no longer be continued."""
        await store.delete(_owner(), response_id)
        return json_response({"id": response_id, "object": "response", "deleted": True})

    @router.get("/v1/responses/{response_id}/input_items")
    async def list_input_items(
        response_id: _Ident,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
        after: Annotated[str | None, Query(max_length=256)] = None,
    ) -> Response:
        """What the request of a response brought."""
        page = await store.inputs(_owner(), response_id, limit=limit, order=order, after=after)
        return json_response(
            {
                "object": "list",
                "data": page.items,
                "first_id": page.items[0]["id"] if page.items else None,
                "last_id": page.items[-1]["id"] if page.items else None,
                "has_more": page.has_more,
            }
        )


def _owner() -> str:
    """The caller's key, as a digest; without keys everybody is the same."""
    return current_caller.get().cache_salt


async def _history(store: ResponseStore, owner: str, body: ResponsesRequest) -> list[Item]:
    if body.previous_response_id is None:
        return []
    return await store.conversation(owner, body.previous_response_id)


async def _inputs(
    store: ResponseStore, owner: str, body: ResponsesRequest, history: list[Item]
) -> list[Item]:
    if body.input is None:
        return []
    if isinstance(body.input, str):
        content = [{"type": "input_text", "text": body.input}]
        message = {"type": "message", "role": "user", "content": content}
        return [{"id": f"msg_{secrets.token_hex(16)}", **message, "status": "completed"}]
    near = {item["id"]: item for item in history}
    found = []
    for position, item in enumerate(body.input):
        if not isinstance(item, ItemReference):
            found.append(stored_item(item))
            continue
        kept = near.get(item.id) or await store.item(owner, item.id)
        if kept is None:
            raise ServeError(
                "not_found",
                f"input.{position}: no item {item.id[:100]!r} is kept; send the item itself",
                param=f"input.{position}.id",
            )
        found.append(kept)
    return found


async def _run(stream: EventStream, answer: Answer) -> None:
    try:
        while events := await stream.batch():
            for event in events:
                for _ in answer.add(event):
                    pass
    finally:
        await stream.aclose()


def _object(ident: str, model: str, body: ResponsesRequest) -> dict[str, Any]:
    """The response before anything of it has come."""
    written = body.model_dump(
        mode="json",
        by_alias=True,
        exclude_none=True,
        include={"text", "tool_choice", "tools", "metadata", "user"},
    )
    text = {"format": {"type": "text"}, **written.get("text", {})}
    reasoning = body.reasoning
    return {
        "id": ident,
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": written.get("metadata", {}),
        "model": model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "reasoning": {"effort": reasoning.effort if reasoning else None, "summary": None},
        "service_tier": "default",
        "store": body.is_stored,
        "temperature": body.temperature,
        "text": text,
        "tool_choice": written.get("tool_choice", "auto"),
        "tools": written.get("tools", []),
        "top_logprobs": body.top_logprobs or 0,
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": written.get("user"),
    }
