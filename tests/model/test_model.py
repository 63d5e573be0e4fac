"""Loading a model and asking it: what it says of itself, what it refuses, what it tells."""

from __future__ import annotations

import itertools
import re
import threading
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from embedded import embed
from tiny_gguf import (
    CONTEXT,
    HEAD_DIM,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    VOCAB,
    write_decoder,
    write_encoder,
)

from pyslm import _native
from pyslm.errors import (
    ContextLengthError,
    GGUFError,
    InsufficientMemoryError,
    InvalidRequestError,
    ModelNotFoundError,
)

IDS = np.arange(10, dtype=np.int32)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return write_decoder(tmp_path / "llama.gguf")


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "bert.gguf")


def test_info(llama: Path) -> None:
    info = _native.Model(str(llama), threads=1, context_length=128, max_sequences=3).info
    kv_bytes_per_token = LAYERS * 2 * KV_HEADS * HEAD_DIM * 2  # K and V, two bytes each
    want = {
        "architecture": "llama",
        "context_length": 128,
        "trained_context_length": CONTEXT,
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "file_type": "F32",
        "kv_type": "f16",
        "threads": 1,
        "file_bytes": llama.stat().st_size,
        "tensor_types": {"F32": 2 + 9 * LAYERS},
        "kv_bytes_per_token": kv_bytes_per_token,
        "kv_bytes": 3 * 128 * kv_bytes_per_token,
        "cache_groups": [{"window": 0, "num_blocks": 12, "block_tokens": 32}],
        "has_chat_template": False,
    }
    assert {key: info[key] for key in want} == want
    assert 1 <= info["weight_bytes"] / (4 * info["num_parameters"]) <= 1.06


def test_sliding_layers_have_a_cache_group_of_their_own(tmp_path: Path) -> None:
    path = write_decoder(tmp_path / "m.gguf", "gemma2", keys={"attention.sliding_window": 64})
    groups = _native.Model(str(path)).info["cache_groups"]
    assert [group["window"] for group in groups] == [0, 64]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("threads", -1),
        ("threads", 100_000),
        ("kv_type", "f64"),
        ("context_length", -1),
        ("context_length", CONTEXT + 1),
        ("max_sequences", 0),
        ("max_batch_rows", 0),
        ("block_tokens", 24),
    ],
)
def test_setting_out_of_range(llama: Path, setting: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=f"{setting}.*{value}"):
        _native.Model(str(llama), **{setting: value})


@pytest.mark.parametrize("bad", [-1, VOCAB, 2**31 - 1])
def test_token_out_of_range(llama: Path, bad: int) -> None:
    model = _native.Model(str(llama))
    with pytest.raises(InvalidRequestError, match=f"token id {bad}; allowed: 0 to {VOCAB - 1}"):
        model.logits(np.array([1, bad], np.int32))


def test_sequences_that_are_too_short_or_long(llama: Path, bert: Path) -> None:
    for path in (llama, bert):
        model = _native.Model(str(path))
        call = model.logits if path == llama else lambda ids, m=model: embed(m, [ids])
        with pytest.raises(InvalidRequestError, match="no tokens"):
            call(np.empty(0, np.int32))
        with pytest.raises(ContextLengthError, match=f"257 tokens.* holds {CONTEXT}"):
            call(np.zeros(CONTEXT + 1, np.int32))


def test_an_encoder_gives_no_logits(bert: Path) -> None:
    with pytest.raises(InvalidRequestError, match="bert is an encoder"):
        _native.Model(str(bert)).logits(IDS)


def test_chunks_must_match_the_sequences(llama: Path) -> None:
    model = _native.Model(str(llama))
    with pytest.raises(InvalidRequestError, match="2 chunk sizes for 3 sequences"):
        model.forward_batch([IDS] * 3, [1, 2])
    with pytest.raises(InvalidRequestError, match="chunk is 0"):
        model.logits(IDS, chunk=0)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=re.escape("nothing.gguf")):
        _native.Model(str(tmp_path / "nothing.gguf"))


def test_norm_that_is_not_finite(tmp_path: Path) -> None:
    norm = np.full(HIDDEN, np.nan, np.float32)
    path = write_decoder(tmp_path / "m.gguf", tensors={"output_norm.weight": norm})
    with pytest.raises(GGUFError, match=r"'output_norm\.weight' holds -?nan"):
        _native.Model(str(path))


# --- memory -----------------------------------------------------------------------------------


