"""`pyslm inspect`, `convert` and `quantize`: what is done with model files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from pyslm.cli.console import JsonOption, ModelArgument, ThreadsOption, output_console, progress_bar
from pyslm.errors import InvalidRequestError
from pyslm.model_info import check_model_path

if TYPE_CHECKING:
    from pyslm.inspect_model import ModelSummary

__all__ = ["convert", "inspect", "quantize"]

ForceOption = Annotated[bool, typer.Option("--force", help="Replace OUT where it exists.")]


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with config.json and *.safetensors.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The GGUF file to write.")],
    dtype: Annotated[str, typer.Option("--type", help="f32, f16, bf16 or q8_0.")] = "f16",
    force: ForceOption = False,
) -> None:
    """Make a GGUF file of a safetensors folder (llama, qwen2, qwen3 and bert families).

    [dim]Example:[/dim]

      pyslm convert Qwen2.5-0.5B-Instruct/ qwen.gguf --type bf16
    """
    from pyslm.convert import convert as convert_folder

    _check_new(out, force)
    with progress_bar("Converting") as progress:
        convert_folder(source, out, dtype, progress=progress)
    _tell_size(out)


def quantize(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A GGUF file, F32, F16 or BF16.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The GGUF file to write.")],
    type_name: Annotated[
        str, typer.Argument(metavar="TYPE", help="Q4_K_M, Q8_0, ...; an unknown one lists them.")
    ],
    threads: ThreadsOption = None,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Accept a source that is quantized already.")
    ] = False,
    token_embedding: Annotated[
        str | None,
        typer.Option("--token-embedding-type", help="Of the embedding, if another: Q8_0, ..."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Make a smaller GGUF file: Q4_K_M is the usual choice, Q8_0 nearly lossless.

    [dim]Example:[/dim]

      pyslm quantize qwen.gguf qwen-q4.gguf Q4_K_M
    """
    from pyslm.quantize import quantize_file

    _check_new(out, force)
    with progress_bar("Quantizing") as progress:
        quantize_file(
            source,
            out,
            type_name,
            progress=lambda name, done, total: progress(done / max(total, 1)),
            threads=threads,
            allow_requantize=requantize,
            token_embedding=token_embedding,
        )
    _tell_size(out, source)


def _check_new(out: Path, force: bool) -> None:
    if out.exists() and not out.is_dir() and not force:
        raise InvalidRequestError(f"{out} exists; give another name, or --force to replace it")


def _tell_size(out: Path, source: Path | None = None) -> None:
    size = out.stat().st_size
    before = f", {size / source.stat().st_size:.0%} of {source.name}" if source else ""
    print(f"{out}: {size / 2**20:,.1f} MiB{before}")


def inspect(
    model: ModelArgument,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is in a GGUF file: architecture, sizes, metadata. Reads no weights.

    [dim]Examples:[/dim]

      pyslm inspect model.gguf

      pyslm inspect model.gguf --tensors --json | jq '.tensors[0]'
    """
    from pyslm.inspect_model import inspect_model

    summary = inspect_model(check_model_path(model))
    if as_json:
        print(summary.to_json(tensors=tensors))
        return
    console = output_console()
    console.print(_overview(summary))
    console.print()
    console.print(_metadata(summary))
    if tensors:
        console.print()
        console.print(_tensors(summary))


def _overview(summary: ModelSummary) -> Table:
    types = (
        f"{name} {use.bytes / 2**20:,.1f} MiB in {use.tensors}"
        for name, use in summary.types.items()
    )
    rows = {
        "model": summary.name or "(no name)",
        "architecture": summary.architecture,
        "parameters": f"{summary.parameters:,}",
        "file": f"{summary.file_bytes / 2**20:,.1f} MiB, GGUF version {summary.version}",
        "tensors": ", ".join(types) or "none (a vocabulary only)",
        "context": f"{summary.context_length:,} tokens" if summary.context_length else "not said",
        "tokenizer": _tokenizer(summary),
        "chat template": "yes" if summary.has_chat_template else "no",
    }
    if len(summary.files) > 1:
        rows["parts"] = str(len(summary.files))
    return _pairs(rows)


def _tokenizer(summary: ModelSummary) -> str:
    kinds = " / ".join(kind for kind in (summary.tokenizer, summary.pre_tokenizer) if kind)
    return f"{kinds or 'none'}, {summary.vocab_size or 0:,} tokens"


def _metadata(summary: ModelSummary) -> Table:
    return _pairs({key: _one_line(value) for key, value in summary.metadata.items()})


def _one_line(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def _tensors(summary: ModelSummary) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("tensor", "type", "shape"):
        table.add_column(column)
    table.add_column("KiB", justify="right")
    for tensor in summary.tensors:
        shape = " x ".join(map(str, tensor.shape))
        table.add_row(Text(tensor.name), tensor.type, shape, f"{tensor.bytes / 1024:,.1f}")
    return table


def _pairs(rows: Mapping[str, str]) -> Table:
    """Names and values; what the file says is shown as it is, never read as markup."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name), Text(value))
    return table
