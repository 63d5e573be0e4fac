"""Values that are numbers."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pyslm.finetune.data.value import Value

__all__ = ["Amounts"]


class Amounts:
    """Draws them; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, in_words: Sequence[str]) -> None:
        """`in_words` says the numbers from 0 to 20."""
        self._rng = rng
        self._in_words = in_words

    def count(self) -> Value:
        number = self._rng.choice((self._rng.randint(1, 12), self._rng.randint(2, 99)))
        return self._integer(number)

    def _integer(self, number: int) -> Value:
        if number <= 20 and self._rng.random() < 0.25:
            return Value(number, self._in_words[number])
        return Value(number, str(number))

    def integer(self) -> Value:
        return self._integer(self._rng.randint(0, 10 ** self._rng.randint(1, 5)))

    def money(self) -> Value:
        rng = self._rng
        draw = rng.random()
        if draw < 0.15:
            return Value(number := rng.randint(1, 999) * 10 ** rng.randint(1, 4), str(number))
        if draw < 0.5:
            return Value(number := rng.randint(1, 10 ** rng.randint(2, 4)), str(number))
        return self._decimal(rng.randint(100, 10 ** rng.randint(3, 6)), 2)

    def _decimal(self, scaled: int, places: int) -> Value:
        """scaled / 10^places, as JSON writes it: no zeros at its end."""
        number = round(scaled / 10**places, places)
        data = int(number) if number == int(number) else number
        return Value(data, str(data))

    def decimal(self) -> Value:
        rng = self._rng
        value = self._decimal(rng.randint(1, 10 ** rng.randint(2, 4)), rng.choice((0, 1, 1, 2)))
        if rng.random() < 0.12:
            return Value(-value.data, str(-value.data))
        return value
