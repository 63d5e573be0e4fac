"""Heads that copy: some see the token before, and the one before that; others look for where these
came before and write what followed there (induction: Olsson et al. 2022).

Two tokens tell more than one: in 978-3-16-148410-0 a 1 is followed by 6, 4 and 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pyslm.finetune.circuits.writer import Writer

__all__ = ["Copying"]

_SHARPNESS = 1.6  # of queries and of keys
_BEFORE = (0.35, 0.25, 0.15, 0.1, 0.08, 0.07)  # shares of the fastest pairs of channels
_WRITTEN = 0.4  # by layer 0: about as much as a token's own vector
_SECOND = 0.3  # of the token before, beside the present one
_COPIED = 1.5  # by layer 1: more than the vector of the present token


class Copying:
    """Heads 0, 1 and 3 of layer 0, heads 0 and 1 of layer 1."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self) -> None:
        to = self._writer
        for layer in (0, 1):
            to.sharpness(layer, _SHARPNESS)
        for head in (0, 1):
            self._before(head, 1, to.read[head], to.written[head])
            self._induce(head)
        self._before(3, 2, to.read[0], to.earlier)

    def _before(self, head: int, distance: int, read: Tensor, written: Tensor) -> None:
        """Reads a part of the vector of the token that many places before."""
        to = self._writer
        query, key = (to.cleared(0, name, head) for name in ("q_proj", "k_proj"))
        for i, share in enumerate(_BEFORE):
            turn = distance * to.model.config.rope_theta ** (-i / to.pairs)
            key[i, to.constant] = 2.0 * math.sqrt(share)
            query[i, to.constant] = 2.0 * math.sqrt(share) * math.cos(turn)
            query[i + to.pairs, to.constant] = -2.0 * math.sqrt(share) * math.sin(turn)
        to.weight(0, "v_proj", head).copy_(read)
        to.output(0, head).copy_(_WRITTEN * written.T)

    def _induce(self, head: int) -> None:
        """Looks for tokens behind two like the present ones, and writes what they are."""
        to = self._writer
        *channels, flag = to.still
        query, key = (to.cleared(1, name, head) for name in ("q_proj", "k_proj"))
        half = len(channels) // 2
        for part, present, before, weight in (
            (channels[:half], to.read[head], to.written[head], 1.0),
            (channels[half:], to.written[0], to.earlier, _SECOND),
        ):
            kept = int((before.abs().sum(1) > 0).sum())
            mix = torch.linalg.qr(torch.randn(kept, kept, generator=to.generator))[0]
            few = weight * mix[: len(part)]
            query[part] = few @ present[:kept]
            key[part] = few @ before[:kept]
        # What others say need not be foretold, and is copied cleaner without.
        query[flag, [to.item_role, *{*to.roles.values()} - {to.roles["<|assistant|>"]}]] = 8.0
        key[flag, to.item_begins] = -8.0  # of what begins all
        to.weight(1, "v_proj", head).copy_(to.read[head])
        to.output(1, head).copy_(_COPIED * to.read[head].T)
