"""`AgentMonitor`: looks at each request of its agents, and acts when a threshold is passed."""

from __future__ import annotations

import collections
import dataclasses
import difflib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pyslm.agents.monitoring.metric_store import MetricStore, default_metrics_path
from pyslm.agents.monitoring.metrics import (
    Counters,
    PerformanceMetrics,
    Sample,
    performance_report,
    sample_resources,
    scaling_recommendations,
)
from pyslm.agents.monitoring.units import parse_threshold
from pyslm.errors import AgentConfigError, PyslmError

if TYPE_CHECKING:
    from pyslm.agents.agent import Agent

__all__ = ["ACTIONS", "METRICS", "AgentMonitor", "Alert", "FiredAlert"]

_log = logging.getLogger(__name__)

METRICS = (
    "response_time", "success_rate", "error_rate", "resource_usage", "memory_usage", "cpu_usage",
    "tokens_per_second", "queue_length",
)  # fmt: skip
ACTIONS = ("log", "scale_down_model", "unload_idle_agents")
DEFAULT_ALERTS: tuple[Mapping[str, Any], ...] = (
    {"metric": "response_time", "threshold": "30s", "action": "log"},
    {"metric": "memory_usage", "threshold": "95%", "action": "log"},
    {"metric": "cpu_usage", "threshold": "98%", "action": "log"},
)
_BELOW = ("success_rate", "tokens_per_second")  # what is bad when it is low
_KEPT = 1000
_WINDOW = 20  # requests, of which rates are made

Action: TypeAlias = str | Callable[["Agent", str, float], object]


@dataclasses.dataclass(frozen=True, slots=True)
class Alert:
    """A rule: when a metric passes a threshold, something is done."""

    metric: str
    threshold: float
    """response_time: seconds; rates and usages: percent."""
    action: Action

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Alert:
        """Of {"metric": ..., "threshold": ..., "action": ...}.

        Raises:
            AgentConfigError: a key, metric, threshold or action that is not known.
        """
        if not isinstance(given, Mapping) or set(given) - {"metric", "threshold", "action"}:
            raise AgentConfigError(
                f"an alert is {given!r:.100}; allowed: an object with metric, threshold and action"
            )
        metric, action = given.get("metric"), given.get("action", "log")
        _check_name("an alert's metric", metric, METRICS)
        if not callable(action):
            _check_name("an alert's action", action, ACTIONS)
        if "threshold" not in given:
            raise AgentConfigError(f"the alert of {metric} has no threshold")
        return cls(str(metric), parse_threshold("threshold", given["threshold"]), action)

    def is_passed(self, value: float) -> bool:
        """Whether a value is worse than the threshold."""
        return value < self.threshold if self.metric in _BELOW else value > self.threshold


@dataclasses.dataclass(frozen=True, slots=True)
class FiredAlert:
    """What was done, and why."""

    time: float
    """Seconds since 1970."""
    agent: str
    metric: str
    value: float
    threshold: float
    action: str
    outcome: str


