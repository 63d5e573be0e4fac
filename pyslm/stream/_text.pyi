class Utf8Joiner:
    """Joins a stream of bytes into text without ever splitting a character.

    The results of all `push` calls and of `finish`, concatenated, equal
    `whole.decode("utf-8", "replace")`, however the whole was cut.
    """

    def push(self, chunk: bytes) -> str:
        """The text that `chunk` completes; an unfinished character waits for the next."""

    def finish(self) -> str:
        """The replacement of what never completed, or nothing; then starts anew."""
