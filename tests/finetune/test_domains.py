"""The files of tools and teams are consistent, and their requests can be drawn."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import pytest

from pyslm.errors import InvalidRequestError
from pyslm.finetune.data.domains import Domain, DomainParam, load_domains, load_teams
from pyslm.finetune.data.files import Lexicon, load_toml
from pyslm.finetune.data.names import content_words
from pyslm.finetune.data.orders import is_order, third_person, title_of
from pyslm.finetune.data.params import Params
from pyslm.finetune.data.template import Template
from pyslm.finetune.data.values import Values

_KINDS = {*load_toml("kinds.toml"), "bool", "enum", "like", "list", "choice"} - {"flag"}


def _templates(domain: Domain) -> list[Template]:
    return [Template.read(text) for text in (*domain.stems, *domain.paras)]


def test_there_are_many() -> None:
    assert len(load_domains()) > 2500
    assert len(load_teams()) > 700


def test_names_are_told_once() -> None:
    counts = Counter(name for domain in load_domains() for name in set(domain.names))
    assert [name for name, count in counts.items() if count > 1] == []


def test_params_are_of_known_kinds() -> None:
    for domain in load_domains():
        assert len({param.key for param in domain.params}) == len(domain.params), domain.names
        for param in domain.params:
            assert param.kind in _KINDS, (domain.names, param)
            has_values = param.kind in ("enum", "like", "list", "choice")
            assert bool(param.values) == has_values, (domain.names, param)


def test_what_tools_give_can_be_drawn() -> None:
    values = Values(random.Random(0), Lexicon.load())
    params = Params(random.Random(0), values)
    for domain in load_domains():
        for key, kind in domain.gives:
            assert str(values.draw(params.maker(kind)).data), (domain.names, key)


def test_requests_fit_their_tools() -> None:
    for domain in load_domains():
        params = {param.key: param for param in domain.params}
        for template in _templates(domain):
            assert template.slots <= params.keys(), template
            for slot, text in template.implied:
                assert slot not in template.slots, template
                if params[slot].kind == "enum":
                    assert text in params[slot].values, template
                elif params[slot].kind == "bool":
                    assert isinstance(json.loads(text), bool), template
            assert all(params[slot].kind != "bool" for slot in template.slots), template


def test_requests_say_what_they_are_about() -> None:
    """One without a word of its own fits any tool with such arguments: it teaches to call these."""
    wordless = total = 0
    for domain in load_domains():
        for text in domain.paras:
            said = re.sub(r"\{\w+\}", " ", text.partition(" | ")[0]).lower()
            wordless += not content_words(said)
            total += 1
    assert wordless < 0.01 * total


def test_agents_of_a_team_differ() -> None:
    for team in load_teams():
        assert len(team) >= 2
        assert len({agent.name for agent in team}) == len(team)
        for agent in team:
            assert agent.about
            assert agent.requests


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("city=city", DomainParam("city", "city", (), True, "")),
        ("day=day? - When", DomainParam("day", "day", (), False, "When")),
        ("s=enum:a|b c?", DomainParam("s", "enum", ("a", "b c"), False, "")),
        ("s=like:a-b|c? - A - b", DomainParam("s", "like", ("a-b", "c"), False, "A - b")),
        ("s=enum:a|b - Which", DomainParam("s", "enum", ("a", "b"), True, "Which")),
    ],
)
def test_params_are_read(text: str, param: DomainParam) -> None:
    assert DomainParam.read(text) == param


@pytest.mark.parametrize("text", ["", "city", "city:city", "city=", "a b=city"])
def test_what_is_no_param_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="no parameter"):
        DomainParam.read(text)


def test_implied_values_are_read() -> None:
    template = Template.read("make {name} big | size=large; cold=true")
    assert template == Template(
        "make {name} big", frozenset({"name"}), (("size", "large"), ("cold", "true"))
    )


@pytest.mark.parametrize("line", ["big | size", "big | a=x | b=true", "big | ", "big | a=x;"])
def test_what_implies_no_value_is_refused(line: str) -> None:
    with pytest.raises(InvalidRequestError, match="key=value; key=value"):
        Template.read(line)


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("book a table at {place}", "book a table"),
        ("book a table for {n} at {place}", "book a table for {n}"),
        ("where is {place}?", None),
        ("a note: {place}", "a note"),
        ("is {place} open", None),
        ("from {place} back to {place}", None),
        ("a table at {place} for {n} people", "a table for {n} people"),
        ("book {place} for {n}", "book a place for {n}"),
        ("the {place} table for {n}", None),
    ],
)
def test_a_template_is_cut_where_a_value_lacks(text: str, shorter: str | None) -> None:
    cut = Template.read(text).without("place")
    assert (cut.text if cut else None) == shorter


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("send a letter to Ann", True), ("book {flight}", True), ("turn off the light", True),
        ("order 12 is late", False), ("letter to Ann", False), ("is it open", False),
    ],
)  # fmt: skip
def test_orders_are_told_from_other_texts(text: str, order: bool) -> None:
    assert is_order(text) is order


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("add_task", "task"), ("bookClub.join", "book club"), ("stationCreate", "station"),
        ("meter.reading", "meter reading"), ("delete", ""), ("remind_me", ""),
        ("listings.find_home", "listings home"), ("PetSitter", "pet sitter"),
    ],
)  # fmt: skip
def test_titles_are_names_without_their_verbs(name: str, title: str) -> None:
    assert title_of(name) == title


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ("book a room", "books a room"), ("carry it", "carries it"), ("play it", "plays it"),
        ("watch my dog", "watches my dog"), ("fix the roof", "fixes the roof"), ("go", "goes"),
        ("have a look", "has a look"),
    ],
)  # fmt: skip
def test_an_order_is_told_of_a_person(order: str, told: str) -> None:
    assert third_person(order) == told
