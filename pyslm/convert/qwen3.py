"""qwen3: no biases, an RMS norm over each head of q and k; rope on halves; heads of 128."""

from __future__ import annotations

from pathlib import Path

from pyslm.convert.config import Config
from pyslm.convert.decoder import IGNORED, Decoder
from pyslm.convert.family import Family, Layout

__all__ = ["FAMILY"]

_HEAD_DIM = 128  # transformers' default where config.json does not say


def _lay_out(config: Config, folder: Path) -> Layout:
    del folder
    decoder = Decoder.read(config, _HEAD_DIM)
    config.require("attention_bias", [False])
    return Layout(decoder.vocab_size, tuple(decoder.targets(qk_norm=True)), decoder.add_metadata)


FAMILY = Family(("Qwen3ForCausalLM",), "qwen3", _lay_out, IGNORED)
