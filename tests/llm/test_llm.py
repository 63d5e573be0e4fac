"""`LLM` on a real model: stories260K (llama2.c), whose greedy story is known. (contract A2, A3)"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.tiny_encoder import write_tiny_encoder
from stories import PROMPT, STORY

import pyslm
from pyslm import LLM, InvalidRequestError, SamplingParams

GREEDY = SamplingParams(max_tokens=40, temperature=0)


def seeded(seed: int, **options: Any) -> SamplingParams:
    return SamplingParams(max_tokens=24, seed=seed, **options)


# --- generate ---------------------------------------------------------------------------------


def test_tells_the_story(llm: LLM) -> None:
    result = llm.generate(PROMPT, GREEDY)
    assert result.text.startswith(STORY)
    assert result.finish_reason == "length"
    assert len(result.token_ids) == result.usage.completion_tokens == 40
    assert result.usage.prompt_tokens == len(llm.tokenize(PROMPT))
    assert result.timings.tokens_per_second > 0
    assert result.logprobs is None


def test_stream_equals_generate(llm: LLM) -> None:
    for params in (GREEDY, seeded(3, logprobs=2), seeded(4, stop=["the", "."])):
        want = llm.generate(PROMPT, params)
        chunks = list(llm.stream(PROMPT, params))
        assert "".join(chunk.text for chunk in chunks) == want.text
        assert sum((chunk.token_ids for chunk in chunks), ()) == want.token_ids
        assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        last = chunks[-1].result
        assert last is not None
        assert (last.text, last.token_ids, last.logprobs, last.stop_reason) == (
            want.text,
            want.token_ids,
            want.logprobs,
            want.stop_reason,
        )


def test_stream_comes_token_by_token(llm: LLM) -> None:
    assert len(list(llm.stream(PROMPT, GREEDY))) >= 30


def test_list_equals_singles(llm: LLM) -> None:
    prompts = [PROMPT, "The dog", "Lily and Tom went to the", "A", "One day, a big red ball"]
    params = [seeded(seed) for seed in range(len(prompts))]
    together = llm.generate(prompts, params)
    alone = [llm.generate(prompt, param) for prompt, param in zip(prompts, params, strict=True)]
    assert [r.token_ids for r in together] == [r.token_ids for r in alone]
    assert llm.generate([], GREEDY) == []


def test_more_prompts_than_sequences(path: Path) -> None:
    with LLM(path, max_sequences=2) as llm:
        results = llm.generate([PROMPT] * 7, GREEDY)
    assert {result.text[: len(STORY)] for result in results} == {STORY}


def test_token_ids_as_prompt(llm: LLM) -> None:
    ids = llm.tokenize(PROMPT)
    want = llm.generate(PROMPT, GREEDY).token_ids
    assert llm.generate(ids, GREEDY).token_ids == want
    assert llm.generate(np.array(ids), GREEDY).token_ids == want
    assert [r.token_ids for r in llm.generate([ids, ids], GREEDY)] == [want, want]


def test_threads_share_the_model(llm: LLM) -> None:
    want = [llm.generate(PROMPT, seeded(seed)).token_ids for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda seed: llm.generate(PROMPT, seeded(seed)).token_ids, range(8)))
    assert got == want


def test_thread_count_does_not_matter(path: Path) -> None:
    results = []
    for threads in (1, 2):
        with LLM(path, threads=threads) as llm:
            assert llm.info.threads == threads
            results.append(llm.logits(llm.tokenize(PROMPT)).tobytes())
    assert results[0] == results[1]


# --- sampling ---------------------------------------------------------------------------------


def test_seed(llm: LLM) -> None:
    first = llm.generate(PROMPT, seeded(1))
    assert llm.generate(PROMPT, seeded(1)).text == first.text
    assert llm.generate(PROMPT, seeded(2)).text != first.text
    assert first.seed == 1


def test_a_random_seed_is_recorded(llm: LLM) -> None:
    free = SamplingParams(max_tokens=24)
    first, second = llm.generate([PROMPT, PROMPT], free)
    assert first.seed != second.seed
    assert llm.generate(PROMPT, free.replace(seed=second.seed)).text == second.text


def test_stop_string(llm: LLM) -> None:
    full = llm.generate(PROMPT, GREEDY).text
    result = llm.generate(PROMPT, GREEDY.replace(stop=["named Lily", "zebra"]))
    assert result.text == full[: full.index("named Lily")]
    assert result.finish_reason == "stop"
    assert result.stop_reason == "named Lily"
    kept = llm.generate(PROMPT, GREEDY.replace(stop="named Lily", include_stop_text=True))
    assert kept.text == result.text + "named Lily"


def test_stop_token(llm: LLM) -> None:
    ids = llm.generate(PROMPT, GREEDY).token_ids
    stop = ids[7]
    result = llm.generate(PROMPT, GREEDY.replace(stop_token_ids=[stop]))
    assert result.finish_reason == "stop"
    assert result.stop_reason == str(stop)
    assert stop not in result.token_ids[:-1]


def test_logprobs_are_those_of_the_logits(llm: LLM) -> None:
    prompt = llm.tokenize(PROMPT)
    result = llm.generate(PROMPT, GREEDY.replace(max_tokens=5, logprobs=3))
    assert result.logprobs is not None
    assert len(result.logprobs) == 5
    logits = llm.logits([*prompt, *result.token_ids]).astype(np.float64)
    for i, entry in enumerate(result.logprobs):
        row = logits[len(prompt) - 1 + i]
        want = row - np.log(np.exp(row - row.max()).sum()) - row.max()
        assert entry.token_id == result.token_ids[i] == int(row.argmax())
        assert entry.logprob == pytest.approx(want[entry.token_id], abs=1e-4)
        assert [token for token, _ in entry.top] == np.argsort(-row, kind="stable")[:3].tolist()


def test_logit_bias(llm: LLM) -> None:
    ids = llm.generate(PROMPT, GREEDY).token_ids
    result = llm.generate(PROMPT, GREEDY.replace(logit_bias={ids[0]: -100.0}))
    assert result.token_ids[0] != ids[0]


# --- numbers ----------------------------------------------------------------------------------


def test_logits(llm: LLM) -> None:
    ids = llm.tokenize(PROMPT)
    logits = llm.logits(ids)
    assert logits.shape == (len(ids), llm.info.vocab_size)
    assert logits.dtype == np.float32
    assert int(logits[-1].argmax()) == llm.generate(ids, GREEDY).token_ids[0]


def test_embed_of_a_decoder_is_normalised(llm: LLM) -> None:
    vectors = llm.embed(["a cat", "a dog", "a cat"])
    assert vectors.shape == (3, llm.info.hidden_size)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_tokenize_and_back(llm: LLM) -> None:
    assert llm.detokenize(llm.tokenize(PROMPT)) == PROMPT


def test_info(llm: LLM, path: Path) -> None:
    info = llm.info
    assert info.path == path
    assert info.architecture == "llama"
    assert info.vocab_size == 512
    assert info.file_bytes == path.stat().st_size
    assert info.generates
    assert 0 < info.context_length <= 4096
    with pytest.raises(AttributeError):
        info.threads = 3  # type: ignore[misc]
    assert "llama" in repr(llm)


# --- encoders ---------------------------------------------------------------------------------


def test_an_encoder_embeds_and_does_not_generate(tmp_path: Path) -> None:
    with LLM(write_tiny_encoder(tmp_path / "bert.gguf", "bert")) as encoder:
        assert not encoder.info.generates
        vectors = encoder.embed(["one", "two", "one"])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(vectors[0], vectors[2])
        assert encoder.embed([]).shape == (0, encoder.info.hidden_size)
        for call in (encoder.generate, encoder.stream, encoder.logits):
            with pytest.raises(pyslm.UnsupportedModelError, match="use embed"):
                call("text")
        with pytest.raises(pyslm.ContextLengthError):
            encoder.embed("word " * 1000)


def test_scores_are_the_logits_log_softmax(llm: LLM) -> None:
    """Of each continuation, against the logits of prompt and continuation as one text."""
    prompt, ends = "Once upon a", [" time", " time there was", " zebra"]
    start = len(llm.tokenize(prompt))
    for end, score in zip(ends, llm.score(prompt, ends), strict=True):
        ids = llm.tokenize(prompt + end)
        logits = llm.logits(ids).astype(np.float64)
        logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected = [logprobs[i - 1, ids[i]] for i in range(start, len(ids))]
        assert [token.token_id for token in score.tokens] == ids[start:]
        np.testing.assert_allclose([t.logprob for t in score.tokens], expected, atol=1e-4)
        assert score.logprob == pytest.approx(sum(expected), abs=1e-3)
        best = [int(logits[i - 1].argmax()) for i in range(start, len(ids))]
        assert score.is_greedy == (best == ids[start:])
    assert [s.is_greedy for s in llm.score(prompt, ends)][::2] == [True, False]
    with pytest.raises(InvalidRequestError, match="continuation is empty"):
        llm.score(prompt, [""])
    assert llm.score(prompt, []) == []


def test_speculation_changes_nothing(path: Path) -> None:
    """At any temperature, with grammars and logprobs, and with the model as its own draft."""
    prompts = ["Once upon a time", "One day, one day, one day, one"]
    params = [
        SamplingParams(max_tokens=80, temperature=0, logprobs=2),
        SamplingParams(max_tokens=80, temperature=1.1, seed=5),
        SamplingParams(max_tokens=60, regex="(the cat |the dog |a bird ){4,9}", seed=6),
        SamplingParams(max_tokens=80, temperature=0.7, seed=7, repetition_penalty=1.1, n=2),
    ]
    requests = [(p, q) for p in prompts for q in params]
    texts, asked = [p for p, _ in requests], [q for _, q in requests]
    results = {}
    for name, options in {
        "off": {"speculation": "off"},
        "ngram": {"max_draft_tokens": 5},
        "draft": {"draft_model": path, "max_draft_tokens": 3},
    }.items():
        with LLM(path, **options) as llm:  # type: ignore[arg-type]
            results[name] = [
                (r.text, r.token_ids, r.logprobs, [a.text for a in r.alternatives])
                for r in llm.generate(texts, asked)
            ]
            stats = llm._host.loop.engine.stats()
            assert (stats.accepted_tokens > 0) == (name != "off")
    assert results["off"] == results["ngram"] == results["draft"]


def test_forced_tokens_come_first(llm: LLM) -> None:
    ids = llm.tokenize("zebra zebra", add_special_tokens=False)
    params = SamplingParams(max_tokens=len(ids) + 5, forced_tokens=ids, seed=1, logprobs=1)
    result = llm.generate("Once upon a time", params)
    assert list(result.token_ids[: len(ids)]) == ids
    assert result.logprobs is not None
    assert result.logprobs[0].logprob < -3  # and says what the model thinks of it
    prompt = llm.tokenize("Once upon a time") + ids
    after = llm.generate(prompt, SamplingParams(max_tokens=5, temperature=0))
    greedy = params.replace(temperature=0)
    assert llm.generate("Once upon a time", greedy).token_ids[len(ids) :] == after.token_ids


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speculation": "magic"}, "speculation is 'magic'; allowed: ngram, off"),
        ({"max_draft_tokens": 0}, "max_draft_tokens is 0; allowed: .* from 1 to 64"),
        ({"speculation": "off", "draft_model": "x.gguf"}, "needs speculation"),
    ],
)
def test_speculation_options_are_checked(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        LLM(path, **options)
