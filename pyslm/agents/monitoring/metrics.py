"""Numbers of how things run, and what follows from them.

The shapes are those of the guide: `PerformanceMetrics`, a report over a window, recommendations to
scale. The numbers come from counters: requests per second are requests over time.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

__all__ = [
    "THRESHOLDS",
    "Counters",
    "PerformanceMetrics",
    "Sample",
    "check_thresholds",
    "performance_report",
    "sample_resources",
    "scaling_recommendations",
]

THRESHOLDS: Mapping[str, float] = {
    "gpu_utilization_max": 95,
    "gpu_memory_max_gb": 10,
    "latency_max_ms": 3000,
    "queue_length_max": 50,
    "error_rate_max_percent": 10,
    "cpu_utilization_max": 95,
}
_IDLE_PERCENT = 20
_IDLE_RPS = 1
_WINDOW_SECONDS = 60.0
_MAX_EVENTS = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class PerformanceMetrics:
    """At one time."""

    timestamp: float
    """Seconds since 1970."""
    requests_per_second: float
    average_latency_ms: float
    gpu_utilization_percent: float
    gpu_memory_used_gb: float
    cpu_utilization_percent: float
    memory_used_gb: float
    queue_length: int
    active_requests: int
    error_rate_percent: float = 0.0
    tokens_per_second: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What the machine and this process take."""

    cpu_percent: float
    """Of all cores together, since the last sample."""
    memory_percent: float
    """Of the machine's."""
    memory_bytes: int
    """Resident, of this process."""


