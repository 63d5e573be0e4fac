"""`pyslm perplexity`: how well a model predicts a text."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
import typer

from pyslm.cli.console import (
    JsonOption,
    KvTypeOption,
    ModelArgument,
    ThreadsOption,
    load_model,
    progress_bar,
    read_text,
)
from pyslm.errors import InvalidRequestError

if TYPE_CHECKING:
    from pyslm.llm import LLM

__all__ = ["Perplexity", "measure_perplexity", "perplexity"]


@dataclasses.dataclass(frozen=True, slots=True)
class Perplexity:
    """The perplexity of a text under a model."""

    perplexity: float
    standard_error: float
    """Of the perplexity, from the spread of the log-probabilities of single tokens."""
    scored_tokens: int
    context: int


def perplexity(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A UTF-8 text.")],
    ctx: Annotated[int, typer.Option("--ctx", min=8, help="Window in tokens.")] = 512,
    threads: ThreadsOption = None,
    kv_type: KvTypeOption = "f16",
    as_json: JsonOption = False,
) -> None:
    """Measure how well a model predicts a text: lower is better.

    The text is cut into windows of --ctx tokens; the second half of each is scored, so that every
    scored token has at least half a window before it.

    [dim]Example:[/dim]

      pyslm perplexity model.gguf wiki.test.raw
    """
    text = read_text(file)
    with (
        load_model(
            model, context_length=ctx, threads=threads, kv_type=kv_type, max_sequences=1
        ) as llm,
        progress_bar("Scoring") as progress,
    ):
        result = measure_perplexity(llm, text, progress)
    if as_json:
        json.dump({"model": str(model), **dataclasses.asdict(result)}, sys.stdout)
        print()
        return
    print(
        f"perplexity {result.perplexity:.4f} ± {result.standard_error:.4f} "
        f"({result.scored_tokens} tokens, windows of {result.context})"
    )


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
