"""Whole files: read back with the `gguf` package, which shares no code with the writer's input."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import gguf
import numpy as np
import pytest
from model_files import write_model

from pyslm import _native
from pyslm.errors import (
    GGUFError,
    InvalidRequestError,
    ModelFileError,
    ModelNotFoundError,
)
from pyslm.quant_mix import MIXES
from pyslm.quantize import quantize_file

# Relative root mean square error on Gaussian weights that each type keeps to.
TOLERANCE = {
    "F32": 1e-9, "F16": 3e-4, "BF16": 2e-3, "Q8_0": 7e-3, "Q6_K": 0.02, "Q5_K": 0.04, "Q5_1": 0.04,
    "Q5_0": 0.045, "Q4_K": 0.08, "Q4_1": 0.08, "Q4_0": 0.09, "MXFP4": 0.13, "Q3_K": 0.17,
    "Q2_K": 0.32,
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "source.gguf", layers=3)


def values(tensor: gguf.ReaderTensor) -> np.ndarray:
    shape = tuple(int(size) for size in reversed(tensor.shape))
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)


def assert_same_model(got: Path, want: Path) -> dict[str, str]:
    """Same tensors up to rounding, in the same order; returns the types by name."""
    ours, theirs = gguf.GGUFReader(got), gguf.GGUFReader(want)
    assert [t.name for t in ours.tensors] == [t.name for t in theirs.tensors]
    for a, b in zip(ours.tensors, theirs.tensors, strict=True):
        assert a.shape.tolist() == b.shape.tolist()
        x, y = values(a).astype(np.float64), values(b).astype(np.float64)
        assert np.isfinite(x).all()
        error = np.sqrt(np.mean((x - y) ** 2) / np.mean(y**2))
        assert error <= TOLERANCE[a.tensor_type.name], (a.name, a.tensor_type.name, error)
    return {t.name: t.tensor_type.name for t in ours.tensors}


@pytest.mark.parametrize("name", [name for name in MIXES if name != "MXFP4_MOE"])
def test_every_type_gives_a_file_with_the_same_weights(
    source: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out.gguf"
    report = quantize_file(source, out, name.lower())
    types = assert_same_model(out, source)
    assert MIXES[name].base in types.values()
    assert {t.name: t.type for t in report.tensors} == types
    assert report.type == name
    sizes = [t.n_bytes for t in gguf.GGUFReader(out).tensors]
    assert [t.num_bytes for t in report.tensors] == sizes
    assert report.num_bytes == sum(sizes)


def test_experts_as_mxfp4(tmp_path: Path) -> None:
    experts = write_model(tmp_path / "experts.gguf", layers=1, experts=4)
    quantize_file(experts, tmp_path / "out.gguf", "MXFP4_MOE")
    types = assert_same_model(tmp_path / "out.gguf", experts)
    assert types["blk.0.ffn_up_exps.weight"] == "MXFP4"
    assert types["blk.0.ffn_gate_inp.weight"] == "F16"
    assert types["blk.0.attn_q.weight"] == "Q8_0"


def test_metadata_is_kept_and_the_file_type_set(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source.gguf", layers=1, align=64)
    quantize_file(source, tmp_path / "out.gguf", "Q4_K_M")
    ours, theirs = gguf.GGUFReader(tmp_path / "out.gguf"), gguf.GGUFReader(source)
    assert ours.fields["general.file_type"].contents() == gguf.LlamaFileType.MOSTLY_Q4_K_M
    assert ours.fields["general.quantization_version"].contents() == gguf.GGML_QUANT_VERSION
    assert ours.alignment == 64
    assert all(tensor.data_offset % 64 == 0 for tensor in ours.tensors)
    own = {"general.file_type", "general.quantization_version"}
    keys = [key for key in theirs.fields if not key.startswith("GGUF.") and key not in own]
    assert len(keys) > 15
    for key in keys:
        assert ours.fields[key].types == theirs.fields[key].types, key
        parts = zip(ours.fields[key].parts, theirs.fields[key].parts, strict=True)
        assert all(a.tobytes() == b.tobytes() for a, b in parts), key


def test_the_result_does_not_depend_on_the_number_of_threads(source: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{threads}.gguf" for threads in (1, 3)]
    for threads, file in zip((1, 3), files, strict=True):
        quantize_file(source, file, "Q4_K_M", threads=threads)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_large_tensor_in_many_pieces_equals_one_call(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source.gguf", layers=0, rows=9000, tied=True)
    quantize_file(source, tmp_path / "out.gguf", "Q6_K", threads=2)
    tensor = gguf.GGUFReader(source).tensors[0]
    whole = _native.quantize("Q6_K", tensor.data.astype(np.float32).ravel())
    np.testing.assert_array_equal(
        gguf.GGUFReader(tmp_path / "out.gguf").tensors[0].data.ravel(), whole
    )


def test_memory_stays_near_the_size_of_the_largest_result(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source.gguf", layers=0, rows=64 << 10, tied=True)
    source_bytes = source.stat().st_size
    assert source_bytes > 32 << 20
    tracemalloc.start()
    try:
        report = quantize_file(source, tmp_path / "out.gguf", "Q8_0", threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < report.num_bytes + (12 << 20)


def test_progress_rises_to_the_total(source: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    report = quantize_file(
        source, tmp_path / "out.gguf", "Q4_0", progress=lambda *call: calls.append(call)
    )
    done = [call[1] for call in calls]
    assert done == sorted(done)
    assert done[-1] == report.source_bytes == calls[0][2]
    assert list(dict.fromkeys(call[0] for call in calls)) == [t.name for t in report.tensors]


def test_an_interrupted_run_leaves_the_old_file_and_nothing_else(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    out.write_bytes(b"precious")

    def interrupt(name: str, _done: int, _total: int) -> None:
        if name.startswith("blk.1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_file(source, out, "Q4_0", progress=interrupt)
    assert out.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [out]


def test_a_quantized_source_needs_consent(source: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.gguf", tmp_path / "twice.gguf"
    quantize_file(source, once, "Q8_0")
    with pytest.raises(InvalidRequestError, match=r"quantized already \(tensor 'token_embd.*Q8_0"):
        quantize_file(once, twice, "Q4_K_M")
    assert not twice.exists()
    quantize_file(once, twice, "Q4_K_M", allow_requantize=True)
    assert_same_model(twice, once)
    quantize_file(once, twice, "Q8_0")  # nothing to do is always allowed
    assert_same_model(twice, once)
    quantize_file(once, twice, "F32")  # and so is decoding
    assert set(assert_same_model(twice, once).values()) == {"F32"}


def test_reads_a_split_set(source: Path, tmp_path: Path) -> None:
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(tmp_path / "split.gguf", "llama", split_max_tensors=12)
    writer.add_block_count(3)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    first = tmp_path / "split-00001-of-00003.gguf"
    quantize_file(first, tmp_path / "out.gguf", "Q4_0")
    assert_same_model(tmp_path / "out.gguf", source)
    assert not any(
        key.startswith("split.") for key in gguf.GGUFReader(tmp_path / "out.gguf").fields
    )
    with pytest.raises(InvalidRequestError, match="is the source"):
        quantize_file(first, tmp_path / "split-00002-of-00003.gguf", "Q4_0")


def test_a_weight_that_is_not_finite_is_named(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "bad.gguf", "llama")
    x = np.zeros((6000, 256), np.float32)
    x[5000, 3] = np.nan
    writer.add_tensor("blk.0.attn_q.weight", x)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(
        InvalidRequestError, match=r"element 1280003 of tensor 'blk\.0\.attn_q\.weight' is nan"
    ):
        quantize_file(tmp_path / "bad.gguf", tmp_path / "out.gguf", "Q4_0")
    assert not (tmp_path / "out.gguf").exists()


def test_bad_arguments_are_refused_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(source.read_bytes())
    with pytest.raises(InvalidRequestError, match="unknown type 'Q4_Z'; choose one of"):
        quantize_file(source, out, "Q4_Z")
    with pytest.raises(InvalidRequestError, match="never quantized in place"):
        quantize_file(copy, copy, "Q4_0")
    with pytest.raises(InvalidRequestError, match="threads is 0; allowed: 1 to 1024"):
        quantize_file(source, out, "Q4_0", threads=0)
    with pytest.raises(InvalidRequestError, match="is a directory"):
        quantize_file(source, tmp_path, "Q4_0")
    with pytest.raises(InvalidRequestError, match="is not a directory; make it first"):
        quantize_file(source, tmp_path / "none" / "out.gguf", "Q4_0")
    with pytest.raises(ModelNotFoundError, match=r"none\.gguf: no such file"):
        quantize_file(tmp_path / "none.gguf", out, "Q4_0")
    (tmp_path / "text.gguf").write_bytes(b"not a model at all, just text")
    with pytest.raises(GGUFError):
        quantize_file(tmp_path / "text.gguf", out, "Q4_0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.gguf", "text.gguf"]
    assert copy.read_bytes() == source.read_bytes()


def test_a_full_disk_is_noticed_before_the_work(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("pyslm.new_file.shutil.disk_usage", lambda _path: Usage)
    with pytest.raises(ModelFileError, match=r"needs \d+ MiB and .* has 0 MiB free"):
        quantize_file(source, tmp_path / "out.gguf", "Q4_0")


def test_a_real_model_goes_through(shared: Path, tmp_path: Path) -> None:
    source = shared / "models" / "stories260K.gguf"
    report = quantize_file(source, tmp_path / "out.gguf", "Q8_0")
    types = assert_same_model(tmp_path / "out.gguf", source)
    assert types["blk.0.attn_q.weight"] == "Q8_0"
    assert types["blk.0.ffn_down.weight"] == "F16"  # its rows of 172 are no multiple of 32
    assert 8.5 < report.bits_per_weight < 11
