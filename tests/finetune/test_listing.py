"""Lists that tools report, some of things that look alike."""

from __future__ import annotations

import random
import re

from pyslm.finetune.data.files import Lexicon
from pyslm.finetune.data.listing import listing
from pyslm.finetune.data.values import Values


def test_lists_of_things_that_differ_by_a_number_and_of_others() -> None:
    values = Values(random.Random(0), Lexicon.load())
    lists = [listing(values, lambda _: "$3.00") for _ in range(400)]
    assert {len(items) for items in lists} == set(range(8))
    alike = [items for items in lists if len(items) > 1 and len(set(map(frame, items))) == 1]
    assert 0.3 < len(alike) / len(lists) < 0.7
    assert all(len(set(items)) == len(items) for items in alike)
    assert any(set(items) >= {"9:00"} for items in alike)
    assert any(re.fullmatch(r"\d+ [a-z]+", items[0]) for items in alike)


def frame(text: str) -> str:
    return re.sub(r"\d+", "#", text)
