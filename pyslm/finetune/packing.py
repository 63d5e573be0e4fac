"""Scenes as rows of token ids, several scenes a row.

    tokens   | system tools | user call | user call | ... | system tools | user ...
    scene    |      0       |     0     |     0     | ... |      1       |    1
    branch   |      0       |     1     |     2     | ... |      0       |    1
    position |     0..p     |   p+1..   |   p+1..   | ... |     0..      |   ...

A token sees those before it of the same scene that are of branch 0 or of its own branch: the tools
are computed once for all conversations about them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from pyslm.finetune.config import TrainConfig
from pyslm.finetune.data import Scene, Scenes
from pyslm.finetune.data.spec import OwnData
from pyslm.finetune.dialect import CALL, CONTROL, END, PAD, Piece, write_messages, write_prefix
from pyslm.finetune.sources import Sources
from pyslm.finetune.vocabulary import NanoVocabulary

__all__ = ["Batch", "Rows", "batch_of_step", "encode_pieces", "num_tokens"]

_BRANCHES = 10  # of a scene: more share its tools, fewer show more tools
_MIN_SPACE = 96  # tokens left in a row that are not worth another scene
_OF_ARGUMENTS = 0.5  # of a decision's weight: which argument is next, or none, and which value
_PUNCTUATION = frozenset('"[]{},:Ġ')


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one length: int32 arrays [rows, tokens], `weight` float32."""

    tokens: npt.NDArray[np.int32]
    position: npt.NDArray[np.int32]
    scene: npt.NDArray[np.int32]
    branch: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    """Loss of the token that comes after; 0 where it is not to be learned."""
    category: npt.NDArray[np.int32]
    """Index into `categories`, -1 where the model writes nothing."""
    source: npt.NDArray[np.int32]
    """Place in the row of the token that is copied as the next one, -1 where none is."""
    categories: tuple[str, ...]


def encode_pieces(
    vocabulary: NanoVocabulary, pieces: Iterable[Piece]
) -> tuple[list[int], list[bool]]:
    """Token ids, and of each whether the model is to write it."""
    pieces = list(pieces)
    texts = iter(vocabulary.encode([piece.text for piece in pieces if not piece.is_control]))
    ids: list[int] = []
    by_model: list[bool] = []
    for piece in pieces:
        piece_ids = [vocabulary.ids[piece.text]] if piece.is_control else next(texts)
        ids += piece_ids
        by_model += [piece.by_model] * len(piece_ids)
    return ids, by_model


def num_tokens(vocabulary: NanoVocabulary, scene: Scene) -> int:
    """Of the tools and the longest conversation: what a row must have room for."""
    prefix, _ = encode_pieces(vocabulary, write_prefix(scene.system, scene.tools))
    said = (encode_pieces(vocabulary, write_messages(b.messages))[0] for b in scene.branches)
    return len(prefix) + max(map(len, said))


