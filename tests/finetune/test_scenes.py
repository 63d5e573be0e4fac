"""The training data is consistent: every conversation can be checked against its own tools."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import jsonschema
import pytest

from pyslm.chat.tools import tools_of
from pyslm.finetune.data import Branch, Scene, Scenes, scenes
from pyslm.finetune.data.ask import Requests
from pyslm.finetune.data.branches import Branches
from pyslm.finetune.data.domain_tools import DomainTools
from pyslm.finetune.data.domains import load_domains
from pyslm.finetune.data.files import Lexicon, load_toml
from pyslm.finetune.data.messages import joined_and
from pyslm.finetune.data.names import content_words
from pyslm.finetune.data.params import Params, distinct
from pyslm.finetune.data.spec import Given
from pyslm.finetune.data.toolbox import Toolbox
from pyslm.finetune.data.values import Values
from pyslm.identifiers import spoken

_NUM_SCENES = 400
_NUMBER_WORDS = load_toml("words.toml")["number"].split()


@pytest.fixture(scope="module")
def drawn() -> list[Scene]:
    return list(itertools.islice(scenes(11), _NUM_SCENES))


def _calls(branch: Branch) -> list[dict[str, Any]]:
    return [c["function"] for m in branch.messages for c in m.get("tool_calls") or ()]


def _schemas(scene: Scene, name: str) -> dict[str, Any]:
    (tool,) = (t["function"] for t in scene.tools if t["function"]["name"] == name)
    schemas: dict[str, Any] = tool["parameters"]["properties"]
    return schemas


def _with_tools(drawn: list[Scene]) -> list[tuple[Scene, Branch]]:
    return [(scene, branch) for scene in drawn for branch in scene.branches if scene.tools]


def _plain(value: Any) -> str:
    return joined_and(list(map(str, value))) if isinstance(value, list) else str(value)


def test_same_seed_same_scenes() -> None:
    first = list(itertools.islice(scenes(5), 20))
    assert first == list(itertools.islice(scenes(5), 20))
    assert first != list(itertools.islice(scenes(6), 20))


def test_scenes_do_not_depend_on_the_process() -> None:
    """The order of a set of strings differs between processes; the data must not."""
    code = (
        "import itertools; from pyslm.finetune.data import scenes;"
        "print(hash(0), [s for s in itertools.islice(scenes(5), 30)])"
    )
    outputs = set()
    for hash_seed in "12":
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        outputs.add(run.stdout)
    assert len(outputs) == 1


def test_tools_are_valid(drawn: list[Scene]) -> None:
    for scene in drawn:
        for tool in tools_of(scene.tools).values():
            jsonschema.Draft202012Validator.check_schema(dict(tool.parameters))


def test_calls_fit_the_schemas(drawn: list[Scene]) -> None:
    num_calls = 0
    for scene, branch in _with_tools(drawn):
        tools = tools_of(scene.tools)
        for call in _calls(branch):
            jsonschema.validate(call["arguments"], tools[call["name"]].argument_schema())
            num_calls += 1
    assert num_calls > _NUM_SCENES


def test_values_stand_in_the_conversation(drawn: list[Scene]) -> None:
    """What is to be copied is there; numbers may be words, and allowed values may be implied."""
    for scene, branch in _with_tools(drawn):
        said = " ".join(m["content"] for m in branch.messages if m["role"] == "user")
        words = said.lower().replace("_", " ")
        for call in _calls(branch):
            schemas = _schemas(scene, call["name"])
            for key, value in call["arguments"].items():
                if "enum" in schemas[key]:
                    continue
                for item in value if isinstance(value, list) else [value]:
                    if isinstance(item, bool):
                        continue
                    told = str(item) in said or str(item).lower().replace("_", " ") in words
                    number = isinstance(item, int) and 0 <= item <= 20
                    assert told or (number and _NUMBER_WORDS[item] in words), (said, item)


def test_questions_ask_for_what_is_required(drawn: list[Scene]) -> None:
    asked = 0
    for scene, branch in _with_tools(drawn):
        if branch.category != "missing":
            continue
        question = branch.messages[1]["content"]
        required = {
            spoken(key)
            for tool in tools_of(scene.tools).values()
            for key in tool.parameters.get("required", ())
        }
        assert any(f"the {words}" in question for words in required), question
        asked += 1
    assert asked > 20


def test_answers_are_grounded(drawn: list[Scene]) -> None:
    for _, branch in _with_tools(drawn):
        if branch.category != "asked":
            continue
        facts = json.loads(branch.messages[2]["content"])
        said = branch.messages[3]["content"]
        assert any(f"is {_plain(value)}." in said for value in facts.values()), (said, facts)


def test_unwanted_requests_get_no_call(drawn: list[Scene]) -> None:
    refused = [b for _, b in _with_tools(drawn) if b.category == "none"]
    assert len(refused) > 50
    assert not any(map(_calls, refused))


def test_routes_name_an_agent_of_the_prompt(drawn: list[Scene]) -> None:
    routed = [(s, b) for s in drawn for b in s.branches if b.category == "route"]
    assert len(routed) > 50
    for scene, branch in routed:
        assert branch.messages[-1]["content"] in str(scene.system)


def test_many_scenes_have_names_that_begin_alike(drawn: list[Scene]) -> None:
    """As those of most programs do; no two are the same."""
    alike = several = 0
    for scene in drawn:
        names = [tool["function"]["name"] for tool in scene.tools]
        assert len(set(names)) == len(names)
        if len(names) > 2:
            several += 1
            alike += len({re.split(r"_|(?=[A-Z])", name)[0] for name in names}) <= len(names) / 2
    assert 0.15 < alike / several < 0.5


def test_most_scenes_are_plain() -> None:
    """Keys of files and texts as they are usual; in the others many have another word."""
    keys = {param.key for domain in load_domains() for param in domain.params}
    rng = random.Random(3)
    values = Values(rng, Lexicon.load())
    box = Toolbox(rng, values)
    known = {}
    for plain in (False, True):
        values.be_plain(plain)
        tools = [tool for _ in range(60) for tool in box.draw(3, 1.0, plain)]
        drawn_keys = [param.key for tool in tools for param in tool.params]
        odd = sum(not values.draw("person").said.isascii() for _ in range(2000))
        known[plain] = sum(key in keys for key in drawn_keys) / len(drawn_keys), odd
    assert known[True][0] > 0.9 > 0.8 > known[False][0]
    assert known[True][1] < known[False][1]


def test_what_could_be_mistaken_is_named() -> None:
    """Two numbers of an invented tool: one at most goes without the name of its argument, which is
    known by what is left; and none where a required one is not told."""
    rng = random.Random(4)
    values = Values(rng, Lexicon.load())
    requests = Requests(rng, values)
    params, box = Params(rng, values), Toolbox(rng, values)
    unnamed = Counter[int]()
    for _ in range(400):
        given = [Given(p, requests.value(p)) for p in distinct(params.some(3))]
        if len(given) < 3 or any(
            g.param.schema["type"] not in ("integer", "number") for g in given
        ):
            continue
        tool = dataclasses.replace(box.draw(1, 0.0)[0], params=tuple(g.param for g in given))
        request = requests.request(tool, given).lower()
        unnamed[sum(g.param.words.lower() not in request for g in given)] += 1
        required = [g for g in given if g.param.required]
        if required:
            told = [g for g in given if g is not required[0]]
            request = requests.request(tool, told).lower()
            assert all(g.param.words.lower() in request for g in told)
    assert set(unnamed) == {0, 1}
    assert unnamed[0] > unnamed[1] > 10


def test_tools_with_arguments_of_one_kind_come_often() -> None:
    """Two and a half times as often as in the files, for there values are mixed up."""
    rng = random.Random(6)
    values = Values(rng, Lexicon.load())
    tools = DomainTools(rng, values, Params(rng, values))
    alike = {}
    for domain in load_domains():
        kinds = [p.kind for p in domain.params if p.kind not in ("bool", "enum", "choice")]
        alike[" ".join(domain.names)] = len(set(kinds)) < len(kinds)
    drawn = [tools.draw().topic for _ in range(3000)]
    found = [alike[topic] for topic in drawn if topic in alike]  # not those about something else
    often = 2.5 * sum(alike.values()) / (len(alike) + 1.5 * sum(alike.values()))
    assert abs(sum(found) / len(found) - often) < 0.05


def test_arguments_come_in_any_order() -> None:
    """Half of the tools keep that of their file: whose a value is must be known by its meaning."""
    rng = random.Random(8)
    values = Values(rng, Lexicon.load())
    tools = DomainTools(rng, values, Params(rng, values))
    of_file = {" ".join(d.names): [p.key for p in d.params] for d in load_domains()}
    kept = []
    for tool in (tools.draw() for _ in range(4000)):
        slots = [param.slot for param in tool.params if param.slot and param.required]
        if len(slots) == 2 == len(of_file.get(tool.topic, ())):
            kept.append(slots == of_file[tool.topic])
    assert len(kept) > 100
    assert 0.65 < sum(kept) / len(kept) < 0.85  # half of those that are shuffled are as before


def test_what_is_required_mostly_comes_first() -> None:
    rng = random.Random(10)
    values = Values(rng, Lexicon.load())
    tools = DomainTools(rng, values, Params(rng, values))
    required = [[param.required for param in tools.draw().params] for _ in range(1000)]
    mixed = [each for each in required if len(set(each)) == 2]
    first = [each == sorted(each, reverse=True) for each in mixed]
    assert len(mixed) > 300
    assert 0.85 < sum(first) / len(first) < 0.99


def test_tools_with_periods_come_often() -> None:
    """Four times as often as in the files: the second day alone is no value of theirs."""
    rng = random.Random(11)
    values = Values(rng, Lexicon.load())
    tools = DomainTools(rng, values, Params(rng, values))
    having = [any(p.kind == "period" for p in domain.params) for domain in load_domains()]
    drawn = [any(p.maker == "period" and p.slot for p in tools.draw().params) for _ in range(4000)]
    assert 2 < (sum(drawn) / len(drawn)) / (sum(having) / len(having)) < 4


def test_both_ends_of_most_periods_have_one_form() -> None:
    values = Values(random.Random(9), Lexicon.load())
    periods = [values.draw("period").said for _ in range(300)]
    ends = [re.split(r" to | - | until | till | through |\.\.|/(?=\D|\d{4}-)", p) for p in periods]
    pairs = [[re.sub(r"\d", "0", re.sub(r"[^\W\d]+", "a", e)) for e in two] for two in ends]
    alike = [len(pair) == 2 and pair[0] == pair[1] for pair in pairs]
    assert sum(alike) > 0.6 * len(alike)


def test_two_orders_may_be_joined_by_any_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both stand in the request, the first before the second, whatever is around them."""
    rng = random.Random(7)
    values = Values(rng, Lexicon.load())
    box, acts = Toolbox(rng, values), itertools.cycle(("call the plumber", "feed the cat"))
    monkeypatch.setattr(Requests, "act", lambda *_, **__: next(acts))
    make = Branches(rng, values, Requests(rng, values))
    around = Counter[str]()
    for _ in range(900):
        text = make.several(box.draw(2)).messages[0]["content"].lower()
        before, between = text.split("call the plumber", 1)
        between, after = between.split("feed the cat", 1)
        around[f"{before}|{between}|{after}"] += 1
    assert around["| and |"] > 1
    once = sum(count == 1 for count in around.values())
    assert 0.15 < once / 900 < 0.4


