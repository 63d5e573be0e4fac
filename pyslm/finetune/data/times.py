"""Values that are days and times."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from pyslm.finetune.data.value import Value

__all__ = ["Times"]


class Times:
    """Draws them; all randomness comes from `rng`."""

    def __init__(
        self, rng: random.Random, months: Sequence[str], pick: Callable[[str], str]
    ) -> None:
        """`pick` draws a word of a list of `words.toml`."""
        self._rng = rng
        self._months = months
        self._pick = pick

    def date(self) -> Value:
        """A day, in one of its forms."""
        return _text(self._rng.choice(self._dates(1))[0])

    def _dates(self, count: int) -> list[tuple[str, ...]]:
        """`count` days in each form that a day can have."""
        return list(zip(*(self._forms_of_day() for _ in range(count)), strict=True))

    def _forms_of_day(self) -> tuple[str, ...]:
        rng = self._rng
        year, month, day = rng.randint(1990, 2039), rng.randint(1, 12), rng.randint(1, 28)
        name = self._months[month - 1]
        return (
            f"{year}-{month:02}-{day:02}", f"{year}-{month:02}-{day:02}", f"{name} {day}",
            f"{day} {name} {year}", f"{day:02}/{month:02}/{year}", f"{day}.{month}.{year}",
            f"{name} {day}, {year}", "tomorrow", "today", self._pick("weekday"),
        )  # fmt: skip

    def day(self) -> Value:
        """A day in words."""
        return _text(self._pick("day") if self._rng.random() < 0.7 else self._pick("weekday"))

    def clock(self) -> Value:
        """A time of day."""
        rng = self._rng
        hour, minute = rng.randint(0, 23), rng.choice((0, 15, 30, 45, rng.randint(0, 59)))
        half = rng.choice(("am", "pm"))
        forms = (
            f"{hour:02}:{minute:02}", f"{hour}:{minute:02}", f"{hour % 12 + 1} {half}",
            f"{hour % 12 + 1}:{minute:02} {half}", f"{hour % 12 + 1}{half}",
        )  # fmt: skip
        return _text(rng.choice(forms))

    def moment(self) -> Value:
        """A day and a time."""
        day, clock = self.date().said, self.clock().said
        return _text(day + self._rng.choice((" ", " at ", ", ")) + clock)

    def period(self) -> Value:
        """From a day to another, which may be of the same month; mostly in the same form."""
        rng = self._rng
        joined = rng.choice((" to ", " to ", " - ", " until ", " till ", "/", "..", " through "))
        draw = rng.random()
        if draw < 0.4:
            month = f"{rng.randint(1990, 2039)}-{rng.randint(1, 12):02}"
            first, last = sorted(rng.sample(range(1, 32), 2))
            return _text(f"{month}-{first:02}{joined}{month}-{last:02}")
        if draw < 0.8:
            return _text(joined.join(rng.choice(self._dates(2))))
        return _text(f"{self.date().said}{joined}{self.date().said}")


def _text(text: str) -> Value:
    return Value(text, text)
