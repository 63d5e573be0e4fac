"""Lists that tools report."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from pyslm.finetune.data.values import Values

__all__ = ["listed_fact", "listing"]

_KINDS = (("code", "thing"), ("title",), ("moment",), ("person",), ("thing",))


def listing(values: Values, fact: Callable[[str], Any]) -> list[str]:
    """Texts of one kind, perhaps none; `fact` makes an amount of money."""
    rng = values.rng
    if rng.random() < 0.4:
        return _alike(values, rng.randint(2, 7))
    kinds, items = rng.choice(_KINDS), []
    for _ in range(rng.choice((0, 1, 2, 2, 3, 3, 4, 5))):
        text = " ".join(str(values.draw(kind).data) for kind in kinds)
        items.append(f"{text}: {fact('money')}" if kinds[0] == "code" else text)
    return items


def listed_fact(values: Values) -> tuple[str, list[Any]]:
    """One of the facts of a result: its name, and what is listed."""
    rng = values.rng
    if rng.random() < 0.5:
        return values.word(), [rng.randint(0, 1000) for _ in range(rng.randint(1, 5))]
    kind = rng.choice(("word", "code"))
    return "items", [values.draw(kind).data for _ in range(rng.randint(1, 4))]


def _alike(values: Values, count: int) -> list[str]:
    """Times of a day, numbered things: behind each number stands what stands behind all."""
    rng = values.rng
    if rng.random() < 0.3:
        return _of_a_month(rng, count)
    code, word, minute = values.draw("code").said, values.word(), rng.randrange(60)
    patterns = (
        "{}:00",
        "{}:30",
        f"{{}}:{minute:02}",
        f"{word} {{}}",
        f"{{}} {word}",
        f"{code}-{{}}",
    )
    pattern = rng.choice(patterns)
    return [pattern.format(number) for number in sorted(rng.sample(range(24), count))]


def _of_a_month(rng: random.Random, count: int) -> list[str]:
    """Days, or days and times."""
    month = f"{rng.randint(1990, 2039)}-{rng.randint(1, 12):02}"
    days = [f"{month}-{day:02}" for day in sorted(rng.sample(range(1, 29), count))]
    if rng.random() < 0.3:
        return days
    return [f"{day} {rng.randint(0, 23):02}:{rng.choice((0, 15, 30, 45)):02}" for day in days]
