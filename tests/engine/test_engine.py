"""The engine over the toy runner: what a request gives does not depend on its company."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyslm._native import Engine, SamplingParams, testing
from pyslm.errors import ContextLengthError, InvalidRequestError, PyslmError

NUM_VOCAB = 48
TOKEN_BYTES = [bytes([65 + i]) for i in range(NUM_VOCAB)]
EOS = 0


class Request:
    """One request's updates put together, and the contract of poll() checked on the way."""

    def __init__(self, engine: Engine, prompt: list[int], params: SamplingParams) -> None:
        self.engine, self.prompt, self.params = engine, prompt, params
        self.id = engine.add(prompt, params)
        self.tokens: list[int] = []
        self.text = b""
        self.logprobs: list[list[tuple[int, float]]] = []
        self.last: Any = None
        self.finish: str | None = None

    def poll(self) -> None:
        if self.finish is not None or (update := self.engine.poll(self.id)) is None:
            return
        self.tokens += update.tokens
        self.text += update.bytes
        self.logprobs += update.logprobs
        self.last, self.finish = update, update.finish
        assert update.id == self.id
        assert update.prompt_tokens == len(self.prompt)
        assert update.output_tokens == len(self.tokens)


def finish_all(engine: Engine, requests: list[Request]) -> None:
    while engine.step():
        pass
    for request in requests:
        request.poll()
        assert request.finish is not None


def run_alone(
    runner: testing.TestRunner, prompt: list[int], params: SamplingParams
) -> tuple[list[int], str]:
    """What the request must give, from the runner's logits without any engine or blocks."""
    tokens = list(prompt)
    while True:
        logits = runner.expected_logits(tokens)
        tokens.append(testing.sampler_draws(logits, params, [len(tokens)])[0])
        output = tokens[len(prompt) :]
        if tokens[-1] == EOS and not params.ignore_eos:
            return output, "stop"
        if len(output) == params.max_tokens:
            return output, "length"


def random_request(rng: random.Random, longest: int) -> tuple[list[int], SamplingParams]:
    length = rng.choice([1, 2, rng.randint(1, longest // 2), rng.randint(1, longest // 2)])
    prompt = [rng.randrange(NUM_VOCAB) for _ in range(length)]
    params = SamplingParams(
        max_tokens=rng.randint(1, longest - length),
        temperature=rng.choice([0.0, 1.0]),
        top_k=rng.choice([0, 10]),
        seed=rng.randrange(2**64),
        ignore_eos=rng.random() < 0.5,
    )
    return prompt, params


group_lists = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 3, 8, 17]),  # window
        st.integers(16, 60),  # blocks
        st.sampled_from([1, 2, 4, 8]),  # tokens of a block
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    groups=group_lists,
    max_sequences=st.integers(1, 12),
    prefill_chunk=st.integers(1, 40),
    max_batch_rows=st.integers(1, 40),
)
def test_every_request_gives_what_it_gives_alone(
    seed: int,
    groups: list[tuple[int, int, int]],
    max_sequences: int,
    prefill_chunk: int,
    max_batch_rows: int,
) -> None:
    rng = random.Random(seed)
    runner = testing.TestRunner(
        num_vocab=NUM_VOCAB, context_length=480, max_batch_rows=max_batch_rows, groups=groups
    )
    engine = Engine(runner, max_sequences, prefill_chunk, TOKEN_BYTES, [EOS])
    initial = engine.stats().free_blocks
    assert initial == [blocks for _, blocks, _ in groups]
    longest = min(blocks * block_tokens for _, blocks, block_tokens in groups)
    requests: list[Request] = []
    aborted: set[int] = set()
    for _ in range(rng.randint(1, 60)):
        action = rng.random()
        if action < 0.4:
            requests.append(Request(engine, *random_request(rng, longest)))
        elif action < 0.5 and requests:
            request = rng.choice(requests)
            if engine.abort(request.id):
                aborted.add(request.id)
        else:
            engine.step()
        if requests:
            rng.choice(requests).poll()
    finish_all(engine, requests)
    for request in requests:
        expected, finish = run_alone(runner, request.prompt, request.params)
        if request.id in aborted:
            assert request.finish == "abort"
            assert request.tokens == expected[: len(request.tokens)]
        else:
            assert (request.tokens, request.finish) == (expected, finish)
            shown = request.tokens[:-1] if finish == "stop" else request.tokens
            assert request.text == b"".join(TOKEN_BYTES[t] for t in shown)
    assert engine.stats().free_blocks == initial
    assert engine.stats().num_running == engine.stats().num_waiting == 0


