"""A vocabulary that is made once: learning it takes some seconds."""

from __future__ import annotations

import pytest

from pyslm.finetune.vocabulary import NanoVocabulary


@pytest.fixture(scope="session")
def vocabulary() -> NanoVocabulary:
    """512 tokens, learned of a few scenes."""
    return NanoVocabulary.train(512, seed=3, num_scenes=60)
