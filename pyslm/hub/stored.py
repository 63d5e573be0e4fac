"""A model on this machine, wherever it lies."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from pyslm.hub import hf_cache
from pyslm.hub.quants import quant_of_file

__all__ = ["StoredModel", "of_cache"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """A model on this machine."""

    name: str
    """By which it is asked for; "latest" is left out."""
    path: Path
    digest: str
    """SHA-256 in hex; "" where nobody has reckoned it."""
    size_bytes: int
    modified: float
    """Seconds since 1970."""
    origin: Literal["pyslm", "ollama", "huggingface", "package"]
    """Whose it is; "package": it comes with pyslm."""
    repository: str = ""
    """Of Hugging Face, where it came from there."""
    file: str = ""

    @property
    def quant(self) -> str | None:
        """As the file's name or the tag tells."""
        tag = self.name.rpartition(":")[2]
        return quant_of_file(self.file) or quant_of_file(f"-{tag}")


def of_cache(cached: hf_cache.CachedFile) -> StoredModel:
    """A file of the cache, under the name by which Ollama would pull it."""
    label = cached.quant or cached.file.rsplit("/", 1)[-1]
    return StoredModel(
        name=f"hf.co/{cached.repo}:{label}",
        path=cached.path,
        digest=cached.digest,
        size_bytes=cached.size_bytes,
        modified=cached.modified,
        origin="huggingface",
        repository=cached.repo,
        file=cached.file,
    )
