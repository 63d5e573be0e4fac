"""The published `openai` client, unmodified, against a real server process."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import openai
import pydantic
import pytest
from serve.server_process import ServerProcess
from stories import PROMPT, STORY

import pyslm

MESSAGES: list[Any] = [{"role": "user", "content": "Tell me a story."}]
GREEDY: dict[str, Any] = {"model": "stories", "temperature": 0}


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> openai.OpenAI:
    return server.openai()


def chat(client: openai.OpenAI, **changes: Any) -> Any:
    return client.chat.completions.create(
        **{**GREEDY, "messages": MESSAGES, "max_tokens": 24, **changes}
    )


def test_chat_answers_as_the_library_does(client: openai.OpenAI, chat_model: Path) -> None:
    with pyslm.LLM(chat_model) as llm:
        expected = llm.chat(MESSAGES, pyslm.SamplingParams(temperature=0, max_tokens=24))
    answer = chat(client)
    assert answer.choices[0].message.content == expected.text
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == expected.finish_reason
    assert answer.usage.prompt_tokens == expected.usage.prompt_tokens
    assert answer.usage.completion_tokens == expected.usage.completion_tokens
    assert answer.usage.total_tokens == expected.usage.total_tokens


def test_stream_is_the_whole_answer_in_pieces(client: openai.OpenAI) -> None:
    whole = chat(client)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    texts = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(texts) == whole.choices[0].message.content
    assert sum(bool(text) for text in texts) > 5
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_completion_continues_the_prompt(client: openai.OpenAI) -> None:
    answer = client.completions.create(**GREEDY, prompt=PROMPT, max_tokens=26)
    assert answer.choices[0].text.startswith(STORY[:50])


def test_several_prompts_keep_their_order(client: openai.OpenAI) -> None:
    prompts = [PROMPT, "A dog", "The cat"]
    alone = [
        client.completions.create(**GREEDY, prompt=p, max_tokens=8).choices[0].text for p in prompts
    ]
    together = client.completions.create(**GREEDY, prompt=prompts, max_tokens=8)
    assert [choice.text for choice in together.choices] == alone
    streamed = ["", "", ""]
    for chunk in client.completions.create(**GREEDY, prompt=prompts, max_tokens=8, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.text
    assert streamed == alone


def test_echo_gives_the_likelihood_of_the_prompt(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        **GREEDY, prompt=PROMPT, max_tokens=0, echo=True, logprobs=1
    ).choices[0]
    assert answer.text == PROMPT
    assert answer.logprobs.token_logprobs[0] is None
    assert all(value <= 0 for value in answer.logprobs.token_logprobs[1:])
    assert "".join(answer.logprobs.tokens[1:]).strip() == PROMPT


def test_n_gives_different_answers_and_a_seed_the_same_ones(client: openai.OpenAI) -> None:
    def draw() -> list[str]:
        answer = chat(client, temperature=1.5, n=3, seed=7)
        return [choice.message.content for choice in answer.choices]

    first = draw()
    assert len(set(first)) == 3
    assert draw() == first
    pieces = {0: "", 1: "", 2: ""}
    for chunk in chat(client, temperature=1.5, n=3, seed=7, stream=True):
        for choice in chunk.choices:
            pieces[choice.index] += choice.delta.content or ""
    assert list(pieces.values()) == first


def test_logprobs_hold_each_token(client: openai.OpenAI) -> None:
    answer = chat(client, logprobs=True, top_logprobs=3, max_tokens=6)
    entries = answer.choices[0].logprobs.content
    assert len(entries) == 6
    text = b"".join(bytes(entry.bytes) for entry in entries).decode()
    assert text == answer.choices[0].message.content
    for entry in entries:
        assert len(entry.top_logprobs) == 3
        assert entry.token == entry.top_logprobs[0].token  # greedy takes the most likely
        assert entry.logprob == entry.top_logprobs[0].logprob
    streamed = [
        entry.token
        for chunk in chat(client, logprobs=True, top_logprobs=3, max_tokens=6, stream=True)
        if chunk.choices[0].logprobs
        for entry in chunk.choices[0].logprobs.content
    ]
    assert streamed == [entry.token for entry in entries]


def test_stop_ends_before_its_string(client: openai.OpenAI) -> None:
    free = chat(client, max_tokens=64).choices[0].message.content
    word = free.split()[3]
    answer = chat(client, max_tokens=64, stop=[word]).choices[0]
    assert answer.finish_reason == "stop"
    assert answer.message.content == free[: free.index(word)]


def test_logit_bias_bans_a_token(client: openai.OpenAI) -> None:
    def first_token(**changes: Any) -> Any:
        answer = chat(client, max_tokens=1, extra_body={"return_token_ids": True, **changes})
        return answer.choices[0].token_ids[0]

    banned = first_token()
    assert first_token(logit_bias={str(banned): -100}) != banned


class Pet(pydantic.BaseModel):
    name: str
    is_dog: bool


def test_parse_gives_an_object_of_the_schema(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="stories", messages=MESSAGES, response_format=Pet, temperature=0, max_tokens=120
    )
    parsed = answer.choices[0].message.parsed
    assert answer.choices[0].finish_reason == "stop"
    assert isinstance(parsed, Pet)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("guided_choice", ["yes", "no"]),
        ("structured_outputs", {"choice": ["yes", "no"]}),
        ("guided_regex", "(yes|no)"),
        ("guided_grammar", 'root ::= "yes" | "no"'),
        ("guided_json", {"enum": ["yes", "no"]}),
    ],
)
def test_vllm_names_constrain_the_answer(client: openai.OpenAI, field: str, value: Any) -> None:
    text = chat(client, extra_body={field: value}).choices[0].message.content
    assert text.strip('"') in ("yes", "no")


def test_json_object(client: openai.OpenAI) -> None:
    text = chat(client, response_format={"type": "json_object"}, max_tokens=200)
    content = text.choices[0].message.content
    if text.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(content), dict)
    assert content.startswith("{")


def test_embeddings_in_both_encodings(client: openai.OpenAI, chat_model: Path) -> None:
    texts = ["a dog", "a cat and a dog"]
    floats = client.embeddings.create(model="stories", input=texts, encoding_format="float")
    with pyslm.LLM(chat_model) as llm:
        expected = llm.embed(texts)
    for entry, row in zip(floats.data, expected, strict=True):
        assert entry.embedding == pytest.approx(row.tolist(), abs=1e-6)
    packed = client.embeddings.with_raw_response.create(
        model="stories", input=texts, encoding_format="base64"
    )
    raw = base64.b64decode(json.loads(packed.text)["data"][1]["embedding"])
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == floats.data[1].embedding
    assert client.embeddings.create(model="stories", input=texts).data[0].embedding == (
        pytest.approx(floats.data[0].embedding)
    )


def test_embedding_dimensions(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="stories", input="a dog", dimensions=16)
    vector = answer.data[0].embedding
    assert len(vector) == 16
    assert sum(x * x for x in vector) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="stories", input="a dog", dimensions=65)


def test_models(client: openai.OpenAI, chat_model: Path) -> None:
    assert [model.id for model in client.models.list()] == ["stories"]
    assert client.models.retrieve("stories").owned_by == "pyslm"
    assert client.models.retrieve(chat_model.stem).id == "stories"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


def test_unknown_model_is_404(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="stories"):
        chat(client, model="gpt-9")


def test_a_prompt_too_long_tells_the_counts(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, messages=[{"role": "user", "content": "word " * 2000}])
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.body["context_length"] == 512  # type: ignore[index]
    assert caught.value.body["prompt_tokens"] > 2000  # type: ignore[index]


def test_the_last_message_is_continued(client: openai.OpenAI, chat_model: Path) -> None:
    """As a completion of the same text would be."""
    turns = [*MESSAGES, {"role": "assistant", "content": "Once upon a time there"}]
    fields = {"continue_final_message": True, "add_generation_prompt": False}
    answer = chat(client, messages=turns, extra_body=fields)
    text = "user: Tell me a story.\nassistant: Once upon a time there"
    with pyslm.LLM(chat_model) as llm:
        ids = llm.tokenize(text)
        expected = llm.generate(ids, pyslm.SamplingParams(temperature=0, max_tokens=24))
    assert answer.choices[0].message.content == expected.text
    with pytest.raises(openai.BadRequestError, match="continue_final_message"):
        chat(client, extra_body=fields)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"use_beam_search": True}, "use_beam_search"),
        ({"store": True}, "store"),
        ({"chat_template": "{{ messages }}"}, "chat_template"),
        ({"temprature": 0.5}, "temperature"),
        ({"max_token": 5}, "max_tokens"),
        ({"tools": [{"type": "function", "function": {"name": "f"}, "cache": 1}]}, "tools.0"),
        ({"response_format": {"type": "text", "stric": True}}, "response_format"),
        ({"structured_outputs": {"jsn": {}}}, "structured_outputs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"temperature": 3}, "temperature"),
        ({"n": 0}, "n"),
        ({"min_tokens": 50}, "min_tokens"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stop": [""]}, "stop"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"guided_json": {}, "guided_regex": "x"}, "json_schema and regex"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    client: openai.OpenAI, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, extra_body=fields)
    assert named in str(caught.value)


def test_what_asks_for_nothing_is_not_refused(client: openai.OpenAI) -> None:
    fields = {"use_beam_search": False, "store": False, "user": "me", "service_tier": "auto"}
    assert chat(client, extra_body=fields).choices[0].message.content


def test_unknown_fields_are_named_in_a_header(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        **GREEDY, messages=MESSAGES, max_tokens=1, extra_body={"zork": 1, "frobnicate": {}}
    )
    assert raw.headers["x-pyslm-ignored-fields"] == "zork, frobnicate"


def test_messages_of_every_role(client: openai.OpenAI) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a dog"},
    ]
    assert chat(client, messages=messages).choices[0].message.content
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    with pytest.raises(openai.BadRequestError, match="text only"):
        chat(client, messages=[{"role": "user", "content": image}])


@pytest.mark.parametrize(("field", "value"), [("json_schema", 0), ("guided_json", 5)])
def test_a_schema_that_is_none_is_refused_and_nothing_dies(
    server: ServerProcess, client: openai.OpenAI, field: str, value: int
) -> None:
    before = [worker.pid for worker in server.workers()]
    with pytest.raises(openai.BadRequestError, match=field):
        chat(client, extra_body={field: value})
    assert [worker.pid for worker in server.workers()] == before
