"""The NumPy reference against llama.cpp: does the reference say what the architectures are?

Both compute on the same F32 files; llama.cpp in float32 with an F32 cache, the reference in
float64, so that they should agree to float32's rounding.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from compare.peer import Peer
from reference import reference_embedding, reference_logits, reference_token_embeddings
from reference.tiny_encoder import write_tiny_encoder
from reference.tiny_models import VARIANTS, TinyModels, token_ids

pytestmark = pytest.mark.compare

ROUNDING = 1e-4
# llama.cpp looks the GELU function up in a table of float16 for float16 arguments. Its steps of
# 2^-11 (relative) cause all of the difference, as the variants without feed-forward show.
GELU_TABLE = 4e-3
TOLERANCE = dict.fromkeys(VARIANTS, ROUNDING) | {
    "gemma": GELU_TABLE,
    "gemma2": GELU_TABLE,
    "gemma3": GELU_TABLE,
    "gemma3-linear-rope": GELU_TABLE,
}


@pytest.mark.parametrize("variant", [name for name, v in VARIANTS.items() if v.in_llama_cpp])
def test_logits_of_decoders(peer: Peer, tiny_models: TinyModels, variant: str) -> None:
    """160 tokens: two and a half of the gemmas' sliding windows of 64."""
    path, n_ctx = tiny_models.path(variant), VARIANTS[variant].context_length
    ids = token_ids(160)
    ours, theirs = reference_logits(path, ids, n_ctx), peer.logits(path, ids, n_ctx)
    assert np.abs(ours - theirs).max() <= TOLERANCE[variant] * theirs.std()


def test_long_rope_needs_the_configured_context(tiny_models: TinyModels) -> None:
    """The two sets of factors differ by far more than the tolerance above."""
    path, ids = tiny_models.path("phi4-short"), token_ids(160)
    short, long = reference_logits(path, ids, 512), reference_logits(path, ids, 513)
    assert np.abs(short - long).max() > 0.1 * short.std()


@pytest.mark.parametrize("arch", ["bert", "nomic-bert"])
@pytest.mark.parametrize("pooling", [gguf.PoolingType.MEAN, gguf.PoolingType.CLS])
def test_embeddings_of_encoders(
    peer: Peer, tmp_path: Path, arch: str, pooling: gguf.PoolingType
) -> None:
    path = write_tiny_encoder(tmp_path / "encoder.gguf", arch, pooling=pooling)
    ids = token_ids(100)
    ours, theirs = reference_embedding(path, ids), peer.embedding(path, ids)
    assert ours @ theirs >= 1 - 1e-5


@pytest.mark.parametrize(("arch", "tolerance"), [("bert", 1e-2), ("nomic-bert", ROUNDING)])
def test_states_of_encoders(peer: Peer, tmp_path: Path, arch: str, tolerance: float) -> None:
    """bert: llama.cpp's GELU is the tanh approximation, in the table; ours is BERT's own."""
    path = write_tiny_encoder(tmp_path / "encoder.gguf", arch)
    ids = token_ids(100)
    ours, theirs = reference_token_embeddings(path, ids), peer.token_embeddings(path, ids)
    assert np.abs(ours - theirs).max() <= tolerance * theirs.std()
