"""Several samples of one prompt: each is a request of its own in the engine, told apart by the
sample index that its random numbers depend on."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from pyslm.generation import Generation, draw_seed
from pyslm.request import GenerationResult, SamplingParams

__all__ = ["Samples"]


class _Start(Protocol):
    def __call__(self, params: SamplingParams, *, seed: int, sample_index: int) -> Generation: ...


class Samples:
    """The samples of one prompt, from their start to one result."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._generations: list[Generation] = []

    def start(self, start: _Start) -> None:
        """Queues all samples; `start` queues one."""
        params = self._params
        seed = draw_seed(params)
        if self._chooses and params.logprobs is None:
            params = params.replace(logprobs=0)
        for index in range(params.num_samples):
            self._generations.append(start(params, seed=seed, sample_index=index))

    def finish(self) -> GenerationResult:
        """Runs them to their end. The first, or of `best_of` the best, with the others to it."""
        results = [generation.finish() for generation in self._generations]
        if self._chooses:
            results.sort(key=_mean_logprob, reverse=True)
            if self._params.logprobs is None:
                results = [dataclasses.replace(result, logprobs=None) for result in results]
        first, *others = results[: self._params.n]
        return dataclasses.replace(first, alternatives=tuple(others)) if others else first

    def abort(self) -> None:
        """Takes out what is not finished."""
        for generation in self._generations:
            generation.abort()

    @property
    def _chooses(self) -> bool:
        return self._params.num_samples > self._params.n


def _mean_logprob(result: GenerationResult) -> float:
    entries = result.logprobs or ()
    return sum(entry.logprob for entry in entries) / max(len(entries), 1)
