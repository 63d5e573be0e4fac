"""AsyncLLM: the same answers as LLM, for event loops (contract A3, D2)."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from pyslm import (
    LLM,
    AsyncLLM,
    ContextLengthError,
    EngineError,
    GenerationResult,
    InvalidRequestError,
    SamplingParams,
    StreamChunk,
)
from pyslm.async_llm import AsyncChunkStream
from pyslm.generation import PreparedRequest

LONG = SamplingParams(max_tokens=400, ignore_eos=True)
PROMPTS = ["Once upon a time", "The dog", "Lily went to the park", "One day", "Tom saw a"]


@pytest.fixture(scope="module")
def llm(shared: Path) -> Iterator[LLM]:
    with LLM(shared / "models" / "stories260K.gguf", max_sequences=32) as llm:
        yield llm


def params_of(seed: int, **fields: object) -> SamplingParams:
    return SamplingParams(max_tokens=24, seed=seed, **fields)  # type: ignore[arg-type]


def same(ours: GenerationResult, theirs: GenerationResult) -> bool:
    return (ours.text, ours.token_ids, ours.finish_reason) == (
        theirs.text, theirs.token_ids, theirs.finish_reason,
    )  # fmt: skip


async def read_all(stream: AsyncIterator[StreamChunk]) -> None:
    async for _ in stream:
        pass


def assert_idle(llm: LLM) -> None:
    """Within a step of the last abort nothing is held any more."""
    engine = llm._host.loop.engine
    engine.step()
    engine.verify()
    stats = engine.stats()
    assert (stats.num_running, stats.num_waiting) == (0, 0)
    assert stats.free_blocks == [
        group["num_blocks"] for group in llm._host.runner.info["cache_groups"]
    ]


def test_results_equal_those_of_llm(llm: LLM) -> None:
    params = [params_of(i, temperature=i / 2) for i in range(len(PROMPTS))]

    async def run() -> list[GenerationResult]:
        return await AsyncLLM(llm).generate(PROMPTS, params)

    for ours, theirs in zip(asyncio.run(run()), llm.generate(PROMPTS, params), strict=True):
        assert same(ours, theirs)


def test_samples_scores_and_vectors_equal_those_of_llm(llm: LLM) -> None:
    params = params_of(3, n=2, best_of=4, logprobs=2, prompt_logprobs=1)

    async def run() -> None:
        model = AsyncLLM(llm)
        ours, theirs = await model.generate("The cat", params), llm.generate("The cat", params)
        assert same(ours, theirs)
        assert ours.logprobs == theirs.logprobs
        assert ours.prompt_logprobs == theirs.prompt_logprobs
        assert [same(a, b) for a, b in zip(ours.samples, theirs.samples, strict=True)] == [True] * 2
        np.testing.assert_array_equal(await model.embed(PROMPTS), llm.embed(PROMPTS))
        ends = [" a time", " the"]
        assert await model.score("Once upon", ends) == llm.score("Once upon", ends)

    asyncio.run(run())


def test_64_streams_at_once(llm: LLM) -> None:
    async def read(model: AsyncLLM, seed: int) -> tuple[str, GenerationResult]:
        texts = []
        stream = model.stream(PROMPTS[seed % 5], params_of(seed))
        async for chunk in stream:
            texts.append(chunk.text)
        return "".join(texts), stream.result

    async def run() -> list[tuple[str, GenerationResult]]:
        model = AsyncLLM(llm)
        return await asyncio.gather(*(read(model, seed) for seed in range(64)))

    for seed, (text, result) in enumerate(asyncio.run(run())):
        assert text == result.text
        assert same(result, llm.generate(PROMPTS[seed % 5], params_of(seed)))
    assert_idle(llm)


@pytest.mark.parametrize("how", ["cancel", "aclose", "drop"])
def test_leaving_at_any_point_frees_everything(llm: LLM, how: str) -> None:
    rng = random.Random(how)

    async def leave(model: AsyncLLM, seed: int) -> None:
        stream = model.stream(PROMPTS[seed % 5], SamplingParams(max_tokens=300, ignore_eos=True))
        for _ in range(rng.randrange(6)):
            await anext(stream)
        if how == "aclose":
            await stream.aclose()
        elif how == "drop":
            del stream
        else:
            await asyncio.sleep(3600 if await anext(stream) else 0)

    async def run() -> None:
        model = AsyncLLM(llm)
        tasks = [asyncio.create_task(leave(model, seed)) for seed in range(24)]
        if how == "cancel":
            for task in tasks:
                await asyncio.sleep(rng.random() / 100)
                task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(item) for item in done} <= {type(None), asyncio.CancelledError}
        # The model is as good as before.
        assert (await model.generate("The dog", params_of(1))).token_ids

    asyncio.run(run())
    assert_idle(llm)


def test_closing_ends_the_reader_of_another_task(llm: LLM) -> None:
    """At any point: while the prompt is made ready, while a step runs, between pieces."""

    async def count(stream: AsyncChunkStream) -> int:
        return len([chunk async for chunk in stream])

    async def run() -> None:
        model, rng = AsyncLLM(llm), random.Random(5)
        for _ in range(20):
            stream = model.stream(PROMPTS[0], LONG)
            reading = asyncio.create_task(count(stream))
            await asyncio.sleep(rng.random() / 50)
            await stream.aclose()
            assert await reading < LONG.max_tokens
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(asyncio.wait_for(run(), 60))
    assert_idle(llm)


def test_closing_while_the_prompt_is_made_ready_queues_nothing(llm: LLM) -> None:
    ready, asked = threading.Event(), threading.Event()

    def prepare() -> PreparedRequest:
        asked.set()
        ready.wait(30)
        return llm._host.prepare(PROMPTS[0], LONG)

    async def run() -> None:
        stream = AsyncChunkStream(llm._host.async_steps, prepare)
        reading = asyncio.create_task(read_all(stream))
        await asyncio.to_thread(asked.wait, 30)
        await stream.aclose()
        ready.set()
        await reading
        assert not llm._host.async_steps._running

    asyncio.run(asyncio.wait_for(run(), 60))
    assert_idle(llm)


def test_a_second_reader_is_refused_and_disturbs_nobody(llm: LLM) -> None:
    async def run() -> None:
        stream = AsyncLLM(llm).stream("One day", params_of(1))
        reading = asyncio.create_task(read_all(stream))
        await asyncio.sleep(0)
        with pytest.raises(InvalidRequestError, match="another task"):
            await anext(stream)
        await reading
        assert same(stream.result, llm.generate("One day", params_of(1)))

    asyncio.run(asyncio.wait_for(run(), 60))


def test_starting_twice_queues_one_request(llm: LLM) -> None:
    async def run() -> None:
        stream = AsyncLLM(llm).stream("One day", LONG)
        await asyncio.gather(stream.start(), stream.start())
        assert len(llm._host.async_steps._running) == 1
        await stream.aclose()

    asyncio.run(run())
    assert_idle(llm)


def test_threads_and_event_loops_share_a_model(llm: LLM) -> None:
    expected = {seed: llm.generate(PROMPTS[seed % 5], params_of(seed)) for seed in range(12)}
    got: dict[int, GenerationResult] = {}

    def in_thread(seed: int) -> None:
        got[seed] = llm.generate(PROMPTS[seed % 5], params_of(seed))

    def in_loop(seed: int) -> None:
        async def run() -> None:
            got[seed] = await AsyncLLM(llm).generate(PROMPTS[seed % 5], params_of(seed))

        asyncio.run(run())

    threads = [
        threading.Thread(target=in_loop if seed % 2 else in_thread, args=(seed,))
        for seed in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(same(got[seed], expected[seed]) for seed in expected)


def test_a_slow_reader_holds_nobody_up(llm: LLM) -> None:
    async def run() -> None:
        model = AsyncLLM(llm)
        slow = model.stream("One day", SamplingParams(max_tokens=40, ignore_eos=True, seed=1))
        first = await anext(slow)
        # Nobody reads `slow` meanwhile; how far it got by then is the machine's affair.
        params = SamplingParams(max_tokens=60, ignore_eos=True, seed=2)
        other = await asyncio.wait_for(model.generate("The dog", params), 60)
        assert len(other.token_ids) == 60
        rest = [chunk async for chunk in slow]
        assert first.text + "".join(chunk.text for chunk in rest) == slow.result.text
        assert len(slow.result.token_ids) == 40

    asyncio.run(run())


def test_an_event_loop_that_ends_takes_its_requests_along(llm: LLM) -> None:
    async def run() -> None:
        stream = AsyncLLM(llm).stream("One day", SamplingParams(max_tokens=300, ignore_eos=True))
        await anext(stream)
        stream._closed = True  # as if it were never told: the loop is simply gone

    asyncio.run(run())
    for _ in range(200):
        if not llm._host.async_steps._running:
            break
        threading.Event().wait(0.01)
    assert_idle(llm)


def test_closing_while_streams_run(shared: Path) -> None:
    async def run() -> None:
        model = await AsyncLLM.load(shared / "models" / "stories260K.gguf", max_sequences=4)
        stream = model.stream("One day", SamplingParams(max_tokens=400, ignore_eos=True))
        await anext(stream)
        reading = asyncio.create_task(read_all(stream))
        await model.close()
        with pytest.raises(EngineError, match="closed"):
            await reading
        with pytest.raises(EngineError, match="closed"):
            await model.generate("more")

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_model_that_nobody_closes_goes_with_its_thread(shared: Path) -> None:
    llm = LLM(shared / "models" / "stories260K.gguf", max_sequences=2)
    asyncio.run(AsyncLLM(llm).generate("One day", params_of(1)))
    thread = llm._host.async_steps._thread
    engine = weakref.ref(llm._host.loop)
    assert thread is not None
    assert thread.is_alive()
    del llm
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()
    assert engine() is None


def test_the_interpreter_may_end_while_requests_run(shared: Path) -> None:
    """A thread in the native core must not outlive the interpreter that it returns to."""
    code = """
