"""`pyslm finetune`: a small model that knows one's own tools better."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyslm.cli.console import model_path, progress_bar
from pyslm.errors import InvalidRequestError
from pyslm.extras import check_extra
from pyslm.model_info import check_model_path

__all__ = ["finetune"]


def finetune(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="TOOLS.json|SESSIONS.jsonl",
            help="A list of tools, as OpenAI has them; or conversations, a line each, as `pyslm "
            "agent export` writes them.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The GGUF file to write.", show_default=False)
    ],
    base: Annotated[
        str,
        typer.Option("--base", help="A model of pyslm.finetune, as nano is; it stays as it is."),
    ] = "nano",
    lora: Annotated[
        bool,
        typer.Option("--lora", help="Write a LoRA adapter for BASE, which is a larger model then."),
    ] = False,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of training.")] = 200,
    cases: Annotated[int, typer.Option("--cases", min=1, help="To compare the models by.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same data.")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT where it exists.")] = False,
) -> None:
    """Train a nano model further on requests for your tools, and keep the better of the two.

    [dim]Examples:[/dim]

      pyslm finetune tools.json --out my.gguf

      pyslm finetune tools.json --lora --base qwen2.5:0.5b --out my-lora.gguf

      pyslm agent export office > office.jsonl

      pyslm finetune office.jsonl --out my.gguf
    """
    if lora and base == "nano":
        raise InvalidRequestError(
            "--lora is for larger models: name one by --base; without --lora nano itself is trained"
        )
    if lora:
        check_extra("lora", "pyslm finetune --lora")
    check_extra("train", "pyslm finetune")
    if out.exists() and not out.is_dir() and not force:
        raise InvalidRequestError(f"{out} exists; give another name, or --force to replace it")
    from pyslm.finetune.adapt import adapt
    from pyslm.finetune.lora import train_lora

    with progress_bar("Training") as progress:
        report = (train_lora if lora else adapt)(
            source, out, check_model_path(model_path(base)),
            steps=steps, seed=seed, num_cases=cases, device=device, progress=progress,
        )  # fmt: skip
    held = f", {report.num_conversations} conversations" if report.num_conversations else ""
    print(
        f"{report.num_cases} requests for {report.num_tools} tools{held}, not trained on: "
        f"{report.before:.1%} right before, {report.after:.1%} after"
    )
    if report.improved:
        print(f"{out}: the trained {'adapter' if lora else 'model'}")
    elif lora:
        raise InvalidRequestError(f"the adapter makes {base} no better, and is not written")
    else:
        print(f"{out}: the base as it was: no better")
