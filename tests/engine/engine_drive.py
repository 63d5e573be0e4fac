"""Requests to an engine over the toy runner, and what each must give."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

from pyslm._native import Engine, SamplingParams, testing

NUM_VOCAB = 48
TOKEN_BYTES = [bytes([65 + i]) for i in range(NUM_VOCAB)]
EOS = 0

group_lists = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 3, 8, 17]),  # window
        st.integers(16, 60),  # blocks
        st.sampled_from([1, 2, 4, 8]),  # tokens of a block
    ),
    min_size=1,
    max_size=3,
)


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
        tokens += testing.sampler_draws(
            logits, params, [len(tokens)], history=tokens, prompt_length=len(prompt)
        )
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


def run_random_schedule(
    rng: random.Random,
    runner: testing.TestRunner,
    engine: Engine,
    groups: list[tuple[int, int, int]],
) -> None:
    """Adds, aborts, steps and polls at random; each request must give what it gives alone."""
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
        engine.verify()
    finish_all(engine, requests)
    engine.verify()
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
