"""SentencePiece BPE ("llama"): pieces joined by score, unknown characters as bytes.

SentencePiece repeatedly joins the adjacent pair whose concatenation is the piece of highest score.
That is a BPE whose merges are all the ways to cut each piece in two known pieces, ranked by the
score of the whole; the `tokenizers` library runs it. Spaces are written U+2581.

Source: Kudo and Richardson 2018, arXiv:1808.06226.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import tokenizers
from tokenizers import normalizers, pre_tokenizers

from pyslm.errors import TokenizerError
from pyslm.tokenizer.backend import Backend, build_bpe, split_isolated
from pyslm.tokenizer.vocabulary import TokenType, Vocabulary

__all__ = ["SPACE", "build", "spm_token_bytes", "word_pattern"]

SPACE = "\u2581"
_HIDDEN = (TokenType.CONTROL, TokenType.UNKNOWN)
_MAX_JOINTS = 64
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def build(vocabulary: Vocabulary) -> Backend:
    """The backend of a "llama" vocabulary.

    Raises:
        TokenizerError: there are no scores.
    """
    if vocabulary.scores is None:
        raise TokenizerError("key 'tokenizer.ggml.scores' is missing; model 'llama' needs it")
    return Backend(
        partial(_text, vocabulary, vocabulary.scores),
        partial(spm_token_bytes, vocabulary),
        add_bos=True,
        add_space_prefix=True,
    )


def _text(vocabulary: Vocabulary, scores: Sequence[float]) -> tokenizers.Tokenizer:
    mergeable, tokens = _tokens(vocabulary)
    byte_fallback = all(f"<0x{byte:02X}>" in tokens for byte in range(256))
    text = tokenizers.Tokenizer(
        build_bpe(
            tokens,
            ranked_merges(mergeable, scores),
            unknown=_unknown(vocabulary, tokens),
            byte_fallback=byte_fallback,
        )
    )
    text.normalizer = normalizers.Replace(" ", SPACE)
    words = word_pattern(list(mergeable))
    if words:
        text.pre_tokenizer = pre_tokenizers.Sequence(split_isolated(words))
    return text


def _tokens(vocabulary: Vocabulary) -> tuple[dict[str, int], dict[str, int]]:
    """Pieces that merging may make, and those together with the byte pieces."""
    hidden = {vocabulary.tokens[i] for i in vocabulary.ids_of(*_HIDDEN)}
    tokens = {text: i for text, i in vocabulary.ids.items() if text not in hidden}
    bytes_ = {vocabulary.tokens[i] for i in vocabulary.ids_of(TokenType.BYTE)}
    return {text: i for text, i in tokens.items() if text not in bytes_}, tokens


def _unknown(vocabulary: Vocabulary, tokens: dict[str, int]) -> str | None:
    """Adds the unknown token, which no merge makes, to `tokens`; gives its text."""
    unknown = vocabulary.special.get("unknown", 0)
    if vocabulary.types[unknown] is not TokenType.UNKNOWN:
        return None
    text = vocabulary.tokens[unknown]
    tokens[text] = unknown
    return text


def ranked_merges(tokens: dict[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """All (left, right) whose concatenation is a token, best score first."""
    ranked = []
    for text in sorted(tokens, key=lambda text: -scores[tokens[text]]):
        for cut in range(1, len(text)):
            left = text[:cut]
            if left in tokens and text[cut:] in tokens:
                ranked.append((left, text[cut:]))
    return ranked


def word_pattern(pieces: Sequence[str]) -> str | None:
    """A regular expression that cuts text where no piece of `pieces` can reach across.

    Text is cut before a space, except after characters that some piece has before an inner space.
    Cutting changes no result; it lets the library cache words. None: too many such characters.
    """
    joints = set(re.findall(f"([^{SPACE}\0]){SPACE}", "\0".join(pieces)))
    if len(joints) > _MAX_JOINTS:
        return None
    rest = f"[^{SPACE}]*"
    if not joints:
        return f"{SPACE}+{rest}|[^{SPACE}]+"
    inner = "".join(re.escape(joint) for joint in sorted(joints))
    return f"(?:{SPACE}+{rest}|[^{SPACE}]+)(?:(?<=[{inner}]){SPACE}+{rest})*"


def spm_token_bytes(vocabulary: Vocabulary) -> list[bytes]:
    """Text bytes of each token: U+2581 is a space, "<0x0A>" is a byte, control tokens are empty."""
    pieces = []
    for text, token_type in zip(vocabulary.tokens, vocabulary.types, strict=True):
        byte = _BYTE.fullmatch(text) if token_type is TokenType.BYTE else None
        if token_type in _HIDDEN:
            pieces.append(b"")
        elif byte:
            pieces.append(bytes.fromhex(byte[1]))
        else:
            pieces.append(text.replace(SPACE, " ").encode())
    return pieces
