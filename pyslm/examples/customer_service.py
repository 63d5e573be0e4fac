"""Customer service by two agents: one for appointments, one for everything else, and people.

    python -m pyslm.examples.customer_service

An orchestrator sends each request to the agent that is specialized for it: a model chooses between
their names, in one constrained step, so that it cannot choose nobody. Each agent has few tools and
one purpose; what no agent should decide goes to a person.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from pyslm.agents import Agent, AgentOrchestrator, Config
from pyslm.examples.command import run_example

QUESTIONS = [
    "Schedule a callback for customer C-17, preferred time 2026-12-01 15:00.",
    "Create a support ticket with priority high, the issue is that my router does not start.",
    "Look up the customer info of customer C-17.",
    "Escalate this to a human, the reason is a wrong refund.",
]

CUSTOMERS = {
    "C-17": {"name": "Ann Moore", "plan": "fibre 500", "open_tickets": 1},
    "C-18": {"name": "Raj Patel", "plan": "mobile 20", "open_tickets": 0},
}


@dataclasses.dataclass(slots=True)
class Desk:
    """What the agents have done; a company's own systems stand here."""

    callbacks: dict[str, str] = dataclasses.field(default_factory=dict)
    tickets: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    for_people: list[str] = dataclasses.field(default_factory=list)


def build(model: Any, desk: Desk | None = None) -> AgentOrchestrator:
    """Both agents and the one who sends requests to them, on the same model."""
    desk = desk or Desk()
    scheduling = Agent(
        Config(
            name="scheduling-agent",
            specialized_for=["schedule callbacks and appointments"],
            context="You schedule callbacks.",
            temperature=0.0,
        ),
        model=model,
    )
    support = Agent(
        Config(
            name="support-agent",
            specialized_for=["technical support tickets", "customer info", "escalate to a human"],
            context="You help customers.",
            temperature=0.0,
        ),
        model=model,
    )

    @scheduling.tool
    def schedule_callback(customer_id: str, preferred_time: str) -> str:
        """Schedule a callback for the customer.

        Args:
            customer_id: the customer's number
            preferred_time: day and hour
        """
        if preferred_time in desk.callbacks.values():
            raise ValueError(f"{preferred_time} is taken")
        desk.callbacks[customer_id] = preferred_time
        return f"We call customer {customer_id} at {preferred_time}."

    @support.tool
    def lookup_customer_info(customer_id: str) -> dict[str, Any]:
        """Look up customer information from local database.

        Args:
            customer_id: the customer's number
        """
        if customer_id not in CUSTOMERS:
            raise LookupError(f"there is no customer {customer_id}")
        return CUSTOMERS[customer_id]

    @support.tool
    def create_support_ticket(issue: str, priority: Literal["low", "normal", "high"]) -> str:
        """Create a support ticket in local system.

        Args:
            issue: what is wrong
            priority: how urgent it is
        """
        desk.tickets.append((issue, priority))
        return f"Ticket T-{len(desk.tickets):03} created successfully"

    @support.tool
    def escalate_to_human(reason: str) -> str:
        """Escalate the request to a human colleague.

        Args:
            reason: why a person is needed
        """
        desk.for_people.append(reason)
        return f"A colleague will take over: {reason}"

    return AgentOrchestrator([scheduling, support], router=model)


if __name__ == "__main__":
    run_example(__doc__, build, QUESTIONS)
