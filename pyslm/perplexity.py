"""How well a model predicts a text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyslm.errors import InvalidRequestError

if TYPE_CHECKING:
    from pyslm.llm import LLM

__all__ = ["Perplexity", "measure_perplexity"]


@dataclasses.dataclass(frozen=True, slots=True)
class Perplexity:
    """The perplexity of a text under a model."""

    perplexity: float
    standard_error: float
    """Of the perplexity, from the spread of the log-probabilities of single tokens."""
    scored_tokens: int
    context: int


def measure_perplexity(
    llm: LLM, text: str, progress: Callable[[float], None] = lambda fraction: None
) -> Perplexity:
    """Perplexity over windows as long as the model's context; the second half of each counts.

    Raises:
        InvalidRequestError: a text shorter than one window.
    """
    tokens = llm.tokenize(text)
    window = llm.info.context_length
    if len(tokens) < window:
        raise InvalidRequestError(
            f"the text has {len(tokens)} tokens; at least one window of {window} is needed"
        )
    scores: list[npt.NDArray[np.float64]] = []
    num_windows = len(tokens) // window
    for index, start in enumerate(range(0, num_windows * window, window)):
        scores.append(_score(llm, tokens[start : start + window]))
        progress((index + 1) / num_windows)
    logprobs = np.concatenate(scores)
    mean = float(-logprobs.mean())
    error = float(logprobs.std(ddof=1)) / math.sqrt(len(logprobs))
    return Perplexity(math.exp(mean), math.exp(mean) * error, len(logprobs), window)


def _score(llm: LLM, tokens: list[int]) -> npt.NDArray[np.float64]:
    """Log-probabilities, float64 [n/2], of the second half of a window's tokens."""
    first = len(tokens) // 2
    logits = llm.logits(tokens)[first - 1 : -1].astype(np.float64)
    top = logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    logprobs: npt.NDArray[np.float64] = logits[np.arange(len(logits)), tokens[first:]] - log_total
    return logprobs
