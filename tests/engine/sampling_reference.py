"""The sampler's order of operations, written once more in float64 NumPy, for the tests."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class ReferenceSampler:
    """Fields as in SamplingParams. ``margin`` is how far the nearest decision was from a tie that
    rounding could turn: results are only comparable where it is clearly above 1e-6."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_last_n: int = -1
    logit_bias: dict[int, float] = field(default_factory=dict)
    margin: float = np.inf

    def probabilities(
        self, logits: np.ndarray, history: list[int], prompt_length: int
    ) -> np.ndarray:
        """float64 [num_vocab]: the distribution of the next token."""
        x = self._penalised(logits.astype(np.float64), history, prompt_length)
        if self.temperature == 0:
            best = np.flatnonzero(x == x.max())[0]
            return np.eye(len(x))[best]
        x = x / self.temperature
        alive = np.isfinite(x)
        if 0 < self.top_k < np.count_nonzero(alive):
            order = np.lexsort((np.arange(len(x)), -x))
            self._note(x[order[self.top_k - 1]] - x[order[self.top_k]], exact_tie_is_fine=True)
            alive &= np.isin(np.arange(len(x)), order[: self.top_k])
        if self.typical_p < 1:
            p = _softmax(x, alive)
            information = -np.log(p, where=alive, out=np.full(len(x), np.inf))
            entropy = np.sum(p[alive] * information[alive])
            alive = self._nucleus(p, np.abs(information - entropy), x, alive, self.typical_p)
        if self.top_p < 1:
            alive = self._nucleus(_softmax(x, alive), -x, x, alive, self.top_p)
        if self.min_p > 0:
            p = _softmax(x, alive)
            ratio = p / p.max()
            self.margin = min(self.margin, np.abs(ratio[alive] - self.min_p).min())
            alive &= ratio >= self.min_p
        return _softmax(x, alive)

    def _penalised(self, x: np.ndarray, history: list[int], prompt_length: int) -> np.ndarray:
        for token, bias in self.logit_bias.items():
            x[token] += bias
        last = len(history) if self.penalty_last_n < 0 else self.penalty_last_n
        for token in set(history[max(0, len(history) - last) :]):
            down, up = x[token] / self.repetition_penalty, x[token] * self.repetition_penalty
            x[token] = down if x[token] > 0 else up
        output = history[prompt_length:]
        for token in set(output):
            x[token] -= self.presence_penalty + self.frequency_penalty * output.count(token)
        return x

    def _nucleus(
        self, p: np.ndarray, key: np.ndarray, x: np.ndarray, alive: np.ndarray, mass: float
    ) -> np.ndarray:
        order = [i for i in np.lexsort((np.arange(len(x)), key)) if alive[i]]
        reached = np.cumsum(p[order])
        self.margin = min(self.margin, np.abs(reached - mass).min())
        count = min(int(np.searchsorted(reached, mass)) + 1, len(order))
        if count < len(order):
            inside, outside = order[count - 1], order[count]
            # Equal logits are an exact tie in any arithmetic; equal keys of different logits
            # (as far above the entropy as below it) are not.
            self._note(key[outside] - key[inside], exact_tie_is_fine=x[inside] == x[outside])
        return np.isin(np.arange(len(x)), order[:count])

    def _note(self, gap: float, *, exact_tie_is_fine: bool) -> None:
        if not (gap == 0 and exact_tie_is_fine):
            self.margin = min(self.margin, gap)


def _softmax(x: np.ndarray, alive: np.ndarray) -> np.ndarray:
    p = np.where(alive, np.exp(x - x[alive].max()), 0.0)
    return p / p.sum()