class Rows:
    """Fills rows with scenes."""

    def __init__(
        self,
        vocabulary: NanoVocabulary,
        num_rows: int,
        row_tokens: int,
        request_weight: float = 0.1,
        decision_weight: float = 1.0,
        *,
        with_sources: bool = True,
    ) -> None:
        shape = (num_rows, row_tokens)
        self._vocabulary = vocabulary
        self._request_weight = request_weight
        self._decision_weight = decision_weight
        self._argument_weight = max(1.0, _OF_ARGUMENTS * decision_weight)
        self._with_sources = with_sources
        self._tokens = np.full(shape, CONTROL.index(PAD), np.int32)
        self._position = np.zeros(shape, np.int32)
        self._scene = np.full(shape, -1, np.int32)
        self._branch = np.zeros(shape, np.int32)
        self._weight = np.zeros(shape, np.float32)
        self._category = np.full(shape, -1, np.int32)
        self._source = np.full(shape, -1, np.int32)
        # After a value: another argument, or none.
        signs = [(i, set(token)) for i, token in enumerate(vocabulary.tokens)]
        self._ends = [i for i, used in signs if used <= _PUNCTUATION and used & {",", "}"}]
        self._names: list[str] = []
        self._row, self._used, self._num_scenes = 0, 0, 0

    def fill(self, source: Iterator[Scene]) -> Batch:
        """Takes scenes until all rows are full; what does not fit any more is dropped."""
        while self._row < len(self._tokens):
            self._add(next(source))
        return Batch(
            self._tokens, self._position, self._scene, self._branch, self._weight, self._category,
            self._source, tuple(self._names),
        )  # fmt: skip

    def _add(self, scene: Scene) -> None:
        encode = self._vocabulary
        prefix, _ = encode_pieces(encode, write_prefix(scene.system, scene.tools))
        branches = [
            (b.category, *encode_pieces(encode, write_messages(b.messages))) for b in scene.branches
        ]
        space = self._tokens.shape[1] - self._used
        if len(prefix) + len(branches[0][1]) > space:
            self._next_row()  # the scene is dropped: keeping it would favour short ones later
            return
        start = self._used
        self._put(prefix, [False] * len(prefix), 0, 0, "")
        sources = Sources([encode.tokens[i] for i in prefix]) if self._with_sources else None
        for i, (category, ids, by_model) in enumerate(branches, 1):
            if len(ids) <= self._tokens.shape[1] - self._used:
                begin = self._used
                self._put(ids, by_model, i, len(prefix), category)
                if sources is not None:
                    found = sources.find([encode.tokens[i] for i in ids], category == "route")
                    self._mark(found, len(prefix), start, begin)
        self._num_scenes += 1
        if self._tokens.shape[1] - self._used < _MIN_SPACE:
            self._next_row()

    def _put(
        self, ids: list[int], by_model: list[bool], branch: int, start: int, category: str
    ) -> None:
        begin, end = self._used, self._used + len(ids)
        where = (self._row, slice(begin, end))
        self._tokens[where] = ids
        self._position[where] = np.arange(start, start + len(ids))
        self._scene[where] = self._num_scenes
        self._branch[where] = branch
        self._used = end
        if branch == 0:
            return
        # Weights belong to the place from which a token is predicted, the one before it.
        place = (self._row, slice(begin, end - 1))
        learned = np.asarray(by_model[1:])
        here, following = np.asarray(ids[:-1]), np.asarray(ids[1:])
        call, last = self._vocabulary.ids[CALL], self._vocabulary.ids[END]
        names = here == call
        stops = (following == call) | (following == last)
        decides = learned & (~np.asarray(by_model[:-1]) | names | stops)
        weight = np.where(learned, 1.0, self._request_weight)
        weight = np.where(learned & np.isin(following, self._ends), self._argument_weight, weight)
        self._weight[place] = np.where(decides, self._decision_weight, weight)
        if category not in self._names:
            self._names.append(category)
        self._category[place] = np.where(learned, self._names.index(category), -1)

    def _mark(self, pairs: list[tuple[int, int]], shared: int, start: int, begin: int) -> None:
        """Notes what is copied from where, at the place of the token before it."""
        for place, source in pairs:
            where = start + source if source < shared else begin + source - shared
            before = (self._row, begin + place - 1)
            self._source[before] = where
            self._weight[before] = max(self._weight[before], self._argument_weight)

    def _next_row(self) -> None:
        self._row, self._used, self._num_scenes = self._row + 1, 0, 0


def batch_of_step(
    vocabulary: NanoVocabulary, config: TrainConfig, step: int, own: OwnData | None = None
) -> Batch:
    """The rows of one step: always the same for the same seed, step and own data."""
    digest = hashlib.sha256(f"{config.seed}/{step}".encode()).digest()
    source = Scenes(int.from_bytes(digest[:8], "little"), own)
    is_long = (
        config.long_row_every > 0 and step % config.long_row_every == config.long_row_every - 1
    )
    scale = 4 if is_long and config.rows >= 4 else 1
    progress = min(1.0, step / max(config.grow_steps, 1))
    span = config.tools_end - config.tools_begin
    # Four times the tools in a row four times as long: else no scene would reach far positions.
    most = round(config.tools_begin + progress * span) * scale

    def draw() -> Iterator[Scene]:
        while True:
            yield source.draw(most, _BRANCHES, min_tools=most // 2 if scale > 1 else 1)

    rows = Rows(
        vocabulary,
        config.rows // scale,
        config.row_tokens * scale,
        config.request_weight,
        config.decision_weight,
        with_sources=config.source_weight > 0,
    )
    return rows.fill(draw())
