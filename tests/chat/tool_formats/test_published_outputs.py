"""Outputs as the makers of the models show them, as models spoil them, and none at all."""

from __future__ import annotations

from typing import Any

import pytest
from read_output import Result, as_tokens, control_of, read

from pyslm.chat.tool_formats import tool_format, tool_format_names


def offered(*names: str) -> list[dict[str, Any]]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    return [
        {"type": "function", "function": {"name": name, "parameters": parameters}} for name in names
    ]


TOOLS = offered("get_weather", "get_time")
PARIS, ROME = ("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})
WEATHER = '{"name": "get_weather", "arguments": {"city": "Paris"}}'

# format, output, calls, content
PUBLISHED: list[tuple[str, str, list[Any], str]] = [
    ("hermes", f"<tool_call>\n{WEATHER}\n</tool_call>", [PARIS], ""),
    ("hermes", f"I will look.\n\n<tool_call>{WEATHER}</tool_call>\n", [PARIS], "I will look."),
    ("hermes", f"<tool_call>\n{WEATHER}", [PARIS], ""),  # the closing tag was a stop token
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}',
     [PARIS], ""),
    ("hermes", '<tool_call>{"name": "get_time"}</tool_call>', [("get_time", {})], ""),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"text": "two\nlines"}}</tool_call>',
     [("f", {"text": "two\nlines"})], ""),
    ("qwen3_coder", "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
     "</function>\n</tool_call>", [PARIS], ""),
    ("qwen3_coder", "<function=get_weather><parameter=city>Paris</parameter></function>"
     "</tool_call>", [PARIS], ""),
    ("llama3", '{"name": "get_weather", "parameters": {"city": "Paris"}}', [PARIS], ""),
    ("llama3", '<|python_tag|>{"type": "function", "name": "get_weather", "parameters": '
     '{"city": "Paris"}}', [PARIS], ""),
    ("llama3", '{"name": "get_weather", "parameters": {"city": "Paris"}}; '
     '{"name": "get_weather", "parameters": {"city": "Rome"}}', [PARIS, ROME], ""),
    ("pythonic", '[get_weather(city="Paris"), get_weather(city=\'Rome\')]', [PARIS, ROME], ""),
    ("pythonic", '<|python_start|>[get_weather(city="Paris")]<|python_end|>', [PARIS], ""),
    ("phi4", f"functools[{WEATHER}]", [PARIS], ""),
    ("phi4", f"<|tool_call|>[{WEATHER}]<|/tool_call|>", [PARIS], ""),
    ("mistral", f"[TOOL_CALLS] [{WEATHER}]", [PARIS], ""),
    ("mistral11", '[TOOL_CALLS]get_weather[CALL_ID]abc123def[ARGS]{"city": "Paris"}', [PARIS], ""),
    ("mistral11", '[TOOL_CALLS]get_weather{"city": "Paris"}', [PARIS], ""),
    ("granite", f"<|tool_call|>[{WEATHER}]", [PARIS], ""),
    ("granite4", f"<tool_call>\n{WEATHER}\n</tool_call>", [PARIS], ""),
    ("gemma4", '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>}<tool_call|>', [PARIS], ""),
    ("lfm2", '<|tool_call_start|>[get_weather(city="Paris")]<|tool_call_end|>Checking.',
     [PARIS], "Checking."),
    ("smollm3", f"<tool_call>\n{WEATHER}\n</tool_call>", [PARIS], ""),
    ("functionary", 'get_weather\n{"city": "Paris"}', [PARIS], ""),
    ("functionary", 'all\nI will look.>>>get_weather\n{"city": "Paris"}>>>get_weather\n'
     '{"city": "Rome"}', [PARIS, ROME], "I will look."),
    ("functionary", "all\nType:\n>>> 1 + 1\n2", [], "Type:\n>>> 1 + 1\n2"),
    ("deepseek", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n"
     '```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function'
     '<｜tool▁sep｜>get_weather\n```json\n{"city": "Rome"}\n```<｜tool▁call▁end｜>'
     "<｜tool▁calls▁end｜>", [PARIS, ROME], ""),
    ("deepseek31", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
     '{"city": "Paris"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>', [PARIS], ""),
    ("harmony", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>"
     'commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Paris"}<|call|>',
     [PARIS], ""),
    ("harmony", "<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final"
     "<|message|>It is 4.<|return|>", [], "It is 4."),
    ("harmony", "<|channel|>commentary<|message|>I will look.<|end|><|start|>assistant"
     ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Paris"}',
     [PARIS], "I will look."),
    ("minicpm", '<function name="get_weather"><param name="city">Paris</param></function>',
     [PARIS], ""),
    ("minicpm", '<function name="get_weather"><param name="city"><![CDATA[a<b & c\nd]]></param>'
     "</function>", [("get_weather", {"city": "a<b & c\nd"})], ""),
    ("generic", f'{{"tool_calls": [{WEATHER}]}}', [PARIS], ""),
    ("generic", f'```json\n{{"tool_calls": [{WEATHER}]}}\n```', [PARIS], ""),
    ("generic", WEATHER, [PARIS], ""),
]  # fmt: skip

