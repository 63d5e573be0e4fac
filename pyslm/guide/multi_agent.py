"""`MultiAgentProductionSystem`: a small model routes, two others answer."""

from __future__ import annotations

from pyslm.agents import Agent, AgentOrchestrator, Config, EndpointModel
from pyslm.guide.foundry_manager import FoundryLocalManager

__all__ = ["MultiAgentProductionSystem"]

# name: (alias, role)
_AGENTS = {
    "router": ("qwen2.5-0.5b", "Route user requests to appropriate specialized agents"),
    "customer_service": (
        "phi-4-mini",
        "Handle customer service inquiries and support requests",
    ),
    "technical": (
        "qwen2.5-coder-0.5b",
        "Provide technical assistance and troubleshooting",
    ),
}


class MultiAgentProductionSystem:
    """The router chooses between the two others in one constrained step; where it cannot, the words
    of the request decide, and when an agent fails, the other one takes over."""

    def __init__(self) -> None:
        self.agents = {name: _agent(name, alias, role) for name, (alias, role) in _AGENTS.items()}
        router = self.agents["router"].config
        assert router.endpoint is not None
        self.orchestrator = AgentOrchestrator(
            [agent for name, agent in self.agents.items() if name != "router"],
            router=EndpointModel(router.endpoint, router.model, router.api_key),
        )

    async def process_request(self, user_input: str) -> str:
        """The answer of the agent that the request is routed to.

        Raises:
            AgentError: neither of them can answer.
        """
        result = await self.orchestrator.process_request_async(user_input, "intent-based")
        return result.text


def _agent(name: str, alias: str, role: str) -> Agent:
    foundry = FoundryLocalManager(alias)
    return Agent(
        Config(
            name=name,
            model_provider="foundry-local",
            model_id=foundry.get_model_info().id,
            endpoint=foundry.endpoint,
            api_key=foundry.api_key,
            role=role,
        )
    )
