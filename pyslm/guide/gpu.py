"""What a GPU does, where there is one that NVML knows."""

from __future__ import annotations

import contextlib
import functools
import importlib
from typing import Any

__all__ = ["gpu_usage"]


def gpu_usage() -> tuple[float, float]:
    """Percent and GB (2^30 bytes) of the first one; zeros where there is none."""
    nvml = _nvml()
    if nvml is None:
        return 0.0, 0.0
    with contextlib.suppress(nvml.NVMLError):
        handle = nvml.nvmlDeviceGetHandleByIndex(0)
        used = nvml.nvmlDeviceGetMemoryInfo(handle).used
        return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu), used / 2**30
    return 0.0, 0.0


@functools.cache
def _nvml() -> Any:
    """The package pynvml (nvidia-ml-py), once NVML runs."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # no package, no driver, no device: each with errors of its own
        return None
    return nvml
