"""Requests that run together, stepped by the thread that asks for them, to the last result."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import methodcaller
from typing import TYPE_CHECKING

from pyslm.generation import Generation
from pyslm.prompts import Prompt
from pyslm.request import GenerationResult, SamplingParams, TokenLogprobs
from pyslm.samples import Samples
from pyslm.scores import (
    ContinuationScore,
    continuation_ids,
    logprobs_of,
    pair_ids,
    prompt_scoring,
    score_of,
    vector_of,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pyslm import _native
    from pyslm.model_host import ModelHost

__all__ = ["embed_all", "generate_all", "rerank_all", "score_all"]


def generate_all(
    host: ModelHost, requests: Sequence[tuple[Prompt, SamplingParams]]
) -> list[GenerationResult]:
    """The result of each prompt, in their order. An error of one ends all."""
    queued: list[tuple[Samples, list[Generation]]] = []
    try:
        for prompt, params in requests:
            queued.append((samples := Samples(params), running := []))
            for index, each in enumerate(samples.each):
                request = host.prepare(prompt, each, seed=samples.seed, sample_index=index)
                running.append(Generation(host.loop, request))
        results = [
            samples.choose([generation.finish() for generation in running])
            for samples, running in queued
        ]
    finally:
        for _, running in queued:
            for generation in running:
                generation.abort()
    for index, prompt_logprobs in _prompt_logprobs(host, requests).items():
        results[index] = dataclasses.replace(results[index], prompt_logprobs=prompt_logprobs)
    return results


def embed_all(host: ModelHost, texts: Iterable[Prompt]) -> list[npt.NDArray[np.float32]]:
    """The vector of each text, float32 [hidden]."""
    host.check_embeds()
    return _vectors(host, [host.prompt_ids(text) for text in texts])


def rerank_all(host: ModelHost, query: str, documents: Iterable[str]) -> list[float]:
    """How well each document fits the query."""
    pairs = [pair_ids(host, query, document) for document in documents]
    return [float(vector[0]) for vector in _vectors(host, pairs)]


def _vectors(host: ModelHost, batch: Sequence[list[int]]) -> list[npt.NDArray[np.float32]]:
    for ids in batch:
        host.check_fits(len(ids), output=0)
    with _queued(host, [methodcaller("add_embedding", ids) for ids in batch]) as requests:
        return [vector_of(updates) for updates in requests]


def score_all(
    host: ModelHost, prompt: Prompt, continuations: Iterable[Prompt]
) -> list[ContinuationScore]:
    """The score of each continuation after the prompt, whose blocks they share."""
    host.check_generates()
    texts = [continuation_ids(host, prompt, text) for text in continuations]
    asks = [methodcaller("add_scoring", ids, first, 1) for ids, first in texts]
    with _queued(host, asks) as requests:
        return [score_of(logprobs_of(updates)) for updates in requests]


def _prompt_logprobs(
    host: ModelHost, requests: Sequence[tuple[Prompt, SamplingParams]]
) -> dict[int, tuple[TokenLogprobs, ...]]:
    """By the index of those requests that ask for it; all run together."""
    asks = {
        index: prompt_scoring(host, host.prompt_ids(prompt), params)
        for index, (prompt, params) in enumerate(requests)
        if params.prompt_logprobs is not None
    }
    with _queued(host, filter(None, asks.values())) as found:
        rows = iter(found)
        return {
            index: () if ask is None else logprobs_of(next(rows)) for index, ask in asks.items()
        }


@contextlib.contextmanager
def _queued(
    host: ModelHost, asks: Iterable[Callable[[_native.Engine], int]]
) -> Iterator[list[Iterator[_native.RequestUpdate]]]:
    """The updates of requests that run together; those left at the end are taken out."""
    ids: list[int] = []
    try:
        for ask in asks:
            ids.append(ask(host.loop.engine))
        yield [host.loop.updates(request_id) for request_id in ids]
    finally:
        for request_id in ids:
            host.loop.abort(request_id)
