"""How far a download has come."""

from __future__ import annotations

import dataclasses
from typing import Literal

from pyslm.hub.stored import StoredModel

__all__ = ["PullProgress"]


@dataclasses.dataclass(frozen=True, slots=True)
class PullProgress:
    """One step of a pull."""

    status: Literal["resolving", "downloading", "verifying", "writing", "success"]
    digest: str = ""
    """SHA-256 of the file, in hex, once it is known."""
    total_bytes: int = 0
    done_bytes: int = 0
    model: StoredModel | None = None
    """With "success"."""
