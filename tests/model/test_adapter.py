"""LoRA adapters against the same change merged into the weights (contract A3)."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from reference import reference_logits
from reference.agreement import rms_error
from reference.lora import LINEARS, Deltas, merged, random_deltas, write_adapter
from reference.rewrite import Kind
from reference.tiny_models import VARIANTS, TinyModels, token_ids

from pyslm import _native
from pyslm.errors import GGUFError, InvalidRequestError, UnsupportedModelError

ALPHA = 12.0
Key = tuple[int, int]  # which adapter, and the seed


def architecture_of(path: Path) -> str:
    return str(gguf.GGUFReader(path).fields["general.architecture"].contents())


def open_model(path: Path, threads: int = 2, rows: int = 512) -> _native.Model:
    return _native.Model(
        str(path), threads=threads, context_length=512, max_sequences=8, max_batch_rows=rows
    )


def all_logprobs(
    model: _native.Model, ids: npt.NDArray[np.int32], adapter: int, chunk: int = 512
) -> npt.NDArray[np.float32]:
    """Log-probabilities of every token after every one but the last: [n - 1, vocabulary]."""
    engine = _native.Engine(model, max_sequences=2, prefill_chunk=chunk)
    request = engine.add_scoring(ids, num_top=model.info["vocab_size"], adapter=adapter)
    rows = []
    while engine.step():
        if (update := engine.poll(request)) is not None:
            rows += update.logprobs
    if (update := engine.poll(request)) is not None:
        rows += update.logprobs
    out = np.empty((len(rows), model.info["vocab_size"]), np.float32)
    for row, entries in zip(out, rows, strict=True):
        for token, logprob in entries[1:]:
            row[token] = logprob
    return out


def log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    x = logits.astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("variant", ["llama", "qwen2-fused", "qwen3", "phi3", "gemma2", "granite"])
def test_as_if_merged(tiny_models: TinyModels, tmp_path: Path, variant: str) -> None:
    """Against the NumPy reference on the merged file; without adapter, against the plain one."""
    path, ids = tiny_models.path(variant), token_ids(60)
    deltas = random_deltas(path, rank=5, seed=1)
    file = write_adapter(tmp_path / "a.gguf", architecture_of(path), deltas, alpha=ALPHA)
    model = open_model(path)
    adapter = model.load_adapter(str(file))
    context = VARIANTS[variant].context_length
    changed = merged(path, tmp_path / "merged.gguf", deltas, ALPHA)
    truth = log_softmax(reference_logits(changed, ids, context, "f16")[:-1])
    plain = log_softmax(reference_logits(path, ids, context, "f16")[:-1])
    assert rms_error(truth.astype(np.float32), plain.astype(np.float32)) > 0.1
    assert rms_error(truth.astype(np.float32), all_logprobs(model, ids, adapter)) <= 2e-3
    assert rms_error(plain.astype(np.float32), all_logprobs(model, ids, -1)) <= 2e-3


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16, Kind.Q8_0], ids=lambda kind: kind.name)
def test_types_of_adapters(tiny_models: TinyModels, tmp_path: Path, kind: Kind) -> None:
    path, ids = tiny_models.path("llama"), token_ids(40)
    deltas = random_deltas(path, rank=32, seed=2)
    file = write_adapter(tmp_path / "a.gguf", "llama", deltas, alpha=ALPHA, kind=kind)
    rounded: Deltas = {name: (half(a, kind), half(b, kind)) for name, (a, b) in deltas.items()}
    changed = merged(path, tmp_path / "merged.gguf", rounded, ALPHA)
    model = open_model(path)
    truth = log_softmax(reference_logits(changed, ids, 512, "f16")[:-1]).astype(np.float32)
    assert rms_error(truth, all_logprobs(model, ids, model.load_adapter(str(file)))) <= 2e-3


def half(values: npt.NDArray[np.float32], kind: Kind) -> npt.NDArray[np.float32]:
    return np.asarray(gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind))


def test_a_factor_scales_the_change(tiny_models: TinyModels, tmp_path: Path) -> None:
    path, ids = tiny_models.path("llama"), token_ids(40)
    deltas = random_deltas(path, rank=4, seed=3)
    once = write_adapter(tmp_path / "a.gguf", "llama", deltas, alpha=ALPHA)
    model = open_model(path)
    thrice = write_adapter(tmp_path / "b.gguf", "llama", deltas, alpha=3 * ALPHA)
    a = all_logprobs(model, ids, model.load_adapter(str(once), 3.0))
    b = all_logprobs(model, ids, model.load_adapter(str(thrice)))
    np.testing.assert_allclose(a, b, atol=1e-4)
    nothing = all_logprobs(model, ids, model.load_adapter(str(once), 0.0))
    np.testing.assert_array_equal(nothing, all_logprobs(model, ids, -1))


@pytest.fixture
def mixed(tiny_models: TinyModels, tmp_path: Path) -> tuple[Path, list[Path]]:
    """A quantized model and three adapters of other ranks and layers."""
    path = tiny_models.path("llama", Kind.Q8_0)
    files = [
        write_adapter(
            tmp_path / f"{rank}.gguf", "llama", random_deltas(path, rank, rank, names), alpha=ALPHA
        )
        for rank, names in [(1, LINEARS), (8, ("attn_q", "attn_v")), (17, ("ffn_down", "ffn_up"))]
    ]
    return path, files


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("chunk", [3, 64])
def test_mixed_in_one_batch_as_alone(
    mixed: tuple[Path, list[Path]], threads: int, chunk: int
) -> None:
    """To the bit, whatever the company, the chunks and the threads; prefixes are not shared."""
    path, files = mixed
    shared_prompt = [int(token) for token in token_ids(70, seed=9)]

    def run(
        which: list[tuple[int, int]], threads: int, chunk: int
    ) -> dict[tuple[int, int], object]:
        model = open_model(path, threads)
        adapters = [-1, *(model.load_adapter(str(file)) for file in files)]
        engine = _native.Engine(model, 8, chunk)
        asked = {
            engine.add(
                [*shared_prompt, seed],
                _native.SamplingParams(
                    max_tokens=12, seed=seed, adapter=adapters[index], logprobs=3, ignore_eos=True
                ),
            ): (index, seed)
            for index, seed in which
        }
        while engine.step():
            pass
        engine.verify()
        updates = {key: engine.poll(request) for request, key in asked.items()}
        return {key: (u.tokens, u.logprobs) for key, u in updates.items() if u is not None}

    everyone = [(index, seed) for seed in (5, 6) for index in range(4)]
    together = run(everyone, threads, chunk)
    for key in everyone:
        assert run([key], 1, 512)[key] == together[key]
    answers = [str(together[index, 5]) for index in range(4)]
    assert len(set(answers)) == 4


def test_numbers_are_never_used_twice_and_unloading_waits(mixed: tuple[Path, list[Path]]) -> None:
    path, files = mixed
    model = open_model(path)
    engine = _native.Engine(model, 2)
    first = model.load_adapter(str(files[0]))
    params = _native.SamplingParams(max_tokens=50, adapter=first, ignore_eos=True)
    request = engine.add([1, 2, 3], params)
    engine.step()
    with pytest.raises(InvalidRequestError, match="1 requests still use the adapter"):
        engine.unload_adapter(first)
    engine.abort(request)
    engine.unload_adapter(first)
    with pytest.raises(InvalidRequestError, match=f"adapter {first} is not loaded"):
        engine.add([1, 2, 3], params)
    with pytest.raises(InvalidRequestError, match="not loaded"):
        engine.unload_adapter(first)
    assert model.load_adapter(str(files[1])) != first


def refused(model: _native.Model, path: Path, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model.load_adapter(str(path))


def test_files_that_are_no_adapter_of_this_model(tiny_models: TinyModels, tmp_path: Path) -> None:
    path = tiny_models.path("llama")
    model = open_model(path)
    good = random_deltas(path, rank=4, seed=1, names=("attn_q",))
    name, (a, b) = next(iter(good.items()))

    def adapter(deltas: Deltas, **options: str) -> Path:
        arguments = {"architecture": "llama"} | options
        target = tmp_path / f"{len(list(tmp_path.iterdir()))}.gguf"
        return write_adapter(target, deltas=deltas, alpha=ALPHA, **arguments)  # type: ignore[arg-type]

    refused(model, path, UnsupportedModelError, "a model, not an adapter")
    refused(
        model, adapter(good, architecture="qwen2"), UnsupportedModelError, "for qwen2, .* llama"
    )
    refused(
        model, adapter(good, adapter_type="dora"), UnsupportedModelError, '"dora"; allowed: lora'
    )
    refused(model, adapter({}), GGUFError, "no tensors")
    embd = {"token_embd.weight": (a, b)}
    refused(model, adapter(embd), UnsupportedModelError, "'token_embd.weight.lora_a' .* allowed")
    refused(model, adapter({"blk.99.attn_q.weight": (a, b)}), UnsupportedModelError, "blk.99")
    refused(model, adapter({name: (a[:, 1:], b)}), GGUFError, r"shape .*; expected from the model")
    refused(model, adapter({name: (a, b[1:])}), GGUFError, r"shape .*; expected from the model")
    refused(model, adapter({name: (a, b[:, 1:])}), GGUFError, r"shape .*; expected from the model")
    nan = b.copy()
    nan[0, 0] = np.nan
    refused(model, adapter({name: (a, nan)}), GGUFError, "holds .*nan; allowed: finite")
    whole = adapter(good).read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / f"cut{length}.gguf"
        cut.write_bytes(whole[:length])
        with pytest.raises((GGUFError, OSError)):
            model.load_adapter(str(cut))
    for scale in (float("nan"), float("inf"), 1e9):
        with pytest.raises(InvalidRequestError, match="scale"):
            model.load_adapter(str(adapter(good)), scale)


def test_half_a_pair_is_refused(tiny_models: TinyModels, tmp_path: Path) -> None:
    path = tiny_models.path("llama")
    name, (a, _) = next(iter(random_deltas(path, 4, 1, ("attn_q",)).items()))
    writer = gguf.GGUFWriter(tmp_path / "half.gguf", "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1.0)
    writer.add_tensor(f"{name}.lora_a", a)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    refused(open_model(path), tmp_path / "half.gguf", GGUFError, "lora_b' is not; .* has both")
