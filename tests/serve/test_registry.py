"""Models are loaded when asked for, stay as long as they should, and make room for others."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest
from serve.server_process import free_copy

from pyslm.request import SamplingParams
from pyslm.serve.caller import Caller, current_caller
from pyslm.serve.catalog import Catalog, read_card
from pyslm.serve.config import ServeConfig
from pyslm.serve.protocol import (
    EventStream,
    GenerateRequest,
    LoadOptions,
    ServeError,
    TokenizeRequest,
    collect,
)
from pyslm.serve.registry import Registry

SHORT = SamplingParams(max_tokens=4, temperature=0)
ENDLESS = SamplingParams(max_tokens=2**31 - 1, ignore_eos=True)
CONFIG = ServeConfig(max_loaded_models=2, context_length=20_000)


@pytest.fixture
def models(long_model: Path, tmp_path: Path) -> list[Path]:
    """Three models: a, b and c."""
    return [free_copy(long_model, tmp_path, f"{name}.gguf") for name in "abc"]


@contextlib.asynccontextmanager
async def opened(models: list[Path], **settings: Any) -> AsyncIterator[Registry]:
    catalog = Catalog(())
    for model in models:
        catalog.add(read_card(model))
    async with Registry(dataclasses.replace(CONFIG, **settings), catalog) as registry:
        yield registry


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60))


def request(sampling: SamplingParams = SHORT, **fields: Any) -> GenerateRequest:
    return GenerateRequest(id="test", prompt="Once upon a time", sampling=sampling, **fields)


async def write(registry: Registry, model: str, **settings: Any) -> str:
    stream = await registry.generate(model, request(), **settings)
    return (await collect(stream)).choices[0].content


async def begin(registry: Registry, model: str) -> EventStream:
    stream = await registry.generate(model, request(ENDLESS))
    await stream.batch()
    return stream


async def loaded(registry: Registry) -> set[str]:
    return {model.card.id for model in await registry.ps()}


async def until(condition: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


def test_loads_what_is_asked_for_and_evicts_the_longest_idle(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models) as registry:
            assert await loaded(registry) == set()
            text = await write(registry, "a")
            await write(registry, "b")
            await write(registry, "a")
            assert await loaded(registry) == {"a", "b"}
            (b,) = [m for m in await registry.ps() if m.card.id == "b"]
            assert await write(registry, "c") == text
            assert await loaded(registry) == {"a", "c"}
            assert not psutil.pid_exists(b.pid)  # all of its memory is back

    run(scenario())


def test_a_model_in_use_is_not_evicted(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models, max_loaded_models=1) as registry:
            stream = await begin(registry, "a")
            waiting = asyncio.create_task(write(registry, "b"))
            await asyncio.sleep(0.5)
            assert not waiting.done()
            assert await loaded(registry) == {"a"}
            await stream.aclose()
            assert await waiting
            assert await loaded(registry) == {"b"}

    run(scenario())


def test_a_pinned_model_stays(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models, max_loaded_models=1) as registry:
            await registry.load("a", pin=True)
            with pytest.raises(ServeError, match="pinned") as caught:
                await write(registry, "b")
            assert caught.value.status == 503
            assert await loaded(registry) == {"a"}
            assert await write(registry, "a")

    run(scenario())


def test_the_memory_budget_counts(models: list[Path]) -> None:
    async def scenario() -> None:
        one = 160 << 20  # a tiny model's process takes about 70 MiB
        async with opened(models, max_loaded_models=9, memory_budget=one) as registry:
            await write(registry, "a")
            await write(registry, "b")
            assert await loaded(registry) == {"b"}
        async with opened(models, memory_budget=1 << 20) as registry:
            with pytest.raises(ServeError, match="MiB") as caught:
                await write(registry, "a")
            assert caught.value.kind == "out_of_memory"

    run(scenario())


def test_idle_models_go_after_their_time(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models, keep_alive=0.3) as registry:
            await write(registry, "a")
            await write(registry, "b", keep_alive=-1)
            await until(lambda: _is(registry, {"b"}))
            await write(registry, "b", keep_alive=0)
            await until(lambda: _is(registry, set()))

    async def _is(registry: Registry, names: set[str]) -> bool:
        return await loaded(registry) == names

    run(scenario())


def test_a_model_in_use_does_not_expire(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models, keep_alive=0.2) as registry:
            stream = await begin(registry, "a")
            await asyncio.sleep(1.5)
            assert await stream.batch()
            await stream.aclose()

    run(scenario())


def test_many_first_requests_load_once(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models) as registry:
            texts = await asyncio.gather(*(write(registry, "a") for _ in range(20)))
            assert len(set(texts)) == 1
            page = registry.metrics.render().decode()
            assert 'pyslm:model_load_seconds_count{model_name="a"} 1.0' in page

    run(scenario())


def test_a_client_that_leaves_while_loading_does_not_end_the_loading(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models) as registry:
            first = asyncio.create_task(write(registry, "a"))
            second = asyncio.create_task(write(registry, "a"))
            await asyncio.sleep(0.05)
            first.cancel()
            assert await second
            (model,) = await registry.ps()
            assert model.num_running == 0

    run(scenario())


def test_a_longer_context_loads_anew(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models, context_length=1000) as registry:
            await write(registry, "a")
            (before,) = await registry.ps()
            await write(registry, "a", options=LoadOptions(context_length=500))
            assert (await registry.ps())[0].pid == before.pid
            await write(registry, "a", options=LoadOptions(context_length=3000))
            (after,) = await registry.ps()
            assert after.pid != before.pid
            assert after.context_length == 3000
            await write(registry, "a", options=LoadOptions(context_length=10**9))
            (largest,) = await registry.ps()
            assert largest.context_length == largest.card.trained_context_length

    run(scenario())


def test_unload_waits_for_requests_unless_forced(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models, drain_seconds=20) as registry:
            stream = await begin(registry, "a")
            unloading = asyncio.create_task(registry.unload("a"))
            await asyncio.sleep(0.3)
            assert not unloading.done()
            await stream.aclose()
            assert await unloading
            assert await loaded(registry) == set()
            assert not await registry.unload("a")

            stream = await begin(registry, "a")
            assert await registry.unload("a", force=True)
            with pytest.raises(ServeError) as caught:
                await collect(stream)
            assert caught.value.kind == "crashed"

    run(scenario())


def test_a_worker_is_started_anew(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models) as registry:
            await write(registry, "a")
            (model,) = await registry.ps()
            psutil.Process(model.pid).kill()
            for _ in range(20):
                with contextlib.suppress(ServeError):
                    assert await write(registry, "a")
                    break
                await asyncio.sleep(0.05)
            (again,) = await registry.ps()
            assert again.pid != model.pid
            assert again.num_running == 0

    run(scenario())


def test_a_stopped_worker_is_killed_and_replaced(
    models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyslm.serve import supervisor

    monkeypatch.setattr(supervisor, "SILENCE_SECONDS", 0.5)

    async def scenario() -> None:
        async with opened(models) as registry:
            stream = await begin(registry, "a")
            (model,) = await registry.ps()
            psutil.Process(model.pid).suspend()
            with pytest.raises(ServeError, match="ended"):
                await collect(stream)
            assert await write(registry, "a")

    run(scenario())


def test_callers_do_not_share_computed_prompts(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models) as registry:
            long = GenerateRequest(
                id="t", prompt="Once upon a time there was " * 30, sampling=SHORT
            )

            async def cached(salt: str) -> int:
                current_caller.set(Caller(salt, salt))
                completion = await collect(await registry.generate("a", long))
                return completion.cached_tokens

            assert await cached("ann") == 0
            assert await cached("ann") > 0
            assert await cached("eve") == 0

    run(scenario())


def test_requests_do_not_name_paths(models: list[Path], long_model: Path) -> None:
    async def scenario() -> None:
        async with opened(models) as registry:
            for name in (str(long_model), "../a", "/etc/passwd", "a/../a", "a\0"):
                with pytest.raises(ServeError) as caught:
                    await registry.tokenize(name, TokenizeRequest(text="x"))
                assert caught.value.kind == "model_not_found"
            assert (await registry.tokenize("a:latest", TokenizeRequest(text="x"))).ids

    run(scenario())


def test_a_worker_refuses_what_it_cannot_decode_and_lives_on(models: list[Path]) -> None:
    async def scenario() -> None:
        async with opened(models) as registry:
            text = await write(registry, "a")
            (before,) = await registry.ps()
            bad = request(tool_parser=5)
            with pytest.raises(ServeError, match="tool_parser") as caught:
                await collect(await registry.generate("a", bad))
            assert caught.value.kind == "invalid_request"
            assert await write(registry, "a") == text
            assert [model.pid for model in await registry.ps()] == [before.pid]

    run(scenario())
