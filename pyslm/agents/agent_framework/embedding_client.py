"""`PySLMEmbeddingClient`: embeddings for Microsoft Agent Framework, made in this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from agent_framework import BaseEmbeddingClient, Embedding, GeneratedEmbeddings
from agent_framework.observability import EmbeddingTelemetryLayer

from pyslm.agents.models.choose import local_model
from pyslm.async_llm import AsyncLLM
from pyslm.errors import InvalidRequestError
from pyslm.llm import LLM

__all__ = ["PySLMEmbeddingClient"]

_OPTIONS = ("dimensions", "model")


class RawPySLMEmbeddingClient(BaseEmbeddingClient):
    """The client without telemetry."""

    OTEL_PROVIDER_NAME: ClassVar[str] = "pyslm"

    def __init__(self, model: LLM | AsyncLLM | str | os.PathLike[str], **layers: Any) -> None:
        """See `PySLMEmbeddingClient`."""
        self._local = local_model(model)
        self.model = self._local.name
        super().__init__(**layers)

    def service_url(self) -> str:
        """Where the model runs, for telemetry."""
        return "localhost"

    async def get_embeddings(
        self, values: Sequence[str], *, options: Mapping[str, Any] | None = None
    ) -> GeneratedEmbeddings:
        """A unit vector for each text, pooled as the model says.

        Args:
            options: `dimensions`: only the first so many, made a unit vector again, for models that
                were trained for it; `model`: another one.

        Raises:
            InvalidRequestError: an option that there is not, or more dimensions than the model has.
            ContextLengthError: a text longer than the context.
        """
        asked = dict(options or {})
        for key in asked:
            if key not in _OPTIONS:
                raise InvalidRequestError(
                    f"an option is {key!r:.80}; allowed: {', '.join(_OPTIONS)}"
                )
        if not values:
            return GeneratedEmbeddings([], options=options)
        name = asked.get("model")
        model = self._local if name in (None, self.model) else local_model(name)
        async with model.borrowed() as llm:
            vectors = await AsyncLLM(llm).embed(list(values))
            counts = await asyncio.to_thread(lambda: [len(llm.tokenize(text)) for text in values])
        vectors = _shortened(vectors, asked.get("dimensions"))
        found = [
            Embedding(vector=row.tolist(), dimensions=len(row), model=model.name) for row in vectors
        ]
        usage = {"input_token_count": sum(counts), "total_token_count": sum(counts)}
        return GeneratedEmbeddings(found, options=options, usage=usage)


class PySLMEmbeddingClient(EmbeddingTelemetryLayer, RawPySLMEmbeddingClient):
    """An embedding client whose model runs in this process.

    Args:
        model: as of `PySLMChatClient`.
        additional_properties: the framework's.
    """

    def __init__(
        self,
        model: LLM | AsyncLLM | str | os.PathLike[str],
        *,
        additional_properties: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(model=model, additional_properties=additional_properties)


def _shortened(vectors: Any, dimensions: int | None) -> Any:
    if dimensions is None:
        return vectors
    if not 1 <= dimensions <= vectors.shape[1]:
        raise InvalidRequestError(
            f"dimensions is {dimensions}; allowed: 1 to {vectors.shape[1]}, which the model has"
        )
    short = vectors[:, :dimensions]
    return short / np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-12)
