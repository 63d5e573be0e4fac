"""What templates write of a call, as the model would have written it, gives the same call back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from read_output import TOOLS, as_tokens, control_of, read

from pyslm.chat.conversation import ToolPrompts
from pyslm.chat.reasoning import detect_reasoning
from pyslm.chat.template import ChatTemplate
from pyslm.chat.tool_formats import detect_tool_format

FORMATS = {
    "HuggingFaceTB-SmolLM3-3B": ("smollm3", "think"),
    "LFM2.5-Instruct": ("lfm2", "think"),
    "Mistral-Small-3.2-24B-Instruct-2506": ("mistral11", None),
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": ("hermes", None),
    "Qwen-Qwen2.5-7B-Instruct": ("hermes", None),
    "Qwen-Qwen3-0.6B": ("hermes", "think"),
    "Qwen3-Coder": ("qwen3_coder", None),
    "Qwen3.5-4B": ("qwen3_coder", "think"),
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": ("deepseek", "think"),
    "google-gemma-2-2b-it": ("generic", None),
    "google-gemma-4-31B-it": ("gemma4", "thought_channel"),
    "ibm-granite-granite-3.3-2B-Instruct": ("granite", "think"),
    "ibm-granite-granite-4.0": ("granite4", None),
    "meetkai-functionary-medium-v3.2": ("functionary", None),
    "meta-llama-Llama-3.1-8B-Instruct": ("llama3", None),
    "meta-llama-Llama-3.2-3B-Instruct": ("llama3", None),
    "microsoft-Phi-3.5-mini-instruct": ("generic", None),
    "mistralai-Mistral-Nemo-Instruct-2407": ("mistral", None),
    "openai-gpt-oss-120b": ("harmony", None),
    "openbmb-MiniCPM5-1B": ("minicpm", "think"),
}
ENDS = (
    "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "</s>", "<|tool_response>", "<|end|>",
    "<end_of_turn>", "<｜end▁of▁sentence｜>",
)  # fmt: skip
USER = {"role": "user", "content": "How warm is it?"}
ARGUMENTS: dict[str, Any] = {
    "city": 'Os"lo\n<b> \\ é 日本 & "}',
    "days": 3,
    "options": {"a": None, "b": ["x", True], "c": {}},
    "exact": True,
    "heights": [1.5, -2, 0.1],
}


def call(name: str, arguments: dict[str, Any], call_id: str) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


CALLS = [call("get_weather", ARGUMENTS, "call_Ab1"), call("clock", {"zone": "CET"}, "call_Ab2")]


@pytest.fixture(params=FORMATS)
def template(request: pytest.FixtureRequest, shared: Path) -> ChatTemplate:
    source = (shared / "templates" / f"{request.param}.jinja").read_text(encoding="utf-8")
    return ChatTemplate(source, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_chosen_by_the_template(shared: Path, name: str) -> None:
    source = (shared / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    reasoning = detect_reasoning(source)
    assert (detect_tool_format(source).name, reasoning and reasoning.name) == FORMATS[name]


def test_every_sample_template_is_listed(shared: Path) -> None:
    assert {path.stem for path in (shared / "templates").glob("*.jinja")} == set(FORMATS)


def generated(
    prompts: ToolPrompts, template: ChatTemplate, said: dict[str, Any]
) -> tuple[str, str]:
    """The prompt, and the assistant's message as the model would have written it after that."""
    before, after = prompts.prepare([USER], TOOLS), prompts.prepare([USER, said], TOOLS)
    prompt = template.render(before.messages, tools=before.tools)
    whole = template.render(after.messages, tools=after.tools, add_generation_prompt=False)
    common = os.path.commonprefix([prompt, whole])  # noqa: RUF071 (texts, no paths)
    if common.endswith(("<", "<|")):  # into the first marker
        common = common[: common.rindex("<")]
    text = whole[len(common) :]
    ends = ["<|call|>"] if "<|call|>" in text else ENDS  # there <|end|> ends but a part
    return common, text[: min(text.index(end) for end in ends if end in text)]


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_calls_come_back(template: ChatTemplate, count: int, special: bool) -> None:
    tool_format = detect_tool_format(template.source)
    reasoning = detect_reasoning(template.source)
    prompts = ToolPrompts(template, tool_format)
    if prompts.abilities.calls and not prompts.abilities.several_calls and count > 1:
        pytest.skip("the template tells calls one by one")
    said = {"role": "assistant", "content": "", "tool_calls": CALLS[:count]}
    prompt, text = generated(prompts, template, said)
    control = control_of(tool_format, reasoning) if special else {}
    result = read(
        tool_format,
        as_tokens(text, control),
        reasoning=reasoning,
        in_reasoning=bool(reasoning and reasoning.opened_by(prompt)),
        control=control,
    )
    expected = [("get_weather", ARGUMENTS), ("clock", {"zone": "CET"})][:count]
    assert (result.calls, result.content, result.reasoning) == (expected, "", "")


def test_content_before_a_call_comes_back(template: ChatTemplate) -> None:
    tool_format, reasoning = detect_tool_format(template.source), detect_reasoning(template.source)
    prompts = ToolPrompts(template, tool_format)
    said = {"role": "assistant", "content": "Let me see.", "tool_calls": CALLS[1:]}
    prompt, text = generated(prompts, template, said)
    if "Let me see." not in text or tool_format.anchored:
        pytest.skip("one or the other in this format")
    opened = bool(reasoning and reasoning.opened_by(prompt))
    result = read(tool_format, text, reasoning=reasoning, in_reasoning=opened)
    assert result.calls == [("clock", {"zone": "CET"})]
    assert result.content + result.reasoning == "Let me see."


@pytest.mark.parametrize("several", [False, True])
def test_every_template_tells_tools_calls_results_and_turns(
    template: ChatTemplate, several: bool
) -> None:
    calls = CALLS if several else CALLS[:1]
    results = [
        {"role": "tool", "tool_call_id": c["id"], "content": f"result of {c['id']}"} for c in calls
    ]
    messages = [
        {"role": "system", "content": "Be brief."}, USER,
        {"role": "assistant", "content": None, "tool_calls": calls}, *results,
        {"role": "assistant", "content": "It is warm."}, {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": None, "tool_calls": [calls[0] | {"id": "call_Ab3"}]},
        {"role": "tool", "tool_call_id": "call_Ab3", "content": "result of call_Ab3"},
    ]  # fmt: skip
    prompts = ToolPrompts(template, detect_tool_format(template.source))
    conversation = prompts.prepare(messages, TOOLS)
    text = template.render(conversation.messages, tools=conversation.tools)
    results_said = [result["content"] for result in results]
    in_order = [USER["content"], *results_said, "It is warm.", "And now?", "result of call_Ab3"]
    at = [text.find(word) for word in in_order]
    assert at == sorted(at)
    assert at[0] >= 0
    assert "Weather of a city" in text
    assert text.count("日本") == 2
    assert text.count("clock") >= 1 + several
    if '"[INST]" + system_message' not in template.source:  # says it with the last message only
        assert "Be brief." in text
