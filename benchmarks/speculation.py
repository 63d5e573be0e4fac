"""How much faster speculation makes decoding, where the text repeats itself and where it does not.

    python benchmarks/speculation.py MODEL.gguf
    python benchmarks/speculation.py MODEL.gguf --only replay --transcript travel --rounds 1
    python benchmarks/speculation.py MODEL.gguf --draft-model SMALL.gguf

`replay` runs recorded agents (transcripts/*.jsonl: tools, calls, results in JSON, answers that
quote them). Each answer is forced on the model, token by token, after the prompt it was given to;
so guesses come out right as often as for a model that gives these answers, whatever the weights
are. Target: 1.5 times the tokens per second, the median of the transcripts.

`floor` forces tokens that cannot be guessed: `random` ones, where nothing is found to guess from,
and `misleading` ones over a small alphabet, where a guess is always at hand and nearly always
wrong. Target: nowhere below 0.97.

Every answer runs without and with speculation, in turns first and second. Speeds are those of
decoding, after the first token of each answer; ratios are medians over rounds.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from load.transcripts import Message, Turn, read_transcript, turns

from pyslm import LLM, SamplingParams
from pyslm.tokenizer import load_tokenizer

FOLDER = Path(__file__).parent / "transcripts"
TARGETS = {"replay": 1.5, "floor": 0.97}  # the least ratio
BATCHES = (1, 4, 16)
FLOOR_TOKENS = 64  # of a prompt, and of its answer
ALPHABETS = {"random": None, "misleading": 6}  # tokens to draw from; None: all


@dataclass(frozen=True, slots=True)
class Run:
    """Answers decoded one after the other, or together."""

    tokens: int
    """After the first of each answer."""
    seconds: float
    drafted: int
    accepted: int

    def __add__(self, other: Run) -> Run:
        return Run(
            self.tokens + other.tokens,
            self.seconds + other.seconds,
            self.drafted + other.drafted,
            self.accepted + other.accepted,
        )

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over rounds."""

    name: str
    tokens: int
    plain: float
    """Tokens per second without speculation."""
    speculating: float
    ratio: float
    acceptance: float | None
    """Of the tokens that were guessed and checked; None: none were."""
    tokens_per_step: float
    """Of one answer."""


class Pair:
    """The same model without and with speculation."""

    def __init__(
        self, model: Path, stack: ExitStack, guessing: Mapping[str, Any], **options: Any
    ) -> None:
        self.plain = stack.enter_context(LLM(model, speculation="off", **options))
        self.speculating = stack.enter_context(LLM(model, **guessing, **options))
        self._flip = False

    def run(self, batch: Sequence[Turn]) -> tuple[Run, Run]:
        """Both, in turns first and second."""
        self._flip = not self._flip
        if self._flip:
            plain = run(self.plain, batch)
            return plain, run(self.speculating, batch)
        speculating = run(self.speculating, batch)
        return run(self.plain, batch), speculating


def run(llm: LLM, batch: Sequence[Turn]) -> Run:
    """Forces the answers of a batch, all of the same length."""
    params = [
        SamplingParams(
            max_tokens=len(turn.answer),
            forced_tokens=turn.answer,
            temperature=0,
            ignore_eos=True,
            seed=0,
        )
        for turn in batch
    ]
    engine = llm._host.loop.engine
    before = engine.stats()
    results = llm.generate([turn.prompt for turn in batch], params)
    after = engine.stats()
    if any(list(r.token_ids) != turn.answer for r, turn in zip(results, batch, strict=True)):
        raise SystemExit("an output differs from what was forced")
    return Run(
        sum(len(turn.answer) - 1 for turn in batch),
        max(result.timings.decode_seconds for result in results),
        after.draft_tokens - before.draft_tokens,
        after.accepted_tokens - before.accepted_tokens,
    )


def row_of(name: str, rounds: Sequence[tuple[Run, Run]]) -> Row:
    """Of (without, with) for each round."""
    drafted = sum(on.drafted for _, on in rounds)
    accepted = sum(on.accepted for _, on in rounds)
    tokens = sum(on.tokens for _, on in rounds)
    return Row(
        name,
        rounds[0][0].tokens,
        statistics.median(off.speed for off, _ in rounds),
        statistics.median(on.speed for _, on in rounds),
        statistics.median(on.speed / off.speed for off, on in rounds),
        accepted / drafted if drafted else None,
        # A step gives an answer one token, and those that were guessed right.
        tokens / (tokens - accepted),
    )


def replay(pair: Pair, transcripts: Mapping[str, Sequence[Turn]], rounds: int) -> Iterator[Row]:
    """A row for each transcript."""
    for name, answers in transcripts.items():
        measured = []
        for _ in range(rounds):
            both = [pair.run([turn]) for turn in answers if len(turn.answer) > 1]
            plain, speculating = zip(*both, strict=True)
            nothing = Run(0, 0.0, 0, 0)
            measured.append((sum(plain, nothing), sum(speculating, nothing)))
        yield row_of(name, measured)


