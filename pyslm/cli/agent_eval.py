"""`pyslm agent eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pyslm.cli.agent import AgentArgument, EndpointOption, ModelOption, load
from pyslm.cli.console import JsonOption, output_console

__all__ = ["evaluate"]


def evaluate(
    agent: AgentArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Tasks: one JSON object a line.")],
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Of each task.")] = 1,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write a picture (PNG, SVG).")] = None,
    prompt_price: Annotated[
        float, typer.Option("--prompt-price", min=0, help="Cloud: dollars per million tokens.")
    ] = 2.50,
    completion_price: Annotated[
        float, typer.Option("--completion-price", min=0, help="The same, of the answer.")
    ] = 10.00,
    prices: Annotated[
        Path | None,
        typer.Option("--prices", help="A table in TOML or JSON: name = {prompt, completion}."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure an agent: tasks completed, calls made, seconds, memory, cost against the cloud."""
    made = load(agent, model=model, endpoint=endpoint)
    from pyslm.agents.monitoring.evaluation import evaluate, load_prices, load_tasks
    from pyslm.agents.monitoring.evaluation_plot import plot_report
    from pyslm.agents.portal import portal
    from pyslm.agents.teams.savings import CLOUD_PRICES, Price

    price = Price(prompt_price, completion_price)
    table = CLOUD_PRICES if prices is None else load_prices(prices)
    tasks = load_tasks(file)
    report = portal().run(evaluate(made, tasks, price=price, prices=table, repeats=repeats))
    if plot is not None:
        plot_report(report, plot)
    if as_json:
        print(json.dumps(report))
    else:
        _show_report(report)


def _show_report(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("TASK", "OK", "SECONDS", "STEPS", "TOOLS")
    for each in report["results"]:
        table.add_row(each["id"], "yes" if each["ok"] else "no", f"{each['seconds']:.2f}",
                      str(each["steps"]), ", ".join(each["tools"]) or "-")  # fmt: skip
    console = output_console()
    console.print(table)
    seconds = report["seconds"]
    console.print(
        f"completed {100 * report['task_completion']:.0f} %; calls: precision "
        f"{100 * report['tool_precision']:.0f} %, recall {100 * report['tool_recall']:.0f} %\n"
        f"seconds: p50 {seconds['p50']:.2f}, p95 {seconds['p95']:.2f}; "
        f"{100 * report['within_a_second']:.0f} % within one\n"
        f"memory {report['memory_mb']:.0f} MB, CPU {report['cpu_seconds']:.1f} s, "
        f"{report['tokens_per_second']:.1f} tokens/s\n"
        f"the same tokens in the cloud: ${report['cloud_cost']:.4f}"
    )
    for name, cost in report["cloud_costs"].items():
        console.print(f"  {name}: ${cost:.4f}")
