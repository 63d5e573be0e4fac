"""Scores of texts, by the engine of the worker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyslm.async_steps import Running
from pyslm.model_host import ModelHost
from pyslm.scores import continuation_ids, logprobs_of, pair_ids, score_of, vector_of
from pyslm.serve.protocol.scores import (
    LikelihoodRequest,
    LikelihoodResult,
    PairsRequest,
    PairsResult,
)

if TYPE_CHECKING:
    from pyslm import _native
    from pyslm._native import RequestUpdate

    _Ask = Callable[[_native.Engine], int]

__all__ = ["likelihoods", "score_pairs", "vectors"]

_AT_A_TIME = 32


async def vectors(
    host: ModelHost,
    batch: Sequence[list[int]],
    adapter: str | None = None,
    cache_salt: str = "",
) -> list[npt.NDArray[np.float32]]:
    """Of token ids, float32 [hidden] each."""
    number = host.adapters.id_of(adapter)
    asks = [partial(_ask_vector, ids, number, cache_salt) for ids in batch]
    return [vector_of(updates) async for updates in _answers(host, asks)]


async def score_pairs(host: ModelHost, request: PairsRequest) -> PairsResult:
    """By the model's head for it, or by the vectors of the texts."""
    salt = request.cache_salt
    if host.info.pooling == "rank":
        ids = await asyncio.to_thread(_ids_of_pairs, host, request.pairs)
        found = [float(v[0]) for v in await vectors(host, ids, request.adapter, salt)]
        return PairsResult(scores=found, are_logits=True, num_tokens=sum(map(len, ids)))
    texts = list(dict.fromkeys(text for pair in request.pairs for text in pair))
    ids = await asyncio.to_thread(_ids_of_texts, host, texts)
    rows = await vectors(host, ids, request.adapter, salt)
    known = dict(zip(texts, rows, strict=True))
    cosines = [float(known[first] @ known[second]) for first, second in request.pairs]
    return PairsResult(scores=cosines, are_logits=False, num_tokens=sum(map(len, ids)))


async def likelihoods(host: ModelHost, request: LikelihoodRequest) -> LikelihoodResult:
    """Continuations share what is computed of the prompt."""
    host.check_generates()
    number = host.adapters.id_of(request.adapter)
    texts = await asyncio.to_thread(_split, host, request)
    asks = [partial(_ask_scores, ids, first, number, request.cache_salt) for ids, first in texts]
    found = [score_of(logprobs_of(updates)) async for updates in _answers(host, asks)]
    return LikelihoodResult(
        logprobs=[score.logprob for score in found],
        are_greedy=[score.is_greedy for score in found],
        lengths=[len(score.tokens) for score in found],
        num_tokens=sum(len(ids) for ids, _ in texts),
    )


async def _answers(host: ModelHost, asks: Sequence[_Ask]) -> AsyncIterator[list[RequestUpdate]]:
    """The updates of each, in their order. A few run at a time: many inputs of one client neither
    fill the engine's queue nor hold up the others."""
    running: deque[Running] = deque()
    waiting = iter(asks)
    try:
        for ask in islice(waiting, _AT_A_TIME):
            running.append(host.async_steps.start(ask))
        while running:
            updates = await running[0].all_updates()
            running.popleft()
            for ask in islice(waiting, 1):
                running.append(host.async_steps.start(ask))
            yield updates
    finally:
        for request in running:
            request.abort()


def _split(host: ModelHost, request: LikelihoodRequest) -> list[tuple[list[int], int]]:
    return [continuation_ids(host, request.prompt, text) for text in request.continuations]


def _ids_of_pairs(host: ModelHost, pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
    return _fitting(host, [pair_ids(host, first, second) for first, second in pairs])


def _ids_of_texts(host: ModelHost, texts: Sequence[str]) -> list[list[int]]:
    return _fitting(host, [host.prompt_ids(text) for text in texts])


def _fitting(host: ModelHost, batch: list[list[int]]) -> list[list[int]]:
    for ids in batch:
        host.check_fits(len(ids), output=0)
    return batch


def _ask_vector(ids: list[int], adapter: int, cache_salt: str, engine: _native.Engine) -> int:
    return engine.add_embedding(ids, cache_salt=cache_salt, adapter=adapter)


def _ask_scores(
    ids: list[int], first: int, adapter: int, cache_salt: str, engine: _native.Engine
) -> int:
    return engine.add_scoring(ids, first, 1, cache_salt=cache_salt, adapter=adapter)
