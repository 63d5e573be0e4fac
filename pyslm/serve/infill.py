"""The control tokens by which models are told to fill in the middle of a text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

__all__ = ["InfillTokens", "find_infill"]

# As the families write them.
_NAMES = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
)
_REPOSITORY = ("<|repo_name|>", "<reponame>", "<repo_name>")
_FILE = ("<|file_sep|>", "<file_sep>", "<filename>")

# Where there are no such tokens; llama.cpp's, as is the project's name.
_SNIPPET = "\n\n--- snippet ---\n\n"
_PROJECT = "myproject\n"
_THIS_FILE = "filename\n"


@dataclasses.dataclass(frozen=True, slots=True)
class InfillTokens:
    """Ids."""

    prefix: int
    suffix: int
    middle: int
    repository: int | None
    """Begins the name of a project."""
    file: int | None
    """Begins the name of a file, and what it holds."""

    def write(
        self,
        encode: Callable[[str], list[int]],
        before: str,
        after: str,
        others: Sequence[tuple[str, str]] = (),
    ) -> list[int]:
        """The prompt for the text between two others.

        Args:
            encode: gives the token ids of a text.
            others: name and text of other files of the project.
        """
        ids = self._others(encode, others) if others else []
        head = encode(before) if before else []
        tail = encode(after) if after else []
        return [*ids, self.prefix, *head, self.suffix, *tail, self.middle]

    def _others(
        self, encode: Callable[[str], list[int]], others: Sequence[tuple[str, str]]
    ) -> list[int]:
        ids = [] if self.repository is None else [self.repository, *encode(_PROJECT)]
        for name, text in others:
            if self.file is not None:
                ids += [self.file, *encode(f"{name}\n{text}")]
            else:
                ids += encode(_SNIPPET + text)
        return ids if self.file is None else [*ids, self.file, *encode(_THIS_FILE)]


def find_infill(id_of: Callable[[str], int | None]) -> InfillTokens | None:
    """Those of a vocabulary, if it has them.

    Args:
        id_of: gives the id of a token's text.
    """
    repository = next(filter(None, map(id_of, _REPOSITORY)), None)
    file = next(filter(None, map(id_of, _FILE)), None)
    for names in _NAMES:
        prefix, suffix, middle = map(id_of, names)
        if prefix is not None and suffix is not None and middle is not None:
            return InfillTokens(prefix, suffix, middle, repository, file)
    return None
