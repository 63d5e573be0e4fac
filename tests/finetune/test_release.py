"""How a trained model gets into the package, and out of it into the next training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from pyslm.chat.nearness import NearnessTable, NearnessWeights
from pyslm.errors import GGUFError, InvalidRequestError, ModelNotFoundError, UnsupportedModelError
from pyslm.finetune import release as module
from pyslm.finetune.config import preset
from pyslm.finetune.evaluation import Case, held_out_cases
from pyslm.finetune.evaluation.cases import MEASURES
from pyslm.finetune.vocabulary import NanoVocabulary
from pyslm.hub.embedded import embedded_folder

torch = pytest.importorskip("torch", reason="needs torch: the extra 'train'")
pytest.importorskip("matplotlib", reason="needs matplotlib: the extra 'train'")

FILES = {"pyslm-nano.gguf", "report.json", "loss.svg", "loss.jsonl"}


@pytest.fixture(scope="module")
def run(vocabulary: NanoVocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training, which was over before it learned much."""
    from pyslm.finetune.trainer import Trainer

    folder = tmp_path_factory.mktemp("run")
    model, train = preset("tiny", steps=4)
    Trainer(folder, model, train, vocabulary=vocabulary).run()
    return folder


@pytest.fixture(scope="module")
def cases() -> dict[str, list[Case]]:
    """One of each measure but "arguments", which comes with others."""
    found = {case.measure: case for case in held_out_cases(rounds=1)}
    return {"heldout": [found[measure] for measure in MEASURES if measure in found]}


@pytest.fixture
def package(tmp_path: Path, run: Path, cases: dict[str, list[Case]]) -> Path:
    """With a model that was released."""
    folder = tmp_path / "nano"
    module.release(run, folder, cases=cases)
    return folder


def claim(package: Path, right: int) -> dict[str, Any]:
    """Has the report say that in each measure so many of 10 cases were right."""
    report: dict[str, Any] = json.loads((package / "report.json").read_text())
    for measure in report["evaluation"]["measures"].values():
        measure |= {"constrained": [right, 10], "free": [right, 10]}
    (package / "report.json").write_text(json.dumps(report))
    return report


def test_the_report_says_how_it_was_made(package: Path, cases: dict[str, list[Case]]) -> None:
    assert {path.name for path in package.iterdir()} == FILES
    report = json.loads((package / "report.json").read_text())
    data = (package / "pyslm-nano.gguf").read_bytes()
    assert report["sha256"] == hashlib.sha256(data).hexdigest()
    assert (report["bytes"], report["quantization"]) == (len(data), "Q6_K")
    assert (report["seed"], report["steps"], report["tokens"]) == (0, 4, 4 * 2 * 256)
    assert report["begun_with"] is None
    assert report["recipe"]["warmup_steps"] == 2
    assert report["architecture"]["layers"] == 2
    evaluation = report["evaluation"]
    assert evaluation["cases"] == len(cases["heldout"])
    assert list(evaluation["measures"]) == list(MEASURES)
    for name, measure in evaluation["measures"].items():
        assert measure["wanted"] == MEASURES[name]
        if name != "arguments":
            assert measure["constrained"][1] == measure["free"][1] == 1


def test_a_better_one_stays(package: Path, run: Path, cases: dict[str, list[Case]]) -> None:
    claim(package, 10)
    before = {path.name: path.read_bytes() for path in package.iterdir()}
    with pytest.raises(InvalidRequestError, match=r"does better: 100\.0% of the cases"):
        module.release(run, package, cases=cases)
    assert {path.name: path.read_bytes() for path in package.iterdir()} == before
    module.release(run, package, cases=cases, force=True)
    assert (package / "report.json").read_bytes() != before["report.json"]


def test_a_claim_about_other_questions_is_not_believed(
    package: Path, run: Path, cases: dict[str, list[Case]]
) -> None:
    claim(package, 10)
    two = {"heldout": cases["heldout"][:2]}
    module.release(run, package, cases=two)  # the same model: no worse
    report = json.loads((package / "report.json").read_text())
    assert report["evaluation"]["cases"] == 2


