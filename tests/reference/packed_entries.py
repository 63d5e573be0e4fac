"""Loads through the cache of packed weights, and its entries."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyslm import _native

__all__ = [
    "IDS",
    "assert_packed_afresh",
    "cache_name",
    "entry",
    "flip",
    "load",
    "logits",
    "settled",
    "start",
    "truth",
]

IDS = np.arange(1, 40, dtype=np.int32)
_LOAD = """
import sys, numpy as np
from pyslm import _native
model = _native.Model(sys.argv[1], context_length=64, threads=1, weight_cache=sys.argv[2])
model.settle_weight_cache(60)
print(model.logits(np.arange(1, 40, dtype=np.int32)).tobytes().hex())
"""


def settled(path: Path) -> Path:
    """Past the tick of the file system's clock: younger files are not stored."""
    time.sleep(0.05)
    return path


def load(model: Path, cache: Path, **options: Any) -> tuple[_native.Model, str]:
    """A model, and where its weights came from, before anything was stored."""
    loaded = _native.Model(str(model), context_length=64, threads=2, weight_cache=cache, **options)
    origin = loaded.info["weight_cache"]
    assert loaded.settle_weight_cache(60)
    return loaded, origin


def logits(model: Path, cache: Path, **options: Any) -> tuple[npt.NDArray[np.float32], str]:
    loaded, origin = load(model, cache, **options)
    return loaded.logits(IDS), origin


def truth(model: Path) -> npt.NDArray[np.float32]:
    return _native.Model(str(model), context_length=64, threads=2).logits(IDS)


def entry(cache: Path) -> Path:
    (found,) = cache.iterdir()
    assert found.suffix == ".packed"
    return found


def assert_packed_afresh(model: Path, cache: Path, reason: str) -> None:
    values, origin = logits(model, cache)
    assert origin.startswith("packed; ")
    assert reason in origin
    np.testing.assert_array_equal(values, truth(model))


def cache_name(model: Path, tmp_path: Path) -> str:
    load(model, tmp_path / "name" / "packed")
    return entry(tmp_path / "name" / "packed").name


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def start(model: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _LOAD, str(model), str(cache)], stdout=subprocess.PIPE, text=True
    )
