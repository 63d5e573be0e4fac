"""How much memory there is for models."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

__all__ = ["available_bytes"]

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """What may still be taken: of the machine, or of the container if that is less."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            used = int((_CGROUP / "memory.current").read_text())
            cached = _of_stat("inactive_file")
            free = min(free, max(int(limit) - used + cached, 0))
    return free


def _of_stat(name: str) -> int:
    for line in (_CGROUP / "memory.stat").read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
