"""Published formats written out, every sample template, and transformers as an oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyslm.chat.template import ChatTemplate
from pyslm.errors import ChatTemplateError

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}
ASSISTANT = {"role": "assistant", "content": "Hello!"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": 'Weather <here> & "there"',
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "The city"}},
                "required": ["city"],
            },
        },
    }
]


def call(arguments: object) -> dict[str, Any]:
    function = {"name": "get_weather", "arguments": arguments}
    calls = [{"id": "abcdefghi", "type": "function", "function": function}]
    return {"role": "assistant", "content": "", "tool_calls": calls}


RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "name": "get_weather", "content": "sunny"}
CONVERSATIONS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]] | None]] = {
    "user": ([{"role": "user", "content": " Hello é "}], None),
    "system": ([SYSTEM, USER], None),
    "turns": ([USER, {"role": "assistant", "content": "<think>x</think>Hello!"}, USER], None),
    "tools": ([USER, call({"city": "Oslo"}), RESULT], TOOLS),
}
TEMPLATES = (
    "HuggingFaceTB-SmolLM3-3B", "LFM2.5-Instruct", "Mistral-Small-3.2-24B-Instruct-2506",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B",
    "Qwen3-Coder", "Qwen3.5-4B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "google-gemma-2-2b-it",
    "google-gemma-4-31B-it", "ibm-granite-granite-3.3-2B-Instruct", "ibm-granite-granite-4.0",
    "meetkai-functionary-medium-v3.2", "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct", "microsoft-Phi-3.5-mini-instruct",
    "mistralai-Mistral-Nemo-Instruct-2407", "openai-gpt-oss-120b", "openbmb-MiniCPM5-1B",
)  # fmt: skip
NO_TOOLS = {"google-gemma-2-2b-it", "microsoft-Phi-3.5-mini-instruct"}
# These take their tools under other names, or leave earlier calls out of the prompt.
NO_CALLS = {
    "HuggingFaceTB-SmolLM3-3B", "LFM2.5-Instruct", "ibm-granite-granite-3.3-2B-Instruct"
}  # fmt: skip


@pytest.fixture(params=TEMPLATES)
def source(request: pytest.FixtureRequest, shared: Path) -> str:
    return (shared / "templates" / f"{request.param}.jinja").read_text(encoding="utf-8")


def load(shared: Path, name: str, bos: str = "<s>", eos: str = "</s>") -> ChatTemplate:
    source = (shared / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    return ChatTemplate(source, bos_token=bos, eos_token=eos)


def test_all_samples_are_listed(shared: Path) -> None:
    assert {path.stem for path in (shared / "templates").glob("*.jinja")} <= set(TEMPLATES)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_renders(shared: Path, name: str, conversation: str) -> None:
    messages, tools = CONVERSATIONS[conversation]
    template = load(shared, name)
    if name == "google-gemma-2-2b-it" and tools:
        with pytest.raises(ChatTemplateError, match="must alternate"):
            template.render(messages, tools=tools)
        return
    text = template.render(messages, tools=tools)
    assert type(text) is str
    for message in messages:
        if message["role"] in ("user", "system"):
            assert message["content"].strip() in text
    if tools and name not in NO_TOOLS:
        assert "sunny" in text
        assert "&amp;" not in text
        if name not in NO_CALLS:
            assert "get_weather" in text
            assert "Oslo" in text
    opened = template.render(messages, tools=tools, add_generation_prompt=False)
    assert text.startswith(opened[: len(opened) // 2])


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_equals_transformers(source: str, conversation: str) -> None:
    utils = pytest.importorskip("transformers.utils.chat_template_utils")
    messages, tools = CONVERSATIONS[conversation]
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    try:
        [expected], _ = utils.render_jinja_template(
            [messages], tools=tools, chat_template=source, add_generation_prompt=True, **tokens
        )
    except Exception:  # where transformers fails, we may yet succeed
        pytest.skip("transformers cannot render this one")
    assert ChatTemplate(source, **tokens).render(messages, tools=tools) == expected


def test_chatml(shared: Path) -> None:
    template = load(shared, "Qwen-Qwen2.5-7B-Instruct")
    assert template.render([SYSTEM, USER, ASSISTANT, USER]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    text = template.render([USER, call({"city": "Oslo"}), RESULT], tools=TOOLS)
    assert text.endswith(
        "<|im_start|>assistant\n<tool_call>\n"
        '{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\nsunny\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_llama3(shared: Path) -> None:
    template = load(shared, "meta-llama-Llama-3.2-3B-Instruct", "<|begin_of_text|>", "<|eot_id|>")
    assert template.render([SYSTEM, USER], date_string="1 Jan 2025") == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        "Cutting Knowledge Date: December 2023\nToday Date: 1 Jan 2025\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_gemma2(shared: Path) -> None:
    template = load(shared, "google-gemma-2-2b-it", "<bos>", "<eos>")
    assert template.render([USER, ASSISTANT, USER]) == (
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
        "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    )
    # It takes no system message; its words then open the user's turn.
    assert template.render([SYSTEM, USER]) == (
        "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n"
    )


def test_phi35(shared: Path) -> None:
    template = load(shared, "microsoft-Phi-3.5-mini-instruct")
    assert template.render([SYSTEM, USER]) == (
        "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n"
    )


def test_arguments_may_be_json_text(source: str) -> None:
    template = ChatTemplate(source)
    try:
        expected = template.render([USER, call({"city": "Oslo"}), RESULT], tools=TOOLS)
    except ChatTemplateError:
        pytest.skip("takes no tools")
    text = template.render([USER, call('{"city": "Oslo"}'), RESULT], tools=TOOLS)
    assert text == expected
    assert '\\"city' not in text


def test_content_parts(shared: Path) -> None:
    parts = [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]
    plain = load(shared, "Qwen-Qwen2.5-7B-Instruct")
    assert plain.render([{"role": "user", "content": parts}]) == plain.render([USER])
    gemma = load(shared, "google-gemma-4-31B-it")
    assert "Hi" in gemma.render([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}])
    with pytest.raises(ChatTemplateError, match="text only"):
        plain.render([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])


def test_template_variables(shared: Path) -> None:
    template = load(shared, "Qwen-Qwen3-0.6B")
    assert template.render([USER]).endswith("assistant\n")
    assert template.render([USER], enable_thinking=False).endswith("<think>\n\n</think>\n\n")


def test_generation_blocks_write_their_body() -> None:
    source = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    assert ChatTemplate(source).render([USER, USER]) == "HiHi"


@pytest.mark.parametrize(
    "messages",
    [["Hi"], [{"content": "Hi"}], [{"role": 3}], [{"role": "user", "content": object()}]],
)
def test_bad_messages(messages: list[Any]) -> None:
    with pytest.raises(ChatTemplateError):
        ChatTemplate("{{ messages }}").render(messages)


def test_the_callers_objects_are_left_alone() -> None:
    messages = [
        {"role": "user", "content": "Hi", "tool_calls": [{"function": {"arguments": "{}"}}]}
    ]
    ChatTemplate("{{ messages[0].update({'role': 'x'}) if false }}").render(messages)
    assert messages[0]["tool_calls"] == [{"function": {"arguments": "{}"}}]
    assert type(messages[0]["role"]) is str
    with pytest.raises(ChatTemplateError):
        ChatTemplate("{{ messages[0].update({'role': 'x'}) }}").render(messages)
