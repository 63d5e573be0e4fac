"""The model in the worker, and what can be asked of it."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyslm.llm import LLM
from pyslm.request import SamplingParams
from pyslm.serve.protocol.embedding import EmbedRequest, EmbedResult
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.protocol.event import Event
from pyslm.serve.protocol.request import GenerateRequest
from pyslm.serve.protocol.tokens import DetokenizeRequest, TokenizeRequest, TokenizeResult
from pyslm.serve.wire import WorkerSpec, WorkerStats
from pyslm.serve.worker.answer import Answer
from pyslm.serve.worker.prompt import PromptMaker
from pyslm.serve.worker.step_thread import AsyncEngine

__all__ = ["Host"]

_SWITCH_SECONDS = 0.0005  # between two steps the engine's thread must not wait long for the GIL


class Host:
    """One loaded model, for one event loop."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._engine = AsyncEngine(llm) if llm.info.generates else None
        self._prompts = PromptMaker(llm)
        self.load_seconds = llm._load_seconds
        self.info = _plain_info(llm)
        self.capabilities = self._prompts.capabilities()
        self._num_blocks = 0 if self._engine is None else sum(self._engine.stats().free_blocks)

    @classmethod
    async def load(cls, spec: WorkerSpec, progress: Callable[[float], None]) -> Host:
        """Loads a model; raises what `LLM` raises."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        load = functools.partial(
            LLM,
            spec.path,
            context_length=spec.context_length,
            kv_type=spec.kv_type,
            threads=spec.threads,
            max_sequences=spec.max_sequences,
            batch_size=spec.batch_size,
            max_queued=spec.max_queued,
            weight_cache=spec.weight_cache,
            progress=progress,
        )
        host = cls(await asyncio.to_thread(load))
        if spec.warm_up:
            await host._warm_up()
        return host

    async def _warm_up(self) -> None:
        """One token, or vector: faults in what the first request would wait for."""
        if self._engine is None:
            await asyncio.to_thread(self._llm.embed, "a")
            return
        ids = self._llm.tokenize("a") or [0]
        async for _ in self._engine.stream(ids, SamplingParams(max_tokens=1), seed=0):
            pass

    async def generate(self, request: GenerateRequest, emit: Callable[[list[Event]], None]) -> None:
        """Runs a request to its end; cancelling the task takes it out of the engine."""
        if self._engine is None:
            raise ServeError(
                "not_supported",
                f"{self._llm.info.architecture} models make embeddings, not text; "
                "ask for /v1/embeddings",
            )
        prompt = await self._prompts.make(request)
        await Answer(self._engine, self._llm, request, prompt, emit).run()

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Vectors of texts."""
        return await asyncio.to_thread(self._embed, request)

    def _embed(self, request: EmbedRequest) -> EmbedResult:
        limit = self._llm.info.context_length
        ids = [self._llm.tokenize(i) if isinstance(i, str) else i for i in request.inputs]
        for position, tokens in enumerate(ids):
            if len(tokens) > limit and request.truncate:
                ids[position] = tokens[:limit]
            elif len(tokens) > limit:
                raise ServeError(
                    "context_length",
                    f"input {position} has {len(tokens)} tokens and the model takes {limit}; "
                    "shorten it",
                    param="input",
                    prompt_tokens=len(tokens),
                    context_length=limit,
                )
        vectors = self._llm.embed(ids)  # type: ignore[arg-type]  # token ids are taken as well
        if request.dimensions is not None:
            vectors = _shortened(vectors, request.dimensions)
        return EmbedResult(
            vectors=[row.astype("<f4").tobytes() for row in vectors],
            dimensions=vectors.shape[1],
            num_tokens=[len(tokens) for tokens in ids],
        )

    async def tokenize(self, request: TokenizeRequest) -> TokenizeResult:
        """Token ids of a text or a conversation."""
        return await asyncio.to_thread(self._prompts.tokenize, request)

    async def detokenize(self, request: DetokenizeRequest) -> str:
        """Text of token ids."""
        return await asyncio.to_thread(
            self._llm.detokenize, request.ids, skip_special_tokens=request.skip_special_tokens
        )

    def stats(self) -> WorkerStats:
        """The engine's numbers."""
        if self._engine is None:
            return WorkerStats()
        stats = self._engine.stats()
        return WorkerStats(
            num_running=stats.num_running,
            num_waiting=stats.num_waiting + stats.num_compiling,
            num_preemptions=stats.num_preemptions,
            num_blocks=self._num_blocks,
            num_free_blocks=sum(stats.free_blocks),
            num_cached_blocks=sum(stats.cached_blocks),
            prompt_tokens=stats.prompt_tokens,
            cached_tokens=stats.cached_tokens,
        )


def _plain_info(llm: LLM) -> dict[str, Any]:
    info = dataclasses.asdict(llm.info)
    return {key: str(value) if isinstance(value, Path) else value for key, value in info.items()}


def _shortened(vectors: np.ndarray[Any, Any], dimensions: int) -> np.ndarray[Any, Any]:
    if not 1 <= dimensions <= vectors.shape[1]:
        raise ServeError(
            "invalid_request",
            f"dimensions is {dimensions}; allowed: 1 to {vectors.shape[1]}",
            param="dimensions",
        )
    short = vectors[:, :dimensions]
    lengths: np.ndarray[Any, Any] = np.linalg.norm(short, axis=1, keepdims=True)
    result: np.ndarray[Any, Any] = short / np.maximum(lengths, 1e-12)
    return result
