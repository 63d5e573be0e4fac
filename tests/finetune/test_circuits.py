"""A fresh model with circuits copies and chooses before it has learned anything."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pyslm.errors import InvalidRequestError
from pyslm.finetune.config import ModelConfig
from pyslm.finetune.dialect import ARGUMENTS, CALL, CONTROL, ITEMS, START

torch = pytest.importorskip("torch", reason="needs torch: the extra 'train'")

_CONFIG = ModelConfig(vocab_size=512)
_WORDS = 100  # the first token that is a word here


def _model(circuits: bool = True) -> Any:
    from pyslm.finetune.circuits import give_circuits
    from pyslm.finetune.model import Nano

    torch.manual_seed(0)
    model = Nano(_CONFIG)
    meanings = torch.nn.functional.normalize(torch.randn(512, 70), dim=1)
    meanings[: len(CONTROL)] = 0.0
    model.give_meanings(meanings)
    if circuits:
        information = (torch.arange(512) >= _WORDS).float()
        give_circuits(model, 0.8 * information, seed=0)
    return model


def _logits(model: Any, tokens: Any) -> Any:
    from pyslm.finetune.model import attention_mask

    zeros = torch.zeros_like(tokens)
    position = torch.arange(tokens.shape[1])[None].expand_as(tokens)
    with torch.no_grad():
        return model.logits(model(tokens, position, attention_mask(zeros, zeros))[0])


def test_circuits_read_all_channels_of_the_meanings() -> None:
    from pyslm.finetune.circuits.writer import MEANINGS
    from pyslm.finetune.data.meanings import Meanings

    assert Meanings.load().vectors.shape[1] == MEANINGS


# --- copying ----------------------------------------------------------------------------------


def _copied(model: Any) -> float:
    """The mean rank, 0 to 1, of the right token where the assistant says a text again."""
    generator = torch.Generator().manual_seed(1)
    text = torch.randint(_WORDS, 512, (8, 40), generator=generator)
    speaks = torch.tensor([CONTROL.index("<|assistant|>")]).expand(8, 1)
    tokens = torch.cat((speaks, text, text), 1)
    logits = _logits(model, tokens)[:, 41:-1]
    right = logits.gather(-1, tokens[:, 42:, None])
    return float((logits > right).float().mean())


def test_what_was_said_once_is_said_again() -> None:
    assert _copied(_model()) < 0.06
    assert 0.4 < _copied(_model(circuits=False)) < 0.6  # as chance has it


def _drawn(seed: int) -> list[int]:
    """Different words."""
    generator = torch.Generator().manual_seed(seed)
    words: list[int] = (_WORDS + torch.randperm(400, generator=generator)).tolist()
    return words


@pytest.mark.parametrize("distance", [5, 50])
def test_a_token_that_comes_again_looks_behind_the_first(distance: int) -> None:
    """Whatever stands between, what followed the first is among the likeliest."""
    model = _model()
    found = 0
    for seed in range(20):
        before, token, behind, *between = _drawn(seed)
        said = [CONTROL.index("<|assistant|>"), before, token, behind, *between[:distance], token]
        logits = _logits(model, torch.tensor([said]))[0, -1]
        logits[token] = -100.0  # the token itself is what a fresh model says
        found += int(behind in logits.topk(3).indices)
    assert found >= 14  # one in fifty by chance


def test_two_tokens_tell_more_than_one() -> None:
    """Where a token came several times, the one that came behind the same token counts."""
    model = _model()
    right = 0
    for seed in range(60):
        first, second, third, fourth, often, *others = _drawn(seed)
        value = [first, often, second, often, third, often, fourth]
        said = [CONTROL.index("<|assistant|>"), *others[:1], *value, *others[1:3], *value[:-1]]
        for i, length in enumerate((2, 4, 6)):
            logits = _logits(model, torch.tensor([said[: 11 + length]]))[0, -1]
            right += int(logits[[second, third, fourth]].argmax()) == i
    assert right >= 85  # of 180; 60 by chance


# --- choosing ---------------------------------------------------------------------------------


def _scene(generator: Any, num_items: int) -> tuple[list[int], list[list[int]], list[int]]:
    """A prompt of tools of random words, the words of each, and the first tokens of their names."""
    words = (_WORDS + torch.randperm(400, generator=generator)).tolist()
    prompt, described, names = [CONTROL.index(START)], [], []
    for item in ITEMS[:num_items]:
        about, words = words[:8], words[8:]
        name, words = words[:2], words[2:]
        prompt += [CONTROL.index(item), *about, CONTROL.index(CALL), *name]
        prompt += [CONTROL.index(ARGUMENTS), 50, 51, 52]
        described.append(about)
        names.append(name[0])
    return prompt, described, names


@pytest.mark.parametrize("num_items", [3, 8])
def test_the_tool_is_called_that_the_request_has_words_of(num_items: int) -> None:
    model = _model()
    generator = torch.Generator().manual_seed(2)
    right = 0
    for i in range(40):
        prompt, described, names = _scene(generator, num_items)
        wanted = i % num_items
        said = [60, described[wanted][1], 61, 62, described[wanted][6], 63]
        user, speaks = (CONTROL.index(f"<|{role}|>") for role in ("user", "assistant"))
        tokens = [*prompt, user, *said, speaks, CONTROL.index(CALL)]
        logits = _logits(model, torch.tensor([tokens]))[0, -1]
        right += int(logits[names].argmax()) == wanted
    assert right >= 38


def test_who_calls_once_more_calls_another_tool() -> None:
    model = _model()
    generator = torch.Generator().manual_seed(3)
    user, speaks = (CONTROL.index(f"<|{role}|>") for role in ("user", "assistant"))
    for first, second in ((0, 2), (2, 0), (1, 3), (3, 1)):
        prompt, described, names = _scene(generator, 4)
        said = [60, *described[first][2:4], 61, *described[second][2:4]]
        call = [CONTROL.index(CALL), names[first], CONTROL.index(ARGUMENTS), 50, 52]
        tokens = [*prompt, user, *said, speaks, *call, CONTROL.index(CALL)]
        logits = _logits(model, torch.tensor([tokens]))[0, -1]
        assert int(logits[names].argmax()) == second


def test_choosing_survives_training() -> None:
    """Muon changes all directions; what the circuits tell each other must not drift with it."""
    from pyslm.finetune.circuits import Protection

    model = _model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    protection = Protection(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    protection.restore()
    after = model.state_dict()
    assert not torch.equal(
        after["layers.0.mlp.up_proj.weight"], before["layers.0.mlp.up_proj.weight"]
    )
    reserved = slice(_CONFIG.hidden - len(ITEMS) - 8, None)
    for name in ("layers.1.mlp.down_proj.weight", "layers.2.self_attn.o_proj.weight"):
        assert torch.equal(after[name][reserved], before[name][reserved])
        assert not torch.equal(after[name], before[name])
    name = "embed_tokens.weight"
    assert torch.equal(after[name][:, reserved], before[name][:, reserved])
    assert not torch.equal(after[name], before[name])


def test_a_model_tells_whether_it_has_them() -> None:
    from pyslm.finetune.circuits import has_circuits
    from pyslm.finetune.model import Nano

    assert has_circuits(_model())
    assert not has_circuits(_model(circuits=False))
    assert not has_circuits(Nano(ModelConfig(512, 64, 2, 96, 2, 1, 32)))


@pytest.mark.parametrize("change", [{"heads": 2, "kv_heads": 2}, {"layers": 3}, {"kv_heads": 2}])
def test_a_model_without_room_for_them_is_refused(change: dict[str, int]) -> None:
    from pyslm.finetune.circuits import give_circuits
    from pyslm.finetune.model import Nano

    model = Nano(dataclasses.replace(_CONFIG, **change))
    with pytest.raises(InvalidRequestError, match="4 layers"):
        give_circuits(model, torch.zeros(512), seed=0)
