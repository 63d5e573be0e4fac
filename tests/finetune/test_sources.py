"""What is told to be copied from somewhere stands there, and nothing of a call is forgotten."""

from __future__ import annotations

import itertools
import json
from typing import Any

from pyslm.finetune.data import scenes
from pyslm.finetune.dialect import CALL, write_messages, write_prefix
from pyslm.finetune.packing import Batch, Rows, encode_pieces
from pyslm.finetune.sources import Sources
from pyslm.finetune.vocabulary import NanoVocabulary

_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "set_light",
        "description": "Switches the light of a room",
        "parameters": {
            "type": "object",
            "properties": {
                "room": {"type": "string"},
                "state": {"enum": ["on", "off"]},
                "minutes": {"type": "integer"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
        },
    },
}


def _found(vocabulary: NanoVocabulary, request: str, arguments: dict[str, Any]) -> dict[str, str]:
    """What is copied -> the words before the place that it is copied from."""
    call = {"function": {"name": "set_light", "arguments": arguments}}
    messages = (
        {"role": "user", "content": request},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    )
    ids = [
        encode_pieces(vocabulary, pieces)[0]
        for pieces in (write_prefix(None, (_TOOL,)), write_messages(messages))
    ]
    prefix, said = ([vocabulary.tokens[i] for i in each] for each in ids)
    everything = [*prefix, *said]

    def words(begin: int, end: int) -> str:
        return "".join(everything[begin:end]).replace("Ġ", " ")

    return {
        words(len(prefix) + place, len(prefix) + place + 1): words(max(0, source - 3), source)
        for place, source in Sources(prefix).find(said, is_route=False)
    }


def test_values_come_from_the_request_and_names_from_the_tool(vocabulary: NanoVocabulary) -> None:
    found = _found(vocabulary, "It is 7 and dark, xq!", {"room": "xq", "minutes": 7})
    assert found.pop("7").endswith(" is ")
    assert found.pop("x", found.pop("xq", "")).endswith(", ")
    assert any(before.endswith(CALL) for before in found.values())
    assert len(found) == 3, found  # the name and two keys


def test_an_allowed_value_in_other_words_comes_from_the_schema(vocabulary: NanoVocabulary) -> None:
    found = _found(vocabulary, "make it dark", {"state": "off"})
    (before,) = (words for token, words in found.items() if "off".startswith(token))
    assert before.endswith("|")


def test_a_number_is_no_part_of_another(vocabulary: NanoVocabulary) -> None:
    found = _found(vocabulary, "not 75, 7.5 or x7, but 7.", {"minutes": 7})
    assert found["7"].endswith("but ")


def test_an_agent_is_named_where_it_is_described(vocabulary: NanoVocabulary) -> None:
    system = "Choose for taxes and more:\n- law: knows taxes\n- taxes: files them"
    messages = ({"role": "user", "content": "u"}, {"role": "assistant", "content": "taxes"})
    ids = [
        encode_pieces(vocabulary, pieces)[0]
        for pieces in (write_prefix(system, ()), write_messages(messages))
    ]
    prefix, said = ([vocabulary.tokens[i] for i in each] for each in ids)
    ((place, source),) = Sources(prefix).find(said, is_route=True)
    assert said[place - 1] == "<|assistant|>"
    assert "".join(prefix[:source]).endswith("taxesĊ<|2|>")


def test_the_items_of_a_list_come_one_by_one(vocabulary: NanoVocabulary) -> None:
    found = _found(vocabulary, "tags are qq, ww", {"tags": ["qq", "ww"]})
    assert sum(before.endswith((" are ", ", ")) for before in found.values()) >= 2, found


def test_of_the_generators_calls_all_names_and_keys_have_a_source(
    vocabulary: NanoVocabulary,
) -> None:
    num_calls = num_keys = num_found = 0
    for scene in itertools.islice(scenes(5), 30):
        prefix, _ = encode_pieces(vocabulary, write_prefix(scene.system, scene.tools))
        sources = Sources([vocabulary.tokens[i] for i in prefix])
        for branch in scene.branches:
            if branch.category == "route":
                continue
            ids, _ = encode_pieces(vocabulary, write_messages(branch.messages))
            pairs = sources.find([vocabulary.tokens[i] for i in ids], is_route=False)
            num_found += sum(source < len(prefix) for _, source in pairs)
            for message in branch.messages:
                for call in message.get("tool_calls") or ():
                    num_calls += 1
                    arguments = call["function"]["arguments"]
                    num_keys += len(json.loads(json.dumps(arguments)))
    assert num_calls > 100
    assert num_found >= num_calls + num_keys


def _batches(vocabulary: NanoVocabulary) -> list[Batch]:
    return [Rows(vocabulary, 4, 1024).fill(scenes(seed, max_tools=4)) for seed in range(4)]


def test_in_a_row_the_same_token_stands_at_the_source(vocabulary: NanoVocabulary) -> None:
    """And it can be seen: before, in the same scene, and in no other conversation."""
    num = 0
    for batch in _batches(vocabulary):
        for row, place in zip(*(batch.source >= 0).nonzero(), strict=True):
            source = batch.source[row, place]
            assert source <= place
            assert batch.tokens[row, source] == batch.tokens[row, place + 1]
            assert batch.scene[row, source] == batch.scene[row, place]
            assert batch.branch[row, source] in (0, batch.branch[row, place])
            num += 1
    assert num > 200
