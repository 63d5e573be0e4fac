"""Values as people write them."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest

from pyslm.finetune.data.files import Lexicon
from pyslm.finetune.data.oddities import Oddities
from pyslm.finetune.data.values import Values

SIGNS = {
    "apostrophe": r"\w'\w", "comma": r"\w,", "question": r"\w\?$", "percent": "%",
    "foreign letter": r"[^\x00-\x7f]", "number": r"\d", "small word": r"(?i)\b(of|the|my|on)\b",
    "digits in groups": r"\d{2,}[-./ :]\d{2,}", "capital inside": r"[a-z][A-Z]|'[A-Z]",
}  # fmt: skip


@pytest.fixture(scope="module")
def odd() -> list[str]:
    rng = random.Random(0)
    values = Values(rng, Lexicon.load())
    oddities = Oddities(rng, values.word)
    return [oddities.of(f"{values.word()} {values.word()}") for _ in range(3000)]


@pytest.mark.parametrize("sign", SIGNS)
def test_all_that_values_may_hold_comes_up(odd: list[str], sign: str) -> None:
    assert sum(bool(re.search(SIGNS[sign], text)) for text in odd) > 0.01 * len(odd)


def test_what_is_odd_can_still_be_written(odd: list[str]) -> None:
    for text in odd:
        assert text
        assert text == text.strip()
        categories = {unicodedata.category(letter) for letter in text}
        assert not categories & {"Cc", "Cn", "Co", "Cs", "Zl", "Zp"}, ascii(text)


def test_an_odd_text_often_keeps_what_it_was_made_of() -> None:
    oddities = Oddities(random.Random(1), lambda: "word")
    assert sum("Reykjavik" in oddities.of("Reykjavik") for _ in range(1000)) > 350


def test_free_texts_are_odd_at_times_and_dates_never() -> None:
    values = Values(random.Random(2), Lexicon.load())
    cities, clocks = ([values.draw(maker).said for _ in range(600)] for maker in ("city", "clock"))
    assert 0.1 < sum(bool(re.search(r"['\d,?%]", city)) for city in cities) / 600 < 0.5
    assert all(re.fullmatch(r"[\d:apm ]+", clock) for clock in clocks)
