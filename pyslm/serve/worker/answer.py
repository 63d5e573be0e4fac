"""One request from its prompt to its last event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from pyslm.async_llm import AsyncChunkStream
from pyslm.generation import draw_seed
from pyslm.model_host import ModelHost
from pyslm.request import GenerationResult, StreamChunk, TokenLogprobs
from pyslm.scores import logprobs_of, prompt_scoring
from pyslm.serve.protocol.event import (
    Event,
    Finished,
    FinishReason,
    Started,
    TokenEntry,
    TokensDelta,
)
from pyslm.serve.protocol.request import GenerateRequest
from pyslm.serve.worker.parser import AnswerParser, ChatParser, PlainText
from pyslm.serve.worker.prompt import MadePrompt
from pyslm.serve.worker.token_text import TokenText

__all__ = ["Answer"]


class Answer:
    """All choices of one request."""

    def __init__(
        self,
        host: ModelHost,
        request: GenerateRequest,
        prompt: MadePrompt,
        emit: Callable[[list[Event]], None],
    ) -> None:
        self._host = host
        self._request = request
        self._prompt = prompt
        self._emit = emit
        self._params = prompt.sampling
        self._tokens = TokenText(host.tokenizer)
        self._wants_tokens = self._params.logprobs is not None or request.return_token_ids

    async def run(self) -> None:
        """To the end; leaves nothing in the engine, whatever happens."""
        params = self._params
        chooses = params.num_samples > params.n
        drawn = params.replace(logprobs=0) if chooses and params.logprobs is None else params
        single = drawn.replace(n=1, best_of=None, prompt_logprobs=None)
        seed = draw_seed(params)
        streams: list[AsyncChunkStream] = []
        try:
            for index in range(params.num_samples):
                prepare = partial(
                    self._host.prepare, self._prompt.ids, single, seed=seed, sample_index=index
                )
                streams.append(AsyncChunkStream(self._host.async_steps, prepare))
                await streams[-1].start()
            self._emit([await self._started()])
            if chooses:
                await self._run_best(streams)
            elif len(streams) == 1:
                await self._run_choice(0, streams[0])
            else:
                async with asyncio.TaskGroup() as group:
                    for index, stream in enumerate(streams):
                        group.create_task(self._run_choice(index, stream))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            for stream in streams:
                await stream.aclose()

    async def _started(self) -> Started:
        request, prompt = self._request, self._prompt
        top = self._params.prompt_logprobs
        return Started(
            len(prompt.ids),
            prompt.text if request.echo else None,
            prompt.ids if request.return_token_ids else None,
            None if top is None else await self._prompt_logprobs(top),
        )

    async def _prompt_logprobs(self, num_top: int) -> list[TokenEntry]:
        ids = self._prompt.ids
        ask = prompt_scoring(self._host, ids, self._params.replace(prompt_logprobs=num_top))
        scores: tuple[TokenLogprobs, ...] = ()
        if ask is not None:
            scores = logprobs_of(await self._host.async_steps.start(ask).all_updates())
        return self._tokens.entries(ids[:1], None) + self._tokens.entries(ids[1:], scores)

    async def _run_choice(self, index: int, stream: AsyncChunkStream) -> None:
        parser = self._parser(index)
        async for chunk in stream:
            events = self._token_events(index, chunk.token_ids, chunk.logprobs)
            events += parser.push(chunk.text, stream.raw, chunk.token_ids)
            if chunk.result is not None:
                events += parser.finish()
                events.append(self._finished(index, chunk.result, parser))
            self._emit(events)

    async def _run_best(self, streams: list[AsyncChunkStream]) -> None:
        """Draws all samples, then reports the best as if they had come alone."""
        results = [chunk.result for chunk in await asyncio.gather(*map(_last, streams))]
        drawn = [result for result in results if result is not None]
        drawn.sort(key=_mean_logprob, reverse=True)
        for index, result in enumerate(drawn[: self._params.n]):
            parser = self._parser(index)
            logprobs = None if self._params.logprobs is None else result.logprobs
            events = self._token_events(index, result.token_ids, logprobs)
            events += parser.push(result.text, result.text.encode(), result.token_ids)
            events += parser.finish()
            self._emit([*events, self._finished(index, result, parser)])

    def _parser(self, index: int) -> AnswerParser:
        plan = self._prompt.plan
        if plan is None or plan.is_plain:
            return PlainText(index)
        return ChatParser(index, plan.reader(), include_reasoning=self._request.reasoning.include)

    def _token_events(
        self, index: int, ids: tuple[int, ...], logprobs: tuple[TokenLogprobs, ...] | None
    ) -> list[Event]:
        if not self._wants_tokens or not ids:
            return []
        return [TokensDelta(index, self._tokens.entries(ids, logprobs))]

    def _finished(self, index: int, result: GenerationResult, parser: AnswerParser) -> Finished:
        reason: FinishReason = result.finish_reason
        if parser.num_calls and reason == "stop":
            reason = "tool_calls"
        usage, timings = result.usage, result.timings
        return Finished(
            index,
            reason,
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens,
            parser.num_reasoning_tokens,
            result.stop_reason,
            result.seed,
            timings.prompt_seconds,
            timings.decode_seconds,
        )


async def _last(stream: AsyncChunkStream) -> StreamChunk:
    async for chunk in stream:
        last = chunk
    return last


def _mean_logprob(result: GenerationResult) -> float:
    entries = result.logprobs or ()
    return sum(entry.logprob for entry in entries) / max(len(entries), 1)
