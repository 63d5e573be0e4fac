"""How far each weight format and each engine takes a model from itself.

    python benchmarks/accuracy.py MODEL.gguf
    python benchmarks/accuracy.py MODEL.gguf --types Q4_0,Q4_K --peer PYTHON-WITH-LLAMA-CPP

MODEL is best an F32, F16 or BF16 file. Its matrices are quantized to each type in turn, all of
them, and every row gives mean Kullback-Leibler divergences in nats per token, next-token
distributions over a text:

    format      of the decoded weights from the model's: what the quantizer lost
    pyslm       of pyslm from the decoded weights: what its arithmetic adds
    llama.cpp   of llama.cpp from the decoded weights, same file
    quantizer   as `format`, for a file from llama.cpp's own quantizer

The decoded weights run in the tests' NumPy reference, in float64: it needs 8 bytes a weight, and
minutes where a model has a billion.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from compare.peer import Peer  # noqa: E402
from reference import reference_logits  # noqa: E402
from reference.agreement import mean_kl  # noqa: E402
from reference.rewrite import Kind, rewrite  # noqa: E402

from pyslm import _native  # noqa: E402
from pyslm.tokenizer import load_tokenizer  # noqa: E402

TYPES = [
    "BF16",
    "F16",
    "Q8_0",
    "Q6_K",
    "Q5_K",
    "Q5_1",
    "Q5_0",
    "Q4_K",
    "Q4_1",
    "Q4_0",
    "IQ4_XS",
    "IQ4_NL",
    "MXFP4",
    "Q3_K",
    "Q2_K",
]
# llama.cpp's quantizer takes the names of mixes; made pure, these give one type throughout
PEER_NAMES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "MXFP4": "MXFP4_MOE"}


@dataclass(frozen=True, slots=True)
class Setting:
    """What all rows share. `ids` int32 [tokens]; `truth` float32 [tokens, vocabulary]."""

    model: Path
    ids: npt.NDArray[np.int32]
    truth: npt.NDArray[np.float32]
    threads: int
    peer: Peer | None


def quantize_with_pyslm(source: Path, target: Path, kind: Kind) -> Path:
    """All matrices whose rows divide into blocks become `kind`, the other ones F16."""
    block = gguf.GGML_QUANT_SIZES[kind][0]

    def kind_of(_: str, values: npt.NDArray[np.float32]) -> Kind:
        if values.ndim < 2:
            return Kind.F32
        return kind if values.shape[1] % block == 0 else Kind.F16

    def encode(values: npt.NDArray[np.float32], to: Kind) -> npt.NDArray[np.uint8]:
        blocks: npt.NDArray[np.uint8] = _native.quantize(to.name, values)
        return blocks.reshape(len(values), -1)

    return rewrite(source, target, kind=kind_of, quantize=encode)


def pyslm_logits(path: Path, setting: Setting) -> npt.NDArray[np.float32]:
    model = _native.Model(
        str(path),
        threads=setting.threads,
        kv_type="f16",
        context_length=len(setting.ids),
        max_sequences=1,
    )
    logits: npt.NDArray[np.float32] = model.logits(setting.ids)
    return logits


def bits_per_weight(path: Path) -> float:
    tensors = [t for t in gguf.GGUFReader(path).tensors if t.data.ndim > 1]
    return float(8 * sum(t.n_bytes for t in tensors) / sum(int(t.n_elements) for t in tensors))


def measure(setting: Setting, kind: str, folder: Path) -> list[str]:
    """One row of the table. IQ types are quantized by llama.cpp, as pyslm only reads them."""
    ours, theirs = folder / f"{kind}.gguf", folder / f"{kind}-llama.cpp.gguf"
    if setting.peer:
        setting.peer.quantize(setting.model, theirs, PEER_NAMES.get(kind, kind), pure=True)
    if not kind.startswith("IQ"):
        quantize_with_pyslm(setting.model, ours, Kind[kind])
    elif setting.peer:
        ours = theirs
    else:
        return [kind, *["-"] * 5]
    decoded = reference_logits(ours, setting.ids)
    cells = [kind, f"{bits_per_weight(ours):.2f}", _kl(setting.truth, decoded)]
    cells.append(_kl(decoded, pyslm_logits(ours, setting)))
    if setting.peer:
        n_ctx = max(256, len(setting.ids))
        cells.append(_kl(decoded, setting.peer.logits(ours, setting.ids, n_ctx, kv="f16")))
        cells.append(_kl(setting.truth, reference_logits(theirs, setting.ids)))
    return cells


def _kl(truth: npt.NDArray[np.float32], logits: npt.NDArray[np.float32]) -> str:
    return f"{mean_kl(truth, logits):.2e}"


def table(setting: Setting, kinds: list[str], progress: Callable[[str], object]) -> Table:
    out = Table("type", title=f"{setting.model.name}, {len(setting.ids)} tokens, KL in nats")
    headings = ["bits/weight", "format", "pyslm"]
    for heading in headings + (["llama.cpp", "quantizer"] if setting.peer else []):
        out.add_column(heading, justify="right")
    for kind in kinds:
        progress(kind)
        with tempfile.TemporaryDirectory() as folder:
            out.add_row(*measure(setting, kind, Path(folder))[: len(out.columns)])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--types", default=",".join(TYPES), help="separated by commas")
    parser.add_argument("--tokens", type=int, default=256, help="of the text")
    parser.add_argument("--text", type=Path, default=ROOT / "LICENSE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", help="a Python interpreter that has llama-cpp-python")
    args = parser.parse_args()
    kinds = args.types.upper().split(",")
    if unknown := [kind for kind in kinds if kind not in TYPES]:
        parser.error(f"unknown types {', '.join(unknown)}; known: {', '.join(TYPES)}")
    ids = load_tokenizer(args.model).encode(args.text.read_text(), add_special_tokens=True)
    ids = np.array(ids[: args.tokens], np.int32)
    peer = Peer(args.peer, args.threads, timeout_s=3600) if args.peer else None
    setting = Setting(args.model, ids, reference_logits(args.model, ids), args.threads, peer)
    console = Console()
    with console.status("quantizing") as status:
        result = table(setting, kinds, status.update)
    console.print(result)


if __name__ == "__main__":
    main()
