"""Workers that die, models that are not sound, clients that go away: nobody else notices."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from serve.server_process import ServerProcess, wait_until

LONG = 50_000


@pytest.fixture
def pair(chat_model: Path, long_model: Path) -> Iterator[ServerProcess]:
    """A server with two models, "chat" and "long"."""
    server = ServerProcess(long_model, chat_model, "--ctx", 60_000, "--keep-alive", "1h")
    yield server
    server.stop()


def stream_long(server: ServerProcess, **changes: Any) -> Any:
    return server.openai().completions.create(
        **{
            "model": "long",
            "prompt": "Once upon a time",
            "max_tokens": LONG,
            "stream": True,
            "extra_body": {"ignore_eos": True},
            **changes,
        }
    )


def worker_of(server: ServerProcess, model: str) -> int:
    return next(
        worker.pid for worker in server.workers() if f"{model}.gguf" in worker.cmdline()[-1]
    )


def test_a_killed_worker_costs_its_own_requests_an_error(pair: ServerProcess) -> None:
    import os

    chunks = stream_long(pair)
    for _ in range(5):
        next(chunks)
    waiting: list[Exception] = []

    def ask() -> None:
        try:
            pair.openai().completions.create(
                model="long", prompt="A", max_tokens=LONG, extra_body={"ignore_eos": True}
            )
        except openai.APIStatusError as error:
            waiting.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: pair.metric("num_requests_running") == 2)
    other = worker_of(pair, "chat")
    restarts = pair.metric("worker_restarts_total")
    began = time.monotonic()
    os.kill(worker_of(pair, "long"), signal.SIGKILL)
    with pytest.raises(openai.APIError, match="ended while it answered"):
        for _ in chunks:
            pass
    asking.join(10)
    assert time.monotonic() - began < 5
    assert isinstance(waiting[0], openai.InternalServerError)
    assert waiting[0].status_code == 503
    answer = pair.openai().completions.create(model="long", prompt="A", max_tokens=3)
    assert answer.usage.completion_tokens == 3
    assert time.monotonic() - began < 10
    assert worker_of(pair, "chat") == other
    assert pair.metric("worker_restarts_total") == restarts + 1


def test_a_hung_client_connection_frees_its_blocks(pair: ServerProcess) -> None:
    body = {
        "model": "long", "prompt": "Once", "max_tokens": LONG, "stream": True, "ignore_eos": True,
    }  # fmt: skip
    with (
        pair.http() as client,
        client.stream("POST", "/v1/completions", json=body) as response,
    ):
        next(response.iter_bytes())
        assert pair.metric("num_requests_running") >= 0
    wait_until(lambda: pair.metric("kv_cache_usage_perc") == 0 and _idle(pair), 5)


def test_a_client_that_leaves_before_the_answer_frees_its_blocks(pair: ServerProcess) -> None:
    body = {"model": "long", "prompt": "Once", "max_tokens": LONG, "ignore_eos": True, "n": 3}
    with pair.http() as client, pytest.raises(httpx.ReadTimeout):
        client.post("/v1/completions", json=body, timeout=0.3)
    wait_until(lambda: pair.metric("kv_cache_usage_perc") == 0 and _idle(pair), 5)


def test_many_disconnects_leave_nothing_behind(pair: ServerProcess) -> None:
    body = {
        "model": "long", "prompt": "Once", "max_tokens": LONG, "stream": True, "ignore_eos": True,
    }  # fmt: skip
    with pair.http() as client:
        for i in range(60):
            try:
                with client.stream(
                    "POST", "/v1/completions", json=body, timeout=0.01 * (i % 7 + 1)
                ) as response:
                    next(response.iter_bytes())
            except httpx.TimeoutException:
                pass
    wait_until(lambda: pair.metric("kv_cache_usage_perc") == 0 and _idle(pair), 10)


def _idle(server: ServerProcess) -> bool:
    return server.metric("num_requests_running") == server.metric("num_requests_waiting") == 0


def test_a_model_cut_short_does_not_start(chat_model: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(chat_model.read_bytes()[:200_000])
    with pytest.raises(AssertionError, match=r"cut\.gguf"):
        ServerProcess(cut)


def test_a_model_truncated_in_use_goes_on_and_others_too(
    chat_model: Path, long_model: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim.gguf"
    victim.write_bytes(long_model.read_bytes())
    server = ServerProcess(victim, chat_model, "--ctx", 2000)
    try:
        client = server.openai()
        chunks = client.completions.create(
            model="victim", prompt="Once", max_tokens=1500, stream=True
        )
        next(chunks)
        with victim.open("r+b") as file:
            file.truncate(1000)
        assert list(chunks)[-1].choices[0].finish_reason in ("length", "stop")
        assert client.completions.create(model="chat", prompt="A", max_tokens=2).choices
        assert client.completions.create(model="victim", prompt="A", max_tokens=2).choices
        import os

        os.kill(worker_of(server, "victim"), signal.SIGKILL)
        wait_until(lambda: len(server.workers()) == 1, 5)
        with pytest.raises(openai.APIStatusError):
            client.completions.create(model="victim", prompt="A", max_tokens=2)
        assert client.completions.create(model="chat", prompt="A", max_tokens=2).choices
    finally:
        server.stop()
