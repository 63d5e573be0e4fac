"""Agents on OpenAI-compatible servers: a real one of ours, and ones that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve.server_process import ServerProcess

from pyslm.agents import Agent, Config, EndpointModel, ModelRequest, Reply
from pyslm.agents.models.endpoint import is_this_machine
from pyslm.chat.request import ToolChoice
from pyslm.errors import AgentConfigError, ModelCallError

ASKED = ModelRequest(messages=[{"role": "user", "content": "?"}])


def get_weather(city: str, days: int) -> str:
    """Tells the weather."""
    return f"sunny in {city} for {days} days"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def server(weather_model: Path, state: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(weather_model, "--name", "w", "--state-file", state / "service.json")
    yield server
    assert server.stop() == 0


def test_an_agent_on_our_server(server: ServerProcess) -> None:
    agent = Agent(Config(model_alias="w"), model_endpoint=f"{server.url}/v1", tools=[get_weather])
    result = asyncio.run(agent.run("How will the weather be in Oslo?"))
    assert result.text == "It will be sunny in Oslo."
    assert [each.content for each in result.tool_results] == ["sunny in Oslo for 2 days"]
    assert result.usage.prompt_tokens > result.usage.cached_tokens > 0
    # From another loop, over connections that are kept.
    assert agent.chat("How will the weather be in Oslo?") == "It will be sunny in Oslo."


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("provider", ["auto", "pyslm", "foundry-local"])
def test_a_running_service_is_found(
    state: Path, monkeypatch: pytest.MonkeyPatch, provider: Any
) -> None:
    monkeypatch.setenv("PYSLM_STATE_DIR", str(state))
    agent = Agent(Config(model_provider=provider, model_alias="w"), tools=[get_weather])
    assert agent.chat("?") == "It will be sunny in Oslo."
    assert Agent(tools=[get_weather]).chat("?") == "It will be sunny in Oslo."  # its first model


def test_without_service_and_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path))
    with pytest.raises(AgentConfigError, match="model_alias"):
        Agent().chat("?")


def test_forms_and_choices(server: ServerProcess) -> None:
    model = EndpointModel(f"{server.url}/v1", "w")
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"],
              "additionalProperties": False}  # fmt: skip
    found = Agent(model=model).chat("?", response_format=schema)
    assert found["n"] in (1, 2)
    asked = ModelRequest(messages=ASKED.messages, choice=["billing", "support"])
    assert asyncio.run(Reply.collect(model.stream(asked))).text in ("billing", "support")


def test_tokens_are_counted_by_the_server(server: ServerProcess) -> None:
    model = EndpointModel(f"{server.url}/v1", "w")
    few = asyncio.run(model.count_tokens([{"role": "user", "content": "hi"}]))
    more = asyncio.run(model.count_tokens([{"role": "user", "content": "hi " * 50}]))
    assert few + 40 < more
    assert model.context_length == 4096


def test_a_model_that_the_server_does_not_have(server: ServerProcess) -> None:
    with pytest.raises(ModelCallError, match=r"404.*nobody"):
        Agent(Config(model_alias="nobody"), model_endpoint=f"{server.url}/v1").chat("?")


def test_nobody_there() -> None:
    with pytest.raises(ModelCallError, match="is the server running"):
        Agent(Config(model_alias="x"), model_endpoint="http://127.0.0.1:9/v1").chat("?")


def fake(answer: Callable[[httpx.Request], httpx.Response]) -> EndpointModel:
    return EndpointModel("http://127.0.0.1/v1", "m", "key", transport=httpx.MockTransport(answer))


def sse(*chunks: Any, end: str = "data: [DONE]\n\n") -> httpx.Response:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return httpx.Response(200, text=": hello\n\n" + "".join(lines) + end)


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def ask(model: EndpointModel, asked: ModelRequest = ASKED) -> Reply:
    async def main() -> Reply:
        try:
            return await Reply.collect(model.stream(asked))
        finally:
            await model.close()

    return asyncio.run(main())


def test_what_is_sent() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return sse(delta("stop", content="ok"))

    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    asked = ModelRequest(
        messages=ASKED.messages, tools=[tool], tool_choice=ToolChoice("required", ("f",)),
        parallel_tool_calls=False, max_tokens=7, temperature=0.5, seed=3,
    )  # fmt: skip
    assert ask(fake(answer), asked).text == "ok"
    (request,) = seen
    assert (request.method, request.url.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer key"
    assert json.loads(request.content) == {
        "model": "m", "messages": ASKED.messages, "max_tokens": 7, "temperature": 0.5, "seed": 3,
        "stream": True, "stream_options": {"include_usage": True}, "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
    }  # fmt: skip


def piece(index: int | None, ident: str | None, name: str | None, text: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": text}
    call: dict[str, Any] = {"id": ident, "function": function}
    if index is not None:
        call["index"] = index
    return delta(tool_calls=[call])


@pytest.mark.parametrize(
    "chunks",
    [
        [piece(0, "a", "f", ""), piece(0, None, None, '{"n"'), piece(0, None, None, ": 1}"),
         piece(1, "b", "g", "{}")],
        [piece(0, "a", "f", '{"n": 1}'), piece(1, "b", "g", "{}")],
        [piece(None, "a", "f", '{"n": 1}'), piece(None, "b", "g", "{}")],  # Gemini's
        [piece(0, "a", "f", {"n": 1}), piece(1, "b", "g", {})],  # objects
    ],
)  # fmt: skip
def test_calls_in_the_pieces_that_servers_send(chunks: list[Any]) -> None:
    reply = ask(fake(lambda _: sse(*chunks, delta("tool_calls"))))
    assert [(c.id, c.name) for c in reply.calls] == [("a", "f"), ("b", "g")]
    assert [json.loads(c.arguments or "{}") for c in reply.calls] == [{"n": 1}, {}]


def test_thoughts_and_usage() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4,
             "prompt_tokens_details": {"cached_tokens": 5}}  # fmt: skip
    chunks = [delta(reasoning_content="hm"), delta(content="yes"), delta("stop"),
              {"choices": [], "usage": usage}]  # fmt: skip
    reply = ask(fake(lambda _: sse(*chunks)))
    assert (reply.thoughts, reply.text) == ("hm", "yes")
    assert reply.finish is not None
    assert (reply.finish.usage.prompt_tokens, reply.finish.usage.cached_tokens) == (9, 5)


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (lambda: sse(delta(content="half")), "before it was complete"),
        (lambda: sse(delta(content="half"), end="data: {broken\n\n"), "no JSON object"),
        (lambda: sse({"error": {"message": "out of memory"}}), "out of memory"),
        (lambda: httpx.Response(400, json={"error": {"message": "too long"}}), "400.*too long"),
        (lambda: httpx.Response(401, text="who?"), r"401.*who\?"),
        (lambda: httpx.Response(503, json={"detail": "busy"}, headers={"Retry-After": "0"}), "503"),
        (lambda: httpx.Response(200, text="<html>"), "before it was complete"),
        (lambda: sse([1, 2]), "no JSON object"),
    ],
)  # fmt: skip
def test_servers_that_misbehave(response: Callable[[], httpx.Response], told: str) -> None:
    with pytest.raises(ModelCallError, match=told):
        ask(fake(lambda _: response()))


def test_busy_servers_are_asked_again() -> None:
    answers = iter([httpx.Response(429, headers={"Retry-After": "0"}),
                    httpx.Response(503, headers={"Retry-After": "0"}),
                    sse(delta("stop", content="ok"))])  # fmt: skip
    assert ask(fake(lambda _: next(answers))).text == "ok"


def test_bad_requests_are_not_repeated() -> None:
    count: list[int] = []

    def answer(_: httpx.Request) -> httpx.Response:
        count.append(1)
        return httpx.Response(400)

    with pytest.raises(ModelCallError):
        ask(fake(answer))
    assert len(count) == 1


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("http://localhost:8000/v1", True), ("http://127.0.0.1/v1", True),
        ("http://[::1]/v1", True),
        ("http://127.8.8.8/v1", True), ("https://example.com/v1", False),
        ("http://localhost.example.com", False), ("http://10.0.0.1/v1", False),
        ("http://127.0.0.1@example.com/", False), ("http://2130706433/", False),
    ],
)  # fmt: skip
def test_what_is_this_machine(url: str, near: bool) -> None:
    assert is_this_machine(url) == near


def test_the_usual_places(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyslm.agents.models import choose_model

    monkeypatch.setenv("OLLAMA_HOST", "0.0.0.0:4242")
    found = choose_model(Config(model_provider="ollama", model_alias="m"))
    assert repr(found) == "EndpointModel('http://127.0.0.1:4242/v1', 'm')"
    found = choose_model(Config(model_provider="vllm", model_alias="m"))
    assert repr(found) == "EndpointModel('http://127.0.0.1:8000/v1', 'm')"
    assert choose_model(Config(model_provider="openai", model_alias="m")).place == "network"
