"""Losses by category, and how fast a training goes."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from pyslm.errors import InvalidRequestError
from pyslm.finetune.packing import Batch

__all__ = ["Meter"]


class Meter:
    """Losses by category since the last look, and tokens a second."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, list[Tensor]] = {}
        self._num_tokens = 0
        self._since = time.monotonic()

    def add(self, batch: Batch, losses: Tensor, categories: Tensor) -> None:
        self._num_tokens += int((batch.scene >= 0).sum())
        for i, name in enumerate(batch.categories):
            chosen = (categories == i).float()
            self._sums.setdefault(name, []).append(torch.stack((losses @ chosen, chosen.sum())))

    def take(self) -> dict[str, Any]:
        totals = {name: torch.stack(parts).sum(0).tolist() for name, parts in self._sums.items()}
        loss = sum(total for total, _ in totals.values()) / max(
            1.0, sum(n for _, n in totals.values())
        )
        by_category = {name: round(total / max(n, 1.0), 4) for name, (total, n) in totals.items()}
        rate = self._num_tokens / max(time.monotonic() - self._since, 1e-9)
        self._clear()
        if not math.isfinite(loss):
            raise InvalidRequestError(
                "the loss is no number any more: begin again with a smaller learning rate"
            )
        return {
            "loss": round(loss, 4),
            "tokens_per_second": round(rate),
            "by_category": by_category,
        }
