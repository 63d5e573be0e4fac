"""GGUF vocabulary -> token ids and back, on the `tokenizers` library.

`metadata` gives the file's keys, `vocabulary` checks them, `special` finds the tokens with a role;
`spm`, `bpe` and `wordpiece` build the encoder of one vocabulary kind each, `pre_tokenizers` is the
table of word patterns; `tokenizer` is the public class on top.
"""

from __future__ import annotations

from pyslm.tokenizer.tokenizer import Tokenizer, TokenizerInfo, load_tokenizer
from pyslm.tokenizer.vocabulary import TokenType

__all__ = ["TokenType", "Tokenizer", "TokenizerInfo", "load_tokenizer"]
