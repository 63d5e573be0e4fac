"""Tools over the published `openai` client: what is called is always valid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import openai
import pytest
from reference.rewrite import rewrite
from serve.server_process import ServerProcess
from stories import stories

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Oslo", "Rome"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}},
    {
        "type": "function",
        "function": {"name": "say", "parameters": {
            "type": "object", "properties": {"word": {"enum": ["yes", "no"]}}, "required": ["word"],
        }},
    },
]  # fmt: skip
MESSAGES: list[Any] = [{"role": "user", "content": "How is the weather in Oslo?"}]
ASKED: dict[str, Any] = {  # a model that says anything would go on calling, or thinking, for ever
    "model": "",
    "messages": MESSAGES,
    "tools": TOOLS,
    "temperature": 0.7,
    "parallel_tool_calls": False,
    "reasoning_effort": "none",
}


@pytest.fixture(scope="module", params=["Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", None])
def client(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[openai.OpenAI]:
    """A model that says anything, with published templates and with one that knows no tools."""
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    if request.param is not None:
        template = (shared / "templates" / f"{request.param}.jinja").read_text()
    target = tmp_path_factory.mktemp("tools") / "model.gguf"
    metadata = {"tokenizer.chat_template": template, "llama.context_length": 4096}
    server = ServerProcess(rewrite(stories(shared), target, metadata=metadata))
    yield server.openai()
    server.stop()


def check(name: str, arguments: str) -> None:
    schema = next(t["function"]["parameters"] for t in TOOLS if t["function"]["name"] == name)
    jsonschema.validate(json.loads(arguments), schema)


@pytest.mark.parametrize("seed", range(4))
def test_required_calls_are_valid(client: openai.OpenAI, seed: int) -> None:
    answer = client.chat.completions.create(**ASKED, tool_choice="required", seed=seed)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls
    for call in choice.message.tool_calls:
        assert call.type == "function"
        check(call.function.name, call.function.arguments)
    ids = [call.id for call in choice.message.tool_calls]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", ["get_weather", "say"])
def test_a_named_call(client: openai.OpenAI, name: str) -> None:
    answer = client.chat.completions.create(
        **ASKED,
        tool_choice={"type": "function", "function": {"name": name}},
    )
    (call,) = answer.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == name
    check(name, call.function.arguments)


def test_streamed_calls_have_a_stable_index(client: openai.OpenAI) -> None:
    chunks = client.chat.completions.create(**ASKED, tool_choice="required", seed=1, stream=True)
    calls: dict[int, dict[str, str]] = {}
    reason = None
    for chunk in chunks:
        reason = chunk.choices[0].finish_reason or reason
        for piece in chunk.choices[0].delta.tool_calls or ():
            assert piece.function is not None
            if piece.index not in calls:
                assert piece.id
                assert piece.function.name
                calls[piece.index] = {"name": piece.function.name, "arguments": ""}
            else:
                assert piece.id is None
                assert piece.function.name is None
            calls[piece.index]["arguments"] += piece.function.arguments or ""
    assert reason == "tool_calls"
    assert list(calls) == list(range(len(calls)))
    for call in calls.values():
        check(call["name"], call["arguments"])
    whole = client.chat.completions.create(**ASKED, tool_choice="required", seed=1)
    assert [
        {"name": call.function.name, "arguments": call.function.arguments}
        for call in whole.choices[0].message.tool_calls or ()
        if call.type == "function"
    ] == list(calls.values())


def test_parallel_calls(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        **{**ASKED, "parallel_tool_calls": True}, tool_choice="required", seed=3, max_tokens=300
    )
    calls = answer.choices[0].message.tool_calls or []
    begun = (answer.choices[0].message.content or "").startswith('{"tool_calls": [')
    assert len(calls) > 1 or begun  # one JSON object of many calls is none until it ends
    assert len({call.id for call in calls}) == len(calls)
    for call in calls:
        assert call.type == "function"
        check(call.function.name, call.function.arguments)


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_text_stays_text(client: openai.OpenAI, choice: Any) -> None:
    answer = client.chat.completions.create(**ASKED, tool_choice=choice, max_tokens=20)
    assert answer.choices[0].message.content
    assert not answer.choices[0].message.tool_calls


def test_functions_of_old(client: openai.OpenAI) -> None:
    functions = [tool["function"] for tool in TOOLS]
    answer = client.chat.completions.create(
        model="",
        messages=MESSAGES,
        functions=functions,
        function_call={"name": "say"},
        reasoning_effort="none",
    )
    call = answer.choices[0].message.function_call
    assert answer.choices[0].finish_reason == "function_call"
    assert call is not None
    check(call.name, call.arguments)


def test_results_are_read(client: openai.OpenAI) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Oslo", "days": 1}'},
    }
    turns = [
        *MESSAGES,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    answer = client.chat.completions.create(**{**ASKED, "messages": turns}, max_tokens=8)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


def test_answers_under_a_schema_or_calls(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    answer = client.chat.completions.create(
        **ASKED,
        max_tokens=400,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
    ).choices[0]
    for call in answer.message.tool_calls or ():
        assert call.type == "function"
        check(call.function.name, call.function.arguments)
    if not answer.message.tool_calls and answer.finish_reason == "stop":
        jsonschema.validate(json.loads(answer.message.content or ""), schema)


def test_thoughts_are_told_apart(client: openai.OpenAI) -> None:
    if "think" not in client.models.list().data[0].meta["capabilities"][-1]:  # type: ignore[attr-defined]
        pytest.skip("this template knows no thoughts")
    asked: dict[str, Any] = {
        "model": "",
        "messages": MESSAGES,
        "extra_body": {"guided_grammar": 'start: "<think>hm, so</think>yes, it is"'},
    }
    message: Any = client.chat.completions.create(**asked).choices[0].message
    assert message.content == "yes, it is"
    assert message.reasoning_content == "hm, so"
    assert message.reasoning_details == [{"type": "reasoning.text", "text": "hm, so"}]
    content, thoughts = "", ""
    for chunk in client.chat.completions.create(**asked, stream=True):
        delta: Any = chunk.choices[0].delta
        content += delta.content or ""
        thoughts += getattr(delta, "reasoning_content", None) or ""
    assert (content, thoughts) == ("yes, it is", "hm, so")
    usage = client.chat.completions.create(**asked).usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert 0 < (usage.completion_tokens_details.reasoning_tokens or 0) < usage.completion_tokens
    hidden = {**asked["extra_body"], "include_reasoning": False}
    message = client.chat.completions.create(**{**asked, "extra_body": hidden}).choices[0].message
    assert message.content == "yes, it is"
    assert not hasattr(message, "reasoning_content")
    raw = {**asked["extra_body"], "reasoning_format": "none"}
    message = client.chat.completions.create(**{**asked, "extra_body": raw}).choices[0].message
    assert message.content == "<think>hm, so</think>yes, it is"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tool_choice": {"type": "function", "function": {"name": "fly"}}}, "fly"),
        ({"tools": [TOOLS[0], TOOLS[0]]}, "same name"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "a b"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0"),
        ({"extra_body": {"tool_parser": "nobody's"}}, "nobody's"),
    ],
)
def test_bad_tools_are_named(client: openai.OpenAI, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{**ASKED, **changes})
    body: Any = caught.value.body  # the exception's own text has been quoted in several ways
    assert named in body["message"]
