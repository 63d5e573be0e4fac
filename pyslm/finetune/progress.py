"""The progress of a training: a bar for people, lines for files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pyslm.finetune.trainer import Report, Trainer

__all__ = ["training_progress"]


@contextlib.contextmanager
def training_progress(trainer: Trainer) -> Iterator[Report]:
    """A report for `Trainer.run`, on standard error."""
    if not sys.stderr.isatty():
        yield _print_lines
        return
    columns = (
        TextColumn("Training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        steps = trainer.train_config.steps
        task = bar.add_task("", total=steps, completed=trainer.step, loss="")

        def report(step: int, entry: dict[str, Any]) -> None:
            bar.update(task, completed=step)
            if entry:
                bar.update(task, loss=_summary(entry))

        yield report


def _print_lines(step: int, entry: dict[str, Any]) -> None:
    if entry:
        parts = " ".join(f"{name} {loss:.3f}" for name, loss in entry["by_category"].items())
        print(f"step {step}: {_summary(entry)}; {parts}", file=sys.stderr, flush=True)


def _summary(entry: dict[str, Any]) -> str:
    return f"loss {entry['loss']:.4f}, {entry['tokens_per_second']:,} tokens/s"
