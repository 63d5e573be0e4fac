"""Heads that choose: which tool, or which agent of a list, a request is about.

layer 0   each token learns of which item it is, or in whose turn it stands
layer 1   each word of a request looks for words near in meaning, and learns of which items
          these are
layer 2   who is to answer learns what all words of the request have learned; who calls once more
          forgets what was called
layer 3   who calls looks at the name of that item, and writes its first token
"""

from __future__ import annotations

import math

import torch

from pyslm.finetune.circuits.writer import MEANINGS, Writer
from pyslm.finetune.dialect import CALL, ITEMS
from pyslm.finetune.model import POINTING

__all__ = ["Choosing"]

# Shares of pairs of channels; together they fall off with distance nearly in a straight line.
_RECENT = {5: 0.03, 6: 0.05, 7: 0.09, 9: 0.18, 10: 0.28, 11: 0.08, 12: 0.29}
# All that follows was found by trying on a fresh model, as `benchmarks/circuits.py` does.
_RECENT_SHARPNESS = 4.5  # of queries and of keys, as those below
_MATCH_SHARPNESS = 2.15
_POOL_SHARPNESS = 1.6
_POINT_SHARPNESS = 2.2
_NO_BEGIN = 0.5  # how far from looked at is what begins nothing
_UNTOLD = 4.0  # how much sooner a word that tells little finds nothing
# How much of what they bring heads write.
_OWN = 0.3
_MATCHED = 0.2
_POOLED = 3.0
_FORGOTTEN = 2.0
_POINTED = 3.0
# Queries and keys are normalized, so that only their directions count: large weights turn slowly.
_FIRM = 6.0
_FIRM_POINT = 1.5


class Choosing:
    """Head 2 of layer 0, heads 2 and 3 of layer 1, 0 and 1 of layer 2, 0 and 2 of layer 3; what
    heads 1 and 3 of layer 3 write."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self) -> None:
        to = self._writer
        self._begin()
        to.sharpness(1, _MATCH_SHARPNESS, to.still)
        meanings = torch.linalg.qr(torch.randn(MEANINGS, MEANINGS, generator=to.generator))[0]
        size = len(to.still) - 1
        for head in (2, 3):
            self._match(head, meanings[(head - 2) * size : (head - 1) * size])
        to.sharpness(2, _POOL_SHARPNESS)
        self._pool()
        self._called()
        to.sharpness(POINTING, _POINT_SHARPNESS)
        for head in (0, 2):
            self._point(head)
        for head in range(4):  # 1 and 3 are told in training where to look; see `sources`
            part = to.read[head // 2]
            to.weight(POINTING, "v_proj", head).copy_(part)
            to.output(POINTING, head).copy_(_POINTED * part.T)

    def _begin(self) -> None:
        """Looks at the last token that begins an item or a turn."""
        to = self._writer
        layer, head = 0, 2
        pairs = [i + half for i in _RECENT for half in (0, to.pairs)]
        to.sharpness(layer, _RECENT_SHARPNESS, pairs)
        query, key = (to.cleared(layer, name, head) for name in ("q_proj", "k_proj"))
        for i, share in _RECENT.items():
            query[i, to.constant] = 2.0 * math.sqrt(share)
            key[i, [to.item_begins, to.turn_begins]] = 4.0 * math.sqrt(share)
        other = to.still[0]
        query[other, to.constant] = -2.0 * _NO_BEGIN
        key[other, to.constant] = 0.5
        told = [*to.items, to.item_role, *set(to.roles.values())]
        to.carry(layer, head, told, _OWN)

    def _match(self, head: int, part: torch.Tensor) -> None:
        """Looks at words of items that mean what this word means; at what begins a turn, where it
        learns nothing, if there is none."""
        to = self._writer
        layer = 1
        *channels, flag = to.still
        query, key = (to.cleared(layer, name, head) for name in ("q_proj", "k_proj"))
        for weight in (query, key):
            weight[channels, :MEANINGS] = part
        query[flag, to.constant] = 3.4 + _UNTOLD
        query[flag, to.information] = -_UNTOLD
        query[flag, to.item_role] = _UNTOLD  # words of items have nothing to look for
        key[flag, to.item_role] = 0.55
        key[flag, to.information] = 0.25
        key[flag, to.turn_begins] = 7.0
        for role in set(to.roles.values()):
            key[flag, role] = -0.95
        for weight in (query, key):
            weight.mul_(_FIRM)
        to.carry(layer, head, [*to.items], _MATCHED)

    def _pool(self) -> None:
        """Looks at the words of the request, more at those that tell most."""
        to = self._writer
        layer, head = 2, 0
        user, nothing, other, *_ = to.still
        query, key = (to.cleared(layer, name, head) for name in ("q_proj", "k_proj"))
        query[user, to.constant] = 1.0
        key[user, to.roles["<|user|>"]] = 1.0
        key[user, to.item_role] = -1.0
        key[user, [to.turn_begins, to.item_begins]] = -3.0
        query[nothing, to.constant] = 0.6
        for role in (to.roles["<|user|>"], to.item_role):
            query[nothing, role] = 4.0  # words learn nothing of each other
        query[nothing, to.roles["<|assistant|>"]] = -1.0
        key[nothing, to.turn_begins] = 4.0
        key[user, to.information] = 1.2
        key[other, to.constant] = 4.0
        for weight in (query, key):
            weight.mul_(_FIRM)
        to.carry(layer, head, [*to.items], _POOLED)

    def _called(self) -> None:
        """Who calls once more looks at the names that were called, and forgets their items."""
        to = self._writer
        layer, head = 2, 1
        name, nothing, other, *_ = to.still
        query, key = (to.cleared(layer, part, head) for part in ("q_proj", "k_proj"))
        query[name] = 2.0 * to.token(CALL) / to.token(CALL).norm()
        query[nothing, [to.constant, to.item_role]] = 2.0
        key[name] = self._behind(CALL)
        key[name, to.constant] = -3.0
        key[name, to.item_role] = -15.0  # not where they are described
        key[nothing, to.turn_begins] = 4.0
        key[other, to.constant] = 4.0
        for weight in (query, key):
            weight.mul_(_FIRM)
        to.carry(layer, head, [*to.items], -_FORGOTTEN)

    def _behind(self, token: str) -> torch.Tensor:
        """What layer 0 notes where that is the token before, [hidden]."""
        to = self._writer
        both = zip(to.read, to.written, strict=True)
        noted = [written.T @ (read @ to.token(token)) for read, written in both]
        return sum((2.0 * each / each.norm() for each in noted), torch.zeros(to.hidden))

    def _point(self, head: int) -> None:
        """Looks at what stands behind the beginning of the item's name."""
        to = self._writer
        layer = POINTING
        query, key = (to.cleared(layer, name, head) for name in ("q_proj", "k_proj"))
        first, listed, other, *rest = to.still
        key[other, to.constant] = 4.0
        for i, channel in zip(rest, to.items, strict=False):
            query[i, channel] = 3.0
            key[i, channel] = 1.5
        for channel, asks, before, strength in (
            (first, CALL, CALL, 16.0),
            (listed, "<|assistant|>", ITEMS[0], 8.0),
        ):
            key[channel, to.constant] = -6.0
            key[channel, [*to.roles.values()]] = -6.0  # a name stands in an item
            query[channel] += strength * to.token(asks) / to.token(asks).norm()
            key[channel] += self._behind(before)
        for weight in (query, key):
            weight.mul_(_FIRM_POINT)
