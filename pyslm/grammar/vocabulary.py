"""A model's vocabulary as llguidance wants it, and the library that the native engine calls."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from pyslm.errors import UnsupportedModelError

if TYPE_CHECKING:
    from pyslm import _native
    from pyslm.tokenizer import Tokenizer

__all__ = ["grammar_compiler", "llguidance_library"]


def llguidance_library() -> Path:
    """The shared library inside llguidance's wheel, which exports its C functions.

    Found without importing the package: nothing of it runs in Python.
    """
    spec = importlib.util.find_spec("llguidance")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob("_lib*")):
            if path.suffix in (".so", ".pyd", ".dylib"):
                return path
    raise UnsupportedModelError(
        "structured output needs the package llguidance, which is not installed; "
        "run: pip install 'llguidance>=1.9.1,<1.10'"
    )


def grammar_compiler(tokenizer: Tokenizer, num_vocab: int) -> _native.GrammarCompiler:
    """Compiles grammars over a model's tokens.

    Args:
        tokenizer: gives the bytes of the tokens; control tokens go by their names.
        num_vocab: how many tokens the model has logits for.
    """
    from pyslm import _native

    pieces = tokenizer.all_token_bytes()
    for token, piece in enumerate(pieces):
        if not piece:
            pieces[token] = b"\xff" + tokenizer.token_text(token).encode()
    pieces += [b""] * (num_vocab - len(pieces))
    return _native.GrammarCompiler(str(llguidance_library()), pieces, sorted(tokenizer.eog_ids))
