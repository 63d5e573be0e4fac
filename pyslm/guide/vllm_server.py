"""`python -m pyslm.guide.vllm_server`: a server of one model, with vLLM's flags.

What vLLM takes and our engine does by itself is accepted; what it cannot do is accepted and said.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

import psutil

from pyslm.errors import ModelNotFoundError, PyslmError
from pyslm.hub import ModelStore, resolve
from pyslm.hub.names import is_path
from pyslm.hub.quants import bits_per_weight, canonical_quant

__all__ = ["main", "plain_model", "serve_arguments"]

QUANTIZATIONS = {
    "awq": "Q4_K_M",
    "awq_marlin": "Q4_K_M",
    "gptq": "Q4_K_M",
    "gptq_marlin": "Q4_K_M",
    "int4": "Q4_K_M",
    "bitsandbytes": "Q4_K_M",
    "int8": "Q8_0",
    "fp8": "Q8_0",
}
"""vLLM's names of quantizations -> ours of the same number of bits."""

_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_WITHOUT_EFFECT = (
    ("tensor_parallel_size", 1, "all cores of this machine work together as it is"),
    ("pipeline_parallel_size", 1, "all cores of this machine work together as it is"),
    ("speculative_model", None, "this server does not speculate"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves; returns when it is stopped."""
    given = _parser().parse_args(arguments)
    for name, usual, reason in _WITHOUT_EFFECT:
        value = getattr(given, name)
        if value != usual:
            flag = name.replace("_", "-")
            print(f"--{flag} {value} has no effect: {reason}", file=sys.stderr)
    from pyslm.cli import invoke
    from pyslm.cli.app import build_app

    try:
        own = serve_arguments(given, find_model(given.model, given.quantization))
    except PyslmError as error:
        print(f"{error}", file=sys.stderr)
        return 2
    return invoke(["serve", *own], build_app, "pyslm")


def serve_arguments(given: argparse.Namespace, model: str) -> list[str]:
    """Those of `pyslm serve`."""
    budget = int(given.gpu_memory_utilization * psutil.virtual_memory().total)
    found = [model, "--host", given.host, "--port", str(given.port)]
    names = given.served_model_name or [given.model]
    found += [f"--name={name}" for name in names]
    found += ["--memory-budget", str(budget), "--responses-db", ":memory:"]
    numbers = {
        "--ctx": given.max_model_len,
        "--parallel": given.max_num_seqs,
        "--batch": given.max_num_batched_tokens,
    }
    found += [text for flag, n in numbers.items() if n is not None for text in (flag, str(n))]
    if given.api_key:
        found += ["--api-key", given.api_key]
    elif given.host not in ("127.0.0.1", "localhost", "::1"):
        found.append("--insecure")  # vLLM's users expect it: they have said the address
    if given.disable_log_requests:
        found += ["--log-level", "warning"]
    return found


def find_model(name: str, quantization: str | None = None) -> str:
    """What `pyslm serve` calls a model; brought if it is not here.

    Raises:
        ModelNotFoundError: nobody has it.
        DownloadError: it did not come.
    """
    if is_path(name):
        return name
    quant = _quant(quantization)
    wanted = plain_model(name) if quant is None else f"{plain_model(name)}:{quant}"
    try:
        resolve(wanted)
    except ModelNotFoundError:
        return ModelStore().pull(wanted).name
    return wanted


def plain_model(name: str) -> str:
    """Of Hugging Face's "owner/model", which holds weights of another form, the name under which
    the catalog has it."""
    if not _HUB.fullmatch(name):
        return name
    short = name.rpartition("/")[2].lower()
    known = ModelStore().catalog
    for spelling in (short, short.removesuffix("-instruct"), short.removeprefix("meta-")):
        if known.find(spelling) is not None:
            return spelling
    return f"hf:{name}" if short.endswith("gguf") else short


def _quant(name: str | None) -> str | None:
    if name is None:
        return None
    quant = canonical_quant(QUANTIZATIONS.get(name.lower(), name))
    if bits_per_weight(quant) is None:
        allowed = ", ".join([*QUANTIZATIONS, "or ours, such as Q5_K_M"])
        raise ModelNotFoundError(f"--quantization {name!r} is not known; allowed: {allowed}")
    return quant


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pyslm.guide.vllm_server", description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--served-model-name", nargs="+", action="extend")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--api-key")
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--max-num-seqs", type=int)
    parser.add_argument("--max-num-batched-tokens", type=int)
    parser.add_argument("--gpu-memory-utilization", type=_share, default=0.9)
    parser.add_argument("--quantization")
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--pipeline-parallel-size", type=int, default=1)
    parser.add_argument("--speculative-model")
    parser.add_argument("--guided-decoding-backend")  # grammars are part of our engine
    for flag in ("trust-remote-code", "disable-log-requests"):
        parser.add_argument(f"--{flag}", action="store_true")
    for flag in ("enable-prefix-caching", "enable-chunked-prefill"):  # both always are
        parser.add_argument(f"--{flag}", action="store_true")
    return parser


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share; allowed: above 0, at most 1")
    return share


if __name__ == "__main__":
    sys.exit(main())
