"""Makes a trained model the one that comes with the package.

    python -m pyslm.finetune.release runs/nano

exports the model of a training folder, sees whether it is small enough, lets it do the held-out
evaluation, and writes it into the package with the report of both and the loss curve. A model that
does better is not replaced.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pyslm import LLM
from pyslm.chat.nearness import NearnessTable
from pyslm.errors import InvalidRequestError, ModelNotFoundError, PyslmError
from pyslm.finetune.evaluate import table
from pyslm.finetune.evaluation import Case, Report, evaluate, held_out_cases
from pyslm.finetune.evaluation.cases import SETS
from pyslm.finetune.release_report import about_model, about_nearness, mean_of, told
from pyslm.finetune.train import COMMIT, START
from pyslm.hub.embedded import FILE, LOSS_PLOT, LOSSES, REPORT, embedded_folder
from pyslm.new_file import replacing

if TYPE_CHECKING:
    from pyslm.finetune.config import ModelConfig
    from pyslm.finetune.vocabulary import NanoVocabulary

__all__ = ["MOST_BYTES", "Released", "main", "release"]

MOST_BYTES = 8_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Released:
    """What was written, and how well it does."""

    folder: Path
    report: dict[str, Any]
    """As report.json has it."""
    evaluations: tuple[Report, ...]
    """With the grammar of the calls, and without."""


def release(
    run: Path,
    into: Path | None = None,
    *,
    quantization: str = "Q6_K",
    token_embedding: str | None = None,
    nearness: Path | None = None,
    rounds: int = 3,
    seed: int = 0,
    threads: int | None = None,
    force: bool = False,
    average: Path | None = None,
    share: float = 0.5,
    cases: Mapping[str, Sequence[Case]] | None = None,
) -> Released:
    """Exports, evaluates, and replaces the model of the package, its report and its loss curve.

    Args:
        run: folder of a training.
        into: folder of the model; None: the package's own.
        quantization: of the weights; see `pyslm.quant_mix.MIXES`.
        token_embedding: of the embedding, if another: "Q4_K", ...
        nearness: a file with the vectors of `pyslm.finetune.nearness`; None: those of the model
            that is there, if it has the same tokens.
        rounds, seed: of the held-out cases.
        threads: None: the physical cores.
        force: also where the model that is there does better.
        average: another model of the same training: what is released is the mean of both, which
            knows more than either where they differ by chance (Wortsman et al. 2022).
        share: of the training in that mean, above 0 and below 1.
        cases: others than those of `evaluation.cases.SETS`; by the first it is compared.

    Raises:
        ModelNotFoundError, ModelFileError: `run` holds no training, or a damaged one.
        InvalidRequestError: the file is too large, or does less well than the one that is there, or
            `average` has another shape or vocabulary, or `nearness` no vectors, or `share` is no
            share.
        GGUFError: `nearness` has vectors of another vocabulary.
    """
    from pyslm.finetune.checkpoint import Checkpoint
    from pyslm.finetune.vocabulary import NanoVocabulary

    if not 0 < share < 1:
        raise InvalidRequestError(f"share is {share}; allowed: above 0 and below 1")
    for name in ("checkpoint.pt", "vocabulary.json"):
        if not (run / name).is_file():
            raise ModelNotFoundError(f"{run} holds no training: there is no {name} in it")
    into = embedded_folder() if into is None else into
    into.mkdir(parents=True, exist_ok=True)
    cases = cases or {name: held_out_cases(seed, rounds, name) for name in SETS}
    held_out = cases[SETS[0]]
    drawn = {"held_out": _fingerprint(held_out), "rounds": rounds, "seed": seed}
    saved = Checkpoint.load(run / "checkpoint.pt")
    vocabulary = NanoVocabulary.load(run / "vocabulary.json")
    weights = saved.weights
    if average is not None:
        weights = _mean_with(average, weights, share, saved.model, vocabulary)
    vectors = _nearness(nearness, into / FILE, vocabulary)
    with tempfile.TemporaryDirectory(dir=into, prefix=".release-") as folder:
        made = _exported(
            Path(folder) / FILE, saved.model, weights, vocabulary, quantization,
            nearness=vectors, token_embedding=token_embedding,
        )  # fmt: skip
        data = made.read_bytes()
        evaluations = {name: _evaluated(made, each, threads) for name, each in cases.items()}
    report = about_model(saved, data, quantization) | {
        "token_embedding": token_embedding,
        "nearness": about_nearness(vectors),
        "begun_with": _noted(run, START),  # SHA-256 of a model; None: nothing
        "commit": _noted(run, COMMIT),  # of the code; None: nobody knows
        "averaged_with": _sha256(average) if average is not None else None,
        "share": share if average is not None else None,  # of the training
        "evaluation": drawn | told(evaluations[SETS[0]]),
        "blind": told(evaluations["blind"]) if "blind" in evaluations else None,
    }
    if not force:
        _refuse_worse(report, into, drawn, held_out, threads)
    before = _losses_before(into, report["begun_with"], saved.train.begin)
    _write(into, data, report, [*before, *saved.log])
    return Released(into, report, evaluations[SETS[0]])


def _exported(
    out: Path,
    shape: ModelConfig,
    weights: Mapping[str, Any],
    vocabulary: NanoVocabulary,
    quantization: str,
    **options: Any,
) -> Path:
    """`out`, as `export` writes it, if it is small enough."""
    from pyslm.finetune.export import export
    from pyslm.finetune.model import Nano

    model = Nano(shape)
    model.load_state_dict(weights)
    export(model, vocabulary, out, quantization, **options)
    size = out.stat().st_size
    if size > MOST_BYTES:
        raise InvalidRequestError(
            f"the model takes {size:,} bytes in {quantization}, and may take "
            f"{MOST_BYTES:,}; train a smaller one, or give another quantization"
        )
    return out


def _write(into: Path, data: bytes, report: Mapping[str, Any], log: list[dict[str, Any]]) -> None:
    """All files of the package's folder, or none."""
    from pyslm.finetune.plot import plot_losses, thinned

    with (
        replacing(into / FILE) as file,
        replacing(into / REPORT) as text,
        replacing(into / LOSSES) as losses,
        replacing(into / LOSS_PLOT) as plot,
    ):
        file.write_bytes(data)
        text.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        lines = (json.dumps(entry) + "\n" for entry in thinned(log))
        losses.write_text("".join(lines), encoding="utf-8")
        plot_losses(log, plot)


