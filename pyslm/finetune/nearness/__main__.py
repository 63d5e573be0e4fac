"""The command line: learns the vectors and writes them to a file; see the package."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from pyslm import LLM, _native
from pyslm.chat.nearness import NearnessTable, NearnessWeights
from pyslm.errors import InvalidRequestError, PyslmError
from pyslm.finetune.nearness.texts import Groups, agents, definitions, tools
from pyslm.hub import resolve
from pyslm.new_file import replacing
from pyslm.tokenizer import Tokenizer, load_tokenizer

__all__ = ["WEIGHTS", "main"]

WEIGHTS = NearnessWeights(fit=16.0, neutral=0.25, tool=4.0, choice=64.0)
"""Found by trying, on the sets `heldout` and `second` of the evaluation."""
_TOOLS = 12_000
_AT_ONCE = 2048
_ARCHITECTURE = "qwen3"  # of the models that have such a table


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pyslm.finetune.nearness", description=__doc__)
    parser.add_argument("wordnet", type=Path, help="folder of WordNet 3.0's files")
    parser.add_argument("teacher", help="a model of sentences, as GGUF")
    parser.add_argument("--out", type=Path, required=True, help="GGUF file to write")
    parser.add_argument("--model", default="nano", help="whose tokens; default: nano")
    parser.add_argument("--type", default="Q3_K", help="format of the vectors")
    parser.add_argument("--learners", type=int, default=4, help="that are joined")
    parser.add_argument("--steps", type=int, help="of each")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        _run(given)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        print("learning needs torch: pip install 'pyslm[train]'", file=sys.stderr)
        return 1
    except PyslmError as error:
        print(error, file=sys.stderr)
        return 1
    print(given.out)
    return 0


def _run(given: argparse.Namespace) -> None:
    import torch

    from pyslm.finetune.nearness.learn import Learner, LearnerConfig, Text, joined

    _check(given)  # what is wrong is told now, not after learning
    tokenizer = load_tokenizer(resolve(given.model))
    kinds = {"definitions": definitions(given.wordnet)}  # first: they may be missing
    kinds["own"] = [*tools(_TOOLS, given.seed), *agents()]
    with Progress() as progress:
        vectors = _embedded(kinds.values(), given.teacher, progress)
        groups = {
            kind: [
                [
                    Text(torch.tensor(_ids(tokenizer, text)), torch.from_numpy(vectors[text]))
                    for text in group
                ]
                for group in of_kind
            ]
            for kind, of_kind in kinds.items()
        }
        config = LearnerConfig(seed=given.seed)
        if given.steps is not None:
            config = dataclasses.replace(config, steps=given.steps)
        task = progress.add_task("learning", total=config.steps * given.learners)
        learners = (
            Learner(groups, tokenizer.vocab_size, dataclasses.replace(config, seed=seed))
            for seed in range(given.seed, given.seed + given.learners)
        )
        tables = [learner.run(lambda *_: progress.advance(task)) for learner in learners]
    table = NearnessTable.of(joined(tables), given.type, WEIGHTS)
    with replacing(given.out) as partial:
        writer = gguf.GGUFWriter(partial, _ARCHITECTURE)
        table.add_to(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _check(given: argparse.Namespace) -> None:
    for name in ("learners", "steps"):
        number = getattr(given, name)
        if number is not None and number < 1:
            raise InvalidRequestError(f"--{name} is {number}; allowed: 1 or more")
    formats = _native.weight_formats()
    if given.type not in formats:
        raise InvalidRequestError(f"--type is {given.type!r}; allowed: {', '.join(formats)}")
    if not given.out.absolute().parent.is_dir():
        raise InvalidRequestError(f"there is no folder {given.out.absolute().parent}; make it")


def _embedded(
    kinds: Iterable[Groups], teacher: str, progress: Progress
) -> Mapping[str, npt.NDArray[np.float32]]:
    """Text -> the teacher's vector, of length 1."""
    # Those of a length are computed together.
    texts = sorted({text for kind in kinds for group in kind for text in group}, key=len)
    task = progress.add_task("embedding", total=len(texts))
    vectors: dict[str, npt.NDArray[np.float32]] = {}
    with LLM(resolve(teacher)) as llm:
        for begin in range(0, len(texts), _AT_ONCE):
            some = texts[begin : begin + _AT_ONCE]
            rows = llm.embed([text or "." for text in some])
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            vectors.update(zip(some, rows.astype(np.float32), strict=True))
            progress.advance(task, len(some))
    return vectors


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text.lower(), add_special_tokens=False)


if __name__ == "__main__":
    sys.exit(main())
