"""pyslm's arithmetic on quantized weights is about as exact as llama.cpp's, or more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compare.peer import Peer
from reference import reference_logits
from reference.agreement import mean_kl
from reference.quantized import QUANTIZED, with_random_blocks
from reference.rewrite import Kind
from reference.tiny_models import TinyModels, token_ids

from pyslm import _native

pytestmark = pytest.mark.compare
N = 384


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
def test_divergence(peer: Peer, tiny_models: TinyModels, tmp_path: Path, kind: Kind) -> None:
    """Both engines on the same file, with the cache in F16; the truth is the reference on the
    decoded weights."""
    path = with_random_blocks(tiny_models.path("llama"), tmp_path / "model.gguf", kind)
    ids = token_ids(N)
    model = _native.Model(str(path), threads=2, kv_type="f16", context_length=512, max_sequences=1)
    truth = reference_logits(path, ids)
    ours, theirs = model.logits(ids), peer.logits(path, ids, kv="f16")
    assert np.isfinite(ours).all()
    assert mean_kl(truth, ours) <= 1.1 * mean_kl(truth, theirs)
