"""Vocabularies of a few hundred tokens, so that tiny models are tiny."""

from __future__ import annotations

import string
from itertools import product
from pathlib import Path

import gguf

VOCAB_SIZE = 512


def add_spm_vocab(writer: gguf.GGUFWriter) -> None:
    """A SentencePiece vocabulary: specials, the 256 bytes, then letters and pairs of letters."""
    specials = ["<unk>", "<s>", "</s>", "<|endoftext|>"]
    octets = [f"<0x{i:02X}>" for i in range(256)]
    letters = ["▁", *string.ascii_letters, *string.punctuation]
    pairs = ["".join(pair) for pair in product("▁etaoins", repeat=2)] + [
        "".join(pair) for pair in product("etaoinshrdlu", "bcdfgm")
    ]
    tokens = list(dict.fromkeys([*specials, *octets, *letters, *pairs]))
    tokens += [f"▁w{i}" for i in range(VOCAB_SIZE - len(tokens))]
    kinds = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.BYTE] * 256
    kinds += [gguf.TokenType.NORMAL] * (len(tokens) - len(kinds))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(len(tokens))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def add_wordpiece_vocab(writer: gguf.GGUFWriter) -> None:
    """A WordPiece vocabulary in GGUF's spelling: `▁` begins a word, what continues one is bare."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*specials, *("▁" + c for c in string.printable[:95] if c != " ")]
    tokens += string.ascii_lowercase
    tokens += [f"▁w{i}" for i in range(VOCAB_SIZE - len(tokens))]
    kinds = [gguf.TokenType.CONTROL] * 5 + [gguf.TokenType.NORMAL] * (VOCAB_SIZE - 5)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_unk_token_id(1)
    writer.add_sep_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_mask_token_id(4)


def write_spm_vocab(path: str | Path) -> Path:
    """A file with a vocabulary and no tensors, for make_model.py's --vocab."""
    writer = gguf.GGUFWriter(path, "llama")
    add_spm_vocab(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return Path(path)
