"""Agents to read first, and to run: each is one file with its tools and a little data.

    python -m pyslm.examples.first_agent
    python -m pyslm.examples.retail "Is HP-200 in stock?" --model qwen2.5-0.5b

Every file begins with what it shows; `build` is the part to copy. `pyslm agent examples` lists
them. The data is made when an example starts and is gone when it ends.
"""

from __future__ import annotations

__all__ = ["EXAMPLES"]

EXAMPLES = (
    "first_agent",
    "retail",
    "healthcare",
    "customer_service",
    "invoices",
    "scheduling",
)
"""Modules of this package, in the order to read them in."""
