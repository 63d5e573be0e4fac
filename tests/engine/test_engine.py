"""The contract of Engine: add, step, poll, abort, and how requests end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_drive import NUM_VOCAB, TOKEN_BYTES, Request, finish_all, run_alone

from pyslm._native import Engine, SamplingParams, testing
from pyslm.errors import ContextLengthError, InvalidRequestError, PyslmError


def test_request_beyond_the_context_is_refused_with_numbers() -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=100)
    engine = Engine(runner, 4, 16, TOKEN_BYTES, [])
    engine.add([1] * 60, SamplingParams(max_tokens=40))
    with pytest.raises(ContextLengthError, match=r"60 tokens.*41.*101.*100"):
        engine.add([1] * 60, SamplingParams(max_tokens=41))
    with pytest.raises(ContextLengthError):
        engine.add([1], SamplingParams(max_tokens=2**31 - 1))


@pytest.mark.parametrize(
    ("prompt", "error", "match"),
    [
        ([], InvalidRequestError, "no tokens"),
        ([1, NUM_VOCAB], InvalidRequestError, f"token id {NUM_VOCAB} at index 1"),
        ([-1], InvalidRequestError, "token id -1"),
        (np.zeros((2, 2), dtype=np.int32), InvalidRequestError, "one dimension"),
        ([2**31], TypeError, "32 bits"),
        ([1.5], TypeError, "32 bits"),
        ("text", TypeError, "token ids"),
    ],
)
def test_bad_prompts_are_refused(prompt: Any, error: type[Exception], match: str) -> None:
    engine = Engine(testing.TestRunner(num_vocab=NUM_VOCAB))
    with pytest.raises(error, match=match):
        engine.add(prompt, SamplingParams())
    assert engine.step() == 0


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint16])
def test_prompts_may_be_arrays(kind: type) -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB)
    engine = Engine(runner)
    params = SamplingParams(max_tokens=4, ignore_eos=True)
    ids = np.arange(20, dtype=kind)[::2]  # not contiguous
    request = engine.add(ids, params)
    while engine.step():
        pass
    assert engine.poll(request).tokens == run_alone(runner, ids.tolist(), params)[0]


def test_bad_params_are_refused_by_add() -> None:
    engine = Engine(testing.TestRunner(num_vocab=NUM_VOCAB))
    with pytest.raises(InvalidRequestError, match="top_p"):
        engine.add([1], SamplingParams(top_p=7))
    with pytest.raises(InvalidRequestError, match="logit_bias"):
        engine.add([1], SamplingParams(logit_bias={NUM_VOCAB: 1.0}))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"max_sequences": 0}, "max_sequences is 0"),
        ({"prefill_chunk": -3}, "prefill_chunk is -3"),
        ({"token_bytes": [b"x"] * (NUM_VOCAB + 1)}, "token_bytes"),
        ({"stop_tokens": [NUM_VOCAB]}, "stop_tokens"),
    ],
)
def test_bad_engine_settings_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidRequestError, match=match):
        Engine(testing.TestRunner(num_vocab=NUM_VOCAB), **changes)


def one_request(params: SamplingParams, stop_tokens: list[int], **runner: Any) -> Request:
    engine = Engine(
        testing.TestRunner(num_vocab=NUM_VOCAB, **runner), 4, 16, TOKEN_BYTES, stop_tokens
    )
    request = Request(engine, [1, 2, 3], params)
    while engine.step():
        request.poll()
    request.poll()
    return request


def test_stop_strings_end_the_text_and_keep_the_tokens() -> None:
    free = one_request(SamplingParams(max_tokens=30), [])
    stop = free.text[10:13]
    begin = free.text.find(stop)
    stopped = one_request(SamplingParams(max_tokens=30, stop=stop), [])
    assert stopped.text == free.text[:begin]
    assert stopped.tokens == free.tokens[: begin + 3]
    assert (stopped.finish, stopped.last.stop_reason) == ("stop", stop.decode())
    shown = one_request(SamplingParams(max_tokens=30, stop=stop, include_stop_text=True), [])
    assert shown.text == free.text[: begin + 3]


def test_held_back_text_comes_out_at_the_length_limit() -> None:
    free = one_request(SamplingParams(max_tokens=12), [])
    almost = free.text[-2:] + b"\x01"
    assert one_request(SamplingParams(max_tokens=12, stop=almost), []).text == free.text


def test_stop_tokens_end_the_request_and_stay_out_of_the_text() -> None:
    free = one_request(SamplingParams(max_tokens=30), [])
    token = free.tokens[7]
    first = free.tokens.index(token)
    for params, stop_tokens in [
        (SamplingParams(max_tokens=30), [token]),
        (SamplingParams(max_tokens=30, stop_token_ids=[token]), []),
        (SamplingParams(max_tokens=30, stop_token_ids=[token], ignore_eos=True), []),
    ]:
        stopped = one_request(params, stop_tokens)
        assert stopped.tokens == free.tokens[: first + 1]
        assert stopped.text == free.text[:first]
        assert (stopped.finish, stopped.last.stop_reason) == ("stop", str(token))
    assert one_request(SamplingParams(max_tokens=30, ignore_eos=True), [token]).text == free.text


def test_logprobs_are_those_of_the_raw_logits() -> None:
    params = SamplingParams(max_tokens=6, logprobs=3, temperature=0.5, top_k=2, seed=8,
                            logit_bias={5: 3.0}, repetition_penalty=1.3)  # fmt: skip
    request = one_request(params, [])
    runner = testing.TestRunner(num_vocab=NUM_VOCAB)
    assert len(request.logprobs) == len(request.tokens) == 6
    for i, (token, entries) in enumerate(zip(request.tokens, request.logprobs, strict=True)):
        logits = runner.expected_logits([1, 2, 3, *request.tokens[:i]]).astype(np.float64)
        expected = logits - np.log(np.exp(logits).sum())
        best = np.argsort(-expected, kind="stable")[:3]
        assert [t for t, _ in entries] == [token, *best]
        np.testing.assert_allclose([p for _, p in entries], expected[[token, *best]], rtol=1e-5)
    assert one_request(SamplingParams(max_tokens=2), []).logprobs == []
    own = one_request(SamplingParams(max_tokens=2, logprobs=0), []).logprobs
    assert [len(entries) for entries in own] == [1, 1]


def test_unusable_logits_fail_their_request_alone() -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, nan_token=9)
    engine = Engine(runner, 4, 16, TOKEN_BYTES, [])
    good_params = SamplingParams(max_tokens=20, logit_bias={9: -100.0})
    good = Request(engine, [1, 2], good_params)
    bad = Request(engine, [1, 9], SamplingParams(max_tokens=20))
    finish_all(engine, [good, bad])
    assert bad.finish == "error"
    assert "NaN" in bad.last.error
    assert bad.tokens == []
    assert (good.finish, len(good.tokens)) == ("length", 20)
    assert good.last.error is None
    assert engine.stats().free_blocks == [64]


def test_failing_runner_leaves_the_engine_usable() -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, failing_token=9, groups=[(0, 20, 4)])
    engine = Engine(runner, 4, 16, TOKEN_BYTES, [])
    params = SamplingParams(max_tokens=20, logit_bias={9: -100.0}, temperature=0)
    good = Request(engine, [1, 2], params)
    bad = Request(engine, [4, 9], params)
    for _ in range(2):
        with pytest.raises(PyslmError, match="fail on token 9"):
            engine.step()
    assert engine.abort(bad.id)
    finish_all(engine, [good, bad])
    assert bad.finish == "abort"
    solo = Engine(testing.TestRunner(num_vocab=NUM_VOCAB), 4, 16, TOKEN_BYTES, [])
    alone = Request(solo, [1, 2], params)
    finish_all(solo, [alone])
    assert good.tokens == alone.tokens
    assert engine.stats().free_blocks == [20]


def test_finished_requests_are_forgotten_after_their_last_update() -> None:
    engine = Engine(testing.TestRunner(num_vocab=NUM_VOCAB), 4, 16, TOKEN_BYTES, [])
    request = engine.add([1], SamplingParams(max_tokens=1))
    assert engine.poll(request) is None
    assert engine.step() == 0
    assert not engine.abort(request)
    assert engine.poll(request).finish == "length"
    with pytest.raises(InvalidRequestError, match=f"no request {request}"):
        engine.poll(request)
    assert not engine.abort(request)
    assert not engine.abort(12345)


def test_timings_and_usage() -> None:
    engine = Engine(testing.TestRunner(num_vocab=NUM_VOCAB, step_microseconds=5000), 4, 16)
    request = Request(engine, [1] * 30, SamplingParams(max_tokens=5))  # two steps of prompt
    finish_all(engine, [request])
    assert request.last.prompt_seconds >= 0.010
    assert request.last.decode_seconds >= 0.020
    assert (request.last.prompt_tokens, request.last.output_tokens) == (30, 5)
