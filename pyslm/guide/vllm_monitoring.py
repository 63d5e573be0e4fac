"""`VLLMAdvancedMonitoring`: metrics of servers, alerts, reports and what to scale."""

from __future__ import annotations

import asyncio
import collections
import logging
import time
from collections.abc import Mapping, MutableSequence
from typing import Any

import psutil

from pyslm.agents.monitoring.metrics import (
    THRESHOLDS,
    PerformanceMetrics,
    check_thresholds,
    performance_report,
    scaling_recommendations,
)
from pyslm.guide.gpu import gpu_usage
from pyslm.guide.server_client import ModelCounts, ServerClient
from pyslm.guide.vllm_manager import VLLMManager

__all__ = ["VLLMAdvancedMonitoring"]

_log = logging.getLogger(__name__)

INTERVAL_SECONDS = 30.0
PROBE_SECONDS = 5.0
_KEPT = 1000
_RECOMMEND_EVERY = 10
_REPORT_EVERY = 120


class VLLMAdvancedMonitoring:
    """Collects from the servers' own counters.

    Args:
        vllm_managers: name -> server.
    """

    def __init__(self, vllm_managers: Mapping[str, VLLMManager]) -> None:
        self.managers = dict(vllm_managers)
        self.metrics_history: MutableSequence[dict[str, PerformanceMetrics]] = []
        self.alert_thresholds: dict[str, float] = dict(THRESHOLDS)
        self._before: dict[str, tuple[float, ModelCounts]] = {}

    async def collect_comprehensive_metrics(self) -> dict[str, PerformanceMetrics]:
        """Of each server, now; zeros for one that does not answer. Append them to
        `metrics_history`, as `run` does, to have them in reports."""
        found = {}
        for name, manager in self.managers.items():
            try:
                found[name] = await self._collected(name, manager)
            except Exception as error:
                _log.error("Failed to collect metrics for %s: %s", name, error)
                found[name] = PerformanceMetrics(time.time(), 0, 0, 0, 0, 0, 0, 0, 0)
        return found

    async def _collected(self, name: str, manager: VLLMManager) -> PerformanceMetrics:
        server = ServerClient(manager.base_url)
        try:
            counts = await asyncio.to_thread(server.counts)
            latency = await asyncio.wait_for(asyncio.to_thread(_probe, manager), PROBE_SECONDS)
            # The probe is none of the requests that are counted.
            after = await asyncio.to_thread(server.counts)
        finally:
            server.close()
        now = time.monotonic()
        then, before = self._before.get(name, (now, counts))
        self._before[name] = (now, after)
        recent, seconds = counts.since(before), now - then
        gpu_percent, gpu_gb = gpu_usage()
        return PerformanceMetrics(
            timestamp=time.time(),
            requests_per_second=recent.requests / seconds if seconds > 0 else 0.0,
            average_latency_ms=latency,
            gpu_utilization_percent=gpu_percent,
            gpu_memory_used_gb=gpu_gb,
            cpu_utilization_percent=await asyncio.to_thread(psutil.cpu_percent, 0.1),
            memory_used_gb=psutil.virtual_memory().used / 2**30,
            queue_length=counts.num_waiting,
            active_requests=counts.num_running,
            error_rate_percent=recent.error_percent,
        )

    def check_alerts(self, metrics: Mapping[str, PerformanceMetrics]) -> list[dict[str, Any]]:
        """What passes a threshold: {instance, metric, value, threshold}."""
        return [
            {"instance": name, **alert}
            for name, each in metrics.items()
            for alert in check_thresholds(each, self.alert_thresholds)
        ]

    def generate_performance_report(self, time_window_minutes: float = 60) -> dict[str, Any]:
        """See `performance_report`."""
        return performance_report(self.metrics_history, time_window_minutes)

    async def auto_scaling_recommendations(self) -> list[dict[str, str]]:
        """See `scaling_recommendations`; of the latest metrics."""
        if not self.metrics_history:
            return []
        return scaling_recommendations(self.metrics_history[-1], self.alert_thresholds)

    async def run(self, interval: float = INTERVAL_SECONDS) -> None:
        """Collects for ever; warns, every tenth time recommends, every 120th reports."""
        self.metrics_history = collections.deque(self.metrics_history, _KEPT)
        num_collected = 0
        while True:
            metrics = await self.collect_comprehensive_metrics()
            self.metrics_history.append(metrics)
            num_collected += 1
            for alert in self.check_alerts(metrics):
                _log.warning("ALERT: %s", alert)
            if num_collected % _RECOMMEND_EVERY == 0:
                found = await self.auto_scaling_recommendations()
                _log.info("Auto-scaling recommendations: %s", found)
            if num_collected % _REPORT_EVERY == 0:
                _log.info("Performance report: %s", self.generate_performance_report())
            await asyncio.sleep(interval)


def _probe(manager: VLLMManager) -> float:
    """Milliseconds of a request for one token."""
    began = time.perf_counter()
    manager.get_openai_client().with_options(
        max_retries=0, timeout=PROBE_SECONDS
    ).chat.completions.create(
        model=manager.get_served_model_name(),
        messages=[{"role": "user", "content": "ping"}],
        max_tokens=1,
    )
    return 1e3 * (time.perf_counter() - began)
