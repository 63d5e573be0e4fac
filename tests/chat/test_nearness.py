"""Vectors of tokens, as files have them, and what is near to what by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from pyslm.chat.fitness import Fitness, request_of
from pyslm.chat.nearness import Nearness, NearnessTable, NearnessWeights
from pyslm.chat.tools import Tool
from pyslm.errors import GGUFError

WEIGHTS = NearnessWeights(fit=16.0, neutral=0.25, tool=4.0, choice=24.0)
WORDS = ("weather", "rain", "invoice", "bill", "for", "in", "about")
MEANINGS = np.array(
    [[3, 0, 0], [2, 1, 0], [0, 3, 0], [0, 2.5, 0.5], [0, 0, 0.1], [0, 0, 0.1], [0, 0, 0]],
    np.float32,
)


def encode(text: str) -> list[int]:
    words = "".join(c if c.isalnum() else " " for c in text).split()
    return [WORDS.index(word) for word in words if word in WORDS]


@pytest.fixture
def nearness() -> Nearness:
    return Nearness(MEANINGS, WEIGHTS, encode)


def written(path: Path, add: Callable[[gguf.GGUFWriter], None]) -> Path:
    writer = gguf.GGUFWriter(path, "qwen3")
    add(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(("kind", "dimensions"), [("Q8_0", 24), ("Q3_K", 128), ("F32", 5)])
def test_a_file_gives_back_the_vectors(kind: str, dimensions: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(36, dimensions)).astype(np.float32)
    table = NearnessTable.of(vectors, kind, WEIGHTS)
    read = NearnessTable.read(written(tmp_path / "m.gguf", table.add_to))
    assert read == table
    found = read.vectors(36)
    assert found.shape == vectors.shape
    # Of gguf's own decoder, where it has one of the format.
    data = np.frombuffer(table.blocks, np.uint8)
    expected = gguf.dequantize(data, gguf.GGMLQuantizationType[kind]).reshape(36, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.abs(found - vectors).max() < (0.6 if kind == "Q3_K" else 0.02)


def test_a_file_without_has_none(tmp_path: Path) -> None:
    path = written(tmp_path / "m.gguf", lambda writer: writer.add_name("x"))
    assert NearnessTable.read(path) is None


def test_damage_is_told(tmp_path: Path) -> None:
    table = NearnessTable.of(np.ones((4, 8), np.float32), "F32", WEIGHTS)
    with pytest.raises(GGUFError, match="32 numbers; allowed: 5 tokens of 8"):
        table.vectors(5)
    for change in ({"type": "Q99"}, {"weights": (1.0,)}, {"dimensions": 3}):
        broken = dataclasses.replace(table, **change) if "weights" not in change else table
        path = written(tmp_path / "m.gguf", lambda w, c=change, b=broken: add(w, b, c))
        with pytest.raises(GGUFError, match=r"damaged|allowed"):
            (NearnessTable.read(path) or table).vectors(4)
    endless = dataclasses.replace(WEIGHTS, fit=float("nan"))
    for broken in (
        dataclasses.replace(table, weights=endless),
        dataclasses.replace(table, dimensions=0, blocks=bytes(8)),
    ):
        with pytest.raises(GGUFError, match="allowed: 1 or more, finite"):
            NearnessTable.read(written(tmp_path / "m.gguf", broken.add_to))


def add(writer: gguf.GGUFWriter, table: NearnessTable, change: dict[str, Any]) -> None:
    if "weights" not in change:
        table.add_to(writer)
        return
    kinds = gguf.GGUFValueType
    writer.add_key_value("pyslm.nearness.vectors", [0] * 16, kinds.ARRAY, kinds.UINT64)
    writer.add_string("pyslm.nearness.type", "F32")
    writer.add_uint32("pyslm.nearness.dimensions", 8)
    writer.add_key_value("pyslm.nearness.weights", [1.0], kinds.ARRAY, kinds.FLOAT32)


def test_texts_are_as_near_as_their_sums(nearness: Nearness) -> None:
    one, other = MEANINGS[1] + MEANINGS[5], MEANINGS[0] + MEANINGS[4]
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert nearness.cosine("Rain in", "weather for") == pytest.approx(cosine, abs=1e-6)
    assert nearness.cosine("bill", "invoice") > 0.9 > nearness.cosine("bill", "weather")
    assert nearness.cosine("about", "weather") == nearness.cosine("", "rain") == 0


def test_a_request_is_compared_with_and_without_its_values(nearness: Nearness) -> None:
    takes = {"bill": {"description": "for rain"}, "n": True}
    tool = Tool("get_weather", "", {"type": "object", "properties": takes})
    request, about = 'the weather for "bill" and 12 invoice', "weather bill for rain"
    fitness = Fitness(nearness, request)

    def expected(rest: str) -> float:
        whole, beside = (nearness.cosine(text, about) for text in (request, rest))
        return pytest.approx((whole + beside) / 2, abs=1e-6)

    assert fitness.of_call(tool, "{}") == expected("weather for bill invoice")
    assert fitness.of_call(tool, '{"city": "bill"}') == expected("weather for invoice")
    assert fitness.of_call(tool, '{"bill": "in"}') == expected("weather for bill invoice")
    assert fitness.of_call(tool, '{"a": "\\"bill\\""}') == expected("weather for invoice")
    assert fitness.of_call(tool, '{"a": ["bill", "invoice"], "n": 12}') == expected("weather for")


def test_only_what_begins_a_conversation_is_compared() -> None:
    user = {"role": "user", "content": "rain?"}
    system = {"role": "system", "content": "Be short."}
    parts = {"role": "user", "content": [{"type": "text", "text": "rain"}, {"type": "image_url"}]}
    assert request_of([system, user]) == "rain?"
    assert request_of([parts]) == "rain"
    assert request_of([user, {"role": "assistant", "content": "Where?"}, user]) is None
    assert request_of([user, {"role": "tool", "content": "1"}]) is None
    assert request_of([system]) is None
    assert request_of([]) is None


@pytest.mark.parametrize("line", ["- {}: {}", "* {} - {}", "{} ({})", "1. {}: {}"])
def test_choices_are_described_by_lists(line: str, nearness: Nearness) -> None:
    about = {"sky": "weather", "money": "invoice", "sky_2": "rain"}
    listed = "\n".join(line.format(name, said) for name, said in about.items())
    messages = [
        {"role": "system", "content": f"Choose one:\n{listed}\nOne name, please."},
        {"role": "user", "content": "bill"},
    ]
    fitness = Fitness(nearness, "bill")
    expected = [nearness.cosine("bill", said) for said in about.values()]
    assert fitness.of_choices(list(about), messages) == pytest.approx(expected)
    assert fitness.of_choices(["sky", "sea"], messages) is None
    messages[0]["content"] += "\n- sky: rain"
    assert fitness.of_choices(["sky", "money"], messages) is None  # which is meant?
