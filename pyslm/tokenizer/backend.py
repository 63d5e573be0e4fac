"""What the three vocabulary kinds have in common: the shape of what they build."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import tokenizers
from tokenizers import Regex, models, pre_tokenizers

from pyslm.errors import TokenizerError
from pyslm.tokenizer.short_bpe import ShortBpe

__all__ = ["Backend", "build_bpe", "split_isolated", "without_garbage_collection"]


@dataclass(frozen=True)
class Backend:
    """A vocabulary kind's own part of a tokenizer.

    Attributes:
        build_text: makes `text`, which takes as long as all the rest of a model's second start
            where there are 280 k merges, and is not needed for prompts of token ids.
        token_bytes: the text bytes of each token id; called once, when first needed.
        add_bos, add_eos, add_sep: defaults where the file does not say.
        add_space_prefix: text is encoded as if a space stood before it.
        short: encodes the first short texts, before `text` is built.
    """

    build_text: Callable[[], tokenizers.Tokenizer]
    token_bytes: Callable[[], list[bytes]]
    add_bos: bool = False
    add_eos: bool = False
    add_sep: bool = False
    add_space_prefix: bool = False
    short: ShortBpe | None = None
    _building: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def text(self) -> tokenizers.Tokenizer:
        """Encodes text in which no special token is to be found. No control token is in its
        vocabulary, so that no text can become one.

        Raises:
            TokenizerError: the vocabulary's parts contradict each other.
        """
        with self._building:  # threads that come at once wait for one to build it
            return self._text

    def encode(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, no special token among them."""
        if self.short is not None and "_text" not in self.__dict__:
            found = self.short.encode(texts)
            if found is not None:
                return found
        encoded = self.text.encode_batch_fast(texts, add_special_tokens=False)
        return [each.ids for each in encoded]

    @cached_property
    def _text(self) -> tokenizers.Tokenizer:
        with without_garbage_collection():
            return self.build_text()


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """A vocabulary is half a million objects without a cycle: looking for some takes longer."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def split_isolated(*patterns: str) -> list[pre_tokenizers.PreTokenizer]:
    """One pre-tokenizer per pattern; matches and what lies between them become words."""
    return [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]


def build_bpe(
    vocabulary: dict[str, int],
    merges: list[tuple[str, str]],
    *,
    unknown: str | None = None,
    byte_fallback: bool = False,
    ignore_merges: bool = False,
) -> models.BPE:
    """A BPE model. `merges` in order of rank.

    Raises:
        TokenizerError: a merge names a piece that is no token, or makes one that is none.
    """
    try:
        return models.BPE(
            vocabulary,
            merges,
            unk_token=unknown,
            fuse_unk=unknown is not None,
            byte_fallback=byte_fallback,
            ignore_merges=ignore_merges,
        )
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"the vocabulary's merges do not fit its tokens: {error}") from error
