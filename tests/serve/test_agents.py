"""Agents with tools, over the clients that people run them with."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
from serve.server_process import ServerProcess
from stories import calling_model

CALL = [
    "<tool_call>\n",
    '{"name": "get_weather", "arguments": {"city": "Oslo", ',
    '"days": 2}}',
    "\n</tool_call>",
]
ANSWER = ["It will be ", "sunny ", "in Oslo."]
QUESTION = "How will the weather be in Oslo?"


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that asks for the weather, and then tells it."""
    target = tmp_path_factory.mktemp("agent") / "agent.gguf"
    return calling_model(shared, target, CALL, ANSWER)


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(model, "--name", "agent")
    yield server
    assert server.stop() == 0


def get_weather(city: str, days: int) -> str:
    """Tells the weather.

    Args:
        city: the name of a city
        days: how many days from now
    """
    return f"sunny in {city} for {days} days"


def run_with_client(
    server: ServerProcess, run: Callable[[ollama.AsyncClient], Coroutine[Any, Any, Any]]
) -> Any:
    """The framework leaves the client it makes open; one of ours is closed."""

    async def main() -> Any:
        client = ollama.AsyncClient(server.url, trust_env=False)
        async with client._client:
            return await run(client)

    return asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
def test_ollamas_own_loop(server: ServerProcess, stream: bool) -> None:
    """The loop of Ollama's examples: a Python function, its call, its result, the answer."""
    client = ollama.Client(server.url, trust_env=False)
    turns: list[Any] = [{"role": "user", "content": QUESTION}]

    def ask() -> Any:
        found = client.chat("agent", turns, tools=[get_weather], stream=stream)
        answers = list(found) if stream else [found]
        assert answers[-1].done_reason == "stop"
        text = "".join(answer.message.content or "" for answer in answers)
        return text, [c for answer in answers for c in answer.message.tool_calls or ()]

    try:
        text, (call,) = ask()
        assert text == ""
        assert call.function.name == "get_weather"
        assert call.function.arguments == {"city": "Oslo", "days": 2}
        result = get_weather(**call.function.arguments)
        turns.append({"role": "assistant", "tool_calls": [call.model_dump()]})
        turns.append({"role": "tool", "tool_name": "get_weather", "content": result})
        assert ask() == ("".join(ANSWER), [])
    finally:
        client._client.close()


@pytest.mark.filterwarnings("ignore")  # agent-framework's own
@pytest.mark.parametrize("stream", [False, True])
def test_agent_framework(server: ServerProcess, stream: bool) -> None:
    """Microsoft Agent Framework with its Ollama client: the agent calls the tool and answers."""
    framework = pytest.importorskip("agent_framework")
    clients = pytest.importorskip("agent_framework.ollama")
    asked: list[tuple[str, int]] = []

    @framework.tool(approval_mode="never_require")
    def get_weather(city: str, days: int) -> str:
        """Tells the weather."""
        asked.append((city, days))
        return f"sunny in {city}"

    async def run(transport: ollama.AsyncClient) -> Any:
        client = clients.OllamaChatClient(client=transport, model="agent")
        agent = framework.Agent(client, instructions="Be brief.", tools=[get_weather])
        if not stream:
            return await agent.run(QUESTION)
        found = agent.run(QUESTION, stream=True)
        texts = [update.text async for update in found]
        assert len([text for text in texts if text]) >= 3
        return await found.get_final_response()

    answer = run_with_client(server, run)
    assert asked == [("Oslo", 2)]
    assert answer.text == "".join(ANSWER)
    assert answer.usage_details["output_token_count"] > 0


@pytest.mark.filterwarnings("ignore")
def test_agent_framework_embeds(server: ServerProcess) -> None:
    clients = pytest.importorskip("agent_framework.ollama")

    async def run(transport: ollama.AsyncClient) -> Any:
        client = clients.OllamaEmbeddingClient(client=transport, model="agent")
        return await client.get_embeddings(["A dog", "A cat"])

    found = run_with_client(server, run)
    assert [len(each.vector) for each in found] == [64, 64]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stream", [False, True])
def test_agent_framework_by_foundry(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """Its Foundry Local client, through Foundry's SDK, which runs our command `foundry`."""
    framework = pytest.importorskip("agent_framework")
    pytest.importorskip("agent_framework_foundry_local")
    from agent_framework.foundry import FoundryLocalClient

    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    pyslm = [sys.executable, "-m", "pyslm"]
    subprocess.run([*pyslm, "foundry", "install", "--dir", str(tmp_path)], check=True)
    subprocess.run([*pyslm, "service", "start", str(model), "--name", "agent"], check=True)
    asked: list[tuple[str, int]] = []

    @framework.tool(approval_mode="never_require")
    def get_weather(city: str, days: int) -> str:
        """Tells the weather."""
        asked.append((city, days))
        return f"sunny in {city}"

    async def run() -> Any:
        client = FoundryLocalClient(model="agent")
        agent = framework.Agent(client, instructions="Be brief.", tools=[get_weather])
        async with client.client:
            if not stream:
                return await agent.run(QUESTION)
            found = agent.run(QUESTION, stream=True)
            async for _ in found:
                pass
            return await found.get_final_response()

    try:
        answer = asyncio.run(run())
    finally:
        subprocess.run([*pyslm, "service", "stop"], check=True)
    assert asked == [("Oslo", 2)]
    assert answer.text == "".join(ANSWER)
