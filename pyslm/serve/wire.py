"""What crosses the socket between the front and a worker: frames of a length and MessagePack.

The front sends `ToWorker`, the worker `ToFront`. Requests are told apart by a number, their
channel, unique on a connection. All events of one step of the engine travel in one `Step`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import msgspec

from pyslm.serve.protocol.embedding import EmbedRequest, EmbedResult
from pyslm.serve.protocol.error import ErrorKind, ServeError
from pyslm.serve.protocol.event import Event
from pyslm.serve.protocol.request import GenerateRequest
from pyslm.serve.protocol.scores import (
    LikelihoodRequest,
    LikelihoodResult,
    PairsRequest,
    PairsResult,
)
from pyslm.serve.protocol.tokens import DetokenizeRequest, TokenizeRequest, TokenizeResult

__all__ = ["FrameProtocol", "ToFront", "ToWorker", "WorkerSpec", "WorkerStats", "encode"]

MAX_FRAME_BYTES = 1 << 28
_LENGTH_BYTES = 4


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a worker and how to load it: the arguments of `pyslm.LLM`."""

    path: str
    context_length: int | None = None
    kv_type: str = "f16"
    threads: int | None = None
    max_sequences: int = 16
    batch_size: int = 512
    max_queued: int | None = None
    weight_cache: bool | None = None
    adapters: dict[str, str] = {}
    warm_up: bool = True


class WireError(msgspec.Struct, frozen=True, omit_defaults=True):
    """A `ServeError`."""

    kind: ErrorKind
    message: str
    param: str | None = None
    prompt_tokens: int | None = None
    context_length: int | None = None

    @classmethod
    def of(cls, error: Exception) -> WireError:
        """Of any exception; see `ServeError.of`."""
        known = ServeError.of(error)
        return cls(
            known.kind, known.message, known.param, known.prompt_tokens, known.context_length
        )

    def error(self) -> ServeError:
        """To be raised."""
        return ServeError(
            self.kind,
            self.message,
            param=self.param,
            prompt_tokens=self.prompt_tokens,
            context_length=self.context_length,
        )


class WorkerStats(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a worker's engine has done and is doing."""

    num_running: int = 0
    num_waiting: int = 0
    num_preemptions: int = 0
    num_blocks: int = 0
    num_free_blocks: int = 0
    num_cached_blocks: int = 0
    prompt_tokens: int = 0
    """Computed or found in the prefix cache, since the start."""
    cached_tokens: int = 0


# --- to the worker ------------------------------------------------------------------------------


class Load(msgspec.Struct, frozen=True, tag="load"):
    spec: WorkerSpec


class Generate(msgspec.Struct, frozen=True, tag="generate"):
    channel: int
    request: GenerateRequest


class Embed(msgspec.Struct, frozen=True, tag="embed"):
    channel: int
    request: EmbedRequest


class ScorePairs(msgspec.Struct, frozen=True, tag="score_pairs"):
    channel: int
    request: PairsRequest


class Likelihoods(msgspec.Struct, frozen=True, tag="likelihoods"):
    channel: int
    request: LikelihoodRequest


class Tokenize(msgspec.Struct, frozen=True, tag="tokenize"):
    channel: int
    request: TokenizeRequest


class Detokenize(msgspec.Struct, frozen=True, tag="detokenize"):
    channel: int
    request: DetokenizeRequest


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    channel: int


class Addressed(msgspec.Struct, frozen=True):
    """What can be read of a message that is not understood."""

    channel: int


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Asks for a `Pong`: whether the worker is alive, and its numbers."""

    channel: int


Question: TypeAlias = Embed | ScorePairs | Likelihoods | Tokenize | Detokenize
"""What has one answer."""
ToWorker: TypeAlias = Load | Generate | Question | Cancel | Ping

# --- to the front -------------------------------------------------------------------------------


class Loading(msgspec.Struct, frozen=True, tag="loading"):
    fraction: float


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    info: dict[str, Any]
    """`pyslm.ModelInfo` as plain values."""
    load_seconds: float
    capabilities: list[str]


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    error: WireError


class Step(msgspec.Struct, frozen=True, tag="step"):
    deltas: list[tuple[int, list[Event]]]
    """(channel, what is new)."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    channel: int
    error: WireError


class Embedded(msgspec.Struct, frozen=True, tag="embedded"):
    channel: int
    result: EmbedResult


class PairsScored(msgspec.Struct, frozen=True, tag="pairs_scored"):
    channel: int
    result: PairsResult


class LikelihoodsFound(msgspec.Struct, frozen=True, tag="likelihoods_found"):
    channel: int
    result: LikelihoodResult


class Tokenized(msgspec.Struct, frozen=True, tag="tokenized"):
    channel: int
    result: TokenizeResult


class Detokenized(msgspec.Struct, frozen=True, tag="detokenized"):
    channel: int
    result: str


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    channel: int
    result: WorkerStats


Reply: TypeAlias = Embedded | PairsScored | LikelihoodsFound | Tokenized | Detokenized | Pong
ToFront: TypeAlias = Loading | Ready | LoadFailed | Step | Failed | Reply

_encoder = msgspec.msgpack.Encoder()


def encode(message: ToWorker | ToFront) -> bytes:
    """A frame.

    Raises:
        ServeError: the message holds a text that is not valid Unicode, or is too large.
    """
    try:
        body = _encoder.encode(message)
    except UnicodeEncodeError:
        raise ServeError(
            "invalid_request", "a text holds a lone surrogate; allowed: any Unicode"
        ) from None
    except (RecursionError, OverflowError, TypeError) as error:
        raise ServeError("invalid_request", f"the request cannot be passed on: {error}") from None
    if len(body) > MAX_FRAME_BYTES:
        raise ServeError("too_large", f"a message has {len(body)} bytes; at most {MAX_FRAME_BYTES}")
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


class FrameProtocol(asyncio.Protocol):
    """One end of the socket."""

    def __init__(
        self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None] = lambda: None
    ) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        begin = 0
        while len(buffer) - begin >= _LENGTH_BYTES:
            body = begin + _LENGTH_BYTES
            end = body + int.from_bytes(buffer[begin:body], "little")
            if end - body > MAX_FRAME_BYTES:
                self.close()
                return
            if len(buffer) < end:
                break
            frame = bytes(buffer[body:end])
            begin = end
            self._on_frame(frame)
        del buffer[:begin]

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self.transport = None
        self._on_lost()

    def send(self, message: ToWorker | ToFront) -> None:
        """Sends a message, unless the other end is gone."""
        frame = encode(message)
        if self.transport is not None:
            self.transport.write(frame)

    def close(self) -> None:
        """Hangs up."""
        if self.transport is not None:
            self.transport.abort()
