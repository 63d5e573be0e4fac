"""The engine between threads: the GIL is free, and nothing is lost or mixed up."""

from __future__ import annotations

import random
import threading
import time

from engine_drive import EOS, NUM_VOCAB, TOKEN_BYTES, Request, random_request, run_alone

from pyslm._native import Engine, SamplingParams, testing


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
