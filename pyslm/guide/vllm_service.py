"""`VLLMProductionService`: servers of several models behind one HTTP service with agents."""

from __future__ import annotations

import asyncio
import collections
import logging
import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, HTTPException

from pyslm.agents import Agent, Config
from pyslm.errors import ServiceError
from pyslm.guide.production_tools import add_production_tools
from pyslm.guide.records import LocalRecords, default_records
from pyslm.guide.request_queue import QueuedRequest, RequestQueue
from pyslm.guide.vllm_config import AgentRequest, VLLMServerConfig
from pyslm.guide.vllm_manager import API_KEY, VLLMManager

__all__ = ["VLLMProductionService"]

_log = logging.getLogger(__name__)

MAX_QUEUED = 1000
MAX_WORKERS = 4
_AGENTS = {"technical": "technical_support", "general": "general_purpose"}
_MINUTE = 60.0
_MAX_COUNTED = 100_000


class VLLMProductionService:
    """POST /chat waits for the answer of an agent; GET /health and GET /metrics tell how it is.

    Args:
        server_configs: agent -> its server. Agents named customer_service and technical_support
            have tools; general_purpose answers what is of no other kind.
        records: what the tools look up and write; None: the user's own file.
    """

    def __init__(
        self,
        server_configs: Mapping[str, VLLMServerConfig],
        records: LocalRecords | None = None,
    ) -> None:
        self.server_configs = dict(server_configs)
        self.records = records or default_records()
        self.managers: dict[str, VLLMManager] = {}
        self.agents: dict[str, Agent] = {}
        self.metrics: dict[str, Any] = {
            "requests_processed": 0,
            "requests_failed": 0,
            "total_processing_time": 0.0,
            "agent_usage": dict.fromkeys(self.server_configs, 0),
            "throughput_per_minute": 0,
        }
        self.request_queue = RequestQueue(MAX_QUEUED)
        self.processing_workers: list[asyncio.Task[None]] = []
        self._done_at: collections.deque[float] = collections.deque(maxlen=_MAX_COUNTED)
        self.app = FastAPI(title="VLLM Agent Service")
        self._add_routes()

    # --- its servers --------------------------------------------------------------------------

    async def initialize_production_environment(self) -> int:
        """Starts the servers beside each other, and workers; gives the number of servers that run.

        Raises:
            ServiceError: none does.
        """
        names = list(self.server_configs)
        started = await asyncio.gather(*map(self._start, names))
        for name, is_up in zip(names, started, strict=True):
            if not is_up:
                _log.error("Failed to initialize %s", name)
        if not any(started):
            raise ServiceError("no server could be started; the log says why")
        self.processing_workers = [
            asyncio.create_task(self._work(number))
            for number in range(min(MAX_WORKERS, sum(started)))
        ]
        return sum(started)

    async def _start(self, name: str) -> bool:
        config = self.server_configs[name]
        manager = VLLMManager(
            config.model_name,
            port=config.port,
            gpu_memory_utilization=config.gpu_memory_utilization,
            max_model_len=config.max_model_len,
            tensor_parallel_size=config.tensor_parallel_size,
            quantization=config.quantization,
        )
        if not await asyncio.to_thread(manager.start_server):
            return False
        self.managers[name] = manager
        agent = self.agents[name] = Agent(
            Config(
                name=f"vllm-production-{name}",
                model_provider="vllm",
                model_id=manager.get_served_model_name(),
                endpoint=f"{manager.base_url}/v1",
                api_key=API_KEY,
                timeout=30.0,
            )
        )
        add_production_tools(agent, name, self.records)
        return True

    async def shutdown(self) -> None:
        """Ends workers and servers; who still waits is told so."""
        for worker in self.processing_workers:
            worker.cancel()
        await asyncio.gather(*self.processing_workers, return_exceptions=True)
        self.request_queue.fail(ServiceError("the service is shutting down"))
        await asyncio.gather(*(asyncio.to_thread(m.shutdown) for m in self.managers.values()))

    # --- requests -----------------------------------------------------------------------------

    def _add_routes(self) -> None:
        @self.app.post("/chat")
        async def chat(request: AgentRequest) -> dict[str, Any]:
            """The answer of an agent."""
            return await self.process_request(request)

        @self.app.get("/health")
        async def health() -> dict[str, Any]:
            """How the servers are."""
            return await self.get_health_status()

        @self.app.get("/metrics")
        async def metrics() -> dict[str, Any]:
            """What was done."""
            return self.get_production_metrics()

    async def process_request(self, request: AgentRequest) -> dict[str, Any]:
        """{response, status: "success", agent_used, processing_time (seconds), worker_id}.

        Raises:
            HTTPException: 408: not in time; 429: too many wait; 500: the agent failed; 503: there
                is no worker, or no such agent.
        """
        name = _AGENTS.get(request.agent_type, request.agent_type)
        if name not in self.agents:
            name = "general_purpose"
        if name not in self.agents:
            raise HTTPException(503, f"Agent {name} not available")
        if all(worker.done() for worker in self.processing_workers):
            raise HTTPException(503, "No worker runs")
        try:
            answer = self.request_queue.put(request)
        except asyncio.QueueFull:
            raise HTTPException(429, "Too many requests wait", {"Retry-After": "1"}) from None
        try:
            return await asyncio.wait_for(answer, request.timeout)
        except TimeoutError:
            raise HTTPException(408, "Request timeout") from None
        except Exception as error:
            raise HTTPException(500, str(error)) from error

    async def _work(self, worker_id: int) -> None:
        while True:
            item = await self.request_queue.get()
            answering = asyncio.create_task(self._answered(item, worker_id))
            # Whichever is first: a caller who has gone has no use for the answer.
            both: set[asyncio.Future[Any]] = {answering, item.answer}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            answering.cancel()
            await asyncio.wait({answering})

    async def _answered(self, item: QueuedRequest, worker_id: int) -> None:
        kind = item.request.agent_type
        name = _AGENTS.get(kind, kind)
        name = name if name in self.agents else "general_purpose"
        began = time.perf_counter()
        try:
            response = await self.agents[name].chat_async(item.request.message)
        except asyncio.CancelledError:
            self.metrics["requests_failed"] += 1
            raise
        except Exception as error:
            self.metrics["requests_failed"] += 1
            if not item.answer.done():
                item.answer.set_exception(error)
            return
        seconds = time.perf_counter() - began
        self._count(name, seconds)
        if not item.answer.done():
            item.answer.set_result(
                {
                    "response": response,
                    "status": "success",
                    "agent_used": name,
                    "processing_time": seconds,
                    "worker_id": worker_id,
                }
            )

    def _count(self, name: str, seconds: float) -> None:
        self.metrics["requests_processed"] += 1
        self.metrics["total_processing_time"] += seconds
        self.metrics["agent_usage"][name] += 1
        self._done_at.append(time.monotonic())

    # --- how it is ----------------------------------------------------------------------------

    async def get_health_status(self) -> dict[str, Any]:
        """{overall_status: healthy, degraded or unhealthy, servers: {name: {status, endpoint,
        model}}, queue_size, active_workers, timestamp}."""
        names = list(self.managers)
        checks = (asyncio.to_thread(self.managers[name].health_check) for name in names)
        healthy = dict(zip(names, await asyncio.gather(*checks), strict=True))
        missing = len(self.server_configs) - sum(healthy.values())
        status = "healthy" if not missing else "degraded" if any(healthy.values()) else "unhealthy"
        return {
            "overall_status": status,
            "servers": {
                name: {
                    "status": "healthy" if healthy[name] else "unhealthy",
                    "endpoint": manager.base_url,
                    "model": manager.model_name,
                }
                for name, manager in self.managers.items()
            },
            "queue_size": self.request_queue.qsize(),
            "active_workers": sum(not worker.done() for worker in self.processing_workers),
            "timestamp": time.time(),
        }

    def get_production_metrics(self) -> dict[str, Any]:
        """{total_requests, successful_requests, failed_requests, success_rate_percent,
        average_processing_time_seconds, agent_usage_distribution, queue_size,
        throughput_per_minute}."""
        oldest = time.monotonic() - _MINUTE
        while self._done_at and self._done_at[0] < oldest:
            self._done_at.popleft()
        self.metrics["throughput_per_minute"] = len(self._done_at)
        done, failed = self.metrics["requests_processed"], self.metrics["requests_failed"]
        total = done + failed
        return {
            "total_requests": total,
            "successful_requests": done,
            "failed_requests": failed,
            "success_rate_percent": 100 * done / total if total else 0,
            "average_processing_time_seconds": self.metrics["total_processing_time"] / done
            if done
            else 0,
            "agent_usage_distribution": self.metrics["agent_usage"],
            "queue_size": self.request_queue.qsize(),
            "throughput_per_minute": self.metrics["throughput_per_minute"],
        }

    async def start_production_server(self, host: str = "127.0.0.1", port: int = 8080) -> None:
        """Serves until it is stopped. On this machine alone, unless `host` says otherwise: it asks
        for no key."""
        import uvicorn

        config = uvicorn.Config(self.app, host=host, port=port, log_level="info")
        await uvicorn.Server(config).serve()
