"""What the examples shall do with their own questions, whichever model they run on."""

from __future__ import annotations

import dataclasses
import importlib
import json
from types import ModuleType
from typing import Any

import pytest

from pyslm.agents import AgentResult

Calls = list[tuple[str, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Expected:
    """Of one question of an example."""

    example: str
    number: int
    calls: Calls
    told: tuple[str, ...]
    """What the answer holds, of what the tools gave."""
    outcome: str = "ok"

    @property
    def module(self) -> ModuleType:
        return importlib.import_module(f"pyslm.examples.{self.example}")

    @property
    def question(self) -> str:
        question: str = self.module.QUESTIONS[self.number]
        return question

    def check(self, result: AgentResult) -> None:
        made = [(each.call.name, json.loads(each.call.arguments)) for each in result.tool_results]
        assert made == self.calls
        assert [each.outcome for each in result.tool_results] == [self.outcome] * len(self.calls)
        for text in self.told:
            assert text in result.text, result.text


QUESTIONS = [
    Expected("first_agent", 0, [("get_current_time", {})], ()),
    Expected("retail", 0, [("check_inventory", {"product_sku": "HP-200"})], ("0",)),
    Expected(
        "retail", 1, [("find_alternatives", {"product_category": "headphones"})],
        ("HP-310", "HP-420"),
    ),
    Expected(
        "retail", 2, [("create_price_quote", {"items": ["HP-310", "CB-010"]})], ("$102.40",)
    ),
    Expected(
        "healthcare", 0,
        [("check_appointment_availability",
          {"provider_id": "P7", "date_range": "2026-12-01 to 2026-12-02"})],
        ("2026-12-01 09:30", "2026-12-02 14:00"),
    ),
    Expected(
        "healthcare", 1,
        [("access_patient_portal", {"patient_id": "1042", "auth_token": "alder-fox-7"})],
        ("2026-12-08", "penicillin"),
    ),
    Expected(
        "healthcare", 2,
        [("access_patient_portal", {"patient_id": "1043", "auth_token": "birch-owl-2"})],
        (), outcome="denied",
    ),
    Expected(
        "customer_service", 0,
        [("schedule_callback", {"customer_id": "C-17", "preferred_time": "2026-12-01 15:00"})],
        ("C-17", "2026-12-01 15:00"),
    ),
    Expected(
        "customer_service", 1,
        [("create_support_ticket", {"issue": "my router does not start", "priority": "high"})],
        ("T-001",),
    ),
    Expected(
        "customer_service", 2, [("lookup_customer_info", {"customer_id": "C-17"})], ("Ann Moore",)
    ),
    Expected(
        "customer_service", 3, [("escalate_to_human", {"reason": "a wrong refund"})],
        ("colleague",),
    ),
    Expected(
        "invoices", 0, [("list_invoices", {"status": "open"})], ("N-203", "A-118", "$64.20")
    ),
    Expected("invoices", 1, [("total_owed", {"supplier": "Nordwind"})], ("$780.00",)),
    Expected(
        "invoices", 2,
        [("add_invoice", {"number": "N-204", "supplier": "Nordwind", "amount": 340.5,
                          "due_date": "2026-12-15"})],
        ("N-204",),
    ),
    Expected(
        "invoices", 3,
        [("add_invoice", {"number": "Z-001", "supplier": "Zenith", "amount": 98000,
                          "due_date": "2026-12-01"})],
        (), outcome="denied",
    ),
    Expected("scheduling", 0, [("find_free_slots", {"day": "2026-12-01"})], ("11:00", "14:00")),
    Expected(
        "scheduling", 1,
        [("book_meeting", {"title": "Budget review", "day": "2026-12-01", "hour": 14})],
        ("Budget review", "14:00"),
    ),
]  # fmt: skip


def named(expected: Expected) -> str:
    return f"{expected.example}-{expected.number}"


@pytest.fixture(params=QUESTIONS, ids=named)
def expected(request: pytest.FixtureRequest) -> Expected:
    found: Expected = request.param
    return found
