"""Prints what a LoRA adapter costs: a prompt and decoding, with an adapter and without, in turns.

    python benchmarks/lora.py MODEL.gguf [--rank 16] [--streams 1] [--rounds 5] [--json]

The adapter changes every attention and feed-forward matrix, with random numbers: what it says does
not matter to the time it takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import gguf
import numpy as np

from pyslm import LLM, SamplingParams

LINEARS = ("attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "ffn_gate", "ffn_up")


def write_adapter(model: Path, target: Path, rank: int) -> None:
    """A random adapter of every linear layer."""
    reader = gguf.GGUFReader(model)
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 1.0)
    for tensor in reader.tensors:
        parts = tensor.name.split(".")
        if parts[0] != "blk" or parts[-1] != "weight" or parts[2] not in (*LINEARS, "ffn_down"):
            continue
        inputs, outputs = (int(n) for n in tensor.shape)
        small = np.float32(1e-3)
        a = rng.standard_normal((rank, inputs), dtype=np.float32) * small
        b = rng.standard_normal((outputs, rank), dtype=np.float32) * small
        writer.add_tensor(f"{tensor.name}.lora_a", a)
        writer.add_tensor(f"{tensor.name}.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def speeds(llm: LLM, adapter: str | None, streams: int, seed: int) -> tuple[float, float]:
    """Tokens per second of a prompt of 512, and of `streams` that decode 48 tokens each."""
    rng = np.random.default_rng(seed)
    ids = [rng.integers(10, 1000, 512).tolist() for _ in range(streams)]
    params = SamplingParams(max_tokens=49, temperature=0, ignore_eos=True, adapter=adapter)
    prompt = llm.generate(ids[0], params.replace(max_tokens=1)).timings.prompt_seconds
    results = llm.generate([i[:16] for i in ids], params)
    return 512 / prompt, 48 * streams / max(r.timings.decode_seconds for r in results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {"prompt 512": [], "decode": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "random.gguf"
        write_adapter(options.model, file, options.rank)
        with LLM(options.model, prefix_caching=False, adapters={"random": file}) as llm:
            speeds(llm, "random", options.streams, 0)  # warms up
            for seed in range(options.rounds):
                plain = speeds(llm, None, options.streams, seed)
                adapted = speeds(llm, "random", options.streams, seed)
                for name, with_it, without in zip(ratios, adapted, plain, strict=True):
                    ratios[name].append(with_it / without)
    medians = {name: statistics.median(values) for name, values in ratios.items()}
    if options.json:
        print(json.dumps({"rank": options.rank, "streams": options.streams, "ratio": medians}))
        return
    print(f"speed with an adapter of rank {options.rank}, over that without:")
    for name, ratio in medians.items():
        print(f"  {name:<12} {ratio:.2f}")


if __name__ == "__main__":
    main()
