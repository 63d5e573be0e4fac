"""The slots of a server: loads the models that are asked for and unloads those that are idle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Iterator

from pyslm.errors import PyslmError
from pyslm.serve.catalog import Catalog
from pyslm.serve.config import ServeConfig
from pyslm.serve.load_options import at_most, suffices
from pyslm.serve.memory import available_bytes
from pyslm.serve.metrics import Metrics
from pyslm.serve.process import RuntimeFolder
from pyslm.serve.protocol import LoadOptions, ModelCard, ServeError
from pyslm.serve.room import Room
from pyslm.serve.slot import Slot
from pyslm.serve.supervisor import Supervisor
from pyslm.serve.wire import WorkerSpec, WorkerStats

__all__ = ["Slots"]

_log = logging.getLogger(__name__)
_BUDGET_FRACTION = 0.8
_REAP_SECONDS = 0.5


class Slots:
    """One for each model that has been asked for, and their workers."""

    def __init__(self, config: ServeConfig, catalog: Catalog, metrics: Metrics) -> None:
        self.is_closing = False
        """Set once the server has been told to stop: nothing more is loaded."""
        self._config = config
        self._catalog = catalog
        self._metrics = metrics
        self._slots: dict[str, Slot] = {}
        self._folder = RuntimeFolder()
        budget = config.memory_budget or int(available_bytes() * _BUDGET_FRACTION)
        self._room = Room(self._slots.values(), config.max_loaded_models, budget, self.end)
        self._stopping: set[asyncio.Task[None]] = set()
        self._reaper: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Slot]:
        return iter(list(self._slots.values()))

    def open(self) -> None:
        """Begins to unload what is idle for long."""
        self._reaper = asyncio.create_task(self._reap(), name="reaper")

    async def close(self) -> None:
        """Ends all workers."""
        self.is_closing = True
        if self._reaper is not None:
            self._reaper.cancel()
        await asyncio.gather(*(self.end(slot) for slot in self))
        await asyncio.gather(*self._stopping)
        self._folder.close()

    def of(self, card: ModelCard) -> Slot:
        """Of a model; adapters run in that of theirs."""
        if card.parent is not None:
            card = self._catalog.find(card.parent)
        if card.id not in self._slots:
            self._slots[card.id] = Slot(card, self._config.keep_alive, pinned=False)
        slot = self._slots[card.id]
        if not slot.is_loaded:
            slot.card = card  # its file may have been replaced
        return slot

    async def load(
        self, slot: Slot, options: LoadOptions, *, asked_for: bool = False
    ) -> Supervisor:
        """The model's supervisor; starts it where there is none, or one with too little."""
        current = slot.supervisor
        if current is not None and not slot.draining and suffices(current, options):
            return current
        # A task of its own: a client that goes away does not end what others wait for.
        loading = asyncio.create_task(self._load(slot, options, asked_for))
        loading.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(loading)

    async def _load(self, slot: Slot, options: LoadOptions, asked_for: bool) -> Supervisor:
        async with slot.lock:
            if slot.supervisor is not None and not suffices(slot.supervisor, options):
                await self._stop(slot)
            if slot.supervisor is None:
                if not (asked_for or slot.pinned or self._config.load_on_demand):
                    raise ServeError("unavailable", f"{slot.card.id} is not loaded; load it first")
                await self._start(slot, options)
            assert slot.supervisor is not None
            return slot.supervisor

    async def _start(self, slot: Slot, options: LoadOptions) -> None:
        if self.is_closing:
            raise ServeError("unavailable", "the server is shutting down")
        async with self._room.reserve(slot):
            restarts = self._metrics.restarts.labels(slot.card.id)
            spec = self._spec(slot.card, options)
            supervisor = Supervisor(slot.card.id, spec, self._folder, restarts.inc)
            slot.supervisor = supervisor
            began = time.monotonic()
            try:
                await supervisor.start()
            except BaseException:
                slot.supervisor = None
                raise
        seconds = time.monotonic() - began
        self._metrics.loads.labels(slot.card.id).observe(seconds)
        _log.info("loaded %s in %.2f s", slot.card.id, seconds)

    def _spec(self, card: ModelCard, options: LoadOptions) -> WorkerSpec:
        config = self._config
        context = options.context_length or config.context_length
        return WorkerSpec(
            path=str(card.path),
            context_length=at_most(context, card.trained_context_length),
            kv_type=options.kv_type or config.kv_type,
            threads=options.threads or config.threads,
            max_sequences=config.max_sequences,
            batch_size=config.batch_size,
            max_queued=config.max_queued,
            weight_cache=config.weight_cache,
            adapters=self._catalog.adapters_of(card) | options.adapters,
        )

    async def end(self, slot: Slot, patience: float = 0.0) -> None:
        """Unloads a model; requests that run get `patience` seconds to end."""
        async with slot.lock:
            slot.draining = True
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await slot.idle.wait()
                await self._stop(slot)
            finally:
                slot.draining = False

    async def _stop(self, slot: Slot) -> None:
        supervisor, slot.supervisor = slot.supervisor, None
        if supervisor is not None:
            # A task of its own: whoever asked may be cancelled, the process must end.
            stopping = asyncio.create_task(supervisor.stop())
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)
            await asyncio.shield(stopping)
            _log.info("unloaded %s", slot.card.id)

    async def _reap(self) -> None:
        """Unloads what has been idle for long."""
        while True:
            await asyncio.sleep(_REAP_SECONDS)
            for slot in self:
                if slot.is_expired and not slot.lock.locked():
                    try:
                        await self.end(slot)
                    except (PyslmError, OSError):
                        _log.exception("unloading %s", slot.card.id)

    def stats(self) -> Iterable[tuple[str, WorkerStats]]:
        """The numbers of each worker, by the id of its model."""
        for slot in self:
            if slot.supervisor is not None:
                yield slot.card.id, slot.supervisor.stats
