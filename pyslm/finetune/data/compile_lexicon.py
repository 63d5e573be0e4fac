"""Makes `lexicon.tsv` of WordNet 3.0's files (Debian: package wordnet-base).

    python -m pyslm.finetune.data.compile_lexicon /usr/share/wordnet

Of each frequent word its most frequent sense is kept: the word, its part of speech, WordNet's
"lexicographer file" (a coarse topic), other words of the same meaning, a more general word, and the
beginning of the definition. Format of the files: wndb(5WN), cntlist(5WN).
"""

from __future__ import annotations

import collections
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_POS = {"noun": ("n", "1", 4000), "verb": ("v", "2", 900), "adj": ("a", "3", 700)}
# Tags, plants and diseases make poor tools; what an agent is asked about are things and acts.
_NOUN_TOPICS = frozenset((4, 5, 6, 9, 10, 11, 13, 14, 15, 17, 18, 20, 21, 25, 26, 27, 28))
# Words that insult, or of which nobody wants to read in a tool's description.
UNFIT = re.compile(
    r"offensive|vulgar|slang|disparag|derogat|obscen|skin|ethnic|black person|sexual|genital"
    r"|intercourse|prostitut|whore|brothel|breast|excre|feces|urin|menstru|nazi|hitler|fascist|terroris|murder"
    r"|slave|suicid|\brape|bastard|asshole|dickhead|shit|bitch|slut|pimp|negr|nigg|jew|christ|muslim|islam"
    r"|protestant|catholic|anabaptist|god\b|lover|mistress|savage|idiot|moron|cripple|lunatic|harlot"
)
_WORD = re.compile(r"[a-z]{3,12}")
_GLOSS_CHARS = 60


@dataclass(frozen=True, slots=True)
class _Sense:
    topic: int
    words: tuple[str, ...]
    hypernym: str | None
    gloss: str


def main(source: Path) -> None:
    """Writes the file beside this one."""
    counts = _counts(source / "cntlist.rev")
    rows: list[str] = []
    for pos, (letter, digit, limit) in _POS.items():
        senses = dict(_senses(source / f"data.{pos}"))
        first = _first_senses(source / f"index.{pos}", counts, digit)
        rows += _rows(letter, senses, first, limit)
    Path(__file__).with_name("lexicon.tsv").write_text("\n".join(rows) + "\n", encoding="ascii")


def _rows(letter: str, senses: dict[str, _Sense], first: dict[str, str], limit: int) -> list[str]:
    rows: list[str] = []
    for word, offset in first.items():
        sense = senses[offset]
        if letter == "n" and sense.topic not in _NOUN_TOPICS:
            continue
        if UNFIT.search(" ".join((word, *sense.words, sense.gloss)).lower()):
            continue
        others = [w for w in sense.words if w != word and re.fullmatch(r"[a-z]+( [a-z]+)?", w)]
        above = senses[sense.hypernym].words[0] if sense.hypernym in senses else ""
        gloss = sense.gloss if len(sense.gloss) <= _GLOSS_CHARS else ""
        rows.append("\t".join((letter, word, str(sense.topic), "|".join(others[:4]), above, gloss)))
        if len(rows) == limit:
            break
    return rows


def _counts(path: Path) -> dict[str, int]:
    """word%pos -> how often it was seen in the tagged texts, in all senses."""
    counts: collections.Counter[str] = collections.Counter()
    for line in path.read_text(encoding="ascii").splitlines():
        key, _, count = line.split()
        counts[key[: key.index("%") + 2]] += int(count)
    return counts


def _first_senses(path: Path, counts: dict[str, int], digit: str) -> dict[str, str]:
    """Word -> place of its first sense, the most frequent words first."""
    found = {}
    for line in path.read_text(encoding="ascii").splitlines():
        fields = line.split()
        if not line.startswith(" ") and _WORD.fullmatch(fields[0]):
            found[fields[0]] = fields[-int(fields[2])]
    return dict(sorted(found.items(), key=lambda item: -counts.get(f"{item[0]}%{digit}", 0)))


def _senses(path: Path) -> Iterator[tuple[str, _Sense]]:
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith(" "):
            continue
        data, _, gloss = line.partition(" | ")
        fields = data.split()
        num_words = int(fields[3], 16)
        words = tuple(w.split("(")[0].replace("_", " ") for w in fields[4 : 4 + 2 * num_words : 2])
        pointers = fields[5 + 2 * num_words :]
        hypernym = next((pointers[i + 1] for i, f in enumerate(pointers) if f == "@"), None)
        gloss = re.sub(r"\(.*?\)\s*", "", gloss.split(";")[0].split('"')[0]).strip()
        yield fields[0], _Sense(int(fields[1]), words, hypernym, gloss)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
