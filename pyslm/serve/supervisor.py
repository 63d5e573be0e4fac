"""Keeps the worker of one model running."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from pyslm.serve import wire
from pyslm.serve.process import RuntimeFolder, WorkerProcess
from pyslm.serve.protocol.error import ServeError

__all__ = ["Supervisor"]

_log = logging.getLogger(__name__)

PING_SECONDS = 1.0
SILENCE_SECONDS = 30.0
"""A worker that answers no ping for so long is hung, and is killed."""
STALL_SECONDS = 300.0
"""A worker with requests, none of which gets a token for so long, is hung as well."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_CRASHES_REMEMBERED_SECONDS = 120.0


class Supervisor:
    """One model's worker, and the next one when it ends before its time."""

    def __init__(
        self,
        name: str,
        spec: wire.WorkerSpec,
        folder: RuntimeFolder,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec = spec
        self.state: Literal["loading", "ready", "restarting"] = "loading"
        self.stats = wire.WorkerStats()
        self.context_length = 0
        """As loaded."""
        self._name = name
        self._folder = folder
        self._on_restart = on_restart
        self._process: WorkerProcess | None = None
        self._changed = asyncio.Event()
        self._error: ServeError | None = None
        self._task: asyncio.Task[None] | None = None
        self._crashes: deque[float] = deque(maxlen=16)

    async def start(self) -> None:
        """Starts the first worker.

        Raises:
            ServeError: it did not load. There is nothing to be stopped then.
        """
        self._process = await WorkerProcess.start(self.spec, self._folder)
        self.context_length = int(self._process.info["context_length"])
        self.state = "ready"
        self._task = asyncio.create_task(self._watch(), name=f"supervisor {self._name}")

    @property
    def process(self) -> WorkerProcess | None:
        """The worker that runs, if one does."""
        return self._process

    async def worker(self) -> WorkerProcess:
        """The worker; waits for it while it is being started anew.

        Raises:
            ServeError: the last attempt to start it failed.
        """
        while (process := self._process) is None or process.channel.lost.is_set():
            if process is None and self._error is not None:
                raise self._error
            await self._changed.wait()
        return process

    async def stop(self) -> None:
        """Ends the worker; returns when its process, and its memory, are gone."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        process, self._process = self._process, None
        if process is not None:
            await process.end()

    async def _watch(self) -> None:
        while True:
            assert self._process is not None
            await self._until_lost(self._process)
            await self._restart(self._process)

    async def _until_lost(self, process: WorkerProcess) -> None:
        """Pings the worker, and kills one that is hung."""
        channel = process.channel
        while not channel.lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_SECONDS):
                    await channel.lost.wait()
                return
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    self.stats = await channel.ping()
            except TimeoutError:
                _log.error("worker of %s: silent for %g s, killed", self._name, SILENCE_SECONDS)
                process.kill()
            except ServeError:  # it is lost
                return
            if channel.silent_seconds() > STALL_SECONDS:
                _log.error("worker of %s: stalled for %g s, killed", self._name, STALL_SECONDS)
                process.kill()
                return

    async def _restart(self, dead: WorkerProcess) -> None:
        self._process, self.state, self.stats = None, "restarting", wire.WorkerStats()
        self._changed.clear()
        self._error = None
        await dead.end()
        _log.error("worker of %s (pid %d) ended; it is started anew", self._name, dead.pid)
        self._on_restart()
        while self._process is None:
            await asyncio.sleep(self._pause())
            self._crashes.append(time.monotonic())
            try:
                self._process = await WorkerProcess.start(self.spec, self._folder)
            except ServeError as error:
                _log.error("worker of %s: %s", self._name, error)
                error.retry_after = self._pause()
                self._error = error
            self._changed.set()  # waiters get the worker, or the error
            self._changed.clear()
        self.state, self._error = "ready", None

    def _pause(self) -> float:
        """Longer with each crash of the last two minutes."""
        recent = time.monotonic() - _CRASHES_REMEMBERED_SECONDS
        num_crashes = sum(when > recent for when in self._crashes)
        return 0.0 if num_crashes == 0 else min(_FIRST_PAUSE * 2**num_crashes, _LONGEST_PAUSE)