MALFORMED = {
    "hermes": ['<tool_call>{"name": "get_weather", "arguments": {"city": }}</tool_call>',
               "<tool_call>[1]</tool_call>", '<tool_call>{"nam": 1}</tool_call>', "<tool_call>",
               '<tool_call>{"name": "a b", "arguments": {}}', "a <tool_call",
               '<tool_call>{"name": "get_weather", "arguments": [1]}</tool_call> and more',
               '<tool_call>{"name": "get_weather", "arguments": {"a": NaN}}</tool_call>',
               '<tool_call>{"name": "f", "arguments": ' + "[" * 5000 + "]" * 5000 + "}"],
    "qwen3_coder": ["<tool_call>\n<function=get_weather>\n<parameter=city>\nParis",
                    "<tool_call><function=get weather></function></tool_call>",
                    "<function=unknown></function>", "<tool_call>\nget_weather\n</tool_call>"],
    "llama3": ['{"name": "unknown", "parameters": {}}', '{"name": "get_weather", "parameters": ',
               '{"city": "Paris"}', "{", "<|python_tag|>print(1)", '{"name": "Bob", "age": 3} ok'],
    "pythonic": ["[unknown(a=1)]", "[1, 2, 3]", "[get_weather('Paris')]", "[get_weather(city=x)]",
                 "[get_weather(city=__import__('os'))]", "[get_weather(", "[",
                 "[get_weather(city=" + "[" * 100 + "]" * 100 + ")]"],
    "phi4": ["functools[]", "functools[1]", "import functools", "functools[{", "<|tool_call|>x"],
    "mistral": ["[TOOL_CALLS][]", "[TOOL_CALLS]", "[TOOL_CALLS]get_weather", "[TOOL_CALLS][{]"],
    "mistral11": ["[TOOL_CALLS]a b[ARGS]{}", "[TOOL_CALLS]get_weather[ARGS]{",
                  "[TOOL_CALLS]f[ARGS]1"],
    "granite": ["<|tool_call|>", "<|tool_call|>{}", "<|tool_call|>[{}]"],
    "granite4": ["<tool_call>{}</tool_call>"],
    "gemma4": ["<|tool_call>call:f{a:1<tool_call|>", "<|tool_call>call:f<tool_call|>",
               '<|tool_call>call:f{a:<|"|>x}<tool_call|>', "<|tool_call>f{}<tool_call|>"],
    "lfm2": ["<|tool_call_start|>[get_weather(]<|tool_call_end|>", "<|tool_call_start|>f()",
             "<|tool_call_start|>[]<|tool_call_end|>"],
    "smollm3": ["<tool_call>x</tool_call>"],
    "deepseek": ["<｜tool▁calls▁begin｜>",
                 "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{"],
    "deepseek31": ["<｜tool▁call▁begin｜>f<｜tool▁sep｜>[1]<｜tool▁call▁end｜>"],
    "minicpm": ['<function name="get_weather"><param name="city">Paris</function>',
                '<function name="unknown"></function>',
                '<function name="get_weather">x</function>'],
    "generic": ['{"tool_calls": []}', '{"tool_calls": [{"name": "unknown"}]}', '{"a": 1}', "{",
                '```json\n{"a": 1}\n```', '{"tool_calls": [{"name": "get_weather"'],
}  # fmt: skip


