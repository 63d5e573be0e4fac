"""`FoundryResourceManager`: loads models as they are wanted, and unloads those that idle."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping

import psutil

from pyslm.errors import PyslmError
from pyslm.guide.foundry_manager import FoundryLocalManager

__all__ = ["FoundryResourceManager"]

_log = logging.getLogger(__name__)

IDLE_SECONDS = 300.0
_HIGH = 0.8
_CPU_SECONDS = 0.1


class FoundryResourceManager:
    """Keeps its models within limits of memory, number and CPU.

    Args:
        cpu_percent: how busy the machine is; for tests.
    """

    def __init__(self, cpu_percent: Callable[[], float] | None = None) -> None:
        self.model_instances: dict[str, FoundryLocalManager] = {}
        self.resource_limits: dict[str, float] = {
            "max_memory_gb": 8,
            "max_concurrent_models": 3,
            "cpu_threshold": 80,
        }
        self._cpu_percent = cpu_percent or functools.partial(psutil.cpu_percent, _CPU_SECONDS)

    def get_total_memory_usage(self) -> float:
        """Of its models, in GB (2^30 bytes)."""
        total = 0
        for alias, manager in self.model_instances.items():
            try:
                total += manager.get_memory_usage()
            except PyslmError as error:
                _log.error("Failed to measure %s: %s", alias, error)
        return total / 2**30

    def auto_scale_models(self, demand_metrics: Mapping[str, float]) -> None:
        """Above 80 % of the memory idle models go; models with a demand above 0.8 come, as long as
        memory, number and CPU allow, those most wanted first."""
        limits = self.resource_limits
        if self.get_total_memory_usage() > limits["max_memory_gb"] * _HIGH:
            self.scale_down_idle_models()
        for alias, demand in sorted(demand_metrics.items(), key=lambda item: -item[1]):
            if demand > _HIGH and alias not in self.model_instances and self._has_room(alias):
                self.load_model_instance(alias)

    def load_model_instance(self, alias: str) -> FoundryLocalManager | None:
        """The manager of a model, loaded if need be; None where it cannot be loaded."""
        if alias not in self.model_instances:
            try:
                self.model_instances[alias] = FoundryLocalManager(alias)
            except PyslmError as error:
                _log.error("Failed to load model %s: %s", alias, error)
                return None
            _log.info("Loaded model instance: %s", alias)
        return self.model_instances[alias]

    def scale_down_idle_models(self) -> None:
        """Unloads models that nobody has used for five minutes."""
        for alias, manager in list(self.model_instances.items()):
            try:
                if manager.get_idle_time() <= IDLE_SECONDS:
                    continue
                manager.shutdown()
            except PyslmError as error:
                _log.error("Failed to unload %s: %s", alias, error)
                continue
            del self.model_instances[alias]
            _log.info("Scaled down idle model: %s", alias)

    def _has_room(self, alias: str) -> bool:
        limits = self.resource_limits
        reasons = {
            "models": len(self.model_instances) >= limits["max_concurrent_models"],
            "memory": self.get_total_memory_usage() >= limits["max_memory_gb"],
        }
        full = next((name for name, is_full in reasons.items() if is_full), None)
        if full is None and self._cpu_percent() > limits["cpu_threshold"]:
            full = "cpu"
        if full is not None:
            _log.info("Not loading %s: the limit of %s is reached", alias, full)
        return full is None
