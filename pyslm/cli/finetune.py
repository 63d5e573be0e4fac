"""`pyslm finetune`: a small model that knows one's own tools better."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyslm.cli.console import progress_bar
from pyslm.errors import InvalidRequestError
from pyslm.extras import check_extra
from pyslm.model_info import check_model_path

__all__ = ["finetune"]


def finetune(
    tools: Annotated[
        Path, typer.Argument(metavar="TOOLS.json", help="A list of tools, as OpenAI has them.")
    ],
    base: Annotated[
        Path, typer.Option("--base", help="A nano model, which stays as it is.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The GGUF file to write.", show_default=False)
    ],
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of training.")] = 200,
    cases: Annotated[int, typer.Option("--cases", min=1, help="To compare the models by.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same data.")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT where it exists.")] = False,
) -> None:
    """Train a nano model further on requests for your tools, and keep the better of the two.

    [dim]Example:[/dim]

      pyslm finetune tools.json --base nano.gguf --out my.gguf
    """
    check_extra("train", "pyslm finetune")
    if out.exists() and not out.is_dir() and not force:
        raise InvalidRequestError(f"{out} exists; give another name, or --force to replace it")
    from pyslm.finetune.adapt import adapt

    base = check_model_path(base)
    with progress_bar("Training") as progress:
        report = adapt(
            tools, out, base,
            steps=steps, seed=seed, num_cases=cases, device=device, progress=progress,
        )  # fmt: skip
    print(
        f"{report.num_cases} requests for {report.num_tools} tools, not trained on: "
        f"{report.before:.1%} right before, {report.after:.1%} after"
    )
    print(f"{out}: {'the trained model' if report.improved else 'the base as it was: no better'}")
