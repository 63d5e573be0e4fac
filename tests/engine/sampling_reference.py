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
    top_n_sigma: float = 0.0
    xtc_probability: float = 0.0  # 0 or 1: whether a draw falls below is not modelled here
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: list[str] = field(default_factory=lambda: ["\n", ":", '"', "*"])
    allowed_token_ids: list[int] = field(default_factory=list)
    bad_token_ids: list[list[int]] = field(default_factory=list)
    bad_words: list[str] = field(default_factory=list)
    min_tokens: int = 0
    max_tokens: int = 256
    token_bytes: list[bytes] = field(default_factory=list)
    end_tokens: list[int] = field(default_factory=list)
    margin: float = np.inf

    def probabilities(
        self, logits: np.ndarray, history: list[int], prompt_length: int
    ) -> np.ndarray:
        """float64 [num_vocab]: the distribution of the next token."""
        x = self._restricted(logits.astype(np.float64), history, prompt_length)
        if not np.isfinite(x).any():
            return np.zeros(len(x))
        x = self._penalised(x, history, prompt_length)
        x = self._without_repetition(x, history)
        if self.temperature == 0:
            best = np.flatnonzero(x == x.max())[0]
            return np.eye(len(x))[best]
        alive = np.isfinite(x)
        if self.top_n_sigma > 0:
            threshold = x.max() - self.top_n_sigma * x[alive].std()
            self.margin = min(self.margin, np.abs(x[alive] - threshold).min())
            alive &= x >= threshold
        x = np.where(alive, x / self.temperature, -np.inf)
        if 0 < self.top_k < np.count_nonzero(alive):
            order = np.lexsort((np.arange(len(x)), -x))
            self._note(x[order[self.top_k - 1]] - x[order[self.top_k]], exact_tie_is_fine=True)
            alive &= np.isin(np.arange(len(x)), order[: self.top_k])
        if self.typical_p < 1:
            p = _softmax(x, alive)
            # What is alive may still be too unlikely for a float64.
            information = -np.log(p, where=p > 0, out=np.full(len(x), -np.inf))
            entropy = np.sum(p[p > 0] * information[p > 0])
            alive = self._nucleus(p, np.abs(information - entropy), x, alive, self.typical_p)
        if self.top_p < 1:
            alive = self._nucleus(_softmax(x, alive), -x, x, alive, self.top_p)
        if self.min_p > 0:
            p = _softmax(x, alive)
            ratio = p / p.max()
            self.margin = min(self.margin, np.abs(ratio[alive] - self.min_p).min())
            alive &= ratio >= self.min_p
        if self.xtc_probability == 1:
            p = _softmax(x, alive)
            self.margin = min(self.margin, np.abs(p[alive] - self.xtc_threshold).min())
            top = sorted(
                np.flatnonzero(alive & (p >= self.xtc_threshold)), key=lambda i: (-p[i], i)
            )
            alive[top[:-1]] = False
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

    def _restricted(self, x: np.ndarray, history: list[int], prompt_length: int) -> np.ndarray:
        output = history[prompt_length:]
        text = b"".join(self.token_bytes[t] for t in output) if self.token_bytes else b""
        for token in range(len(x)):
            new = [*output, token]
            if self.allowed_token_ids and token not in self.allowed_token_ids:
                x[token] = -np.inf
            if any(new[-len(bad) :] == bad for bad in self.bad_token_ids):
                x[token] = -np.inf
            if self.token_bytes:
                grown = text + self.token_bytes[token]
                for word in map(str.encode, self.bad_words):
                    if grown.find(word, max(0, len(text) - len(word) + 1)) >= 0 and grown != text:
                        x[token] = -np.inf
            if token in self.end_tokens and len(output) < self.min_tokens:
                x[token] = -np.inf
        return x

    def _without_repetition(self, x: np.ndarray, history: list[int]) -> np.ndarray:
        last = len(history) if self.dry_penalty_last_n < 0 else self.dry_penalty_last_n
        window = history[max(0, len(history) - last) :]
        limit = self._tokens_after_breaker(window)
        longest: dict[int, int] = {}
        for j in range(1, len(window)):
            n = 0
            while n < min(j, limit) and window[j - 1 - n] == window[-1 - n]:
                n += 1
            longest[window[j]] = max(longest.get(window[j], 0), n)
        for token, n in longest.items():
            if n >= self.dry_allowed_length:
                x[token] -= self.dry_multiplier * self.dry_base ** (n - self.dry_allowed_length)
        return x

    def _tokens_after_breaker(self, window: list[int]) -> int:
        """The longest end of the window before which a breaker may stand, and in which no part of
        one does."""
        if not self.token_bytes:
            return len(window)
        text = b"".join(self.token_bytes[t] for t in window)
        breakers = [b.encode() for b in self.dry_sequence_breakers]
        ends = [i + len(b) for b in breakers for i in range(len(text)) if text[i:].startswith(b)]
        count, begin = 0, len(text)
        while count < len(window):
            begin -= len(self.token_bytes[window[-1 - count]])
            if begin < max(ends, default=0):
                break
            count += 1
        return count

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
