"""What a person brings to `pyslm finetune`: tools, or conversations with them."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path

from pyslm.chat.tools import tools_of
from pyslm.errors import InvalidRequestError
from pyslm.finetune.catalog import MAX_TOOLS, read_catalog, tool_spec
from pyslm.finetune.conversations import conversation_cases, read_conversations
from pyslm.finetune.data import Scenes
from pyslm.finetune.data.spec import Branch, OwnData, Scene, ToolSpec
from pyslm.finetune.evaluation.cases import Case

__all__ = ["catalog_cases", "read_own_data"]

_HELD_OUT_SEED = 1 << 62  # the training's seeds are hashes of small numbers
_HELD_OUT_SHARE = 0.2
_LEAST_CONVERSATIONS = 5
_CATEGORIES = ("call", "call_paraphrased", "several", "missing", "none")


def read_own_data(
    path: Path, num_cases: int, seed: int, fits: Callable[[Scene], bool] = lambda scene: True
) -> tuple[OwnData, list[Case]]:
    """What to train on, and what to compare models by: the training sees none of that.

    Args:
        path: tools as of `read_catalog`, or conversations as of `read_conversations`.
        num_cases: requests to make of tools; of conversations, a fifth is held out.
        seed: decides which.
        fits: whether the training can take a conversation; a warning tells how many it cannot.

    Raises:
        ModelNotFoundError, ModelFileError: there is no such file, or it cannot be read.
        InvalidRequestError: it holds none of both, too few or too many, or malformed ones.
    """
    if not _holds_conversations(path):
        catalog = read_catalog(path)
        return OwnData(catalog), catalog_cases(catalog, num_cases)
    held = read_conversations(path)
    scenes = [scene for scene in held if fits(scene)]
    if len(scenes) < len(held):
        warnings.warn(
            f"{len(held) - len(scenes)} conversations of {path} are too long and left out",
            stacklevel=3,
        )
    if len(scenes) < _LEAST_CONVERSATIONS:
        raise InvalidRequestError(
            f"{path} holds {len(scenes)} conversations that fit; allowed: {_LEAST_CONVERSATIONS} "
            "or more, since some are kept to compare the models by"
        )
    random.Random(seed).shuffle(scenes)
    num_held_out = max(1, round(_HELD_OUT_SHARE * len(scenes)))
    cases = conversation_cases(tuple(scenes[:num_held_out]))
    return OwnData(_tools_in(scenes), tuple(scenes[num_held_out:])), cases


def catalog_cases(catalog: tuple[ToolSpec, ...], count: int) -> list[Case]:
    """Requests for the tools, with what must come of them; the training draws others."""
    source = Scenes(_HELD_OUT_SEED, OwnData(catalog))
    names = {tool.name for tool in catalog}
    cases: list[Case] = []
    while len(cases) < count:
        scene = source.draw(num_branches=2)
        if names & {tool["function"]["name"] for tool in scene.tools}:
            cases += [_case(scene, b) for b in scene.branches if b.category in _CATEGORIES]
    return cases[:count]


def _holds_conversations(path: Path) -> bool:
    """Whether its first line is one; what cannot be read is left to those who read it all."""
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(next((line for line in file if line.strip()), ""))
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and "messages" in first


def _tools_in(scenes: list[Scene]) -> tuple[ToolSpec, ...]:
    """Those for which requests can be made up, too."""
    specs: dict[str, ToolSpec] = {}
    for scene in scenes:
        for name, tool in tools_of(scene.tools).items():
            if name not in specs and len(specs) < MAX_TOOLS:
                try:
                    specs[name] = tool_spec(tool)
                except InvalidRequestError:  # an argument that no request can tell
                    continue
    return tuple(specs.values())


def _case(scene: Scene, branch: Branch) -> Case:
    """The first answer of the conversation."""
    system = [{"role": "system", "content": scene.system}] if scene.system else []
    request, answer = branch.messages[:2]
    functions = [call["function"] for call in answer.get("tool_calls") or ()]
    calls = tuple((f["name"], f["arguments"]) for f in functions)
    exact = None if calls else answer["content"]
    return Case(branch.category, (*system, request), scene.tools, calls, exact=exact)
