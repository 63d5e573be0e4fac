"""The loss curve of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

__all__ = ["plot_losses"]

_MOST_POINTS = 200  # of a curve: more are noise, and a file that nobody opens


def plot_losses(log: Sequence[dict[str, Any]], path: Path) -> None:
    """Writes an SVG with the loss over the steps, of all and of each category.

    Args:
        log: entries {"step", "loss", "by_category"} as `Trainer.log` has them; of a long one, a
            point is the mean of several.
        path: the file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    names = sorted({name for entry in log for name in entry["by_category"]})
    for name in names:
        points = [(e["step"], e["by_category"][name]) for e in log if name in e["by_category"]]
        axes.plot(*_means(points), linewidth=0.8, alpha=0.7, label=name)
    axes.plot(*_means([(e["step"], e["loss"]) for e in log]), "k", linewidth=2, label="all")
    axes.set(xlabel="step", ylabel="loss of what the model writes (nats a token)", yscale="log")
    axes.grid(alpha=0.3)
    if names:
        axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, format="svg")


def _means(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Steps and losses, each the mean of as many as leave few enough."""
    size = -(-len(points) // _MOST_POINTS) or 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [fmean(s for s, _ in g) for g in groups], [fmean(loss for _, loss in g) for g in groups]
