"""`OllamaProductionService`: an agent for each kind of request, with tools and counters."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from pyslm.agents import Agent, Config
from pyslm.errors import PyslmError
from pyslm.guide.interactions import APOLOGY, InteractionLog
from pyslm.guide.ollama_manager import API_KEY, ollama_url, pull_if_missing
from pyslm.guide.records import LocalRecords, default_records
from pyslm.guide.server_client import ServerClient
from pyslm.guide.system import system_state

__all__ = ["OllamaProductionService"]

_log = logging.getLogger(__name__)


class OllamaProductionService:
    """Agents by kind of request. An agent whose model cannot be brought is left out, and logged.

    Args:
        models_config: kind of request -> model. The kinds customer_service and technical_support
            have tools.
        base_url: of the server; None: `ollama_url`.
        records: what the tools look up and write; None: the user's own file.
    """

    def __init__(
        self,
        models_config: Mapping[str, str],
        base_url: str | None = None,
        records: LocalRecords | None = None,
    ) -> None:
        self.models_config = dict(models_config)
        self.base_url = (base_url or ollama_url()).rstrip("/")
        self.records = records or default_records()
        self.agents: dict[str, Agent] = {}
        self.metrics: dict[str, Any] = {
            "requests_processed": 0,
            "errors": 0,
            "model_usage": dict.fromkeys(self.models_config, 0),
        }
        self.interactions = InteractionLog()
        self._server = ServerClient(self.base_url, API_KEY)
        for kind, model in self.models_config.items():
            try:
                pull_if_missing(self._server, model)
            except PyslmError as error:
                _log.error("Failed to initialize %s agent: %s", kind, error)
                continue
            self.agents[kind] = self._agent(kind, model)

    def _agent(self, kind: str, model: str) -> Agent:
        config = Config(
            name=f"production-{kind}",
            model_provider="ollama",
            model_id=model,
            endpoint=f"{self.base_url}/v1",
            api_key=API_KEY,
            max_tokens=512,
            temperature=0.1,
            timeout=30.0,
        )
        agent = Agent(config)
        add_tools = {
            "customer_service": _add_customer_tools,
            "technical_support": _add_technical_tools,
        }.get(kind)
        if add_tools is not None:
            add_tools(agent, self.records)
        return agent

    async def process_request(
        self, request: str, agent_type: str = "customer_service"
    ) -> dict[str, Any]:
        """{response, status: "success", processing_time, agent_type}, or {response: an apology,
        status: "error", error, processing_time}; never raises. Times are seconds."""
        began = time.perf_counter()
        try:
            if agent_type not in self.agents:
                known = ", ".join(self.agents) or "none"
                raise ValueError(f"Agent type {agent_type} not available; there are: {known}")
            response = await self.agents[agent_type].chat_async(request)
        except Exception as error:
            seconds = time.perf_counter() - began
            self.metrics["errors"] += 1
            self.interactions.add(request, str(error), "error", seconds, agent_type)
            told = {"response": APOLOGY, "status": "error", "error": str(error)}
            return {**told, "processing_time": seconds}
        seconds = time.perf_counter() - began
        self.metrics["requests_processed"] += 1
        self.metrics["model_usage"][agent_type] += 1
        self.interactions.add(request, response, "success", seconds, agent_type)
        return {
            "response": response,
            "status": "success",
            "processing_time": seconds,
            "agent_type": agent_type,
        }

    def get_health_status(self) -> dict[str, Any]:
        """{service_status, ollama_endpoint, available_models, active_agents, metrics, timestamp},
        or {service_status: "error", error, timestamp}."""
        try:
            models = self._server.ask("/api/tags", timeout=5.0)["models"]
        except PyslmError as error:
            return {"service_status": "error", "error": str(error), "timestamp": time.time()}
        return {
            "service_status": "healthy",
            "ollama_endpoint": self.base_url,
            "available_models": [model["name"] for model in models],
            "active_agents": list(self.agents),
            "metrics": self.metrics,
            "timestamp": time.time(),
        }


def _add_customer_tools(agent: Agent, records: LocalRecords) -> None:
    @agent.tool
    def lookup_customer(customer_id: str) -> dict[str, Any]:
        """Look up customer information."""
        return records.get_customer(customer_id)

    @agent.tool(writes=True)
    def create_support_ticket(issue: str, priority: str = "medium") -> str:
        """Create a support ticket."""
        return f"Created ticket {records.create(issue, priority)} with priority {priority}"


def _add_technical_tools(agent: Agent, records: LocalRecords) -> None:
    @agent.tool
    def run_diagnostics(system_info: str) -> dict[str, Any]:
        """Run system diagnostics."""
        return {"system_info": system_info, **system_state()}

    @agent.tool
    def access_knowledge_base(query: str) -> list[dict[str, str]]:
        """Search technical knowledge base."""
        return records.search(query)
