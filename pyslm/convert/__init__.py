"""Hugging Face folder (config.json, *.safetensors, tokenizer.json) -> GGUF.

`config` and `checkpoint` read the folder, `vocabulary` and `pre_tokenizer` its tokenizer; one file
per family says which tensors there are and what they become; `writer` writes.

To add a family: a file with a `FAMILY`, and its name in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gguf import GGML_QUANT_VERSION, GGUFWriter

from pyslm.convert import bert, llama, qwen2, qwen3
from pyslm.convert.checkpoint import Checkpoint
from pyslm.convert.config import Config
from pyslm.convert.family import Family, Layout
from pyslm.convert.vocabulary import Vocabulary, add_special_tokens, read_vocabulary
from pyslm.convert.writer import FILE_TYPES, plan, write_tensors
from pyslm.errors import (
    InvalidRequestError,
    ModelFileError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from pyslm.new_file import check_space, replacing

__all__ = ["FAMILIES", "convert"]

FAMILIES: tuple[Family, ...] = (llama.FAMILY, qwen2.FAMILY, qwen3.FAMILY, bert.FAMILY)


def convert(
    source_dir: Path,
    out: Path,
    dtype: str = "f16",
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Writes the model in `source_dir` to the GGUF file `out` and returns `out`.

    Args:
        source_dir: config.json, *.safetensors (whole or sharded) and tokenizer.json, or vocab.txt.
        out: replaced only when the new file is complete.
        dtype: of the matrices: "f32", "f16", "bf16" or "q8_0"; vectors stay F32.
        progress: called with the fraction done, 0 to 1.

    Raises:
        ModelNotFoundError: a needed file is missing.
        ModelFileError: a file is damaged, or tensors are missing or misshapen.
        UnsupportedModelError: an architecture, option or tokenizer that we cannot convert.
        InvalidRequestError: an unknown `dtype`, or an `out` that cannot be.
    """
    source_dir, out = Path(source_dir), Path(out)
    _check_arguments(source_dir, out, dtype)
    config = Config.read(source_dir)
    family = _find_family(config)
    layout = family.lay_out(config, source_dir)
    jobs = plan(Checkpoint(source_dir), family, layout.targets, dtype)
    vocabulary = read_vocabulary(source_dir, layout.vocab_size)
    check_space(out, sum(job.num_bytes for job in jobs))
    with replacing(out) as partial:
        writer = GGUFWriter(partial, family.gguf_architecture)
        try:
            _add_metadata(writer, config, layout, vocabulary, dtype)
            write_tensors(writer, jobs, progress)
        finally:
            writer.close()
    return out


def _check_arguments(source_dir: Path, out: Path, dtype: str) -> None:
    if dtype not in FILE_TYPES:
        raise InvalidRequestError(f"dtype is {dtype!r}; allowed: {', '.join(FILE_TYPES)}")
    if not source_dir.exists():
        raise ModelNotFoundError(f"no such folder: {source_dir}")
    if not source_dir.is_dir():
        raise ModelFileError(f"{source_dir} is not a folder; give one with config.json in it")
    if out.is_dir() or not out.parent.is_dir():
        raise InvalidRequestError(f"cannot write {out}: it must be a file in an existing folder")


def _find_family(config: Config) -> Family:
    if config.has("quantization_config"):
        raise UnsupportedModelError(
            f"{config.path}: the weights are quantized already ('quantization_config'); convert "
            "the original model, then quantize with `pyslm quantize`"
        )
    names = config.values.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise config.fail("architectures", "a list with the name of a model class")
    for family in FAMILIES:
        if names[0] in family.architectures:
            return family
    known = ", ".join(name for family in FAMILIES for name in family.architectures)
    raise UnsupportedModelError(f"{config.path}: architecture {names[0]}; supported: {known}")


def _add_metadata(
    writer: GGUFWriter, config: Config, layout: Layout, vocabulary: Vocabulary, dtype: str
) -> None:
    folder = config.path.parent
    writer.add_type("model")
    writer.add_name(Path(config.text("_name_or_path", "")).name or folder.resolve().name)
    layout.add_metadata(writer)
    writer.add_file_type(FILE_TYPES[dtype][1])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    vocabulary.add_to(writer, layout.vocab_size)
    add_special_tokens(writer, folder, vocabulary.tokens)
