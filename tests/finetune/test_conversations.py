"""Conversations that were held: read, checked, split, trained on (J1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyslm.errors import InvalidRequestError, ModelFileError, ModelNotFoundError
from pyslm.finetune.adapt import adapt
from pyslm.finetune.config import TrainConfig, preset
from pyslm.finetune.conversations import (
    by_exchange,
    conversation_cases,
    quotes_only,
    read_conversations,
)
from pyslm.finetune.data import Scenes
from pyslm.finetune.data.spec import OwnData
from pyslm.finetune.own_data import read_own_data
from pyslm.finetune.packing import batch_of_step, num_tokens
from pyslm.finetune.vocabulary import NanoVocabulary

PARAMETERS = {
    "type": "object",
    "properties": {"id": {"type": "integer"}},
    "required": ["id"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "open_valve", "parameters": PARAMETERS}}]


def call(name: str = "open_valve", **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    called = {"id": "c1", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [called]}


def record(number: int = 7, text: str = "open it") -> dict[str, Any]:
    return {
        "messages": [
            {"role": "system", "content": "You are the plant."},
            {"role": "user", "content": [{"type": "text", "text": f"valve {number}: {text}"}]},
            call(id=number),
            {"role": "tool", "tool_call_id": "c1", "name": "open_valve", "content": "done"},
            {"role": "assistant", "content": "It is open."},
            {"role": "user", "content": "thanks"},
            {"role": "assistant", "content": "You are welcome."},
        ],
        "tools": TOOLS,
    }


def write(folder: Path, records: list[Any]) -> Path:
    path = folder / "sessions.jsonl"
    path.write_text("".join(json.dumps(each) + "\n\n" for each in records), encoding="utf-8")
    return path


def test_a_conversation_becomes_a_scene(tmp_path: Path) -> None:
    (scene,) = read_conversations(write(tmp_path, [record()]))
    assert scene.system == "You are the plant."
    assert scene.tools[0]["function"]["parameters"] == PARAMETERS
    (branch,) = scene.branches
    assert [m["role"] for m in branch.messages] == [
        "user", "assistant", "tool", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert branch.messages[0]["content"] == "valve 7: open it"
    assert branch.messages[1]["tool_calls"][0]["function"]["arguments"] == {"id": 7}


def test_each_request_is_learned_with_what_it_leans_on(tmp_path: Path) -> None:
    """As nano is shown a conversation when it answers."""
    said = record()
    done, is_open = said["messages"][3:5]
    question = {"role": "assistant", "content": "What is the id?"}
    more = [{"role": "user", "content": "open a valve"}, question, {"role": "user", "content": "9"}]
    again = [call(id=9), done, is_open, {"role": "user", "content": "and 12?"}, call(id=12)]
    said["messages"] += [*more, *again]
    (scene,) = read_conversations(write(tmp_path, [said]))
    whole = scene.branches[0].messages
    first, second, third = by_exchange(scene).branches
    assert first.messages == whole[:4]
    assert second.messages == whole[4:6]  # "thanks"
    assert third.messages == whole[6:]  # with the answer to the question, and "and 12?"
    assert quotes_only((by_exchange(scene),))


def test_what_must_come_of_it(tmp_path: Path) -> None:
    asked, thanked = conversation_cases(read_conversations(write(tmp_path, [record()])))
    assert asked.calls == (("open_valve", {"id": 7}),)
    assert [m["role"] for m in asked.messages] == ["system", "user"]
    assert thanked.calls == ()
    assert thanked.messages[-1]["content"] == "thanks"


@pytest.mark.parametrize("line", ["[]", "3", '{"messages": [1]}', '{"messages": 1}', "[" * 99999])
def test_lines_of_another_shape(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(f"{json.dumps(record())}\n{line}\n")
    with pytest.raises(InvalidRequestError, match="line 2 of"):
        read_conversations(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "the assistant says nothing"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "begins with the role"),
        ({"messages": [{"role": "pirate", "content": "x"}]}, "the role is 'pirate'"),
        ({"messages": [{"role": "user", "content": 3}, call(id=1)]}, "the content is 3"),
        ({"messages": [{"role": "user", "content": "x"}, call("shut")]}, "'shut' is called"),
        ({"messages": [{"role": "user", "content": "x"}, call(id="a")]}, "is not of type"),
        ({"messages": [{"role": "user", "content": "x"}, call(id=1, n=2)]}, "n"),
        ({"tools": [{"name": "a b"}]}, "a b"),
        ({"messages": None}, "line 2"),
    ],
)
def test_what_is_no_conversation(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(record()) + "\n" + json.dumps(record() | changes) + "\n")
    with pytest.raises(InvalidRequestError, match=r"line 2 of .*allowed") as caught:
        read_conversations(path)
    assert told in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        read_own_data(tmp_path / "none.jsonl", 10, 0)
    (tmp_path / "x.jsonl").write_bytes(b'{"messages": [\xff]}')
    with pytest.raises(ModelFileError):
        read_conversations(tmp_path / "x.jsonl")


def test_a_fifth_is_held_out_and_never_drawn(tmp_path: Path) -> None:
    path = write(tmp_path, [record(number) for number in range(20)])
    own, cases = read_own_data(path, 100, seed=3)
    assert (len(own.conversations), len(cases)) == (16, 8)
    assert [spec.name for spec in own.catalog] == ["open_valve"]
    held_out = {case.messages[1]["content"] for case in cases}
    source, drawn = Scenes(0, own), set()
    for _ in range(400):
        scene = source.draw()
        if scene.system == "You are the plant.":
            drawn.add(scene.branches[0].messages[0]["content"])
    assert len(drawn) == 16
    assert not drawn & held_out
    assert read_own_data(path, 100, seed=3) == (own, cases)


def test_too_few(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="holds 4 conversations"):
        read_own_data(write(tmp_path, [record(number) for number in range(4)]), 100, 0)


def test_rows_hold_them_whole(tmp_path: Path, vocabulary: NanoVocabulary) -> None:
    (scene,) = read_conversations(write(tmp_path, [record()]))
    size = num_tokens(vocabulary, scene)
    config = TrainConfig(rows=1, row_tokens=2 * size, long_row_every=0)
    batches = [batch_of_step(vocabulary, config, i, OwnData((), (scene,))) for i in range(20)]
    assert any(batch.categories == ("session",) for batch in batches)
    learned = [batch for batch in batches if "session" in batch.categories]
    assert all((batch.scene >= 0).sum() >= size for batch in learned)


def test_training_on_them(vocabulary: NanoVocabulary, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch: the extra 'train'")
    from pyslm.finetune.export import export
    from pyslm.finetune.model import Nano

    torch.manual_seed(0)
    base = export(Nano(preset("tiny")[0]), vocabulary, tmp_path / "base.gguf")
    long = record(99, "open " * 3000)
    path = write(tmp_path, [record(number) for number in range(9)])
    report = adapt(path, tmp_path / "my.gguf", base, steps=1)
    assert (report.num_tools, report.num_conversations) == (1, 7)
    path = write(tmp_path, [long] * 9)
    with (
        pytest.warns(UserWarning, match="9 conversations .* too long"),
        pytest.raises(InvalidRequestError, match="holds 0 conversations that fit"),
    ):
        adapt(path, tmp_path / "other.gguf", base, steps=1)
    path = write(tmp_path, [*(record(number) for number in range(30)), *[long] * 20])
    with pytest.warns(UserWarning, match="20 conversations .* left out"):
        adapt(path, tmp_path / "other.gguf", base, steps=1)


@pytest.mark.parametrize(("place", "quoted"), [("the shed", True), ("Shed", False)])
def test_whether_texts_in_arguments_were_said(tmp_path: Path, place: str, quoted: bool) -> None:
    """A model that has learned to compose them is not held to quoting."""
    parameters = {"type": "object", "properties": {"place": {"type": "string"}}}
    held = record(text="the one in the shed")
    held["messages"][2] = call(place=place)
    held["tools"] = [
        {"type": "function", "function": {"name": "open_valve", "parameters": parameters}}
    ]
    path = tmp_path / "held.jsonl"
    path.write_text(json.dumps(held), encoding="utf-8")
    assert quotes_only(read_conversations(path)) is quoted