def test_optional_flags_are_said_or_left_out() -> None:
    """Those that templates know nothing of too: as a detail, or as an adjective of the noun."""
    rng = random.Random(5)
    values = Values(rng, Lexicon.load())
    requests = Requests(rng, values)
    box = Toolbox(rng, values)
    told = untold = adjectives = 0
    for tool in (tool for _ in range(700) for tool in box.draw(2, 1.0, True)):
        given = requests.arguments(tool)
        text = requests.request(tool, given)
        flags = {p.key for p in tool.params if not p.slot and p.schema["type"] == "boolean"}
        on = [g for g in given if g.param.key in flags and g.value.data]
        told += sum(g.param.words.lower() in text.lower() for g in on)
        untold += len(flags - {g.param.key for g in given})
        nouns = "|".join(content_words(spoken(tool.topic)))
        adjectives += any(re.search(rf"\b{g.param.words} ({nouns})", text) for g in on)
        assert all(g.param.words.lower() in text.lower() for g in on)
    assert told > 10
    assert untold > told
    assert adjectives > 3


def test_variety() -> None:
    """Tools are invented anew: few names come twice."""
    names = Counter(
        tool["function"]["name"]
        for scene in itertools.islice(scenes(1), _NUM_SCENES)
        for tool in scene.tools
    )
    assert len(names) > 0.6 * names.total()


def test_max_tools() -> None:
    source = Scenes(0)
    counts = {len(source.draw(max_tools=3).tools) for _ in range(200)}
    assert counts == {0, 1, 2, 3}
