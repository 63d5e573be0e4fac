"""Requests in words near theirs: for the same arguments, of the same tool."""

from __future__ import annotations

import random
import re

from pyslm.finetune.data.domains import load_domains
from pyslm.finetune.data.meanings import near_words
from pyslm.finetune.data.reworded import reworded
from pyslm.finetune.data.template import Template
from pyslm.identifiers import spoken


def test_places_and_what_is_implied_stay() -> None:
    rng = random.Random(1)
    for domain in load_domains():
        other = reworded(domain, rng)
        assert (other.names, other.about, other.params) == (
            domain.names, domain.about, domain.params,
        )  # fmt: skip
        for before, after in zip(
            domain.stems + domain.paras, other.stems + other.paras, strict=True
        ):
            old, new = Template.read(before), Template.read(after)
            assert (new.slots, new.implied) == (old.slots, old.implied)
            assert before == after or not old.implied


def test_only_words_become_others_and_those_are_near() -> None:
    rng = random.Random(2)
    texts = changed = 0
    for domain in load_domains():
        keys = {word for param in domain.params for word in spoken(param.key).split()}
        other = reworded(domain, rng)
        for before, after in zip(domain.paras, other.paras, strict=True):
            pairs = zip(re.findall(r"\w+|\W+", before), re.findall(r"\w+|\W+", after), strict=True)
            for old, new in pairs:
                assert old == new or (new in near_words(old) and old not in keys)
            texts += 1
            changed += before != after
    assert texts / 5 < changed < texts / 1.2


def test_what_is_drawn_depends_on_the_seed() -> None:
    domain = next(d for d in load_domains() if reworded(d, random.Random(3)) != d)
    assert reworded(domain, random.Random(3)) == reworded(domain, random.Random(3))
    assert len({reworded(domain, random.Random(seed)).paras for seed in range(20)}) > 5
