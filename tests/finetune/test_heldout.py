"""The held-out sets are sound, and the training generator never draws of them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

import pyslm.finetune.data
from pyslm.chat.tools import tools_of
from pyslm.finetune.data import scenes
from pyslm.finetune.evaluation import held_out_cases
from pyslm.finetune.evaluation.cases import MEASURES, SETS, held_out_source, held_out_values

_FOLDER = Path(pyslm.finetune.data.__file__).parent
of_each = pytest.mark.parametrize("name", SETS)


@of_each
def test_every_measure_has_cases(name: str) -> None:
    counts = Counter(case.measure for case in held_out_cases(name=name))
    assert all(counts[measure] >= 40 for measure in MEASURES if measure != "arguments")


@of_each
def test_names_that_begin_alike_differ_behind_that(name: str) -> None:
    cases = [case for case in held_out_cases(name=name) if case.measure == "tool, names alike"]
    for case in cases:
        names = [tool["function"]["name"] for tool in case.tools]
        assert len(set(names)) == len(names) > 1
        assert len({name.partition("_")[0] for name in names}) == 1
        assert case.calls[0][0] in names


@of_each
def test_what_is_asked_next_is_not_for_the_tool_that_was_called(name: str) -> None:
    cases = [case for case in held_out_cases(name=name) if case.measure == "next request"]
    assert sum(bool(case.calls) for case in cases) == len(cases) // 2
    for case in cases:
        roles = [message["role"] for message in case.messages]
        assert roles == ["user", "assistant", "tool", "assistant", "user"]
        before = case.messages[1]["tool_calls"][0]["function"]["name"]
        assert before in {tool["function"]["name"] for tool in case.tools}
        assert before not in [name for name, _ in case.calls]


@of_each
def test_cases_do_not_change(name: str) -> None:
    assert held_out_cases(3, name=name) == held_out_cases(3, name=name)
    assert held_out_cases(3, name=name) != held_out_cases(4, name=name)


@of_each
def test_expected_calls_fit_the_schemas(name: str) -> None:
    for case in held_out_cases(name=name):
        tools = tools_of(case.tools)
        for name, arguments in case.calls:
            jsonschema.validate(arguments, tools[name].argument_schema())


@of_each
def test_paraphrases_share_no_word_with_name_or_description(name: str) -> None:
    """Else they would measure what the requests with shared words measure."""
    common = {"the", "for", "with", "and", "that", "from", "several"}
    found = []
    for tool in held_out_source(name)["tool"]:
        words = re.findall(r"[a-z]{3,}", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tool["name"]).lower())
        words += re.findall(r"[a-z]{3,}", tool["about"].lower())
        stems = {word[:5] for word in words} - common
        for text in tool["para"]:
            plain = re.sub(r"\{\w+\}", "", text.partition(" | ")[0]).lower()
            shared = {w[:5] for w in re.findall(r"[a-z]{3,}", plain)} & stems - common
            found += [(tool["name"], text, shared)] if shared else []
    assert found == []


@of_each
def test_training_files_hold_no_tool_and_no_phrasing_of_it(name: str) -> None:
    files = [*_FOLDER.rglob("*.toml"), *_FOLDER.glob("*.py")]
    as_written = "\n".join(path.read_text(encoding="utf-8") for path in files)
    text = as_written.lower()
    source = held_out_source(name)
    for tool in source["tool"]:
        assert f'"{tool["name"].lower()}"' not in text
        for phrase in [tool["about"], tool["act"], *tool["stem"], *tool["para"], *tool["lack"]]:
            assert f'"{phrase.lower()}"' not in text
        for value in held_out_values(tool):
            assert not re.search(rf'["| ]{re.escape(value)}["| ]', as_written), value
    for phrase in source["joins"]:
        assert f'"{phrase.lower()}"' not in text
    for team in source["team"]:
        assert team["intro"].lower() not in text


def test_training_never_draws_a_held_out_tool_or_request() -> None:
    held_out = {tool["name"] for name in SETS for tool in held_out_source(name)["tool"]}
    cases = [case for name in SETS for case in held_out_cases(name=name)]
    requests = {case.messages[-1]["content"].strip(" .?!").lower() for case in cases}
    for scene in itertools.islice(scenes(0), 3000):
        assert not held_out & {tool["function"]["name"] for tool in scene.tools}
        for branch in scene.branches:
            said = {m["content"].strip(" .?!").lower() for m in branch.messages if m["content"]}
            assert not said & requests


def test_training_never_draws_a_held_out_description() -> None:
    drawn = {
        tool["function"]["description"]
        for scene in itertools.islice(scenes(2), 2000)
        for tool in scene.tools
    }
    for name in SETS:
        assert not drawn & {tool["about"] for tool in held_out_source(name)["tool"]}
