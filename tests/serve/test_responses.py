"""/v1/responses over the published `openai` client, whose types say what is valid."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import openai
import pydantic
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from reference.rewrite import rewrite
from serve.server_process import ServerProcess
from stories import stories

TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
ASKED: dict[str, Any] = {
    "model": "tiny",
    "input": "How is the weather?",
    "temperature": 0,
    "max_output_tokens": 24,
    "reasoning": {"effort": "none"},
}
CALLED: dict[str, Any] = {
    **ASKED,
    "max_output_tokens": 400,
    "tools": [TOOL],
    "tool_choice": "required",
    "parallel_tool_calls": False,
}


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says anything, under a published template with tools and thoughts."""
    template = (shared / "templates" / "Qwen-Qwen3-0.6B.jinja").read_text()
    target = tmp_path_factory.mktemp("responses") / "model.gguf"
    metadata = {"tokenizer.chat_template": template, "llama.context_length": 4096}
    return rewrite(stories(shared), target, metadata=metadata)


@pytest.fixture(scope="module")
def running(model: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(model, "--name", "tiny", "--api-key", "one", "--api-key", "two")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def client(running: ServerProcess) -> openai.OpenAI:
    return running.openai(api_key="one")


def checked(response: Any) -> Any:
    """The response, valid under the client's own types."""
    Response.model_validate(response.model_dump(mode="json"), strict=False)
    return response


def test_answer_is_the_chat_routes(client: openai.OpenAI) -> None:
    answer = checked(client.responses.create(**ASKED, instructions="Be brief."))
    chat = client.chat.completions.create(
        model="tiny",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": ASKED["input"]},
        ],
        temperature=0,
        max_tokens=24,
        extra_body={"reasoning_effort": "none"},
    )
    assert answer.id.startswith("resp_")
    assert answer.output_text == chat.choices[0].message.content
    assert answer.usage.input_tokens == chat.usage.prompt_tokens
    assert answer.usage.output_tokens == 24
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"


def test_a_conversation_goes_on_as_if_sent_whole(client: openai.OpenAI) -> None:
    first = client.responses.create(**ASKED, instructions="Be brief.")
    after = client.responses.create(**{**ASKED, "input": "And?"}, previous_response_id=first.id)
    whole: list[Any] = [
        {"role": "user", "content": ASKED["input"]},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "And?"},
    ]
    sent = client.responses.create(**{**ASKED, "input": whole}, store=False)
    assert after.output_text == sent.output_text
    assert after.usage.input_tokens == sent.usage.input_tokens  # without the instructions
    third = client.responses.create(**{**ASKED, "input": "So?"}, previous_response_id=after.id)
    assert third.usage.input_tokens > after.usage.input_tokens


def test_a_result_alone_goes_on_after_a_call(client: openai.OpenAI) -> None:
    first = checked(client.responses.create(**CALLED))
    (call,) = first.output
    assert call.type == "function_call"
    assert json.loads(call.arguments)["city"] in ("Oslo", "Rome")
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    followed = {**ASKED, "tools": [TOOL], "tool_choice": "none"}
    stored = client.responses.create(
        **{**followed, "input": [result]}, previous_response_id=first.id
    )
    replayed: list[Any] = [{"role": "user", "content": ASKED["input"]}, call.to_dict(), result]
    stateless = client.responses.create(**{**followed, "input": replayed}, store=False)
    assert stored.output_text == stateless.output_text
    assert stored.usage.input_tokens == stateless.usage.input_tokens
    with pytest.raises(openai.BadRequestError, match="no call has the call_id"):
        client.responses.create(**{**ASKED, "input": [result]})


@pytest.mark.parametrize("asked", [ASKED, CALLED, {**ASKED, "reasoning": {"effort": "high"}}])
def test_stream_builds_the_response(client: openai.OpenAI, asked: dict[str, Any]) -> None:
    raw = client.responses.with_streaming_response.create(**asked, stream=True)
    with raw as lines:
        events = [
            json.loads(line.removeprefix("data: "))
            for line in lines.iter_lines()
            if line.startswith("data: ")
        ]
    for event in events:
        EVENT.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    final = events[-1]["response"]
    assert kinds[-1] == f"response.{final['status']}"
    for index, item in enumerate(final["output"]):
        own = [event for event in events if event.get("output_index") == index]
        assert own[0]["type"] == "response.output_item.added"
        assert own[-1]["type"] == "response.output_item.done"
        assert own[-1]["item"] == item
        text = "".join(event["delta"] for event in own if "delta" in event)
        assert text == (item["arguments"] if "arguments" in item else item["content"][0]["text"])
    assert client.responses.retrieve(final["id"]).to_dict()["output"] == final["output"]


