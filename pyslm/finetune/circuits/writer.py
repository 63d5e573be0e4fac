"""Writes weights of single heads, in subspaces that all circuits agree on."""

from __future__ import annotations

import torch
from torch import Tensor

from pyslm.finetune.dialect import CONTROL, ITEMS, START
from pyslm.finetune.model import Nano

__all__ = ["MEANINGS", "RESERVED", "Writer"]

RESERVED = len(ITEMS) + 8  # the last channels, for what the circuits tell each other
MEANINGS = 70  # channels that `give_meanings` fills
_CONSTANT = 0.6  # of each token's vector, about a fifth of its length
_ITEM = 2.0
_ROLE = 1.5
_SELF = 1.25  # of what tells a token from others that mean the same
_ROLES = {"<|user|>": 1, "<|assistant|>": 2, "<|system|>": 3, "<|result|>": 3}
_STILL = 14  # pairs from this on hardly turn within the tools of a scene


class Writer:
    """Channels of the residual stream, from the first: meanings (a head's width), free ones, and
    `RESERVED` for what the circuits tell each other.

    Attributes:
        read: two parts of a token's vector, [head_dim, hidden] each, orthogonal.
        written: as many other parts, where layer 0 notes the token before; none of the meanings.
        earlier: one more, for the token before that.
        still: channels of a head that compare, wherever tokens are.
        items, roles: channels that say which item a token is of, and whose turn it stands in.
    """

    def __init__(self, model: Nano, seed: int) -> None:
        config = model.config
        self.model = model
        self.dim, self.hidden = config.head_dim, config.hidden
        self.pairs = config.head_dim // 2
        self.generator = torch.Generator().manual_seed(seed)
        free = self.hidden - RESERVED
        half = free // 2
        self.read = self._parts(0, half, 2)
        *self.written, self.earlier = self._parts(half, half, 3)
        self.still = [*range(_STILL, self.pairs), *range(self.pairs + _STILL, self.dim)]
        self.items = range(free, free + len(ITEMS))
        after = free + len(ITEMS)
        self.item_role = after
        self.roles = {name: after + place for name, place in _ROLES.items()}
        self.item_begins, self.turn_begins = after + 4, after + 5
        self.information = after + 6
        self.constant = after + 7

    def _parts(self, first: int, size: int, count: int) -> list[Tensor]:
        """Takes `size` channels apart, for as many heads as `count`."""
        noise = torch.randn(size, size, generator=self.generator)
        parts = []
        for rows in torch.linalg.qr(noise)[0].split(size // count)[:count]:
            wide = torch.zeros(self.dim, self.hidden)
            wide[: len(rows), first : first + size] = rows
            parts.append(wide)
        return parts

    def give_channels(self, information: Tensor) -> None:
        """What the vectors of tokens hold for the circuits."""
        weight = self.model.embed_tokens.weight
        half = self.items[0] // 2
        weight[:, MEANINGS:half] *= _SELF
        # Nor is there anything of the token itself where those before it are noted.
        weight[:, half:] = 0.0
        self.model.norm.weight[self.items[0] :] = 0.0  # they are no part of what is said
        weight[:, self.constant] = _CONSTANT
        weight[:, self.information] = information
        first = CONTROL.index(ITEMS[0])
        common = weight[first].clone()
        for i, channel in enumerate(self.items):
            row = weight[first + i]
            row.copy_(common)
            row[channel] = _ITEM
            row[[self.item_role, self.item_begins]] = _ROLE
        # Begins no turn to which the words after it belong, and holds nothing to copy.
        weight[CONTROL.index(START), : self.items[0] // 2] = 0.0
        weight[CONTROL.index(START), self.turn_begins] = _ROLE
        weight[CONTROL.index(START), self.item_begins] = -_ROLE
        for name, channel in self.roles.items():
            weight[CONTROL.index(name), [channel, self.turn_begins]] = _ROLE

    def is_written(self) -> bool:
        """Whether the model has them: nothing else tells the start from all other tokens so."""
        start = self.model.embed_tokens.weight[CONTROL.index(START)].detach()
        wanted = (start[self.turn_begins], start[self.item_begins])
        return all(abs(abs(float(value)) - _ROLE) < _ROLE / 10 for value in wanted)

    # --- heads --------------------------------------------------------------------------------

    def weight(self, layer: int, name: str, head: int) -> Tensor:
        """Rows of a head in q_proj, k_proj or v_proj, [head_dim, hidden]."""
        weight: Tensor = getattr(self.model.layers[layer].self_attn, name).weight
        return weight[head * self.dim : (head + 1) * self.dim]

    def output(self, layer: int, head: int) -> Tensor:
        """Columns of a head in o_proj, [hidden, head_dim]."""
        weight: Tensor = self.model.layers[layer].self_attn.o_proj.weight
        return weight[:, head * self.dim : (head + 1) * self.dim]

    def cleared(self, layer: int, name: str, head: int) -> Tensor:
        """The same as `weight`, all zero."""
        return self.weight(layer, name, head).zero_()

    def sharpness(self, layer: int, value: float, channels: list[int] | None = None) -> None:
        """Of queries and keys of all heads of a layer."""
        attention = self.model.layers[layer].self_attn
        for norm in (attention.q_norm, attention.k_norm):
            norm.weight[slice(None) if channels is None else channels] = value

    def carry(self, layer: int, head: int, channels: list[int], gain: float) -> None:
        """What a head brings, from and to the same channels."""
        value, out = self.cleared(layer, "v_proj", head), self.output(layer, head).zero_()
        for i, channel in enumerate(channels):
            value[i, channel] = 1.0
            out[channel, i] = gain

    def token(self, name: str) -> Tensor:
        """The part of a control token's vector that is read, [hidden]."""
        row = self.model.embed_tokens.weight[CONTROL.index(name)].clone()
        row[self.items[0] // 2 :] = 0.0
        return row
