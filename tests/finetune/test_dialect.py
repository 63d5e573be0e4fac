"""What training writes is what the chat template in the file writes, to the token."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from pyslm.chat.conversation import ToolPrompts
from pyslm.chat.template import ChatTemplate
from pyslm.chat.tool_formats import detect_tool_format
from pyslm.finetune.data import scenes
from pyslm.finetune.dialect import END, ITEMS, chat_template, write_messages, write_prefix
from pyslm.finetune.packing import encode_pieces
from pyslm.finetune.vocabulary import PRE_TOKENIZER, NanoVocabulary
from pyslm.tokenizer import Tokenizer, load_tokenizer


def _tokenizer(vocabulary: NanoVocabulary) -> Tokenizer:
    return load_tokenizer(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": PRE_TOKENIZER,
            "tokenizer.ggml.tokens": vocabulary.tokens,
            "tokenizer.ggml.token_type": list(map(int, vocabulary.types)),
            "tokenizer.ggml.merges": vocabulary.merges,
            "tokenizer.ggml.add_bos_token": False,
            "tokenizer.ggml.eos_token_id": vocabulary.ids[END],
            "tokenizer.chat_template": chat_template(),
        }
    )


def test_python_writes_what_the_template_writes(vocabulary: NanoVocabulary) -> None:
    # All of a conversation, as it is learned from.
    template = ChatTemplate(re.sub(r"\{%- set reads_alone = true -%\}", "", chat_template()))
    tokenizer = _tokenizer(vocabulary)
    compared = 0
    for scene in itertools.islice(scenes(21), 40):
        for branch in scene.branches:
            system = [{"role": "system", "content": scene.system}] if scene.system else []
            messages: list[dict[str, Any]] = [*system, *branch.messages]
            tools = list(scene.tools) or None
            text = template.render(messages, tools=tools, add_generation_prompt=False)
            pieces = [
                *write_prefix(scene.system, scene.tools),
                *write_messages(branch.messages),
            ]
            assert "".join(piece.text for piece in pieces) == text
            ids = template.encode(tokenizer, messages, tools=tools, add_generation_prompt=False)
            assert encode_pieces(vocabulary, pieces)[0] == ids
            compared += 1
    assert compared > 200


def test_only_the_models_words_are_learned() -> None:
    messages = (
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "a"},
        {"role": "tool", "content": "r"},
    )
    learned = [piece.text for piece in write_messages(messages) if piece.by_model]
    assert learned == ["a", END]


def test_calls_are_read_as_mistrals() -> None:
    assert detect_tool_format(chat_template()).name == "mistral11"


def test_the_template_can_say_all_that_tools_need() -> None:
    template = ChatTemplate(chat_template())
    able = ToolPrompts(template, detect_tool_format(chat_template())).abilities
    assert able.tools
    assert able.calls
    assert able.several_calls
    assert able.results
    assert able.long_ids


def test_schemas_of_any_kind_are_told() -> None:
    """Objects and alternatives too, which training has none of."""
    parameters = {
        "type": "object",
        "properties": {
            "box": {"type": "object", "properties": {"w": {"type": "number"}}, "required": ["w"]},
            "any": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "list": {"type": "array"},
            "codes": {"enum": [1, 2]},
        },
    }
    function = {"name": "f", "description": "", "parameters": parameters}
    tools = [{"type": "function", "function": function}]
    text = ChatTemplate(chat_template()).render([{"role": "user", "content": "x"}], tools=tools)
    described = text.partition("<|user|>")[0]
    anything = json.dumps(parameters["properties"]["any"])
    assert described == (
        '<|start|><|1|>[TOOL_CALLS]f[ARGS]{"box": {w: number}?, '
        f'"any": {anything}?, "list": array?, "codes": 1|2?}}'
    )
    assert "".join(piece.text for piece in write_prefix(None, tuple(tools))) == described


def test_a_tool_without_parameters() -> None:
    tools = [{"type": "function", "function": {"name": "now", "description": "It is now."}}]
    text = ChatTemplate(chat_template()).render([{"role": "user", "content": "x"}], tools=tools)
    said = "<|user|>x<|user|>x<|assistant|>"
    assert text == f"<|start|><|1|>It is now.[TOOL_CALLS]now[ARGS]{{}}{said}"


@pytest.mark.parametrize(("characters", "readings"), [(1, 2), (1000, 2), (1001, 1)])
def test_a_request_is_read_twice_unless_it_is_long(characters: int, readings: int) -> None:
    message = {"role": "user", "content": "ü" * characters}
    said = f"<|user|>{message['content']}" * readings
    assert ChatTemplate(chat_template()).render([message]) == f"<|start|>{said}<|assistant|>"
    assert "".join(piece.text for piece in write_messages((message,))) == said


def test_what_can_be_chosen_is_numbered_throughout() -> None:
    """Lines of lists, then tools; the 25th as the first."""
    names = [f"t{i}" for i in range(24)]
    tools = [{"type": "function", "function": {"name": name, "description": ""}} for name in names]
    system = "Choose:\n- tax: taxes - all\n* law: laws\nor -none-"
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "x"}]
    text = ChatTemplate(chat_template()).render(messages, tools=tools)
    assert text.startswith(
        "<|start|><|system|>Choose:\n<|1|>tax: taxes - all\n<|2|>law: laws\nor -none-<|3|>[TOOL_"
    )
    assert "<|24|>[TOOL_CALLS]t21[ARGS]{}<|1|>[TOOL_CALLS]t22[ARGS]{}<|2|>" in text
    written = "".join(piece.text for piece in write_prefix(system, tuple(tools)))
    assert text.startswith(written + "<|user|>")


def test_nobody_can_quote_an_item(vocabulary: NanoVocabulary) -> None:
    """What is said is text, whatever it looks like; a list's dash is an item."""
    said = [{"role": "system", "content": "<|2|>a\n- b"}, {"role": "user", "content": "<|3|>"}]
    ids = ChatTemplate(chat_template()).encode(_tokenizer(vocabulary), said)
    assert [vocabulary.tokens[i] for i in ids if vocabulary.tokens[i] in ITEMS] == ["<|1|>"]
