"""Spans, as a real collector gets them from a real server."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve.server_process import ServerProcess, wait_until

from pyslm.errors import InvalidRequestError
from pyslm.serve import tracing

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is missing")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "parsnips and quinces"


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.raw = b""
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                collector.raw += body
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def spans(self) -> list[Span]:
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def of_trace(self, trace: str) -> dict[str, Span]:
        """By name, once the server's own span, which ends last, has come."""
        found: dict[str, Span] = {}

        def is_whole() -> bool:
            found.update({s.name: s for s in self.spans() if s.trace_id.hex() == trace})
            return any(span.kind == Span.SPAN_KIND_SERVER for span in found.values())

        wait_until(is_whole)
        return found


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def traced(chat_model: Path, collector: Collector) -> Iterator[ServerProcess]:
    soon = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_SERVICE_NAME": "stories-server"}
    server = ServerProcess(
        chat_model, "--name", "stories", "--otel", collector.url, environment=soon
    )
    yield server
    assert server.stop() == 0


def ask(
    server: ServerProcess, path: str, body: dict[str, Any], trace: str, flags: str = "01"
) -> httpx.Response:
    with server.http(headers={"traceparent": f"00-{trace}-{PARENT}-{flags}"}) as client:
        return client.post(path, json=body)


def attributes(span: Span) -> dict[str, Any]:
    found = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [v.string_value for v in value.values] if kind == "array_value" else value
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_is_a_span_below_the_callers(
    traced: ServerProcess, collector: Collector, stream: bool
) -> None:
    trace = TRACE[:-1] + str(int(stream))
    turns = [{"role": "user", "content": SECRET}]
    body = {"model": "stories", "messages": turns, "max_tokens": 7, "stream": stream}
    answer = ask(traced, "/v1/chat/completions", {**body, "temperature": 0.5, "seed": 3}, trace)
    assert answer.status_code == 200
    spans = collector.of_trace(trace)
    assert set(spans) == {"chat stories", "queue", "prefill", "decode"}
    span = spans.pop("chat stories")
    assert span.kind == Span.SPAN_KIND_SERVER
    assert span.parent_span_id.hex() == PARENT
    assert span.status.code == Status.STATUS_CODE_UNSET
    told = attributes(span)
    first = told.pop("gen_ai.response.time_to_first_chunk")
    assert 0 < first * 1e9 < span.end_time_unix_nano - span.start_time_unix_nano
    assert told.pop("gen_ai.response.id").startswith("chatcmpl-")
    assert told.pop("gen_ai.usage.input_tokens") > 3
    told.pop("gen_ai.usage.cache_read.input_tokens")
    assert told == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/v1/chat/completions",
        "url.scheme": "http",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "pyslm",
        "gen_ai.request.model": "stories",
        "gen_ai.response.model": "stories",
        "gen_ai.request.max_tokens": 7,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.top_k": 0,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.request.frequency_penalty": 0.0,
        "gen_ai.request.seed": 3,
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.output_tokens": 7,
    }
    order = [spans[name] for name in ("queue", "prefill", "decode")]
    assert all(child.parent_span_id == span.span_id for child in order)
    times = [t for child in order for t in (child.start_time_unix_nano, child.end_time_unix_nano)]
    assert [span.start_time_unix_nano, *times, span.end_time_unix_nano] == sorted(
        [span.start_time_unix_nano, *times, span.end_time_unix_nano]
    )


def test_no_span_holds_what_was_said(traced: ServerProcess, collector: Collector) -> None:
    trace = TRACE[:-1] + "2"
    turns = [{"role": "user", "content": SECRET}]
    body = {"messages": turns, "max_tokens": 40, "temperature": 0}
    said = ask(traced, "/v1/chat/completions", body, trace).json()["choices"][0]["message"]
    collector.of_trace(trace)
    assert b"stories" in collector.raw
    for text in (SECRET, said["content"][:20]):
        assert text.encode() not in collector.raw
    (resource, *_) = collector.requests[-1].resource_spans
    about = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert about["service.name"] == "stories-server"


def test_each_choice_decodes(traced: ServerProcess, collector: Collector) -> None:
    trace = TRACE[:-1] + "3"
    body = {"prompt": "Once", "max_tokens": 4, "n": 3, "ignore_eos": True}
    assert ask(traced, "/v1/completions", body, trace).status_code == 200
    told = attributes(collector.of_trace(trace)["text_completion stories"])
    assert told["gen_ai.request.choice.count"] == 3
    assert told["gen_ai.usage.output_tokens"] == 12
    assert told["gen_ai.usage.input_tokens"] < 6
    names = [span.name for span in collector.spans() if span.trace_id.hex() == trace]
    assert names.count("decode") == 3
    assert names.count("prefill") == 1


