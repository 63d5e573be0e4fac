"""WordPiece ("bert"): whole words, else their longest known beginnings.

GGUF stores word beginnings as U+2581 + text and continuations as bare text, where BERT's own
vocabulary files write text and "##" + text.

Source: Devlin et al. 2018, arXiv:1810.04805, and its `tokenization.py`.
"""

from __future__ import annotations

from functools import partial

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from pyslm.errors import TokenizerError
from pyslm.tokenizer.backend import Backend
from pyslm.tokenizer.spm import SPACE
from pyslm.tokenizer.vocabulary import TokenType, Vocabulary

__all__ = ["build"]

# BERT's own limit: a longer word is unknown. It also bounds the work per word.
_MAX_CHARS_PER_WORD = 100


def build(vocabulary: Vocabulary) -> Backend:
    """The backend of a "bert" vocabulary.

    Raises:
        TokenizerError: there is no unknown token.
    """
    unknown = vocabulary.special.get("unknown", vocabulary.ids.get("[UNK]"))
    if unknown is None:
        raise TokenizerError(
            "key 'tokenizer.ggml.unknown_token_id' is missing; model 'bert' needs it"
        )
    return Backend(
        partial(_text, vocabulary, unknown),
        partial(_token_bytes, vocabulary),
        add_bos=True,
        add_sep=True,
    )


def _text(vocabulary: Vocabulary, unknown: int) -> tokenizers.Tokenizer:
    text = tokenizers.Tokenizer(
        models.WordPiece(
            _bert_tokens(vocabulary, unknown),
            unk_token=vocabulary.tokens[unknown],
            max_input_chars_per_word=_MAX_CHARS_PER_WORD,
            continuing_subword_prefix="##",
        )
    )
    lowercase = vocabulary.flags.get("normalizer.lowercase", not _is_cased(vocabulary))
    text.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=True,
        strip_accents=vocabulary.flags.get("normalizer.strip_accents", lowercase),
        lowercase=lowercase,
    )
    text.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return text


def _is_cased(vocabulary: Vocabulary) -> bool:
    """Whether words with capitals are in the vocabulary: lowercasing would make them useless."""
    return any(text[1:] != text[1:].lower() for text in vocabulary.tokens if text[0] == SPACE)


def _bert_tokens(vocabulary: Vocabulary, unknown: int) -> dict[str, int]:
    tokens = {vocabulary.tokens[unknown]: unknown}
    for token in vocabulary.ids_of(TokenType.NORMAL, TokenType.UNUSED):
        text = vocabulary.tokens[token]
        tokens[text[1:] if text[0] == SPACE else "##" + text] = token
    return tokens


def _token_bytes(vocabulary: Vocabulary) -> list[bytes]:
    # Words are told apart by a space before each; `decode` drops the one at the very beginning.
    hidden = (TokenType.CONTROL, TokenType.UNKNOWN)
    return [
        b"" if token_type in hidden else text.replace(SPACE, " ").encode()
        for text, token_type in zip(vocabulary.tokens, vocabulary.types, strict=True)
    ]
