"""Values that identify something: numbers, addresses, paths."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

__all__ = ["Identifiers"]


class Identifiers:
    """Makes them of random letters, digits and words."""

    def __init__(
        self,
        rng: random.Random,
        pick: Callable[[str], str],
        word: Callable[[], str],
        invented: Callable[[], str],
    ) -> None:
        """`pick` draws of a list of `words.toml`; `word` and `invented` make words."""
        self.rng = rng
        self.pick = pick
        self.word = word
        self.invented = invented

    def letters(self, count: int, alphabet: str = string.ascii_uppercase) -> str:
        """So many of them, one after the other."""
        return "".join(self.rng.choices(alphabet, k=count))

    def code(self) -> str:
        """An order number, a serial, a hash."""
        rng, digits = self.rng, string.digits
        number = self.letters(rng.randint(2, 7), digits)
        forms = (
            f"{self.letters(rng.randint(1, 4))}-{number}", f"#{number}", number,
            f"{self.letters(2)}-{self.letters(3, digits)}-{self.letters(2)}",
            f"{self.letters(rng.randint(1, 3))}{number}",
            self.letters(rng.randint(4, 9), "0123456789abcdef"),
            f"{self.invented()}_{number}", f"{self.letters(3)}/{number}",
            f"{self.word()}-{self.word()}-{self.letters(1, digits)}",
        )  # fmt: skip
        return rng.choice(forms)

    def _handle(self) -> str:
        rng = self.rng
        first = self.pick("first").lower() if rng.random() < 0.5 else self.invented()
        last = self.invented() if rng.random() < 0.5 else self.pick("last").lower()
        return (
            first
            + rng.choice((".", "_", "", "-"))
            + last.replace("'", "")
            + rng.choice(("", "", str(rng.randint(1, 99))))
        )

    def email(self) -> str:
        """An address."""
        domain = self.pick("domain") if self.rng.random() < 0.5 else self.invented() + ".com"
        return f"{self._handle()}@{domain}"

    def phone(self) -> str:
        """A telephone number."""
        rng, digits = self.rng, string.digits

        def d(count: int) -> str:
            return self.letters(count, digits)

        forms = (f"+{d(2)} {d(3)} {d(6)}", f"+1-{d(3)}-{d(3)}-{d(4)}", f"({d(3)}) {d(3)}-{d(4)}",
                 f"0{d(3)} {d(6)}", f"555-{d(4)}", f"+{d(11)}")  # fmt: skip
        return rng.choice(forms)

    def url(self) -> str:
        """A page."""
        rng = self.rng
        path = rng.choice(
            ("", f"/{self.word()}", f"/{self.word()}/{rng.randint(1, 999)}", f"/{self.word()}.html")
        )
        start = rng.choice(("https://", "https://www.", "http://"))
        end = rng.choice(("com", "org", "net", "io", "de"))
        return f"{start}{self.invented()}.{end}{path}"

    def path(self) -> str:
        """A file."""
        rng = self.rng
        suffix = rng.choice(("txt", "pdf", "csv", "md", "py", "json", "log", "docx"))
        more = rng.choice(("", "_" + self.word(), str(rng.randint(1, 99))))
        name = f"{self.word()}{more}.{suffix}"
        folders = (
            name,
            f"/{self.word()}/{name}",
            f"{self.word()}/{name}",
            f"~/{self.word()}/{name}",
            f"C:/{self.word().title()}/{name}",
            f"/var/{self.word()}/{name}",
        )
        return rng.choice(folders)
