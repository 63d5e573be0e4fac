"""Values of arguments, and how a person says them.

A value is what must be copied: most of them are put together of letters, digits and words that no
model could know, so that looking them up in the request is the only way to get them right.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from pyslm.finetune.data.amounts import Amounts
from pyslm.finetune.data.files import Lexicon, load_toml
from pyslm.finetune.data.identifiers import Identifiers
from pyslm.finetune.data.meanings import Meanings
from pyslm.finetune.data.oddities import Oddities
from pyslm.finetune.data.times import Times
from pyslm.finetune.data.value import Value, listed

__all__ = ["Values"]

_FREE = frozenset({"city", "person", "title", "sentence", "query", "thing", "word", "data", "code"})
"""What may be any text."""
_ODD = 0.35  # of these
_ODD_IN_PLAIN = 0.12  # scenes, see `be_plain`


class Values:
    """Draws values; all randomness comes from `rng`."""

    def __init__(self, rng: random.Random, lexicon: Lexicon) -> None:
        self.rng = rng
        self.lexicon = lexicon
        self._odd_share = _ODD
        words = load_toml("words.toml")
        self._lists = {
            name: text.split("|") if "|" in text else text.split() for name, text in words.items()
        }
        self._identifiers = Identifiers(rng, self.pick, self.word, self.invented)
        self._oddities = Oddities(rng, self.word)
        self._makers: dict[str, Callable[[], Value]] = {
            name.removeprefix("_make_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("_make_")
        }
        for name in ("code", "email", "phone", "url", "path"):
            self._makers[name] = partial(self._identifier, name)
        amounts = Amounts(rng, self._lists["number"])
        for name in ("count", "integer", "money", "decimal"):
            self._makers[name] = getattr(amounts, name)
        times = Times(rng, self._lists["month"], self.pick)
        for name in ("date", "day", "clock", "moment", "period"):
            self._makers[name] = getattr(times, name)

    def _identifier(self, name: str) -> Value:
        return self._text(getattr(self._identifiers, name)())

    def draw(self, maker: str) -> Value:
        """A value by the name of its maker, as `kinds.toml` has it."""
        value = self._makers[maker]()
        if maker in _FREE and self.rng.random() < self._odd_share:
            return self._text(self.odd(value.said))
        return value

    def be_plain(self, plain: bool) -> None:
        """From now on, fewer texts are odd; or as many as at first."""
        self._odd_share = _ODD_IN_PLAIN if plain else _ODD

    def odd(self, text: str) -> str:
        """A text with things in it that are rarely seen."""
        return self._oddities.of(text)

    def changed(self, text: str) -> str:
        """With another word for one of its own, or with one more."""
        rng = self.rng
        words = text.split(" ")
        place = rng.randrange(len(words))
        word = self.word()
        word = word.capitalize() if words[place][:1].isupper() else word
        if rng.random() < 0.5:
            words[place] = word
        else:
            words.insert(place + rng.randint(0, 1), word)
        return " ".join(words)

    def pick(self, name: str) -> str:
        """A word of `words.toml`."""
        return str(self.rng.choice(self._lists[name]))

    def invented(self) -> str:
        """A word that does not exist."""
        rng = self.rng
        return "".join(
            self.pick("onset") + self.pick("vowel") + self.pick("coda")
            for _ in range(rng.randint(1, 3))
        )

    def word(self) -> str:
        """A noun or adjective, any word, or one that does not exist."""
        draw = self.rng.random()
        if draw < 0.2:
            return self.invented()
        if draw < 0.5:  # so that all that can be said is said at times
            return self.rng.choice(Meanings.load().words)
        return self.rng.choice(self.lexicon.nouns if self.rng.random() < 0.8 else
                               self.lexicon.adjectives).word  # fmt: skip

    # --- texts --------------------------------------------------------------------------------

    def _text(self, text: str) -> Value:
        return Value(text, text)

    def _make_city(self) -> Value:
        if self.rng.random() < 0.3:
            return self._text(
                self.invented().capitalize() + self.rng.choice(("", "", "ville", " Bay", "burg"))
            )
        city = self.pick("city")
        return self._text(city.lower() if self.rng.random() < 0.1 else city)

    def _make_person(self) -> Value:
        rng = self.rng
        last = self.invented().capitalize() if rng.random() < 0.3 else self.pick("last")
        first = self.invented().capitalize() if rng.random() < 0.1 else self.pick("first")
        draw = rng.random()
        if draw < 0.3:
            return self._text(first)
        if draw < 0.45:
            return self._text(f"{rng.choice(('Dr.', 'Mr.', 'Ms.', 'Mrs.', 'Prof.'))} {last}")
        return self._text(f"{first} {last.replace('-', ' ')}")

    def _make_title(self) -> Value:
        rng = self.rng
        words = [self.word() for _ in range(rng.choice((1, 2, 2, 3, 4)))]
        if rng.random() < 0.15:
            words.insert(1, rng.choice(("of the", "and", "for", "&", "in")))
        text = " ".join(words)
        return self._text(
            rng.choice((text.title(), text.title(), text.capitalize(), text, text.upper()))
        )

    def _make_sentence(self) -> Value:
        rng = self.rng
        draw = rng.random()
        if draw < 0.3:
            return self._text(self.pick("chores"))
        if draw < 0.5:
            return self._text(self.pick("sentences") + rng.choice(("", "", "", "!", "?", ".")))
        start = rng.choice(
            ("the", "my", "our", "please", "we need", "don't forget the", "new", "more")
        )
        middle = " ".join(self.word() for _ in range(rng.randint(1, 3)))
        end = rng.choice(
            (
                "",
                f" is {self.rng.choice(self.lexicon.adjectives).word}",
                f" for {self.pick('first')}",
                f" at {rng.randint(1, 12)}",
                f" in {self.pick('city')}",
                f" and the {self.word()}",
                f" does not {self.rng.choice(self.lexicon.verbs).word}",
                f" has {self.rng.choice(('no', 'a', 'too much'))} {self.word()}",
                f" needs to {self.rng.choice(self.lexicon.verbs).word}",
            )
        )
        text = f"{start} {middle}{end}"
        return self._text(text.capitalize() if rng.random() < 0.4 else text)

    def _make_query(self) -> Value:
        return self._text(" ".join(self.word() for _ in range(self.rng.choice((1, 2, 2, 3)))))

    def _make_thing(self) -> Value:
        rng = self.rng
        text = rng.choice(("", "", rng.choice(self.lexicon.adjectives).word + " ")) + self.word()
        model = rng.choice(
            (
                "",
                "",
                "",
                f" {self._identifiers.letters(2)}{rng.randint(1, 999)}",
                f" {rng.randint(2, 20)}",
            )
        )
        return self._text((text if rng.random() < 0.6 else text.title()) + model)

    def _make_word(self) -> Value:
        return self._text(self.pick("condition") if self.rng.random() < 0.6 else self.word())

    def _make_data(self) -> Value:
        """Words, numbers and codes with odd signs between."""
        rng = self.rng
        parts = [
            rng.choice(
                (self.word(), self.invented().title(), str(rng.randint(0, 9999)), self.word())
            )
            for _ in range(rng.choice((2, 2, 3)))
        ]
        sign = rng.choice(
            (":", "/", " / ", ";", "%", "+", " & ", "#", "_", "=", ",", "'", ".", "-", " ")
        )
        return self._text(sign.join(parts) + rng.choice(("", "", "", ";", "%", "+", "#")))

    def _make_ticker(self) -> Value:
        rng = self.rng
        return self._text(
            rng.choice(
                (
                    self._identifiers.letters(rng.randint(2, 5)),
                    self.invented(),
                    f"{self.invented()}-{self.word()}",
                )
            )
        )

    def _make_expression(self) -> Value:
        rng = self.rng
        parts = [str(rng.randint(0, 10 ** rng.randint(1, 4)))]
        gap = rng.choice(("", " "))
        for _ in range(rng.randint(1, 2)):
            parts += [rng.choice("+-*/"), str(rng.randint(1, 10 ** rng.randint(1, 3)))]
        return self._text(gap.join(parts))

    def _make_sql(self) -> Value:
        table, column = self.word(), self.word()
        where = self.rng.choice(
            (
                "",
                f" WHERE {column} = {self.rng.randint(1, 99)}",
                f" LIMIT {self.rng.randint(1, 50)}",
            )
        )
        return self._text(
            f"SELECT {self.rng.choice(('*', column, 'COUNT(*)'))} FROM {table}{where}"
        )

    # --- lists --------------------------------------------------------------------------------

    def several(self, maker: Callable[[], Value], most: int = 4) -> Value:
        """A list of some that `maker` makes."""
        drawn = [maker() for _ in range(self.rng.randint(1, most))]
        values = list({value.said: value for value in drawn}.values())  # none twice
        return Value([v.data for v in values], listed([v.said for v in values], self.rng))

    def _make_things(self) -> Value:
        return self.several(lambda: self._listed(self._item()))

    def _make_words(self) -> Value:
        return self.several(lambda: self._listed(self.word()), 3)

    def _make_persons(self) -> Value:
        return self.several(lambda: self._listed(self._make_person().said), 3)

    def _item(self) -> str:
        """What a list is of: a word or several."""
        draw = self.rng.random()
        if draw < 0.4:
            return self.word()
        if draw < 0.8:
            return self._make_thing().said
        return self._identifiers.code() if draw < 0.9 else f"{self.word()} {self.word()}".title()

    def _listed(self, text: str) -> Value:
        """With nothing inside that ends a part of a list."""
        if self.rng.random() < self._odd_share:
            odd = self.odd(text)
            if "," not in odd and " and " not in odd:
                text = odd
        return self._text(text)

    def _make_integers(self) -> Value:
        def number() -> Value:
            value = self.rng.randint(0, 999)
            return Value(value, str(value))

        return self.several(number)
