"""OpenTelemetry: one span for each request, in the words of its conventions for generative AI.

::

    chat NAME        or POST, where no model was asked; its parent is the caller's `traceparent`
    ├─ load          only where the model had to be loaded
    ├─ queue         accepted, written as a prompt, waiting for the engine
    ├─ prefill       the prompt, to the first token
    └─ decode        one for each choice

The worker measures and the front writes the spans down, so that no worker needs an exporter. No
span holds anything of a prompt or an answer. Without the extra `otel`, and where nobody asks for
spans, a request costs a few calls of `Trace`, which does nothing.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.types import Scope

from pyslm import __version__
from pyslm.errors import InvalidRequestError
from pyslm.serve.protocol.error import STATUS
from pyslm.serve.protocol.event import Finished
from pyslm.serve.protocol.request import UNBOUNDED, GenerateRequest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

__all__ = ["Trace", "Tracing", "current_trace", "open_tracing"]

_log = logging.getLogger(__name__)
_QUIET_PATHS = frozenset(("/health", "/metrics"))
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_TRACES_PATH = "/v1/traces"
_FLUSH_SECONDS = 5.0
_SERVER_ERROR = 500
_OUR_FAULTS = frozenset(kind for kind, status in STATUS.items() if status >= _SERVER_ERROR)
_NANOSECONDS = 1_000_000_000
_LOADED_SECONDS = 0.01
_MAX_NAME = 200


class Trace:
    """What is told about one request; this one tells nobody."""

    def asks(self, operation: str, asked: str, model: str) -> None:
        """A model is to do something: what, under which name it was asked for, which it is."""

    def generates(self, asked: str, model: str, request: GenerateRequest) -> None:
        """As `asks`, for text."""

    def accepted(self, load_seconds: float) -> None:
        """The worker has taken the request; before it, the model may have been loaded."""

    def first_token(self, seconds: float) -> None:
        """It came so long after the request."""

    def finished(self, event: Finished) -> None:
        """The end of a choice."""

    def counted(self, input_tokens: int) -> None:
        """What a request that makes no text has read."""

    def failed(self, kind: str) -> None:
        """The request ended so: an `ErrorKind`, "disconnected", or a status such as "500"."""

    def end(self, status: int) -> None:
        """The answer is over; its HTTP status, 0 if there was none."""


current_trace: ContextVar[Trace] = ContextVar("current_trace", default=Trace())  # noqa: B039


class SpanTrace(Trace):
    """One that becomes a span and its children."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._accepted_ns = time.time_ns()
        self._input_tokens = self._output_tokens = 0
        self._reasons: list[str] = []
        self._has_failed = False

    def asks(self, operation: str, asked: str, model: str) -> None:
        self._accepted_ns = time.time_ns()
        self._span.update_name(f"{operation} {asked[:_MAX_NAME]}")
        self._span.set_attributes(
            {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": "pyslm",
                "gen_ai.request.model": asked[:_MAX_NAME],
                "gen_ai.response.model": model,
            }
        )

    def generates(self, asked: str, model: str, request: GenerateRequest) -> None:
        self.asks("text_completion" if request.messages is None else "chat", asked, model)
        sampling = request.sampling
        given = {
            "gen_ai.request.max_tokens": sampling.max_tokens,
            "gen_ai.request.temperature": sampling.temperature,
            "gen_ai.request.top_p": sampling.top_p,
            "gen_ai.request.top_k": sampling.top_k,
            "gen_ai.request.presence_penalty": sampling.presence_penalty,
            "gen_ai.request.frequency_penalty": sampling.frequency_penalty,
            "gen_ai.request.seed": sampling.seed,
            "gen_ai.request.choice.count": sampling.n if sampling.n > 1 else None,
            "gen_ai.response.id": request.id,
        }
        if sampling.max_tokens == UNBOUNDED:
            del given["gen_ai.request.max_tokens"]
        if sampling.seed is not None and sampling.seed >= 2**63:  # attributes have 64 bits, signed
            del given["gen_ai.request.seed"]
        self._span.set_attributes({k: v for k, v in given.items() if v is not None})

    def accepted(self, load_seconds: float) -> None:
        loaded_ns = self._accepted_ns + _nanoseconds(load_seconds)
        if load_seconds >= _LOADED_SECONDS:
            self._child("load", self._accepted_ns, loaded_ns)
        self._accepted_ns = loaded_ns

    def first_token(self, seconds: float) -> None:
        self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def finished(self, event: Finished) -> None:
        end = time.time_ns()
        decoding = end - _nanoseconds(event.decode_seconds)
        reading = decoding - _nanoseconds(event.prompt_seconds)
        if event.choice == 0:
            self._child("queue", min(self._accepted_ns, reading), reading)
            cached = {"gen_ai.usage.cache_read.input_tokens": event.cached_tokens}
            self._child("prefill", reading, decoding, cached)
            self._span.set_attributes(cached)
            self._input_tokens = event.prompt_tokens
        self._output_tokens += event.completion_tokens
        self._reasons.append(event.reason)
        self._child(
            "decode", decoding, end, {"gen_ai.usage.output_tokens": event.completion_tokens}
        )

    def counted(self, input_tokens: int) -> None:
        self._input_tokens += input_tokens

    def failed(self, kind: str) -> None:
        from opentelemetry.trace import StatusCode

        self._has_failed = True
        self._span.set_attribute("error.type", kind)
        if kind in _OUR_FAULTS or kind.startswith("5"):
            self._span.set_status(StatusCode.ERROR)

    def end(self, status: int) -> None:
        if status >= _SERVER_ERROR and not self._has_failed:
            self.failed(str(status))
        if self._input_tokens:
            self._span.set_attribute("gen_ai.usage.input_tokens", self._input_tokens)
        if self._reasons:
            self._span.set_attribute("gen_ai.usage.output_tokens", self._output_tokens)
            self._span.set_attribute("gen_ai.response.finish_reasons", self._reasons)
        if status:
            self._span.set_attribute("http.response.status_code", status)
        self._span.end()

    def _child(
        self, name: str, begin_ns: int, end_ns: int, attributes: dict[str, Any] | None = None
    ) -> None:
        from opentelemetry.trace import set_span_in_context

        child = self._tracer.start_span(
            name, set_span_in_context(self._span), start_time=begin_ns, attributes=attributes
        )
        child.end(end_ns)


