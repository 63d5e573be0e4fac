"""Tiny models of each decoder architecture, made once per test session.

The files come from the shared make_model.py with a vocabulary of 512 tokens and weights large
enough (std 0.06: every matrix keeps its input's scale) that attention is far from uniform and a
mistake anywhere shows in the logits.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .rewrite import Floats, Kind, rewrite
from .tiny_vocab import VOCAB_SIZE, write_spm_vocab

Tensors = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Variant:
    """A shape of make_model.py with changes; `metadata` by full key."""

    shape: str
    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: Callable[[Tensors], Tensors] = dict
    context_length: int = 512  # to configure engines with
    in_llama_cpp: bool = True  # computes the same
    architecture: str | None = None  # another than that of the shape


def _with_biases(tensors: Tensors) -> Tensors:
    """Adds a bias to every projection, as llama's optional ones."""
    rng = np.random.default_rng(7)
    out = dict(tensors)
    for name, values in tensors.items():
        if name.startswith("blk.") and values.ndim == 2:
            bias = rng.standard_normal(values.shape[:1], dtype=np.float32)
            out[name.replace(".weight", ".bias")] = np.float32(0.1) * bias
    return out


def _without_feed_forward(tensors: Tensors) -> Tensors:
    return {k: v * 0 if "ffn_down" in k else v for k, v in tensors.items()}


def _with_fused_qkv(tensors: Tensors) -> Tensors:
    """Q, K and V in one tensor, as some converters write them."""
    out = {k: v for k, v in tensors.items() if not re.match(r"blk.*attn_[qkv]\.", k)}
    for name in tensors:
        if match := re.match(r"(blk\.\d+\.attn_)q\.(.*)", name):
            prefix, part = match.groups()
            parts = [tensors[f"{prefix}{x}.{part}"] for x in "qkv"]
            out[f"{prefix}qkv.{part}"] = np.concatenate(parts)
    return out


def _tied_and_quieter(tensors: Tensors) -> Tensors:
    """Without a head of its own; embeddings that, times sqrt(hidden), leave the layers heard."""
    kept = {k: v for k, v in tensors.items() if k != "output.weight"}
    return kept | {"token_embd.weight": tensors["token_embd.weight"] / 8}


def _louder_layers(tensors: Tensors) -> Tensors:
    """Else gemma's scaled and tied embedding makes every token predict itself."""
    return {k: v * 3 if "post_" in k else v for k, v in tensors.items()}


# llama.cpp takes a name with "phi3" in it as word of a vocabulary with certain tokens
_PHI = {"general.name": "tiny"}

VARIANTS = {
    "llama": Variant("tiny-llama"),
    "llama-biases": Variant("tiny-llama", tensors=_with_biases),
    "llama3": Variant("tiny-llama3"),
    "llama-linear-rope": Variant(
        "tiny-llama",
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0},
    ),
    "qwen2": Variant("tiny-qwen2"),
    "qwen2-fused": Variant("tiny-qwen2", tensors=_with_fused_qkv),
    "qwen2-yarn": Variant(
        "tiny-qwen2",
        {
            "qwen2.rope.scaling.type": "yarn",
            "qwen2.rope.scaling.factor": 4.0,
            "qwen2.rope.scaling.original_context_length": 128,
        },
    ),
    "qwen3": Variant("tiny-qwen3"),
    "phi3": Variant("tiny-phi3", _PHI),
    "phi3-window": Variant(
        "tiny-phi3", _PHI | {"phi3.attention.sliding_window": 64}, in_llama_cpp=False
    ),
    "phi4-short": Variant("tiny-phi4", _PHI, context_length=512),
    "phi4-long": Variant("tiny-phi4", _PHI, context_length=1024),
    "smollm3": Variant("tiny-smollm3"),
    # with granite's own scales, random weights' attention is uniform and the embedding outweighs
    # the layers
    "granite": Variant(
        "tiny-granite",
        {"granite.attention.scale": 0.25, "granite.embedding_scale": 0.5},
    ),
    "granite-no-rope": Variant(
        "tiny-granite",
        {"granite.attention.scale": 0.25, "granite.rope.scaling.finetuned": False},
    ),
    "gemma": Variant("tiny-llama", tensors=_tied_and_quieter, architecture="gemma"),
    # caps that bend scores and logits of size 1, as the published 50 and 30 would not
    "gemma2": Variant(
        "tiny-gemma2",
        {"gemma2.attn_logit_softcapping": 2.0, "gemma2.final_logit_softcapping": 3.0},
        tensors=_louder_layers,
    ),
    "gemma3": Variant("tiny-gemma3", tensors=_louder_layers),
    "gemma3-linear-rope": Variant(
        "tiny-gemma3",
        {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0},
        tensors=_louder_layers,
    ),
    "gemma2-no-ffn": Variant("tiny-gemma2", tensors=_without_feed_forward),
    "gemma3-no-ffn": Variant("tiny-gemma3", tensors=_without_feed_forward),
}


class TinyModels:
    """Makes files on demand under `folder`; `script` is make_model.py."""

    def __init__(self, folder: Path, script: Path) -> None:
        self._folder, self._script = folder, script
        self._vocab = write_spm_vocab(folder / "vocab.gguf")

    def path(self, variant: str, kind: Kind = Kind.F32) -> Path:
        """The file of a variant, its matrices of a type that the `gguf` package can write."""
        target = self._folder / f"{variant}-{kind.name}.gguf"
        if not target.exists():
            wanted = VARIANTS[variant]
            rewrite(
                self._base(wanted.shape),
                target,
                metadata=wanted.metadata,
                tensors=wanted.tensors,
                architecture=wanted.architecture,
                kind=lambda _, values: kind if values.ndim == 2 else Kind.F32,
            )
        return target

    def _base(self, shape: str) -> Path:
        target = self._folder / f"{shape}.gguf"
        if not target.exists():
            command = [sys.executable, self._script, shape, target, "--vocab", self._vocab]
            command += ["--type", "f32", "--std", "0.06"]
            subprocess.run([str(c) for c in command], check=True, timeout=120)
        return target


@pytest.fixture(scope="session")
def tiny_models(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    script = shared / "tools" / "make_model.py"
    if not script.is_file():
        pytest.skip(f"no {script}")
    return TinyModels(tmp_path_factory.mktemp("tiny_models"), script)


def token_ids(n: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Random ordinary tokens of the tiny vocabularies, int32 [n]."""
    return np.random.default_rng(seed).integers(5, VOCAB_SIZE, n).astype(np.int32)
