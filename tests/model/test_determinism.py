"""A token's logits depend on its own sequence only, to the bit: not on what runs beside it, on how
its prompt was cut into steps, or on the number of threads."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from embedded import embed

from pyslm import _native

Ids = npt.NDArray[np.int32]
VOCAB = 512
LENGTHS = [1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 100, 127, 130, 150, 5, 90]
CHUNKS = [1, 7, 32, 100]
# Windows with soft caps, two ropes with normed heads, fused tensors with long factors, multipliers.
FILES = [
    ("tiny-llama", "f32"),
    ("tiny-llama", "q8_0"),
    ("tiny-qwen2", "q4_0"),
    ("tiny-gemma2", "f32"),
    ("tiny-gemma3", "q8_0"),
    ("tiny-phi4", "f16"),
    ("tiny-granite", "q5_1"),
]


PROMPT_TOKENS = 300  # beyond the spans of 256 keys in which attention sums, and windows of 64


def in_one_step(ours: Any, prompt: Ids) -> npt.NDArray[np.float32]:
    logits: npt.NDArray[np.float32] = ours.logits(prompt, chunk=len(prompt))
    return logits


class Files:
    """Models of real architectures and a few million random weights, each written once."""

    def __init__(self, shared: Path, folder: Path) -> None:
        self._shared, self._folder = shared, folder

    @functools.cache  # noqa: B019 - lives as long as the session
    def path(self, shape: str, kind: str) -> str:
        target = self._folder / f"{shape}-{kind}.gguf"
        vocab = self._shared / "models" / "stories260K.gguf"
        script = self._shared / "tools" / "make_model.py"
        arguments = [shape, target, "--vocab", vocab, "--type", kind, "--std", "0.06"]
        subprocess.run([sys.executable, script, *map(str, arguments)], check=True, timeout=120)
        return str(target)

    @functools.cache  # noqa: B019
    def whole(self, shape: str, kind: str) -> npt.NDArray[np.float32]:
        """Logits of the prompt, computed with one thread in one step."""
        ours, prompt = model(self.path(shape, kind)), ids(PROMPT_TOKENS)
        return in_one_step(ours, prompt)


@pytest.fixture(scope="module")
def files(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(shared, tmp_path_factory.mktemp("models"))


def ids(n: int, seed: int = 0) -> Ids:
    return np.random.default_rng([n, seed]).integers(0, VOCAB, n, dtype=np.int32)


def model(path: str, threads: int = 1, **settings: Any) -> Any:
    return _native.Model(path, threads=threads, context_length=1024, **settings)


@pytest.mark.parametrize(("shape", "kind"), FILES)
def test_alone_as_in_a_batch_of_16(files: Files, shape: str, kind: str) -> None:
    """Lengths around the borders of blocks; chunks that put the sequences out of step."""
    ours = model(files.path(shape, kind), threads=2)
    prompts = [ids(n, i) for i, n in enumerate(LENGTHS)]
    chunks = [CHUNKS[i % len(CHUNKS)] for i in range(len(prompts))]
    together = ours.forward_batch(prompts, chunks)
    for prompt, rows in zip(prompts, together, strict=True):
        assert rows.shape == (len(prompt), VOCAB)
        np.testing.assert_array_equal(in_one_step(ours, prompt), rows)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("shape", "kind"), FILES)
def test_whole_as_in_chunks(files: Files, shape: str, kind: str, chunk: int) -> None:
    in_chunks = model(files.path(shape, kind)).logits(ids(PROMPT_TOKENS), chunk=chunk)
    np.testing.assert_array_equal(in_chunks, files.whole(shape, kind))


@pytest.mark.parametrize(("shape", "kind"), FILES)
def test_two_threads_as_one(files: Files, shape: str, kind: str) -> None:
    two, prompt = model(files.path(shape, kind), threads=2), ids(PROMPT_TOKENS)
    np.testing.assert_array_equal(in_one_step(two, prompt), files.whole(shape, kind))
    few = two.logits(prompt[:70], chunk=1)
    np.testing.assert_array_equal(few, files.whole(shape, kind)[:70])


@pytest.mark.parametrize("kv_type", ["f16", "bf16", "q8_0"])
def test_cache_types_and_blocks_of_16(files: Files, kv_type: str) -> None:
    ours = model(files.path("tiny-llama", "f32"), kv_type=kv_type, block_tokens=16)
    prompt = ids(PROMPT_TOKENS)
    np.testing.assert_array_equal(ours.logits(prompt, chunk=7), in_one_step(ours, prompt))
    wide = model(files.path("tiny-llama", "f32"), kv_type=kv_type, block_tokens=32)
    np.testing.assert_array_equal(in_one_step(wide, prompt), in_one_step(ours, prompt))


def test_decoder_embedding_is_that_of_the_last_token(files: Files) -> None:
    """Whatever the batch: so the last layer computes the last row alone as it does among others."""
    ours = model(files.path("tiny-qwen2", "q4_0"), max_batch_rows=48)
    texts = [ids(n, 3) for n in (1, 40, 100)]
    together = embed(ours, texts)
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_array_equal(embed(ours, [text])[0], row)
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-6)
