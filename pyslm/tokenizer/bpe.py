"""Byte-level BPE ("gpt2"), and the BPE over characters of Gemma 4 ("gemma4").

Source: Radford et al. 2019 (GPT-2); the byte alphabet is that of its `encoder.py`.
"""

from __future__ import annotations

import contextlib
from functools import partial
from itertools import accumulate, pairwise, repeat

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from pyslm.errors import TokenizerError
from pyslm.tokenizer.backend import Backend, build_bpe, split_isolated
from pyslm.tokenizer.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer
from pyslm.tokenizer.short_bpe import ShortBpe
from pyslm.tokenizer.spm import spm_token_bytes, word_pattern
from pyslm.tokenizer.vocabulary import TokenType, Vocabulary

__all__ = ["build"]

_HIDDEN = (TokenType.CONTROL, TokenType.UNKNOWN)
_MANY_MERGES = 50_000


def build(vocabulary: Vocabulary) -> Backend:
    """The backend of a "gpt2" or "gemma4" vocabulary.

    Raises:
        TokenizerError: the pre-tokenizer is unknown, there are no merges, or (when text is first
            encoded) they do not fit the tokens.
    """
    pre = _pre_tokenizer(vocabulary)
    if vocabulary.merges is None:
        raise TokenizerError("key 'tokenizer.ggml.merges' is missing; BPE needs it")
    token_bytes = _byte_level_token_bytes if pre.byte_level else spm_token_bytes
    is_slow = pre.byte_level and len(vocabulary.merges) >= _MANY_MERGES
    return Backend(
        partial(_text, vocabulary, pre),
        partial(token_bytes, vocabulary),
        add_bos=pre.add_bos,
        add_sep=pre.add_sep,
        short=_short(vocabulary, pre, vocabulary.merges) if is_slow else None,
    )


def _short(vocabulary: Vocabulary, pre: PreTokenizer, merges: list[str]) -> ShortBpe:
    hidden = {vocabulary.tokens[token] for token in vocabulary.ids_of(*_HIDDEN)}
    return ShortBpe(
        vocabulary.ids, hidden, merges, _byte_words(pre), ignore_merges=pre.ignore_merges
    )


def _byte_words(pre: PreTokenizer) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*split_isolated(*pre.patterns), byte_level])


def _text(vocabulary: Vocabulary, pre: PreTokenizer) -> tokenizers.Tokenizer:
    text = tokenizers.Tokenizer(_model(vocabulary, pre))
    if pre.byte_level:
        text.pre_tokenizer = _byte_words(pre)
    else:
        text.normalizer = normalizers.Replace(" ", "\u2581")
        words = word_pattern(vocabulary.tokens)
        patterns = (*pre.patterns, words) if words else pre.patterns
        text.pre_tokenizer = pre_tokenizers.Sequence(split_isolated(*patterns))
    return text


def _pre_tokenizer(vocabulary: Vocabulary) -> PreTokenizer:
    name = "gemma4" if vocabulary.model == "gemma4" else vocabulary.pre or "default"
    try:
        return PRE_TOKENIZERS[name]
    except KeyError:
        known = ", ".join(sorted(PRE_TOKENIZERS))
        raise TokenizerError(
            f"unknown pre-tokenizer '{name}' (key 'tokenizer.ggml.pre'); known are: {known}"
        ) from None


def _model(vocabulary: Vocabulary, pre: PreTokenizer) -> models.BPE:
    hidden = {vocabulary.tokens[token] for token in vocabulary.ids_of(*_HIDDEN)}
    tokens = dict(vocabulary.ids)
    for text in hidden:
        del tokens[text]
    build = partial(
        build_bpe, tokens, byte_fallback=not pre.byte_level, ignore_merges=pre.ignore_merges
    )
    lines = vocabulary.merges or []
    merges = _merges(lines)
    if _fits(lines, tokens):
        with contextlib.suppress(TokenizerError):  # perhaps merges that make a control token
            return build(merges)
    return build([(a, b) for a, b in merges if _known(a, b, tokens, hidden)])


def _fits(lines: list[str], tokens: dict[str, int]) -> bool:
    """Whether no merge makes more than the longest token: there the library panics."""
    longest = max(map(len, map(str.encode, lines)), default=1)
    return longest - 1 <= max(map(len, map(str.encode, tokens)), default=0)


def _known(left: str, right: str, tokens: dict[str, int], hidden: set[str]) -> bool:
    """False for a merge of or to a control token, which text must not become: it is left out."""
    pieces = {left, right, left + right}
    if pieces & hidden:
        return False
    if missing := pieces - tokens.keys():
        raise TokenizerError(
            f"the merge {left!r} {right!r} needs {missing.pop()!r}, which is not a token"
        )
    return True


def _merges(lines: list[str]) -> list[tuple[str, str]]:
    if set(map(str.count, lines, repeat(" "))) != {1}:
        return [_split_merge(line) for line in lines]
    pieces = " ".join(lines).split(" ")  # at once: ten times as fast as line by line
    return list(zip(pieces[::2], pieces[1::2], strict=True))


def _split_merge(line: str) -> tuple[str, str]:
    # The left piece has at least one character, which may itself be a space.
    cut = line.find(" ", 1)
    if cut < 0 or cut + 1 == len(line):
        raise TokenizerError(f"key 'tokenizer.ggml.merges': {line!r} is not 'left right'")
    return line[:cut], line[cut + 1 :]


def _byte_alphabet() -> dict[int, str]:
    """Code point of GPT-2's character for a byte -> that byte, as the character U+0000..U+00FF."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    alphabet = {byte: chr(byte) for byte in printable}
    return alphabet | {256 + i: chr(byte) for i, byte in enumerate(hidden)}


def _byte_level_token_bytes(vocabulary: Vocabulary) -> list[bytes]:
    alphabet = _byte_alphabet()
    odd = vocabulary.ids_of(*_HIDDEN, TokenType.USER_DEFINED)
    texts = list(vocabulary.tokens)
    for token in odd:
        texts[token] = ""
    try:  # all as one text, each character a byte: then cut it where they end
        joined = "".join(texts).translate(alphabet).encode("latin-1")
        pieces = [
            joined[begin:end] for begin, end in pairwise(accumulate(map(len, texts), initial=0))
        ]
    except UnicodeEncodeError:  # some hold characters outside the alphabet
        return [_one_token_bytes(vocabulary, token, alphabet) for token in range(vocabulary.size)]
    for token in odd:
        pieces[token] = _one_token_bytes(vocabulary, token, alphabet)
    return pieces


def _one_token_bytes(vocabulary: Vocabulary, token: int, alphabet: dict[int, str]) -> bytes:
    text, token_type = vocabulary.tokens[token], vocabulary.types[token]
    if token_type in _HIDDEN:
        return b""
    if token_type is TokenType.USER_DEFINED:  # stored as is, not in the byte alphabet
        return text.encode()
    try:
        return text.translate(alphabet).encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
