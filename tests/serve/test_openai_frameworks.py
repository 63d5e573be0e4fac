"""Frameworks over OpenAI's chat completions: langchain, litellm, Microsoft Agent Framework."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from reference.scripted import write_scripted
from serve.server_process import ServerProcess
from stories import stories

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks' own

CALL = [
    "<tool_call>\n",
    '{"name": "get_weather", "arguments": {"city": "Oslo", ',
    '"days": 2}}',
    "\n</tool_call>",
]
HANDOFF = ["<tool_call>", '\n{"name": "handoff_to_expert", "arguments": {}}', "\n</tool", "_call>"]
ANSWER = ["It will be ", "sunny ", "in Oslo."]
NEXT = [
    '{"terminate": false, "reason": "ask",',
    ' "next_speaker": "expert", "final_message": null}',
]
END = [
    '{"terminate": true, "reason": "done",',
    ' "next_speaker": null, "final_message": "That was all."}',
]
QUESTION = "How will the weather be in Oslo?"
CUES = """
{%- set said = messages | map(attribute='content') | select('string') | join(' ') -%}
{%- if 'You are the chair' in said -%}
  {%- if 'It will be sunny in Oslo' in said -%}<|end_it|>{%- else -%}<|next|>{%- endif -%}
{%- elif messages[-1].role == 'tool' and 'sunny' in messages[-1].content -%}<|answer|>
{%- elif 'You are the desk' in said -%}<|handoff|>
{%- elif tools -%}<|call|>
{%- else -%}<|answer|>
{%- endif -%}"""


@pytest.fixture(scope="module")
def server(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A model that asks for the weather and then tells it; as a desk, it hands over, and as a
    chair, it gives the word to the expert once."""
    template = (shared / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text()
    replies = {
        "<|call|>": CALL,
        "<|answer|>": ANSWER,
        "<|handoff|>": HANDOFF,
        "<|next|>": NEXT,
        "<|end_it|>": END,
    }
    model = write_scripted(
        stories(shared), tmp_path_factory.mktemp("frameworks") / "m.gguf", replies, template + CUES
    )
    server = ServerProcess(model, "--name", "agent")
    yield server
    assert server.stop() == 0


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    """Closed at the end, which the frameworks do not do with their own."""
    with server.http() as client:
        yield client


def test_langchain(server: ServerProcess, http: httpx.Client) -> None:
    langchain = pytest.importorskip("langchain_openai", reason="needs the extra 'clients'")
    messages = pytest.importorskip("langchain_core.messages")
    model = langchain.ChatOpenAI(
        base_url=f"{server.url}/v1",
        api_key="none",
        model="agent",
        max_retries=0,
        temperature=0,
        http_client=http,
        http_async_client=httpx.AsyncClient(),  # never used
    )
    assert model.invoke(QUESTION).content == "".join(ANSWER)
    pieces = [chunk.content for chunk in model.stream(QUESTION)]
    assert "".join(pieces) == "".join(ANSWER)
    assert len([piece for piece in pieces if piece]) >= 3

    with_tools = model.bind_tools([WEATHER])
    turns: list[Any] = [messages.HumanMessage(QUESTION)]
    answer = with_tools.invoke(turns)
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Oslo", "days": 2})
    assert answer.usage_metadata["output_tokens"] > 0
    turns += [answer, messages.ToolMessage("sunny", tool_call_id=call["id"])]
    assert with_tools.invoke(turns).content == "".join(ANSWER)

    whole: Any = None
    for chunk in with_tools.stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    assert [(c["name"], c["args"]) for c in whole.tool_calls] == [
        ("get_weather", {"city": "Oslo", "days": 2})
    ]


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network
    pytest.importorskip("mcp", reason="needs the extra 'clients'")
    return pytest.importorskip("litellm", reason="needs the extra 'clients'")


def test_litellm(server: ServerProcess, litellm: Any) -> None:
    asked: dict[str, Any] = {
        "model": "openai/agent",
        "api_base": f"{server.url}/v1",
        "api_key": "none",
        "temperature": 0,
    }
    turns: list[Any] = [{"role": "user", "content": QUESTION}]
    answer = litellm.completion(**asked, messages=turns)
    assert answer.choices[0].message.content == "".join(ANSWER)
    pieces = [
        chunk.choices[0].delta.content or ""
        for chunk in litellm.completion(**asked, messages=turns, stream=True)
    ]
    assert "".join(pieces) == "".join(ANSWER)

    message = litellm.completion(**asked, messages=turns, tools=[WEATHER]).choices[0].message
    (call,) = message.tool_calls
    assert call.function.name == "get_weather"
    turns += [
        message.model_dump(),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    answer = litellm.completion(**asked, messages=turns, tools=[WEATHER])
    assert answer.choices[0].message.content == "".join(ANSWER)
    chunks = list(litellm.completion(**asked, messages=turns[:1], tools=[WEATHER], stream=True))
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].finish_reason == "tool_calls"
    assert whole.choices[0].message.tool_calls[0].function.name == "get_weather"


def test_litellm_speaks_anthropics_api_too(server: ServerProcess, litellm: Any) -> None:
    answer = litellm.completion(
        model="anthropic/agent",
        api_base=server.url,
        api_key="none",
        max_tokens=100,
        messages=[{"role": "user", "content": QUESTION}],
    )
    assert answer.choices[0].message.content == "".join(ANSWER)


class Framework:
    """Microsoft Agent Framework with its chat completions client."""

    def __init__(self, server: ServerProcess) -> None:
        reason = "needs the extra 'clients'"
        self.core = pytest.importorskip("agent_framework", reason=reason)
        self.clients = pytest.importorskip("agent_framework.openai", reason=reason)
        pytest.importorskip("agent_framework_openai", reason=reason)
        self._url = f"{server.url}/v1"
        self.asked: list[tuple[str, int]] = []

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Runs it with one client, which is closed at its end."""

        async def main() -> Any:
            async with openai.AsyncOpenAI(base_url=self._url, api_key="none") as self._transport:
                return await work()

        return asyncio.run(main())

    def agent(self, name: str, instructions: str, **options: Any) -> Any:
        client = self.clients.OpenAIChatCompletionClient(
            async_client=self._transport, model="agent"
        )
        return self.core.Agent(client, instructions=instructions, name=name, **options)

    def weather(self) -> Any:
        @self.core.tool(approval_mode="never_require")  # type: ignore[untyped-decorator]
        def get_weather(city: str, days: int) -> str:
            """Tells the weather."""
            self.asked.append((city, days))
            return f"sunny in {city}"

        return get_weather


@pytest.fixture
def framework(server: ServerProcess) -> Framework:
    return Framework(server)


@pytest.mark.parametrize("stream", [False, True])
def test_agent_framework(framework: Framework, stream: bool) -> None:
    """The agent calls the tool and answers."""

    async def run() -> Any:
        agent = framework.agent("weather", "Be brief.", tools=[framework.weather()])
        if not stream:
            return await agent.run(QUESTION)
        found = agent.run(QUESTION, stream=True)
        texts = [update.text async for update in found]
        assert len([text for text in texts if text]) >= 3
        return await found.get_final_response()

    answer = framework.run(run)
    assert framework.asked == [("Oslo", 2)]
    assert answer.text == "".join(ANSWER)
    assert answer.usage_details["output_token_count"] > 0


def test_agent_framework_hands_off(framework: Framework) -> None:
    """The desk hands over to the expert, which calls its tool and answers."""
    flows = pytest.importorskip("agent_framework_orchestrations")

    async def run() -> list[Any]:
        alone = {"require_per_service_call_history_persistence": True}
        desk = framework.agent("desk", "You are the desk.", **alone)
        expert = framework.agent("expert", "Tell it.", tools=[framework.weather()], **alone)
        workflow = (
            flows.HandoffBuilder(name="help", participants=[desk, expert])
            .with_start_agent(desk)
            .add_handoff(desk, [expert])
            .build()
        )
        return list(await workflow.run(QUESTION))

    events = framework.run(run)
    assert framework.asked == [("Oslo", 2)]
    outputs = [event for event in events if event.type == "output"]
    assert [event.executor_id for event in outputs] == ["desk", "expert"]
    assert outputs[-1].data.text == "".join(ANSWER)


def test_agent_framework_group_chat(framework: Framework) -> None:
    """The chair, whose answers are under a schema, gives the word to the expert and then ends."""
    flows = pytest.importorskip("agent_framework_orchestrations")

    async def run() -> Any:
        chair = framework.agent("chair", "You are the chair.")
        expert = framework.agent("expert", "Tell it.", description="knows the weather")
        workflow = flows.GroupChatBuilder(
            participants=[expert], orchestrator_agent=chair, max_rounds=4
        ).build()
        return await workflow.run(QUESTION)

    outputs = str([str(output) for output in framework.run(run).get_outputs()])
    assert "That was all." in outputs