def test_preemption_happens_and_changes_nothing() -> None:
    rng = random.Random(4)
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=200, groups=[(0, 30, 4)])
    engine = Engine(runner, 16, 64, TOKEN_BYTES, [])
    requests = [
        Request(
            engine,
            [rng.randrange(NUM_VOCAB) for _ in range(8)],
            SamplingParams(max_tokens=90, seed=i, ignore_eos=True),
        )
        for i in range(10)
    ]
    order: list[int] = []
    while engine.step():
        for request in requests:
            if request.finish is None:
                request.poll()
                if request.finish:
                    order.append(request.id)
    for request in requests:
        request.poll()
        assert request.tokens == run_alone(runner, request.prompt, request.params)[0]
    assert engine.stats().num_preemptions > 5
    assert order == sorted(order)  # the oldest never yields, so it finishes first
    assert engine.stats().free_blocks == [30]


def test_penalties_see_the_whole_history_under_preemption() -> None:
    params = SamplingParams(
        max_tokens=60, seed=3, repetition_penalty=1.4, presence_penalty=0.5, frequency_penalty=0.3
    )
    prompts = [[i + 1] * 5 for i in range(8)]

    def outputs(num_blocks: int, max_sequences: int) -> tuple[list[list[int]], int]:
        runner = testing.TestRunner(num_vocab=NUM_VOCAB, groups=[(0, num_blocks, 4)])
        engine = Engine(runner, max_sequences, 16, TOKEN_BYTES, [])
        requests = [Request(engine, prompt, params) for prompt in prompts]
        finish_all(engine, requests)
        return [request.tokens for request in requests], engine.stats().num_preemptions

    alone, no_preemptions = outputs(num_blocks=200, max_sequences=1)
    together, preemptions = outputs(num_blocks=24, max_sequences=8)
    assert no_preemptions == 0
    assert preemptions > 0
    assert together == alone


def test_thousands_of_aborts_leak_nothing() -> None:
    rng = random.Random(11)
    groups = [(0, 40, 4), (6, 25, 4)]
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=100, groups=groups)
    engine = Engine(runner, 8, 16, TOKEN_BYTES, [EOS])
    live: list[int] = []
    num_aborted = 0
    for _ in range(3000):
        live.append(engine.add(*random_request(rng, 99)))
        if rng.random() < 0.6:
            engine.step()
        if len(live) > 6:
            num_aborted += engine.abort(live.pop(rng.randrange(len(live))))
    for request in live:
        engine.abort(request)
    assert num_aborted > 1000
    assert engine.step() == 0
    assert engine.stats().free_blocks == [40, 25]


def test_long_prompt_does_not_starve_short_ones() -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=8000, groups=[(0, 4000, 4)])
    engine = Engine(runner, 8, 32, TOKEN_BYTES, [])
    long = Request(engine, [1] * 4000, SamplingParams(max_tokens=1))
    engine.step()
    shorts = [Request(engine, [2] * 20, SamplingParams(max_tokens=3)) for _ in range(3)]
    steps = 0
    while any(short.finish is None for short in shorts):
        engine.step()
        steps += 1
        for short in shorts:
            short.poll()
        long.poll()
        assert steps <= 6  # 20 rows at 32 / 4 a step take 3 steps; then 2 decodes
    assert long.finish is None
    finish_all(engine, [long])


def test_decodes_go_on_while_prompts_compute() -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=8000, groups=[(0, 4000, 4)])
    engine = Engine(runner, 8, 16, TOKEN_BYTES, [])
    decoding = Request(engine, [3], SamplingParams(max_tokens=50))
    engine.step()
    prompt = Request(engine, [1] * 700, SamplingParams(max_tokens=1))
    for step in range(40):
        engine.step()
        decoding.poll()
        assert len(decoding.tokens) == step + 2
    prompt.poll()
    assert prompt.tokens == []
    finish_all(engine, [decoding, prompt])


