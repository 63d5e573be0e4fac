"""`pyslm perplexity`: how well a model predicts a text."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

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

__all__ = ["perplexity"]


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
    from pyslm.perplexity import measure_perplexity

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
