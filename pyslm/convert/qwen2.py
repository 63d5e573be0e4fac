"""qwen2: Qwen 2 and 2.5. Biases on q, k and v; rope on halves."""

from __future__ import annotations

from pathlib import Path

from pyslm.convert.config import Config
from pyslm.convert.decoder import IGNORED, Decoder
from pyslm.convert.family import Family, Layout

__all__ = ["FAMILY"]


def _lay_out(config: Config, folder: Path) -> Layout:
    del folder
    decoder = Decoder.read(config)
    targets = tuple(decoder.targets(qkv_bias=True))
    return Layout(decoder.vocab_size, targets, decoder.add_metadata)


FAMILY = Family(("Qwen2ForCausalLM",), "qwen2", _lay_out, IGNORED)
