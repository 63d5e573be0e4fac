"""Adapters for larger models: trained by peft, run by the engine, which must agree (J1)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from reference.rewrite import rewrite
from stories import stories

from pyslm import LLM, SamplingParams
from pyslm.chat.template import ChatTemplate
from pyslm.cli import invoke
from pyslm.errors import InvalidRequestError, UnsupportedModelError
from pyslm.finetune.config import preset
from pyslm.finetune.data.spec import OwnData
from pyslm.finetune.vocabulary import NanoVocabulary
from pyslm.tokenizer import load_tokenizer

torch = pytest.importorskip("torch", reason="needs torch: the extra 'lora'")
pytest.importorskip("transformers", reason="needs transformers: the extra 'lora'")
pytest.importorskip("peft", reason="needs peft: the extra 'lora'")

from pyslm.finetune.export import export  # noqa: E402 (after the check)
from pyslm.finetune.lora import examples, train_lora  # noqa: E402
from pyslm.finetune.lora_file import write_adapter  # noqa: E402
from pyslm.finetune.lora_model import MODULES, LoraModel  # noqa: E402
from pyslm.finetune.model import Nano  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

PARAMETERS = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
TOOLS = [{"name": "open_valve", "description": "Open a valve.", "parameters": PARAMETERS}]
RANK = 2


@pytest.fixture(scope="module")
def qwen3(vocabulary: NanoVocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    # The loader takes a head of 128 for granted, which all published ones have.
    shape = {"heads": 1, "kv_heads": 1, "head_dim": 128}
    model = Nano(dataclasses.replace(preset("tiny")[0], **shape))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and "embed" not in name:
                weight.normal_(0, 0.1)
    return export(model, vocabulary, tmp_path_factory.mktemp("q") / "qwen3.gguf", "F32")


@pytest.fixture(scope="module")
def llama(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """stories260K with a template that describes tools."""
    template = (shared / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text()
    target = tmp_path_factory.mktemp("l") / "llama.gguf"
    metadata = {"tokenizer.chat_template": template, "llama.context_length": 2048}
    return rewrite(stories(shared), target, metadata=metadata)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    path = tmp_path / "tools.json"
    path.write_text(json.dumps(TOOLS))
    return path


@pytest.fixture(params=["qwen3", "llama"])
def base(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def engine_logprobs(llm: LLM, ids: list[int], adapter: str | None) -> dict[int, float]:
    """The most likely next tokens."""
    params = SamplingParams(max_tokens=1, temperature=0, logprobs=10, adapter=adapter)
    (result,) = llm.generate([ids], params)
    assert result.logprobs is not None
    return dict(result.logprobs[0].top)


def torch_logprobs(model: LoraModel, ids: list[int]) -> torch.Tensor:
    return torch.log_softmax(torch.from_numpy(model.logits(ids)[-1]), -1)


def test_the_engine_computes_what_was_trained(base: Path, tmp_path: Path) -> None:
    ids = [5, 17, 99, 230, 41, 7, 8, 300]
    model = LoraModel(base, RANK, "cpu", seed=0)
    untrained = torch_logprobs(model, ids)
    losses = [model.train([(ids, ids)], 0.02) for _ in range(8)]
    assert losses[-1] < losses[0]
    trained = torch_logprobs(model, ids)
    assert float((trained - untrained).abs().max()) > 0.1
    matrices = list(model.matrices())
    assert {module for _, module, _, _ in matrices} == set(MODULES)
    adapter = write_adapter(matrices, base, RANK, tmp_path / "a.gguf")
    with LLM(base, adapters={"a": adapter}) as llm:
        for name, wanted in ((None, untrained), ("a", trained)):
            for token, logprob in engine_logprobs(llm, ids, name).items():
                assert logprob == pytest.approx(float(wanted[token]), abs=5e-3), (name, token)


def test_what_assistants_say_is_learned(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    template = ChatTemplate.of(tokenizer)
    drawn = examples(OwnData(), template, tokenizer, seed=1)
    num_learned = 0
    for _ in range(10):
        ids, labels = next(drawn)
        assert len(ids) == len(labels)
        learned = [i for i, label in zip(ids, labels, strict=True) if label >= 0]
        assert [label for label in labels if label >= 0] == learned
        num_learned += len(learned)
        text = tokenizer.decode(learned, skip_special_tokens=False)
        assert "<|user|>" not in text
        assert "<|im_start|>user" not in text
    assert num_learned > 100


def test_a_whole_training(base: Path, tools: Path, tmp_path: Path) -> None:
    done: list[float] = []
    untouched = base.read_bytes()
    report = train_lora(
        tools, tmp_path / "out.gguf", base, steps=2, rank=RANK, num_cases=4, progress=done.append
    )
    assert done == [0.5, 1.0]
    assert (report.num_tools, report.num_cases) == (1, 4)
    assert report.out.exists() == report.improved
    assert base.read_bytes() == untouched
    assert {path.name for path in tmp_path.iterdir()} <= {"tools.json", "out.gguf"}


def test_the_verb(
    qwen3: Path, tools: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.gguf"
    verb = ["finetune", str(tools), "--lora", "--base", str(qwen3), "--out", str(out)]
    code = invoke([*verb, "--steps", "1", "--cases", "2"])
    told, error = capsys.readouterr()
    assert "2 requests for 1 tools" in told
    assert (code == 0) == out.exists()
    assert code == 0 or "is not written" in error


def test_tools_that_leave_no_room(llama: Path, tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    path.write_text(json.dumps([{**TOOLS[0], "description": "Open a valve. " * 2000}]))
    with pytest.raises(InvalidRequestError, match="the tools take"):
        train_lora(path, tmp_path / "o.gguf", llama, steps=1, num_cases=1)


def test_models_that_cannot_be_adapted(
    shared: Path, llama: Path, tools: Path, tmp_path: Path
) -> None:
    of: dict[str, Any] = {"steps": 1, "num_cases": 1}
    plain = stories(shared)
    with pytest.raises(Exception, match="chat template"):
        train_lora(tools, tmp_path / "o.gguf", plain, **of)
    other = rewrite(plain, tmp_path / "gpt2.gguf", metadata={"general.architecture": "gpt2"})
    with pytest.raises(UnsupportedModelError, match="is a gpt2 model"):
        train_lora(tools, tmp_path / "o.gguf", other, **of)
    with pytest.raises(InvalidRequestError, match="rank 0"):
        train_lora(tools, tmp_path / "o.gguf", llama, rank=0, **of)
    assert not (tmp_path / "o.gguf").exists()
