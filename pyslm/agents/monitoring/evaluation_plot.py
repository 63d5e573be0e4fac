"""An evaluation as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyslm.errors import AgentConfigError

__all__ = ["plot_report"]

_SHARES = {
    "task_completion": "tasks completed",
    "tool_precision": "calls that were right",
    "tool_recall": "needed calls made",
    "within_a_second": "within a second",
}


def plot_report(report: Mapping[str, Any], path: Path) -> None:
    """Seconds of each task, coloured by whether it was completed; the shares; what the same tokens
    cost in the cloud. The name's ending says which format: PNG, SVG, PDF.

    Raises:
        AgentConfigError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise AgentConfigError("a plot needs matplotlib; run: pip install matplotlib") from None
    num_tasks = len(report["results"])
    figure = Figure(figsize=(max(8.0, 0.3 * num_tasks), 7.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplot_mosaic([["tasks", "tasks"], ["shares", "costs"]])
    seconds = report["seconds"]
    figure.suptitle(
        f"{report['agent']}: {num_tasks} runs, p50 {seconds['p50']:.2f} s, p95 "
        f"{seconds['p95']:.2f} s, {report['memory_mb']:.0f} MB, CPU {report['cpu_seconds']:.1f} s"
    )
    _draw_tasks(axes["tasks"], report)
    shares = {label: 100 * report[key] for key, label in _SHARES.items()}
    _draw_bars(axes["shares"], shares, "%")
    axes["shares"].set_xlim(0, 100)
    _draw_bars(axes["costs"], report["cloud_costs"], "dollars in the cloud")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise AgentConfigError(f"{path} cannot be written: {error}") from None


def _draw_tasks(axes: Any, report: Mapping[str, Any]) -> None:
    """A task that was repeated has a bar for each time."""
    results = report["results"]
    places = range(len(results))
    for ok, label, color in ((True, "completed", "tab:green"), (False, "not", "tab:red")):
        chosen = [place for place in places if results[place]["ok"] is ok]
        heights = [results[place]["seconds"] for place in chosen]
        axes.bar(chosen, heights, color=color, label=label)
    axes.set_xticks(list(places), [each["id"] for each in results], rotation=45, ha="right")
    axes.set_ylabel("seconds")
    axes.legend()


def _draw_bars(axes: Any, values: Mapping[str, float], unit: str) -> None:
    bars = axes.barh(list(values), list(values.values()), color="tab:blue")
    axes.bar_label(bars, fmt="{:.3g}", padding=3)
    axes.margins(x=0.3)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
