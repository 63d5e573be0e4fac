"""The conversation of `pyslm run` without a prompt."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pyslm.cli.output import finish, show_stats, write
from pyslm.errors import PyslmError
from pyslm.request import SamplingParams, StreamChunk

if TYPE_CHECKING:
    from pyslm.llm import LLM

__all__ = ["Conversation"]

HELP = """\
  /clear         forget what was said
  /system TEXT   set the system message, and forget what was said
  /stats         show or hide counts and speeds after each answer
  /exit          leave (also Ctrl-D)
  \"\"\"            begins and ends a message of several lines
  Ctrl-C         stops an answer"""


class Conversation:
    """Reads lines, answers them, remembers both."""

    def __init__(
        self, llm: LLM, params: SamplingParams, *, system: str | None, raw: bool, stats: bool
    ) -> None:
        self._llm = llm
        self._params = params
        self._system = system
        self._chats = llm.info.has_chat_template and not raw
        self._stats = stats
        self._turns: list[dict[str, str]] = []

    def run(self) -> None:
        """Goes on until the user leaves."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - gives input() line editing and history
        kind = "chat" if self._chats else "plain completion"
        print(f"{self._llm.info.name}: {kind}. /help for commands, Ctrl-D to leave.")
        while True:
            try:
                line = self._read()
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                print("\n(Ctrl-D or /exit to leave)")
                continue
            if line.strip() in ("/exit", "/quit", "/bye"):
                return
            if line.lstrip().startswith("/"):
                self._command(line.strip())
            elif line.strip():
                self._answer(line)

    def _read(self) -> str:
        line = input("> ")
        if not line.lstrip().startswith('"""'):
            return line
        lines = [line.lstrip()[3:]]
        while not lines[-1].rstrip().endswith('"""'):
            lines.append(input(". "))
        lines[-1] = lines[-1].rstrip()[:-3]
        return "\n".join(lines).strip("\n")

    def _command(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        if verb == "/help":
            print(HELP)
        elif verb == "/clear":
            self._turns.clear()
        elif verb == "/stats":
            self._stats = not self._stats
        elif verb == "/system" and self._chats:
            self._system = rest.strip() or None
            self._turns.clear()
        else:
            print(f"{verb}: no such command; /help lists them")

    def _answer(self, line: str) -> None:
        turn = {"role": "user", "content": line}
        heard: list[str] = []

        def show(text: str) -> None:
            heard.append(text)
            write(text)

        try:
            result = finish(self._chunks(turn), show)
            write("" if result.text.endswith("\n") else "\n")
            if self._stats:
                show_stats(result)
        except KeyboardInterrupt:
            print("\n(stopped)")
        except PyslmError as error:
            hint = " (/clear forgets what was said)" if self._turns else ""
            print(f"pyslm: error: {error}{hint}", file=sys.stderr)
            return
        if self._chats:
            self._turns += [turn, {"role": "assistant", "content": "".join(heard)}]

    def _chunks(self, turn: dict[str, str]) -> Iterable[StreamChunk]:
        if not self._chats:
            return self._llm.stream(turn["content"], self._params)
        system = [{"role": "system", "content": self._system}] if self._system else []
        return self._llm.chat_stream([*system, *self._turns, turn], self._params)
