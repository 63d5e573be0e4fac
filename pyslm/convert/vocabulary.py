"""The vocabulary of a Hugging Face folder as GGUF stores it; one builder per kind.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer"; the layout of
`tokenizer.json` is that of https://github.com/huggingface/tokenizers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType
from gguf.vocab import SpecialVocab

from pyslm.convert.config import read_json
from pyslm.convert.pre_tokenizer import find_pre_tokenizer, steps
from pyslm.errors import ModelFileError, ModelNotFoundError, UnsupportedModelError

__all__ = ["Vocabulary", "read_vocabulary"]

_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
# Written as added tokens that are not "special", yet no text a user may produce.
_LOOKS_SPECIAL = re.compile(r"<\|.*\|>|<｜.*｜>|<(unk|s|/s|pad|bos|eos)>")
_SPACE = "\u2581"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id with their types; `flags` are further boolean keys below tokenizer.ggml."""

    model: str
    pre: str
    tokens: list[str]
    types: list[TokenType]
    scores: list[float] | None = None
    merges: list[str] | None = None
    flags: dict[str, bool] = field(default_factory=dict)

    def add_to(self, writer: GGUFWriter, num_rows: int) -> None:
        """Writes all keys; ids up to `num_rows`, of which the embedding has more, are padded."""
        pad = range(len(self.tokens), num_rows)
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list([*self.tokens, *(f"[PAD{i}]" for i in pad)])
        if self.scores is not None:
            writer.add_token_scores([*self.scores, *(-1000.0 for _ in pad)])
        writer.add_token_types([*self.types, *(TokenType.UNUSED for _ in pad)])
        if self.merges is not None:
            writer.add_token_merges(self.merges)
        for name, value in self.flags.items():
            writer.add_bool(f"tokenizer.ggml.{name}", value)


@dataclass(frozen=True, slots=True)
class _Source:
    """A parsed tokenizer.json: `ids` of the model and of the added tokens together."""

    path: Path
    json: dict[str, Any]
    ids: dict[str, int]
    added: dict[str, bool]  # text -> whether it is "special"

    @property
    def model(self) -> dict[str, Any]:
        model: dict[str, Any] = self.json["model"]
        return model

    def in_order(self, num_rows: int) -> list[str]:
        """Texts by id; gaps become "[PADn]"."""
        size = max(self.ids.values(), default=-1) + 1
        if size > num_rows:
            raise ModelFileError(
                f"{self.path}: token ids go up to {size - 1}, but the embedding has {num_rows} rows"
            )
        if len(set(self.ids.values())) != len(self.ids):
            raise ModelFileError(f"{self.path}: two tokens share one id")
        texts = [f"[PAD{i}]" for i in range(size)]
        for text, i in self.ids.items():
            texts[i] = text
        return texts

    def type_of(self, text: str) -> TokenType:
        if text in self.added:
            control = self.added[text] or _LOOKS_SPECIAL.fullmatch(text)
            return TokenType.CONTROL if control else TokenType.USER_DEFINED
        return TokenType.NORMAL if text in self.ids else TokenType.UNUSED


