"""What Ollama's API looks like on the wire, beyond what its Python client shows."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from reference.scripted import write_scripted
from serve.server_process import ServerProcess, wait_until
from stories import stories

from pyslm.serve.ollama.messages import Message, to_plain
from pyslm.serve.ollama.stream import Writer, chat_shape, generate_shape
from pyslm.serve.protocol import (
    ContentDelta,
    Event,
    Finished,
    ReasoningDelta,
    ServeError,
    ToolCallArguments,
    ToolCallStart,
)

ASKED: dict[str, Any] = {"model": "stories", "options": {"temperature": 0, "num_predict": 5}}
TURNS: list[Any] = [{"role": "user", "content": "Hi"}]
DURATIONS = {"total_duration", "load_duration", "prompt_eval_duration", "eval_duration"}
LAST = {"done", "done_reason", "prompt_eval_count", "eval_count", *DURATIONS}


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.http() as client:
        yield client


def lines(response: httpx.Response) -> list[Any]:
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.text.endswith("\n")
    return [json.loads(line) for line in response.text.splitlines()]


@pytest.mark.parametrize(
    ("path", "field", "asked"),
    [("/api/chat", "message", {"messages": TURNS}), ("/api/generate", "response", {"prompt": "A"})],
)
def test_text_streams_unless_told_not_to(
    http: httpx.Client, path: str, field: str, asked: dict[str, Any]
) -> None:
    *pieces, last = lines(http.post(path, json={**ASKED, **asked}))
    for piece in pieces:
        assert set(piece) == {"model", "created_at", field, "done"}
        assert piece["done"] is False
        assert datetime.datetime.fromisoformat(piece["created_at"]).tzinfo is not None
    assert set(last) == {"model", "created_at", field} | LAST
    assert last["done"] is True
    assert all(isinstance(last[name], int) for name in DURATIONS)
    whole = http.post(path, json={**ASKED, **asked, "stream": False})
    assert whole.headers["content-type"] == "application/json"
    assert set(whole.json()) == set(last)
    if field == "response":
        assert "".join(piece[field] for piece in pieces) == whole.json()[field]
    else:
        assert pieces[0][field]["role"] == "assistant"
        assert "".join(p[field]["content"] for p in pieces) == whole.json()[field]["content"]


def test_durations_are_measured_in_nanoseconds(http: httpx.Client) -> None:
    """Ten times the tokens take longer; all of it no longer than the client has waited."""
    found = []
    for count in (8, 160):
        options = {"temperature": 0, "num_predict": count}
        asked = {"model": "stories", "prompt": "Once", "raw": True, "options": options}
        response = http.post("/api/generate", json={**asked, "stream": False})
        body = response.json()
        waited = response.elapsed.total_seconds() * 1e9
        assert body["prompt_eval_duration"] + body["eval_duration"] <= body["total_duration"]
        assert body["total_duration"] <= waited
        found.append(body)
    assert found[1]["eval_duration"] > found[0]["eval_duration"] > 1000


@pytest.mark.parametrize(
    ("path", "changes", "named"),
    [
        ("chat", {"messages": [{**TURNS[0], "images": ["aGk="]}]}, "messages.0.images: 1 given"),
        ("generate", {"prompt": "a", "images": ["aGk="]}, "images: 1 given"),
        ("generate", {"prompt": "a", "context": [1, 2]}, "context is not supported"),
        ("generate", {"prompt": "a", "template": "{{ .Prompt }}"}, "template is not supported"),
        ("generate", {"prompt": "a", "raw": True, "system": "b"}, "system is given"),
        ("generate", {"prompt": "a", "suffix": "b"}, "no tokens for filling in the middle"),
        ("generate", {"prompt": "a", "format": "yaml"}, "format"),
        ("generate", {"prompt": "a", "keep_alive": "soon"}, "keep_alive is 'soon'"),
        ("chat", {"messages": TURNS, "think": True}, '"stories" does not support thinking'),
        ("chat", {"messages": TURNS, "think": "a lot"}, "think"),
        ("chat", {"messages": TURNS, "options": {"mirostat": 1}}, "mirostat is not supported"),
        ("chat", {"messages": TURNS, "options": {"temperature": -1}}, "options.temperature"),
        ("chat", {"messages": TURNS, "options": {"temprature": 1}}, "did you mean 'temperature'"),
        ("chat", {"messages": TURNS, "options": {"num_ctx": 4096}}, "4096 .* of 512 tokens"),
        ("chat", {"messages": TURNS, "tool_choice": "required"}, "there are no tools"),
        (
            "chat",
            {"messages": [{"role": "user", "content": "long " * 600}]},
            "512 tokens.*resulted",
        ),
        ("chat", {"messages": 3}, "messages"),
    ],
)
def test_what_cannot_be_done_is_named(
    http: httpx.Client, path: str, changes: dict[str, Any], named: str
) -> None:
    response = http.post(f"/api/{path}", json={**ASKED, **changes})
    assert response.status_code == 400
    assert set(response.json()) == {"error"}
    assert re.search(named, response.json()["error"]), response.json()["error"]


def test_what_has_no_effect_is_told(http: httpx.Client, server: ServerProcess) -> None:
    options = {**ASKED["options"], "num_keep": 4, "mirostat": 0, "num_thread": 2, "num_gpu": 9}
    asked = {**ASKED, "options": options, "messages": TURNS, "wishes": 1, "truncate": True}
    response = http.post("/api/chat", json=asked)
    assert response.status_code == 200
    names = response.headers["x-pyslm-ignored-fields"].split(", ")
    assert sorted(names) == ["options.num_keep", "truncate", "wishes"]
    wait_until(lambda: "fields passed over: wishes" in server.log)
    assert "x-pyslm-ignored-fields" not in http.post("/api/chat", json=ASKED).headers


def test_somebody_is_there(http: httpx.Client) -> None:
    assert http.get("/").text == "Ollama is running"
    for path in ("/", "/api/tags", "/api/version"):
        head = http.head(path)
        assert (head.status_code, head.content) == (200, b"")
    numbers = http.get("/api/version").json()["version"].split(".")
    assert all(number.isdigit() for number in numbers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", 404),
        ("GET", "/api/chat", 405),
        ("HEAD", "/api/blobs/sha256:00", 501),
        ("POST", "/api/blobs/sha256:00", 501),
        ("POST", "/api/show", 404),
    ],
)
def test_other_errors(http: httpx.Client, method: str, path: str, status: int) -> None:
    response = http.request(method, path, json={"model": "nobody"})
    assert response.status_code == status
    if method != "HEAD":
        assert isinstance(response.json()["error"], str)


def test_a_request_without_a_prompt_loads_or_unloads(chat_model: Path) -> None:
    server = ServerProcess(chat_model, "--name", "stories")
    try:
        with server.http() as http:
            for path in ("/api/generate", "/api/chat"):
                gone = http.post(path, json={"model": "stories", "keep_alive": 0}).json()
                assert (gone["done"], gone["done_reason"]) == (True, "unload")
                assert http.get("/api/ps").json() == {"models": []}
                assert server.workers() == []
                back = http.post(path, json={"model": "stories"}).json()
                assert (back["done"], back["done_reason"]) == (True, "load")
                assert len(server.workers()) == 1
            http.post("/api/generate", json={"model": "stories", "keep_alive": 0})
            body = http.post("/api/chat", json={**ASKED, "messages": TURNS, "stream": False}).json()
            assert body["total_duration"] > body["load_duration"] > 20e6  # a process was started
    finally:
        assert server.stop() == 0


def test_the_served_context_bounds_num_ctx(long_model: Path) -> None:
    server = ServerProcess(long_model, "--name", "long", "--ctx", "1024")
    asked: dict[str, Any] = {"model": "long", "prompt": "A", "raw": True, "stream": False}
    try:
        with server.http() as http:
            options = {"num_ctx": 2048, "num_predict": 2}
            refused = http.post("/api/generate", json={**asked, "options": options})
            assert refused.status_code == 400
            error = refused.json()["error"]
            assert "2048" in error
            assert "1024" in error
            embed = {"model": "long", "input": "a", "options": options}
            assert http.post("/api/embed", json=embed).status_code == 400
            options["num_ctx"] = 1024
            taken = http.post("/api/generate", json={**asked, "options": options})
            assert taken.status_code == 200
    finally:
        server.stop()


def test_num_ctx_makes_the_context_longer(long_model: Path) -> None:
    """Where the server was told of no context, a request may ask for more than the default."""
    server = ServerProcess(long_model, "--name", "long")
    try:
        with server.http() as http:
            contexts = []
            for asked in (None, 5000, 100):
                options = {"num_ctx": asked} if asked else {}
                body = {"model": "long", "input": "a", "options": options}
                assert http.post("/api/embed", json=body).status_code == 200
                contexts.append(http.get("/api/ps").json()["models"][0]["context_length"])
            assert contexts == [4096, 5000, 5000]
    finally:
        server.stop()


def test_a_worker_that_dies_is_an_error_line(long_model: Path) -> None:
    server = ServerProcess(long_model, "--name", "long")
    asked = {"model": "long", "prompt": "Once", "raw": True, "options": {"num_predict": 90_000}}
    try:
        with server.http() as http, http.stream("POST", "/api/generate", json=asked) as response:
            lines = response.iter_lines()
            assert json.loads(next(lines))["done"] is False
            server.workers()[0].kill()
            *_, last = (json.loads(line) for line in lines)
        assert set(last) == {"error"}
        assert "ended while it answered" in last["error"]
    finally:
        server.stop()


def test_a_model_without_a_template_continues_the_prompt(shared: Path) -> None:
    server = ServerProcess(stories(shared), "--name", "plain")
    asked: dict[str, Any] = {**ASKED, "model": "plain", "prompt": "Once upon", "stream": False}
    try:
        with server.http() as http:
            plain = http.post("/api/generate", json=asked).json()["response"]
            assert (
                plain == http.post("/api/generate", json={**asked, "raw": True}).json()["response"]
            )
            refused = http.post("/api/generate", json={**asked, "system": "Be kind."})
            assert refused.status_code == 400
            assert "system" in refused.json()["error"]
    finally:
        server.stop()


def test_thoughts_are_told_apart(shared: Path, tmp_path: Path) -> None:
    template = (shared / "templates" / "Qwen-Qwen3-0.6B.jinja").read_text() + "<|go|>"
    replies = {"<|go|>": ["<think>", "hm, so", "</think>", "yes, ", "it is"]}
    model = write_scripted(stories(shared), tmp_path / "m.gguf", replies, template)
    server = ServerProcess(model, "--name", "thinker")
    asked: dict[str, Any] = {"model": "thinker", "messages": TURNS, "think": "low"}
    try:
        with server.http() as http:
            shown = http.post("/api/show", json={"model": "thinker"}).json()
            assert "thinking" in shown["capabilities"]
            whole = http.post("/api/chat", json={**asked, "stream": False}).json()
            expected = {"role": "assistant", "content": "yes, it is", "thinking": "hm, so"}
            assert whole["message"] == expected
            pieces = [line["message"] for line in lines(http.post("/api/chat", json=asked))]
            assert "".join(piece.get("thinking", "") for piece in pieces) == "hm, so"
            assert [piece["content"] for piece in pieces] == ["", "yes, ", "it is", ""]
            prompt = {"model": "thinker", "prompt": "a", "think": True, "stream": False}
            body = http.post("/api/generate", json=prompt).json()
            assert (body["thinking"], body["response"]) == ("hm, so", "yes, it is")
    finally:
        server.stop()


def test_results_are_linked_to_their_calls() -> None:
    """Ollama's turns name functions; templates want the ids of calls."""
    calls = [{"function": {"name": name, "arguments": {"q": 1}}} for name in ("f", "g", "f")]
    turns = [
        {"role": "assistant", "tool_calls": calls, "thinking": "hm"},
        {"role": "tool", "tool_name": "g", "content": "1"},
        {"role": "tool", "tool_name": "f", "content": "2"},
        {"role": "tool", "content": "3"},
    ]
    said, *results = to_plain([Message.model_validate(turn) for turn in turns])
    assert said["reasoning_content"] == "hm"
    ids = [call["id"] for call in said["tool_calls"]]
    assert len(set(ids)) == 3
    assert [result["tool_call_id"] for result in results] == [ids[1], ids[0], ids[2]]
    assert [result["name"] for result in results] == ["g", "f", "f"]