def parsed(name: str, output: str, special: bool) -> Result:
    fmt = tool_format(name)
    control = control_of(fmt) if special else {}
    return read(fmt, as_tokens(output, control), tools=TOOLS, control=control)


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize(("name", "output", "calls", "content"), PUBLISHED)
def test_published(name: str, output: str, calls: list[Any], content: str, special: bool) -> None:
    result = parsed(name, output, special)
    assert (result.calls, result.content) == (calls, content)


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize(("name", "output"), [(n, o) for n in MALFORMED for o in MALFORMED[n]])
def test_what_is_no_call_is_content_to_the_letter(name: str, output: str, special: bool) -> None:
    result = parsed(name, output, special)
    assert (result.content, result.calls) == (output, [])
    result = parsed(name, f"Before. {output} After.\n", special)
    assert (result.content, result.calls) == (f"Before. {output} After.\n", [])


def test_every_format_is_published_and_spoiled() -> None:
    assert {name for name, *_ in PUBLISHED} == set(tool_format_names())
    assert set(MALFORMED) == {n for n in tool_format_names() if not tool_format(n).framed}


@pytest.mark.parametrize(
    "output",
    [
        "Hello", "<|channel|>final<|message|>", "<|channel|>analysis", "<|message|>Hi", "all",
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{bad", "unknown\n{}",
        "<|start|>assistant<|channel|>final<|message|>Hi<|end|>", "get_weather\nnot json",
        "<|end|>",
        "<|channel|>" * 100, "get_weather\n{" * 100, ">>>all\n" * 100,
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", [n for n in tool_format_names() if tool_format(n).framed])
def test_spoiled_frames_are_no_error(name: str, output: str) -> None:
    for special in (False, True):
        result = parsed(name, output, special)
        assert result.calls == []
        words = {"Hello", "Hi", "not json", "{bad"}
        assert all(word in result.content for word in words if word in output)


def test_what_was_announced_is_told_before_the_next_call() -> None:
    output = f'<tool_call>{{"bad"}}</tool_call>\n<tool_call>{WEATHER}</tool_call>'
    result = parsed("hermes", output, special=True)
    assert result.order == [
        ("content", '<tool_call>{"bad"}</tool_call>'),
        ("call", ("get_weather", '{"city": "Paris"}')),
    ]


def test_numbers_are_kept_as_written() -> None:
    arguments = '{"a": 1e400, "b": 0.10000000000000000001, "c": 12345678901234567890123}'
    output = f'<tool_call>{{"name": "f", "arguments": {arguments}}}</tool_call>'
    assert parsed("hermes", output, special=True).order == [("call", ("f", arguments))]


def test_ids_of_the_model_are_kept_and_others_made() -> None:
    output = "[TOOL_CALLS]get_weather[CALL_ID]abc123def[ARGS]{}[TOOL_CALLS]get_time[ARGS]{}"
    assert parsed("mistral11", output, special=True).ids == ["abc123def", "id0"]
    made = tool_format("mistral").new_id()
    assert len(made) == 9
    assert made.isalnum()
    assert tool_format("hermes").new_id().startswith("call_")


def test_after_many_that_are_none_the_rest_is_content() -> None:
    output = "<tool_call>{} " * 100 + f"<tool_call>{WEATHER}</tool_call>"
    result = parsed("hermes", output, special=True)
    assert (result.content, result.calls) == (output, [])
