"""`ProductionAgentService`: one agent for customers, with tools that work on this machine."""

from __future__ import annotations

import functools
import time
from typing import Any

from pyslm.agents import Agent, Config
from pyslm.guide.foundry_manager import FoundryLocalManager
from pyslm.guide.interactions import APOLOGY, InteractionLog
from pyslm.guide.records import LocalRecords, default_records

__all__ = ["ProductionAgentService"]


class ProductionAgentService:
    """Answers customers; what goes wrong is logged, and the customer gets an apology.

    Args:
        model_alias: of a model of the service in the background, which is started if need be.
        records: customers and tickets; None: the user's own file.
    """

    def __init__(
        self, model_alias: str = "phi-4-mini", records: LocalRecords | None = None
    ) -> None:
        self.foundry = FoundryLocalManager(model_alias)
        if records is not None:
            self.local_db = records
        self.agent = self._create_agent()

    @functools.cached_property
    def local_db(self) -> LocalRecords:
        """Customers."""
        return default_records()

    @property
    def ticketing_system(self) -> LocalRecords:
        """Tickets: in the same file."""
        return self.local_db

    @functools.cached_property
    def interactions(self) -> InteractionLog:
        """What was asked, and how it ended."""
        return InteractionLog()

    def _create_agent(self) -> Agent:
        config = Config(
            name="production-customer-service",
            model_provider="foundry-local",
            model_id=self.foundry.get_model_info().id,
            endpoint=self.foundry.endpoint,
            api_key=self.foundry.api_key,
            max_tokens=512,
            temperature=0.1,
            timeout=30.0,
        )
        agent = Agent(config=config)

        @agent.tool
        def lookup_customer(customer_id: str) -> dict[str, Any]:
            """Look up customer information from local database."""
            return self.local_db.get_customer(customer_id)

        @agent.tool(writes=True)
        def create_ticket(issue: str, priority: str = "medium") -> str:
            """Create a support ticket."""
            return f"Created ticket {self.ticketing_system.create(issue, priority)}"

        return agent

    async def process_request(self, user_input: str) -> str:
        """The answer, or an apology; never raises."""
        began = time.perf_counter()
        try:
            response = await self.agent.chat_async(user_input)
        except Exception as error:
            self.log_interaction(user_input, str(error), "error", time.perf_counter() - began)
            return APOLOGY
        self.log_interaction(user_input, response, "success", time.perf_counter() - began)
        return response

    def log_interaction(
        self, user_input: str, response: str, status: str, processing_time: float = 0.0
    ) -> None:
        """Keeps how it ended."""
        self.interactions.add(
            user_input, response, status, processing_time, "production-customer-service"
        )

    def health_check(self) -> dict[str, Any]:
        """{foundry_status, model_loaded, endpoint, memory_usage (bytes)}."""
        return {
            "foundry_status": self.foundry.health_check(),
            "model_loaded": self.foundry.is_model_loaded(),
            "endpoint": self.foundry.endpoint,
            "memory_usage": self.foundry.get_memory_usage(),
        }