def _nearness(given: Path | None, there: Path, vocabulary: NanoVocabulary) -> NearnessTable | None:
    """The vectors that the model gets."""
    if given is not None:
        table = NearnessTable.read(given)
        if table is None:
            raise InvalidRequestError(
                f"{given} has no vectors; make such a file with python -m pyslm.finetune.nearness"
            )
        table.vectors(len(vocabulary.tokens))  # as many, or it is told
        return table
    if not there.is_file():
        return None
    from pyslm.finetune.restore import restore

    before = restore(there)
    return before.nearness if before.vocabulary.tokens == vocabulary.tokens else None


def _mean_with(
    path: Path,
    weights: Mapping[str, Any],
    share: float,
    shape: ModelConfig,
    vocabulary: NanoVocabulary,
) -> dict[str, Any]:
    """The mean of these weights, of which this is the share, and those of the model at `path`."""
    from pyslm.finetune.restore import restore

    other = restore(path)
    if other.config != shape or other.vocabulary.tokens != vocabulary.tokens:
        raise InvalidRequestError(f"{path} has another shape or vocabulary than the training")
    return {
        name: share * weight + (1 - share) * other.weights[name] for name, weight in weights.items()
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fingerprint(cases: Sequence[Case]) -> str:
    """Of what a model is asked: figures of other questions are not compared."""
    text = json.dumps([dataclasses.asdict(case) for case in cases], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _evaluated(model: Path, cases: Sequence[Case], threads: int | None) -> tuple[Report, Report]:
    with LLM(model, threads=threads, weight_cache=False) as llm:
        return (
            evaluate(llm, cases, constrained=True),
            evaluate(llm, cases, constrained=False),
        )


def _losses_before(into: Path, begun_with: str | None, begin: int) -> list[dict[str, Any]]:
    """Up to step `begin`: where the training began with the model that is there, or that did so."""
    paths = [into / name for name in (FILE, REPORT, LOSSES)]
    if begun_with is None or not all(path.is_file() for path in paths):
        return []
    file, report, losses = paths
    if begun_with not in (_sha256(file), json.loads(report.read_text("utf-8")).get("begun_with")):
        return []
    before = [json.loads(line) for line in losses.read_text("utf-8").splitlines()]
    return [entry for entry in before if entry["step"] <= begin]


def _noted(run: Path, name: str) -> str | None:
    """What a training wrote down as it began."""
    path = run / name
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def _refuse_worse(
    report: Mapping[str, Any],
    into: Path,
    drawn: Mapping[str, Any],
    cases: Sequence[Case],
    threads: int | None,
) -> None:
    """An InvalidRequestError where the model that is there does better at the same questions."""
    if not (into / FILE).is_file():
        return
    there: dict[str, Any] = {}
    if (into / REPORT).is_file():
        there = json.loads((into / REPORT).read_text(encoding="utf-8"))["evaluation"]
    if there.get("held_out") != drawn["held_out"]:  # it was asked others, or nobody says
        there = told(_evaluated(into / FILE, cases, threads))
    before, after = mean_of(there), mean_of(report["evaluation"])
    if after < before:
        raise InvalidRequestError(
            f"the model that is there does better: {before:.1%} of the cases, the new one "
            f"{after:.1%}, all measures alike; --force replaces it nevertheless"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pyslm.finetune.release", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a training")
    parser.add_argument("--into", type=Path, help="folder of the model; default: the package's")
    parser.add_argument("--quantization", default="Q6_K")
    parser.add_argument("--token-embedding", help="format of the embedding, if another: Q4_K")
    parser.add_argument(
        "--nearness", type=Path, metavar="GGUF", help="vectors; default: those of the old model"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each case comes")
    parser.add_argument("--seed", type=int, default=0, help="of the cases")
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--average", type=Path, metavar="GGUF", help="release the mean of the training and this"
    )
    parser.add_argument(
        "--share", type=float, default=0.5, help="of the training in that mean; default: 0.5"
    )
    parser.add_argument("--force", action="store_true", help="also where the old one does better")
    given = vars(parser.parse_args(arguments))
    try:
        released = release(given.pop("run"), **given)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "matplotlib"):
            raise
        print(f"releasing needs {error.name}: pip install 'pyslm[train]'", file=sys.stderr)
        return 1
    except PyslmError as error:
        print(error, file=sys.stderr)
        return 1
    Console().print(table(released.evaluations))
    print(f"{released.folder / FILE}: {released.report['bytes']:,} bytes")
    print("now: python benchmarks/tables.py --write")
    return 0


if __name__ == "__main__":
    sys.exit(main())
