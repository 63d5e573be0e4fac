"""Finds the vectors: sums of them shall be as near to each other as the teacher's vectors."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Learner", "LearnerConfig", "Text", "joined"]

_Vectors = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class LearnerConfig:
    """Numbers that are known to work."""

    dimensions: int = 128
    steps: int = 2000
    shares: Mapping[str, int] = dataclasses.field(
        default_factory=lambda: {"own": 154, "definitions": 102}
    )
    """Groups of each kind that a step takes."""
    members: int = 4
    """Texts of a group that a step takes at most."""
    learning_rate: float = 0.02
    warmup_steps: int = 50
    near: float = 16.0
    """How much more pairs count that the teacher finds near, by the square of their cosine."""
    fit: float = 0.03
    """Of the loss: that a request is for its own tool, and for no other of the step."""
    seed: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """A text's tokens, and the teacher's vector of length 1."""

    ids: Tensor
    vector: Tensor


class Learner:
    """Learns by Adam."""

    def __init__(
        self, groups: Mapping[str, Sequence[Sequence[Text]]], num_tokens: int, config: LearnerConfig
    ) -> None:
        """
        Args:
            groups: by kind, as `texts` has them; requests of the kind "own" are told their tool.
        """
        self._groups = groups
        self._config = config
        self._rng = random.Random(config.seed)
        generator = torch.Generator().manual_seed(config.seed)
        directions = torch.randn(num_tokens, config.dimensions, generator=generator)
        self._directions = torch.nn.Parameter(0.1 * directions)
        self._lengths = torch.nn.Parameter(_rarity(groups, num_tokens))
        self._slope = torch.nn.Parameter(torch.tensor(10.0))
        self._bias = torch.nn.Parameter(torch.tensor(-4.0))

    def run(self, report: Callable[[int, float], None] | None = None) -> _Vectors:
        """Learns, and gives the vectors, [tokens, dimensions].

        Args:
            report: called with each step's number and loss.
        """
        config = self._config
        table = [self._directions, self._lengths]
        rate = config.learning_rate
        optimizer = torch.optim.Adam(
            [{"params": table}, {"params": [self._slope, self._bias]}], lr=rate, betas=(0.9, 0.99)
        )
        for step in range(config.steps):
            rising = min(1.0, (step + 1) / config.warmup_steps)
            optimizer.param_groups[0]["lr"] = rate * rising * max(0.02, 1 - step / config.steps)
            loss = self._loss()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if report is not None:
                report(step + 1, loss.item())
        with torch.no_grad():
            vectors: _Vectors = (self._directions * self._lengths.exp()[:, None]).numpy()
        return vectors

    def _loss(self) -> Tensor:
        texts, groups, own, first = self._drawn()
        sums = self._sums(texts)
        nearness = sums @ sums.T
        wanted = (vectors := torch.stack([text.vector for text in texts])) @ vectors.T
        others = ~torch.eye(len(texts), dtype=torch.bool)
        weight = 1 + self._config.near * wanted.clamp(min=0).square()
        loss = (weight * (nearness - wanted).square())[others].mean()
        if not self._config.fit:
            return loss
        pairs = first[None, :] & ~first[:, None] & own[None, :]
        fits = (groups[:, None] == groups[None, :]).float()
        told = functional.binary_cross_entropy_with_logits(
            (self._slope * nearness + self._bias)[pairs], fits[pairs],
            pos_weight=torch.tensor(10.0),
        )  # fmt: skip
        return loss + self._config.fit * told

    def _drawn(self) -> tuple[list[Text], Tensor, Tensor, Tensor]:
        """Texts; each one's group, whether that is one of ours, and whether it is its first."""
        texts: list[Text] = []
        groups: list[int] = []
        own: list[bool] = []
        first: list[bool] = []
        for kind, count in self._config.shares.items():
            known = self._groups[kind]
            for group in self._rng.sample(known, min(count, len(known))):
                number = groups[-1] + 1 if groups else 0
                more = list(group[1:])
                taken = self._rng.sample(more, min(len(more), self._config.members - 1))
                texts += [group[0], *taken]
                groups += [number] * (1 + len(taken))
                own += [kind == "own"] * (1 + len(taken))
                first += [True, *[False] * len(taken)]
        return texts, torch.tensor(groups), torch.tensor(own), torch.tensor(first)

    def _sums(self, texts: Sequence[Text]) -> Tensor:
        """Of length 1, [texts, dimensions]."""
        ids = torch.cat([text.ids for text in texts])
        begins = torch.tensor([0, *(len(text.ids) for text in texts[:-1])]).cumsum(0)
        lengths = self._lengths[ids].exp()
        sums = functional.embedding_bag(
            ids, self._directions, begins, mode="sum", per_sample_weights=lengths
        )
        return functional.normalize(sums, dim=1, eps=1e-6)


def _rarity(groups: Mapping[str, Sequence[Sequence[Text]]], num_tokens: int) -> Tensor:
    """Logarithms of how much tokens tell at first: the less often they come, the more."""
    ids = [text.ids for kind in groups.values() for group in kind for text in group]
    counts = torch.bincount(torch.cat(ids), minlength=num_tokens).float()
    return torch.log(0.003 / (0.003 + counts / counts.sum()))


def joined(tables: Sequence[_Vectors]) -> _Vectors:
    """One table for several of the same tokens, [tokens, dimensions of the first].

    Sums are as near by it as by all together, up to the directions in which they differ least: what
    learners that began elsewhere agree upon is less by chance.
    """
    together = np.concatenate(tables, axis=1)
    _, directions = np.linalg.eigh(together.T.astype(np.float64) @ together)
    kept = directions[:, -tables[0].shape[1] :].astype(np.float32)
    vectors: _Vectors = together @ kept
    return vectors
