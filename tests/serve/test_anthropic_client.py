"""The published `anthropic` client, unmodified, against a real server process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import jsonschema
import pytest
from reference.rewrite import rewrite
from serve.anthropic_requests import MESSAGES, SAY, SCHEMAS, TOOLS, ask, connect, fields, rejection
from serve.server_process import ServerProcess
from stories import calling_model, stories

import pyslm

ONE_CALL = {"type": "any", "disable_parallel_tool_use": True}

THOUGHTS = ["<think>\n", "hm, ", "so", "\n</think>\n\n"]
CALL = [
    "<tool_call>\n",
    '{"name": "get_weather", "arguments": {"city": "Oslo", ',
    '"days": 2}}',
    "\n</tool_call>",
]
ANSWER = ["It will be ", "sunny ", "in Oslo."]


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[anthropic.Anthropic]:
    with connect(server) as client:
        yield client


@pytest.fixture(scope="module")
def tools_client(
    shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[anthropic.Anthropic]:
    """A model that says anything, with a published template that knows tools."""
    template = (shared / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text()
    target = tmp_path_factory.mktemp("tools") / "model.gguf"
    metadata = {"tokenizer.chat_template": template, "llama.context_length": 4096}
    server = ServerProcess(rewrite(stories(shared), target, metadata=metadata))
    with connect(server) as client:
        yield client
    assert server.stop() == 0


@pytest.fixture(scope="module")
def agent(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[anthropic.Anthropic]:
    """A model that thinks and asks for the weather, and then tells it."""
    target = tmp_path_factory.mktemp("agent") / "agent.gguf"
    model = calling_model(shared, target, [*THOUGHTS, *CALL], ANSWER, "Qwen-Qwen3-0.6B")
    server = ServerProcess(model, "--name", "agent")
    with connect(server) as client:
        yield client
    assert server.stop() == 0


def call(client: anthropic.Anthropic, **changes: Any) -> Any:
    asked = {"model": "", "tools": TOOLS, "max_tokens": 200, "temperature": 0.7}
    return ask(client, **{**asked, **changes})


def test_a_message_is_what_the_library_says(client: anthropic.Anthropic, chat_model: Path) -> None:
    with pyslm.LLM(chat_model) as llm:
        expected = llm.chat(MESSAGES, pyslm.SamplingParams(temperature=0, max_tokens=24))
    message = ask(client)
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text == expected.text
    assert (message.role, message.type, message.model) == ("assistant", "message", "stories")
    assert (message.stop_reason, message.stop_sequence) == ("max_tokens", None)
    usage = message.usage
    assert usage.input_tokens + usage.cache_read_input_tokens == expected.usage.prompt_tokens
    assert usage.output_tokens == expected.usage.completion_tokens
    assert message.id.startswith("msg_")
    assert message._request_id


def test_the_streaming_helper_puts_the_message_together(client: anthropic.Anthropic) -> None:
    whole = ask(client)
    with client.messages.stream(**fields()) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(texts) == whole.content[0].text
    assert len(texts) > 5
    assert final.content[0].text == whole.content[0].text  # type: ignore[union-attr]
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens
    read = final.usage.cache_read_input_tokens or 0
    assert final.usage.input_tokens + read == (
        whole.usage.input_tokens + whole.usage.cache_read_input_tokens
    )


def test_the_events_of_a_stream_are_anthropics(server: ServerProcess) -> None:
    body = {"model": "stories", "messages": MESSAGES, "max_tokens": 4, "stream": True}
    with server.http() as http:
        pieces = http.post("/v1/messages", json=body).text.strip().split("\n\n")
    events = []
    for piece in pieces:
        name, data = piece.split("\n")
        parsed = json.loads(data.removeprefix("data: "))
        assert name == f"event: {parsed['type']}"
        events.append(parsed["type"])
    kinds = [kind for i, kind in enumerate(events) if kind != (events[i - 1] if i else None)]
    assert kinds == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_stop_sequences(client: anthropic.Anthropic) -> None:
    free = ask(client, max_tokens=64).content[0].text
    word = free.split()[3]
    message = ask(client, max_tokens=64, stop_sequences=[word, "zzzz"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", word)
    assert message.content[0].text == free[: free.index(word)]


def test_a_full_context_has_a_reason_of_its_own(client: anthropic.Anthropic) -> None:
    endless = {"type": "array", "items": {"const": "a"}, "minItems": 2000}
    wanted = {"format": {"type": "json_schema", "schema": endless}}
    message = ask(client, max_tokens=100_000, output_config=wanted)
    assert message.stop_reason == "model_context_window_exceeded"
    usage = message.usage
    assert usage.input_tokens + usage.cache_read_input_tokens + usage.output_tokens >= 511


def test_system_and_blocks_make_the_same_prompt_as_text(client: anthropic.Anthropic) -> None:
    blocks = [{"type": "text", "text": "Tell me a story.", "cache_control": {"type": "ephemeral"}}]
    system: list[Any] = [
        {"type": "text", "text": "Be kind."},
        {"type": "text", "text": "Be brief."},
    ]
    as_text = ask(client, system="Be kind.\nBe brief.")
    as_blocks = ask(client, system=system, messages=[{"role": "user", "content": blocks}])
    assert as_text.content == as_blocks.content
    assert as_text.content != ask(client).content


def test_the_assistants_last_turn_is_continued(
    client: anthropic.Anthropic, chat_model: Path
) -> None:
    turns = [*MESSAGES, {"role": "assistant", "content": "Once upon a time there"}]
    with pyslm.LLM(chat_model) as llm:
        ids = llm.tokenize("user: Tell me a story.\nassistant: Once upon a time there")
        expected = llm.generate(ids, pyslm.SamplingParams(temperature=0, max_tokens=24))
    assert ask(client, messages=turns).content[0].text == expected.text
    turns[-1] = {"role": "assistant", "content": "Once "}
    assert "trailing whitespace" in rejection(client, messages=turns)["message"]


def test_count_tokens_is_what_the_message_costs(
    client: anthropic.Anthropic, tools_client: anthropic.Anthropic
) -> None:
    counted = client.messages.count_tokens(model="stories", messages=MESSAGES, system="Be kind.")
    usage = ask(client, system="Be kind.").usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens
    plain = tools_client.messages.count_tokens(model="", messages=MESSAGES)
    counted = tools_client.messages.count_tokens(model="", messages=MESSAGES, tools=TOOLS)
    usage = call(tools_client, max_tokens=1).usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens
    assert counted.input_tokens > plain.input_tokens


@pytest.mark.parametrize("seed", range(4))
def test_any_forces_a_valid_call(tools_client: anthropic.Anthropic, seed: int) -> None:
    message = call(tools_client, tool_choice=ONE_CALL, extra_body={"seed": seed})
    assert message.stop_reason == "tool_use"
    (block,) = (block for block in message.content if block.type == "tool_use")
    jsonschema.validate(block.input, SCHEMAS[block.name])


@pytest.mark.parametrize("name", ["get_weather", "say"])
def test_a_named_tool(tools_client: anthropic.Anthropic, name: str) -> None:
    choice = {"type": "tool", "name": name, "disable_parallel_tool_use": True}
    message = call(tools_client, tool_choice=choice)
    (block,) = (block for block in message.content if block.type == "tool_use")
    assert block.name == name
    jsonschema.validate(block.input, SCHEMAS[name])


def test_a_streamed_call_is_the_whole_one(tools_client: anthropic.Anthropic) -> None:
    asked: dict[str, Any] = {"tool_choice": ONE_CALL, "extra_body": {"seed": 1}}
    whole = call(tools_client, **asked)
    changes = {"model": "", "tools": TOOLS, "max_tokens": 200, "temperature": 0.7, **asked}
    with tools_client.messages.stream(**fields(**changes)) as stream:
        partial = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use"
    blocks = [(b.type, b.name, b.input) for b in whole.content if b.type == "tool_use"]
    assert [(b.type, b.name, b.input) for b in final.content if b.type == "tool_use"] == blocks
    assert json.loads("".join(partial)) == blocks[0][2]


def test_none_calls_no_tool(tools_client: anthropic.Anthropic) -> None:
    message = call(tools_client, tool_choice={"type": "none"}, max_tokens=20)
    assert [block.type for block in message.content] == ["text"]


def test_an_answer_under_a_schema(client: anthropic.Anthropic) -> None:
    wanted = {"format": {"type": "json_schema", "schema": SAY}}
    message = ask(client, max_tokens=100, output_config=wanted)
    jsonschema.validate(json.loads(message.content[0].text), SAY)


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_thinks_calls_and_answers(agent: anthropic.Anthropic, stream: bool) -> None:
    turns: list[Any] = [{"role": "user", "content": "How will the weather be in Oslo?"}]
    asked: dict[str, Any] = {
        "model": "agent",
        "messages": turns,
        "tools": TOOLS,
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }

    def answered() -> Any:
        if not stream:
            return agent.messages.create(**asked)
        with agent.messages.stream(**asked) as events:
            return events.get_final_message()

    message = answered()
    assert [block.type for block in message.content] == ["thinking", "tool_use"]
    assert message.content[0].thinking.strip() == "hm, so"
    assert message.content[0].signature
    used = message.content[1]
    assert (used.name, used.input) == ("get_weather", {"city": "Oslo", "days": 2})
    assert message.stop_reason == "tool_use"
    turns.append({"role": "assistant", "content": message.content})
    result = {"type": "tool_result", "tool_use_id": used.id, "content": "sunny"}
    turns.append({"role": "user", "content": [result]})
    message = answered()
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text == "".join(ANSWER)
    assert message.stop_reason == "end_turn"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"thinking": {"type": "disabled"}},
        {"thinking": {"type": "adaptive", "display": "omitted"}},
    ],
)
def test_thoughts_stay_out_unless_asked_for(
    agent: anthropic.Anthropic, changes: dict[str, Any]
) -> None:
    """This model thinks whatever it is told."""
    message = ask(agent, model="agent", tools=TOOLS, max_tokens=2000, **changes)
    assert [block.type for block in message.content] == ["tool_use"]


def test_the_tool_runner_runs_python_functions(agent: anthropic.Anthropic) -> None:
    asked: list[tuple[str, int]] = []

    @anthropic.beta_tool
    def get_weather(city: str, days: int) -> str:
        """Tells the weather."""
        asked.append((city, days))
        return "sunny"

    runner = agent.beta.messages.tool_runner(
        model="agent", messages=MESSAGES, tools=[get_weather], max_tokens=200
    )
    final = runner.until_done()
    assert asked == [("Oslo", 2)]
    assert final.content[0].text == "".join(ANSWER)  # type: ignore[union-attr]


def test_models(client: anthropic.Anthropic, server: ServerProcess, chat_model: Path) -> None:
    (model,) = client.models.list()
    assert (model.id, model.type) == ("stories", "model")
    assert int(model.created_at.timestamp()) == int(chat_model.stat().st_mtime)
    assert client.models.retrieve("stories") == model
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("claude-9")
    body: Any = caught.value.body
    assert body["error"]["type"] == "not_found_error"
    assert [model.owned_by for model in server.openai().models.list()] == ["pyslm"]
