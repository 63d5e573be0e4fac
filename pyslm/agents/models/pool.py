"""Models in this process, shared by its agents: loaded at first use, unloaded when idle or when
their memory is needed for others."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pyslm.errors import AgentConfigError, InsufficientMemoryError
from pyslm.llm import LLM

__all__ = ["ModelPool", "PooledModel", "shared_pool"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class _Entry:
    path: Path
    num_bytes: int
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    llm: LLM | None = None
    num_users: int = 0
    used: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class PooledModel:
    """A loaded model."""

    path: Path
    num_bytes: int
    """Of its file: what the weights take."""
    num_users: int
    """Requests that run on it now."""
    idle_seconds: float


class ModelPool:
    """Thread-safe.

    Args:
        max_bytes: the weights of all models together. A model that does not fit makes others go
            that nobody uses; where that is not enough, it is refused.
        load: loads a file.
        before_load: gets the name and the bytes of a file that is about to be loaded; what it
            raises keeps it from that.
        idle_seconds: models that nobody has used for so long go by themselves; None: never.
        options: of `LLM`, for every model.
    """

    def __init__(
        self,
        max_bytes: int | None = None,
        load: Callable[..., LLM] = LLM,
        *,
        before_load: Callable[[str, int], None] | None = None,
        idle_seconds: float | None = None,
        **options: Any,
    ) -> None:
        self.max_bytes = max_bytes
        self._load = load
        self._options = options
        self._before_load = before_load
        self._idle_seconds = idle_seconds
        self._timer: threading.Timer | None = None
        self._entries: dict[Path, _Entry] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def use(self, path: Path) -> Iterator[LLM]:
        """The model, loaded if need be; it stays as long as it is used.

        Raises:
            InsufficientMemoryError: it does not fit beside those that are in use.
            PyslmError: as `LLM`.
        """
        entry = self._enter(path.resolve())
        try:
            with entry.lock:  # the first user loads; the others wait for it
                if entry.llm is None:
                    if self._before_load is not None:
                        self._before_load(entry.path.name, entry.num_bytes)
                    entry.llm = self._load(entry.path, **self._options)
                llm = entry.llm
            yield llm
        finally:
            with self._lock:
                entry.num_users -= 1
                entry.used = time.monotonic()
                if entry.llm is None and not entry.num_users:  # it could not be loaded
                    self._entries.pop(entry.path, None)
            self._look_again()

    def loaded(self) -> list[PooledModel]:
        """The models in memory; the one idle for longest first."""
        now = time.monotonic()
        with self._lock:
            found = [
                PooledModel(e.path, e.num_bytes, e.num_users, 0.0 if e.num_users else now - e.used)
                for e in self._entries.values()
                if e.llm is not None
            ]
        return sorted(found, key=lambda model: -model.idle_seconds)

    @property
    def num_bytes(self) -> int:
        """The weights in memory."""
        with self._lock:
            return sum(entry.num_bytes for entry in self._entries.values())

    def unload_idle(self, idle_seconds: float = 0.0) -> list[Path]:
        """Closes the models that nobody has used for so long; gives their files."""
        gone = []
        for model in self.loaded():
            if not model.num_users and model.idle_seconds >= idle_seconds and self._drop(model):
                gone.append(model.path)
        return gone

    def set_limit(self, max_bytes: int | None) -> None:
        """Changes `max_bytes`; what does not fit any more and is idle goes at once.

        Raises:
            AgentConfigError: the limit is not above zero.
        """
        if max_bytes is not None and max_bytes <= 0:
            raise AgentConfigError(f"max_bytes is {max_bytes}; allowed: above 0, or None")
        self.max_bytes = max_bytes
        self._make_room(0)

    def close(self) -> None:
        """Unloads all that is idle."""
        self.unload_idle()

    def _look_again(self) -> None:
        """For models that will have been idle for too long by then."""
        if self._idle_seconds is None:
            return
        with self._lock:
            if self._timer is not None or not self._entries:
                return
            self._timer = threading.Timer(self._idle_seconds * 1.01 + 0.01, self._on_timer)
            self._timer.daemon = True
            self._timer.start()

    def _on_timer(self) -> None:
        with self._lock:
            self._timer = None
        self.unload_idle(self._idle_seconds or 0.0)
        self._look_again()

    def _enter(self, path: Path) -> _Entry:
        with self._lock:
            entry = self._entries.get(path)
            if entry is not None:
                entry.num_users += 1
                return entry
        num_bytes = path.stat().st_size if path.is_file() else 0
        self._make_room(num_bytes, path)
        with self._lock:
            entry = self._entries.setdefault(path, _Entry(path, num_bytes))
            entry.num_users += 1
            return entry

    def _make_room(self, num_bytes: int, path: Path | None = None) -> None:
        while self.max_bytes is not None and self.num_bytes + num_bytes > self.max_bytes:
            idle = [model for model in self.loaded() if not model.num_users]
            if idle:
                self._drop(idle[0])
            elif path is None:
                return  # those in use go on
            else:
                raise InsufficientMemoryError(
                    f"{path.name} needs {num_bytes / 1e6:.0f} MB and {self.num_bytes / 1e6:.0f} MB "
                    f"are in use by other models; allowed: {self.max_bytes / 1e6:.0f} MB in all. "
                    "Wait for them, raise model_cache_size or max_memory_usage, or choose a "
                    "smaller model"
                )

    def _drop(self, model: PooledModel) -> bool:
        with self._lock:
            entry = self._entries.get(model.path)
            if entry is None or entry.num_users or entry.llm is None:
                return False
            del self._entries[model.path]
        _log.info("unloading %s", model.path.name)
        entry.llm.close()
        return True


@functools.cache
def shared_pool() -> ModelPool:
    """That of this process."""
    return ModelPool()
