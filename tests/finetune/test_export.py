"""The engine computes of the exported file what torch computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyslm import LLM, SamplingParams
from pyslm.finetune.config import preset
from pyslm.finetune.evaluate import main as evaluate_main
from pyslm.finetune.vocabulary import NanoVocabulary

torch = pytest.importorskip("torch", reason="needs torch: the extra 'train'")

_MESSAGES = [{"role": "user", "content": "What is the weather in Oslo?"}]
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


@pytest.fixture(scope="module")
def model() -> object:
    from pyslm.finetune.model import Nano

    torch.manual_seed(1)
    model = Nano(preset("tiny")[0])
    with torch.no_grad():  # as it begins, the layers add nothing
        for weight in model.parameters():
            weight.uniform_(0.5, 1.5) if weight.dim() == 1 else weight.normal_(0, 0.05)
    return model


@pytest.mark.parametrize(("quantization", "tolerance"), [("F32", 0.002), ("Q8_0", 0.1)])
def test_logits(
    model: object, vocabulary: NanoVocabulary, tmp_path: Path, quantization: str, tolerance: float
) -> None:
    from pyslm.finetune.export import export
    from pyslm.finetune.model import attention_mask

    path = export(model, vocabulary, tmp_path / "m.gguf", quantization)
    with LLM(path) as llm:
        ids = llm.encode_chat(_MESSAGES, _TOOLS)
        engine = llm.logits(ids)
        one = llm.generate(ids, SamplingParams(max_tokens=3, temperature=0.0))
    tokens = torch.tensor([ids])
    same = torch.zeros_like(tokens)
    with torch.no_grad():
        hidden, *_ = model(tokens, torch.arange(len(ids))[None], attention_mask(same, same))
        expected = model.logits(hidden)[0].numpy()
    assert np.abs(engine - expected).max() < tolerance * np.abs(expected).max()
    if quantization == "F32":
        assert one.token_ids[0] == expected[-1].argmax()


def test_the_evaluation_prints_its_table(
    model: object, vocabulary: NanoVocabulary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pyslm.finetune.export import export

    path = export(model, vocabulary, tmp_path / "m.gguf")
    assert evaluate_main([str(path), "--rounds", "1", "--max-tokens", "4", "--wrong", "1"]) == 0
    shown = capsys.readouterr().out
    assert "routing" in shown
    assert "0.0% of 48" in shown


def test_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate_main(["nowhere.gguf"]) == 1
    assert "nowhere.gguf" in capsys.readouterr().err
