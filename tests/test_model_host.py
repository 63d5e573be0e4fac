"""What a model is loaded with beside itself."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
from reference.rewrite import rewrite
from stories import stories

from pyslm import LLM, InvalidRequestError


def test_a_draft_model_of_another_vocabulary_is_refused(shared: Path, tmp_path: Path) -> None:
    path = stories(shared)
    key = "tokenizer.ggml.tokens"
    tokens: list[str] = gguf.GGUFReader(path).fields[key].contents()
    other = rewrite(path, tmp_path / "other.gguf", metadata={key: [*tokens[:-1], "zebra"]})
    with pytest.raises(InvalidRequestError, match=f"token {len(tokens) - 1} is b'zebra' in the"):
        LLM(path, draft_model=other)