@given(st.lists(st.integers(1, 1000), max_size=20), st.integers(1, 600))
def test_fair_shares(owed: list[int], budget: int) -> None:
    shares = testing.fair_shares(owed, budget)
    assert len(shares) == len(owed)
    assert sum(shares) == min(budget, sum(owed))
    for mine, claim in zip(shares, owed, strict=True):
        assert 0 <= mine <= claim
        # Max-min: who got less than it owes got no less than anyone else, but for rounding.
        if mine < claim:
            assert mine >= max(shares) - 1
            assert mine >= budget // len(owed)


def test_request_larger_than_the_pool_is_refused_with_numbers() -> None:
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=1000, groups=[(0, 10, 4)])
    engine = Engine(runner, 4, 16, TOKEN_BYTES, [])
    # 41 tokens of which the last is chosen and never computed: exactly 10 blocks.
    fits = Request(engine, [1] * 21, SamplingParams(max_tokens=20))
    with pytest.raises(ContextLengthError, match=r"41 tokens.* 11 cache blocks.* has 10\b"):
        engine.add([1] * 21, SamplingParams(max_tokens=21))
    finish_all(engine, [fits])
    assert len(fits.tokens) == 20


def test_windowed_pool_holds_requests_longer_than_itself() -> None:
    # A window of 8 needs 8 - 1 + 4 rows of a step: at most 4 blocks of 4 at a time.
    runner = testing.TestRunner(num_vocab=NUM_VOCAB, context_length=1000, groups=[(8, 4, 4)])
    engine = Engine(runner, 4, 4, TOKEN_BYTES, [])
    params = SamplingParams(max_tokens=200, seed=1, ignore_eos=True)
    request = Request(engine, [5] * 300, params)
    finish_all(engine, [request])
    assert request.tokens == run_alone(runner, [5] * 300, params)[0]
    assert engine.stats().free_blocks == [4]


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


def test_step_frees_the_gil() -> None:
    engine = Engine(testing.TestRunner(num_vocab=NUM_VOCAB, step_microseconds=400_000))
    engine.add([1], SamplingParams(max_tokens=1))
    started, ended = threading.Event(), []

    def step() -> None:
        started.set()
        engine.step()
        ended.append(time.monotonic())

    thread = threading.Thread(target=step)
    thread.start()
    started.wait()
    time.sleep(0.01)
    seen = time.monotonic()
    # Others may add, poll and abort meanwhile, without waiting for the step.
    other = engine.add([2], SamplingParams(max_tokens=1))
    assert engine.poll(other) is None
    assert engine.abort(other)
    meanwhile = time.monotonic()
    thread.join()
    assert seen < ended[0] - 0.1
    assert meanwhile < ended[0] - 0.1
    assert engine.poll(other).finish == "abort"


def test_many_threads_at_once() -> None:
    groups = [(0, 60, 4), (10, 60, 4)]
    runner = testing.TestRunner(
        num_vocab=NUM_VOCAB, context_length=100, groups=groups, step_microseconds=50
    )
    engine = Engine(runner, 8, 16, TOKEN_BYTES, [EOS])
    stop = threading.Event()
    failures: list[BaseException] = []

    def stepper() -> None:
        try:
            while not stop.is_set():
                engine.step()
        except BaseException as error:
            failures.append(error)

    def client(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(15):
                request = Request(engine, *random_request(rng, 99))
                abort_after = rng.choice([None, None, rng.randint(0, 20)])
                while request.finish is None:
                    request.poll()
                    if abort_after is not None and len(request.tokens) >= abort_after:
                        engine.abort(request.id)
                expected, finish = run_alone(runner, request.prompt, request.params)
                assert request.finish in {finish, "abort"}
                assert request.tokens == expected[: len(request.tokens)]
        except BaseException as error:
            failures.append(error)

    steppers = [threading.Thread(target=stepper) for _ in range(2)]
    clients = [threading.Thread(target=client, args=(seed,)) for seed in range(4)]
    for thread in steppers + clients:
        thread.start()
    for thread in clients:
        thread.join()
    stop.set()
    for thread in steppers:
        thread.join()
    assert not failures
    assert engine.stats().free_blocks == [60, 60]
