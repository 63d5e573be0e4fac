"""An agent that keeps a company's invoices: it adds them, looks them up and adds them up.

    python -m pyslm.examples.invoices

A tool marked `writes` changes something, and the policy asks for approval of each such call. Here a
function decides, by the amount; in a program it may ask a person. The last invoice is refused.
"""

from __future__ import annotations

import datetime
import sqlite3
from typing import Any, Literal

from pyslm.agents import Agent, ApprovalRequest, Config, Policy
from pyslm.examples.command import run_example

QUESTIONS = [
    "List the invoices with the status open.",
    "What is the total owed to the supplier Nordwind?",
    "Add an invoice: number N-204, supplier Nordwind, amount 340.5, due date 2026-12-15.",
    "Add an invoice: number Z-001, supplier Zenith, amount 98000, due date 2026-12-01.",
]

INVOICES = [
    ("N-201", "Nordwind", 1200.00, "2026-10-31", "paid"),
    ("N-203", "Nordwind", 780.00, "2026-11-30", "open"),
    ("A-118", "Acme", 64.20, "2026-12-05", "open"),
]
LIMIT = 1000.0
"""Dollars; above that a person has to look."""


def sample_ledger() -> sqlite3.Connection:
    """Three invoices, in memory."""
    ledger = sqlite3.connect(":memory:", check_same_thread=False)  # tools run on threads
    ledger.execute("CREATE TABLE invoice (number PRIMARY KEY, supplier, amount REAL, due, status)")
    ledger.executemany("INSERT INTO invoice VALUES (?, ?, ?, ?, ?)", INVOICES)
    return ledger


def approve(request: ApprovalRequest) -> bool:
    """Small amounts need nobody's word."""
    return bool(request.arguments["amount"] <= LIMIT)


def build(model: Any, ledger: sqlite3.Connection | None = None) -> Agent:
    """The agent of a ledger."""
    ledger = ledger or sample_ledger()
    policy = Policy(default="allow", approve_writes=True)
    config = Config(name="invoices", context="You keep the invoices.", temperature=0.0)
    agent = Agent(config, model=model, policy=policy, approve=approve)

    @agent.tool
    def list_invoices(status: Literal["open", "paid"]) -> list[str]:
        """List the invoices with a status.

        Args:
            status: whether they are paid
        """
        rows = ledger.execute(
            "SELECT number, supplier, amount, due FROM invoice WHERE status = ? ORDER BY due",
            (status,),
        )
        return [f"{number} {who}: ${amount:.2f}, due {due}" for number, who, amount, due in rows]

    @agent.tool
    def total_owed(supplier: str) -> str:
        """Get the total of all open invoices of a supplier.

        Args:
            supplier: the company that sent them
        """
        (total,) = ledger.execute(
            "SELECT total(amount) FROM invoice WHERE supplier = ? AND status = 'open'", (supplier,)
        ).fetchone()
        return f"${total:.2f}"

    @agent.tool(writes=True)
    def add_invoice(number: str, supplier: str, amount: float, due_date: datetime.date) -> str:
        """Add an invoice to the ledger.

        Args:
            number: the invoice's own number
            supplier: the company that sent it
            amount: in dollars
            due_date: when it is to be paid
        """
        row = (number, supplier, amount, due_date.isoformat(), "open")
        try:
            ledger.execute("INSERT INTO invoice VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise ValueError(f"there is an invoice {number} already") from None
        return f"added invoice {number} of {supplier}: ${amount:.2f}, due {due_date}"

    return agent


if __name__ == "__main__":
    run_example(__doc__, build, QUESTIONS)
