"""llama.cpp behind a process border, so that it may live in an environment of its own.

The environment variable PYSLM_PEER_PYTHON names an interpreter that has llama-cpp-python. This
file is both sides: imported, it offers `Peer`; run by that interpreter, it reads a request (.npz:
arrays, and `options` as JSON) and writes the answer (.npz).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
GGML_TYPE = {"f32": 0, "f16": 1, "q8_0": 8}


@dataclass(frozen=True, slots=True)
class Peer:
    """Calls llama.cpp in the interpreter `python`. Errors raise RuntimeError with its stderr."""

    python: str
    threads: int = 2
    timeout_s: float = 300.0

    @classmethod
    def from_environment(cls) -> Peer | None:
        python = os.environ.get("PYSLM_PEER_PYTHON")
        return cls(python) if python else None

    def logits(self, model: str | Path, ids: Ids, n_ctx: int = 512, kv: str = "f32") -> Floats:
        """Logits float32 [tokens, vocabulary] at every position."""
        return self._call("logits", model, ids=ids, n_ctx=n_ctx, kv=kv)

    def greedy(self, model: str | Path, ids: Ids, n: int, n_ctx: int = 512, kv: str = "f32") -> Ids:
        """The n most likely next tokens, one after the other, end-of-text or not: int32 [n]."""
        return self._call("greedy", model, ids=ids, n_ctx=n_ctx, kv=kv, n=n).astype(np.int32)

    def embedding(self, model: str | Path, ids: Ids, n_ctx: int = 512) -> Floats:
        """One text's embedding, float32 [hidden], pooled as the file says, of length 1."""
        return self._call("embedding", model, ids=ids, n_ctx=n_ctx)

    def token_embeddings(self, model: str | Path, ids: Ids, n_ctx: int = 512) -> Floats:
        """The states float32 [tokens, hidden] before pooling."""
        return self._call("token_embeddings", model, ids=ids, n_ctx=n_ctx)

    def quantize(
        self, source: str | Path, target: str | Path, kind: str, pure: bool = False
    ) -> None:
        """Writes `target` with llama.cpp's own quantizer; kind as its tool spells it (Q4_K_M).
        `pure`: one type for all matrices in place of the mix."""
        self._call("quantize", source, target=str(target), kind=kind, pure=pure)

    def _call(self, task: str, model: str | Path, ids: Ids | None = None, **options: Any) -> Any:
        options |= {"task": task, "model": str(model), "threads": self.threads}
        with tempfile.TemporaryDirectory() as folder:
            request, answer = Path(folder, "request.npz"), Path(folder, "answer.npz")
            ids = np.zeros(0, np.int32) if ids is None else np.asarray(ids, np.int32)
            np.savez(request, options=json.dumps(options), ids=ids)
            done = subprocess.run(
                [self.python, __file__, str(request), str(answer)],
                capture_output=True,
                text=True,
                timeout=self.timeout_s,
                check=False,
                env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
            )
            if done.returncode:
                raise RuntimeError(f"llama.cpp: {task} of {model}: {done.stderr[-4000:]}")
            return np.load(answer)["result"]


# What follows runs in the peer's interpreter.


def _open(options: dict[str, Any], **more: Any) -> Any:
    import llama_cpp  # type: ignore[import-not-found]

    kv = GGML_TYPE[options.get("kv", "f32")]
    return llama_cpp.Llama(
        options["model"],
        n_ctx=options["n_ctx"],
        n_batch=options["n_ctx"],
        n_ubatch=options["n_ctx"],
        n_threads=options["threads"],
        n_threads_batch=options["threads"],
        type_k=kv,
        type_v=kv,
        verbose=True,  # to stderr, which the caller shows when this fails
        **more,
    )


def _logits(options: dict[str, Any], ids: Ids) -> Floats:
    llama = _open(options, logits_all=True)
    llama.eval(ids.tolist())
    return np.array(llama.scores[: len(ids)], np.float32)


def _greedy(options: dict[str, Any], ids: Ids) -> Ids:
    llama = _open(options, logits_all=True)
    out: list[int] = []
    pending = ids.tolist()
    for _ in range(options["n"]):
        llama.eval(pending)
        pending = [int(np.argmax(llama.scores[llama.n_tokens - 1]))]
        out += pending
    return np.array(out, np.int32)


def _embed(options: dict[str, Any], ids: Ids, per_token: bool) -> Floats:
    """Goes through the C functions, since the class would tokenize text."""
    import llama_cpp

    pooling = llama_cpp.LLAMA_POOLING_TYPE_NONE if per_token else -1
    llama = _open(options, embedding=True, pooling_type=pooling)
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids.tolist()):
        batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, i, 1
        batch.seq_id[i][0], batch.logits[i] = 0, 1
    if llama_cpp.llama_encode(llama.ctx, batch) != 0:
        raise RuntimeError("llama_encode failed")
    hidden = llama.n_embd()
    if per_token:
        rows = [llama_cpp.llama_get_embeddings_ith(llama.ctx, i)[:hidden] for i in range(len(ids))]
        return np.array(rows, np.float32)
    vector = np.array(llama_cpp.llama_get_embeddings_seq(llama.ctx, 0)[:hidden], np.float64)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def _quantize(options: dict[str, Any]) -> Ids:
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{options['kind']}")
    params.pure = options["pure"]
    params.allow_requantize = True
    params.nthread = options["threads"]
    status = llama_cpp.llama_model_quantize(
        options["model"].encode(), options["target"].encode(), params
    )
    if status:
        raise RuntimeError(f"llama_model_quantize returned {status}")
    return np.zeros(0, np.int32)


def _serve(request: str, answer: str) -> None:
    with np.load(request) as arrays:
        options, ids = json.loads(str(arrays["options"])), arrays["ids"]
    tasks = {
        "logits": lambda: _logits(options, ids),
        "greedy": lambda: _greedy(options, ids),
        "embedding": lambda: _embed(options, ids, per_token=False),
        "token_embeddings": lambda: _embed(options, ids, per_token=True),
        "quantize": lambda: _quantize(options),
    }
    np.savez(answer, result=tasks[options["task"]]())


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2])