class Tracing:
    """Makes the spans of a server and sends them."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("pyslm", __version__)
        self._extract = TraceContextTextMapPropagator().extract

    def begin(self, scope: Scope) -> Trace:
        """The trace of a request that comes in."""
        from opentelemetry.trace import SpanKind

        method, path = scope["method"], scope["path"]
        if path in _QUIET_PATHS:
            return Trace()
        headers = Headers(scope=scope)
        carried = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        span = self._tracer.start_span(
            method,  # paths hold names of models and responses, of which there are many
            self._extract(carried),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "url.path": path[:_MAX_NAME],
                "url.scheme": scope["scheme"],
            },
        )
        return SpanTrace(self._tracer, span) if span.is_recording() else Trace()

    def close(self) -> None:
        """Sends what is left, for some seconds at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_FLUSH_SECONDS)


def open_tracing(endpoint: str | None) -> Tracing | None:
    """Sends spans to a collector: OTLP over HTTP.

    Args:
        endpoint: the collector's URL, as `http://localhost:4318`; None: that of OpenTelemetry's
            environment variables, and without them there are no spans.

    Raises:
        InvalidRequestError: the extra `otel` is not installed, or the endpoint is no URL.
    """
    named = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if endpoint is None and named is None:
        return None
    if not _is_installed():
        problem = "opentelemetry, which is not installed; run: pip install 'pyslm[otel]'"
        if endpoint is not None:
            raise InvalidRequestError(f"--otel needs {problem}")
        _log.warning("there are no spans: %s needs %s", named, problem)
        return None
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise InvalidRequestError(
            f"--otel is {endpoint!r}; allowed: a collector's URL, such as http://localhost:4318"
        )
    return Tracing(_provider(endpoint))


def _provider(endpoint: str | None) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if endpoint is not None:
        endpoint = endpoint.rstrip("/").removesuffix(_TRACES_PATH) + _TRACES_PATH
    about = {"service.version": __version__}
    if "OTEL_SERVICE_NAME" not in os.environ:
        about["service.name"] = "pyslm"
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider


def _is_installed() -> bool:
    try:
        return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)
    except ModuleNotFoundError:  # a parent package
        return False


def _nanoseconds(seconds: float) -> int:
    return int(seconds * _NANOSECONDS)
