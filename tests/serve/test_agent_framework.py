"""Microsoft Agent Framework's default client, which speaks the Responses API, unmodified."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reference.rewrite import rewrite
from serve.server_process import ServerProcess
from stories import stories

pytest.importorskip("agent_framework.openai", reason="needs the extra 'clients'")

from agent_framework import Agent
from agent_framework.openai import OpenAIChatClient

OPTIONS: dict[str, Any] = {
    "tool_choice": "required",  # a model that says anything would call nothing by itself
    "max_tokens": 300,
    "temperature": 0,
    "reasoning": {"effort": "none"},
    "allow_multiple_tool_calls": False,
}


@pytest.fixture(scope="module")
def running(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    template = (shared / "templates" / "Qwen-Qwen3-0.6B.jinja").read_text()
    target = tmp_path_factory.mktemp("agents") / "model.gguf"
    metadata = {"tokenizer.chat_template": template, "llama.context_length": 4096}
    server = ServerProcess(rewrite(stories(shared), target, metadata=metadata), "--name", "tiny")
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("store", [None, False])
def test_an_agent_calls_its_tool_and_goes_on(
    running: ServerProcess, store: bool | None, stream: bool
) -> None:
    cities: list[str] = []

    def get_weather(city: str) -> str:
        """The weather of a city."""
        cities.append(city)
        return "sunny"

    async def run() -> Any:
        client = OpenAIChatClient(model="tiny", api_key="none", base_url=f"{running.url}/v1")
        agent = Agent(client=client, instructions="Be brief.", tools=[get_weather])
        options = OPTIONS if store is None else {**OPTIONS, "store": store}
        async with client.client:
            if not stream:
                return await agent.run("How is the weather in Oslo?", options=options)
            answer = agent.run("How is the weather in Oslo?", options=options, stream=True)
            async for _ in answer:
                pass
            return await answer.get_final_response()

    answer = asyncio.run(run())
    assert len(cities) == 1
    kinds = [content.type for message in answer.messages for content in message.contents]
    assert kinds.index("function_call") < kinds.index("function_result") < kinds.index("text")
    assert answer.text
