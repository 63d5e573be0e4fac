"""Which of GGUF's named pre-tokenizers a `tokenizer.json` describes.

llama.cpp recognises a tokenizer by the hash of what it makes of a sample text; comparing the word
patterns themselves gives the same names, and needs no list of hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyslm.errors import UnsupportedModelError
from pyslm.tokenizer.pre_tokenizers import PRE_TOKENIZERS

__all__ = ["find_pre_tokenizer", "steps"]

_GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_HARMLESS_NORMALIZERS = (None, "NFC")


def steps(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects with a "type" among the values of `data`, sequences taken apart."""
    for value in data.values():
        if isinstance(value, dict) and value.get("type") == "Sequence":
            for name in ("pretokenizers", "normalizers", "decoders", "processors"):
                for step in value.get(name) or []:
                    yield from steps({"": step})
        elif isinstance(value, dict) and "type" in value:
            yield value


def find_pre_tokenizer(path: Path, data: dict[str, Any]) -> str:
    """The name for `tokenizer.ggml.pre`; UnsupportedModelError shows the patterns otherwise."""
    for step in steps({"normalizer": data.get("normalizer")}):
        if step.get("type") not in _HARMLESS_NORMALIZERS:
            raise UnsupportedModelError(
                f"{path}: byte-level BPE with normalizer {step.get('type')!r}; supported: none, NFC"
            )
    patterns = tuple(_patterns(path, data))
    names = [name for name, known in PRE_TOKENIZERS.items() if known.patterns == patterns]
    ignore_merges = data["model"].get("ignore_merges") is True
    exact = [name for name in names if PRE_TOKENIZERS[name].ignore_merges == ignore_merges]
    if not names:
        raise UnsupportedModelError(
            f"{path}: unknown pre-tokenizer {list(patterns)}; known: {', '.join(PRE_TOKENIZERS)}"
        )
    return (exact or names)[0]


def _patterns(path: Path, data: dict[str, Any]) -> Iterator[str]:
    for step in steps({"pre_tokenizer": data.get("pre_tokenizer")}):
        kind = step.get("type")
        pattern = step.get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, dict) else None
        whole = step.get("behavior") == "Isolated" and not step.get("invert")
        # What lies between matches removed: nothing does, for patterns that match everything.
        inverse = step.get("behavior") == "Removed" and step.get("invert") is True
        if kind == "Split" and isinstance(regex, str) and (whole or inverse):
            yield regex
        elif kind == "Digits":
            yield r"\p{N}" if step.get("individual_digits") else r"\p{N}+"
        elif kind == "ByteLevel" and step.get("add_prefix_space") is not True:
            if step.get("use_regex", True):
                yield _GPT2_WORDS
        else:
            raise UnsupportedModelError(f"{path}: unknown pre-tokenizer step {step}")
