"""Requests that run in the engine: their updates become chunks and, at the end, a result."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pyslm.errors import EngineError, InvalidRequestError
from pyslm.request import (
    FinishReason,
    GenerationResult,
    SamplingParams,
    StreamChunk,
    Timings,
    TokenLogprobs,
    Usage,
)
from pyslm.stream import Utf8Joiner

if TYPE_CHECKING:
    from pyslm import _native
    from pyslm.step_loop import StepLoop

__all__ = ["ChunkStream", "Generation", "PreparedRequest", "Transcript", "error_of"]


class Transcript:
    """What a request has given so far, put together from the engine's updates."""

    def __init__(self, seed: int, wants_logprobs: bool) -> None:
        self.result: GenerationResult | None = None
        self._seed = seed
        self._wants_logprobs = wants_logprobs
        self._joiner = Utf8Joiner()
        self._text: list[str] = []
        self._token_ids: list[int] = []
        self._logprobs: list[TokenLogprobs] = []

    def take(self, update: _native.RequestUpdate) -> StreamChunk:
        """What is new; the last chunk comes with the result.

        Raises:
            InvalidRequestError: what was asked for cannot be followed.
            EngineError: the request failed.
        """
        finish = update.finish
        if finish == "error":
            raise error_of(update)
        text = self._joiner.push(update.bytes)
        if finish is not None:
            text += self._joiner.finish()
        token_ids = tuple(update.tokens)
        logprobs = tuple(map(token_logprobs, update.logprobs)) if self._wants_logprobs else None
        self._text.append(text)
        self._token_ids.extend(token_ids)
        self._logprobs.extend(logprobs or ())
        if finish is not None:
            self.result = self._finished(update, finish)
        return StreamChunk(text, token_ids, logprobs, self.result)

    def _finished(self, update: _native.RequestUpdate, finish: FinishReason) -> GenerationResult:
        after_first = len(self._token_ids) - 1
        seconds = update.decode_seconds
        return GenerationResult(
            text="".join(self._text),
            token_ids=tuple(self._token_ids),
            finish_reason=finish,
            usage=Usage(update.prompt_tokens, len(self._token_ids), update.cached_tokens),
            timings=Timings(
                update.prompt_seconds,
                seconds,
                after_first / seconds if after_first > 0 and seconds > 0 else 0.0,
            ),
            logprobs=tuple(self._logprobs) if self._wants_logprobs else None,
            stop_reason=update.stop_reason,
            seed=self._seed,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class PreparedRequest:
    """What the engine takes, and what its answers are put together in."""

    prompt: list[int]
    native: _native.SamplingParams
    transcript: Transcript

    def ask(self, engine: _native.Engine) -> int:
        """Queues it; gives its id."""
        return engine.add(self.prompt, self.native)


class Generation:
    """One request in the engine, whose callers step it by themselves."""

    def __init__(self, loop: StepLoop, request: PreparedRequest) -> None:
        """Queues the request."""
        self._loop = loop
        self._transcript = request.transcript
        self._id = request.ask(loop.engine)

    @property
    def result(self) -> GenerationResult | None:
        """Once it has ended."""
        return self._transcript.result

    def advance(self) -> StreamChunk:
        """Runs steps until there is something new of this request."""
        return self._transcript.take(self._loop.next_update(self._id))

    def finish(self) -> GenerationResult:
        """Runs the request to its end."""
        while self.result is None:
            self.advance()
        return self.result

    def abort(self) -> None:
        """Takes the request out of the engine, unless it is finished."""
        if self.result is None:
            self._loop.abort(self._id)


class ChunkStream(Iterator[StreamChunk]):
    """The chunks of one request as they come.

    Closing it, from any thread, takes the request out; so does letting go of it.
    """

    def __init__(self, generation: Generation) -> None:
        self._generation: Generation | None = generation

    def __next__(self) -> StreamChunk:
        generation = self._generation
        if generation is None:
            raise StopIteration
        try:
            chunk = generation.advance()
        except InvalidRequestError:
            if self._generation is None:  # another thread has closed the stream
                raise StopIteration from None
            raise
        except BaseException:  # KeyboardInterrupt too: nothing of ours stays in the engine
            self.close()
            raise
        if chunk.result is not None:
            self._generation = None
        return chunk

    def close(self) -> None:
        """Ends the stream and frees what it held in the engine."""
        generation, self._generation = self._generation, None
        if generation is not None:
            generation.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_generation", None) is not None:
            self.close()


def error_of(update: _native.RequestUpdate) -> InvalidRequestError | EngineError:
    """Why a request failed."""
    if update.error_is_request:
        return InvalidRequestError(update.error or "the request cannot be followed")
    return EngineError(update.error or "the engine gave up a request and does not say why")


def draw_seed(params: SamplingParams) -> int:
    """The seed that was asked for, or a random one."""
    return secrets.randbits(63) if params.seed is None else params.seed


def token_logprobs(entries: list[tuple[int, float]]) -> TokenLogprobs:
    """From the token's own (id, log-probability) and those of the most likely."""
    (token_id, logprob), *top = entries
    return TokenLogprobs(token_id, logprob, tuple(top))


def native_params(params: SamplingParams, seed: int, room: int) -> _native.SamplingParams:
    """The same for the engine, with at most `room` tokens of output."""
    from pyslm import _native

    native = _native.SamplingParams()
    native.max_tokens = min(params.max_tokens, room)
    native.min_tokens = min(params.min_tokens, native.max_tokens)
    for name in (
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "typical_p",
        "top_n_sigma",
        "xtc_probability",
        "xtc_threshold",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "penalty_last_n",
        "dry_multiplier",
        "dry_base",
        "dry_allowed_length",
        "dry_penalty_last_n",
        "ignore_eos",
        "include_stop_text",
        "priority",
    ):
        setattr(native, name, getattr(params, name))
    native.cache_salt = params.cache_salt
    native.forced_tokens = list(params.forced_tokens)
    native.logit_bias = dict(params.logit_bias)
    native.seed = seed
    native.logprobs = -1 if params.logprobs is None else params.logprobs
    native.stop_token_ids = list(params.stop_token_ids)
    native.stop = [string.encode() for string in params.stop]
    native.dry_sequence_breakers = [text.encode() for text in params.dry_sequence_breakers]
    native.allowed_token_ids = list(params.allowed_token_ids)
    native.bad_words = [word.encode() for word in params.bad_words if isinstance(word, str)]
    native.bad_token_ids = [list(word) for word in params.bad_words if not isinstance(word, str)]
    source = params.grammar_source()
    if source is not None:
        native.grammar_type, native.grammar = source
    return native
