"""What the engine gives of one request, as answer, thoughts and calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from pyslm.chat.events import Event
from pyslm.chat.output import OutputParser
from pyslm.stream import Utf8Joiner
from pyslm.tokenizer import Tokenizer

__all__ = ["EngineOutput"]


class EngineOutput:
    """An `OutputParser`, fed with text and with those control tokens that are markers.

    Control tokens have no bytes; where they stood is told by how many bytes came before them. The
    engine holds bytes back while a stop string may be forming, and drops them when it has formed:
    a marker counts only once all bytes before it have come.
    """

    def __init__(
        self, parser: OutputParser, markers: Mapping[int, str], tokenizer: Tokenizer
    ) -> None:
        """`markers`: the control tokens that the parser looks for, id -> text."""
        self._parser = parser
        self._markers = markers
        self._tokenizer = tokenizer
        self._joiner = Utf8Joiner()
        self._num_written = 0  # bytes of the tokens so far
        self._num_come = 0  # of these, released by the engine
        self._waiting: deque[tuple[int, str]] = deque()  # (bytes before it, marker)

    def push(self, raw: bytes, token_ids: Sequence[int]) -> list[Event]:
        """The next piece: its bytes, and the tokens of the step, of which some bytes may come
        later."""
        if self._markers:
            self._note_markers(token_ids)
        found: list[Event] = []
        begin, end = self._num_come, self._num_come + len(raw)
        while self._waiting and self._waiting[0][0] <= end:
            position, marker = self._waiting.popleft()
            found += self._feed(raw[self._num_come - begin : position - begin])
            found += self._parser.feed(self._joiner.finish())
            found += self._parser.feed(marker, special=True)
            self._num_come = position
        found += self._feed(raw[self._num_come - begin :])
        self._num_come = end
        return found

    def finish(self) -> list[Event]:
        """What was held back."""
        return self._parser.feed(self._joiner.finish()) + self._parser.finish()

    def _feed(self, raw: bytes) -> list[Event]:
        text = self._joiner.push(raw)
        return self._parser.feed(text) if text else []

    def _note_markers(self, token_ids: Sequence[int]) -> None:
        for token in token_ids:
            marker = self._markers.get(token)
            if marker is not None:
                self._waiting.append((self._num_written, marker))
            else:
                self._num_written += len(self._tokenizer.token_bytes(token))
