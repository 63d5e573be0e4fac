"""How this machine is doing, for tools that diagnose."""

from __future__ import annotations

import os
from typing import Any

import psutil

__all__ = ["system_state"]

_LIMITS = {"cpu_percent": 95, "memory_percent": 90, "disk_percent": 95}
_ADVICE = {
    "cpu_percent": "Stop what else computes, or use a smaller model",
    "memory_percent": "Unload idle models, or use a smaller quantization",
    "disk_percent": "Remove models that are not used: pyslm rm",
}


def system_state() -> dict[str, Any]:
    """{status: healthy or degraded, issues, recommendations, cpu_percent, memory_percent,
    disk_percent, load_average}."""
    values = {
        "cpu_percent": psutil.cpu_percent(0.05),
        "memory_percent": psutil.virtual_memory().percent,
        "disk_percent": psutil.disk_usage(os.path.abspath(os.sep)).percent,
    }
    high = [name for name, value in values.items() if value > _LIMITS[name]]
    return {
        "status": "degraded" if high else "healthy",
        "issues": [f"{name} is {values[name]:.0f}" for name in high],
        "recommendations": [_ADVICE[name] for name in high],
        **values,
        "load_average": psutil.getloadavg()[0],
    }
