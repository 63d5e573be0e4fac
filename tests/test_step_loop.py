"""Several threads on one engine: who steps does not matter, and nobody waits for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pyslm import EngineError, PyslmError, SamplingParams, _native
from pyslm.generation import (
    ChunkStream,
    Generation,
    PreparedRequest,
    Transcript,
    native_params,
)
from pyslm.request import GenerationResult
from pyslm.step_loop import StepLoop

ROOM = 100_000


def begin(loop: StepLoop, prompt: list[int], params: SamplingParams) -> Generation:
    seed = params.seed or 0
    native = native_params(params, seed, ROOM)
    return Generation(loop, PreparedRequest(prompt, native, Transcript(seed, False)))


def make_loop(**options: int) -> StepLoop:
    runner = _native.testing.TestRunner(context_length=512, groups=[(0, 512, 16)], **options)
    vocab = len(runner.expected_logits([1]))
    token_bytes = [b"<%d>" % i for i in range(vocab)]
    return StepLoop(_native.Engine(runner, 16, 64, token_bytes, []))


def prompts(count: int) -> list[list[int]]:
    return [[1 + i, 2 + i, 3, *range(5, 5 + 3 * i)] for i in range(count)]


def run(loop: StepLoop, prompt: list[int], seed: int) -> GenerationResult:
    params = SamplingParams(max_tokens=20, seed=seed, temperature=0.7)
    return begin(loop, prompt, params).finish()


def test_threads_get_what_a_single_caller_gets() -> None:
    want = [run(make_loop(), prompt, seed) for seed, prompt in enumerate(prompts(12))]
    loop = make_loop()
    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(lambda item: run(loop, item[1], item[0]), enumerate(prompts(12))))
    assert [r.token_ids for r in got] == [r.token_ids for r in want]
    assert [r.text for r in got] == [r.text for r in want]
    assert loop.engine.stats().num_running == 0


def test_the_leader_steps_for_the_others() -> None:
    """Two callers together need about as many steps as the longer one alone."""
    loop = make_loop(step_microseconds=2000)
    steps = 0
    step = loop.engine.step

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(engine, name)

        def step(self) -> int:
            nonlocal steps
            steps += 1
            return step()

    engine = loop.engine
    loop._engine = Counting()  # type: ignore[assignment]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: run(loop, item[1], item[0]), enumerate(prompts(8))))
    assert steps <= 2 * 20 + 10, "eight callers of 20 tokens each did not share their steps"


def test_followers_see_their_tokens_while_another_leads() -> None:
    loop = make_loop(step_microseconds=2000)
    long = ChunkStream(begin(loop, [1, 2], SamplingParams(max_tokens=400, seed=1)))
    leader = threading.Thread(target=lambda: list(long))
    leader.start()
    result = run(loop, [3, 4], seed=2)
    assert leader.is_alive(), "a short request waited for a long one to end"
    assert len(result.token_ids) == 20
    long.close()
    leader.join(timeout=30)
    assert not leader.is_alive()


def test_closing_a_stream_frees_its_place() -> None:
    loop = make_loop()
    free = loop.engine.stats().free_blocks
    stream = ChunkStream(begin(loop, [1, 2, 3], SamplingParams(max_tokens=50, seed=1)))
    next(stream)
    assert loop.engine.stats().num_running == 1
    stream.close()
    loop.engine.step()
    assert loop.engine.stats().num_running == 0
    assert loop.engine.stats().free_blocks == free
    assert list(stream) == []


def test_dropping_a_stream_frees_its_place() -> None:
    loop = make_loop()
    stream = ChunkStream(begin(loop, [1, 2, 3], SamplingParams(max_tokens=50, seed=1)))
    next(stream)
    del stream
    loop.engine.step()
    assert loop.engine.stats().num_running == 0


def test_a_fault_of_the_runner_reaches_the_caller_and_frees_the_turn() -> None:
    loop = make_loop(failing_token=7)
    with pytest.raises(PyslmError, match="fail on token 7"):
        run(loop, [7, 7], seed=1)
    with pytest.raises(PyslmError, match="fail on token 7"):
        run(loop, [7, 7], seed=1)  # the turn is free: this does not hang


def test_close_waits_for_the_step_in_progress() -> None:
    loop = make_loop(step_microseconds=300_000)
    stepping = threading.Event()
    faults: list[Exception] = []

    def generate() -> None:
        stepping.set()
        try:
            run(loop, [1, 2], seed=1)
        except EngineError as error:
            faults.append(error)

    thread = threading.Thread(target=generate)
    thread.start()
    stepping.wait()
    loop.close()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert "closed" in str(faults[0])


def test_closed() -> None:
    loop = make_loop()
    stream = ChunkStream(begin(loop, [1], SamplingParams(max_tokens=50, seed=1)))
    loop.close()
    with pytest.raises(EngineError, match="closed"):
        next(stream)
    with pytest.raises(EngineError, match="closed"):
        run(loop, [1], seed=1)


def test_requests_come_and_go_while_prefixes_are_written() -> None:
    """A stream may be collected in the midst of it, and an event loop must not wait for a disk."""
    loop = make_loop()
    engine = loop.engine
    free = engine.stats().free_blocks
    run(loop, list(range(1, 50)), seed=1)
    params = SamplingParams(max_tokens=300, seed=1)
    streams = [ChunkStream(begin(loop, [1, 2], params))]
    next(streams[0])
    pieces = []

    def write(piece: bytes) -> None:
        if not pieces:
            streams.pop().close()
            late.append(engine.add([3, 4], native_params(params, 1, ROOM)))
        pieces.append(piece)

    late: list[int] = []
    writer = threading.Thread(target=engine.save_prefixes, args=(write,), daemon=True)
    writer.start()
    writer.join(30)
    assert not writer.is_alive(), "the engine's lock is held while the pieces are written"
    assert sum(map(len, pieces)) > 100
    assert loop.next_update(late[0]).tokens
    loop.abort(late[0])
    engine.step()
    engine.verify()
    assert engine.stats().num_running == 0
    assert engine.stats().free_blocks == free
