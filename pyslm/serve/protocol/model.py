"""Models as clients see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

__all__ = ["LoadOptions", "LoadedModel", "ModelCard"]


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """A model that may be asked for, in memory or not."""

    id: str
    """The name under which clients ask for it."""
    aliases: tuple[str, ...] = ()
    """Other names that mean the same."""
    path: Path
    created: int
    """Seconds since 1970: when the file came."""
    size_bytes: int
    architecture: str
    file_type: str
    """The type of most weights: "Q4_K", ..."""
    num_parameters: int
    trained_context_length: int
    capabilities: tuple[Literal["completion", "tools", "insert", "embedding", "thinking"], ...]
    owned_by: str = "pyslm"
    parent: str | None = None
    """Of a LoRA adapter: the id of the model it changes, in whose worker it runs."""


class LoadOptions(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How to load a model; None: as the server was told to. A loaded model that has less than what
    is asked for here is loaded anew once its requests are done."""

    context_length: int | None = None
    kv_type: str | None = None
    threads: int | None = None
    adapters: dict[str, str] = {}
    """LoRA adapters: name to path."""


class LoadedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that has a worker."""

    card: ModelCard
    state: Literal["loading", "ready", "draining", "restarting"]
    context_length: int
    memory_bytes: int
    """Resident, of the whole worker."""
    load_seconds: float
    num_running: int
    pinned: bool
    idle_seconds: float
    expires_at: float | None
    """Seconds since 1970: when it is unloaded if nobody asks; None: never."""
    pid: int
    info: dict[str, Any] = {}
    """`pyslm.ModelInfo`, as plain values."""
