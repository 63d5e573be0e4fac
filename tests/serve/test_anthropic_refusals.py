"""What the server refuses of the published `anthropic` client, and how it says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from serve.anthropic_requests import MESSAGES, TOOLS, ask, connect, rejection
from serve.server_process import ServerProcess

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[anthropic.Anthropic]:
    with connect(server) as client:
        yield client


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages.0.content.0"),
        ({"messages": []}, "messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop_sequences": [""]}, "stop_sequences"),
        ({"system": [{"type": "document", "source": {}}]}, "system.0"),
        ({"extra_body": {"thread": {"type": "new"}}}, "thread"),
        ({"tools": [TOOLS[0], TOOLS[0]]}, "same name"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0"),
        ({"tools": [{**TOOLS[0], "defer_loading": True}]}, "defer_loading"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "fly"}}, "fly"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "budget_tokens"),
        ({"extra_body": {"mcp_servers": [{"url": "x"}]}}, "mcp_servers"),
        ({"extra_body": {"stop_sequence": ["x"]}}, "stop_sequences"),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]}]},
            "toolu_1",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_named(
    client: anthropic.Anthropic, changes: dict[str, Any], named: str
) -> None:
    assert named in rejection(client, **changes)["message"]


def test_max_tokens_is_required(server: ServerProcess) -> None:
    with server.http() as http:
        answer = http.post("/v1/messages", json={"model": "stories", "messages": MESSAGES})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("max_tokens: ")


def test_unknown_fields_are_named_in_a_header(client: anthropic.Anthropic) -> None:
    raw = client.messages.with_raw_response.create(
        model="stories",
        messages=MESSAGES,
        max_tokens=1,
        metadata={"user_id": "me"},
        extra_body={"zork": 1},
    )
    assert raw.headers["x-pyslm-ignored-fields"] == "zork"


def test_a_prompt_too_long_tells_the_counts(client: anthropic.Anthropic) -> None:
    error = rejection(client, messages=[{"role": "user", "content": "word " * 2000}])
    assert error["message"].startswith("prompt is too long: ")
    assert "> 512 maximum" in error["message"]


def test_unknown_model_and_route(client: anthropic.Anthropic, server: ServerProcess) -> None:
    with pytest.raises(anthropic.NotFoundError, match="stories"):
        ask(client, model="claude-9")
    with server.http() as http:
        answer = http.post("/v1/messages/batches", json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"
    assert answer.json()["request_id"] == answer.headers["request-id"]
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


def test_keys_bodies_and_rates(chat_model: Path) -> None:
    options = ("--api-key", "s" * 43, "--rate-limit", "3/minute", "--max-body", "2000")
    server = ServerProcess(chat_model, "--name", "stories", *options)
    with (
        connect(server, api_key="wrong") as client,
        pytest.raises(anthropic.AuthenticationError) as refused,
    ):
        client.models.list()
    body: Any = refused.value.body
    assert body["error"]["type"] == "authentication_error"
    with connect(server, api_key=None, auth_token="s" * 43) as client:  # a bearer token
        assert ask(client, max_tokens=1).content
    with connect(server, api_key="s" * 43) as client:
        with pytest.raises(anthropic.APIStatusError) as large:
            ask(client, messages=[{"role": "user", "content": "a" * 3000}])
        assert large.value.status_code == 413
        assert large.value.body["error"]["type"] == "request_too_large"  # type: ignore[index]
        assert ask(client, max_tokens=1).content
        with pytest.raises(anthropic.RateLimitError) as limited:
            ask(client, max_tokens=1)
        assert limited.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index]
        assert int(limited.value.response.headers["retry-after"]) > 0
    assert server.stop() == 0
