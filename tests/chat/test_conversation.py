"""What templates cannot say of tools is written into the messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyslm.chat.conversation import ToolPrompts
from pyslm.chat.template import ChatTemplate
from pyslm.chat.tool_formats import detect_tool_format, tool_format
from pyslm.errors import InvalidRequestError

PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
STRICT = (
    "{% for m in messages if m.role == 'tool' %}{{ raise_exception('no') }}{% endfor %}" + PLAIN
)
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "clock", "description": "The time", "parameters": {
        "type": "object", "properties": {"zone": {"type": "string"}}}},
}  # fmt: skip
USER = {"role": "user", "content": "What time is it?"}


def call(call_id: str, zone: str) -> dict[str, Any]:
    function = {"name": "clock", "arguments": f'{{"zone": "{zone}"}}'}
    return {"id": call_id, "type": "function", "function": function}


def said(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def rendered(template: ChatTemplate, messages: list[dict[str, Any]], tools: Any = (TOOL,)) -> str:
    prompts = ToolPrompts(template, detect_tool_format(template.source))
    conversation = prompts.prepare(messages, tools)
    return template.render(conversation.messages, tools=conversation.tools)


def load(shared: Path, name: str) -> ChatTemplate:
    source = (shared / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    return ChatTemplate(source, bos_token="<s>", eos_token="</s>")


def test_a_template_without_tools_gets_the_generic_envelope() -> None:
    messages = [
        USER,
        said(call("a", "CET")),
        result("a", "noon"),
        {"role": "user", "content": "Now?"},
    ]
    text = rendered(ChatTemplate(STRICT), messages)
    assert text.startswith("<system>You can call these tools:\n")
    assert '"name": "clock"' in text
    assert text.endswith(
        '<user>What time is it?<assistant>{"tool_calls": [{"name": "clock", "arguments": '
        '{"zone": "CET"}}]}<user>Result of clock:\nnoon\n\nNow?'
    )


def test_the_system_message_is_kept() -> None:
    text = rendered(ChatTemplate(PLAIN), [{"role": "system", "content": "Be brief."}, USER])
    assert text.startswith("<system>Be brief.\n\nYou can call these tools:")


def test_without_tools_nothing_is_added() -> None:
    prompts = ToolPrompts(ChatTemplate(PLAIN), tool_format("generic"))
    conversation = prompts.prepare([USER])
    assert (conversation.messages, conversation.tools) == ([USER], None)


@pytest.mark.parametrize(
    "name", ["hermes", "lfm2", "pythonic", "qwen3_coder", "gemma4", "deepseek"]
)
def test_a_format_by_name_describes_itself(name: str) -> None:
    template = ChatTemplate(PLAIN)
    conversation = ToolPrompts(template, tool_format(name)).prepare([USER], [TOOL])
    system = conversation.messages[0]["content"]
    assert tool_format(name).trigger in system
    assert "<name of the tool>" in system
    assert system in template.render(conversation.messages)


def test_one_call_a_message_with_its_result(shared: Path) -> None:
    template = load(shared, "meta-llama-Llama-3.2-3B-Instruct")
    messages = [
        USER, said(call("a", "CET"), call("b", "UTC")), result("b", "eleven"), result("a", "noon"),
    ]  # fmt: skip
    text = rendered(template, messages)
    words = ['{"zone": "CET"}', "noon", '{"zone": "UTC"}', "eleven"]
    at = [text.index(word) for word in words]
    assert at == sorted(at)


def test_ids_that_a_template_refuses_are_replaced(shared: Path) -> None:
    template = load(shared, "Mistral-Small-3.2-24B-Instruct-2506")
    messages = [USER, said(call("call_123", "CET")), result("call_123", "noon")]
    text = rendered(template, messages)
    call_id = text.split("[CALL_ID]")[1].split("[ARGS]")[0]
    assert len(call_id) == 9
    assert f"[TOOL_RESULTS]{call_id}[TOOL_CONTENT]noon" in text
    kept = [USER, said(call("abcdefghi", "CET")), result("abcdefghi", "noon")]
    assert "[CALL_ID]abcdefghi[ARGS]" in rendered(template, kept)


def test_tools_that_a_template_fails_on_are_described(shared: Path) -> None:
    """This one describes a type that is null by calling itself for ever."""
    template = load(shared, "NousResearch-Hermes-3-Llama-3.1-8B-tool_use")
    schema = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    tool = {"type": "function", "function": {"name": "plot", "parameters": schema}}
    assert "You can call these tools" in rendered(template, [USER], [tool])
    assert "You can call these tools" not in rendered(template, [USER])


@pytest.mark.parametrize(
    ("name", "opening"),
    [
        ("LFM2.5-Instruct", "<|tool_call_start|>"),
        ("ibm-granite-granite-3.3-2B-Instruct", "<|tool_call|>"),
    ],
)
def test_written_calls_are_control_tokens_and_quoted_ones_are_not(
    shared: Path, name: str, opening: str
) -> None:
    from test_injection import tokenizer_of

    template, tokenizer = load(shared, name), tokenizer_of({opening, "<|tool_call_end|>"})
    quoted = {"role": "user", "content": f"What is {opening}?"}
    messages = [quoted, said(call("a", opening), content=f"Not {opening}")]
    prompts = ToolPrompts(template, detect_tool_format(template.source))
    conversation = prompts.prepare(messages, [TOOL])
    ids = template.encode(tokenizer, conversation.messages, tools=conversation.tools)
    assert tokenizer.decode(ids, skip_special_tokens=False).count(opening) >= 4
    # Granite's template itself writes the marker into its system message.
    own = template.source.count(f" {opening} ") and 1
    assert ids.count(tokenizer.token_id(opening)) == 1 + own


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ([{"type": "function"}], "a tool's name is None"),
        ([{"type": "function", "function": {"name": "a b"}}], "a tool's name is 'a b'"),
        ([TOOL, TOOL], "two tools are named clock"),
        (
            [{"function": {"name": "f", "parameters": {"type": "array"}}}],
            "parameters of the tool f",
        ),
        ([3], "a tool is 3"),
    ],
)
def test_malformed_tools_are_refused(tools: Any, message: str) -> None:
    prompts = ToolPrompts(ChatTemplate(PLAIN), tool_format("generic"))
    with pytest.raises(InvalidRequestError, match=message):
        prompts.prepare([USER], tools)


def test_unknown_formats_are_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequestError, match=r"no tool format 'nope'; allowed: .*hermes"):
        tool_format("nope")


def test_messages_are_left_alone() -> None:
    message = said(call("a", "CET"))
    before = repr(message)
    ToolPrompts(ChatTemplate(PLAIN), tool_format("generic")).prepare([USER, message], [TOOL])
    assert repr(message) == before


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize("content", [None, "Let me see."])
@pytest.mark.parametrize(
    "name", ["openai-gpt-oss-120b", "Qwen-Qwen3-0.6B", "google-gemma-4-31B-it"]
)
def test_reasoning_before_a_call_is_told(shared: Path, name: str, content: Any, key: str) -> None:
    message = said(call("a", "CET"), content=content) | {key: "Which clock?"}
    text = rendered(load(shared, name), [USER, message, result("a", "noon")])
    assert "CET" in text
    assert ("Let me see." if content and "gpt-oss" in name else "Which clock?") in text
