"""`AsyncLLM`: the same model for programs that run an event loop."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt

from pyslm.async_steps import AsyncSteps
from pyslm.async_stream import AsyncChunkStream
from pyslm.generation import PreparedRequest
from pyslm.llm import LLM, Message
from pyslm.model_info import ModelInfo
from pyslm.prompts import Prompt, is_single_prompt, paired
from pyslm.request import GenerationResult, SamplingParams
from pyslm.samples import Samples, check_streams
from pyslm.scores import (
    ContinuationScore,
    continuation_ids,
    logprobs_of,
    pair_ids,
    prompt_scoring,
    score_of,
    vector_of,
)

__all__ = ["AsyncChunkStream", "AsyncLLM"]

_T = TypeVar("_T")


class AsyncLLM:
    """An `LLM` whose methods are coroutines.

    ::

        async with await pyslm.AsyncLLM.load("model.gguf") as llm:
            async for chunk in llm.stream("Once upon a time"):
                print(chunk.text, end="", flush=True)

    All requests run together. Cancelling what awaits one, or closing its stream, takes it out of
    the engine within a step. Several event loops, and threads that call `llm` itself, may share it.

    Args:
        llm: a loaded model, which stays the caller's to close.
    """

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._host = llm._host
        self._owns_llm = False

    @classmethod
    async def load(cls, model: str | os.PathLike[str], **options: Any) -> Self:
        """Loads a model while the event loop goes on.

        Args:
            options: those of `LLM`.

        Raises:
            PyslmError: as `LLM`.
        """
        self = cls(await asyncio.to_thread(partial(LLM, model, **options)))
        self._owns_llm = True
        return self

    @property
    def llm(self) -> LLM:
        """The model itself."""
        return self._llm

    @property
    def info(self) -> ModelInfo:
        """What the model is and how it was loaded."""
        return self._llm.info

    @overload
    async def generate(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too
        self, prompt: Prompt, params: SamplingParams | None = None
    ) -> GenerationResult: ...
    @overload
    async def generate(
        self,
        prompt: Sequence[str] | Sequence[Sequence[int]],
        params: SamplingParams | Sequence[SamplingParams] | None = None,
    ) -> list[GenerationResult]: ...
    async def generate(
        self, prompt: Any, params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> GenerationResult | list[GenerationResult]:
        """As `LLM.generate`."""
        single = is_single_prompt(prompt)
        requests = paired([prompt] if single else prompt, params, single=single)
        results = await _together(partial(self._one, *request) for request in requests)
        return results[0] if single else results

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> AsyncChunkStream:
        """As `generate` for one prompt, in pieces as they come; the last one has the result.

        The request is queued, and its errors are raised, when the first piece is awaited, or
        `start` of the stream.
        """
        params = params or SamplingParams()
        check_streams(params)
        return AsyncChunkStream(self._steps, partial(self._host.prepare, prompt, params))

    async def chat(
        self,
        messages: Sequence[Message],
        params: SamplingParams | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **template_options: Any,
    ) -> GenerationResult:
        """As `LLM.chat`."""
        encode = partial(self._host.encode_chat, messages, tools, **template_options)
        return await self._one(await asyncio.to_thread(encode), params or SamplingParams())

    def chat_stream(
        self,
        messages: Sequence[Message],
        params: SamplingParams | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **template_options: Any,
    ) -> AsyncChunkStream:
        """As `chat`, in pieces as they come; see `stream`."""
        params = params or SamplingParams()
        check_streams(params)

        def prepare() -> PreparedRequest:
            ids = self._host.encode_chat(messages, tools, **template_options)
            return self._host.prepare(ids, params)

        return AsyncChunkStream(self._steps, prepare)

    async def embed(self, texts: str | Sequence[str]) -> npt.NDArray[np.float32]:
        """As `LLM.embed`."""
        batch = [texts] if isinstance(texts, str) else list(texts)
        rows = await _together(partial(self._vector, text) for text in batch)
        return np.stack(rows) if rows else np.empty((0, self.info.hidden_size), np.float32)

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """As `LLM.rerank`."""
        return await _together(partial(self._rank, query, document) for document in documents)

    async def score(
        self, prompt: Prompt, continuations: Sequence[Prompt]
    ) -> list[ContinuationScore]:
        """As `LLM.score`."""
        self._host.check_generates()
        return await _together(partial(self._score, prompt, text) for text in continuations)

    async def close(self) -> None:
        """Closes the model if `load` made it, which ends what runs with an `EngineError`.

        One that was given stays open, and so do its streams.
        """
        if self._owns_llm:
            await asyncio.to_thread(self._llm.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def _steps(self) -> AsyncSteps:
        return self._host.async_steps

    async def _one(self, prompt: Prompt, params: SamplingParams) -> GenerationResult:
        """All samples of a prompt, and how likely it is itself where that is asked for."""
        samples = Samples(params)
        ids = await asyncio.to_thread(self._host.prompt_ids, prompt)
        ways = [
            partial(self._sample, ids, each, samples.seed, index)
            for index, each in enumerate(samples.each)
        ]
        result = samples.choose(await _together(ways))
        if params.prompt_logprobs is None:
            return result
        ask = prompt_scoring(self._host, ids, params)
        updates = [] if ask is None else await self._steps.start(ask).all_updates()
        return dataclasses.replace(result, prompt_logprobs=logprobs_of(updates))

    async def _sample(
        self, ids: list[int], params: SamplingParams, seed: int, index: int
    ) -> GenerationResult:
        prepare = partial(self._host.prepare, ids, params, seed=seed, sample_index=index)
        stream = AsyncChunkStream(self._steps, prepare)
        async with stream:
            async for _ in stream:
                pass
        return stream.result

    async def _score(self, prompt: Prompt, continuation: Prompt) -> ContinuationScore:
        split = partial(continuation_ids, self._host, prompt, continuation)
        ids, first = await asyncio.to_thread(split)
        running = self._steps.start(lambda engine: engine.add_scoring(ids, first, 1))
        return score_of(logprobs_of(await running.all_updates()))

    async def _rank(self, query: str, document: str) -> float:
        ids = await asyncio.to_thread(pair_ids, self._host, query, document)
        return float((await self._vector_of(ids))[0])

    async def _vector(self, text: str) -> npt.NDArray[np.float32]:
        self._host.check_embeds()
        return await self._vector_of(await asyncio.to_thread(self._host.prompt_ids, text))

    async def _vector_of(self, ids: list[int]) -> npt.NDArray[np.float32]:
        self._host.check_fits(len(ids), output=0)
        running = self._steps.start(lambda engine: engine.add_embedding(ids))
        return vector_of(await running.all_updates())


async def _together(calls: Iterable[Callable[[], Coroutine[Any, Any, _T]]]) -> list[_T]:
    """What all of them give. The first error ends the others."""
    tasks = [asyncio.ensure_future(call()) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
