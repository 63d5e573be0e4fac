"""A fresh model with circuits copies before it has learned anything; one without does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pyslm.errors import InvalidRequestError
from pyslm.finetune.config import ModelConfig

torch = pytest.importorskip("torch", reason="needs torch: the extra 'train'")

_CONFIG = ModelConfig(vocab_size=512, layers=3)


def _model(circuits: bool) -> Any:
    from pyslm.finetune.circuits import give_circuits
    from pyslm.finetune.model import Nano

    torch.manual_seed(0)
    model = Nano(_CONFIG)
    if circuits:
        give_circuits(model, seed=0)
    return model


def _hidden(model: Any, tokens: Any) -> Any:
    from pyslm.finetune.model import attention_mask

    zeros = torch.zeros_like(tokens)
    position = torch.arange(tokens.shape[1])[None].expand_as(tokens)
    with torch.no_grad():
        return model(tokens, position, attention_mask(zeros, zeros))[0]


def _copied(model: Any) -> float:
    """The mean rank, 0 to 1, of the right token where a random text is said again."""
    generator = torch.Generator().manual_seed(1)
    text = torch.randint(10, _CONFIG.vocab_size, (8, 40), generator=generator)
    tokens = torch.cat((text, text), 1)
    logits = model.logits(_hidden(model, tokens))[:, 40:-1]
    right = logits.gather(-1, tokens[:, 41:, None])
    return float((logits > right).float().mean())


def test_what_was_said_once_is_said_again() -> None:
    assert _copied(_model(circuits=True)) < 0.06
    assert 0.4 < _copied(_model(circuits=False)) < 0.6  # as chance has it


def test_a_token_that_comes_again_looks_behind_the_first() -> None:
    """Whatever stands between, what followed the first is the likeliest."""
    model = _model(circuits=True)
    for distance in (5, 50):
        between = torch.randint(200, 512, (distance,))
        tokens = torch.cat((torch.tensor([11, 22, 33]), between, torch.tensor([22])))[None]
        logits = model.logits(_hidden(model, tokens))[0, -1]
        logits[22] = -100.0  # the token itself is what a fresh model says
        assert int(logits.argmax()) == 33, distance


@pytest.mark.parametrize("change", [{"heads": 1, "kv_heads": 1}, {"layers": 1}, {"kv_heads": 2}])
def test_a_model_without_room_for_them_is_refused(change: dict[str, int]) -> None:
    from pyslm.finetune.circuits import give_circuits
    from pyslm.finetune.model import Nano

    with pytest.raises(InvalidRequestError, match="2 layers"):
        give_circuits(Nano(dataclasses.replace(_CONFIG, **change)), seed=0)