def floor(pair: Pair, rounds: int) -> Iterator[Row]:
    """A row for each kind of text and number of streams."""
    rng = np.random.default_rng(0)
    vocab = pair.plain.info.vocab_size

    def turn(alphabet: int | None) -> Turn:
        letters = np.arange(vocab) if alphabet is None else rng.integers(0, vocab, alphabet)
        ids = rng.choice(letters, 2 * FLOOR_TOKENS).tolist()
        return Turn(ids[:FLOOR_TOKENS], ids[FLOOR_TOKENS:])

    for kind, alphabet in ALPHABETS.items():
        for batch in BATCHES:
            # Few streams give few tokens, which say little of one part in a hundred.
            times = rounds * max(1, 4 // batch)
            measured = [pair.run([turn(alphabet) for _ in range(batch)]) for _ in range(times)]
            yield row_of(f"{kind}, {batch} at a time", measured)


def read_transcripts(folder: Path, only: Sequence[str]) -> dict[str, list[Message]]:
    """Name -> messages."""
    paths = {path.stem: path for path in sorted(folder.glob("*.jsonl"))}
    if unknown := set(only) - set(paths):
        raise typer.BadParameter(f"no {', '.join(sorted(unknown))}; there are {', '.join(paths)}")
    return {name: read_transcript(paths[name]) for name in only or paths}


def show(row: Row) -> None:
    acceptance = "none drafted" if row.acceptance is None else f"{row.acceptance:.0%} accepted"
    print(
        f"{row.name:24} {row.tokens:5} tokens {row.plain:8.1f} -> {row.speculating:8.1f} tokens/s "
        f"{row.ratio:6.2f}x {row.tokens_per_step:6.2f} tokens/step, {acceptance}",
        flush=True,
    )


def verdict(part: str, rows: Sequence[Row]) -> dict[str, Any]:
    """How a part did against its target."""
    ratios = [row.ratio for row in rows]
    value = statistics.median(ratios) if part == "replay" else min(ratios)
    target = TARGETS[part]
    return {"part": part, "value": value, "target": target, "met": value >= target}


def main(
    model: Annotated[Path, typer.Argument(help="A GGUF file.", exists=True)],
    only: Annotated[str | None, typer.Option(help="replay or floor; default: both.")] = None,
    transcript: Annotated[list[str] | None, typer.Option(help="A name; repeatable.")] = None,
    folder: Annotated[Path, typer.Option(help="Holds the transcripts, NAME.jsonl.")] = FOLDER,
    draft_model: Annotated[
        Path | None, typer.Option(help="A smaller model of the same vocabulary.", exists=True)
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Medians are over so many.")] = 3,
    draft: Annotated[int, typer.Option(min=1, max=64, help="Tokens guessed at most.")] = 8,
    threads: Annotated[int | None, typer.Option(min=1, help="Default: physical cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure decoding without and with speculation: recorded agents, and text without repeats.

    A transcript is a file with one message a line; load/transcripts.py says what a message holds.
    """
    if only not in (None, *TARGETS):
        raise typer.BadParameter(f"--only is {only!r}; allowed: {', '.join(TARGETS)}")
    tokenizer = load_tokenizer(model)
    read = {} if only == "floor" else read_transcripts(folder, transcript or [])
    answers = {name: turns(messages, tokenizer) for name, messages in read.items()}
    lengths = [len(turn.prompt + turn.answer) for of in answers.values() for turn in of]
    context = max([2 * FLOOR_TOKENS, *lengths])
    report: list[dict[str, Any]] = []
    guessing = {"speculation": "ngram", "max_draft_tokens": draft, "draft_model": draft_model}
    with ExitStack() as stack:
        pair = Pair(model, stack, guessing, context_length=context, threads=threads)
        pair.run([Turn([1] * 8, [1] * 8)])  # touches every weight once
        parts = {"replay": replay(pair, answers, rounds), "floor": floor(pair, rounds)}
        for part in [only] if only else parts:
            rows = []
            for row in parts[part]:
                rows.append(row)
                if not as_json:
                    show(row)
            report.append({**verdict(part, rows), "rows": [asdict(row) for row in rows]})
            if not as_json:
                end = report[-1]
                how = "median" if part == "replay" else "lowest"
                met = "met" if end["met"] else "MISSED"
                print(f"{part}: {how} {end['value']:.2f}x, at least {end['target']}: {met}\n")
    if as_json:
        print(json.dumps({"model": model.name, "parts": report}))


if __name__ == "__main__":
    typer.run(main)
