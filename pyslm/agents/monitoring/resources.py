"""`ResourceConfig`: what agents may take of the machine, and what sees to it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import psutil

from pyslm.agents.config import refuse_unknown
from pyslm.agents.models.pool import ModelPool
from pyslm.agents.monitoring.units import parse_size
from pyslm.errors import AgentConfigError, InsufficientMemoryError

__all__ = ["Gate", "ResourceConfig", "Resources", "on_battery", "resources_of"]

IDLE_SECONDS = 300.0


@refuse_unknown
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResourceConfig:
    """Limits. Agents with equal ones share them: their models and their places.

    ::

        ResourceConfig(max_memory_usage="4GB", max_concurrent_agents=3, model_cache_size="2GB")

    Raises:
        AgentConfigError: an unknown keyword, or a value that is not allowed.
    """

    max_memory_usage: str | int | None = None
    """Of the whole process. Before it is passed idle models go; where that is not enough, models
    are not loaded and requests are refused."""
    max_concurrent_agents: int | None = None
    """Requests that run at the same time; others wait."""
    model_cache_size: str | int | None = None
    """The weights of all models together; the one idle for longest goes first."""
    auto_unload_idle_models: bool = False
    """Models that nobody has used for `idle_seconds` go."""
    idle_seconds: float = IDLE_SECONDS
    power_management: bool = False
    """Models are loaded for half of the cores, unless the machine is plugged in."""

    def __post_init__(self) -> None:
        for name in ("max_memory_usage", "model_cache_size"):
            if getattr(self, name) is not None:
                parse_size(name, getattr(self, name))
        places = self.max_concurrent_agents
        if places is not None and (
            not isinstance(places, int) or isinstance(places, bool) or places < 1
        ):
            raise AgentConfigError(
                f"max_concurrent_agents is {places!r}; allowed: a whole number above zero"
            )
        for name in ("auto_unload_idle_models", "power_management"):
            if not isinstance(getattr(self, name), bool):
                raise AgentConfigError(f"{name} is {getattr(self, name)!r}; allowed: True or False")
        if not isinstance(self.idle_seconds, (int, float)) or not self.idle_seconds > 0:
            raise AgentConfigError(f"idle_seconds is {self.idle_seconds!r}; allowed: above zero")

    @property
    def max_memory_bytes(self) -> int | None:
        """Bytes; None: no limit."""
        limit = self.max_memory_usage
        return None if limit is None else parse_size("max_memory_usage", limit)

    @property
    def cache_bytes(self) -> int | None:
        """Bytes; None: no limit of its own."""
        size = self.model_cache_size
        return self.max_memory_bytes if size is None else parse_size("model_cache_size", size)


class Gate:
    """So many at a time, from all event loops and threads; first come, first served."""

    def __init__(self, num_places: int | None) -> None:
        self._free = num_places
        self._lock = threading.Lock()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    @property
    def num_waiting(self) -> int:
        """Those that have no place yet."""
        return len(self._waiting)

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Waits for one, and gives it back."""
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    async def _enter(self) -> None:
        with self._lock:
            if self._free is None:
                return
            if self._free > 0:
                self._free -= 1
                return
            loop = asyncio.get_running_loop()
            entry = (loop, loop.create_future())
            self._waiting.append(entry)
        try:
            await entry[1]
        except BaseException:
            with self._lock:
                waited = entry in self._waiting
                if waited:
                    self._waiting.remove(entry)
            if not waited:  # the place was given, and nobody is there to take it
                self._leave()
            raise

    def _leave(self) -> None:
        with self._lock:
            if self._free is None:
                return
            while self._waiting:
                loop, future = self._waiting.popleft()
                with contextlib.suppress(RuntimeError):  # of a loop that has ended
                    loop.call_soon_threadsafe(_give, future)
                    return
            self._free += 1


def _give(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Resources:
    """Sees to the limits of one `ResourceConfig`."""

    def __init__(
        self, config: ResourceConfig, memory: Callable[[], int] | None = None, **options: Any
    ) -> None:
        """
        Args:
            memory: bytes that this process takes now, for tests.
            options: of `ModelPool`.
        """
        self.config = config
        self._memory = memory or _resident
        self.gate = Gate(config.max_concurrent_agents)
        if config.power_management and on_battery() is not False:
            options.setdefault("threads", max(1, (psutil.cpu_count(logical=False) or 2) // 2))
        idle = config.idle_seconds if config.auto_unload_idle_models else None
        self.pool = ModelPool(
            config.cache_bytes, before_load=self._check_load, idle_seconds=idle, **options
        )

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """For one request.

        Raises:
            InsufficientMemoryError: the process takes more than it may, even without idle models.
        """
        async with self.gate.place():
            limit = self.config.max_memory_bytes
            if limit is not None and self._memory() > limit:
                await asyncio.to_thread(self.pool.unload_idle)
                if self._memory() > limit:
                    raise InsufficientMemoryError(
                        f"this process takes {self._memory() / 1e9:.2f} GB; max_memory_usage "
                        f"allows {limit / 1e9:.2f} GB, and no idle model is left to unload"
                    )
            yield

    @property
    def memory_percent(self) -> float | None:
        """Of `max_memory_usage`; None where there is no limit."""
        limit = self.config.max_memory_bytes
        return None if limit is None else 100 * self._memory() / limit

    def _check_load(self, name: str, num_bytes: int) -> None:
        limit = self.config.max_memory_bytes
        if limit is None or self._memory() + num_bytes <= limit:
            return
        self.pool.unload_idle()
        if self._memory() + num_bytes > limit:
            raise InsufficientMemoryError(
                f"{name} needs {num_bytes / 1e9:.2f} GB, and this process takes "
                f"{self._memory() / 1e9:.2f} GB already; max_memory_usage allows "
                f"{limit / 1e9:.2f} GB. Choose a smaller model, or raise it"
            )


@functools.cache
def resources_of(config: ResourceConfig) -> Resources:
    """Those that agents with this config share."""
    return Resources(config)


def on_battery() -> bool | None:
    """Whether the machine runs on its battery; None: it cannot be told."""
    try:
        battery = psutil.sensors_battery()
    except (AttributeError, OSError):
        return None
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)
