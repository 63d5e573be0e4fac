"""What `report.json` says of a released model."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from pyslm import __version__
from pyslm.chat.nearness import NearnessTable
from pyslm.finetune.evaluation import Report
from pyslm.finetune.evaluation.cases import MEASURES

__all__ = ["about_model", "about_nearness", "mean_of", "told"]

_NAME = "pyslm-nano"


def about_model(saved: Any, data: bytes, quantization: str) -> dict[str, Any]:
    """How the model was made."""
    train = saved.train
    return {
        "model": _NAME,
        "license": "Apache-2.0",
        "pyslm": __version__,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "quantization": quantization,
        "parameters": saved.model.num_parameters,
        "context": saved.model.context_length,
        "seed": train.seed,
        "steps": saved.step,
        "tokens": saved.step * train.rows * train.row_tokens,  # padding among them
        "loss": saved.log[-1]["loss"] if saved.log else None,
        "architecture": dataclasses.asdict(saved.model),
        "recipe": dataclasses.asdict(train),
    }


def about_nearness(table: NearnessTable | None) -> dict[str, Any] | None:
    """What the vectors are; None: there are none."""
    if table is None:
        return None
    own = {"type": table.type, "dimensions": table.dimensions}
    return own | dataclasses.asdict(table.weights)


def told(evaluations: tuple[Report, Report]) -> dict[str, Any]:
    """Measure -> what is wanted, and how many cases were right of how many."""
    constrained, free = (evaluation.shares() for evaluation in evaluations)
    measures = {
        name: {"wanted": wanted, "constrained": list(constrained[name]), "free": list(free[name])}
        for name, wanted in MEASURES.items()
    }
    return {"cases": len(evaluations[0].outcomes), "measures": measures}


def mean_of(evaluation: Mapping[str, Any]) -> float:
    """Of the shares that were right, over all measures that came up, held to the grammar or not."""
    shares: list[float] = [
        right / total
        for measure in evaluation["measures"].values()
        for right, total in (measure["constrained"], measure["free"])
        if total
    ]
    return sum(shares) / max(len(shares), 1)
