"""What is compared before a request goes on, step by step, and many requests at a time."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Protocol, cast

from pyslm.request import GenerationResult, SamplingParams

__all__ = ["AsyncGenerate", "Comparison", "Generate", "Steps", "weigh", "weigh_all"]

Generate = Callable[[list[list[int]], list[SamplingParams]], list[GenerationResult]]
"""`LLM.generate`."""
AsyncGenerate = Callable[[list[list[int]], list[SamplingParams]], Awaitable[list[GenerationResult]]]
"""`AsyncLLM.generate`."""
Steps = Generator[list[SamplingParams], list[GenerationResult], SamplingParams]
"""Of a comparison; it yields no empty list."""


class Comparison(Protocol):
    """What is compared for one request."""

    def steps(self) -> Steps:
        """Yields what is to be made next, is sent what came of it, and returns how to go on."""


async def weigh(
    generate: AsyncGenerate, prompt: Sequence[int], comparison: Comparison
) -> SamplingParams:
    """The parameters with which the request does what is best for it."""
    steps = comparison.steps()
    wanted = next(steps)
    while True:
        results = await generate([list(prompt)] * len(wanted), wanted)
        try:
            wanted = steps.send(results)
        except StopIteration as end:
            return cast("SamplingParams", end.value)


def weigh_all(
    generate: Generate, prompts: Sequence[Sequence[int]], comparisons: Sequence[Comparison]
) -> list[SamplingParams]:
    """As `weigh`, for many requests at a time."""
    steps = [comparison.steps() for comparison in comparisons]
    wanted = {i: next(each) for i, each in enumerate(steps)}
    decided: dict[int, SamplingParams] = {}
    while wanted:
        pairs = [(list(prompts[i]), params) for i, some in wanted.items() for params in some]
        made = iter(generate(*map(list, zip(*pairs, strict=True))))
        for i, some in list(wanted.items()):
            try:
                wanted[i] = steps[i].send(list(itertools.islice(made, len(some))))
            except StopIteration as end:
                decided[i] = end.value
                del wanted[i]
    return [decided[i] for i in range(len(steps))]
