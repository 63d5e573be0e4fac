"""How good an agent is at tasks: what it completes and calls, how long it takes, what it costs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from pyslm.agents.agent import Agent
from pyslm.agents.events import AgentResult
from pyslm.agents.teams.savings import CLOUD_PRICES, Price
from pyslm.errors import AgentConfigError, PyslmError
from pyslm.request import Usage

__all__ = ["EvalTask", "evaluate", "load_prices", "load_tasks"]

_KEYS = ("task", "contains", "regex", "tools", "id")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EvalTask:
    """One request, and what is expected."""

    id: str
    task: str
    contains: Sequence[str] = ()
    """Texts that the answer holds, in any case of letters."""
    regex: str | None = None
    """What is found in the answer."""
    tools: Sequence[Mapping[str, Any]] | None = None
    """The calls that are needed: {"name": ..., "arguments": {...}}; the arguments named there must
    be so, others may be anything. None: calls are not judged."""

    def is_completed(self, result: AgentResult) -> bool:
        """Whether the answer is right."""
        text = result.text.lower()
        if not all(part.lower() in text for part in self.contains):
            return False
        return self.regex is None or re.search(self.regex, result.text) is not None

    def tool_score(self, result: AgentResult) -> tuple[int, int, int]:
        """Calls that were needed and made; needed; made."""
        made = [
            (each.call.name, json.loads(each.call.arguments or "{}"))
            for each in result.tool_results
            if each.outcome not in ("unknown", "invalid")
        ]
        left = list(made)
        hits = 0
        for wanted in self.tools or ():
            for call in left:
                arguments = wanted.get("arguments", {})
                same = all(call[1].get(key) == value for key, value in arguments.items())
                if call[0] == wanted["name"] and same:
                    left.remove(call)
                    hits += 1
                    break
        return hits, len(self.tools or ()), len(result.tool_results)


def load_tasks(path: Path) -> list[EvalTask]:
    """Of a file with one JSON object a line.

    Raises:
        AgentConfigError: it cannot be read, or a line is no task; says which.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AgentConfigError(f"{path} cannot be read: {error}") from None
    tasks = [_task(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not tasks:
        raise AgentConfigError(f"{path} holds no tasks")
    return tasks


def _task(path: Path, number: int, line: str) -> EvalTask:
    where = f"{path}, line {number}"
    try:
        found = json.loads(line)
    except ValueError as error:
        raise AgentConfigError(f"{where} is no JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("task"), str):
        raise AgentConfigError(f'{where} is no object with a "task"')
    strange = set(found) - set(_KEYS)
    if strange:
        raise AgentConfigError(f"{where} has {min(strange)!r}; allowed: {', '.join(_KEYS)}")
    tools = found.get("tools")
    if tools is not None and not all(isinstance(each, dict) and "name" in each for each in tools):
        raise AgentConfigError(f"{where}: tools are a list of objects with a name")
    try:
        re.compile(found.get("regex") or "")
    except re.error as error:
        raise AgentConfigError(f"{where}: the regex is none: {error}") from None
    return EvalTask(**{"id": str(number), **found})


def load_prices(path: Path) -> dict[str, Price]:
    """Of a TOML or JSON file: {name: {prompt, completion}}, in dollars for a million tokens.

    Raises:
        AgentConfigError: it cannot be read, or a price is none; says which.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise AgentConfigError(f"{path} cannot be read as JSON or TOML: {error}") from None
    if not isinstance(found, dict) or not found:
        raise AgentConfigError(f"{path} holds no prices")
    return {name: _price(path, name, value) for name, value in found.items()}


def _price(path: Path, name: str, value: Any) -> Price:
    keys = ("prompt", "completion")
    numbers: list[Any] = [value.get(key) for key in keys] if isinstance(value, dict) else []
    if not numbers or set(value) != set(keys) or not all(map(_is_price, numbers)):
        raise AgentConfigError(
            f"{path}: the price of {name!r:.80} is {value!r:.80}; allowed: prompt and completion, "
            "in dollars for a million tokens"
        )
    return Price(*numbers)


def _is_price(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9


async def evaluate(
    agent: Agent,
    tasks: Sequence[EvalTask],
    *,
    price: Price | None = None,
    prices: Mapping[str, Price] = CLOUD_PRICES,
    repeats: int = 1,
) -> dict[str, Any]:
    """Runs all tasks, one after the other, and reports.

    Args:
        price: of the cloud model to compare with.
        prices: a table of more of them.

    Returns:
        {agent, tasks, task_completion, tool_precision, tool_recall, seconds: {p50, p95, mean},
        within_a_second, tokens_per_second, memory_mb, cpu_seconds, battery_percent_used,
        cloud_cost, cloud_costs: {name: cost}, results: [{id, ok, error, seconds, tools, ...}]};
        shares from 0 to 1, costs in dollars: what the same tokens would cost in the cloud.
    """
    price = price or Price()
    process = psutil.Process()
    cpu, charge = sum(process.cpu_times()[:2]), _charge()
    results = [await _run(agent, task, price) for task in tasks for _ in range(repeats)]
    seconds = sorted(each["seconds"] for each in results)
    scores = [each.pop("score") for each in results]
    hits, needed, made = (sum(column) for column in zip(*scores, strict=True))
    usage = Usage(*(sum(e[f"{kind}_tokens"] for e in results) for kind in ("prompt", "completion")))
    after = _charge()
    total = sum(seconds)
    return {
        "agent": agent.name,
        "tasks": len(results),
        "task_completion": statistics.fmean(each["ok"] for each in results),
        "tool_precision": hits / made if made else 1.0,
        "tool_recall": hits / needed if needed else 1.0,
        "seconds": {
            "p50": statistics.median(seconds),
            "p95": seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))],
            "mean": statistics.fmean(seconds),
        },
        "within_a_second": statistics.fmean(each < 1.0 for each in seconds),
        "tokens_per_second": sum(e["completion_tokens"] for e in results) / max(total, 1e-9),
        "memory_mb": process.memory_info().rss / 1e6,
        "cpu_seconds": sum(process.cpu_times()[:2]) - cpu,
        "battery_percent_used": None if charge is None or after is None else charge - after,
        "cloud_cost": sum(each["cloud_cost"] for each in results),
        "cloud_costs": {name: each.of(usage) for name, each in prices.items()},
        "results": results,
    }


async def _run(agent: Agent, task: EvalTask, price: Price) -> dict[str, Any]:
    began = asyncio.get_running_loop().time()
    try:
        result = await agent.run(task.task)
    except PyslmError as error:
        failed = AgentResult(text="", agent=agent.name)
        outcome: dict[str, Any] = {"ok": False, "error": str(error), "answer": ""}
        result = failed
    else:
        outcome = {"ok": task.is_completed(result), "error": None, "answer": result.text}
    judged = task.tools is not None
    return {
        "id": task.id,
        **outcome,
        "seconds": asyncio.get_running_loop().time() - began,
        "steps": result.steps,
        "tools": [each.call.name for each in result.tool_results],
        "prompt_tokens": result.usage.prompt_tokens,
        "completion_tokens": result.usage.completion_tokens,
        "cloud_cost": price.of(result.usage),
        "score": task.tool_score(result) if judged else (0, 0, 0),
    }


def _charge() -> float | None:
    try:
        battery = psutil.sensors_battery()
    except (AttributeError, OSError):
        return None
    return None if battery is None else float(battery.percent)