import asyncio, sys
from pyslm import LLM, AsyncLLM, SamplingParams

model = AsyncLLM(LLM(sys.argv[1], max_sequences=16))

async def begin():
    params = SamplingParams(max_tokens=400, ignore_eos=True)
    streams = [model.stream("One day", params) for _ in range(32)]
    for stream in streams:
        await anext(stream)
    return streams

streams = asyncio.new_event_loop().run_until_complete(begin())
"""
    command = [sys.executable, "-W", "ignore", "-c", code, shared / "models" / "stories260K.gguf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_step_that_fails_reaches_everyone(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = llm._host.loop

    async def run() -> None:
        model = AsyncLLM(llm)
        streams = [
            model.stream(p, SamplingParams(max_tokens=400, ignore_eos=True)) for p in PROMPTS
        ]
        for stream in streams:
            await anext(stream)

        def fail() -> None:
            raise EngineError("the step failed")

        with monkeypatch.context() as patch:
            patch.setattr(steps, "step_or_wait", fail)
            caught = []
            for stream in streams:
                with pytest.raises(EngineError, match="the step failed") as error:
                    await read_all(stream)
                caught.append(error.value)
            assert len(set(map(id, caught))) == len(streams), "they share a traceback"
        assert (await model.generate("The dog", params_of(1))).token_ids

    asyncio.run(asyncio.wait_for(run(), 60))
    assert_idle(llm)


def test_errors_come_typed(llm: LLM) -> None:
    async def run() -> None:
        model = AsyncLLM(llm)
        with pytest.raises(InvalidRequestError, match="empty"):
            await anext(model.stream([]))
        with pytest.raises(ContextLengthError):
            await model.generate([1] * 10_000)
        with pytest.raises(InvalidRequestError, match="one sample"):
            model.stream("a", SamplingParams(n=2))
        with pytest.raises(InvalidRequestError, match="token id"):
            await anext(model.stream([1, 10**6]))
        with pytest.raises(ValueError, match="not ended"):
            _ = model.stream("a").result

    asyncio.run(run())
