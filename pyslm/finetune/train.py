"""Trains a model from scratch, or goes on where that was interrupted.

    python -m pyslm.finetune.train --preset nano --out runs/nano --seed 0

writes into the folder: vocabulary.json, checkpoint.pt, log.jsonl, loss.svg and model.gguf. With
--start nano, or another GGUF file of ours, it begins with that model's weights and vocabulary; with
--begin 31800 as well, data and learning rate go on at that step.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyslm.errors import PyslmError
from pyslm.finetune.config import PRESETS, preset

__all__ = ["COMMIT", "START", "main", "train"]

START = "start.sha256"
"""In the folder of a training that began with another model: of that file."""
COMMIT = "commit"
"""In the folder of a training from a git checkout: what was checked out as it began."""


def train(
    out: Path,
    preset_name: str = "nano",
    *,
    start: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    until: int | None = None,
    minutes: float | None = None,
    quantization: str = "Q8_0",
    **changes: Any,
) -> Path:
    """Trains to the end, draws the loss and writes `out`/model.gguf, which it returns.

    Args:
        out: the folder of the training; one with a checkpoint goes on.
        preset_name: one of `PRESETS`.
        start: a model that `export` wrote, by name or path, to begin with: its shape, weights and
            vocabulary; None: from scratch. A folder with a checkpoint goes on with that instead.
        device: "cpu", "cuda", ...; None: a GPU where there is one.
        threads: of torch on the CPU; None: as torch likes.
        workers: processes that make data; None: none on a CPU, which has no core to spare.
        until: stop after this step, before the learning rate has fallen.
        minutes: stop after this time; the same command goes on later.
        quantization: of the weights in the file; see `pyslm.quant_mix.MIXES`.
        changes: numbers of `TrainConfig` that differ from the preset.

    Raises:
        InvalidRequestError: an unknown preset or quantization, or a folder with a training of
            another model.
        ModelNotFoundError, ModelFileError, GGUFError, UnsupportedModelError: `start` cannot be
            read, or is no model of ours; or a damaged checkpoint.
    """
    import torch

    from pyslm.finetune.export import check_quantization, export
    from pyslm.finetune.plot import plot_losses
    from pyslm.finetune.progress import training_progress
    from pyslm.finetune.trainer import Trainer

    check_quantization(quantization)  # a wrong one is told now, not after hours
    if threads is not None:
        torch.set_num_threads(threads)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if workers is None:
        workers = 0 if device == "cpu" else max(1, (os.cpu_count() or 2) - 2)
    model_config, train_config = preset(preset_name, **changes)
    given: dict[str, Any] = {}
    nearness = None
    if start is not None:
        from pyslm.finetune.restore import restore
        from pyslm.hub import resolve

        source = resolve(start)
        restored = restore(source)
        model_config = restored.config
        given = {"vocabulary": restored.vocabulary, "start": restored.weights}
        nearness = restored.nearness
    trainer = Trainer(out, model_config, train_config, device, **given)
    is_new = trainer.step == train_config.begin
    if start is not None and is_new:  # for the report of what comes of it
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        (out / START).write_text(f"{digest}\n", encoding="utf-8")
    if is_new and (commit := _commit()):
        (out / COMMIT).write_text(f"{commit}\n", encoding="utf-8")
    with training_progress(trainer) as report:
        trainer.run(report, until=until, workers=workers, minutes=minutes)
    plot_losses(trainer.log, out / "loss.svg")
    return export(
        trainer.model, trainer.vocabulary, out / "model.gguf", quantization, nearness=nearness
    )


def _commit() -> str | None:
    """Of the checkout that this file belongs to; None: it belongs to none, or there is no git."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        tracked, commit = (
            subprocess.run([*git, *given], capture_output=True, text=True, check=True, timeout=10)
            for given in (["ls-files", here.name], ["rev-parse", "HEAD"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() if tracked.stdout else None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pyslm.finetune.train", description=__doc__)
    parser.add_argument("--preset", default="nano", choices=list(PRESETS))
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--start", help="begin with this model: nano, or a GGUF file of ours")
    parser.add_argument("--begin", type=int, help="steps that --start was trained for: go on there")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--until", type=int, help="stop after this step")
    parser.add_argument("--minutes", type=float, help="stop after this time; goes on when repeated")
    parser.add_argument("--device", help="cpu or cuda; default: a GPU where there is one")
    parser.add_argument(
        "--float32", dest="mixed_precision", action="store_const", const=False,
        help="matrix products in float32: some CPUs are faster at it than at bfloat16",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, help="of torch on the CPU")
    parser.add_argument("--workers", type=int, help="processes that make data")
    parser.add_argument("--quantization", default="Q8_0")
    given = vars(parser.parse_args(arguments))
    try:
        out = train(given.pop("out"), given.pop("preset"), **given)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "matplotlib"):
            raise
        print(f"training needs {error.name}: pip install 'pyslm[train]'", file=sys.stderr)
        return 1
    except PyslmError as error:
        print(error, file=sys.stderr)
        return 1
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
