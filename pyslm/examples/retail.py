"""An assistant in an electronics store: what is in stock, what else there is, what it costs.

    python -m pyslm.examples.retail

Its tools ask a database. What they cannot do they say by raising an error, whose text the model is
told: it may then ask for something else, or tell the customer.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from pyslm.agents import Agent, Config
from pyslm.examples.command import run_example

QUESTIONS = [
    "Check the inventory for HP-200, please.",
    "Find alternatives in the category headphones.",
    "Create a price quote for the items HP-310 and CB-010.",
]

STOCK = [
    ("HP-200", "over-ear headphones", "headphones", 129.00, 0),
    ("HP-310", "wireless headphones", "headphones", 89.50, 14),
    ("HP-420", "studio headphones", "headphones", 219.00, 3),
    ("CB-010", "USB-C cable, 2 m", "cables", 12.90, 250),
    ("KB-077", "mechanical keyboard", "keyboards", 99.00, 6),
]


def sample_shop() -> sqlite3.Connection:
    """A store with five products, in memory."""
    shop = sqlite3.connect(":memory:", check_same_thread=False)  # tools run on threads
    shop.row_factory = sqlite3.Row
    shop.execute("CREATE TABLE product (sku PRIMARY KEY, name, category, price REAL, stock INT)")
    shop.executemany("INSERT INTO product VALUES (?, ?, ?, ?, ?)", STOCK)
    return shop


def build(model: Any, shop: sqlite3.Connection | None = None) -> Agent:
    """The assistant of a shop."""
    shop = shop or sample_shop()
    config = Config(
        name="retail-assistant",
        context="You are a helpful retail assistant in an electronics store.",
        temperature=0.0,
    )
    agent = Agent(config, model=model)

    def product(sku: str) -> sqlite3.Row:
        found = shop.execute("SELECT * FROM product WHERE sku = ?", (sku.upper(),)).fetchone()
        if found is None:
            raise LookupError(f"there is no product {sku}")
        row: sqlite3.Row = found
        return row

    @agent.tool
    def check_inventory(product_sku: str) -> dict[str, Any]:
        """Check local inventory for a product.

        Args:
            product_sku: the code on its label
        """
        found = product(product_sku)
        return {key: found[key] for key in ("sku", "name", "stock", "price")}

    @agent.tool
    def find_alternatives(product_category: str) -> list[str]:
        """Find alternative products in the same category.

        Args:
            product_category: what kind of product
        """
        rows = shop.execute(
            "SELECT * FROM product WHERE category = ? AND stock > 0 ORDER BY price",
            (product_category.lower(),),
        )
        return [f"{row['sku']} {row['name']}: ${row['price']:.2f}" for row in rows]

    @agent.tool
    def create_price_quote(items: list[str]) -> dict[str, Any]:
        """Create a price quote for multiple items.

        Args:
            items: the code of each piece
        """
        lines = [product(sku) for sku in items]
        total = sum(line["price"] for line in lines)
        return {"items": [line["name"] for line in lines], "total": f"${total:.2f}"}

    return agent


if __name__ == "__main__":
    run_example(__doc__, build, QUESTIONS)
