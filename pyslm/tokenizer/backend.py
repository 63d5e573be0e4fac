"""What the three vocabulary kinds have in common: the shape of what they build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tokenizers
from tokenizers import Regex, models, pre_tokenizers

from pyslm.errors import TokenizerError

__all__ = ["Backend", "build_bpe", "split_isolated"]


@dataclass(frozen=True, slots=True)
class Backend:
    """A vocabulary kind's own part of a tokenizer.

    Attributes:
        text: encodes text in which no special token is to be found. No control token is in its
            vocabulary, so that no text can become one.
        token_bytes: the text bytes of each token id; called once, when first needed.
        add_bos, add_eos, add_sep: defaults where the file does not say.
        add_space_prefix: text is encoded as if a space stood before it.
    """

    text: tokenizers.Tokenizer
    token_bytes: Callable[[], list[bytes]]
    add_bos: bool = False
    add_eos: bool = False
    add_sep: bool = False
    add_space_prefix: bool = False


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
