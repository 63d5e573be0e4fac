"""Engines over the toy runner that follow grammars."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from pyslm._native import Engine, GrammarCompiler, SamplingParams, testing
from pyslm.grammar import json_schema_grammar
from pyslm.grammar.vocabulary import llguidance_library

PIECES = [
    *(bytes([i]) for i in range(256)),
    *(b'{"', b'":', b'",', b'"}', b'": ', b"}}", b"],", b"[[", b"null", b"true", b"false", b", "),
    *(b"10", b"00", b"-1", b"0.", b"name", b"id", b"ab", b"abc", b"yes", "é".encode()),
    *("日".encode(), "日本".encode(), "本".encode()[:2], b"\\u00", b'\\"', b"20", b"-0", b"::"),
]
EOS = len(PIECES)
SECOND_EOS = EOS + 1
CONTROL = EOS + 2
NUM_VOCAB = EOS + 3
TOKEN_BYTES = [*PIECES, b"", b"", b""]
NAMED_BYTES = [*PIECES, b"\xff</s>", b"\xff<|end|>", b"\xff<|tool|>"]
STOP_TOKENS = [EOS, SECOND_EOS]


class Guided:
    """An engine, its runner and its compiler."""

    def __init__(
        self, max_sequences: int = 8, prefill_chunk: int = 64, max_draft: int = 0, **runner: Any
    ) -> None:
        options = {"context_length": 4096, "groups": [(0, 4096, 16)], **runner}
        self.runner = testing.TestRunner(num_vocab=NUM_VOCAB, **options)
        self.compiler = GrammarCompiler(str(llguidance_library()), NAMED_BYTES, STOP_TOKENS)
        self.engine = Engine(
            self.runner,
            max_sequences,
            prefill_chunk,
            TOKEN_BYTES,
            STOP_TOKENS,
            max_draft=max_draft,
            adaptive_draft=False,
        )
        self.engine.use_grammars(self.compiler)

    def add(self, kind: str = "", text: Any = "", **fields: Any) -> int:
        if not isinstance(text, str):
            text = json_schema_grammar(text)
        fields = {"max_tokens": 400, **fields}
        params = SamplingParams(grammar_type=kind, grammar=text, **fields)
        return self.engine.add([1, 2, 3], params)

    def run(self) -> None:
        while self.engine.step():
            pass

    def one(self, kind: str = "", text: Any = "", **fields: Any) -> Any:
        """The only update of a request that ran alone."""
        request = self.add(kind, text, **fields)
        self.run()
        return self.engine.poll(request)


def parse(text: bytes) -> Any:
    """JSON as written: no number is rounded before it is validated."""
    return json.loads(text.decode(), parse_float=Decimal)
