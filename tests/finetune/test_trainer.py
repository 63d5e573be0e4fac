"""Training learns, can be interrupted, and packs scenes so that they do not see each other."""

from __future__ import annotations

import dataclasses
import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyslm.errors import InvalidRequestError, ModelFileError
from pyslm.finetune.config import PRESETS, ModelConfig, preset
from pyslm.finetune.data import Scene, scenes
from pyslm.finetune.dialect import write_messages, write_prefix
from pyslm.finetune.packing import Batch, Rows, batch_of_step, encode_pieces
from pyslm.finetune.vocabulary import NanoVocabulary

torch = pytest.importorskip("torch", reason="needs torch: the extra 'train'")


def _trainer(folder: Path, vocabulary: NanoVocabulary, **changes: Any) -> Any:
    from pyslm.finetune.trainer import Trainer

    model, train = preset("tiny", **changes)
    return Trainer(folder, model, train, vocabulary=vocabulary)


def _weights(trainer: Any) -> dict[str, Any]:
    return {name: weight.clone() for name, weight in trainer.model.state_dict().items()}


def test_the_loss_falls(vocabulary: NanoVocabulary, tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, vocabulary, steps=60, log_every=10)
    trainer.run()
    assert [entry["step"] for entry in trainer.log] == [10, 20, 30, 40, 50, 60]
    assert trainer.log[-1]["loss"] < trainer.log[0]["loss"] - 0.5


def test_an_interrupted_training_ends_the_same(vocabulary: NanoVocabulary, tmp_path: Path) -> None:
    whole = _trainer(tmp_path / "whole", vocabulary, steps=8, log_every=1)
    whole.run()
    _trainer(tmp_path / "parts", vocabulary, steps=8, log_every=1).run(until=3)
    resumed = _trainer(tmp_path / "parts", vocabulary, steps=8, log_every=1)
    assert resumed.step == 3
    resumed.run()
    for name, weight in _weights(whole).items():
        assert torch.equal(weight, _weights(resumed)[name]), name
    assert [e["loss"] for e in whole.log] == [e["loss"] for e in resumed.log]


