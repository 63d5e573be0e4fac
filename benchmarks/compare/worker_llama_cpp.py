"""llama.cpp's side of the comparison, run by an interpreter that has llama-cpp-python.

Reads one JSON command a line, answers one JSON line: see `llama_cpp.py`.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import llama_cpp
import numpy as np


class Peer:
    """One model with the low-level interface: batches of sequences, greedy decoding."""

    def __init__(
        self, path: str, threads: int, context: int, kv_type: str, flash: int, repack: int
    ) -> None:
        llama_cpp.llama_backend_init()
        llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
        model = llama_cpp.llama_model_default_params()
        model.n_gpu_layers = 0
        model.use_extra_bufts = bool(repack)
        begin = time.perf_counter()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = params.n_ubatch = 512
        params.n_seq_max = 16
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = 1 if flash else 0
        kinds = {"f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0}
        params.type_k = params.type_v = kinds[kv_type]
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit("llama.cpp refused these settings")
        self.load_seconds = time.perf_counter() - begin
        self.num_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(512, 0, 16)

    def clear(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def decode(self, rows: list[tuple[int, int, int, bool]]) -> None:
        """Rows of (token, position, sequence, wants logits)."""
        for i, (token, position, sequence, wanted) in enumerate(rows):
            self.batch.token[i] = token
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = wanted
        self.batch.n_tokens = len(rows)
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(self.context)

    def prefill(self, prompt: list[int], sequence: int, known: int = 0) -> None:
        for at in range(known, len(prompt), 512):
            piece = prompt[at : at + 512]
            last = len(prompt) - 1 - at
            self.decode([(t, at + i, sequence, i == last) for i, t in enumerate(piece)])

    def tokens(self, n: int) -> list[int]:
        return [random.randrange(self.num_vocab) for _ in range(n)]

    def time_prompt(self, n: int) -> float:
        """Tokens per second of reading a prompt of n."""
        self.clear()
        prompt = self.tokens(n)
        begin = time.perf_counter()
        self.prefill(prompt, 0)
        return n / (time.perf_counter() - begin)

    def time_decode(self, batch: int, n: int, depth: int) -> float:
        """Tokens per second of all of `batch` sequences over n steps after `depth` tokens."""
        self.clear()
        for sequence in range(batch):
            self.prefill(self.tokens(depth), sequence)
        argmax = ctypes.c_int32 * batch
        current = list(argmax(*self.tokens(batch)))
        begin = time.perf_counter()
        for step in range(n):
            self.decode([(t, depth + step, s, True) for s, t in enumerate(current)])
            current = self.tokens(batch)
        return batch * n / (time.perf_counter() - begin)

    def time_turns(self, turns: list[list[Any]], keep: bool) -> list[float]:
        """Seconds of each of a conversation's [prompt, output tokens]; `keep`: what a prompt has in
        common with the one before it is not computed again."""
        self.clear()
        memory = llama_cpp.llama_get_memory(self.context)
        before: list[int] = []
        seconds = []
        for prompt, n in turns:
            begin = time.perf_counter()
            known = 0
            if keep:
                limit = min(len(before), len(prompt) - 1)
                while known < limit and before[known] == prompt[known]:
                    known += 1
            llama_cpp.llama_memory_seq_rm(memory, 0, known, -1)
            self.prefill(prompt, 0, known)
            for step, token in enumerate(self.tokens(n - 1)):
                self.decode([(token, len(prompt) + step, 0, True)])
            seconds.append(time.perf_counter() - begin)
            before = prompt
        return seconds

    def serve(self, trace: list[list[Any]], concurrency: int) -> list[list[Any]]:
        """As llama-server's slots: a step decodes one token of every slot that has its prompt, and
        fills the rest of the batch with prompts, oldest first. See worker_pyslm.py."""
        self.clear()
        slots: list[Slot | None] = [None] * 16
        waiting, done = deque(enumerate(trace)), list[Slot]()
        limit, start = concurrency or 16, time.perf_counter()
        while waiting or any(slots):
            now = time.perf_counter() - start
            for at, slot in enumerate(slots):
                running = sum(s is not None for s in slots)
                if slot is None and waiting and running < limit:
                    if not concurrency and waiting[0][1][0] > now:
                        break
                    index, (arrival, prompt, output) = waiting.popleft()
                    slots[at] = Slot(index, now if concurrency else arrival, prompt, output)
            active = [(at, slot) for at, slot in enumerate(slots) if slot is not None]
            if not active:
                time.sleep(max(0.0, waiting[0][1][0] - now))
                continue
            self._step(active)
            now = time.perf_counter() - start
            for at, slot in active:
                if slot.got_token:
                    slot.events.append([now, 1])
                if len(slot.events) == slot.output:
                    done.append(slot)
                    slots[at] = None
                    memory = llama_cpp.llama_get_memory(self.context)
                    llama_cpp.llama_memory_seq_rm(memory, at, -1, -1)
        return [[slot.sent, len(slot.prompt), slot.events] for slot in done]

    def _step(self, active: list[tuple[int, Slot]]) -> None:
        rows: list[tuple[int, int, int, bool]] = []
        wanting: list[tuple[Slot, int]] = []
        for at, slot in active:
            slot.got_token = False
            if slot.computed >= len(slot.prompt):
                wanting.append((slot, len(rows)))
                rows.append((slot.last, slot.computed, at, True))
                slot.computed += 1
        for at, slot in sorted(active, key=lambda pair: pair[1].index):
            if any(slot is decoding for decoding, _ in wanting):
                continue
            piece = slot.prompt[slot.computed : slot.computed + 512 - len(rows)]
            for token in piece:
                last = slot.computed == len(slot.prompt) - 1
                if last:
                    wanting.append((slot, len(rows)))
                rows.append((token, slot.computed, at, last))
                slot.computed += 1
        self.decode(rows)
        for slot, row in wanting:
            logits = llama_cpp.llama_get_logits_ith(self.context, row)
            values = np.ctypeslib.as_array(logits, (self.num_vocab,))
            slot.last, slot.got_token = int(values.argmax()), True


class Slot:
    """One running request."""

    def __init__(self, index: int, sent: float, prompt: list[int], output: int) -> None:
        self.index, self.sent, self.prompt, self.output = index, sent, prompt, output
        self.events: list[list[float]] = []
        self.computed = self.last = 0
        self.got_token = False


@llama_cpp.llama_log_callback
def quiet(level: int, text: bytes, user: object) -> None:
    """Drops the log."""


def main() -> None:
    peer = Peer(**json.loads(sys.stdin.readline()))
    # The library may print on stdout: answers go through a descriptor of our own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    print(json.dumps({"load_seconds": peer.load_seconds}), file=answers, flush=True)
    commands: dict[str, Callable[..., Any]] = {
        "prompt": peer.time_prompt,
        "decode": peer.time_decode,
        "serve": peer.serve,
        "turns": peer.time_turns,
        "rss": lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(commands[name](*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
