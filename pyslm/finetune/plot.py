"""The loss curve of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

__all__ = ["plot_losses", "thinned"]

_MOST_POINTS = 200  # of a curve: more are noise, and a file that nobody opens
_DIGITS = 4


def plot_losses(log: Sequence[dict[str, Any]], path: Path) -> None:
    """Writes an SVG with the loss over the steps, of all and of each category.

    Args:
        log: entries {"step", "loss", "by_category"} as `Trainer.log` has them.
        path: the file to write.
    """
    from matplotlib.figure import Figure

    log = thinned(log)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    names = sorted({name for entry in log for name in entry["by_category"]})
    for name in names:
        points = [(e["step"], e["by_category"][name]) for e in log if name in e["by_category"]]
        axes.plot(*zip(*points, strict=True), linewidth=0.8, alpha=0.7, label=name)
    steps, losses = [e["step"] for e in log], [e["loss"] for e in log]
    axes.plot(steps, losses, "k", linewidth=2, label="all")
    axes.set(xlabel="step", ylabel="loss of what the model writes (nats a token)", yscale="log")
    axes.grid(alpha=0.3)
    if names:
        axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, format="svg")


def thinned(log: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of about as many steps each, few enough to be kept and drawn: means of several."""
    if not log:
        return []
    first, last = log[0]["step"], log[-1]["step"]
    width = -(-(last - first + 1) // _MOST_POINTS)
    groups: dict[int, list[dict[str, Any]]] = {}
    for entry in log:
        groups.setdefault((entry["step"] - first) // width, []).append(entry)
    return [_mean(group) for group in groups.values()]


def _mean(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for entry in entries for name in entry["by_category"])
    by_category = {
        name: [e["by_category"][name] for e in entries if name in e["by_category"]]
        for name in names
    }
    return {
        "step": round(fmean(e["step"] for e in entries)),
        "loss": round(fmean(e["loss"] for e in entries), _DIGITS),
        "by_category": {k: round(fmean(values), _DIGITS) for k, values in by_category.items()},
    }
