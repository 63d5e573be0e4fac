"""`PySLMTokenizer`: counts tokens as the model does, for the framework's compaction strategies."""

from __future__ import annotations

import os

from pyslm.agents.models.choose import local_model
from pyslm.async_llm import AsyncLLM
from pyslm.llm import LLM

__all__ = ["PySLMTokenizer"]


class PySLMTokenizer:
    """The framework's `TokenizerProtocol`, by a model's own vocabulary."""

    def __init__(self, model: LLM | AsyncLLM | str | os.PathLike[str]) -> None:
        """`model`: as of `PySLMChatClient`."""
        self._local = local_model(model)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return self._local.count_text(text)
