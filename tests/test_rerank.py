"""Rerankers: pairs of texts through the engine, against the NumPy reference."""

from __future__ import annotations

import asyncio
from pathlib import Path

import gguf
import pytest
from reference import reference_rank
from reference.tiny_encoder import write_tiny_encoder

from pyslm import LLM, AsyncLLM, UnsupportedModelError

QUERY = "how warm is it"
DOCUMENTS = ["it is warm", "the cat sat", "warm warm warm", "a dog"]


@pytest.mark.parametrize("arch", ["bert", "nomic-bert"])
@pytest.mark.parametrize("dense", [True, False])
def test_scores_of_pairs(tmp_path: Path, arch: str, dense: bool) -> None:
    """All pairs together as each alone, and as the reference has it."""
    path = write_tiny_encoder(
        tmp_path / "rank.gguf", arch, pooling=gguf.PoolingType.RANK, rank_dense=dense
    )
    with LLM(path) as llm:
        assert llm.info.pooling == "rank"
        scores = llm.rerank(QUERY, DOCUMENTS)
        assert [llm.rerank(QUERY, [document])[0] for document in DOCUMENTS] == scores
        for document, score in zip(DOCUMENTS, scores, strict=True):
            query, text = llm.tokenize(QUERY), llm.tokenize(document)
            assert query[0] == text[0]  # [CLS], which stands once
            assert query[-1] == text[-1]  # [SEP], which ends each
            expected = reference_rank(path, query + text[1:], "f16")
            assert score == pytest.approx(expected, abs=5e-3)
        assert max(scores) - min(scores) > 0.05
        assert asyncio.run(AsyncLLM(llm).rerank(QUERY, DOCUMENTS)) == scores
        assert llm.rerank(QUERY, []) == []
        with pytest.raises(UnsupportedModelError, match="use rerank"):
            llm.embed("one text")


def test_other_models_do_not_rank(tmp_path: Path, shared: Path) -> None:
    with (
        LLM(write_tiny_encoder(tmp_path / "mean.gguf", "bert")) as llm,
        pytest.raises(UnsupportedModelError, match="no head that ranks"),
    ):
        llm.rerank(QUERY, DOCUMENTS)
    with (
        LLM(shared / "models" / "stories260K.gguf") as llm,
        pytest.raises(UnsupportedModelError, match="no head that ranks"),
    ):
        llm.rerank(QUERY, DOCUMENTS)
