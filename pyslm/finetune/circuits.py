"""What a network begins with instead of chance alone: heads that copy.

A transformer that reads and copies must find two circuits before anything else can be learned: a
head that sees the token before, and one that looks for where the present token came before and
writes what followed there (induction: Olsson et al. 2022). On a small budget that search is dear.
Here they are written down; training changes of them what it likes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyslm.errors import InvalidRequestError
from pyslm.finetune.model import Nano

__all__ = ["give_circuits"]

_CONSTANT = 0.6  # of each token's vector, about a fifth of its length
_SHARPNESS = 1.6  # of queries and of keys
_BEFORE = (0.35, 0.25, 0.15, 0.1, 0.08, 0.07)  # shares of the fastest pairs of channels
_WRITTEN = 0.4  # by layer 0: about as much as a token's own vector
_COPIED = 1.5  # by layer 1: more than the vector of the present token


@torch.no_grad()
def give_circuits(model: Nano, seed: int) -> None:
    """Writes them into the first two layers.

    Args:
        model: fresh, with its meanings.
        seed: of the random subspaces.

    Raises:
        InvalidRequestError: the model has no room for them.
    """
    config = model.config
    has_heads = config.heads == config.kv_heads >= 2 and config.hidden >= 2 * config.head_dim
    if config.layers < 2 or config.head_dim < 32 or not has_heads:
        raise InvalidRequestError(
            "circuits need 2 layers, 2 heads of 32 channels and keys for each head, in a model as "
            f"wide as 2 heads; this is {config}"
        )
    _Circuits(model, seed).write()


class _Circuits:
    def __init__(self, model: Nano, seed: int) -> None:
        config = model.config
        self.model = model
        self.dim, self.hidden = config.head_dim, config.hidden
        self.pairs = config.head_dim // 2
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(2, self.hidden, self.hidden, generator=generator)
        # Orthogonal: `read` takes a token's vector apart, `written` is where layer 0 puts things.
        self.read = torch.linalg.qr(noise[0])[0].split(self.dim)
        self.written = torch.linalg.qr(noise[1])[0].split(self.dim)
        self.mix = torch.linalg.qr(torch.randn(self.dim, self.dim, generator=generator))[0]
        half = self.pairs // 2
        # Pairs that hardly turn: their channels compare, wherever tokens are.
        self.still = [*range(half, self.pairs), *range(self.pairs + half, self.dim)]

    def write(self) -> None:
        self.model.embed_tokens.weight[:, -1] = _CONSTANT
        for layer in self.model.layers[:2]:
            layer.self_attn.q_norm.weight.fill_(_SHARPNESS)
            layer.self_attn.k_norm.weight.fill_(_SHARPNESS)
        for head in (0, 1):
            self._before(head)
            self._induce(head)

    # --- layer 0 ------------------------------------------------------------------------------

    def _before(self, head: int) -> None:
        """Reads a part of the vector of the token before."""
        query, key = torch.zeros(self.dim), torch.zeros(self.dim)
        for i, share in enumerate(_BEFORE):
            turn = self.model.config.rope_theta ** (-i / self.pairs)
            key[i] = math.sqrt(share)
            query[i] = math.sqrt(share) * math.cos(turn)
            query[i + self.pairs] = -math.sqrt(share) * math.sin(turn)
        self._constant(0, "q_proj", head, query)
        self._constant(0, "k_proj", head, key)
        self._weight(0, "v_proj", head).copy_(self.read[head])
        self._output(0, head).copy_(_WRITTEN * self.written[head].T)

    # --- layer 1 ------------------------------------------------------------------------------

    def _induce(self, head: int) -> None:
        """Looks for tokens behind one like the present, and writes what they are."""
        few = self.mix[: len(self.still)]
        self._compared(1, "q_proj", head, few @ self.read[head])
        self._compared(1, "k_proj", head, few @ self.written[head])
        self._weight(1, "v_proj", head).copy_(self.read[head])
        self._output(1, head).copy_(_COPIED * self.read[head].T)

    # --- weights ------------------------------------------------------------------------------

    def _weight(self, layer: int, name: str, head: int) -> Tensor:
        weight: Tensor = getattr(self.model.layers[layer].self_attn, name).weight
        return weight[head * self.dim : (head + 1) * self.dim]

    def _output(self, layer: int, head: int) -> Tensor:
        weight: Tensor = self.model.layers[layer].self_attn.o_proj.weight
        return weight[:, head * self.dim : (head + 1) * self.dim]

    def _constant(self, layer: int, name: str, head: int, vector: Tensor) -> None:
        weight = self._weight(layer, name, head)
        weight.zero_()
        weight[:, -1] = 2.0 * vector

    def _compared(self, layer: int, name: str, head: int, rows: Tensor) -> None:
        weight = self._weight(layer, name, head)
        weight.zero_()
        weight[self.still] = rows
