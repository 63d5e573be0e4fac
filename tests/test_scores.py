"""How likely texts are: continuations, and prompts themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stories import PROMPT, stories

from pyslm import LLM, AsyncLLM, GenerationResult, InvalidRequestError, SamplingParams


@pytest.fixture
def llm(shared: Path) -> Iterator[LLM]:
    with LLM(stories(shared)) as model:
        yield model


def test_a_token_that_spans_prompt_and_continuation_is_scored(llm: LLM) -> None:
    """ "a t" + "ime" is read as "a time", as it is in a running text."""
    ids = llm.tokenize("Once upon a time")
    assert ids[:-1] == llm.tokenize("Once upon a t")[: len(ids) - 1]
    row = llm.logits(ids)[-2].astype(np.float64)
    (score,) = llm.score("Once upon a t", ["ime"])
    assert [token.token_id for token in score.tokens] == ids[-1:]
    expected = row[ids[-1]] - np.log(np.exp(row).sum())
    assert score.logprob == pytest.approx(expected, abs=1e-4)


def test_token_ids_are_scored_as_they_are(llm: LLM) -> None:
    before = llm.tokenize("Once upon a t")
    after = llm.tokenize("ime", add_special_tokens=False)
    (score,) = llm.score(before, [after])
    assert [token.token_id for token in score.tokens] == after
    (score,) = llm.score([5], [[5]])  # the same token again is a continuation
    assert [token.token_id for token in score.tokens] == [5]


@pytest.mark.parametrize("empty", ["", []])
def test_an_empty_continuation_is_refused(llm: LLM, empty: str | list[int]) -> None:
    with pytest.raises(InvalidRequestError, match="empty"):
        llm.score("Once upon", [" a", empty])


def test_continuations_share_the_prompt(llm: LLM) -> None:
    prompt = "Once upon a time there was a little girl. " * 8
    llm.score(prompt, [" The"])
    before = llm._host.loop.engine.stats()
    llm.score(prompt, [" She", " He", " It"])
    after = llm._host.loop.engine.stats()
    asked = after.prompt_tokens - before.prompt_tokens
    assert after.cached_tokens - before.cached_tokens > 0.8 * asked


def test_prompt_logprobs_of_a_list_run_together(llm: LLM) -> None:
    prompts = [f"{PROMPT} {i}" for i in range(8)]
    params = [SamplingParams(max_tokens=1, seed=1, prompt_logprobs=i % 2) for i in range(8)]
    params[3] = params[3].replace(prompt_logprobs=None)
    alone = [llm.generate(p, q).prompt_logprobs for p, q in zip(prompts, params, strict=True)]
    before = llm._host.loop.engine.stats().num_steps
    together = [result.prompt_logprobs for result in llm.generate(prompts, params)]
    assert llm._host.loop.engine.stats().num_steps - before <= 4
    assert together[3] is None
    for ours, theirs in zip(together, alone, strict=True):
        assert (ours is None) == (theirs is None)
        for a, b in zip(ours or (), theirs or (), strict=True):
            assert (a.token_id, len(a.top)) == (b.token_id, len(b.top))
            assert a.logprob == b.logprob


@pytest.mark.parametrize("way", ["LLM", "AsyncLLM"])
def test_prompt_logprobs_keep_to_their_salt(llm: LLM, way: str) -> None:
    """What was computed for one salt must not tell anyone else what was asked."""
    prompt = "Once upon a time there was a little girl. " * 8
    salted = SamplingParams(max_tokens=1, cache_salt="mine", prompt_logprobs=0)

    def ask(params: SamplingParams) -> GenerationResult:
        if way == "LLM":
            return llm.generate(prompt, params)
        return asyncio.run(AsyncLLM(llm).generate(prompt, params))

    ask(salted)
    assert ask(salted.replace(cache_salt="")).usage.cached_tokens == 0
    assert ask(salted).usage.cached_tokens > 0
