"""A model that says what it is told: for clients whose loops need sensible answers.

Its layers add nothing, so that the next token depends on the last one alone; tokens are chained
into replies, each begun by a control token, its cue, with which a chat template may end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np

from .rewrite import Floats, rewrite

_SURE = 10.0  # times sqrt(width): how far the next token's logit is above all others
_EOS = 2


def write_scripted(
    source: Path, target: Path, replies: Mapping[str, Sequence[str]], template: str
) -> Path:
    """A copy of a small llama model that answers each cue with its reply's pieces, then ends.

    Pieces become tokens of their own, taken from the end of the vocabulary; no two are alike.
    """
    fields = gguf.GGUFReader(source).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    chains: list[list[int]] = []
    free = len(tokens)
    for cue, pieces in replies.items():
        chain = []
        for text in (cue, *pieces):
            free -= 1
            kind = gguf.TokenType.NORMAL if chain else gguf.TokenType.CONTROL
            tokens[free], types[free] = text.replace(" ", "▁") if chain else text, int(kind)
            chain.append(free)
        chains.append([*chain, _EOS])

    def chained(tensors: dict[str, Floats]) -> dict[str, Floats]:
        silent = ("attn_output.weight", "ffn_down.weight")
        changed = {n: np.zeros_like(v) if n.endswith(silent) else v for n, v in tensors.items()}
        embeddings = tensors["token_embd.weight"].copy()
        output = np.zeros_like(embeddings)
        column = 0
        for chain in chains:
            for token, following in pairwise(chain):
                embeddings[token] = 0
                embeddings[token, column] = 1
                output[following, column] = _SURE
                column += 1
        norm = np.ones_like(tensors["output_norm.weight"])
        return changed | {
            "token_embd.weight": embeddings, "output.weight": output, "output_norm.weight": norm,
        }  # fmt: skip

    metadata = {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.chat_template": template,
        "llama.context_length": 4096,
    }
    return rewrite(source, target, metadata=metadata, tensors=chained)
