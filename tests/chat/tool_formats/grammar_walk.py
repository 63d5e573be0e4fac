"""Random texts that a grammar accepts, drawn from llguidance's own masks."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import llguidance
import numpy as np

EOS = 256
# Once a text has become long, these are tried, and what ends it soon.
_ENDINGS = ["\n</parameter>\n", "</param>", "]]></param>", "</think>", "<channel|>", "<|end|>",
            "<tool_call|>", '<|"|>']  # fmt: skip
_CLOSING = [EOS, *b'"]})@']


class _Bytes:
    eos_token_id = EOS
    bos_token_id = None
    special_token_ids = (EOS,)

    def __init__(self, control: Mapping[str, int]) -> None:
        names = {index: f"\xff{name}" for name, index in control.items()}
        size = max(names, default=EOS) + 1
        self.tokens = [bytes([i]) for i in range(256)] + [b"\xff</s>"]
        for index in range(EOS + 1, size):
            name = names.get(index, f"\xff<unused{index}>")
            self.tokens.append(b"\xff" + name[1:].encode())
        self.special_token_ids = tuple(range(EOS, size))

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


class Walker:
    """A vocabulary of all bytes and some control tokens (ids from 257 on)."""

    def __init__(self, control: Mapping[str, int] | None = None) -> None:
        self._vocabulary = _Bytes(control or {})
        wrapper = llguidance.TokenizerWrapper(self._vocabulary)
        self._tokenizer = llguidance.LLTokenizer(wrapper)
        self._names = {index: name for name, index in (control or {}).items()}

    def walk(
        self, grammar: str, rng: random.Random, begun: Sequence[tuple[str, bool]] = ()
    ) -> list[tuple[str, bool]]:
        """Pieces of one text that `grammar` accepts: (text, whether it is a control token).

        `begun`: pieces that it begins with.
        """
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
        assert not matcher.is_error(), matcher.get_error()
        ids = {name: index for index, name in self._names.items()}
        tokens = [t for text, special in begun for t in ([ids[text]] if special else text.encode())]
        assert matcher.consume_tokens(tokens), matcher.get_error()
        patience = len(tokens) + 120
        while not matcher.is_stopped():
            mask = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
            allowed = np.flatnonzero(np.unpackbits(mask, bitorder="little")).tolist()
            chosen = self._choose(matcher, allowed, rng, len(tokens) > patience)
            if chosen == [EOS]:
                break
            assert matcher.consume_tokens(chosen), matcher.get_error()
            tokens += chosen
            assert len(tokens) < 5_000, f"no end: {bytes(t for t in tokens if t < 256)[:3000]}"
        return self._pieces(tokens)

    def _choose(
        self, matcher: llguidance.LLMatcher, allowed: list[int], rng: random.Random, hurry: bool
    ) -> list[int]:
        assert allowed
        if not hurry:
            likely = [token for token in allowed if 32 <= token < 127 or token >= EOS]
            return [rng.choice(likely if likely and rng.random() < 0.9 else allowed)]
        tokens = list(rng.choice(_ENDINGS).encode())
        if rng.random() < 0.7 and matcher.validate_tokens(tokens) == len(tokens):
            return tokens
        closing = [token for token in allowed if token in _CLOSING or token > EOS]
        return [rng.choice(closing or allowed)]

    def _pieces(self, tokens: list[int]) -> list[tuple[str, bool]]:
        pieces: list[tuple[str, bool]] = []
        run = bytearray()
        for token in [*tokens, EOS]:
            if token < EOS:
                run.append(token)
                continue
            if run:
                pieces.append((run.decode(), False))
                run.clear()
            if token != EOS:
                pieces.append((self._names[token], True))
        return pieces
