"""Vectors of token ids, from a bare model through an engine of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pyslm import _native


def embed(model: _native.Model, texts: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
    """All texts in one call: float32 [texts, hidden], each row of length 1."""
    engine = _native.Engine(model, max_sequences=max(1, len(texts)))
    ids = [engine.add_embedding(text) for text in texts]
    while engine.step():
        pass
    rows = []
    for request in ids:
        update = engine.poll(request)
        assert update is not None
        assert update.embedding is not None
        rows.append(update.embedding)
    return np.stack(rows)
