"""`pyslm inspect`, `convert` and `quantize`: what is done with model files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pyslm.cli.console import JsonOption, ModelArgument, progress_bar
from pyslm.errors import InvalidRequestError

__all__ = ["convert", "inspect", "quantize"]

ForceOption = Annotated[bool, typer.Option("--force", help="Replace OUT where it exists.")]


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with config.json and *.safetensors.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The GGUF file to write.")],
    dtype: Annotated[str, typer.Option("--type", help="f32, f16 or bf16.")] = "f16",
    force: ForceOption = False,
) -> None:
    """Make a GGUF file of a safetensors folder (llama, qwen2, qwen3 and bert families).

    [dim]Example:[/dim]

      pyslm convert Qwen2.5-0.5B-Instruct/ qwen.gguf --type bf16
    """
    from pyslm.convert import convert as convert_folder

    with _new_file(source, out, force) as partial, progress_bar("Converting") as progress:
        convert_folder(source, partial, dtype, progress=progress)
    _tell_size(out)


def quantize(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A GGUF file, F32, F16 or BF16.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The GGUF file to write.")],
    type_name: Annotated[
        str, typer.Argument(metavar="TYPE", help="Q4_K_M, Q8_0, ...; an unknown one lists them.")
    ],
    force: ForceOption = False,
) -> None:
    """Make a smaller GGUF file: Q4_K_M is the usual choice, Q8_0 nearly lossless.

    [dim]Example:[/dim]

      pyslm quantize qwen.gguf qwen-q4.gguf Q4_K_M
    """
    from pyslm.quantize import quantize_file

    with _new_file(source, out, force) as partial, progress_bar("Quantizing") as progress:
        quantize_file(source, partial, type_name, progress=progress)
    _tell_size(out, source)


@contextlib.contextmanager
def _new_file(source: Path, out: Path, force: bool) -> Iterator[Path]:
    """A path beside OUT to write to, which becomes OUT once all is well."""
    if out.is_dir():
        raise InvalidRequestError(f"{out} is a directory; give the name of a file")
    if out.exists() and source.exists() and out.samefile(source):
        raise InvalidRequestError(f"OUT is the same file as the source, {source}")
    if out.exists() and not force:
        raise InvalidRequestError(f"{out} exists; give another name, or --force to replace it")
    if not out.parent.is_dir():
        raise InvalidRequestError(f"{out.parent} is no directory; make it first")
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        yield partial
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


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
    from pyslm.model_info import check_model_path

    raise NotImplementedError(str(inspect_model(check_model_path(model))))