class AgentMonitor:
    """Add it to one agent or several by `Agent.add_monitor`. It never makes a request fail.

    Args:
        metrics: which to collect; None: all. Those of alerts are collected in any case.
        alerts: {"metric": "response_time", "threshold": "2s", "action": "scale_down_model"}, ...
            An action is one of `ACTIONS` or a function of (agent, metric, value). None: a few that
            write to the log.
        local_storage: keep the metrics on disk: True: in the user's own file; or a path.
        cooldown: seconds before the same alert of the same agent is fired again.

    Raises:
        AgentConfigError: an unknown metric, threshold or action.
    """

    def __init__(
        self,
        metrics: Iterable[str] | None = None,
        alerts: Iterable[Mapping[str, Any]] | None = None,
        local_storage: bool | str | os.PathLike[str] = False,
        *,
        cooldown: float = 60.0,
        sample: Callable[[], Sample] = sample_resources,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        chosen = METRICS if metrics is None else tuple(metrics)
        for name in chosen:
            _check_name("a metric", name, METRICS)
        self._alerts = [Alert.of(each) for each in (DEFAULT_ALERTS if alerts is None else alerts)]
        self.metrics = tuple(dict.fromkeys((*chosen, *(a.metric for a in self._alerts))))
        self._cooldown = cooldown
        self._sample = sample
        self._clock = clock
        self._lock = threading.Lock()
        self._counters: dict[str, Counters] = {}
        self._agents: weakref.WeakValueDictionary[str, Agent] = weakref.WeakValueDictionary()
        self._used: dict[str, float] = {}
        self._recent: dict[str, collections.deque[bool]] = {}
        self._fired_at: dict[tuple[str, int], float] = {}
        self._values: dict[str, dict[str, float]] = {}
        self.fired: collections.deque[FiredAlert] = collections.deque(maxlen=_KEPT)
        self.history: collections.deque[dict[str, PerformanceMetrics]] = collections.deque(
            maxlen=_KEPT
        )
        self._store: MetricStore | None = None
        if local_storage is not False:
            path = default_metrics_path() if local_storage is True else local_storage
            self._store = MetricStore(path)

    @property
    def store(self) -> MetricStore | None:
        """Where metrics are kept."""
        return self._store

    def values(self, agent: str) -> Mapping[str, float]:
        """The latest of each metric of an agent."""
        return dict(self._values.get(agent, {}))

    def collect(self) -> dict[str, PerformanceMetrics]:
        """Of each agent, now; kept for reports."""
        sample = self._sample()
        found = {
            name: counters.performance(sample, queue_length=self._queue_length(name))
            for name, counters in list(self._counters.items())
        }
        self.history.append(found)
        return found

    def report(self, time_window_minutes: float = 60) -> dict[str, Any]:
        """See `performance_report`."""
        return performance_report(self.history, time_window_minutes)

    def recommendations(self) -> list[dict[str, str]]:
        """See `scaling_recommendations`; of the last `collect`."""
        return scaling_recommendations(self.history[-1]) if self.history else []

    def scale(self) -> list[str]:
        """Follows the recommendations as far as that can be done here: agents that are slow go to a
        smaller model, models of those that idle are unloaded. Says what was done."""
        actions = {"scale_up": "scale_down_model", "scale_down": "unload_idle_agents"}
        done = []
        for each in self.recommendations():
            agent, action = self._agents.get(each["instance"]), actions.get(each["type"])
            if agent is not None and action is not None:
                done.append(f"{agent.name}: {self._act(agent, action, each['type'], 0.0)}")
        return done

    # --- called by agents ---------------------------------------------------------------------

    def began(self, agent: Agent) -> None:
        """A request begins."""
        with self._lock:
            self._agents[agent.name] = agent
            counters = self._counters.setdefault(agent.name, Counters())
            self._recent.setdefault(agent.name, collections.deque(maxlen=_WINDOW))
        counters.began()

    def ended(self, agent: Agent, seconds: float, *, ok: bool, tokens: int = 0) -> None:
        """It is done; alerts are fired."""
        try:
            self._ended(agent, seconds, ok, tokens)
        except Exception:
            _log.exception("the monitor of %s failed", agent.name)

    def _ended(self, agent: Agent, seconds: float, ok: bool, tokens: int) -> None:
        name = agent.name
        self._counters[name].ended(seconds, ok=ok, tokens=tokens)
        with self._lock:
            self._used[name] = self._clock()
            self._recent[name].append(ok)
            rate = 100 * sum(self._recent[name]) / len(self._recent[name])
        values = self._measured(agent, seconds, rate, tokens)
        self._values[name] = values
        if self._store is not None:
            self._store.add(name, values)
        for index, alert in enumerate(self._alerts):
            value = values[alert.metric]
            if alert.is_passed(value) and self._is_due(name, index):
                self._fire(agent, alert, value)

    def _measured(self, agent: Agent, seconds: float, rate: float, tokens: int) -> dict[str, float]:
        sample = self._sample()
        own = agent.memory_percent
        memory = sample.memory_percent if own is None else own
        all_values = {
            "response_time": seconds,
            "success_rate": rate,
            "error_rate": 100 - rate,
            "resource_usage": max(memory, sample.cpu_percent),
            "memory_usage": memory,
            "cpu_usage": sample.cpu_percent,
            "tokens_per_second": tokens / seconds if seconds > 0 else 0.0,
            "queue_length": float(self._queue_length(agent.name)),
        }
        return {name: all_values[name] for name in self.metrics}

    def _queue_length(self, name: str) -> int:
        agent = self._agents.get(name)
        return agent.num_waiting if agent is not None else 0

    def _is_due(self, name: str, index: int) -> bool:
        now = self._clock()
        with self._lock:
            last = self._fired_at.get((name, index))
            if last is not None and now - last < self._cooldown:
                return False
            self._fired_at[name, index] = now
            return True

    def _fire(self, agent: Agent, alert: Alert, value: float) -> None:
        action = alert.action if isinstance(alert.action, str) else alert.action.__name__
        outcome = self._act(agent, alert.action, alert.metric, value)
        fired = FiredAlert(
            time.time(), agent.name, alert.metric, value, alert.threshold, action, outcome
        )
        self.fired.append(fired)
        _log.warning("%s of %s is %.4g: %s", alert.metric, agent.name, value, outcome)
        if self._store is not None:
            self._store.add_alert(*dataclasses.astuple(fired)[1:])

    def _act(self, agent: Agent, action: Action, metric: str, value: float) -> str:
        """Does it, and says what came of it."""
        try:
            if callable(action):
                return str(action(agent, metric, value))
            if action == "scale_down_model":
                smaller = agent.scale_down()
                return f"now on {smaller}" if smaller else "there is no smaller model"
            if action == "unload_idle_agents":
                return self._unload_idle()
        except PyslmError as error:
            return f"failed: {error}"
        return "logged"

    def _unload_idle(self) -> str:
        """The models of all agents of this monitor that have no request."""
        gone = []
        for agent in list(self._agents.values()):
            if self._counters[agent.name].num_active == 0:
                gone += agent.unload()
        return f"unloaded {', '.join(gone)}" if gone else "no idle model is loaded"


def _check_name(what: str, name: object, allowed: Iterable[str]) -> None:
    names = list(allowed)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise AgentConfigError(f"{what} is {name!r:.60}; {hint}allowed: {', '.join(names)}")
