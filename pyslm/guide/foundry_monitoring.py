"""`FoundryMonitoringService`: how the models of the service are doing."""

from __future__ import annotations

import asyncio
import collections
import logging
import time
from typing import Any

from pyslm.errors import PyslmError
from pyslm.guide.foundry_manager import FoundryLocalManager

__all__ = ["FoundryMonitoringService"]

_log = logging.getLogger(__name__)

INTERVAL_SECONDS = 30.0
_KEPT = 1000


class FoundryMonitoringService:
    """Collects the service's own counters."""

    def __init__(self) -> None:
        self.managers: dict[str, FoundryLocalManager] = {}
        self.metrics: collections.deque[dict[str, Any]] = collections.deque(maxlen=_KEPT)

    def add_model(self, alias: str) -> FoundryLocalManager:
        """Watches a model, which is loaded if need be."""
        manager = self.managers[alias] = FoundryLocalManager(alias)
        return manager

    async def collect_metrics(self) -> dict[str, Any]:
        """{timestamp, models: {alias: {status, memory_usage (bytes), inference_count,
        average_latency (seconds), error_rate (percent)}, or {status: "error", error}}}."""
        models = {
            alias: await asyncio.to_thread(_measured, alias, manager)
            for alias, manager in self.managers.items()
        }
        metrics = {"timestamp": time.time(), "models": models}
        self.metrics.append(metrics)
        return metrics

    def get_health_status(self) -> dict[str, Any]:
        """{overall_status: healthy or degraded, healthy_models, total_models,
        health_percentage}."""
        total = len(self.managers)
        healthy = sum(manager.health_check() for manager in self.managers.values())
        return {
            "overall_status": "healthy" if healthy == total else "degraded",
            "healthy_models": healthy,
            "total_models": total,
            "health_percentage": 100 * healthy / total if total else 0,
        }

    async def run(self, interval: float = INTERVAL_SECONDS) -> None:
        """Collects for ever, and warns when a model is not healthy."""
        while True:
            await self.collect_metrics()
            health = await asyncio.to_thread(self.get_health_status)
            if health["overall_status"] != "healthy":
                _log.warning("System health degraded: %s", health)
            await asyncio.sleep(interval)


def _measured(alias: str, manager: FoundryLocalManager) -> dict[str, Any]:
    try:
        return {
            "status": "healthy" if manager.health_check() else "unhealthy",
            "memory_usage": manager.get_memory_usage(),
            "inference_count": manager.get_inference_count(),
            "average_latency": manager.get_average_latency(),
            "error_rate": manager.get_error_rate(),
        }
    except PyslmError as error:
        _log.error("Failed to collect metrics for %s: %s", alias, error)
        return {"status": "error", "error": str(error)}
