"""Lists that tools report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyslm.finetune.data.values import Values

__all__ = ["listing"]

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


def _alike(values: Values, count: int) -> list[str]:
    """Times of a day, numbered things: behind each number stands what stands behind all."""
    rng = values.rng
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
