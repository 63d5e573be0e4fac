"""Quantizations as file names and tags tell them."""

from __future__ import annotations

import re

__all__ = [
    "BITS_PER_WEIGHT",
    "bits_per_weight",
    "canonical_quant",
    "is_split",
    "quality",
    "quant_of_file",
]

BITS_PER_WEIGHT: dict[str, float] = {
    "F32": 32.0,
    "BF16": 16.0,
    "F16": 16.0,
    "Q8_0": 8.5,
    "Q6_K": 6.56,
    "Q5_K_M": 5.67,
    "Q5_K_S": 5.52,
    "Q5_1": 6.0,
    "Q5_0": 5.5,
    "Q4_K_M": 4.85,
    "Q4_K_S": 4.58,
    "Q4_1": 5.0,
    "IQ4_NL": 4.5,
    "Q4_0": 4.6,
    "IQ4_XS": 4.3,
    "MXFP4": 4.25,
    "Q3_K_L": 4.27,
    "Q3_K_M": 3.91,
    "Q3_K_S": 3.5,
    "Q2_K": 3.0,
}
"""Of the mixes that llama.cpp's quantize writes, best first. Models with a large vocabulary for
their size take up to a third more: their table of embeddings is kept finer."""

_QUANT = re.compile(
    r"(?:^|[-._])((?:UD-)?(?:I?Q|TQ)\d+(?:_[0-9A-Z]+){0,3}|BF16|FP?16|FP?32|MXFP4(?:_MOE)?)$",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"-\d{5}-of-\d{5}$")
_SAME = {"FP16": "F16", "FP32": "F32", "Q6_K_L": "Q6_K", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
_SAME |= {"Q3_K": "Q3_K_M", "MXFP4_MOE": "MXFP4", "Q4_K_L": "Q4_K_M", "Q5_K_L": "Q5_K_M"}


def quant_of_file(name: str) -> str | None:
    """ "Q4_K_M" of "model-q4_k_m.gguf"; None where the name does not say."""
    stem = re.sub(r"\.gguf$", "", name.rsplit("/", 1)[-1], flags=re.IGNORECASE)
    found = _QUANT.search(_SPLIT.sub("", stem))
    return canonical_quant(found[1]) if found else None


def is_split(name: str) -> bool:
    """Whether a file is one of several that make a model."""
    return bool(_SPLIT.search(re.sub(r"\.gguf$", "", name, flags=re.IGNORECASE)))


def canonical_quant(text: str) -> str:
    """In capitals, and FP16 as F16."""
    upper = text.upper()
    return {"FP16": "F16", "FP32": "F32"}.get(upper, upper)


def is_quant(text: str) -> bool:
    """Whether a text is a quantization and nothing else."""
    found = _QUANT.search(text)
    return found is not None and found[1] == text


def bits_per_weight(quant: str) -> float | None:
    """Roughly; None for one that pyslm does not run (or does not know)."""
    return BITS_PER_WEIGHT.get(_SAME.get(quant, quant))


def quality(quant: str) -> int:
    """Higher is closer to the unquantized model; -1: not known."""
    order = list(BITS_PER_WEIGHT)
    name = _SAME.get(quant, quant)
    return len(order) - order.index(name) if name in order else -1
