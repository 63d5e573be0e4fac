"""The `Dispatcher`: loads what is asked for, hands requests to workers, unloads what is idle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable
from typing import Self, TypeVar

import msgspec

from pyslm.errors import PyslmError
from pyslm.hub import ModelStore
from pyslm.serve.caller import current_caller, require_scope
from pyslm.serve.catalog import Catalog
from pyslm.serve.channel import Channel
from pyslm.serve.config import ServeConfig
from pyslm.serve.limits import Limits
from pyslm.serve.load_options import at_most, bounded, suffices
from pyslm.serve.memory import available_bytes
from pyslm.serve.metrics import Metrics
from pyslm.serve.process import RuntimeFolder
from pyslm.serve.protocol import (
    DetokenizeRequest,
    EmbedRequest,
    EmbedResult,
    EventStream,
    GenerateRequest,
    LikelihoodRequest,
    LikelihoodResult,
    LoadedModel,
    LoadOptions,
    ModelCard,
    PairsRequest,
    PairsResult,
    ServeError,
    TokenizeRequest,
    TokenizeResult,
)
from pyslm.serve.room import Room
from pyslm.serve.slot import Slot
from pyslm.serve.supervisor import Supervisor
from pyslm.serve.tracing import current_trace
from pyslm.serve.tracking import TrackedStream
from pyslm.serve.wire import WorkerSpec, WorkerStats

__all__ = ["Registry"]

_Q = TypeVar("_Q", EmbedRequest, PairsRequest, LikelihoodRequest)

_log = logging.getLogger(__name__)
_BUDGET_FRACTION = 0.8
_REAP_SECONDS = 0.5


class Registry:
    """All models of one server."""

    def __init__(self, config: ServeConfig, catalog: Catalog | None = None) -> None:
        self.config = config
        self.metrics = Metrics(self._stats)
        self.limits = Limits(config.rate_limits, config.token_limits)
        self.store = ModelStore() if config.store else None
        """Where models come from that were not named at the start."""
        self._catalog = catalog or Catalog(
            config.models, config.served_names, config.adapters, self.store
        )
        self._slots: dict[str, Slot] = {}
        self._folder = RuntimeFolder()
        budget = config.memory_budget or int(available_bytes() * _BUDGET_FRACTION)
        self._room = Room(self._slots.values(), config.max_loaded_models, budget, self._end)
        self._stopping: set[asyncio.Task[None]] = set()
        self._reaper: asyncio.Task[None] | None = None
        self.is_closing = False
        """Set once the server has been told to stop: new work is refused elsewhere."""

    async def __aenter__(self) -> Self:
        """Reads the catalog and loads the models that the server was started with."""
        try:
            named = await self._catalog.open()
            self._reaper = asyncio.create_task(self._reap(), name="reaper")
            for card in named:
                slot = self._slot(card)
                slot.pinned = True
                await self._loaded(slot, LoadOptions())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all workers."""
        self.is_closing = True
        if self._reaper is not None:
            self._reaper.cancel()
        await asyncio.gather(*(self._end(slot) for slot in self._slots.values()))
        await asyncio.gather(*self._stopping)
        self._folder.close()

    def check_room(self) -> None:
        """Raises the error of a request that no model has a place for, whichever it names."""
        if self.store is not None or not self._slots:  # another model may be loaded
            return
        if all(slot.num_requests >= self._num_places for slot in self._slots.values()):
            raise self._full(next(iter(self._slots.values())))

    # --- what dialects call -----------------------------------------------------------------

    async def generate(
        self,
        model: str,
        request: GenerateRequest,
        *,
        keep_alive: float | None = None,
        options: LoadOptions | None = None,
    ) -> EventStream:
        await self._catalog.learn(model)
        slot = self._admit(model, request.sampling.num_samples)
        card = self._catalog.find(model)
        if card.parent is not None:
            request = msgspec.structs.replace(request, adapter=card.id)
        current_trace.get().generates(model or card.id, card.id, request)
        options = bounded(options, slot.card)
        tracked = TrackedStream(slot, request, self.metrics, self.limits)
        try:
            if keep_alive is not None:
                slot.keep_alive = keep_alive
            began = time.monotonic()
            channel = await self._channel(slot, options)
            tracked.load_seconds = time.monotonic() - began
            salt = current_caller.get().cache_salt
            if salt and not request.sampling.cache_salt:
                request = _salted(request, salt)
            tracked.attach(await channel.generate(request))
        except BaseException as error:
            tracked.fail(error)
            raise
        return tracked

    async def embed(
        self,
        model: str,
        request: EmbedRequest,
        *,
        keep_alive: float | None = None,
        options: LoadOptions | None = None,
    ) -> EmbedResult:
        began = time.monotonic()
        async with self._use(model, keep_alive, options) as (slot, channel):
            current_trace.get().asks("embeddings", model or slot.card.id, slot.card.id)
            load_seconds = time.monotonic() - began
            result = await channel.embed(self._owned(model, request))
            self._count(slot, sum(result.num_tokens))
            return msgspec.structs.replace(result, load_seconds=load_seconds)

    async def score_pairs(self, model: str, request: PairsRequest) -> PairsResult:
        async with self._use(model) as (slot, channel):
            result = await channel.score_pairs(self._owned(model, request))
            self._count(slot, result.num_tokens)
            return result

    async def likelihoods(self, model: str, request: LikelihoodRequest) -> LikelihoodResult:
        async with self._use(model) as (slot, channel):
            result = await channel.likelihoods(self._owned(model, request))
            self._count(slot, result.num_tokens)
            return result

    def _owned(self, model: str, request: _Q) -> _Q:
        """With the adapter that the model's name stands for, and apart from other callers."""
        card = self._catalog.find(model)
        salt = request.cache_salt or current_caller.get().cache_salt
        adapter = card.id if card.parent is not None else request.adapter
        return msgspec.structs.replace(request, adapter=adapter, cache_salt=salt)

    def _count(self, slot: Slot, num_tokens: int) -> None:
        self.limits.spend(current_caller.get(), num_tokens)
        current_trace.get().counted(num_tokens)
        self.metrics.prompt_tokens.labels(slot.card.id).inc(num_tokens)

    async def tokenize(self, model: str, request: TokenizeRequest) -> TokenizeResult:
        async with self._use(model) as (_, channel):
            return await channel.tokenize(request)

    async def detokenize(self, model: str, request: DetokenizeRequest) -> str:
        async with self._use(model) as (_, channel):
            return await channel.detokenize(request)

    async def list_models(self) -> list[ModelCard]:
        await self._catalog.learn_all()
        return self._catalog.cards()

    async def get_model(self, model: str) -> ModelCard:
        await self._catalog.learn(model)
        return self._catalog.find(model)

    async def load(
        self,
        model: str,
        *,
        keep_alive: float | None = None,
        options: LoadOptions | None = None,
        pin: bool | None = None,
    ) -> LoadedModel:
        require_scope("manage")
        await self._catalog.learn(model)
        slot = self._slot(self._catalog.find(model))
        if keep_alive is not None:
            slot.keep_alive = keep_alive
        if pin is not None:
            slot.pinned = pin
        slot.enter()
        try:
            await self._loaded(slot, bounded(options, slot.card), asked_for=True)
        finally:
            slot.leave()
        described = slot.describe()
        assert described is not None
        return described

    async def unload(self, model: str, *, force: bool = False) -> bool:
        require_scope("manage")
        await self._catalog.learn(model)
        slot = self._slot(self._catalog.find(model))
        if not slot.is_loaded:
            return False
        await self._end(slot, patience=0.0 if force else self.config.drain_seconds)
        return True

    async def ps(self) -> list[LoadedModel]:
        described = (slot.describe() for slot in self._slots.values())
        return [model for model in described if model is not None]

    # --- within -----------------------------------------------------------------------------

    def _slot(self, card: ModelCard) -> Slot:
        """Of a model; adapters run in that of theirs."""
        if card.parent is not None:
            card = self._catalog.find(card.parent)
        if card.id not in self._slots:
            self._slots[card.id] = Slot(card, self.config.keep_alive, pinned=False)
        slot = self._slots[card.id]
        if not slot.is_loaded:
            slot.card = card  # its file may have been replaced
        return slot

    def _admit(self, model: str, num_choices: int) -> Slot:
        """The slot of a model, with the request counted; refuses what would wait too long."""
        slot = self._slot(self._catalog.find(model))
        places = self._num_places
        if num_choices > places:
            raise ServeError(
                "invalid_request", f"n is {num_choices}; this server takes {places}", param="n"
            )
        if slot.num_requests + num_choices > places:
            raise self._full(slot)
        slot.enter(num_choices)
        return slot

    @property
    def _num_places(self) -> int:
        """Of each model: requests that may run or wait."""
        return self.config.max_sequences + self.config.max_queued

    def _full(self, slot: Slot) -> ServeError:
        """The error of a request that finds no place."""
        self.metrics.rejections.labels(slot.card.id, "queue_full").inc()
        wait = slot.mean_seconds * self.config.max_queued / self.config.max_sequences
        return ServeError(
            "overloaded",
            f"{slot.num_requests} requests run or wait and {self._num_places} may; try again later",
            retry_after=min(max(wait, 1.0), 60.0),
        )

    @contextlib.asynccontextmanager
    async def _use(
        self,
        model: str,
        keep_alive: float | None = None,
        options: LoadOptions | None = None,
    ) -> AsyncIterator[tuple[Slot, Channel]]:
        await self._catalog.learn(model)
        slot = self._admit(model, 1)
        try:
            if keep_alive is not None:
                slot.keep_alive = keep_alive
            yield slot, await self._channel(slot, bounded(options, slot.card))
        except ServeError as error:
            self.metrics.failures.labels(slot.card.id, error.kind).inc()
            raise
        finally:
            slot.leave()

    async def _channel(self, slot: Slot, options: LoadOptions) -> Channel:
        supervisor = await self._loaded(slot, options)
        return (await supervisor.worker()).channel

    async def _loaded(
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
                if not (asked_for or slot.pinned or self.config.load_on_demand):
                    raise ServeError("unavailable", f"{slot.card.id} is not loaded; load it first")
                await self._start(slot, options)
            assert slot.supervisor is not None
            return slot.supervisor

    async def _start(self, slot: Slot, options: LoadOptions) -> None:
        if self.is_closing:
            raise ServeError("unavailable", "the server is shutting down")
        async with self._room.reserve(slot):
            restarts = self.metrics.restarts.labels(slot.card.id)
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
        self.metrics.loads.labels(slot.card.id).observe(seconds)
        _log.info("loaded %s in %.2f s", slot.card.id, seconds)

    def _spec(self, card: ModelCard, options: LoadOptions) -> WorkerSpec:
        config = self.config
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

    async def _end(self, slot: Slot, patience: float = 0.0) -> None:
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
            for slot in list(self._slots.values()):
                if slot.is_expired and not slot.lock.locked():
                    try:
                        await self._end(slot)
                    except (PyslmError, OSError):
                        _log.exception("unloading %s", slot.card.id)

    def _stats(self) -> Iterable[tuple[str, WorkerStats]]:
        for slot in self._slots.values():
            if slot.supervisor is not None:
                yield slot.card.id, slot.supervisor.stats


def _salted(request: GenerateRequest, salt: str) -> GenerateRequest:
    sampling = request.sampling.replace(cache_salt=salt)
    return msgspec.structs.replace(request, sampling=sampling)
