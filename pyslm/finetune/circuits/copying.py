"""Heads that copy: one that sees the token before, and one that looks for where the present token
came before and writes what followed there (induction: Olsson et al. 2022)."""

from __future__ import annotations

import math

import torch

from pyslm.finetune.circuits.writer import Writer

__all__ = ["Copying"]

_SHARPNESS = 1.6  # of queries and of keys
_BEFORE = (0.35, 0.25, 0.15, 0.1, 0.08, 0.07)  # shares of the fastest pairs of channels
_WRITTEN = 0.4  # by layer 0: about as much as a token's own vector
_COPIED = 1.5  # by layer 1: more than the vector of the present token


class Copying:
    """Heads 0 and 1 of layers 0 and 1."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self) -> None:
        for layer in (0, 1):
            self._writer.sharpness(layer, _SHARPNESS)
        for head in (0, 1):
            self._before(head)
            self._induce(head)

    def _before(self, head: int) -> None:
        """Reads a part of the vector of the token before."""
        to = self._writer
        query, key = (to.cleared(0, name, head) for name in ("q_proj", "k_proj"))
        for i, share in enumerate(_BEFORE):
            turn = to.model.config.rope_theta ** (-i / to.pairs)
            key[i, to.constant] = 2.0 * math.sqrt(share)
            query[i, to.constant] = 2.0 * math.sqrt(share) * math.cos(turn)
            query[i + to.pairs, to.constant] = -2.0 * math.sqrt(share) * math.sin(turn)
        to.weight(0, "v_proj", head).copy_(to.read[head])
        to.output(0, head).copy_(_WRITTEN * to.written[head].T)

    def _induce(self, head: int) -> None:
        """Looks for tokens behind one like the present, and writes what they are."""
        to = self._writer
        *channels, flag = to.still
        mix = torch.linalg.qr(torch.randn(to.dim, to.dim, generator=to.generator))[0]
        few = mix[: len(channels)]
        query, key = (to.cleared(1, name, head) for name in ("q_proj", "k_proj"))
        query[channels] = few @ to.read[head]
        key[channels] = few @ to.written[head]
        # What others say need not be foretold, and is copied cleaner without.
        query[flag, [to.item_role, *{*to.roles.values()} - {to.roles["<|assistant|>"]}]] = 8.0
        key[flag, to.item_begins] = -8.0  # of what begins all
        to.weight(1, "v_proj", head).copy_(to.read[head])
        to.output(1, head).copy_(_COPIED * to.read[head].T)
