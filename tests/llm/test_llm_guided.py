"""Structured output, several samples and the further samplers, on a real model. (contract E9)"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import numpy as np
import pytest
from stories import PROMPT

from pyslm import LLM, InvalidRequestError, SamplingParams

SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Child",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 12},
        "likes": {"type": "array", "items": {"enum": ["park", "dog"]}, "maxItems": 2},
    },
    "required": ["name", "age", "likes"],
    "additionalProperties": False,
}


def seeded(seed: int, **options: Any) -> SamplingParams:
    return SamplingParams(**{"max_tokens": 100, "seed": seed, **options})


@pytest.mark.parametrize("schema", [SCHEMA, json.dumps(SCHEMA)], ids=["mapping", "text"])
def test_json_under_a_schema(llm: LLM, schema: Any) -> None:
    for seed in range(4):
        result = llm.generate(PROMPT, seeded(seed, json_schema=schema))
        assert result.finish_reason == "stop"
        jsonschema.validate(json.loads(result.text), SCHEMA)


def test_stream_of_a_choice(llm: LLM) -> None:
    with llm.stream(PROMPT, seeded(1, choice=["a little girl", "a dog"])) as chunks:
        assert "".join(chunk.text for chunk in chunks) in ("a little girl", "a dog")


def test_constrained_and_free_requests_share_their_steps(llm: LLM) -> None:
    free = seeded(5, max_tokens=30)
    params = [free, seeded(1, regex="[a-z]{3,9}!"), free, seeded(2, choice=["x", "y"])]
    results = llm.generate([PROMPT] * 4, params)
    assert results[0].text == results[2].text == llm.generate(PROMPT, free).text
    assert re.fullmatch("[a-z]{3,9}!", results[1].text)
    assert results[3].text in ("x", "y")


def test_a_grammar_that_is_refused_says_why(llm: LLM) -> None:
    with pytest.raises(InvalidRequestError, match="look-around"):
        llm.generate(PROMPT, seeded(0, regex="(?=a)b"))
    with pytest.raises(InvalidRequestError, match="ipv7"):
        list(llm.stream(PROMPT, seeded(0, json_schema={"type": "string", "format": "ipv7"})))
    assert llm.generate(PROMPT, seeded(0, max_tokens=3)).finish_reason == "length"


def test_samples_of_a_prompt(llm: LLM) -> None:
    params = seeded(3, max_tokens=12, n=4)
    result = llm.generate(PROMPT, params)
    texts = [sample.text for sample in result.samples]
    assert len(set(texts)) == 4
    assert [s.text for s in llm.generate(PROMPT, params).samples] == texts
    assert llm.generate(PROMPT, params.replace(n=2)).samples[1].text == texts[1]
    assert llm.generate(PROMPT, params.replace(n=1)).text == texts[0]
    assert {sample.seed for sample in result.samples} == {3}


def test_best_of_is_by_mean_logprob(llm: LLM) -> None:
    params = seeded(3, max_tokens=12)
    drawn = llm.generate(PROMPT, params.replace(n=6, logprobs=0)).samples

    def mean(sample: Any) -> float:
        return float(np.mean([entry.logprob for entry in sample.logprobs]))

    want = [s.text for s in sorted(drawn, key=mean, reverse=True)]
    got = llm.generate(PROMPT, params.replace(n=2, best_of=6))
    assert [sample.text for sample in got.samples] == want[:2]
    assert got.logprobs is None


def test_prompt_logprobs_are_those_of_the_logits(llm: LLM) -> None:
    ids = llm.tokenize(PROMPT + ", there was")
    result = llm.generate(ids, seeded(0, max_tokens=1, prompt_logprobs=2))
    logits = llm.logits(ids)[:-1].astype(np.float64)
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert result.prompt_logprobs is not None
    assert [entry.token_id for entry in result.prompt_logprobs] == ids[1:]
    for row, entry in zip(logprobs, result.prompt_logprobs, strict=True):
        assert entry.logprob == pytest.approx(row[entry.token_id], abs=1e-5)
        assert [token for token, _ in entry.top] == list(np.argsort(-row)[:2])
    assert llm.generate(ids[:1], seeded(0, max_tokens=1, prompt_logprobs=0)).prompt_logprobs == ()


@pytest.mark.parametrize("options", [{"n": 2}, {"best_of": 2}, {"prompt_logprobs": 0}], ids=str)
def test_a_stream_is_one_sample(llm: LLM, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="use generate"):
        llm.stream(PROMPT, seeded(0, **options))


def test_bad_words_allowed_tokens_and_min_tokens(llm: LLM) -> None:
    plain = llm.generate(PROMPT, SamplingParams(max_tokens=40, temperature=0)).text
    assert "little girl" in plain
    words = ["girl", "Lily", llm.tokenize("park", add_special_tokens=False)]
    other = llm.generate(PROMPT, SamplingParams(max_tokens=60, temperature=0, bad_words=words)).text
    assert "girl" not in other
    assert "Lily" not in other
    allowed = llm.tokenize("dog cat", add_special_tokens=False)
    result = llm.generate(PROMPT, seeded(1, max_tokens=9, allowed_token_ids=allowed))
    assert set(result.token_ids) <= set(allowed)
    stopped = llm.generate(PROMPT, seeded(1, stop="e", min_tokens=15))
    assert len(stopped.token_ids) >= 15
