"""The `Dispatcher`: takes requests for models and hands them to their workers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Self, TypeVar

import msgspec

from pyslm.hub import ModelStore
from pyslm.serve.caller import current_caller, require_scope
from pyslm.serve.catalog import Catalog
from pyslm.serve.channel import Channel
from pyslm.serve.config import ServeConfig
from pyslm.serve.limits import Limits
from pyslm.serve.load_options import bounded
from pyslm.serve.metrics import Metrics
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
from pyslm.serve.slot import Slot
from pyslm.serve.slots import Slots
from pyslm.serve.tracing import current_trace
from pyslm.serve.tracking import TrackedStream

__all__ = ["Registry"]

_Q = TypeVar("_Q", EmbedRequest, PairsRequest, LikelihoodRequest)


class Registry:
    """All models of one server."""

    def __init__(self, config: ServeConfig, catalog: Catalog | None = None) -> None:
        self.config = config
        self.metrics = Metrics(lambda: self._slots.stats())
        self.limits = Limits(config.rate_limits, config.token_limits)
        self.store = ModelStore() if config.store else None
        """Where models come from that were not named at the start."""
        self._catalog = catalog or Catalog(
            config.models, config.served_names, config.adapters, self.store, config.aliases
        )
        self._slots = Slots(config, self._catalog, self.metrics)

    @property
    def is_closing(self) -> bool:
        """Whether the server has been told to stop."""
        return self._slots.is_closing

    def begin_closing(self) -> None:
        """The server has been told to stop: nothing more is loaded."""
        self._slots.is_closing = True

    async def __aenter__(self) -> Self:
        """Reads the catalog and loads the models that the server was started with."""
        try:
            named = await self._catalog.open()
            self._slots.open()
            for card in named:
                slot = self._slots.of(card)
                slot.pinned = True
                await self._slots.load(slot, LoadOptions())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all workers."""
        await self._slots.close()

    def check_room(self) -> None:
        """Raises the error of a request that no model has a place for, whichever it names."""
        slots = list(self._slots)
        if self.store is not None or not slots:  # another model may be loaded
            return
        if all(slot.num_requests >= self._num_places for slot in slots):
            raise self._full(slots[0])

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
        slot = self._slots.of(self._catalog.find(model))
        if keep_alive is not None:
            slot.keep_alive = keep_alive
        if pin is not None:
            slot.pinned = pin
        slot.enter()
        try:
            await self._slots.load(slot, bounded(options, slot.card), asked_for=True)
        finally:
            slot.leave()
        described = slot.describe()
        assert described is not None
        return described

    async def unload(self, model: str, *, force: bool = False) -> bool:
        require_scope("manage")
        await self._catalog.learn(model)
        slot = self._slots.of(self._catalog.find(model))
        if not slot.is_loaded:
            return False
        await self._slots.end(slot, patience=0.0 if force else self.config.drain_seconds)
        return True

    async def ps(self) -> list[LoadedModel]:
        described = (slot.describe() for slot in self._slots)
        return [model for model in described if model is not None]

    # --- within -----------------------------------------------------------------------------

    def _admit(self, model: str, num_choices: int) -> Slot:
        """The slot of a model, with the request counted; refuses what would wait too long."""
        slot = self._slots.of(self._catalog.find(model))
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
        supervisor = await self._slots.load(slot, options)
        return (await supervisor.worker()).channel


def _salted(request: GenerateRequest, salt: str) -> GenerateRequest:
    sampling = request.sampling.replace(cache_salt=salt)
    return msgspec.structs.replace(request, sampling=sampling)
