"""Tools about something else: told, asked for and called as they were."""

from __future__ import annotations

import random
import re

from pyslm.finetune.data.domains import Domain, load_domains
from pyslm.finetune.data.template import Template
from pyslm.finetune.data.transposed import transposed
from pyslm.identifiers import spoken


def _words(domain: Domain) -> set[str]:
    return {word for name in domain.names for word in spoken(name).split()}


def test_places_arguments_and_what_is_implied_stay() -> None:
    rng = random.Random(1)
    for domain in load_domains():
        other = transposed(domain, rng)
        assert [p.key for p in other.params] == [p.key for p in domain.params]
        assert [p.values for p in other.params] == [p.values for p in domain.params]
        for before, after in zip(domain.stems, other.stems, strict=True):
            old, new = Template.read(before), Template.read(after)
            assert (new.slots, new.implied) == (old.slots, old.implied)


def test_names_and_requests_change_alike() -> None:
    """A word that came into the name has come into the requests that had the old one."""
    rng = random.Random(2)
    changed = asked = 0
    for domain in load_domains():
        other = transposed(domain, rng)
        changed += _words(other) != _words(domain)
        gone = _words(domain) - _words(other)
        for before, after in zip(domain.stems, other.stems, strict=True):
            said = set(re.findall(r"[a-z]{2,}", re.sub(r"\{\w+\}|\| .*", "", after).lower()))
            assert not gone & said - _keys(domain), (domain.names, before, after)
            asked += before != after
    assert changed > 0.9 * len(load_domains())
    assert asked > len(load_domains())


def _keys(domain: Domain) -> set[str]:
    texts = (text for param in domain.params for text in (param.key, *param.values))
    return {word for text in texts for word in spoken(text).split()}


def test_nothing_is_asked_for_in_other_words() -> None:
    """Those would be about what the tool is about no longer."""
    rng = random.Random(3)
    assert not any(transposed(domain, rng).paras for domain in load_domains()[:100])
