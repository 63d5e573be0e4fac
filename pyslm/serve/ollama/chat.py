"""POST /api/chat."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, StrictBool
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.ollama.answer import answer, load_or_unload
from pyslm.serve.ollama.common import TextRequest
from pyslm.serve.ollama.messages import Message, to_plain
from pyslm.serve.ollama.stream import NDJSON, chat_shape
from pyslm.serve.openai import tools as openai
from pyslm.serve.openai.common import new_id
from pyslm.serve.protocol import GenerateRequest, ModelCard, ServeError, Services

__all__ = ["OllamaChatRequest", "add_routes"]


class Tool(openai.Tool):
    """A function; its type may be left out."""

    type: Literal["function"] = "function"


class OllamaChatRequest(TextRequest):
    """A conversation to be continued."""

    messages: list[Message] | None = None
    tools: list[Tool] | None = Field(None, max_length=512)
    tool_choice: openai.ToolChoiceField | None = None
    parallel_tool_calls: StrictBool | None = None

    def to_generate(self, card: ModelCard) -> GenerateRequest:
        """The same for the worker."""
        tools = [tool.model_dump(exclude_none=True) for tool in self.tools or ()]
        names = [tool["function"]["name"] for tool in tools]
        if len(set(names)) != len(names):
            raise ServeError("invalid_request", "two tools have the same name", param="tools")
        messages = to_plain(self.messages or [])
        return GenerateRequest(
            id=new_id("ollama"),
            messages=messages,
            sampling=self.sampling(),
            tools=tools or None,
            tool_choice=openai.tool_choice(self.tool_choice, names),
            parallel_tool_calls=self.parallel_tool_calls is not False,
            reasoning=self.reasoning(card),
            continue_last_message=_goes_on(messages[-1]),
        )


def _goes_on(last: dict[str, Any]) -> bool:
    """What the assistant has said last is the beginning of the answer."""
    return last["role"] == "assistant" and bool(last["content"]) and "tool_calls" not in last


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's route."""

    @router.post("/api/chat", openapi_extra=request_schema(OllamaChatRequest, streams=NDJSON))
    async def chat(request: Request) -> Response:
        """Continues a conversation; without messages, loads the model or lets it go."""
        body = await parse_body(request, OllamaChatRequest)
        card = await services.models.get_model(body.model)
        if not body.messages:
            return await load_or_unload(services, body, card, chat_shape)
        return await answer(request, services, body, card, body.to_generate(card), chat_shape)
