"""What the guide leaves to its reader: databases and calendars of a shop and of a clinic."""

from __future__ import annotations

import sqlite3
from typing import Any

from pyslm.guide import LocalRecords

__all__ = ["World"]

TOKEN = "let-me-in"


class World:
    """One object for all of them, on SQLite; `names` has those that the blocks use."""

    def __init__(self) -> None:
        self.records = LocalRecords()
        self.records.put_customer("12345", tier="premium")
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        self.db.executescript(
            "CREATE TABLE callbacks (customer TEXT, time TEXT);"
            "CREATE TABLE products (sku TEXT, category TEXT, stock INTEGER, price REAL);"
            "INSERT INTO products VALUES ('TV-1', 'tv', 3, 499.0), ('TV-2', 'tv', 0, 299.5);"
            "CREATE TABLE slots (provider TEXT, time TEXT);"
            "INSERT INTO slots VALUES ('dr-1', '2026-12-01T10:00'), ('dr-2', '2026-12-02T10:00');"
        )

    @property
    def names(self) -> dict[str, Any]:
        """For the namespace of a block."""
        of_the_guide = (
            "local_db", "local_system", "local_calendar", "local_inventory", "local_catalog",
            "pricing_engine", "local_scheduling", "security", "patient_portal",
        )  # fmt: skip
        return dict.fromkeys(of_the_guide, self)

    def get_customer(self, customer_id: str) -> dict[str, Any]:
        return self.records.get_customer(customer_id)

    def create_ticket(self, issue: str, priority: str) -> str:
        return self.records.create(issue, priority)

    def schedule(self, customer_id: str, preferred_time: str) -> str:
        self.db.execute("INSERT INTO callbacks VALUES (?, ?)", (customer_id, preferred_time))
        return f"Callback for {customer_id} at {preferred_time}"

    def lookup(self, sku: str) -> dict[str, Any]:
        row = self.db.execute("SELECT stock, price FROM products WHERE sku = ?", (sku,)).fetchone()
        return {"sku": sku, "stock": row[0], "price": row[1]} if row else {"error": "not found"}

    def find_similar(self, category: str) -> list[str]:
        rows = self.db.execute("SELECT sku FROM products WHERE category = ?", (category,))
        return [sku for (sku,) in rows]

    def calculate_quote(self, items: list[str]) -> dict[str, Any]:
        return {"items": items, "total": sum(self.lookup(item)["price"] for item in items)}

    def get_availability(self, provider_id: str, date_range: str) -> list[str]:
        first, _, last = date_range.partition("/")
        rows = self.db.execute(
            "SELECT time FROM slots WHERE provider = ? AND date(time) BETWEEN ? AND ?",
            (provider_id, first, last),
        )
        return [time for (time,) in rows]

    def validate_token(self, token: str) -> bool:
        return token == TOKEN

    def get_summary(self, patient_id: str) -> dict[str, Any]:
        return {"patient_id": patient_id, "next_visit": "2026-12-01"}
