"""The server under more than it can do, and what it costs: `benchmarks/over_http.py`, in small.

The figures themselves belong to a machine with nothing else to do, and to the slow test.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from serve.server_process import ServerProcess, wait_until

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # at the end: some have names of modules elsewhere

over_http = pytest.importorskip("over_http", reason="the benchmarks are not here")

ONE_PLACE = ("--parallel", 1, "--max-queued", 0, "--name", "stories", "--ctx", 100_000)
TURNS = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def bench(chat_model: Path) -> Any:
    return over_http.Bench(chat_model, threads=1)


@pytest.mark.parametrize("at_once", [False, True])
def test_overload_loses_nothing(bench: Any, at_once: bool) -> None:
    with bench.serving("--parallel", 2, "--max-queued", 2) as server:
        found = asyncio.run(over_http.overload(bench, server, 4, seconds=2, at_once=at_once))
    assert found.num_lost == 0
    assert found.num_whole >= 4
    assert len(found.seconds) >= 196
    assert found.percentile(50) < 1000


def test_clients_that_leave_leave_nothing_behind(long_model: Path) -> None:
    bench = over_http.Bench(long_model, threads=1)
    with bench.serving("--parallel", 4) as server:
        assert asyncio.run(over_http.disconnects(bench, server, 300)) == 0
        numbers = asyncio.run(server.metrics())
    assert numbers["request_failure_total"] > 200  # they did not just come to their ends


def test_a_token_costs_little_beside_the_engine(bench: Any) -> None:
    with bench.serving() as server:
        assert asyncio.run(over_http.cpu_per_token(bench, server, 1, 2000)) < 1000
        assert asyncio.run(over_http.first_token(bench, server, 20)) < 30


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["overload-p50", "disconnects", "cpu-1", "first-token"])
def test_the_targets_are_met(bench: Any, name: str) -> None:
    found = over_http.TARGETS[name][0](bench)
    missed = {name: found[name] for name in found if found[name] > over_http.TARGETS[name][2]}
    assert not missed


@pytest.fixture
def full(long_model: Path) -> Any:
    """A server whose only place is taken."""
    server = ServerProcess(long_model, *ONE_PLACE)
    with server.http() as http:
        asked = {"prompt": "Once", "max_tokens": 90_000, "ignore_eos": True, "stream": True}
        with http.stream("POST", "/v1/completions", json=asked) as answer:
            lines = answer.iter_lines()
            next(lines)
            yield server
            lines.close()
    wait_until(lambda: server.metric("num_requests_running") == 0)
    assert server.stop() == 0


def test_a_full_server_refuses_before_it_reads_the_body(full: ServerProcess) -> None:
    port = int(full.url.rpartition(":")[2])
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 429")
    assert full.metric("admission_rejections_total") == 1


def test_a_full_server_answers_what_needs_no_place(full: ServerProcess) -> None:
    with full.http() as http:
        refused = http.post("/v1/messages", json={"messages": TURNS, "max_tokens": 1})
        assert refused.status_code == 529
        assert int(refused.headers["retry-after"]) >= 1
        assert http.get("/v1/models").status_code == 200
        assert http.post("/api/show", json={"model": "stories"}).status_code == 200
        refused = http.post("/api/generate", json={"model": "stories", "prompt": "Once"})
        assert refused.status_code == 503  # as Ollama says it
