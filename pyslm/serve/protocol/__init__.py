"""What dialects and models say to each other, whatever the client speaks.

A **dialect** is a folder `pyslm/serve/<name>/` whose `__init__.py` has one function::

    def dialect(services: Services) -> Dialect:
        router = APIRouter()
        @router.post("/v1/things")
        async def things(request: Request) -> Response: ...
        return Dialect(name="name", router=router, prefixes=("/v1",), error_response=error_response)

The app finds the folder by itself and mounts its router. Authentication, Host and Origin checks,
limits and the bound on the body have passed before a route runs; errors of those stages, and every
`ServeError` that a route raises, become a response by the dialect's `error_response`. A route

1. reads the client's JSON and makes a `GenerateRequest` of it (`SamplingParams` checks the ranges);
2. calls `stream = await services.models.generate(model, request, ...)`, which loads the model if
   need be and returns once the request is accepted; until then errors are raised as `ServeError`,
   so that they still can have a status;
3. writes `async for event in stream` out as its clients read it, or `await collect(stream)` first.
   An error under way is a `ServeError` out of the iterator: write it as the dialect's last piece.
   Leaving the iterator by `await stream.aclose()` frees the request's blocks within a step;
   `pyslm.serve.streaming.stream_response` does all this, and also when the client goes away.

Everything here is an immutable `msgspec.Struct`, which is also how it crosses the socket.
"""

from __future__ import annotations

from pyslm.serve.protocol.completion import Choice, Completion, ToolCall, collect
from pyslm.serve.protocol.dialect import Dialect, Services
from pyslm.serve.protocol.dispatcher import Dispatcher, EventStream
from pyslm.serve.protocol.embedding import EmbedRequest, EmbedResult
from pyslm.serve.protocol.error import ErrorKind, ServeError
from pyslm.serve.protocol.event import (
    ContentDelta,
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    Started,
    TokenEntry,
    TokensDelta,
    ToolCallArguments,
    ToolCallStart,
)
from pyslm.serve.protocol.model import LoadedModel, LoadOptions, ModelCard
from pyslm.serve.protocol.request import GenerateRequest, ReasoningOptions, ToolChoice
from pyslm.serve.protocol.scores import (
    LikelihoodRequest,
    LikelihoodResult,
    PairsRequest,
    PairsResult,
)
from pyslm.serve.protocol.tokens import DetokenizeRequest, TokenizeRequest, TokenizeResult

__all__ = [
    "Choice",
    "Completion",
    "ContentDelta",
    "DetokenizeRequest",
    "Dialect",
    "Dispatcher",
    "EmbedRequest",
    "EmbedResult",
    "ErrorKind",
    "Event",
    "EventStream",
    "FinishReason",
    "Finished",
    "GenerateRequest",
    "LikelihoodRequest",
    "LikelihoodResult",
    "LoadOptions",
    "LoadedModel",
    "ModelCard",
    "PairsRequest",
    "PairsResult",
    "ReasoningDelta",
    "ReasoningOptions",
    "ServeError",
    "Services",
    "Started",
    "TokenEntry",
    "TokenizeRequest",
    "TokenizeResult",
    "TokensDelta",
    "ToolCall",
    "ToolCallArguments",
    "ToolCallStart",
    "ToolChoice",
    "collect",
]
