"""What `pyslm serve` says before it serves."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from pyslm.cli import invoke
from pyslm.cli.serve_config import parse_bytes
from pyslm.errors import InvalidRequestError


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec

    def without_fastapi(name: str, *rest: Any) -> Any:
        return None if name == "fastapi" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without_fastapi)
    assert invoke(["serve"]) == 2
    told = capsys.readouterr().err
    assert "pip install 'pyslm[serve]'" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "size"),
    [("500", 500), ("1K", 1024), ("1.5M", 3 << 19), ("8G", 8 << 30), ("2GiB", 2 << 30)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1X", "G", "nan", "inf"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="500M"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--keep-alive", "soon"], "keep_alive"),
        (["--rate-limit", "often"], "60/minute"),
        (["--memory-budget", "lots"], "500M"),
        (["--port", "70000"], "65535"),
    ],
)
def test_bad_options_are_told_in_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["serve", *arguments]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert len(said.splitlines()) == 1


def test_options_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them, under the server's name of it."""
    seen: list[Any] = []
    monkeypatch.setattr("pyslm.serve.server.serve", lambda config, *_, **__: seen.append(config))
    options = """m.gguf other.gguf --name a --name b --lora x=x.gguf --no-store
        --max-loaded-models 1 --keep-alive 2m --memory-budget 1G --no-load-on-demand --host
        127.0.0.2 --port 9 --tls-cert c.pem --tls-key k.pem --api-key one --allow-host h
        --cors-origin https://o --insecure --ctx 77 --parallel 3 --batch 64 --threads 2
        --kv-type q8_0 --no-weight-cache --max-queued 5 --rate-limit 6/minute --token-limit
        7/minute --max-body 1K --responses-db :memory: --responses-days 8 --responses-count 9
        --log-level debug --log-json --otel http://localhost:4318 --vllm-metrics"""
    assert invoke(["serve", *options.split()]) == 0
    (config,) = seen
    expected = {
        "models": ("m.gguf", "other.gguf"), "served_names": ("a", "b"), "adapters": {"x": "x.gguf"},
        "store": False, "max_loaded_models": 2, "keep_alive": 120.0, "memory_budget": 1 << 30,
        "load_on_demand": False, "host": "127.0.0.2", "port": 9, "tls_cert": Path("c.pem"),
        "tls_key": Path("k.pem"), "api_keys": ("one",), "allowed_hosts": ("h",),
        "cors_origins": ("https://o",), "allow_insecure": True, "context_length": 77,
        "max_sequences": 3, "batch_size": 64, "threads": 2, "kv_type": "q8_0",
        "weight_cache": False, "max_queued": 5, "rate_limits": ("6/minute",),
        "token_limits": ("7/minute",), "max_body_bytes": 1024, "responses_db": None,
        "responses_days": 8.0, "responses_count": 9, "log_level": "debug", "log_json": True,
        "otel_endpoint": "http://localhost:4318", "vllm_metrics": True,
    }  # fmt: skip
    assert {name: getattr(config, name) for name in expected} == expected
