"""How much may be asked."""

from __future__ import annotations

import concurrent.futures
import statistics
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from serve.server_process import ServerProcess, wait_until

from pyslm.errors import InvalidRequestError
from pyslm.serve.caller import Caller
from pyslm.serve.limits import Limits
from pyslm.serve.protocol import ServeError


def test_a_rate_is_of_each_caller() -> None:
    limits = Limits(["5/minute"])
    for _ in range(5):
        limits.admit(Caller("a"))
    with pytest.raises(ServeError) as caught:
        limits.admit(Caller("a"))
    assert caught.value.status == 429
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 60
    limits.admit(Caller("b"))


def test_tokens_are_counted_when_they_are_known() -> None:
    limits = Limits(tokens=["100/hour"])
    limits.admit(Caller("a"))
    limits.spend(Caller("a"), 99)
    limits.admit(Caller("a"))
    limits.spend(Caller("a"), 500)  # more than is left: it was not known before
    with pytest.raises(ServeError, match="tokens"):
        limits.admit(Caller("a"))
    limits.admit(Caller("b"))


def test_a_rate_must_be_one() -> None:
    with pytest.raises(InvalidRequestError, match="60/minute"):
        Limits(["often"])


def test_rates_over_http(chat_model: Path) -> None:
    server = ServerProcess(chat_model, "--rate-limit", "4/minute", "--token-limit", "1000/hour")
    try:
        client = server.openai()
        for _ in range(4):
            client.completions.create(model="", prompt="A", max_tokens=1)
        with pytest.raises(openai.RateLimitError) as caught:
            client.completions.create(model="", prompt="A", max_tokens=1)
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
        with server.http() as plain:
            assert plain.get("/health").status_code == 200
    finally:
        server.stop()


def test_tokens_over_http(chat_model: Path) -> None:
    server = ServerProcess(chat_model, "--token-limit", "50/hour")
    try:
        client = server.openai()
        client.completions.create(
            model="", prompt="A", max_tokens=60, extra_body={"ignore_eos": True}
        )
        with pytest.raises(openai.RateLimitError, match="tokens"):
            client.completions.create(model="", prompt="A", max_tokens=1)
    finally:
        server.stop()


def test_overload_is_told_at_once_and_loses_nothing(long_model: Path) -> None:
    """50 times what a server of two places and two waiting ones takes."""
    server = ServerProcess(
        long_model, "--parallel", 2, "--max-queued", 2, "--ctx", 8000, "--log-level", "warning"
    )

    client = server.http()

    def ask(number: int) -> tuple[int, float, int]:
        began = time.monotonic()
        response = client.post(
            "/v1/completions",
            json={"prompt": f"{number}", "max_tokens": 1500, "ignore_eos": True},
        )
        body: dict[str, Any] = response.json()
        tokens = body.get("usage", {}).get("completion_tokens", 0)
        return response.status_code, time.monotonic() - began, tokens

    try:
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(ask, range(200)))
        refused = [seconds for status, seconds, _ in answers if status == 429]
        accepted = [tokens for status, _, tokens in answers if status == 200]
        assert len(refused) + len(accepted) == 200
        assert len(refused) > 100
        assert len(accepted) >= 4
        assert set(accepted) == {1500}
        assert statistics.median(refused) < 0.25  # of which most is this test's own
        wait_until(lambda: server.metric("kv_cache_usage_perc") == 0, 5)
    finally:
        client.close()
        server.stop()