def test_vectors_are_counted(traced: ServerProcess, collector: Collector) -> None:
    trace = TRACE[:-1] + "4"
    assert ask(traced, "/api/embed", {"input": ["a", "b"]}, trace).status_code == 200
    told = attributes(collector.of_trace(trace)["embeddings stories"])
    assert told["gen_ai.operation.name"] == "embeddings"
    assert told["gen_ai.usage.input_tokens"] >= 2


def test_errors_show(traced: ServerProcess, collector: Collector) -> None:
    unknown = {"model": "nobody", "messages": [{"role": "user", "content": "Hi"}]}
    assert ask(traced, "/v1/chat/completions", unknown, TRACE[:-1] + "5").status_code == 404
    (span,) = collector.of_trace(TRACE[:-1] + "5").values()
    assert span.name == "POST"
    assert attributes(span)["http.response.status_code"] == 404
    assert span.status.code == Status.STATUS_CODE_UNSET  # the client's fault
    long = {"prompt": "word " * 600, "max_tokens": 4}
    assert ask(traced, "/v1/completions", long, TRACE[:-1] + "6").status_code == 400
    (span,) = collector.of_trace(TRACE[:-1] + "6").values()
    assert attributes(span)["error.type"] == "context_length"
    assert span.status.code == Status.STATUS_CODE_UNSET


@contextlib.contextmanager
def long_answer(traced: ServerProcess, trace: str) -> Iterator[Generator[str, None, None]]:
    """The lines of an answer that goes on until something ends it."""
    body = {"prompt": "Once", "max_tokens": 400, "ignore_eos": True, "stream": True, "n": 16}
    headers = {"traceparent": f"00-{trace}-{PARENT}-01"}
    with (
        traced.http(headers=headers) as client,
        client.stream("POST", "/v1/completions", json=body) as answer,
    ):
        yield answer.iter_lines()


def test_a_worker_that_dies_is_our_fault(traced: ServerProcess, collector: Collector) -> None:
    trace = TRACE[:-1] + "9"
    with long_answer(traced, trace) as lines:
        next(lines)
        (worker,) = traced.workers()
        worker.kill()
        assert "ended while it answered" in "".join(lines)
    span = collector.of_trace(trace)["text_completion stories"]
    assert attributes(span)["error.type"] == "crashed"
    assert span.status.code == Status.STATUS_CODE_ERROR


def test_a_client_that_leaves_is_nobodys_fault(traced: ServerProcess, collector: Collector) -> None:
    trace = TRACE[:-1] + "a"
    with long_answer(traced, trace) as lines:
        next(lines)
        lines.close()
    span = collector.of_trace(trace)["text_completion stories"]
    assert attributes(span)["error.type"] == "disconnected"
    assert span.status.code == Status.STATUS_CODE_UNSET


def test_who_is_not_sampled_has_no_span(traced: ServerProcess, collector: Collector) -> None:
    trace, later = TRACE[:-1] + "7", TRACE[:-1] + "8"
    body = {"prompt": "Once", "max_tokens": 1}
    assert ask(traced, "/v1/completions", body, trace, flags="00").status_code == 200
    assert ask(traced, "/v1/completions", body, later).status_code == 200
    collector.of_trace(later)
    assert trace not in {span.trace_id.hex() for span in collector.spans()}


def test_a_broken_traceparent_begins_a_trace(traced: ServerProcess, collector: Collector) -> None:
    with traced.http(headers={"traceparent": "00-zz-1"}) as client:
        assert client.post("/v1/models/zzz").status_code == 405
    wait_until(
        lambda: any(
            attributes(s).get("url.path") == "/v1/models/zzz" and not s.parent_span_id
            for s in collector.spans()
        )
    )


def test_a_collector_that_is_gone_harms_nobody(chat_model: Path) -> None:
    gone = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    server = ServerProcess(chat_model, environment=gone)
    with server.http() as client:
        answer = client.post("/v1/completions", json={"prompt": "Once", "max_tokens": 1})
    assert answer.status_code == 200
    assert server.stop() == 0


def test_without_a_collector_there_are_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert tracing.open_tracing(None) is None


def test_an_endpoint_is_a_url() -> None:
    with pytest.raises(InvalidRequestError, match="--otel is 'localhost:4318'; allowed"):
        tracing.open_tracing("localhost:4318")


WITHOUT_EXTRA = """
import importlib.abc, sys

class Nobody(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "opentelemetry.sdk":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nobody())
sys.argv[0] = "pyslm"
from pyslm.cli import main
main()
"""


def test_without_the_extra_the_option_names_it(chat_model: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_EXTRA, "serve", str(chat_model), "--port", "0"]
    done = subprocess.run(
        [*command, "--otel", "http://localhost:4318"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'pyslm[otel]'" in done.stderr
