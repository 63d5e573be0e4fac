"""How two sets of logits are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax  # type: ignore[import-untyped]

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


def largest_error(truth: Floats, other: Floats) -> float:
    """The largest difference, in standard deviations of the truth."""
    return float(np.abs(truth - other).max() / truth.std())


def rms_error(truth: Floats, other: Floats) -> float:
    """The root mean square difference, in standard deviations of the truth."""
    return float(np.sqrt(np.mean((truth.astype(float) - other) ** 2)) / truth.std())


def mean_kl(truth: Floats, logits: Floats) -> float:
    """Mean over rows of the Kullback-Leibler divergence KL(truth || logits) in nats."""
    p, q = log_softmax(truth.astype(float), axis=-1), log_softmax(logits.astype(float), axis=-1)
    return float(np.mean(np.sum(np.exp(p) * (p - q), axis=-1)))


def not_greedy(truth: Floats, ids: Ids, continuation: Sequence[int], tie: float) -> list[int]:
    """Indices in a continuation where it is not the most likely token of `truth`, the logits of
    ids + continuation: empty when, by induction, the greedy continuations are equal. A token
    within `tie` standard deviations of the best counts as the best: rounding decides there."""
    rows = truth[len(ids) - 1 : len(ids) - 1 + len(continuation)]
    chosen = rows[np.arange(len(rows)), np.asarray(continuation)]
    return np.flatnonzero(chosen < rows.max(axis=1) - tie * truth.std()).tolist()