def read_vocabulary(folder: Path, num_rows: int) -> Vocabulary:
    """The vocabulary in `tokenizer.json`, or in `vocab.txt` (WordPiece) where there is none.

    Raises ModelNotFoundError, ModelFileError, or UnsupportedModelError naming what is not known.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return _read_vocab_txt(folder, num_rows)
    source = _read_tokenizer_json(path)
    kind = source.model.get("type") or ("BPE" if "merges" in source.model else None)
    if kind == "WordPiece":
        return _word_piece(source, num_rows)
    if kind == "BPE" and any(step.get("type") == "ByteLevel" for step in steps(source.json)):
        return _byte_level(source, num_rows)
    if kind == "BPE" and source.model.get("byte_fallback") is True:
        return _sentence_piece(source, num_rows)
    raise UnsupportedModelError(
        f"{path}: tokenizer model {kind!r}; supported: WordPiece, byte-level BPE, and BPE with "
        "byte_fallback (SentencePiece)"
    )


def add_special_tokens(writer: GGUFWriter, folder: Path, tokens: Sequence[str]) -> None:
    """Writes the ids of bos, eos and their kin, whether they are added, and the chat template."""
    try:
        special = SpecialVocab(folder, n_vocab=len(tokens))
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise ModelFileError(f"{folder}: tokenizer_config.json or config.json: {error}") from error
    ids = {text: i for i, text in enumerate(tokens)}
    for path in (folder / "tokenizer_config.json", folder / "special_tokens_map.json"):
        named = read_json(path) if path.is_file() else {}
        for role in special.special_token_types:
            entry = named.get(f"{role}_token")
            text = entry.get("content") if isinstance(entry, dict) else entry
            if isinstance(text, str) and text in ids:
                special.special_token_ids.setdefault(role, ids[text])
    cls = special.special_token_ids.pop("cls", None)  # the package has no method for it
    if cls is not None:
        writer.add_uint32("tokenizer.ggml.cls_token_id", cls)
    special.add_to_gguf(writer, quiet=True)


def _read_tokenizer_json(path: Path) -> _Source:
    data = read_json(path)
    model, added = data.get("model"), data.get("added_tokens") or []
    if not isinstance(model, dict) or not isinstance(added, list):
        raise ModelFileError(f"{path}: 'model' must be an object and 'added_tokens' a list")
    vocab = model.get("vocab")
    if isinstance(vocab, list):  # Unigram: (text, score); refused by kind
        vocab = {}
    try:
        ids = {**(vocab or {}), **{str(token["content"]): token["id"] for token in added}}
        special = {str(token["content"]): bool(token.get("special")) for token in added}
    except (TypeError, KeyError) as error:
        raise ModelFileError(f"{path}: 'vocab' or 'added_tokens' is damaged: {error!r}") from error
    if not all(type(i) is int and 0 <= i < 2**24 for i in ids.values()):
        raise ModelFileError(f"{path}: token ids must be integers from 0 to {2**24 - 1}")
    return _Source(path, data, ids, special)


def _merges(source: _Source) -> list[tuple[str, str]]:
    """The merges in order of rank: "left right" in older files, [left, right] in newer ones."""
    merges = source.model.get("merges")
    if not isinstance(merges, list):
        raise ModelFileError(f"{source.path}: 'model.merges' must be a list")
    pairs = []
    for merge in merges:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or [type(part) for part in parts] != [str, str]:
            raise ModelFileError(f"{source.path}: merge {merge!r} is not a pair of tokens")
        pairs.append((parts[0], parts[1]))
    return pairs


def _byte_level(source: _Source, num_rows: int) -> Vocabulary:
    tokens = source.in_order(num_rows)
    return Vocabulary(
        model="gpt2",
        pre=find_pre_tokenizer(source.path, source.json),
        tokens=tokens,
        types=[source.type_of(text) for text in tokens],
        # GGUF separates the parts by a space; one within a part becomes the byte alphabet's.
        merges=[" ".join(part.replace(" ", "Ġ") for part in pair) for pair in _merges(source)],
    )


def _sentence_piece(source: _Source, num_rows: int) -> Vocabulary:
    """SentencePiece as `tokenizer.json` has it: the rank of a merge stands for the score."""
    tokens = source.in_order(num_rows)
    ranks: dict[str, int] = {}
    for left, right in _merges(source):
        ranks.setdefault(left + right, len(ranks))
    unknown = source.model.get("unk_token")

    def type_of(text: str) -> TokenType:
        if text == unknown:
            return TokenType.UNKNOWN
        return TokenType.BYTE if _BYTE_TOKEN.fullmatch(text) else source.type_of(text)

    types = [type_of(text) for text in tokens]
    scores = [0.0] * len(tokens)
    num_single = 0
    for i, text in enumerate(tokens):
        if types[i] is TokenType.NORMAL:
            if text not in ranks:  # single characters: below whatever merging can make
                num_single += 1
            scores[i] = -float(ranks.get(text, len(ranks) + num_single - 1))
        elif types[i] is TokenType.USER_DEFINED:
            scores[i] = -1000.0
    flags = {} if _prepends_space(source.json) else {"add_space_prefix": False}
    return Vocabulary("llama", "default", tokens, types, scores, flags=flags)


def _prepends_space(data: dict[str, Any]) -> bool:
    """Whether text is tokenized as if a space stood before it."""
    for step in steps(data):
        if step.get("type") == "Prepend" and step.get("prepend") == _SPACE:
            return True
        if step.get("type") == "Metaspace":
            scheme = step.get(
                "prepend_scheme", "always" if step.get("add_prefix_space") else "never"
            )
            return scheme in ("always", "first")
    return False


def _word_piece(source: _Source, num_rows: int) -> Vocabulary:
    if source.model.get("continuing_subword_prefix", "##") != "##":
        raise UnsupportedModelError(
            f"{source.path}: continuing_subword_prefix is "
            f"{source.model['continuing_subword_prefix']!r}; supported: '##'"
        )
    pre_tokenizers = [step.get("type") for step in steps({"p": source.json.get("pre_tokenizer")})]
    if pre_tokenizers != ["BertPreTokenizer"]:
        raise UnsupportedModelError(
            f"{source.path}: WordPiece with pre-tokenizer {pre_tokenizers}; supported: "
            "BertPreTokenizer"
        )
    normalizers = list(steps({"n": source.json.get("normalizer")}))
    if len(normalizers) != 1 or normalizers[0].get("type") != "BertNormalizer":
        names = [step.get("type") for step in normalizers]
        raise UnsupportedModelError(
            f"{source.path}: WordPiece with normalizer {names}; supported: BertNormalizer"
        )
    lowercase = normalizers[0].get("lowercase") is True
    strip_accents = normalizers[0].get("strip_accents")
    tokens = source.in_order(num_rows)
    control = {text for text, special in source.added.items() if special}
    return _phantom_spaces(
        tokens, control, lowercase, lowercase if strip_accents is None else strip_accents is True
    )


def _phantom_spaces(
    tokens: list[str], control: set[str], lowercase: bool, strip_accents: bool
) -> Vocabulary:
    """GGUF marks where a word begins (U+2581), BERT's files where one goes on ("##")."""

    def respell(text: str) -> str:
        if text in control or (text.startswith("[") and text.endswith("]")):
            return text
        return text[2:] if text.startswith("##") else _SPACE + text

    types = [TokenType.CONTROL if text in control else TokenType.NORMAL for text in tokens]
    flags = {}
    if not (lowercase and strip_accents):  # readers assume both
        flags = {"normalizer.lowercase": lowercase, "normalizer.strip_accents": strip_accents}
    return Vocabulary("bert", "bert-bge", [respell(text) for text in tokens], types, flags=flags)


def _read_vocab_txt(folder: Path, num_rows: int) -> Vocabulary:
    path = folder / "vocab.txt"
    try:
        tokens = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise ModelNotFoundError(
            f"{folder} has no tokenizer.json (nor the vocab.txt of a BERT model); "
            "transformers' AutoTokenizer(...).save_pretrained writes one"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot read {path}: {error}") from error
    tokens = [text.rstrip("\r") for text in (tokens[:-1] if tokens[-1] == "" else tokens)]
    if len(set(tokens)) != len(tokens) or len(tokens) > num_rows:
        raise ModelFileError(
            f"{path}: {len(tokens)} tokens, {len(set(tokens))} distinct, for an embedding of "
            f"{num_rows} rows"
        )
    settings_path = folder / "tokenizer_config.json"
    settings = read_json(settings_path) if settings_path.is_file() else {}
    lowercase = settings.get("do_lower_case", True) is True
    strip_accents = settings.get("strip_accents")
    control = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} & set(tokens)
    return _phantom_spaces(
        tokens, control, lowercase, lowercase if strip_accents is None else strip_accents is True
    )
