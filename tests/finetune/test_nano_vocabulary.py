"""Tokens stop where copying begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyslm.finetune.dialect import CONTROL
from pyslm.finetune.vocabulary import NanoVocabulary


@pytest.mark.parametrize(
    "value", ["Oslo", "Zorvath", "12-AB", "é", "x_y", "99.5", "weather", "東京"]
)
def test_a_value_has_the_same_tokens_everywhere(vocabulary: NanoVocabulary, value: str) -> None:
    in_request, in_call, alone = vocabulary.encode(
        [f"go to {value}!", f'{{"to": "{value}"}}', value]
    )
    assert _holds(in_request, alone)
    assert _holds(in_call, alone)


def _holds(ids: list[int], part: list[int]) -> bool:
    return any(ids[i : i + len(part)] == part for i in range(len(ids)))


def test_digits_are_single(vocabulary: NanoVocabulary) -> None:
    assert len(vocabulary.encode(["20482"])[0]) == 5


def test_json_punctuation_is_short(vocabulary: NanoVocabulary) -> None:
    (ids,) = vocabulary.encode(
        [
            '{"',
        ]
    )
    assert len(ids) == 1


def test_size_and_control_tokens(vocabulary: NanoVocabulary) -> None:
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == 512
    assert vocabulary.tokens[: len(CONTROL)] == list(CONTROL)


def test_text_never_becomes_a_control_token(vocabulary: NanoVocabulary) -> None:
    (ids,) = vocabulary.encode(["".join(CONTROL)])
    assert min(ids) >= len(CONTROL)


def test_saved_and_loaded(vocabulary: NanoVocabulary, tmp_path: Path) -> None:
    vocabulary.save(tmp_path / "v.json")
    loaded = NanoVocabulary.load(tmp_path / "v.json")
    assert (loaded.tokens, loaded.merges) == (vocabulary.tokens, vocabulary.merges)
