"""Several samples of one prompt: each is a request of its own in the engine, told apart by the
sample index that its random numbers depend on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pyslm.errors import InvalidRequestError
from pyslm.generation import draw_seed
from pyslm.request import GenerationResult, SamplingParams

__all__ = ["Samples", "check_streams"]


class Samples:
    """What to draw for one prompt, and which of it comes back."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self.seed = draw_seed(params)
        """Of all samples."""

    @property
    def each(self) -> list[SamplingParams]:
        """The parameters of each sample, in the order of their index."""
        params = self._params
        if self._chooses and params.logprobs is None:
            params = params.replace(logprobs=0)
        return [params] * params.num_samples

    def choose(self, results: Sequence[GenerationResult]) -> GenerationResult:
        """The first, or of `best_of` the best, with the others to it."""
        ordered = list(results)
        if self._chooses:
            ordered.sort(key=_mean_logprob, reverse=True)
            if self._params.logprobs is None:
                ordered = [dataclasses.replace(result, logprobs=None) for result in ordered]
        first, *others = ordered[: self._params.n]
        return dataclasses.replace(first, alternatives=tuple(others)) if others else first

    @property
    def _chooses(self) -> bool:
        return self._params.num_samples > self._params.n


def check_streams(params: SamplingParams) -> None:
    """An InvalidRequestError for what only whole results can give."""
    if params.num_samples > 1 or params.prompt_logprobs is not None:
        raise InvalidRequestError(
            "a stream gives one sample and no prompt_logprobs, but "
            f"n is {params.n}, best_of {params.best_of}, "
            f"prompt_logprobs {params.prompt_logprobs}; use generate()"
        )


def _mean_logprob(result: GenerationResult) -> float:
    entries = result.logprobs or ()
    return sum(entry.logprob for entry in entries) / max(len(entries), 1)
