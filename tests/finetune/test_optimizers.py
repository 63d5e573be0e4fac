"""The learning rate's course, and which weights are changed by what."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs torch")

import itertools

from pyslm.finetune.config import preset
from pyslm.finetune.model import Nano
from pyslm.finetune.optimizers import learning_rate_factor, make_optimizers


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    _, config = preset("tiny", steps=100, warmup_steps=10, decay_share=0.5)
    course = [learning_rate_factor(config, step) for step in range(101)]
    assert course[0] == 0.1
    assert sorted(course[:10]) == course[:10]
    assert set(course[9:51]) == {1.0}
    falling = course[50:]
    assert [a - b for a, b in itertools.pairwise(falling)] == pytest.approx([0.02] * 50)
    assert course[100] == 0.0


def test_a_training_that_goes_on_rises_from_its_own_beginning() -> None:
    _, config = preset("tiny", begin=60, steps=100, warmup_steps=10, decay_share=0.8)
    course = [learning_rate_factor(config, step) for step in range(60, 101)]
    assert course[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert max(course) == course[4] == pytest.approx(36 / 80)
    assert course[-1] == 0.0


def test_each_weight_is_changed_by_one_optimizer_and_the_embedding_by_adam() -> None:
    model_config, config = preset("tiny")
    model = Nano(model_config)
    muon, adam = make_optimizers(model, config)
    by_muon, by_adam = (
        [id(p) for group in optimizer.param_groups for p in group["params"]]
        for optimizer in (muon, adam)
    )
    assert sorted(by_muon + by_adam) == sorted(id(p) for p in model.parameters())
    assert id(model.embed_tokens.weight) in by_adam
    assert id(model.layers[0].mlp.up_proj.weight) in by_muon
