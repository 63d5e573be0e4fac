"""`OllamaMonitoringService`: looks at a server that speaks Ollama's API, and warns."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import psutil

from pyslm.errors import PyslmError
from pyslm.guide.ollama_manager import API_KEY, ollama_url
from pyslm.guide.server_client import ServerClient

__all__ = ["OllamaMonitoringService"]

_log = logging.getLogger(__name__)

INTERVAL_SECONDS = 30.0
SUMMARY_SECONDS = 600.0
_KEPT = 100
_PROBE_SECONDS = 10.0
_PROBE_TOKENS = 16


class OllamaMonitoringService:
    """Keeps the last 100 looks.

    Args:
        base_url: of the server; None: `ollama_url`.
    """

    def __init__(self, base_url: str | None = None) -> None:
        self.base_url = (base_url or ollama_url()).rstrip("/")
        self.metrics_history: list[dict[str, Any]] = []
        self.alert_thresholds: dict[str, float] = {
            "response_time_ms": 2000,
            "error_rate_percent": 5,
            "memory_usage_percent": 85,
        }
        self._server = ServerClient(self.base_url, API_KEY)

    async def collect_metrics(self) -> dict[str, Any]:
        """{timestamp, service_status: healthy or error, models: {name: {size_gb, modified,
        digest}}, performance: {inference_time_ms, tokens_per_second, last_successful_inference},
        resources: {cpu_percent, memory_usage_percent, model_memory_gb}}, and error where there was
        one."""
        metrics = await asyncio.to_thread(self._looked)
        self.metrics_history = [*self.metrics_history, metrics][-_KEPT:]
        return metrics

    def _looked(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "timestamp": time.time(),
            "service_status": "unknown",
            "models": {},
            "performance": {},
            "resources": {
                "cpu_percent": psutil.cpu_percent(),
                "memory_usage_percent": psutil.virtual_memory().percent,
            },
        }
        try:
            listed = self._server.ask("/api/tags", timeout=5.0)["models"]
            found["models"] = {model["name"]: _described(model) for model in listed}
            loaded = self._server.ask("/api/ps", timeout=5.0)["models"]
            found["resources"]["model_memory_gb"] = sum(m["size"] for m in loaded) / 2**30
            found["service_status"] = "healthy"
            # One in memory: a look shall not load others in its place.
            probed = next((model["name"] for model in [*loaded, *listed]), None)
            if probed is not None:
                found["performance"] = self._probed(probed)
        except PyslmError as error:
            found["service_status"] = "error"
            found["error"] = str(error)
        return found

    def _probed(self, model: str) -> dict[str, float]:
        asked = {"model": model, "prompt": "Hello", "stream": False}
        options = {"options": {"num_predict": _PROBE_TOKENS}}
        began = time.perf_counter()
        answer = self._server.ask("/api/generate", {**asked, **options}, timeout=_PROBE_SECONDS)
        return {
            "inference_time_ms": 1e3 * (time.perf_counter() - began),
            "tokens_per_second": tokens_per_second(answer),
            "last_successful_inference": time.time(),
        }

    def check_alerts(self, current_metrics: Mapping[str, Any]) -> list[dict[str, str]]:
        """What passes a threshold: {type: performance or availability, message, severity: warning
        or critical}."""
        limits = self.alert_thresholds
        alerts = []
        millis = current_metrics.get("performance", {}).get("inference_time_ms", 0)
        if millis > limits["response_time_ms"]:
            alerts.append(_alert("performance", f"High response time: {millis:.0f}ms"))
        memory = current_metrics.get("resources", {}).get("memory_usage_percent", 0)
        if memory > limits["memory_usage_percent"]:
            alerts.append(_alert("performance", f"High memory usage: {memory:.0f}%"))
        errors = self._error_percent()
        if errors > limits["error_rate_percent"]:
            alerts.append(_alert("availability", f"High error rate: {errors:.0f}% of the checks"))
        if current_metrics.get("service_status") != "healthy":
            reason = current_metrics.get("error", "Unknown error")
            alerts.append(_alert("availability", f"Service unhealthy: {reason}", "critical"))
        return alerts

    def _error_percent(self) -> float:
        history = self.metrics_history
        failed = sum(metrics["service_status"] != "healthy" for metrics in history)
        return 100 * failed / len(history) if history else 0.0

    def get_performance_summary(self, minutes: float = 60) -> dict[str, Any]:
        """{period_minutes, total_checks, uptime_percent, avg_response_time_ms,
        max_response_time_ms, min_response_time_ms}, or {error} where there was no look."""
        oldest = time.time() - minutes * 60
        recent = [metrics for metrics in self.metrics_history if metrics["timestamp"] > oldest]
        if not recent:
            return {"error": "No recent metrics available"}
        times = [m["performance"]["inference_time_ms"] for m in recent if m["performance"]]
        healthy = sum(metrics["service_status"] == "healthy" for metrics in recent)
        return {
            "period_minutes": minutes,
            "total_checks": len(recent),
            "uptime_percent": 100 * healthy / len(recent),
            "avg_response_time_ms": sum(times) / len(times) if times else 0,
            "max_response_time_ms": max(times, default=0),
            "min_response_time_ms": min(times, default=0),
        }

    async def run(self, interval: float = INTERVAL_SECONDS) -> None:
        """Looks for ever; warns, and every ten minutes sums up."""
        summed = time.monotonic()
        while True:
            for alert in self.check_alerts(await self.collect_metrics()):
                _log.warning("ALERT: %s (Severity: %s)", alert["message"], alert["severity"])
            if time.monotonic() - summed >= SUMMARY_SECONDS:
                summed = time.monotonic()
                _log.info("Performance Summary: %s", self.get_performance_summary(10))
            await asyncio.sleep(interval)


def tokens_per_second(answer: Mapping[str, Any]) -> float:
    """Of an answer of /api/generate, by its own counts."""
    nanoseconds = answer.get("eval_duration") or 0
    return 1e9 * answer.get("eval_count", 0) / nanoseconds if nanoseconds > 0 else 0.0


def _described(model: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "size_gb": model.get("size", 0) / 2**30,
        "modified": model.get("modified_at", ""),
        "digest": model.get("digest", "")[:12],
    }


def _alert(kind: str, message: str, severity: str = "warning") -> dict[str, str]:
    return {"type": kind, "message": message, "severity": severity}
