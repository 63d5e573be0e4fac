"""`pyslm finetune`: a nano model that knows a person's own tools better.

report = adapt(Path("tools.json"), Path("my.gguf"), base=Path("nano.gguf"))
print(report.before, report.after)
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pyslm import LLM
from pyslm.errors import InvalidRequestError
from pyslm.finetune.config import TrainConfig
from pyslm.finetune.conversations import by_exchange, quotes_only
from pyslm.finetune.data.spec import Scene
from pyslm.finetune.evaluation.cases import Case
from pyslm.finetune.evaluation.evaluate import evaluate
from pyslm.finetune.own_data import read_own_data
from pyslm.new_file import check_out, replacing

__all__ = ["AdaptReport", "adapt"]

_ROW_TOKENS = 512
_LONG_ROW_TOKENS = 2048
"""Of a row with conversations that were held, which are longer than those made up."""


@dataclasses.dataclass(frozen=True, slots=True)
class AdaptReport:
    """What came of it: shares of held-out requests for these tools that were right, 0 to 1."""

    out: Path
    num_tools: int
    num_conversations: int
    """That it was trained on."""
    num_cases: int
    before: float
    after: float

    @property
    def improved(self) -> bool:
        return self.after > self.before


def adapt(
    source: Path,
    out: Path,
    base: Path,
    *,
    steps: int = 200,
    seed: int = 0,
    num_cases: int = 200,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
) -> AdaptReport:
    """Trains `base` further on requests for tools, and writes the better of the two to `out`.

    Args:
        source: tools, or conversations with them; see `read_own_data`.
        out: replaced once the new model is complete; `base` itself is never changed.
        base: a model that `pyslm.finetune` exported.
        steps: about a second each on one core.
        num_cases: requests, never trained on, by which the models are compared; of conversations
            a fifth.
        progress: called with the fraction done, 0 to 1.

    Raises:
        ModelNotFoundError, ModelFileError, GGUFError, UnsupportedModelError: `source` or
            `base` cannot be read.
        InvalidRequestError: `source` holds none, too many or malformed ones; `out` is `base`.
    """
    from pyslm.finetune.export import export
    from pyslm.finetune.packing import num_tokens
    from pyslm.finetune.restore import restore
    from pyslm.finetune.trainer import Trainer

    if steps < 1 or num_cases < 1:
        raise InvalidRequestError(
            f"steps is {steps} and num_cases {num_cases}; allowed: 1 or more of both"
        )
    check_out(out, [base])
    restored = restore(base)

    def fits(scene: Scene) -> bool:
        return num_tokens(restored.vocabulary, scene) <= _LONG_ROW_TOKENS

    own, cases = read_own_data(source, num_cases, seed, fits)
    shown = tuple(map(by_exchange, own.conversations))
    before = _share(base, cases)
    config = TrainConfig(
        steps=steps, rows=1 if own.conversations else 4,
        row_tokens=_LONG_ROW_TOKENS if own.conversations else _ROW_TOKENS, long_row_every=0,
        tools_begin=4, tools_end=4, seed=seed, source_weight=0.3,
        muon_lr=0.004, adam_lr=5e-4, warmup_steps=min(20, steps), decay_share=0.6,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".finetune-") as folder:
        trainer = Trainer(
            Path(folder), restored.config, config, device, restored.vocabulary,
            start=restored.weights, own=dataclasses.replace(own, conversations=shown),
        )  # fmt: skip
        trainer.run(lambda step, _: progress(step / steps) if progress else None)
        trained = export(
            trainer.model, restored.vocabulary, Path(folder) / "model.gguf",
            quotes=quotes_only(shown), nearness=restored.nearness,
        )  # fmt: skip
        after = _share(trained, cases)
        better = trained if after > before else base
        with replacing(out) as partial:
            shutil.copyfile(better, partial)
    return AdaptReport(out, len(own.catalog), len(own.conversations), len(cases), before, after)


def _share(model: Path, cases: list[Case]) -> float:
    with LLM(model) as llm:
        outcomes = evaluate(llm, cases, constrained=True).outcomes
    return sum(all(outcome.right.values()) for outcome in outcomes) / len(outcomes)
