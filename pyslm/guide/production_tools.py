"""Tools of the agents of `VLLMProductionService`."""

from __future__ import annotations

from typing import Any, Literal

from pyslm.agents import Agent
from pyslm.guide.records import LocalRecords
from pyslm.guide.system import system_state

__all__ = ["add_production_tools"]


def add_production_tools(agent: Agent, kind: str, records: LocalRecords) -> None:
    """Adds those that an agent of this kind has."""
    if kind == "customer_service":
        _add_customer_tools(agent, records)
    elif kind == "technical_support":
        _add_technical_tools(agent, records)


def _add_customer_tools(agent: Agent, records: LocalRecords) -> None:
    @agent.tool(writes=True)
    def escalate_to_human(issue: str, customer_id: str) -> str:
        """Escalate complex issues to human agents."""
        ticket = records.create(f"customer {customer_id}: {issue}", "escalated")
        return f"Escalated issue for customer {customer_id} as {ticket}: {issue}"

    @agent.tool
    def lookup_order_status(order_id: str) -> dict[str, Any]:
        """Look up order status from production database."""
        return records.get_order(order_id)


def _add_technical_tools(agent: Agent, records: LocalRecords) -> None:
    @agent.tool
    def run_system_diagnostics(system_id: str) -> dict[str, Any]:
        """Run comprehensive system diagnostics."""
        return {"system_id": system_id, **system_state()}

    @agent.tool(writes=True)
    def create_incident_report(
        description: str, severity: Literal["low", "medium", "high", "critical"]
    ) -> str:
        """Create incident report in production system."""
        incident = records.create(description, severity, kind="INC")
        return f"Created incident {incident} with severity {severity}"
