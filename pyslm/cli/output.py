"""Answers on the terminal: text as it comes, and a line of counts and speeds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from pyslm.errors import EngineError
from pyslm.request import GenerationResult, StreamChunk

__all__ = ["finish", "show", "show_stats", "write"]


def finish(chunks: Iterable[StreamChunk], each: Callable[[str], None]) -> GenerationResult:
    """Runs a stream to its end, calling `each` with the texts as they come."""
    result: GenerationResult | None = None
    for chunk in chunks:
        each(chunk.text)
        result = chunk.result
    if result is None:
        raise EngineError("a stream ended without a result")
    return result


def show(chunks: Iterable[StreamChunk]) -> GenerationResult:
    """Writes a stream to stdout as it comes, and a line end after it."""
    result = finish(chunks, write)
    if not result.text.endswith("\n"):
        write("\n")
    return result


def write(text: str) -> None:
    """To stdout, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def show_stats(result: GenerationResult, load_seconds: float | None = None) -> None:
    """One line on stderr."""
    usage, timings = result.usage, result.timings
    prompt_speed = usage.prompt_tokens / max(timings.prompt_seconds, 1e-9)
    parts = [
        f"prompt {usage.prompt_tokens} tokens, {prompt_speed:,.1f}/s",
        f"output {usage.completion_tokens} tokens, {timings.tokens_per_second:,.1f}/s",
        f"ended by {result.finish_reason}",
        f"seed {result.seed}",
    ]
    if load_seconds is not None:
        parts.insert(0, f"loaded in {load_seconds:.2f} s")
    print(f"[{'  '.join(parts)}]", file=sys.stderr)
