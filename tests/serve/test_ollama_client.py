"""The published `ollama` client, unmodified, against a real server process."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import ollama
import pytest
from serve.server_process import ServerProcess
from serve.test_tools import TOOLS, check
from stories import PROMPT, STORY

import pyslm

MESSAGES: list[Any] = [{"role": "user", "content": "Tell me a story."}]
GREEDY: dict[str, Any] = {"temperature": 0, "num_predict": 24}


recent = pytest.mark.skipif(
    "logprobs" not in inspect.signature(ollama.Client.chat).parameters,
    reason="needs a release of the client that knows the field",
)


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[ollama.Client]:
    client = ollama.Client(server.url, trust_env=False)
    yield client
    client._client.close()


def chat(client: ollama.Client, **changes: Any) -> Any:
    return client.chat(**{"model": "stories", "messages": MESSAGES, "options": GREEDY, **changes})


def test_chat_answers_as_the_library_does(client: ollama.Client, chat_model: Path) -> None:
    with pyslm.LLM(chat_model) as llm:
        expected = llm.chat(MESSAGES, pyslm.SamplingParams(temperature=0, max_tokens=24))
    answer = chat(client)
    assert answer.message.content == expected.text
    assert answer.message.role == "assistant"
    assert answer.done
    assert answer.done_reason == expected.finish_reason == "length"
    assert answer.prompt_eval_count == expected.usage.prompt_tokens
    assert answer.eval_count == expected.usage.completion_tokens
    parts = answer.load_duration, answer.prompt_eval_duration, answer.eval_duration
    assert all(part > 0 for part in parts)
    assert sum(parts) <= answer.total_duration < 60e9


def test_stream_is_the_whole_answer_in_pieces(client: ollama.Client) -> None:
    whole = chat(client)
    *pieces, last = chat(client, stream=True)
    assert "".join(piece.message.content for piece in pieces) == whole.message.content
    assert len(pieces) > 5
    assert not any(piece.done or piece.eval_count for piece in pieces)
    assert last.done
    assert (last.done_reason, last.eval_count) == ("length", 24)
    assert [*last.message.content] == []


def test_generate_writes_the_prompt_by_the_template(
    client: ollama.Client, chat_model: Path
) -> None:
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "A dog?"}]
    with pyslm.LLM(chat_model) as llm:
        expected = llm.chat(turns, pyslm.SamplingParams(temperature=0, max_tokens=24)).text
    asked: dict[str, Any] = {
        "model": "stories", "prompt": "A dog?", "system": "Be kind.", "options": GREEDY,
    }  # fmt: skip
    assert client.generate(**asked).response == expected
    pieces = [piece.response for piece in client.generate(**asked, stream=True)]
    assert "".join(pieces) == expected


def test_a_raw_prompt_is_continued(client: ollama.Client) -> None:
    answer = client.generate("stories", PROMPT, raw=True, options={**GREEDY, "num_predict": 26})
    assert answer.response.startswith(STORY[:50])


def test_the_same_seed_gives_the_same_text(client: ollama.Client) -> None:
    def draw(seed: int) -> str:
        options = {"temperature": 1.5, "seed": seed, "num_predict": 16}
        return chat(client, options=options).message.content

    assert draw(1) == draw(1) != draw(2)


def test_a_stop_string_ends_the_answer(client: ollama.Client) -> None:
    text = chat(client).message.content
    word = text.split()[4]
    answer = chat(client, options={**GREEDY, "stop": [word]})
    assert answer.message.content == text[: text.index(word)]
    assert answer.done_reason == "stop"


@recent
def test_logprobs_hold_each_token(client: ollama.Client) -> None:
    answer = chat(client, logprobs=True, top_logprobs=2, options={**GREEDY, "num_predict": 6})
    assert "".join(entry.token for entry in answer.logprobs) == answer.message.content
    for entry in answer.logprobs:
        assert entry.top_logprobs[0].token == entry.token
        assert entry.logprob <= 0
    streamed = chat(
        client, logprobs=True, top_logprobs=2, options={**GREEDY, "num_predict": 6}, stream=True
    )
    tokens = [entry.token for piece in streamed for entry in piece.logprobs or ()]
    assert tokens == [entry.token for entry in answer.logprobs]


@pytest.mark.parametrize("stream", [False, True])
def test_format_is_a_schema(client: ollama.Client, stream: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["age"],
        "additionalProperties": False,
    }
    options = {"temperature": 1, "seed": 3}
    found = chat(client, format=schema, options=options, stream=stream)
    text = "".join(p.message.content for p in found) if stream else found.message.content
    jsonschema.validate(json.loads(text), schema)


def test_format_is_json(client: ollama.Client) -> None:
    answer = client.generate("stories", "A list:", format="json", options={"seed": 1})
    assert answer.response.startswith("{")
    if answer.done_reason == "stop":
        assert isinstance(json.loads(answer.response), dict)


def test_embeddings_are_unit_vectors(client: ollama.Client, chat_model: Path) -> None:
    texts = ["A dog", "The cat sat"]
    answer = client.embed("stories", texts)
    with pyslm.LLM(chat_model) as llm:
        expected = llm.embed(texts)
    assert len(answer.embeddings) == 2
    for ours, theirs in zip(answer.embeddings, expected, strict=True):
        assert ours == pytest.approx(theirs.tolist(), abs=1e-6)
    assert answer.prompt_eval_count > 2
    assert answer.total_duration >= answer.load_duration > 0
    assert client.embeddings("stories", "A dog").embedding == pytest.approx(answer.embeddings[0])
    assert client.embed("stories", []).embeddings == []


@recent
def test_vectors_may_be_shorter(client: ollama.Client) -> None:
    whole = client.embed("stories", "A dog").embeddings[0][:8]
    short = client.embed("stories", "A dog", dimensions=8).embeddings[0]
    assert math.hypot(*short) == pytest.approx(1, abs=1e-5)
    assert short == pytest.approx([x / math.hypot(*whole) for x in whole], abs=1e-6)


def test_truncate_is_honoured(client: ollama.Client) -> None:
    long = "hello " * 700
    with pytest.raises(ollama.ResponseError, match=r"\d+ tokens and the model takes 512") as caught:
        client.embed("stories", long, truncate=False)
    assert caught.value.status_code == 400
    assert client.embed("stories", long, truncate=True).prompt_eval_count == 512


def test_models_are_listed_and_shown(client: ollama.Client, chat_model: Path) -> None:
    (listed,) = client.list().models
    assert listed.model == "stories:latest"
    assert listed.size == chat_model.stat().st_size
    assert listed.details is not None
    assert (listed.details.format, listed.details.family) == ("gguf", "llama")
    assert len(listed.digest or "") == 64
    shown = client.show("stories:latest")
    assert shown.modelinfo is not None
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.modelinfo["llama.context_length"] == 512
    assert shown.modelinfo["tokenizer.ggml.tokens"] is None
    assert shown.capabilities is not None
    assert {"completion", "tools"} <= set(shown.capabilities)
    assert "bos_token" in (shown.template or "")
    chat(client)
    (running,) = client.ps().models
    assert running.model == listed.model
    assert running.context_length == 512
    assert running.size > 0
    assert running.expires_at is not None


def test_a_tagged_name_is_the_same_model(client: ollama.Client) -> None:
    answer = chat(client, model="stories:latest")
    assert answer.model == "stories:latest"
    assert answer.message.content == chat(client).message.content


def test_an_unknown_model_is_not_found(client: ollama.Client) -> None:
    for stream in (False, True):
        with pytest.raises(ollama.ResponseError, match="nobody") as caught:
            list(chat(client, model="nobody", stream=stream))
        assert caught.value.status_code == 404


@pytest.mark.parametrize("stream", [False, True])
def test_required_calls_are_valid(client: ollama.Client, stream: bool) -> None:
    """The client knows no tool_choice: it goes past it, as other clients send it."""
    asked = {
        "model": "stories", "messages": MESSAGES, "tools": TOOLS[1:], "tool_choice": "required",
        "parallel_tool_calls": False, "options": {"seed": 5}, "stream": stream,
    }  # fmt: skip
    found = client._request(ollama.ChatResponse, "POST", "/api/chat", json=asked, stream=stream)
    answers = list(found) if stream else [found]
    calls = [call for answer in answers for call in answer.message.tool_calls or ()]
    assert len(calls) == 1
    for call in calls:
        check(call.function.name, json.dumps(call.function.arguments))
    assert answers[-1].done_reason == "stop"


def test_results_of_functions_are_read(client: ollama.Client) -> None:
    """Python functions as tools, and the turns that Ollama's own examples send back."""

    def add(a: int, b: int) -> int:
        """Adds two numbers.

        Args:
            a: the first
            b: the second
        """
        return a + b

    call = {"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
    turns = [
        *MESSAGES,
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_name": "add", "content": "3"},
    ]
    answer = chat(client, messages=turns, tools=[add], options={**GREEDY, "num_predict": 8})
    assert answer.eval_count == 8


def test_the_assistants_last_turn_goes_on(client: ollama.Client) -> None:
    whole = chat(client, options={**GREEDY, "num_predict": 12}).message.content
    turns = [*MESSAGES, {"role": "assistant", "content": "She was"}]
    answer = chat(client, messages=turns, options={**GREEDY, "num_predict": 12})
    assert answer.message.content != whole
    assert answer.prompt_eval_count > 0


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda c: c.push("x"), "pushing models: not implemented"),
        (lambda c: c.create("x", from_="stories"), "creating models: not implemented"),
    ],
)
def test_what_needs_the_registry_says_so(client: ollama.Client, call: Any, named: str) -> None:
    with pytest.raises(ollama.ResponseError, match=named) as caught:
        call(client)
    assert caught.value.status_code == 501


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.pull("x"),
        lambda c: c.copy("stories", "x"),
        lambda c: c.delete("stories"),
    ],
)
def test_a_server_of_named_models_changes_none(client: ollama.Client, call: Any) -> None:
    with pytest.raises(ollama.ResponseError, match="--store") as caught:
        call(client)
    assert caught.value.status_code == 400
