"""pyslm's graphs against the NumPy reference, on every architecture in F32 and F16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from reference import reference_embedding, reference_logits
from reference.agreement import greedy, largest_error, not_greedy, rms_error
from reference.rewrite import Kind
from reference.tiny_encoder import write_tiny_encoder
from reference.tiny_models import VARIANTS, TinyModels, token_ids

from pyslm import _native

TOLERANCE = 1e-3  # standard deviations of the logits
PROMPT, NEW = 24, 64


def open_model(path: Path, context_length: int, kv_type: str = "f16") -> Any:
    return _native.Model(
        str(path), threads=2, kv_type=kv_type, context_length=context_length, max_sequences=1
    )


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16], ids=lambda kind: kind.name)
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits(tiny_models: TinyModels, variant: str, kind: Kind) -> None:
    """160 tokens: five blocks of the cache, two and a half of the gemmas' windows of 64.

    Against the exact model the tolerance is met in the mean square: a cache of F16 alone makes the
    largest of the 80 thousand errors about 3e-3. Against the reference with its keys and values
    rounded as the cache rounds them, no logit may be off by more than the tolerance.
    """
    path, n_ctx = tiny_models.path(variant, kind), VARIANTS[variant].context_length
    ids = token_ids(160)
    ours = open_model(path, n_ctx).logits(ids)
    assert ours.dtype == np.float32
    exact = reference_logits(path, ids, n_ctx)
    assert ours.shape == exact.shape
    assert rms_error(exact, ours) <= TOLERANCE
    assert largest_error(reference_logits(path, ids, n_ctx, "f16"), ours) <= TOLERANCE


# The larger part of a mantissa that a rounded key falls on is a matter of the last bit of float32:
# the coarser the cache, the more such a flip weighs.
@pytest.mark.parametrize(("kv_type", "tolerance"), [("bf16", 1e-2), ("q8_0", 5e-2)])
@pytest.mark.parametrize("variant", ["llama", "gemma3"])
def test_logits_with_other_caches(
    tiny_models: TinyModels, variant: str, kv_type: str, tolerance: float
) -> None:
    path, ids = tiny_models.path(variant), token_ids(160)
    ours = open_model(path, 512, kv_type).logits(ids)
    truth = reference_logits(path, ids, kv_type=kv_type)
    assert largest_error(truth, ours) <= tolerance


@pytest.mark.parametrize("variant", VARIANTS)
def test_greedy_continuation(tiny_models: TinyModels, variant: str) -> None:
    path, n_ctx = tiny_models.path(variant), VARIANTS[variant].context_length
    ids = token_ids(PROMPT, seed=1)
    continuation = greedy(open_model(path, n_ctx).logits, ids, NEW)
    truth = reference_logits(path, np.append(ids, continuation), n_ctx)
    assert not_greedy(truth, ids, continuation, tie=5 * TOLERANCE) == []


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16], ids=lambda kind: kind.name)
@pytest.mark.parametrize("arch", ["bert", "nomic-bert"])
@pytest.mark.parametrize("pooling", [gguf.PoolingType.MEAN, gguf.PoolingType.CLS])
def test_embeddings(tmp_path: Path, arch: str, pooling: gguf.PoolingType, kind: Kind) -> None:
    """Texts of several lengths in one call. Errors are held against the spread between texts,
    which is far smaller than the vectors themselves."""
    path = write_tiny_encoder(tmp_path / "encoder.gguf", arch, pooling=pooling, kind=kind)
    texts = [token_ids(n, seed=n) for n in (1, 7, 32, 33, 100)]
    ours = open_model(path, 256).embed(texts)
    truth = np.stack([reference_embedding(path, text) for text in texts])
    assert ours.shape == truth.shape
    spread = (truth - truth.mean(axis=0)).std()
    assert np.abs(ours - truth).max() <= TOLERANCE * spread
