"""Requests of the published `anthropic` client to a server of ours."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from serve.server_process import ServerProcess

__all__ = ["MESSAGES", "SAY", "SCHEMAS", "TOOLS", "ask", "connect", "fields", "rejection"]

MESSAGES: list[Any] = [{"role": "user", "content": "Tell me a story."}]
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Oslo", "Rome"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
SAY = {
    "type": "object",
    "properties": {"word": {"enum": ["yes", "no"]}},
    "required": ["word"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {"name": "get_weather", "description": "Tells the weather.", "input_schema": WEATHER},
    {"name": "say", "input_schema": SAY},
]
SCHEMAS = {tool["name"]: tool["input_schema"] for tool in TOOLS}


def connect(server: ServerProcess, **options: Any) -> anthropic.Anthropic:
    settings = {"api_key": "none", "max_retries": 0, "timeout": 60.0, **options}
    return anthropic.Anthropic(base_url=server.url, **settings)


def fields(temperature: float = 0, **changes: Any) -> dict[str, Any]:
    """Of a request; the client's own arguments no longer include the temperature."""
    body = {"temperature": temperature, **changes.pop("extra_body", {})}
    asked = {"model": "stories", "messages": MESSAGES, "max_tokens": 24, "extra_body": body}
    return {**asked, **changes}


def ask(client: anthropic.Anthropic, **changes: Any) -> Any:
    return client.messages.create(**fields(**changes))


def rejection(client: anthropic.Anthropic, **changes: Any) -> dict[str, Any]:
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client, **changes)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["request_id"] == caught.value.request_id
    return body["error"]  # type: ignore[no-any-return]
