"""Which tokens are control tokens and which end a generation, where files say too little.

Converters record few roles, so well-known token texts fill the gaps: the same texts that llama.cpp
collects, for the same files behave differently otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyslm.tokenizer.vocabulary import TokenType, Vocabulary

__all__ = ["Roles", "find_roles", "mark_control"]

# In order of preference where a file names no end-of-turn token.
_END_OF_TURN = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>", "<EOT>", "_<EOT>", "[EOT]",
    "<end_of_utterance>", "<｜end▁of▁sentence｜>", "<|endoftext|>", "<|end_of_text|>",
)  # fmt: skip
_END_OF_GENERATION = frozenset(
    {*_END_OF_TURN, "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<|eom_id|>", "[EOS]",
     "<eos>", "<|tool_response>", "[e~["}
)  # fmt: skip
_FILL_IN_MIDDLE = frozenset(
    {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
     "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
     "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>",
     "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "<|fim_repo|>", "<|repo_name|>",
     "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"}
)  # fmt: skip
_FILL_IN_MIDDLE_ENDS = ("<|fim_pad|>", "<|fim_repo|>", "<|repo_name|>", "<|file_sep|>")
# Channels of one message, not the end of it, where these are also there.
_HARMONY = (frozenset({"<|return|>", "<|call|>"}), frozenset({"<|calls|>", "<|flush|>"}))


@dataclass(frozen=True, slots=True)
class Roles:
    """Token ids with a role; None where the vocabulary has none."""

    bos: int | None
    eos: int | None
    eot: int | None
    pad: int | None
    sep: int | None
    end_of_generation: frozenset[int]


def mark_control(vocabulary: Vocabulary) -> Vocabulary:
    """`vocabulary` with the type of well-known control tokens put right.

    Fine-tuned models are often converted with such tokens as plain or user-defined text; left so,
    text that users supply would turn into them.
    """
    types = list(vocabulary.types)
    known = _END_OF_GENERATION | _FILL_IN_MIDDLE
    for text in known:
        token = vocabulary.ids.get(text)
        if token is not None:
            types[token] = TokenType.CONTROL
    # "</s>" may also be plain text: a closing tag of HTML.
    roles = [vocabulary.special.get(role) for role in ("bos", "eos", "eot", "eom")]
    for token in (*roles, vocabulary.ids.get("</s>")):
        if token is not None and types[token] is TokenType.USER_DEFINED:
            types[token] = TokenType.CONTROL
    return replace(vocabulary, types=types)


def find_roles(vocabulary: Vocabulary) -> Roles:
    """The ids with a role, from the file's keys and else from well-known texts."""
    special, ids = vocabulary.special, vocabulary.ids
    bos, eos = special.get("bos"), special.get("eos")
    if vocabulary.model == "llama":  # SentencePiece's own defaults
        bos = _default(vocabulary, bos, "<s>")
        eos = _default(vocabulary, eos, "</s>")
    elif vocabulary.model == "bert":
        bos = special.get("cls", bos if bos is not None else ids.get("[CLS]"))
    eot = special.get("eot", next((ids[text] for text in _END_OF_TURN if text in ids), None))
    return Roles(
        bos=bos,
        eos=eos,
        eot=eot,
        pad=special.get("padding"),
        sep=special.get("seperator", ids.get("[SEP]")),
        end_of_generation=_end_of_generation(vocabulary, eos, eot),
    )


def _default(vocabulary: Vocabulary, token: int | None, text: str) -> int | None:
    return vocabulary.ids.get(text) if token is None else token


def _end_of_generation(vocabulary: Vocabulary, eos: int | None, eot: int | None) -> frozenset[int]:
    ids, special = vocabulary.ids, vocabulary.special
    texts = {text for text in _END_OF_GENERATION if text in ids}
    texts |= {text for text in _FILL_IN_MIDDLE_ENDS if text in ids}
    if any(marks <= ids.keys() for marks in _HARMONY):
        texts.discard("<|end|>")
    end = {ids[text] for text in texts}
    closing = ids.get("</s>")
    if closing is not None and vocabulary.types[closing] is TokenType.CONTROL:
        end.add(closing)
    if not (any(marks <= ids.keys() for marks in _HARMONY) and eot == ids.get("<|end|>")):
        end.update(token for token in (eot,) if token is not None)
    named = (eos, special.get("eom"), special.get("fim_pad"), special.get("fim_rep"))
    end.update(token for token in named if token is not None)
    return frozenset(end)