def test_the_clients_own_stream_and_parse(client: openai.OpenAI) -> None:
    class Weather(pydantic.BaseModel):
        city: Literal["Oslo", "Rome"]
        warm: bool

    asked = {**ASKED, "max_output_tokens": 200}
    parsed = client.responses.parse(**asked, text_format=Weather)
    assert parsed.output_parsed is not None
    with client.responses.stream(**asked, text_format=Weather) as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(texts) == final.output_text == parsed.output_text
    assert final.output_parsed == parsed.output_parsed


def test_logprobs_are_those_of_the_text(client: openai.OpenAI) -> None:
    answer: Any = client.responses.create(
        **ASKED, include=["message.output_text.logprobs"], top_logprobs=2
    )
    entries = answer.output[0].content[0].logprobs
    assert b"".join(bytes(entry.bytes) for entry in entries).decode() == answer.output_text
    assert all(len(entry.top_logprobs) == 2 for entry in entries)


def test_input_items_come_in_pages(client: openai.OpenAI) -> None:
    turns: list[Any] = [{"role": "user", "content": f"turn {i}"} for i in range(5)]
    answer = client.responses.create(**{**ASKED, "input": turns})
    page = client.responses.input_items.list(answer.id, limit=2, order="asc")
    assert len(page.data) == 2
    assert page.has_more
    texts = [item.content[0].text for item in page]  # type: ignore[union-attr]
    assert texts == [f"turn {i}" for i in range(5)]
    newest = client.responses.input_items.list(answer.id, limit=1)
    assert newest.data[0].content[0].text == "turn 4"  # type: ignore[union-attr]
    reference: Any = {"type": "item_reference", "id": newest.data[0].id}
    again = client.responses.create(**{**ASKED, "input": [reference]})
    assert again.status == "incomplete"


def test_what_is_deleted_or_not_stored_is_gone(client: openai.OpenAI) -> None:
    kept = client.responses.create(**ASKED)
    assert client.responses.retrieve(kept.id).output_text == kept.output_text
    client.responses.delete(kept.id)
    passing = client.responses.create(**ASKED, store=False)
    for ident in (kept.id, passing.id, "resp_none"):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(ident)
        with pytest.raises(openai.NotFoundError):
            client.responses.delete(ident)
        with pytest.raises(openai.NotFoundError):
            client.responses.create(**ASKED, previous_response_id=ident)


def test_a_response_is_its_keys_own(running: ServerProcess, client: openai.OpenAI) -> None:
    mine: Any = client.responses.create(**ASKED)
    other = running.openai(api_key="two")
    with pytest.raises(openai.NotFoundError):
        other.responses.retrieve(mine.id)
    with pytest.raises(openai.NotFoundError):
        other.responses.input_items.list(mine.id)
    with pytest.raises(openai.NotFoundError):
        other.responses.create(**ASKED, previous_response_id=mine.id)
    reference: Any = {"type": "item_reference", "id": mine.output[0].id}
    with pytest.raises(openai.NotFoundError):
        other.responses.create(**{**ASKED, "input": [reference]})
    with pytest.raises(openai.NotFoundError):
        other.responses.delete(mine.id)
    assert client.responses.retrieve(mine.id).id == mine.id


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"tools": [TOOL, {"type": "file_search", "vector_store_ids": []}]}, "file_search"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "other"}}, "other"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input_image"),
        ({"input": [{"type": "computer_call", "id": "1"}]}, "computer_call"),
    ],
)
def test_what_is_not_done_is_refused_by_name(
    client: openai.OpenAI, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=named):
        client.responses.create(**{**ASKED, **changes})


def test_allowed_tools_are_all_that_is_called(client: openai.OpenAI) -> None:
    say = {**TOOL, "name": "say"}
    choice = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "say"}],
    }
    answer = client.responses.create(**{**CALLED, "tools": [TOOL, say], "tool_choice": choice})
    assert [item.name for item in answer.output] == ["say"]  # type: ignore[union-attr]


def test_a_restart_keeps_what_was_said(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "kept" / "responses.db"
    idents: list[str] = []
    for _ in range(2):
        server = ServerProcess(model, "--name", "tiny", "--responses-db", file)
        client = server.openai()
        before = idents[-1] if idents else None
        answer = client.responses.create(**ASKED, previous_response_id=before)
        idents.append(answer.id)
        assert server.stop() == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT count(*) FROM responses").fetchone() == (2,)
    db.close()


def test_a_damaged_file_is_told(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "responses.db"
    file.write_bytes(b"no database at all" * 100)
    done = subprocess.run(
        [sys.executable, "-m", "pyslm", "serve", model, "--port", "0", "--responses-db", file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "--responses-db" in done.stderr
    assert "Traceback" not in done.stderr
