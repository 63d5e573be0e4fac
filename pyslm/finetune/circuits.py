"""What a network begins with instead of chance alone: heads that copy, and heads that compare.

A transformer that reads and copies must find two circuits before anything else can be learned: a
head that sees the token before, and one that looks for where the present token came before and
writes what followed there (induction: Olsson et al. 2022). On a small budget the search takes a
tenth of the training. Here they are written down, and two more offered whose outputs begin at zero:
what the words around a token mean, and which tool's name stands behind words that mean the like.
Training keeps of it what helps.
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
_AROUND = (5, 6, 7, 8)  # pairs of channels that turn once in 80 to 350 tokens
_AROUND_SHARE = 0.25
_WRITTEN = 0.4  # by layer 0: about as much as a token's own vector
_COPIED = 1.5  # by layer 1: more than the vector of the present token
_FLAG = 1.0  # of "behind <|name|>" beside the length of what is compared


@torch.no_grad()
def give_circuits(model: Nano, name_token: int, seed: int) -> None:
    """Writes them into the first three layers.

    Args:
        model: fresh, with its meanings.
        name_token: the control token behind which a tool's name stands.
        seed: of the random subspaces.

    Raises:
        InvalidRequestError: the model has no room for them.
    """
    config = model.config
    widths = (config.heads * config.head_dim, config.kv_heads * config.head_dim)
    if (
        config.layers < 3
        or config.heads < 4
        or config.head_dim < 32
        or set(widths) != {config.hidden}
    ):
        raise InvalidRequestError(
            "circuits need 3 layers, 4 heads of 32 channels, keys for each head, and heads as wide "
            f"together as the model; this is {config}"
        )
    _Circuits(model, seed).write(name_token)


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
        half = (
            self.pairs // 2
        )  # pairs that hardly turn: their channels compare, wherever tokens are
        self.still = [*range(half, self.pairs), *range(self.pairs + half, self.dim)]

    def write(self, name_token: int) -> None:
        embedding = self.model.embed_tokens.weight
        embedding[:, -1] = _CONSTANT
        for layer in self.model.layers[:3]:
            layer.self_attn.q_norm.weight.fill_(_SHARPNESS)
            layer.self_attn.k_norm.weight.fill_(_SHARPNESS)
        for head in (0, 1):
            self._before(head)
            self._induce(head)
        self._around(2)
        self._compare_words(2)
        self._compare_tools(0, embedding[name_token])

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

    def _around(self, head: int) -> None:
        """Reads the mean of the meanings of the last words."""
        query, key = torch.zeros(self.dim), torch.zeros(self.dim)
        for i in _AROUND:
            query[i] = key[i] = math.sqrt(_AROUND_SHARE / len(_AROUND))
        query[self.still[0]] = key[self.still[1]] = math.sqrt(1 - _AROUND_SHARE)
        self._constant(0, "q_proj", head, query)
        self._constant(0, "k_proj", head, key)
        self._weight(0, "v_proj", head).copy_(torch.eye(self.dim, self.hidden))
        self._output(0, head).copy_(_WRITTEN * self.written[head].T)

    # --- layers 1 and 2 -----------------------------------------------------------------------

    def _induce(self, head: int) -> None:
        """Looks for tokens behind one like the present, and writes what they are."""
        few = self.mix[: len(self.still)]
        self._compared(1, "q_proj", head, few @ self.read[head])
        self._compared(1, "k_proj", head, few @ self.written[head])
        self._weight(1, "v_proj", head).copy_(self.read[head])
        self._output(1, head).copy_(_COPIED * self.read[head].T)

    def _compare_words(self, head: int) -> None:
        """Looks for words that mean the like."""
        meaning = torch.eye(len(self.still), self.hidden)
        for name in ("q_proj", "k_proj"):
            self._compared(1, name, head, meaning)

    def _compare_tools(self, head: int, name_vector: Tensor) -> None:
        """Looks for tools' names behind words that mean the like of the last ones here."""
        around = self.written[2][: len(self.still) - 1]
        seen = self.read[0] @ name_vector
        behind = self.written[0].T @ (seen / seen.norm())
        constant = torch.zeros(self.hidden)
        constant[-1] = 1.0
        self._compared(2, "q_proj", head, torch.cat((around, _FLAG * constant[None])))
        self._compared(2, "k_proj", head, torch.cat((around, _FLAG * behind[None])))
        self._weight(2, "v_proj", head).copy_(self.read[head])

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
