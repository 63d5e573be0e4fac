"""`pyslm pull`, `list`, `show`, `rm` and `cp`: the models of this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from pyslm.cli.console import JsonOption, error_console, output_console
from pyslm.cli.model_tables import (
    catalog_table,
    facts_table,
    model_table,
    size_text,
    variants_table,
)

if TYPE_CHECKING:
    from pyslm.hub import CatalogModel, Choice, PullProgress, StoredModel

__all__ = ["cp", "list_models", "pull", "rm", "show"]

NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="As qwen2.5:0.5b, phi-4-mini or hf:owner/repo:Q4_K_M."),
]


def pull(
    name: NameArgument,
    force: Annotated[bool, typer.Option("--force", help="Fetch it though it is here.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Download a model from Hugging Face, verified; an interrupted download is resumed.

    Without a quantization, the variant that suits this machine is taken: `pyslm show` tells why.
    HF_ENDPOINT names a mirror, HF_TOKEN a token, HF_HOME where files are kept.

    [dim]Examples:[/dim]

      pyslm pull qwen2.5:0.5b

      pyslm pull hf:Qwen/Qwen3-4B-GGUF:Q4_K_M
    """
    from pyslm.hub import ModelStore

    with _download_bar(name) as tell:
        model = ModelStore().pull(name, tell, force=force)
    if as_json:
        _print_json(_record(model))
    else:
        print(f"{model.name}: {size_text(model.size_bytes)}, {model.quant or 'GGUF'}, {model.path}")


def list_models(
    pattern: Annotated[
        str | None, typer.Argument(metavar="[PREFIX]", help="Only names that begin so.")
    ] = None,
    catalog: Annotated[
        bool, typer.Option("--catalog", help="Those that can be pulled by a short name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models on this machine: pulled ones, Ollama's, and those in Hugging Face's cache.

    [dim]Examples:[/dim]

      pyslm list

      pyslm list --catalog qwen
    """
    from pyslm.hub import ModelStore

    store = ModelStore()
    start = (pattern or "").lower()
    if catalog:
        known = [m for m in store.catalog.models if m.name.startswith(start)]
        if as_json:
            _print_json([dataclasses.asdict(model) for model in known])
        else:
            output_console().print(catalog_table(known))
        return
    found = [model for model in store.list() if model.name.lower().startswith(start)]
    if as_json:
        _print_json([_record(model) for model in found])
    else:
        output_console().print(model_table(found))


def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show what is known of a model: its variants, which one suits this machine, and why.

    [dim]Examples:[/dim]

      pyslm show qwen2.5:7b

      pyslm show phi-4-mini --json
    """
    from pyslm.errors import ModelNotFoundError
    from pyslm.hub import Hardware, ModelStore, choose_variant

    store = ModelStore()
    about = store.describe(name)
    here: StoredModel | None = None
    try:
        here = store.find(name)
    except ModelNotFoundError:
        if about is None:
            raise
    choice: Choice | None = None
    if about is not None:
        choice = choose_variant(about.variants, about.parameters, Hardware.here())
    if as_json:
        _print_json(_shown(about, here, choice))
        return
    console = output_console()
    console.print(facts_table(about, here))
    if choice:
        console.print()
        console.print(variants_table(choice))
        console.print(Text(f"{choice.variant.quant}: {choice.reason}"))


def rm(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="As `pyslm list` shows.")],
) -> None:
    """Remove models; a file goes with its last name. Ollama's own models are left to Ollama.

    [dim]Example:[/dim]

      pyslm rm qwen2.5:0.5b
    """
    from pyslm.hub import ModelStore

    store = ModelStore()
    for name in names:
        print(f"deleted {store.remove(name).name!r}")


def cp(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A name, or a GGUF file.")],
    destination: Annotated[str, typer.Argument(metavar="NAME", help="As mine or team/mine:v2.")],
) -> None:
    """Give a model another name; a file that is named by its path is copied into the store.

    [dim]Examples:[/dim]

      pyslm cp qwen2.5:0.5b small

      pyslm cp ./finetuned.gguf support-bot:v2
    """
    from pyslm.hub import ModelStore
    from pyslm.hub.names import is_path

    store = ModelStore()
    is_file = is_path(source)
    copied = store.adopt(source, destination) if is_file else store.copy(source, destination)
    print(f"copied {source!r} to {copied.name!r}")


@contextlib.contextmanager
def _download_bar(name: str) -> Iterator[Callable[[PullProgress], None]]:
    """Bytes, speed and time left, on a terminal; elsewhere nothing."""
    console = error_console()
    if not console.is_terminal:
        yield lambda progress: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(name, total=None)

        def tell(progress: PullProgress) -> None:
            what = name if progress.status == "downloading" else f"{name}: {progress.status}"
            total = progress.total_bytes or None
            bars.update(task, description=what, total=total, completed=progress.done_bytes)

        yield tell


def _shown(
    about: CatalogModel | None, here: StoredModel | None, choice: Choice | None
) -> dict[str, Any]:
    return {
        "model": dataclasses.asdict(about) if about else None,
        "here": _record(here) if here else None,
        "chosen": choice.variant.quant if choice else None,
        "reason": choice.reason if choice else None,
        "variants": [dataclasses.asdict(each) for each in choice.candidates] if choice else [],
    }


def _record(model: StoredModel) -> dict[str, Any]:
    return {**dataclasses.asdict(model), "path": str(model.path), "quant": model.quant}


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2)
    print()
