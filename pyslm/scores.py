"""Numbers that requests give: how likely given tokens are, and the vectors of texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pyslm.errors import EngineError, InvalidRequestError, UnsupportedModelError
from pyslm.generation import error_of, token_logprobs
from pyslm.prompts import Prompt
from pyslm.request import SamplingParams, TokenLogprobs

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pyslm import _native
    from pyslm.model_host import ModelHost

__all__ = [
    "ContinuationScore",
    "continuation_ids",
    "logprobs_of",
    "pair_ids",
    "prompt_scoring",
    "score_of",
    "vector_of",
]


@dataclasses.dataclass(frozen=True, slots=True)
class ContinuationScore:
    """The log-likelihood of a continuation after its prompt."""

    logprob: float
    """Natural logarithm of the probability of the whole continuation: the sum over its tokens."""
    is_greedy: bool
    """Every token is the most likely one at its place."""
    tokens: tuple[TokenLogprobs, ...]
    """Each token of the continuation, with the most likely one beside it."""


def continuation_ids(
    host: ModelHost, prompt: Prompt, continuation: Prompt
) -> tuple[list[int], int]:
    """Prompt and continuation as one list of token ids, and where the continuation begins.

    Text is tokenized as a whole, so that tokens come out as they would in a running text; the
    continuation begins with the first token that differs from those of the prompt alone. It may
    hold the prompt's last letters, where one token spans both.
    """
    before = host.prompt_ids(prompt)
    if isinstance(prompt, str) and isinstance(continuation, str):
        ids = host.prompt_ids(prompt + continuation)
    elif isinstance(continuation, str):
        ids = before + host.tokenizer.encode(
            continuation, add_special_tokens=False, parse_special=False
        )
    else:
        ids = before + host.prompt_ids(continuation)
    differing = (i for i, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b)
    first = next(differing, min(len(before), len(ids)))
    if first == len(ids):
        raise InvalidRequestError("a continuation is empty; give at least one token")
    if first == 0:
        raise InvalidRequestError(
            "one token spans the prompt and the beginning of a continuation, and none stands "
            "before it to tell how likely it is; give a longer prompt, or token ids"
        )
    host.check_fits(len(ids), output=0)
    return ids, first


def pair_ids(host: ModelHost, query: str, document: str) -> list[int]:
    """Query and document as a reranker reads them: [CLS] query [SEP] document [SEP].

    Raises:
        UnsupportedModelError: the model is no reranker.
    """
    if host.info.pooling != "rank":
        raise UnsupportedModelError(
            f"this {host.info.architecture} model has no head that ranks; use embed(), or a "
            "reranker (pooling type 4)"
        )
    encode = partial(host.tokenizer.encode, add_special_tokens=True, parse_special=False)
    return encode(query) + encode(document)[1:]


def prompt_scoring(
    host: ModelHost, ids: list[int], params: SamplingParams
) -> Callable[[_native.Engine], int] | None:
    """What asks an engine how likely a prompt is itself, as `params` want to know it.

    None where nothing stands before the first token. As with the request itself, what is computed
    of the prompt is shared with requests of its salt only.
    """
    if len(ids) < 2:
        return None
    adapter = host.adapters.id_of(params.adapter)
    return lambda engine: engine.add_scoring(
        ids,
        1,
        params.prompt_logprobs or 0,
        cache_salt=params.cache_salt,
        priority=params.priority,
        adapter=adapter,
    )


def logprobs_of(updates: Iterable[_native.RequestUpdate]) -> tuple[TokenLogprobs, ...]:
    """What a scoring request has found, from all of its updates.

    Raises:
        EngineError: it failed.
    """
    found: list[TokenLogprobs] = []
    for update in updates:
        if update.finish == "error":
            raise error_of(update)
        found += map(token_logprobs, update.logprobs)
    return tuple(found)


def vector_of(updates: Iterable[_native.RequestUpdate]) -> npt.NDArray[np.float32]:
    """What an embedding request has found: float32 [hidden].

    Raises:
        EngineError: it failed.
    """
    for update in updates:
        if update.embedding is not None:
            return update.embedding
        if update.finish is not None:
            raise error_of(update)
    raise EngineError("a request for a vector ended without one")


def score_of(tokens: Sequence[TokenLogprobs]) -> ContinuationScore:
    """Of the tokens of a continuation, each with at least its most likely rival."""
    return ContinuationScore(
        logprob=sum(token.logprob for token in tokens),
        is_greedy=all(token.token_id == token.top[0][0] for token in tokens),
        tokens=tuple(tokens),
    )
