"""The one door from dialects to models."""

from __future__ import annotations

from typing import Protocol

from pyslm.serve.protocol.embedding import EmbedRequest, EmbedResult
from pyslm.serve.protocol.event import Event
from pyslm.serve.protocol.model import LoadedModel, LoadOptions, ModelCard
from pyslm.serve.protocol.request import GenerateRequest
from pyslm.serve.protocol.scores import (
    LikelihoodRequest,
    LikelihoodResult,
    PairsRequest,
    PairsResult,
)
from pyslm.serve.protocol.tokens import DetokenizeRequest, TokenizeRequest, TokenizeResult

__all__ = ["Dispatcher", "EventStream"]


class EventStream(Protocol):
    """The events of one accepted request; see `pyslm.serve.protocol.event` for their order."""

    load_seconds: float
    """What this request waited for the model to be loaded; 0 where it was."""

    def __aiter__(self) -> EventStream: ...

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            ServeError: the request failed; nothing comes after it.
        """
        ...

    async def batch(self) -> list[Event]:
        """All events at hand, at least one; empty at the end. Raises as `__anext__` does."""
        ...

    async def aclose(self) -> None:
        """Ends the request, unless it is over, and frees what it held within a step."""
        ...


class Dispatcher(Protocol):
    """Models by name. All methods raise `ServeError`; "model_not_found" for an unknown name.

    `model` is what the client wrote; "" means the only model, or the default one. `keep_alive`:
    seconds that the model stays after the request, in place of the server's setting; 0: unload
    when idle; negative: never unload; None: leave it as it is.
    """

    async def generate(
        self,
        model: str,
        request: GenerateRequest,
        *,
        keep_alive: float | None = None,
        options: LoadOptions | None = None,
    ) -> EventStream:
        """Accepts a request; returns with its `Started` event at hand."""
        ...

    async def embed(
        self,
        model: str,
        request: EmbedRequest,
        *,
        keep_alive: float | None = None,
        options: LoadOptions | None = None,
    ) -> EmbedResult:
        """Vectors of texts."""
        ...

    async def score_pairs(self, model: str, request: PairsRequest) -> PairsResult:
        """How well texts fit each other."""
        ...

    async def likelihoods(self, model: str, request: LikelihoodRequest) -> LikelihoodResult:
        """How likely texts are after a prompt."""
        ...

    async def tokenize(self, model: str, request: TokenizeRequest) -> TokenizeResult:
        """Token ids of a text or a conversation."""
        ...

    async def detokenize(self, model: str, request: DetokenizeRequest) -> str:
        """Text of token ids."""
        ...

    async def list_models(self) -> list[ModelCard]:
        """Every model that can be asked for by name, loaded or not."""
        ...

    async def get_model(self, model: str) -> ModelCard:
        """What a name means."""
        ...

    async def load(
        self,
        model: str,
        *,
        keep_alive: float | None = None,
        options: LoadOptions | None = None,
        pin: bool | None = None,
    ) -> LoadedModel:
        """Loads a model unless it is; returns when it is ready."""
        ...

    async def unload(self, model: str, *, force: bool = False) -> bool:
        """Ends the model's worker once its requests are done, or with `force` at once. Gives
        whether it was loaded."""
        ...

    async def ps(self) -> list[LoadedModel]:
        """The models that are loaded or loading."""
        ...
