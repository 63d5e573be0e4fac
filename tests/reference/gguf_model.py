"""A GGUF file as a dictionary of metadata and one of float arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GGUFModel:
    """`metadata` holds Python values by key; `tensors` float64 arrays, outermost dimension first
    (a matrix of a product is [outputs, inputs], as `gguf` gives it)."""

    metadata: dict[str, Any]
    tensors: dict[str, Array]

    @property
    def arch(self) -> str:
        return str(self.metadata["general.architecture"])

    def get(self, key: str, default: Any = None) -> Any:
        """The metadata value of a key that follows the architecture's name."""
        return self.metadata.get(f"{self.arch}.{key}", default)

    def require(self, key: str) -> Any:
        return self.metadata[f"{self.arch}.{key}"]

    def per_layer(self, key: str) -> list[int]:
        """An integer for each layer, where the file may hold one for all of them."""
        value = self.require(key)
        return list(value) if isinstance(value, list) else [value] * self.require("block_count")


@lru_cache(maxsize=2)
def _load(path: str, _mtime_ns: int) -> GGUFModel:
    reader = gguf.GGUFReader(path)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {
        t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)
        for t in reader.tensors
    }
    return GGUFModel(metadata, tensors)


def load(path: str | Path) -> GGUFModel:
    """Reads and dequantizes the whole file. The last two files are remembered."""
    return _load(str(path), Path(path).stat().st_mtime_ns)
