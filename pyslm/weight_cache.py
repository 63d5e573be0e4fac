"""Where packed weights are kept between starts, and which models they are kept of.

The core writes and checks them (csrc/model/packed_cache.h): the matrices of a model as its kernels
want them, in a directory that belongs to the user alone. The next start maps them.

PYSLM_CACHE_DIR names another directory than the system's own for caches; PYSLM_CACHE_MAX_BYTES
bounds all entries together, by default 20 GB or a tenth of what is free, whichever is less.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyslm.errors import InvalidRequestError

if TYPE_CHECKING:
    from pyslm import _native

__all__ = ["cache_directory", "cache_options", "finish_writing"]

LEAST_BYTES = 64 * 2**20
"""Smaller files are packed in less time than a person notices."""
LEAST_WAIT_SECONDS = 2.0


def cache_directory() -> Path:
    """The directory of packed weights; it need not exist."""
    chosen = os.environ.get("PYSLM_CACHE_DIR")
    if chosen:
        return Path(os.path.expanduser(chosen)).absolute() / "packed"
    import platformdirs

    return Path(platformdirs.user_cache_dir("pyslm")) / "packed"


def cache_options(use: bool | None) -> dict[str, Any]:
    """Arguments of `_native.Model` for `LLM(weight_cache=use)`.

    Raises:
        InvalidRequestError: PYSLM_CACHE_MAX_BYTES is not a number of bytes.
    """
    if use is False:
        return {}
    limit = os.environ.get("PYSLM_CACHE_MAX_BYTES", "0")
    if not limit.isdecimal() or int(limit) >= 2**63:
        raise InvalidRequestError(f"PYSLM_CACHE_MAX_BYTES is {limit!r}; give a number of bytes")
    return {
        "weight_cache": cache_directory(),
        "weight_cache_least": 0 if use else LEAST_BYTES,
        "weight_cache_limit": int(limit),
    }


def finish_writing(runner: _native.Model, load_seconds: float) -> None:
    """Lets a model that is about to close store its weights.

    It waits no longer than loading took, or two seconds where that was less: the first start then
    costs at most twice, and every later one next to nothing. Ctrl-C ends the wait.
    """
    end = time.monotonic() + max(load_seconds, LEAST_WAIT_SECONDS)
    while not runner.settle_weight_cache(0.05, checks=False) and time.monotonic() < end:
        pass
