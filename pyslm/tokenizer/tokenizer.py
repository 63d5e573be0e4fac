"""Text to token ids and back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import tokenizers
from tokenizers import AddedToken, models

from pyslm.errors import TokenizerError
from pyslm.tokenizer import bpe, spm, wordpiece
from pyslm.tokenizer.backend import Backend, without_garbage_collection
from pyslm.tokenizer.metadata import Metadata, read_metadata
from pyslm.tokenizer.special import find_roles, mark_control
from pyslm.tokenizer.vocabulary import TokenType, Vocabulary, read_vocabulary

__all__ = ["Tokenizer", "TokenizerInfo", "load_tokenizer"]

_BACKENDS: dict[str, Callable[[Vocabulary], Backend]] = {
    "llama": spm.build,
    "gpt2": bpe.build,
    "gemma4": bpe.build,
    "bert": wordpiece.build,
}


@dataclass(frozen=True, slots=True)
class TokenizerInfo:
    """A summary for people and logs.

    Attributes:
        model: vocabulary kind: "llama" (SentencePiece BPE), "gpt2", "gemma4", "bert".
        pre_tokenizer: `tokenizer.ggml.pre`, "" where absent.
        vocab_size, num_control, num_user_defined: counts of tokens.
    """

    model: str
    pre_tokenizer: str
    vocab_size: int
    num_control: int
    num_user_defined: int


def load_tokenizer(
    source: str | os.PathLike[str] | Metadata, *, build_encoder: bool = True
) -> Tokenizer:
    """The tokenizer of a GGUF file, from nothing but the file's own metadata.

    Args:
        source: path of the file (the first, if it is split), or its metadata: a mapping from key
            to bool, int, float, str, list of str, or sequence of numbers.
        build_encoder: now, and not when text is first encoded; see `Tokenizer.build_encoder`.

    Raises:
        ModelNotFoundError, ModelFileError: the file cannot be opened or read.
        GGUFError: the file breaks a rule of the format.
        UnsupportedModelError: a version or a tensor type of the format that pyslm does not read.
        TokenizerError: its vocabulary is missing, contradictory or of an unknown kind.
    """
    metadata = read_metadata(source) if isinstance(source, (str, os.PathLike)) else source
    with without_garbage_collection():
        tokenizer = Tokenizer(read_vocabulary(metadata))
    if build_encoder:
        tokenizer.build_encoder()
    return tokenizer


class Tokenizer:
    """Encodes and decodes with one model's vocabulary. Immutable, and safe to share by threads.

    Control tokens (beginning of text, end of turn, ...) are found in text only where the caller
    says `parse_special`. Two things make sure of it: the encoder of text has no control token in
    its vocabulary, and the splitter that finds them is another object, not asked otherwise.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Builds from a checked vocabulary; see `load_tokenizer`.

        Raises:
            TokenizerError: the vocabulary kind is unknown, or its parts contradict each other.
        """
        build = _BACKENDS.get(vocabulary.model)
        if build is None:
            raise TokenizerError(
                f"unknown vocabulary kind '{vocabulary.model}' (key 'tokenizer.ggml.model'); "
                f"known are: {', '.join(_BACKENDS)}"
            )
        self._vocabulary = vocabulary = mark_control(vocabulary)
        self._backend = build(vocabulary)
        self._roles = find_roles(vocabulary)
        user_defined = vocabulary.ids_of(TokenType.USER_DEFINED)
        control = vocabulary.ids_of(TokenType.CONTROL, TokenType.UNKNOWN)
        self._plain_splitter = _Splitter(vocabulary, user_defined)
        self._special_splitter = _Splitter(vocabulary, user_defined + control)
        # Of those that files call user-defined, the ones that the model's own template writes mark
        # the parts of a conversation all the same (Qwen's <tool_call>, Gemma's <tool_response|>).
        template = vocabulary.chat_template or ""
        quotable = [token for token in user_defined if vocabulary.tokens[token] not in template]
        self._quoted_splitter = _Splitter(vocabulary, quotable)
        self._prefix, self._suffix = self._affixes()
        self.info = TokenizerInfo(
            vocabulary.model,
            vocabulary.pre,
            vocabulary.size,
            len(vocabulary.ids_of(TokenType.CONTROL)),
            len(user_defined),
        )

    def _affixes(self) -> tuple[list[int], list[int]]:
        roles = self._roles
        prefix = [roles.bos] if self.add_bos and roles.bos is not None else []
        suffix = [roles.eos] if self.add_eos and roles.eos is not None else []
        add_sep = self._vocabulary.flags.get("add_sep_token", self._backend.add_sep)
        if add_sep and not suffix and roles.sep is not None:
            suffix = [roles.sep]
        return prefix, suffix

    # --- what the vocabulary is ---------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return self._vocabulary.size

    @property
    def token_types(self) -> list[TokenType]:
        """Type of each token id."""
        return list(self._vocabulary.types)

    @property
    def bos_id(self) -> int | None:
        """Beginning of text (of "bert": CLS)."""
        return self._roles.bos

    @property
    def eos_id(self) -> int | None:
        """End of text."""
        return self._roles.eos

    @property
    def eot_id(self) -> int | None:
        """End of a turn of a conversation."""
        return self._roles.eot

    @property
    def pad_id(self) -> int | None:
        """Padding."""
        return self._roles.pad

    @property
    def eog_ids(self) -> frozenset[int]:
        """All tokens that end a generation: of text, of a turn, of a message."""
        return self._roles.end_of_generation

    @property
    def add_bos(self) -> bool:
        """Whether `encode` prepends `bos_id`."""
        gemma4 = self._vocabulary.model == "gemma4"  # its first files say false by mistake
        return gemma4 or self._vocabulary.flags.get("add_bos_token", self._backend.add_bos)

    @property
    def add_eos(self) -> bool:
        """Whether `encode` appends `eos_id`."""
        return self._vocabulary.flags.get("add_eos_token", self._backend.add_eos)

    @property
    def chat_template(self) -> str | None:
        """The model's Jinja chat template, if the file carries one."""
        return self._vocabulary.chat_template

    def token_text(self, token: int) -> str:
        """The token as the file writes it, e.g. "<|im_end|>" or "Ġthe"."""
        self._check(token)
        return self._vocabulary.tokens[token]

    def token_id(self, text: str) -> int | None:
        """The id of the token that the file writes as `text`, or None."""
        return self._vocabulary.ids.get(text)

    # --- text to ids --------------------------------------------------------------------------

    def build_encoder(self) -> None:
        """Builds what encodes text, if that has not been done: half a second for 280 k merges. The
        first short texts do without it.

        Raises:
            TokenizerError: the vocabulary's parts contradict each other.
        """
        _ = self._backend.text

    def encode(
        self, text: str, *, add_special_tokens: bool = True, parse_special: bool = False
    ) -> list[int]:
        """Token ids of `text`.

        Args:
            text: any Unicode text.
            add_special_tokens: add BOS, EOS or separators as the model was trained with.
            parse_special: find control tokens in `text`. Never set it on text that is not yours.

        Raises:
            TokenizerError: `text` holds a lone surrogate, which no encoding can express.
        """
        return self.encode_batch(
            [text], add_special_tokens=add_special_tokens, parse_special=parse_special
        )[0]

    def encode_batch(
        self, texts: Sequence[str], *, add_special_tokens: bool = True, parse_special: bool = False
    ) -> list[list[int]]:
        """`encode` of each text, on all cores."""
        splitter = self._special_splitter if parse_special else self._plain_splitter
        parts = [splitter.split(_checked(text)) for text in texts]
        return self._encode_parts(parts, add_special_tokens)

    def encode_marked(self, text: str, trusted: bytes) -> list[int]:
        """Token ids of a text of which only some characters may form control tokens.

        Args:
            text: what a chat template wrote.
            trusted: one byte for each character of `text`; 0 where it came from elsewhere. A
                control token, or one that the template writes itself, is found only where all of
                its characters are nonzero.
        """
        if len(trusted) != len(text):
            raise TokenizerError(f"{len(trusted)} marks for {len(text)} characters")
        parts = self._special_splitter.split_marked(_checked(text), trusted, self._quoted_splitter)
        return self._encode_parts([parts], add_special_tokens=False)[0]

    def _encode_parts(
        self, texts: list[list[str | int]], add_special_tokens: bool
    ) -> list[list[int]]:
        prefix = " " if self._adds_space else ""
        pieces = [prefix + part for parts in texts for part in parts if isinstance(part, str)]
        encoded = iter(self._backend.encode(pieces))
        results = []
        for parts in texts:
            ids = list(self._prefix) if add_special_tokens else []
            for part in parts:
                if isinstance(part, int):
                    ids.append(part)
                else:
                    ids.extend(next(encoded))
            results.append(ids + self._suffix if add_special_tokens else ids)
        return results

    @property
    def _adds_space(self) -> bool:
        return self._vocabulary.flags.get("add_space_prefix", self._backend.add_space_prefix)

    # --- ids to text --------------------------------------------------------------------------

    @cached_property
    def _token_bytes(self) -> list[bytes]:
        return self._backend.token_bytes()

    def all_token_bytes(self) -> list[bytes]:
        """The text bytes each token id contributes, empty for control tokens.

        Their concatenation is the UTF-8 of the decoded text, with one exception: where the
        tokenizer encodes text as if a space stood before it (SentencePiece with a space prefix,
        WordPiece), the concatenation begins with that space and `decode` drops it.
        """
        return list(self._token_bytes)

    def token_bytes(self, token: int) -> bytes:
        """The text bytes that `token` contributes; see `all_token_bytes`."""
        self._check(token)
        return self._token_bytes[token]

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD.

        Args:
            ids: token ids from the beginning of a text.
            skip_special_tokens: leave control tokens out, else write them as the file does.

        Raises:
            TokenizerError: an id is outside the vocabulary.
        """
        pieces = self._token_bytes
        joined: list[bytes] = []
        at_start = self._adds_space or self._vocabulary.model == "bert"
        for token in ids:
            self._check(token)
            piece = pieces[token]
            if self._vocabulary.types[token] in (TokenType.CONTROL, TokenType.UNKNOWN):
                if not skip_special_tokens:
                    joined.append(self._vocabulary.tokens[token].encode())
                continue
            if at_start and piece:
                piece = piece.removeprefix(b" ")
                at_start = False
            joined.append(piece)
        return b"".join(joined).decode("utf-8", "replace")

    def _check(self, token: int) -> None:
        if not 0 <= token < self._vocabulary.size:
            raise TokenizerError(
                f"token id {token} is outside the vocabulary of {self._vocabulary.size}"
            )


class _Splitter:
    """Finds some tokens in text, leftmost and longest first, by the library's Aho-Corasick."""

    def __init__(self, vocabulary: Vocabulary, ids: list[int]) -> None:
        self._ids = [token for token in ids if vocabulary.tokens[token]]
        texts = [vocabulary.tokens[token] for token in self._ids]
        # Most text holds not even the beginning of one: a few fast searches tell.
        self._beginnings = {text[:2] for text in texts}
        # The splitter's model knows nothing but these tokens: all other text is "unknown".
        self._rest = len(texts)
        known = {text: i for i, text in enumerate(texts)}
        unknown = max(texts, key=len, default="") + "\0"
        self._finder = tokenizers.Tokenizer(
            models.WordLevel(known | {unknown: self._rest}, unk_token=unknown)
        )
        greedy = _swallowing_space(vocabulary)
        self._finder.add_special_tokens(
            [AddedToken(text, normalized=False, rstrip=text in greedy) for text in texts]
        )

    def split(self, text: str) -> list[str | int]:
        """`text` as stretches without the tokens, and the tokens' ids."""
        parts: list[str | int] = []
        end = 0
        for token, begin, stop in self._find(text):
            if begin > end:
                parts.append(text[end:begin])
            parts.append(token)
            end = stop
        if end < len(text):
            parts.append(text[end:])
        return parts

    def split_marked(self, text: str, trusted: bytes, plain: _Splitter) -> list[str | int]:
        """As `split`, of trusted characters only; `plain` splits what lies between."""
        # U+FFFF is no character: no token holds it.
        masked = "".join(c if ok else "\uffff" for c, ok in zip(text, trusted, strict=True))
        parts: list[str | int] = []
        end = 0
        for token, begin, stop in self._find(masked):
            parts += plain.split(text[end:begin])
            parts.append(token)
            end = stop
        return parts + plain.split(text[end:])

    def _find(self, text: str) -> list[tuple[int, int, int]]:
        """(token id, begin, end) of each found token, in characters."""
        if not any(beginning in text for beginning in self._beginnings):
            return []
        found = self._finder.encode(text, add_special_tokens=False)
        return [
            (self._ids[i], *span)
            for i, span in zip(found.ids, found.offsets, strict=True)
            if i != self._rest
        ]


def _swallowing_space(vocabulary: Vocabulary) -> frozenset[str]:
    """Tokens that take the white space after them. GGUF cannot say so; Phi-3 is known to do it."""
    if not any(name in vocabulary.name.lower() for name in ("phi-3", "phi3")):
        return frozenset()
    control = {vocabulary.tokens[token] for token in vocabulary.ids_of(TokenType.CONTROL)}
    return frozenset(control - {"<unk>", "<s>", "<|endoftext|>"})


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise TokenizerError(f"text must be str, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"the text holds a lone surrogate (character {error.start}); it is not valid Unicode"
        ) from None
    return text
