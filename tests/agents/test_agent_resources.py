"""Limits of memory, threads and agents at once: they have an effect."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from reference.scripted_chat import ScriptedModel

from pyslm import LLM
from pyslm.agents import Agent, Config, ResourceConfig
from pyslm.agents.models.pool import ModelPool
from pyslm.agents.monitoring import resources as limits
from pyslm.agents.monitoring.resources import Gate, Resources
from pyslm.errors import AgentConfigError, InsufficientMemoryError


def test_the_guides_resources() -> None:
    config = ResourceConfig(
        max_memory_usage="4GB",
        max_concurrent_agents=3,
        model_cache_size="2GB",
        auto_unload_idle_models=True,
        power_management=True,
    )
    assert (config.max_memory_bytes, config.cache_bytes) == (4 * 10**9, 2 * 10**9)
    agent = Agent(Config(name="a"), resource_limits=config)
    assert agent._resources is Agent(Config(name="b"), resource_limits=config)._resources
    with pytest.raises(AgentConfigError, match="did you mean max_memory_usage"):
        ResourceConfig(max_memory="4GB")  # type: ignore[call-arg]
    for wrong in ({"max_concurrent_agents": 0}, {"power_management": "yes"}, {"idle_seconds": 0}):
        with pytest.raises(AgentConfigError):
            ResourceConfig(**wrong)  # type: ignore[arg-type]


def test_no_more_agents_run_than_allowed() -> None:
    limit = ResourceConfig(max_concurrent_agents=2, idle_seconds=987.0)
    running, most = [0], [0]

    async def work() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0.02)
        running[0] -= 1

    def agent(name: str) -> Agent:
        model = ScriptedModel(by=lambda r: "ok" if r.messages[1:] else [("work", {})])
        return Agent(Config(name=name), model=model, tools=[work], resource_limits=limit)

    agents = [agent(str(i)) for i in range(4)]

    async def main() -> None:
        await asyncio.gather(*(each.chat_async("?") for each in agents * 3))

    asyncio.run(main())
    assert most[0] == 2
    assert agents[0].num_waiting == 0


def test_the_gate_holds_over_loops_and_gives_up_places() -> None:
    gate = Gate(1)
    order: list[int] = []

    async def pass_through(number: int) -> None:
        async with gate.place():
            order.append(number)
            await asyncio.sleep(0.005)
            order.append(number)

    async def impatient() -> None:
        async with gate.place():
            waiting = asyncio.ensure_future(pass_through(99))
            await asyncio.sleep(0.01)
            waiting.cancel()
        await asyncio.gather(*map(pass_through, range(3)))

    threads = [threading.Thread(target=lambda: asyncio.run(impatient())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert order[::2] == order[1::2]  # nobody comes between
    assert len(order) == 24
    assert gate.num_waiting == 0
    asyncio.run(asyncio.wait_for(pass_through(1), 5))


def test_memory_is_limited(tmp_path: Path) -> None:
    taken = [3 * 10**9]
    file = tmp_path / "a.gguf"
    file.write_bytes(bytes(1000))

    class Fake:
        def close(self) -> None:
            taken[0] = 10**9

    config = ResourceConfig(max_memory_usage="2GB")
    resources = Resources(config, lambda: taken[0], load=lambda path, **_: Fake())

    async def main() -> None:
        async with resources.place():
            pass

    with pytest.raises(InsufficientMemoryError, match=r"3\.00 GB.*2\.00 GB"):
        asyncio.run(main())
    with pytest.raises(InsufficientMemoryError, match=r"a\.gguf"), resources.pool.use(file):
        pass
    taken[0] = 10**9
    with resources.pool.use(file):
        pass
    assert resources.memory_percent == 50.0
    taken[0] = 3 * 10**9
    asyncio.run(main())  # an idle model went, and now it fits
    assert resources.pool.loaded() == []


def test_idle_models_go_by_themselves(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(bytes(10))
    closed = threading.Event()

    class Fake:
        def close(self) -> None:
            closed.set()

    pool = ModelPool(None, lambda path, **_: Fake(), idle_seconds=0.05)
    with pool.use(file):
        assert not closed.wait(0.2)
    assert closed.wait(10)
    assert pool.loaded() == []


@pytest.mark.parametrize(("battery", "is_lower"), [(True, True), (None, True), (False, False)])
def test_power_management_lowers_the_threads(
    monkeypatch: pytest.MonkeyPatch, battery: bool | None, is_lower: bool
) -> None:
    monkeypatch.setattr(limits, "on_battery", lambda: battery)
    options = Resources(ResourceConfig(power_management=True)).pool._options
    cores = psutil.cpu_count(logical=False) or 2
    assert options == ({"threads": max(1, cores // 2)} if is_lower else {})
    assert Resources(ResourceConfig()).pool._options == {}


def test_a_given_model_is_not_unloaded(weather_llm: LLM) -> None:
    agent = Agent(model=weather_llm, resource_limits=ResourceConfig(idle_seconds=55.0))
    agent.chat("?")
    assert agent.unload() == []
    assert agent.chat("?")
    check: Callable[[], str | None] = agent.scale_down
    assert check() is None
