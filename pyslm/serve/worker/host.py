"""The model in the worker, and what can be asked of it."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyslm.async_llm import AsyncLLM
from pyslm.llm import LLM
from pyslm.request import SamplingParams
from pyslm.serve.protocol.embedding import EmbedRequest, EmbedResult
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.protocol.event import Event
from pyslm.serve.protocol.request import GenerateRequest
from pyslm.serve.protocol.scores import (
    LikelihoodRequest,
    LikelihoodResult,
    PairsRequest,
    PairsResult,
)
from pyslm.serve.protocol.tokens import DetokenizeRequest, TokenizeRequest, TokenizeResult
from pyslm.serve.wire import WorkerSpec, WorkerStats
from pyslm.serve.worker.answer import Answer
from pyslm.serve.worker.prompt import PromptMaker
from pyslm.serve.worker.scoring import likelihoods, score_pairs, vectors

if TYPE_CHECKING:
    pass

__all__ = ["Host"]

_SWITCH_SECONDS = 0.0005  # between two steps the engine's thread must not wait long for the GIL


class Host:
    """One loaded model, for one event loop."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._model = llm._host
        self._async = AsyncLLM(llm)
        self._prompts = PromptMaker(llm)
        self.load_seconds = llm._host.load_seconds
        self.info = _plain_info(llm)
        self.capabilities = self._prompts.capabilities()
        self._num_blocks = sum(self._model.loop.engine.stats().free_blocks)

    @classmethod
    async def load(cls, spec: WorkerSpec, progress: Callable[[float], None]) -> Host:
        """Loads a model; raises what `LLM` raises."""
        sys.setswitchinterval(_SWITCH_SECONDS)
        load = partial(
            LLM,
            spec.path,
            context_length=spec.context_length,
            kv_type=spec.kv_type,
            threads=spec.threads,
            max_sequences=spec.max_sequences,
            batch_size=spec.batch_size,
            max_queued=spec.max_queued,
            weight_cache=spec.weight_cache,
            adapters=spec.adapters,
            progress=progress,
        )
        host = cls(await asyncio.to_thread(load))
        if spec.warm_up:
            await host._warm_up()
        return host

    async def _warm_up(self) -> None:
        """One token, or vector: faults in what the first request would wait for."""
        await asyncio.to_thread(self._model.tokenizer.build_encoder)
        ids = self._llm.tokenize("a") or [0]
        if not self._llm.info.generates:
            await vectors(self._model, [ids])
            return
        await self._async.generate(ids, SamplingParams(max_tokens=1, seed=0))

    async def generate(self, request: GenerateRequest, emit: Callable[[list[Event]], None]) -> None:
        """Runs a request to its end; cancelling the task takes it out of the engine."""
        if not self._llm.info.generates:
            raise ServeError(
                "not_supported",
                f"{self._llm.info.architecture} models make embeddings, not text; "
                "ask for /v1/embeddings",
            )
        prompt = await self._prompts.make(request)
        sampling = prompt.sampling
        if request.adapter is not None:
            sampling = sampling.replace(adapter=request.adapter)
        if prompt.plan is not None:
            sampling = await prompt.plan.decide(self._async.generate, prompt.ids, sampling)
        prompt = dataclasses.replace(prompt, sampling=sampling)
        await Answer(self._model, request, prompt, emit).run()

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Vectors of texts."""
        ids, truncated = await asyncio.to_thread(self._input_ids, request)
        rows = await vectors(self._model, ids, request.adapter, request.cache_salt)
        dimensions = self._llm.info.hidden_size
        if request.dimensions is not None:
            dimensions = request.dimensions
            rows = [_shortened(row, dimensions) for row in rows]
        return EmbedResult(
            vectors=[row.astype("<f4").tobytes() for row in rows],
            dimensions=dimensions,
            num_tokens=[len(tokens) for tokens in ids],
            truncated=truncated,
        )

    async def score_pairs(self, request: PairsRequest) -> PairsResult:
        """How well texts fit each other."""
        return await score_pairs(self._model, request)

    async def likelihoods(self, request: LikelihoodRequest) -> LikelihoodResult:
        """How likely texts are after a prompt."""
        return await likelihoods(self._model, request)

    def _input_ids(self, request: EmbedRequest) -> tuple[list[list[int]], list[int]]:
        """The token ids of each input, and the positions of those that were cut."""
        self._model.check_embeds()
        limit = self._llm.info.context_length
        ids = [self._model.prompt_ids(text) for text in request.inputs]
        truncated = []
        for position, tokens in enumerate(ids):
            if len(tokens) > limit and request.truncate:
                ids[position] = tokens[:limit]
                truncated.append(position)
            elif len(tokens) > limit:
                raise ServeError(
                    "context_length",
                    f"input {position} has {len(tokens)} tokens and the model takes {limit}; "
                    "shorten it",
                    param="input",
                    prompt_tokens=len(tokens),
                    context_length=limit,
                )
        return ids, truncated

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
        stats = self._model.loop.engine.stats()
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


def _shortened(vector: npt.NDArray[np.float32], dimensions: int) -> npt.NDArray[np.float32]:
    if not 1 <= dimensions <= len(vector):
        raise ServeError(
            "invalid_request",
            f"dimensions is {dimensions}; allowed: 1 to {len(vector)}",
            param="dimensions",
        )
    short = vector[:dimensions]
    return short / np.float32(max(float(np.linalg.norm(short)), 1e-12))
