"""LoRA adapters by name: LLM.load_adapter and SamplingParams(adapter=...) (contract A3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference.lora import merged, random_deltas, write_adapter
from stories import stories

from pyslm import LLM, InvalidRequestError, SamplingParams


@pytest.fixture
def adapter(shared: Path, tmp_path: Path) -> Path:
    deltas = random_deltas(stories(shared), rank=4, seed=1)
    merged(stories(shared), tmp_path / "merged.gguf", deltas, alpha=4)
    return write_adapter(tmp_path / "pirate.gguf", "llama", deltas, alpha=4)


def test_chosen_by_request(shared: Path, adapter: Path) -> None:
    """A greedy story with the adapter is that of the merged model; without, the plain one's."""
    plain = SamplingParams(max_tokens=20, temperature=0)
    changed = plain.replace(adapter="pirate")
    with LLM(adapter.with_name("merged.gguf")) as llm:
        expected = llm.generate("Once upon a time", plain).text
    with LLM(stories(shared)) as llm:
        before = llm.generate("Once upon a time", plain).text
        loaded = llm.load_adapter(adapter)
        assert (loaded.name, loaded.path, list(llm.adapters)) == ("pirate", adapter, ["pirate"])
        texts = [r.text for r in llm.generate(["Once upon a time"] * 2, [plain, changed])]
        assert texts == [before, expected]
        assert before != expected
        asks = changed.replace(prompt_logprobs=0)
        ours = llm.generate("Once upon a time", asks).prompt_logprobs
        theirs = llm.generate("Once upon a time", asks.replace(adapter=None)).prompt_logprobs
        assert ours != theirs
        llm.unload_adapter("pirate")
        with pytest.raises(InvalidRequestError, match="adapter is 'pirate'; allowed: none"):
            llm.generate("Once", changed)
        with pytest.raises(InvalidRequestError, match="adapter is 'pirate'"):
            llm.unload_adapter("pirate")


def test_loaded_with_the_model_and_named(shared: Path, adapter: Path) -> None:
    with LLM(stories(shared), adapters={"a": adapter, "b": adapter}) as llm:
        assert list(llm.adapters) == ["a", "b"]
        with pytest.raises(InvalidRequestError, match="'a' is loaded already"):
            llm.load_adapter(adapter, "a")
        with pytest.raises(InvalidRequestError, match="allowed: a, b"):
            llm.generate("Once", SamplingParams(adapter="c"))
        stream = llm.stream("Once", SamplingParams(max_tokens=400, adapter="b", ignore_eos=True))
        next(stream)
        with pytest.raises(InvalidRequestError, match="still use the adapter"):
            llm.unload_adapter("b")
        stream.close()
        llm.unload_adapter("b")
        with pytest.raises(InvalidRequestError, match="adapter is 3"):
            SamplingParams(adapter=3)  # type: ignore[arg-type]