def test_one_that_is_too_large_is_refused(
    run: Path, cases: dict[str, list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10_000)
    with pytest.raises(InvalidRequestError, match=r"may take 10,000"):
        module.release(run, tmp_path, cases=cases)
    assert not list(tmp_path.iterdir())


def test_what_is_no_training_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no checkpoint\.pt"):
        module.release(tmp_path, tmp_path)
    assert module.main([str(tmp_path), "--into", str(tmp_path)]) == 1
    assert "holds no training" in capsys.readouterr().err


def test_a_training_begins_with_what_was_released(
    package: Path, cases: dict[str, list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyslm.finetune.checkpoint import Checkpoint
    from pyslm.finetune.restore import restore
    from pyslm.finetune.train import train

    nano = package / "pyslm-nano.gguf"
    monkeypatch.setenv("PYSLM_NANO", str(nano))
    restored = restore(nano)
    out = tmp_path / "on"
    train(out, "tiny", start="nano", steps=3, until=1, threads=1)
    saved = Checkpoint.load(out / "checkpoint.pt")
    assert saved.model == restored.config
    assert NanoVocabulary.load(out / "vocabulary.json").tokens == restored.vocabulary.tokens
    for name, weight in restored.weights.items():  # one step away, and not where a fresh one is
        assert torch.allclose(saved.weights[name], weight, atol=0.05), name
    made = train(out, "tiny", start="nano", steps=3, threads=1)  # goes on
    module.release(out, tmp_path / "next", cases={"heldout": cases["heldout"][:1]})
    report = json.loads((tmp_path / "next" / "report.json").read_text())
    assert report["begun_with"] == hashlib.sha256(nano.read_bytes()).hexdigest()
    assert Checkpoint.load(out / "checkpoint.pt").step == 3
    assert made == out / "model.gguf"


def test_what_goes_on_keeps_its_steps_and_its_losses(
    package: Path, cases: dict[str, list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyslm.finetune.checkpoint import Checkpoint
    from pyslm.finetune.train import train

    losses = package / "loss.jsonl"
    losses.write_text('{"step": 3, "loss": 2.5, "by_category": {"call": 2.0}}\n')
    monkeypatch.setenv("PYSLM_NANO", str(package / "pyslm-nano.gguf"))
    train(tmp_path / "on", "tiny", start="nano", begin=4, steps=5, threads=1, seed=1)
    assert Checkpoint.load(tmp_path / "on" / "checkpoint.pt").step == 5
    one = {"heldout": cases["heldout"][:1]}
    module.release(tmp_path / "on", package, cases=one, force=True)
    assert json.loads((package / "report.json").read_text())["steps"] == 5
    told = [json.loads(line) for line in losses.read_text().splitlines()]
    assert [entry["step"] for entry in told] == [3, 5]
    assert told[0]["by_category"] == {"call": 2.0}

    module.release(tmp_path / "on", package, cases=one, force=True)  # the same once more
    told = [json.loads(line) for line in losses.read_text().splitlines()]
    assert [entry["step"] for entry in told] == [3, 5]

    about = package / "report.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"begun_with": "another"}))
    module.release(tmp_path / "on", package, cases=one, force=True)  # now it is another's
    told = [json.loads(line) for line in losses.read_text().splitlines()]
    assert [entry["step"] for entry in told] == [5]


def test_a_mean_of_two_is_released(
    package: Path, run: Path, cases: dict[str, list[Case]], tmp_path: Path
) -> None:
    from pyslm.finetune.checkpoint import Checkpoint
    from pyslm.finetune.restore import restore
    from pyslm.finetune.train import train

    other = train(
        tmp_path / "on", "tiny", start=str(package / "pyslm-nano.gguf"), steps=2, threads=1
    )
    one = {"heldout": cases["heldout"][:1]}
    module.release(
        run, package, cases=one, force=True, average=other, share=0.25, quantization="F32"
    )
    report = json.loads((package / "report.json").read_text())
    assert report["share"] == 0.25
    assert report["averaged_with"] == hashlib.sha256(other.read_bytes()).hexdigest()
    made, second = restore(package / "pyslm-nano.gguf"), restore(other)
    for name, first in Checkpoint.load(run / "checkpoint.pt").weights.items():
        mean = 0.25 * first + 0.75 * second.weights[name]
        assert torch.allclose(made.weights[name], mean, atol=1e-7), name


def vectors(path: Path, num_tokens: int) -> Path:
    rng = np.random.default_rng(0)
    table = NearnessTable.of(
        rng.normal(size=(num_tokens, 32)).astype(np.float32), "Q8_0", NearnessWeights(4, 0.25, 1, 2)
    )
    writer = gguf.GGUFWriter(path, "qwen3")
    table.add_to(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_vectors_come_along_and_stay(
    package: Path, run: Path, cases: dict[str, list[Case]], tmp_path: Path
) -> None:
    own = package / "pyslm-nano.gguf"
    assert NearnessTable.read(own) is None
    (tmp_path / "plain.gguf").write_bytes(own.read_bytes())
    given = vectors(tmp_path / "near.gguf", 512)
    one = {"heldout": cases["heldout"][:1]}
    for nearness in (given, None):
        module.release(run, package, cases=one, force=True, nearness=nearness)
        assert NearnessTable.read(own) == NearnessTable.read(given)
        report = json.loads((package / "report.json").read_text())
        assert report["nearness"] == {
            "type": "Q8_0", "dimensions": 32, "fit": 4, "neutral": 0.25, "tool": 1, "choice": 2
        }  # fmt: skip
    before = own.read_bytes()
    with pytest.raises(GGUFError, match="allowed: 512 tokens"):
        module.release(run, package, nearness=vectors(tmp_path / "other.gguf", 511))
    with pytest.raises(InvalidRequestError, match=r"has no vectors; make such a file"):
        module.release(run, package, nearness=tmp_path / "plain.gguf")
    with pytest.raises(InvalidRequestError, match=r"unknown format 'Q4_X' of token_embd"):
        module.release(run, package, token_embedding="Q4_X")
    assert own.read_bytes() == before


def test_no_mean_of_models_that_differ(
    package: Path, run: Path, cases: dict[str, list[Case]]
) -> None:
    nano = embedded_folder() / "pyslm-nano.gguf"
    with pytest.raises(InvalidRequestError, match="another shape or vocabulary"):
        module.release(run, package, cases=cases, average=nano)
    with pytest.raises(InvalidRequestError, match=r"share is 1\.0; allowed: above 0"):
        module.release(run, package, cases=cases, average=nano, share=1.0)


def test_it_begins_with_no_other_model(shared: Path, tmp_path: Path) -> None:
    from pyslm.finetune.train import train

    with pytest.raises(UnsupportedModelError, match=r"no model of `pyslm\.finetune`"):
        train(tmp_path / "x", start=str(shared / "models" / "stories260K.gguf"))
    assert not (tmp_path / "x").exists()