def sample_resources() -> Sample:
    """As it is now."""
    return Sample(
        psutil.cpu_percent(), psutil.virtual_memory().percent, psutil.Process().memory_info().rss
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Ended:
    at: float
    seconds: float
    ok: bool
    tokens: int


class Counters:
    """Of requests. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._ended: collections.deque[_Ended] = collections.deque(maxlen=_MAX_EVENTS)
        self.num_active = 0
        self.num_requests = 0
        self.num_failures = 0

    def began(self) -> None:
        """A request has begun."""
        with self._lock:
            self.num_active += 1

    def ended(self, seconds: float, *, ok: bool, tokens: int = 0) -> None:
        """It is done."""
        with self._lock:
            self.num_active -= 1
            self.num_requests += 1
            self.num_failures += not ok
            self._ended.append(_Ended(self._clock(), seconds, ok, tokens))

    def performance(
        self, sample: Sample, *, queue_length: int = 0, window: float = _WINDOW_SECONDS
    ) -> PerformanceMetrics:
        """Over the last seconds."""
        now = self._clock()
        with self._lock:
            recent = [each for each in self._ended if now - each.at <= window]
            active = self.num_active
        span = max(min(window, now - self._started), 1e-6)
        count = len(recent)
        failed = sum(not each.ok for each in recent)
        return PerformanceMetrics(
            timestamp=time.time(),
            requests_per_second=count / span,
            average_latency_ms=1e3 * sum(e.seconds for e in recent) / count if count else 0.0,
            gpu_utilization_percent=0.0,
            gpu_memory_used_gb=0.0,
            cpu_utilization_percent=sample.cpu_percent,
            memory_used_gb=sample.memory_bytes / 2**30,
            queue_length=queue_length,
            active_requests=active,
            error_rate_percent=100 * failed / count if count else 0.0,
            tokens_per_second=sum(each.tokens for each in recent) / span,
        )


def check_thresholds(
    metrics: PerformanceMetrics, thresholds: Mapping[str, float] = THRESHOLDS
) -> list[dict[str, Any]]:
    """What is above its threshold: {metric, value, threshold}."""
    values = {
        "gpu_utilization_max": metrics.gpu_utilization_percent,
        "gpu_memory_max_gb": metrics.gpu_memory_used_gb,
        "latency_max_ms": metrics.average_latency_ms,
        "queue_length_max": metrics.queue_length,
        "error_rate_max_percent": metrics.error_rate_percent,
        "cpu_utilization_max": metrics.cpu_utilization_percent,
    }
    return [
        {"metric": name, "value": values[name], "threshold": limit}
        for name, limit in thresholds.items()
        if name in values and values[name] > limit
    ]


def performance_report(
    history: Sequence[Mapping[str, PerformanceMetrics]],
    time_window_minutes: float = 60,
    now: float | None = None,
) -> dict[str, Any]:
    """Of the samples in a window: per instance averages, maxima and availability.

    Returns:
        {time_window_minutes, total_samples, instances: {name: {avg_latency_ms, max_latency_ms,
        avg_gpu_utilization, avg_requests_per_second, max_queue_length, availability_percent}}}, or
        {error} where there are no samples.
    """
    oldest = (time.time() if now is None else now) - time_window_minutes * 60
    recent = [sample for sample in history if any(m.timestamp > oldest for m in sample.values())]
    if not recent:
        return {"error": "No recent metrics available"}
    names = list(dict.fromkeys(name for sample in recent for name in sample))
    instances = {name: _of_instance(name, recent) for name in names}
    return {
        "time_window_minutes": time_window_minutes,
        "total_samples": len(recent),
        "instances": instances,
    }


def _of_instance(
    name: str, samples: Sequence[Mapping[str, PerformanceMetrics]]
) -> dict[str, float]:
    found = [sample[name] for sample in samples if name in sample]
    # Latencies of samples without requests are no latencies.
    latencies = [m.average_latency_ms for m in found if m.average_latency_ms > 0] or [0.0]
    return {
        "avg_latency_ms": sum(latencies) / len(latencies),
        "max_latency_ms": max(latencies),
        "avg_gpu_utilization": sum(m.gpu_utilization_percent for m in found) / len(found),
        "avg_requests_per_second": sum(m.requests_per_second for m in found) / len(found),
        "max_queue_length": max(m.queue_length for m in found),
        "availability_percent": 100 * len(found) / len(samples),
    }


def scaling_recommendations(
    latest: Mapping[str, PerformanceMetrics], thresholds: Mapping[str, float] = THRESHOLDS
) -> list[dict[str, str]]:
    """What to change: {instance, type, reason, suggestion}, type scale_up, scale_out or
    scale_down."""
    return [
        {"instance": name, "type": kind, "reason": reason, "suggestion": suggestion}
        for name, metrics in latest.items()
        for kind, reason, suggestion in _recommended(metrics, {**THRESHOLDS, **thresholds})
    ]


def _recommended(
    metrics: PerformanceMetrics, thresholds: Mapping[str, float]
) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    if metrics.average_latency_ms > thresholds["latency_max_ms"]:
        reason = f"High latency: {metrics.average_latency_ms:.0f}ms"
        found.append(("scale_up", reason, "Use a smaller model or quantization, or more threads"))
    if metrics.gpu_utilization_percent > thresholds["gpu_utilization_max"]:
        reason = f"High GPU utilization: {metrics.gpu_utilization_percent:.1f}%"
        found.append(("scale_out", reason, "Add an instance on another GPU"))
    if metrics.cpu_utilization_percent > thresholds["cpu_utilization_max"]:
        reason = f"High CPU utilization: {metrics.cpu_utilization_percent:.1f}%"
        found.append(("scale_out", reason, "Add an instance on another machine"))
    if metrics.queue_length > thresholds["queue_length_max"]:
        reason = f"Long queue: {metrics.queue_length} requests"
        found.append(("scale_out", reason, "Allow more requests at a time, or add an instance"))
    busiest = max(metrics.gpu_utilization_percent, metrics.cpu_utilization_percent)
    if busiest < _IDLE_PERCENT and metrics.requests_per_second < _IDLE_RPS:
        reason = f"Low utilization: {busiest:.1f}%, {metrics.requests_per_second:.1f} RPS"
        found.append(("scale_down", reason, "Unload idle models, or share one among agents"))
    return found