def written(events: list[Event]) -> list[Any]:
    writer = Writer("m", chat_shape, 0, 0.0)
    text = writer.begin() + writer.events(events) + writer.end()
    return [json.loads(line) for line in text.splitlines()]


def test_calls_come_whole_and_in_their_order() -> None:
    found = written(
        [
            ReasoningDelta(0, "hm"),
            ContentDelta(0, 'say "a"\n'),
            ToolCallStart(0, 0, "call_a", "f"),
            ToolCallArguments(0, 0, '{"z": 1, '),
            ToolCallArguments(0, 0, '"a": [2]}'),
            ToolCallStart(0, 1, "call_b", "g"),
            Finished(0, "tool_calls", 7, 9),
        ]
    )
    messages = [line["message"] for line in found]
    assert messages[0] == {"role": "assistant", "content": "", "thinking": "hm"}
    assert messages[1] == {"role": "assistant", "content": 'say "a"\n'}
    calls = [message["tool_calls"] for message in messages[2:4]]
    first = {"index": 0, "name": "f", "arguments": {"z": 1, "a": [2]}}
    assert calls == [
        [{"id": "call_a", "function": first}],
        [{"id": "call_b", "function": {"index": 1, "name": "g", "arguments": {}}}],
    ]
    assert list(calls[0][0]["function"]["arguments"]) == ["z", "a"]
    assert (found[-1]["done_reason"], found[-1]["prompt_eval_count"]) == ("stop", 7)
    assert len(found) == 5


def test_a_call_cut_off_stays_text() -> None:
    found = written(
        [
            ToolCallStart(0, 0, "call_a", "f"),
            ToolCallArguments(0, 0, '{"z": 1, '),
            Finished(0, "length", 7, 9),
        ]
    )
    assert found[0]["message"] == {"role": "assistant", "content": '{"z": 1, '}
    assert found[-1]["done_reason"] == "length"


def test_an_error_under_way_is_a_line() -> None:
    writer = Writer("m", generate_shape, 0, 0.0)
    assert json.loads(writer.error(ServeError("crashed", "it died"))) == {"error": "it died"}
    assert writer.ping() == b""  # clients read every line as JSON
