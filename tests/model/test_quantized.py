"""Models of every quantized type: what the arithmetic on quantized weights costs.

The truth is the reference on the decoded weights. Engines round the activations to 8 bits, which
is most of the divergence, and keep keys and values in F16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reference import reference_logits
from reference.agreement import largest_error, mean_kl
from reference.quantized import QUANTIZED, with_random_blocks
from reference.rewrite import Kind
from reference.tiny_models import TinyModels, token_ids

from pyslm import _native

# Mean KL divergence in nats of a model of 4 layers with random weights and 512 tokens, whose
# logits have a standard deviation of about 1. Rounding activations in blocks of 32 to 8 bits gives
# about 4e-4; a wrong bit or scale anywhere gives more than 1e-1.
BOUND = 1e-3


def pyslm_logits(path: Path, ids: Any) -> Any:
    model = _native.Model(str(path), threads=2, kv_type="f16", context_length=512, max_sequences=1)
    return model.logits(ids)


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
def test_every_type(tiny_models: TinyModels, tmp_path: Path, kind: Kind) -> None:
    path = with_random_blocks(tiny_models.path("llama"), tmp_path / "model.gguf", kind)
    ids = token_ids(160)
    assert mean_kl(reference_logits(path, ids), pyslm_logits(path, ids)) <= BOUND


@pytest.mark.parametrize("variant", ["qwen3", "phi3", "gemma3", "smollm3"])
@pytest.mark.parametrize("kind", [Kind.Q4_0, Kind.Q4_K, Kind.Q8_0], ids=lambda kind: kind.name)
def test_other_graphs(tiny_models: TinyModels, tmp_path: Path, variant: str, kind: Kind) -> None:
    """Fused, normed and capped graphs read quantized weights too."""
    path = with_random_blocks(tiny_models.path(variant), tmp_path / "model.gguf", kind)
    ids = token_ids(160)
    assert mean_kl(reference_logits(path, ids), pyslm_logits(path, ids)) <= 2 * BOUND


def test_bf16(tiny_models: TinyModels) -> None:
    """Tiers that multiply in BF16 round the activations to its 8 bits of mantissa."""
    path, ids = tiny_models.path("llama", Kind.BF16), token_ids(160)
    truth, ours = reference_logits(path, ids), pyslm_logits(path, ids)
    assert largest_error(truth, ours) <= 5e-2
    assert mean_kl(truth, ours) <= 1e-4
