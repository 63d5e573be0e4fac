"""`pyslm finetune --lora`: an adapter that teaches a larger model a person's own tools.

report = train_lora(Path("tools.json"), Path("my-lora.gguf"), base=Path("qwen2.5-0.5b.gguf"))

The base is dequantized by `transformers`, its adapter trained by `peft`; prompts are written and
cut into tokens by pyslm, as they will be when the adapter is used.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pyslm import LLM
from pyslm.chat.abilities import abilities_of
from pyslm.chat.template import ChatTemplate
from pyslm.errors import InvalidRequestError, UnsupportedModelError
from pyslm.finetune.adapt import AdaptReport
from pyslm.finetune.data import Scenes
from pyslm.finetune.data.spec import Branch, OwnData, Scene
from pyslm.finetune.evaluation.cases import Case
from pyslm.finetune.evaluation.evaluate import evaluate
from pyslm.finetune.own_data import read_own_data
from pyslm.inspect_model import inspect_model
from pyslm.new_file import check_out, replacing
from pyslm.tokenizer import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from pyslm.finetune.lora_model import Example

__all__ = ["examples", "train_lora"]

ARCHITECTURES = ("llama", "qwen2", "qwen3")
_BRANCHES = 4
_MAX_TOKENS = 2048
_MAX_TOOL_TOKENS = 1536
_IGNORED = -100  # torch's mark of places that are not learned
_LEARNING_RATE = 2e-4
_ADAPTER = "finetune"


def train_lora(
    source: Path,
    out: Path,
    base: Path,
    *,
    steps: int = 200,
    seed: int = 0,
    rank: int = 8,
    num_cases: int = 100,
    device: str = "cpu",
    progress: Callable[[float], None] | None = None,
) -> AdaptReport:
    """Trains a LoRA adapter (Hu et al. 2021) of `base`; writes it to `out` if it makes it better.

    Args:
        source: tools, or conversations with them; see `read_own_data`.
        out: a GGUF file, for `LLM(base, adapters={...})`, `pyslm run --adapter`, `serve --lora`.
        base: a model of `ARCHITECTURES` whose chat template describes tools; read, not changed.
        steps: of `_BRANCHES` conversations each.
        rank: of the adapter's matrices.
        num_cases: requests, never trained on, by which it is judged; of conversations a fifth.
        progress: called with the fraction done, 0 to 1.

    Raises:
        ModelNotFoundError, ModelFileError, GGUFError: `source` or `base` cannot be read.
        UnsupportedModelError: `base` is of another architecture, or knows no tools.
        InvalidRequestError: `source` holds no tools, too many or malformed ones.
    """
    from pyslm.finetune.lora_file import write_adapter
    from pyslm.finetune.lora_model import LoraModel

    if min(steps, rank, num_cases) < 1:
        raise InvalidRequestError(
            f"steps is {steps}, rank {rank}, num_cases {num_cases}; allowed: 1 or more of each"
        )
    check_out(out, [base])
    architecture = inspect_model(base).architecture
    if architecture not in ARCHITECTURES:
        raise UnsupportedModelError(
            f"{base} is a {architecture} model; adapters are trained for {', '.join(ARCHITECTURES)}"
        )
    tokenizer = load_tokenizer(base)
    template = ChatTemplate.of(tokenizer)
    if not abilities_of(template).tools:
        raise UnsupportedModelError(f"the chat template of {base} describes no tools")

    def fits(scene: Scene) -> bool:
        return len(_example(scene, scene.branches[0], template, tokenizer)[0]) <= _MAX_TOKENS

    own, cases = read_own_data(source, num_cases, seed, fits)
    _check_room(own, template, tokenizer)
    before = _share(base, cases)
    drawn = examples(own, template, tokenizer, seed)
    model = LoraModel(base, rank, device, seed)
    for step in range(steps):
        model.train([next(drawn) for _ in range(_BRANCHES)], _rate(step, steps))
        if progress is not None:
            progress((step + 1) / steps)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".finetune-") as folder:
        made = Path(folder) / "adapter.gguf"
        write_adapter(model.matrices(), base, rank, made)
        after = _share(base, cases, made)
        if after > before:
            with replacing(out) as partial:
                partial.write_bytes(made.read_bytes())
    return AdaptReport(out, len(own.catalog), len(own.conversations), len(cases), before, after)


def examples(
    own: OwnData, template: ChatTemplate, tokenizer: Tokenizer, seed: int
) -> Iterator[Example]:
    """Conversations about the tools, in the model's own words, without end.

    What assistants say is learned. Conversations of more than 2048 tokens are passed over.
    """
    source, rng = Scenes(seed, own), random.Random(seed)
    while True:
        scene = source.draw(num_branches=2)
        example = _example(scene, rng.choice(scene.branches), template, tokenizer)
        if len(example[0]) <= _MAX_TOKENS:
            yield example


def _check_room(own: OwnData, template: ChatTemplate, tokenizer: Tokenizer) -> None:
    """Raises InvalidRequestError for tools that leave no room for a conversation."""
    tools = [tool.described() for tool in own.catalog] or None
    count = len(template.encode(tokenizer, [{"role": "user", "content": ""}], tools=tools))
    if count > _MAX_TOOL_TOKENS:
        raise InvalidRequestError(
            f"the tools take {count} tokens in this model's prompt; allowed: {_MAX_TOOL_TOKENS}. "
            "Split them among several agents, or shorten what they say of themselves"
        )


def _example(scene: Scene, branch: Branch, template: ChatTemplate, tokenizer: Tokenizer) -> Example:
    system = [{"role": "system", "content": scene.system}] if scene.system else []
    messages, tools = [*system, *branch.messages], list(scene.tools) or None

    def encoded(count: int, opens: bool) -> list[int]:
        return template.encode(
            tokenizer, messages[:count], tools=tools, add_generation_prompt=opens
        )

    ids = encoded(len(messages), False)
    learned = [_IGNORED] * len(ids)
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        asked, answered = encoded(i, True), encoded(i + 1, False)
        # Some templates write earlier turns in another way than the last: those are not learned.
        if ids[: len(answered)] == answered and answered[: len(asked)] == asked:
            learned[len(asked) : len(answered)] = answered[len(asked) :]
    return ids, learned


def _rate(step: int, steps: int) -> float:
    """Warm-up over a tenth, then a fall to zero in a straight line."""
    rise = (step + 1) / max(1, steps // 10)
    return _LEARNING_RATE * min(1.0, rise, (steps - step) / steps)


def _share(base: Path, cases: list[Case], adapter: Path | None = None) -> float:
    adapters = None if adapter is None else {_ADAPTER: adapter}
    with LLM(base, adapters=adapters) as llm:
        name = None if adapter is None else _ADAPTER
        outcomes = evaluate(llm, cases, constrained=True, adapter=name).outcomes
    return sum(all(outcome.right.values()) for outcome in outcomes) / len(outcomes)