def huge_cache(path: Path) -> Path:
    """A small file whose cache takes 32 KiB a token, half a tebibyte for its whole context."""
    heads, dim = 4, 1024
    keys = {"context_length": 2**24, "attention.head_count_kv": heads}
    keys |= {"attention.key_length": dim, "attention.value_length": dim}
    tensors: dict[str, npt.NDArray[Any] | None] = {}
    for i in range(LAYERS):
        for name in "qkv":
            tensors[f"blk.{i}.attn_{name}.weight"] = np.zeros((heads * dim, HIDDEN), np.float16)
        tensors[f"blk.{i}.attn_output.weight"] = np.zeros((HIDDEN, heads * dim), np.float16)
    return write_decoder(path / "huge.gguf", keys=keys, tensors=tensors)


def test_context_that_does_not_fit_is_refused_before_loading(tmp_path: Path) -> None:
    loaded: list[float] = []
    with pytest.raises(InsufficientMemoryError) as caught:
        _native.Model(str(huge_cache(tmp_path)), context_length=2**24, progress=loaded.append)
    words = r"needs \d+ MiB \(weights \d+ MiB, KV cache of 16777216 tokens \d+ MiB, .* available: "
    assert re.search(words, str(caught.value))
    assert loaded == []


def test_context_left_open_becomes_what_fits(tmp_path: Path) -> None:
    model = _native.Model(str(huge_cache(tmp_path)))
    assert 512 <= model.info["context_length"] < 2**24
    assert model.logits(IDS).shape == (10, VOCAB)


# --- progress and threads ---------------------------------------------------------------------


def test_progress_rises_to_one(llama: Path) -> None:
    seen: list[float] = []
    _native.Model(str(llama), progress=seen.append)
    assert 1 <= len(seen) <= 2 + 9 * LAYERS  # at most every 100 ms, and at the end
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_an_error_of_the_callback_stops_loading(llama: Path) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _native.Model(str(llama), progress=stop)


def test_several_threads_may_ask_at_once(llama: Path) -> None:
    model = _native.Model(str(llama), threads=2)
    alone = [model.logits(np.full(n, n, np.int32)) for n in range(1, 9)]
    results: list[npt.NDArray[np.float32] | None] = [None] * 8

    def ask(i: int) -> None:
        results[i] = model.logits(np.full(i + 1, i + 1, np.int32), chunk=2)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, want in zip(results, alone, strict=True):
        np.testing.assert_array_equal(got, want)


# --- encoders ---------------------------------------------------------------------------------


def test_texts_of_one_call_do_not_touch_each_other(bert: Path) -> None:
    model = _native.Model(str(bert), max_batch_rows=64)
    texts = [np.arange(n, dtype=np.int32) % VOCAB for n in (1, 5, 32, 33, 200, 256, 3)]
    together = embed(model, texts)
    assert together.shape == (7, HIDDEN)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_array_equal(embed(model, [text])[0], row)


def test_a_token_sees_those_after_it(bert: Path) -> None:
    """With cls pooling only the first state counts: it moves with the last token of the text."""
    path = write_encoder(bert.with_name("cls.gguf"), pooling_type=2)
    a, b = embed(_native.Model(str(path)), [IDS, np.append(IDS[:-1], np.int32(77))])
    assert np.abs(a - b).max() > 1e-4


# --- a real model -----------------------------------------------------------------------------


def spm_encode(text: str, tokens: list[str], scores: npt.NDArray[np.float32]) -> list[int]:
    """Merges the neighbours whose union scores best, as SentencePiece's BPE does."""
    pieces = list("▁" + text.replace(" ", "▁"))
    index = {token: i for i, token in enumerate(tokens)}
    while True:
        pairs = [
            (float(scores[index[a + b]]), -i)
            for i, (a, b) in enumerate(itertools.pairwise(pieces))
            if a + b in index
        ]
        if not pairs:
            return [index[piece] for piece in pieces]
        at = -max(pairs)[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def test_stories260k_tells_its_story(shared: Path) -> None:
    path = shared / "models" / "stories260K.gguf"
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    scores = np.array(fields["tokenizer.ggml.scores"].contents(), np.float32)
    model = _native.Model(str(path), threads=1)
    ids = [1, *spm_encode("Once upon a time", tokens, scores)]
    start = len(ids)
    for _ in range(40):
        ids.append(int(model.logits(np.array(ids, np.int32))[-1].argmax()))
    text = "".join(tokens[i] for i in ids[start:]).replace("▁", " ")
    assert text.startswith(
        ", there was a little girl named Lily. She loved to play outside in the park."
    )
