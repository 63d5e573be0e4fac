"""One thread that steps for event loops, over a runner whose logits are known."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pyslm import PyslmError, SamplingParams, _native
from pyslm.async_steps import AsyncSteps
from pyslm.async_stream import AsyncChunkStream
from pyslm.generation import Generation, PreparedRequest, Transcript, native_params
from pyslm.step_loop import StepLoop

NUM_BLOCKS = 32  # of 16 tokens: too few for all that want to run, so that some are preempted


def make_loop(**options: Any) -> StepLoop:
    runner = _native.testing.TestRunner(context_length=512, groups=[(0, NUM_BLOCKS, 16)], **options)
    token_bytes = [b"<%d>" % i for i in range(len(runner.expected_logits([1])))]
    return StepLoop(_native.Engine(runner, 16, 64, token_bytes, []))


def request(seed: int, max_tokens: int = 20) -> PreparedRequest:
    params = SamplingParams(max_tokens=max_tokens, seed=seed, temperature=0.7)
    prompt = [1 + seed % 9, 2, 3, *range(5, 5 + seed % 40)]
    return PreparedRequest(prompt, native_params(params, seed, 400), Transcript(seed, False))


async def read(steps: AsyncSteps, seed: int, max_tokens: int = 20) -> tuple[int, ...]:
    stream = AsyncChunkStream(steps, lambda: request(seed, max_tokens))
    async for _ in stream:
        pass
    return stream.result.token_ids


def assert_nothing_left(loop: StepLoop) -> None:
    loop.engine.step()
    loop.engine.verify()
    stats = loop.engine.stats()
    assert (stats.num_running, stats.num_waiting, stats.free_blocks) == (0, 0, [NUM_BLOCKS])


def test_loops_and_threads_that_leave_at_any_time() -> None:
    """Whoever stays gets what it would get alone; whoever leaves leaves nothing behind."""
    loop = make_loop()
    steps = AsyncSteps(loop)
    alone = {seed: Generation(loop, request(seed)).finish().token_ids for seed in range(60)}

    async def leave_or_read(seed: int, rng: random.Random) -> None:
        task = asyncio.create_task(read(steps, seed))
        if rng.random() < 0.5:
            await asyncio.sleep(rng.random() / 100)
            task.cancel()
            await asyncio.wait([task])
        else:
            assert await task == alone[seed]

    async def all_of(seeds: range) -> None:
        rng = random.Random(seeds.start)
        await asyncio.gather(*(leave_or_read(seed, rng) for _ in range(4) for seed in seeds))

    def in_thread(seed: int) -> None:
        generation = Generation(loop, request(seed))
        if seed % 2:
            generation.advance()
            generation.abort()
        else:
            assert generation.finish().token_ids == alone[seed]

    with ThreadPoolExecutor(7) as pool:
        loops = [pool.submit(asyncio.run, all_of(range(i, i + 20))) for i in (0, 20, 40)]
        threads = [pool.submit(in_thread, seed) for seed in range(60)]
        for job in (*loops, *threads):
            job.result(60)
    assert loop.engine.stats().num_preemptions > 0
    assert_nothing_left(loop)
    steps.close()


def test_an_event_loop_is_told_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = make_loop(step_microseconds=1000)
    steps = AsyncSteps(loop)
    calls = 0

    async def run() -> int:
        running = asyncio.get_running_loop()
        tell = running.call_soon_threadsafe

        def counting(callback: Any, *args: Any, **kwargs: Any) -> asyncio.Handle:
            nonlocal calls
            calls += threading.current_thread().name == "pyslm-steps"
            return tell(callback, *args, **kwargs)

        monkeypatch.setattr(running, "call_soon_threadsafe", counting)
        before = loop.engine.stats().num_steps
        await asyncio.gather(*(read(steps, seed) for seed in range(12)))
        return loop.engine.stats().num_steps - before

    num_steps = asyncio.run(run())
    assert 20 <= num_steps < 12 * 20 / 2, "they did not share their steps"
    assert calls <= num_steps
    steps.close()


def test_the_thread_sleeps_while_nothing_runs() -> None:
    loop = make_loop()
    steps = AsyncSteps(loop)
    assert len(asyncio.run(read(steps, 1))) == 20
    num_steps, spent = loop.engine.stats().num_steps, time.process_time()
    time.sleep(0.3)
    assert loop.engine.stats().num_steps == num_steps
    assert time.process_time() - spent < 0.1
    steps.close()


def test_a_fault_of_the_runner_ends_what_ran_and_nothing_else() -> None:
    """Token 7 breaks the step; requests that come afterwards run."""
    loop = make_loop(failing_token=7)
    steps = AsyncSteps(loop)

    def poisoned() -> PreparedRequest:
        params = native_params(SamplingParams(max_tokens=5), 1, 400)
        return PreparedRequest([7, 7], params, Transcript(1, False))

    async def run() -> None:
        both = [AsyncChunkStream(steps, poisoned) for _ in range(2)]
        for error in await asyncio.gather(*map(anext, both), return_exceptions=True):
            assert isinstance(error, PyslmError)
            assert "fail on token 7" in str(error)
        params = native_params(SamplingParams(max_tokens=1), 1, 400)
        good = PreparedRequest([1, 2], params, Transcript(1, False))
        assert (await anext(AsyncChunkStream(steps, lambda: good))).result is not None

    asyncio.run(asyncio.wait_for(run(), 60))
    assert_nothing_left(loop)
    steps.close()


def test_closing_reaches_every_event_loop() -> None:
    loop = make_loop(step_microseconds=2000)
    steps = AsyncSteps(loop)
    begun = threading.Barrier(4, timeout=30)

    async def run() -> None:
        stream = AsyncChunkStream(steps, lambda: request(1, 400))
        await anext(stream)
        begun.wait()
        with pytest.raises(PyslmError, match="closed"):
            async for _ in stream:
                pass
        with pytest.raises(PyslmError, match="closed"):
            await anext(AsyncChunkStream(steps, lambda: request(1)))

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(asyncio.run, run()) for _ in range(3)]
        begun.wait()
        steps.close()
        steps.close()
        for job in jobs:
            job.result(60)
    assert_nothing_left(loop)
