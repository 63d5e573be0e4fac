"""The numbers of /metrics: vLLM's, under our own prefix, so that dashboards can be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pyslm.serve.protocol.event import Finished
from pyslm.serve.wire import WorkerStats

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LATENCY = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960)
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
                7.5, 10, 20, 40, 80, 160, 640, 2560)  # fmt: skip
_BETWEEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5, 10, 20, 40)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
_LABELS = ("model_name",)

Gauges = Callable[[], Iterable[tuple[str, WorkerStats]]]


class Metrics:
    """Counts what the server does."""

    def __init__(self, gauges: Gauges = tuple) -> None:
        """Starts at zero.

        Args:
            gauges: gives (model, numbers of its worker) of each loaded model.
        """
        self.registry = CollectorRegistry()
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens of finished requests")
        self.generation_tokens = self._counter("generation_tokens", "Tokens generated")
        self.cached_tokens = self._counter("prompt_tokens_cached", "Prompt tokens found in cache")
        self.success = self._counter("request_success", "Requests finished", "finished_reason")
        self.failures = self._counter("request_failure", "Requests failed", "kind")
        self.rejections = self._counter("admission_rejections", "Requests refused", "reason")
        self.restarts = self._counter("worker_restarts", "Workers that ended before their time")
        self.loads = self._histogram("model_load_seconds", "Time to load a model", _LATENCY)
        self.first_token = self._histogram(
            "time_to_first_token_seconds", "From the request to its first token", _FIRST_TOKEN
        )
        self.between_tokens = self._histogram(
            "inter_token_latency_seconds", "Between two tokens, mean of each request", _BETWEEN
        )
        self.end_to_end = self._histogram(
            "e2e_request_latency_seconds", "From the request to its end", _LATENCY
        )
        self.prefill = self._histogram(
            "request_prefill_time_seconds", "From the engine's start to the first token", _LATENCY
        )
        self.decode = self._histogram(
            "request_decode_time_seconds", "From the first token to the last", _LATENCY
        )
        self.prompt_sizes = self._histogram("request_prompt_tokens", "Prompt tokens", _TOKENS)
        self.output_sizes = self._histogram("request_generation_tokens", "Output tokens", _TOKENS)
        self.registry.register(_Gauges(gauges))

    def finished(self, model: str, event: Finished) -> None:
        """One choice that ended well."""
        self.success.labels(model, event.reason).inc()
        self.generation_tokens.labels(model).inc(event.completion_tokens)
        self.output_sizes.labels(model).observe(event.completion_tokens)
        self.decode.labels(model).observe(event.decode_seconds)
        if event.choice == 0:
            self.prefill.labels(model).observe(event.prompt_seconds)
            self.prompt_tokens.labels(model).inc(event.prompt_tokens)
            self.cached_tokens.labels(model).inc(event.cached_tokens)
            self.prompt_sizes.labels(model).observe(event.prompt_tokens)
        if event.completion_tokens > 1:
            mean = event.decode_seconds / (event.completion_tokens - 1)
            self.between_tokens.labels(model).observe(mean)

    def render(self, *, vllm_names: bool = False) -> bytes:
        """The page."""
        page = generate_latest(self.registry)
        return page + page.replace(b"pyslm:", b"vllm:") if vllm_names else page

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"pyslm:{name}", what, (*_LABELS, *labels), registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"pyslm:{name}", what, _LABELS, registry=self.registry, buckets=buckets)


class _Gauges(Collector):
    """What is so at this moment, asked of the registry when somebody looks."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        running = GaugeMetricFamily("pyslm:num_requests_running", "Being computed", labels=_LABELS)
        waiting = GaugeMetricFamily("pyslm:num_requests_waiting", "Queued", labels=_LABELS)
        usage = GaugeMetricFamily("pyslm:kv_cache_usage_perc", "Blocks in use, 0-1", labels=_LABELS)
        queries = GaugeMetricFamily("pyslm:prefix_cache_queries", "Prompt tokens", labels=_LABELS)
        hits = GaugeMetricFamily("pyslm:prefix_cache_hits", "Of them, cached", labels=_LABELS)
        preempted = GaugeMetricFamily("pyslm:num_preemptions", "Preemptions", labels=_LABELS)
        for model, stats in self._gauges():
            label = (model,)
            running.add_metric(label, stats.num_running)
            waiting.add_metric(label, stats.num_waiting)
            blocks = max(stats.num_blocks, 1)
            usage.add_metric(label, 1 - stats.num_free_blocks / blocks if stats.num_blocks else 0)
            queries.add_metric(label, stats.prompt_tokens)
            hits.add_metric(label, stats.cached_tokens)
            preempted.add_metric(label, stats.num_preemptions)
        return running, waiting, usage, queries, hits, preempted
