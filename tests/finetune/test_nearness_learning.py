"""Vectors of tokens that are learned from a teacher's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pyslm.errors import ModelNotFoundError  # noqa: E402
from pyslm.finetune.nearness import __main__ as command  # noqa: E402
from pyslm.finetune.nearness.learn import Learner, LearnerConfig, Text, joined  # noqa: E402
from pyslm.finetune.nearness.texts import agents, definitions, tools  # noqa: E402

TOKENS, TOPICS = 40, 5


def made(seed: int, num_groups: int) -> list[list[Text]]:
    """Texts of tokens that have each to do with a topic or with none; the teacher knows which."""
    rng = np.random.default_rng(seed)
    topic_of = np.arange(TOKENS) % (TOPICS + 3)  # the last three say nothing
    topics = np.eye(TOPICS, 16)
    groups = []
    for _ in range(num_groups):
        topic = rng.integers(TOPICS)
        own, idle = np.flatnonzero(topic_of == topic), np.flatnonzero(topic_of >= TOPICS)
        texts = []
        for _ in range(4):
            ids = np.concatenate([rng.choice(own, 2), rng.choice(idle, 3)])
            texts.append(Text(torch.tensor(ids), torch.tensor(topics[topic], dtype=torch.float)))
        groups.append(texts)
    return groups


def config(**changes: int) -> LearnerConfig:
    return LearnerConfig(dimensions=8, steps=150, shares={"own": 16, "definitions": 8}, **changes)


def cosines(vectors: np.ndarray, texts: list[Text]) -> np.ndarray:
    sums = np.array([vectors[text.ids.numpy()].sum(0) for text in texts])
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    return sums @ sums.T


def test_sums_are_as_near_as_the_teacher_finds_texts() -> None:
    groups = {"own": made(0, 60), "definitions": made(1, 60)}
    losses: list[float] = []
    vectors = Learner(groups, TOKENS, config()).run(lambda _, loss: losses.append(loss))
    assert vectors.shape == (TOKENS, 8)
    assert losses[-1] < losses[0] / 10
    unseen = [text for group in made(2, 20) for text in group]
    told = torch.stack([text.vector for text in unseen]).numpy()
    assert np.abs(cosines(vectors, unseen) - told @ told.T).mean() < 0.1
    lengths = np.linalg.norm(vectors, axis=1)
    idle = np.arange(TOKENS) % (TOPICS + 3) >= TOPICS
    assert lengths[idle].max() < lengths[~idle].min()  # what says nothing counts for little


def test_a_seed_says_what_is_learned() -> None:
    groups = {"own": made(0, 30), "definitions": made(1, 30)}
    first, again, other = (Learner(groups, TOKENS, config(seed=s)).run() for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_several_are_joined_without_loss_where_they_agree() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(TOKENS, 6)).astype(np.float32)
    turned = table @ np.linalg.qr(rng.normal(size=(6, 6)))[0].astype(np.float32)
    both = joined([table, turned])
    assert both.shape == table.shape
    np.testing.assert_allclose(both @ both.T, 2 * table @ table.T, atol=1e-3)


def test_texts_come_in_groups() -> None:
    drawn = tools(20, seed=3)
    assert drawn == tools(20, seed=3)
    assert len(drawn) == 20
    assert all(len(group) > 1 and ". " in group[0] for group in drawn)
    assert len(agents()) > 3000


def test_definitions_are_wordnet_s(tmp_path: Path) -> None:
    line = '00001740 03 n 02 dog 0 hunting_dog 0 000 | a canine; "the dog barked"; "good dog"  \n'
    for name in ("noun", "verb", "adj", "adv"):
        (tmp_path / f"data.{name}").write_text("  1 licence\n" + line * (name == "noun"))
    assert definitions(tmp_path) == [("dog, hunting dog. a canine", "the dog barked", "good dog")]
    with pytest.raises(ModelNotFoundError, match="wordnet-base"):
        definitions(tmp_path / "nowhere")


def test_bad_paths_are_told_in_a_line(
    tmp_path: Path, nano_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, nowhere = tmp_path / "out.gguf", str(tmp_path / "none")
    rest = ["--model", str(nano_file), "--out", str(out)]
    assert command.main([nowhere, str(nano_file), *rest]) == 1
    assert "wordnet-base" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--learners", "0"], "--learners is 0; allowed: 1 or more"),
        (["--steps", "-2"], "--steps is -2"),
        (["--type", "Q9"], "--type is 'Q9'; allowed: "),
        (["--out", "none/such/out.gguf"], "there is no folder"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_learned(
    more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wordnet, teacher = "no-wordnet", "no-teacher.gguf"  # not looked at
    assert command.main([wordnet, teacher, "--out", "out.gguf", *more]) == 1
    assert told in capsys.readouterr().err
