"""`pyslm tokenize` and `pyslm embed`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pyslm.cli.console import (
    ContextOption,
    JsonOption,
    ModelArgument,
    ThreadsOption,
    load_model,
    output_console,
    read_text,
)
from pyslm.errors import InvalidRequestError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["embed", "tokenize"]


def tokenize(
    model: ModelArgument,
    text: Annotated[str | None, typer.Argument(help="The text; - reads it from stdin.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read the text from a UTF-8 file.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Only the ids, on one line.")] = False,
    as_json: JsonOption = False,
    special: Annotated[
        bool,
        typer.Option(
            "--special/--no-special", help="Add the start and end tokens the model expects."
        ),
    ] = True,
    control: Annotated[
        bool, typer.Option("--control", help='Read "<|...|>" in the text as control tokens.')
    ] = False,
) -> None:
    """Show how a model's tokenizer splits a text. Only the vocabulary is read.

    [dim]Examples:[/dim]

      pyslm tokenize model.gguf "Hello, world"

      pyslm tokenize model.gguf --file book.txt --ids | wc -w
    """
    from pyslm.model_info import check_model_path
    from pyslm.tokenizer import load_tokenizer

    if (text is None) == (file is None):
        raise InvalidRequestError("give either a text or --file (a text of - reads stdin)")
    source = read_text(file) if file else sys.stdin.read() if text == "-" else text or ""
    tokenizer = load_tokenizer(check_model_path(model))
    tokens = tokenizer.encode(source, add_special_tokens=special, parse_special=control)
    if ids:
        print(*tokens)
        return
    pieces = [
        tokenizer.token_bytes(token).decode("utf-8", "backslashreplace")
        or tokenizer.token_text(token)  # control tokens have no text of their own
        for token in tokens
    ]
    if as_json:
        json.dump({"token_ids": tokens, "tokens": pieces}, sys.stdout, ensure_ascii=False)
        print()
        return
    for token, piece in zip(tokens, pieces, strict=True):
        print(f"{token:>8}  {piece!r}")


def embed(
    model: ModelArgument,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="- reads lines of stdin.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a NumPy file (.npy), [n, dim].")
    ] = None,
    as_json: JsonOption = False,
    ctx: ContextOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Turn texts into unit vectors; by default, show how alike they are.

    [dim]Examples:[/dim]

      pyslm embed minilm.gguf "a cat" "a kitten" "a car"

      pyslm embed minilm.gguf - --output vectors.npy < sentences.txt
    """
    if texts == ["-"]:
        texts = sys.stdin.read().splitlines()
    if output is not None and not output.parent.is_dir():
        raise InvalidRequestError(f"{output.parent} is no directory; make it first")
    with load_model(model, context_length=ctx, threads=threads) as llm:
        vectors = llm.embed(texts)
    if output is not None:
        import numpy as np

        with output.open("wb") as file:
            np.save(file, vectors)
    if as_json:
        json.dump({"dim": vectors.shape[1], "embeddings": vectors.tolist()}, sys.stdout)
        print()
    elif output is None:
        console = output_console()
        console.print(f"cosine similarity, {vectors.shape[1]} dimensions", style="dim")
        console.print(_similarities(texts, vectors))


def _similarities(texts: list[str], vectors: npt.NDArray[np.float32]) -> Table:
    """Cosines of each text with each; [n, n] columns are numbered like the rows."""
    table = Table(box=None)
    table.add_column("", justify="right")
    table.add_column("text", overflow="ellipsis", no_wrap=True)
    for number in range(len(texts)):
        table.add_column(str(number + 1), justify="right")
    cosines = vectors @ vectors.T
    for number, text in enumerate(texts):
        table.add_row(str(number + 1), text, *(f"{cosine:.3f}" for cosine in cosines[number]))
    return table