@pytest.mark.filterwarnings("ignore:Mismatch dtype:UserWarning")  # torch's, of its own norm
def test_in_bfloat16_the_loss_falls_and_weights_stay_float32(
    vocabulary: NanoVocabulary, tmp_path: Path
) -> None:
    exact, trainer = (
        _trainer(tmp_path / f"{mixed}", vocabulary, mixed_precision=mixed)
        for mixed in (False, True)
    )
    exact.run()
    trainer.run()
    assert {weight.dtype for weight in _weights(trainer).values()} == {torch.float32}
    losses = [each.log[-1]["loss"] for each in (exact, trainer)]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    pairs = zip(_weights(exact).values(), _weights(trainer).values(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)  # it was not for nothing


def test_without_a_compiler_it_trains_and_says_so(
    vocabulary: NanoVocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.warns(UserWarning, match="no-such-compiler.*not compiled"):
        trainer = _trainer(tmp_path, vocabulary, compiled=True)
    assert trainer.run(until=1) is False
    assert trainer.step == 1


def test_a_damaged_checkpoint_is_told(vocabulary: NanoVocabulary, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 half of a")
    with pytest.raises(ModelFileError, match=r"checkpoint\.pt.*remove it"):
        _trainer(tmp_path, vocabulary)


def test_another_models_folder_is_refused(vocabulary: NanoVocabulary, tmp_path: Path) -> None:
    from pyslm.finetune.trainer import Trainer

    _trainer(tmp_path, vocabulary).run(until=1)
    other = ModelConfig(vocab_size=512, hidden=32, layers=1, heads=1, kv_heads=1, head_dim=32)
    with pytest.raises(InvalidRequestError, match="another model"):
        Trainer(tmp_path, other, PRESETS["tiny"][1])


def test_unknown_preset() -> None:
    with pytest.raises(InvalidRequestError, match="allowed: nano"):
        preset("giant")


# --- packing ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch(vocabulary: NanoVocabulary) -> Batch:
    return Rows(vocabulary, 4, 600, 0.1).fill(scenes(4, max_tools=2))


def test_branches_come_back_whole(batch: Batch, vocabulary: NanoVocabulary) -> None:
    """Prefix and one branch, as the mask joins them, are that conversation."""
    written = {tuple(ids) for scene in itertools.islice(scenes(4, max_tools=2), 40)
               for ids in _conversations(scene, vocabulary)}  # fmt: skip
    found = 0
    for row in range(4):
        keys = {(s, b) for s, b in zip(batch.scene[row], batch.branch[row], strict=True)
                if s >= 0 and b > 0}  # fmt: skip
        for scene, branch in keys:
            own = (batch.scene[row] == scene) & np.isin(batch.branch[row], (0, branch))
            assert tuple(batch.tokens[row][own].tolist()) in written
            assert batch.position[row][own].tolist() == list(range(own.sum()))
            found += 1
    assert found > 10


def _conversations(scene: Scene, vocabulary: NanoVocabulary) -> list[list[int]]:
    return [
        encode_pieces(
            vocabulary,
            [*write_prefix(scene.system, scene.tools), *write_messages(branch.messages)],
        )[0]
        for branch in scene.branches
    ]


def test_a_packed_conversation_computes_the_same_alone(batch: Batch) -> None:
    from pyslm.finetune.model import Nano, attention_mask

    torch.manual_seed(0)
    model = Nano(preset("tiny")[0])
    for weight in model.parameters():
        torch.nn.init.normal_(weight, 0, 0.1)
    put = torch.from_numpy
    with torch.no_grad():
        mask = attention_mask(put(batch.scene), put(batch.branch))
        packed = model(put(batch.tokens), put(batch.position), mask)[0][0]
        last = int(batch.scene[0].max())
        own = torch.from_numpy((batch.scene[0] == last) & np.isin(batch.branch[0], (0, 2)))
        tokens = put(batch.tokens)[0][own][None]
        zeros = torch.zeros_like(tokens)
        position = torch.arange(tokens.shape[1])[None]
        alone = model(tokens, position, attention_mask(zeros, zeros))[0][0]
    torch.testing.assert_close(packed[own], alone, atol=1e-5, rtol=1e-5)


def test_a_step_has_always_the_same_data(vocabulary: NanoVocabulary) -> None:
    _, config = preset("tiny")
    first, again = (batch_of_step(vocabulary, config, 7) for _ in range(2))
    other = batch_of_step(vocabulary, config, 8)
    assert np.array_equal(first.tokens, again.tokens)
    assert not np.array_equal(first.tokens, other.tokens)


def test_weights_fall_on_what_the_model_writes(batch: Batch, vocabulary: NanoVocabulary) -> None:
    """What follows a place of weight 1 is the model's: with each turn's end, without requests."""
    learned = batch.weight == 1.0
    following = np.roll(batch.tokens, -1, axis=1)
    ends = following == vocabulary.ids["<|end|>"]
    assert (ends & learned).sum() == ends.sum()
    assert not (learned & (following == vocabulary.ids["<|user|>"])).any()
    assert ((batch.category >= 0) == learned).all()


def test_decisions_weigh_more(vocabulary: NanoVocabulary) -> None:
    """Call or answer, which tool, whether one more: the first token of a turn, and those beside
    the marks of calls and of the end."""
    batch = Rows(vocabulary, 8, 600, 0.1, 4.0).fill(scenes(4, max_tools=2))
    opening, call, end = (vocabulary.ids[t] for t in ("<|assistant|>", "[TOOL_CALLS]", "<|end|>"))
    learned = batch.category >= 0
    following = np.roll(batch.tokens, -1, axis=1)
    called = learned & (batch.tokens == call)
    opened = batch.tokens == opening
    stops = learned & ((following == call) | (following == end))
    assert min(called.sum(), opened.sum()) > 2
    assert ((batch.weight == 4.0) == (opened | called | stops)).all()
    # Half as much: which argument and which value, and whether an argument follows.
    copied = (batch.source >= 0) & ~(opened | called | stops)
    assert (batch.weight[copied] == 2.0).all()
    closed = learned & (following == vocabulary.ids['"}'])
    assert closed.sum() > 2
    assert (batch.weight[closed] == 2.0).all()
    plain = learned & np.isin(following, [vocabulary.ids[t] for t in ('":', "[ARGS]")])
    assert (batch.weight[plain] == 1.0).all()


# --- the command --------------------------------------------------------------------------------


def test_one_command_trains_and_writes_all(
    vocabulary: NanoVocabulary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pyslm import LLM
    from pyslm.finetune.train import main

    vocabulary.save(tmp_path / "vocabulary.json")
    given = ["--preset", "tiny", "--out", str(tmp_path), "--steps", "6", "--device", "cpu"]
    assert main([*given, "--quantization", "Q9"]) == 1
    assert "Q9" in capsys.readouterr().err
    assert main(given) == 0
    output = capsys.readouterr()
    assert output.out.strip() == str(tmp_path / "model.gguf")
    assert "step 5: loss" in output.err
    assert (tmp_path / "loss.svg").read_text(encoding="utf-8").count("<svg") == 1
    assert len((tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    with LLM(tmp_path / "model.gguf") as llm:
        assert llm.info.name == "pyslm-nano"


def test_a_long_log_makes_a_small_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: the extra 'train'")
    from pyslm.finetune.plot import plot_losses

    def size(entries: int) -> int:
        draw = random.Random(0).random
        log = [{"step": n, "loss": draw(), "by_category": {"call": draw()}} for n in range(entries)]
        plot_losses(log, tmp_path / "loss.svg")
        return (tmp_path / "loss.svg").stat().st_size

    assert size(200) > 1.2 * size(20)
    assert size(20_000) < 1.2 * size(200)
    assert size(0)  # nothing yet


def test_heads_learn_to_look_at_what_is_copied(vocabulary: NanoVocabulary, tmp_path: Path) -> None:
    """The loss of looking elsewhere falls where it counts, and more than where it does not."""
    from pyslm.finetune.model import attention_mask

    wide = {"rows": 16, "row_tokens": 512}
    batch = batch_of_step(vocabulary, preset("tiny", source_weight=1.0, **wide)[1], 1000)
    assert (batch.source >= 0).sum() > 20

    def looks(source_weight: float) -> float:
        folder = tmp_path / str(source_weight)
        changes = {"steps": 25, "row_tokens": 512, "seed": 3}
        trainer = _trainer(folder, vocabulary, source_weight=source_weight, **changes)
        trainer.run()
        tokens, position = torch.from_numpy(batch.tokens), torch.from_numpy(batch.position)
        mask = attention_mask(torch.from_numpy(batch.scene), torch.from_numpy(batch.branch))
        with torch.no_grad():
            _, q, k = trainer.model(tokens, position, mask)
            return float(trainer._looks(batch, q, k, mask))

    told, untold = looks(1.0), looks(0.0)
    assert told < untold - 0.3


def test_the_last_layer_looks_from_where_something_is_learned_alone(
    vocabulary: NanoVocabulary,
) -> None:
    """What comes of it there, and its gradients, are the same as of all tokens."""
    from pyslm.finetune.model import POINTING, Nano, attention_mask
    from pyslm.finetune.trainer import _places

    torch.manual_seed(0)
    shape = dataclasses.replace(preset("tiny")[0], layers=POINTING + 2)
    model = Nano(shape)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    batch = batch_of_step(vocabulary, preset("tiny", rows=4)[1], 6)
    tokens, position = torch.from_numpy(batch.tokens), torch.from_numpy(batch.position)
    mask = attention_mask(torch.from_numpy(batch.scene), torch.from_numpy(batch.branch))
    learned = torch.from_numpy(batch.weight[:, :-1] > 0)
    assert len(set(learned.sum(1).tolist())) > 1  # rows lack some
    places, is_place = map(torch.from_numpy, _places(batch))
    assert places.shape[1] < tokens.shape[1]
    gradients = []
    results = []
    for given in (None, places):
        hidden, q, k = model(tokens, position, mask, given)
        found = hidden[:, :-1][learned] if given is None else hidden[is_place]
        model.zero_grad()
        (found.sin().sum() + q.sum() + k.sum()).backward()
        results.append(found.detach())
        gradients.append([weight.grad.clone() for weight in model.parameters()])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
    for whole, part in zip(*gradients, strict=True):
        torch.testing.assert_close(part, whole, rtol=1e-3, atol=1e-4)
