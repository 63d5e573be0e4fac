"""`VLLMHighThroughputManager`: three models, and many requests at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyslm.agents import Agent, Config
from pyslm.guide.vllm_manager import API_KEY, VLLMManager

if TYPE_CHECKING:
    import openai

__all__ = ["MODEL_CONFIGS", "VLLMHighThroughputManager"]

_log = logging.getLogger(__name__)

MODEL_CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "lightweight": {
        "model": "Qwen/Qwen2.5-0.5B-Instruct",
        "port": 8000,
        "max_model_len": 2048,
        "gpu_memory_utilization": 0.3,
    },
    "balanced": {
        "model": "microsoft/Phi-3.5-mini-instruct",
        "port": 8001,
        "max_model_len": 4096,
        "gpu_memory_utilization": 0.5,
    },
    "capable": {
        "model": "meta-llama/Llama-3.2-3B-Instruct",
        "port": 8002,
        "max_model_len": 8192,
        "gpu_memory_utilization": 0.7,
    },
}
_TIERS = {"simple": "lightweight", "moderate": "balanced", "complex": "capable"}
_MAX_LOAD = 10
_NUM_CLIENTS = 5


class VLLMHighThroughputManager:
    """Each request goes to the model of its complexity, or to the least loaded one.

    Args:
        model_configs: name -> {model, port, max_model_len, gpu_memory_utilization}; None:
            `MODEL_CONFIGS`.
    """

    def __init__(self, model_configs: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.model_configs = dict(MODEL_CONFIGS if model_configs is None else model_configs)
        self.managers: dict[str, VLLMManager] = {}
        self.agents: dict[str, Agent] = {}
        self.client_pool: dict[str, list[openai.OpenAI]] = {}
        self.load: dict[str, int] = {}
        """Requests that run now."""

    async def initialize_all_models(self) -> int:
        """Starts all servers beside each other; gives the number of those that run."""
        configs = self.model_configs
        started = await asyncio.gather(
            *(self._start(name, config) for name, config in configs.items())
        )
        for name, is_up in zip(configs, started, strict=True):
            if not is_up:
                _log.error("Failed to initialize %s", name)
        return sum(started)

    async def _start(self, name: str, config: Mapping[str, Any]) -> bool:
        import openai

        settings = dict(config)
        manager = VLLMManager(settings.pop("model"), **settings)
        if not await asyncio.to_thread(manager.start_server):
            return False
        self.managers[name] = manager
        self.load[name] = 0
        self.agents[name] = Agent(
            Config(
                name=f"vllm-{name}-agent",
                model_provider="vllm",
                model_id=manager.get_served_model_name(),
                endpoint=f"{manager.base_url}/v1",
                api_key=API_KEY,
            )
        )
        self.client_pool[name] = [
            openai.OpenAI(base_url=f"{manager.base_url}/v1", api_key=API_KEY)
            for _ in range(_NUM_CLIENTS)
        ]
        return True

    def get_optimal_agent(
        self, request_complexity: str, current_load: Mapping[str, int] | None = None
    ) -> str:
        """The model of a complexity (simple, moderate, complex), unless 10 requests run on it; then
        the least loaded one; "balanced" where all are full.

        Args:
            current_load: requests that run, by model; None: `load`.
        """
        load = self.load if current_load is None else current_load
        preferred = _TIERS.get(request_complexity, "balanced")
        if preferred in self.agents and load.get(preferred, 0) < _MAX_LOAD:
            return preferred
        free = {name: n for name, n in load.items() if name in self.agents and n < _MAX_LOAD}
        return min(free, key=free.__getitem__) if free else "balanced"

    async def process_batch_requests(
        self, requests: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Answers {id, message, complexity} beside each other; in their order {request_id, status:
        "success", response, agent_used, processing_time (seconds)}, or {request_id, status:
        "error", error, ...}."""
        return await asyncio.gather(
            *(self._answered(index, request) for index, request in enumerate(requests))
        )

    async def _answered(self, index: int, request: Mapping[str, Any]) -> dict[str, Any]:
        name = self.get_optimal_agent(request.get("complexity", "moderate"))
        told = {"request_id": request.get("id", index), "agent_used": name}
        began = time.perf_counter()
        self.load[name] = self.load.get(name, 0) + 1
        try:
            response = await self.agents[name].chat_async(request["message"])
        except Exception as error:
            said = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            seconds = time.perf_counter() - began
            return {**told, "status": "error", "error": said, "processing_time": seconds}
        finally:
            self.load[name] -= 1
        seconds = time.perf_counter() - began
        return {**told, "status": "success", "response": response, "processing_time": seconds}

    def shutdown(self) -> None:
        """Ends all servers."""
        for clients in self.client_pool.values():
            for client in clients:
                client.close()
        for manager in self.managers.values():
            manager.shutdown()
        for found in (self.managers, self.agents, self.client_pool, self.load):
            found.clear()
