"""What training leaves alone.

Muon changes all directions of a matrix alike, so that a component that all tokens share soon flows
into channels where circuits compare. Nothing may write where they tell each other things, nor, in
the first layer, where the meanings are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyslm.finetune.circuits.writer import MEANINGS, RESERVED
from pyslm.finetune.model import Nano

__all__ = ["Protection"]

_LAYERS = 3  # after which nobody reads the reserved channels
_CARRIERS = {0: (2,), 1: (2, 3), 2: (0, 1)}  # heads of a layer that bring items and roles
_FIXED = {0: (2,)}  # heads that look at what has only to do with places


class Protection:
    """Holds the weights that stay as they are; `restore` puts them back after a step."""

    def __init__(self, model: Nano) -> None:
        self._kept = [(weight, mask, weight.detach().clone()) for weight, mask in _masks(model)]

    @torch.no_grad()
    def restore(self) -> None:
        for weight, mask, value in self._kept:
            weight.copy_(torch.where(mask, value, weight))


def _masks(model: Nano) -> list[tuple[Tensor, Tensor]]:
    """Weights, and which of their elements are protected."""
    dim = model.config.head_dim
    embedding = model.embed_tokens.weight
    masks = [(embedding, _of(embedding, columns=[slice(-RESERVED, None)]))]
    for i, layer in enumerate(model.layers[:_LAYERS]):
        rows = [slice(-RESERVED, None)] + ([slice(0, MEANINGS)] if i == 0 else [])
        for weight in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
            masks.append((weight, _of(weight, rows=rows)))
        for names, heads in (
            (("v_proj",), _CARRIERS[i]),
            (("q_proj", "k_proj"), _FIXED.get(i, ())),
        ):
            own = [slice(head * dim, (head + 1) * dim) for head in heads]
            for name in names if own else ():
                weight = getattr(layer.self_attn, name).weight
                masks.append((weight, _of(weight, rows=own)))
    return masks


def _of(
    weight: Tensor, rows: list[slice] | None = None, columns: list[slice] | None = None
) -> Tensor:
    mask = torch.zeros_like(weight, dtype=torch.bool)
    for part in rows or ():
        mask[part] = True
    for part in columns or ():
        mask[:, part] = True
    return mask
