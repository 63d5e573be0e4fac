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
from pyslm.finetune.catalog import read_catalog
from pyslm.finetune.config import TrainConfig
from pyslm.finetune.data import Scenes
from pyslm.finetune.data.spec import Branch, Scene, ToolSpec
from pyslm.finetune.evaluation.cases import Case
from pyslm.finetune.evaluation.evaluate import evaluate
from pyslm.new_file import check_out, replacing

__all__ = ["AdaptReport", "adapt", "catalog_cases"]

_HELD_OUT_SEED = 1 << 62  # the training's seeds are hashes of small numbers
_CATEGORIES = ("call", "call_paraphrased", "several", "missing", "none")


@dataclasses.dataclass(frozen=True, slots=True)
class AdaptReport:
    """What came of it: shares of held-out requests for these tools that were right, 0 to 1."""

    out: Path
    num_tools: int
    num_cases: int
    before: float
    after: float

    @property
    def improved(self) -> bool:
        return self.after > self.before


def adapt(
    tools: Path,
    out: Path,
    base: Path,
    *,
    steps: int = 200,
    seed: int = 0,
    num_cases: int = 200,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
) -> AdaptReport:
    """Trains `base` further on requests for the tools, and writes the better of the two to `out`.

    Args:
        tools: a JSON file; see `read_catalog`.
        out: replaced once the new model is complete; `base` itself is never changed.
        base: a model that `pyslm.finetune` exported.
        steps: about a second each on one core.
        num_cases: requests, never trained on, by which the models are compared.
        progress: called with the fraction done, 0 to 1.

    Raises:
        ModelNotFoundError, ModelFileError, GGUFError, UnsupportedModelError: `tools` or `base`
            cannot be read.
        InvalidRequestError: `tools` holds none, too many or malformed ones; `out` is `base`.
    """
    from pyslm.finetune.export import export
    from pyslm.finetune.restore import restore
    from pyslm.finetune.trainer import Trainer

    if steps < 1 or num_cases < 1:
        raise InvalidRequestError(
            f"steps is {steps} and num_cases {num_cases}; allowed: 1 or more of both"
        )
    check_out(out, [base])
    catalog = read_catalog(tools)
    restored = restore(base)
    cases = catalog_cases(catalog, num_cases)
    before = _share(base, cases)
    config = TrainConfig(
        steps=steps, rows=4, long_row_every=0, tools_begin=4, tools_end=4, seed=seed,
        muon_lr=0.004, adam_lr=5e-4, warmup_steps=min(20, steps), decay_share=0.6,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".finetune-") as folder:
        trainer = Trainer(
            Path(folder), restored.config, config, device, restored.vocabulary,
            start=restored.weights, catalog=catalog,
        )  # fmt: skip
        trainer.run(lambda step, _: progress(step / steps) if progress else None)
        trained = export(trainer.model, restored.vocabulary, Path(folder) / "model.gguf")
        after = _share(trained, cases)
        better = trained if after > before else base
        with replacing(out) as partial:
            shutil.copyfile(better, partial)
    return AdaptReport(out, len(catalog), len(cases), before, after)


def catalog_cases(catalog: tuple[ToolSpec, ...], count: int) -> list[Case]:
    """Requests for the tools, with what must come of them; the training draws others."""
    source = Scenes(_HELD_OUT_SEED, catalog)
    names = {tool.name for tool in catalog}
    cases: list[Case] = []
    while len(cases) < count:
        scene = source.draw(num_branches=2)
        if names & {tool["function"]["name"] for tool in scene.tools}:
            cases += [_case(scene, b) for b in scene.branches if b.category in _CATEGORIES]
    return cases[:count]


def _case(scene: Scene, branch: Branch) -> Case:
    """The first answer of the conversation."""
    system = [{"role": "system", "content": scene.system}] if scene.system else []
    request, answer = branch.messages[:2]
    functions = [call["function"] for call in answer.get("tool_calls") or ()]
    calls = tuple((f["name"], f["arguments"]) for f in functions)
    exact = None if calls else answer["content"]
    return Case(branch.category, (*system, request), scene.tools, calls, exact=exact)


def _share(model: Path, cases: list[Case]) -> float:
    with LLM(model) as llm:
        outcomes = evaluate(llm, cases, constrained=True).outcomes
    return sum(all(outcome.right.values()) for outcome in outcomes) / len(outcomes)
